/* Models in memory, and the public functions on them that need no backend. The file form is in model_file.c.
 */
#include "host/model/model.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/io/file.h"
#include "host/io/json.h"

static const size_t max_width = (size_t)1 << 31;

/* ---- memory ---- */

static altmin_error alloc_floats(float **block, size_t rows, size_t cols, altmin_status *st)
{
    size_t n = 0;
    *block = am_size_mul(rows, cols, &n) ? NULL : calloc(n, sizeof(float));
    if (*block) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu x %zu weights", rows, cols);
}

static altmin_error alloc_layers(altmin_model *m, const size_t *width, altmin_status *st)
{
    size_t n_layers = m->n_layers;
    m->width = calloc(n_layers + 1, sizeof *m->width);
    m->W = calloc(n_layers, sizeof *m->W);
    m->b = calloc(n_layers, sizeof *m->b);
    if (!m->width || !m->W || !m->b) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a model");
    memcpy(m->width, width, (n_layers + 1) * sizeof *width);
    for (size_t l = 0; l < n_layers; l++) {
        altmin_error code = alloc_floats(&m->W[l], width[l + 1], width[l], st);
        if (!code) code = alloc_floats(&m->b[l], width[l + 1], 1, st);
        if (code) return code;
    }
    m->scaler.kind = AM_SCALE_NONE;
    m->scaler.n_features = width[0];
    altmin_error code = alloc_floats(&m->scaler.shift, width[0], 1, st);
    if (!code) code = alloc_floats(&m->scaler.factor, width[0], 1, st);
    for (size_t i = 0; i < width[0] && !code; i++) m->scaler.factor[i] = 1.0f;
    return code;
}

altmin_error am_model_new(altmin_model **model, size_t n_layers, const size_t *width, altmin_status *st)
{
    *model = NULL;
    if (n_layers < 1 || n_layers > AM_MAX_LAYERS) {
        return am_fail(st, ALTMIN_ERR_DATA, "a model of %zu layers; altmin allows 1 to %d", n_layers,
                       AM_MAX_LAYERS);
    }
    for (size_t l = 0; l <= n_layers; l++) {
        if (width[l] >= 1 && width[l] <= max_width) continue;
        return am_fail(st, ALTMIN_ERR_DATA, "layer %zu has width %zu; altmin allows 1 to %zu", l, width[l],
                       max_width);
    }
    altmin_model *m = calloc(1, sizeof *m);
    if (!m) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a model");
    m->n_layers = n_layers;
    snprintf(m->arch, sizeof m->arch, "mlp");
    snprintf(m->version, sizeof m->version, "%s", ALTMIN_VERSION);
    altmin_error code = alloc_layers(m, width, st);
    if (code) {
        altmin_model_free(m);
        return code;
    }
    *model = m;
    return ALTMIN_OK;
}

static void free_names(char **name, size_t n)
{
    for (size_t i = 0; name && i < n; i++) free(name[i]);
    free(name);
}

void altmin_model_free(altmin_model *model)
{
    if (!model) return;
    for (size_t l = 0; l < model->n_layers; l++) {
        if (model->W) free(model->W[l]);
        if (model->b) free(model->b[l]);
    }
    free(model->W);
    free(model->b);
    free(model->width);
    free(model->scaler.shift);
    free(model->scaler.factor);
    free_names(model->class_name, model->n_classes);
    free(model->settings_json);
    free(model);
}

/* ---- classes ---- */

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static altmin_error check_names(char *const *name, size_t n, altmin_status *st)
{
    char **sorted = malloc((n + 1) * sizeof *sorted);
    if (!sorted) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu class names", n);
    altmin_error code = ALTMIN_OK;
    for (size_t i = 0; i < n; i++) {
        sorted[i] = name[i];
        if (!am_json_is_utf8(name[i])) {
            code = am_fail(st, ALTMIN_ERR_DATA,
                           "the name of class %zu is not UTF-8; convert the data, e.g. with iconv", i);
        }
    }
    qsort(sorted, n, sizeof *sorted, compare_strings);
    for (size_t i = 1; i < n && !code; i++) {
        if (strcmp(sorted[i - 1], sorted[i]) != 0) continue;
        code = am_fail(st, ALTMIN_ERR_DATA, "two classes are called '%.80s'; class names must differ",
                       sorted[i]);
    }
    free(sorted);
    return code;
}

altmin_error am_model_set_classes(altmin_model *model, char *const *names, size_t n_classes,
                                  altmin_status *st)
{
    size_t n_outputs = model->width[model->n_layers];
    if (n_classes && n_classes != n_outputs) {
        return am_fail(st, ALTMIN_ERR_DATA, "%zu class names for a model with %zu outputs", n_classes,
                       n_outputs);
    }
    char **copy = calloc(n_classes + 1, sizeof *copy);
    int complete = copy != NULL;
    for (size_t i = 0; complete && i < n_classes; i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        copy[i] = strdup(names ? names[i] : number);
        complete = copy[i] != NULL;
    }
    altmin_error code = complete ? check_names(copy, n_classes, st)
                                 : am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu class names", n_classes);
    if (code) {
        free_names(copy, n_classes);
        return code;
    }
    free_names(model->class_name, model->n_classes);
    model->class_name = copy;
    model->n_classes = n_classes;
    return ALTMIN_OK;
}

/* ---- copies ---- */

static void copy_weights(altmin_model *to, const altmin_model *from)
{
    for (size_t l = 0; l < from->n_layers; l++) {
        memcpy(to->W[l], from->W[l], from->width[l + 1] * from->width[l] * sizeof(float));
        memcpy(to->b[l], from->b[l], from->width[l + 1] * sizeof(float));
    }
    to->scaler.kind = from->scaler.kind;
    memcpy(to->scaler.shift, from->scaler.shift, from->width[0] * sizeof(float));
    memcpy(to->scaler.factor, from->scaler.factor, from->width[0] * sizeof(float));
}

altmin_error am_model_copy(altmin_model **copy, const altmin_model *model, altmin_status *st)
{
    altmin_model *m = NULL;
    *copy = NULL;
    altmin_error code = am_model_new(&m, model->n_layers, model->width, st);
    if (code) return code;
    memcpy(m->arch, model->arch, sizeof m->arch);
    memcpy(m->activation, model->activation, sizeof m->activation);
    memcpy(m->loss, model->loss, sizeof m->loss);
    memcpy(m->method, model->method, sizeof m->method);
    memcpy(m->version, model->version, sizeof m->version);
    m->seed = model->seed;
    copy_weights(m, model);
    code = am_model_set_classes(m, model->class_name, model->n_classes, st);
    if (!code && model->settings_json) {
        m->settings_json = strdup(model->settings_json);
        if (!m->settings_json) code = am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a copy of the model");
    }
    if (code) {
        altmin_model_free(m);
        return code;
    }
    *copy = m;
    return ALTMIN_OK;
}

/* ---- files ---- */

altmin_error altmin_model_load(altmin_model **model, const char *path, altmin_status *status)
{
    am_status_clear(status);
    if (!model || !path)
        return am_fail(status, ALTMIN_ERR_USAGE, "altmin_model_load: model and path must not be NULL");
    *model = NULL;
    const void *bytes = NULL;
    size_t n_bytes = 0;
    altmin_error code = am_file_map(path, &bytes, &n_bytes, status);
    if (code) return code;
    code = am_model_parse(model, bytes, n_bytes, path, status);
    am_file_unmap(bytes, n_bytes);
    return code;
}

static altmin_error write_to(FILE *f, void *user, altmin_status *st)
{
    return am_model_write(user, f, st);
}

altmin_error altmin_model_save(const altmin_model *model, const char *path, altmin_status *status)
{
    am_status_clear(status);
    if (!model || !path)
        return am_fail(status, ALTMIN_ERR_USAGE, "altmin_model_save: model and path must not be NULL");
    return am_file_replace(path, write_to, (void *)(uintptr_t)model, status);
}

/* ---- public questions ---- */

size_t altmin_model_n_features(const altmin_model *model)
{
    return model->width[0];
}
size_t altmin_model_n_outputs(const altmin_model *model)
{
    return model->width[model->n_layers];
}

const char *altmin_model_class_name(const altmin_model *model, size_t i)
{
    return i < model->n_classes ? model->class_name[i] : NULL;
}
