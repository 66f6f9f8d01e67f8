/* Choosing samples: the seeded, stratified train/validation split, and copies of chosen samples.
 *
 * The shuffle draws from Philox 4x32-10 keyed by the seed with counters of its own stream, so the split
 * depends on the seed and the labels alone, on every machine. */
#include "host/data/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <Random123/philox.h>
#include "host/readers/readers.h"

/* Counter word that keeps this stream apart from every other use of the seed. "SPLT". */
static const uint32_t split_stream = 0x53504C54u;

/* Uniform in 0..n-1. 64 random bits modulo n: the bias is below n / 2^64. */
static size_t draw(uint64_t seed, uint64_t counter, size_t n)
{
    philox4x32_ctr_t at = {{(uint32_t)counter, (uint32_t)(counter >> 32), 0, split_stream}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t random = philox4x32(at, key);
    return (size_t)(((uint64_t)random.v[1] << 32 | random.v[0]) % n);
}

/* Classes as strata; without labels one stratum holds all samples. Sample numbers are grouped by stratum:
 * member[begin[c] .. begin[c + 1]). n_valid[c] of them are to be drawn. */
typedef struct strata {
    size_t n_strata, n_samples;
    size_t *begin, *member, *n_valid;
} strata;

static void strata_free(strata *s)
{
    free(s->begin);
    free(s->member);
    free(s->n_valid);
}

static size_t stratum_of(const altmin_data *data, size_t j)
{
    return data->label ? (size_t)data->label[j] : 0;
}

/* Counting sort by stratum. 0 on success. */
static int strata_new(strata *s, const altmin_data *data)
{
    *s = (strata){.n_strata = data->label ? data->n_classes : 1, .n_samples = data->n_samples};
    s->begin = calloc(s->n_strata + 2, sizeof *s->begin);
    s->member = calloc(s->n_samples, sizeof *s->member);
    s->n_valid = calloc(s->n_strata, sizeof *s->n_valid);
    if (!s->begin || !s->member || !s->n_valid) return 1;
    size_t *next =
        s->begin + 1; /* shifted by one: after the second loop begin[c + 1] is the end of stratum c */
    for (size_t j = 0; j < s->n_samples; ++j) next[stratum_of(data, j) + 1] += 1;
    for (size_t c = 0; c < s->n_strata; ++c) next[c + 1] += next[c];
    for (size_t j = 0; j < s->n_samples; ++j) s->member[next[stratum_of(data, j)]++] = j;
    return 0;
}

typedef struct share_left {
    double left; /* share minus what was given, below 1 */
    size_t stratum;
} share_left;

static int by_remainder(const void *a, const void *b)
{
    const share_left *x = a, *y = b;
    if (x->left < y->left || x->left > y->left) return x->left > y->left ? -1 : 1;
    return x->stratum < y->stratum ? -1 : 1;
}

/* Share round(fraction * n) validation samples out: each stratum gets the floor of its share, then those with
 * the largest remainders one more, always leaving one training sample. 0 on success. */
static int share_out(strata *s, double fraction)
{
    size_t n_wanted = (size_t)(fraction * (double)s->n_samples + 0.5), n_given = 0;
    share_left *order = calloc(s->n_strata, sizeof *order);
    if (!order) return 1;
    for (size_t c = 0; c < s->n_strata; ++c) {
        size_t n = s->begin[c + 1] - s->begin[c];
        double share = fraction * (double)n;
        s->n_valid[c] = (size_t)share;
        if (n && s->n_valid[c] >= n) s->n_valid[c] = n - 1;
        order[c] = (share_left){share - (double)s->n_valid[c], c};
        n_given += s->n_valid[c];
    }
    qsort(order, s->n_strata, sizeof *order, by_remainder);
    for (size_t k = 0; k < s->n_strata && n_given < n_wanted; ++k) {
        size_t c = order[k].stratum, n = s->begin[c + 1] - s->begin[c];
        if (s->n_valid[c] + 1 >= n) continue;
        s->n_valid[c] += 1;
        n_given += 1;
    }
    free(order);
    return 0;
}

/* Fisher-Yates, stopped after the validation samples of each stratum. Marks them in is_valid. */
static void draw_valid(strata *s, uint64_t seed, unsigned char *is_valid)
{
    for (size_t c = 0; c < s->n_strata; ++c) {
        size_t *member = s->member + s->begin[c], n = s->begin[c + 1] - s->begin[c];
        for (size_t k = 0; k < s->n_valid[c]; ++k) {
            size_t pick = k + draw(seed, s->begin[c] + k, n - k);
            is_valid[member[pick]] = 1;
            member[pick] = member[k];
        }
    }
}

altmin_error am_data_split(const altmin_data *data, double valid_fraction, uint64_t seed,
                           size_t **train_index, size_t *n_train, size_t **valid_index, size_t *n_valid,
                           altmin_status *st)
{
    strata s = {0};
    size_t n = data->n_samples;
    *train_index = *valid_index = NULL;
    *n_train = *n_valid = 0;
    if (!(valid_fraction >= 0 && valid_fraction < 1))
        return am_fail(st, ALTMIN_ERR_USAGE, "the validation fraction %g is not in [0, 1)", valid_fraction);
    unsigned char *is_valid = calloc(n, 1);
    size_t *train = calloc(n, sizeof *train), *valid = calloc(n, sizeof *valid);
    int failed = !is_valid || !train || !valid || strata_new(&s, data) || share_out(&s, valid_fraction);
    if (!failed) {
        draw_valid(&s, seed, is_valid);
        for (size_t j = 0; j < n; ++j)
            if (is_valid[j])
                valid[(*n_valid)++] = j;
            else
                train[(*n_train)++] = j;
        *train_index = train;
        *valid_index = valid;
    } else {
        free(train);
        free(valid);
    }
    strata_free(&s);
    free(is_valid);
    return failed ? am_fail(st, ALTMIN_ERR_MEMORY, "no memory to split %zu samples", n) : ALTMIN_OK;
}

/* ---- subsets ---- */

/* Copy `size` bytes per chosen sample; NULL on failure. */
static void *gather(altmin_data *subset, const void *from, const size_t *index, size_t n, size_t size,
                    altmin_status *st)
{
    size_t n_bytes;
    if (am_size_mul(n, size, &n_bytes)) n_bytes = SIZE_MAX;
    unsigned char *to = malloc(n_bytes);
    if (am_data_own(subset, to, st)) return NULL;
    for (size_t k = 0; k < n; ++k) memcpy(to + k * size, (const unsigned char *)from + index[k] * size, size);
    return to;
}

static altmin_error gather_sparse(altmin_data *subset, const am_csc *from, const size_t *index, size_t n,
                                  altmin_status *st)
{
    size_t *start = calloc(n + 1, sizeof *start);
    altmin_error code = am_data_own(subset, start, st);
    if (code) return code;
    for (size_t k = 0; k < n; ++k)
        start[k + 1] = start[k] + from->start[index[k] + 1] - from->start[index[k]];
    int32_t *row =
        calloc(start[n] + 1, sizeof *row); /* one spare entry: no zero-sized block for all-zero samples */
    if ((code = am_data_own(subset, row, st))) return code;
    float *value = calloc(start[n] + 1, sizeof *value);
    if ((code = am_data_own(subset, value, st))) return code;
    for (size_t k = 0; k < n; ++k) {
        size_t first = from->start[index[k]], n_entries = start[k + 1] - start[k];
        if (n_entries == 0) continue;
        memcpy(row + start[k], from->row + first, n_entries * sizeof *row);
        memcpy(value + start[k], from->value + first, n_entries * sizeof *value);
    }
    subset->sparse = (am_csc){start, row, value, from->rows, n};
    return ALTMIN_OK;
}

static altmin_error gather_features(altmin_data *subset, const altmin_data *data, const size_t *index,
                                    size_t n, altmin_status *st)
{
    switch (data->storage) {
    case AM_STORE_U8: subset->u8 = gather(subset, data->u8, index, n, data->n_features, st); break;
    case AM_STORE_F32:
        subset->f32 = gather(subset, data->f32, index, n, data->n_features * sizeof(float), st);
        break;
    case AM_STORE_SPARSE: return gather_sparse(subset, &data->sparse, index, n, st);
    }
    return subset->u8 || subset->f32 ? ALTMIN_OK : ALTMIN_ERR_MEMORY;
}

static altmin_error gather_labels(altmin_data *subset, const altmin_data *data, const size_t *index, size_t n,
                                  altmin_status *st)
{
    altmin_error code = ALTMIN_OK;
    if (data->label && !(subset->label = gather(subset, data->label, index, n, sizeof *data->label, st)))
        return ALTMIN_ERR_MEMORY;
    if (data->target && !(subset->target = gather(subset, data->target, index, n,
                                                  data->n_targets * sizeof *data->target, st)))
        return ALTMIN_ERR_MEMORY;
    if (data->class_name)
        code = am_data_copy_names(subset, data->class_name, data->n_classes, &subset->class_name, st);
    if (!code && data->feature_name)
        code = am_data_copy_names(subset, data->feature_name, data->n_features, &subset->feature_name, st);
    return code;
}

altmin_error am_data_subset(altmin_data **subset, const altmin_data *data, const size_t *index, size_t n,
                            altmin_status *st)
{
    altmin_data *made = NULL;
    *subset = NULL;
    if (n == 0)
        return am_fail(st, ALTMIN_ERR_DATA, "a subset of '%s' without samples makes no sense", data->source);
    for (size_t k = 0; k < n; ++k)
        if (index[k] >= data->n_samples)
            return am_fail(st, ALTMIN_ERR_INTERNAL, "sample number %zu of '%s' is not below %zu", index[k],
                           data->source, data->n_samples);
    altmin_error code = am_data_new(&made, data->source, st);
    if (code) return code;
    made->n_features = data->n_features;
    made->n_samples = n;
    made->storage = data->storage;
    made->n_classes = data->n_classes;
    made->n_targets = data->n_targets;
    code = gather_features(made, data, index, n, st);
    if (!code) code = gather_labels(made, data, index, n, st);
    if (code)
        altmin_data_free(made);
    else
        *subset = made;
    return code;
}
