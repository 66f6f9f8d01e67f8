/* NPY and IDX: files written by numpy (tests/data/npy) and files built here byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "files.h"

#define NPY(name) ALTMIN_TEST_DATA "/npy/" name ".npy"

/* The golden 3 x 4 arrays hold k, k - 5 or k / 2 - 3 at C position k. */
static void check_golden(const char *path, float factor, float shift)
{
    altmin_data *d = open_good(path, NULL);
    assert_int_equal(d->n_samples, 3);
    assert_int_equal(d->n_features, 4);
    for (size_t j = 0; j < 3; ++j)
        for (size_t i = 0; i < 4; ++i) assert_true(feature(d, i, j) == (float)(i + 4 * j) * factor + shift);
    assert_null(d->label);
    assert_null(d->target);
    altmin_data_free(d);
}

static void test_golden_npy(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        float factor, shift;
    } cases[] = {{NPY("f4_C"), .5f, -3}, {NPY("f4_F"), .5f, -3},  {NPY("f8_C"), .5f, -3},
                 {NPY("f8_F"), .5f, -3}, {NPY("u1_C"), 1, 0},     {NPY("u1_F"), 1, 0},
                 {NPY("i4_C"), 1, -5},   {NPY("i4_F"), 1, -5},    {NPY("i8_C"), 1, -5},
                 {NPY("i8_F"), 1, -5},   {NPY("f4_v2"), .5f, -3}, {NPY("f4_v3"), .5f, -3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
        check_golden(cases[i].path, cases[i].factor, cases[i].shift);
    altmin_data *d = open_good(NPY("u1_C"), NULL);
    assert_int_equal(d->storage, AM_STORE_U8);
    altmin_data_free(d);
}

static void test_more_axes_are_flattened_in_c_order(void **state)
{
    (void)state;
    static const char *const paths[] = {NPY("f4_3d_C"), NPY("f4_3d_F"), NPY("u1_3d_F")};
    for (size_t k = 0; k < 3; ++k) {
        altmin_data *d = open_good(paths[k], NULL);
        assert_int_equal(d->n_samples, 2);
        assert_int_equal(d->n_features, 12);
        for (size_t j = 0; j < 2; ++j)
            for (size_t i = 0; i < 12; ++i) assert_true(feature(d, i, j) == (float)(i + 12 * j));
        altmin_data_free(d);
    }
}

static void test_npy_labels(void **state)
{
    (void)state;
    altmin_data *d = open_good(NPY("X"), NULL); /* y.npy lies beside it */
    assert_int_equal(d->n_classes, 2);
    assert_string_equal(d->class_name[0], "-2");
    static const int32_t numbers[] = {1, 0, 1};
    assert_memory_equal(d->label, numbers, sizeof numbers);
    altmin_data_free(d);
    am_read_options opt = am_read_options_default();
    opt.task = 2;
    d = open_good(NPY("X"), &opt);
    assert_null(d->label);
    altmin_data_free(d);
    opt.task = 1;
    d = open_good(NPY("X"), &opt);
    assert_int_equal(d->n_targets, 1);
    assert_true(d->target[1] == -2);
    altmin_data_free(d);
    opt.task = -1;
    opt.labels_path = NPY("labels_f8");
    d = open_good(NPY("f4_C"), &opt);
    assert_int_equal(d->n_targets, 1);
    assert_true(d->target[0] == .5f && d->target[2] == -2);
    altmin_data_free(d);
    opt.labels_path = NPY("labels_2d_F");
    d = open_good(NPY("f4_C"), &opt);
    assert_int_equal(d->n_targets, 2);
    static const float targets[] = {1, 2, 3, 4, 5, 6};
    assert_memory_equal(d->target, targets, sizeof targets);
    altmin_data_free(d);
    opt.task = 0;
    open_bad(NPY("f4_C"), &opt, "one number per sample", "(3, 2)", NULL);
    opt.labels_path = NPY("labels_f8");
    open_bad(NPY("f4_C"), &opt, "label number 1 is 0.5; class labels are whole numbers", NULL);
    opt.labels_path = NPY("f4_3d_C");
    open_bad(NPY("f4_C"), &opt, "does not give a label to each of the 3 samples", NULL);
    opt.labels_path = NPY("there_is_none");
    open_bad(NPY("f4_C"), &opt, "cannot open", "there_is_none", NULL);
}

static void test_npy_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *path, *sentence;
    } cases[] = {
        {NPY("bad_big_endian"), "'>f4' is none of f4, f8, u1, i4, i8 (little-endian); it is big-endian"},
        {NPY("bad_bool"), "its dtype '|b1'"},
        {NPY("bad_f2"), "its dtype '<f2'"},
        {NPY("bad_object"), "Python objects"},
        {NPY("bad_structured"), "structured array"},
        {NPY("bad_text"), "it holds text"},
        {NPY("bad_1d"), "its shape (3,) has no axis of features"},
        {NPY("bad_0d"), "its shape () has no axis of features"},
        {NPY("bad_empty"), "no samples"},
        {NPY("bad_no_features"), "no features"},
        {NPY("bad_nan"), "sample 2, feature 2 (counted from 1) is not a finite"},
        {NPY("bad_overflow"), "sample 2, feature 1 (counted from 1) is not a finite"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
        open_bad(cases[i].path, NULL, cases[i].sentence, NULL);
}

/* An NPY file with a header of our own: version 1, the dict as given, n_bytes of zeros behind it. */
static const char *npy_file(const char *dict, size_t n_bytes)
{
    static unsigned char bytes[4096];
    size_t n = strlen(dict);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, "\x93NUMPY\1\0", 8);
    bytes[8] = (unsigned char)n;
    memcpy(bytes + 10, dict, n);
    return file_write("made.npy", bytes, 10 + n + n_bytes);
}

static void test_npy_headers(void **state)
{
    (void)state;
    static const struct {
        const char *dict, *sentence; /* NULL: good */
    } cases[] = {
        {"{'descr':'<f4','fortran_order':False,'shape':(2,2)}", NULL}, /* data at an odd offset */
        {"{\"shape\": (2, 2,), \"fortran_order\": True, \"descr\": \"<f4\", }  \n", NULL},
        {"{'descr':'<f4','fortran_order':False,'shape':(2,3)}",
         "its shape (2, 3) needs 24 bytes of data, 16 are there"},
        {"{'descr':'<f4','fortran_order':False,'shape':(2,1)}", "needs 8 bytes of data, 16 are there"},
        {"{'descr':'<f4','fortran_order':False,'shape':(4294967296,4294967296)}", "overflows"},
        {"{'descr':'<f8','fortran_order':False,'shape':(4294967296,1073741824)}", "overflows"},
        {"{'descr':'<f4','fortran_order':False,'shape':(99999999999999999999,2)}", "overflows"},
        {"{'descr':'<f4','fortran_order':False,'shape':(-2,2)}", "malformed"},
        {"{'descr':'<f4','fortran_order':False,'shape':(2 2)}", "malformed"},
        {"{'descr':'<f4','fortran_order':False,'shape':(2,2}", "malformed"},
        {"{'descr':'<f4','fortran_order':0,'shape':(2,2)}", "neither True nor False"},
        {"{'descr':'<f4','fortran_order':False}", "missing"},
        {"{'descr':'<f4','descr':'<f4','fortran_order':False,'shape':(2,2)}", "occurs twice"},
        {"{'descr':'<f4','fortran_order':False,'shape':(2,2),'x':1}", "unknown"},
        {"{'descr':'<f4','fortran_order':False,'shape':(2,2)} x", "text follows"},
        {"{'descr':'<f4' 'fortran_order':False,'shape':(2,2)}", "a comma is missing"},
        {"{'descr':'<f4", "malformed"},
        {"", "malformed"},
        {"{'descr':'','fortran_order':False,'shape':(2,2)}", "its dtype ''"},
        {"{'descr':'<f4','fortran_order':False,'shape':(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
         "1,1,1,1,1,1,"
         "1)}",
         "32 dimensions"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        const char *path = npy_file(cases[i].dict, 16);
        if (cases[i].sentence) {
            open_bad(path, NULL, cases[i].sentence, NULL);
        } else {
            altmin_data *d = open_good(path, NULL);
            assert_int_equal(d->n_samples * d->n_features, 4);
            altmin_data_free(d);
        }
    }
    open_bad(file_write("made.npy", "\x93NUMPY\4\0\0\0\0\0", 12), NULL, "NPY version 4.0 is unknown", NULL);
    open_bad(file_write("made.npy", "\x93NUMPY\1\0\xff\xff{", 11), NULL, "ends inside its NPY header", NULL);
    open_bad(file_write("made.npy", "\x93NUMPY", 6), NULL, "does not begin as an NPY file", NULL);
    open_bad(file_write("made.npy", "hello there", 11), NULL, "does not begin as an NPY file", NULL);
}

/* ---- IDX ---- */

static size_t put_header(unsigned char *out, unsigned type, unsigned rank, const uint32_t *dim)
{
    size_t n = 0;
    out[n++] = 0;
    out[n++] = 0;
    out[n++] = (unsigned char)type;
    out[n++] = (unsigned char)rank;
    for (unsigned k = 0; k < rank; ++k)
        for (int shift = 24; shift >= 0; shift -= 8) out[n++] = (unsigned char)(dim[k] >> shift);
    return n;
}

static const uint32_t images_dim[] = {3, 2, 2}, labels_dim[] = {3};

/* The four standard files: pixel k of the train images is k, of the test images 100 + k. */
static void write_folder(const char *prefix, int packed)
{
    unsigned char bytes[64];
    char name[100];
    static const char *const part[] = {"train", "t10k"};
    for (int t = 0; t < 2; ++t) {
        size_t n = put_header(bytes, 8, 3, images_dim);
        for (int k = 0; k < 12; ++k) bytes[n++] = (unsigned char)(100 * t + k);
        snprintf(name, sizeof name, "%s/%s-images-idx3-ubyte%s", prefix, part[t], packed ? ".gz" : "");
        packed ? file_gzip(name, bytes, n) : file_write(name, bytes, n);
        n = put_header(bytes, 8, 1, labels_dim);
        for (int k = 0; k < 3; ++k) bytes[n++] = (unsigned char)(5 * (k % 2));
        snprintf(name, sizeof name, "%s/%s-labels-idx1-ubyte%s", prefix, part[t], packed ? ".gz" : "");
        packed ? file_gzip(name, bytes, n) : file_write(name, bytes, n);
    }
}

static void check_part(const char *source, const char *part, unsigned first_pixel)
{
    altmin_data *d = NULL;
    altmin_status st = {0};
    am_read_options opt = am_read_options_default();
    if (am_data_open(&d, source, part, &opt, &st)) fail_msg("%s", st.message);
    assert_int_equal(d->n_samples, 3);
    assert_int_equal(d->n_features, 4);
    assert_int_equal(d->storage, AM_STORE_U8);
    for (size_t k = 0; k < 12; ++k) assert_int_equal(d->u8[k], first_pixel + k);
    assert_int_equal(d->n_classes, 2);
    assert_string_equal(d->class_name[1], "5");
    static const int32_t numbers[] = {0, 1, 0};
    assert_memory_equal(d->label, numbers, sizeof numbers);
    altmin_data_free(d);
}

static void test_idx_folders(void **state)
{
    (void)state;
    static const char *const names[] = {"plain", "mnist"};
    for (int packed = 0; packed < 2; ++packed) {
        const char *folder = file_path(names[packed]);
        assert_int_equal(mkdir(folder, 0700), 0);
        write_folder(names[packed], packed);
        check_part(folder, "train", 0);
        check_part(folder, "test", 100);
        assert_true(am_data_has_part(folder, "train") && am_data_has_part(folder, "test"));
    }
    /* A single file finds its labels; it has no test part. */
    const char *single = file_path("plain/t10k-images-idx3-ubyte");
    check_part(single, "train", 100);
    assert_false(am_data_has_part(single, "test"));
    altmin_data *d = NULL;
    altmin_status st = {0};
    am_read_options opt = am_read_options_default();
    assert_int_equal(am_data_open(&d, single, "test", &opt, &st), ALTMIN_ERR_USAGE);
    assert_non_null(strstr(st.message, "is a single file and has no test part"));
    /* The same by a set's name. */
    setenv("ALTMIN_DATA", file_path(""), 1);
    check_part("mnist", "test", 100);
    assert_true(am_data_has_part("mnist", "test"));
    unsetenv("ALTMIN_DATA");
}

static void test_missing_sets(void **state)
{
    (void)state;
    setenv("ALTMIN_DATA", "/no/such/folder", 1);
    setenv("HOME", "/no/such/home", 1);
    if (!am_data_has_part("mnist", "train"))
        open_bad(
            "mnist", NULL,
            "looked in /no/such/folder/mnist, /usr/share/datasets/mnist, /no/such/home/.cache/altmin/mnist",
            "./data/mnist", "four IDX files", NULL);
    if (!am_data_has_part("fashion-mnist", "train"))
        open_bad("fashion-mnist", NULL, "apt-get install dataset-fashion-mnist", NULL);
    unsetenv("ALTMIN_DATA");
    open_bad("fashon-mnist", NULL, "neither a file, nor a folder, nor one of the named sets", NULL);
    open_bad(file_path(""), NULL, "has no train data", "four standard IDX files", NULL);
    open_bad("./no/such/file.csv", NULL, "cannot open './no/such/file.csv'", NULL);
}

static void test_idx_types(void **state)
{
    (void)state;
    static const struct {
        unsigned type;
        unsigned char bytes[16];
        size_t n;
        float first, second;
    } cases[] = {{0x09, {0xFF, 5}, 2, -1, 5},
                 {0x0B, {0xFF, 0xFE, 1, 0}, 4, -2, 256},
                 {0x0C, {0xFF, 0xFF, 0xFF, 0xFD, 0, 1, 0, 0}, 8, -3, 65536},
                 {0x0D, {0x3F, 0x80, 0, 0, 0xC0, 0x20, 0, 0}, 8, 1, -2.5f},
                 {0x0E, {0x3F, 0xF0, 0, 0, 0, 0, 0, 0, 0xC0, 4, 0, 0, 0, 0, 0, 0}, 16, 1, -2.5f}};
    static const uint32_t dim[] = {2, 1};
    unsigned char bytes[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        size_t n = put_header(bytes, cases[i].type, 2, dim);
        memcpy(bytes + n, cases[i].bytes, cases[i].n);
        altmin_data *d = open_good(file_write("types.idx", bytes, n + cases[i].n), NULL);
        assert_int_equal(d->storage, AM_STORE_F32);
        assert_true(d->f32[0] == cases[i].first && d->f32[1] == cases[i].second);
        altmin_data_free(d);
    }
}

static void test_idx_refusals(void **state)
{
    (void)state;
    static const uint32_t huge[] = {0xFFFFFFFFu, 0xFFFFFFFFu, 0xFFFFFFFFu}, none[] = {0, 2}, flat[] = {2, 0};
    unsigned char bytes[64];
    size_t n = put_header(bytes, 8, 3, images_dim);
    memset(bytes + n, 7, 20);
    open_bad(file_write("b.idx", bytes, n + 11), NULL,
             "promises 12 bytes of data (3 samples of 4 values), 11 are there", "cut off", NULL);
    open_bad(file_write("b.idx", bytes, n + 13), NULL, "promises 12 bytes of data", "13 are there", NULL);
    open_bad(file_write("b.idx", bytes, 9), NULL, "ends inside its IDX header, after 9 bytes", NULL);
    n = put_header(bytes, 8, 3, huge);
    open_bad(file_write("b.idx", bytes, n + 11), NULL, "overflow", NULL);
    n = put_header(bytes, 8, 2, huge);
    open_bad(file_write("b.idx", bytes, n + 11), NULL, "promises", NULL);
    n = put_header(bytes, 8, 2, none);
    open_bad(file_write("b.idx", bytes, n), NULL, "no samples", NULL);
    n = put_header(bytes, 8, 2, flat);
    open_bad(file_write("b.idx", bytes, n), NULL, "no features", NULL);
    n = put_header(bytes, 0x0A, 2, flat);
    open_bad(file_write("b.idx", bytes, n), NULL, "element type 0x0a is unknown", NULL);
    n = put_header(bytes, 8, 1, labels_dim);
    open_bad(file_write("b.idx", bytes, n + 3), NULL, "it holds labels; give the file of the samples", NULL);
    open_bad(file_write("b.idx", "abcd", 4), NULL, "begins with two zero bytes", NULL);
    n = put_header(bytes, 0x0D, 2, (const uint32_t[]){1, 2});
    memcpy(bytes + n, "\x3F\x80\0\0\x7F\xC0\0\0", 8);
    open_bad(file_write("b.idx", bytes, n + 8), NULL, "sample 1, feature 2 (counted from 1) is not a finite",
             NULL);
}

static void test_idx_labels_must_fit(void **state)
{
    (void)state;
    unsigned char bytes[64];
    am_read_options opt = am_read_options_default();
    size_t n = put_header(bytes, 8, 1, (const uint32_t[]){2});
    opt.labels_path = file_write("two.idx", bytes, n + 2);
    n = put_header(bytes, 8, 3, images_dim);
    const char *images = file_write("three.idx", bytes, n + 12);
    open_bad(images, &opt, "two.idx", "holds 2 labels for the 3 samples", NULL);
    opt.labels_path = images;
    open_bad(images, &opt, "labels have one dimension, this file has 3", NULL);
    opt.labels_path = file_text("words.txt", "1\n2\n3\n");
    open_bad(images, &opt, "it is neither IDX nor NPY", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_npy),   cmocka_unit_test(test_more_axes_are_flattened_in_c_order),
        cmocka_unit_test(test_npy_labels),   cmocka_unit_test(test_npy_refusals),
        cmocka_unit_test(test_npy_headers),  cmocka_unit_test(test_idx_folders),
        cmocka_unit_test(test_missing_sets), cmocka_unit_test(test_idx_types),
        cmocka_unit_test(test_idx_refusals), cmocka_unit_test(test_idx_labels_must_fit),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
