/* Tasks of am_lanes are small systems of different sizes, one per task, with everything a layer does to its own: products,
 * factorization, solve, sums, a decision. The same tasks run in turn on one context and side by side on another. */
#include "lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { n_tasks = 9, slots_each = 8, most = 64 * 40 };

/* What task i owns: d x d systems with d from 3 to 59. */
typedef struct small_system {
    am_mat x, gram, factor, w, v, u;
    am_slot slot; /* slots_each: |w|^2, lambda, 1, a condition, a count */
} small_system;

typedef struct world {
    am_ctx *ctx;
    float *memory;
    small_system task[n_tasks];
    double ridge[n_tasks]; /* a negative one cannot be factored */
    int in_turn;
} world;

static am_mat carve(float **at, size_t rows, size_t cols)
{
    const am_mat m = {*at, rows, cols};
    *at += (rows * cols + 15) / 16 * 16;
    return m;
}

static size_t layout(world *w)
{
    float *at = w->memory;
    for (size_t i = 0; i < n_tasks; i++) {
        const size_t d = 3 + 7 * i;
        small_system *s = &w->task[i];
        s->x = carve(&at, d, 40), s->gram = carve(&at, d, d), s->factor = carve(&at, d, am_factor_cols(d));
        s->w = carve(&at, 5, d), s->v = carve(&at, d, 1), s->u = carve(&at, 5, 1);
        s->slot = (am_slot)(i * slots_each);
    }
    return (size_t)(at - w->memory);
}

static void upload(am_ctx *ctx, am_mat m, uint32_t seed)
{
    static float host[most];
    for (size_t e = 0; e < am_mat_len(m); e++) {
        seed = seed * 1664525u + 1013904223u;
        host[e] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
    am_upload(ctx, m, host);
}

static world open_world(am_backend_kind kind, size_t n_threads)
{
    world w = {0};
    altmin_status st = {0};
    void *memory = NULL;
    const am_open_options opt = {
        .n_threads = n_threads, .gram = AM_GRAM_SYRK, .precision = AM_PRECISION_FP32};
    if (am_backend_open(&w.ctx, kind, &opt, &st)) fail_msg("%s", st.message);
    const size_t n = layout(&w); /* from 0: the size */
    if (am_memory_take(w.ctx, &memory, n * sizeof(float), &st)) fail_msg("%s", st.message);
    w.memory = memory;
    layout(&w);
    am_slots_new(w.ctx, n_tasks * slots_each);
    am_fill(w.ctx, (am_mat){w.memory, n, 1}, 0.0f);
    for (size_t i = 0; i < n_tasks; i++) {
        const small_system *s = &w.task[i];
        upload(w.ctx, s->x, (uint32_t)i);
        upload(w.ctx, s->w, (uint32_t)(100 + i));
        am_fill(w.ctx, s->v, 1.0f);
        am_slots_write(w.ctx, s->slot, slots_each, (double[]){0, 0, 1, (double)(i % 2), 0, 0, 0, 0});
        w.ridge[i] = 1.0;
    }
    return w;
}

static void count_one(am_ctx *ctx, void *arg)
{
    const am_slot s = *(const am_slot *)arg;
    am_scalar(ctx, s + 4, AM_SCALAR_ADD, (am_slot[]){s + 4, s + 2});
}

static void solve_own(am_ctx *lane, size_t i, void *arg)
{
    world *w = arg;
    small_system *s = &w->task[i];
    am_label(lane, "task %zu", i);
    am_gram(lane, s->gram, s->x, 0);
    if (i % 3 == 1) am_fill(lane, s->gram, 1.0f); /* rank one: a larger ridge is needed */
    am_cholesky(lane, s->factor, s->gram, w->ridge[i] < 0.0 ? -1.0 : 0.5, i % 3 == 1 ? -1e-9 : w->ridge[i]);
    am_solve_right(lane, s->w, s->factor);
    am_gemm(lane, s->u, 1.0f, s->w, 0, s->v, 0, 0.0f);
    am_map(lane, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {s->w}, .sum = {s->slot}});
    am_norm2(lane, s->slot + 1, s->w, s->v, s->u, 3);
    am_branch(lane, s->slot + 3, count_one, &s->slot);
}

static void solve_nested(am_ctx *lane, size_t i, void *arg)
{
    if (i == 1) am_lanes(lane, n_tasks, solve_own, arg);
}

/* Everything a world holds after its tasks. */
typedef struct outcome {
    float *memory;
    size_t n;
    double slot[n_tasks * slots_each];
    am_op_stat stat[AM_N_OPS];
    size_t n_products, n_jitter;
} outcome;

static outcome take_outcome(world *w)
{
    outcome o = {.n = layout(w)};
    altmin_status st = {0};
    o.memory = malloc(o.n * sizeof(float));
    assert_non_null(o.memory);
    if (am_download(w->ctx, o.memory, (am_mat){w->memory, o.n, 1}, &st)) fail_msg("%s", st.message);
    if (am_slots_read(w->ctx, 0, n_tasks * slots_each, o.slot, &st)) fail_msg("%s", st.message);
    memcpy(o.stat, w->ctx->stat, sizeof o.stat);
    o.n_products = w->ctx->n_products, o.n_jitter = w->ctx->n_jitter;
    am_backend_close(w->ctx);
    return o;
}

static void expect_same_outcome(const outcome *a, const outcome *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->memory, b->memory, a->n * sizeof(float));
    assert_memory_equal(a->slot, b->slot, sizeof a->slot);
    assert_int_equal(a->n_jitter, b->n_jitter);
    assert_int_equal(a->n_products, b->n_products);
    for (int i = 0; i < AM_N_OPS; i++) {
        assert_int_equal(a->stat[i].n_calls, b->stat[i].n_calls);
        assert_true(a->stat[i].flops == b->stat[i].flops && a->stat[i].n_bytes == b->stat[i].n_bytes);
    }
}

static void issue_tasks(void *arg)
{
    world *w = arg;
    const am_slot total = w->task[0].slot + 5;
    if (w->in_turn)
        am_lanes_in_turn(w->ctx, n_tasks, solve_own, w);
    else
        am_lanes(w->ctx, n_tasks, solve_own, w);
    /* what comes after waits for every task */
    for (size_t i = 0; i < n_tasks; i++)
        am_scalar(w->ctx, total, AM_SCALAR_ADD, (am_slot[]){total, w->task[i].slot + 1});
}

/* n_sweeps sweeps under one key (0: no sweep): on cuda issued, recorded, then replayed. */
static outcome run_tasks(am_backend_kind kind, size_t n_threads, int n_sweeps, int in_turn)
{
    world w = open_world(kind, n_threads);
    w.in_turn = in_turn;
    am_profile_reset(w.ctx);
    if (!n_sweeps) issue_tasks(&w);
    for (int k = 0; k < n_sweeps; k++) am_sweep(w.ctx, 3, issue_tasks, &w);
    return take_outcome(&w);
}

void am_expect_lanes_like_turns(am_backend_kind kind)
{
    for (int n_sweeps = 0; n_sweeps < 5; n_sweeps += 4) {
        const outcome turns = run_tasks(kind, 1, n_sweeps, 1);
        assert_true(turns.n_jitter > 0);
        for (size_t n_threads = 1; n_threads < 8; n_threads += 3) {
            const outcome lanes = run_tasks(kind, n_threads, n_sweeps, 0);
            expect_same_outcome(&turns, &lanes);
            free(lanes.memory);
        }
        free(turns.memory);
    }
}

void am_expect_lowest_error(am_backend_kind kind)
{
    for (int repeat = 0; repeat < 5; repeat++) {
        world w = open_world(kind, 4);
        altmin_status st = {0};
        double slot;
        w.ridge[8] = w.ridge[5] = w.ridge[3] = -1.0;
        if (repeat == 4) w.ridge[2] = -1.0;
        am_label(w.ctx, "all layers");
        am_lanes(w.ctx, n_tasks, solve_own, &w);
        assert_int_equal(am_slots_read(w.ctx, 0, 1, &slot, &st), ALTMIN_ERR_NUMERIC);
        if (!strstr(st.message, repeat == 4 ? "task 2:" : "task 3:")) fail_msg("%s", st.message);
        am_backend_close(w.ctx);
    }
}

void am_expect_odd_lanes(am_backend_kind kind)
{
    world none = open_world(kind, 4), one = open_world(kind, 4), nested = open_world(kind, 4);
    am_profile_reset(none.ctx);
    am_lanes(none.ctx, 0, solve_own, &none);
    for (int i = 0; i < AM_N_OPS; i++) assert_int_equal(none.ctx->stat[i].n_calls, 0);
    am_backend_close(none.ctx);
    am_label(one.ctx, "before");
    am_lanes(one.ctx, 1, solve_own, &one);
    assert_string_equal(one.ctx->label, "before");
    am_backend_close(one.ctx);
    am_profile_reset(nested.ctx);
    am_lanes(nested.ctx, 3, solve_nested, &nested);
    const outcome inside = take_outcome(&nested), turns = run_tasks(kind, 1, 0, 1);
    for (size_t i = 0; i < n_tasks; i++)
        assert_memory_equal(&inside.slot[i * slots_each], &turns.slot[i * slots_each], 5 * sizeof(double));
    free(inside.memory);
    free(turns.memory);
}
