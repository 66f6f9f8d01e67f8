/* Cholesky factorizations (cuSOLVER) and solves (cuBLAS) in double, on the device from beginning to end. d^3/3 flops.
 *
 * Whether a pivot failed is known on the device alone. The repetition with a larger ridge is therefore a
 * while-node of the recorded graph; out of a recording the host asks. A matrix that cannot be saved is
 * reported with the slots. */
#include "kernels/cuda/reduce.h"

/* ----------------------------------------------------------------------------------- kernels */

/* F = scale A + ridge I in double; the ridge is the given one, or the report's when repeating. Per element:
 * reads 4 bytes, writes 8. */
static __global__ void __launch_bounds__(am_cuda_block)
    shifted(double *f, const float *a, size_t d, double scale, double ridge, int first, am_report *report)
{
    const size_t step = (size_t)gridDim.x * blockDim.x, n = d * d;
    if (!first) ridge = report->ridge;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        f[i] = scale * (double)a[i] + (i % (d + 1) == 0 ? ridge : 0.0);
    if (first && blockIdx.x == 0 && threadIdx.x == 0) report->attempt = 0;
}

struct verdict_params {
    const double *factor;
    const float *a;
    size_t d;
    double scale, ridge;
    int site, recorded;
    unsigned turn;
    cudaGraphConditionalHandle again;
    am_report *report;
};

/* What follows from an attempt: done, again with a larger ridge (1e-7 of the mean diagonal, then ten times
 * that, ...), or given up after seven. */
__device__ static inline void decide(const verdict_params &p, int bad, double trace)
{
    am_report *const r = p.report;
    r->retry = 0;
    if (bad) {
        r->n_jitter++;
        if (r->attempt == 0) {
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

/* One block over both diagonals: cuSOLVER's info tells of pivots that are not positive, but not of NaN. 12 bytes a
 * row. */
static __global__ void __launch_bounds__(am_cuda_block) verdict(const verdict_params p)
{
    double v[2] = {0.0, 0.0}; /* pivots that are no positive numbers, trace of scale A */
    for (size_t i = threadIdx.x; i < p.d; i += am_cuda_block) {
        const double pivot = p.factor[i * (p.d + 1)];
        v[0] += pivot > 0.0 && isfinite(pivot) ? 0.0 : 1.0;
        v[1] += p.scale * (double)p.a[i * (p.d + 1)];
    }
    am_block_reduce<2, 0>(v, threadIdx.x);
    if (threadIdx.x == 0) decide(p, p.report->info != 0 || v[0] > 0.0, v[1]);
}

/* ----------------------------------------------------------------------------- factorization */

typedef struct attempt {
    double *factor, *work;
    int n_work;
    verdict_params p;
} attempt;

static void try_once(am_cuda *cu, const attempt *a, int first)
{
    const size_t d = a->p.d;
    AM_LAUNCH(cu, shifted, am_cuda_blocks(cu, d * d, am_cuda_block, 8), am_cuda_block, a->factor, a->p.a, d,
              a->p.scale, a->p.ridge, first, cu->report);
    if (!AM_SOLVER(cu, cusolverDnSetStream(cu->solving, am_cuda_track(cu)->stream)) ||
        !AM_SOLVER(cu, cusolverDnDpotrf(cu->solving, CUBLAS_FILL_MODE_LOWER, (int)d, a->factor, (int)d,
                                        a->work, a->n_work, &cu->report->info)))
        return;
    AM_LAUNCH(cu, verdict, 1, am_cuda_block, a->p);
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

/* What potrf wants beside the matrix; 0 after a sticky error. */
static int workspace_for(am_cuda *cu, attempt *a)
{
    const size_t d = a->p.d;
    if (d > INT_MAX) {
        am_ctx_fail(cu->ctx, ALTMIN_ERR_MEMORY, "%s: %zu rows are more than cuSOLVER can count", cu->op, d);
        return 0;
    }
    if (!AM_SOLVER(cu, cusolverDnDpotrf_bufferSize(cu->solving, CUBLAS_FILL_MODE_LOWER, (int)d, a->factor,
                                                   (int)d, &a->n_work)))
        return 0;
    const size_t n = a->n_work > 0 ? (size_t)a->n_work : 1;
    a->work = (double *)am_cuda_scratch(cu, &cu->work, n * sizeof(double));
    return a->work != NULL;
}

void am_cuda_cholesky(am_ctx *ctx, am_mat factor, am_mat a, double scale, double ridge)
{
    am_cuda *cu = am_cuda_enter(ctx, "cholesky");
    attempt first;
    memset(&first, 0, sizeof first);
    first.factor = (double *)factor.data;
    first.p = {first.factor,      a.data, a.rows,    scale, ridge, site_of(cu), cu->capturing,
               cu->sites->turn++, 0,      cu->report};
    if (!workspace_for(cu, &first)) return;
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
