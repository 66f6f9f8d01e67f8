/* CSV and TSV: what is read, and that every refusal names line and column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "files.h"

static am_read_options with_label(const char *column)
{
    am_read_options opt = am_read_options_default();
    opt.label_column = column;
    return opt;
}

static void test_plain(void **state)
{
    (void)state;
    altmin_data *d = open_good(file_text("a.csv", "1,2.5,0\n-3e-1, 4 ,1\n.5,6.,0"), NULL);
    assert_int_equal(d->n_samples, 3);
    assert_int_equal(d->n_features, 2);
    assert_int_equal(d->storage, AM_STORE_F32);
    static const float wanted[] = {1, 2.5f, -.3f, 4, .5f, 6};
    assert_memory_equal(d->f32, wanted, sizeof wanted);
    assert_int_equal(d->n_classes, 2);
    assert_string_equal(d->class_name[1], "1");
    assert_int_equal(d->label[1], 1);
    assert_null(d->feature_name);
    assert_null(d->target);
    altmin_data_free(d);
}

static void test_wine_quality(void **state)
{
    (void)state;
    altmin_data *d = open_good(ALTMIN_TEST_DATA "/csv/winequality-red-20.csv", NULL);
    assert_int_equal(d->n_samples, 20);
    assert_int_equal(d->n_features, 11);
    assert_string_equal(d->feature_name[0], "fixed acidity");
    assert_string_equal(d->feature_name[10], "alcohol");
    assert_int_equal(d->n_classes, 4);
    assert_string_equal(d->class_name[0], "4");
    assert_string_equal(d->class_name[3], "7");
    assert_true(feature(d, 7, 0) == .9978f);
    altmin_data_free(d);
    am_read_options opt = with_label("pH");
    d = open_good(ALTMIN_TEST_DATA "/csv/winequality-red-20.csv", &opt);
    assert_int_equal(d->n_targets, 1);
    assert_true(d->target[0] == 3.51f);
    assert_string_equal(d->feature_name[8], "sulphates");
    altmin_data_free(d);
}

static void test_quoted_fields(void **state)
{
    (void)state;
    altmin_data *d =
        open_good(file_text("q.csv", "\"a, \"\"first\"\"\",\"b\nsecond\",class\r\n"
                                     "\"1.5\",2,\"x, \"\"y\"\"\nz\"\r\n 3 , \"4\" ,\" plain\"\r\n"),
                  NULL);
    assert_int_equal(d->n_samples, 2);
    assert_string_equal(d->feature_name[0], "a, \"first\"");
    assert_string_equal(d->feature_name[1], "b\nsecond");
    assert_string_equal(d->class_name[0], " plain");
    assert_string_equal(d->class_name[1], "x, \"y\"\nz");
    assert_int_equal(d->label[0], 1);
    assert_true(feature(d, 0, 0) == 1.5f && feature(d, 1, 1) == 4);
    altmin_data_free(d);
    /* Lines are counted inside quotes, too. */
    open_bad(file_text("q.csv", "a,b,c\n1,2,\"x\ny\nz\"\n1,abc,w\n"), NULL,
             "line 5, column 2: 'abc' is not a number", "'b'", NULL);
}

static void test_separators_and_line_ends(void **state)
{
    (void)state;
    static const char *const texts[] = {"x;y;c\n1.5;2;0\n3;4;1\n",
                                        "x\ty\tc\n1.5\t2\t0\n3\t4\t1\n",
                                        "x,y,c\r\n1.5,2,0\r\n3,4,1\r\n",
                                        "\xEF\xBB\xBFx,y,c\n1.5,2,0\n3,4,1",
                                        "\n\nx,y,c\n\n1.5,2,0\r\n\r\n3,4,1\n\n\n",
                                        "x,\"y;y;y\",c\n1.5,2,0\n3,4,1\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
        altmin_data *d = open_good(file_text("s.csv", texts[i]), NULL);
        assert_int_equal(d->n_samples, 2);
        assert_int_equal(d->n_features, 2);
        assert_string_equal(d->feature_name[0], "x");
        assert_true(feature(d, 0, 0) == 1.5f && feature(d, 1, 1) == 4);
        assert_int_equal(d->n_classes, 2);
        altmin_data_free(d);
    }
}

static void test_header_detection(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n_samples;
    } cases[] = {
        {"a,b,c\n1,2,0\n", 1},     /* words */
        {"1,2,0\n3,4,1\n", 2},     /* numbers */
        {"1,2,cat\n3,4,dog\n", 2}, /* text labels make no header */
        {"0,1,label\n3,4,0\n", 1}, /* numbered columns: the label's name gives it away */
        {",b,c\n1,2,0\n", 1},      /* an index column without a name */
        {"a,b,0\n1,2,0\n", 1},     {"3,4,label\n3,4,0\n", 2}, /* numbers that count no columns */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        altmin_data *d = open_good(file_text("h.csv", cases[i].text), NULL);
        if (d->n_samples != cases[i].n_samples) fail_msg("'%s': %zu samples", cases[i].text, d->n_samples);
        assert_int_equal(d->feature_name != NULL, cases[i].n_samples == 1);
        altmin_data_free(d);
    }
    am_read_options opt = am_read_options_default();
    opt.header = 1;
    altmin_data *d = open_good(file_text("h.csv", "1,2,3\n4,5,0\n"), &opt);
    assert_int_equal(d->n_samples, 1);
    assert_string_equal(d->feature_name[1], "2");
    altmin_data_free(d);
    opt.header = 0;
    open_bad(file_text("h.csv", "a,b,c\n1,2,0\n"), &opt, "line 1, column 1: 'a' is not a number", NULL);
    /* Half words, half numbers: data with a bad value, not a header to be dropped silently. */
    open_bad(file_text("h.csv", "1,b,c\n1,2,c\n"), NULL, "line 1, column 2: 'b' is not a number",
             "if this line is a header, set header to yes", NULL);
}

static void test_label_column(void **state)
{
    (void)state;
    static const struct {
        const char *column;
        float first;
        int32_t label;
    } cases[] = {{"k", 2, 1}, {"0", 2, 1}, {"-3", 2, 1}, {"1", 7, 0}, {"-1", 7, 1}, {"z", 7, 1}};
    const char *path = file_text("l.csv", "k,m,z\n7,2,9\n3,4,5\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        am_read_options opt = with_label(cases[i].column);
        altmin_data *d = open_good(path, &opt);
        assert_int_equal(d->n_features, 2);
        assert_true(feature(d, 0, 0) == cases[i].first);
        assert_int_equal(d->label[0], cases[i].label);
        altmin_data_free(d);
    }
    am_read_options opt = with_label("none");
    altmin_data *d = open_good(path, &opt);
    assert_int_equal(d->n_features, 3);
    assert_null(d->label);
    altmin_data_free(d);
    opt = with_label("3");
    open_bad(path, &opt, "label column 3 does not exist", "3 columns", NULL);
    opt = with_label("-4");
    open_bad(path, &opt, "label column -4 does not exist", NULL);
    opt = with_label("quality");
    open_bad(path, &opt, "no column is named 'quality'", "'k', 'm', 'z'", NULL);
    opt = with_label("k");
    open_bad(file_text("l.csv", "k,k,z\n7,2,9\n"), &opt, "2 columns are named 'k'", NULL);
    /* An index, though the first line of data holds that number twice. */
    opt = with_label("0");
    d = open_good(file_text("l.csv", "0,0,9\n3,4,5\n"), &opt);
    assert_int_equal(d->n_samples, 2);
    altmin_data_free(d);
}

static void test_tasks(void **state)
{
    (void)state;
    am_read_options opt = am_read_options_default();
    altmin_data *d = open_good(file_text("t.csv", "1,0.5\n2,1\n"), NULL);
    assert_int_equal(d->n_targets, 1);
    assert_int_equal(d->n_classes, 0);
    assert_true(d->target[0] == .5f && d->target[1] == 1);
    altmin_data_free(d);
    opt.task = 1;
    d = open_good(file_text("t.csv", "1,5\n2,1\n"), &opt);
    assert_true(d->target[0] == 5);
    altmin_data_free(d);
    open_bad(file_text("t.csv", "1,5\n2,x\n"), &opt, "line 2, column 2: 'x' is not a number", NULL);
    opt.task = 0;
    d = open_good(file_text("t.csv", "1,2.0\n2,1.0\n3,2\n4,1.5\n"), &opt);
    assert_int_equal(d->n_classes, 3);
    assert_string_equal(d->class_name[0], "1");
    assert_string_equal(d->class_name[1], "1.5");
    assert_string_equal(d->class_name[2], "2");
    assert_int_equal(d->label[0], d->label[2]);
    altmin_data_free(d);
    opt.task = 2;
    d = open_good(file_text("t.csv", "1,2\n2,1\n"), &opt);
    assert_int_equal(d->n_features, 2);
    assert_null(d->label);
    assert_null(d->target);
    altmin_data_free(d);
    opt.label_column = "-1";
    d = open_good(file_text("t.csv", "1,x\n2,\n"), &opt);
    assert_int_equal(d->n_features, 1);
    assert_null(d->label);
    altmin_data_free(d);
}

static void test_class_order(void **state)
{
    (void)state;
    altmin_data *d = open_good(file_text("c.csv", "1,10\n1,9\n1,-1\n1,+9\n1,009\n"), NULL);
    assert_int_equal(d->n_classes, 3);
    assert_string_equal(d->class_name[0], "-1");
    assert_string_equal(d->class_name[1], "9");
    assert_string_equal(d->class_name[2], "10");
    static const int32_t numbers[] = {2, 1, 0, 1, 1};
    assert_memory_equal(d->label, numbers, sizeof numbers);
    altmin_data_free(d);
    d = open_good(file_text("c.csv", "1,b\n1,10\n1,\xC3\xA9\n1,9\n1,NA\n"), NULL);
    assert_int_equal(d->n_classes, 5);
    assert_string_equal(d->class_name[0], "10");
    assert_string_equal(d->class_name[1], "9");
    assert_string_equal(d->class_name[2], "NA");
    assert_string_equal(d->class_name[3], "b");
    altmin_data_free(d);
}

static void test_many_labels(void **state)
{
    (void)state;
    enum { N = 1500 };
    char *text = malloc(N * 20), *p = text;
    assert_non_null(text);
    for (int i = 0; i < N; ++i) p += sprintf(p, "%d,%d\n", i, i * 7);
    altmin_data *d = open_good(file_text("m.csv", text), NULL);
    assert_int_equal(d->n_targets, 1); /* more than 1000 distinct integers: values */
    assert_true(d->target[1499] == 1499 * 7);
    altmin_data_free(d);
    am_read_options opt = am_read_options_default();
    opt.task = 0;
    d = open_good(file_text("m.csv", text), &opt);
    assert_int_equal(d->n_classes, N);
    assert_int_equal(d->label[1234], 1234);
    altmin_data_free(d);
    p = text;
    for (int i = 0; i < N; ++i) p += sprintf(p, "%d,id%d\n", i, i);
    open_bad(file_text("m.csv", text), NULL, "line 1001, column 2", "'id1000'", "identifier", NULL);
    free(text);
}

static void test_prescribed_classes(void **state)
{
    (void)state;
    char a[] = "a", b[] = "b", three[] = "3";
    char *names[] = {b, a, three};
    am_read_options opt = am_read_options_default();
    opt.class_name = names;
    opt.n_classes = 3;
    altmin_data *d = open_good(file_text("p.csv", "1,a\n2,3.0\n3,b"), &opt);
    static const int32_t numbers[] = {1, 2, 0};
    assert_memory_equal(d->label, numbers, sizeof numbers);
    assert_int_equal(d->n_classes, 3);
    assert_string_equal(d->class_name[0], "b");
    altmin_data_free(d);
    open_bad(file_text("p.csv", "1,a\n2,zebra\n"), &opt, "line 2, column 2: label 'zebra'", "3 known classes",
             "'b', 'a', '3'", NULL);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "it is empty"},
        {"\n\n\r\n", "only blank lines"},
        {"a,b,c\n", "no samples"},
        {"5\n6\n", "no features"},
        {"1,2,0\n1,,0\n", "line 2, column 2: the value is missing"},
        {"1,2,0\n1,?,0\n", "line 2, column 2: the value is missing ('?')"},
        {"1,2,0\n1,NA,0\n", "line 2, column 2: the value is missing ('NA')"},
        {"1,2,0\n1,2,\n", "line 2, column 3: the label is missing"},
        {"1,2,0\n1,2,?\n", "line 2, column 3: the label is missing ('?')"},
        {"1,2,0\n1,2,NA\n3,4,1\n", "line 2, column 3: the label is missing ('NA')"},
        {"1,2,0\n1,nan,0\n", "line 2, column 2: 'nan' is not finite"},
        {"1,2,0\n1,-inf,0\n", "line 2, column 2: '-inf' is not finite"},
        {"1,2,0\n1,2,nan\n", "line 2, column 3: 'nan' is not finite"},
        {"1,2,0\n1,1e39,0\n", "line 2, column 2: '1e39' is too large for a 32-bit float"},
        {"1,2,0\n1,0\n", "line 2 has 2 fields, the first line has 3"},
        {"1,2,0\n1,2,3,0\n", "line 2 has at least 4 fields, the first line has 3"},
        {"1,2,0\n\"1,2,0\n", "line 2, column 1: the quote that begins here is never closed"},
        {"1,2,0\n\"1\"x,2,0\n", "line 2, column 1: text follows the closing quote of '1'"},
        {"1,2,0\n1,red,0\n", "line 2, column 2: 'red' is not a number"},
        {"a;b;c\n1,5;2;0\n", "line 2, column 1: '1,5' is not a number; a decimal comma cannot be read"},
        {"1,2,0.5\n1,2,x\n", "line 2, column 3: 'x' is not a number"},
        {"1,7,x\n1,2,0.5\n", "line 2, column 3: label '0.5' is a real number but labels before it are words"},
        {"1,2,\xE9t\xE9\n", "line 1, column 3: the label '\\xe9t\\xe9' is not UTF-8"},
        {"\xFF\xFE"
         "1,2",
         "UTF-16"},
        {"PK\3\4zip", "zip archive"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
        open_bad(file_text("bad.csv", cases[i].text), NULL, cases[i].sentence, NULL);
    /* NA among words is a class, and a missing label when numbers turn out to be all there is. */
    open_bad(file_text("bad.csv", "1,NA\n2,0.5\n"), NULL, "line 1, column 2: the label is missing", NULL);
}

static void test_gzip_and_streams(void **state)
{
    (void)state;
    static const char text[] = "x,y,c\n1.5,2,0\n3,4,1\n";
    altmin_data *plain = open_good(file_text("g.csv", text), NULL);
    altmin_data *packed = open_good(file_gzip("g.csv.gz", text, sizeof text - 1), NULL);
    char a[17], b[17];
    am_data_fingerprint(plain, a);
    am_data_fingerprint(packed, b);
    assert_string_equal(a, b);
    altmin_data_free(packed);
    altmin_data *streamed = NULL;
    altmin_status st = {0};
    am_read_options opt = am_read_options_default();
    FILE *f = popen("printf 'x,y,c\\n1.5,2,0\\n3,4,1\\n'", "r");
    assert_non_null(f);
    assert_int_equal(am_data_open_stream(&streamed, f, "a pipe", &opt, &st), ALTMIN_OK);
    pclose(f);
    am_data_fingerprint(streamed, b);
    assert_string_equal(a, b);
    altmin_data_free(streamed);
    altmin_data_free(plain);
    f = popen("printf '1,2\\n1,x,y\\n'", "r");
    assert_int_not_equal(am_data_open_stream(&streamed, f, "a pipe", &opt, &st), ALTMIN_OK);
    pclose(f);
    assert_non_null(strstr(st.message, "cannot read 'a pipe': line 2 has at least 3 fields"));
}

/* Many rows and a text longer than every first allocation: growth keeps what was read. */
static void test_large(void **state)
{
    (void)state;
    enum { N = 20000, D = 7 };
    char *text = malloc(N * (D + 1) * 8), *p = text;
    assert_non_null(text);
    for (int j = 0; j < N; ++j) {
        for (int i = 0; i < D; ++i) p += sprintf(p, "%d,", (j * 31 + i * 7) % 9973);
        p += sprintf(p, "%d\n", j % 17);
    }
    altmin_data *d = open_good(file_text("big.csv", text), NULL);
    assert_int_equal(d->n_samples, N);
    assert_int_equal(d->n_classes, 17);
    for (size_t j = 0; j < N; ++j) {
        assert_int_equal(d->label[j], j % 17);
        for (size_t i = 0; i < D; ++i) assert_true(d->f32[i + j * D] == (float)((j * 31 + i * 7) % 9973));
    }
    altmin_data_free(d);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_wine_quality),
        cmocka_unit_test(test_quoted_fields),
        cmocka_unit_test(test_separators_and_line_ends),
        cmocka_unit_test(test_header_detection),
        cmocka_unit_test(test_label_column),
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_class_order),
        cmocka_unit_test(test_many_labels),
        cmocka_unit_test(test_prescribed_classes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_gzip_and_streams),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
