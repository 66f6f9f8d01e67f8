/* The cpu backend: ref's table with the entries that cost time overridden by OpenBLAS, LAPACK and OpenMP loops. Here:
 * life of a context, sparse products and small systems; dense products are in cpu_product.c, elementwise passes in
 * cpu_map.c, column ops in cpu_columns.c and cpu_prox.c, lanes in cpu_lanes.c.
 *
 * One thread pool, OpenMP's: OpenBLAS runs each call on the thread that makes it. Work is cut by shape, never by the
 * number of threads, and partial sums are added in a fixed order: the same bits for every --threads. */
#include "kernels/cpu.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* LAPACK as OpenBLAS exports it (a Fortran symbol: everything by address). */
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);

static am_cpu_state *state_of(const am_ctx *ctx)
{
    return (am_cpu_state *)ctx->impl;
}

/* ------------------------------------------------------------------------------------- sparse products */

/* C <- beta C, where beta = 0 does not read C. */
static void scale_column(float *c, size_t n, float beta)
{
    if (beta == 0.0f)
        memset(c, 0, n * sizeof *c);
    else if (beta != 1.0f)
        for (size_t i = 0; i < n; i++) c[i] *= beta;
}

AM_CPU_CLONES static void add_scaled(float *c, const float *a, size_t n, float value)
{
    for (size_t i = 0; i < n; i++) c[i] += value * a[i];
}

#define SPARSE_ROWS 64 /* rows of C one task owns in A X': a cache line or more of every column */

/* A X' scatters over all columns of C, so tasks own rows of C instead of columns. */
static void spmm_transposed(const am_ctx *ctx, am_mat c, float alpha, am_mat a, const am_csc *x, float beta)
{
    const size_t n_tasks = (c.rows + SPARSE_ROWS - 1) / SPARSE_ROWS;
    const int n_threads = am_cpu_threads(ctx, x->start[x->cols] * c.rows);
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t task = 0; task < n_tasks; task++) {
        const size_t first = task * SPARSE_ROWS,
                     n = c.rows - first < SPARSE_ROWS ? c.rows - first : SPARSE_ROWS;
        for (size_t j = 0; j < c.cols; j++) scale_column(c.data + first + j * c.rows, n, beta);
        for (size_t j = 0; j < x->cols; j++)
            for (size_t e = x->start[j]; e < x->start[j + 1]; e++)
                add_scaled(c.data + first + (size_t)x->row[e] * c.rows, a.data + first + j * a.rows, n,
                           alpha * x->value[e]);
    }
}

static void cpu_spmm(am_ctx *ctx, am_mat c, float alpha, am_mat a, const am_csc *x, int tx, float beta)
{
    if (tx) {
        spmm_transposed(ctx, c, alpha, a, x, beta);
        return;
    }
    const int n_threads = am_cpu_threads(ctx, x->start[x->cols] * c.rows + am_mat_len(c));
#pragma omp parallel for schedule(dynamic, 16) num_threads(n_threads) if (n_threads > 1)
    for (size_t j = 0; j < c.cols; j++) {
        float *column = c.data + j * c.rows;
        scale_column(column, c.rows, beta);
        for (size_t e = x->start[j]; e < x->start[j + 1]; e++)
            add_scaled(column, a.data + (size_t)x->row[e] * a.rows, c.rows, alpha * x->value[e]);
    }
}

/* --------------------------------------------------------------------------------------- small systems */

/* l <- scale A + ridge I in double. */
static void load_shifted(const am_ctx *ctx, double *l, am_mat a, double scale, double ridge)
{
    const size_t d = a.rows;
    const int n_threads = am_cpu_threads(ctx, 3 * d * d);
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t j = 0; j < d; j++) {
        for (size_t i = 0; i < d; i++) l[i + j * d] = scale * (double)a.data[i + j * d];
        l[j + j * d] += ridge;
    }
}

/* Lower factor in place; 0 when a pivot is not a positive number. */
static int factor_once(double *l, int d)
{
    int info = 0;
    const am_blas_guard guard = am_cpu_blas_enter();
    dpotrf_("L", &d, l, &d, &info);
    am_cpu_blas_leave(guard);
    if (info != 0) return 0;
    for (int i = 0; i < d; i++) /* a NaN pivot is not "not positive" to every LAPACK */
        if (!isfinite(l[(size_t)i + (size_t)i * (size_t)d])) return 0;
    return 1;
}

static void cpu_cholesky(am_ctx *ctx, am_mat factor, am_mat a, double scale, double ridge)
{
    if (!am_cpu_blas_fits(ctx, "cholesky", a)) return;
    double *l = (double *)(void *)factor.data;
    double trace = 0.0;
    for (size_t i = 0; i < a.rows; i++) trace += scale * (double)a.data[i + i * a.rows];
    double jitter = 1e-7 * trace / (double)a.rows;
    for (int attempt = 0; attempt < 7; attempt++) {
        load_shifted(ctx, l, a, scale, ridge);
        if (factor_once(l, (int)a.rows)) return;
        ctx->n_jitter++;
        ridge += jitter;
        jitter *= 10.0;
    }
    am_ctx_fail(ctx, ALTMIN_ERR_NUMERIC,
                "cholesky: the %zu x %zu matrix is not positive definite, even with a ridge of %g", a.rows,
                a.rows, ridge);
}

#define SOLVE_ROWS 64 /* rows of B one task owns */

/* Rows first .. first + m of B S^-1 with S = L L': first Y L' = B, then X L = Y, in double. x: m x d scratch.
 */
static void solve_rows(am_mat b, const double *l, size_t first, size_t m, double *x)
{
    const size_t d = b.cols;
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < m; i++) x[i + j * m] = (double)b.data[first + i + j * b.rows];
    cblas_dtrsm(CblasColMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, (int)m, (int)d, 1.0, l,
                (int)d, x, (int)m);
    cblas_dtrsm(CblasColMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit, (int)m, (int)d, 1.0, l,
                (int)d, x, (int)m);
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < m; i++) b.data[first + i + j * b.rows] = (float)x[i + j * m];
}

static void cpu_solve_right(am_ctx *ctx, am_mat b, am_mat factor)
{
    if (!am_cpu_blas_fits(ctx, "solve_right", b) || !am_cpu_blas_fits(ctx, "solve_right", factor)) return;
    const double *l = (const double *)(const void *)factor.data;
    const size_t n_tasks = (b.rows + SOLVE_ROWS - 1) / SOLVE_ROWS;
    double *work = am_host_work(ctx, am_mat_len(b));
    if (!work) return;
    const am_blas_guard guard = am_cpu_blas_enter();
    const int n_threads = am_cpu_blas_threads(ctx, n_tasks);
#pragma omp parallel for schedule(static, 1) num_threads(n_threads) if (n_threads > 1)
    for (size_t task = 0; task < n_tasks; task++) {
        const size_t first = task * SOLVE_ROWS, left = b.rows - first,
                     m = left < SOLVE_ROWS ? left : SOLVE_ROWS;
        solve_rows(b, l, first, m, work + first * b.cols);
    }
    am_cpu_blas_leave(guard);
}

#define STRIP 256 /* rows of u one task owns */

AM_CPU_CLONES static void add_scaled_double(double *sum, const float *w, size_t n, double v)
{
    for (size_t i = 0; i < n; i++) sum[i] += v * (double)w[i];
}

AM_CPU_CLONES static double dot(const float *x, const float *y, size_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)y[i];
    return sum;
}

/* u <- W v, rows in strips. */
static void times(const am_ctx *ctx, am_mat u, am_mat w, am_mat v)
{
    const size_t n_strips = (w.rows + STRIP - 1) / STRIP;
    const int n_threads = am_cpu_threads(ctx, am_mat_len(w));
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t strip = 0; strip < n_strips; strip++) {
        const size_t first = strip * STRIP, n = w.rows - first < STRIP ? w.rows - first : STRIP;
        double sum[STRIP] = {0};
        for (size_t j = 0; j < w.cols; j++)
            add_scaled_double(sum, w.data + first + j * w.rows, n, (double)v.data[j]);
        for (size_t i = 0; i < n; i++) u.data[first + i] = (float)sum[i];
    }
}

/* v <- W'u. */
static void times_transposed(const am_ctx *ctx, am_mat v, am_mat w, am_mat u)
{
    const int n_threads = am_cpu_threads(ctx, am_mat_len(w));
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t j = 0; j < w.cols; j++) v.data[j] = (float)dot(w.data + j * w.rows, u.data, w.rows);
}

static void normalise(am_mat v)
{
    const double norm = sqrt(dot(v.data, v.data, v.rows));
    for (size_t i = 0; i < v.rows && norm > 0.0; i++) v.data[i] = (float)((double)v.data[i] / norm);
}

static void cpu_norm2(am_ctx *ctx, am_slot out, am_mat w, am_mat v, am_mat u, int n_steps)
{
    double lambda = 0.0;
    normalise(v);
    for (int step = 0; step <= n_steps; step++) {
        times(ctx, u, w, v);
        lambda = dot(u.data, u.data, u.rows);
        if (step == n_steps || !(lambda > 0.0)) break; /* W v = 0: v stays as it is */
        times_transposed(ctx, v, w, u);
        normalise(v);
    }
    am_host(ctx)->slot[out] = lambda;
}

/* ------------------------------------------------------------------------------------------------ life */

#define PROBE_D      384
#define PROBE_K      1024
#define PROBE_REPEAT 4
/* gemm does twice the work of syrk; it must win by this factor. The two round differently, so noise must not
 * flip the choice between runs: it is made on one thread by that thread's processor time, which other
 * programs do not disturb. */
#define PROBE_CLEARLY 0.75

static double thread_cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double probe_gram(am_ctx *ctx, am_mat g, am_mat a, int by_gemm)
{
    double best = INFINITY;
    state_of(ctx)->gram_by_gemm = by_gemm;
    for (int r = 0; r < PROBE_REPEAT; r++) {
        const double start = thread_cpu_s();
        am_cpu_gram(ctx, g, a, 0);
        const double spent = thread_cpu_s() - start;
        if (r > 0 && spent < best) best = spent; /* the first call warms up */
    }
    return best;
}

/* Is a Gram matrix clearly faster by gemm than by syrk on this machine with this OpenBLAS? */
static int choose_gram_by_gemm(am_ctx *ctx, am_gram_rule rule)
{
    if (rule != AM_GRAM_AUTO) return rule == AM_GRAM_GEMM;
    float *memory = am_ref_alloc(ctx, PROBE_D * (PROBE_K + PROBE_D) * sizeof(float));
    if (!memory) return 0;
    const am_mat a = {memory, PROBE_D, PROBE_K}, g = {memory + am_mat_len(a), PROBE_D, PROBE_D};
    for (size_t i = 0; i < am_mat_len(a); i++) a.data[i] = (float)(i % 127) / 127.0f;
    const size_t n_threads = ctx->n_threads;
    ctx->n_threads = 1;
    const double syrk = probe_gram(ctx, g, a, 0), gemm = probe_gram(ctx, g, a, 1);
    ctx->n_threads = n_threads;
    free(memory);
    return gemm < PROBE_CLEARLY * syrk;
}

/* All processors we may run on, unless OMP_NUM_THREADS asks for a number. */
static size_t default_threads(void)
{
    const int n = getenv("OMP_NUM_THREADS") ? omp_get_max_threads() : omp_get_num_procs();
    return n > 0 ? (size_t)n : 1;
}

/* OpenBLAS ends the program when more threads are in it at once than it was built for. */
static size_t blas_threads(void)
{
    const char *limit = strstr(openblas_get_config(), "MAX_THREADS=");
    const long n = limit ? strtol(limit + strlen("MAX_THREADS="), NULL, 10) : 1;
    return n > 0 ? (size_t)n : 1;
}

static size_t machine_processors(void)
{
    const long n = sysconf(_SC_NPROCESSORS_CONF);
    return n > 0 ? (size_t)n : 1;
}

static altmin_error cpu_open(am_ctx *ctx, const am_open_options *opt, altmin_status *st)
{
    if (am_host_open(ctx, sizeof(am_cpu_state), st)) return st ? st->code : ALTMIN_ERR_MEMORY;
    am_cpu_state *state = state_of(ctx);
    ctx->n_threads = opt->n_threads ? opt->n_threads : default_threads();
    if (ctx->n_threads > INT_MAX / 2)
        return am_fail(st, ALTMIN_ERR_USAGE, "%zu threads are too many", ctx->n_threads);
    state->n_processors = machine_processors();
    state->n_blas = blas_threads();
    state->gram_by_gemm = choose_gram_by_gemm(ctx, opt->gram);
    int version_len = 0; /* the configuration begins with "OpenBLAS x.y.z " */
    sscanf(openblas_get_config(), "%*s %*s%n", &version_len);
    snprintf(ctx->detail, sizeof ctx->detail, "%.*s %s, gram by %s", version_len, openblas_get_config(),
             openblas_get_corename(), state->gram_by_gemm ? "gemm" : "syrk");
    return ALTMIN_OK;
}

static void cpu_close(am_ctx *ctx)
{
    if (ctx->impl) am_cpu_lanes_close(state_of(ctx));
    am_host_close(ctx);
}

const am_ops am_ops_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .alloc = am_ref_alloc,
    .release = am_ref_release,
    .free_bytes = am_ref_free_bytes,
    .upload = am_ref_upload,
    .upload_u8 = am_ref_upload_u8,
    .download = am_ref_download,
    .pinned_alloc = am_ref_alloc,
    .pinned_release = am_ref_release,
    .stage_send = am_ref_stage_send,
    .copy = am_cpu_copy,
    .fill = am_cpu_fill,
    .gemm = am_cpu_gemm,
    .gram = am_cpu_gram,
    .gram_sparse = am_ref_gram_sparse, /* once a run */
    .spmm = cpu_spmm,
    .cholesky = cpu_cholesky,
    .solve_right = cpu_solve_right,
    .norm2 = cpu_norm2,
    .eigh = am_cpu_eigh,
    .orthonormalise = am_cpu_orthonormalise,
    .map = am_cpu_map,
    .row_sum = am_cpu_row_sum,
    .softmax_loss = am_cpu_softmax_loss,
    .softmax_residual = am_cpu_softmax_residual,
    .gather_columns = am_cpu_gather_columns,
    .gather_columns_u8 = am_cpu_gather_columns_u8,
    .thin = am_cpu_thin,
    .prox_softmax = am_cpu_prox_softmax,
    .scalar = am_ref_scalar,
    .slots_write = am_ref_slots_write,
    .slots_read = am_ref_slots_read,
    .branch = am_ref_branch,
    .lanes = am_cpu_lanes,
    .sweep_begin = am_ref_sweep_begin,
    .sweep_end = am_ref_sweep_end,
};
