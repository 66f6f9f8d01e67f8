/* `altmin info MODEL` and `altmin info DATA`. */
#include "host/cli/info.h"
#include "host/cli/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/io/json.h"

static const char *scaling_name(am_scaling kind)
{
    switch (kind) {
    case AM_SCALE_UNIT: return "unit";
    case AM_SCALE_STANDARDISE: return "standardise";
    case AM_SCALE_AUTO:
    case AM_SCALE_NONE: break;
    }
    return "none";
}

static size_t count_parameters(const altmin_model *model)
{
    size_t n = 0;
    for (size_t l = 0; l < model->n_layers; l++) n += (model->width[l] + 1) * model->width[l + 1];
    return n;
}

/* ---- model ---- */

static void print_model_text(const char *path, const altmin_model *m)
{
    char widths[256], n[32];
    am_print_widths(widths, sizeof widths, m->width, m->n_layers);
    am_print_count(n, sizeof n, count_parameters(m));
    printf("model     %s\n", path);
    printf("network   %s %s, %s, %s, %s parameters\n", m->arch, widths, m->activation, m->loss, n);
    printf("scaling   %s\n", scaling_name(m->scaler.kind));
    if (m->n_classes) {
        const size_t n_shown = m->n_classes <= 20 ? m->n_classes : 20;
        printf("classes   %zu:", m->n_classes);
        for (size_t i = 0; i < n_shown; i++) printf(" %s", m->class_name[i]);
        printf("%s\n", n_shown < m->n_classes ? " ..." : "");
    } else {
        printf("targets   %zu\n", m->width[m->n_layers]);
    }
    printf("trained   by altmin %s, method %s, seed %llu\n", m->version, m->method,
           (unsigned long long)m->seed);
}

static void print_model_json(const char *path, const altmin_model *m)
{
    printf("{\"model\":");
    am_json_put_string(stdout, path);
    printf(",\"architecture\":");
    am_json_put_string(stdout, m->arch);
    printf(",\"widths\":[");
    for (size_t l = 0; l <= m->n_layers; l++) printf("%s%zu", l ? "," : "", m->width[l]);
    printf("],\"n_parameters\":%zu,\"activation\":", count_parameters(m));
    am_json_put_string(stdout, m->activation);
    printf(",\"loss\":");
    am_json_put_string(stdout, m->loss);
    printf(",\"scaling\":\"%s\",\"classes\":", scaling_name(m->scaler.kind));
    for (size_t i = 0; i < m->n_classes; i++) {
        putchar(i ? ',' : '[');
        am_json_put_string(stdout, m->class_name[i]);
    }
    printf("%s,\"version\":", m->n_classes ? "]" : "null");
    am_json_put_string(stdout, m->version);
    printf(",\"method\":");
    am_json_put_string(stdout, m->method);
    printf(",\"seed\":%llu,\"settings\":%s}\n", (unsigned long long)m->seed,
           m->settings_json ? m->settings_json : "null");
}

void am_info_model(const char *path, const altmin_model *model, int json)
{
    if (json)
        print_model_json(path, model);
    else
        print_model_text(path, model);
}

/* ---- data ---- */

static const char *storage_name(am_storage storage)
{
    switch (storage) {
    case AM_STORE_U8: return "bytes";
    case AM_STORE_F32: return "floats";
    case AM_STORE_SPARSE: return "sparse";
    }
    return "unknown";
}

/* Samples of each class; NULL when memory is not there. */
static size_t *count_classes(const altmin_data *d)
{
    size_t *count = calloc(d->n_classes + 1, sizeof *count);
    for (size_t j = 0; count && j < d->n_samples; j++) count[d->label[j]]++;
    return count;
}

static void target_range(const altmin_data *d, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t j = 0; j < d->n_samples * d->n_targets; j++) {
        *low = fmin(*low, (double)d->target[j]);
        *high = fmax(*high, (double)d->target[j]);
    }
}

static void print_labels_text(const altmin_data *d)
{
    double low, high;
    if (d->n_classes) {
        const size_t n_shown = d->n_classes <= 20 ? d->n_classes : 20;
        size_t *count = count_classes(d);
        printf("classes   %zu (name: samples)\n", d->n_classes);
        for (size_t i = 0; count && i < n_shown; i++)
            printf("          %s: %zu\n", d->class_name[i], count[i]);
        free(count);
        if (n_shown < d->n_classes) printf("          ...\n");
    } else if (d->target) {
        target_range(d, &low, &high);
        printf("targets   %zu, from %g to %g\n", d->n_targets, low, high);
    } else {
        printf("labels    none\n");
    }
}

static void print_data_text(const altmin_data *d, const char *part)
{
    char n[32], bytes[32], hex[17];
    am_print_count(n, sizeof n, d->n_samples);
    am_print_bytes(bytes, sizeof bytes, am_data_bytes(d));
    am_data_fingerprint(d, hex);
    printf("data      %s%s%s\n", d->source, part ? ", part " : "", part ? part : "");
    printf("samples   %s of %zu features (%s, %s)\n", n, d->n_features, storage_name(d->storage), bytes);
    print_labels_text(d);
    printf("content   %s (fingerprint)\n", hex);
}

static void print_labels_json(const altmin_data *d)
{
    size_t *count = count_classes(d);
    printf("\"classes\":%s", d->n_classes ? "[" : "null");
    for (size_t i = 0; count && i < d->n_classes; i++) {
        printf("%s{\"name\":", i ? "," : "");
        am_json_put_string(stdout, d->class_name[i]);
        printf(",\"n_samples\":%zu}", count[i]);
    }
    printf("%s,\"n_targets\":%zu", d->n_classes ? "]" : "", d->n_targets);
    free(count);
}

static void print_data_json(const altmin_data *d, const char *part)
{
    char hex[17];
    am_data_fingerprint(d, hex);
    printf("{\"data\":");
    am_json_put_string(stdout, d->source);
    printf(",\"part\":");
    if (part)
        am_json_put_string(stdout, part);
    else
        printf("null");
    printf(",\"n_samples\":%zu,\"n_features\":%zu,\"storage\":\"%s\",\"n_bytes\":%zu,", d->n_samples,
           d->n_features, storage_name(d->storage), am_data_bytes(d));
    print_labels_json(d);
    printf(",\"fingerprint\":\"%s\"}\n", hex);
}

void am_info_data(const altmin_data *data, const char *part, int json)
{
    if (json)
        print_data_json(data, part);
    else
        print_data_text(data, part);
}
