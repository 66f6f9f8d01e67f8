/* Power iterations for lambda_max(W'W). A small W is one launch: one block of threads runs all iterations out
 * of the cache. A large one takes two products of cuBLAS and two single-block kernels a step. */
#include "kernels/cuda/reduce.h"

static constexpr size_t small_elements = 1 << 16;
static constexpr unsigned n_warps = am_cuda_block / am_cuda_warp;

/* Sum of v over the block, known to all threads. */
__device__ static inline double block_sum(double v, unsigned thread)
{
    __shared__ double total;
    am_block_reduce<1, 0>(&v, thread);
    if (thread == 0) total = v;
    __syncthreads();
    return total;
}

__device__ static inline double sum_of_squares(const float *x, size_t n, unsigned thread)
{
    double sum = 0.0;
    for (size_t i = thread; i < n; i += am_cuda_block) sum += (double)x[i] * (double)x[i];
    return block_sum(sum, thread);
}

/* v <- from / ||from||, or v as it is when the norm is not positive. */
__device__ static inline void take_direction(float *v, const float *from, size_t n, unsigned thread)
{
    const double norm = sqrt(sum_of_squares(from, n, thread));
    if (norm > 0.0)
        for (size_t i = thread; i < n; i += am_cuda_block) v[i] = (float)((double)from[i] / norm);
    __syncthreads();
}

/* u = W v: lanes along rows, the block's warps share the columns. 2 rows cols flops. */
__device__ static inline void apply_w(float *u, const float *w, const float *v, size_t rows, size_t cols,
                                      unsigned thread)
{
    __shared__ double part[n_warps][am_cuda_warp];
    const unsigned lane = thread % am_cuda_warp, warp = thread / am_cuda_warp;
    for (size_t first = 0; first < rows; first += am_cuda_warp) {
        const size_t row = first + lane;
        double sum = 0.0;
        if (row < rows)
            for (size_t col = warp; col < cols; col += n_warps)
                sum += (double)w[row + col * rows] * (double)v[col];
        part[warp][lane] = sum;
        __syncthreads();
        if (warp == 0 && row < rows) {
            for (unsigned k = 1; k < n_warps; k++) sum += part[k][lane];
            u[row] = (float)sum;
        }
        __syncthreads();
    }
}

/* t = W'u: a warp a column. 2 rows cols flops. */
__device__ static inline void apply_wt(float *t, const float *w, const float *u, size_t rows, size_t cols,
                                       unsigned thread)
{
    const unsigned lane = thread % am_cuda_warp, warp = thread / am_cuda_warp;
    for (size_t col = warp; col < cols; col += n_warps) {
        double sum = 0.0;
        for (size_t row = lane; row < rows; row += am_cuda_warp)
            sum += (double)w[row + col * rows] * (double)u[row];
        for (unsigned distance = am_cuda_warp / 2; distance > 0; distance /= 2)
            sum += __shfl_down_sync(0xffffffffu, sum, distance);
        if (lane == 0) t[col] = (float)sum;
    }
    __syncthreads();
}

/* All iterations in one block. (2 n_steps + 1) passes over W out of the L2 cache. */
static __global__ void __launch_bounds__(am_cuda_block)
    norm2_small(double *out, const float *w, size_t rows, size_t cols, float *v, float *u, float *t,
                int n_steps)
{
    const unsigned thread = threadIdx.x;
    take_direction(v, v, cols, thread);
    double lambda = 0.0;
    for (int step = 0; step <= n_steps; step++) {
        apply_w(u, w, v, rows, cols, thread);
        lambda = sum_of_squares(u, rows, thread);
        if (step == n_steps || !(lambda > 0.0)) break; /* the same for all threads */
        apply_wt(t, w, u, rows, cols, thread);
        take_direction(v, t, cols, thread);
    }
    if (thread == 0) *out = lambda;
}

/* The two small steps of an iteration on a large W. */
static __global__ void __launch_bounds__(am_cuda_block) direction(float *v, const float *from, size_t n)
{
    take_direction(v, from, n, threadIdx.x);
}
static __global__ void __launch_bounds__(am_cuda_block) squared_norm(double *out, const float *u, size_t n)
{
    const double sum = sum_of_squares(u, n, threadIdx.x);
    if (threadIdx.x == 0) *out = sum;
}

static int multiply(am_cuda *cu, cublasOperation_t op, float *to, am_mat w, const float *from)
{
    const float one = 1.0f, zero = 0.0f;
    return AM_BLAS(cu, cublasSgemv_v2_64(am_cuda_track(cu)->blas, op, (int64_t)w.rows, (int64_t)w.cols, &one,
                                         w.data, (int64_t)w.rows, from, 1, &zero, to, 1));
}

void am_cuda_norm2(am_ctx *ctx, am_slot out, am_mat w, am_mat v, am_mat u, int n_steps)
{
    am_cuda *cu = am_cuda_enter(ctx, "norm2");
    float *t = (float *)am_cuda_scratch(cu, &cu->work, w.cols * sizeof(float));
    if (!t) return;
    if (am_mat_len(w) <= small_elements) {
        AM_LAUNCH(cu, norm2_small, 1, am_cuda_block, cu->slot + out, w.data, w.rows, w.cols, v.data, u.data,
                  t, n_steps);
        return;
    }
    AM_LAUNCH(cu, direction, 1, am_cuda_block, v.data, v.data, w.cols);
    for (int step = 0; step < n_steps; step++) {
        if (!multiply(cu, CUBLAS_OP_N, u.data, w, v.data) || !multiply(cu, CUBLAS_OP_T, t, w, u.data)) return;
        AM_LAUNCH(cu, direction, 1, am_cuda_block, v.data, t, w.cols);
    }
    if (!multiply(cu, CUBLAS_OP_N, u.data, w, v.data)) return;
    AM_LAUNCH(cu, squared_norm, 1, am_cuda_block, cu->slot + out, u.data, w.rows);
}
