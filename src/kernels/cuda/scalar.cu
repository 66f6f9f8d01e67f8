/* Scalar slots. Formulas on them are a few flops each and come in rows (a step length, a momentum weight, a
 * guard), so they wait in a queue and leave as one launch when another op needs them or the queue is full.
 * Slots written by the host travel the same way, inside the launch's parameters. */
#include "kernels/cuda/context.h"

/* ---------------------------------------------------------------------------------- formulas */

#define AM_EVALUATE(ID, name, n_in)                                                                          \
    case AM_SCALAR_##ID: {                                                                                   \
        double x[n_in];                                                                                      \
        for (int i = 0; i < n_in; i++) x[i] = slot[e.u.in[i]];                                               \
        return am_scalar_##name(x);                                                                          \
    }
__device__ static double evaluate(const am_queued &e, const double *slot)
{
    switch (e.id) {
    case -1: return e.u.value; AM_SCALARS(AM_EVALUATE)
    default: return NAN;
    }
}

/* One thread, entries in order: each may use what the one before it wrote. */
static __global__ void run_queue(const am_queue queue, double *slot)
{
    for (int i = 0; i < queue.n; i++) slot[queue.entry[i].out] = evaluate(queue.entry[i], slot);
}

void am_cuda_flush(am_cuda *cu)
{
    if (cu->queue.n == 0) return;
    const am_queue queue = cu->queue;
    cu->queue.n = 0;
    cu->op = "scalar";
    AM_LAUNCH(cu, run_queue, 1, 1, queue, cu->slot);
}

static am_queued *next_entry(am_cuda *cu)
{
    if (cu->queue.n == am_cuda_queue_length) am_cuda_flush(cu);
    return &cu->queue.entry[cu->queue.n++];
}

void am_cuda_scalar(am_ctx *ctx, am_slot out, am_scalar_id id, const am_slot *in)
{
    am_queued *e = next_entry(am_cuda_of(ctx));
    e->id = (int)id;
    e->out = out;
    for (int i = 0; i < am_scalar_n_in(id); i++) e->u.in[i] = in[i];
}

void am_cuda_slots_write(am_ctx *ctx, am_slot first, size_t n, const double *value)
{
    for (size_t i = 0; i < n; i++) {
        am_queued *e = next_entry(am_cuda_of(ctx));
        e->id = -1;
        e->out = first + (am_slot)i;
        e->u.value = value[i];
    }
}

/* ----------------------------------------------------------------------------------- reading */

/* What all lanes report; of the matrices that could not be factored, the one whose turn was first. */
static void take_reports(am_cuda *cu)
{
    const am_report *r = NULL;
    am_ctx *ctx = cu->ctx;
    ctx->n_jitter = 0;
    for (const am_report *lane = cu->report_host; lane <= cu->report_host + am_cuda_n_lanes; lane++) {
        ctx->n_jitter += (size_t)lane->n_jitter;
        if (lane->failed_rows && (!r || lane->failed_turn < r->failed_turn)) r = lane;
    }
    if (!r || ctx->status.code != ALTMIN_OK) return;
    memcpy(ctx->label, cu->sites->label[r->failed_site], sizeof ctx->label);
    am_ctx_fail(ctx, ALTMIN_ERR_NUMERIC,
                "cholesky: the %d x %d matrix is not positive definite, even with a ridge of %g",
                r->failed_rows, r->failed_rows, r->failed_ridge);
}

void am_cuda_slots_read(am_ctx *ctx, am_slot first, size_t n, double *value)
{
    am_cuda *cu = am_cuda_enter(ctx, "read");
    if (cu->capturing) {
        am_ctx_fail(ctx, ALTMIN_ERR_INTERNAL, "read: slots cannot be read inside a recorded sweep");
        return;
    }
    cudaStream_t stream = cu->track[0].stream;
    if (!AM_CUDA(cu, cudaMemcpyAsync(cu->slot_host, cu->slot + first, n * sizeof(double),
                                     cudaMemcpyDeviceToHost, stream)) ||
        !am_cuda_fetch(cu, cu->report_host, cu->report, (1 + am_cuda_n_lanes) * sizeof *cu->report))
        return;
    memcpy(value, cu->slot_host, n * sizeof(double));
    take_reports(cu);
}
