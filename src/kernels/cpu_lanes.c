/* Lanes of the cpu backend: tasks that know nothing of each other, each on one thread from beginning to end. A lane is a
 * context of its own (label, sticky error, counts, scratch) over the same slots and memory, with one thread: its ops then
 * start no threads and call BLAS on their own. Ops give the same bits for every number of threads, so lanes do too. */
#include "kernels/cpu.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

typedef struct am_cpu_lane {
    am_ctx ctx;
    am_cpu_state state;
    size_t failed; /* the task that failed here, if ctx.status says so */
} am_cpu_lane;

void am_cpu_lanes_close(am_cpu_state *state)
{
    for (size_t i = 0; i < state->n_lanes; i++) free(state->lane[i].state.host.work);
    free(state->lane);
    state->lane = NULL;
    state->n_lanes = 0;
}

/* At least n lanes, else a sticky failure and 0. */
static int open_lanes(am_ctx *ctx, size_t n)
{
    am_cpu_state *state = ctx->impl;
    if (n <= state->n_lanes) return 1;
    am_cpu_lanes_close(state);
    state->lane = calloc(n, sizeof *state->lane);
    if (!state->lane) {
        am_ctx_fail(ctx, ALTMIN_ERR_MEMORY, "lanes: no memory for %zu lanes", n);
        return 0;
    }
    state->n_lanes = n;
    for (size_t i = 0; i < n; i++) {
        am_cpu_lane *lane = &state->lane[i];
        lane->state = (am_cpu_state){.host.slot = state->host.slot,
                                     .gram_by_gemm = state->gram_by_gemm,
                                     .n_processors = state->n_processors,
                                     .n_blas = 1};
        lane->ctx.ops = ctx->ops;
        lane->ctx.n_threads = 1;
        lane->ctx.impl = &lane->state;
    }
    return 1;
}

/* Every lane's counts and the error of the lowest task that failed. */
static void join(am_ctx *ctx, const am_cpu_lane *lane, size_t n_lanes)
{
    const am_cpu_lane *worst = NULL;
    for (size_t i = 0; i < n_lanes; i++) {
        am_lane_join(ctx, &lane[i].ctx);
        if (lane[i].ctx.status.code != ALTMIN_OK && (!worst || lane[i].failed < worst->failed))
            worst = &lane[i];
    }
    if (worst) ctx->status = worst->ctx.status;
}

void am_cpu_lanes(am_ctx *ctx, size_t n, am_task *task, void *arg)
{
    const am_cpu_state *state = ctx->impl;
    const int n_lanes = am_cpu_blas_threads(ctx, n);
    if (n_lanes == 1) {
        am_lanes_in_turn(ctx, n, task, arg);
        return;
    }
    if (!open_lanes(ctx, (size_t)n_lanes)) return;
    for (int i = 0; i < n_lanes; i++) am_lane_start(&state->lane[i].ctx, ctx);
    const am_blas_guard guard = am_cpu_blas_enter();
    /* A thread's tasks come in rising order: what it leaves out after a failure is not the lowest to fail. */
#pragma omp parallel for schedule(monotonic : dynamic, 1) num_threads(n_lanes)
    for (size_t i = 0; i < n; i++) {
        am_cpu_lane *lane = &state->lane[omp_get_thread_num()];
        if (lane->ctx.status.code != ALTMIN_OK) continue;
        task(&lane->ctx, i, arg);
        lane->failed = i;
    }
    am_cpu_blas_leave(guard);
    join(ctx, state->lane, (size_t)n_lanes);
}
