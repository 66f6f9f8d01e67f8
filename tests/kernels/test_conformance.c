/* Every op of every backend against ref: shapes from empty to long and thin, operands between sentinels and
 * at odd addresses, aliased outputs, dropped sums, NaN in every input. Each case runs twice on one thread and
 * once on more; all three must give the same bits. One test per kind of case.
 *
 * test_conformance [--backend NAME] [--largest N]: one backend alone, e.g. cuda on an emulated device; no shapes of more
 * than N elements, where they only repeat what smaller ones show. */
#include "compare.h"
#include "lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---------------------------------------------------------------------------------------------------- shapes
 */

typedef struct shape {
    size_t m, n, k;
} shape;

static const shape product_shapes[] = {
    {0, 5, 3},       {5, 0, 3},       {5, 3, 0},      {1, 1, 1},      {1, 7, 5},       {7, 1, 5},
    {5, 7, 1},       {2, 3, 4},       {17, 31, 13},   {64, 64, 64},   {65, 33, 129},   {10, 1009, 101},
    {101, 10, 1009}, {13, 17, 20011}, {50, 70, 1433}, {300, 700, 20}, {1030, 1100, 3}, {130, 1999, 33},
};
static const shape gram_shapes[] = {
    {0, 0, 5},   {5, 0, 0},     {1, 0, 1},      {1, 0, 9},     {7, 0, 5},     {17, 0, 200},
    {64, 0, 64}, {100, 0, 140}, {17, 0, 20011}, {66, 0, 3001}, {1030, 0, 11},
};
static const shape sparse_shapes[] = {
    {0, 5, 3},    {5, 0, 3},        {5, 3, 0},      {1, 1, 1},     {3, 7, 5},
    {64, 65, 66}, {100, 140, 1433}, {130, 31, 517}, {1, 2000, 99},
};
static const shape definite_shapes[] = {
    {0, 3, 0},   {3, 0, 0},   {1, 1, 0},  {2, 5, 0},     {3, 64, 0},
    {16, 65, 0}, {33, 17, 0}, {64, 1, 0}, {127, 130, 0},
};
static const shape basis_shapes[] = {
    {0, 0, 0},   {5, 0, 0},   {1, 1, 0},   {2, 1, 0},    {2, 2, 0},    {7, 3, 0},
    {16, 16, 0}, {33, 17, 0}, {64, 64, 0}, {785, 16, 0}, {785, 33, 0}, {2049, 5, 0},
};
static const shape element_shapes[] = {
    {0, 0, 0},     {0, 3, 0},     {3, 0, 0},     {1, 1, 0},     {1, 1000, 0}, {1000, 1, 0},
    {7, 13, 0},    {10, 257, 0},  {31, 33, 0},   {64, 64, 0},   {513, 3, 0},  {2, 9001, 0},
    {10, 7001, 0}, {300, 251, 0}, {7165, 13, 0}, {1, 70001, 0},
};
static const shape column_shapes[] = {
    {1, 1, 0},  {1, 9, 0},     {2, 1, 0},   {2, 101, 0},  {3, 7, 0},
    {10, 1, 0}, {10, 3001, 0}, {17, 64, 0}, {100, 33, 0}, {1000, 3, 0},
};

#define LIST(shapes) ((shape_list){shapes, sizeof(shapes) / sizeof *(shapes)})
typedef struct shape_list {
    const shape *shape;
    size_t n;
} shape_list;

static shape_list shapes_of(am_op op)
{
    switch (op) {
    case AM_OP_GEMM: return LIST(product_shapes);
    case AM_OP_GRAM: return LIST(gram_shapes);
    case AM_OP_SPARSE: return LIST(sparse_shapes);
    case AM_OP_CHOLESKY:
    case AM_OP_EIGH:
    case AM_OP_SOLVE: return LIST(definite_shapes);
    case AM_OP_BASIS: return LIST(basis_shapes);
    case AM_OP_THIN:
    case AM_OP_SOFTMAX:
    case AM_OP_PROX: return LIST(column_shapes);
    default: return LIST(element_shapes);
    }
}

/* Options take turns, so that every option meets many shapes and every shape many options. */
static am_case with_options(am_case c, shape s, size_t turn)
{
    static const float alphas[] = {1.0f, -0.5f, 1.0f, 2.0f}, betas[] = {0.0f, 1.0f, 0.0f, -0.75f};
    static const double rhos[] = {1.0, 1e-3, 30.0}, densities[] = {0.1, 0.0, 0.9};
    c.m = s.m, c.n = s.n, c.k = s.k;
    c.seed = 1000 + turn;
    if (c.op == AM_OP_GEMM || (c.op == AM_OP_SPARSE && !c.variant)) {
        c.alpha = alphas[turn % 4], c.beta = betas[turn % 4];
        if (c.k == 0 && c.beta != 0.0f) c.beta = 1.0f;
    }
    c.rho = rhos[turn % 3], c.density = densities[turn % 3];
    c.misalign = turn % 2;
    c.row_sum = (turn / 2) % 2;
    const int residual = c.op == AM_OP_SOFTMAX && c.variant;
    const int may_alias = (c.op == AM_OP_MAP && am_map_signature_of(c.map)->n_out) || c.op == AM_OP_EIGH;
    c.alias = (may_alias || residual) && turn % 3 == 1;
    c.no_index = turn % 4 == 3;
    c.no_sums = (c.op == AM_OP_MAP || c.op == AM_OP_PROX || residual) && turn % 7 == 6;
    if (residual) c.alpha = alphas[turn % 4];
    return c;
}

/* ----------------------------------------------------------------------------------------------------
 * running */

typedef struct unit {
    char name[96];
    am_backend_kind backend;
    am_case kind;
} unit;

static am_ctx *open_backend(am_backend_kind kind, size_t n_threads, am_gram_rule gram)
{
    am_ctx *ctx = NULL;
    altmin_status st = {0};
    const am_open_options opt = {.n_threads = n_threads, .gram = gram, .precision = AM_PRECISION_FP32};
    if (am_backend_open(&ctx, kind, &opt, &st)) fail_msg("%s", st.message);
    return ctx;
}

static am_rig open_rig(am_ctx *ctx, const am_case *c)
{
    am_rig rig;
    altmin_status st = {0};
    if (am_rig_open(&rig, ctx, c, &st)) fail_msg("%s", st.message);
    return rig;
}

/* S^-1 S = I with S = A/2 + I/8, the matrix that the case factors. */
static void check_factor(am_rig *rig)
{
    const size_t d = rig->run.m, len = d * d;
    altmin_status st = {0};
    void *memory = NULL;
    float *s = malloc((len + 1) * sizeof *s);
    assert_non_null(s);
    assert_int_equal(am_memory_take(rig->ctx, &memory, len * sizeof *s, &st), ALTMIN_OK);
    for (size_t e = 0; e < len; e++)
        s[e] = 0.5f * rig->operand[0].initial[rig->operand[0].first + e] + (e % (d + 1) == 0 ? 0.125f : 0.0f);
    const am_mat mat = {memory, d, d};
    am_upload(rig->ctx, mat, s);
    am_solve_right(rig->ctx, mat, rig->operand[1].mat);
    assert_int_equal(am_download(rig->ctx, s, mat, &st), ALTMIN_OK);
    /* S has a condition number below 16: each row of the solution is known to 16 eps times its length. */
    for (size_t e = 0; e < len; e++)
        assert_true(fabs((double)s[e] - (e % (d + 1) == 0 ? 1.0 : 0.0)) <= 16.0 * 0x1p-23 * (double)d);
    am_memory_release(rig->ctx, memory, len * sizeof *s);
    free(s);
}

/* Contexts a kind of case runs in. ref is its own measure and has one thread: there all three are one. */
typedef struct contexts {
    am_ctx *ref, *one, *many;
} contexts;

static void poison_each_input(const am_case *c, const contexts *in)
{
    size_t n_operands = 1;
    for (size_t i = 0; i < n_operands; i++) {
        am_rig rig = open_rig(in->one, c), ref_rig = open_rig(in->ref, c);
        n_operands = rig.n_operands;
        am_operand *o = &rig.operand[i];
        const size_t len = am_mat_len(o->mat), at = o->first + (len ? (len - 1) / 2 : 0);
        /* Outputs that are not read first stay sentinels. */
        if (len && !isnan(o->initial[at])) {
            am_result got, ref;
            o->initial[at] = ref_rig.operand[i].initial[at] = NAN;
            am_result_take(&rig, &got);
            am_result_take(&ref_rig, &ref);
            am_expect_same_nan(&rig, &got, &ref);
            am_result_free(&got);
            am_result_free(&ref);
        }
        am_rig_close(&rig);
        am_rig_close(&ref_rig);
    }
}

/* Ops whose meaning with NaN is settled element by element (a factorization reports an error instead). */
static int takes_nan(const am_case *c)
{
    return c->op == AM_OP_MAP || c->op == AM_OP_GEMM || c->op == AM_OP_GRAM || c->op == AM_OP_ROW_SUM ||
           c->op == AM_OP_COPY || c->op == AM_OP_NORM;
}

static void check_case(const am_case *c, const contexts *in)
{
    am_rig rig = open_rig(in->one, c);
    am_result first, second;
    am_result_take(&rig, &first);
    am_expect_contained(&rig, &first);
    am_result_take(&rig, &second);
    am_expect_same_bits(&rig, &first, &second, "from run to run");
    if (in->one == in->ref)
        am_expect_close(&rig, &second, &first);
    else {
        am_rig ref_rig = open_rig(in->ref, c), rig_many = open_rig(in->many, c);
        am_result ref, many;
        am_result_take(&ref_rig, &ref);
        am_result_take(&rig_many, &many);
        am_expect_close(&rig, &first, &ref);
        am_expect_same_bits(&rig, &first, &many, "with more threads");
        am_result_free(&ref);
        am_result_free(&many);
        am_rig_close(&ref_rig);
        am_rig_close(&rig_many);
    }
    if (c->op == AM_OP_CHOLESKY && c->m) check_factor(&rig);
    am_result_free(&first);
    am_result_free(&second);
    am_rig_close(&rig);
}

static size_t largest = SIZE_MAX; /* --largest */

static void run_kind(const unit *u, am_gram_rule gram)
{
    const int is_ref = u->backend == AM_BACKEND_REF;
    am_ctx *ref = open_backend(AM_BACKEND_REF, 1, gram);
    const contexts in = {ref, is_ref ? ref : open_backend(u->backend, 1, gram),
                         is_ref ? ref : open_backend(u->backend, 2, gram)};
    const shape_list shapes = shapes_of(u->kind.op);
    const size_t first_turn = (size_t)u->kind.map + (size_t)u->kind.act;
    for (size_t i = 0; i < shapes.n; i++)
        for (size_t turn = 0; turn < 2 && shapes.shape[i].m * shapes.shape[i].n <= largest; turn++) {
            const am_case c = with_options(u->kind, shapes.shape[i], first_turn + i + turn * 5);
            check_case(&c, &in);
        }
    if (takes_nan(&u->kind)) {
        const am_case c = with_options(u->kind, (shape){19, 37, 23}, 2);
        poison_each_input(&c, &in);
    }
    if (!is_ref) am_backend_close(in.one);
    if (!is_ref) am_backend_close(in.many);
    am_backend_close(ref);
}

static void test_kind(void **state)
{
    const unit *u = *state;
    run_kind(u, AM_GRAM_SYRK);
    if (u->kind.op == AM_OP_GRAM) run_kind(u, AM_GRAM_GEMM);
}

/* ----------------------------------------------------------------------------------------------------
 * scalars */

static void add_one(am_ctx *ctx, void *arg)
{
    const am_slot *slot = arg;
    const am_slot in[2] = {slot[0], slot[1]};
    am_scalar(ctx, slot[0], AM_SCALAR_ADD, in);
}

/* Every scalar formula against its evaluation on the host, with the result in a slot of its own and over an
 * input. */
static void test_scalars(void **state)
{
    const unit *u = *state;
    am_ctx *ctx = open_backend(u->backend, 1, AM_GRAM_SYRK);
    altmin_status st = {0};
    const am_slot s = am_slots_new(ctx, 2 * AM_SCALAR_MAX_IN);
    for (int id = 0; id < AM_N_SCALARS; id++)
        for (int trial = 0; trial < 20; trial++) {
            double x[AM_SCALAR_MAX_IN], out[AM_SCALAR_MAX_IN + 1];
            am_slot in[AM_SCALAR_MAX_IN];
            for (int i = 0; i < AM_SCALAR_MAX_IN; i++) {
                x[i] = trial == 0 ? 0.0 : (double)((7 * trial + 5 * i) % 11) - 3.0 + 0.125 * i;
                in[i] = s + i;
            }
            const double expected = am_scalar_eval((am_scalar_id)id, x);
            am_slots_write(ctx, s, AM_SCALAR_MAX_IN, x);
            am_scalar(ctx, s + AM_SCALAR_MAX_IN, (am_scalar_id)id, in);
            am_scalar(ctx, s, (am_scalar_id)id, in);
            assert_int_equal(am_slots_read(ctx, s, AM_SCALAR_MAX_IN + 1, out, &st), ALTMIN_OK);
            const double tolerance = 1e-14 * fabs(expected);
            if (isnan(expected))
                assert_true(isnan(out[0]) && isnan(out[AM_SCALAR_MAX_IN]));
            else
                assert_true(out[0] == expected || fabs(out[0] - expected) <= tolerance);
            assert_true(memcmp(&out[0], &out[AM_SCALAR_MAX_IN], sizeof *out) == 0);
        }
    am_backend_close(ctx);
}

static void test_branch(void **state)
{
    const unit *u = *state;
    am_ctx *ctx = open_backend(u->backend, 1, AM_GRAM_SYRK);
    altmin_status st = {0};
    am_slot s[3];
    s[0] = am_slots_new(ctx, 3), s[1] = s[0] + 1, s[2] = s[0] + 2;
    const double start[3] = {5.0, 1.0, 0.0}, conditions[] = {0.0, 1.0, -2.5, 0.0, 1e-300};
    am_slots_write(ctx, s[0], 3, start);
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        am_slot_set(ctx, s[2], conditions[i]);
        am_branch(ctx, s[2], add_one, s);
    }
    double out = 0.0;
    assert_int_equal(am_slots_read(ctx, s[0], 1, &out, &st), ALTMIN_OK);
    assert_true(out == 8.0);
    am_backend_close(ctx);
}

static void test_norm_of_zero(void **state)
{
    const unit *u = *state;
    am_ctx *ctx = open_backend(u->backend, 1, AM_GRAM_SYRK);
    altmin_status st = {0};
    void *memory = NULL;
    assert_int_equal(am_memory_take(ctx, &memory, 64 * sizeof(float), &st), ALTMIN_OK);
    const am_mat w = {memory, 5, 7}, v = {(float *)memory + 36, 7, 1}, y = {(float *)memory + 48, 5, 1};
    const am_slot s = am_slots_new(ctx, 1);
    am_fill(ctx, w, 0.0f);
    am_fill(ctx, v, 1.0f);
    am_norm2(ctx, s, w, v, y, 3);
    double lambda = -1.0;
    float vector[7];
    assert_int_equal(am_slots_read(ctx, s, 1, &lambda, &st), ALTMIN_OK);
    assert_int_equal(am_download(ctx, vector, v, &st), ALTMIN_OK);
    assert_true(lambda == 0.0);
    for (int i = 0; i < 7; i++)
        assert_true(fabs((double)vector[i] - 1.0 / sqrt(7.0)) < 1e-6); /* still a start */
    am_memory_release(ctx, memory, 64 * sizeof(float));
    am_backend_close(ctx);
}

/* ---------------------------------------------------------------------------------------------------- main
 */

static void test_lanes(void **state)
{
    am_expect_lanes_like_turns(((const unit *)*state)->backend);
}
static void test_lowest_error(void **state)
{
    am_expect_lowest_error(((const unit *)*state)->backend);
}
static void test_odd_lanes(void **state)
{
    am_expect_odd_lanes(((const unit *)*state)->backend);
}

typedef struct extra_test {
    const char *name;
    CMUnitTestFunction function;
} extra_test;
static const extra_test extra[] = {
    {"scalars", test_scalars},
    {"branch", test_branch},
    {"norm2 of zero", test_norm_of_zero},
    {"lanes give the bits of turns", test_lanes},
    {"lanes keep the lowest error", test_lowest_error},
    {"lanes of none, of one, inside a task", test_odd_lanes},
};
#define N_EXTRA (sizeof extra / sizeof *extra)

typedef struct backend_name {
    const char *name;
    am_backend_kind kind;
} backend_name;
static const backend_name backends[] = {
    {"ref", AM_BACKEND_REF}, {"cpu", AM_BACKEND_CPU}, {"cuda", AM_BACKEND_CUDA}};
#define N_BACKENDS (sizeof backends / sizeof *backends)

static void add_unit(struct CMUnitTest *test, unit *u, const char *backend, const char *what,
                     CMUnitTestFunction function)
{
    snprintf(u->name, sizeof u->name, "%s: %s", backend, what);
    *test = (struct CMUnitTest){u->name, function, NULL, NULL, u};
}

static int run_backend(const backend_name *b, const char *filter)
{
    const size_t n_kinds = am_n_case_kinds(), n = n_kinds + N_EXTRA;
    struct CMUnitTest *test = calloc(n, sizeof *test);
    unit *units = calloc(n, sizeof *units);
    if (!test || !units) return 1;
    if (filter) cmocka_set_test_filter(filter);
    for (size_t i = 0; i < n; i++) units[i].backend = b->kind;
    for (size_t i = 0; i < n_kinds; i++) {
        units[i].kind = am_case_kind(i);
        add_unit(&test[i], &units[i], b->name, units[i].kind.name, test_kind);
    }
    for (size_t i = 0; i < N_EXTRA; i++)
        add_unit(&test[n_kinds + i], &units[n_kinds + i], b->name, extra[i].name, extra[i].function);
    const int n_failed = _cmocka_run_group_tests(b->name, test, n, NULL, NULL);
    free(test);
    free(units);
    return n_failed;
}

int main(int argc, char **argv)
{
    const char *only = NULL, *filter = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--backend") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc)
            filter = argv[++i];
        else if (strcmp(argv[i], "--largest") == 0 && i + 1 < argc)
            largest = strtoull(argv[++i], NULL, 10);
        else {
            fprintf(stderr, "usage: %s [--backend ref|cpu|cuda] [--filter PATTERN] [--largest N]\n", argv[0]);
            return 2;
        }
    }
    int n_failed = 0, n_run = 0;
    for (size_t i = 0; i < N_BACKENDS; i++) {
        if (only && strcmp(only, backends[i].name) != 0) continue;
        const char *missing = am_backend_missing(backends[i].kind);
        if (missing) {
            printf("SKIP backend %s: %s\n", backends[i].name, missing);
            if (only) return 1; /* asked for by name: not there is a failure */
            continue;
        }
        n_failed += run_backend(&backends[i], filter);
        n_run++;
    }
    if (!n_run) fprintf(stderr, "there is no backend %s\n", only ? only : "at all");
    return n_failed || !n_run;
}
