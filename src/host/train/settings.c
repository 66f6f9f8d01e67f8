/* Settings as text: create, set, print, copy, and the JSON forms. One function, set_text, checks every value,
 * whether it comes from the command line, a config file or a caller; JSON values are turned into the text a
 * user would type. The table is in settings_table.c, its help text in settings_help.c. */
#include "host/train/settings.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/io/json.h"

static void *field_of(const am_setting *row, altmin_settings *s)
{
    return (char *)s + row->offset;
}
static const void *field_in(const am_setting *row, const altmin_settings *s)
{
    return (const char *)s + row->offset;
}

/* ---- one value from text ---- */

static void describe_range(const am_setting *row, char *buf, size_t n_buf)
{
    char min[AM_JSON_REAL_SIZE], max[AM_JSON_REAL_SIZE];
    am_json_format_real(min, row->min);
    am_json_format_real(max, row->max);
    if (isinf(row->max)) {
        snprintf(buf, n_buf, "%s %s", row->min_open ? "greater than" : "at least", min);
    } else if (!row->min_open && !row->max_open) {
        snprintf(buf, n_buf, "from %s to %s", min, max);
    } else {
        snprintf(buf, n_buf, "%s %s and %s %s", row->min_open ? "greater than" : "at least", min,
                 row->max_open ? "less than" : "at most", max);
    }
}

static int in_range(const am_setting *row, double x)
{
    if (row->min_open ? x <= row->min : x < row->min) return 0;
    return row->max_open ? x < row->max : x <= row->max;
}

static altmin_error fail_range(const am_setting *row, const char *text, const char *kind, altmin_status *st)
{
    char range[96];
    describe_range(row, range, sizeof range);
    return am_fail(st, ALTMIN_ERR_USAGE, "setting '%s': '%.80s' is not allowed; give %s %s", row->name, text,
                   kind, range);
}

/* strtod in the C locale; 1 when all of the text is one finite decimal number. strtod alone would also take
 * "inf", "nan", hexadecimal and leading blanks, and a comma for the point in some locales. */
static int parse_real(const char *text, double *value)
{
    if (text[0] == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0') return 0;
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c_locale) return 0;
    char *end = NULL;
    *value = strtod_l(text, &end, c_locale);
    freelocale(c_locale);
    return end != text && *end == '\0' && isfinite(*value);
}

/* Digits only, so that "-1" and " 1" are refused instead of wrapped and skipped. */
static int parse_whole(const char *text, size_t n_text, uint64_t *value)
{
    if (n_text == 0) return 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < n_text; i++) {
        if (text[i] < '0' || text[i] > '9') return 0;
        if (__builtin_mul_overflow(sum, 10u, &sum)) return 0;
        if (__builtin_add_overflow(sum, (uint64_t)(text[i] - '0'), &sum)) return 0;
    }
    *value = sum;
    return 1;
}

static altmin_error set_string(const am_setting *row, char **field, const char *text, altmin_status *st)
{
    char *copy = NULL;
    if (text[0] == '\0' && !row->unset) {
        return am_fail(st, ALTMIN_ERR_USAGE, "setting '%s' must not be empty", row->name);
    }
    if (!row->unset || (text[0] != '\0' && strcmp(text, row->unset) != 0)) {
        copy = strdup(text);
        if (!copy) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for setting '%s'", row->name);
    }
    free(*field);
    *field = copy;
    return ALTMIN_OK;
}

static altmin_error set_choice(const am_setting *row, int *field, const char *text, altmin_status *st)
{
    if (am_setting_choice_value(row, text, field)) return ALTMIN_OK;
    const char *const *names = am_setting_choices(row);
    char list[512] = "";
    size_t used = 0;
    for (size_t i = 0; names[i] && used < sizeof list; i++) {
        int n = snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
        if (n > 0) used += (size_t)n;
    }
    const char *nearest = am_nearest_word(text, names);
    return am_fail(st, ALTMIN_ERR_USAGE, "setting '%s': '%.80s' is not one of: %s%s%s%s", row->name, text,
                   list, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* "50" or "16x50": how many layers of which width. */
static int parse_layers(const char *text, size_t n_text, uint64_t *count, uint64_t *width)
{
    const char *x = memchr(text, 'x', n_text);
    if (!x) return parse_whole(text, n_text, width);
    const size_t n_count = (size_t)(x - text);
    return parse_whole(text, n_count, count) && *count > 0 && parse_whole(x + 1, n_text - n_count - 1, width);
}

static altmin_error set_widths(const am_setting *row, am_widths *field, const char *text, altmin_status *st)
{
    am_widths widths = {0};
    if (text[0] == '\0' || strcmp(text, "none") == 0) {
        *field = widths;
        return ALTMIN_OK;
    }
    for (const char *at = text;;) {
        at += strspn(at, " ");
        size_t n_word = strcspn(at, ","), n_used = n_word;
        while (n_used > 0 && at[n_used - 1] == ' ') n_used--;
        uint64_t count = 1, width = 0;
        if (!parse_layers(at, n_used, &count, &width) || !in_range(row, (double)width)) {
            return am_fail(
                st, ALTMIN_ERR_USAGE,
                "setting '%s': '%.*s' is not a layer width; give whole numbers from 1 to 2147483648 "
                "with commas between, like 1000,1000, 16x50 for sixteen layers of 50, or none",
                row->name, n_used < 80 ? (int)n_used : 80, at);
        }
        if (count > AM_MAX_HIDDEN - widths.n) {
            return am_fail(st, ALTMIN_ERR_USAGE, "setting '%s': more than %d hidden layers", row->name,
                           AM_MAX_HIDDEN);
        }
        while (count--) widths.width[widths.n++] = (size_t)width;
        if (at[n_word] == '\0') break;
        at += n_word + 1;
    }
    *field = widths;
    return ALTMIN_OK;
}

static altmin_error set_text(const am_setting *row, altmin_settings *s, const char *text, altmin_status *st)
{
    void *field = field_of(row, s);
    double real = 0;
    uint64_t whole = 0;
    switch (row->type) {
    case AM_SET_TEXT: return set_string(row, field, text, st);
    case AM_SET_CHOICE: return set_choice(row, field, text, st);
    case AM_SET_WIDTHS: return set_widths(row, field, text, st);
    case AM_SET_REAL:
        if (row->takes_inf && strcmp(text, "inf") == 0)
            real = INFINITY;
        else if (!parse_real(text, &real) || !in_range(row, real))
            return fail_range(row, text, row->takes_inf ? "inf or a number" : "a number", st);
        *(double *)field = real;
        return ALTMIN_OK;
    case AM_SET_COUNT:
    case AM_SET_SEED:
        if (!parse_whole(text, strlen(text), &whole) || !in_range(row, (double)whole) || whole > SIZE_MAX) {
            return fail_range(row, text, "a whole number", st);
        }
        if (row->type == AM_SET_SEED) {
            *(uint64_t *)field = whole;
        } else {
            *(size_t *)field = (size_t)whole;
        }
        return ALTMIN_OK;
    }
    return am_fail(st, ALTMIN_ERR_INTERNAL, "setting '%s' has an unknown type", row->name);
}

static size_t index_of(const am_setting *row)
{
    size_t n = 0;
    return (size_t)(row - am_setting_table(&n));
}

altmin_error am_setting_set(const am_setting *row, altmin_settings *s, const char *text, altmin_status *st)
{
    const altmin_error error = set_text(row, s, text, st);
    if (!error) s->given[index_of(row)] = 1;
    return error;
}

int am_setting_given(const altmin_settings *s, const char *name)
{
    return s->given[index_of(am_setting_find(name))];
}

altmin_error am_settings_apply_preset(altmin_settings *s, const char *const *pairs, altmin_status *st)
{
    for (size_t i = 0; pairs && pairs[i]; i += 2) {
        const am_setting *row = am_setting_find(pairs[i]);
        if (!row) return am_setting_unknown(pairs[i], st);
        if (!s->given[index_of(row)] && set_text(row, s, pairs[i + 1], st)) return ALTMIN_ERR_USAGE;
    }
    return ALTMIN_OK;
}

/* ---- passes ---- */

size_t am_settings_steps_of_pass(const altmin_settings *s, size_t pass, size_t n_steps)
{
    const double left = s->sweeps - (double)(pass - 1);
    const double part = ceil((left < 1.0 ? left : 1.0) * (double)n_steps - 1e-9);
    return part < 1.0 ? 1 : (size_t)part;
}

double am_settings_steps_of_run(const altmin_settings *s, size_t n_steps)
{
    const size_t n_sweeps = am_settings_n_sweeps(s);
    if (!n_sweeps) return 0.0;
    return (double)n_steps * (double)(n_sweeps - 1) + (double)am_settings_steps_of_pass(s, n_sweeps, n_steps);
}

/* ---- life and death ---- */

altmin_settings *altmin_settings_new(void)
{
    altmin_settings *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    size_t n = 0;
    const am_setting *row = am_setting_table(&n);
    for (size_t i = 0; i < n; i++) {
        if (set_text(&row[i], s, row[i].fallback, NULL) == ALTMIN_OK) continue;
        altmin_settings_free(s);
        return NULL;
    }
    return s;
}

void altmin_settings_free(altmin_settings *settings)
{
    if (!settings) return;
    size_t n = 0;
    const am_setting *row = am_setting_table(&n);
    for (size_t i = 0; i < n; i++) {
        if (row[i].type == AM_SET_TEXT) free(*(char **)field_of(&row[i], settings));
    }
    free(settings);
}

altmin_settings *am_settings_copy(const altmin_settings *settings)
{
    altmin_settings *copy = malloc(sizeof *copy);
    if (!copy) return NULL;
    *copy = *settings;
    size_t n = 0, n_failed = 0;
    const am_setting *row = am_setting_table(&n);
    for (size_t i = 0; i < n; i++) {
        if (row[i].type != AM_SET_TEXT) continue;
        char **text = field_of(&row[i], copy);
        if (!*text) continue;
        *text = strdup(*text);
        n_failed += *text == NULL;
    }
    if (n_failed == 0) return copy;
    altmin_settings_free(copy);
    return NULL;
}

altmin_error am_setting_unknown(const char *name, altmin_status *st)
{
    const char *nearest = am_setting_nearest(name);
    if (nearest) {
        return am_fail(st, ALTMIN_ERR_USAGE, "unknown setting '%.80s'; did you mean '%s'?", name, nearest);
    }
    return am_fail(st, ALTMIN_ERR_USAGE, "unknown setting '%.80s'; 'altmin train --help' lists all", name);
}

altmin_error altmin_settings_set(altmin_settings *settings, const char *name, const char *value,
                                 altmin_status *status)
{
    am_status_clear(status);
    if (!settings || !name || !value) {
        return am_fail(status, ALTMIN_ERR_USAGE,
                       "altmin_settings_set: settings, name and value must not be NULL");
    }
    const am_setting *row = am_setting_find(name);
    if (!row) return am_setting_unknown(name, status);
    return am_setting_set(row, settings, value, status);
}

/* ---- printing ---- */

static void print_widths(const am_widths *widths, char *buf, size_t n_buf)
{
    snprintf(buf, n_buf, "%s", widths->n ? "" : "none");
    size_t used = 0;
    for (size_t i = 0; i < widths->n && used < n_buf; i++) {
        int n = snprintf(buf + used, n_buf - used, "%s%zu", i ? "," : "", widths->width[i]);
        if (n > 0) used += (size_t)n;
    }
}

void am_setting_print(const am_setting *row, const altmin_settings *settings, char *buf, size_t n_buf)
{
    const void *field = field_in(row, settings);
    const char *text = NULL;
    char number[AM_JSON_REAL_SIZE];
    switch (row->type) {
    case AM_SET_TEXT:
        text = *(char *const *)field;
        if (!text) text = row->unset;
        break;
    case AM_SET_CHOICE: text = am_setting_choice_name(row, *(const int *)field); break;
    case AM_SET_WIDTHS: print_widths(field, buf, n_buf); return;
    case AM_SET_REAL:
        am_json_format_real(number, *(const double *)field);
        text = number;
        break;
    case AM_SET_COUNT: snprintf(buf, n_buf, "%zu", *(const size_t *)field); return;
    case AM_SET_SEED: snprintf(buf, n_buf, "%llu", (unsigned long long)*(const uint64_t *)field); return;
    }
    snprintf(buf, n_buf, "%s", text ? text : "");
}
