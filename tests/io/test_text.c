/* Number parsing against the C library's strtof, which rounds correctly: random decimals of every shape and
 * the hardest ones, decimals next to the middle between two floats. Then integers, UTF-8 and excerpts. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "host/readers/readers.h"

static uint64_t random_state = 1;

static uint64_t random_bits(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = random_state;
    return (x ^ x >> 31) * 0x9E3779B97F4A7C15u;
}

static void check_against_strtof(const char *text)
{
    float got = -1, wanted = strtof(text, NULL);
    am_number_kind kind = am_parse_number(text, strlen(text), &got);
    if (isinf(wanted)) {
        if (kind != AM_NUMBER_TOO_LARGE) fail_msg("'%s' should be too large", text);
        return;
    }
    if (kind != AM_NUMBER_OK || memcmp(&got, &wanted, sizeof got) != 0)
        fail_msg("'%s': got %.9g (kind %d), wanted %.9g", text, (double)got, (int)kind, (double)wanted);
}

static void test_random_decimals(void **state)
{
    (void)state;
    char text[160];
    for (int k = 0; k < 300000; ++k) {
        int n = 0, n_whole = (int)(random_bits() % 25), n_fraction = (int)(random_bits() % 25);
        if (random_bits() % 3 == 0) n += sprintf(text + n, "%c", random_bits() % 2 ? '-' : '+');
        for (int i = 0; i < n_whole; ++i) text[n++] = (char)('0' + random_bits() % 10);
        if (n_fraction || n_whole == 0) text[n++] = '.';
        if (n_whole == 0 && n_fraction == 0) n_fraction = 1;
        for (int i = 0; i < n_fraction; ++i) text[n++] = (char)('0' + random_bits() % 10);
        text[n] = '\0';
        if (random_bits() % 2) sprintf(text + n, "e%d", (int)(random_bits() % 100) - 50);
        check_against_strtof(text);
    }
}

static void test_random_floats_as_printed(void **state)
{
    (void)state;
    static const char *const format[] = {"%.9g", "%.17g", "%.3f", "%.8e", "%.30g"};
    char text[400];
    for (int k = 0; k < 300000; ++k) {
        uint32_t bits = (uint32_t)random_bits();
        float x;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x)) continue;
        snprintf(text, sizeof text, format[k % 5], (double)x);
        check_against_strtof(text);
    }
}

/* The middle between two neighbouring floats is exact in double; its decimal expansion, and the same with the
 * last digit moved, must round as the rules say. */
static void test_middles_between_floats(void **state)
{
    (void)state;
    char text[1200];
    for (int k = 0; k < 100000; ++k) {
        uint32_t bits = (uint32_t)random_bits() & 0x7F7FFFFFu;
        float x, next;
        memcpy(&x, &bits, sizeof x);
        next = nextafterf(x, INFINITY);
        double middle = ((double)x + (double)next) / 2;
        static const int digits[] = {17, 18, 19, 20, 25, 60, 200};
        int n = snprintf(text, sizeof text, "%.*g", digits[k % 7], middle);
        check_against_strtof(text);
        char *end = strchr(text, 'e');
        char *last = (end ? end : text + n) - 1;
        if (*last >= '0' && *last < '9') {
            *last = (char)(*last + 1);
            check_against_strtof(text);
        }
    }
}

static void test_special_decimals(void **state)
{
    (void)state;
    static const char *const text[] = {"0",
                                       "-0",
                                       "0.0",
                                       ".5",
                                       "5.",
                                       "1e5",
                                       "1E+5",
                                       "1e-5",
                                       "16777217",
                                       "16777216.999999999999999999999999",
                                       "0.000000000000000000000000000000000000000000000701",
                                       "7.006e-46",
                                       "7.007e-46",
                                       "1e-400",
                                       "1e400",
                                       "3.4028235e38",
                                       "3.4028236e38",
                                       "340282346638528859811704183484516925440",
                                       "1e99999999999999999999",
                                       "1e-99999999999999999999",
                                       "123456789012345678901234567890e-20",
                                       "00000000000000000000000000000001",
                                       "9007199254740993",
                                       "4.9e-324"};
    for (size_t i = 0; i < sizeof text / sizeof text[0]; ++i) check_against_strtof(text[i]);
}

static void test_what_is_no_number(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        am_number_kind kind;
    } cases[] = {{"", AM_NUMBER_MISSING},
                 {"?", AM_NUMBER_MISSING},
                 {"NA", AM_NUMBER_MISSING},
                 {"n/a", AM_NUMBER_MISSING},
                 {"None", AM_NUMBER_MISSING},
                 {"null", AM_NUMBER_MISSING},
                 {"nan", AM_NUMBER_NOT_FINITE},
                 {"NaN", AM_NUMBER_NOT_FINITE},
                 {"-inf", AM_NUMBER_NOT_FINITE},
                 {"Infinity", AM_NUMBER_NOT_FINITE},
                 {"abc", AM_NUMBER_BAD},
                 {"1x", AM_NUMBER_BAD},
                 {"0x10", AM_NUMBER_BAD},
                 {"1e", AM_NUMBER_BAD},
                 {"1e+", AM_NUMBER_BAD},
                 {".", AM_NUMBER_BAD},
                 {"+", AM_NUMBER_BAD},
                 {"-.", AM_NUMBER_BAD},
                 {"1 2", AM_NUMBER_BAD},
                 {"1,5", AM_NUMBER_BAD},
                 {"1.2.3", AM_NUMBER_BAD},
                 {"--1", AM_NUMBER_BAD},
                 {"1e5.5", AM_NUMBER_BAD},
                 {"1d5", AM_NUMBER_BAD},
                 {"1234567890123456789012345x", AM_NUMBER_BAD},
                 {"e5", AM_NUMBER_BAD},
                 {" 1", AM_NUMBER_BAD}};
    float value;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
        if (am_parse_number(cases[i].text, strlen(cases[i].text), &value) != cases[i].kind)
            fail_msg("'%s' is classified wrongly", cases[i].text);
}

/* Only the n bytes given count: what follows a field in a file must not leak into its number. */
static void test_length_is_respected(void **state)
{
    (void)state;
    float value;
    assert_int_equal(am_parse_number("1234", 2, &value), AM_NUMBER_OK);
    assert_true(value == 12);
    assert_int_equal(am_parse_number("16777217.5", 8, &value), AM_NUMBER_OK);
    assert_true(value == 16777216);
    assert_int_equal(am_parse_number("1\0002", 3, &value), AM_NUMBER_BAD);
}

static void test_locale_does_not_matter(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    const char *set = NULL;
    float value;
    for (size_t i = 0; i < 4 && !set; ++i) set = setlocale(LC_NUMERIC, names[i]);
    if (!set) skip();
    assert_int_equal(am_parse_number("16777217.5", 10, &value), AM_NUMBER_OK); /* the slow path */
    setlocale(LC_NUMERIC, "C");
    assert_true(value == 16777218);
}

static void test_integers(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_int_equal(am_parse_integer("-9223372036854775808", 20, &value), 0);
    assert_true(value == INT64_MIN);
    assert_int_equal(am_parse_integer("+42", 3, &value), 0);
    assert_true(value == 42);
    assert_int_not_equal(am_parse_integer("9223372036854775808", 19, &value), 0);
    assert_int_not_equal(am_parse_integer("", 0, &value), 0);
    assert_int_not_equal(am_parse_integer("-", 1, &value), 0);
    assert_int_not_equal(am_parse_integer("1.0", 3, &value), 0);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "abc", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {
        "\xE9", "\xC3", "\xC0\xAF", "\xED\xA0\x80", "\xE0\x80\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80",
        "a\xFF"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; ++i)
        assert_true(am_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) assert_false(am_is_utf8(bad[i], strlen(bad[i])));
    assert_false(am_is_utf8("a\0b", 3));
}

static void test_excerpts(void **state)
{
    (void)state;
    char out[64], all[256];
    assert_string_equal(am_excerpt(out, "plain", 5), "plain");
    assert_string_equal(am_excerpt(out, "a\nb\x1b", 4), "a\\x0ab\\x1b");
    for (int i = 0; i < 256; ++i) all[i] = (char)i;
    for (size_t n = 0; n < 256; ++n) {
        assert_true(strlen(am_excerpt(out, all + n, 256 - n)) < 64);
        assert_true(strlen(am_excerpt(out, all, n)) < 64);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_decimals),
        cmocka_unit_test(test_random_floats_as_printed),
        cmocka_unit_test(test_middles_between_floats),
        cmocka_unit_test(test_special_decimals),
        cmocka_unit_test(test_what_is_no_number),
        cmocka_unit_test(test_length_is_respected),
        cmocka_unit_test(test_locale_does_not_matter),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_excerpts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
