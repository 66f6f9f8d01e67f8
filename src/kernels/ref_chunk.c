/* The reference backend's column choices: gathering columns, from floats and from bytes, and thinning. See backend.h. */
#include "kernels/ref.h"

#include <string.h>

void am_ref_gather_columns(am_ctx *ctx, am_mat dst, am_mat src, const int32_t *index)
{
    (void)ctx;
    for (size_t j = 0; j < dst.cols; j++) {
        float *to = dst.data + j * dst.rows;
        if (index[j] < 0)
            memset(to, 0, dst.rows * sizeof(float));
        else
            memcpy(to, src.data + (size_t)index[j] * src.rows, dst.rows * sizeof(float));
    }
}

void am_ref_gather_columns_u8(am_ctx *ctx, am_mat dst, const uint8_t *src, const int32_t *index, am_mat shift,
                              am_mat factor)
{
    (void)ctx;
    for (size_t j = 0; j < dst.cols; j++) {
        const uint8_t *from = src + (index ? (size_t)index[j] : j) * dst.rows;
        for (size_t i = 0; i < dst.rows; i++)
            dst.data[i + j * dst.rows] = ((float)from[i] - shift.data[i]) * factor.data[i];
    }
}

static double size_of(const float *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += fabs((double)x[i]);
    return sum;
}

void am_ref_thin(am_ctx *ctx, int32_t *index, am_slot count, am_mat r, am_slot bt, uint64_t seed,
                 am_slot counter)
{
    double *slot = am_host(ctx)->slot;
    const uint64_t step = (uint64_t)slot[counter];
    const double b = slot[bt];
    size_t n = 0;
    for (size_t j = 0; j < r.cols; j++) {
        float *column = r.data + j * r.rows;
        const double p = am_thin_probability(size_of(column, r.rows), b);
        if (!(am_random_uniform(seed, step, j) < p)) continue;
        for (size_t i = 0; i < r.rows; i++) column[i] = (float)((double)column[i] / p);
        index[n++] = (int32_t)j;
    }
    slot[count] = (double)n;
    for (size_t j = n; j < r.cols; j++) index[j] = -1;
}
