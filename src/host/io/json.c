/* Strict JSON reading on top of cJSON, and safe writing of strings and numbers; see json.h.
 *
 * cJSON keeps duplicate keys and takes about 64 bytes for each value, so both are checked here: the number of
 * values is counted before cJSON sees the text, duplicates are searched for behind it. */
#include "host/io/json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Upper bound of the number of values: every value follows an opening bracket or a comma, or is the document.
 */
static size_t count_values(const char *text, size_t n)
{
    size_t n_values = 1;
    int in_string = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = 0;
            }
        } else if (c == '"') {
            in_string = 1;
        } else if (c == ',' || c == '[' || c == '{') {
            n_values++;
        }
    }
    return n_values;
}

static altmin_error fail_at(const char *text, size_t n, size_t at, const char *name, const char *what,
                            altmin_status *st)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < n; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else {
            column++;
        }
    }
    if (at >= n) {
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: line %zu, column %zu: the JSON ends too early", name, line,
                       column);
    }
    unsigned char c = (unsigned char)text[at];
    if (c > ' ' && c < 127) {
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: line %zu, column %zu: %s at '%c'", name, line, column,
                       what, c);
    }
    return am_fail(st, ALTMIN_ERR_FORMAT, "%s: line %zu, column %zu: %s at byte 0x%02x", name, line, column,
                   what, c);
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorting keeps a hostile object with many keys from costing quadratic time. */
static altmin_error refuse_duplicate_keys(const cJSON *object, const char *name, altmin_status *st)
{
    size_t n = 0, size = 0;
    for (const cJSON *item = object->child; item; item = item->next) n++;
    if (n < 2) return ALTMIN_OK;
    if (am_size_mul(n, sizeof(char *), &size))
        return am_fail(st, ALTMIN_ERR_MEMORY, "%s: too many keys", name);
    const char **key = malloc(size);
    if (!key) return am_fail(st, ALTMIN_ERR_MEMORY, "%s: no memory for %zu keys", name, n);
    n = 0;
    for (const cJSON *item = object->child; item; item = item->next) key[n++] = item->string;
    qsort(key, n, sizeof key[0], compare_strings);
    altmin_error code = ALTMIN_OK;
    for (size_t i = 1; i < n && !code; i++) {
        if (strcmp(key[i - 1], key[i]) == 0) {
            code =
                am_fail(st, ALTMIN_ERR_FORMAT,
                        "%s: key '%.80s' appears twice in one JSON object; keep one of them", name, key[i]);
        }
    }
    free(key);
    return code;
}

/* The depth of the recursion is bounded by cJSON's own nesting limit. */
static altmin_error check_keys(const cJSON *item, const char *name, altmin_status *st)
{
    if (cJSON_IsObject(item) && refuse_duplicate_keys(item, name, st)) return ALTMIN_ERR_FORMAT;
    if (!cJSON_IsObject(item) && !cJSON_IsArray(item)) return ALTMIN_OK;
    for (const cJSON *child = item->child; child; child = child->next) {
        altmin_error code = check_keys(child, name, st);
        if (code) return code;
    }
    return ALTMIN_OK;
}

altmin_error am_json_parse(cJSON **root, const char *text, size_t n, const char *name, size_t max_values,
                           altmin_status *st)
{
    *root = NULL;
    size_t first = 0;
    while (first < n && strchr(" \t\r\n", text[first]) && text[first]) first++;
    if (first == n) return am_fail(st, ALTMIN_ERR_FORMAT, "%s: there is no JSON in it, it is empty", name);
    if (count_values(text, n) > max_values) {
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: the JSON holds more than %zu values", name, max_values);
    }
    const char *end = NULL;
    cJSON *parsed = cJSON_ParseWithLengthOpts(text, n, &end, 0);
    if (!parsed) {
        size_t at = end ? (size_t)(end - text) : 0;
        /* cJSON points at the last byte when it runs out of text. */
        if (at + 1 >= n) at = n;
        return fail_at(text, n, at, name, "not valid JSON", st);
    }
    for (size_t at = (size_t)(end - text); at < n; at++) {
        if (text[at] && strchr(" \t\r\n", text[at])) continue;
        cJSON_Delete(parsed);
        return fail_at(text, n, at, name, "unexpected text behind the JSON", st);
    }
    altmin_error code = check_keys(parsed, name, st);
    if (code) {
        cJSON_Delete(parsed);
        return code;
    }
    *root = parsed;
    return ALTMIN_OK;
}

const char *am_json_type_name(const cJSON *item)
{
    if (cJSON_IsNumber(item)) return "a number";
    if (cJSON_IsString(item)) return "a string";
    if (cJSON_IsBool(item)) return "a boolean";
    if (cJSON_IsNull(item)) return "null";
    if (cJSON_IsArray(item)) return "an array";
    if (cJSON_IsObject(item)) return "an object";
    return "nothing";
}

/* printf writes the locale's decimal point; it is the one character that is not part of a C-locale number. */
static void format_digits(char buf[AM_JSON_REAL_SIZE], double x, int digits)
{
    snprintf(buf, AM_JSON_REAL_SIZE, "%.*g", digits, x);
    size_t legal = strspn(buf, "+-0123456789eE");
    if (buf[legal] == '\0' || buf[legal] == '.') return;
    size_t n_point = strcspn(buf + legal, "+-0123456789eE");
    memmove(buf + legal + 1, buf + legal + n_point, strlen(buf + legal + n_point) + 1);
    buf[legal] = '.';
}

static int is_whole(double x)
{
    return x == floor(x) && fabs(x) < 9007199254740992.0;
}

void am_json_format_real(char buf[AM_JSON_REAL_SIZE], double x)
{
    static const int digits[] = {6, 9, 15, 16, 17};
    if (!isfinite(x)) {
        snprintf(buf, AM_JSON_REAL_SIZE, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
        return;
    }
    if (is_whole(x)) {
        snprintf(buf, AM_JSON_REAL_SIZE, "%.0f", x);
        return;
    }
    for (size_t i = 0; i < sizeof digits / sizeof digits[0]; i++) {
        snprintf(buf, AM_JSON_REAL_SIZE, "%.*g", digits[i], x);
        int exact = strtod(buf, NULL) == x; /* both in the same locale */
        format_digits(buf, x, digits[i]);
        if (exact) return;
    }
}

void am_json_put_real(FILE *f, double x)
{
    char buf[AM_JSON_REAL_SIZE];
    if (!isfinite(x)) {
        fputs("null", f);
    } else if (is_whole(x)) {
        fprintf(f, "%.0f", x);
    } else {
        format_digits(buf, x, 9);
        fputs(buf, f);
    }
}

/* Bytes of the UTF-8 character at s, or 0 when it is not one (overlong, surrogate, out of range, cut off). */
static size_t utf8_length(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
    }
    if (s[0] == 0xe0 && s[1] < 0xa0) return 0;
    if (s[0] == 0xed && s[1] > 0x9f) return 0;
    if (s[0] == 0xf0 && s[1] < 0x90) return 0;
    if (s[0] == 0xf4 && s[1] > 0x8f) return 0;
    return n;
}

void am_json_put_string(FILE *f, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    fputc('"', f);
    while (*s) {
        size_t n = utf8_length(s);
        if (n == 0) {
            fputs("\\ufffd", f);
            n = 1;
        } else if (*s == '"' || *s == '\\') {
            fprintf(f, "\\%c", *s);
        } else if (*s < 0x20) {
            fprintf(f, "\\u%04x", *s);
        } else {
            fwrite(s, 1, n, f);
        }
        s += n;
    }
    fputc('"', f);
}
