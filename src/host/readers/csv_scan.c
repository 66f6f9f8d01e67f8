/* CSV as in RFC 4180, more tolerant: separators comma, semicolon or tab; CRLF or LF; spaces around fields;
 * blank lines; a byte order mark. A field in double quotes may hold separators, newlines and doubled quotes.
 */
#include "host/readers/csv_scan.h"

#include <stdlib.h>
#include <string.h>

/* Separators of one kind in the record at *p, which is moved behind the record. Quotes are only paired here.
 */
static size_t count_separators(const char **p, const char *end, char separator)
{
    size_t n = 0;
    int quoted = 0;
    const char *q = *p;
    for (; q < end && (quoted || *q != '\n'); ++q) {
        quoted ^= *q == '"';
        n += !quoted && *q == separator;
    }
    *p = q < end ? q + 1 : end;
    return n;
}

static char choose_separator(const char *text, const char *end)
{
    static const char candidates[] = {'\t', ';', ','};
    char best = ',';
    size_t best_score = 0;
    for (size_t i = 0; i < sizeof candidates; ++i) {
        const char *p = text;
        size_t first = count_separators(&p, end, candidates[i]);
        size_t second = p < end ? count_separators(&p, end, candidates[i]) : first;
        size_t score = first == 0        ? 0
                       : first == second ? first + 1
                                         : 1; /* an uneven candidate only beats none */
        if (score > best_score) {
            best = candidates[i];
            best_score = score;
        }
    }
    return best;
}

void am_csv_scan_init(am_csv_scan *scan, const am_input *in)
{
    const char *text = (const char *)in->bytes, *end = text + in->n_bytes;
    if (in->n_bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3;
    *scan = (am_csv_scan){.in = in, .p = text, .end = end, .line = 1};
    if (am_csv_next_record(scan)) scan->separator = choose_separator(scan->p, end);
}

void am_csv_scan_free(am_csv_scan *scan)
{
    free(scan->scratch);
}

int am_csv_next_record(am_csv_scan *scan)
{
    while (scan->p < scan->end) {
        if (*scan->p == '\n') {
            scan->p += 1;
            scan->line += 1;
        } else if (*scan->p == '\r' && scan->p + 1 < scan->end && scan->p[1] == '\n') {
            scan->p += 2;
            scan->line += 1;
        } else {
            return 1;
        }
    }
    return 0;
}

static int is_blank(const am_csv_scan *scan, char c)
{
    return (c == ' ' || c == '\t' || c == '\r') && c != scan->separator;
}

/* Step over the separator or newline behind a field. */
static void end_field(am_csv_scan *scan, am_csv_field *field)
{
    field->last = scan->p == scan->end || *scan->p == '\n';
    if (scan->p == scan->end) return;
    scan->line += *scan->p == '\n';
    scan->p += 1;
}

/* Find the closing quote; *doubled counts the doubled quotes inside. NULL when there is none. */
static const char *closing_quote(am_csv_scan *scan, const char *p, size_t *n_doubled)
{
    for (; p < scan->end; ++p) {
        scan->line += *p == '\n';
        if (*p != '"') continue;
        if (p + 1 == scan->end || p[1] != '"') return p;
        *n_doubled += 1;
        ++p;
    }
    return NULL;
}

static altmin_error undouble(am_csv_scan *scan, am_csv_field *field, altmin_status *st)
{
    size_t n = 0;
    if (am_reserve(&scan->scratch, field->n, &scan->scratch_capacity, 1))
        return am_fail(st, ALTMIN_ERR_MEMORY, "cannot read '%s': no memory at line %zu", scan->in->name,
                       field->line);
    for (size_t i = 0; i < field->n; ++i) {
        scan->scratch[n++] = field->text[i];
        i += field->text[i] == '"';
    }
    field->text = scan->scratch;
    field->n = n;
    return ALTMIN_OK;
}

static altmin_error quoted_field(am_csv_scan *scan, am_csv_field *field, altmin_status *st)
{
    char excerpt[64];
    size_t n_doubled = 0;
    const char *open = scan->p, *close = closing_quote(scan, open + 1, &n_doubled);
    if (!close)
        return am_fail(st, ALTMIN_ERR_FORMAT,
                       "cannot read '%s': line %zu, column %zu: the quote that begins here is never closed",
                       scan->in->name, field->line, field->column);
    field->quoted = 1;
    field->text = open + 1;
    field->n = (size_t)(close - open) - 1;
    scan->p = close + 1;
    while (scan->p < scan->end && is_blank(scan, *scan->p)) ++scan->p;
    if (scan->p < scan->end && *scan->p != scan->separator && *scan->p != '\n')
        return am_fail(
            st, ALTMIN_ERR_FORMAT,
            "cannot read '%s': line %zu, column %zu: text follows the closing quote of '%s'; quotes inside "
            "a quoted field are doubled",
            scan->in->name, field->line, field->column, am_excerpt(excerpt, field->text, field->n));
    end_field(scan, field);
    return n_doubled ? undouble(scan, field, st) : ALTMIN_OK;
}

altmin_error am_csv_next_field(am_csv_scan *scan, size_t column, am_csv_field *field, altmin_status *st)
{
    const char separator = scan->separator, *end = scan->end, *p = scan->p;
    while (p < end && is_blank(scan, *p)) ++p;
    field->line = scan->line;
    field->column = column;
    field->quoted = 0;
    scan->p = p;
    if (p < end && *p == '"') return quoted_field(scan, field, st);
    const char *first = p;
    while (p < end && *p != separator && *p != '\n') ++p;
    scan->p = p;
    while (p > first && is_blank(scan, p[-1])) --p;
    field->text = first;
    field->n = (size_t)(p - first);
    end_field(scan, field);
    return ALTMIN_OK;
}
