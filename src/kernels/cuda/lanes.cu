/* Lanes: streams that run beside each other what does not depend on each other, such as the factorizations of different
 * layers, each far too small for the whole device. A lane is a context with a state of its own (stream, handles, workspace,
 * scratch, queue of scalars, report) over the slots and memory of the main one. Its stream starts behind what the main
 * stream holds and the main stream goes on behind all lanes: events that a recording turns into the graph's edges.
 *
 * Tasks are dealt out in turn, so that the same task always meets the same lane and a graph is the same every time.
 * Workspaces have the main one's size: cuBLAS would choose other algorithms for another, with other bits. */
#include "kernels/cuda/context.h"

struct am_cuda_lane {
    am_ctx ctx;
    am_cuda cu;
    cudaEvent_t done;
};

/* A lane's state: what is the device's is copied, what is its own starts empty. */
static void prepare_lane(am_cuda *main, int i)
{
    am_cuda_lane *lane = &main->lane[i];
    lane->ctx.ops = main->ctx->ops;
    lane->ctx.n_threads = 1;
    lane->ctx.impl = &lane->cu;
    am_cuda *cu = &lane->cu;
    cu->ctx = &lane->ctx;
    cu->blas = main->blas;
    cu->solver = main->solver;
    cu->side = main->side;
    cu->precision = main->precision;
    cu->gram = main->gram;
    cu->n_multiprocessors = main->n_multiprocessors;
    cu->slot = main->slot;
    cu->report = main->report + 1 + i;
    for (int k = 0; k < 2; k++) cu->staging[k] = main->staging[k], cu->staged[k] = main->staged[k];
    cu->slot_host = main->slot_host;
    cu->report_host = main->report_host;
    cu->sites = main->sites;
}

/* Take what lane i shares with nobody; failures go to the main context. */
static int open_lane(am_cuda *main, int i)
{
    am_cuda_lane *lane = &main->lane[i];
    lane->cu.op = main->op;
    if (AM_CUDA(&lane->cu, cudaEventCreateWithFlags(&lane->done, cudaEventDisableTiming)) &&
        am_cuda_open_tracks(&lane->cu))
        return 1;
    main->ctx->status = lane->ctx.status;
    return 0;
}

static int open_lanes(am_cuda *cu)
{
    if (cu->lane) return 1;
    cu->lane = (am_cuda_lane *)calloc(am_cuda_n_lanes, sizeof *cu->lane);
    if (!cu->lane) {
        am_ctx_fail(cu->ctx, ALTMIN_ERR_MEMORY, "%s: no host memory for lanes", cu->op);
        return 0;
    }
    int ok = AM_CUDA(cu, cudaEventCreateWithFlags(&cu->forked, cudaEventDisableTiming));
    for (int i = 0; i < am_cuda_n_lanes; i++) prepare_lane(cu, i);
    for (int i = 0; ok && i < am_cuda_n_lanes; i++) {
        am_lane_start(&cu->lane[i].ctx, cu->ctx);
        ok = open_lane(cu, i);
    }
    return ok;
}

void am_cuda_close_lanes(am_cuda *cu)
{
    for (int i = 0; cu->lane && i < am_cuda_n_lanes; i++) {
        am_cuda_close_tracks(&cu->lane[i].cu);
        if (cu->lane[i].done) (void)AM_CUDA_QUIET(cudaEventDestroy(cu->lane[i].done));
    }
    if (cu->forked) (void)AM_CUDA_QUIET(cudaEventDestroy(cu->forked));
    free(cu->lane);
}

/* The first n lanes start behind what the main stream holds. */
static int fork(am_cuda *cu, int n)
{
    int ok = AM_CUDA(cu, cudaEventRecord(cu->forked, cu->track[0].stream));
    for (int i = 0; ok && i < n; i++) {
        am_cuda_lane *lane = &cu->lane[i];
        am_lane_start(&lane->ctx, cu->ctx);
        lane->cu.launch = cu->launch;
        lane->cu.capturing = cu->capturing;
        ok = AM_CUDA(cu, cudaStreamWaitEvent(lane->cu.track[0].stream, cu->forked, 0));
    }
    return ok;
}

/* The main stream goes on behind the first n lanes. After an error too: a recording can then be ended. */
static void join(am_cuda *cu, int n)
{
    for (int i = 0; i < n; i++) {
        am_cuda_lane *lane = &cu->lane[i];
        am_cuda_flush(&lane->cu);
        if (cu->ctx->status.code == ALTMIN_OK) cu->ctx->status = lane->ctx.status;
        am_lane_join(cu->ctx, &lane->ctx);
        if (AM_CUDA(cu, cudaEventRecord(lane->done, lane->cu.track[0].stream)))
            AM_CUDA(cu, cudaStreamWaitEvent(cu->track[0].stream, lane->done, 0));
    }
}

void am_cuda_lanes(am_ctx *ctx, size_t n, am_task *task, void *arg)
{
    am_cuda *cu = am_cuda_enter(ctx, "lanes");
    if (cu->depth > 0) { /* the body of a conditional node is recorded as one stream */
        am_lanes_in_turn(ctx, n, task, arg);
        return;
    }
    const int n_lanes = n < am_cuda_n_lanes ? (int)n : (int)am_cuda_n_lanes;
    if (ctx->status.code != ALTMIN_OK || !open_lanes(cu) || !fork(cu, n_lanes)) return;
    for (size_t i = 0; i < n && ctx->status.code == ALTMIN_OK; i++) {
        am_ctx *lane = &cu->lane[i % (size_t)n_lanes].ctx;
        task(lane, i, arg);
        ctx->status = lane->status;
    }
    join(cu, n_lanes);
}
