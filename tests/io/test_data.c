/* Data sets in memory: the embedded digits, arrays, class maps, splits, subsets, scalers, fingerprints. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "files.h"

static altmin_data *digits(const char *part)
{
    altmin_data *d = NULL;
    altmin_status st = {0};
    am_read_options opt = am_read_options_default();
    if (am_data_open(&d, "digits", part, &opt, &st)) fail_msg("%s", st.message);
    return d;
}

static altmin_data *from_arrays(const float *x, size_t d, size_t n, const int32_t *label, size_t n_classes)
{
    altmin_data *data = NULL;
    altmin_status st = {0};
    if (altmin_data_from_arrays(&data, x, d, n, label, n_classes, NULL, 0, &st)) fail_msg("%s", st.message);
    return data;
}

/* Facts that scikit-learn's copy shows: sizes, class counts, extreme values, the first and last image, the
 * sum. */
static void test_digits(void **state)
{
    (void)state;
    static const size_t count[10] = {178, 182, 177, 183, 181, 182, 181, 179, 174, 180};
    static const uint8_t first_row[] = {0, 0, 5, 13, 9, 1, 0, 0};
    altmin_data *train = digits("train"), *test = digits("test");
    const altmin_data *both[] = {train, test};
    size_t seen[10] = {0}, sum = 0, max = 0;
    assert_int_equal(train->n_samples, 1437);
    assert_int_equal(test->n_samples, 360);
    for (int t = 0; t < 2; ++t) {
        const altmin_data *d = both[t];
        assert_int_equal(d->storage, AM_STORE_U8);
        assert_int_equal(d->n_features, 64);
        assert_int_equal(d->n_classes, 10);
        for (size_t j = 0; j < d->n_samples; ++j) seen[d->label[j]] += 1;
        for (size_t i = 0; i < 64 * d->n_samples; ++i) {
            sum += d->u8[i];
            max = d->u8[i] > max ? d->u8[i] : max;
        }
    }
    assert_memory_equal(seen, count, sizeof count);
    assert_memory_equal(train->u8, first_row, sizeof first_row);
    assert_int_equal(max, 16);
    assert_int_equal(sum, 561718);
    assert_string_equal(train->class_name[7], "7");
    altmin_data_free(train);
    altmin_data_free(test);
}

static void test_from_arrays(void **state)
{
    (void)state;
    static const float x[] = {1, 2, 3, 4, 5, 6};
    static const int32_t label[] = {2, 0, 1}, wrong[] = {0, 3, 1};
    static const float target[] = {.5f, INFINITY, 1};
    float broken[6] = {1, 2, 3, NAN, 5, 6};
    altmin_status st = {0};
    altmin_data *d = from_arrays(x, 2, 3, label, 3);
    assert_int_equal(altmin_data_n_samples(d), 3);
    assert_int_equal(altmin_data_n_features(d), 2);
    assert_int_equal(altmin_data_n_classes(d), 3);
    assert_ptr_not_equal(d->f32, x);
    assert_memory_equal(d->f32, x, sizeof x);
    assert_string_equal(d->class_name[2], "2");
    altmin_data_free(d);
    assert_int_equal(altmin_data_from_arrays(&d, x, 2, 3, wrong, 3, NULL, 0, &st), ALTMIN_ERR_DATA);
    assert_non_null(strstr(st.message, "label 3 of sample 1 is not in 0..2"));
    assert_null(d);
    assert_int_equal(altmin_data_from_arrays(&d, broken, 2, 3, NULL, 0, NULL, 0, &st), ALTMIN_ERR_DATA);
    assert_non_null(strstr(st.message, "sample 2, feature 2"));
    assert_int_equal(altmin_data_from_arrays(&d, x, 2, 3, NULL, 0, target, 1, &st), ALTMIN_ERR_DATA);
    assert_non_null(strstr(st.message, "target 0 of sample 1 is not finite"));
    assert_int_equal(altmin_data_from_arrays(&d, x, 2, 3, label, 3, target, 1, &st), ALTMIN_ERR_USAGE);
    assert_int_equal(altmin_data_from_arrays(&d, x, 0, 3, NULL, 0, NULL, 0, &st), ALTMIN_ERR_DATA);
    assert_int_equal(altmin_data_from_arrays(&d, NULL, 2, 3, NULL, 0, NULL, 0, &st), ALTMIN_ERR_USAGE);
    assert_int_equal(altmin_data_from_arrays(&d, x, SIZE_MAX / 2, 3, NULL, 0, NULL, 0, &st),
                     ALTMIN_ERR_MEMORY);
    assert_int_equal(altmin_data_load(&d, NULL, "train", NULL, &st), ALTMIN_ERR_USAGE);
    assert_int_equal(altmin_data_load(&d, "digits", "validation", NULL, &st), ALTMIN_ERR_USAGE);
    assert_int_equal(altmin_data_load(&d, "digits", "test", NULL, NULL), ALTMIN_OK);
    altmin_data_free(d);
    altmin_data_free(NULL);
}

static void test_map_classes(void **state)
{
    (void)state;
    static const float x[] = {1, 2, 3};
    static const int32_t label[] = {2, 0, 2};
    char zero[] = "0.0", two[] = "2", cat[] = "cat";
    char *names[] = {cat, two, zero}, *fewer[] = {cat, zero};
    altmin_status st = {0};
    altmin_data *d = from_arrays(x, 1, 3, label, 3); /* class "1" has no sample: it need not be known */
    assert_int_equal(am_data_map_classes(d, names, 3, &st), ALTMIN_OK);
    static const int32_t wanted[] = {1, 2, 1};
    assert_memory_equal(d->label, wanted, sizeof wanted);
    assert_string_equal(d->class_name[0], "cat");
    assert_int_equal(am_data_map_classes(d, fewer, 2, &st), ALTMIN_ERR_DATA);
    assert_non_null(
        strstr(st.message, "the label '2' of sample 1 is none of the 2 known classes ('cat', '0.0')"));
    assert_memory_equal(d->label, wanted, sizeof wanted);
    altmin_data_free(d);
    st = (altmin_status){0};
    d = from_arrays(x, 1, 3, NULL, 0);
    assert_int_equal(am_data_map_classes(d, names, 3, &st), ALTMIN_ERR_DATA);
    assert_non_null(strstr(st.message, "no labels"));
    altmin_data_free(d);
}

/* A split is a partition, ascending, stratified, repeatable, and different for another seed. */
static void check_split(const altmin_data *d, double fraction, uint64_t seed, unsigned char *in_valid,
                        size_t *n_valid)
{
    size_t *train, *valid, n_train;
    altmin_status st = {0};
    assert_int_equal(am_data_split(d, fraction, seed, &train, &n_train, &valid, n_valid, &st), ALTMIN_OK);
    assert_int_equal(n_train + *n_valid, d->n_samples);
    memset(in_valid, 0, d->n_samples);
    for (size_t k = 0; k < *n_valid; ++k) {
        assert_true(valid[k] < d->n_samples && (k == 0 || valid[k] > valid[k - 1]));
        in_valid[valid[k]] = 1;
    }
    for (size_t k = 0; k < n_train; ++k) {
        assert_true(train[k] < d->n_samples && (k == 0 || train[k] > train[k - 1]));
        assert_int_equal(in_valid[train[k]], 0);
    }
    free(train);
    free(valid);
}

static void test_split(void **state)
{
    (void)state;
    altmin_data *d = digits("train");
    unsigned char a[1437], b[1437];
    size_t n, count[10] = {0}, n_class[10] = {0};
    check_split(d, .2, 7, a, &n);
    assert_int_equal(n, 287); /* round(287.4) */
    for (size_t j = 0; j < d->n_samples; ++j) {
        count[d->label[j]] += a[j];
        n_class[d->label[j]] += 1;
    }
    for (int c = 0; c < 10; ++c) assert_true(fabs((double)count[c] - .2 * (double)n_class[c]) < 1);
    check_split(d, .2, 7, b, &n);
    assert_memory_equal(a, b, sizeof a);
    check_split(d, .2, 8, b, &n);
    assert_memory_not_equal(a, b, sizeof a);
    check_split(d, .2, 7 | (uint64_t)1 << 40, b, &n);
    assert_memory_not_equal(a, b, sizeof a);
    check_split(d, 0, 7, b, &n);
    assert_int_equal(n, 0);
    check_split(d, .999999, 7, b, &n);
    assert_int_equal(n, 1437 - 10); /* a training sample stays in every class */
    size_t *train, *valid, n_train;
    altmin_status st = {0};
    assert_int_equal(am_data_split(d, 1, 7, &train, &n_train, &valid, &n, &st), ALTMIN_ERR_USAGE);
    assert_int_equal(am_data_split(d, NAN, 7, &train, &n_train, &valid, &n, &st), ALTMIN_ERR_USAGE);
    assert_int_equal(am_data_split(d, -.1, 7, &train, &n_train, &valid, &n, &st), ALTMIN_ERR_USAGE);
    altmin_data_free(d);
}

/* Every sample is about equally often drawn: a biased or sorted draw would not pass. 4000 draws of 3 from 10:
 * 1200 each, standard deviation 29. */
static void test_split_is_fair(void **state)
{
    (void)state;
    static const float x[10] = {0};
    altmin_data *d = from_arrays(x, 1, 10, NULL, 0);
    unsigned char in_valid[10];
    size_t n, count[10] = {0};
    for (uint64_t seed = 0; seed < 4000; ++seed) {
        check_split(d, .3, seed, in_valid, &n);
        assert_int_equal(n, 3);
        for (int j = 0; j < 10; ++j) count[j] += in_valid[j];
    }
    for (int j = 0; j < 10; ++j) assert_true(count[j] > 1050 && count[j] < 1350);
    altmin_data_free(d);
}

static void test_split_of_rare_classes(void **state)
{
    (void)state;
    static const float x[7] = {0};
    static const int32_t label[] = {0, 1, 1, 2, 2, 2, 4}; /* class 3 is empty */
    altmin_data *d = from_arrays(x, 1, 7, label, 5);
    unsigned char v[7];
    size_t n;
    for (uint64_t seed = 0; seed < 20; ++seed) {
        check_split(d, .9, seed, v, &n);
        assert_true(!v[0] && !v[6] && v[1] + v[2] == 1 && v[3] + v[4] + v[5] == 2);
    }
    altmin_data_free(d);
}

static void test_subset(void **state)
{
    (void)state;
    altmin_data *d = digits("test"), *s = NULL;
    static const size_t index[] = {359, 0, 17}, wrong[] = {360};
    altmin_status st = {0};
    assert_int_equal(am_data_subset(&s, d, index, 3, &st), ALTMIN_OK);
    assert_int_equal(s->n_samples, 3);
    assert_int_equal(s->n_classes, 10);
    assert_string_equal(s->class_name[9], "9");
    for (size_t k = 0; k < 3; ++k) {
        assert_memory_equal(s->u8 + 64 * k, d->u8 + 64 * index[k], 64);
        assert_int_equal(s->label[k], d->label[index[k]]);
    }
    altmin_data *gone = d;
    altmin_data_free(gone); /* the subset holds copies */
    assert_string_equal(s->class_name[9], "9");
    assert_int_equal(am_data_subset(&gone, s, wrong, 1, &st), ALTMIN_ERR_INTERNAL);
    assert_null(gone);
    st = (altmin_status){0};
    assert_int_equal(am_data_subset(&gone, s, wrong, 0, &st), ALTMIN_ERR_DATA);
    altmin_data_free(s);
}

static void test_scalers(void **state)
{
    (void)state;
    altmin_status st = {0};
    am_scaler s;
    altmin_data *d = digits("train");
    assert_int_equal(am_scaler_fit(&s, AM_SCALE_AUTO, d, &st), ALTMIN_OK);
    assert_int_equal(s.kind, AM_SCALE_UNIT);
    assert_true(s.factor[3] == 1.0f / 16 && s.shift[3] == 0);
    am_scaler_free(&s);
    altmin_data_free(d);

    /* Features: spread, constant, constant and huge (where a naive variance is not 0), tiny. */
    enum { D = 4, N = 3001 };
    float *x = malloc(D * N * sizeof *x), *out = malloc(D * N * sizeof *out);
    assert_true(x && out);
    for (size_t j = 0; j < N; ++j) {
        x[D * j] = 1e6f + (float)(j % 10);
        x[D * j + 1] = .1f;
        x[D * j + 2] = 123456792;
        x[D * j + 3] = 1e-42f * (float)(j % 3);
    }
    d = from_arrays(x, D, N, NULL, 0);
    assert_int_equal(am_scaler_fit(&s, AM_SCALE_AUTO, d, &st), ALTMIN_OK);
    assert_int_equal(s.kind, AM_SCALE_STANDARDISE);
    assert_true(s.factor[1] == 1 && s.factor[2] == 1 && s.factor[3] == 1);
    am_data_dense(d, &s, 0, N, out);
    double mean = 0, var = 0;
    for (size_t j = 0; j < N; ++j) mean += (double)out[D * j] / N;
    for (size_t j = 0; j < N; ++j) var += ((double)out[D * j] - mean) * ((double)out[D * j] - mean) / N;
    assert_true(fabs(mean) < .02 &&
                fabs(var - 1) < 1e-3); /* the mean 1000004.5 has 1/32 as a float's last place */
    assert_true(out[1] == 0 && out[D * 99 + 2] == 0);
    float one[2 * D]; /* a range gives the same as the whole */
    am_data_dense(d, &s, 77, 2, one);
    assert_memory_equal(one, out + 77 * D, sizeof one);
    am_scaler_free(&s);
    assert_int_equal(am_scaler_fit(&s, AM_SCALE_UNIT, d, &st), ALTMIN_OK);
    assert_true(s.factor[0] == (float)(1 / 123456792.0));
    am_scaler_free(&s);
    assert_int_equal(am_scaler_fit(&s, AM_SCALE_NONE, d, &st), ALTMIN_OK);
    am_data_dense(d, &s, 0, N, out);
    assert_memory_equal(out, x, D * N * sizeof *x);
    am_scaler_free(&s);
    altmin_data_free(d);
    memset(x, 0, D * N * sizeof *x);
    d = from_arrays(x, D, N, NULL, 0);
    assert_int_equal(am_scaler_fit(&s, AM_SCALE_UNIT, d, &st), ALTMIN_OK);
    assert_true(s.factor[0] == 1);
    am_scaler_free(&s);
    altmin_data_free(d);
    free(x);
    free(out);
}

static void print_of(char hex[17], const float *x, size_t d, size_t n, const int32_t *label, size_t n_classes)
{
    altmin_data *data = from_arrays(x, d, n, label, n_classes);
    am_data_fingerprint(data, hex);
    altmin_data_free(data);
}

/* Whatever counts changes the fingerprint; the value itself is fixed, on every machine and for all time. */
static void test_fingerprint(void **state)
{
    (void)state;
    static const float x[] = {1, 2, 3, 4, 5, 6}, y[] = {1, 2, 3, 4, 6, 5}, z[] = {1, 2, 3, 4, 5, -6};
    static const int32_t a[] = {0, 1, 0}, b[] = {0, 0, 1};
    char hex[10][17];
    print_of(hex[0], x, 2, 3, NULL, 0);
    print_of(hex[1], x, 3, 2, NULL, 0);
    print_of(hex[2], x, 6, 1, NULL, 0);
    print_of(hex[3], x, 2, 2, NULL, 0);
    print_of(hex[4], y, 2, 3, NULL, 0);
    print_of(hex[5], z, 2, 3, NULL, 0);
    print_of(hex[6], x, 2, 3, a, 2);
    print_of(hex[7], x, 2, 3, b, 2);
    print_of(hex[8], x, 2, 3, a, 3);
    altmin_data *d = NULL;
    assert_int_equal(altmin_data_from_arrays(&d, x, 2, 3, NULL, 0, x, 1, NULL), ALTMIN_OK);
    am_data_fingerprint(d, hex[9]);
    altmin_data_free(d);
    for (int i = 0; i < 10; ++i) {
        assert_int_equal(strlen(hex[i]), 16);
        assert_int_equal(strspn(hex[i], "0123456789abcdef"), 16);
        for (int j = 0; j < i; ++j) assert_string_not_equal(hex[i], hex[j]);
    }
    char again[17];
    print_of(again, x, 2, 3, a, 2);
    assert_string_equal(again, hex[6]);
    d = digits("train");
    am_data_fingerprint(d, again);
    assert_string_equal(again, "33f86ec2c4a1a556");
    altmin_data_free(d);
}

static void test_bytes(void **state)
{
    (void)state;
    altmin_data *d = digits("test");
    assert_int_equal(am_data_bytes(d), 360 * 64 + 360 * 4 + 10 * (sizeof(char *) + 2));
    altmin_data_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digits),        cmocka_unit_test(test_from_arrays),
        cmocka_unit_test(test_map_classes),   cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_is_fair), cmocka_unit_test(test_split_of_rare_classes),
        cmocka_unit_test(test_subset),        cmocka_unit_test(test_scalers),
        cmocka_unit_test(test_fingerprint),   cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
