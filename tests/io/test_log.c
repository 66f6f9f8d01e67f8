/* The run log: the names it promises, lines that parse, null where a number is not finite, and failed writes.
 * The run is made up here, so that every field can be compared. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/io/json.h"
#include "host/train/log.h"

enum { n_lines = 4, n_layers = 3 };

static const size_t widths[n_layers + 1] = {64, 100, 50, 10};
static const char *const forms[n_layers] = {"sample", "normal", "normal"};
static const am_plan_row plan[] = {{"z", 4000}, {"train \"data\"", 123456789012}};
static const am_op_time ops[] = {{"gemm", 12, 0.25, 1e12, 3e9}, {"map", 3, 0.125, 5e6, 4.5e6}};

static am_run_info make_info(const altmin_settings *settings, size_t n_classes)
{
    am_run_info info = {
        .settings = settings,
        .method = "mdlam",
        .backend = "cpu",
        .backend_detail = "OpenBLAS, 2 threads",
        .loss = "cross-entropy",
        .activation = "relu",
        .scaling = "unit",
        .n_threads = 2,
        .n_layers = n_layers,
        .width = widths,
        .form = forms,
        .n_parameters = 12060,
        .n_train = 1500,
        .n_valid = 97,
        .n_test = 200,
        .n_classes = n_classes,
        .train_source = "digits\n\"quoted\" \xff",
        .test_source = "t.csv",
        .plan = plan,
        .n_plan = sizeof plan / sizeof plan[0],
        .plan_bytes = 123456793012,
    };
    strcpy(info.train_fingerprint, "0123456789abcdef");
    strcpy(info.test_fingerprint, "fedcba9876543210");
    return info;
}

static altmin_sweep_report make_report(size_t sweep, int evaluated)
{
    return (altmin_sweep_report){
        .sweep = sweep,
        .time_s = 0.0123456789 * (double)sweep,
        .objective = 1234.5678901234,
        .feasibility = 1e-3,
        .step_norm = INFINITY,
        .subgradient = 0.75,
        .evaluated = evaluated,
        .train = {.loss = 0.25, .accuracy = 0.875, .mse = 0.5, .r2 = 0.75},
        .valid = {.loss = 0.5, .accuracy = 1, .mse = 2, .r2 = -3},
        .test = {.loss = NAN, .accuracy = NAN, .mse = NAN, .r2 = NAN},
    };
}

/* Drive the observer through a run of two sweeps, the second not evaluated. */
static altmin_error write_log(const char *path, size_t n_classes, int with_test, altmin_status *st)
{
    am_log *log = NULL;
    altmin_error code = am_log_open(&log, path, st);
    if (code) return code;
    altmin_settings *settings = altmin_settings_new();
    assert_non_null(settings);
    am_run_info info = make_info(settings, n_classes);
    if (!with_test) info.test_source = NULL;
    am_layer_report layers[n_layers] = {{.box_violation = 0.001, .residual = 2.5, .step = {1, 2, 3, 4}},
                                        {.box_violation = 0.0005, .step = {5, 6, 7, 8}},
                                        {.box_violation = NAN, .step = {9, 10, 11, 0}}};
    altmin_sweep_report first = make_report(1, 1), second = make_report(2, 0);
    am_run_result result = {.stop = ALTMIN_STOP_PATIENCE,
                            .stop_detail = "no better for 5",
                            .n_sweeps = 2,
                            .best = first,
                            .last = second,
                            .train_s = 0.5,
                            .n_jitter = 3,
                            .backend_detail = "a device; op by op",
                            .eval_s = 0.125,
                            .op = ops,
                            .n_op = sizeof ops / sizeof ops[0]};
    am_observer observer = am_log_observer(log);
    observer.start(observer.user, &info);
    assert_int_equal(observer.sweep(observer.user, &first, layers, n_layers), 0);
    assert_int_equal(observer.sweep(observer.user, &second, layers, n_layers), 0);
    observer.end(observer.user, &result);
    altmin_settings_free(settings);
    return am_log_close(log, st);
}

static void make_path(char path[64])
{
    strcpy(path, "/tmp/altmin-log-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

/* Write a log and parse its lines strictly (duplicate keys would fail). */
static void run_and_parse(cJSON *line[n_lines], size_t n_classes, int with_test)
{
    char path[64], text[1 << 16];
    altmin_status st = {0};
    make_path(path);
    if (write_log(path, n_classes, with_test, &st)) fail_msg("%s", st.message);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (int i = 0; i < n_lines; i++) {
        assert_non_null(fgets(text, sizeof text, f));
        assert_int_equal(text[strlen(text) - 1], '\n');
        assert_true(am_json_is_utf8(text));
        if (am_json_parse(&line[i], text, strlen(text), "line", 1000, &st))
            fail_msg("%s: %s", st.message, text);
    }
    assert_null(fgets(text, sizeof text, f));
    fclose(f);
    unlink(path);
}

static void free_lines(cJSON *line[n_lines])
{
    for (int i = 0; i < n_lines; i++) cJSON_Delete(line[i]);
}

static const cJSON *get(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item) fail_msg("the key %s is missing", key);
    return item;
}

static void assert_number(const cJSON *object, const char *key, double expected)
{
    const cJSON *item = get(object, key);
    assert_true(cJSON_IsNumber(item));
    if (fabs(item->valuedouble - expected) > 1e-8 * fabs(expected)) {
        fail_msg("%s is %.17g, not %.17g", key, item->valuedouble, expected);
    }
}

static void assert_text(const cJSON *object, const char *key, const char *expected)
{
    const cJSON *item = get(object, key);
    assert_true(cJSON_IsString(item));
    assert_string_equal(item->valuestring, expected);
}

static void assert_null_value(const cJSON *object, const char *key)
{
    assert_true(cJSON_IsNull(get(object, key)));
}

static void assert_absent(const cJSON *object, const char *key)
{
    assert_null(cJSON_GetObjectItemCaseSensitive(object, key));
}

static void test_header(void **state)
{
    (void)state;
    cJSON *line[n_lines];
    run_and_parse(line, 10, 1);
    const cJSON *h = line[0], *data = get(h, "data"), *test = get(h, "test"), *p = get(h, "plan");
    assert_text(h, "type", "header");
    assert_text(h, "version", ALTMIN_VERSION);
    assert_text(h, "method", "mdlam");
    assert_text(h, "backend", "cpu");
    assert_text(h, "backend_detail", "OpenBLAS, 2 threads");
    assert_number(h, "threads", 2);
    assert_int_equal(strlen(get(h, "time")->valuestring), strlen("2025-01-01T00:00:00Z"));
    assert_true(cJSON_IsString(get(h, "host")));
    assert_true(strlen(get(get(h, "machine"), "cpu")->valuestring) > 0);
    assert_true(get(get(h, "machine"), "cores")->valuedouble >= 1);
    assert_number(get(h, "settings"), "rho", 1e-3);
    assert_text(data, "source", "digits\n\"quoted\" \xef\xbf\xbd");
    assert_text(data, "fingerprint", "0123456789abcdef");
    assert_number(data, "n_train", 1500);
    assert_number(data, "n_valid", 97);
    assert_number(data, "n_features", 64);
    assert_number(data, "n_classes", 10);
    assert_text(test, "fingerprint", "fedcba9876543210");
    assert_number(test, "n_test", 200);
    assert_int_equal(cJSON_GetArraySize(get(h, "widths")), n_layers + 1);
    assert_string_equal(cJSON_GetArrayItem(get(h, "forms"), 0)->valuestring, "sample");
    assert_number(h, "parameters", 12060);
    assert_number(p, "total_bytes", 123456793012);
    assert_text(cJSON_GetArrayItem(get(p, "rows"), 1), "name", "train \"data\"");
    assert_number(cJSON_GetArrayItem(get(p, "rows"), 1), "bytes", 123456789012);
    free_lines(line);
}

static void test_sweeps_of_a_classifier(void **state)
{
    (void)state;
    cJSON *line[n_lines];
    run_and_parse(line, 10, 1);
    const cJSON *s = line[1];
    assert_text(s, "type", "sweep");
    assert_number(s, "sweep", 1);
    assert_number(s, "time_s", 0.0123456789);
    assert_number(s, "objective", 1234.56789);
    assert_number(s, "feasibility", 1e-3);
    assert_null_value(s, "step_norm");
    assert_number(s, "train_loss", 0.25);
    assert_number(s, "train_accuracy", 0.875);
    assert_number(s, "valid_loss", 0.5);
    assert_number(s, "valid_accuracy", 1);
    assert_null_value(s, "test_loss");
    assert_null_value(s, "test_accuracy");
    assert_absent(s, "train_r2");
    assert_absent(s, "valid_mse");
    const cJSON *box = get(s, "box_violation");
    assert_int_equal(cJSON_GetArraySize(box), n_layers);
    assert_true(cJSON_GetArrayItem(box, 1)->valuedouble == 0.0005);
    assert_true(cJSON_IsNull(cJSON_GetArrayItem(box, 2)));
    const cJSON *residual = get(s, "residual");
    assert_int_equal(cJSON_GetArraySize(residual), n_layers);
    assert_true(cJSON_GetArrayItem(residual, 0)->valuedouble == 2.5);
    assert_number(s, "subgradient", 0.75);
    assert_number(line[2], "sweep", 2);
    assert_null_value(line[2], "train_loss"); /* the second sweep was not evaluated */
    assert_null_value(line[2], "valid_accuracy");
    free_lines(line);
}

static void test_sweeps_of_a_regression(void **state)
{
    (void)state;
    cJSON *line[n_lines];
    run_and_parse(line, 0, 0);
    assert_null_value(line[0], "test");
    assert_number(line[1], "train_loss", 0.25);
    assert_number(line[1], "train_r2", 0.75);
    assert_number(line[1], "train_mse", 0.5);
    assert_number(line[1], "valid_r2", -3);
    assert_null_value(line[1], "test_mse");
    assert_absent(line[1], "train_accuracy");
    free_lines(line);
}

static void test_result(void **state)
{
    (void)state;
    cJSON *line[n_lines];
    run_and_parse(line, 10, 1);
    const cJSON *r = line[3], *op = cJSON_GetArrayItem(get(r, "ops"), 0);
    assert_text(r, "type", "result");
    assert_text(r, "stop", altmin_stop_name(ALTMIN_STOP_PATIENCE));
    assert_text(r, "detail", "no better for 5");
    assert_number(r, "sweeps", 2);
    assert_number(r, "best_sweep", 1);
    assert_number(get(r, "best"), "valid_accuracy", 1);
    assert_number(get(r, "last"), "sweep", 2);
    assert_null_value(get(r, "last"), "train_loss");
    assert_number(r, "train_s", 0.5);
    assert_number(r, "jitter", 3);
    assert_string_equal(get(r, "backend_detail")->valuestring, "a device; op by op");
    assert_number(r, "eval_s", 0.125);
    assert_int_equal(cJSON_GetArraySize(get(r, "ops")), 2);
    assert_text(op, "op", "gemm");
    assert_number(op, "calls", 12);
    assert_number(op, "time_s", 0.25);
    assert_number(op, "flops", 1e12);
    assert_number(op, "bytes", 3e9);
    free_lines(line);
}

/* A line is in the file as soon as its event is over: a killed run leaves what it did. */
static void test_lines_are_flushed(void **state)
{
    (void)state;
    char path[64], text[1 << 16];
    make_path(path);
    altmin_status st = {0};
    am_log *log = NULL;
    assert_int_equal(am_log_open(&log, path, &st), ALTMIN_OK);
    am_observer observer = am_log_observer(log);
    altmin_sweep_report report = make_report(7, 1);
    observer.sweep(observer.user, &report, NULL, 0);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    assert_string_equal(text + strlen(text) - 2, "}\n");
    fclose(f);
    assert_int_equal(am_log_close(log, &st), ALTMIN_OK);
    unlink(path);
}

static void test_failed_writes_are_reported(void **state)
{
    (void)state;
    altmin_status st = {0};
    if (access("/dev/full", W_OK) != 0) skip();
    assert_int_equal(write_log("/dev/full", 10, 1, &st), ALTMIN_ERR_IO);
    assert_non_null(strstr(st.message, "/dev/full"));
    assert_non_null(strstr(st.message, "No space left"));
    am_status_clear(&st);
    assert_int_equal(write_log("/no/such/folder/run.jsonl", 10, 1, &st), ALTMIN_ERR_IO);
    assert_non_null(strstr(st.message, "/no/such/folder/run.jsonl"));
    assert_int_equal(am_log_close(NULL, &st), ALTMIN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_sweeps_of_a_classifier),
        cmocka_unit_test(test_sweeps_of_a_regression),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_lines_are_flushed),
        cmocka_unit_test(test_failed_writes_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
