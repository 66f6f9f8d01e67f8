/* Cholesky factorizations and solves in double, on the device from beginning to end: blocked, right-looking,
 *     L11 = chol(A11), L21 = A21 L11^-T, A22 -= L21 L21'     for diagonal blocks of 64 rows,
 * with the first step as one block of threads in shared memory and the others by cuBLAS. altmin brings its
 * own because cuSOLVER's cannot be recorded in a CUDA graph. d^3/3 flops; the diagonal blocks, d/64 of them
 * one after another, set the time of small systems.
 *
 * Whether a pivot failed is known on the device alone. The repetition with a larger ridge is therefore a
 * while-node of the recorded graph; out of a recording the host asks. A matrix that cannot be saved is
 * reported with the slots. */
#include "kernels/cuda/context.h"

static constexpr int nb = 64; /* rows of a diagonal block */

/* ----------------------------------------------------------------------------------- kernels */

/* F = scale A + ridge I in double; the ridge is the given one, or the report's when repeating. Resets the
 * report's verdict. Per element: reads 4 bytes, writes 8. */
static __global__ void __launch_bounds__(am_cuda_block)
    shifted(double *f, const float *a, size_t d, double scale, double ridge, int first, am_report *report)
{
    const size_t step = (size_t)gridDim.x * blockDim.x, n = d * d;
    if (!first) ridge = report->ridge;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        f[i] = scale * (double)a[i] + (i % (d + 1) == 0 ? ridge : 0.0);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        report->bad = 0;
        if (first) report->attempt = 0;
    }
}

/* Factor one n x n diagonal block (n <= nb) in place. A pivot that is not positive and finite marks the
 * report and becomes 1, so that the rest stays harmless. n^3/3 flops by one block of threads, 3 barriers a
 * column. */
static __global__ void __launch_bounds__(am_cuda_block)
    factor_block(double *f, size_t d, int n, am_report *report)
{
    __shared__ double l[nb][nb + 1]; /* l[j][i]: row i of column j */
    const int thread = (int)threadIdx.x;
    for (int e = thread; e < n * n; e += am_cuda_block)
        l[e / n][e % n] = f[(size_t)(e % n) + (size_t)(e / n) * d];
    __syncthreads();
    for (int j = 0; j < n; j++) {
        if (thread == 0) {
            const double pivot = l[j][j];
            const int good = pivot > 0.0 && isfinite(pivot);
            if (!good) report->bad = 1;
            l[j][j] = good ? sqrt(pivot) : 1.0;
        }
        __syncthreads();
        for (int i = j + 1 + thread; i < n; i += am_cuda_block) l[j][i] /= l[j][j];
        __syncthreads();
        const int rest = n - j - 1;
        for (int e = thread; e < rest * rest; e += am_cuda_block) {
            const int i = j + 1 + e % rest, k = j + 1 + e / rest;
            if (i >= k) l[k][i] -= l[j][i] * l[j][k];
        }
        __syncthreads();
    }
    for (int e = thread; e < n * n; e += am_cuda_block)
        f[(size_t)(e % n) + (size_t)(e / n) * d] = l[e / n][e % n];
}

struct verdict_params {
    const float *a;
    size_t d;
    double scale, ridge;
    int site, recorded;
    unsigned turn;
    cudaGraphConditionalHandle again;
    am_report *report;
};

/* What follows from an attempt: done, again with a larger ridge (1e-7 of the mean diagonal, then ten times
 * that, ...), or given up after seven. One thread; the trace is summed only after a failure. */
static __global__ void verdict(const verdict_params p)
{
    am_report *const r = p.report;
    r->retry = 0;
    if (r->bad) {
        r->n_jitter++;
        if (r->attempt == 0) {
            double trace = 0.0;
            for (size_t i = 0; i < p.d; i++) trace += p.scale * (double)p.a[i * (p.d + 1)];
            r->ridge = p.ridge;
            r->jitter = 1e-7 * trace / (double)p.d;
        }
        r->ridge += r->jitter;
        r->jitter *= 10.0;
        r->attempt++;
        r->retry = r->attempt < 7;
        if (!r->retry && r->failed_rows == 0) {
            r->failed_rows = (int)p.d;
            r->failed_site = p.site;
            r->failed_turn = p.turn;
            r->failed_ridge = r->ridge;
        }
    }
    if (p.recorded) cudaGraphSetConditional(p.again, (unsigned)r->retry);
}

/* ----------------------------------------------------------------------------------------------
 * factorization */

static int factor_panel(am_cuda *cu, double *f, size_t d, size_t first, size_t n)
{
    const double one = 1.0, minus = -1.0;
    double *diagonal = f + first * (d + 1), *below = diagonal + n, *rest = f + (first + n) * (d + 1);
    AM_LAUNCH(cu, factor_block, 1, am_cuda_block, diagonal, d, (int)n, cu->report);
    const int64_t left = (int64_t)(d - first - n), width = (int64_t)n, ld = (int64_t)d;
    if (left == 0) return 1;
    cublasHandle_t blas = am_cuda_track(cu)->blas;
    return AM_BLAS(cu, cublasDtrsm_v2_64(blas, CUBLAS_SIDE_RIGHT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_T,
                                         CUBLAS_DIAG_NON_UNIT, left, width, &one, diagonal, ld, below, ld)) &&
           AM_BLAS(cu, cublasDsyrk_v2_64(blas, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, left, width, &minus,
                                         below, ld, &one, rest, ld));
}

typedef struct attempt {
    double *factor;
    verdict_params p;
} attempt;

static void try_once(am_cuda *cu, const attempt *a, int first)
{
    const size_t d = a->p.d;
    AM_LAUNCH(cu, shifted, am_cuda_blocks(cu, d * d, am_cuda_block, 8), am_cuda_block, a->factor, a->p.a, d,
              a->p.scale, a->p.ridge, first, cu->report);
    for (size_t j = 0; j < d; j += nb)
        if (!factor_panel(cu, a->factor, d, j, d - j < nb ? d - j : (size_t)nb)) return;
    AM_LAUNCH(cu, verdict, 1, 1, a->p);
}

static void try_again(am_cuda *cu, void *arg)
{
    try_once(cu, (const attempt *)arg, 0);
}

/* The label of this factorization, for a message that only the next read can bring. */
static int site_of(am_cuda *cu)
{
    am_sites *sites = cu->sites;
    for (int i = 0; i < sites->n; i++)
        if (strcmp(sites->label[i], cu->ctx->label) == 0) return i;
    if (sites->n == am_cuda_max_sites) return am_cuda_max_sites - 1;
    memcpy(sites->label[sites->n], cu->ctx->label, sizeof cu->ctx->label);
    return sites->n++;
}

void am_cuda_cholesky(am_ctx *ctx, am_mat factor, am_mat a, double scale, double ridge)
{
    am_cuda *cu = am_cuda_enter(ctx, "cholesky");
    attempt first = {
        (double *)factor.data,
        {a.data, a.rows, scale, ridge, site_of(cu), cu->capturing, cu->sites->turn++, 0, cu->report}};
    if (cu->capturing) {
        first.p.again = am_cuda_condition(cu);
        try_once(cu, &first, 1);
        am_cuda_conditional(cu, first.p.again, cudaGraphCondTypeWhile, try_again, &first);
        return;
    }
    try_once(cu, &first, 1);
    while (ctx->status.code == ALTMIN_OK &&
           am_cuda_fetch(cu, cu->report_host, cu->report, sizeof *cu->report) && cu->report_host->retry)
        try_once(cu, &first, 0);
}

/* ------------------------------------------------------------------------------------- solve */

/* to = from. Per element: 12 bytes. */
template <typename to_type, typename from_type>
static __global__ void __launch_bounds__(am_cuda_block) convert(to_type *to, const from_type *from, size_t n)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) to[i] = (to_type)from[i];
}

void am_cuda_solve_right(am_ctx *ctx, am_mat b, am_mat factor)
{
    am_cuda *cu = am_cuda_enter(ctx, "solve_right");
    const size_t n = am_mat_len(b);
    const int64_t m = (int64_t)b.rows, d = (int64_t)factor.rows;
    const double one = 1.0, *l = (const double *)factor.data;
    double *x = (double *)am_cuda_scratch(cu, &cu->work, n * sizeof(double));
    if (!x) return;
    const unsigned n_blocks = am_cuda_blocks(cu, n, am_cuda_block, 8);
    const auto widen = convert<double, float>;
    const auto narrow = convert<float, double>;
    AM_LAUNCH(cu, widen, n_blocks, am_cuda_block, x, b.data, n);
    cublasHandle_t blas = am_cuda_track(cu)->blas;
    /* X L L' = B: first by L' from the right, then by L */
    const int ok = AM_BLAS(cu, cublasDtrsm_v2_64(blas, CUBLAS_SIDE_RIGHT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_T,
                                                 CUBLAS_DIAG_NON_UNIT, m, d, &one, l, d, x, m)) &&
                   AM_BLAS(cu, cublasDtrsm_v2_64(blas, CUBLAS_SIDE_RIGHT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N,
                                                 CUBLAS_DIAG_NON_UNIT, m, d, &one, l, d, x, m));
    if (ok) AM_LAUNCH(cu, narrow, n_blocks, am_cuda_block, b.data, x, n);
}
