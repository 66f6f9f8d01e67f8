/* Matrix products of the cpu backend. OpenBLAS computes tiles on one thread each; which tiles there are
 * depends on the shape (and on the machine's processor count) alone, threads only decide who does which. So
 * results have the same bits for every --threads, which OpenBLAS' own threading does not give, no core waits
 * inside OpenBLAS, and tiles are cut so that their operands stay in cache.
 *
 * C = op(A) op(B) is cut in up to three ways:
 * - tiles of C, a few hundred columns each (forward products: C is as long as there are samples);
 * - slices of the sum, when C is small and the sum long (z a', Gram matrices: the sum runs over samples).
 * Every slice has its own C; they are added in order;
 * - steps: inside a slice the sum proceeds in short steps, which keeps what OpenBLAS packs in cache. */
#include "kernels/cpu.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>

#define SERIAL_FLOPS   4e6  /* below this a product is one call: 20-40 microseconds */
#define TILE_ROWS      1024 /* rows of a tile of C at most */
#define TILE_COLS_MIN  256  /* columns of a tile of C */
#define TILE_COLS_MAX  2048
#define SLICE_MIN      512      /* terms of the sum per slice at least */
#define STEP           512      /* terms of the sum per call */
#define MAX_SLICE_WORK 16777216 /* floats of scratch for slices: 64 MiB */

/* ---------------------------------------------------------------------------------------- calling BLAS */

am_blas_guard am_cpu_blas_enter(void)
{
    const am_blas_guard guard = {omp_get_max_threads()};
    /* The OpenMP build of OpenBLAS takes its count from OpenMP as well; both must say one. */
    if (openblas_get_num_threads() != 1) openblas_set_num_threads(1);
    if (omp_get_max_threads() != 1) omp_set_num_threads(1);
    return guard;
}

void am_cpu_blas_leave(am_blas_guard guard)
{
    if (guard.omp_threads != 1) omp_set_num_threads(guard.omp_threads);
}

int am_cpu_blas_fits(am_ctx *ctx, const char *op, am_mat m)
{
    if (m.rows <= INT_MAX && m.cols <= INT_MAX) return 1;
    am_ctx_fail(ctx, ALTMIN_ERR_MEMORY, "%s: %zu x %zu is more than BLAS can count (%d)", op, m.rows, m.cols,
                INT_MAX);
    return 0;
}

/* --------------------------------------------------------------------------------------------- cutting */

typedef struct plan {
    size_t tile_rows, tile_cols, n_tile_rows, n_tile_cols;
    size_t slice, n_slices;
} plan;

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Length of the pieces when len is cut into n nearly equal ones whose length is a multiple of 16. */
static size_t even_piece(size_t len, size_t n)
{
    return ceil_div(ceil_div(len, n), 16) * 16;
}

static plan cut(size_t m, size_t n, size_t k, size_t n_tasks, int square)
{
    plan p = {m, n, 1, 1, k, 1};
    if (2.0 * (double)m * (double)n * (double)k < SERIAL_FLOPS) return p;
    p.tile_rows = even_piece(m, ceil_div(m, TILE_ROWS));
    if (square)
        p.tile_cols = p.tile_rows;
    else {
        size_t cols = ceil_div(n, 4 * n_tasks);
        cols = cols < TILE_COLS_MIN ? TILE_COLS_MIN : (cols > TILE_COLS_MAX ? TILE_COLS_MAX : cols);
        /* A long sum is better sliced than spread over narrow tiles. */
        if (n <= TILE_ROWS && k >= SLICE_MIN * n_tasks) cols = TILE_ROWS;
        p.tile_cols = even_piece(n, ceil_div(n, cols));
    }
    p.n_tile_rows = ceil_div(m, p.tile_rows);
    p.n_tile_cols = ceil_div(n, p.tile_cols);
    size_t n_slices = ceil_div(n_tasks, p.n_tile_rows * p.n_tile_cols);
    if (n_slices > k / SLICE_MIN) n_slices = k / SLICE_MIN;
    if (n_slices > 1 + MAX_SLICE_WORK / (m * n)) n_slices = 1 + MAX_SLICE_WORK / (m * n);
    if (n_slices > 1) {
        p.slice = even_piece(k, n_slices);
        p.n_slices = ceil_div(k, p.slice);
    }
    return p;
}

/* Tasks to aim at: a number all common thread counts divide; more on machines with more processors. */
static size_t task_goal(const am_ctx *ctx)
{
    const size_t n = ((const am_cpu_state *)ctx->impl)->n_processors;
    return n > 16 ? n : 16;
}

/* -------------------------------------------------------------------------------------------- products */

/* A product to compute, or with `lower` its lower triangle (B is then A, not transposed where A is). */
typedef struct product {
    plan cut;
    am_mat c, a, b;
    int ta, tb, lower;
    float alpha, beta;
    size_t inner;
    float *scratch; /* n_slices - 1 matrices like C */
} product;

/* Address of element (i, k) of op(m). */
static const float *element_of(am_mat m, int t, size_t i, size_t k)
{
    return t ? m.data + k + i * m.rows : m.data + i + k * m.rows;
}

/* One tile of one slice into c (laid out like C). */
static void run_tile(const product *p, size_t row, size_t col, size_t first, size_t last, float *c,
                     float beta)
{
    const size_t left_rows = p->c.rows - row, left_cols = p->c.cols - col;
    const int m = (int)(left_rows < p->cut.tile_rows ? left_rows : p->cut.tile_rows);
    const int n = (int)(left_cols < p->cut.tile_cols ? left_cols : p->cut.tile_cols);
    const int lda = (int)p->a.rows, ldb = (int)p->b.rows, ldc = (int)p->c.rows;
    float *tile = c + row + col * p->c.rows;
    /* In steps only where C is small: else passing over C again costs more than the better packing gives. */
    const size_t step = p->cut.n_slices > 1 ? STEP : last - first;
    for (size_t k = first; k < last; k += step) {
        const int len = (int)(last - k < step ? last - k : step);
        const float *a = element_of(p->a, p->ta, row, k), *b = element_of(p->b, !p->tb, col, k);
        const float keep = k == first ? beta : 1.0f;
        if (p->lower && row == col)
            cblas_ssyrk(CblasColMajor, CblasLower, p->ta ? CblasTrans : CblasNoTrans, m, len, p->alpha, a,
                        lda, keep, tile, ldc);
        else
            cblas_sgemm(CblasColMajor, p->ta ? CblasTrans : CblasNoTrans, p->tb ? CblasTrans : CblasNoTrans,
                        m, n, len, p->alpha, a, lda, b, ldb, keep, tile, ldc);
    }
}

static void run_task(const product *p, size_t task)
{
    const plan *cut_ = &p->cut;
    const size_t slice = task % cut_->n_slices, tile = task / cut_->n_slices;
    const size_t row = tile % cut_->n_tile_rows * cut_->tile_rows,
                 col = tile / cut_->n_tile_rows * cut_->tile_cols;
    if (p->lower && row < col) return;
    const size_t first = slice * cut_->slice;
    const size_t last = p->inner - first < cut_->slice ? p->inner : first + cut_->slice;
    float *c = slice ? p->scratch + (slice - 1) * am_mat_len(p->c) : p->c.data;
    run_tile(p, row, col, first, last, c, slice ? 0.0f : p->beta);
}

AM_CPU_CLONES static void add_floats_to(float *sum, const float *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) sum[i] += x[i];
}

/* C += the other slices, in order; column by column, of the lower triangle only what is below the diagonal.
 */
static void add_slices(const am_ctx *ctx, const product *p)
{
    const size_t rows = p->c.rows, n_slices = p->cut.n_slices;
    const int n_threads = am_cpu_threads(ctx, am_mat_len(p->c) * n_slices);
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t j = 0; j < p->c.cols; j++) {
        const size_t first = (p->lower ? j : 0) + j * rows, n = p->lower ? rows - j : rows;
        for (size_t s = 1; s < n_slices; s++)
            add_floats_to(p->c.data + first, p->scratch + (s - 1) * am_mat_len(p->c) + first, n);
    }
}

static void run(am_ctx *ctx, product *p)
{
    p->inner = p->ta ? p->a.rows : p->a.cols;
    p->cut = cut(p->c.rows, p->c.cols, p->inner, task_goal(ctx), p->lower);
    if (p->cut.n_slices > 1) {
        p->scratch =
            (float *)(void *)am_host_work(ctx, ceil_div((p->cut.n_slices - 1) * am_mat_len(p->c), 2));
        if (!p->scratch) return;
    }
    const size_t n_tasks = p->cut.n_tile_rows * p->cut.n_tile_cols * p->cut.n_slices;
    const am_blas_guard guard = am_cpu_blas_enter();
    const int n_threads = am_cpu_blas_threads(ctx, n_tasks);
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_threads) if (n_threads > 1)
    for (size_t task = 0; task < n_tasks; task++) run_task(p, task);
    am_cpu_blas_leave(guard);
    if (p->cut.n_slices > 1) add_slices(ctx, p);
}

/* A product with one column: nothing to pack. b is a column or, transposed, a row: the same numbers. */
static void gemv(am_mat c, float alpha, am_mat a, int ta, am_mat b, float beta)
{
    const am_blas_guard guard = am_cpu_blas_enter();
    cblas_sgemv(CblasColMajor, ta ? CblasTrans : CblasNoTrans, (int)a.rows, (int)a.cols, alpha, a.data,
                (int)a.rows, b.data, 1, beta, c.data, 1);
    am_cpu_blas_leave(guard);
}

void am_cpu_gemm(am_ctx *ctx, am_mat c, float alpha, am_mat a, int ta, am_mat b, int tb, float beta)
{
    if (!am_cpu_blas_fits(ctx, "gemm", a) || !am_cpu_blas_fits(ctx, "gemm", b)) return;
    if (c.cols == 1 && 2.0 * (double)am_mat_len(a) < SERIAL_FLOPS) {
        gemv(c, alpha, a, ta, b, beta);
        return;
    }
    product p = {.c = c, .a = a, .b = b, .ta = ta, .tb = tb, .alpha = alpha, .beta = beta};
    run(ctx, &p);
}

#define MIRROR_TILE 64

/* Copy the lower triangle to the upper one, tile by tile so that both sides stay in cache. */
static void mirror_lower(const am_ctx *ctx, am_mat g)
{
    const size_t d = g.rows, n_tiles = ceil_div(d, MIRROR_TILE);
    const int n_threads = am_cpu_threads(ctx, d * d);
#pragma omp parallel for schedule(dynamic) num_threads(n_threads) if (n_threads > 1)
    for (size_t tile_col = 0; tile_col < n_tiles; tile_col++)
        for (size_t tile_row = tile_col; tile_row < n_tiles; tile_row++) {
            const size_t i_end = (tile_row + 1) * MIRROR_TILE < d ? (tile_row + 1) * MIRROR_TILE : d;
            const size_t j_end = (tile_col + 1) * MIRROR_TILE < d ? (tile_col + 1) * MIRROR_TILE : d;
            for (size_t i = tile_row * MIRROR_TILE; i < i_end; i++)
                for (size_t j = tile_col * MIRROR_TILE; j < j_end && j < i; j++)
                    g.data[j + i * d] = g.data[i + j * d];
        }
}

void am_cpu_gram(am_ctx *ctx, am_mat g, am_mat a, int ta)
{
    if (!am_cpu_blas_fits(ctx, "gram", a)) return;
    product p = {.c = g, .a = a, .b = a, .ta = ta, .tb = !ta, .alpha = 1.0f};
    p.lower = !((const am_cpu_state *)ctx->impl)->gram_by_gemm;
    run(ctx, &p);
    mirror_lower(ctx, g);
}
