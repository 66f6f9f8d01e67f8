/* Orthonormal bases. Eigenvectors on the host, by the cpu backend's LAPACK: they are needed once a run, and then
 * no other library must be loaded. Orthonormal columns by Gram-Schmidt, every column twice, in one block of
 * threads: a few columns, and inside recorded sweeps. In double out of the L2 cache; 4 d q^2 flops, eight
 * barriers a column. */
#include "kernels/cuda/reduce.h"

extern "C" {
#include "kernels/cpu.h"
}

static constexpr unsigned n_warps = am_cuda_block / am_cuda_warp;

/* ||x||^2 over the block, known to all threads. */
__device__ static inline double squared_length(const double *x, size_t d, unsigned thread)
{
    __shared__ double total;
    double sum = 0.0;
    for (size_t i = thread; i < d; i += am_cuda_block) sum += x[i] * x[i];
    am_block_reduce<1, 0>(&sum, thread);
    if (thread == 0) total = sum;
    __syncthreads();
    return total;
}

/* x = x - Q Q'x for the n columns of q, twice: a warp a product, then a thread a row. */
__device__ static inline void leave_span(double *x, const double *q, size_t d, size_t n, unsigned thread)
{
    __shared__ double c[AM_MAX_BASIS];
    const unsigned lane = thread % am_cuda_warp, warp = thread / am_cuda_warp;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t k = warp; k < n; k += n_warps) {
            double sum = 0.0;
            for (size_t i = lane; i < d; i += am_cuda_warp) sum += q[i + k * d] * x[i];
            for (int distance = am_cuda_warp / 2; distance > 0; distance /= 2)
                sum += __shfl_xor_sync(0xffffffffu, sum, distance);
            if (lane == 0) c[k] = sum;
        }
        __syncthreads();
        for (size_t i = thread; i < d; i += am_cuda_block)
            for (size_t k = 0; k < n; k++) x[i] -= c[k] * q[i + k * d];
        __syncthreads();
    }
}

/* Column n of q = a unit vector's part outside the span of the first n (am_orthonormalise). Returns its squared
 * length. */
__device__ static inline double replace(double *q, size_t d, size_t n, unsigned thread)
{
    double *const x = q + n * d, norm2 = 0.0;
    const double enough = 0.5 * (double)(d - n) / (double)d;
    for (size_t k = 0; k < d && norm2 < enough; k++) { /* the same for all threads */
        for (size_t i = thread; i < d; i += am_cuda_block) x[i] = i == (n + k) % d ? 1.0 : 0.0;
        __syncthreads();
        leave_span(x, q, d, n, thread);
        norm2 = squared_length(x, d, thread);
    }
    return norm2;
}

static __global__ void __launch_bounds__(am_cuda_block)
    gram_schmidt(float *v, double *q, size_t d, size_t n_cols)
{
    const unsigned thread = threadIdx.x;
    for (size_t e = thread; e < d * n_cols; e += am_cuda_block) q[e] = (double)v[e];
    __syncthreads();
    for (size_t n = 0; n < n_cols; n++) {
        double *const x = q + n * d;
        const double before = squared_length(x, d, thread);
        const int finite = isfinite(before);
        if (finite) leave_span(x, q, d, n, thread);
        double after = squared_length(x, d, thread);
        if (!finite || !(after > AM_BASIS_LEAST * AM_BASIS_LEAST * before)) after = replace(q, d, n, thread);
        const double length = sqrt(after);
        for (size_t i = thread; i < d; i += am_cuda_block) x[i] /= length;
        __syncthreads();
    }
    for (size_t e = thread; e < d * n_cols; e += am_cuda_block) v[e] = (float)q[e];
}

void am_cuda_orthonormalise(am_ctx *ctx, am_mat v)
{
    am_cuda *cu = am_cuda_enter(ctx, "orthonormalise");
    double *q = (double *)am_cuda_scratch(cu, &cu->work, am_mat_len(v) * sizeof(double));
    if (q) AM_LAUNCH(cu, gram_schmidt, 1, am_cuda_block, v.data, q, v.rows, v.cols);
}

void am_cuda_eigh(am_ctx *ctx, am_mat values, am_mat vectors, am_mat a)
{
    am_cuda *cu = am_cuda_enter(ctx, "eigh");
    const size_t d = a.rows, n_bytes = d * d * sizeof(float);
    float *host = (float *)malloc(n_bytes + d * sizeof(float));
    if (!host) {
        am_ctx_fail(ctx, ALTMIN_ERR_MEMORY, "%s: no host memory for %zu x %zu floats", cu->op, d, d);
        return;
    }
    const am_mat on_host = {host, d, d}, w = {host + d * d, d, 1};
    am_cuda_download(ctx, host, a.data, n_bytes);
    if (ctx->status.code == ALTMIN_OK) am_cpu_eigh(ctx, w, on_host, on_host);
    if (ctx->status.code == ALTMIN_OK) am_cuda_upload(ctx, values.data, w.data, d * sizeof(float));
    if (ctx->status.code == ALTMIN_OK) am_cuda_upload(ctx, vectors.data, host, n_bytes);
    free(host);
}
