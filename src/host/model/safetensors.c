/* Reading and writing safetensors; see safetensors.h.
 *
 * Layout: uint64 n (little-endian), n bytes of JSON
 *   {"__metadata__": {key: text}, name: {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...},
 * then the tensors' bytes; offsets count from the end of the header. */
#include "host/model/safetensors.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/io/json.h"

enum {
    length_bytes = 8,
    max_header_bytes = 100000000, /* the format's own limit */
    max_header_values = 65536,    /* a network of AM_MAX_HIDDEN + 1 layers needs about 4,200 */
    data_alignment = 8
};

static uint64_t load_u64(const unsigned char *p)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--) x = x << 8 | p[i];
    return x;
}

static void store_u64(unsigned char *p, uint64_t x)
{
    for (int i = 0; i < 8; i++) p[i] = (unsigned char)(x >> (8 * i));
}

static float load_f32(const unsigned char *p)
{
    uint32_t bits = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void store_f32(unsigned char *p, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(bits >> (8 * i));
}

/* ---- reading ---- */

static altmin_error parse_header(am_safetensors *file, const unsigned char *bytes, size_t n_bytes,
                                 size_t *n_header, altmin_status *st)
{
    if (n_bytes < length_bytes + 2) { /* no room for an empty object */
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: not a safetensors file, it has only %zu bytes", file->name,
                       n_bytes);
    }
    uint64_t n = load_u64(bytes);
    if (n > max_header_bytes || n < 2 || bytes[length_bytes] != '{') {
        return am_fail(
            st, ALTMIN_ERR_FORMAT,
            "%s: not a safetensors file (its first 8 bytes would mean a header of %llu bytes); give a model "
            "that altmin wrote",
            file->name, (unsigned long long)n);
    }
    if (n > n_bytes - length_bytes) {
        return am_fail(
            st, ALTMIN_ERR_FORMAT,
            "%s: cut off: the header should have %llu bytes but the file ends %zu bytes after its start",
            file->name, (unsigned long long)n, n_bytes - length_bytes);
    }
    *n_header = (size_t)n;
    altmin_error code = am_json_parse(&file->header, (const char *)bytes + length_bytes, *n_header,
                                      file->name, max_header_values, st);
    if (code) return code;
    if (cJSON_IsObject(file->header)) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_FORMAT, "%s: the header is %s instead of an object", file->name,
                   am_json_type_name(file->header));
}

static altmin_error parse_metadata(am_safetensors *file, const cJSON *metadata, altmin_status *st)
{
    if (!cJSON_IsObject(metadata)) {
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: __metadata__ is %s instead of an object", file->name,
                       am_json_type_name(metadata));
    }
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, metadata)
    {
        if (cJSON_IsString(item)) continue;
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: metadata '%.60s' is %s instead of a string", file->name,
                       item->string, am_json_type_name(item));
    }
    file->metadata = metadata;
    return ALTMIN_OK;
}

/* A whole number that a double holds exactly; 1 when it is one. */
static int whole_number(const cJSON *item, size_t *value)
{
    if (!cJSON_IsNumber(item)) return 0;
    double x = item->valuedouble;
    if (!(x >= 0 && x <= 9007199254740991.0) || x != floor(x)) return 0;
    *value = (size_t)x;
    return 1;
}

static altmin_error parse_shape(am_tensor *t, const cJSON *shape, const char *name, altmin_status *st)
{
    size_t n_values = 1;
    if (!cJSON_IsArray(shape) || !shape->child) {
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: tensor '%.60s' has no shape", name, t->name);
    }
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, shape)
    {
        size_t n = 0;
        if (t->n_dims == AM_TENSOR_MAX_DIMS) {
            return am_fail(st, ALTMIN_ERR_FORMAT, "%s: tensor '%.60s' has more than %d dimensions", name,
                           t->name, AM_TENSOR_MAX_DIMS);
        }
        if (!whole_number(item, &n) || am_size_mul(n_values, n, &n_values)) {
            return am_fail(st, ALTMIN_ERR_FORMAT,
                           "%s: tensor '%.60s' has an impossible shape (dimension %zu)", name, t->name,
                           t->n_dims + 1);
        }
        t->shape[t->n_dims++] = n;
    }
    if (am_size_mul(n_values, sizeof(float), &t->n_bytes)) {
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: tensor '%.60s' has an impossible size", name, t->name);
    }
    return ALTMIN_OK;
}

static altmin_error parse_tensor(am_tensor *t, const cJSON *item, const unsigned char *data, size_t n_data,
                                 const char *name, altmin_status *st)
{
    t->name = item->string;
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(item, "dtype");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    if (!cJSON_IsString(dtype) || strcmp(dtype->valuestring, "F32") != 0) {
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: tensor '%.60s' has dtype '%.16s'; altmin reads F32", name,
                       t->name, cJSON_IsString(dtype) ? dtype->valuestring : am_json_type_name(dtype));
    }
    altmin_error code = parse_shape(t, cJSON_GetObjectItemCaseSensitive(item, "shape"), name, st);
    if (code) return code;
    size_t begin = 0, end = 0;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !whole_number(cJSON_GetArrayItem(offsets, 0), &begin) ||
        !whole_number(cJSON_GetArrayItem(offsets, 1), &end)) {
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: data_offsets of tensor '%.60s' are not two whole numbers",
                       name, t->name);
    }
    if (begin > end || end > n_data) {
        return am_fail(
            st, ALTMIN_ERR_FORMAT,
            "%s: tensor '%.60s' should lie at bytes %zu to %zu, but there are %zu bytes of data; is the file "
            "complete?",
            name, t->name, begin, end, n_data);
    }
    if (end - begin != t->n_bytes) {
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s: tensor '%.60s' has %zu bytes where its shape needs %zu",
                       name, t->name, end - begin, t->n_bytes);
    }
    t->bytes = data + begin;
    return ALTMIN_OK;
}

static int compare_position(const void *a, const void *b)
{
    const am_tensor *s = a, *t = b;
    if (s->bytes != t->bytes) return s->bytes < t->bytes ? -1 : 1;
    return (s->n_bytes > t->n_bytes) - (s->n_bytes < t->n_bytes); /* empty tensors first */
}

/* The tensors must cover the data exactly: an overlap or a gap means that header and data do not belong
 * together. */
static altmin_error check_layout(const am_safetensors *file, const unsigned char *data, size_t n_data,
                                 altmin_status *st)
{
    size_t expected = 0;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const am_tensor *t = &file->tensor[i];
        size_t begin = (size_t)(t->bytes - data);
        if (begin != expected) {
            return am_fail(
                st, ALTMIN_ERR_FORMAT, "%s: tensor '%.60s' begins at byte %zu of the data, %s byte %zu",
                file->name, t->name, begin,
                begin < expected ? "overlapping the one before, which ends at" : "leaving a gap behind",
                expected);
        }
        expected = begin + t->n_bytes;
    }
    if (expected == n_data) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_FORMAT, "%s: %zu bytes behind the last tensor belong to none", file->name,
                   n_data - expected);
}

static altmin_error parse_tensors(am_safetensors *file, const unsigned char *data, size_t n_data,
                                  altmin_status *st)
{
    size_t n = 0;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, file->header) n++;
    file->tensor = calloc(n + 1, sizeof *file->tensor);
    if (!file->tensor) return am_fail(st, ALTMIN_ERR_MEMORY, "%s: no memory for %zu tensors", file->name, n);
    cJSON_ArrayForEach(item, file->header)
    {
        altmin_error code = ALTMIN_OK;
        if (strcmp(item->string, "__metadata__") == 0) {
            code = parse_metadata(file, item, st);
        } else if (!cJSON_IsObject(item)) {
            code =
                am_fail(st, ALTMIN_ERR_FORMAT, "%s: tensor '%.60s' is described by %s instead of an object",
                        file->name, item->string, am_json_type_name(item));
        } else {
            code = parse_tensor(&file->tensor[file->n_tensors++], item, data, n_data, file->name, st);
        }
        if (code) return code;
    }
    qsort(file->tensor, file->n_tensors, sizeof *file->tensor, compare_position);
    return check_layout(file, data, n_data, st);
}

altmin_error am_safetensors_parse(am_safetensors *file, const void *bytes, size_t n_bytes, const char *name,
                                  altmin_status *st)
{
    *file = (am_safetensors){.name = name};
    size_t n_header = 0;
    altmin_error code = parse_header(file, bytes, n_bytes, &n_header, st);
    if (!code) {
        const unsigned char *data = (const unsigned char *)bytes + length_bytes + n_header;
        code = parse_tensors(file, data, n_bytes - length_bytes - n_header, st);
    }
    if (code) am_safetensors_close(file);
    return code;
}

void am_safetensors_close(am_safetensors *file)
{
    cJSON_Delete(file->header);
    free(file->tensor);
    *file = (am_safetensors){0};
}

const am_tensor *am_safetensors_find(const am_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->n_tensors; i++) {
        if (strcmp(file->tensor[i].name, name) == 0) return &file->tensor[i];
    }
    return NULL;
}

const char *am_safetensors_metadata(const am_safetensors *file, const char *key)
{
    const cJSON *item = file->metadata ? cJSON_GetObjectItemCaseSensitive(file->metadata, key) : NULL;
    return item ? item->valuestring : NULL;
}

int am_tensor_read(const am_tensor *tensor, float *out)
{
    size_t rows = tensor->shape[0], cols = tensor->n_dims == 2 ? tensor->shape[1] : 1;
    int finite = 1;
    for (size_t i = 0; i < rows; i++) {
        const unsigned char *row = tensor->bytes + i * cols * sizeof(float);
        for (size_t j = 0; j < cols; j++) {
            float x = load_f32(row + j * sizeof(float));
            finite &= isfinite(x) != 0;
            out[i + j * rows] = x;
        }
    }
    return finite;
}

/* ---- writing ---- */

static size_t n_values(const am_tensor_source *t)
{
    return t->shape[0] * (t->n_dims == 2 ? t->shape[1] : 1);
}

typedef struct header_parts {
    const am_metadata *metadata;
    size_t n_metadata;
    const am_tensor_source *tensor;
    size_t n_tensors;
} header_parts;

static void put_header(FILE *f, const void *user)
{
    const header_parts *parts = user;
    size_t begin = 0;
    fputs("{\"__metadata__\":{", f);
    for (size_t i = 0; i < parts->n_metadata; i++) {
        fputs(i ? "," : "", f);
        am_json_put_string(f, parts->metadata[i].key);
        fputc(':', f);
        am_json_put_string(f, parts->metadata[i].text);
    }
    fputc('}', f);
    for (size_t i = 0; i < parts->n_tensors; i++) {
        const am_tensor_source *t = &parts->tensor[i];
        size_t end = begin + n_values(t) * sizeof(float);
        fputc(',', f);
        am_json_put_string(f, t->name);
        fprintf(f, ":{\"dtype\":\"F32\",\"shape\":[%zu", t->shape[0]);
        if (t->n_dims == 2) fprintf(f, ",%zu", t->shape[1]);
        fprintf(f, "],\"data_offsets\":[%zu,%zu]}", begin, end);
        begin = end;
    }
    fputc('}', f);
}

/* Values go out through a small buffer: converting and transposing need no second copy of the network. */
static int write_values(FILE *f, const am_tensor_source *t)
{
    unsigned char buffer[4096];
    size_t rows = t->shape[0], cols = t->n_dims == 2 ? t->shape[1] : 1, used = 0;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            store_f32(buffer + used, t->value[i + j * rows]);
            used += sizeof(float);
            if (used < sizeof buffer) continue;
            if (fwrite(buffer, 1, used, f) != used) return 0;
            used = 0;
        }
    }
    return fwrite(buffer, 1, used, f) == used;
}

altmin_error am_safetensors_write(FILE *f, const am_metadata *metadata, size_t n_metadata,
                                  const am_tensor_source *tensor, size_t n_tensors, altmin_status *st)
{
    const header_parts parts = {metadata, n_metadata, tensor, n_tensors};
    char *header = am_json_text(put_header, &parts);
    if (!header) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a safetensors header");
    size_t n_text = strlen(header),
           n_header = (n_text + data_alignment - 1) / data_alignment * data_alignment;
    if (n_header > max_header_bytes) {
        free(header);
        return am_fail(st, ALTMIN_ERR_DATA,
                       "a safetensors header of %zu bytes exceeds the format's limit of %d", n_header,
                       max_header_bytes);
    }
    unsigned char length[length_bytes];
    store_u64(length, n_header);
    int written = fwrite(length, 1, sizeof length, f) == sizeof length && fputs(header, f) >= 0 &&
                  fprintf(f, "%*s", (int)(n_header - n_text), "") >= 0;
    free(header);
    for (size_t i = 0; i < n_tensors && written; i++) written = write_values(f, &tensor[i]);
    if (written) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_IO, "cannot write the model; is the disk full?");
}
