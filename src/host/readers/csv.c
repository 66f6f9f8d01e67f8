/* CSV and TSV: one sample per record, one column the label, the others features. Decides whether the first
 * record is a header and which column is the label, then reads numbers. Scanning is csv_scan.c. */
#include "host/readers/csv_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_COLUMN SIZE_MAX

/* A record held for a closer look: the first line and the one behind it. */
typedef struct record {
    char *text; /* the fields, each NUL-terminated */
    size_t n_text, text_capacity;
    size_t *at; /* where each begins */
    size_t n, at_capacity;
} record;

typedef struct csv {
    const am_input *in;
    const am_read_options *opt;
    am_csv_scan scan;
    record first, second;
    int has_header;
    size_t n_columns, label_column; /* NO_COLUMN: none */
    am_labels *labels;
    float *x;
    size_t n_values, x_capacity;
    size_t n_samples;
} csv;

static altmin_error fail_memory(const csv *r, altmin_status *st)
{
    return am_fail(st, ALTMIN_ERR_MEMORY, "cannot read '%s': no memory at line %zu", r->in->name,
                   r->scan.line);
}

/* ---- the first two records ---- */

static void record_free(record *rec)
{
    free(rec->text);
    free(rec->at);
}

static const char *record_field(const record *rec, size_t i)
{
    return rec->text + rec->at[i];
}

static altmin_error read_record(csv *r, record *rec, altmin_status *st)
{
    am_csv_field field = {0};
    do {
        altmin_error code = am_csv_next_field(&r->scan, rec->n + 1, &field, st);
        if (code) return code;
        if (am_reserve(&rec->text, rec->n_text + field.n + 1, &rec->text_capacity, 1) ||
            am_reserve(&rec->at, rec->n + 1, &rec->at_capacity, sizeof *rec->at))
            return fail_memory(r, st);
        if (field.n) memcpy(rec->text + rec->n_text, field.text, field.n);
        rec->text[rec->n_text + field.n] = '\0';
        rec->at[rec->n++] = rec->n_text;
        rec->n_text += field.n + 1;
    } while (!field.last);
    return ALTMIN_OK;
}

/* Read the first record, peek at the second, and stand behind the first again. */
static altmin_error read_first_records(csv *r, altmin_status *st)
{
    if (!am_csv_next_record(&r->scan))
        return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': it holds only blank lines", r->in->name);
    altmin_error code = read_record(r, &r->first, st);
    if (code) return code;
    r->n_columns = r->first.n;
    am_csv_scan behind_first = r->scan;
    if (am_csv_next_record(&r->scan)) code = read_record(r, &r->second, st);
    behind_first.scratch = r->scan.scratch;
    behind_first.scratch_capacity = r->scan.scratch_capacity;
    r->scan = behind_first;
    return code;
}

/* ---- header and label column ---- */

static am_number_kind kind_of(const char *text)
{
    float ignored;
    return am_parse_number(text, strlen(text), &ignored);
}

static int is_numeric(const char *text)
{
    am_number_kind kind = kind_of(text);
    return kind != AM_NUMBER_BAD && kind != AM_NUMBER_MISSING;
}

/* 1 when the features of the first record are 0, 1, 2, ... or 1, 2, 3, ..., two at least: numbers of columns.
 */
static int counts_columns(const csv *r)
{
    int64_t wanted = -1, value;
    size_t n = 0;
    for (size_t i = 0; i < r->n_columns; ++i) {
        if (i == r->label_column) continue;
        const char *field = record_field(&r->first, i);
        if (am_parse_integer(field, strlen(field), &value)) return 0;
        if (n++ == 0) wanted = value == 1;
        if (value != wanted++) return 0;
    }
    return n > 1;
}

/* A header is a first record whose features are all words, or count the columns while its label is a word and
 * the next record's is a number ("0,1,2,label"). A record with some words and some numbers is taken as data:
 * better an error that names the word than a sample silently lost. */
static int looks_like_header(const csv *r)
{
    size_t n_words = 0, n_numbers = 0, label = r->label_column;
    for (size_t i = 0; i < r->n_columns; ++i) {
        if (i == label) continue;
        n_words += kind_of(record_field(&r->first, i)) == AM_NUMBER_BAD;
        n_numbers += (size_t)is_numeric(record_field(&r->first, i));
    }
    if (n_words > 0 && n_numbers == 0) return 1;
    return counts_columns(r) && label < r->second.n &&
           kind_of(record_field(&r->first, label)) == AM_NUMBER_BAD &&
           is_numeric(record_field(&r->second, label));
}

/* The column of a name in the first record: 0 matches leave it NO_COLUMN. Returns the number of matches. */
static size_t find_name(const csv *r, const char *name, size_t *column)
{
    size_t n_matches = 0;
    *column = NO_COLUMN;
    for (size_t i = 0; i < r->n_columns; ++i) {
        if (strcmp(record_field(&r->first, i), name) != 0) continue;
        if (n_matches++ == 0) *column = i;
    }
    return n_matches;
}

static altmin_error fail_no_column(const csv *r, const char *name, altmin_status *st)
{
    char names[400], excerpt[64];
    size_t used = 0;
    names[0] = '\0';
    for (size_t i = 0; i < r->n_columns && used < 250; ++i) {
        const char *field = record_field(&r->first, i);
        used += (size_t)snprintf(names + used, sizeof names - used, "%s'%s'", i ? ", " : "",
                                 am_excerpt(excerpt, field, strlen(field)));
    }
    return am_fail(st, ALTMIN_ERR_USAGE, "cannot read '%s': no column is named '%s'; its first line has %s",
                   r->in->name, name, names);
}

/* Label column by name (in a header) or index. */
static altmin_error find_label(csv *r, const char *wanted, altmin_status *st)
{
    int64_t index;
    int is_index = am_parse_integer(wanted, strlen(wanted), &index) == 0;
    /* Unless a header is certain, a number is an index: the first line may be data that holds it. */
    int may_be_name = is_index ? r->opt->header > 0 : r->opt->header != 0;
    size_t n_matches = may_be_name ? find_name(r, wanted, &r->label_column) : 0;
    if (n_matches > 1)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "cannot read '%s': %zu columns are named '%s'; give the label's index", r->in->name,
                       n_matches, wanted);
    if (n_matches == 1) {
        r->has_header = 1;
        return ALTMIN_OK;
    }
    if (!is_index) return fail_no_column(r, wanted, st);
    int64_t n = (int64_t)r->n_columns;
    if (index < -n || index >= n)
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "cannot read '%s': label column %s does not exist; the first line has %zu columns, 0 to %zu (or "
            "-1 to -%zu from the end)",
            r->in->name, wanted, r->n_columns, r->n_columns - 1, r->n_columns);
    r->label_column = (size_t)(index < 0 ? index + n : index);
    return ALTMIN_OK;
}

static altmin_error settle_columns(csv *r, altmin_status *st)
{
    const char *wanted = r->opt->label_column;
    altmin_error code = ALTMIN_OK;
    r->has_header = r->opt->header > 0;
    r->label_column = r->n_columns - 1;
    if (wanted ? strcmp(wanted, "none") == 0 : r->opt->task == 2)
        r->label_column = NO_COLUMN;
    else if (wanted)
        code = find_label(r, wanted, st);
    if (code) return code;
    if (r->opt->header < 0 && !r->has_header) r->has_header = looks_like_header(r);
    if (r->n_columns == 1 && r->label_column == 0)
        return am_fail(
            st, ALTMIN_ERR_DATA,
            "cannot read '%s': it has one column, the label, and no features; columns are separated by "
            "commas, semicolons or tabs",
            r->in->name);
    return ALTMIN_OK;
}

/* ---- samples ---- */

static const char *feature_hint(char out[240], const csv *r, const am_csv_field *field)
{
    char excerpt[64];
    const char *name = r->has_header ? record_field(&r->first, field->column - 1) : "";
    if (r->n_samples == 0 && !r->has_header && r->opt->header <= 0)
        return "features must be numbers; if this line is a header, set header to yes";
    if (r->scan.separator == ';' && memchr(field->text, ',', field->n))
        return "a decimal comma cannot be read, write a point";
    snprintf(out, 240, "features must be numbers: encode or leave out this column%s%s%s", *name ? " ('" : "",
             am_excerpt(excerpt, name, strlen(name)), *name ? "')" : "");
    return out;
}

static altmin_error fail_feature(const csv *r, am_number_kind kind, const am_csv_field *field,
                                 altmin_status *st)
{
    char place[80], hint[240];
    snprintf(place, sizeof place, "line %zu, column %zu", field->line, field->column);
    return am_fail_number(r->in, kind, place, field->text, field->n,
                          kind == AM_NUMBER_BAD ? feature_hint(hint, r, field) : NULL, st);
}

static altmin_error fail_width(const csv *r, size_t line, size_t n_fields, altmin_status *st)
{
    return am_fail(st, ALTMIN_ERR_FORMAT,
                   "cannot read '%s': line %zu has %s%zu field%s, the first line has %zu", r->in->name, line,
                   n_fields > r->n_columns ? "at least " : "", n_fields, n_fields == 1 ? "" : "s",
                   r->n_columns);
}

static altmin_error read_sample(csv *r, altmin_status *st)
{
    am_csv_field field = {0};
    size_t line = r->scan.line, column = 0;
    float *x = r->x + r->n_values;
    for (; !field.last; ++column) {
        altmin_error code = am_csv_next_field(&r->scan, column + 1, &field, st);
        if (code) return code;
        if (column == r->n_columns) return fail_width(r, line, column + 1, st);
        if (column == r->label_column) {
            if ((code = am_labels_add(r->labels, field.text, field.n, field.line, field.column, st)))
                return code;
            continue;
        }
        am_number_kind kind = am_parse_number(field.text, field.n, x++);
        if (kind != AM_NUMBER_OK) return fail_feature(r, kind, &field, st);
    }
    if (column < r->n_columns) return fail_width(r, line, column, st);
    r->n_values = (size_t)(x - r->x);
    r->n_samples += 1;
    return ALTMIN_OK;
}

static altmin_error read_samples(csv *r, altmin_status *st)
{
    altmin_error code = ALTMIN_OK;
    while (!code && am_csv_next_record(&r->scan)) {
        if (am_reserve(&r->x, r->n_values + r->n_columns, &r->x_capacity, sizeof *r->x))
            return fail_memory(r, st);
        code = read_sample(r, st);
    }
    return code;
}

/* ---- result ---- */

/* Header names without the label's; what is not UTF-8 becomes '?', for they end up in messages and JSON. */
static altmin_error name_features(csv *r, altmin_data *data, altmin_status *st)
{
    char **name = calloc(data->n_features, sizeof *name);
    size_t n = 0;
    if (!name) return fail_memory(r, st);
    for (size_t i = 0; i < r->n_columns; ++i) {
        if (i == r->label_column) continue;
        name[n] = r->first.text + r->first.at[i];
        if (!am_is_utf8(name[n], strlen(name[n])))
            for (char *c = name[n]; *c; ++c)
                if ((unsigned char)*c >= 0x80) *c = '?';
        ++n;
    }
    altmin_error code = am_data_copy_names(data, name, n, &data->feature_name, st);
    free(name);
    return code;
}

static altmin_error finish(csv *r, altmin_data *data, altmin_status *st)
{
    altmin_error code = am_check_sizes(r->in, r->n_values ? r->n_values / r->n_samples : 1, r->n_samples, st);
    if (code) return code;
    data->n_samples = r->n_samples;
    data->n_features = r->n_values / r->n_samples;
    float *fitted = realloc(r->x, r->n_values * sizeof *fitted);
    data->storage = AM_STORE_F32;
    data->f32 = fitted ? fitted : r->x;
    r->x = NULL;
    if ((code = am_data_own(data, (void *)(uintptr_t)data->f32, st))) return code;
    if (r->has_header && (code = name_features(r, data, st))) return code;
    return r->label_column == NO_COLUMN ? ALTMIN_OK : am_labels_finish(r->labels, data, st);
}

static altmin_error read_all(csv *r, altmin_data *data, altmin_status *st)
{
    if (!r->labels) return fail_memory(r, st);
    am_csv_scan_init(&r->scan, r->in);
    am_csv_scan beginning = r->scan;
    altmin_error code = read_first_records(r, st);
    if (!code) code = settle_columns(r, st);
    if (code) return code;
    if (!r->has_header) {
        r->scan.p = beginning.p;
        r->scan.line = beginning.line;
    }
    code = read_samples(r, st);
    return code ? code : finish(r, data, st);
}

altmin_error am_read_csv(altmin_data *data, am_input *in, const am_read_options *opt, altmin_status *st)
{
    csv r = {.in = in, .opt = opt, .labels = am_labels_new(in, opt)};
    altmin_error code = read_all(&r, data, st);
    am_labels_free(r.labels);
    am_csv_scan_free(&r.scan);
    record_free(&r.first);
    record_free(&r.second);
    free(r.x);
    return code;
}
