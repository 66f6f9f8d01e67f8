/* Back-propagation and its two updates; formulas and conventions: gradient.h.
 *
 * Per step of m samples: L forward products, L products d a' and L - 1 products W'd, one fused pass after each, one pass
 * over all weights for the update: the least that back-propagation can do. A layer keeps a_l alone (h' comes from a) and
 * d_l is written over it. Weights and biases, gradients and moments lie in flat vectors, so that a step updates all layers
 * in one pass. */
#include "host/methods/gradient.h"

#include "host/train/rng.h"

#include <stdlib.h>
#include <string.h>

#define AM_ALIGN_FLOATS 16 /* every matrix of a flat vector starts at a multiple of 64 bytes */

/* One vector over all parameters: W_1 .. W_L, then b_1 .. b_L, padded with zeros. */
typedef struct flat {
    am_mat all;
} flat;

typedef struct gradient_layer {
    size_t w_at, b_at; /* offsets in flat vectors */
    am_mat a;          /* d_l x m: p_l, then a_l, then d_l */
    am_slot step2_w, step2_b;
} gradient_layer;

/* Scalars of a run; all doubles on the backend. */
typedef struct gradient_slots {
    am_slot zero, one, rate_0, n_steps, beta1, beta2, eps, decay, inv_m, inv_last; /* constants */
    am_slot t, rate, rate_t, scale_t;                                              /* of the step */
    am_slot loss, total, weight2;                                                  /* results */
} gradient_slots;

struct am_gradient {
    am_problem problem;
    int adam, cosine;
    size_t n_layers, n, batch; /* batch = n: no gathering, no shuffling */
    size_t n_pass;
    size_t n_weights, n_floats; /* of a flat vector: weights, everything */
    flat theta, grad, first, second, start;
    am_mat q;    /* flat, widest hidden layer x m: W'd */
    am_mat x, y; /* gathered samples and targets */
    void *label, *index;
    int32_t *order; /* host */
    gradient_slots slot;
    gradient_layer layer[AM_MAX_HIDDEN + 2];
};

/* ---------------------------------------------------------------------------------------------- views */

static am_mat weight_in(const am_gradient *g, const flat *v, size_t l)
{
    const size_t *width = g->problem.net->width;
    return (am_mat){v->all.data + g->layer[l].w_at, width[l], width[l - 1]};
}

static am_mat bias_in(const am_gradient *g, const flat *v, size_t l)
{
    return (am_mat){v->all.data + g->layer[l].b_at, g->problem.net->width[l], 1};
}

static am_mat weights_of(const am_gradient *g, const flat *v)
{
    return (am_mat){v->all.data, g->n_weights, 1};
}
static am_mat biases_of(const am_gradient *g, const flat *v)
{
    return (am_mat){v->all.data + g->n_weights, g->n_floats - g->n_weights, 1};
}

am_mat am_gradient_value(const am_gradient *g, size_t l, am_block block)
{
    return block == AM_BLOCK_W ? weight_in(g, &g->grad, l) : bias_in(g, &g->grad, l);
}

const int32_t *am_gradient_order(const am_gradient *g)
{
    return g->batch < g->n ? g->order : NULL;
}

/* ---------------------------------------------------------------------------------------------- one step */

/* Samples of one batch in backend memory. */
typedef struct batch {
    size_t m;
    am_input x;
    am_mat target;
    const int32_t *label;
    am_slot inv_m;
} batch;

static am_mat as_row(const void *numbers, size_t n)
{
    return (am_mat){(float *)(uintptr_t)numbers, 1, n};
}

/* Batch number i of a pass: views for full batches, gathered columns else. */
static batch take_batch(am_gradient *g, size_t i)
{
    am_ctx *ctx = g->problem.ctx;
    const am_samples *train = g->problem.train;
    const size_t first = i * g->batch, left = g->n - first;
    batch b = {.m = left < g->batch ? left : g->batch};
    b.inv_m = b.m == g->batch ? g->slot.inv_m : g->slot.inv_last;
    if (g->batch == g->n) {
        b.x = train->x, b.target = train->target, b.label = train->label;
        return b;
    }
    const int32_t *index = (const int32_t *)g->index + first;
    b.x.dense = am_mat_cols(g->x, 0, b.m);
    am_gather_columns(ctx, b.x.dense, train->x.dense, index);
    if (g->problem.net->loss == AM_LOSS_SQUARED) {
        b.target = am_mat_cols(g->y, 0, b.m);
        am_gather_columns(ctx, b.target, train->target, index);
    } else {
        b.label = g->label;
        am_gather_columns(ctx, as_row(g->label, b.m), as_row(train->label, g->n), index);
    }
    return b;
}

static am_mat activation_of(const am_gradient *g, size_t l, size_t m)
{
    return (am_mat){g->layer[l].a.data, g->problem.net->width[l], m};
}

static am_input input_of(const am_gradient *g, const batch *b, size_t l)
{
    return l == 1 ? b->x : (am_input){.dense = activation_of(g, l - 1, b->m)};
}

static void forward(am_gradient *g, const batch *b)
{
    am_ctx *ctx = g->problem.ctx;
    for (size_t l = 1; l <= g->n_layers; l++) {
        const am_input a = input_of(g, b, l);
        const am_mat p = activation_of(g, l, b->m);
        am_input_apply(ctx, p, 1.0f, weight_in(g, &g->theta, l), &a, 0.0f);
        if (l < g->n_layers)
            am_map(ctx, AM_MAP_ACTIVATE, g->problem.net->act,
                   &(am_map_args){.out = {p}, .in = {p}, .row = bias_in(g, &g->theta, l)});
    }
}

/* d_L over p_L: the gradient of the batch's mean loss in z_L; with db_L. */
static void output_gradient(am_gradient *g, const batch *b)
{
    am_ctx *ctx = g->problem.ctx;
    const size_t l = g->n_layers;
    const am_mat p = activation_of(g, l, b->m), bias = bias_in(g, &g->theta, l), db = bias_in(g, &g->grad, l);
    if (g->problem.net->loss == AM_LOSS_CROSS_ENTROPY) {
        am_softmax_residual(ctx, g->slot.loss, AM_NO_SLOT, p, p, bias, b->label, 1.0f / (float)b->m);
        am_row_sum(ctx, db, p);
        return;
    }
    am_map(ctx, AM_MAP_OUTPUT_GRADIENT, 0,
           &(am_map_args){.out = {p},
                          .in = {p, b->target},
                          .row = bias,
                          .coef = {b->inv_m},
                          .sum = {g->slot.loss},
                          .row_sum = db});
}

/* dW_l = d_l a_{l-1}', then d_{l-1} = (W_l'd_l) o h'(z_{l-1}) over a_{l-1}, which nobody needs any more. */
static void backward(am_gradient *g, const batch *b)
{
    am_ctx *ctx = g->problem.ctx;
    for (size_t l = g->n_layers; l >= 1; l--) {
        const am_input a = input_of(g, b, l);
        const am_mat d = activation_of(g, l, b->m);
        am_input_correlate(ctx, weight_in(g, &g->grad, l), 1.0f, d, &a, 0.0f);
        if (l == 1) break;
        const am_mat q = {g->q.data, a.dense.rows, b->m};
        am_gemm(ctx, q, 1.0f, weight_in(g, &g->theta, l), 1, d, 0, 0.0f);
        am_map(ctx, AM_MAP_BACK, g->problem.net->act,
               &(am_map_args){.out = {a.dense}, .in = {q, a.dense}, .row_sum = bias_in(g, &g->grad, l - 1)});
    }
}

static void update_part(am_gradient *g, am_mat (*part)(const am_gradient *, const flat *), am_slot decay)
{
    const gradient_slots *s = &g->slot;
    const am_mat w = part(g, &g->theta), dw = part(g, &g->grad), m = part(g, &g->first);
    if (!g->adam) {
        am_map(g->problem.ctx, AM_MAP_MOMENTUM, 0,
               &(am_map_args){.out = {w, m}, .in = {dw, w, m}, .coef = {s->rate, s->beta1, decay}});
        return;
    }
    const am_mat v = part(g, &g->second);
    am_map(g->problem.ctx, AM_MAP_ADAM, 0,
           &(am_map_args){.out = {w, m, v},
                          .in = {dw, w, m, v},
                          .coef = {s->rate_t, s->beta1, s->beta2, s->scale_t, s->eps, decay}});
}

/* Step number and rates live on the backend, so that a recorded pass can be replayed. */
static void update(am_gradient *g)
{
    am_ctx *ctx = g->problem.ctx;
    const gradient_slots *s = &g->slot;
    am_scalar(ctx, s->t, AM_SCALAR_ADD, (am_slot[]){s->t, s->one});
    if (g->cosine)
        am_scalar(ctx, s->rate, AM_SCALAR_COSINE, (am_slot[]){s->rate_0, s->t, s->n_steps});
    else
        am_scalar(ctx, s->rate, AM_SCALAR_SET, &s->rate_0);
    if (g->adam) {
        am_scalar(ctx, s->rate_t, AM_SCALAR_ADAM_RATE, (am_slot[]){s->rate, s->beta1, s->t});
        am_scalar(ctx, s->scale_t, AM_SCALAR_ADAM_SCALE, (am_slot[]){s->beta2, s->t});
    }
    update_part(g, weights_of, s->decay);
    update_part(g, biases_of, s->zero);
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
        const am_mat w0 = weight_in(g, &g->start, l), b0 = bias_in(g, &g->start, l);
        am_map(ctx, AM_MAP_CHANGE, 0,
               &(am_map_args){
                   .out = {w0}, .in = {weight_in(g, &g->theta, l), w0}, .sum = {g->layer[l].step2_w}});
        am_map(
            ctx, AM_MAP_CHANGE, 0,
            &(am_map_args){.out = {b0}, .in = {bias_in(g, &g->theta, l), b0}, .sum = {g->layer[l].step2_b}});
    }
    if (g->problem.settings->mu > 0.0)
        am_map(ctx, AM_MAP_SUM_SQUARES, 0,
               &(am_map_args){.in = {weights_of(g, &g->theta)}, .sum = {g->slot.weight2}});
}

static void gradient_sweep(void *state)
{
    am_gradient *g = state;
    am_ctx *ctx = g->problem.ctx;
    g->n_pass++;
    if (g->batch < g->n) { /* ahead of the sweep: a recorded sweep reads the new order from the same place */
        am_rng_permutation(g->order, g->n, g->problem.settings->seed, (uint32_t)g->n_pass);
        am_upload_bytes(ctx, g->index, g->order, g->n * sizeof *g->order);
    }
    if (!am_sweep_begin(ctx, 0)) return;
    am_scalar(ctx, g->slot.total, AM_SCALAR_SET, &g->slot.zero);
    for (size_t i = 0; i < n_batches(g); i++) {
        am_label(ctx, "batch %zu of %zu", i + 1, n_batches(g));
        const batch b = take_batch(g, i);
        forward(g, &b);
        output_gradient(g, &b);
        am_scalar(ctx, g->slot.total, AM_SCALAR_ADD, (am_slot[]){g->slot.total, g->slot.loss});
        backward(g, &b);
        update(g);
    }
    measure_change(g);
    am_sweep_end(ctx, 0);
}

static void gradient_measure(const void *state, const double *slot, am_measures *out)
{
    const am_gradient *g = state;
    const double loss = slot[g->slot.total], mu = g->problem.settings->mu;
    *out = (am_measures){.objective = g->problem.net->loss == AM_LOSS_SQUARED ? 0.5 * loss : loss,
                         .eps = NAN,
                         .gradient = NAN};
    if (mu > 0.0) out->objective += 0.5 * mu * slot[g->slot.weight2];
    for (size_t l = 1; l <= g->n_layers; l++) {
        out->layer[l].step2[AM_BLOCK_W] = slot[g->layer[l].step2_w];
        out->layer[l].step2[AM_BLOCK_B] = slot[g->layer[l].step2_b];
    }
}

/* ---------------------------------------------------------------------------------------------- life */

static altmin_error gradient_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    (void)settings, (void)net,
        (void)st; /* every activation has a derivative wherever back-propagation asks */
    return ALTMIN_OK;
}

/* Offsets of all matrices in a flat vector. Sums of these products were checked with the network. */
static altmin_error lay_out(am_gradient *g, altmin_status *st)
{
    const size_t *width = g->problem.net->width;
    size_t at = 0;
    for (int part = 0; part < 2; part++) {
        for (size_t l = 1; l <= g->n_layers; l++) {
            *(part ? &g->layer[l].b_at : &g->layer[l].w_at) = at;
            const size_t len = part ? width[l] : width[l] * width[l - 1];
            if (am_size_add(at, len, &at) || am_size_add(at, AM_ALIGN_FLOATS - 1, &at))
                return am_fail(st, ALTMIN_ERR_MEMORY, "the network has more weights than memory can address");
            at -= at % AM_ALIGN_FLOATS;
        }
        *(part ? &g->n_floats : &g->n_weights) = at;
    }
    return ALTMIN_OK;
}

static void plan_memory(am_gradient *g, am_plan *plan)
{
    const am_net *net = g->problem.net;
    flat *const vectors[] = {&g->theta, &g->grad, &g->start, &g->first, &g->second};
    static const char *const name[] = {"W", "gradients", "W before the pass", "moments", "moments"};
    for (int i = 0; i < (g->adam ? 5 : 4); i++) am_plan_mat(plan, name[i], &vectors[i]->all, g->n_floats, 1);
    size_t widest = 0;
    for (size_t l = 1; l <= g->n_layers; l++) {
        am_plan_mat(plan, "a of a batch", &g->layer[l].a, net->width[l], g->batch);
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
    g->slot = (gradient_slots){c,     c + 1,  c + 2,  c + 3,  c + 4,  c + 5,  c + 6,  c + 7, c + 8,
                               c + 9, c + 10, c + 11, c + 12, c + 13, c + 14, c + 15, c + 16};
    const double n_steps = (double)n_batches(g) * (double)set->sweeps;
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
    if (set_batch(g, st) || lay_out(g, st)) return st->code;
    plan_memory(g, plan);
    take_slots(g);
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

static altmin_error gradient_start(void *state, float *const *w, float *const *b, altmin_status *st)
{
    am_gradient *g = state;
    am_ctx *ctx = g->problem.ctx;
    const flat *const zeroed[] = {&g->theta, &g->grad, &g->first,
                                  &g->second}; /* padding stays zero for good */
    for (int i = 0; i < (g->adam ? 4 : 3); i++) am_fill(ctx, zeroed[i]->all, 0.0f);
    for (size_t l = 1; l <= g->n_layers; l++) {
        am_upload(ctx, weight_in(g, &g->theta, l), w[l]);
        am_upload(ctx, bias_in(g, &g->theta, l), b[l]);
    }
    am_copy(ctx, g->start.all, g->theta.all);
    return am_ctx_status(ctx, st);
}

static am_mat gradient_weight(const void *state, size_t l)
{
    const am_gradient *g = state;
    return weight_in(g, &g->theta, l);
}

static am_mat gradient_bias(const void *state, size_t l)
{
    const am_gradient *g = state;
    return bias_in(g, &g->theta, l);
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
    free(g);
}

/* Tuned on MNIST (784-300-300-10, held-out training samples); these methods have no published settings for this use. */
static const char *const sgd_preset[] = {"init", "he",       "batch", "100", "rate",
                                         "0.15", "momentum", "0.9",   NULL};
static const char *const adam_preset[] = {"init", "he", "batch", "250", "rate", "3e-3", NULL};

const am_method am_method_sgd = {
    .name = "sgd",
    .archs = AM_TRAINS(AM_ARCH_MLP),
    .title = "stochastic gradient descent with momentum, by back-propagation (baseline)",
    .preset = {sgd_preset, sgd_preset, sgd_preset},
    .check = gradient_check,
    .prepare = sgd_prepare,
    .start = gradient_start,
    .sweep = gradient_sweep,
    .measure = gradient_measure,
    .weight = gradient_weight,
    .bias = gradient_bias,
    .form = gradient_form,
    .release = gradient_release,
};

const am_method am_method_adam = {
    .name = "adam",
    .archs = AM_TRAINS(AM_ARCH_MLP),
    .title = "Adam (Kingma, Ba 2015), by back-propagation (baseline)",
    .preset = {adam_preset, adam_preset, adam_preset},
    .check = gradient_check,
    .prepare = adam_prepare,
    .start = gradient_start,
    .sweep = gradient_sweep,
    .measure = gradient_measure,
    .weight = gradient_weight,
    .bias = gradient_bias,
    .form = gradient_form,
    .release = gradient_release,
};
