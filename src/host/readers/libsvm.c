/* LIBSVM / svmlight text: `label index:value index:value ... # comment`, indices from 1, ascending.
 *
 * Read into compressed sparse columns; when more than a third of the entries are there, the dense form is no
 * larger and is used instead. Zeros that are written out are not stored. Format:
 * https://www.csie.ntu.edu.tw/~cjlin/libsvm/ */
#include "host/readers/readers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DENSE_BYTES_PER_ENTRY = 12 };

typedef struct libsvm {
    const am_input *in;
    const am_read_options *opt;
    am_labels *labels;
    size_t line;
    size_t n_samples, n_entries, n_features; /* n_features: the largest index so far */
    size_t *start;
    int32_t *row;
    float *value;
    size_t start_capacity, row_capacity, value_capacity;
} libsvm;

static altmin_error fail_memory(const libsvm *r, altmin_status *st)
{
    return am_fail(st, ALTMIN_ERR_MEMORY, "cannot read '%s': no memory at line %zu", r->in->name, r->line);
}

static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && is_space(*p)) ++p;
    return p;
}

static const char *skip_word(const char *p, const char *end)
{
    while (p < end && !is_space(*p)) ++p;
    return p;
}

static altmin_error fail_pair(const libsvm *r, const char *word, size_t n, const char *hint,
                              altmin_status *st)
{
    char excerpt[64];
    return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': line %zu: '%s' is not of the form index:value%s",
                   r->in->name, r->line, am_excerpt(excerpt, word, n), hint);
}

static altmin_error check_index(const libsvm *r, int64_t index, int64_t last, const char *word, size_t n,
                                altmin_status *st)
{
    char excerpt[64];
    const char *what = NULL;
    am_excerpt(excerpt, word, n);
    if (index < 1)
        what = "indices count from 1; write the file one-based";
    else if (index > INT32_MAX)
        what = "the largest index possible is 2147483647";
    else if (index == last)
        what = "this index occurs twice in the line";
    else if (index < last)
        what = "indices must ascend within a line";
    if (what)
        return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': line %zu: '%s': %s", r->in->name, r->line,
                       excerpt, what);
    if (r->opt->n_features && (size_t)index > r->opt->n_features)
        return am_fail(st, ALTMIN_ERR_DATA,
                       "cannot read '%s': line %zu: '%s': only %zu features are expected", r->in->name,
                       r->line, excerpt, r->opt->n_features);
    return ALTMIN_OK;
}

/* One index:value word. */
static altmin_error read_pair(libsvm *r, const char *word, size_t n, int64_t *last, altmin_status *st)
{
    const char *colon = memchr(word, ':', n);
    int64_t index;
    float value;
    char place[64];
    if (!colon) return fail_pair(r, word, n, "", st);
    size_t n_index = (size_t)(colon - word), n_value = n - n_index - 1;
    if (n_index == 3 && memcmp(word, "qid", 3) == 0)
        return fail_pair(r, word, n, "; ranking data (qid) cannot be used here", st);
    if (am_parse_integer(word, n_index, &index))
        return fail_pair(r, word, n, "; the index is not a number", st);
    altmin_error code = check_index(r, index, *last, word, n, st);
    if (code) return code;
    am_number_kind kind = am_parse_number(colon + 1, n_value, &value);
    if (kind != AM_NUMBER_OK) {
        snprintf(place, sizeof place, "line %zu, index %lld", r->line, (long long)index);
        return am_fail_number(r->in, kind, place, colon + 1, n_value, NULL, st);
    }
    *last = index;
    if ((size_t)index > r->n_features) r->n_features = (size_t)index;
    if (!(value < 0) && !(value > 0)) return ALTMIN_OK;
    if (am_reserve(&r->row, r->n_entries + 1, &r->row_capacity, sizeof *r->row) ||
        am_reserve(&r->value, r->n_entries + 1, &r->value_capacity, sizeof *r->value))
        return fail_memory(r, st);
    r->row[r->n_entries] = (int32_t)(index - 1);
    r->value[r->n_entries++] = value;
    return ALTMIN_OK;
}

static altmin_error read_label(libsvm *r, const char *word, size_t n, altmin_status *st)
{
    char excerpt[64];
    int task = r->opt->task;
    if (memchr(word, ':', n))
        return am_fail(
            st, ALTMIN_ERR_FORMAT,
            "cannot read '%s': line %zu: '%s' stands where the label should be; write one, e.g. 0, in "
            "front of every line",
            r->in->name, r->line, am_excerpt(excerpt, word, n));
    if (task != 2 && memchr(word, ',', n))
        return am_fail(
            st, ALTMIN_ERR_DATA,
            "cannot read '%s': line %zu: '%s' lists several labels; one label per sample is possible",
            r->in->name, r->line, am_excerpt(excerpt, word, n));
    return am_labels_add(r->labels, word, n, r->line, 0, st);
}

/* A line without its newline; comments and blank lines are no samples. */
static altmin_error read_line(libsvm *r, const char *p, const char *end, altmin_status *st)
{
    const char *comment = memchr(p, '#', (size_t)(end - p));
    altmin_error code = ALTMIN_OK;
    int64_t last = 0;
    if (comment) end = comment;
    p = skip_space(p, end);
    if (p == end) return ALTMIN_OK;
    const char *word_end = skip_word(p, end);
    int unlabelled = r->opt->task == 2 && memchr(p, ':', (size_t)(word_end - p));
    if (!unlabelled) {
        if ((code = read_label(r, p, (size_t)(word_end - p), st))) return code;
        p = skip_space(word_end, end);
    }
    if (am_reserve(&r->start, r->n_samples + 1, &r->start_capacity, sizeof *r->start))
        return fail_memory(r, st);
    r->start[r->n_samples++] = r->n_entries;
    while (p < end && !code) {
        word_end = skip_word(p, end);
        code = read_pair(r, p, (size_t)(word_end - p), &last, st);
        p = skip_space(word_end, end);
    }
    return code;
}

static altmin_error read_lines(libsvm *r, altmin_status *st)
{
    const char *p = (const char *)r->in->bytes, *end = p + r->in->n_bytes;
    altmin_error code = ALTMIN_OK;
    if (r->in->n_bytes >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) p += 3;
    while (p < end && !code) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *line_end = newline ? newline : end;
        r->line += 1;
        code = read_line(r, p, line_end, st);
        p = newline ? newline + 1 : end;
    }
    if (code) return code;
    if (r->opt->n_features) r->n_features = r->opt->n_features;
    return am_check_sizes(r->in, r->n_features, r->n_samples, st);
}

/* Hand an array to the data set, cut to its length; the reader no longer has it. A file of zeros has no
 * entries and no arrays for them. */
static void *give(altmin_data *data, void *array, size_t n_bytes, altmin_status *st)
{
    void *block = realloc(array, n_bytes ? n_bytes : 1);
    if (!block) block = array;
    return am_data_own(data, block, st) ? NULL : block;
}

static altmin_error finish_sparse(libsvm *r, altmin_data *data, altmin_status *st)
{
    if (am_reserve(&r->start, r->n_samples + 1, &r->start_capacity, sizeof *r->start))
        return fail_memory(r, st);
    r->start[r->n_samples] = r->n_entries;
    am_csc *x = &data->sparse;
    data->storage = AM_STORE_SPARSE;
    x->rows = r->n_features;
    x->cols = r->n_samples;
    void *start = r->start, *row = r->row, *value = r->value;
    r->start = NULL;
    if (!(x->start = give(data, start, (r->n_samples + 1) * sizeof *r->start, st))) return ALTMIN_ERR_MEMORY;
    r->row = NULL;
    if (!(x->row = give(data, row, r->n_entries * sizeof *r->row, st))) return ALTMIN_ERR_MEMORY;
    r->value = NULL;
    if (!(x->value = give(data, value, r->n_entries * sizeof *r->value, st))) return ALTMIN_ERR_MEMORY;
    return ALTMIN_OK;
}

/* Dense takes 4 n d bytes, sparse at most 12 per entry. */
static int dense_is_smaller(const libsvm *r)
{
    size_t dense, sparse;
    if (am_size_mul(r->n_samples, r->n_features, &dense) || am_size_mul(dense, sizeof(float), &dense))
        return 0;
    if (am_size_mul(r->n_entries, DENSE_BYTES_PER_ENTRY, &sparse)) return 0;
    return sparse > dense;
}

static altmin_error finish_dense(libsvm *r, altmin_data *data, altmin_status *st)
{
    float *x = calloc(r->n_samples * r->n_features, sizeof *x);
    altmin_error code = am_data_own(data, x, st);
    if (code) return code;
    for (size_t j = 0; j < r->n_samples; ++j) {
        size_t end = j + 1 < r->n_samples ? r->start[j + 1] : r->n_entries;
        for (size_t k = r->start[j]; k < end; ++k) x[(size_t)r->row[k] + j * r->n_features] = r->value[k];
    }
    data->storage = AM_STORE_F32;
    data->f32 = x;
    return ALTMIN_OK;
}

static altmin_error finish(libsvm *r, altmin_data *data, altmin_status *st)
{
    data->n_samples = r->n_samples;
    data->n_features = r->n_features;
    altmin_error code = dense_is_smaller(r) ? finish_dense(r, data, st) : finish_sparse(r, data, st);
    return code ? code : am_labels_finish(r->labels, data, st);
}

altmin_error am_read_libsvm(altmin_data *data, am_input *in, const am_read_options *opt, altmin_status *st)
{
    libsvm r = {.in = in, .opt = opt, .labels = am_labels_new(in, opt)};
    altmin_error code = r.labels ? read_lines(&r, st) : fail_memory(&r, st);
    if (!code) code = finish(&r, data, st);
    am_labels_free(r.labels);
    free(r.start);
    free(r.row);
    free(r.value);
    return code;
}
