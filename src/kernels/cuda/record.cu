/* Sweeps as CUDA graphs. A sweep's key names everything the host decides about it, so under one key the same
 * launches follow each other every time: the first sweep of a key runs op by op (sizes become known, scratch
 * is taken, libraries load their kernels), the second is recorded and run, from the third on one launch
 * replays it. Decisions taken on the device in between (am_branch, the ridge of a factorization) are
 * conditional nodes, whose bodies are recorded on a track of their own.
 *
 * A recording holds addresses and constants: slots written by the host inside a sweep are the same in every
 * replay. */
#include "kernels/cuda/context.h"

/* The signatures of CUDA 13; 12.4 to 12.9 have them under other names or without edge data. */
static cudaError_t capture_info(cudaStream_t stream, cudaStreamCaptureStatus *status, cudaGraph_t *graph,
                                const cudaGraphNode_t **nodes, size_t *n_nodes)
{
#if CUDART_VERSION >= 13000
    return AM_CUDA_QUIET(cudaStreamGetCaptureInfo(stream, status, NULL, graph, nodes, NULL, n_nodes));
#else
    return AM_CUDA_QUIET(cudaStreamGetCaptureInfo_v2(stream, status, NULL, graph, nodes, n_nodes));
#endif
}

static cudaError_t add_node(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,
                            size_t n_after, cudaGraphNodeParams *params)
{
#if CUDART_VERSION >= 13000
    return AM_CUDA_QUIET(cudaGraphAddNode(node, graph, after, NULL, n_after, params));
#else
    return AM_CUDA_QUIET(cudaGraphAddNode(node, graph, after, n_after, params));
#endif
}

static cudaError_t continue_after(cudaStream_t stream, cudaGraphNode_t *node)
{
#if CUDART_VERSION >= 13000
    return AM_CUDA_QUIET(
        cudaStreamUpdateCaptureDependencies(stream, node, NULL, 1, cudaStreamSetCaptureDependencies));
#else
    return AM_CUDA_QUIET(
        cudaStreamUpdateCaptureDependencies(stream, node, 1, cudaStreamSetCaptureDependencies));
#endif
}

/* ------------------------------------------------------------------------- conditional nodes */

cudaGraphConditionalHandle am_cuda_condition(am_cuda *cu)
{
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cudaGraph_t graph = NULL;
    const cudaGraphNode_t *nodes = NULL;
    size_t n_nodes = 0;
    cudaGraphConditionalHandle handle = 0;
    if (AM_CUDA(cu, capture_info(am_cuda_track(cu)->stream, &status, &graph, &nodes, &n_nodes)))
        AM_CUDA(cu, cudaGraphConditionalHandleCreate(&handle, graph, 0, cudaGraphCondAssignDefault));
    return handle;
}

/* Add the node behind what the track has recorded so far; *body receives its empty graph. */
static int add_conditional(am_cuda *cu, cudaGraphConditionalHandle handle, cudaGraphConditionalNodeType type,
                           cudaGraph_t *body)
{
    cudaStream_t stream = am_cuda_track(cu)->stream;
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cudaGraph_t graph = NULL;
    const cudaGraphNode_t *nodes = NULL;
    size_t n_nodes = 0;
    cudaGraphNode_t node = NULL;
    cudaGraphNodeParams params = {};
    params.type = cudaGraphNodeTypeConditional;
    params.conditional.handle = handle;
    params.conditional.type = type;
    params.conditional.size = 1;
    if (!AM_CUDA(cu, capture_info(stream, &status, &graph, &nodes, &n_nodes)) ||
        !AM_CUDA(cu, add_node(&node, graph, nodes, n_nodes, &params)) ||
        !AM_CUDA(cu, continue_after(stream, &node)))
        return 0;
    *body = params.conditional.phGraph_out[0];
    return 1;
}

void am_cuda_conditional(am_cuda *cu, cudaGraphConditionalHandle handle, cudaGraphConditionalNodeType type,
                         void (*body)(am_cuda *cu, void *arg), void *arg)
{
    am_cuda_flush(cu);
    if (cu->ctx->status.code != ALTMIN_OK) return;
    if (cu->depth == am_cuda_max_depth) {
        am_ctx_fail(cu->ctx, ALTMIN_ERR_INTERNAL, "%s: more than %d branches inside each other", cu->op,
                    am_cuda_max_depth);
        return;
    }
    cudaGraph_t graph = NULL;
    am_track *inner = &cu->track[cu->depth + 1];
    if (!inner->stream && !am_cuda_open_track(cu, inner)) return;
    cudaStream_t stream = inner->stream;
    if (!add_conditional(cu, handle, type, &graph) ||
        !AM_CUDA(cu,
                 cudaStreamBeginCaptureToGraph(stream, graph, NULL, NULL, 0, cudaStreamCaptureModeRelaxed)))
        return;
    cu->depth++;
    body(cu, arg);
    am_cuda_flush(cu);
    cu->depth--;
    AM_CUDA(cu, cudaStreamEndCapture(stream, &graph));
}

/* The condition takes the slot's value: NaN counts as set, as != 0 does in C. */
static __global__ void set_condition(cudaGraphConditionalHandle handle, const double *slot)
{
    cudaGraphSetConditional(handle, *slot != 0.0);
}

typedef struct branch_body {
    void (*body)(am_ctx *ctx, void *arg);
    void *arg;
} branch_body;

static void run_body(am_cuda *cu, void *arg)
{
    const branch_body *b = (const branch_body *)arg;
    b->body(cu->ctx, b->arg);
}

void am_cuda_branch(am_ctx *ctx, am_slot condition, void (*body)(am_ctx *ctx, void *arg), void *arg)
{
    am_cuda *cu = am_cuda_enter(ctx, "branch");
    if (!cu->capturing) {
        if (am_cuda_fetch(cu, cu->slot_host, cu->slot + condition, sizeof(double)) && cu->slot_host[0] != 0.0)
            body(ctx, arg);
        return;
    }
    branch_body b = {body, arg};
    const cudaGraphConditionalHandle handle = am_cuda_condition(cu);
    if (ctx->status.code != ALTMIN_OK) return;
    AM_LAUNCH(cu, set_condition, 1, 1, handle, cu->slot + condition);
    am_cuda_conditional(cu, handle, cudaGraphCondTypeIf, run_body, &b);
}

/* -------------------------------------------------------------------------------- recordings */

static void drop(am_recording *r)
{
    if (r->exec) (void)AM_CUDA_QUIET(cudaGraphExecDestroy(r->exec));
    memset(r, 0, sizeof *r);
}

/* The recording of a key; a new one takes the place of the one unused longest. */
static am_recording *recording_of(am_cuda *cu, uint64_t key)
{
    am_recording *oldest = &cu->recording[0];
    cu->clock++;
    for (am_recording *r = cu->recording; r < cu->recording + am_cuda_max_recordings; r++) {
        if (r->used && r->key == key) return r;
        if (r->used < oldest->used) oldest = r;
    }
    drop(oldest);
    oldest->key = key;
    return oldest;
}

/* A replay counts as the work of the sweep it replays; its time is nobody's. */
static void count_replay(am_ctx *ctx, const am_recording *r)
{
    for (int i = 0; i < AM_N_OPS; i++) {
        ctx->stat[i].n_calls += r->work[i].n_calls;
        ctx->stat[i].flops += r->work[i].flops;
        ctx->stat[i].n_bytes += r->work[i].n_bytes;
    }
}

/* ------------------------------------------------------------------ sweeps that cannot be recorded */

static void remember_counts(am_cuda *cu)
{
    const am_ctx *ctx = cu->ctx;
    memcpy(cu->before.stat, ctx->stat, sizeof ctx->stat);
    memcpy(cu->before.product, ctx->product, sizeof ctx->product);
    cu->before.n_products = ctx->n_products;
}

static void restore_counts(am_cuda *cu)
{
    am_ctx *ctx = cu->ctx;
    memcpy(ctx->stat, cu->before.stat, sizeof ctx->stat);
    memcpy(ctx->product, cu->before.product, sizeof ctx->product);
    ctx->n_products = cu->before.n_products;
}

/* End every capture that is open; what was recorded is nobody's. */
static void end_captures(am_cuda *cu)
{
    for (int depth = am_cuda_max_depth; depth >= 0; depth--) {
        cudaGraph_t graph = NULL;
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
        cudaStream_t stream = cu->track[depth].stream;
        const int open = stream && AM_CUDA_QUIET(cudaStreamIsCapturing(stream, &status)) == cudaSuccess &&
                         status != cudaStreamCaptureStatusNone;
        /* A branch's graph belongs to the graph it branches from. */
        if (open && AM_CUDA_QUIET(cudaStreamEndCapture(stream, &graph)) == cudaSuccess && graph && depth == 0)
            (void)AM_CUDA_QUIET(cudaGraphDestroy(graph));
    }
    cu->capturing = 0;
}

/* Go on op by op for the rest of the run, when what failed is recording or launching a graph (nothing of the sweep has
 * run then): 1 and the reason in ctx->detail. 0 when the error is altmin's own and stays. An op that cannot run at all
 * fails again when it is issued again. */
static int do_without(am_cuda *cu)
{
    am_ctx *ctx = cu->ctx;
    end_captures(cu);
    if (ctx->status.code != ALTMIN_ERR_BACKEND && ctx->status.code != ALTMIN_ERR_MEMORY) return 0;
    (void)AM_CUDA_QUIET(cudaGetLastError()); /* told: not to be found again by the next launch */
    const size_t n = strlen(ctx->detail);
    snprintf(ctx->detail + n, sizeof ctx->detail - n, "; op by op, since recording failed: %s",
             ctx->status.message);
    memset(&ctx->status, 0, sizeof ctx->status);
    restore_counts(cu);
    cu->launch = AM_LAUNCH_STREAM;
    cu->queue.n = 0;
    cu->sites->turn = 0;
    return 1;
}

/* ------------------------------------------------------------------------------------ sweeps */

int am_cuda_sweep_begin(am_ctx *ctx, uint64_t key)
{
    am_cuda *cu = am_cuda_enter(ctx, "sweep");
    cu->sites->turn = 0;
    if (cu->launch != AM_LAUNCH_GRAPH) return 1;
    am_recording *r = cu->current = recording_of(cu, key);
    r->used = cu->clock;
    remember_counts(cu);
    if (r->state == AM_RECORDING_READY) {
        if (!AM_CUDA(cu, cudaGraphLaunch(r->exec, cu->track[0].stream))) return do_without(cu);
        count_replay(ctx, r);
        return 0;
    }
    if (r->state == AM_RECORDING_NEW) return 1;
    cu->capturing = AM_CUDA(cu, cudaStreamBeginCapture(cu->track[0].stream, cudaStreamCaptureModeRelaxed));
    return cu->capturing || do_without(cu);
}

static int finish_recording(am_cuda *cu, am_recording *r)
{
    cudaGraph_t graph = NULL;
    if (cu->ctx->status.code != ALTMIN_OK) return 0;
    cu->capturing = 0;
    if (!AM_CUDA(cu, cudaStreamEndCapture(cu->track[0].stream, &graph))) return 0;
    const int ok = AM_CUDA(cu, cudaGraphInstantiate(&r->exec, graph, 0));
    (void)AM_CUDA_QUIET(cudaGraphDestroy(graph));
    return ok && AM_CUDA(cu, cudaGraphLaunch(r->exec, cu->track[0].stream));
}

int am_cuda_sweep_end(am_ctx *ctx, uint64_t key)
{
    (void)key;
    am_cuda *cu = am_cuda_enter(ctx, "sweep");
    if (cu->launch != AM_LAUNCH_GRAPH) return 0;
    am_recording *r = cu->current;
    const int recorded = cu->capturing;
    if (recorded && !finish_recording(cu, r)) return do_without(cu);
    for (int i = 0; i < AM_N_OPS; i++) {
        r->work[i].n_calls = ctx->stat[i].n_calls - cu->before.stat[i].n_calls;
        r->work[i].flops = ctx->stat[i].flops - cu->before.stat[i].flops;
        r->work[i].n_bytes = ctx->stat[i].n_bytes - cu->before.stat[i].n_bytes;
    }
    r->state = recorded ? AM_RECORDING_READY : AM_RECORDING_WARM;
    return 0;
}

void am_cuda_forget(am_cuda *cu)
{
    end_captures(cu);
    for (am_recording &r : cu->recording) drop(&r);
}
