/* Dense products by cuBLAS, in the precision the user chose: fp32, tf32 (inputs rounded to 10 bits of
 * mantissa on the way into the tensor cores) or bf16 (7 bits); sums are fp32 in all three. Nothing is chosen
 * by timing: the same shapes always run the same way, so runs repeat bit for bit. */
#include "kernels/cuda/context.h"

static cublasComputeType_t compute_of(am_precision precision)
{
    switch (precision) {
    case AM_PRECISION_FP32: return CUBLAS_COMPUTE_32F;
    case AM_PRECISION_BF16: return CUBLAS_COMPUTE_32F_FAST_16BF;
    default: return CUBLAS_COMPUTE_32F_FAST_TF32;
    }
}

static cublasOperation_t op_of(int t)
{
    return t ? CUBLAS_OP_T : CUBLAS_OP_N;
}

/* C (m x n, leading dimension ldc) = alpha op(A) op(B) + beta C. */
static int product(am_cuda *cu, float *c, size_t ldc, size_t m, size_t n, size_t k, float alpha, am_mat a,
                   int ta, am_mat b, int tb, float beta)
{
    return AM_BLAS(cu, cublasGemmEx_64(am_cuda_track(cu)->blas, op_of(ta), op_of(tb), (int64_t)m, (int64_t)n,
                                       (int64_t)k, &alpha, a.data, CUDA_R_32F, (int64_t)a.rows, b.data,
                                       CUDA_R_32F, (int64_t)b.rows, &beta, c, CUDA_R_32F, (int64_t)ldc,
                                       compute_of(cu->precision), CUBLAS_GEMM_DEFAULT));
}

void am_cuda_gemm(am_ctx *ctx, am_mat c, float alpha, am_mat a, int ta, am_mat b, int tb, float beta)
{
    am_cuda *cu = am_cuda_enter(ctx, "gemm");
    product(cu, c.data, c.rows, c.rows, c.cols, ta ? a.rows : a.cols, alpha, a, ta, b, tb, beta);
}

/* -------------------------------------------------------------------------------------- Gram */

static constexpr unsigned tile = 32, tile_rows = am_cuda_block / tile;
static constexpr size_t panel_rows = 512, max_panels = 8;

/* Upper triangle <- lower, by 32 x 32 tiles through shared memory. Per element of a triangle: reads 4 bytes,
 * writes 4. */
static __global__ void __launch_bounds__(am_cuda_block) mirror(float *g, size_t d)
{
    __shared__ float part[tile][tile + 1];
    if (blockIdx.x < blockIdx.y) return;
    const size_t row0 = (size_t)blockIdx.x * tile, col0 = (size_t)blockIdx.y * tile;
    for (unsigned j = threadIdx.y; j < tile; j += tile_rows)
        if (row0 + threadIdx.x < d && col0 + j < d)
            part[j][threadIdx.x] = g[row0 + threadIdx.x + (col0 + j) * d];
    __syncthreads();
    for (unsigned j = threadIdx.y; j < tile; j += tile_rows) {
        const size_t row = col0 + threadIdx.x, col = row0 + j;
        if (row < col && row < d && col < d) g[row + col * d] = part[threadIdx.x][j];
    }
}

void am_cuda_mirror(am_cuda *cu, am_mat g)
{
    const unsigned n = (unsigned)((g.rows + tile - 1) / tile);
    AM_LAUNCH(cu, mirror, dim3(n, n), dim3(tile, tile_rows), g.data, g.rows);
}

/* Rows first..first+n of op(A), as an operand that keeps A's leading dimension: a shifted pointer. */
static am_mat rows_from(am_mat a, int ta, size_t first)
{
    a.data += ta ? first * a.rows : first;
    return a;
}

/* The lower triangle by block columns, each one product on the tensor cores: (1 + 1/n)/2 of the flops of the
 * whole square for n panels, at the rate of a full product. cuBLAS's own syrk does the exact half, in fp32
 * only. */
static int lower_by_panels(am_cuda *cu, am_mat g, am_mat a, int ta, size_t n_panels)
{
    const size_t d = g.rows, k = ta ? a.rows : a.cols, width = (d + n_panels - 1) / n_panels;
    int ok = 1;
    for (size_t first = 0; ok && first < d; first += width) {
        const size_t n = d - first < width ? d - first : width;
        ok = product(cu, g.data + first + first * d, d, d - first, n, k, 1.0f, rows_from(a, ta, first), ta,
                     rows_from(a, ta, first), !ta, 0.0f);
    }
    return ok;
}

static int lower_by_syrk(am_cuda *cu, am_mat g, am_mat a, int ta)
{
    const float one = 1.0f, zero = 0.0f;
    return AM_BLAS(cu, cublasSsyrk_v2_64(am_cuda_track(cu)->blas, CUBLAS_FILL_MODE_LOWER, op_of(ta),
                                         (int64_t)g.rows, (int64_t)(ta ? a.rows : a.cols), &one, a.data,
                                         (int64_t)a.rows, &zero, g.data, (int64_t)g.rows));
}

void am_cuda_gram(am_ctx *ctx, am_mat g, am_mat a, int ta)
{
    am_cuda *cu = am_cuda_enter(ctx, "gram");
    const size_t fitting = g.rows / panel_rows, capped = fitting < max_panels ? fitting : (size_t)max_panels;
    const size_t n_panels = cu->gram == AM_GRAM_GEMM || capped == 0 ? 1 : capped;
    const int ok =
        cu->gram == AM_GRAM_SYRK ? lower_by_syrk(cu, g, a, ta) : lower_by_panels(cu, g, a, ta, n_panels);
    if (ok) am_cuda_mirror(cu, g);
}
