/* Choices of columns on the cpu backend: gathering, from floats and from bytes, and thinning. Columns are shared out over
 * threads; what a column gives does not depend on which thread has it. See backend.h. */
#include "kernels/cpu.h"

#include <string.h>

/* ---------------------------------------------------------------------------------------------- gathering */

void am_cpu_gather_columns(am_ctx *ctx, am_mat dst, am_mat src, const int32_t *index)
{
    const int n_threads = am_cpu_threads(ctx, 2 * am_mat_len(dst));
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t j = 0; j < dst.cols; j++) {
        float *to = dst.data + j * dst.rows;
        if (index[j] < 0)
            memset(to, 0, dst.rows * sizeof(float));
        else
            memcpy(to, src.data + (size_t)index[j] * src.rows, dst.rows * sizeof(float));
    }
}

AM_CPU_CLONES static void widen(float *to, const uint8_t *from, const float *shift, const float *factor,
                                size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) to[i] = ((float)from[i] - shift[i]) * factor[i];
}

void am_cpu_gather_columns_u8(am_ctx *ctx, am_mat dst, const uint8_t *src, const int32_t *index, am_mat shift,
                              am_mat factor)
{
    const int n_threads = am_cpu_threads(ctx, am_mat_len(dst));
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t j = 0; j < dst.cols; j++)
        widen(dst.data + j * dst.rows, src + (index ? (size_t)index[j] : j) * dst.rows, shift.data,
              factor.data, dst.rows);
}

/* ---------------------------------------------------------------------------------------------- thinning */

AM_CPU_CLONES static double size_of(const float *x, size_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) sum += fabs((double)x[i]);
    return sum;
}

/* Choose column j and divide it by its probability, or mark it -1. */
static int32_t choose(am_mat r, size_t j, double b, uint64_t seed, uint64_t step)
{
    float *column = r.data + j * r.rows;
    const double p = am_thin_probability(size_of(column, r.rows), b);
    if (!(am_random_uniform(seed, step, j) < p)) return -1;
    for (size_t i = 0; i < r.rows && p < 1.0; i++) column[i] = (float)((double)column[i] / p);
    return (int32_t)j;
}

void am_cpu_thin(am_ctx *ctx, int32_t *index, am_slot count, am_mat r, am_slot bt, uint64_t seed,
                 am_slot counter)
{
    double *slot = am_host(ctx)->slot;
    const uint64_t step = (uint64_t)slot[counter];
    const double b = slot[bt];
    const int n_threads = am_cpu_threads(ctx, 2 * am_mat_len(r));
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t j = 0; j < r.cols; j++) index[j] = choose(r, j, b, seed, step);
    size_t n = 0;
    for (size_t j = 0; j < r.cols; j++) {
        index[n] = index[j];
        n += index[j] >= 0;
    }
    slot[count] = (double)n;
    for (size_t j = n; j < r.cols; j++) index[j] = -1;
}
