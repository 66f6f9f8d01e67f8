/* The file form of models (see model.h): am_model_parse and am_model_write, and what both check. */
#include "host/model/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/io/json.h"
#include "host/model/safetensors.h"
#include "host/train/net.h"

enum { max_settings_values = 65536, n_scaler_tensors = 2 };

/* ---- what reading and writing both check ---- */

static void name_tensor(char name[AM_TENSOR_NAME_SIZE], size_t l, const char *part)
{
    snprintf(name, AM_TENSOR_NAME_SIZE, "layer.%zu.%s", l, part);
}

static altmin_error check_choice(const char *setting, const char *value, const char *name, altmin_status *st)
{
    int id = 0;
    const am_setting *row = am_setting_find(setting);
    if (row && strcmp(value, "auto") != 0 && am_setting_choice_value(row, value, &id)) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_FORMAT, "%s: %s '%.40s' is not known to altmin " ALTMIN_VERSION, name,
                   setting, value);
}

/* The architecture, and widths that it can have. */
static altmin_error check_arch(const altmin_model *m, const char *name, altmin_status *st)
{
    int arch = AM_ARCH_MLP;
    if (!am_setting_choice_value(am_setting_find("arch"), m->arch, &arch))
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: arch '%s' is not known to altmin " ALTMIN_VERSION, name,
                       m->arch);
    am_net net = {.arch = (am_arch)arch, .n_layers = m->n_layers};
    memcpy(net.width, m->width, (m->n_layers + 1) * sizeof net.width[0]);
    const size_t l = am_net_misfit(&net);
    if (!l) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_FORMAT,
                   "%s: layer %zu of a residual network must be a block, with as many outputs as inputs, not "
                   "%zu x %zu",
                   name, l, m->width[l], m->width[l - 1]);
}

/* The words and the class count; shapes are checked where they are made. */
static altmin_error check_words(const altmin_model *m, const char *name, altmin_status *st)
{
    altmin_error code = check_arch(m, name, st);
    if (!code) code = check_choice("activation", m->activation, name, st);
    if (!code) code = check_choice("loss", m->loss, name, st);
    if (code) return code;
    if (m->n_classes == 0 && strcmp(m->loss, "cross-entropy") == 0) {
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: a cross-entropy model must name its %zu classes", name,
                       m->width[m->n_layers]);
    }
    return ALTMIN_OK;
}

/* ---- reading ---- */

typedef struct reader {
    const am_safetensors *file;
    const char *name;
    altmin_status *st;
} reader;

static const am_tensor *find_tensor(const reader *r, const char *name, size_t n_dims)
{
    const am_tensor *t = am_safetensors_find(r->file, name);
    if (t && t->n_dims == n_dims) return t;
    am_fail(r->st, ALTMIN_ERR_FORMAT,
            t ? "%s: tensor '%s' must have %zu dimension(s)" : "%s: tensor '%s' is missing", r->name, name,
            n_dims);
    return NULL;
}

static int has_layer(const reader *r, size_t l)
{
    char name[AM_TENSOR_NAME_SIZE];
    name_tensor(name, l, "weight");
    return am_safetensors_find(r->file, name) != NULL;
}

/* Widths from the shapes of the weights, each of which must take what the layer before gives. */
static altmin_error read_widths(const reader *r, size_t n_layers, size_t *width)
{
    for (size_t l = 1; l <= n_layers; l++) {
        char name[AM_TENSOR_NAME_SIZE];
        name_tensor(name, l, "weight");
        const am_tensor *t = find_tensor(r, name, 2);
        if (!t) return ALTMIN_ERR_FORMAT;
        if (l == 1) width[0] = t->shape[1];
        if (t->shape[1] != width[l - 1]) {
            return am_fail(r->st, ALTMIN_ERR_FORMAT,
                           "%s: tensor '%s' takes %zu inputs but layer %zu has %zu units", r->name, name,
                           t->shape[1], l - 1, width[l - 1]);
        }
        width[l] = t->shape[0];
        if (t->shape[0] > 0 && t->shape[1] > 0) continue;
        return am_fail(r->st, ALTMIN_ERR_FORMAT, "%s: tensor '%s' is empty (%zu x %zu)", r->name, name,
                       t->shape[0], t->shape[1]);
    }
    return ALTMIN_OK;
}

static altmin_error read_tensor(const reader *r, const char *name, size_t n_dims, size_t rows, float *out)
{
    const am_tensor *t = find_tensor(r, name, n_dims);
    if (!t) return ALTMIN_ERR_FORMAT;
    if (t->shape[0] != rows) {
        return am_fail(r->st, ALTMIN_ERR_FORMAT, "%s: tensor '%s' has %zu values, not %zu", r->name, name,
                       t->shape[0], rows);
    }
    if (am_tensor_read(t, out)) return ALTMIN_OK;
    return am_fail(r->st, ALTMIN_ERR_FORMAT, "%s: tensor '%s' holds NaN or infinite values", r->name, name);
}

static altmin_error read_tensors(const reader *r, altmin_model *m)
{
    altmin_error code = ALTMIN_OK;
    for (size_t l = 1; l <= m->n_layers && !code; l++) {
        char name[AM_TENSOR_NAME_SIZE];
        name_tensor(name, l, "weight");
        code = read_tensor(r, name, 2, m->width[l], m->W[l - 1]);
        name_tensor(name, l, "bias");
        if (!code) code = read_tensor(r, name, 1, m->width[l], m->b[l - 1]);
    }
    if (!code) code = read_tensor(r, "scaler.shift", 1, m->width[0], m->scaler.shift);
    if (!code) code = read_tensor(r, "scaler.factor", 1, m->width[0], m->scaler.factor);
    return code;
}

static int is_expected(const char *name, size_t n_layers)
{
    if (strcmp(name, "scaler.shift") == 0 || strcmp(name, "scaler.factor") == 0) return 1;
    for (size_t l = 1; l <= n_layers; l++) {
        char expected[AM_TENSOR_NAME_SIZE];
        name_tensor(expected, l, "weight");
        if (strcmp(name, expected) == 0) return 1;
        name_tensor(expected, l, "bias");
        if (strcmp(name, expected) == 0) return 1;
    }
    return 0;
}

/* All expected tensors are there once read_tensors has passed; so one too many is one that is not expected.
 */
static altmin_error refuse_strangers(const reader *r, const altmin_model *m)
{
    if (r->file->n_tensors == 2 * m->n_layers + n_scaler_tensors) return ALTMIN_OK;
    for (size_t i = 0; i < r->file->n_tensors; i++) {
        const char *name = r->file->tensor[i].name;
        if (is_expected(name, m->n_layers)) continue;
        return am_fail(r->st, ALTMIN_ERR_FORMAT, "%s: tensor '%.60s' has no place in a model of %zu layers",
                       r->name, name, m->n_layers);
    }
    return am_fail(r->st, ALTMIN_ERR_INTERNAL, "%s: tensors were miscounted", r->name);
}

static altmin_error read_word(const reader *r, const char *key, char *word, size_t n_word)
{
    const char *text = am_safetensors_metadata(r->file, key);
    if (!text) {
        return am_fail(r->st, ALTMIN_ERR_FORMAT,
                       "%s: metadata '%s' is missing; was the file written by altmin?", r->name, key);
    }
    if (strlen(text) >= n_word) {
        return am_fail(r->st, ALTMIN_ERR_FORMAT, "%s: metadata '%s' is too long: '%.40s...'", r->name, key,
                       text);
    }
    memcpy(word, text, strlen(text) + 1);
    return ALTMIN_OK;
}

static altmin_error read_seed(const reader *r, uint64_t *seed)
{
    char text[24];
    altmin_error code = read_word(r, "seed", text, sizeof text);
    if (code) return code;
    uint64_t sum = 0;
    int legal = text[0] != '\0';
    for (const char *c = text; *c && legal; c++) {
        legal = *c >= '0' && *c <= '9' && !__builtin_mul_overflow(sum, 10u, &sum) &&
                !__builtin_add_overflow(sum, (uint64_t)(*c - '0'), &sum);
    }
    *seed = sum;
    if (legal) return ALTMIN_OK;
    return am_fail(r->st, ALTMIN_ERR_FORMAT, "%s: metadata 'seed' is '%s', which is not a seed", r->name,
                   text);
}

static altmin_error read_scaling(const reader *r, am_scaling *kind)
{
    char word[16];
    int value = 0;
    altmin_error code = read_word(r, "scaling", word, sizeof word);
    if (!code) code = check_choice("scale", word, r->name, r->st);
    if (code) return code;
    am_setting_choice_value(am_setting_find("scale"), word, &value);
    *kind = (am_scaling)value;
    return ALTMIN_OK;
}

/* JSON inside a metadata text; its own name in messages. */
static altmin_error parse_inner(const reader *r, const char *key, const char *text, size_t max_values,
                                cJSON **root)
{
    char name[300];
    snprintf(name, sizeof name, "%.250s, metadata '%s'", r->name, key);
    return am_json_parse(root, text, strlen(text), name, max_values, r->st);
}

static altmin_error read_classes(const reader *r, altmin_model *m)
{
    const char *text = am_safetensors_metadata(r->file, "classes");
    size_t n_outputs = m->width[m->n_layers], n = 0;
    if (!text) return am_fail(r->st, ALTMIN_ERR_FORMAT, "%s: metadata 'classes' is missing", r->name);
    cJSON *array = NULL;
    altmin_error code = parse_inner(r, "classes", text, n_outputs + 1, &array);
    if (code) return code;
    char **name = cJSON_IsArray(array) ? calloc((size_t)cJSON_GetArraySize(array) + 1, sizeof *name) : NULL;
    int legal = name != NULL;
    for (const cJSON *item = array->child; item && legal; item = item->next) {
        legal = cJSON_IsString(item);
        name[n++] = item->valuestring;
    }
    if (!legal || (n != 0 && n != n_outputs)) {
        code = am_fail(
            r->st, ALTMIN_ERR_FORMAT,
            "%s: metadata 'classes' must be an array of %zu names (one for each output), or an empty one",
            r->name, n_outputs);
    } else {
        altmin_status reason = {0};
        if (am_model_set_classes(m, name, n, &reason)) {
            code = am_fail(r->st, reason.code == ALTMIN_ERR_MEMORY ? ALTMIN_ERR_MEMORY : ALTMIN_ERR_FORMAT,
                           "%s: %s", r->name, reason.message);
        }
    }
    free(name);
    cJSON_Delete(array);
    return code;
}

static altmin_error read_settings(const reader *r, altmin_model *m)
{
    const char *text = am_safetensors_metadata(r->file, "settings");
    if (!text) return ALTMIN_OK; /* a model need not come from a run */
    cJSON *object = NULL;
    altmin_error code = parse_inner(r, "settings", text, max_settings_values, &object);
    if (code) return code;
    if (cJSON_IsObject(object)) {
        m->settings_json = strdup(text);
        if (!m->settings_json)
            code = am_fail(r->st, ALTMIN_ERR_MEMORY, "%s: no memory for settings", r->name);
    } else {
        code = am_fail(r->st, ALTMIN_ERR_FORMAT, "%s: metadata 'settings' is not a JSON object", r->name);
    }
    cJSON_Delete(object);
    return code;
}

static altmin_error read_metadata(const reader *r, altmin_model *m)
{
    altmin_error code = read_word(r, "version", m->version, sizeof m->version);
    if (!code) code = read_word(r, "arch", m->arch, sizeof m->arch);
    if (!code) code = read_word(r, "activation", m->activation, sizeof m->activation);
    if (!code) code = read_word(r, "loss", m->loss, sizeof m->loss);
    if (!code) code = read_word(r, "method", m->method, sizeof m->method);
    if (!code) code = read_seed(r, &m->seed);
    if (!code) code = read_scaling(r, &m->scaler.kind);
    if (!code) code = read_classes(r, m);
    if (!code) code = read_settings(r, m);
    return code ? code : check_words(m, r->name, r->st);
}

static altmin_error read_model(const reader *r, altmin_model **model)
{
    char format[16] = "";
    altmin_error code = read_word(r, "format", format, sizeof format);
    if (code) return code;
    if (strcmp(format, "altmin") != 0) {
        return am_fail(r->st, ALTMIN_ERR_FORMAT,
                       "%s: a safetensors file of format '%s', not a model of altmin", r->name, format);
    }
    size_t n_layers = 0, width[AM_MAX_LAYERS + 1];
    while (n_layers < AM_MAX_LAYERS && has_layer(r, n_layers + 1)) n_layers++;
    if (n_layers == 0)
        return am_fail(r->st, ALTMIN_ERR_FORMAT, "%s: tensor 'layer.1.weight' is missing", r->name);
    code = read_widths(r, n_layers, width);
    if (code) return code;
    altmin_model *m = NULL;
    code = am_model_new(&m, n_layers, width, r->st);
    if (code) return code;
    code = read_tensors(r, m);
    if (!code) code = refuse_strangers(r, m);
    if (!code) code = read_metadata(r, m);
    if (code) {
        altmin_model_free(m);
        return code;
    }
    *model = m;
    return ALTMIN_OK;
}

altmin_error am_model_parse(altmin_model **model, const void *bytes, size_t n_bytes, const char *name,
                            altmin_status *st)
{
    *model = NULL;
    am_safetensors file;
    altmin_error code = am_safetensors_parse(&file, bytes, n_bytes, name, st);
    if (code) return code;
    const reader r = {&file, name, st};
    code = read_model(&r, model);
    am_safetensors_close(&file);
    return code;
}

/* ---- writing ---- */

static altmin_error check_values(const char *tensor, const float *value, size_t n, altmin_status *st)
{
    for (size_t i = 0; i < n; i++) {
        if (isfinite(value[i])) continue;
        return am_fail(st, ALTMIN_ERR_NUMERIC, "the model is not written: %s holds NaN or infinite values",
                       tensor);
    }
    return ALTMIN_OK;
}

/* The 2 L + 2 tensors in file order, their values checked. */
static altmin_error list_tensors(const altmin_model *m, am_tensor_source *t, altmin_status *st)
{
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_tensor_source *weight = t++, *bias = t++;
        *weight =
            (am_tensor_source){.n_dims = 2, .shape = {m->width[l], m->width[l - 1]}, .value = m->W[l - 1]};
        name_tensor(weight->name, l, "weight");
        *bias = (am_tensor_source){.n_dims = 1, .shape = {m->width[l]}, .value = m->b[l - 1]};
        name_tensor(bias->name, l, "bias");
        altmin_error code = check_values(weight->name, weight->value, m->width[l] * m->width[l - 1], st);
        if (!code) code = check_values(bias->name, bias->value, m->width[l], st);
        if (code) return code;
    }
    *t++ = (am_tensor_source){
        .name = "scaler.shift", .n_dims = 1, .shape = {m->width[0]}, .value = m->scaler.shift};
    *t++ = (am_tensor_source){
        .name = "scaler.factor", .n_dims = 1, .shape = {m->width[0]}, .value = m->scaler.factor};
    altmin_error code = check_values("scaler.shift", m->scaler.shift, m->width[0], st);
    return code ? code : check_values("scaler.factor", m->scaler.factor, m->width[0], st);
}

static void put_classes(FILE *f, const void *user)
{
    const altmin_model *m = user;
    fputc('[', f);
    for (size_t i = 0; i < m->n_classes; i++) {
        fputs(i ? "," : "", f);
        am_json_put_string(f, m->class_name[i]);
    }
    fputc(']', f);
}

altmin_error am_model_write(const altmin_model *model, FILE *f, altmin_status *st)
{
    altmin_error code = check_words(model, "the model is not written", st);
    const char *scaling = am_setting_choice_name(am_setting_find("scale"), (int)model->scaler.kind);
    if (!code) code = check_choice("scale", scaling ? scaling : "?", "the model is not written", st);
    if (code) return code;
    if (model->settings_json) {
        cJSON *settings = NULL;
        code = am_json_parse(&settings, model->settings_json, strlen(model->settings_json),
                             "settings of the model", max_settings_values, st);
        cJSON_Delete(settings);
        if (code) return code;
    }
    size_t n_tensors = 2 * model->n_layers + n_scaler_tensors;
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, model->seed);
    char *classes = am_json_text(put_classes, model);
    am_tensor_source *tensor = calloc(n_tensors, sizeof *tensor);
    if (classes && tensor) {
        const am_metadata metadata[] = {
            {"format", "altmin"},
            {"version", model->version},
            {"arch", model->arch},
            {"loss", model->loss},
            {"activation", model->activation},
            {"scaling", scaling},
            {"method", model->method},
            {"seed", seed},
            {"classes", classes},
            {"settings", model->settings_json},
        };
        size_t n_metadata = sizeof metadata / sizeof metadata[0] - (model->settings_json ? 0 : 1);
        code = list_tensors(model, tensor, st);
        if (!code) code = am_safetensors_write(f, metadata, n_metadata, tensor, n_tensors, st);
    } else {
        code = am_fail(st, ALTMIN_ERR_MEMORY, "no memory to write the model");
    }
    free(classes);
    free(tensor);
    return code;
}
