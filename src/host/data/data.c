/* Life of a data set: creation, ownership of its memory, fingerprint, and the public altmin_data functions.
 * Where the samples come from is open.c and the readers; what is done to them is split.c and scale.c. */
#include "host/data/data.h"

#include <endian.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "host/io/file.h"
#include "host/readers/readers.h"
#include "host/train/settings.h"

/* A block of memory or, when n_mapped > 0, a mapping. */
typedef struct owned_block {
    struct owned_block *next;
    void *base;
    size_t n_mapped;
} owned_block;

static altmin_error own(altmin_data *data, void *base, size_t n_mapped, altmin_status *st)
{
    owned_block *block = base ? malloc(sizeof *block) : NULL;
    if (!block) {
        if (n_mapped)
            am_file_unmap(base, n_mapped);
        else
            free(base);
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the data of '%s'", data->source);
    }
    *block = (owned_block){data->owned, base, n_mapped};
    data->owned = block;
    return ALTMIN_OK;
}

altmin_error am_data_own(altmin_data *data, void *block, altmin_status *st)
{
    return own(data, block, 0, st);
}

altmin_error am_data_own_mapping(altmin_data *data, void *base, size_t n_bytes, altmin_status *st)
{
    return own(data, base, n_bytes, st);
}

altmin_error am_data_new(altmin_data **data, const char *source, altmin_status *st)
{
    size_t n = strlen(source) + 1;
    *data = calloc(1, sizeof **data);
    char *copy = malloc(n);
    if (!*data || !copy) {
        free(*data);
        free(copy);
        *data = NULL;
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a data set");
    }
    memcpy(copy, source, n);
    (*data)->source = copy;
    return ALTMIN_OK;
}

int am_data_is_mapped(const altmin_data *data)
{
    const uintptr_t at =
        data->storage == AM_STORE_U8 ? (uintptr_t)data->u8 : (uintptr_t)data->f32; /* NULL for sparse data */
    for (const owned_block *block = data->owned; block; block = block->next) {
        const uintptr_t base = (uintptr_t)block->base;
        if (at >= base && at < base + block->n_mapped) return 1;
    }
    return 0;
}

void altmin_data_free(altmin_data *data)
{
    if (!data) return;
    for (owned_block *block = data->owned, *next; block; block = next) {
        next = block->next;
        if (block->n_mapped)
            am_file_unmap(block->base, block->n_mapped);
        else
            free(block->base);
        free(block);
    }
    free(data->source);
    free(data);
}

altmin_error am_data_copy_names(altmin_data *data, char *const *name, size_t n, char ***copy,
                                altmin_status *st)
{
    size_t n_bytes;
    if (am_size_mul(n, sizeof(char *), &n_bytes)) n_bytes = SIZE_MAX;
    for (size_t i = 0; i < n; ++i)
        if (am_size_add(n_bytes, strlen(name[i]) + 1, &n_bytes)) n_bytes = SIZE_MAX;
    char **block = malloc(n_bytes ? n_bytes : 1);
    altmin_error code = am_data_own(data, block, st);
    if (code) return code;
    char *text = (char *)(block + n);
    for (size_t i = 0; i < n; ++i) {
        size_t length = strlen(name[i]) + 1;
        memcpy(text, name[i], length);
        block[i] = text;
        text += length;
    }
    *copy = block;
    return ALTMIN_OK;
}

am_read_options am_read_options_default(void)
{
    return (am_read_options){.header = -1, .task = -1};
}

/* ---- fingerprint: one lane of multiply, rotate, add over 64-bit words, finished as in splitmix64. Not
 * cryptographic: it tells data sets apart, it does not defend against forgery. ---- */

static uint64_t mix_word(uint64_t hash, uint64_t word)
{
    hash ^= word * 0x9E3779B185EBCA87u;
    hash = hash << 27 | hash >> 37;
    return hash * 0xC2B2AE3D27D4EB4Fu + 0x165667B19E3779F9u;
}

static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t word;
    hash = mix_word(hash, n);
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        hash = mix_word(hash, le64toh(word));
    }
    word = 0;
    if (n) memcpy(&word, p, n);
    return mix_word(hash, le64toh(word));
}

/* Arrays of 32-bit values, two to a word: the same result on either byte order. */
static uint64_t mix_words32(uint64_t hash, const void *words, size_t n)
{
    const unsigned char *p = words;
    hash = mix_word(hash, n);
    for (size_t i = 0; i < n; i += 2, p += 8) {
        uint32_t low, high = 0;
        memcpy(&low, p, 4);
        if (i + 1 < n) memcpy(&high, p + 4, 4);
        hash = mix_word(hash, (uint64_t)high << 32 | low);
    }
    return hash;
}

static uint64_t mix_features(uint64_t hash, const altmin_data *data)
{
    size_t n = data->n_features * data->n_samples;
    switch (data->storage) {
    case AM_STORE_U8: return mix_bytes(hash, data->u8, n);
    case AM_STORE_F32: return mix_words32(hash, data->f32, n);
    case AM_STORE_SPARSE: break;
    }
    size_t n_entries = data->sparse.start[data->n_samples];
    for (size_t j = 0; j <= data->n_samples; ++j) hash = mix_word(hash, data->sparse.start[j]);
    hash = mix_words32(hash, data->sparse.row, n_entries);
    return mix_words32(hash, data->sparse.value, n_entries);
}

void am_data_fingerprint(const altmin_data *data, char hex[17])
{
    uint64_t hash = mix_word(0, data->n_features);
    hash = mix_word(hash, data->n_samples);
    hash = mix_word(hash, (uint64_t)data->storage);
    hash = mix_word(hash, data->n_classes);
    hash = mix_word(hash, data->n_targets);
    hash = mix_features(hash, data);
    hash = mix_word(hash, data->label != NULL);
    if (data->label) hash = mix_words32(hash, data->label, data->n_samples);
    if (data->target) hash = mix_words32(hash, data->target, data->n_targets * data->n_samples);
    for (size_t i = 0; i < data->n_classes; ++i)
        hash = mix_bytes(hash, data->class_name[i], strlen(data->class_name[i]));
    hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9u;
    hash = (hash ^ hash >> 27) * 0x94D049BB133111EBu;
    hash ^= hash >> 31;
    snprintf(hex, 17, "%08x%08x", (unsigned)(hash >> 32), (unsigned)(hash & 0xFFFFFFFFu));
}

size_t am_data_bytes(const altmin_data *data)
{
    size_t n = data->n_features * data->n_samples, n_bytes = 0;
    switch (data->storage) {
    case AM_STORE_U8: n_bytes = n; break;
    case AM_STORE_F32: n_bytes = n * sizeof(float); break;
    case AM_STORE_SPARSE:
        n_bytes = (data->n_samples + 1) * sizeof(size_t) +
                  data->sparse.start[data->n_samples] * (sizeof(float) + sizeof(int32_t));
        break;
    }
    if (data->label) n_bytes += data->n_samples * sizeof *data->label;
    if (data->target) n_bytes += data->n_targets * data->n_samples * sizeof *data->target;
    for (size_t i = 0; i < data->n_classes; ++i) n_bytes += sizeof(char *) + strlen(data->class_name[i]) + 1;
    for (size_t i = 0; data->feature_name && i < data->n_features; ++i)
        n_bytes += sizeof(char *) + strlen(data->feature_name[i]) + 1;
    return n_bytes;
}

/* ---- public functions ---- */

altmin_error altmin_data_load(altmin_data **data, const char *source, const char *part,
                              const altmin_settings *settings, altmin_status *st)
{
    am_status_clear(st);
    if (!data) return am_fail(st, ALTMIN_ERR_USAGE, "altmin_data_load: data is NULL");
    *data = NULL;
    if (!source) return am_fail(st, ALTMIN_ERR_USAGE, "altmin_data_load: source is NULL");
    am_read_options opt = am_read_options_default();
    if (settings) {
        opt.label_column = settings->label;
        opt.header = settings->header;
        opt.task = settings->task;
    }
    return am_data_open(data, source, part, &opt, st);
}

/* Class names "0" ... "n-1". */
static altmin_error number_classes(altmin_data *data, size_t n_classes, altmin_status *st)
{
    enum { NAME_BYTES = 24 };
    size_t n_bytes;
    if (am_size_mul(n_classes, sizeof(char *) + NAME_BYTES, &n_bytes)) n_bytes = SIZE_MAX;
    char **name = malloc(n_bytes);
    altmin_error code = am_data_own(data, name, st);
    if (code) return code;
    char *text = (char *)(name + n_classes);
    for (size_t i = 0; i < n_classes; ++i) {
        name[i] = text + i * NAME_BYTES;
        snprintf(name[i], NAME_BYTES, "%zu", i);
    }
    data->class_name = name;
    data->n_classes = n_classes;
    return ALTMIN_OK;
}

/* Copy `count` elements of `size` bytes into memory that data owns; NULL on failure. */
static void *copy_array(altmin_data *data, const void *from, size_t count, size_t size, altmin_status *st)
{
    size_t n_bytes;
    if (am_size_mul(count, size, &n_bytes)) n_bytes = SIZE_MAX;
    void *to = malloc(n_bytes);
    if (am_data_own(data, to, st)) return NULL;
    return memcpy(to, from, n_bytes);
}

static altmin_error check_labels(const int32_t *label, size_t n_samples, size_t n_classes, altmin_status *st)
{
    for (size_t j = 0; j < n_samples; ++j)
        if (label[j] < 0 || (size_t)label[j] >= n_classes)
            return am_fail(st, ALTMIN_ERR_DATA,
                           "altmin_data_from_arrays: label %d of sample %zu is not in 0..%zu (n_classes - 1)",
                           (int)label[j], j, n_classes - 1);
    return ALTMIN_OK;
}

static altmin_error copy_labels(altmin_data *data, const int32_t *label, size_t n_classes,
                                const float *target, size_t n_targets, altmin_status *st)
{
    altmin_error code = ALTMIN_OK;
    size_t n_values;
    if (label) {
        if ((code = check_labels(label, data->n_samples, n_classes, st))) return code;
        data->label = copy_array(data, label, data->n_samples, sizeof *label, st);
        return data->label ? number_classes(data, n_classes, st) : ALTMIN_ERR_MEMORY;
    }
    if (!target) return ALTMIN_OK;
    if (am_size_mul(n_targets, data->n_samples, &n_values)) n_values = SIZE_MAX;
    for (size_t i = 0; i < n_values && n_values != SIZE_MAX; ++i)
        if (!isfinite(target[i]))
            return am_fail(st, ALTMIN_ERR_DATA,
                           "altmin_data_from_arrays: target %zu of sample %zu is not finite (%g)",
                           i % n_targets, i / n_targets, (double)target[i]);
    data->target = copy_array(data, target, n_values, sizeof *target, st);
    data->n_targets = n_targets;
    return data->target ? ALTMIN_OK : ALTMIN_ERR_MEMORY;
}

static altmin_error fill_from_arrays(altmin_data *data, const float *x, size_t n_features, size_t n_samples,
                                     altmin_status *st)
{
    am_input in = {.name = data->source};
    size_t n_values;
    altmin_error code = am_check_sizes(&in, n_features, n_samples, st);
    if (code) return code;
    if (am_size_mul(n_features, n_samples, &n_values))
        return am_fail(st, ALTMIN_ERR_MEMORY, "altmin_data_from_arrays: %zu x %zu values overflow",
                       n_features, n_samples);
    if ((code = am_check_finite(&in, x, n_features, n_samples, st))) return code;
    data->n_features = n_features;
    data->n_samples = n_samples;
    data->storage = AM_STORE_F32;
    data->f32 = copy_array(data, x, n_values, sizeof *x, st);
    return data->f32 ? ALTMIN_OK : ALTMIN_ERR_MEMORY;
}

altmin_error altmin_data_from_arrays(altmin_data **data, const float *x, size_t n_features, size_t n_samples,
                                     const int32_t *label, size_t n_classes, const float *target,
                                     size_t n_targets, altmin_status *st)
{
    altmin_data *made = NULL;
    am_status_clear(st);
    if (!data) return am_fail(st, ALTMIN_ERR_USAGE, "altmin_data_from_arrays: data is NULL");
    *data = NULL;
    if (!x) return am_fail(st, ALTMIN_ERR_USAGE, "altmin_data_from_arrays: x is NULL");
    if (label && target)
        return am_fail(st, ALTMIN_ERR_USAGE, "altmin_data_from_arrays: give label or target, not both");
    if (label && n_classes == 0)
        return am_fail(st, ALTMIN_ERR_USAGE, "altmin_data_from_arrays: labels are given but n_classes is 0");
    if (target && n_targets == 0)
        return am_fail(st, ALTMIN_ERR_USAGE, "altmin_data_from_arrays: targets are given but n_targets is 0");
    altmin_error code = am_data_new(&made, "arrays", st);
    if (!code) code = fill_from_arrays(made, x, n_features, n_samples, st);
    if (!code) code = copy_labels(made, label, n_classes, target, n_targets, st);
    if (code)
        altmin_data_free(made);
    else
        *data = made;
    return code;
}

size_t altmin_data_n_samples(const altmin_data *data)
{
    return data->n_samples;
}
size_t altmin_data_n_features(const altmin_data *data)
{
    return data->n_features;
}
size_t altmin_data_n_classes(const altmin_data *data)
{
    return data->n_classes;
}
