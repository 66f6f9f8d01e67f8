/* Scaling features: x' = (x - shift) * factor, fitted on training data. Sums are in double; the features are
 * read in chunks through am_data_dense, so there is one text for every storage. */
#include "host/data/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_VALUES = 1 << 16 };

void am_scaler_free(am_scaler *scaler)
{
    free(scaler->shift);
    free(scaler->factor);
    *scaler = (am_scaler){0};
}

/* ---- dense samples ---- */

static void dense_u8(const uint8_t *x, const am_scaler *s, size_t n_features, size_t n, float *out)
{
    for (size_t j = 0; j < n; ++j, x += n_features, out += n_features) {
        if (s)
            for (size_t i = 0; i < n_features; ++i) out[i] = ((float)x[i] - s->shift[i]) * s->factor[i];
        else
            for (size_t i = 0; i < n_features; ++i) out[i] = (float)x[i];
    }
}

static void dense_f32(const float *x, const am_scaler *s, size_t n_features, size_t n, float *out)
{
    if (!s) {
        memcpy(out, x, n * n_features * sizeof *x);
        return;
    }
    for (size_t j = 0; j < n; ++j, x += n_features, out += n_features)
        for (size_t i = 0; i < n_features; ++i) out[i] = (x[i] - s->shift[i]) * s->factor[i];
}

static void dense_sparse(const am_csc *x, const am_scaler *s, size_t first, size_t n, float *out)
{
    for (size_t j = first; j < first + n; ++j, out += x->rows) {
        for (size_t i = 0; i < x->rows; ++i) out[i] = s ? (0 - s->shift[i]) * s->factor[i] : 0;
        for (size_t k = x->start[j]; k < x->start[j + 1]; ++k) {
            int32_t i = x->row[k];
            out[i] = s ? (x->value[k] - s->shift[i]) * s->factor[i] : x->value[k];
        }
    }
}

void am_data_dense(const altmin_data *data, const am_scaler *scaler, size_t first, size_t n, float *out)
{
    size_t d = data->n_features;
    switch (data->storage) {
    case AM_STORE_U8: dense_u8(data->u8 + first * d, scaler, d, n, out); break;
    case AM_STORE_F32: dense_f32(data->f32 + first * d, scaler, d, n, out); break;
    case AM_STORE_SPARSE: dense_sparse(&data->sparse, scaler, first, n, out); break;
    }
}

/* ---- fitting ---- */

/* Largest absolute value, read straight from the storage. */
static float largest(const altmin_data *data)
{
    float max = 0;
    size_t n = data->n_features * data->n_samples;
    if (data->storage == AM_STORE_U8) {
        uint8_t max_byte = 0;
        for (size_t i = 0; i < n; ++i) max_byte = data->u8[i] > max_byte ? data->u8[i] : max_byte;
        return (float)max_byte;
    }
    const float *x = data->storage == AM_STORE_F32 ? data->f32 : data->sparse.value;
    if (data->storage == AM_STORE_SPARSE) n = data->sparse.start[data->n_samples];
    for (size_t i = 0; i < n; ++i) max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    return max;
}

/* 1/x as a float; 1 when that is not a positive finite number (x is 0, or so small that 1/x overflows). */
static float safe_inverse(double x)
{
    float inverse = (float)(1 / x);
    return isfinite(inverse) && inverse > 0 ? inverse : 1;
}

/* Sum over all samples of (x - centre)^power, per feature, power 1 or 2. chunk: room for n_chunk samples. */
static void sum_powers(const altmin_data *data, const double *centre, int power, float *chunk, size_t n_chunk,
                       double *sum)
{
    size_t d = data->n_features;
    memset(sum, 0, d * sizeof *sum);
    for (size_t first = 0; first < data->n_samples; first += n_chunk) {
        size_t n = data->n_samples - first < n_chunk ? data->n_samples - first : n_chunk;
        am_data_dense(data, NULL, first, n, chunk);
        for (size_t j = 0; j < n; ++j)
            for (size_t i = 0; i < d; ++i) {
                double x = (double)chunk[i + j * d] - centre[i];
                sum[i] += power == 1 ? x : x * x;
            }
    }
}

/* Two passes. The first centres on sample 0, so that a constant feature has exactly its value as mean and
 * exactly 0 as variance, which is how it is recognised. */
static altmin_error standardise(am_scaler *scaler, const altmin_data *data, altmin_status *st)
{
    size_t d = data->n_features, n_chunk = CHUNK_VALUES / d + 1;
    if (n_chunk > data->n_samples) n_chunk = data->n_samples;
    float *chunk = calloc(n_chunk * d, sizeof *chunk);
    double *centre = calloc(d, sizeof *centre), *sum = calloc(d, sizeof *sum);
    altmin_error code = ALTMIN_OK;
    if (chunk && centre && sum) {
        double n = (double)data->n_samples;
        am_data_dense(data, NULL, 0, 1, chunk);
        for (size_t i = 0; i < d; ++i) centre[i] = (double)chunk[i];
        sum_powers(data, centre, 1, chunk, n_chunk, sum);
        for (size_t i = 0; i < d; ++i) centre[i] += sum[i] / n;
        sum_powers(data, centre, 2, chunk, n_chunk, sum);
        for (size_t i = 0; i < d; ++i) {
            scaler->shift[i] = (float)centre[i];
            scaler->factor[i] = safe_inverse(sqrt(sum[i] / n));
        }
    } else {
        code = am_fail(st, ALTMIN_ERR_MEMORY, "no memory to standardise %zu features", d);
    }
    free(chunk);
    free(centre);
    free(sum);
    return code;
}

altmin_error am_scaler_fit(am_scaler *scaler, am_scaling kind, const altmin_data *data, altmin_status *st)
{
    static const am_scaling by_storage[] = {AM_SCALE_UNIT, AM_SCALE_STANDARDISE, AM_SCALE_NONE};
    size_t d = data->n_features;
    *scaler = (am_scaler){.kind = kind == AM_SCALE_AUTO ? by_storage[data->storage] : kind, .n_features = d};
    if (scaler->kind == AM_SCALE_STANDARDISE && data->storage == AM_STORE_SPARSE)
        return am_fail(
            st, ALTMIN_ERR_DATA,
            "cannot standardise '%s': it is sparse, and shifting would fill in every zero; use scaling "
            "'unit' or 'none'",
            data->source);
    scaler->shift = calloc(d, sizeof *scaler->shift);
    scaler->factor = calloc(d, sizeof *scaler->factor);
    if (!scaler->shift || !scaler->factor) {
        am_scaler_free(scaler);
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a scaler of %zu features", d);
    }
    float factor = scaler->kind == AM_SCALE_UNIT ? safe_inverse((double)largest(data)) : 1;
    for (size_t i = 0; i < d; ++i) scaler->factor[i] = factor;
    if (scaler->kind != AM_SCALE_STANDARDISE) return ALTMIN_OK;
    altmin_error code = standardise(scaler, data, st);
    if (code) am_scaler_free(scaler);
    return code;
}
