/* Residual ADMM as a method: storage, start, windows, measures; see radmm.h. Blocks: radmm_blocks.c, orders: radmm_order.c. */
#include "host/methods/radmm.h"
#include "host/methods/streamed.h"

#include <math.h>
#include <stdlib.h>

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ---------------------------------------------------------------------------------------------- plan */

static void plan_layer(am_radmm *m, size_t l, am_plan *plan)
{
    const size_t *width = m->problem.net->width;
    am_radmm_layer *layer = &m->layer[l];
    const int hidden = l < m->n_layers, has_z = layer->kind != AM_LAYER_INPUT;
    const int has_p = m->split == 3 || layer->kind != AM_LAYER_BLOCK;
    for (int i = 0; i < (m->order == AM_ORDER_JACOBI ? 2 : 1); i++) {
        am_plan_mat(plan, "W", &layer->w[i], width[l], width[l - 1]);
        am_plan_mat(plan, "vectors", &layer->b[i], width[l], 1);
        if (hidden) am_plan_mat(plan, "a", &layer->a[i], width[l], m->n);
        if (hidden) am_plan_mat(plan, "vectors", &layer->s_a[i], width[l], 1);
        if (has_z) am_plan_mat(plan, "z", &layer->z[i], width[l], m->n);
        if (has_z) am_plan_mat(plan, "vectors", &layer->s_z[i], width[l], 1);
        if (has_p) am_plan_mat(plan, "p = W a", &layer->p[i], width[l], m->n);
    }
}

/* Layers first..last as a network of their own: what the scratch of their weight steps is planned from. */
static void plan_weight_work(am_weight_work *work, const am_radmm *m, size_t first, size_t last,
                             am_plan *plan)
{
    am_net part = *m->problem.net;
    int form[AM_MAX_HIDDEN + 2] = {0};
    part.n_layers = last - first + 1;
    for (size_t l = first; l <= last; l++) {
        part.width[l - first] = m->problem.net->width[l - 1];
        part.width[l - first + 1] = m->problem.net->width[l];
        form[l - first + 1] = m->layer[l].form;
    }
    am_weight_work_plan(work, plan, &part, form, m->n, 1);
}

static void plan_work(am_radmm *m, size_t i, am_plan *plan)
{
    const size_t *width = m->problem.net->width, d = m->d, d_out = width[m->n_layers];
    am_radmm_work *work = &m->work[i];
    plan_weight_work(&work->weight, m, 2, m->n_layers, plan);
    am_plan_mat(plan, "scratch, weights", &work->w_new, max_size(d, d_out), i ? d : max_size(d, width[0]));
    am_plan_mat(plan, "scratch, samples", &work->t, max_size(d, d_out), m->n);
    am_plan_mat(plan, "scratch, samples", &work->g, d, m->n);
    am_plan_mat(plan, "scratch, samples", &work->d, d, m->n);
    am_plan_mat(plan, "normal matrices", &work->gram, d, d);
    am_plan_mat(plan, "normal matrices", &work->factor, d, am_factor_cols(d));
    am_plan_mat(plan, "normal matrices", &work->inverse, d, d);
    am_plan_mat(plan, "vectors", &work->small, max_size(d, d_out), 1);
}

static void plan_all(am_radmm *m, am_plan *plan)
{
    const size_t *width = m->problem.net->width, d_out = width[m->n_layers];
    const size_t size = m->layer[1].form == AM_FORM_NORMAL ? width[0] : m->n;
    for (size_t l = 1; l <= m->n_layers; l++) plan_layer(m, l, plan);
    for (size_t i = 0; i < m->n_work; i++) plan_work(m, i, plan);
    am_plan_mat(plan, "multiplier", &m->v, d_out, m->n);
    am_plan_mat(plan, "multiplier", &m->target, d_out, m->n);
    am_plan_mat(plan, "vectors", &m->s_target, d_out, 1);
    am_plan_mat(plan, "vectors", &m->zero, m->d, 1);
    am_plan_mat(plan, "normal matrices", &m->identity, m->d, m->d);
    if (m->split == 2 && m->layer[1].kind == AM_LAYER_BLOCK) return; /* no exact step on the data */
    plan_weight_work(&m->work_1, m, 1, 1, plan);
    if (m->layer[1].form == AM_FORM_NORMAL)
        am_plan_mat(plan, "normal matrices", &m->gram_1, width[0], width[0]);
    am_plan_mat(plan, "normal matrices", &m->factor_1, size, am_factor_cols(size));
}

/* ---------------------------------------------------------------------------------------------- slots */

static void take_slots(am_radmm *m)
{
    am_ctx *ctx = m->problem.ctx;
    const altmin_settings *set = m->problem.settings;
    const double c = set->loss_weight, rho = set->rho, nu = set->nu, tau = set->prox_z;
    const double value[] = {0.0,
                            1.0,
                            -1.0,
                            1.0 / (double)m->n,
                            rho,
                            nu,
                            rho / nu,
                            (rho + tau) / nu,
                            tau / (rho + tau),
                            set->beta / c,
                            -c / set->beta,
                            0.5 * nu,
                            set->mu,
                            AM_TRIAL_GROW,
                            AM_TRIAL_SHRINK};
    const size_t n = sizeof value / sizeof *value;
    const am_slot s = am_slots_new(ctx, n);
    am_slots_write(ctx, s, n, value);
    m->common = (am_common_slots){.zero = s,
                                  .one = s + 1,
                                  .minus_one = s + 2,
                                  .rho = s + 1,
                                  .mu = s + 12,
                                  .inv_n = s + 3,
                                  .eps = s,
                                  .momentum = s,
                                  .margin = s + 1};
    m->rho = s + 4, m->nu = s + 5, m->rho_by_nu = s + 6, m->ratio = s + 7, m->keep = s + 8;
    m->rho_out = s + 9, m->lift_scale = s + 10;
    m->trial = (am_trial_constants){m->nu, s + 11, s + 12, s + 13, s + 14};
    const size_t window = m->order == AM_ORDER_WAVEFRONT ? AM_RADMM_WINDOW : 1;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_radmm_layer *layer = &m->layer[l];
        layer->first = am_slots_new(ctx, window * AM_RADMM_N_SLOTS);
        if (m->split == 3) continue;
        layer->trial_w = am_trial_slots_new(ctx);
        layer->trial_a = am_trial_slots_new(ctx);
    }
}

/* ---------------------------------------------------------------------------------------------- life */

static altmin_error radmm_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    if (settings->split == 3 && net->act != AM_ACT_RELU)
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "radmm with --split 3 has its z block in closed form for relu alone, got activation %s; "
            "use relu, or --split 2, which takes any",
            am_act_name(net->act));
    if (!(settings->prox_w + settings->mu + settings->mu_per_sample > 0.0))
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "radmm needs --prox-w or --mu above 0, else a weight block has no unique minimiser");
    return ALTMIN_OK;
}

static altmin_error radmm_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    am_radmm *m = calloc(1, sizeof *m);
    *state = m;
    if (!m) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the state of radmm");
    const altmin_settings *set = problem->settings;
    const am_net *net = problem->net;
    m->problem = *problem;
    m->n_layers = net->n_layers;
    m->n = problem->train->n;
    m->d = net->width[net->n_layers - 1];
    m->split = set->split;
    m->order = (am_order)set->order;
    m->n_window = 1;
    m->n_work = am_radmm_n_work(m->order, m->n_layers);
    m->work = calloc(m->n_work, sizeof *m->work);
    if (!m->work) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the state of radmm");
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_radmm_layer *layer = &m->layer[l];
        layer->kind = am_net_kind(net, l);
        layer->penalty = l < m->n_layers ? set->rho : set->beta;
        layer->form = am_step_weight_form(set, net->width[l - 1], net->width[l], m->n, l == 1, 1);
    }
    take_slots(m);
    plan_all(m, plan);
    return am_ctx_status(problem->ctx, st);
}

static altmin_error start_identity(am_radmm *m, altmin_status *st)
{
    const size_t d = m->d;
    float *host = calloc(d * d, sizeof *host); /* the plan checked d x d */
    if (!host) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a %zu x %zu matrix", d, d);
    for (size_t i = 0; i < d; i++) host[i + i * d] = 1.0f;
    am_upload(m->problem.ctx, m->identity, host);
    free(host);
    return ALTMIN_OK;
}

/* First lengths of the 2-split's steps: 1/(nu ||[a_prev; 1]||^2) and 1/(below + nu + nu ||W||^2), Frobenius norms. */
static void start_trials(am_radmm *m)
{
    am_ctx *ctx = m->problem.ctx;
    const double nu = m->problem.settings->nu;
    for (size_t l = 1; l < m->n_layers; l++) {
        const am_radmm_layer *layer = &m->layer[l];
        const am_mat a_prev = l == 1 ? m->first.dense : layer[-1].a[0];
        const am_slot w = layer->trial_w.length, a = layer->trial_a.length;
        const double below = layer->kind == AM_LAYER_INPUT ? m->problem.settings->rho : nu;
        if (layer->kind == AM_LAYER_BLOCK) {
            am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {a_prev}, .sum = {w}});
            am_slot_set(ctx, layer->trial_w.moved, nu * (double)m->n);
            am_scalar(ctx, w, AM_SCALAR_MAJORISER, (am_slot[]){w, m->nu, layer->trial_w.moved});
        }
        am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {layer[1].w[0]}, .sum = {a}});
        am_slot_set(ctx, layer->trial_a.moved, below + nu);
        am_scalar(ctx, a, AM_SCALAR_MAJORISER, (am_slot[]){a, m->nu, layer->trial_a.moved});
    }
}

/* Factor of the constant input, for the exact step of layer 1. */
static void start_factor(am_radmm *m)
{
    am_ctx *ctx = m->problem.ctx;
    const altmin_settings *set = m->problem.settings;
    const am_radmm_layer *layer = &m->layer[1];
    if (!m->factor_1.data) return;
    am_label(ctx, "layer 1, factor of the input");
    if (layer->form == AM_FORM_NORMAL) am_step_gram(ctx, m->gram_1, &m->first);
    const am_weight_step step = {.form = layer->form,
                                 .rho = 1.0f,
                                 .mu = (float)(set->mu / layer->penalty),
                                 .alpha = (float)(set->prox_w / layer->penalty),
                                 .w = layer->w[0],
                                 .z = layer->a[0],
                                 .a = &m->first,
                                 .gram = m->gram_1,
                                 .work = &m->work_1};
    am_step_weight_factor(ctx, &step, m->factor_1);
}

static altmin_error radmm_start(void *state, float *const *w, float *const *b, altmin_status *st)
{
    am_radmm *m = state;
    am_ctx *ctx = m->problem.ctx;
    m->first = m->problem.train->x;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_radmm_layer *layer = &m->layer[l];
        am_mat *const pair[] = {layer->w, layer->b, layer->z, layer->a, layer->s_z, layer->s_a, layer->p};
        for (size_t i = 0; i < sizeof pair / sizeof *pair && m->order != AM_ORDER_JACOBI; i++)
            pair[i][1] = pair[i][0];
        am_upload(ctx, layer->w[0], w[l]);
        am_upload(ctx, layer->b[0], b[l]);
    }
    am_fill(ctx, m->zero, 0.0f);
    if (start_identity(m, st)) return st->code;
    start_factor(m);
    am_radmm_lift(m);
    if (m->split == 2) start_trials(m);
    return am_ctx_status(ctx, st);
}

static void radmm_release(void *state)
{
    am_radmm *m = state;
    if (m) free(m->work);
    free(m);
}

/* ---------------------------------------------------------------------------------------------- sweeps */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A wavefront ends where somebody looks: at a re-lift, at an evaluation, at the last sweep. */
static size_t radmm_window(void *state, size_t max)
{
    am_radmm *m = state;
    const size_t relift = m->problem.settings->relift;
    m->n_window = 1;
    if (m->order != AM_ORDER_WAVEFRONT) return 1;
    m->n_window = min_size(max, AM_RADMM_WINDOW);
    if (relift) m->n_window = min_size(m->n_window, relift - m->n_sweeps % relift);
    return m->n_window;
}

typedef struct radmm_issue {
    am_radmm *m;
    int lift;
} radmm_issue;

static void issue_sweep(void *arg)
{
    const radmm_issue *sweep = arg;
    if (sweep->lift) am_radmm_lift(sweep->m);
    am_radmm_issue(sweep->m);
}

static void radmm_sweep(void *state)
{
    am_radmm *m = state;
    const size_t relift = m->problem.settings->relift;
    const int lift = relift && m->n_sweeps && m->n_sweeps % relift == 0;
    const uint64_t key = (uint64_t)m->n_window << 2 | (uint64_t)lift << 1 | (uint64_t)am_radmm_now(m);
    am_sweep(m->problem.ctx, key, issue_sweep, &(radmm_issue){m, lift});
    m->n_sweeps += m->n_window;
}

/* ---------------------------------------------------------------------------------------------- reading */

static void measure_layer(const am_radmm *m, const double *slot, am_layer_measures *out)
{
    for (am_block k = AM_BLOCK_W; k < AM_N_BLOCKS; k++) out->step2[k] = slot[AM_RADMM_STEP2 + k];
    out->residual2 = slot[AM_RADMM_RESIDUAL2];
    out->box = slot[AM_RADMM_BOX];
    (void)m;
}

static void radmm_measure_at(const void *state, const double *slot, size_t k, am_measures *out)
{
    const am_radmm *m = state;
    const altmin_settings *set = m->problem.settings;
    out->eps = NAN;
    out->n_guarded = 0;
    out->objective = 0.0;
    for (size_t l = 1; l <= m->n_layers; l++) {
        const am_radmm_layer *layer = &m->layer[l];
        const double *s = slot + layer->first + k * AM_RADMM_N_SLOTS;
        measure_layer(m, s, &out->layer[l]);
        out->objective += 0.5 * set->mu * s[AM_RADMM_WEIGHT2] + 0.5 * layer->penalty * s[AM_RADMM_RESIDUAL2];
        if (l < m->n_layers) {
            out->objective += 0.5 * set->nu * s[AM_RADMM_GAP2];
            continue;
        }
        const double loss =
            m->problem.net->loss == AM_LOSS_SQUARED ? 0.5 * s[AM_RADMM_LOSS] : s[AM_RADMM_LOSS];
        out->objective +=
            set->loss_weight * loss + set->beta * s[AM_RADMM_GAP2]; /* <Lam, m - Z> = beta <v, Z - m> */
    }
}

static void radmm_measure(const void *state, const double *slot, am_measures *out)
{
    const am_radmm *m = state;
    radmm_measure_at(state, slot, m->n_window - 1, out);
}

static am_mat radmm_weight(const void *state, size_t l)
{
    const am_radmm *m = state;
    return m->layer[l].w[am_radmm_now(m)];
}

static am_mat radmm_bias(const void *state, size_t l)
{
    const am_radmm *m = state;
    return m->layer[l].b[am_radmm_now(m)];
}

am_mat am_radmm_value(const am_radmm *m, size_t l, am_block block)
{
    const am_radmm_layer *layer = &m->layer[l];
    const int now = am_radmm_now(m);
    switch (block) {
    case AM_BLOCK_W: return layer->w[now];
    case AM_BLOCK_B: return layer->b[now];
    case AM_BLOCK_Z: return layer->z[now];
    default: return layer->a[now];
    }
}

static const char *radmm_form(const void *state, size_t l)
{
    const am_radmm *m = state;
    if (m->split == 2 && m->layer[l].kind == AM_LAYER_BLOCK) return "gradient";
    return m->layer[l].form == AM_FORM_NORMAL ? "normal" : "sample";
}

/* Constants of the derivation's checks; the published ones are not public. */
static const char *const paper[] = {"arch", "resnet", "rho", "1",      "nu",  "1",      "beta", "2", "mu",
                                    "1e-3", "prox-w", "0.1", "prox-z", "0.1", "prox-a", "0.1",  NULL};

/* Chosen on 50,000 held-out samples of MNIST with 10,000 to learn from, three blocks of 100: the loss outweighs the penalties,
 * weights start small, and every fifth sweep begins at the forward pass. Not monotone: beta is below the loss weight, too. */
static const char *const best[] = {"arch",        "resnet", "init",   "paper", "init-scale",    "0.05",
                                   "loss-weight", "40",     "beta",   "6",     "rho",           "1.5",
                                   "nu",          "5",      "mu",     "0",     "mu-per-sample", "0.002",
                                   "prox-w",      "0",      "prox-z", "0",     "prox-a",        "0",
                                   "relift",      "5",      NULL};
/* Chosen on held-out wines, 2 to 32 blocks of 16: penalties that outweigh the loss keep deep networks near their forward pass.
 * Monotone. One set for all depths; what each depth would have: bench/radmm/wine.py. */
static const char *const best_values[] = {
    "loss-weight", "1",      "beta", "1.5",    "rho", "10",     "nu", "10",     "mu", "3", "mu-per-sample",
    "0",           "prox-w", "0.1",  "prox-z", "0",   "prox-a", "0",  "relift", "0",  NULL};

const am_method am_method_radmm = {
    .name = "radmm",
    .archs = AM_TRAINS(AM_ARCH_RESNET),
    .title = "ADMM for residual networks, serial and parallel over blocks (Xu, Li, Xing 2023/2025)",
    .preset = {paper, paper, best},
    .preset_for = {[AM_DATA_VALUES] = {[AM_PRESET_BEST] = best_values}},
    .stream = &am_method_radmm_stream,
    .check = radmm_check,
    .prepare = radmm_prepare,
    .start = radmm_start,
    .window = radmm_window,
    .sweep = radmm_sweep,
    .measure = radmm_measure,
    .measure_at = radmm_measure_at,
    .weight = radmm_weight,
    .bias = radmm_bias,
    .form = radmm_form,
    .release = radmm_release,
};
