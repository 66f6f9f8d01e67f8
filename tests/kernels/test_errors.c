/* The seam's own promises, on every backend that can be opened: sticky errors that say where, shapes refused before they
 * do harm, a Cholesky factorization that helps itself and then gives up, memory that is not there. */
#include "kernels/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static am_ctx *open_backend(am_backend_kind kind)
{
    am_ctx *ctx = NULL;
    altmin_status st = {0};
    const am_open_options opt = {.n_threads = 1, .gram = AM_GRAM_SYRK};
    if (am_backend_open(&ctx, kind, &opt, &st)) fail_msg("%s", st.message);
    return ctx;
}

static am_mat take(am_ctx *ctx, size_t rows, size_t cols, const float *values)
{
    void *memory = NULL;
    altmin_status st = {0};
    assert_int_equal(am_memory_take(ctx, &memory, rows * cols * sizeof(float), &st), ALTMIN_OK);
    const am_mat m = {memory, rows, cols};
    if (values)
        am_upload(ctx, m, values);
    else
        am_fill(ctx, m, 0.0f);
    return m;
}

static void release(am_ctx *ctx, am_mat m)
{
    am_memory_release(ctx, m.data, am_mat_len(m) * sizeof(float));
}

/* A context for each backend in turn. */
typedef void check_fn(am_ctx *ctx);
static void on_every_backend(check_fn *check)
{
    static const am_backend_kind kinds[] = {AM_BACKEND_REF, AM_BACKEND_CPU, AM_BACKEND_CUDA};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (am_backend_missing(kinds[i])) continue;
        am_ctx *ctx = open_backend(kinds[i]);
        check(ctx);
        am_backend_close(ctx);
    }
}

static void expect_error(const am_ctx *ctx, altmin_error code, const char *part)
{
    altmin_status st = {0};
    assert_int_equal(am_ctx_status(ctx, &st), code);
    if (!strstr(st.message, part)) fail_msg("'%s' does not say '%s'", st.message, part);
    if (!strstr(st.message, ctx->ops->name)) fail_msg("'%s' does not name the backend", st.message);
}

/* ---------------------------------------------------------------------------------------- shapes */

static void mark(void *arg)
{
    *(int *)arg = 1;
}

static void check_first_error_stays(am_ctx *ctx)
{
    const float one[4] = {1, 2, 3, 4};
    float back[4] = {0};
    altmin_status st = {0};
    const am_mat a = take(ctx, 2, 2, one), b = take(ctx, 3, 1, NULL);
    const am_slot s = am_slots_new(ctx, 1);
    am_slot_set(ctx, s, 5.0);
    am_label(ctx, "layer %d, block %s", 3, "W");
    am_gemm(ctx, a, 1.0f, a, 0, b, 0, 0.0f);
    expect_error(ctx, ALTMIN_ERR_INTERNAL, "gemm");
    expect_error(ctx, ALTMIN_ERR_INTERNAL, "layer 3, block W");
    expect_error(ctx, ALTMIN_ERR_INTERNAL, "3 x 1");
    /* Later ops do nothing and later failures change nothing. */
    am_label(ctx, "elsewhere");
    am_fill(ctx, a, 9.0f);
    am_copy(ctx, a, b);
    am_slot_set(ctx, s, 7.0);
    expect_error(ctx, ALTMIN_ERR_INTERNAL, "gemm");
    double value = -1.0;
    assert_int_equal(am_slots_read(ctx, s, 1, &value, &st), ALTMIN_ERR_INTERNAL);
    assert_int_equal(am_download(ctx, back, a, &st), ALTMIN_ERR_INTERNAL);
    assert_true(value == -1.0 && back[0] == 0.0f);
    int issued = 0;
    am_sweep(ctx, 1, mark, &issued);
    assert_int_equal(issued, 0);
    release(ctx, a);
    release(ctx, b);
}
static void test_first_error_stays(void **state)
{
    (void)state;
    on_every_backend(check_first_error_stays);
}

/* Calls that break a promise about shapes; each must be refused under its own name. */
#define N_WRONG 16
static const char *wrong_call(am_ctx *ctx, int i, am_mat m23, am_mat m32, am_mat m22, am_mat v2, am_mat v3,
                              am_slot s)
{
    static const size_t start[4] = {0};
    const am_csc x = {start, NULL, NULL, 3, 3};
    const am_slot sums[3] = {AM_NO_SLOT, AM_NO_SLOT, AM_NO_SLOT};
    am_map_args args = {.in = {m23, m23}, .out = {m23}, .coef = {s, s}, .max = AM_NO_SLOT};
    switch (i) {
    case 0: am_copy(ctx, m23, m32); return "copy";
    case 1: am_gemm(ctx, m22, 1.0f, m23, 0, m23, 0, 0.0f); return "gemm";
    case 2: am_gemm(ctx, m22, 1.0f, m23, 1, m23, 0, 0.0f); return "gemm";
    case 3: am_gram(ctx, m22, m23, 1); return "gram";
    case 4: am_gram_sparse(ctx, m22, &x, 0); return "gram_sparse";
    case 5: am_spmm(ctx, m22, 1.0f, m23, &x, 0, 0.0f); return "spmm";
    case 6: am_cholesky(ctx, m22, m22, 1.0, 1.0); return "cholesky";
    case 7: am_solve_right(ctx, m22, m32); return "solve_right";
    case 8: am_norm2(ctx, s, m23, v2, v3, 2); return "norm2";
    case 9: args.in[1] = m32, am_map(ctx, AM_MAP_LINCOMB, 0, &args); return "lincomb";
    case 10: args.out[0] = m32, am_map(ctx, AM_MAP_LINCOMB, 0, &args); return "lincomb";
    case 11: args.row = v3, am_map(ctx, AM_MAP_ADD_ROW, 0, &args); return "add_row";
    case 12: args.row_sum = v3, am_map(ctx, AM_MAP_LINCOMB, 0, &args); return "lincomb";
    case 13: am_row_sum(ctx, v3, m23); return "row_sum";
    case 14: am_softmax_loss(ctx, s, s, m23, v3, NULL); return "softmax_loss";
    default: am_prox_softmax_columns(ctx, m23, m23, v3, NULL, s, sums, (am_mat){0}); return "prox_softmax";
    }
}

static void test_wrong_shapes(void **state)
{
    (void)state;
    static const am_backend_kind kinds[] = {AM_BACKEND_REF, AM_BACKEND_CPU, AM_BACKEND_CUDA};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int i = 0; i < N_WRONG && !am_backend_missing(kinds[k]); i++) {
            am_ctx *ctx = open_backend(kinds[k]);
            const am_mat m[] = {take(ctx, 2, 3, NULL), take(ctx, 3, 2, NULL), take(ctx, 2, 2, NULL),
                                take(ctx, 2, 1, NULL), take(ctx, 3, 1, NULL)};
            const char *op = wrong_call(ctx, i, m[0], m[1], m[2], m[3], m[4], am_slots_new(ctx, 1));
            expect_error(ctx, ALTMIN_ERR_INTERNAL, op);
            for (size_t j = 0; j < sizeof m / sizeof *m; j++) release(ctx, m[j]);
            am_backend_close(ctx);
        }
}

/* ---------------------------------------------------------------------------------------- cholesky */

/* A semidefinite matrix is factored after raising the ridge, which is counted; the sum of the raises is small. */
static void check_jitter(am_ctx *ctx)
{
    const float ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    float x[3] = {3, 3, 3};
    altmin_status st = {0};
    const am_mat a = take(ctx, 3, 3, ones), factor = take(ctx, 3, am_factor_cols(3), NULL),
                 b = take(ctx, 1, 3, x);
    am_cholesky(ctx, factor, a, 1.0, 0.0);
    am_solve_right(ctx, b, factor);
    assert_int_equal(am_download(ctx, x, b, &st), ALTMIN_OK);
    if (ctx->n_jitter == 0) fail_msg("%s factored a singular matrix without a ridge", ctx->ops->name);
    /* (3, 3, 3) lies in the range: x (1 1' + ridge I) = 3 gives 1 each, up to the ridge. */
    for (int i = 0; i < 3; i++) assert_true(fabs((double)x[i] - 1.0) < 1e-3);
    release(ctx, a);
    release(ctx, factor);
    release(ctx, b);
}
static void test_jitter(void **state)
{
    (void)state;
    on_every_backend(check_jitter);
}

static void check_refused(am_ctx *ctx, const float *a, const char *part)
{
    double slot = 0.0;
    altmin_status st = {0};
    const am_mat mat = take(ctx, 2, 2, a), factor = take(ctx, 2, am_factor_cols(2), NULL);
    const am_slot s = am_slots_new(ctx, 1);
    am_label(ctx, "layer 2, block W");
    am_cholesky(ctx, factor, mat, 1.0, 0.0);
    assert_int_equal(am_slots_read(ctx, s, 1, &slot, &st),
                     ALTMIN_ERR_NUMERIC); /* where a device's news arrive */
    expect_error(ctx, ALTMIN_ERR_NUMERIC, "2 x 2");
    expect_error(ctx, ALTMIN_ERR_NUMERIC, "layer 2, block W");
    expect_error(ctx, ALTMIN_ERR_NUMERIC, part);
    assert_true(ctx->n_jitter >= 6);
    release(ctx, mat);
    release(ctx, factor);
}

static void check_indefinite(am_ctx *ctx)
{
    const float indefinite[4] = {1, 3, 3, 1};
    check_refused(ctx, indefinite, "not positive definite");
}
static void check_not_finite(am_ctx *ctx)
{
    const float a[4] = {NAN, 0, 0, 1};
    check_refused(ctx, a, "not positive definite");
}
static void check_not_finite_below(am_ctx *ctx)
{
    const float a[4] = {1, INFINITY, INFINITY, 1};
    check_refused(ctx, a, "not positive definite");
}
static void test_not_definite(void **state)
{
    (void)state;
    on_every_backend(check_indefinite);
    on_every_backend(check_not_finite);
    on_every_backend(check_not_finite_below);
}

/* ---------------------------------------------------------------------------------------- memory, slots, life */

/* Asking for too much is what the test is about: the address sanitizer shall answer like malloc. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void check_out_of_memory(am_ctx *ctx)
{
    altmin_status st = {0};
    void *memory = &st;
    const size_t before = ctx->taken_bytes;
    assert_int_equal(am_memory_take(ctx, &memory, SIZE_MAX - 100, &st), ALTMIN_ERR_MEMORY);
    assert_null(memory);
    assert_non_null(strstr(st.message, ctx->ops->name));
    assert_non_null(strstr(st.message, "MiB"));
    st = (altmin_status){0};
    assert_int_equal(am_memory_take(ctx, &memory, SIZE_MAX / 2, &st), ALTMIN_ERR_MEMORY);
    assert_int_equal(ctx->taken_bytes, before);
    /* Asking is no failure of the context: it goes on. */
    st = (altmin_status){0};
    assert_int_equal(am_ctx_status(ctx, &st), ALTMIN_OK);
    assert_int_equal(am_memory_take(ctx, &memory, 1000, &st), ALTMIN_OK);
    assert_int_equal((uintptr_t)memory % 64, 0);
    assert_int_equal(ctx->taken_bytes, before + 1000);
    am_memory_release(ctx, memory, 1000);
    assert_int_equal(ctx->taken_bytes, before);
}
static void test_out_of_memory(void **state)
{
    (void)state;
    on_every_backend(check_out_of_memory);
}

static void check_slots(am_ctx *ctx)
{
    double value[3] = {-1, -1, -1};
    altmin_status st = {0};
    const am_slot first = am_slots_new(ctx, 3);
    assert_int_equal(am_slots_read(ctx, first, 3, value, &st), ALTMIN_OK);
    for (int i = 0; i < 3; i++) assert_true(value[i] == 0.0);
    assert_int_equal(am_slots_new(ctx, 1), first + 3);
    am_slots_new(ctx, AM_MAX_SLOTS);
    expect_error(ctx, ALTMIN_ERR_MEMORY, "slots");
}
static void test_slots(void **state)
{
    (void)state;
    on_every_backend(check_slots);
}

static void test_opening(void **state)
{
    (void)state;
    am_ctx *ctx = NULL;
    altmin_status st = {0};
    assert_null(am_backend_missing(AM_BACKEND_REF));
    assert_null(am_backend_missing(AM_BACKEND_CPU));
    assert_null(am_backend_missing(AM_BACKEND_AUTO));
    const char *missing = am_backend_missing(AM_BACKEND_CUDA);
    if (missing) { /* asked for by name, nothing falls back */
        assert_int_equal(am_backend_open(&ctx, AM_BACKEND_CUDA, NULL, &st), ALTMIN_ERR_BACKEND);
        assert_null(ctx);
        assert_non_null(strstr(st.message, missing));
    }
    st = (altmin_status){0};
    assert_int_equal(am_backend_open(&ctx, AM_BACKEND_AUTO, NULL, &st), ALTMIN_OK);
    if (missing) assert_string_equal(ctx->ops->name, "cpu");
    am_backend_close(ctx);
    am_backend_close(NULL);
}

/* The choice of Gram product can be made by hand, and is said. */
static void test_gram_rule(void **state)
{
    (void)state;
    static const am_gram_rule rules[] = {AM_GRAM_SYRK, AM_GRAM_GEMM, AM_GRAM_AUTO};
    static const char *const said[] = {"gram by syrk", "gram by gemm", "gram by"};
    for (int i = 0; i < 3; i++) {
        am_ctx *ctx = NULL;
        altmin_status st = {0};
        const am_open_options opt = {.n_threads = 2, .gram = rules[i]};
        assert_int_equal(am_backend_open(&ctx, AM_BACKEND_CPU, &opt, &st), ALTMIN_OK);
        assert_int_equal(ctx->n_threads, 2);
        assert_non_null(strstr(ctx->detail, said[i]));
        am_backend_close(ctx);
    }
}

static void check_profile(am_ctx *ctx)
{
    const am_mat a = take(ctx, 4, 5, NULL), b = take(ctx, 5, 6, NULL), c = take(ctx, 4, 6, NULL);
    am_profile_reset(ctx);
    for (int i = 0; i < 3; i++) am_gemm(ctx, c, 1.0f, a, 0, b, 0, 0.0f);
    am_gram(ctx, (am_mat){c.data, 4, 4}, a, 0);
    assert_int_equal(ctx->stat[AM_OP_GEMM].n_calls, 3);
    assert_true(ctx->stat[AM_OP_GEMM].flops == 3.0 * 2.0 * 4 * 5 * 6);
    assert_true(ctx->stat[AM_OP_GEMM].n_bytes == 3.0 * 4.0 * (20 + 30 + 24));
    assert_true(ctx->stat[AM_OP_GRAM].flops == 4.0 * 5.0 * 5.0);
    assert_int_equal(ctx->n_products, 2);
    assert_int_equal(ctx->product[0].n_calls, 3);
    assert_true(ctx->product[0].m == 4 && ctx->product[0].n == 6 && ctx->product[0].k == 5);
    am_profile_reset(ctx);
    assert_int_equal(ctx->n_products, 0);
    assert_int_equal(ctx->stat[AM_OP_GEMM].n_calls, 0);
    release(ctx, a);
    release(ctx, b);
    release(ctx, c);
}
static void test_profile(void **state)
{
    (void)state;
    on_every_backend(check_profile);
    for (int op = 0; op < AM_N_OPS; op++) assert_true(strlen(am_op_name((am_op)op)) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_error_stays),
        cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_not_definite),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_gram_rule),
        cmocka_unit_test(test_profile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
