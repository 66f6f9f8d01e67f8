/* Storage and shared blocks of the penalty splittings; see splitting.h.
 *
 * Work per hidden layer and sweep that grows with n (normal form, exact): Gram 1/2, B 1, W'(t - b) 1, the product with the
 * inverse 1, p 1: 4.5 matrix products of d x d x n. Storage per hidden layer: z, a, p, d x n each. */
#include "host/methods/splitting.h"

#include <math.h>
#include <stdlib.h>

/* Power iterations on a warm vector and on a cold one, and the margin for what they leave. */
#define AM_POWER_WARM   8
#define AM_POWER_COLD   100
#define AM_POWER_MARGIN 1.02

/* Fewer samples than features: a ridge that does not go by their number. */
const char *const am_splitting_few[] = {"mu",     "10", "mu-per-sample", "0", "loss-weight", "100",
                                        "relift", "10", "penalty-every", "0", NULL};
/* Standardised features and squared loss. */
const char *const am_splitting_values[] = {"mu-per-sample", "0.03", "loss-weight", "100", "relift", "20",
                                           "penalty-every", "0",    NULL};

altmin_error am_splitting_check(const char *name, const am_net *net, altmin_status *st)
{
    if (net->act == AM_ACT_RELU || net->n_layers == 1) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_USAGE,
                   "%s has its z block in closed form for relu alone, got activation %s; use relu, or mdlam, "
                   "which takes any",
                   name, am_act_name(net->act));
}

/* ---------------------------------------------------------------------------------------------- blocks */

static am_input input_of(const am_splitting *m, size_t l)
{
    if (l == 1) return m->first;
    return (am_input){.dense = m->layer[l - 1].a, .sum = m->layer[l - 1].s_a};
}

static am_weight_step weight_step(const am_splitting *m, size_t l, const am_input *a)
{
    const am_splitting_layer *layer = &m->layer[l];
    return (am_weight_step){
        .form = layer->form,
        .rule = AM_SCALAR_CAUCHY,
        .rho = 1.0f,
        .mu = (float)(m->problem.settings->mu / layer->penalty),
        .alpha = (float)(layer->prox_w / layer->penalty),
        .w = layer->w[layer->now],
        .w_prev = layer->w[1 - layer->now],
        .b = layer->b,
        .z = layer->target,
        .p = layer->p,
        .s_z = layer->s_target,
        .a = a,
        .gram = l == 1 ? m->gram_1 : layer->gram,
        .work = &m->work,
        .common = &layer->common,
        .slot = layer->weight,
    };
}

void am_splitting_product(am_splitting *m, size_t l)
{
    const am_splitting_layer *layer = &m->layer[l];
    const am_input a = input_of(m, l);
    am_input_apply(m->problem.ctx, layer->p, 1.0f, layer->w[layer->now], &a, 0.0f);
}

void am_splitting_gram(am_splitting *m, size_t l)
{
    if (l == 1 || m->layer[l].form != AM_FORM_NORMAL) return;
    const am_input a = input_of(m, l);
    am_step_gram(m->problem.ctx, m->layer[l].gram, &a);
}

void am_splitting_b(am_splitting *m, size_t l)
{
    const am_splitting_layer *layer = &m->layer[l];
    const am_input a = input_of(m, l);
    const am_mat scratch = {m->small.data, layer->b.rows, 1};
    am_label(m->problem.ctx, "layer %zu, block b", l);
    am_step_bias(m->problem.ctx, layer->b, layer->w[layer->now], a.sum, layer->s_target, scratch,
                 &layer->common, layer->step2_b);
}

static am_mat factor_for(am_splitting *m, size_t l)
{
    const size_t d = m->layer[l].form == AM_FORM_NORMAL ? m->layer[l].w[0].cols : m->n;
    return l == 1 ? m->factor_1 : (am_mat){m->work.factor.data, d, am_factor_cols(d)};
}

void am_splitting_w(am_splitting *m, size_t l)
{
    am_ctx *ctx = m->problem.ctx;
    am_splitting_layer *layer = &m->layer[l];
    const am_input a = input_of(m, l);
    const am_weight_step step = weight_step(m, l, &a);
    am_label(ctx, "layer %zu, block W", l);
    if (m->exact) {
        const am_mat factor = factor_for(m, l);
        if (l > 1) am_step_weight_factor(ctx, &step, factor);
        am_step_weight_exact(ctx, &step, factor);
    } else {
        am_step_weight_gradient(ctx, &step);
    }
    layer->now = 1 - layer->now;
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {layer->w[layer->now]}, .sum = {layer->weight2}});
    if (m->exact) am_splitting_b(m, l);
}

void am_splitting_z(am_splitting *m, size_t l)
{
    const am_splitting_layer *layer = &m->layer[l];
    am_label(m->problem.ctx, "layer %zu, block z", l);
    am_step_split_z(m->problem.ctx, &(am_split_z){.z = layer->z,
                                                  .p = layer->p,
                                                  .b = layer->b,
                                                  .a = layer->a,
                                                  .s_z = layer->s_z,
                                                  .ratio = layer->ratio,
                                                  .keep = layer->keep,
                                                  .residual2 = layer->residual2,
                                                  .step2 = layer->step2_z,
                                                  .gap2 = layer->gap2,
                                                  .box = layer->box});
}

/* I for an exact a step, once for all layers of one width. */
static const am_mat *identity_of(const am_splitting *m, size_t l)
{
    const size_t *width = m->problem.net->width;
    size_t first = 1;
    while (width[first] != width[l]) first++;
    return &m->layer[first].identity;
}

void am_splitting_a(am_splitting *m, size_t l)
{
    const am_splitting_layer *layer = &m->layer[l], *next = &m->layer[l + 1];
    const size_t d = layer->z.rows, d_next = next->z.rows;
    am_label(m->problem.ctx, "layer %zu, block a", l);
    const am_split_a step = {
        .act = m->problem.net->act,
        .gap = layer->gap / next->penalty,
        .prox = layer->prox_a / next->penalty,
        .gap_slot = layer->gap_slot,
        .prox_slot = layer->prox_slot,
        .a = layer->a,
        .z = layer->z,
        .s_a = layer->s_a,
        .w = next->w[next->now],
        .b = next->b,
        .p = next->p,
        .target = next->target,
        .t = {m->t.data, d_next, m->n},
        .g = {m->g.data, d, m->n},
        .old = {m->old.data, d, m->n},
        .gram = {m->gram_a.data, d, d},
        .factor = {m->factor_a.data, d, am_factor_cols(d)},
        .inverse = {m->inverse.data, d, d},
        .identity = *identity_of(m, l),
        .v = next->v,
        .u = {m->u.data, d_next, 1},
        .minus_b = {m->small.data, d_next, 1},
        .n_power = AM_POWER_WARM,
        .common = &layer->common,
        .lambda = layer->lambda,
        .inv_tau = layer->inv_tau,
        .step2 = layer->step2_a,
        .gap2 = layer->gap2,
        .box = layer->box,
    };
    if (m->exact)
        am_step_split_a_exact(m->problem.ctx, &step);
    else
        am_step_split_a_gradient(m->problem.ctx, &step);
}

void am_splitting_lift(am_splitting *m)
{
    am_ctx *ctx = m->problem.ctx;
    am_label(ctx, "re-lift");
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_splitting_layer *layer = &m->layer[l];
        am_splitting_gram(m, l);
        am_splitting_product(m, l);
        if (l == m->n_layers) {
            am_map(
                ctx, AM_MAP_ADD_ROW, 0,
                &(am_map_args){.out = {layer->z}, .in = {layer->p}, .row = layer->b, .row_sum = layer->s_z});
            if (layer->a.data) am_copy(ctx, layer->a, layer->z);
            break;
        }
        am_map(ctx, AM_MAP_LIFT, m->problem.net->act,
               &(am_map_args){
                   .out = {layer->z, layer->a}, .in = {layer->p}, .row = layer->b, .row_sum = layer->s_z});
        am_row_sum(ctx, layer->s_a, layer->a);
    }
}

/* ---------------------------------------------------------------------------------------------- life */

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void plan_layers(am_splitting *m, int output_a, am_plan *plan)
{
    const size_t *width = m->problem.net->width;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_splitting_layer *layer = &m->layer[l];
        for (int i = 0; i < 2; i++)
            am_plan_mat(plan, "W, two iterates", &layer->w[i], width[l], width[l - 1]);
        am_plan_mat(plan, "vectors", &layer->b, width[l], 1);
        am_plan_mat(plan, "vectors", &layer->s_z, width[l], 1);
        am_plan_mat(plan, "vectors", &layer->s_a, width[l], 1);
        am_plan_mat(plan, "p = W a", &layer->p, width[l], m->n);
        am_plan_mat(plan, "z", &layer->z, width[l], m->n);
        if (l < m->n_layers || output_a) am_plan_mat(plan, "a", &layer->a, width[l], m->n);
        if (l > 1 && layer->form == AM_FORM_NORMAL)
            am_plan_mat(plan, "normal matrices", &layer->gram, width[l - 1], width[l - 1]);
        if (l > 1 && !m->exact) am_plan_mat(plan, "vectors", &layer->v, width[l - 1], 1);
        if (l < m->n_layers && m->exact && identity_of(m, l) == &layer->identity)
            am_plan_mat(plan, "normal matrices", &layer->identity, width[l], width[l]);
    }
}

static void plan_scratch(am_splitting *m, am_plan *plan)
{
    const am_net *net = m->problem.net;
    const size_t *width = net->width, d_out = width[m->n_layers];
    size_t hidden = 0;
    int form[AM_MAX_HIDDEN + 2] = {0};
    for (size_t l = 1; l <= m->n_layers; l++) {
        form[l] = m->layer[l].form;
        if (l < m->n_layers) hidden = max_size(hidden, width[l]);
    }
    const size_t widest = am_net_max_width(net, 1), above = am_net_max_width(net, m->n_layers > 1 ? 2 : 1);
    am_weight_work_plan(&m->work, plan, net, form, m->n, m->exact);
    am_plan_mat(plan, "scratch, samples", &m->t, above, m->n);
    am_plan_mat(plan, "scratch, samples", &m->g, hidden, m->n);
    am_plan_mat(plan, "vectors", &m->u, widest, 1);
    am_plan_mat(plan, "vectors", &m->small, widest, 1);
    am_plan_mat(plan, "vectors", &m->none, d_out, 1);
    const size_t d = width[0], size = form[1] == AM_FORM_NORMAL ? d : m->n;
    if (form[1] == AM_FORM_NORMAL) am_plan_mat(plan, "normal matrices", &m->gram_1, d, d);
    if (!m->exact) return;
    am_plan_mat(plan, "normal matrices", &m->factor_1, size, am_factor_cols(size));
    am_plan_mat(plan, "scratch, samples", &m->old, hidden, m->n);
    am_plan_mat(plan, "normal matrices", &m->gram_a, hidden, hidden);
    am_plan_mat(plan, "normal matrices", &m->factor_a, hidden, am_factor_cols(hidden));
    am_plan_mat(plan, "normal matrices", &m->inverse, hidden, hidden);
}

static void take_slots(am_splitting *m)
{
    am_ctx *ctx = m->problem.ctx;
    const am_slot c = am_slots_new(ctx, 7);
    am_slots_write(ctx, c, 5, (double[]){0.0, 1.0, -1.0, 1.0 / (double)m->n, AM_POWER_MARGIN});
    m->first_slot = c, m->loss = c + 5, m->rho_out = c + 6;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_splitting_layer *layer = &m->layer[l];
        const am_slot s = am_slots_new(ctx, 14);
        layer->common = (am_common_slots){.zero = c,
                                          .one = c + 1,
                                          .minus_one = c + 2,
                                          .rho = c + 1,
                                          .mu = s,
                                          .inv_n = c + 3,
                                          .eps = c,
                                          .momentum = c,
                                          .margin = c + 4};
        layer->ratio = s + 1, layer->keep = s + 2, layer->gap_slot = s + 3, layer->prox_slot = s + 4;
        layer->step2_b = s + 5, layer->step2_z = s + 6, layer->step2_a = s + 7, layer->residual2 = s + 8;
        layer->gap2 = s + 9, layer->box = s + 10, layer->lambda = s + 11, layer->inv_tau = s + 12;
        layer->weight2 = s + 13;
        layer->weight = am_weight_slots_new(ctx);
    }
}

altmin_error am_splitting_prepare(am_splitting *m, const am_problem *problem, int exact, int output_a,
                                  am_plan *plan, altmin_status *st)
{
    const am_net *net = problem->net;
    m->problem = *problem;
    m->n_layers = net->n_layers;
    m->n = problem->train->n;
    m->exact = exact;
    for (size_t l = 1; l <= m->n_layers; l++)
        m->layer[l].form =
            am_step_weight_form(problem->settings, net->width[l - 1], net->width[l], m->n, l == 1, exact);
    take_slots(m);
    plan_layers(m, output_a, plan);
    plan_scratch(m, plan);
    if (problem->settings->subgradient) {
        am_subgradient_slots(&m->subgradient, problem->ctx);
        am_subgradient_plan(&m->subgradient, net, m->n, plan);
    }
    return am_ctx_status(problem->ctx, st);
}

void am_splitting_weights_changed(am_splitting *m)
{
    am_ctx *ctx = m->problem.ctx;
    for (size_t l = 1; l <= m->n_layers; l++) {
        const am_splitting_layer *layer = &m->layer[l];
        const double c = layer->penalty;
        am_slot_set(ctx, layer->common.mu, m->problem.settings->mu / c);
        if (l == m->n_layers) break;
        const double above = m->layer[l + 1].penalty;
        am_slot_set(ctx, layer->ratio, (c + layer->prox_z) / layer->gap);
        am_slot_set(ctx, layer->keep, layer->prox_z / (c + layer->prox_z));
        am_slot_set(ctx, layer->gap_slot, layer->gap / above);
        am_slot_set(ctx, layer->prox_slot, layer->prox_a / above);
    }
    if (!m->exact) return;
    am_label(ctx, "layer 1, factor of the input");
    const am_weight_step step = weight_step(m, 1, &m->first);
    am_step_weight_factor(ctx, &step, m->factor_1);
}

static altmin_error start_identities(am_splitting *m, altmin_status *st)
{
    for (size_t l = 1; l < m->n_layers && m->exact; l++) {
        const am_mat identity = *identity_of(m, l);
        const size_t d = identity.rows;
        if (identity_of(m, l) != &m->layer[l].identity) continue;
        float *host = calloc(d * d, sizeof *host);
        if (!host) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a %zu x %zu matrix", d, d);
        for (size_t i = 0; i < d; i++) host[i + i * d] = 1.0f;
        am_upload(m->problem.ctx, identity, host);
        free(host);
    }
    return ALTMIN_OK;
}

altmin_error am_splitting_start(am_splitting *m, float *const *w, float *const *b, altmin_status *st)
{
    am_ctx *ctx = m->problem.ctx;
    m->first = m->problem.train->x;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_splitting_layer *layer = &m->layer[l];
        if (!layer->target.data) layer->target = layer->z, layer->s_target = layer->s_z;
        am_upload(ctx, layer->w[0], w[l]);
        am_upload(ctx, layer->w[1], w[l]);
        am_upload(ctx, layer->b, b[l]);
        if (!layer->v.data) continue;
        am_fill(ctx, layer->v, 1.0f);
        am_norm2(ctx, m->layer[l - 1].lambda, layer->w[0], layer->v, (am_mat){m->u.data, layer->z.rows, 1},
                 AM_POWER_COLD);
    }
    am_fill(ctx, m->none, 0.0f);
    if (start_identities(m, st)) return st->code;
    if (m->layer[1].form == AM_FORM_NORMAL) am_step_gram(ctx, m->gram_1, &m->first);
    am_splitting_weights_changed(m);
    am_splitting_lift(m);
    return am_ctx_status(ctx, st);
}

/* ---------------------------------------------------------------------------------------------- reading */

void am_splitting_measure(const am_splitting *m, const double *slot, am_measures *out)
{
    out->eps = NAN;
    out->n_guarded = 0;
    for (size_t l = 1; l <= m->n_layers; l++) {
        const am_splitting_layer *layer = &m->layer[l];
        am_layer_measures *measures = &out->layer[l];
        measures->step2[AM_BLOCK_W] = slot[layer->weight.step2];
        measures->step2[AM_BLOCK_B] = slot[layer->step2_b];
        measures->step2[AM_BLOCK_Z] = slot[layer->step2_z];
        measures->step2[AM_BLOCK_A] = layer->a.data ? slot[layer->step2_a] : 0.0;
        measures->residual2 = slot[layer->residual2];
        measures->box = l < m->n_layers ? slot[layer->box] : 0.0;
    }
}

am_mat am_splitting_subgradient(am_splitting *m, size_t l)
{
    am_ctx *ctx = m->problem.ctx;
    const am_splitting_layer *layer = &m->layer[l];
    const am_subgradient *s = &m->subgradient;
    const am_mat w = layer->w[layer->now];
    const am_input a = input_of(m, l);
    const am_mat t = am_subgradient_linear(ctx, s,
                                           &(am_linear_terms){layer->penalty, m->problem.settings->mu, w,
                                                              layer->b, layer->p, layer->target, &a});
    if (l == 1) return t;
    const am_splitting_layer *below = &m->layer[l - 1];
    const am_slot c = s->coef;
    am_slots_write(ctx, c, 3, (double[]){below->penalty, below->gap, layer->penalty});
    am_subgradient_map(ctx, s, AM_MAP_SPLIT_SUBGRADIENT, 0,
                       (am_map_args){.in = {below->p, below->z, below->a, am_subgradient_below(ctx, s, w, t)},
                                     .row = below->b,
                                     .coef = {c, c + 1, c + 2}});
    return t;
}

am_mat am_splitting_weight(const void *state, size_t l)
{
    const am_splitting *m = state;
    return m->layer[l].w[m->layer[l].now];
}

am_mat am_splitting_bias(const void *state, size_t l)
{
    const am_splitting *m = state;
    return m->layer[l].b;
}

const char *am_splitting_form(const void *state, size_t l)
{
    const am_splitting *m = state;
    return m->layer[l].form == AM_FORM_NORMAL ? "normal" : "sample";
}

am_mat am_splitting_value(const am_splitting *m, size_t l, am_block block)
{
    const am_splitting_layer *layer = &m->layer[l];
    switch (block) {
    case AM_BLOCK_W: return layer->w[layer->now];
    case AM_BLOCK_B: return layer->b;
    case AM_BLOCK_Z: return layer->z;
    default: return layer->a;
    }
}
