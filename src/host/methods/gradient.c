/* The gradient baselines as methods: passes over the samples, memory, life; formulas and conventions: gradient.h, the step
 * of a batch: gradient_step.h. */
#include "host/methods/gradient_step.h"

#include <stdlib.h>

#include "host/train/rng.h"

am_mat am_gradient_value(const am_gradient *g, size_t l, am_block block)
{
    return block == AM_BLOCK_W ? am_flat_weight(g, &g->grad, l) : am_flat_bias(g, &g->grad, l);
}

const int32_t *am_gradient_order(const am_gradient *g)
{
    return g->batch < g->n ? g->order : NULL;
}

/* ---------------------------------------------------------------------------------------------- one pass */

static size_t n_batches(const am_gradient *g)
{
    return (g->n + g->batch - 1) / g->batch;
}

/* Length of the pass's step, per block: the weights' change since the last pass. */
static void measure_change(am_gradient *g)
{
    am_ctx *ctx = g->problem.ctx;
    for (size_t l = 1; l <= g->n_layers; l++) {
        const am_mat w0 = am_flat_weight(g, &g->start, l), b0 = am_flat_bias(g, &g->start, l);
        am_map(ctx, AM_MAP_CHANGE, 0,
               &(am_map_args){
                   .out = {w0}, .in = {am_flat_weight(g, &g->theta, l), w0}, .sum = {g->layer[l].step2_w}});
        am_map(ctx, AM_MAP_CHANGE, 0,
               &(am_map_args){
                   .out = {b0}, .in = {am_flat_bias(g, &g->theta, l), b0}, .sum = {g->layer[l].step2_b}});
    }
    if (g->problem.settings->mu > 0.0)
        am_map(ctx, AM_MAP_SUM_SQUARES, 0,
               &(am_map_args){.in = {am_flat_weights(g, &g->theta)}, .sum = {g->slot.weight2}});
}

static void issue_sweep(void *state)
{
    am_gradient *g = state;
    am_ctx *ctx = g->problem.ctx;
    am_scalar(ctx, g->slot.total, AM_SCALAR_SET, &g->slot.zero);
    const size_t n = am_settings_steps_of_pass(g->problem.settings, g->n_pass, n_batches(g));
    for (size_t i = 0; i < n; i++) {
        am_label(ctx, "batch %zu of %zu", i + 1, n);
        am_gradient_step(g, i);
    }
    measure_change(g);
}

static void gradient_sweep(void *state)
{
    am_gradient *g = state;
    am_ctx *ctx = g->problem.ctx;
    const size_t n = n_batches(g);
    if (++g->n_pass == 1 && g->input.white.on) am_gradient_white_start(g);
    if (g->batch < g->n) { /* ahead of the sweep: a recorded sweep reads the new order from the same place */
        am_rng_permutation(g->order, g->n, g->problem.settings->seed, (uint32_t)g->n_pass);
        am_upload_bytes(ctx, g->index, g->order, g->n * sizeof *g->order);
    }
    am_sweep(ctx, am_settings_steps_of_pass(g->problem.settings, g->n_pass, n) < n, issue_sweep, g);
    if (g->input.white.on)
        am_white_fold(&g->input.white, ctx, am_flat_weight(g, &g->theta, 1), am_flat_bias(g, &g->theta, 1));
}

static void gradient_measure(const void *state, const double *slot, am_measures *out)
{
    const am_gradient *g = state;
    const altmin_settings *set = g->problem.settings;
    const size_t n_steps = n_batches(g), n_done = am_settings_steps_of_pass(set, g->n_pass, n_steps);
    const double n_seen = n_done < n_steps ? (double)n_done * (double)g->batch : (double)g->n;
    const double loss = slot[g->slot.total] * ((double)g->n / n_seen), mu = set->mu;
    *out = (am_measures){.objective = g->problem.net->loss == AM_LOSS_SQUARED ? 0.5 * loss : loss,
                         .eps = NAN,
                         .gradient = NAN};
    if (mu > 0.0) out->objective += 0.5 * mu * slot[g->slot.weight2];
    for (size_t l = 1; l <= g->n_layers; l++) {
        out->layer[l].step2[AM_BLOCK_W] = slot[g->layer[l].step2_w];
        out->layer[l].step2[AM_BLOCK_B] = slot[g->layer[l].step2_b];
    }
}

/* dF = n (gradient of the mean loss + mu/n W) of the full batch at the weights as they are now: one more forward and backward
 * pass. What the sweep left in g->grad belongs to the weights before its step. */
static am_slot gradient_norm(void *state)
{
    am_gradient *g = state;
    am_ctx *ctx = g->problem.ctx;
    const am_mat dw = am_flat_weights(g, &g->grad), db = am_flat_biases(g, &g->grad);
    const double n = (double)g->n;
    am_subgradient_begin(ctx, &g->norm);
    am_gradient_of_batch(g, 0);
    am_subgradient_add(ctx, &g->norm, n, dw, g->problem.settings->mu / n, am_flat_weights(g, &g->theta), 0.0,
                       dw);
    am_subgradient_add(ctx, &g->norm, n, db, 0.0, db, 0.0, db);
    return g->norm.sum;
}

/* ---------------------------------------------------------------------------------------------- life */

static altmin_error gradient_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    (void)settings, (void)net,
        (void)st; /* every activation has a derivative wherever back-propagation asks */
    return ALTMIN_OK;
}

static void plan_memory(am_gradient *g, am_plan *plan)
{
    const am_net *net = g->problem.net;
    am_flat *const vectors[] = {&g->theta, &g->grad, &g->start, &g->first, &g->second};
    static const char *const name[] = {"W", "gradients", "W before the pass", "moments", "moments"};
    for (int i = 0; i < (g->adam ? 5 : 4); i++) am_plan_mat(plan, name[i], &vectors[i]->all, g->n_floats, 1);
    size_t widest = 0;
    for (size_t l = 1; l <= g->n_layers; l++) {
        am_plan_mat(plan, "a of a batch", &g->layer[l].a, net->width[l], g->batch);
        if (am_net_kind(net, l) == AM_LAYER_BLOCK)
            am_plan_mat(plan, "a of a batch", &g->layer[l].h, net->width[l], g->batch);
        if (l < g->n_layers && net->width[l] > widest) widest = net->width[l];
    }
    am_plan_mat(plan, "a of a batch", &g->q, widest, g->batch);
    if (g->batch == g->n) return;
    am_plan_mat(plan, "samples of a batch", &g->x, net->width[0], g->batch);
    if (net->loss == AM_LOSS_SQUARED)
        am_plan_mat(plan, "samples of a batch", &g->y, net->width[g->n_layers], g->batch);
    am_plan_raw(plan, "samples of a batch", &g->label, g->batch * sizeof(int32_t));
    am_plan_raw(plan, "order of samples", &g->index, g->n * sizeof(int32_t));
}

static void take_slots(am_gradient *g)
{
    am_ctx *ctx = g->problem.ctx;
    const altmin_settings *set = g->problem.settings;
    const am_slot c = am_slots_new(ctx, 17);
    g->slot = (am_gradient_slots){c,     c + 1,  c + 2,  c + 3,  c + 4,  c + 5,  c + 6,  c + 7, c + 8,
                                  c + 9, c + 10, c + 11, c + 12, c + 13, c + 14, c + 15, c + 16};
    const double n_steps = am_settings_steps_of_run(set, n_batches(g));
    const size_t rest = g->n % g->batch;
    const double value[17] = {0.0,
                              1.0,
                              set->rate,
                              n_steps,
                              g->adam ? set->beta1 : set->momentum,
                              set->beta2,
                              set->adam_eps,
                              set->mu / (double)g->n,
                              1.0 / (double)g->batch,
                              rest ? 1.0 / (double)rest : 0.0};
    am_slots_write(ctx, c, 17, value);
    for (size_t l = 1; l <= g->n_layers; l++) {
        g->layer[l].step2_w = am_slots_new(ctx, 2);
        g->layer[l].step2_b = g->layer[l].step2_w + 1;
    }
}

static altmin_error set_batch(am_gradient *g, altmin_status *st)
{
    const size_t wanted = g->problem.settings->batch;
    g->n = g->problem.train->n;
    g->batch = wanted && wanted < g->n ? wanted : g->n;
    if (g->batch == g->n) return ALTMIN_OK;
    if (g->problem.settings->subgradient)
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "batch %zu: with mini-batches a sweep's F is a running value that has no gradient; use "
            "--batch 0, or leave --subgradient out",
            wanted);
    if (g->problem.train->x.sparse.cols)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "batch %zu: sparse data are trained on as a whole; use --batch 0", wanted);
    if (g->n > INT32_MAX)
        return am_fail(st, ALTMIN_ERR_DATA, "%zu samples are more than can be shuffled (%d)", g->n,
                       INT32_MAX);
    g->order = malloc(g->n * sizeof *g->order);
    return g->order ? ALTMIN_OK
                    : am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the order of %zu samples", g->n);
}

static altmin_error prepare(int adam, void **state, const am_problem *problem, am_plan *plan,
                            altmin_status *st)
{
    am_gradient *g = calloc(1, sizeof *g);
    *state = g;
    if (!g) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the state of a gradient method");
    g->problem = *problem;
    g->adam = adam;
    g->cosine = problem->settings->schedule == AM_SCHEDULE_COSINE;
    g->n_layers = problem->net->n_layers;
    g->n_features = problem->net->width[0];
    if (set_batch(g, st) || am_flat_lay_out(g, st) || am_gradient_white_prepare(g, plan, st)) return st->code;
    plan_memory(g, plan);
    take_slots(g);
    if (problem->settings->subgradient) am_subgradient_slots(&g->norm, problem->ctx);
    return am_ctx_status(problem->ctx, st);
}

static altmin_error sgd_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    return prepare(0, state, problem, plan, st);
}

static altmin_error adam_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    return prepare(1, state, problem, plan, st);
}

/* In the data's coordinates. */
static am_mat gradient_weight(const void *state, size_t l)
{
    const am_gradient *g = state;
    return l == 1 && g->input.white.on ? g->input.white.w : am_flat_weight(g, &g->theta, l);
}

static am_mat gradient_bias(const void *state, size_t l)
{
    const am_gradient *g = state;
    return l == 1 && g->input.white.on ? g->input.white.b : am_flat_bias(g, &g->theta, l);
}

static altmin_error gradient_start(void *state, float *const *w, float *const *b, altmin_status *st)
{
    am_gradient *g = state;
    am_ctx *ctx = g->problem.ctx;
    const am_flat *const zeroed[] = {&g->theta, &g->grad, &g->first,
                                     &g->second}; /* padding stays zero for good */
    for (int i = 0; i < (g->adam ? 4 : 3); i++) am_fill(ctx, zeroed[i]->all, 0.0f);
    for (size_t l = 1; l <= g->n_layers; l++) {
        am_upload(ctx, gradient_weight(g, l), w[l]);
        am_upload(ctx, gradient_bias(g, l), b[l]);
    }
    am_copy(ctx, g->start.all, g->theta.all);
    return am_ctx_status(ctx, st);
}

static const char *gradient_form(const void *state, size_t l)
{
    (void)state, (void)l;
    return "gradient";
}

static void gradient_release(void *state)
{
    am_gradient *g = state;
    free(g->order);
    am_white_free(&g->input.white);
    free(g);
}

/* Tuned on MNIST (784-300-300-10, held-out training samples); these methods have no published settings for this use. */
static const char *const sgd_preset[] = {"init",     "he",  "batch",  "100", "rate", "0.15",
                                         "momentum", "0.9", "whiten", "0",   NULL};
static const char *const adam_preset[] = {"init", "he", "batch", "250", "rate", "3e-3", "whiten", "0", NULL};

/* The same search on Cora (few samples) and Wine Quality (values); see bench/results/2026-11-22-methods. */
static const char *const sgd_few[] = {"rate", "5e-3", "mu", "1", NULL};
static const char *const sgd_values[] = {"rate", "0.05", "mu", "1", NULL};
static const char *const adam_few[] = {"rate", "1e-3", "mu", "1", NULL};
static const char *const adam_values[] = {"batch", "32", "mu", "10", NULL};

const am_method am_method_sgd = {
    .name = "sgd",
    .archs = AM_TRAINS(AM_ARCH_MLP) | AM_TRAINS(AM_ARCH_RESNET),
    .title = "stochastic gradient descent with momentum, by back-propagation (baseline)",
    .preset = {sgd_preset, sgd_preset, sgd_preset},
    .preset_for = {[AM_DATA_FEW] = {sgd_few, sgd_few, sgd_few},
                   [AM_DATA_VALUES] = {sgd_values, sgd_values, sgd_values}},
    .parts = 1,
    .check = gradient_check,
    .prepare = sgd_prepare,
    .start = gradient_start,
    .sweep = gradient_sweep,
    .measure = gradient_measure,
    .subgradient = gradient_norm,
    .weight = gradient_weight,
    .bias = gradient_bias,
    .form = gradient_form,
    .release = gradient_release,
};

const am_method am_method_adam = {
    .name = "adam",
    .archs = AM_TRAINS(AM_ARCH_MLP) | AM_TRAINS(AM_ARCH_RESNET),
    .title = "Adam (Kingma, Ba 2015), by back-propagation (baseline)",
    .preset = {adam_preset, adam_preset, adam_preset},
    .preset_for = {[AM_DATA_FEW] = {adam_few, adam_few, adam_few},
                   [AM_DATA_VALUES] = {adam_values, adam_values, adam_values}},
    .parts = 1,
    .check = gradient_check,
    .prepare = adam_prepare,
    .start = gradient_start,
    .sweep = gradient_sweep,
    .measure = gradient_measure,
    .subgradient = gradient_norm,
    .weight = gradient_weight,
    .bias = gradient_bias,
    .form = gradient_form,
    .release = gradient_release,
};
