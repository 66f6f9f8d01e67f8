/* State, blocks and sweep of mDLAM and TIAM; problem and theory: mdlam.h, tiam.h. Steps: host/train/steps.h.
 *
 * Work per layer and sweep that grows with n (normal form): Gram 1/2 (none for layer 1), B 1, p = W a 1, a step 2: 4.5
 * matrix products of d x d x n, and one fused pass per block. Storage per hidden layer: z, p and two of a, d x n each, and one more z where p1 != p2. */
#include "host/methods/relaxed.h"

#include "host/train/samples.h"

#include <stdlib.h>

/* Products W a of a constant input are carried along linearly in sample form; taken afresh this often so that rounding
 * cannot pile up. */
#define AM_REFRESH_SWEEPS 32
/* Power iterations per sweep on a warm vector, and at the start on a cold one; the margin covers what is left. */
#define AM_POWER_WARM   8
#define AM_POWER_COLD   100
#define AM_POWER_MARGIN 1.02

typedef struct am_relaxed_layer {
    int form;
    am_mat w[2]; /* w[m->parity] is W^k, the other W^{k-1} and then W^{k+1} */
    am_mat a[2]; /* likewise; layer 0 uses a[0] alone, through m->input */
    am_mat b, p, z, s_a, s_z;
    am_mat b_prev, z_prev; /* TIAM; z_prev where p1 != p2 */
    am_mat v;              /* leading right singular vector of W, kept warm */
    am_weight_slots weight;
    am_activation_slots activation;
    am_slot residual2, step2_b, step2_z, weight2;
    am_slot change_b, fired_b, change_z, fired_z;
} am_relaxed_layer;

struct am_relaxed {
    am_problem problem;
    size_t n_layers, n, n_sweeps;
    int parity;
    am_relaxed_rule rule;
    int exact;
    am_common_slots common;
    am_common_slots output; /* common with rho/loss-weight in place of rho */
    am_inertia inertia;     /* rule.own_inertia */
    am_slot s, s_next, eps_factor, eps_floor, eps_again, eps_used, loss;
    am_input first;             /* a_0 with its row sums */
    am_mat gram_1, factor_1;    /* constant A_1 and, for exact steps, its factor */
    am_mat gram, t, g, u, bias; /* scratch */
    am_weight_work work;
    am_relaxed_layer layer[AM_MAX_HIDDEN + 2];
};

/* ---------------------------------------------------------------------------------------------- blocks */

static am_input input_of(const am_relaxed *m, size_t l)
{
    if (l == 1) return m->first;
    return (am_input){.dense = m->layer[l - 1].a[1 - m->parity], .sum = m->layer[l - 1].s_a};
}

static am_weight_step weight_step(const am_relaxed *m, size_t l, const am_input *a)
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
    const am_weight_step step = weight_step(m, l, &a);
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

/* Hidden z and a by a forward pass from the current weights; histories of a and z forget where they were. */
static void lift(am_relaxed *m)
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
    lift(m);
    block_z(m, m->n_layers); /* z_L at its minimiser for the new m_L */
}

void am_relaxed_sweep_end(am_relaxed *m)
{
    am_scalar(m->problem.ctx, m->common.eps, AM_SCALAR_DECAY,
              (am_slot[]){m->common.eps, m->eps_factor, m->eps_floor});
    m->parity = 1 - m->parity;
    m->n_sweeps++;
}

/* Everything that decides what a sweep launches. */
static uint64_t key_of(const am_relaxed *m)
{
    const altmin_settings *set = m->problem.settings;
    const int refresh = m->n_sweeps % AM_REFRESH_SWEEPS == 0;
    return (uint64_t)m->parity | (uint64_t)refresh << 1 | (uint64_t)due(m, set->relift) << 2 |
           (uint64_t)due(m, set->eps_restart) << 3;
}

void am_relaxed_sweep(void *state)
{
    am_relaxed *m = state;
    const uint64_t key = key_of(m);
    if (!am_sweep_begin(m->problem.ctx, key)) {
        m->parity = 1 - m->parity;
        m->n_sweeps++;
        return;
    }
    am_relaxed_sweep_begin(m);
    for (size_t l = 1; l <= m->n_layers; l++)
        for (am_block block = AM_BLOCK_W; block <= (l < m->n_layers ? AM_BLOCK_A : AM_BLOCK_Z); block++)
            am_relaxed_block(m, l, block);
    am_relaxed_sweep_end(m);
    am_sweep_end(m->problem.ctx, key);
}

void am_relaxed_follow_nesterov(am_relaxed *m)
{
    const am_slot w = m->common.momentum, zero = m->common.zero;
    m->rule.nesterov = 1;
    m->inertia = (am_inertia){w, w, zero, zero};
}

/* ---------------------------------------------------------------------------------------------- life */

static void plan_layers(am_relaxed *m, am_plan *plan)
{
    const size_t *width = m->problem.net->width;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_relaxed_layer *layer = &m->layer[l];
        for (int i = 0; i < 2; i++)
            am_plan_mat(plan, "W, two iterates", &layer->w[i], width[l], width[l - 1]);
        am_plan_mat(plan, "vectors", &layer->b, width[l], 1);
        if (m->rule.own_inertia) am_plan_mat(plan, "vectors", &layer->b_prev, width[l], 1);
        am_plan_mat(plan, "vectors", &layer->s_z, width[l], 1);
        am_plan_mat(plan, "vectors", &layer->v, width[l - 1], 1);
        am_plan_mat(plan, "p = W a", &layer->p, width[l], m->n);
        am_plan_mat(plan, "z", &layer->z, width[l], m->n);
        if (l == m->n_layers) break;
        if (m->rule.own_inertia && m->problem.settings->p1 != m->problem.settings->p2)
            am_plan_mat(plan, "z before", &layer->z_prev, width[l], m->n);
        for (int i = 0; i < 2; i++) am_plan_mat(plan, "a, two iterates", &layer->a[i], width[l], m->n);
        am_plan_mat(plan, "vectors", &layer->s_a, width[l], 1);
    }
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void plan_scratch(am_relaxed *m, am_plan *plan)
{
    const size_t *width = m->problem.net->width;
    size_t t = 0, g = 0, gram = 0;
    int form[AM_MAX_HIDDEN + 2] = {0};
    for (size_t l = 1; l <= m->n_layers; l++) {
        form[l] = m->layer[l].form;
        if (form[l] == AM_FORM_NORMAL && l > 1) gram = max_size(gram, width[l - 1]);
        if (l > 1) t = max_size(t, width[l]);
        if (l < m->n_layers) g = max_size(g, width[l]);
    }
    am_weight_work_plan(&m->work, plan, m->problem.net, form, m->n, m->exact);
    am_plan_mat(plan, "scratch, samples", &m->t, t, m->n);
    am_plan_mat(plan, "scratch, samples", &m->g, g, m->n);
    am_plan_mat(plan, "normal matrices", &m->gram, gram, gram);
    am_plan_mat(plan, "vectors", &m->u, am_net_max_width(m->problem.net, 1), 1);
    am_plan_mat(plan, "vectors", &m->bias, am_net_max_width(m->problem.net, 1), 1);
}

static void plan_first(am_relaxed *m, am_plan *plan)
{
    const int normal = m->layer[1].form == AM_FORM_NORMAL;
    const size_t d = m->problem.net->width[0], size = normal ? d : m->n;
    if (normal) am_plan_mat(plan, "normal matrices", &m->gram_1, d, d);
    if (m->exact) am_plan_mat(plan, "normal matrices", &m->factor_1, size, am_factor_cols(size));
}

static void take_inertia(am_relaxed *m)
{
    am_ctx *ctx = m->problem.ctx;
    const altmin_settings *set = m->problem.settings;
    const am_slot p = am_slots_new(ctx, 4);
    m->inertia = (am_inertia){p, p + 1, p + 2, p + 3};
    am_slots_write(ctx, p, 4, (double[]){set->p1, set->p2, set->p3, set->p1 - set->p2});
}

static void take_slots(am_relaxed *m)
{
    am_ctx *ctx = m->problem.ctx;
    const altmin_settings *set = m->problem.settings;
    const am_slot c = am_slots_new(ctx, 9), own = am_slots_new(ctx, 8);
    m->common = (am_common_slots){c, c + 1, c + 2, c + 3, c + 4, c + 5, c + 6, c + 7, c + 8};
    const double value[] = {
        0.0, 1.0, -1.0, set->rho, set->mu, 1.0 / (double)m->n, set->eps_start, 0.0, AM_POWER_MARGIN};
    am_slots_write(ctx, c, 9, value);
    m->s = own, m->s_next = own + 1, m->eps_factor = own + 2, m->eps_floor = own + 3, m->eps_used = own + 4;
    m->loss = own + 5, m->eps_again = own + 6;
    const double start[] = {0.0, 0.0, set->eps_factor, set->eps_floor,
                            0.0, 0.0, set->eps_again,  set->rho / set->loss_weight};
    am_slots_write(ctx, own, 8, start);
    m->output = m->common;
    m->output.rho = own + 7;
    if (m->rule.own_inertia) take_inertia(m);
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_relaxed_layer *layer = &m->layer[l];
        layer->weight = am_weight_slots_new(ctx);
        layer->activation = am_activation_slots_new(ctx);
        const am_slot s = am_slots_new(ctx, 8);
        layer->residual2 = s, layer->step2_b = s + 1, layer->step2_z = s + 2, layer->weight2 = s + 3;
        layer->change_b = s + 4, layer->fired_b = s + 5, layer->change_z = s + 6, layer->fired_z = s + 7;
    }
}

altmin_error am_relaxed_prepare(void **state, const am_problem *problem, am_relaxed_rule rule, am_plan *plan,
                                altmin_status *st)
{
    am_relaxed *m = calloc(1, sizeof *m);
    *state = m;
    if (!m) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the state of the method");
    const am_net *net = problem->net;
    m->problem = *problem;
    m->rule = rule;
    m->n_layers = net->n_layers;
    m->n = problem->train->n;
    m->exact = problem->settings->step == AM_STEP_EXACT;
    for (size_t l = 1; l <= m->n_layers; l++)
        m->layer[l].form =
            am_step_weight_form(problem->settings, net->width[l - 1], net->width[l], m->n, l == 1, m->exact);
    take_slots(m);
    plan_first(m, plan);
    plan_layers(m, plan);
    plan_scratch(m, plan);
    return am_ctx_status(problem->ctx, st);
}

/* z_L on the labels: 2 y - 1 on one-hot rows (published), the target for regression. */
static altmin_error start_output(am_relaxed *m, altmin_status *st)
{
    am_ctx *ctx = m->problem.ctx;
    const am_samples *train = m->problem.train;
    const am_relaxed_layer *out = &m->layer[m->n_layers];
    if (!train->label)
        am_copy(ctx, out->z, train->target);
    else if (am_samples_signed_one_hot(train, ctx, out->z, st))
        return st->code;
    am_row_sum(ctx, out->s_z, out->z);
    return am_ctx_status(ctx, st);
}

static altmin_error start_vectors(am_relaxed *m, altmin_status *st)
{
    am_ctx *ctx = m->problem.ctx;
    for (size_t l = 2; l <= m->n_layers; l++) {
        const am_relaxed_layer *layer = &m->layer[l];
        const am_mat u = {m->u.data, layer->z.rows, 1};
        am_fill(ctx, layer->v, 1.0f);
        am_norm2(ctx, m->layer[l - 1].activation.lambda, layer->w[0], layer->v, u, AM_POWER_COLD);
    }
    return am_ctx_status(ctx, st);
}

altmin_error am_relaxed_start(void *state, float *const *w, float *const *b, altmin_status *st)
{
    am_relaxed *m = state;
    am_ctx *ctx = m->problem.ctx;
    m->first = m->problem.train->x;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_upload(ctx, m->layer[l].w[0], w[l]);
        am_upload(ctx, m->layer[l].w[1], w[l]);
        am_upload(ctx, m->layer[l].b, b[l]);
        if (m->rule.own_inertia) am_upload(ctx, m->layer[l].b_prev, b[l]);
    }
    lift(m);
    if (start_output(m, st) || start_vectors(m, st)) return st->code;
    if (m->layer[1].form == AM_FORM_NORMAL) am_step_gram(ctx, m->gram_1, &m->first);
    if (m->exact) {
        const am_weight_step step = weight_step(m, 1, &m->first);
        am_step_weight_factor(ctx, &step, m->factor_1);
    }
    return am_ctx_status(ctx, st);
}

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
