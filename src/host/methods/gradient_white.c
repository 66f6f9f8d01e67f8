/* --whiten for the gradient methods: the whitened input that fcam's first layer sees (whiten.h), so that a comparison can give
 * both the same one. The ridge mu then counts for W' instead of W_1. */
#include "host/methods/gradient_step.h"

#include "host/train/rng.h"

#define AM_WHITE_LAM 10.0 /* lam of whiten.h where --lam leaves it open: fcam's */

/* Samples behind the Gram matrix: drawn ones where passes are shuffled, else all. */
static size_t n_looked_at(const am_gradient *g)
{
    const size_t wanted = g->problem.settings->gram_samples;
    return g->batch < g->n && wanted && wanted < g->n ? wanted : g->n;
}

altmin_error am_gradient_white_prepare(am_gradient *g, am_plan *plan, altmin_status *st)
{
    const altmin_settings *set = g->problem.settings;
    const am_net *net = g->problem.net;
    const size_t d = net->width[0];
    am_gradient_white *input = &g->input;
    if (!(set->whiten > 0.0)) return ALTMIN_OK;
    if (g->problem.train->x.sparse.cols)
        return am_fail(st, ALTMIN_ERR_USAGE, "whiten %g: sparse data are not whitened; use --whiten 0",
                       set->whiten);
    if (am_net_kind(net, 1) == AM_LAYER_BLOCK)
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "whiten %g: the first layer is a residual block, which adds its input as it is; use --whiten 0",
            set->whiten);
    if (d > AM_MAX_WHITE)
        return am_fail(st, ALTMIN_ERR_USAGE, "whiten %g: %zu features are more than %d; use --whiten 0",
                       set->whiten, d, AM_MAX_WHITE);
    if (set->subgradient)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "whiten %g: the gradient is that of whitened coordinates; leave --subgradient out",
                       set->whiten);
    input->white.on = 1;
    if (am_white_take(&input->white, d, st)) return st->code;
    am_white_plan(&input->white, plan, d, net->width[1], g->n);
    am_plan_mat(plan, "whitening", &input->gram, d, d);
    am_plan_mat(plan, "whitening", &input->mean, d, 1);
    am_plan_mat(plan, "whitening", &input->mean_bias, d, 1);
    if (n_looked_at(g) < g->n)
        am_plan_mat(plan, "samples of a Gram matrix", &input->drawn, d, n_looked_at(g));
    input->trace = am_slots_new(g->problem.ctx, 2);
    input->scale = input->trace + 1;
    return ALTMIN_OK;
}

static am_mat look_at(am_gradient *g)
{
    am_ctx *ctx = g->problem.ctx;
    const am_mat x = g->problem.train->x.dense, drawn = g->input.drawn;
    if (!drawn.data) return x;
    am_rng_permutation(g->order, g->n, g->problem.settings->seed, 0);
    am_upload_bytes(ctx, g->index, g->order, drawn.cols * sizeof *g->order);
    am_gather_columns(ctx, drawn, x, g->index);
    return drawn;
}

/* y <- factor y. */
static void scale(am_gradient *g, am_mat out, am_mat y, double factor)
{
    am_slot_set(g->problem.ctx, g->input.scale, factor);
    am_map(g->problem.ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {out}, .in = {y, y}, .coef = {g->input.scale, g->slot.zero}});
}

/* gram <- A - s s'/(1 + c), mean_bias <- s/(1 + c). Returns c. */
static double find_moments(am_gradient *g)
{
    am_ctx *ctx = g->problem.ctx;
    am_gradient_white *input = &g->input;
    const am_mat x = look_at(g);
    const double over_n = 1.0 / (double)x.cols, set_lam = g->problem.settings->lam;
    double square = 0.0;
    am_gram(ctx, input->gram, x, 0);
    am_row_sum(ctx, input->mean, x);
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {x}, .sum = {input->trace}});
    if (am_slots_read(ctx, input->trace, 1, &square, NULL)) return 1.0; /* the error stays in the context */
    const double c =
        (set_lam > 0.0 ? set_lam : AM_WHITE_LAM) * (square * over_n + 1.0) / (double)(x.rows + 1);
    scale(g, input->gram, input->gram, over_n);
    scale(g, input->mean, input->mean, over_n);
    scale(g, input->mean_bias, input->mean, 1.0 / (1.0 + c));
    am_gemm(ctx, input->gram, -1.0f, input->mean, 0, input->mean_bias, 1, 1.0f);
    return c;
}

void am_gradient_white_start(am_gradient *g)
{
    am_ctx *ctx = g->problem.ctx;
    am_white *white = &g->input.white;
    am_label(ctx, "layer 1, whitening");
    const double c = find_moments(g);
    am_white_find(white, ctx, g->input.gram, g->input.mean_bias, c, g->problem.settings->whiten);
    am_white_apply(white, ctx, white->data, g->problem.train->x.dense);
    g->n_features = white->k;
    am_flat_lay_out(g,
                    NULL); /* fewer floats than before; W_1 was not there yet, so what is left over is zero */
    am_flat *const vectors[] = {&g->theta, &g->grad, &g->start, &g->first, &g->second};
    for (int i = 0; i < (g->adam ? 5 : 4); i++) vectors[i]->all.rows = g->n_floats;
    am_white_enter(white, ctx, am_flat_weight(g, &g->theta, 1), am_flat_bias(g, &g->theta, 1));
    am_copy(ctx, g->start.all, g->theta.all);
}

am_input am_gradient_input(const am_gradient *g)
{
    return g->input.white.on ? (am_input){.dense = g->input.white.data} : g->problem.train->x;
}
