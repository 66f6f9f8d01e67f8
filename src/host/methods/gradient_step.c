/* A batch, forward, backward, update; see gradient_step.h. */
#include "host/methods/gradient_step.h"

#define AM_ALIGN_FLOATS 16 /* every matrix of a flat vector starts at a multiple of 64 bytes */

/* ---------------------------------------------------------------------------------------------- views */

am_mat am_flat_weight(const am_gradient *g, const am_flat *v, size_t l)
{
    const size_t *width = g->problem.net->width;
    return (am_mat){v->all.data + g->layer[l].w_at, width[l], l == 1 ? g->n_features : width[l - 1]};
}

am_mat am_flat_bias(const am_gradient *g, const am_flat *v, size_t l)
{
    return (am_mat){v->all.data + g->layer[l].b_at, g->problem.net->width[l], 1};
}

am_mat am_flat_weights(const am_gradient *g, const am_flat *v)
{
    return (am_mat){v->all.data + g->n_biases, g->n_floats - g->n_biases, 1};
}

am_mat am_flat_biases(const am_gradient *g, const am_flat *v)
{
    return (am_mat){v->all.data, g->n_biases, 1};
}

altmin_error am_flat_lay_out(am_gradient *g, altmin_status *st)
{
    size_t at = 0;
    for (int part = 0; part < 2; part++) {
        for (size_t l = g->n_layers; l >= 1; l--) {
            *(part ? &g->layer[l].w_at : &g->layer[l].b_at) = at;
            const am_flat none = {{0}};
            const am_mat shape = part ? am_flat_weight(g, &none, l) : am_flat_bias(g, &none, l);
            if (am_size_add(at, shape.rows * shape.cols, &at) || am_size_add(at, AM_ALIGN_FLOATS - 1, &at))
                return am_fail(st, ALTMIN_ERR_MEMORY, "the network has more weights than memory can address");
            at -= at % AM_ALIGN_FLOATS;
        }
        *(part ? &g->n_floats : &g->n_biases) = at;
    }
    return ALTMIN_OK;
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
        b.x = am_gradient_input(g), b.target = train->target, b.label = train->label;
        return b;
    }
    const int32_t *index = (const int32_t *)g->index + first;
    b.x.dense = (am_mat){g->x.data, g->n_features, b.m};
    am_gather_columns(ctx, b.x.dense, am_gradient_input(g).dense, index);
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

/* h(z_l): what h' is found from and d_l written over. */
static am_mat branch_of(const am_gradient *g, size_t l, size_t m)
{
    if (am_net_kind(g->problem.net, l) != AM_LAYER_BLOCK) return activation_of(g, l, m);
    return (am_mat){g->layer[l].h.data, g->problem.net->width[l], m};
}

static am_input input_of(const am_gradient *g, const batch *b, size_t l)
{
    return l == 1 ? b->x : (am_input){.dense = activation_of(g, l - 1, b->m)};
}

/* What layer l makes of p_l = W_l a_{l-1}, in place. */
static void activate(am_gradient *g, size_t l, am_mat p, const am_input *a)
{
    am_ctx *ctx = g->problem.ctx;
    const int act = g->problem.net->act;
    const am_mat b = am_flat_bias(g, &g->theta, l);
    switch (am_net_kind(g->problem.net, l)) {
    case AM_LAYER_PLAIN:
        am_map(ctx, AM_MAP_ACTIVATE, act, &(am_map_args){.out = {p}, .in = {p}, .row = b});
        break;
    case AM_LAYER_INPUT:
        am_map(ctx, AM_MAP_ADD_ROW, 0, &(am_map_args){.out = {p}, .in = {p}, .row = b});
        break;
    case AM_LAYER_BLOCK:
        am_map(ctx, AM_MAP_RESIDUAL_KEEP, act,
               &(am_map_args){.out = {p, branch_of(g, l, p.cols)}, .in = {p, a->dense}, .row = b});
        break;
    case AM_LAYER_OUTPUT: break; /* with the loss */
    }
}

static void forward(am_gradient *g, const batch *b)
{
    am_ctx *ctx = g->problem.ctx;
    for (size_t l = 1; l <= g->n_layers; l++) {
        const am_input a = input_of(g, b, l);
        const am_mat p = activation_of(g, l, b->m);
        am_input_apply(ctx, p, 1.0f, am_flat_weight(g, &g->theta, l), &a, 0.0f);
        activate(g, l, p, &a);
    }
}

/* d_L over p_L: the gradient of the batch's mean loss in z_L; with db_L. */
static void output_gradient(am_gradient *g, const batch *b)
{
    am_ctx *ctx = g->problem.ctx;
    const size_t l = g->n_layers;
    const am_mat p = activation_of(g, l, b->m), bias = am_flat_bias(g, &g->theta, l),
                 db = am_flat_bias(g, &g->grad, l);
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

/* d_l = dF/dz_l from q = dF/da_l, with db_l = d_l 1. */
static am_mat through_activation(am_gradient *g, size_t l, am_mat q)
{
    am_ctx *ctx = g->problem.ctx;
    const am_mat db = am_flat_bias(g, &g->grad, l);
    if (am_net_kind(g->problem.net, l) == AM_LAYER_INPUT) { /* a_l = z_l */
        am_row_sum(ctx, db, q);
        return q;
    }
    const am_mat h = branch_of(g, l, q.cols);
    am_map(ctx, AM_MAP_BACK, g->problem.net->act, &(am_map_args){.out = {h}, .in = {q, h}, .row_sum = db});
    return h;
}

/* dW_l = d_l a_{l-1}', then q = dF/da_{l-1} = W_l'd_l, to which the skip of a residual block adds dF/da_l: that is what q
 * holds already. */
static void backward(am_gradient *g, const batch *b)
{
    am_ctx *ctx = g->problem.ctx;
    am_mat d = activation_of(g, g->n_layers, b->m);
    for (size_t l = g->n_layers; l >= 1; l--) {
        const am_input a = input_of(g, b, l);
        am_input_correlate(ctx, am_flat_weight(g, &g->grad, l), 1.0f, d, &a, 0.0f);
        if (l == 1) break;
        const am_mat q = {g->q.data, a.dense.rows, b->m};
        const float skip = am_net_kind(g->problem.net, l) == AM_LAYER_BLOCK ? 1.0f : 0.0f;
        am_gemm(ctx, q, 1.0f, am_flat_weight(g, &g->theta, l), 1, d, 0, skip);
        d = through_activation(g, l - 1, q);
    }
}

static void update_part(am_gradient *g, am_mat (*part)(const am_gradient *, const am_flat *), am_slot decay)
{
    const am_gradient_slots *s = &g->slot;
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
    const am_gradient_slots *s = &g->slot;
    am_scalar(ctx, s->t, AM_SCALAR_ADD, (am_slot[]){s->t, s->one});
    if (g->cosine)
        am_scalar(ctx, s->rate, AM_SCALAR_COSINE, (am_slot[]){s->rate_0, s->t, s->n_steps});
    else
        am_scalar(ctx, s->rate, AM_SCALAR_SET, &s->rate_0);
    if (g->adam) {
        am_scalar(ctx, s->rate_t, AM_SCALAR_ADAM_RATE, (am_slot[]){s->rate, s->beta1, s->t});
        am_scalar(ctx, s->scale_t, AM_SCALAR_ADAM_SCALE, (am_slot[]){s->beta2, s->t});
    }
    update_part(g, am_flat_weights, s->decay);
    update_part(g, am_flat_biases, s->zero);
}

void am_gradient_of_batch(am_gradient *g, size_t i)
{
    const batch b = take_batch(g, i);
    forward(g, &b);
    output_gradient(g, &b);
    backward(g, &b);
}

void am_gradient_step(am_gradient *g, size_t i)
{
    am_gradient_of_batch(g, i);
    am_scalar(g->problem.ctx, g->slot.total, AM_SCALAR_ADD, (am_slot[]){g->slot.total, g->slot.loss});
    update(g);
}
