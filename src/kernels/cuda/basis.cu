/* Orthonormal bases. Eigenvectors by cuSOLVER, once a run and not inside sweeps. Orthonormal columns by
 * Gram-Schmidt, every column twice, in one block of threads: a few columns, and inside recorded sweeps. In double
 * out of the L2 cache; 4 d q^2 flops, eight barriers a column. */
#include "kernels/cuda/reduce.h"

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

/* ------------------------------------------------------------------------------ eigenvectors */

/* What a decomposition works in: d x d, d and n_work doubles, and two verdicts: input that is not finite, and
 * cuSOLVER's info. */
struct eigen_memory {
    double *s, *w, *work;
    int n_work, *verdict;
};

/* S = A in double; *bad = 1 where the lower triangle is not finite. Per element: reads 4 bytes, writes 8. */
static __global__ void __launch_bounds__(am_cuda_block)
    load_symmetric(double *s, const float *a, size_t d, int *bad)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t e = (size_t)blockIdx.x * blockDim.x + threadIdx.x; e < d * d; e += step) {
        s[e] = (double)a[e];
        if (e % d >= e / d && !isfinite(a[e])) *bad = 1; /* whoever writes writes the same */
    }
}

/* Column `rank` of vectors = the vector of the rank-th largest value, its largest entry (the first of equals)
 * positive. A block a column; the search is one thread's, d steps beside d^3. */
static __global__ void __launch_bounds__(am_cuda_block)
    deliver(float *values, float *vectors, const double *s, const double *w, size_t d)
{
    __shared__ double sign;
    for (size_t rank = blockIdx.x; rank < d; rank += gridDim.x) {
        const double *const v = s + (d - 1 - rank) * d;
        if (threadIdx.x == 0) {
            size_t largest = 0;
            for (size_t i = 1; i < d; i++)
                if (fabs(v[i]) > fabs(v[largest])) largest = i;
            sign = v[largest] < 0.0 ? -1.0 : 1.0;
            values[rank] = (float)w[d - 1 - rank];
        }
        __syncthreads();
        for (size_t i = threadIdx.x; i < d; i += blockDim.x) vectors[i + rank * d] = (float)(sign * v[i]);
        __syncthreads();
    }
}

/* Both verdicts, once they are known; not 0: a sticky error. */
static int passed(am_cuda *cu, const eigen_memory *m, size_t d)
{
    int *const verdict = (int *)cu->slot_host; /* pinned */
    if (!am_cuda_fetch(cu, verdict, m->verdict, 2 * sizeof *verdict)) return 0;
    if (verdict[0])
        am_ctx_fail(cu->ctx, ALTMIN_ERR_NUMERIC, "%s: the %zu x %zu matrix holds numbers that are not finite",
                    cu->op, d, d);
    else if (verdict[1])
        am_ctx_fail(cu->ctx, ALTMIN_ERR_NUMERIC, "%s: cuSOLVER's Dsyevd gave up on the %zu x %zu matrix (%d)",
                    cu->op, d, d, verdict[1]);
    return !verdict[0] && !verdict[1];
}

static void decompose(am_cuda *cu, am_mat values, am_mat vectors, am_mat a, const eigen_memory *m)
{
    const size_t d = a.rows;
    if (!AM_CUDA(cu, cudaMemsetAsync(m->verdict, 0, 2 * sizeof *m->verdict, am_cuda_track(cu)->stream)))
        return;
    AM_LAUNCH(cu, load_symmetric, am_cuda_blocks(cu, d * d, am_cuda_block, 8), am_cuda_block, m->s, a.data, d,
              m->verdict);
    if (!passed(cu, m, d) ||
        !AM_SOLVER(cu, cusolverDnDsyevd(cu->solving, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, (int)d,
                                        m->s, (int)d, m->w, m->work, m->n_work, m->verdict + 1)) ||
        !passed(cu, m, d))
        return;
    AM_LAUNCH(cu, deliver, am_cuda_blocks(cu, d, 1, 8), am_cuda_block, values.data, vectors.data, m->s, m->w,
              d);
}

void am_cuda_eigh(am_ctx *ctx, am_mat values, am_mat vectors, am_mat a)
{
    am_cuda *cu = am_cuda_enter(ctx, "eigh");
    const size_t d = a.rows;
    eigen_memory m = {NULL, NULL, NULL, 0, NULL};
    altmin_status st = {};
    void *memory = NULL;
    if (cu->capturing) {
        am_ctx_fail(ctx, ALTMIN_ERR_INTERNAL, "%s: cannot be part of a recorded sweep", cu->op);
        return;
    }
    const double *const unread = (const double *)a.data;
    if (!AM_SOLVER(cu, cusolverDnSetStream(cu->solving, am_cuda_track(cu)->stream)) ||
        !AM_SOLVER(cu,
                   cusolverDnDsyevd_bufferSize(cu->solving, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER,
                                               (int)d, unread, (int)d, unread, &m.n_work)))
        return;
    const size_t n_bytes = (d * d + d + (size_t)m.n_work + 1) * sizeof(double);
    if (am_memory_take(ctx, &memory, n_bytes, &st)) {
        am_ctx_fail(ctx, st.code, "%s: %s", cu->op, st.message);
        return;
    }
    m.s = (double *)memory, m.w = m.s + d * d, m.work = m.w + d, m.verdict = (int *)(m.work + m.n_work);
    decompose(cu, values, vectors, a, &m);
    am_cuda_wait(cu); /* whatever became of it: the memory goes back */
    am_memory_release(ctx, memory, n_bytes);
}
