/* The settings table: defaults, every row's checks, suggestions, help, and the JSON forms. Most checks run
 * over the table, so a new row is tested without a new line here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/data/data.h"
#include "host/io/json.h"
#include "host/methods/registry.h"
#include "host/train/net.h"
#include "host/train/settings.h"
#include "kernels/backend_kind.h"
#include "kernels/formulas.h"

enum { text_size = 8192 };

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part)) return;
    fail_msg("'%s' does not contain '%s'", text, part);
}

static altmin_settings *new_settings(void)
{
    altmin_settings *s = altmin_settings_new();
    assert_non_null(s);
    return s;
}

static void accept(altmin_settings *s, const char *name, const char *value)
{
    altmin_status st = {0};
    if (altmin_settings_set(s, name, value, &st)) fail_msg("%s = '%s': %s", name, value, st.message);
    assert_string_equal(st.message, "");
}

/* Refused, with a sentence that names the setting and the value, and nothing changed. */
static void refuse(altmin_settings *s, const char *name, const char *value)
{
    altmin_status st = {0};
    const am_setting *row = am_setting_find(name);
    char before[text_size], after[text_size];
    assert_non_null(row);
    am_setting_print(row, s, before, sizeof before);
    if (altmin_settings_set(s, name, value, &st) != ALTMIN_ERR_USAGE)
        fail_msg("%s = '%s' passed", name, value);
    am_setting_print(row, s, after, sizeof after);
    assert_string_equal(before, after);
    assert_contains(st.message, name);
    assert_contains(st.message, value);
}

static void test_defaults(void **state)
{
    (void)state;
    altmin_settings *s = new_settings();
    assert_string_equal(s->data, "digits");
    assert_null(s->test);
    assert_null(s->label);
    assert_int_equal(s->header, -1);
    assert_int_equal(s->task, -1);
    assert_int_equal(s->scaling, AM_SCALE_AUTO);
    assert_int_equal(s->activation, AM_ACT_RELU);
    assert_int_equal(s->accel, AM_ACCEL_NESTEROV_GUARDED);
    assert_int_equal(s->step, AM_STEP_CAUCHY);
    assert_int_equal(s->init, AM_INIT_HE);
    assert_int_equal(s->preset, AM_PRESET_DEFAULT);
    assert_true(s->guard == 1 && s->relift == 0 && s->eps_restart == 0 && s->loss_weight == 1);
    assert_int_equal(s->backend, AM_BACKEND_AUTO);
    assert_true(s->hidden.n > 0);
    assert_true(s->rho > 0 && s->eps_floor > 0 && s->eps_factor < 1 && s->sweeps > 0);
    altmin_settings_free(s);
    altmin_settings_free(NULL);
}

/* Rows must be complete and their fields apart: a copied row with a forgotten offset would go unnoticed
 * otherwise. */
static void test_table_is_sound(void **state)
{
    (void)state;
    size_t n = 0;
    const am_setting *row = am_setting_table(&n);
    assert_true(n > 20);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(row[i].name);
        assert_non_null(row[i].fallback);
        assert_non_null(row[i].group);
        assert_true(strlen(row[i].help) > 10);
        assert_ptr_equal(am_setting_find(row[i].name), &row[i]);
        assert_true((row[i].type == AM_SET_CHOICE) == (am_setting_choices(&row[i]) != NULL));
        assert_true(row[i].offset < sizeof(struct altmin_settings));
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(row[i].name, row[j].name);
            assert_true(row[i].offset != row[j].offset);
        }
    }
    assert_null(am_setting_find("no-such-setting"));
}

/* print gives text that set accepts and that prints the same again. */
static void test_print_and_set_agree(void **state)
{
    (void)state;
    size_t n = 0;
    const am_setting *row = am_setting_table(&n);
    altmin_settings *s = new_settings();
    static const char *const values[][3] = {
        {"data", "set/x y.csv", "set/x y.csv"},
        {"test", "none", "none"},
        {"test", "", "none"},
        {"test", "./none", "./none"},
        {"label", "none", "none"},
        {"label", "last", "last"},
        {"rho", "1e-3", "0.001"},
        {"rho", "0.1", "0.1"},
        {"rho", "+5.", "5"},
        {"rho", "1e-300", "1e-300"},
        {"rho", "1.2345678901234567", "1.2345678901234567"},
        {"mu", "0", "0"},
        {"mu", "3.3333333333333335", "3.3333333333333335"},
        {"time-limit", "1e15", "1000000000000000"},
        {"valid", "0", "0"},
        {"hidden", "1000,1000", "1000,1000"},
        {"hidden", "1", "1"},
        {"hidden", "10, 20 ,30", "10,20,30"},
        {"hidden", "2147483648", "2147483648"},
        {"hidden", "16x50", "50,50,50,50,50,50,50,50,50,50,50,50,50,50,50,50"},
        {"hidden", "784, 3x100 ,1x7", "784,100,100,100,7"},
        {"hidden", "none", "none"},
        {"hidden", "", "none"},
        {"seed", "9007199254740991", "9007199254740991"},
        {"seed", "007", "7"},
        {"header", "yes", "yes"},
        {"task", "regression", "regression"},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[text_size];
        accept(s, values[i][0], values[i][1]);
        am_setting_print(am_setting_find(values[i][0]), s, text, sizeof text);
        assert_string_equal(text, values[i][2]);
    }
    for (size_t i = 0; i < n; i++) {
        char first[text_size], second[text_size];
        am_setting_print(&row[i], s, first, sizeof first);
        accept(s, row[i].name, first);
        am_setting_print(&row[i], s, second, sizeof second);
        assert_string_equal(first, second);
    }
    assert_int_equal(s->header, 1);
    assert_int_equal(s->task, 1);
    altmin_settings_free(s);
}

/* The lists are in the order of the enums they name. */
static void test_choices_match_enums(void **state)
{
    (void)state;
    static const struct {
        const char *setting, *name;
        int value;
    } pairs[] = {
        {"accel", "nesterov-guarded", AM_ACCEL_NESTEROV_GUARDED},
        {"accel", "nesterov", AM_ACCEL_NESTEROV},
        {"accel", "none", AM_ACCEL_NONE},
        {"step", "cauchy", AM_STEP_CAUCHY},
        {"step", "backtracking", AM_STEP_BACKTRACKING},
        {"step", "exact", AM_STEP_EXACT},
        {"init", "he", AM_INIT_HE},
        {"init", "paper", AM_INIT_PAPER},
        {"preset", "default", AM_PRESET_DEFAULT},
        {"preset", "paper", AM_PRESET_PAPER},
        {"preset", "best", AM_PRESET_BEST},
        {"guard", "no", 0},
        {"guard", "yes", 1},
        {"arch", "mlp", AM_ARCH_MLP},
        {"arch", "resnet", AM_ARCH_RESNET},
        {"form", "auto", AM_FORM_AUTO},
        {"form", "normal", AM_FORM_NORMAL},
        {"form", "sample", AM_FORM_SAMPLE},
        {"loss", "auto", AM_LOSS_AUTO},
        {"loss", "cross-entropy", AM_LOSS_CROSS_ENTROPY},
        {"loss", "squared", AM_LOSS_SQUARED},
        {"scale", "none", AM_SCALE_NONE},
        {"scale", "unit", AM_SCALE_UNIT},
        {"scale", "standardise", AM_SCALE_STANDARDISE},
        {"activation", "identity", AM_ACT_IDENTITY},
        {"activation", "leaky-relu", AM_ACT_LEAKY_RELU},
        {"activation", "hard-tanh", AM_ACT_HARD_TANH},
        {"backend", "ref", AM_BACKEND_REF},
        {"backend", "cpu", AM_BACKEND_CPU},
        {"backend", "cuda", AM_BACKEND_CUDA},
        {"header", "auto", -1},
        {"header", "no", 0},
        {"task", "classification", 0},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        int value = -99;
        const am_setting *row = am_setting_find(pairs[i].setting);
        assert_int_equal(am_setting_choice_value(row, pairs[i].name, &value), 1);
        assert_int_equal(value, pairs[i].value);
        assert_string_equal(am_setting_choice_name(row, pairs[i].value), pairs[i].name);
    }
    const am_setting *method = am_setting_find("method");
    for (int i = 0; am_method_names()[i]; i++) {
        assert_string_equal(am_setting_choice_name(method, i), am_method_names()[i]);
        assert_string_equal(am_method_at(i)->name, am_method_names()[i]);
    }
    assert_null(am_setting_choice_name(am_setting_find("header"), 7));
    assert_null(am_setting_choice_name(am_setting_find("rho"), 0));
}

static void test_malformed_values(void **state)
{
    (void)state;
    altmin_settings *s = new_settings();
    static const char *const not_reals[] = {"",   "abc", "inf", "-inf",  "nan",   "0x10", " 1", "1 ", "1,5",
                                            "1e", "--1", ".",   "1e999", "1.2.3", "1e5e", "1f", "e1"};
    static const char *const not_counts[] = {"",  "-1", "1.5", "1e3", " 1", "0x1", "99999999999999999999",
                                             "+1"};
    static const char *const not_widths[] = {"0",
                                             "-1",
                                             "a",
                                             "10,",
                                             ",10",
                                             "10,,10",
                                             "10;20",
                                             "1.5",
                                             "2147483649",
                                             "10 20",
                                             "x",
                                             "x5",
                                             "5x",
                                             "0x5",
                                             "5x0",
                                             "2x2x2",
                                             "2 x 5",
                                             "-1x5",
                                             "99999999999999999999x5",
                                             "99999999999999999999"};
    for (size_t i = 0; i < sizeof not_reals / sizeof not_reals[0]; i++) refuse(s, "mu", not_reals[i]);
    for (size_t i = 0; i < sizeof not_counts / sizeof not_counts[0]; i++) {
        refuse(s, "patience", not_counts[i]);
        refuse(s, "seed", not_counts[i]);
    }
    for (size_t i = 0; i < sizeof not_widths / sizeof not_widths[0]; i++) {
        altmin_status st = {0};
        assert_int_equal(altmin_settings_set(s, "hidden", not_widths[i], &st), ALTMIN_ERR_USAGE);
        assert_contains(st.message, "hidden");
        assert_contains(st.message, "2147483648");
    }
    refuse(s, "data", "");
    altmin_settings_free(s);
}

static void test_too_many_layers(void **state)
{
    (void)state;
    char text[2 * (AM_MAX_HIDDEN + 1) + 1] = "";
    altmin_settings *s = new_settings();
    for (int i = 0; i < AM_MAX_HIDDEN; i++) strcat(text, i ? ",7" : "7");
    accept(s, "hidden", text);
    assert_int_equal(s->hidden.n, AM_MAX_HIDDEN);
    strcat(text, ",7");
    altmin_status st = {0};
    assert_int_equal(altmin_settings_set(s, "hidden", text, &st), ALTMIN_ERR_USAGE);
    assert_contains(st.message, "256");
    accept(s, "hidden", "256x7");
    assert_int_equal(s->hidden.n, AM_MAX_HIDDEN);
    static const char *const longer[] = {"257x7", "7,256x7", "256x7,7", "18446744073709551615x7"};
    for (size_t i = 0; i < sizeof longer / sizeof *longer; i++) {
        assert_int_equal(altmin_settings_set(s, "hidden", longer[i], &st), ALTMIN_ERR_USAGE);
        assert_contains(st.message, "more than 256");
        assert_int_equal(s->hidden.n, AM_MAX_HIDDEN);
    }
    altmin_settings_free(s);
}

/* Both ends of every range: the last value allowed passes, the first one beyond is refused. */
static void test_ranges(void **state)
{
    (void)state;
    size_t n = 0, n_tested = 0;
    const am_setting *row = am_setting_table(&n);
    altmin_settings *s = new_settings();
    for (size_t i = 0; i < n; i++) {
        int real = row[i].type == AM_SET_REAL,
            whole = row[i].type == AM_SET_COUNT || row[i].type == AM_SET_SEED;
        if (!real && !whole) continue;
        double in_min = row[i].min_open ? nextafter(row[i].min, INFINITY) : row[i].min;
        double out_min = row[i].min_open ? row[i].min
                         : whole         ? row[i].min - 1
                                         : nextafter(row[i].min, -INFINITY);
        double in_max = row[i].max_open ? nextafter(row[i].max, 0) : row[i].max;
        double out_max = row[i].max_open ? row[i].max
                         : whole         ? row[i].max + 1
                                         : nextafter(row[i].max, INFINITY);
        char text[AM_JSON_REAL_SIZE];
        am_json_format_real(text, in_min);
        accept(s, row[i].name, text);
        am_json_format_real(text, out_min);
        refuse(s, row[i].name, text);
        n_tested++;
        if (isinf(row[i].max)) continue;
        am_json_format_real(text, in_max);
        accept(s, row[i].name, text);
        am_json_format_real(text, out_max);
        refuse(s, row[i].name, text);
    }
    assert_true(n_tested > 10);
    altmin_settings_free(s);
}

static void test_unknown_names(void **state)
{
    (void)state;
    altmin_settings *s = new_settings();
    altmin_status st = {0};
    assert_int_equal(altmin_settings_set(s, "eps_floor", "1", &st), ALTMIN_ERR_USAGE);
    assert_contains(st.message, "did you mean 'eps-floor'");
    assert_int_equal(altmin_settings_set(s, "qqqqqqqq", "1", &st), ALTMIN_ERR_USAGE);
    assert_contains(st.message, "qqqqqqqq");
    assert_null(strstr(st.message, "did you mean"));
    assert_int_equal(altmin_settings_set(s, "activation", "rleu", &st), ALTMIN_ERR_USAGE);
    assert_contains(st.message, "did you mean 'relu'");
    assert_int_equal(altmin_settings_set(s, NULL, "1", &st), ALTMIN_ERR_USAGE);
    assert_int_equal(altmin_settings_set(s, "rho", NULL, &st), ALTMIN_ERR_USAGE);
    assert_int_equal(altmin_settings_set(NULL, "rho", "1", NULL), ALTMIN_ERR_USAGE);
    altmin_settings_free(s);
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"sweep", "sweeps"},          {"hiden", "hidden"},        {"roh", "rho"},
        {"thread", "threads"},        {"tolerence", "tolerance"}, {"seeds", "seed"},
        {"target", "target-accuracy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const char *nearest = am_setting_nearest(pairs[i][0]);
        assert_non_null(nearest);
        assert_string_equal(nearest, pairs[i][1]);
    }
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(am_setting_nearest(longest));
    assert_null(am_setting_nearest(""));
    assert_null(am_setting_nearest("xyz"));
    assert_null(am_setting_nearest("verbosity"));
}

static void test_copy(void **state)
{
    (void)state;
    altmin_settings *s = new_settings();
    accept(s, "test", "t.csv");
    altmin_settings *copy = am_settings_copy(s);
    assert_non_null(copy);
    accept(s, "test", "other.csv");
    accept(s, "data", "x.csv");
    assert_string_equal(copy->test, "t.csv");
    assert_string_equal(copy->data, "digits");
    altmin_settings_free(s);
    altmin_settings_free(copy);
}

/* ---- JSON ---- */

static altmin_error apply(altmin_settings *s, const char *json, altmin_status *st)
{
    am_status_clear(st);
    return am_settings_from_json(s, json, strlen(json), "run.json", NULL, st);
}

static void test_json_round_trip(void **state)
{
    (void)state;
    static const char *const set[][2] = {{"test", "a \"b\" \\ \xc3\xa9.csv"},
                                         {"rho", "0.1"},
                                         {"mu", "1.2345678901234567e-300"},
                                         {"hidden", "3,2147483648"},
                                         {"activation", "tanh"},
                                         {"seed", "9007199254740991"},
                                         {"header", "no"},
                                         {"sweeps", "1000000000"},
                                         {"accel", "none"}};
    altmin_settings *s = new_settings(), *t = new_settings();
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++) accept(s, set[i][0], set[i][1]);
    char *json = am_settings_to_json(s);
    assert_non_null(json);
    altmin_status st = {0};
    assert_int_equal(apply(t, json, &st), ALTMIN_OK);
    char *again = am_settings_to_json(t);
    assert_string_equal(json, again);
    assert_true(t->mu == s->mu && t->rho == s->rho && t->seed == s->seed);
    assert_string_equal(t->test, s->test);
    assert_int_equal(t->hidden.width[1], 2147483648);
    cJSON *object = cJSON_Parse(json);
    size_t n = 0;
    am_setting_table(&n);
    assert_int_equal(cJSON_GetArraySize(object), (int)n);
    cJSON_Delete(object);
    free(json);
    free(again);
    altmin_settings_free(s);
    altmin_settings_free(t);
}

static void test_json_accepted(void **state)
{
    (void)state;
    altmin_settings *s = new_settings();
    altmin_status st = {0};
    assert_int_equal(
        apply(s, " {\n\"hidden\": \"7,8\", \"sweeps\": 1e3, \"rho\": 2, \"label\": \"y\"}\n", &st), 0);
    assert_int_equal(s->hidden.n, 2);
    assert_true(s->sweeps == 1000.0);
    assert_int_equal(apply(s, "{\"hidden\": \"3x8,9\"}", &st), 0);
    assert_int_equal(s->hidden.n, 4);
    assert_int_equal(s->hidden.width[2], 8);
    assert_int_equal(s->hidden.width[3], 9);
    assert_string_equal(s->label, "y");
    assert_int_equal(apply(s, "{\"hidden\": [], \"label\": null}", &st), 0);
    assert_int_equal(s->hidden.n, 0);
    assert_null(s->label);
    assert_int_equal(apply(s, "{}", &st), 0);
    altmin_settings_free(s);
}

/* Each is refused with a sentence that names the file and the reason, and changes nothing. */
static void test_json_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "line 1, column 1"},
        {"  \n ", "line 2, column 2"},
        {"{", "line 1, column 2"},
        {"{\n  \"rho\": 1,\n}", "line 3, column 1"},
        {"{\"rho\": 01}", "line 1, column 10"},
        {"{\"rho\": 1} x", "line 1, column 12"},
        {"{\"rho\": .5}", "line 1, column 9"},
        {"{\"rho\": +5}", "line 1, column 9"},
        {"{\"rho\": 1e}", "digit"},
        {"{\"rho\": NaN}", "line 1, column 9"},
        {"{\"rho\": True}", "line 1, column 9"},
        {"{'rho': 1}", "line 1, column 2"},
        {"{\"rho\" 1}", "':'"},
        {"{\"rho\": 1 \"mu\": 1}", "','"},
        {"{\"data\": \"a\nb\"}", "control character"},
        {"{\"data\": \"a\\q\"}", "escape"},
        {"{\"data\": \"a\\u00zz\"}", "hexadecimal"},
        {"{\"data\": \"a\\u0000b\"}", "u0000"},
        {"{\"data\": \"a", "does not end"},
        {"{\"data\": \"\xe9\"}", "column 11: not valid JSON, the text is not UTF-8"},
        {"{\"data\": \"\xe2\x82", "not UTF-8"},
        {"{\"data\": \"\\ud800\"}", "run.json"},
        {"[1]", "an array"},
        {"3", "a number"},
        {"{\"rho\": 1, \"mu\": 1, \"rho\": 1}", "'rho' appears twice"},
        {"{\"rho\": 1, \"r\\u0068o\": 1}", "'rho' appears twice"},
        {"{\"roh\": 1}", "did you mean 'rho'"},
        {"{\"Rho\": 1}", "'Rho'"},
        {"{\"rho\": \"1\"}", "'rho' must be a number, not a string"},
        {"{\"rho\": true}", "not a boolean"},
        {"{\"rho\": null}", "not null"},
        {"{\"rho\": [1]}", "not an array"},
        {"{\"rho\": {}}", "not an object"},
        {"{\"rho\": -1}", "greater than 0"},
        {"{\"rho\": 1e400}", "'rho'"},
        {"{\"eval-every\": 1.5}", "whole number"},
        {"{\"eval-every\": -3}", "whole number"},
        {"{\"seed\": 9007199254740993}", "'seed'"},
        {"{\"data\": 3}", "must be a string"},
        {"{\"data\": null}", "must be a string"},
        {"{\"data\": \"\"}", "must not be empty"},
        {"{\"hidden\": 100}", "must be an array"},
        {"{\"hidden\": [1, \"2\"]}", "holds a string"},
        {"{\"hidden\": [1, 2.5]}", "2.5"},
        {"{\"hidden\": [0]}", "'0'"},
        {"{\"hidden\": [[1]]}", "holds an array"},
        {"{\"accel\": 1}", "must be a string"},
        {"{\"accel\": \"nesterof\"}", "did you mean 'nesterov'"},
        {"{\"mu\": 0.5, \"sweeps\": 0}", "sweeps"},
    };
    altmin_settings *s = new_settings();
    char *before = am_settings_to_json(s);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        altmin_status st = {0};
        if (apply(s, cases[i][0], &st) == ALTMIN_OK) fail_msg("accepted: %s", cases[i][0]);
        assert_contains(st.message, "run.json");
        assert_contains(st.message, cases[i][1]);
        char *after = am_settings_to_json(s);
        assert_string_equal(before, after);
        free(after);
    }
    free(before);
    altmin_settings_free(s);
}

static void test_json_limits(void **state)
{
    (void)state;
    altmin_settings *s = new_settings();
    altmin_status st = {0};
    enum { n = 1 << 20 };
    char *text = malloc(n + 1);
    assert_non_null(text);
    text[n] = '\0';
    memset(text, '[', n);
    assert_int_not_equal(apply(s, text, &st), ALTMIN_OK);
    assert_contains(st.message, "nested too deeply");
    memcpy(text, "{\"hidden\":[", 11);
    for (size_t i = 11; i < n; i++) text[i] = i % 2 ? '1' : ',';
    assert_int_not_equal(apply(s, text, &st), ALTMIN_OK);
    assert_contains(st.message, "too many values");
    memcpy(text + 2 * 300 + 12, "]}", 3);
    assert_int_not_equal(apply(s, text, &st), ALTMIN_OK);
    assert_contains(st.message, "more than 256 hidden layers");
    free(text);
    altmin_settings_free(s);
}

static void test_json_leaves_fixed_rows(void **state)
{
    (void)state;
    unsigned char fixed[256] = {0};
    size_t n = 0;
    const am_setting *table = am_setting_table(&n);
    assert_true(n <= sizeof fixed);
    fixed[am_setting_find("rho") - table] = 1;
    fixed[am_setting_find("test") - table] = 1;
    altmin_settings *s = new_settings();
    accept(s, "rho", "7");
    accept(s, "test", "flag.csv");
    altmin_status st = {0};
    const char *json = "{\"rho\": 1, \"mu\": 3, \"test\": \"file.csv\"}";
    assert_int_equal(am_settings_from_json(s, json, strlen(json), "c", fixed, &st), ALTMIN_OK);
    assert_true(s->rho == 7 && s->mu == 3);
    assert_string_equal(s->test, "flag.csv");
    json = "{\"rho\": -1}"; /* checked all the same */
    assert_int_equal(am_settings_from_json(s, json, strlen(json), "c", fixed, &st), ALTMIN_ERR_USAGE);
    altmin_settings_free(s);
}

/* A text that is not UTF-8 must not make the log or a model's metadata unreadable. */
static void test_json_is_always_utf8(void **state)
{
    (void)state;
    altmin_settings *s = new_settings();
    accept(s, "data", "\xff\xc3 x \xe2\x82 \xed\xa0\x80 \xf0\x9f\x98\x80");
    char *json = am_settings_to_json(s);
    assert_true(am_json_is_utf8(json));
    assert_false(am_json_is_utf8(s->data));
    assert_contains(json, "\xf0\x9f\x98\x80");
    assert_contains(json, "\\ufffd");
    free(json);
    altmin_settings_free(s);
}

/* ---- help ---- */

static void help_text(const char *const *pick, char *text, size_t n_text)
{
    FILE *f = fmemopen(text, n_text, "w");
    assert_non_null(f);
    am_settings_help(f, pick);
    assert_true(ftell(f) < (long)n_text);
    assert_int_equal(fclose(f), 0);
}

static void test_help(void **state)
{
    (void)state;
    char text[4 * text_size];
    help_text(NULL, text, sizeof text);
    size_t n = 0;
    const am_setting *row = am_setting_table(&n);
    for (size_t i = 0; i < n; i++) {
        char option[64];
        snprintf(option, sizeof option, "\n  --%s ", row[i].name);
        const char *first = strstr(text, option);
        assert_non_null(first);
        assert_null(strstr(first + 1, option));
        assert_non_null(strstr(first, row[i].fallback));
    }
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= 96);
        assert_true(line[0] == '\n' || line[strcspn(line, "\n") - 1] != ' ');
    }
}

static void test_help_of_some(void **state)
{
    (void)state;
    const char *const pick[] = {"Machine", "label", NULL};
    char text[4 * text_size];
    help_text(pick, text, sizeof text);
    assert_contains(text, "Data:\n  --label");
    assert_contains(text, "\n\nMachine:\n  --backend");
    assert_contains(text, "--threads");
    assert_null(strstr(text, "--rho"));
    assert_null(strstr(text, "Run:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_table_is_sound),
        cmocka_unit_test(test_print_and_set_agree),
        cmocka_unit_test(test_choices_match_enums),
        cmocka_unit_test(test_malformed_values),
        cmocka_unit_test(test_too_many_layers),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_json_accepted),
        cmocka_unit_test(test_json_refused),
        cmocka_unit_test(test_json_limits),
        cmocka_unit_test(test_json_leaves_fixed_rows),
        cmocka_unit_test(test_json_is_always_utf8),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_help_of_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
