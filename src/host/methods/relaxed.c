/* State, blocks and sweep of mDLAM and TIAM; problem and theory: mdlam.h, tiam.h. Steps: host/train/steps.h.
 *
 * Work per layer and sweep that grows with n (normal form): Gram 1/2 (none for layer 1), B 1, p = W a 1, a step 2: 4.5
 * matrix products of d x d x n, and one fused pass per block. */
#include "host/methods/relaxed_state.h"

/* Products W a of a constant input are carried along linearly in sample form; taken afresh this often so that rounding
 * cannot pile up. */
#define AM_REFRESH_SWEEPS 32
/* ---------------------------------------------------------------------------------------------- blocks */

static am_input input_of(const am_relaxed *m, size_t l)
{
    if (l == 1) return m->first;
    return (am_input){.dense = m->layer[l - 1].a[1 - m->parity], .sum = m->layer[l - 1].s_a};
}

am_weight_step am_relaxed_weight_step(const am_relaxed *m, size_t l, const am_input *a)
{
    const am_relaxed_layer *layer = &m->layer[l];
    const altmin_settings *set = m->problem.settings;
    const size_t d = layer->w[0].cols;
    return (am_weight_step){
        .form = layer->form,
        .rule = set->step == AM_STEP_BACKTRACKING ? AM_SCALAR_BACKTRACKING : AM_SCALAR_CAUCHY,
        .accelerate = m->rule.accelerate,
        .guard = m->rule.guard,
        .inertia = m->rule.own_inertia ? &m->inertia : NULL,
        .rho = (float)set->rho,
        .mu = (float)set->mu,
        .w = layer->w[m->parity],
        .w_prev = layer->w[1 - m->parity],
        .b = layer->b,
        .z = layer->z,
        .p = layer->p,
        .s_z = layer->s_z,
        .a = a,
        .gram = l == 1 ? m->gram_1 : (am_mat){m->gram.data, d, d},
        .work = &m->work,
        .common = &m->common,
        .slot = layer->weight,
    };
}

static void block_w(am_relaxed *m, size_t l)
{
    am_ctx *ctx = m->problem.ctx;
    am_relaxed_layer *layer = &m->layer[l];
    const am_input a = input_of(m, l);
    const am_weight_step step = am_relaxed_weight_step(m, l, &a);
    const int constant = l == 1, normal = layer->form == AM_FORM_NORMAL;
    if (normal && !constant) am_step_gram(ctx, step.gram, &a);
    if (m->exact) {
        const size_t d = normal ? step.w.cols : m->n;
        const am_mat factor = constant ? m->factor_1 : (am_mat){m->work.factor.data, d, am_factor_cols(d)};
        if (!constant) am_step_weight_factor(ctx, &step, factor);
        am_step_weight_exact(ctx, &step, factor);
    } else {
        if (!normal && (!constant || m->n_sweeps % AM_REFRESH_SWEEPS == 0))
            am_input_apply(ctx, layer->p, 1.0f, step.w, &a, 0.0f);
        am_step_weight_gradient(ctx, &step);
    }
    if (normal || m->exact) am_input_apply(ctx, layer->p, 1.0f, step.w_prev, &a, 0.0f);
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {step.w_prev}, .sum = {layer->weight2}});
}

static void block_b(am_relaxed *m, size_t l)
{
    const am_relaxed_layer *layer = &m->layer[l];
    const am_input a = input_of(m, l);
    const am_mat scratch = {m->bias.data, layer->b.rows, 1}, w = layer->w[1 - m->parity];
    if (!m->rule.own_inertia || m->exact) { /* after an exact W the mean completes the joint minimiser */
        am_step_bias(m->problem.ctx, layer->b, w, a.sum, layer->s_z, scratch, &m->common, layer->step2_b);
        return;
    }
    am_step_bias_inertial(m->problem.ctx, &(am_inertial_bias){.b = layer->b,
                                                              .b_prev = layer->b_prev,
                                                              .w = w,
                                                              .s_a = a.sum,
                                                              .s_z = layer->s_z,
                                                              .scratch = scratch,
                                                              .guard = m->rule.guard,
                                                              .common = &m->common,
                                                              .inertia = &m->inertia,
                                                              .change = layer->change_b,
                                                              .fired = layer->fired_b,
                                                              .step2 = layer->step2_b});
}

static void block_z(am_relaxed *m, size_t l)
{
    const am_relaxed_layer *layer = &m->layer[l];
    const am_net *net = m->problem.net;
    if (l == m->n_layers)
        am_step_output(m->problem.ctx, net->loss, layer->z, layer->p, layer->b, m->problem.train, layer->s_z,
                       &m->output, (am_output_slots){m->loss, layer->residual2, layer->step2_z});
    else if (!m->rule.own_inertia)
        am_step_z(m->problem.ctx, net->act, layer->z, layer->p, layer->b, layer->a[m->parity], layer->s_z,
                  &m->common, layer->residual2, layer->step2_z);
    else
        am_step_z_inertial(m->problem.ctx, &(am_inertial_z){.act = net->act,
                                                            .guard = m->rule.guard,
                                                            .z = layer->z,
                                                            .z_prev = layer->z_prev,
                                                            .p = layer->p,
                                                            .b = layer->b,
                                                            .a = layer->a[m->parity],
                                                            .s_z = layer->s_z,
                                                            .common = &m->common,
                                                            .inertia = &m->inertia,
                                                            .residual2 = layer->residual2,
                                                            .step2 = layer->step2_z,
                                                            .change = layer->change_z,
                                                            .fired = layer->fired_z});
}

static void block_a(am_relaxed *m, size_t l)
{
    const am_relaxed_layer *layer = &m->layer[l], *next = &m->layer[l + 1];
    const size_t d = layer->z.rows, d_next = next->z.rows;
    const int doubling = m->problem.settings->step == AM_STEP_BACKTRACKING;
    am_step_a(m->problem.ctx,
              &(am_activation_step){.rule = doubling ? AM_SCALAR_BACKTRACKING_A : AM_SCALAR_SAFE_INVERSE,
                                    .act = m->problem.net->act,
                                    .accelerate = m->rule.accelerate,
                                    .guard = m->rule.guard,
                                    .inertia = m->rule.own_inertia ? &m->inertia : NULL,
                                    .n_power = AM_POWER_WARM,
                                    .a = layer->a[m->parity],
                                    .a_prev = layer->a[1 - m->parity],
                                    .z = layer->z,
                                    .w = next->w[m->parity],
                                    .b = next->b,
                                    .p = next->p,
                                    .z_next = next->z,
                                    .t = {m->t.data, d_next, m->n},
                                    .g = {m->g.data, d, m->n},
                                    .v = next->v,
                                    .u = {m->u.data, d_next, 1},
                                    .s_a = layer->s_a,
                                    .common = &m->common,
                                    .slot = layer->activation});
}

void am_relaxed_block(am_relaxed *m, size_t l, am_block block)
{
    static const char *const name[AM_N_BLOCKS] = {"W", "b", "z", "a"};
    void (*const update[AM_N_BLOCKS])(am_relaxed *, size_t) = {block_w, block_b, block_z, block_a};
    am_label(m->problem.ctx, "layer %zu, block %s", l, name[block]);
    update[block](m, l);
}

am_mat am_relaxed_value(const am_relaxed *m, size_t l, am_block block, int updated)
{
    const am_relaxed_layer *layer = &m->layer[l];
    const int which = updated ? 1 - m->parity : m->parity;
    switch (block) {
    case AM_BLOCK_W: return layer->w[which];
    case AM_BLOCK_B: return layer->b;
    case AM_BLOCK_Z: return layer->z;
    default: return layer->a[which];
    }
}

double am_relaxed_lambda(const am_relaxed *m, const double *slot, size_t l)
{
    return 1.0 / slot[m->layer[l].activation.inv_lambda];
}

/* ---------------------------------------------------------------------------------------------- sweep */

void am_relaxed_lift(am_relaxed *m)
{
    am_ctx *ctx = m->problem.ctx;
    const am_net *net = m->problem.net;
    am_input a = m->first;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_relaxed_layer *layer = &m->layer[l];
        am_input_apply(ctx, layer->p, 1.0f, layer->w[m->parity], &a, 0.0f);
        if (l == m->n_layers) break;
        am_map(ctx, AM_MAP_LIFT, net->act,
               &(am_map_args){.out = {layer->z, layer->a[m->parity]},
                              .in = {layer->p},
                              .row = layer->b,
                              .row_sum = layer->s_z});
        am_copy(ctx, layer->a[1 - m->parity], layer->a[m->parity]);
        if (layer->z_prev.data) am_copy(ctx, layer->z_prev, layer->z);
        a = (am_input){.dense = layer->a[m->parity]};
    }
}

/* Sweeps are counted from 0; the first one starts from a lifted point anyhow. */
static int due(const am_relaxed *m, size_t every)
{
    return every && m->n_sweeps && m->n_sweeps % every == 0;
}

/* Momentum of this sweep: s_{k+1} from s_k, w_k = (s_k - 1)/s_{k+1}. w_0 = -1 is harmless, since W_prev = W then. */
void am_relaxed_sweep_begin(am_relaxed *m)
{
    am_ctx *ctx = m->problem.ctx;
    const altmin_settings *set = m->problem.settings;
    if (due(m, set->eps_restart)) am_scalar(ctx, m->common.eps, AM_SCALAR_SET, &m->eps_again);
    am_scalar(ctx, m->eps_used, AM_SCALAR_SET, &m->common.eps);
    if (m->rule.nesterov) {
        am_scalar(ctx, m->s_next, AM_SCALAR_NESTEROV_S, &m->s);
        am_scalar(ctx, m->common.momentum, AM_SCALAR_NESTEROV_W, (am_slot[]){m->s, m->s_next});
        am_scalar(ctx, m->s, AM_SCALAR_SET, &m->s_next);
    }
    if (!due(m, set->relift)) return;
    am_label(ctx, "re-lift");
    am_relaxed_lift(m);
    block_z(m, m->n_layers); /* z_L at its minimiser for the new m_L */
}

static void decay_eps(am_relaxed *m)
{
    am_scalar(m->problem.ctx, m->common.eps, AM_SCALAR_DECAY,
              (am_slot[]){m->common.eps, m->eps_factor, m->eps_floor});
}

static void next_sweep(am_relaxed *m)
{
    m->parity = 1 - m->parity;
    m->n_sweeps++;
}

void am_relaxed_sweep_end(am_relaxed *m)
{
    decay_eps(m);
    next_sweep(m);
}

/* Everything that decides what a sweep launches. */
static uint64_t key_of(const am_relaxed *m)
{
    const altmin_settings *set = m->problem.settings;
    const int refresh = m->n_sweeps % AM_REFRESH_SWEEPS == 0;
    return (uint64_t)m->parity | (uint64_t)refresh << 1 | (uint64_t)due(m, set->relift) << 2 |
           (uint64_t)due(m, set->eps_restart) << 3;
}

static void issue_sweep(void *state)
{
    am_relaxed *m = state;
    am_relaxed_sweep_begin(m);
    for (size_t l = 1; l <= m->n_layers; l++)
        for (am_block block = AM_BLOCK_W; block <= (l < m->n_layers ? AM_BLOCK_A : AM_BLOCK_Z); block++)
            am_relaxed_block(m, l, block);
    decay_eps(m);
}

void am_relaxed_sweep(void *state)
{
    am_relaxed *m = state;
    am_sweep(m->problem.ctx, key_of(m), issue_sweep, m);
    next_sweep(m);
}

void am_relaxed_follow_nesterov(am_relaxed *m)
{
    const am_slot w = m->common.momentum, zero = m->common.zero;
    m->rule.nesterov = 1;
    m->inertia = (am_inertia){w, w, zero, zero};
}

/* ---------------------------------------------------------------------------------------------- reading */

void am_relaxed_measure(const void *state, const double *slot, am_measures *out)
{
    const am_relaxed *m = state;
    const altmin_settings *set = m->problem.settings;
    const double loss = slot[m->loss];
    out->objective = set->loss_weight * (m->problem.net->loss == AM_LOSS_SQUARED ? 0.5 * loss : loss);
    out->eps = slot[m->eps_used];
    out->n_guarded = 0;
    for (size_t l = 1; l <= m->n_layers; l++) {
        const am_relaxed_layer *layer = &m->layer[l];
        const int hidden = l < m->n_layers;
        am_layer_measures *measures = &out->layer[l];
        measures->step2[AM_BLOCK_W] = slot[layer->weight.step2];
        measures->step2[AM_BLOCK_B] = slot[layer->step2_b];
        measures->step2[AM_BLOCK_Z] = slot[layer->step2_z];
        measures->step2[AM_BLOCK_A] = hidden ? slot[layer->activation.step2] : 0.0;
        measures->box = hidden ? slot[layer->activation.box] : 0.0;
        measures->residual2 = slot[layer->residual2];
        out->objective += 0.5 * (set->rho * measures->residual2 + set->mu * slot[layer->weight2]);
        const am_slot fired[] = {layer->weight.fired, layer->fired_b, layer->fired_z};
        for (int i = 0; i < 3; i++) out->n_guarded += slot[fired[i]] != 0.0;
        out->n_guarded += hidden && slot[layer->activation.fired] != 0.0;
    }
}

/* At the end of a sweep p_l, b_l, z_l and a_l are of one point, whose eps was eps_used. */
am_slot am_relaxed_subgradient(void *state)
{
    am_relaxed *m = state;
    am_ctx *ctx = m->problem.ctx;
    const altmin_settings *set = m->problem.settings;
    const am_subgradient *s = &m->subgradient;
    am_subgradient_begin(ctx, s);
    for (size_t l = m->n_layers; l >= 1; l--) {
        const am_relaxed_layer *layer = &m->layer[l], *below = &m->layer[l - 1];
        const am_mat w = layer->w[m->parity];
        const am_input a = l == 1 ? m->first : (am_input){.dense = below->a[m->parity]};
        const am_mat t = am_subgradient_linear(
            ctx, s, &(am_linear_terms){set->rho, set->mu, w, layer->b, layer->p, layer->z, &a});
        if (l == m->n_layers) {
            const am_mat g = am_subgradient_loss(ctx, s, m->problem.net->loss, set->loss_weight, layer->z,
                                                 m->problem.train);
            am_subgradient_add(ctx, s, 1.0, g, -set->rho, t, 0.0, t);
        }
        if (l == 1) break;
        const am_mat q = am_subgradient_below(ctx, s, w, t);
        am_subgradient_map(ctx, s, AM_MAP_BOX_SUBGRADIENT, m->problem.net->act,
                           (am_map_args){.in = {below->p, below->z, a.dense, q},
                                         .row = below->b,
                                         .coef = {m->common.rho, m->eps_used}});
    }
    return s->sum;
}

am_mat am_relaxed_weight(const void *state, size_t l)
{
    const am_relaxed *m = state;
    return m->layer[l].w[m->parity];
}

am_mat am_relaxed_bias(const void *state, size_t l)
{
    return ((const am_relaxed *)state)->layer[l].b;
}

const char *am_relaxed_form(const void *state, size_t l)
{
    return ((const am_relaxed *)state)->layer[l].form == AM_FORM_NORMAL ? "normal" : "sample";
}
