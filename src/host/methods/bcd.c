/* The BCD sweep: output pair, order and objective; see bcd.h. Other blocks: splitting.h. */
#include "host/methods/bcd.h"
#include "host/methods/streamed.h"

#include <stdlib.h>

struct am_bcd {
    am_splitting base;
    am_slot centre_z, centre_a; /* weights of z_L and a_L in the output prox's centre */
    am_slot rho_z;              /* rho/gamma */
    am_slot drop;               /* a sum nobody reads */
};

/* a_L <- argmin c R(a) + gamma/2 ||a - z_L||^2 + prox-out/2 ||a - a_L||^2. */
void am_bcd_output_a(am_bcd *m)
{
    am_splitting *base = &m->base;
    const am_problem *problem = &base->problem;
    const am_splitting_layer *out = &base->layer[base->n_layers];
    const am_mat centre = {base->t.data, out->a.rows, base->n};
    am_common_slots common = out->common;
    common.rho = base->rho_out;
    am_label(problem->ctx, "layer %zu, block a", base->n_layers);
    am_map(problem->ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {centre}, .in = {out->z, out->a}, .coef = {m->centre_z, m->centre_a}});
    am_step_output(problem->ctx, problem->net->loss, out->a, centre, base->none, problem->train, out->s_a,
                   &common, (am_output_slots){base->loss, m->drop, out->step2_a});
}

/* z_L <- (gamma a_L + rho m_L)/(gamma + rho): the squared prox with target a_L. */
void am_bcd_output_z(am_bcd *m)
{
    am_splitting *base = &m->base;
    const am_splitting_layer *out = &base->layer[base->n_layers];
    am_label(base->problem.ctx, "layer %zu, block z", base->n_layers);
    am_map(base->problem.ctx, AM_MAP_PROX_SQUARED, 0,
           &(am_map_args){.out = {out->z},
                          .in = {out->p, out->a, out->z},
                          .row = out->b,
                          .coef = {m->rho_z},
                          .sum = {out->gap2, m->drop, out->step2_z},
                          .row_sum = out->s_z});
}

void am_bcd_weights(am_bcd *m, size_t l)
{
    am_splitting_gram(&m->base, l);
    am_splitting_w(&m->base, l);
}

/* p_l and ||z_l - m_l||^2 are final once W_l, b_l and a_{l-1} are. */
void am_bcd_below(am_bcd *m, size_t l)
{
    am_splitting *base = &m->base;
    const am_splitting_layer *layer = &base->layer[l];
    if (l > 1) am_splitting_a(base, l - 1);
    am_splitting_product(base, l);
    am_map(base->problem.ctx, AM_MAP_SQUARED_ERROR, 0,
           &(am_map_args){.in = {layer->p, layer->z}, .row = layer->b, .sum = {layer->residual2}});
}

const am_splitting *am_bcd_splitting(const am_bcd *m)
{
    return &m->base;
}

/* The other half of every pair of W is the current one. */
static void turn_pairs(am_splitting *base)
{
    for (size_t l = 1; l <= base->n_layers; l++) base->layer[l].now = 1 - base->layer[l].now;
}

typedef struct bcd_issue {
    am_bcd *m;
    int lift;
} bcd_issue;

static void issue_sweep(void *arg)
{
    const bcd_issue *sweep = arg;
    am_bcd *m = sweep->m;
    am_splitting *base = &m->base;
    if (sweep->lift) am_splitting_lift(base);
    am_bcd_output_a(m);
    am_bcd_output_z(m);
    for (size_t l = base->n_layers; l >= 1; l--) {
        am_bcd_weights(m, l);
        am_bcd_below(m, l);
        if (l > 1) am_splitting_z(base, l - 1);
    }
    turn_pairs(base); /* as found */
}

static void bcd_sweep(void *state)
{
    am_bcd *m = state;
    am_splitting *base = &m->base;
    const size_t relift = base->problem.settings->relift;
    const int lift = relift && base->n_sweeps && base->n_sweeps % relift == 0;
    const uint64_t key = (uint64_t)base->layer[1].now | (uint64_t)lift << 1;
    base->n_sweeps++;
    am_sweep(base->problem.ctx, key, issue_sweep, &(bcd_issue){m, lift});
    turn_pairs(base);
}

/* ---------------------------------------------------------------------------------------------- life */

static altmin_error bcd_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    if (am_splitting_check("bcd", net, st)) return st->code;
    if (settings->step != AM_STEP_EXACT)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "bcd minimises its weight blocks exactly; leave --step out or set it to exact");
    if (!(settings->prox_w + settings->mu + settings->mu_per_sample > 0.0))
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "bcd needs --prox-w or --mu above 0, else a weight block has no unique minimiser");
    return ALTMIN_OK;
}

static altmin_error bcd_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    am_bcd *m = calloc(1, sizeof *m);
    *state = m;
    if (!m) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the state of bcd");
    const altmin_settings *set = problem->settings;
    for (size_t l = 1; l <= problem->net->n_layers; l++) {
        am_splitting_layer *layer = &m->base.layer[l];
        layer->penalty = set->rho, layer->gap = set->gamma;
        layer->prox_w = set->prox_w, layer->prox_z = set->prox_z, layer->prox_a = set->prox_a;
    }
    if (am_splitting_prepare(&m->base, problem, 1, 1, plan, st)) return st->code;
    const am_slot s = am_slots_new(problem->ctx, 4);
    m->centre_z = s, m->centre_a = s + 1, m->rho_z = s + 2, m->drop = s + 3;
    const double weight = set->gamma + set->prox_out;
    am_slots_write(problem->ctx, s, 3,
                   (double[]){set->gamma / weight, set->prox_out / weight, set->rho / set->gamma});
    am_slot_set(problem->ctx, m->base.rho_out, weight / set->loss_weight);
    return am_ctx_status(problem->ctx, st);
}

static altmin_error bcd_start(void *state, float *const *w, float *const *b, altmin_status *st)
{
    am_bcd *m = state;
    return am_splitting_start(&m->base, w, b, st);
}

static void bcd_measure(const void *state, const double *slot, am_measures *out)
{
    const am_splitting *base = &((const am_bcd *)state)->base;
    const altmin_settings *set = base->problem.settings;
    const double loss = slot[base->loss];
    am_splitting_measure(base, slot, out);
    out->objective = set->loss_weight * (base->problem.net->loss == AM_LOSS_SQUARED ? 0.5 * loss : loss);
    for (size_t l = 1; l <= base->n_layers; l++) {
        const am_splitting_layer *layer = &base->layer[l];
        out->objective += 0.5 * (set->gamma * slot[layer->gap2] + set->rho * slot[layer->residual2] +
                                 set->mu * slot[layer->weight2]);
    }
}

/* dF/da_L = c grad R + gamma (a_L - z_L), dF/dz_L = gamma (z_L - a_L) - rho T, T = m_L - z_L. */
static am_slot bcd_subgradient(void *state)
{
    am_splitting *base = &((am_bcd *)state)->base;
    am_ctx *ctx = base->problem.ctx;
    const altmin_settings *set = base->problem.settings;
    const am_subgradient *s = &base->subgradient;
    const am_splitting_layer *out = &base->layer[base->n_layers];
    const double gap = set->gamma, ratio = gap / set->rho;
    am_subgradient_begin(ctx, s);
    const am_mat t = am_splitting_subgradient(base, base->n_layers);
    const am_mat g =
        am_subgradient_loss(ctx, s, base->problem.net->loss, set->loss_weight, out->a, base->problem.train);
    am_subgradient_add(ctx, s, 1.0, g, gap, out->a, -gap, out->z);
    am_subgradient_add(ctx, s, set->rho, t, ratio, out->a, -ratio, out->z);
    for (size_t l = base->n_layers - 1; l >= 1; l--) am_splitting_subgradient(base, l);
    return s->sum;
}

/* Published: gamma = rho = 1, alpha = 5 for three hidden layers (1 for ten), squared loss on one-hot rows. */
static const char *const paper[] = {
    "step", "exact",    "loss", "squared",    "rho",  "1",          "gamma", "1",    "prox-w", "5", "prox-z",
    "5",    "prox-out", "5",    "init-scale", "0.01", "bias-start", "0.1",   "init", "paper",  NULL};
/* Loss and ridge outweigh the penalties, no inertia in z, and a return to the forward path now and then; chosen by held-out
 * accuracy, as bench/results/2026-11-22-methods says. */
static const char *const best[] = {"step",          "exact",  "rho",         "1",   "gamma",  "1",
                                   "mu-per-sample", "0.0017", "loss-weight", "100", "prox-w", "0",
                                   "prox-z",        "0",      "prox-out",    "0",   "relift", "10",
                                   "init",          "he",     NULL};

const am_method am_method_bcd = {
    .name = "bcd",
    .archs = AM_TRAINS(AM_ARCH_MLP),
    .title = "block coordinate descent, three-splitting, exact blocks (Zeng, Lau, Lin, Yao 2019)",
    .preset = {paper, paper, best},
    .preset_for = {[AM_DATA_FEW] = {[AM_PRESET_BEST] = am_splitting_few},
                   [AM_DATA_VALUES] = {[AM_PRESET_BEST] = am_splitting_values}},
    .stream = &am_method_bcd_stream,
    .check = bcd_check,
    .prepare = bcd_prepare,
    .start = bcd_start,
    .sweep = bcd_sweep,
    .measure = bcd_measure,
    .subgradient = bcd_subgradient,
    .weight = am_splitting_weight,
    .bias = am_splitting_bias,
    .form = am_splitting_form,
    .release = free,
};
