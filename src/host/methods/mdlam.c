/* The mDLAM sweep; problem and theory: mdlam.h. Steps: host/train/steps.h.
 *
 * Work per layer and sweep that grows with n (normal form): Gram 1/2 (none for layer 1), B 1, p = W a 1, a step 2: 4.5
 * matrix products of d x d x n, and one fused pass per block. Storage per hidden layer: z, p and two of a, d x n each. */
#include "host/methods/mdlam.h"

#include "host/train/samples.h"

#include <stdlib.h>

/* Products W a of a constant input are carried along linearly in sample form; taken afresh this often so that rounding
 * cannot pile up. */
#define AM_REFRESH_SWEEPS 32
/* Power iterations per sweep on a warm vector, and at the start on a cold one; the margin covers what is left. */
#define AM_POWER_WARM   8
#define AM_POWER_COLD   100
#define AM_POWER_MARGIN 1.02

typedef struct am_mdlam_layer {
    int form;
    am_mat w[2]; /* w[m->parity] is W^k, the other W^{k-1} and then W^{k+1} */
    am_mat a[2]; /* likewise; layer 0 uses a[0] alone, through m->input */
    am_mat b, p, z, s_a, s_z;
    am_mat v;    /* leading right singular vector of W, kept warm */
    am_weight_slots weight;
    am_activation_slots activation;
    am_slot residual2, step2_b, step2_z, weight2;
} am_mdlam_layer;

struct am_mdlam {
    am_problem problem;
    size_t n_layers, n, n_sweeps;
    int parity;
    int accelerate, guard, exact;
    am_common_slots common;
    am_slot s, s_next, eps_factor, eps_floor, eps_used, loss;
    am_input first;             /* a_0 with its row sums */
    am_mat gram_1, factor_1;    /* constant A_1 and, for exact steps, its factor */
    am_mat gram, t, g, u, bias; /* scratch */
    am_weight_work work;
    am_mdlam_layer layer[AM_MAX_HIDDEN + 2];
};

/* ---------------------------------------------------------------------------------------------- blocks */

static am_input input_of(const am_mdlam *m, size_t l)
{
    if (l == 1) return m->first;
    return (am_input){.dense = m->layer[l - 1].a[1 - m->parity], .sum = m->layer[l - 1].s_a};
}

static am_weight_step weight_step(const am_mdlam *m, size_t l, const am_input *a)
{
    const am_mdlam_layer *layer = &m->layer[l];
    const altmin_settings *set = m->problem.settings;
    const size_t d = layer->w[0].cols;
    return (am_weight_step){
        .form = layer->form,
        .rule = set->step == AM_STEP_BACKTRACKING ? AM_SCALAR_BACKTRACKING : AM_SCALAR_CAUCHY,
        .accelerate = m->accelerate,
        .guard = m->guard,
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

static void block_w(am_mdlam *m, size_t l)
{
    am_ctx *ctx = m->problem.ctx;
    am_mdlam_layer *layer = &m->layer[l];
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

static void block_b(am_mdlam *m, size_t l)
{
    const am_mdlam_layer *layer = &m->layer[l];
    const am_input a = input_of(m, l);
    const am_mat scratch = {m->bias.data, layer->b.rows, 1};
    am_step_bias(m->problem.ctx, layer->b, layer->w[1 - m->parity], a.sum, layer->s_z, scratch, &m->common,
                 layer->step2_b);
}

static void block_z(am_mdlam *m, size_t l)
{
    const am_mdlam_layer *layer = &m->layer[l];
    const am_net *net = m->problem.net;
    if (l < m->n_layers)
        am_step_z(m->problem.ctx, net->act, layer->z, layer->p, layer->b, layer->a[m->parity], layer->s_z, &m->common,
                  layer->residual2, layer->step2_z);
    else
        am_step_output(m->problem.ctx, net->loss, layer->z, layer->p, layer->b, m->problem.train, layer->s_z, &m->common,
                       (am_output_slots){m->loss, layer->residual2, layer->step2_z});
}

static void block_a(am_mdlam *m, size_t l)
{
    const am_mdlam_layer *layer = &m->layer[l], *next = &m->layer[l + 1];
    const size_t d = layer->z.rows, d_next = next->z.rows;
    am_step_a(m->problem.ctx, &(am_activation_step){.act = m->problem.net->act,
                                                    .accelerate = m->accelerate,
                                                    .guard = m->guard,
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

void am_mdlam_block(am_mdlam *m, size_t l, am_block block)
{
    static const char *const name[AM_N_BLOCKS] = {"W", "b", "z", "a"};
    void (*const update[AM_N_BLOCKS])(am_mdlam *, size_t) = {block_w, block_b, block_z, block_a};
    am_label(m->problem.ctx, "layer %zu, block %s", l, name[block]);
    update[block](m, l);
}

am_mat am_mdlam_value(const am_mdlam *m, size_t l, am_block block, int updated)
{
    const am_mdlam_layer *layer = &m->layer[l];
    const int which = updated ? 1 - m->parity : m->parity;
    switch (block) {
    case AM_BLOCK_W: return layer->w[which];
    case AM_BLOCK_B: return layer->b;
    case AM_BLOCK_Z: return layer->z;
    default: return layer->a[which];
    }
}

double am_mdlam_lambda(const am_mdlam *m, const double *slot, size_t l)
{
    return 1.0 / slot[m->layer[l].activation.inv_lambda];
}

/* ---------------------------------------------------------------------------------------------- sweep */

/* Momentum of this sweep: s_{k+1} from s_k, w_k = (s_k - 1)/s_{k+1}. w_0 = -1 is harmless, since W_prev = W then. */
void am_mdlam_sweep_begin(am_mdlam *m)
{
    am_ctx *ctx = m->problem.ctx;
    am_scalar(ctx, m->eps_used, AM_SCALAR_SET, &m->common.eps);
    if (!m->accelerate) return;
    am_scalar(ctx, m->s_next, AM_SCALAR_NESTEROV_S, &m->s);
    am_scalar(ctx, m->common.momentum, AM_SCALAR_NESTEROV_W, (am_slot[]){m->s, m->s_next});
    am_scalar(ctx, m->s, AM_SCALAR_SET, &m->s_next);
}

void am_mdlam_sweep_end(am_mdlam *m)
{
    am_scalar(m->problem.ctx, m->common.eps, AM_SCALAR_DECAY,
              (am_slot[]){m->common.eps, m->eps_factor, m->eps_floor});
    m->parity = 1 - m->parity;
    m->n_sweeps++;
}

static void mdlam_sweep(void *state)
{
    am_mdlam *m = state;
    const int refresh = m->n_sweeps % AM_REFRESH_SWEEPS == 0;
    const uint64_t key = (uint64_t)m->parity | (uint64_t)refresh << 1;
    if (!am_sweep_begin(m->problem.ctx, key)) {
        m->parity = 1 - m->parity;
        m->n_sweeps++;
        return;
    }
    am_mdlam_sweep_begin(m);
    for (size_t l = 1; l <= m->n_layers; l++)
        for (am_block block = AM_BLOCK_W; block <= (l < m->n_layers ? AM_BLOCK_A : AM_BLOCK_Z); block++)
            am_mdlam_block(m, l, block);
    am_mdlam_sweep_end(m);
    am_sweep_end(m->problem.ctx, key);
}

/* ---------------------------------------------------------------------------------------------- life */

static altmin_error mdlam_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    (void)net; /* every activation in the list is monotone, which is all the boxes need */
    if (!(settings->rho > 0.0)) return am_fail(st, ALTMIN_ERR_USAGE, "mdlam needs rho > 0, got %g", settings->rho);
    return ALTMIN_OK;
}

/* The form with fewer flops per sweep: normal pays 3 products of d_out x d_in x d_in, B (and a Gram unless the input is
 * constant) and p; sample pays D a, R a' and G a (and p unless the input is constant). */
static int choose_form(const am_mdlam *m, size_t l)
{
    const altmin_settings *set = m->problem.settings;
    const double n = (double)m->n, d_in = (double)m->problem.net->width[l - 1], d_out = (double)m->problem.net->width[l];
    const int constant = l == 1;
    if (set->form != AM_FORM_AUTO) return set->form;
    double normal, sample;
    if (m->exact) { /* a factor of d_in^3 or n^3 decides, unless it is constant; then the solve */
        normal = (constant ? 0.0 : d_in * d_in * (n + d_in / 3)) + d_out * d_in * (2 * n + 2 * d_in);
        sample = (constant ? 0.0 : n * n * (d_in + n / 3)) + d_out * n * (2 * d_in + 2 * n);
        if (constant) normal += d_in * d_in * d_in / 100, sample += n * n * n / 100; /* spread over a run */
    } else {
        normal = (constant ? 0.0 : d_in * d_in * n) + d_out * d_in * (4 * n + 6 * d_in);
        sample = d_out * d_in * n * (constant ? 6 : 8);
    }
    return normal <= sample ? AM_FORM_NORMAL : AM_FORM_SAMPLE;
}

static size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

static void plan_layers(am_mdlam *m, am_plan *plan)
{
    const size_t *width = m->problem.net->width;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_mdlam_layer *layer = &m->layer[l];
        for (int i = 0; i < 2; i++) am_plan_mat(plan, "W, two iterates", &layer->w[i], width[l], width[l - 1]);
        am_plan_mat(plan, "vectors", &layer->b, width[l], 1);
        am_plan_mat(plan, "vectors", &layer->s_z, width[l], 1);
        am_plan_mat(plan, "vectors", &layer->v, width[l - 1], 1);
        am_plan_mat(plan, "p = W a", &layer->p, width[l], m->n);
        am_plan_mat(plan, "z", &layer->z, width[l], m->n);
        if (l == m->n_layers) break;
        for (int i = 0; i < 2; i++) am_plan_mat(plan, "a, two iterates", &layer->a[i], width[l], m->n);
        am_plan_mat(plan, "vectors", &layer->s_a, width[l], 1);
    }
}

static void plan_scratch(am_mdlam *m, am_plan *plan)
{
    const size_t *width = m->problem.net->width;
    size_t weight = 0, wide = 0, t = 0, g = 0, gram = 0, cov = 0;
    for (size_t l = 1; l <= m->n_layers; l++) {
        const int normal = m->layer[l].form == AM_FORM_NORMAL;
        size_t product;
        /* width x width was checked when W itself was declared */
        weight = am_size_mul(width[l], width[l - 1], &product) ? weight : max_size(weight, product);
        if (!normal) wide = max_size(wide, width[l]);
        if (normal && l > 1) gram = max_size(gram, width[l - 1]);
        cov = max_size(cov, normal ? width[l - 1] : m->n);
        if (l > 1) t = max_size(t, width[l]);
        if (l < m->n_layers) g = max_size(g, width[l]);
    }
    am_mat *const small[] = {&m->work.d, &m->work.da, &m->work.g, &m->work.ga, &m->work.gw};
    for (size_t i = 0; i < (m->exact ? 1 : 5); i++) am_plan_mat(plan, "scratch, weights", small[i], weight, 1);
    am_mat *const samples[] = {&m->work.r, &m->work.dx, &m->work.gx};
    for (size_t i = 0; i < (m->exact ? 1 : 3); i++) am_plan_mat(plan, "scratch, samples", samples[i], wide, m->n);
    am_plan_mat(plan, "scratch, samples", &m->t, t, m->n);
    am_plan_mat(plan, "scratch, samples", &m->g, g, m->n);
    am_plan_mat(plan, "normal matrices", &m->gram, gram, gram);
    am_plan_mat(plan, "vectors", &m->u, am_net_max_width(m->problem.net, 1), 1);
    am_plan_mat(plan, "vectors", &m->bias, am_net_max_width(m->problem.net, 1), 1);
    if (!m->exact) return;
    am_plan_mat(plan, "normal matrices", &m->work.cov, cov, cov);
    am_plan_mat(plan, "normal matrices", &m->work.factor, cov, am_factor_cols(cov));
    am_plan_mat(plan, "vectors", &m->work.ones, m->n, 1);
    am_plan_mat(plan, "vectors", &m->work.mean, m->n, 1);
    am_plan_mat(plan, "vectors", &m->work.total, 1, 1);
}

static void plan_first(am_mdlam *m, am_plan *plan)
{
    const int normal = m->layer[1].form == AM_FORM_NORMAL;
    const size_t d = m->problem.net->width[0], size = normal ? d : m->n;
    if (normal) am_plan_mat(plan, "normal matrices", &m->gram_1, d, d);
    if (m->exact) am_plan_mat(plan, "normal matrices", &m->factor_1, size, am_factor_cols(size));
}

static void take_slots(am_mdlam *m)
{
    am_ctx *ctx = m->problem.ctx;
    const altmin_settings *set = m->problem.settings;
    const am_slot c = am_slots_new(ctx, 9), own = am_slots_new(ctx, 6);
    m->common = (am_common_slots){c, c + 1, c + 2, c + 3, c + 4, c + 5, c + 6, c + 7, c + 8};
    const double value[] = {0.0, 1.0, -1.0, set->rho, set->mu, 1.0 / (double)m->n, set->eps_start, 0.0, AM_POWER_MARGIN};
    am_slots_write(ctx, c, 9, value);
    m->s = own, m->s_next = own + 1, m->eps_factor = own + 2, m->eps_floor = own + 3, m->eps_used = own + 4;
    m->loss = own + 5;
    const double start[] = {0.0, 0.0, set->eps_factor, set->eps_floor};
    am_slots_write(ctx, own, 4, start);
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_mdlam_layer *layer = &m->layer[l];
        layer->weight = am_weight_slots_new(ctx);
        layer->activation = am_activation_slots_new(ctx);
        const am_slot s = am_slots_new(ctx, 4);
        layer->residual2 = s, layer->step2_b = s + 1, layer->step2_z = s + 2, layer->weight2 = s + 3;
    }
}

static altmin_error mdlam_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    am_mdlam *m = calloc(1, sizeof *m);
    *state = m;
    if (!m) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the state of mdlam");
    m->problem = *problem;
    m->n_layers = problem->net->n_layers;
    m->n = problem->train->n;
    m->accelerate = problem->settings->accel != AM_ACCEL_NONE;
    m->guard = problem->settings->accel == AM_ACCEL_NESTEROV_GUARDED;
    m->exact = problem->settings->step == AM_STEP_EXACT;
    for (size_t l = 1; l <= m->n_layers; l++) m->layer[l].form = choose_form(m, l);
    take_slots(m);
    plan_first(m, plan);
    plan_layers(m, plan);
    plan_scratch(m, plan);
    return am_ctx_status(problem->ctx, st);
}

/* z and a by a forward pass, then z_L on the labels: 2 y - 1 on one-hot rows (published), the target for regression. */
static void lift(am_mdlam *m)
{
    am_ctx *ctx = m->problem.ctx;
    const am_net *net = m->problem.net;
    am_input a = m->first;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_mdlam_layer *layer = &m->layer[l];
        am_input_apply(ctx, layer->p, 1.0f, layer->w[0], &a, 0.0f);
        if (l == m->n_layers) break;
        am_map(ctx, AM_MAP_LIFT, net->act,
               &(am_map_args){.out = {layer->z, layer->a[0]}, .in = {layer->p}, .row = layer->b, .row_sum = layer->s_z});
        am_copy(ctx, layer->a[1], layer->a[0]);
        a = (am_input){.dense = layer->a[0]};
    }
}

static altmin_error start_output(am_mdlam *m, altmin_status *st)
{
    am_ctx *ctx = m->problem.ctx;
    const am_samples *train = m->problem.train;
    const am_mdlam_layer *out = &m->layer[m->n_layers];
    if (!train->label)
        am_copy(ctx, out->z, train->target);
    else if (am_samples_signed_one_hot(train, ctx, out->z, st))
        return st->code;
    am_row_sum(ctx, out->s_z, out->z);
    return am_ctx_status(ctx, st);
}

static altmin_error start_vectors(am_mdlam *m, altmin_status *st)
{
    am_ctx *ctx = m->problem.ctx;
    for (size_t l = 2; l <= m->n_layers; l++) {
        const am_mdlam_layer *layer = &m->layer[l];
        const am_mat u = {m->u.data, layer->z.rows, 1};
        am_fill(ctx, layer->v, 1.0f);
        am_norm2(ctx, m->layer[l - 1].activation.lambda, layer->w[0], layer->v, u, AM_POWER_COLD);
    }
    return am_ctx_status(ctx, st);
}

static altmin_error mdlam_start(void *state, float *const *w, float *const *b, altmin_status *st)
{
    am_mdlam *m = state;
    am_ctx *ctx = m->problem.ctx;
    m->first = m->problem.train->x;
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_upload(ctx, m->layer[l].w[0], w[l]);
        am_upload(ctx, m->layer[l].w[1], w[l]);
        am_upload(ctx, m->layer[l].b, b[l]);
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

static void mdlam_measure(const void *state, const double *slot, am_measures *out)
{
    const am_mdlam *m = state;
    const altmin_settings *set = m->problem.settings;
    const double loss = slot[m->loss];
    out->objective = m->problem.net->loss == AM_LOSS_SQUARED ? 0.5 * loss : loss;
    out->eps = slot[m->eps_used];
    out->n_guarded = 0;
    for (size_t l = 1; l <= m->n_layers; l++) {
        const am_mdlam_layer *layer = &m->layer[l];
        const int hidden = l < m->n_layers;
        am_layer_measures *measures = &out->layer[l];
        measures->step2[AM_BLOCK_W] = slot[layer->weight.step2];
        measures->step2[AM_BLOCK_B] = slot[layer->step2_b];
        measures->step2[AM_BLOCK_Z] = slot[layer->step2_z];
        measures->step2[AM_BLOCK_A] = hidden ? slot[layer->activation.step2] : 0.0;
        measures->box = hidden ? slot[layer->activation.box] : 0.0;
        measures->residual2 = slot[layer->residual2];
        out->objective += 0.5 * (set->rho * measures->residual2 + set->mu * slot[layer->weight2]);
        out->n_guarded += slot[layer->weight.fired] != 0.0;
        out->n_guarded += hidden && slot[layer->activation.fired] != 0.0;
    }
}

static am_mat mdlam_weight(const void *state, size_t l)
{
    const am_mdlam *m = state;
    return m->layer[l].w[m->parity];
}

static am_mat mdlam_bias(const void *state, size_t l) { return ((const am_mdlam *)state)->layer[l].b; }

static const char *mdlam_form(const void *state, size_t l)
{
    return ((const am_mdlam *)state)->layer[l].form == AM_FORM_NORMAL ? "normal" : "sample";
}

const am_method am_method_mdlam = {
    .name = "mdlam",
    .title = "monotone alternating minimisation under inequality constraints (Wang, Li, Zhao 2022)",
    .check = mdlam_check,
    .prepare = mdlam_prepare,
    .start = mdlam_start,
    .sweep = mdlam_sweep,
    .measure = mdlam_measure,
    .weight = mdlam_weight,
    .bias = mdlam_bias,
    .form = mdlam_form,
    .release = free,
};
