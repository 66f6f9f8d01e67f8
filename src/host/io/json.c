/* Strict JSON reading on top of cJSON, and safe writing of strings and numbers; see json.h.
 *
 * cJSON keeps duplicate keys and takes about 64 bytes for each value, so both are checked here: the number of
 * values is counted before cJSON sees the text, duplicates are searched for behind it. */
#include "host/io/json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { max_depth = 64 };

/* ---- strict syntax, RFC 8259 ----
 * cJSON takes leading zeros, control characters and a few other liberties, and its error positions can be off
 * by one. The scanner below settles syntax and position; cJSON then builds the tree. */
typedef struct scanner {
    const char *text;
    size_t n, at;
    size_t n_values, max_values, depth;
    const char *error; /* set once, `at` then stands at the offending byte */
} scanner;

static int peek(const scanner *s)
{
    return s->at < s->n ? (unsigned char)s->text[s->at] : -1;
}

static int fail_scan(scanner *s, const char *what)
{
    if (!s->error) s->error = what;
    return 0;
}

static void skip_blanks(scanner *s)
{
    while (s->at < s->n && (s->text[s->at] == ' ' || s->text[s->at] == '\t' || s->text[s->at] == '\r' ||
                            s->text[s->at] == '\n')) {
        s->at++;
    }
}

static int expect(scanner *s, char c, const char *what)
{
    skip_blanks(s);
    if (peek(s) != (unsigned char)c) return fail_scan(s, what);
    s->at++;
    return 1;
}

static int scan_word(scanner *s, const char *word)
{
    for (; *word; word++, s->at++) {
        if (peek(s) != (unsigned char)*word)
            return fail_scan(s, "no JSON value (true, false and null are lower case)");
    }
    return 1;
}

static int scan_digits(scanner *s)
{
    size_t first = s->at;
    while (peek(s) >= '0' && peek(s) <= '9') s->at++;
    return s->at > first ? 1 : fail_scan(s, "a digit is missing");
}

static int scan_number(scanner *s)
{
    if (peek(s) == '-') s->at++;
    if (peek(s) == '0') {
        s->at++;
        if (peek(s) >= '0' && peek(s) <= '9') return fail_scan(s, "a number must not begin with 0");
    } else if (!scan_digits(s)) {
        return 0;
    }
    if (peek(s) == '.') {
        s->at++;
        if (!scan_digits(s)) return 0;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-') s->at++;
        if (!scan_digits(s)) return 0;
    }
    return 1;
}

/* \u0000 is refused: as a C string the text would end there, and two different keys could look the same. */
static int scan_escape(scanner *s)
{
    s->at++;
    int c = peek(s);
    if (c < 0 || !strchr("\"\\/bfnrtu", c)) return fail_scan(s, "not a JSON escape");
    s->at++;
    if (c != 'u') return 1;
    int zero = 1;
    for (int i = 0; i < 4; i++, s->at++) {
        c = peek(s);
        if (c < 0 || !strchr("0123456789abcdefABCDEF", c))
            return fail_scan(s, "\\u needs four hexadecimal digits");
        zero &= c == '0';
    }
    return zero ? fail_scan(s, "\\u0000 is not allowed") : 1;
}

/* Bytes of the UTF-8 character at s, or 0 when the n_max > 0 bytes there do not begin with one (overlong,
 * surrogate, out of range, cut off). A NUL stops it too, so 4 serves for n_max with a C string. */
static size_t utf8_length(const unsigned char *s, size_t n_max)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (n > n_max) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
    }
    if (s[0] == 0xe0 && s[1] < 0xa0) return 0;
    if (s[0] == 0xed && s[1] > 0x9f) return 0;
    if (s[0] == 0xf0 && s[1] < 0x90) return 0;
    if (s[0] == 0xf4 && s[1] > 0x8f) return 0;
    return n;
}

static int scan_string(scanner *s)
{
    s->at++;
    for (;;) {
        int c = peek(s);
        if (c < 0) return fail_scan(s, "the string does not end");
        if (c < 0x20) return fail_scan(s, "a line break or control character in a string");
        if (c == '\\') {
            if (!scan_escape(s)) return 0;
            continue;
        }
        size_t n = utf8_length((const unsigned char *)s->text + s->at, s->n - s->at);
        if (n == 0) return fail_scan(s, "the text is not UTF-8");
        s->at += n;
        if (c == '"') return 1;
    }
}

static int scan_value(scanner *s);

static int scan_members(scanner *s, int object)
{
    char close = object ? '}' : ']';
    s->at++;
    skip_blanks(s);
    if (peek(s) == close) {
        s->at++;
        return 1;
    }
    for (;;) {
        if (object) {
            skip_blanks(s);
            if (peek(s) != '"') return fail_scan(s, "a key in double quotes is missing");
            if (!scan_string(s) || !expect(s, ':', "a ':' is missing behind a key")) return 0;
        }
        if (!scan_value(s)) return 0;
        skip_blanks(s);
        int c = peek(s);
        if (c != ',' && c != close)
            return fail_scan(s, object ? "a ',' or '}' is missing" : "a ',' or ']' is missing");
        s->at++;
        if (c == close) return 1;
    }
}

static int scan_value(scanner *s)
{
    skip_blanks(s);
    int c = peek(s);
    if (s->n_values++ >= s->max_values) return fail_scan(s, "too many values");
    if (c == '{' || c == '[') {
        if (++s->depth > max_depth) return fail_scan(s, "nested too deeply");
        if (!scan_members(s, c == '{')) return 0;
        s->depth--;
        return 1;
    }
    if (c == '"') return scan_string(s);
    if (c == 't') return scan_word(s, "true");
    if (c == 'f') return scan_word(s, "false");
    if (c == 'n') return scan_word(s, "null");
    if (c == '-' || (c >= '0' && c <= '9')) return scan_number(s);
    return fail_scan(s, "a value is missing");
}

/* Sentence with line, column (in bytes, from 1) and the byte at which the scan stopped. */
static altmin_error fail_at(const scanner *s, const char *name, altmin_status *st)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < s->at; i++) {
        column++;
        if (s->text[i] != '\n') continue;
        line++;
        column = 1;
    }
    int c = peek(s);
    char found[32];
    if (c < 0) {
        snprintf(found, sizeof found, "the end");
    } else if (c > ' ' && c < 127) {
        snprintf(found, sizeof found, "'%c'", c);
    } else {
        snprintf(found, sizeof found, "byte 0x%02x", (unsigned)c);
    }
    return am_fail(st, ALTMIN_ERR_FORMAT, "%s: line %zu, column %zu: not valid JSON, %s (at %s)", name, line,
                   column, s->error, found);
}

/* ---- keys ---- */

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

/* The depth of the recursion is bounded by max_depth. */
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
    scanner s = {.text = text, .n = n, .max_values = max_values};
    if (scan_value(&s)) {
        skip_blanks(&s);
        if (s.at < n) fail_scan(&s, "text behind the end of the value");
    }
    if (s.error) return fail_at(&s, name, st);
    cJSON *parsed = cJSON_ParseWithLength(text, n);
    /* cJSON also refuses lone halves of \u surrogate pairs, which the scanner lets pass. */
    if (!parsed) return am_fail(st, ALTMIN_ERR_FORMAT, "%s: not valid JSON, or no memory for it", name);
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

char *am_json_text(void (*write)(FILE *f, const void *user), const void *user)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return NULL;
    write(f, user);
    int failed = ferror(f);
    if (fclose(f) == 0 && !failed) return text;
    free(text);
    return NULL;
}

void am_json_put_exact(FILE *f, double x)
{
    char buf[AM_JSON_REAL_SIZE];
    am_json_format_real(buf, x);
    fputs(isfinite(x) ? buf : "null", f);
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

int am_json_is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        size_t n = utf8_length(s, 4);
        if (n == 0) return 0;
        s += n;
    }
    return 1;
}

void am_json_put_string(FILE *f, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    fputc('"', f);
    while (*s) {
        size_t n = utf8_length(s, 4);
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
