/* Products with sparse inputs. A X goes column by column of X, entries in order. Products that would scatter
 * (A X', X X') lay X out densely, a chunk of columns at a time, and use dense products: repeatable without
 * atomics, and on tensor cores no slower than a sparse product at the few per cent of filling that training
 * data has. */
#include "kernels/cuda/context.h"

static constexpr size_t chunk_bytes = 64 << 20;

/* Column j of C: alpha sum_e A(:, row[e]) value[e] + beta C(:, j), one block a column, threads along rows.
 * Per entry of X: reads 4 rows + 8 bytes, 2 rows flops. */
static __global__ void __launch_bounds__(am_cuda_block)
    spmm_columns(float *c, float alpha, const float *a, size_t rows, const am_csc x, float beta)
{
    for (size_t j = blockIdx.x; j < x.cols; j += gridDim.x)
        for (size_t i = threadIdx.x; i < rows; i += blockDim.x) {
            float sum = 0.0f;
            for (size_t e = x.start[j]; e < x.start[j + 1]; e++)
                sum += a[i + (size_t)x.row[e] * rows] * x.value[e];
            float *const out = &c[i + j * rows];
            *out = alpha * sum + (beta != 0.0f ? beta * *out : 0.0f);
        }
}

/* C = beta C, where C is not read for beta = 0. */
static __global__ void __launch_bounds__(am_cuda_block) scale_floats(float *c, size_t n, float beta)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        c[i] = beta != 0.0f ? beta * c[i] : 0.0f;
}

/* Columns first..first+n of X into dense (already 0), one block a column. */
static __global__ void __launch_bounds__(am_cuda_block)
    densify(float *dense, const am_csc x, size_t first, size_t n)
{
    for (size_t j = blockIdx.x; j < n; j += gridDim.x)
        for (size_t e = x.start[first + j] + threadIdx.x; e < x.start[first + j + 1]; e += blockDim.x)
            dense[(size_t)x.row[e] + j * x.rows] = x.value[e];
}

/* Columns of X that fit the scratch as a dense matrix (at least one). */
static size_t chunk_columns(const am_csc *x)
{
    const size_t fitting = chunk_bytes / sizeof(float) / (x->rows ? x->rows : 1);
    const size_t n = fitting < x->cols ? fitting : x->cols;
    return n > 0 ? n : 1;
}

static am_mat dense_chunk(am_ctx *ctx, const am_csc *x, size_t first, size_t n)
{
    am_cuda *cu = am_cuda_of(ctx);
    float *memory = (float *)am_cuda_scratch(cu, &cu->work, x->rows * n * sizeof(float));
    const am_mat chunk = {memory, x->rows, n};
    if (!memory) return chunk;
    am_cuda_fill(ctx, chunk, 0.0f);
    cu->op = "sparse";
    AM_LAUNCH(cu, densify, (unsigned)(n < 65535 ? n : 65535), am_cuda_block, memory, *x, first, n);
    return chunk;
}

void am_cuda_spmm(am_ctx *ctx, am_mat c, float alpha, am_mat a, const am_csc *x, int tx, float beta)
{
    am_cuda *cu = am_cuda_enter(ctx, "spmm");
    if (!tx) {
        AM_LAUNCH(cu, spmm_columns, (unsigned)(x->cols < 65535 ? x->cols : 65535), am_cuda_block, c.data,
                  alpha, a.data, a.rows, *x, beta);
        return;
    }
    if (x->cols == 0) { /* C <- beta C is all there is */
        AM_LAUNCH(cu, scale_floats, am_cuda_blocks(cu, am_mat_len(c), am_cuda_block, 8), am_cuda_block,
                  c.data, am_mat_len(c), beta);
        return;
    }
    const size_t width = chunk_columns(x);
    for (size_t first = 0; first < x->cols; first += width) {
        const size_t n = x->cols - first < width ? x->cols - first : width;
        const am_mat chunk = dense_chunk(ctx, x, first, n);
        if (!chunk.data) return;
        am_cuda_gemm(ctx, c, alpha, am_mat_cols(a, first, n), 0, chunk, 1, first == 0 ? beta : 1.0f);
    }
}

/* X X' = sum over chunks of columns. */
static void gram_of_rows(am_ctx *ctx, am_mat g, const am_csc *x)
{
    const size_t width = chunk_columns(x);
    am_cuda_fill(ctx, g, 0.0f);
    for (size_t first = 0; first < x->cols; first += width) {
        const size_t n = x->cols - first < width ? x->cols - first : width;
        const am_mat chunk = dense_chunk(ctx, x, first, n);
        if (!chunk.data) return;
        am_cuda_gemm(ctx, g, 1.0f, chunk, 0, chunk, 1, 1.0f);
    }
    am_cuda_mirror(am_cuda_of(ctx), g);
}

/* X'X: inner products of columns by merging their ascending row numbers, a block for each column j and all i
 * <= j. */
static __global__ void __launch_bounds__(am_cuda_block) inner_products(float *g, const am_csc x)
{
    for (size_t j = blockIdx.x; j < x.cols; j += gridDim.x)
        for (size_t i = threadIdx.x; i <= j; i += blockDim.x) {
            double sum = 0.0;
            size_t e = x.start[i], f = x.start[j];
            while (e < x.start[i + 1] && f < x.start[j + 1]) {
                const int32_t re = x.row[e], rf = x.row[f];
                if (re == rf) sum += (double)x.value[e] * (double)x.value[f];
                e += re <= rf;
                f += rf <= re;
            }
            g[i + j * x.cols] = g[j + i * x.cols] = (float)sum;
        }
}

void am_cuda_gram_sparse(am_ctx *ctx, am_mat g, const am_csc *x, int tx)
{
    am_cuda *cu = am_cuda_enter(ctx, "gram_sparse");
    if (!tx) {
        gram_of_rows(ctx, g, x);
        return;
    }
    AM_LAUNCH(cu, inner_products, (unsigned)(x->cols < 65535 ? x->cols : 65535), am_cuda_block, g.data, *x);
}
