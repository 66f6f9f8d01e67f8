/* Terms of a subgradient at the end of a sweep; see steps_subgradient.h. Runs between sweeps, so coefficients are written
 * into slots as they come. */
#include "host/train/steps_subgradient.h"

void am_subgradient_slots(am_subgradient *s, am_ctx *ctx)
{
    const am_slot first = am_slots_new(ctx, 7);
    s->sum = first, s->part = first + 1, s->scale2 = first + 2, s->one = first + 3, s->coef = first + 4;
    am_slot_set(ctx, s->one, 1.0);
}

void am_subgradient_plan(am_subgradient *s, const am_net *net, size_t n, am_plan *plan)
{
    const size_t widest = am_net_max_width(net, 1);
    size_t weights = 0;
    for (size_t l = 1; l <= net->n_layers; l++) {
        const size_t here = net->width[l] * net->width[l - 1]; /* checked with the network */
        weights = here > weights ? here : weights;
    }
    am_plan_mat(plan, "subgradient", &s->t, widest, n);
    am_plan_mat(plan, "subgradient", &s->q, widest, n);
    am_plan_mat(plan, "subgradient", &s->g, weights, 1);
    am_plan_mat(plan, "subgradient", &s->row, widest, 1);
    am_plan_mat(plan, "subgradient", &s->no, widest, 1);
}

void am_subgradient_begin(am_ctx *ctx, const am_subgradient *s)
{
    am_label(ctx, "subgradient");
    am_slot_set(ctx, s->sum, 0.0);
}

static void add_part(am_ctx *ctx, const am_subgradient *s)
{
    am_scalar(ctx, s->sum, AM_SCALAR_ADD, (am_slot[]){s->sum, s->part});
}

void am_subgradient_add(am_ctx *ctx, const am_subgradient *s, double scale, am_mat x, double cy, am_mat y,
                        double cz, am_mat z)
{
    am_slots_write(ctx, s->coef, 2, (double[]){cy, cz});
    am_slot_set(ctx, s->scale2, scale * scale);
    am_map(ctx, AM_MAP_GRADIENT_AHEAD, 0,
           &(am_map_args){
               .out = {x}, .in = {x, y, z}, .coef = {s->one, s->coef, s->coef + 1}, .sum = {s->part}});
    am_scalar(ctx, s->part, AM_SCALAR_MUL, (am_slot[]){s->part, s->scale2});
    add_part(ctx, s);
}

void am_subgradient_map(am_ctx *ctx, const am_subgradient *s, am_map_id id, int act, am_map_args args)
{
    args.sum[0] = s->part;
    am_map(ctx, id, act, &args);
    add_part(ctx, s);
}

am_mat am_subgradient_linear(am_ctx *ctx, const am_subgradient *s, const am_linear_terms *f)
{
    const am_mat t = {s->t.data, f->p.rows, f->p.cols}, row = {s->row.data, f->p.rows, 1};
    const am_mat g = {s->g.data, f->w.rows, f->w.cols};
    am_map(ctx, AM_MAP_RESIDUAL, 0,
           &(am_map_args){
               .out = {t}, .in = {f->p, f->target}, .row = f->b, .sum = {AM_NO_SLOT}, .row_sum = row});
    am_subgradient_add(ctx, s, f->c, row, 0.0, row, 0.0, row);
    am_input_correlate(ctx, g, (float)f->c, t, f->a, 0.0f);
    am_subgradient_add(ctx, s, 1.0, g, f->mu, f->w, 0.0, f->w);
    return t;
}

am_mat am_subgradient_below(am_ctx *ctx, const am_subgradient *s, am_mat w, am_mat t)
{
    const am_mat q = {s->q.data, w.cols, t.cols};
    am_gemm(ctx, q, 1.0f, w, 1, t, 0, 0.0f);
    return q;
}

am_mat am_subgradient_loss(am_ctx *ctx, const am_subgradient *s, am_loss loss, double weight, am_mat x,
                           const am_samples *train)
{
    const am_mat q = {s->q.data, x.rows, x.cols}, no = {s->no.data, x.rows, 1};
    am_fill(ctx, no, 0.0f);
    if (loss == AM_LOSS_CROSS_ENTROPY) {
        am_softmax_residual(ctx, AM_NO_SLOT, AM_NO_SLOT, q, x, no, train->label, (float)weight);
        return q;
    }
    am_slot_set(ctx, s->coef, weight);
    am_map(ctx, AM_MAP_OUTPUT_GRADIENT, 0,
           &(am_map_args){
               .out = {q}, .in = {x, train->target}, .row = no, .coef = {s->coef}, .sum = {AM_NO_SLOT}});
    return q;
}
