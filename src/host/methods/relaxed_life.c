/* Memory, scalars and start of mDLAM and TIAM; the sweep is in relaxed.c. Storage per hidden layer: z, p and two of a, d x n
 * each, and one more z where p1 != p2. */
#include "host/methods/relaxed_state.h"

#include <stdlib.h>

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
    if (m->problem.settings->subgradient) am_subgradient_plan(&m->subgradient, m->problem.net, m->n, plan);
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
    if (set->subgradient) am_subgradient_slots(&m->subgradient, ctx);
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
    am_relaxed_lift(m);
    if (start_output(m, st) || start_vectors(m, st)) return st->code;
    if (m->layer[1].form == AM_FORM_NORMAL) am_step_gram(ctx, m->gram_1, &m->first);
    if (m->exact) {
        const am_weight_step step = am_relaxed_weight_step(m, 1, &m->first);
        am_step_weight_factor(ctx, &step, m->factor_1);
    }
    return am_ctx_status(ctx, st);
}

/* ---------------------------------------------------------------------------------------------- presets */

/* Chosen by held-out accuracy, as bench/results/2026-11-22-methods says. What matters is mu against rho x samples x mean square
 * of the inputs: at 1/100 or so exact weight blocks no longer fit noise. Restarts of eps let units move again that the floor
 * holds; re-lift brings z and a back to the forward path. Both together help, each alone does harm. */
const char *const am_relaxed_best[] = {"step",   "exact",     "rho", "1e-2",        "mu-per-sample",
                                       "1e-5",   "eps-start", "1",   "eps-restart", "20",
                                       "relift", "20",        NULL};
/* Fewer samples than features: restarts do harm, the ridge may be strong and the relaxation wide. */
const char *const am_relaxed_few[] = {"step",          "cauchy", "rho",       "3e-4", "mu",        "0.2",
                                      "mu-per-sample", "0",      "eps-start", "100",  "eps-floor", "0.1",
                                      "eps-restart",   "0",      "relift",    "0",    NULL};
/* Squared loss: curvature 1 a sample, against which rho has to count; cross-entropy at confident outputs has next to none. */
const char *const am_relaxed_values[] = {"rho", "0.1", "mu-per-sample", "3e-3", NULL};
