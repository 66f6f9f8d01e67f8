/* Data of the benchmarks that train: those of --data, or made-up images of a given shape. */
#include "host/cli/bench.h"
#include "host/cli/source.h"

#include <stdlib.h>
#include <string.h>

static uint64_t scramble(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Bytes like those of a simple image set: a pattern per class, noise on it, about half of them zero. */
static void make_up(uint8_t *x, int32_t *label, size_t n, size_t d, size_t n_classes)
{
    for (size_t j = 0; j < n; j++) {
        label[j] = (int32_t)(scramble(j) % n_classes);
        for (size_t i = 0; i < d; i++) {
            const int pattern = (int)(scramble((uint64_t)label[j] * d + i) % 256) - 128;
            const int noise = (int)(scramble(0x10000000000u + j * d + i) % 256) - 128;
            const int value = pattern + noise;
            x[i + j * d] = (uint8_t)(value < 0 ? 0 : (value > 255 ? 255 : value));
        }
    }
}

static altmin_error name_classes(altmin_data *data, altmin_status *st)
{
    enum { NAME_ROOM = 24 };
    char **name = malloc(data->n_classes * sizeof *name), *text = malloc(data->n_classes * NAME_ROOM);
    if (!name || !text) {
        free(name);
        free(text);
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the names of %zu classes", data->n_classes);
    }
    for (size_t i = 0; i < data->n_classes; i++) {
        name[i] = text + i * NAME_ROOM;
        snprintf(name[i], NAME_ROOM, "%zu", i);
    }
    data->class_name = name;
    if (am_data_own(data, name, st)) {
        free(text);
        return st->code;
    }
    return am_data_own(data, text, st);
}

static altmin_error fill_made_up(altmin_data *data, altmin_status *st)
{
    size_t n_values;
    if (am_size_mul(data->n_features, data->n_samples, &n_values))
        return am_fail(st, ALTMIN_ERR_USAGE, "--shape: %zu x %zu values overflow", data->n_features,
                       data->n_samples);
    uint8_t *x = malloc(n_values);
    if (!x)
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu x %zu bytes", data->n_features,
                       data->n_samples);
    if (am_data_own(data, x, st)) return st->code;
    int32_t *label = calloc(data->n_samples, sizeof *label);
    if (!label) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu labels", data->n_samples);
    if (am_data_own(data, label, st)) return st->code;
    make_up(x, label, data->n_samples, data->n_features, data->n_classes);
    data->u8 = x;
    data->label = label;
    return name_classes(data, st);
}

static altmin_error open_made_up(altmin_data **data, const char *shape, altmin_status *st)
{
    unsigned long long n, d, c;
    int end = 0;
    if (sscanf(shape, "%llu,%llu,%llu%n", &n, &d, &c, &end) != 3 || shape[end] || strchr(shape, '-') ||
        n < 1 || d < 1 || c < 2 || n > 1000000000 || d > 100000000 || c > 1000000)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "--shape: '%.60s' is not samples,features,classes such as 60000,784,10", shape);
    if (am_data_new(data, "made-up data", st)) return st->code;
    (*data)->n_samples = (size_t)n, (*data)->n_features = (size_t)d, (*data)->n_classes = (size_t)c;
    (*data)->storage = AM_STORE_U8;
    return fill_made_up(*data, st);
}

altmin_error am_bench_data(altmin_data **train, altmin_data **test, const am_args *args, const char *shape,
                           altmin_status *st)
{
    const int has_data = am_args_has_setting(args, "data");
    if (shape && has_data) return am_fail(st, ALTMIN_ERR_USAGE, "give --data or --shape, not both");
    if (!has_data) return open_made_up(train, shape ? shape : "60000,784,10", st);
    if (test) return am_source_open(train, test, args->settings, st);
    const am_read_options opt = am_source_options(args->settings);
    return am_data_open(train, args->settings->data, "train", &opt, st);
}
