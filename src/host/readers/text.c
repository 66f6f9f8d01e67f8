/* Numbers and words of text files.
 *
 * am_parse_number gives the float nearest to the decimal text. Fast path: the digits as a 64-bit integer m
 * and a power of ten, d = m * 10^e in double with an error below 4 units in its last place; when both ends of
 * that interval round to the same float, that float is the answer. The rest (exact ties, extreme exponents,
 * about one in 10^7 of the others) goes to strtof in the C locale. No result depends on the process's locale.
 */
#include "host/readers/readers.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_DIGITS = 19, MAX_POWER = 60, EXPONENT_CAP = 100000 };

/* 10^(i - MAX_POWER). A negative power is rounded, which the error band allows for; multiplying by it is
 * several times faster than dividing. */
static const double power_of_ten[2 * MAX_POWER + 1] = {
    1e-60, 1e-59, 1e-58, 1e-57, 1e-56, 1e-55, 1e-54, 1e-53, 1e-52, 1e-51, 1e-50, 1e-49, 1e-48, 1e-47,
    1e-46, 1e-45, 1e-44, 1e-43, 1e-42, 1e-41, 1e-40, 1e-39, 1e-38, 1e-37, 1e-36, 1e-35, 1e-34, 1e-33,
    1e-32, 1e-31, 1e-30, 1e-29, 1e-28, 1e-27, 1e-26, 1e-25, 1e-24, 1e-23, 1e-22, 1e-21, 1e-20, 1e-19,
    1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9,  1e-8,  1e-7,  1e-6,  1e-5,
    1e-4,  1e-3,  1e-2,  1e-1,  1e0,   1e1,   1e2,   1e3,   1e4,   1e5,   1e6,   1e7,   1e8,   1e9,
    1e10,  1e11,  1e12,  1e13,  1e14,  1e15,  1e16,  1e17,  1e18,  1e19,  1e20,  1e21,  1e22,  1e23,
    1e24,  1e25,  1e26,  1e27,  1e28,  1e29,  1e30,  1e31,  1e32,  1e33,  1e34,  1e35,  1e36,  1e37,
    1e38,  1e39,  1e40,  1e41,  1e42,  1e43,  1e44,  1e45,  1e46,  1e47,  1e48,  1e49,  1e50,  1e51,
    1e52,  1e53,  1e54,  1e55,  1e56,  1e57,  1e58,  1e59,  1e60};

/* A decimal as read: (-1)^negative * mantissa * 10^exponent, digits beyond the 19th dropped. */
typedef struct decimal {
    uint64_t mantissa;
    long exponent;
    int negative;
} decimal;

int am_reserve(void *array, size_t n_wanted, size_t *capacity, size_t size)
{
    void *old, *grown;
    size_t n = *capacity < 32 ? 32 : *capacity, n_bytes;
    if (n_wanted <= *capacity) return 0;
    if (am_size_mul(n, 2, &n)) return 1;
    if (n < n_wanted) n = n_wanted;
    if (am_size_mul(n, size, &n_bytes)) return 1;
    memcpy(&old, array, sizeof old);
    grown = realloc(old, n_bytes);
    if (!grown) return 1;
    memcpy(array, &grown, sizeof grown);
    *capacity = n;
    return 0;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits into the mantissa, as many as fit; returns how many were read. `scale` is -1 behind the point, else
 * 0. */
static size_t scan_digits(const char **text, const char *end, decimal *number, int *n_significant, long scale)
{
    const char *p = *text;
    uint64_t mantissa = number->mantissa;
    int n = *n_significant;
    for (; p < end && is_digit(*p); ++p) {
        if (n < MAX_DIGITS) {
            mantissa = mantissa * 10 + (uint64_t)(*p - '0');
            n += mantissa != 0;
            number->exponent += scale;
        } else {
            number->exponent += scale + 1; /* dropped: below 1e-18 of the mantissa, well inside the band */
        }
    }
    size_t n_read = (size_t)(p - *text);
    number->mantissa = mantissa;
    *n_significant = n;
    *text = p;
    return n_read;
}

/* The part from the e on, which must reach the end: 1 when it is well-formed. */
static int scan_exponent(const char *p, const char *end, decimal *number)
{
    int negative = 0;
    long exponent = 0;
    ++p;
    if (p < end && (*p == '+' || *p == '-')) negative = *p++ == '-';
    if (p == end) return 0;
    for (; p < end && is_digit(*p); ++p)
        if (exponent < EXPONENT_CAP) exponent = exponent * 10 + (*p - '0');
    number->exponent += negative ? -exponent : exponent;
    return p == end;
}

/* So short that no digit can be one too many: nearly all numbers in real files. Behind the sign. */
static int scan_short(const char *p, const char *end, decimal *number)
{
    uint64_t mantissa = 0;
    const char *first = p;
    for (; p < end && is_digit(*p); ++p) mantissa = mantissa * 10 + (uint64_t)(*p - '0');
    size_t n_digits = (size_t)(p - first);
    if (p < end && *p == '.') {
        first = ++p;
        for (; p < end && is_digit(*p); ++p) mantissa = mantissa * 10 + (uint64_t)(*p - '0');
        number->exponent = -(long)(p - first);
        n_digits += (size_t)(p - first);
    }
    number->mantissa = mantissa;
    if (n_digits == 0) return 0;
    if (p == end) return 1;
    return (*p == 'e' || *p == 'E') && scan_exponent(p, end, number);
}

/* 1 when text[0..n) is a decimal number. */
static int scan_decimal(const char *text, size_t n, decimal *number)
{
    const char *p = text, *end = text + n;
    int n_significant = 0;
    *number = (decimal){0};
    if (p < end && (*p == '+' || *p == '-')) number->negative = *p++ == '-';
    if (end - p <= MAX_DIGITS) return scan_short(p, end, number);
    size_t n_digits = scan_digits(&p, end, number, &n_significant, 0);
    if (p < end && *p == '.') {
        ++p;
        n_digits += scan_digits(&p, end, number, &n_significant, -1);
    }
    if (n_digits == 0) return 0;
    if (p == end) return 1;
    return (*p == 'e' || *p == 'E') && scan_exponent(p, end, number);
}

/* The slow and exact way. The text is already known to be a number; it is copied to end in NUL. */
static int exact_float(const char *text, size_t n, float *value)
{
    char local[128], *copy = n < sizeof local ? local : malloc(n + 1);
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    int failed = !copy || !c_locale;
    if (!failed) {
        memcpy(copy, text, n);
        copy[n] = '\0';
        *value = strtof_l(copy, NULL, c_locale);
    }
    if (c_locale) freelocale(c_locale);
    if (copy != local) free(copy);
    return failed;
}

static int fast_float(const decimal *number, float *value)
{
    if (number->mantissa == 0) {
        *value = number->negative ? -0.0f : 0.0f;
        return 1;
    }
    if (number->exponent < -MAX_POWER || number->exponent > MAX_POWER) return 0;
    double d = (double)number->mantissa * power_of_ten[number->exponent + MAX_POWER];
    const double band = 4 * DBL_EPSILON;
    float low = (float)(d * (1 - band)), high = (float)(d * (1 + band));
    if (low != high) return 0;
    *value = number->negative ? -low : low;
    return 1;
}

static int is_word(const char *text, size_t n, const char *const *words)
{
    for (; *words; ++words)
        if (strlen(*words) == n && strncasecmp(text, *words, n) == 0) return 1;
    return 0;
}

static am_number_kind kind_of_word(const char *text, size_t n)
{
    static const char *const missing[] = {"?", "na", "n/a", "null", "none", NULL};
    static const char *const not_finite[] = {"nan",  "+nan",     "-nan",      "inf",       "+inf",
                                             "-inf", "infinity", "+infinity", "-infinity", NULL};
    if (n == 0 || is_word(text, n, missing)) return AM_NUMBER_MISSING;
    return is_word(text, n, not_finite) ? AM_NUMBER_NOT_FINITE : AM_NUMBER_BAD;
}

am_number_kind am_parse_number(const char *text, size_t n, float *value)
{
    decimal number;
    if (!scan_decimal(text, n, &number)) return kind_of_word(text, n);
    if (!fast_float(&number, value) && exact_float(text, n, value)) return AM_NUMBER_BAD;
    return isfinite(*value) ? AM_NUMBER_OK : AM_NUMBER_TOO_LARGE;
}

int am_parse_integer(const char *text, size_t n, int64_t *value)
{
    size_t i = 0;
    int negative = 0;
    int64_t sum = 0;
    if (n && (text[0] == '+' || text[0] == '-')) negative = text[i++] == '-';
    if (i == n) return 1;
    for (; i < n; ++i) {
        if (!is_digit(text[i])) return 1;
        int64_t digit = text[i] - '0';
        if (__builtin_mul_overflow(sum, (int64_t)10, &sum)) return 1;
        if (__builtin_add_overflow(sum, negative ? -digit : digit, &sum)) return 1;
    }
    *value = sum;
    return 0;
}

const char *am_excerpt(char out[64], const char *text, size_t n)
{
    size_t used = 0, i = 0;
    for (; i < n && used < 40; ++i) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c < 0x7F)
            out[used++] = (char)c;
        else
            used += (size_t)snprintf(out + used, 64 - used, "\\x%02x", (unsigned)c);
    }
    if (i < n) used += (size_t)snprintf(out + used, 64 - used, "...");
    out[used] = '\0';
    return out;
}

/* Length of the UTF-8 sequence at p (left bytes remain), 0 when it is not one. Overlong forms, surrogates and
 * NUL do not count. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    if (p[0] >= 0x01 && p[0] < 0x80) return 1;
    size_t n = p[0] >= 0xC2 && p[0] < 0xE0   ? 2
               : p[0] >= 0xE0 && p[0] < 0xF0 ? 3
               : p[0] >= 0xF0 && p[0] < 0xF5 ? 4
                                             : 0;
    if (n == 0 || n > left) return 0;
    for (size_t i = 1; i < n; ++i)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if (p[0] == 0xE0 && p[1] < 0xA0) return 0;
    if (p[0] == 0xED && p[1] >= 0xA0) return 0;
    if (p[0] == 0xF0 && p[1] < 0x90) return 0;
    if (p[0] == 0xF4 && p[1] >= 0x90) return 0;
    return n;
}

int am_is_utf8(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    while (n) {
        size_t step = utf8_length(p, n);
        if (step == 0) return 0;
        p += step;
        n -= step;
    }
    return 1;
}

altmin_error am_fail_number(const am_input *in, am_number_kind kind, const char *place, const char *text,
                            size_t n, const char *hint, altmin_status *st)
{
    char excerpt[64];
    const char *what = "is not a number";
    am_excerpt(excerpt, text, n);
    if (kind == AM_NUMBER_MISSING)
        return am_fail(st, ALTMIN_ERR_DATA,
                       "cannot read '%s': %s: the value is missing%s%s%s; fill it in or leave the sample out",
                       in->name, place, n ? " ('" : "", excerpt, n ? "')" : "");
    if (kind == AM_NUMBER_NOT_FINITE) what = "is not finite";
    if (kind == AM_NUMBER_TOO_LARGE) what = "is too large for a 32-bit float";
    return am_fail(st, ALTMIN_ERR_DATA, "cannot read '%s': %s: '%s' %s%s%s", in->name, place, excerpt, what,
                   hint ? "; " : "", hint ? hint : "");
}
