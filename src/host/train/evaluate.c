/* Evaluation by chunks; see evaluate.h. */
#include "host/train/evaluate.h"

#include "host/train/source.h"

#include <math.h>

#define AM_EVAL_FLOATS ((size_t)4 << 20) /* size of one buffer: 16 MiB */

altmin_metrics am_metrics_none(void)
{
    return (altmin_metrics){NAN, NAN, NAN, NAN};
}

void am_evaluator_plan(am_evaluator *evaluator, am_ctx *ctx, const am_net *net, size_t n, int with_input,
                       am_plan *plan)
{
    const size_t widest = am_net_max_width(net, 1);
    size_t chunk = AM_EVAL_FLOATS / widest;
    if (chunk < 256) chunk = 256;
    if (chunk > n) chunk = n;
    evaluator->chunk = chunk;
    evaluator->part = am_slots_new(ctx, 3);
    evaluator->total = am_slots_new(ctx, 3);
    for (int i = 0; i < 2; i++) am_plan_mat(plan, "evaluation", &evaluator->buffer[i], widest, chunk);
    if (with_input) am_plan_mat(plan, "evaluation", &evaluator->input, net->width[0], chunk);
}

static void score(const am_evaluator *ev, am_ctx *ctx, const am_net *net, am_mat p, am_mat b,
                  const am_samples *samples, size_t first)
{
    const am_slot zero_loss = ev->part, hits = ev->part + 1, squared = ev->part + 2;
    if (samples->label) am_softmax_loss(ctx, zero_loss, hits, p, b, samples->label + first);
    if (net->loss == AM_LOSS_SQUARED)
        am_map(ctx, AM_MAP_SQUARED_ERROR, 0,
               &(am_map_args){
                   .in = {p, am_mat_cols(samples->target, first, p.cols)}, .row = b, .sum = {squared}});
    for (int i = 0; i < 3; i++)
        am_scalar(ctx, ev->total + i, AM_SCALAR_ADD, (am_slot[]){ev->total + i, ev->part + i});
}

altmin_error am_evaluate(const am_evaluator *ev, am_ctx *ctx, const am_net *net, const am_mat *w,
                         const am_mat *b, const am_samples *samples, altmin_metrics *metrics,
                         altmin_status *st)
{
    const double zeros[3] = {0};
    double total[3];
    am_label(ctx, "evaluation");
    am_slots_write(ctx, ev->part, 3, zeros);
    am_slots_write(ctx, ev->total, 3, zeros);
    for (size_t first = 0; first < samples->n; first += ev->chunk) {
        const size_t n = samples->n - first < ev->chunk ? samples->n - first : ev->chunk;
        const am_input x = am_samples_range(samples, ctx, first, n, ev->input);
        am_mat buffer[2] = {ev->buffer[0], ev->buffer[1]};
        const am_mat p = am_forward(ctx, net, w, b, &x, buffer);
        score(ev, ctx, net, p, b[net->n_layers], samples, first);
    }
    if (am_slots_read(ctx, ev->total, 3, total, st)) return st->code;
    const double n = (double)samples->n, n_outputs = (double)net->width[net->n_layers];
    *metrics = am_metrics_none();
    metrics->loss = net->loss == AM_LOSS_SQUARED ? 0.5 * total[2] / n : total[0] / n;
    if (samples->label) {
        metrics->accuracy = total[1] / n;
    } else {
        metrics->mse = total[2] / (n * n_outputs);
        metrics->r2 = samples->target_sst > 0.0 ? 1.0 - total[2] / samples->target_sst : NAN;
    }
    return ALTMIN_OK;
}
