/* LIBSVM text: what is read, sparse or dense, and that every refusal names its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "files.h"

static void check_sparse(const altmin_data *d)
{
    static const size_t start[] = {0, 2, 3, 3, 4};
    static const int32_t row[] = {0, 8, 2, 9};
    static const float value[] = {.5f, -2, 100, 7};
    assert_int_equal(d->storage, AM_STORE_SPARSE);
    assert_int_equal(d->n_samples, 4);
    assert_int_equal(d->n_features, 10);
    assert_int_equal(d->sparse.rows, 10);
    assert_int_equal(d->sparse.cols, 4);
    assert_memory_equal(d->sparse.start, start, sizeof start);
    assert_memory_equal(d->sparse.row, row, sizeof row);
    assert_memory_equal(d->sparse.value, value, sizeof value);
}

static const char good[] = "# a comment\n+1 1:0.5 9:-2 # more\n\n-1\t3:1e2 \r\n1\n1 4:0 10:7";

static void test_values(void **state)
{
    (void)state;
    altmin_data *d = open_good(file_text("b.svm", good), NULL);
    static const int32_t label[] = {1, 0, 1, 1};
    check_sparse(d);
    assert_int_equal(d->n_classes, 2);
    assert_string_equal(d->class_name[0], "-1");
    assert_string_equal(d->class_name[1], "1");
    assert_memory_equal(d->label, label, sizeof label);
    altmin_data_free(d);
    d = open_good(file_gzip("b.txt.gz", good, sizeof good - 1), NULL); /* known by its content */
    check_sparse(d);
    altmin_data_free(d);
}

static void test_dense_when_smaller(void **state)
{
    (void)state;
    altmin_data *d = open_good(file_text("c.svm", "1.5 1:1 2:2 3:3\n-2 2:5\n"), NULL);
    assert_int_equal(d->storage, AM_STORE_F32);
    static const float x[] = {1, 2, 3, 0, 5, 0};
    assert_memory_equal(d->f32, x, sizeof x);
    assert_int_equal(d->n_targets, 1);
    assert_true(d->target[0] == 1.5f && d->target[1] == -2);
    altmin_data_free(d);
}

static void test_options(void **state)
{
    (void)state;
    am_read_options opt = am_read_options_default();
    opt.n_features = 20;
    altmin_data *d = open_good(file_text("d.svm", good), &opt);
    assert_int_equal(d->n_features, 20);
    assert_int_equal(d->sparse.rows, 20);
    altmin_data_free(d);
    opt.n_features = 9;
    open_bad(file_text("d.svm", good), &opt, "line 6: '10:7': only 9 features are expected", NULL);
    opt.n_features = 0;
    opt.task = 2;
    d = open_good(file_text("d.svm", good), &opt);
    check_sparse(d);
    assert_null(d->label);
    altmin_data_free(d);
    d = open_good(file_text("d.svm", "1:1 2:2\n7 1:3\n"),
                  &opt); /* labels may be absent when none is wanted */
    assert_int_equal(d->n_samples, 2);
    assert_null(d->label);
    altmin_data_free(d);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"1 1:1\n1 0:1\n", "line 2: '0:1': indices count from 1"},
        {"1 1:1\n1 -3:1\n", "line 2: '-3:1': indices count from 1"},
        {"1 1:1\n1 3:1 2:1\n", "line 2: '2:1': indices must ascend"},
        {"1 1:1\n1 3:1 3:1\n", "line 2: '3:1': this index occurs twice"},
        {"1 1:1\n1 2147483648:1\n", "line 2: '2147483648:1': the largest index"},
        {"1 1:1\n1 99999999999999999999:1\n", "line 2: '99999999999999999999:1' is not of the form"},
        {"1 1:1\n1 1:abc\n", "line 2, index 1: 'abc' is not a number"},
        {"1 1:1\n1 1:\n", "line 2, index 1: the value is missing"},
        {"1 1:1\n1 1:nan\n", "line 2, index 1: 'nan' is not finite"},
        {"1 1:1\n1 1:1e99\n", "line 2, index 1: '1e99' is too large"},
        {"1 1:1\n1 5\n", "line 2: '5' is not of the form index:value"},
        {"1 1:1\n1 : 5\n", "line 2: ':' is not of the form index:value; the index is not a number"},
        {"1 1:1\n2 qid:3 1:1\n", "line 2: 'qid:3' is not of the form index:value; ranking data"},
        {"1 1:1\n1:1 2:1\n", "line 2: '1:1' stands where the label should be"},
        {"1 1:1\n1,2 2:1\n", "line 2: '1,2' lists several labels"},
        {"1 1:1\n? 2:1\n", "line 2: the label is missing"},
        {"1 1:1\ninf 2:1\n", "line 2: 'inf' is not finite"},
        {"1\n0\n", "no features"},
        {"# nothing\n", "no samples"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
        open_bad(file_text("bad.svm", cases[i].text), NULL, cases[i].sentence, NULL);
}

/* The subset and the dense form of a sparse set, through every sample. */
static void test_subset_and_dense(void **state)
{
    (void)state;
    altmin_data *d = open_good(file_text("e.svm", good), NULL), *s = NULL;
    static const size_t index[] = {3, 2, 0, 0};
    altmin_status st = {0};
    assert_int_equal(am_data_subset(&s, d, index, 4, &st), ALTMIN_OK);
    assert_int_equal(s->storage, AM_STORE_SPARSE);
    for (size_t j = 0; j < 4; ++j) {
        assert_int_equal(s->label[j], d->label[index[j]]);
        for (size_t i = 0; i < 10; ++i) assert_true(feature(s, i, j) == feature(d, i, index[j]));
    }
    assert_true(feature(s, 9, 0) == 7 && feature(s, 3, 0) == 0 && feature(s, 8, 2) == -2);
    am_scaler scaler;
    assert_int_equal(am_scaler_fit(&scaler, AM_SCALE_UNIT, d, &st), ALTMIN_OK);
    assert_true(scaler.factor[0] == .01f);
    am_scaler_free(&scaler);
    assert_int_equal(am_scaler_fit(&scaler, AM_SCALE_AUTO, d, &st), ALTMIN_OK);
    assert_int_equal(scaler.kind, AM_SCALE_NONE);
    am_scaler_free(&scaler);
    assert_int_equal(am_scaler_fit(&scaler, AM_SCALE_STANDARDISE, d, &st), ALTMIN_ERR_DATA);
    assert_non_null(strstr(st.message, "sparse"));
    altmin_data_free(s);
    altmin_data_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),           cmocka_unit_test(test_dense_when_smaller),
        cmocka_unit_test(test_options),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_subset_and_dense),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
