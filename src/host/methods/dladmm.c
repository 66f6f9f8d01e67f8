/* The dlADMM sweep: output block, multiplier, order and schedules; see dladmm.h. Other blocks: splitting.h. */
#include "host/methods/dladmm.h"
#include "host/methods/streamed.h"

#include <math.h>
#include <stdlib.h>

struct am_dladmm {
    am_splitting base;
    am_mat v, target, s_target;      /* u/rho, z_L + v and its row sums */
    am_slot drop, residual2, dual;   /* of the output: ||z - m||^2 and <v, z - m> after the dual step */
    am_slot shrink;                  /* 1/factor of rho: keeps u when rho changes */
    am_slot back[AM_MAX_HIDDEN + 2]; /* ||change||^2 of the backward visit: W, b, z, a */
};

static am_splitting_layer *output_of(am_dladmm *m)
{
    return &m->base.layer[m->base.n_layers];
}

/* target <- z_L + v. */
static void retarget(am_dladmm *m)
{
    const am_splitting_layer *out = output_of(m);
    am_map(m->base.problem.ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {m->target},
                          .in = {out->z, m->v},
                          .coef = {out->common.one, out->common.one},
                          .row_sum = m->s_target});
}

/* z_L <- argmin c R(z) + rho/2 ||z - (m_L - v)||^2. */
static void block_output(am_dladmm *m)
{
    am_splitting *base = &m->base;
    const am_problem *problem = &base->problem;
    const am_splitting_layer *out = output_of(m);
    const am_mat centre = {base->t.data, out->z.rows, base->n};
    am_common_slots common = out->common;
    common.rho = base->rho_out;
    am_label(problem->ctx, "layer %zu, block z", base->n_layers);
    am_map(problem->ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {centre}, .in = {out->p, m->v}, .coef = {common.one, common.minus_one}});
    am_step_output(problem->ctx, problem->net->loss, out->z, centre, out->b, problem->train, out->s_z,
                   &common, (am_output_slots){base->loss, m->drop, out->step2_z});
    retarget(m);
}

static void block_z(am_dladmm *m, size_t l)
{
    if (l == m->base.n_layers)
        block_output(m);
    else
        am_splitting_z(&m->base, l);
}

/* The gradient step on a_l reads p_{l+1}. */
static void block_a(am_dladmm *m, size_t l)
{
    if (!m->base.exact) am_splitting_product(&m->base, l + 1);
    am_splitting_a(&m->base, l);
}

/* On entry p_l = W_l a_{l-1} holds, from the forward half before or from the lift, and so does the Gram matrix of a_{l-1}. */
void am_dladmm_backward(am_dladmm *m, size_t l)
{
    am_splitting *base = &m->base;
    am_ctx *ctx = base->problem.ctx;
    const am_splitting_layer *layer = &base->layer[l];
    const int hidden = l < base->n_layers;
    if (hidden) block_a(m, l);
    block_z(m, l);
    if (!base->exact) am_splitting_b(base, l);
    am_splitting_w(base, l);
    const am_slot last[] = {layer->weight.step2, layer->step2_b, layer->step2_z, layer->step2_a};
    for (int k = 0; k < (hidden ? 4 : 3); k++) am_scalar(ctx, m->back[l] + k, AM_SCALAR_SET, &last[k]);
}

void am_dladmm_forward(am_dladmm *m, size_t l)
{
    am_splitting *base = &m->base;
    am_splitting_gram(base, l);
    if (!base->exact && base->layer[l].form == AM_FORM_SAMPLE) am_splitting_product(base, l);
    am_splitting_w(base, l);
    if (!base->exact) am_splitting_b(base, l);
    am_splitting_product(base, l);
    block_z(m, l);
    if (l < base->n_layers) block_a(m, l);
}

void am_dladmm_dual(am_dladmm *m)
{
    am_ctx *ctx = m->base.problem.ctx;
    const am_splitting_layer *out = output_of(m);
    am_label(ctx, "layer %zu, multiplier", m->base.n_layers);
    am_map(ctx, AM_MAP_DUAL, 0,
           &(am_map_args){.out = {m->v, m->target},
                          .in = {out->z, out->p, m->v},
                          .row = out->b,
                          .sum = {m->residual2, m->dual}});
    am_row_sum(ctx, m->s_target, m->target);
}

am_mat am_dladmm_multiplier(const am_dladmm *m)
{
    return m->v;
}

/* ---------------------------------------------------------------------------------------------- schedules */

static void lift(am_dladmm *m)
{
    am_splitting_lift(&m->base);
    am_fill(m->base.problem.ctx, m->v, 0.0f);
    retarget(m);
}

/* Penalties of this stage; u = rho v stays what it was. Not inside a sweep. */
static void set_penalties(am_dladmm *m, double rho, double nu)
{
    am_splitting *base = &m->base;
    am_ctx *ctx = base->problem.ctx;
    for (size_t l = 1; l <= base->n_layers; l++) {
        am_splitting_layer *layer = &base->layer[l];
        layer->penalty = l < base->n_layers ? nu : rho;
        layer->gap = nu;
        layer->prox_w = base->exact ? base->problem.settings->prox_w : 0.0;
    }
    am_slot_set(ctx, base->rho_out, rho / base->problem.settings->loss_weight);
}

static void next_stage(am_dladmm *m)
{
    am_splitting *base = &m->base;
    am_ctx *ctx = base->problem.ctx;
    const altmin_settings *set = base->problem.settings;
    const am_splitting_layer *out = output_of(m);
    const double nu = out->gap * set->nu_factor;
    am_slot_set(ctx, m->shrink, 1.0 / set->rho_factor);
    set_penalties(m, out->penalty * set->rho_factor, nu);
    am_splitting_weights_changed(base);
    am_map(ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {m->v}, .in = {m->v, m->v}, .coef = {m->shrink, out->common.zero}});
    retarget(m);
}

static int due(const am_splitting *base, size_t every)
{
    return every && base->n_sweeps && base->n_sweeps % every == 0;
}

typedef struct dladmm_issue {
    am_dladmm *m;
    int relift;
} dladmm_issue;

static void issue_sweep(void *arg)
{
    const dladmm_issue *sweep = arg;
    am_dladmm *m = sweep->m;
    if (sweep->relift) lift(m);
    for (size_t l = m->base.n_layers; l >= 1; l--) am_dladmm_backward(m, l);
    for (size_t l = 1; l <= m->base.n_layers; l++) am_dladmm_forward(m, l);
    am_dladmm_dual(m);
}

static void dladmm_sweep(void *state)
{
    am_dladmm *m = state;
    am_splitting *base = &m->base;
    const altmin_settings *set = base->problem.settings;
    if (due(base, set->penalty_every)) next_stage(m);
    const int relift = due(base, set->relift);
    /* every W moves twice, so the halves of the pair are where they were; constants of a stage are baked in */
    const uint64_t stage = set->penalty_every ? base->n_sweeps / set->penalty_every : 0;
    const uint64_t key = stage << 1 | (uint64_t)relift;
    base->n_sweeps++;
    am_sweep(base->problem.ctx, key, issue_sweep, &(dladmm_issue){m, relift});
}

/* ---------------------------------------------------------------------------------------------- life */

static altmin_error dladmm_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    if (am_splitting_check("dladmm", net, st)) return st->code;
    if (settings->step == AM_STEP_BACKTRACKING)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "dladmm takes --step cauchy or exact: its weight step has a closed length");
    if (settings->step == AM_STEP_EXACT && !(settings->prox_w + settings->mu + settings->mu_per_sample > 0.0))
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "dladmm with --step exact needs --prox-w or --mu above 0, else a weight block has no unique "
            "minimiser");
    return ALTMIN_OK;
}

static altmin_error dladmm_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    am_dladmm *m = calloc(1, sizeof *m);
    *state = m;
    if (!m) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the state of dladmm");
    const altmin_settings *set = problem->settings;
    const size_t n_layers = problem->net->n_layers, d_out = problem->net->width[n_layers];
    if (am_splitting_prepare(&m->base, problem, set->step == AM_STEP_EXACT, 0, plan, st)) return st->code;
    set_penalties(m, set->rho, set->nu);
    am_plan_mat(plan, "multiplier", &m->v, d_out, problem->train->n);
    am_plan_mat(plan, "multiplier", &m->target, d_out, problem->train->n);
    am_plan_mat(plan, "vectors", &m->s_target, d_out, 1);
    const am_slot s = am_slots_new(problem->ctx, 4);
    m->drop = s, m->residual2 = s + 1, m->dual = s + 2, m->shrink = s + 3;
    for (size_t l = 1; l <= n_layers; l++) m->back[l] = am_slots_new(problem->ctx, 4);
    return am_ctx_status(problem->ctx, st);
}

static altmin_error dladmm_start(void *state, float *const *w, float *const *b, altmin_status *st)
{
    am_dladmm *m = state;
    am_splitting_layer *out = output_of(m);
    out->target = m->target, out->s_target = m->s_target;
    if (am_splitting_start(&m->base, w, b, st)) return st->code;
    am_fill(m->base.problem.ctx, m->v, 0.0f);
    retarget(m);
    return am_ctx_status(m->base.problem.ctx, st);
}

/* Both visits of a sweep count in a block's change. */
static void dladmm_measure(const void *state, const double *slot, am_measures *out)
{
    const am_dladmm *m = state;
    const am_splitting *base = &m->base;
    const altmin_settings *set = base->problem.settings;
    const double loss = slot[base->loss];
    am_splitting_measure(base, slot, out);
    out->objective = set->loss_weight * (base->problem.net->loss == AM_LOSS_SQUARED ? 0.5 * loss : loss);
    for (size_t l = 1; l <= base->n_layers; l++) {
        const am_splitting_layer *layer = &base->layer[l];
        for (int k = 0; k < 4; k++) out->layer[l].step2[k] += slot[m->back[l] + k];
        out->objective += 0.5 * set->mu * slot[layer->weight2];
        if (l < base->n_layers)
            out->objective += 0.5 * layer->penalty * (slot[layer->residual2] + slot[layer->gap2]);
        else
            out->objective += layer->penalty * (slot[m->dual] + 0.5 * slot[m->residual2]);
    }
    out->layer[base->n_layers].residual2 = slot[m->residual2];
}

/* Of the augmented Lagrangian in all blocks and u: dL/dz_L = c grad R - rho T with T = m_L - z_L - v, dL/du = z_L - m_L, which
 * is the primal residual; the rest is the dual one. */
static am_slot dladmm_subgradient(void *state)
{
    am_dladmm *m = state;
    am_splitting *base = &m->base;
    am_ctx *ctx = base->problem.ctx;
    const am_subgradient *s = &base->subgradient;
    const am_splitting_layer *out = output_of(m);
    am_subgradient_begin(ctx, s);
    const am_mat t = am_splitting_subgradient(base, base->n_layers);
    const am_mat g = am_subgradient_loss(ctx, s, base->problem.net->loss, base->problem.settings->loss_weight,
                                         out->z, base->problem.train);
    am_subgradient_add(ctx, s, 1.0, g, -out->penalty, t, 0.0, t);
    am_scalar(ctx, s->sum, AM_SCALAR_ADD, (am_slot[]){s->sum, m->residual2});
    for (size_t l = base->n_layers - 1; l >= 1; l--) am_splitting_subgradient(base, l);
    return s->sum;
}

/* Published: nu = rho = 1e-6, rho x 10 every 100 iterations. */
static const char *const paper[] = {"rho", "1e-6",       "nu", "1e-6", "penalty-every",
                                    "100", "rho-factor", "10", NULL};
/* Exact blocks and a ridge that outweighs the penalties, without which they fit noise, and a return to the forward path now and
 * then. A constant ridge ends the progress; growing penalties make it shrink against them. Chosen by held-out accuracy, as
 * bench/results/2026-11-22-methods says. */
static const char *const best[] = {"step",
                                   "exact",
                                   "rho",
                                   "1",
                                   "nu",
                                   "1",
                                   "loss-weight",
                                   "1000",
                                   "prox-w",
                                   "0",
                                   "mu-per-sample",
                                   "0.003",
                                   "relift",
                                   "10",
                                   "penalty-every",
                                   "20",
                                   "rho-factor",
                                   "1.6",
                                   "nu-factor",
                                   "1.6",
                                   "init",
                                   "he",
                                   NULL};

const am_method am_method_dladmm = {
    .name = "dladmm",
    .archs = AM_TRAINS(AM_ARCH_MLP),
    .title = "deep learning ADMM, backward and forward, multiplier at the output (Wang, Yu, Chen, Zhao 2019)",
    .preset = {paper, paper, best},
    .preset_for = {[AM_DATA_FEW] = {[AM_PRESET_BEST] = am_splitting_few},
                   [AM_DATA_VALUES] = {[AM_PRESET_BEST] = am_splitting_values}},
    .stream = &am_method_dladmm_stream,
    .check = dladmm_check,
    .prepare = dladmm_prepare,
    .start = dladmm_start,
    .sweep = dladmm_sweep,
    .measure = dladmm_measure,
    .subgradient = dladmm_subgradient,
    .weight = am_splitting_weight,
    .bias = am_splitting_bias,
    .form = am_splitting_form,
    .release = free,
};
