/* The CUDA backend on the emulated device against ref: every op, recorded sweeps with decisions taken on the
 * device, late errors, every allocation and every call failing once, and no dependence on the order in which
 * threads run. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emulator.h"
#include "kernels/backend.h"

/* ---------------------------------------------------------------------- two backends at once */

enum { REF, CUDA, N_SIDES, n_slots = 32, max_mats = 16 };

/* The same matrices and slots on ref and on cuda. */
typedef struct pair {
    am_ctx *ctx[N_SIDES];
    am_mat mat[N_SIDES][max_mats];
    size_t n_mats;
    void *block[N_SIDES][2 * max_mats];
    size_t n_blocks;
    uint64_t random;
} pair;

static double next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}

static void open_pair(pair *p, const am_open_options *opt)
{
    memset(p, 0, sizeof *p);
    p->random = 7;
    const am_backend_kind kind[N_SIDES] = {AM_BACKEND_REF, AM_BACKEND_CUDA};
    for (int side = 0; side < N_SIDES; side++) {
        altmin_status st = {0};
        if (am_backend_open(&p->ctx[side], kind[side], opt, &st)) fail_msg("%s", st.message);
        assert_int_equal(am_slots_new(p->ctx[side], n_slots), 0);
    }
}

static void close_pair(pair *p)
{
    for (int side = 0; side < N_SIDES; side++) {
        altmin_status st = {0};
        if (am_ctx_status(p->ctx[side], &st)) fail_msg("%s", st.message);
        for (size_t i = 0; i < p->n_blocks; i++) am_memory_release(p->ctx[side], p->block[side][i], 0);
        am_backend_close(p->ctx[side]);
    }
    assert_int_equal(am_emulator_alive(), 0);
}

static void *take(pair *p, int side, size_t n_bytes)
{
    void *memory;
    altmin_status st = {0};
    if (am_memory_take(p->ctx[side], &memory, n_bytes, &st)) fail_msg("%s", st.message);
    p->block[side][p->n_blocks] = memory;
    return memory;
}

/* A rows x cols matrix of numbers in [lo, hi) on both sides, `offset` floats behind an aligned address. */
static size_t matrix(pair *p, size_t rows, size_t cols, double lo, double hi, size_t offset)
{
    const size_t n = rows * cols, id = p->n_mats++;
    float *host = malloc((n + 1) * sizeof *host);
    for (size_t i = 0; i < n; i++) host[i] = (float)(lo + (hi - lo) * next_random(&p->random));
    for (int side = 0; side < N_SIDES; side++) {
        p->mat[side][id] =
            (am_mat){(float *)take(p, side, (n + offset) * sizeof(float)) + offset, rows, cols};
        am_upload(p->ctx[side], p->mat[side][id], host);
    }
    p->n_blocks++;
    free(host);
    return id;
}

static size_t bytes(pair *p, const void *host, size_t n_bytes)
{
    for (int side = 0; side < N_SIDES; side++)
        am_upload_bytes(p->ctx[side], take(p, side, n_bytes), host, n_bytes);
    return p->n_blocks++;
}

static void write_slot(pair *p, am_slot slot, double value)
{
    for (int side = 0; side < N_SIDES; side++) am_slot_set(p->ctx[side], slot, value);
}

static float *read_back(const pair *p, int side, size_t id)
{
    altmin_status st = {0};
    float *host = malloc((am_mat_len(p->mat[side][id]) + 1) * sizeof *host);
    if (am_download(p->ctx[side], host, p->mat[side][id], &st)) fail_msg("%s", st.message);
    return host;
}

/* Both sides agree to `tolerance` x (1 + largest entry); a NaN must be in both. */
static void compare(const pair *p, size_t id, double tolerance, const char *what)
{
    float *a = read_back(p, REF, id), *b = read_back(p, CUDA, id);
    const size_t n = am_mat_len(p->mat[REF][id]);
    double largest = 1.0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(a[i]) && fabs(a[i]) > largest) largest = fabs(a[i]);
    for (size_t i = 0; i < n; i++) {
        const double error = fabs((double)a[i] - (double)b[i]);
        const int same = a[i] == b[i] || (isnan(a[i]) && isnan(b[i])) || error <= tolerance * largest;
        if (!same)
            fail_msg("%s: matrix %zu, element %zu: ref %g, cuda %g", what, id, i, (double)a[i], (double)b[i]);
    }
    free(a);
    free(b);
}

static void compare_slots(const pair *p, double tolerance, const char *what)
{
    double value[N_SIDES][n_slots];
    for (int side = 0; side < N_SIDES; side++) {
        altmin_status st = {0};
        if (am_slots_read(p->ctx[side], 0, n_slots, value[side], &st)) fail_msg("%s", st.message);
    }
    for (int i = 0; i < n_slots; i++) {
        const double a = value[REF][i], b = value[CUDA][i];
        if (a != b && !(isnan(a) && isnan(b)) && !(fabs(a - b) <= tolerance * (1.0 + fabs(a))))
            fail_msg("%s: slot %d: ref %.17g, cuda %.17g", what, i, a, b);
    }
}

static const am_open_options fp32 = {.precision = AM_PRECISION_FP32};

/* --------------------------------------------------------------------------------------- ops */

static void run_map(am_map_id id, int act, size_t rows, size_t cols, size_t offset, int with_row_sum)
{
    const am_map_signature *sig = am_map_signature_of(id);
    char what[128];
    snprintf(what, sizeof what, "map %s, activation %d, %zu x %zu + %zu", sig->name, act, rows, cols, offset);
    pair p;
    open_pair(&p, &fp32);
    am_map_args args[N_SIDES] = {0};
    size_t in[AM_MAP_MAX_IN], out[AM_MAP_MAX_OUT], row = 0, row_sum = 0;
    for (int k = 0; k < sig->n_in; k++) in[k] = matrix(&p, rows, cols, -2.0, 2.0, offset);
    for (int k = 0; k < sig->n_out; k++) out[k] = matrix(&p, rows, cols, 5.0, 6.0, offset);
    if (sig->has_row) row = matrix(&p, rows, 1, -1.0, 1.0, 0);
    if (with_row_sum) row_sum = matrix(&p, rows, 1, 5.0, 6.0, 0);
    for (int k = 0; k < sig->n_coef; k++) write_slot(&p, k, 0.3 + 0.2 * k);
    for (int side = 0; side < N_SIDES; side++) {
        for (int k = 0; k < sig->n_in; k++) args[side].in[k] = p.mat[side][in[k]];
        for (int k = 0; k < sig->n_out; k++) args[side].out[k] = p.mat[side][out[k]];
        for (int k = 0; k < sig->n_coef; k++) args[side].coef[k] = k;
        for (int k = 0; k < sig->n_sum; k++) args[side].sum[k] = 10 + k;
        args[side].max = 20;
        if (sig->has_row) args[side].row = p.mat[side][row];
        if (with_row_sum) args[side].row_sum = p.mat[side][row_sum];
        am_map(p.ctx[side], id, act, &args[side]);
    }
    for (int k = 0; k < sig->n_out; k++) compare(&p, out[k], 1e-5, what);
    if (with_row_sum) compare(&p, row_sum, 1e-5, what);
    compare_slots(&p, 1e-5, what);
    close_pair(&p);
}

static void test_maps(void **state)
{
    (void)state;
    static const size_t shape[][3] = {{1, 1, 0}, {8, 300, 0}, {7, 13, 0}, {100, 41, 0},
                                      {3, 1, 0}, {12, 20, 1}, {260, 9, 0}};
    for (int id = 0; id < AM_N_MAPS; id++) {
        const am_map_signature *sig = am_map_signature_of((am_map_id)id);
        for (int act = 0; act < (sig->uses_act ? AM_N_ACTS : 1); act++)
            for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
                run_map((am_map_id)id, act, shape[i][0], shape[i][1], shape[i][2], 0);
                if (sig->n_out && i % 2 == 1)
                    run_map((am_map_id)id, act, shape[i][0], shape[i][1], shape[i][2], 1);
            }
    }
}

static void run_products(size_t m, size_t n, size_t k, am_gram_rule rule)
{
    for (int t = 0; t < 4; t++) {
        const int ta = t & 1, tb = t >> 1;
        pair p;
        open_pair(&p, &(am_open_options){.precision = AM_PRECISION_FP32, .gram = rule});
        const size_t a = matrix(&p, ta ? k : m, ta ? m : k, -1, 1, 0),
                     b = matrix(&p, tb ? n : k, tb ? k : n, -1, 1, 0);
        const size_t c = matrix(&p, m, n, -1, 1, 0), g = matrix(&p, m, m, 5, 6, 0),
                     v = matrix(&p, m, 1, 5, 6, 0);
        for (int side = 0; side < N_SIDES; side++) {
            am_mat *x = p.mat[side];
            am_gemm(p.ctx[side], x[c], 0.5f, x[a], ta, x[b], tb, t == 3 ? 0.0f : 2.0f);
            am_gram(p.ctx[side], x[g], x[a], ta);
            if (!ta) am_row_sum(p.ctx[side], x[v], x[a]);
        }
        compare(&p, c, 1e-5, "gemm");
        compare(&p, g, 1e-5, "gram");
        compare(&p, v, 1e-5, "row_sum");
        float *gram = read_back(&p, CUDA, g);
        for (size_t j = 0; j < m; j++)
            for (size_t i = 0; i < j; i++) assert_true(gram[i + j * m] == gram[j + i * m]);
        free(gram);
        close_pair(&p);
    }
}

static void test_products(void **state)
{
    (void)state;
    run_products(1, 1, 1, AM_GRAM_AUTO);
    run_products(33, 5, 70, AM_GRAM_AUTO);
    run_products(65, 17, 9, AM_GRAM_SYRK);
    run_products(1030, 2, 3, AM_GRAM_AUTO); /* two panels */
}

/* tf32 and bf16 round operands: visibly, and by as much as they should. */
static void test_precision(void **state)
{
    (void)state;
    static const struct {
        am_precision precision;
        double least, most;
    } kind[] = {
        {AM_PRECISION_FP32, 0, 1e-6}, {AM_PRECISION_TF32, 1e-6, 5e-4}, {AM_PRECISION_BF16, 5e-5, 4e-3}};
    for (size_t i = 0; i < 3; i++) {
        pair p;
        open_pair(&p, &(am_open_options){.precision = kind[i].precision});
        const size_t a = matrix(&p, 20, 50, -1, 1, 0), c = matrix(&p, 20, 20, 0, 1, 0);
        for (int side = 0; side < N_SIDES; side++)
            am_gemm(p.ctx[side], p.mat[side][c], 1.0f, p.mat[side][a], 0, p.mat[side][a], 1, 0.0f);
        float *exact = read_back(&p, REF, c), *rounded = read_back(&p, CUDA, c);
        double worst = 0.0, largest = 0.0;
        for (size_t e = 0; e < 400; e++) {
            worst = fmax(worst, fabs((double)exact[e] - (double)rounded[e]));
            largest = fmax(largest, fabs((double)exact[e]));
        }
        assert_true(worst >= kind[i].least * largest);
        assert_true(worst <= kind[i].most * largest);
        free(exact);
        free(rounded);
        close_pair(&p);
    }
}

static void run_sparse(size_t rows, size_t cols, double fill)
{
    pair p;
    open_pair(&p, &fp32);
    size_t *start = calloc(cols + 1, sizeof *start), n = 0;
    int32_t *row = malloc((rows * cols + 1) * sizeof *row);
    float *value = malloc((rows * cols + 1) * sizeof *value);
    for (size_t j = 0; j < cols; j++) {
        for (size_t i = 0; i < rows; i++)
            if (next_random(&p.random) < fill) {
                row[n] = (int32_t)i;
                value[n++] = (float)next_random(&p.random);
            }
        start[j + 1] = n;
    }
    const size_t s = bytes(&p, start, (cols + 1) * sizeof *start), r = bytes(&p, row, n * sizeof *row + 4),
                 v = bytes(&p, value, n * sizeof *value + 4);
    const size_t a = matrix(&p, 9, rows, -1, 1, 0), at = matrix(&p, 9, cols, -1, 1, 0),
                 c = matrix(&p, 9, cols, -1, 1, 0), ct = matrix(&p, 9, rows, -1, 1, 0),
                 g = matrix(&p, rows, rows, 5, 6, 0), gt = matrix(&p, cols, cols, 5, 6, 0);
    for (int side = 0; side < N_SIDES; side++) {
        am_mat *m = p.mat[side];
        const am_csc x = {p.block[side][s], p.block[side][r], p.block[side][v], rows, cols};
        am_spmm(p.ctx[side], m[c], 2.0f, m[a], &x, 0, 0.5f);
        am_spmm(p.ctx[side], m[ct], 2.0f, m[at], &x, 1, 0.5f);
        am_gram_sparse(p.ctx[side], m[g], &x, 0);
        am_gram_sparse(p.ctx[side], m[gt], &x, 1);
    }
    compare(&p, c, 1e-5, "spmm");
    compare(&p, ct, 1e-5, "spmm, transposed");
    compare(&p, g, 1e-5, "gram_sparse");
    compare(&p, gt, 1e-5, "gram_sparse, transposed");
    free(start);
    free(row);
    free(value);
    close_pair(&p);
}

static void test_sparse(void **state)
{
    (void)state;
    run_sparse(40, 30, 0.1);
    run_sparse(3, 50, 0.5);
    run_sparse(5, 4, 0.0);
}

static void run_solve(size_t d, size_t m, double ridge)
{
    pair p;
    open_pair(&p, &fp32);
    const size_t x = matrix(&p, d, 2 * d, -1, 1, 0), a = matrix(&p, d, d, 0, 0, 0),
                 b = matrix(&p, m, d, -1, 1, 0), f = matrix(&p, d, am_factor_cols(d), 0, 0, 0);
    for (int side = 0; side < N_SIDES; side++) {
        am_mat *k = p.mat[side];
        am_gram(p.ctx[side], k[a], k[x], 0);
        am_cholesky(p.ctx[side], k[f], k[a], 0.5, ridge);
        am_solve_right(p.ctx[side], k[b], k[f]);
    }
    compare(&p, b, 1e-4, "solve_right");
    close_pair(&p);
}

static void test_solve(void **state)
{
    (void)state;
    run_solve(1, 1, 0.1);
    run_solve(7, 3, 0.1);
    run_solve(64, 5, 1.0);
    run_solve(130, 4, 1.0);
}

/* A rank-one matrix needs a larger ridge: the same number of attempts as ref. A negative one cannot be saved:
 * the next read says so, with the label the factorization had. */
static void test_not_positive(void **state)
{
    (void)state;
    pair p;
    open_pair(&p, &fp32);
    const size_t a = matrix(&p, 70, 70, 1, 1, 0), f = matrix(&p, 70, am_factor_cols(70), 0, 0, 0);
    double value;
    altmin_status st = {0};
    for (int side = 0; side < N_SIDES; side++)
        am_cholesky(p.ctx[side], p.mat[side][f], p.mat[side][a], 1.0, -1e-9);
    assert_int_equal(am_slots_read(p.ctx[CUDA], 0, 1, &value, &st), ALTMIN_OK);
    assert_true(p.ctx[REF]->n_jitter > 0);
    assert_int_equal(p.ctx[CUDA]->n_jitter, p.ctx[REF]->n_jitter);
    am_label(p.ctx[CUDA], "layer 3, block W");
    am_cholesky(p.ctx[CUDA], p.mat[CUDA][f], p.mat[CUDA][a], -1.0, 0.0);
    am_label(p.ctx[CUDA], "somewhere else");
    assert_int_equal(am_slots_read(p.ctx[CUDA], 0, 1, &value, &st), ALTMIN_ERR_NUMERIC);
    assert_non_null(strstr(st.message, "layer 3, block W"));
    assert_non_null(strstr(st.message, "70 x 70"));
    p.ctx[CUDA]->status = (altmin_status){0};
    close_pair(&p);
}

static void run_norm(size_t rows, size_t cols, double scale)
{
    pair p;
    open_pair(&p, &fp32);
    const size_t w = matrix(&p, rows, cols, -scale, scale, 0), v = matrix(&p, cols, 1, 0.5, 1, 0),
                 u = matrix(&p, rows, 1, 0, 0, 0);
    for (int side = 0; side < N_SIDES; side++) {
        am_norm2(p.ctx[side], 3, p.mat[side][w], p.mat[side][v], p.mat[side][u], 4);
        am_norm2(p.ctx[side], 4, p.mat[side][w], p.mat[side][v], p.mat[side][u], 0);
    }
    compare(&p, v, 1e-4, "norm2");
    compare_slots(&p, 1e-4, "norm2");
    close_pair(&p);
}

static void test_norm(void **state)
{
    (void)state;
    run_norm(1, 1, 1.0);
    run_norm(50, 33, 1.0);
    run_norm(50, 33, 0.0);
    run_norm(300, 250, 1.0); /* the large form */
    run_norm(300, 250, 0.0);
}

static void run_columns(size_t n, size_t cols, double rho)
{
    pair p;
    open_pair(&p, &fp32);
    int32_t *label = malloc(cols * sizeof *label);
    for (size_t j = 0; j < cols; j++) label[j] = (int32_t)(j % n);
    const size_t l = bytes(&p, label, cols * sizeof *label);
    const size_t m = matrix(&p, n, cols, -3, 3, 0), b = matrix(&p, n, 1, -1, 1, 0),
                 z = matrix(&p, n, cols, -3, 3, 0), s = matrix(&p, n, 1, 5, 6, 0);
    write_slot(&p, 0, rho);
    for (int side = 0; side < N_SIDES; side++) {
        am_mat *x = p.mat[side];
        const int32_t *y = p.block[side][l];
        am_softmax_loss(p.ctx[side], 5, 6, x[m], x[b], y);
        am_prox_softmax_columns(p.ctx[side], x[z], x[m], x[b], y, 0, (am_slot[]){7, 8, 9}, x[s]);
    }
    compare(&p, z, 1e-4, "prox_softmax");
    compare(&p, s, 1e-4, "prox_softmax, row sums");
    compare_slots(&p, 1e-4, "softmax");
    free(label);
    close_pair(&p);
}

static void test_columns(void **state)
{
    (void)state;
    run_columns(1, 3, 1.0);
    run_columns(10, 700, 1e-3);
    run_columns(17, 30, 0.1);
    run_columns(33, 20, 1.0);
    run_columns(100, 9, 1e-2);
}

static void test_data(void **state)
{
    (void)state;
    pair p;
    open_pair(&p, &fp32);
    enum { rows = 37, cols = 300001 / 37 };
    uint8_t *host = malloc((size_t)rows * cols);
    for (size_t i = 0; i < (size_t)rows * cols; i++) host[i] = (uint8_t)(i * 31 % 251);
    const size_t shift = matrix(&p, rows, 1, 0, 100, 0), factor = matrix(&p, rows, 1, 0, 1, 0),
                 x = matrix(&p, rows, cols, 0, 1, 0), y = matrix(&p, rows, cols, 0, 1, 1),
                 f = matrix(&p, 5, 5, 0, 1, 1);
    for (int side = 0; side < N_SIDES; side++) {
        am_mat *m = p.mat[side];
        am_upload_u8(p.ctx[side], m[x], host, m[shift], m[factor]);
        am_copy(p.ctx[side], m[y], m[x]);
        am_fill(p.ctx[side], m[f], 0.25f);
    }
    compare(&p, x, 0.0, "upload_u8");
    compare(&p, y, 0.0, "copy");
    compare(&p, f, 0.0, "fill");
    free(host);
    close_pair(&p);
}

/* More formulas than one launch takes, each using the one before. */
static void test_scalars(void **state)
{
    (void)state;
    pair p;
    open_pair(&p, &fp32);
    for (am_slot s = 0; s < 16; s++) write_slot(&p, s, 0.25 + 0.5 * s);
    for (int side = 0; side < N_SIDES; side++)
        for (int round = 0; round < 8; round++)
            for (int id = 0; id < AM_N_SCALARS; id++) {
                am_slot in[AM_SCALAR_MAX_IN];
                for (int k = 0; k < AM_SCALAR_MAX_IN; k++) in[k] = (id + 3 * k + round) % 16;
                am_scalar(p.ctx[side], 16 + (id + round) % 16, (am_scalar_id)id, in);
            }
    compare_slots(&p, 1e-14, "scalar");
    close_pair(&p);
}

/* ------------------------------------------------------------------------------------ sweeps */

typedef struct problem {
    am_mat x, w, p, row_sum, gram, factor;
} problem;

static void inner(am_ctx *ctx, void *arg)
{
    (void)arg;
    am_scalar(ctx, 12, AM_SCALAR_ADD, (am_slot[]){12, 1});
}

static void start_problem(pair *p, problem q[N_SIDES])
{
    const size_t x = matrix(p, 6, 40, -1, 1, 0), w = matrix(p, 5, 6, -1, 1, 0),
                 product = matrix(p, 5, 40, 0, 0, 0), rows = matrix(p, 5, 1, 0, 0, 0),
                 gram = matrix(p, 5, 5, 0, 0, 0), f = matrix(p, 5, 10, 0, 0, 0);
    static const double value[] = {0, 1, 0, 0, -0.5, 1.75, -1, -1, 0.1};
    for (am_slot s = 0; s < 9; s++) write_slot(p, s, value[s]);
    for (int side = 0; side < N_SIDES; side++) {
        am_mat *m = p->mat[side];
        /* the branch's solve works on 5 of W's 6 columns */
        q[side] = (problem){m[x], m[w], m[product], m[rows], m[gram], m[f]};
    }
}

/* What a guard does when it fires: counts in slot 11, solves, factors a matrix that needs a larger ridge,
 * branches. */
static void redo(am_ctx *ctx, void *arg)
{
    problem q = *(const problem *)arg;
    am_scalar(ctx, 11, AM_SCALAR_ADD, (am_slot[]){11, 1});
    am_gram(ctx, q.gram, q.p, 0);
    am_cholesky(ctx, q.factor, q.gram, 0.01, 1.0);
    q.w = am_mat_cols(q.w, 1, 5);
    am_solve_right(ctx, q.w, q.factor);
    am_fill(ctx, q.gram, 1.0f); /* rank one: only a larger ridge factors it */
    am_cholesky(ctx, q.factor, q.gram, 1.0, -1e-9);
    am_branch(ctx, 3, inner, arg);
}

static void add_in_lane(am_ctx *lane, size_t i, void *arg)
{
    (void)arg;
    const am_slot s = (am_slot)(20 + i);
    am_scalar(lane, s, AM_SCALAR_ADD, (am_slot[]){s, 10});
}

/* p = W x, sums, a scalar recursion that makes slots 2 and 3 change now and then, and a branch on them. */
typedef struct guarded {
    am_ctx *ctx;
    const problem *q;
    uint64_t key;
} guarded;

static void issue_guarded(void *arg)
{
    am_ctx *ctx = ((const guarded *)arg)->ctx;
    const problem *q = ((const guarded *)arg)->q;
    const uint64_t key = ((const guarded *)arg)->key;
    am_gemm(ctx, q->p, key ? 1.0f : 0.9f, q->w, 0, q->x, 0, 0.0f);
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {q->p}, .sum = {10}});
    am_row_sum(ctx, q->row_sum, q->p);
    am_scalar(ctx, 5, AM_SCALAR_ADD, (am_slot[]){5, 4});
    am_scalar(ctx, 2, AM_SCALAR_NOT_DECREASED, (am_slot[]){5});
    am_scalar(ctx, 3, AM_SCALAR_NOT_DECREASED, (am_slot[]){6});
    am_scalar(ctx, 6, AM_SCALAR_MUL, (am_slot[]){6, 7});
    am_branch(ctx, 2, redo, (void *)q);
    am_map(ctx, AM_MAP_LINCOMB, 0, &(am_map_args){.out = {q->w}, .in = {q->w, q->w}, .coef = {1, 8}});
    am_lanes(ctx, 3, add_in_lane, NULL);
}

static void guarded_sweep(am_ctx *ctx, const problem *q, uint64_t key)
{
    am_sweep(ctx, key, issue_guarded, &(guarded){ctx, q, key});
}

static void run_sweeps(am_launch launch, int n_sweeps)
{
    pair p;
    problem q[N_SIDES];
    open_pair(&p, &(am_open_options){.precision = AM_PRECISION_FP32, .launch = launch});
    start_problem(&p, q);
    for (int k = 0; k < n_sweeps; k++) {
        for (int side = 0; side < N_SIDES; side++) guarded_sweep(p.ctx[side], &q[side], (uint64_t)(k % 2));
        compare_slots(&p, 1e-4, "sweep");
        assert_int_equal(p.ctx[CUDA]->n_jitter, p.ctx[REF]->n_jitter);
        /* a replay counts as the sweep it replays, as far as the host issued it */
        assert_true(p.ctx[CUDA]->stat[AM_OP_GEMM].n_calls == (size_t)k + 1);
    }
    for (size_t id = 1; id < 4; id++) compare(&p, id, 1e-4, "sweep");
    double fired[3];
    altmin_status st = {0};
    assert_int_equal(am_slots_read(p.ctx[CUDA], 10, 3, fired, &st), ALTMIN_OK);
    assert_true(fired[1] > 1.0 && fired[1] < n_sweeps); /* the branch was taken, and not always */
    assert_true(fired[2] > 0.0 && fired[2] < fired[1]); /* so was the inner one */
    close_pair(&p);
}

static void test_sweeps(void **state)
{
    (void)state;
    const size_t graphs = am_emulator_graph_launches(), bodies = am_emulator_bodies();
    run_sweeps(AM_LAUNCH_STREAM, 8);
    run_sweeps(AM_LAUNCH_SYNC, 8);
    assert_int_equal(am_emulator_graph_launches(), graphs);
    run_sweeps(AM_LAUNCH_GRAPH, 8);
    /* two keys: each once op by op, once recorded and run, then replayed */
    assert_int_equal(am_emulator_graph_launches() - graphs, 6);
    assert_true(am_emulator_bodies() > bodies);
}

/* Whatever call of a sweep that is being recorded, or replayed, fails once: the run goes on op by op, says so, and nothing
 * is done twice or left out. */
static size_t run_unrecorded(am_fault kind, int faulty_sweep, size_t nth)
{
    pair p;
    problem q[N_SIDES];
    open_pair(&p, &fp32);
    start_problem(&p, q);
    size_t n_calls = 0;
    for (int k = 0; k < 6; k++) {
        if (k == faulty_sweep) am_emulator_fail(kind, nth);
        for (int side = 0; side < N_SIDES; side++) guarded_sweep(p.ctx[side], &q[side], 0);
        if (k == faulty_sweep) n_calls = am_emulator_calls(kind);
        am_emulator_fail(kind, 0);
        compare_slots(&p, 1e-4, "sweep that could not be recorded");
        assert_int_equal(p.ctx[CUDA]->n_jitter, p.ctx[REF]->n_jitter);
        assert_true(p.ctx[CUDA]->stat[AM_OP_GEMM].n_calls == (size_t)k + 1);
    }
    compare(&p, 1, 1e-4, "sweep that could not be recorded");
    assert_true((strstr(p.ctx[CUDA]->detail, "recording failed") != NULL) == (nth != 0));
    close_pair(&p);
    return n_calls;
}

static void test_recording_fails(void **state)
{
    (void)state;
    static const am_fault kind[] = {AM_FAULT_RUNTIME, AM_FAULT_LIBRARY, AM_FAULT_LAUNCH};
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        const size_t n = run_unrecorded(kind[i], 1, 0);
        assert_true(n > 4);
        for (size_t nth = 1; nth <= n; nth++) run_unrecorded(kind[i], 1, nth);
    }
    assert_int_equal(run_unrecorded(AM_FAULT_RUNTIME, 3, 0), 1); /* the launch of the graph */
    run_unrecorded(AM_FAULT_RUNTIME, 3, 1);
}

/* More keys than are remembered: the oldest go, results stay. */
static void test_many_keys(void **state)
{
    (void)state;
    pair p;
    problem q[N_SIDES];
    open_pair(&p, &fp32);
    start_problem(&p, q);
    write_slot(&p, 5, 100.0); /* no guard fires */
    write_slot(&p, 4, 0.0);
    write_slot(&p, 5, -1.0);
    for (int k = 0; k < 70; k++)
        for (int side = 0; side < N_SIDES; side++)
            guarded_sweep(p.ctx[side], &q[side], (uint64_t)(k % 20 < 2 ? k % 2 : k % 20));
    compare(&p, 1, 1e-4, "many keys");
    close_pair(&p);
}

/* ------------------------------------------------------------------------------------ faults */

/* What a short life leaves. */
typedef struct legacy {
    double slots[n_slots];
    float w[30];
} legacy;

/* A short life of the backend, with recording and replay; returns the first error. */
static altmin_error short_life(legacy *left, altmin_status *st)
{
    am_ctx *ctx = NULL;
    if (am_backend_open(&ctx, AM_BACKEND_CUDA, &fp32, st)) return st->code;
    am_slots_new(ctx, n_slots);
    problem q;
    void *memory = NULL;
    static const size_t size[][2] = {{6, 40}, {5, 6}, {5, 40}, {5, 1}, {5, 5}, {5, 10}};
    am_mat *const mat[] = {&q.x, &q.w, &q.p, &q.row_sum, &q.gram, &q.factor};
    if (am_memory_take(ctx, &memory, 4096 * sizeof(float), st)) {
        am_backend_close(ctx);
        return st->code;
    }
    float *at = memory, host[240];
    for (size_t i = 0; i < 6; i++) {
        *mat[i] = (am_mat){at, size[i][0], size[i][1]};
        at += (am_mat_len(*mat[i]) + 15) / 16 * 16;
    }
    for (size_t i = 0; i < 240; i++) host[i] = (float)((i * 37) % 101) / 50.0f - 1.0f;
    am_label(ctx, "short life");
    am_upload(ctx, q.x, host);
    am_upload(ctx, q.w, host);
    static const double value[] = {0, 1, 0, 0, 0.25, -0.5, 1, -1};
    am_slots_write(ctx, 0, 8, value);
    altmin_error error = ALTMIN_OK;
    for (int k = 0; k < 4 && !error; k++) {
        guarded_sweep(ctx, &q, 0);
        error = am_slots_read(ctx, 0, n_slots, left->slots, st);
    }
    if (!error) error = am_download(ctx, left->w, q.w, st);
    am_memory_release(ctx, memory, 0);
    am_backend_close(ctx);
    return error;
}

/* Every call of every kind fails once: a clean error and no leak; or, where recording failed or the call was one on the way
 * out, the numbers of a life without a fault. */
static void test_faults(void **state)
{
    (void)state;
    altmin_status st = {0};
    legacy whole, left;
    for (int kind = 0; kind < AM_N_FAULTS; kind++) {
        am_emulator_fail((am_fault)kind, 0);
        if (short_life(&whole, &st)) fail_msg("without a fault: %s", st.message);
        const size_t n = am_emulator_calls((am_fault)kind);
        size_t n_errors = 0;
        assert_true(n > 0);
        for (size_t i = 1; i <= n; i++) {
            st = (altmin_status){0};
            am_emulator_fail((am_fault)kind, i);
            const altmin_error error = short_life(&left, &st);
            am_emulator_fail((am_fault)kind, 0);
            if (am_emulator_alive())
                fail_msg("fault %d, call %zu: %zu things leak", kind, i, am_emulator_alive());
            if (!error) {
                assert_int_not_equal(kind, AM_FAULT_KERNEL);
                assert_memory_equal(&left, &whole, sizeof whole);
                continue;
            }
            n_errors++;
            assert_true(error == ALTMIN_ERR_MEMORY || error == ALTMIN_ERR_BACKEND);
            assert_int_equal(st.code, error);
            assert_true(strlen(st.message) > 20);
        }
        assert_true(n_errors > 0);
    }
}

static void test_missing(void **state)
{
    (void)state;
    am_ctx *ctx;
    altmin_status st = {0};
    am_emulator_devices(-1);
    assert_non_null(strstr(am_backend_missing(AM_BACKEND_CUDA), "driver"));
    assert_int_equal(am_backend_open(&ctx, AM_BACKEND_CUDA, NULL, &st), ALTMIN_ERR_BACKEND);
    assert_non_null(strstr(st.message, "driver"));
    am_emulator_devices(0);
    assert_non_null(am_backend_missing(AM_BACKEND_CUDA));
    st = (altmin_status){0};
    assert_int_equal(am_backend_open(&ctx, AM_BACKEND_AUTO, NULL, &st), ALTMIN_OK);
    assert_string_equal(ctx->ops->name, "cpu");
    am_backend_close(ctx);
    am_emulator_devices(1);
    assert_null(am_backend_missing(AM_BACKEND_CUDA));
    assert_int_equal(am_backend_open(&ctx, AM_BACKEND_AUTO, NULL, &st), ALTMIN_OK);
    assert_string_equal(ctx->ops->name, "cuda");
    am_backend_close(ctx);
}

/* -------------------------------------------------------------------------- order of threads */

/* All of short_life's numbers and a map with every kind of sum, as one list of bits. */
static void numbers(uint64_t seed, double out[n_slots])
{
    am_emulator_seed(seed);
    pair p;
    open_pair(&p, &fp32);
    const size_t a = matrix(&p, 100, 333, -1, 1, 0), w = matrix(&p, 30, 20, -1, 1, 0),
                 v = matrix(&p, 20, 1, 1, 2, 0), u = matrix(&p, 30, 1, 0, 0, 0),
                 s = matrix(&p, 100, 1, 0, 0, 0);
    am_ctx *ctx = p.ctx[CUDA];
    am_mat *m = p.mat[CUDA];
    am_map(ctx, AM_MAP_A_STEP, AM_ACT_TANH,
           &(am_map_args){
               .out = {m[a]}, .in = {m[a], m[a], m[a], m[a]}, .sum = {1, 2, 3}, .max = 4, .row_sum = m[s]});
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {m[s]}, .sum = {5}});
    am_norm2(ctx, 6, m[w], m[v], m[u], 5);
    altmin_status st = {0};
    assert_int_equal(am_slots_read(ctx, 0, n_slots, out, &st), ALTMIN_OK);
    close_pair(&p);
}

static void test_any_order(void **state)
{
    (void)state;
    double first[n_slots], other[n_slots];
    numbers(1, first);
    for (uint64_t seed = 2; seed < 8; seed++) {
        numbers(seed, other);
        assert_memory_equal(first, other, sizeof first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps),      cmocka_unit_test(test_products),
        cmocka_unit_test(test_precision), cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_solve),     cmocka_unit_test(test_not_positive),
        cmocka_unit_test(test_norm),      cmocka_unit_test(test_columns),
        cmocka_unit_test(test_data),      cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_sweeps),    cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_faults),    cmocka_unit_test(test_recording_fails),
        cmocka_unit_test(test_missing),   cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
