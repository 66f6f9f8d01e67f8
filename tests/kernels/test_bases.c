/* Ops that streams of chunks stand on, on every backend that can be opened, where random operands (test_conformance) do not
 * reach: eigenvectors of singular, graded and degenerate matrices; bases of dependent, zero and broken columns; gathering
 * bytes against uploading them; thinning that changes no mean; buffers under way. */
#include "kernels/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const double eps = 0x1p-23;

typedef void check_fn(am_ctx *ctx);
static void on_every_backend(check_fn *check)
{
    static const am_backend_kind kinds[] = {AM_BACKEND_REF, AM_BACKEND_CPU, AM_BACKEND_CUDA};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (am_backend_missing(kinds[i])) continue;
        am_ctx *ctx = NULL;
        altmin_status st = {0};
        const am_open_options opt = {.n_threads = 1, .gram = AM_GRAM_SYRK};
        if (am_backend_open(&ctx, kinds[i], &opt, &st)) fail_msg("%s", st.message);
        check(ctx); /* memory it takes is released with the context */
        am_backend_close(ctx);
    }
}

static am_mat take(am_ctx *ctx, size_t rows, size_t cols, const float *values)
{
    void *memory = NULL;
    altmin_status st = {0};
    if (am_memory_take(ctx, &memory, rows * cols * sizeof(float), &st)) fail_msg("%s", st.message);
    const am_mat m = {memory, rows, cols};
    if (values) am_upload(ctx, m, values);
    return m;
}

static void fetch(am_ctx *ctx, float *host, am_mat m)
{
    altmin_status st = {0};
    if (am_download(ctx, host, m, &st)) fail_msg("%s: %s", ctx->ops->name, st.message);
}

/* ||V'V - I||_F of n columns. */
static double gap(const float *v, size_t d, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double product = i == j ? -1.0 : 0.0;
            for (size_t k = 0; k < d; k++) product += (double)v[k + i * d] * (double)v[k + j * d];
            sum += product * product;
        }
    return sqrt(sum);
}

/* ---------------------------------------------------------------------------------------------- eigenvectors */

enum { D = 24 };

/* Symmetric matrices with known eigenvalues (descending): Q diag(w) Q' with Q a reflection. */
static void fill_known(float *a, double *w, int kind)
{
    double u[D], norm2 = 0.0;
    for (int i = 0; i < D; i++) {
        const double ladder[] = {0.0, 1.0, i < 3 ? 5.0 - i : 0.0, pow(10.0, -i), i < D / 2 ? 2.0 : -2.0};
        w[i] = ladder[kind];
        u[i] = 1.0 + 0.25 * i;
        norm2 += u[i] * u[i];
    }
    for (int j = 0; j < D; j++)
        for (int i = 0; i < D; i++) {
            double sum = 0.0;
            for (int k = 0; k < D; k++) {
                const double qi = (i == k) - 2.0 * u[i] * u[k] / norm2,
                             qj = (j == k) - 2.0 * u[j] * u[k] / norm2;
                sum += qi * w[k] * qj;
            }
            a[i + j * D] = (float)sum;
        }
}

/* Zero, the identity, rank three, graded over 23 decades, two clusters of equal eigenvalues. */
static void check_known(am_ctx *ctx)
{
    float a[D * D], v[D * D], got[D];
    double w[D];
    for (int kind = 0; kind < 5; kind++) {
        fill_known(a, w, kind);
        const am_mat mat = take(ctx, D, D, a), values = take(ctx, D, 1, NULL),
                     vectors = take(ctx, D, D, NULL);
        am_eigh(ctx, values, vectors, mat);
        fetch(ctx, got, values);
        fetch(ctx, v, vectors);
        const double size = fabs(w[0]) * D; /* entries were rounded to float */
        assert_true(gap(v, D, D) <= 2.0 * eps * sqrt(D));
        for (int i = 0; i < D; i++) {
            if (!(fabs((double)got[i] - w[i]) <= eps * size))
                fail_msg("%s: matrix %d, eigenvalue %d is %g, not %g", ctx->ops->name, kind, i,
                         (double)got[i], w[i]);
            double largest = 0.0;
            for (int k = 0; k < D; k++) {
                double e = -(double)v[k + i * D] * (double)got[i];
                for (int j = 0; j < D; j++) e += (double)a[k + j * D] * (double)v[j + i * D];
                assert_true(fabs(e) <= eps * size);
                if (fabs((double)v[k + i * D]) > fabs(largest)) largest = (double)v[k + i * D];
            }
            assert_true(largest > 0.0);
        }
    }
}
static void known_eigenvalues(void **state)
{
    (void)state;
    on_every_backend(check_known);
}

/* Only the lower triangle counts. */
static void check_lower(am_ctx *ctx)
{
    float a[D * D], v[2][D * D];
    double w[D];
    fill_known(a, w, 2);
    for (int side = 0; side < 2; side++) {
        for (int j = 1; side && j < D; j++) a[j * D] = NAN; /* the first row */
        const am_mat mat = take(ctx, D, D, a), values = take(ctx, D, 1, NULL);
        am_eigh(ctx, values, mat, mat);
        fetch(ctx, v[side], mat);
    }
    assert_memory_equal(v[0], v[1], sizeof v[0]);
}
static void lower_triangle(void **state)
{
    (void)state;
    on_every_backend(check_lower);
}

static void check_not_finite(am_ctx *ctx)
{
    float a[9] = {1, 2, 3, 2, 4, NAN, 3, 5, 6};
    altmin_status st = {0};
    a[5] = NAN; /* row 2, column 1: below the diagonal */
    const am_mat mat = take(ctx, 3, 3, a), values = take(ctx, 3, 1, NULL);
    am_label(ctx, "layer 1, whitening");
    am_eigh(ctx, values, mat, mat);
    assert_int_equal(am_ctx_status(ctx, &st), ALTMIN_ERR_NUMERIC);
    if (!strstr(st.message, "3 x 3 matrix holds numbers that are not finite") ||
        !strstr(st.message, "layer 1, whitening"))
        fail_msg("%s", st.message);
}
static void not_finite(void **state)
{
    (void)state;
    on_every_backend(check_not_finite);
}

static void check_shapes(am_ctx *ctx)
{
    altmin_status st = {0};
    am_orthonormalise(ctx, take(ctx, 3, 4, NULL)); /* more columns than rows */
    assert_int_equal(am_ctx_status(ctx, &st), ALTMIN_ERR_INTERNAL);
    assert_non_null(strstr(st.message, "orthonormalise"));
}
static void too_many_columns(void **state)
{
    (void)state;
    on_every_backend(check_shapes);
}

/* ---------------------------------------------------------------------------------------------- bases */

#define ROWS 40
#define COLS 6

/* Columns 1 and 3 repeat what came before, 2 is zero, 4 holds a NaN, 5 an infinity: all are replaced, by the unit vectors
 * that the contract names, and the rest stays what Gram-Schmidt makes of it. */
static void check_broken(am_ctx *ctx)
{
    float v[ROWS * COLS], q[ROWS * COLS];
    for (int i = 0; i < ROWS; i++) {
        v[i] = (float)cos(i);
        v[i + ROWS] = -3.0f * v[i];
        v[i + 2 * ROWS] = 0.0f;
        v[i + 3 * ROWS] = v[i] * (1.0f + 1e-9f);
        v[i + 4 * ROWS] = i == 7 ? NAN : 1.0f;
        v[i + 5 * ROWS] = i == 9 ? INFINITY : (float)i;
    }
    const am_mat mat = take(ctx, ROWS, COLS, v);
    am_orthonormalise(ctx, mat);
    fetch(ctx, q, mat);
    assert_true(gap(q, ROWS, COLS) <= 2.0 * eps * sqrt(COLS));
    double norm = 0.0;
    for (int i = 0; i < ROWS; i++) norm += (double)v[i] * (double)v[i];
    for (int i = 0; i < ROWS; i++) assert_true(fabs((double)q[i] - (double)v[i] / sqrt(norm)) <= eps);
    /* cos leaves most of every unit vector outside its span: e_1, e_2, .. in the columns of those numbers */
    for (int j = 1; j < COLS; j++) assert_true((double)q[j + j * ROWS] > 0.8);
}
static void broken_columns(void **state)
{
    (void)state;
    on_every_backend(check_broken);
}

/* e_0 is taken: the replacement of column 1 must look past e_1 when that is taken too, and a full basis needs every turn. */
static void check_full(am_ctx *ctx)
{
    enum { N = 5 };
    float v[N * N] = {0}, q[N * N];
    v[1] = 2.0f; /* column 0 is along e_1; the others are zero */
    const am_mat mat = take(ctx, N, N, v);
    am_orthonormalise(ctx, mat);
    fetch(ctx, q, mat);
    assert_true(gap(q, N, N) <= 2.0 * eps * sqrt(N));
    const int unit[N] = {1, 2, 3, 4, 0}; /* column 1 cannot have e_1, column 2 not e_2, .. */
    for (int j = 0; j < N; j++) assert_true(q[unit[j] + j * N] == 1.0f);
}
static void full_basis(void **state)
{
    (void)state;
    on_every_backend(check_full);
}

/* ---------------------------------------------------------------------------------------------- bytes */

static void check_bytes(am_ctx *ctx)
{
    enum { R = 37, N = 11, M = 9 };
    uint8_t host[R * N];
    float shift[R], factor[R], a[R * M], b[R * M];
    const int32_t index[M] = {10, 0, 3, 3, 9, 1, 8, 2, 5};
    for (int i = 0; i < R * N; i++) host[i] = (uint8_t)(i * 97 + i / 5);
    for (int i = 0; i < R; i++) shift[i] = 0.37f * (float)i, factor[i] = 1.0f / (3.0f + (float)i);
    const am_mat s = take(ctx, R, 1, shift), f = take(ctx, R, 1, factor), all = take(ctx, R, N, NULL),
                 dst = take(ctx, R, M, NULL), columns = take(ctx, M, 1, NULL),
                 bytes = take(ctx, R * N, 1, NULL);
    const int32_t *on_device = (const int32_t *)(const void *)columns.data;
    am_upload_bytes(ctx, columns.data, index, sizeof index);
    am_upload_bytes(ctx, bytes.data, host, sizeof host);
    am_upload_u8(ctx, all, host, s, f);
    for (int by_index = 0; by_index < 2; by_index++) {
        am_gather_columns_u8(ctx, dst, (const uint8_t *)bytes.data, by_index ? on_device : NULL, s, f);
        fetch(ctx, a, dst);
        if (by_index)
            am_gather_columns(ctx, dst, all, on_device);
        else
            am_copy(ctx, dst, am_mat_cols(all, 0, M));
        fetch(ctx, b, dst);
        assert_memory_equal(a, b, sizeof a);
    }
}
static void bytes_as_floats(void **state)
{
    (void)state;
    on_every_backend(check_bytes);
}

/* ---------------------------------------------------------------------------------------------- thinning */

/* Over many draws column j is kept with probability p_j, which makes the mean of what is left the column itself. Standard
 * errors are sqrt(p (1 - p)/n): a deviation of five is one case in a million. */
static void check_unbiased(am_ctx *ctx)
{
    enum { R = 3, M = 6, N = 4000 };
    const double bt = 0.3, size[M] = {0.0, 0.001, 0.06, 0.3, 0.54, 5.0};
    float r[R * M];
    int32_t index[M];
    double kept[M] = {0}, sum[M] = {0};
    for (int e = 0; e < R * M; e++) r[e] = (float)((e % 2 ? -1.0 : 1.0) * size[e / R] / R);
    const am_mat mat = take(ctx, R, M, NULL), list = take(ctx, M, 1, NULL);
    const am_slot s = am_slots_new(ctx, 3);
    altmin_status st = {0};
    am_slot_set(ctx, s, bt);
    for (int step = 0; step < N; step++) {
        float left[R * M];
        double count = -1.0;
        am_upload(ctx, mat, r);
        am_slot_set(ctx, s + 1, step);
        am_thin(ctx, (int32_t *)(void *)list.data, s + 2, mat, s, 7, s + 1);
        fetch(ctx, left, mat);
        fetch(ctx, (float *)(void *)index, list);
        if (am_slots_read(ctx, s + 2, 1, &count, &st)) fail_msg("%s", st.message);
        for (int k = 0; k < M; k++) {
            assert_int_equal(index[k] < 0, k >= (int)count);
            if (index[k] < 0) continue;
            assert_true(k == 0 || index[k] > index[k - 1]);
            kept[index[k]] += 1.0 / N;
            sum[index[k]] += fabs((double)left[index[k] * R]) * R / N;
        }
    }
    for (int j = 0; j < M; j++) {
        const double p = fmin(fmax(size[j] / (2.0 * bt), 0.02), 1.0), error = 5.0 * sqrt(p * (1.0 - p) / N);
        if (!(fabs(kept[j] - p) <= error + 1e-9)) fail_msg("column %d: kept %g, p %g", j, kept[j], p);
        assert_true(fabs(sum[j] - size[j]) <= (error / p + 1e-6) * size[j]);
    }
}
static void unbiased(void **state)
{
    (void)state;
    on_every_backend(check_unbiased);
}

/* A column that is not finite is kept as it is, b = 0 keeps all, and no column is a count of 0. */
static void check_kept(am_ctx *ctx)
{
    const float r[6] = {1e-9f, NAN, INFINITY, 1.0f, 0.0f, 0.0f};
    float left[6];
    double count[2];
    int32_t index[3];
    const am_mat mat = take(ctx, 2, 3, r), list = take(ctx, 3, 1, NULL);
    const am_slot s = am_slots_new(ctx, 4);
    altmin_status st = {0};
    const double start[4] = {0.0, 12.0, -1.0, -1.0};
    am_slots_write(ctx, s, 4, start);
    am_thin(ctx, (int32_t *)(void *)list.data, s + 2, mat, s, 1, s + 1);
    am_thin(ctx, NULL, s + 3, (am_mat){NULL, 2, 0}, s, 1, s + 1);
    fetch(ctx, left, mat);
    fetch(ctx, (float *)(void *)index, list);
    if (am_slots_read(ctx, s + 2, 2, count, &st)) fail_msg("%s", st.message);
    assert_true(count[0] == 3.0 && count[1] == 0.0);
    assert_true(index[0] == 0 && index[1] == 1 && index[2] == 2);
    assert_memory_equal(left, r, sizeof r);
}
static void kept_as_they_are(void **state)
{
    (void)state;
    on_every_backend(check_kept);
}

/* ---------------------------------------------------------------------------------------------- under way */

/* Two buffers in turn, each filled again as soon as the rules allow: every sum is that of its own piece. */
static void check_stages(am_ctx *ctx)
{
    enum { N = 3000, PIECES = 9 };
    void *pinned[2];
    altmin_status st = {0};
    const am_mat stage[2] = {take(ctx, 3, N / 3, NULL), take(ctx, 3, N / 3, NULL)},
                 sums = take(ctx, 3, PIECES, NULL);
    float got[3 * PIECES];
    for (int b = 0; b < 2; b++)
        if (am_pinned_take(ctx, &pinned[b], N * sizeof(float), &st)) fail_msg("%s", st.message);
    for (int i = 0; i <= PIECES; i++) { /* piece i sets out, piece i - 1 is worked on */
        const int b = i % 2;
        if (i < PIECES) {
            am_stage_wait(ctx, b);
            for (int e = 0; e < N; e++) ((float *)pinned[b])[e] = (float)(i + 1);
            am_stage_send(ctx, b, stage[b].data, pinned[b], N * sizeof(float));
        }
        if (i == 0) continue;
        am_stage_arrive(ctx, !b);
        am_row_sum(ctx, am_mat_cols(sums, (size_t)i - 1, 1), stage[!b]);
        am_stage_free(ctx, !b);
    }
    fetch(ctx, got, sums);
    for (int e = 0; e < 3 * PIECES; e++) assert_true(got[e] == (float)(N / 3 * (e / 3 + 1)));
    am_pinned_release(ctx, pinned[0]); /* the other with the context */
}
static void buffers_under_way(void **state)
{
    (void)state;
    on_every_backend(check_stages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_eigenvalues), cmocka_unit_test(lower_triangle),
        cmocka_unit_test(not_finite),        cmocka_unit_test(too_many_columns),
        cmocka_unit_test(broken_columns),    cmocka_unit_test(full_basis),
        cmocka_unit_test(bytes_as_floats),   cmocka_unit_test(unbiased),
        cmocka_unit_test(kept_as_they_are),  cmocka_unit_test(buffers_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
