/* One label per sample, from text or integers, turned into classes or regression targets.
 *
 * Distinct texts are interned in a hash table; each sample keeps the number of its text and, while that may
 * be needed, its value. Unless the task is given: real numbers mean regression; integers or words with at
 * most 1000 distinct values mean classes; more distinct integers mean regression, more distinct words are an
 * error (an identifier column). Classes are sorted by value when all are numbers, else bytewise. */
#include "host/readers/readers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "host/data/words.h"

enum { TASK_AUTO = -1, TASK_CLASSES = 0, TASK_REGRESSION = 1, TASK_UNLABELLED = 2 };
enum { MAX_AUTO_CLASSES = 1000, MAX_NAME_BYTES = 1000 };

typedef enum word_kind { WORD_INTEGER, WORD_REAL, WORD_MISSING, WORD_TEXT } word_kind;

/* What is known about a distinct label text. */
typedef struct word {
    size_t line, column; /* where it came first */
    size_t n;            /* bytes */
    int64_t integer;
    float value;
    int32_t class_id; /* final class; given at once when the classes are prescribed */
    word_kind kind;
} word;

struct am_labels {
    const am_input *in;
    am_read_options opt;
    int task;
    int prescribed; /* classes are given by opt.class_name */
    int has_text;
    int interning; /* 0 once it is clear that this is regression */
    size_t n;      /* samples so far */
    int32_t *id;   /* word number per sample */
    float *value;  /* per sample */
    size_t id_capacity, value_capacity;
    am_words words;
    word *word; /* words.n of them */
    size_t word_capacity;
};

static const char *word_text(const am_labels *labels, const word *w)
{
    return am_words_text(&labels->words, (size_t)(w - labels->word), NULL);
}

static altmin_error fail_memory(const am_labels *labels, altmin_status *st)
{
    return am_fail(st, ALTMIN_ERR_MEMORY, "cannot read '%s': no memory for %zu labels", labels->in->name,
                   labels->n);
}

/* "line 17, column 4", "line 17", "label number 3" */
static const char *place_of(char out[80], const am_labels *labels, size_t line, size_t column)
{
    if (!line)
        snprintf(out, 80, "label number %zu", labels->n + 1);
    else if (column)
        snprintf(out, 80, "line %zu, column %zu", line, column);
    else
        snprintf(out, 80, "line %zu", line);
    return out;
}

/* ---- what a text is ---- */

static altmin_error fail_missing(const am_labels *labels, const char *text, size_t n, size_t line,
                                 size_t column, altmin_status *st)
{
    char place[80], excerpt[64];
    return am_fail(st, ALTMIN_ERR_DATA,
                   "cannot read '%s': %s: the label is missing%s%s%s; leave the sample out", labels->in->name,
                   place_of(place, labels, line, column), n ? " ('" : "", am_excerpt(excerpt, text, n),
                   n ? "')" : "");
}

/* Fill in kind, integer and value of a text. */
static altmin_error classify(const am_labels *labels, const char *text, size_t n, word *w, altmin_status *st)
{
    char place[80], excerpt[64];
    if (am_parse_integer(text, n, &w->integer) == 0) {
        w->kind = WORD_INTEGER;
        w->value = (float)w->integer;
        return ALTMIN_OK;
    }
    am_number_kind kind = am_parse_number(text, n, &w->value);
    if (n == 0 || (n == 1 && text[0] == '?')) return fail_missing(labels, text, n, w->line, w->column, st);
    if (kind == AM_NUMBER_NOT_FINITE || kind == AM_NUMBER_TOO_LARGE)
        return am_fail_number(labels->in, kind, place_of(place, labels, w->line, w->column), text, n,
                              "a label must be finite", st);
    w->kind = kind == AM_NUMBER_OK ? WORD_REAL : kind == AM_NUMBER_MISSING ? WORD_MISSING : WORD_TEXT;
    if (w->kind != WORD_TEXT || labels->task == TASK_REGRESSION) return ALTMIN_OK;
    if (n > MAX_NAME_BYTES)
        return am_fail(
            st, ALTMIN_ERR_DATA,
            "cannot read '%s': %s: the label '%s' has %zu bytes, more than %d; is a quote not closed?",
            labels->in->name, place_of(place, labels, w->line, w->column), am_excerpt(excerpt, text, n), n,
            MAX_NAME_BYTES);
    if (!am_is_utf8(text, n))
        return am_fail(st, ALTMIN_ERR_DATA,
                       "cannot read '%s': %s: the label '%s' is not UTF-8 text; convert the file, e.g. with "
                       "iconv -f latin1 -t utf-8",
                       labels->in->name, place_of(place, labels, w->line, w->column),
                       am_excerpt(excerpt, text, n));
    return ALTMIN_OK;
}

static altmin_error fail_not_number(const am_labels *labels, const char *text, const word *w,
                                    altmin_status *st)
{
    char place[80];
    const char *hint =
        labels->task == TASK_REGRESSION
            ? "regression needs a number in every label"
            : "the labels before it are numbers for regression; if they are names of classes, set task "
              "to classification";
    return am_fail_number(labels->in, w->kind == WORD_MISSING ? AM_NUMBER_MISSING : AM_NUMBER_BAD,
                          place_of(place, labels, w->line, w->column), text, w->n, hint, st);
}

static altmin_error fail_many_words(const am_labels *labels, const char *text, const word *w,
                                    altmin_status *st)
{
    char place[80], excerpt[64];
    return am_fail(
        st, ALTMIN_ERR_DATA,
        "cannot read '%s': %s: '%s' is the %dst distinct text label; if this column is an identifier, "
        "choose the label column (label), if these are classes, set task to classification",
        labels->in->name, place_of(place, labels, w->line, w->column), am_excerpt(excerpt, text, w->n),
        MAX_AUTO_CLASSES + 1);
}

static altmin_error fail_mixed(const am_labels *labels, const char *text, const word *w, altmin_status *st)
{
    char place[80], excerpt[64];
    return am_fail(
        st, ALTMIN_ERR_DATA,
        "cannot read '%s': %s: label '%s' is a real number but labels before it are words; if all are "
        "names of classes, set task to classification",
        labels->in->name, place_of(place, labels, w->line, w->column), am_excerpt(excerpt, text, w->n));
}

static altmin_error fail_unknown_class(const am_labels *labels, const char *text, const word *w,
                                       altmin_status *st)
{
    char place[80], excerpt[64], names[400];
    return am_fail(
        st, ALTMIN_ERR_DATA, "cannot read '%s': %s: label '%s' is none of the %zu known classes (%s)",
        labels->in->name, place_of(place, labels, w->line, w->column), am_excerpt(excerpt, text, w->n),
        labels->opt.n_classes, am_class_list(names, labels->opt.class_name, labels->opt.n_classes));
}

/* ---- adding ---- */

/* A missing-value word ("NA") among numbers is a missing label; only among words it can be a name. */
static altmin_error check_no_missing(const am_labels *labels, altmin_status *st)
{
    for (size_t i = 0; i < labels->words.n; ++i) {
        const word *w = &labels->word[i];
        if (w->kind == WORD_MISSING)
            return fail_missing(labels, word_text(labels, w), w->n, w->line, w->column, st);
    }
    return ALTMIN_OK;
}

/* With the task open, a new word may settle it: from here on regression, and no more interning. */
static altmin_error decide_task(am_labels *labels, const char *text, const word *w, altmin_status *st)
{
    if (w->kind == WORD_REAL && labels->has_text) return fail_mixed(labels, text, w, st);
    labels->has_text |= w->kind == WORD_TEXT;
    if (w->kind != WORD_REAL && labels->words.n < MAX_AUTO_CLASSES) return ALTMIN_OK;
    if (labels->has_text) return fail_many_words(labels, text, w, st);
    if (w->kind == WORD_MISSING) return fail_missing(labels, text, w->n, w->line, w->column, st);
    labels->interning = 0;
    return check_no_missing(labels, st);
}

static altmin_error check_new_word(am_labels *labels, const char *text, word *w, altmin_status *st)
{
    altmin_error code = classify(labels, text, w->n, w, st);
    if (code) return code;
    int is_number = w->kind == WORD_INTEGER || w->kind == WORD_REAL;
    if (labels->prescribed) {
        w->class_id = am_class_index(text, w->n, labels->opt.class_name, labels->opt.n_classes);
        return w->class_id < 0 ? fail_unknown_class(labels, text, w, st) : ALTMIN_OK;
    }
    if (!labels->interning) return is_number ? ALTMIN_OK : fail_not_number(labels, text, w, st);
    return labels->task == TASK_AUTO ? decide_task(labels, text, w, st) : ALTMIN_OK;
}

am_labels *am_labels_new(const am_input *in, const am_read_options *opt)
{
    am_labels *labels = calloc(1, sizeof *labels);
    if (!labels) return NULL;
    labels->in = in;
    labels->opt = *opt;
    labels->task = opt->task;
    labels->prescribed = opt->n_classes > 0 && opt->class_name && opt->task != TASK_REGRESSION;
    labels->interning = opt->task != TASK_REGRESSION;
    return labels;
}

static altmin_error push(am_labels *labels, int32_t id, float value, altmin_status *st)
{
    if (labels->task != TASK_CLASSES && !labels->prescribed) {
        if (am_reserve(&labels->value, labels->n + 1, &labels->value_capacity, sizeof *labels->value))
            return fail_memory(labels, st);
        labels->value[labels->n] = value;
    }
    if (labels->interning) {
        if (am_reserve(&labels->id, labels->n + 1, &labels->id_capacity, sizeof *labels->id))
            return fail_memory(labels, st);
        labels->id[labels->n] = id;
    }
    labels->n += 1;
    return ALTMIN_OK;
}

altmin_error am_labels_add(am_labels *labels, const char *text, size_t n, size_t line, size_t column,
                           altmin_status *st)
{
    if (labels->task == TASK_UNLABELLED) {
        labels->n += 1;
        return ALTMIN_OK;
    }
    word fresh = {.line = line, .column = column, .n = n};
    int32_t number = -1;
    if (labels->interning) {
        number = am_words_find(&labels->words, text, n);
        if (number >= 0) return push(labels, number, labels->word[number].value, st);
    }
    altmin_error code = check_new_word(labels, text, &fresh, st);
    if (code) return code;
    if (labels->interning) {
        if (am_reserve(&labels->word, labels->words.n + 1, &labels->word_capacity, sizeof *labels->word) ||
            (number = am_words_add(&labels->words, text, n)) < 0)
            return fail_memory(labels, st);
        labels->word[number] = fresh;
    }
    return push(labels, number, fresh.value, st);
}

altmin_error am_labels_add_integer(am_labels *labels, int64_t value, altmin_status *st)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, value);
    return am_labels_add(labels, text, (size_t)n, 0, 0, st);
}

size_t am_labels_count(const am_labels *labels)
{
    return labels->n;
}

/* ---- finishing ---- */

static const am_labels *sort_context(const void *a, const void *b, const word **x, const word **y, void *user)
{
    const am_labels *labels = user;
    *x = &labels->word[*(const int32_t *)a];
    *y = &labels->word[*(const int32_t *)b];
    return labels;
}

static int by_text(const void *a, const void *b, void *user)
{
    const word *x, *y;
    const am_labels *labels = sort_context(a, b, &x, &y, user);
    return strcmp(word_text(labels, x), word_text(labels, y));
}

static int by_integer(const void *a, const void *b, void *user)
{
    const word *x, *y;
    sort_context(a, b, &x, &y, user);
    if (x->integer != y->integer) return x->integer < y->integer ? -1 : 1;
    return by_text(a, b, user);
}

static int by_value(const void *a, const void *b, void *user)
{
    const word *x, *y;
    sort_context(a, b, &x, &y, user);
    if (x->value < y->value || x->value > y->value) return x->value < y->value ? -1 : 1;
    return by_text(a, b, user);
}

/* How the words of a class set compare: integers, real numbers or text. */
static word_kind kind_of_classes(const am_labels *labels)
{
    word_kind kind = WORD_INTEGER;
    for (size_t i = 0; i < labels->words.n; ++i)
        if (labels->word[i].kind > kind) kind = labels->word[i].kind;
    return kind;
}

/* Write whole numbers plainly ("+1", "01", "1.0" -> "1") so that equal classes of two files have one name. */
static void write_name(char out[MAX_NAME_BYTES + 1], const am_labels *labels, const word *w, word_kind kind)
{
    if (kind != WORD_TEXT && w->kind == WORD_INTEGER)
        snprintf(out, MAX_NAME_BYTES + 1, "%" PRId64, w->integer);
    else if (kind == WORD_REAL && w->value > -1e15f && w->value < 1e15f &&
             w->value == (float)(int64_t)w->value)
        snprintf(out, MAX_NAME_BYTES + 1, "%" PRId64, (int64_t)w->value);
    else
        snprintf(out, MAX_NAME_BYTES + 1, "%s", word_text(labels, w));
}

static int same_class(const word *x, const word *y, word_kind kind)
{
    if (kind == WORD_INTEGER) return x->integer == y->integer;
    return kind == WORD_REAL && !(x->value < y->value) && !(x->value > y->value);
}

/* Sort the words, give equal numbers one class, and collect each class's first word in order[0..n_classes).
 */
static size_t assign_classes(am_labels *labels, int32_t *order, word_kind kind)
{
    size_t n_classes = 0;
    for (size_t i = 0; i < labels->words.n; ++i) order[i] = (int32_t)i;
    qsort_r(order, labels->words.n, sizeof *order,
            kind == WORD_INTEGER ? by_integer
            : kind == WORD_REAL  ? by_value
                                 : by_text,
            labels);
    for (size_t i = 0; i < labels->words.n; ++i) {
        word *w = &labels->word[order[i]];
        if (n_classes == 0 || !same_class(&labels->word[order[n_classes - 1]], w, kind))
            order[n_classes++] = order[i];
        w->class_id = (int32_t)(n_classes - 1);
    }
    return n_classes;
}

/* Names of the classes whose first words are order[0..n). */
static altmin_error make_names(am_labels *labels, altmin_data *data, const int32_t *order, size_t n,
                               word_kind kind, altmin_status *st)
{
    char text[MAX_NAME_BYTES + 1];
    size_t n_bytes = 0;
    for (size_t i = 0; i < n; ++i) {
        write_name(text, labels, &labels->word[order[i]], kind);
        n_bytes += sizeof(char *) + strlen(text) + 1;
    }
    char **name = malloc(n_bytes);
    altmin_error code = am_data_own(data, name, st);
    if (code) return code;
    char *at = (char *)(name + n);
    for (size_t i = 0; i < n; ++i) {
        write_name(text, labels, &labels->word[order[i]], kind);
        name[i] = at;
        at = stpcpy(at, text) + 1;
    }
    data->class_name = name;
    data->n_classes = n;
    return ALTMIN_OK;
}

static altmin_error name_classes(am_labels *labels, altmin_data *data, altmin_status *st)
{
    if (labels->prescribed) {
        data->n_classes = labels->opt.n_classes;
        return am_data_copy_names(data, labels->opt.class_name, data->n_classes, &data->class_name, st);
    }
    word_kind kind = kind_of_classes(labels);
    altmin_error code = kind == WORD_TEXT ? ALTMIN_OK : check_no_missing(labels, st);
    if (code) return code;
    int32_t *order = malloc(labels->words.n * sizeof *order);
    if (!order) return fail_memory(labels, st);
    size_t n_classes = assign_classes(labels, order, kind);
    code = make_names(labels, data, order, n_classes, kind, st);
    free(order);
    return code;
}

static altmin_error finish_classes(am_labels *labels, altmin_data *data, altmin_status *st)
{
    altmin_error code = name_classes(labels, data, st);
    if (code) return code;
    for (size_t j = 0; j < labels->n; ++j) labels->id[j] = labels->word[labels->id[j]].class_id;
    int32_t *fitted = realloc(labels->id, labels->n * sizeof *fitted);
    data->label = fitted ? fitted : labels->id;
    labels->id = NULL;
    return am_data_own(data, (void *)(uintptr_t)data->label, st);
}

static altmin_error finish_values(am_labels *labels, altmin_data *data, altmin_status *st)
{
    float *fitted = realloc(labels->value, labels->n * sizeof *fitted);
    data->target = fitted ? fitted : labels->value;
    data->n_targets = 1;
    labels->value = NULL;
    return am_data_own(data, (void *)(uintptr_t)data->target, st);
}

altmin_error am_labels_finish(am_labels *labels, altmin_data *data, altmin_status *st)
{
    if (labels->task == TASK_UNLABELLED) return ALTMIN_OK;
    if (labels->n != data->n_samples)
        return am_fail(st, ALTMIN_ERR_DATA, "cannot use '%s': it holds %zu labels for %zu samples",
                       labels->in->name, labels->n, data->n_samples);
    return labels->interning ? finish_classes(labels, data, st) : finish_values(labels, data, st);
}

void am_labels_free(am_labels *labels)
{
    if (!labels) return;
    free(labels->id);
    free(labels->value);
    am_words_free(&labels->words);
    free(labels->word);
    free(labels);
}
