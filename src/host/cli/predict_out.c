/* Writers of predictions; see predict_out.h. */
#include "host/cli/predict_out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Index of the largest output; the first of equals. */
static size_t best_class(const am_predictions *p, size_t sample)
{
    const float *out = p->out + sample * p->n_outputs;
    size_t best = 0;
    for (size_t i = 1; i < p->n_outputs; i++)
        if (out[i] > out[best]) best = i;
    return best;
}

static int wants_labels(const am_predictions *p)
{
    return p->model->n_classes && !p->proba;
}

static altmin_error written(FILE *f, altmin_status *st)
{
    if (!ferror(f)) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_IO, "cannot write the predictions: %s", strerror(errno));
}

/* ---- CSV ---- */

static void put_field(FILE *f, const char *text)
{
    const int plain = *text && !strpbrk(text, ",\"\r\n") && text[0] != ' ' && text[strlen(text) - 1] != ' ';
    if (plain) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"') fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

static void put_names(FILE *f, const am_predictions *p)
{
    if (wants_labels(p)) {
        fputs("label\n", f);
        return;
    }
    for (size_t i = 0; i < p->n_outputs; i++) {
        if (i) fputc(',', f);
        if (p->model->n_classes)
            put_field(f, p->model->class_name[i]);
        else
            fprintf(f, "y%zu", i);
    }
    fputc('\n', f);
}

altmin_error am_predict_csv(FILE *f, const am_predictions *p, altmin_status *st)
{
    if (p->names) put_names(f, p);
    for (size_t j = 0; j < p->n_samples && !ferror(f); j++) {
        if (wants_labels(p)) put_field(f, p->model->class_name[best_class(p, j)]);
        /* Nine digits bring a float back exactly. */
        for (size_t i = 0; !wants_labels(p) && i < p->n_outputs; i++)
            fprintf(f, "%s%.9g", i ? "," : "", (double)p->out[j * p->n_outputs + i]);
        fputc('\n', f);
    }
    return written(f, st);
}

/* ---- NPY ---- */

/* Magic, version 1.0, header length, then a Python dictionary padded so that the data begins at a multiple
 * of 64. */
static void put_npy_header(FILE *f, const char *type, size_t n, size_t n_columns)
{
    char dict[160], shape[64];
    if (n_columns)
        snprintf(shape, sizeof shape, "(%zu, %zu)", n, n_columns);
    else
        snprintf(shape, sizeof shape, "(%zu,)", n);
    const int n_dict =
        snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type, shape);
    const int total = (10 + n_dict + 1 + 63) / 64 * 64, n_header = total - 10;
    fwrite("\x93NUMPY\x01\x00", 1, 8, f);
    fputc(n_header & 255, f);
    fputc(n_header >> 8, f);
    fprintf(f, "%s%*s\n", dict, n_header - n_dict - 1, "");
}

/* The whole number that `name` writes, canonically ("7", not "07"); 0 when it writes none. */
static int whole_number(const char *name, int64_t *value)
{
    char again[32], *end;
    errno = 0;
    *value = strtoll(name, &end, 10);
    snprintf(again, sizeof again, "%lld", (long long)*value);
    return errno == 0 && end != name && *end == 0 && strcmp(again, name) == 0;
}

static altmin_error put_number_labels(FILE *f, const am_predictions *p, altmin_status *st)
{
    put_npy_header(f, "<i8", p->n_samples, 0);
    for (size_t j = 0; j < p->n_samples; j++) {
        int64_t value;
        whole_number(p->model->class_name[best_class(p, j)], &value);
        fwrite(&value, sizeof value, 1, f);
    }
    return written(f, st);
}

static altmin_error put_text_labels(FILE *f, const am_predictions *p, size_t n_longest, altmin_status *st)
{
    char type[32];
    snprintf(type, sizeof type, "|S%zu", n_longest);
    put_npy_header(f, type, p->n_samples, 0);
    for (size_t j = 0; j < p->n_samples; j++) {
        const char *name = p->model->class_name[best_class(p, j)];
        const size_t n = strlen(name);
        fwrite(name, 1, n, f);
        for (size_t i = n; i < n_longest; i++) fputc(0, f);
    }
    return written(f, st);
}

altmin_error am_predict_npy(FILE *f, const am_predictions *p, altmin_status *st)
{
    if (!wants_labels(p)) {
        put_npy_header(f, "<f4", p->n_samples, p->n_outputs);
        fwrite(p->out, sizeof *p->out, p->n_samples * p->n_outputs, f);
        return written(f, st);
    }
    int all_numbers = 1;
    size_t n_longest = 1;
    for (size_t i = 0; i < p->model->n_classes; i++) {
        int64_t value;
        const char *name = p->model->class_name[i];
        all_numbers &= whole_number(name, &value);
        if (strlen(name) > n_longest) n_longest = strlen(name);
    }
    return all_numbers ? put_number_labels(f, p, st) : put_text_labels(f, p, n_longest, st);
}
