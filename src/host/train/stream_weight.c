/* Weight steps of the stream shell: running Gram matrices, their regularised inverses, the update; stream.h, step 4.
 *
 * The bias belongs to the block: with [a;1] the Gram matrix is [[A, s], [s', 1]] and S = [T, t] (that + c I)^-1, T = r a'/m,
 * t = r 1/m. Eliminating the bias gives [derived]
 *     S_W = (T - t s'/(1 + c)) (A - s s'/(1 + c) + c I)^-1,   S_b = (t - S_W s)/(1 + c),
 * so that no matrix needs a border. With (X + c I)^-1 = (I - VK V')/c the 1/c is left to the update, and t is carried as
 * k t, k = c/(1 + c): T - (k t)(s/c)', and S_b = k t - S_W s/(1 + c), both still to be divided by c.
 * From the left (two-sided): S <- (1 + o)/o c_B (B + c_B I)^-1 S with c_B = o mean(diag B), o = 1. */
#include "host/train/stream.h"

#include "host/train/rng.h"

#include <stdlib.h>

#define AM_BASIS_TENSOR 1000 /* random streams of the first bases */

static am_mat shaped(am_mat memory, size_t rows, size_t cols)
{
    return (am_mat){memory.data, rows, cols};
}

/* ---------------------------------------------------------------------------------------------- inverses */

/* V <- qr(X V), VK = V P (P + c I)^-1, P = V'X V. */
static void deflate(const am_stream *s, am_ctx *ctx, const am_deflation *d, am_mat x, am_slot ridge)
{
    am_gemm(ctx, d->y, 1.0f, x, 0, d->v, 0, 0.0f);
    am_copy(ctx, d->v, d->y);
    am_orthonormalise(ctx, d->v);
    am_gemm(ctx, d->y, 1.0f, x, 0, d->v, 0, 0.0f);
    am_gemm(ctx, d->p, 1.0f, d->v, 1, d->y, 0, 0.0f);
    am_map(ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {d->h}, .in = {d->p, d->eye}, .coef = {s->slot.one, ridge}});
    am_cholesky(ctx, d->factor, d->h, 1.0, 0.0);
    am_gemm(ctx, d->vk, 1.0f, d->v, 0, d->p, 0, 0.0f);
    am_solve_right(ctx, d->vk, d->factor);
}

/* y <- slot x. */
static void scaled(const am_stream *s, am_ctx *ctx, am_mat y, am_mat x, am_slot slot)
{
    am_map(ctx, AM_MAP_LINCOMB, 0, &(am_map_args){.out = {y}, .in = {x, x}, .coef = {slot, s->slot.zero}});
}

static void ridge_of(const am_stream *s, am_ctx *ctx, const am_stream_layer *layer)
{
    const am_stream_layer_slots *slot = &layer->slot;
    am_map(ctx, AM_MAP_DOT, 0, &(am_map_args){.in = {layer->gram, layer->identity}, .sum = {slot->trace}});
    am_scalar(ctx, slot->ridge, AM_SCALAR_RIDGE,
              (am_slot[]){s->slot.lam, slot->trace, s->slot.one, slot->d_in});
    am_scalar(ctx, slot->over_ridge, AM_SCALAR_SAFE_INVERSE, (am_slot[]){slot->ridge, s->slot.one});
    am_scalar(ctx, slot->over_bias, AM_SCALAR_MAJORISER, (am_slot[]){slot->ridge, s->slot.one, s->slot.one});
    const int deflated = layer->inverse == AM_INVERSE_DEFLATE;
    if (deflated)
        am_scalar(ctx, slot->share, AM_SCALAR_MUL, (am_slot[]){slot->ridge, slot->over_bias});
    else
        am_scalar(ctx, slot->share, AM_SCALAR_SET, &slot->over_bias);
    am_scalar(
        ctx, slot->gain, AM_SCALAR_MUL,
        (am_slot[]){deflated ? slot->over_ridge : s->slot.one, layer->two_sided ? s->slot.two : s->slot.one});
    am_scalar(ctx, slot->fresh_gain, AM_SCALAR_MUL, (am_slot[]){s->slot.fresh, slot->gain});
}

void am_stream_invert(am_stream *s, am_ctx *ctx, size_t l)
{
    const am_stream_layer *layer = &s->layer[l];
    const am_mat rest = layer->part; /* A - s s'/(1 + c) */
    am_label(ctx, "layer %zu, inverse of the Gram matrix", l);
    ridge_of(s, ctx, layer);
    scaled(s, ctx, layer->mean_bias, layer->mean, layer->slot.over_bias);
    scaled(s, ctx, layer->shares, s->ones, layer->slot.share);
    am_copy(ctx, rest, layer->gram);
    am_gemm(ctx, rest, -1.0f, layer->mean, 0, layer->mean_bias, 1, 1.0f);
    if (layer->inverse == AM_INVERSE_WHITE) return; /* the input's own business */
    if (layer->inverse == AM_INVERSE_DEFLATE) {
        deflate(s, ctx, &layer->right, rest, layer->slot.ridge);
        scaled(s, ctx, layer->mean_edge, layer->mean, layer->slot.over_ridge);
        am_gemm(ctx, layer->edge_vk, 1.0f, layer->right.vk, 1, layer->mean_edge, 0, 0.0f);
        return;
    }
    am_copy(ctx, layer->mean_edge, layer->mean);
    am_map(ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){
               .out = {rest}, .in = {rest, layer->identity}, .coef = {s->slot.one, layer->slot.ridge}});
    am_cholesky(ctx, layer->factor, rest, 1.0, 0.0);
}

/* ---------------------------------------------------------------------------------------------- running Grams */

/* mean <- g mean + (1 - g)/m sum. */
static void run_mean(const am_stream *s, am_ctx *ctx, am_mat mean, am_mat sum)
{
    am_map(ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {mean}, .in = {mean, sum}, .coef = {s->slot.g, s->slot.add_g}});
}

static void refresh_layer(am_ctx *ctx, size_t i, void *arg)
{
    am_stream *s = arg;
    const size_t l = i + 2; /* the first layer's input never changes */
    const am_stream_layer *layer = &s->layer[l];
    const am_mat a = shaped(s->layer[l - 1].full_a, layer->gram.rows, s->now.m);
    am_label(ctx, "layer %zu, Gram matrix", l);
    am_gram(ctx, layer->part, a, 0);
    am_row_sum(ctx, layer->part_mean, a);
    run_mean(s, ctx, layer->gram, layer->part);
    run_mean(s, ctx, layer->mean, layer->part_mean);
    am_stream_invert(s, ctx, l);
}

void am_stream_refresh(am_stream *s)
{
    am_ctx *ctx = s->problem.ctx;
    const am_stream_slots *slot = &s->slot;
    am_scalar(ctx, slot->g, AM_SCALAR_FORGET, (am_slot[]){slot->forget, slot->n_grams});
    am_scalar(ctx, slot->fresh_g, AM_SCALAR_COMPLEMENT, &slot->g);
    am_scalar(ctx, slot->add_g, AM_SCALAR_MUL,
              (am_slot[]){slot->fresh_g, s->now.m == s->chunk ? slot->inv_m : slot->inv_last});
    am_lanes(ctx, s->n_layers - 1, refresh_layer, s);
}

static void refresh_left_layer(am_ctx *ctx, size_t i, void *arg)
{
    am_stream *s = arg;
    const am_stream_layer *layer = &s->layer[i + 1];
    const am_stream_layer_slots *slot = &layer->slot;
    am_label(ctx, "layer %zu, Gram matrix of r", i + 1);
    am_gram(ctx, layer->left_part, layer->r, 0);
    run_mean(s, ctx, layer->left_gram, layer->left_part);
    am_map(ctx, AM_MAP_DOT, 0,
           &(am_map_args){.in = {layer->left_gram, layer->left_identity}, .sum = {slot->left_trace}});
    am_scalar(ctx, slot->left_ridge, AM_SCALAR_RIDGE,
              (am_slot[]){s->slot.one, slot->left_trace, s->slot.zero, slot->d_out});
    deflate(s, ctx, &layer->left, layer->left_gram, slot->left_ridge);
}

void am_stream_refresh_left(am_stream *s)
{
    am_lanes(s->problem.ctx, s->n_layers, refresh_left_layer, s);
}

void am_stream_forget(am_stream *s)
{
    for (size_t l = 1; l <= s->n_layers; l++) {
        const am_stream_layer *layer = &s->layer[l];
        if (l > 1) {
            am_fill(s->problem.ctx, layer->gram, 0.0f);
            am_fill(s->problem.ctx, layer->mean, 0.0f);
        }
        if (layer->two_sided) am_fill(s->problem.ctx, layer->left_gram, 0.0f);
    }
}

/* ---------------------------------------------------------------------------------------------- update */

/* S~ = T - U V' - (k t)(s/c)' in one product, U = T VK - (k t)(VK's/c)'. */
static void apply_deflation(const am_stream_layer *layer, am_ctx *ctx, am_mat s_w, am_mat s_b)
{
    const size_t q = layer->right.q;
    const am_mat u = am_mat_cols(layer->u, 0, q), kt = am_mat_cols(layer->u, q, 1);
    am_copy(ctx, kt, s_b);
    am_gemm(ctx, u, 1.0f, s_w, 0, layer->right.vk, 0, 0.0f);
    am_gemm(ctx, u, -1.0f, kt, 0, layer->edge_vk, 1, 1.0f);
    am_gemm(ctx, s_w, -1.0f, layer->u, 0, layer->right.basis, 1, 1.0f);
}

static void apply_left(const am_stream_layer *layer, am_ctx *ctx)
{
    const am_mat u = shaped(layer->left_u, layer->left.q, layer->step.cols);
    am_gemm(ctx, u, 1.0f, layer->left.v, 1, layer->step, 0, 0.0f);
    am_gemm(ctx, layer->step, -1.0f, layer->left.vk, 0, u, 0, 1.0f);
}

/* c_l = ||r_L||/||r_l|| of running means, or a power of boost, and what the update multiplies S and the direction by. */
static void lengths(const am_stream *s, am_ctx *ctx, const am_stream_layer *layer)
{
    const am_stream_layer_slots *slot = &layer->slot;
    if (s->design.scale_rate)
        am_scalar(ctx, slot->boost, AM_SCALAR_RATIO_ROOT,
                  (am_slot[]){s->layer[s->n_layers].slot.mean_r2, slot->mean_r2});
    am_scalar(ctx, slot->rate, AM_SCALAR_MUL, (am_slot[]){s->slot.rate, slot->boost});
    if (!s->design.inertial) return;
    am_scalar(ctx, slot->step, AM_SCALAR_MUL, (am_slot[]){slot->rate, slot->gain});
    am_scalar(ctx, slot->step, AM_SCALAR_MUL, (am_slot[]){slot->step, s->slot.length});
}

static void weight_layer(am_ctx *ctx, size_t i, void *arg)
{
    const am_stream *s = arg;
    const size_t l = i + 1;
    const am_stream_layer *layer = &s->layer[l];
    const am_stream_layer_slots *slot = &layer->slot;
    const am_input a = l == 1 ? s->x : (am_input){.dense = s->layer[l - 1].a};
    const am_mat s_w = am_mat_cols(layer->step, 0, layer->w.cols),
                 s_b = am_mat_cols(layer->step, layer->w.cols, 1);
    const float inv_m = 1.0f / (float)s->now.m;
    am_label(ctx, "layer %zu, block W", l);
    am_input_correlate(ctx, s_w, inv_m, layer->r, &a, 0.0f);
    am_gemm(ctx, s_b, inv_m, layer->r, 0, shaped(layer->shares, s->m, 1), 0, 0.0f);
    if (layer->inverse == AM_INVERSE_DEFLATE) {
        apply_deflation(layer, ctx, s_w, s_b);
    } else if (layer->inverse == AM_INVERSE_FACTOR) {
        am_gemm(ctx, s_w, -1.0f, s_b, 0, layer->mean_edge, 1, 1.0f);
        am_solve_right(ctx, s_w, layer->factor);
    }
    if (layer->inverse != AM_INVERSE_WHITE) am_gemm(ctx, s_b, -1.0f, s_w, 0, layer->mean_bias, 0, 1.0f);
    if (layer->two_sided) apply_left(layer, ctx);
    lengths(s, ctx, layer);
    const am_slot keep = s->design.inertial ? s->slot.reach : s->slot.beta,
                  take = s->design.inertial ? slot->step : slot->fresh_gain,
                  go = s->design.inertial ? s->slot.one : slot->rate;
    am_map(ctx, AM_MAP_STREAM_STEP, 0,
           &(am_map_args){.out = {layer->wb, layer->direction},
                          .in = {layer->step, layer->direction, layer->wb},
                          .coef = {keep, take, go}});
}

static void displacement_layer(am_ctx *ctx, size_t i, void *arg)
{
    const am_stream *s = arg;
    const am_stream_layer *layer = &s->layer[i + 1];
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {layer->r}, .sum = {layer->slot.r2}});
    am_scalar(ctx, layer->slot.mean_r2, AM_SCALAR_CHUNK_SMOOTH,
              (am_slot[]){layer->slot.mean_r2, layer->slot.r2, s->slot.n_good});
}

void am_stream_weights(am_stream *s)
{
    if (s->design.scale_rate) am_lanes(s->problem.ctx, s->n_layers, displacement_layer, s);
    am_lanes(s->problem.ctx, s->n_layers, weight_layer, s);
}

/* ---------------------------------------------------------------------------------------------- life */

static void plan_deflation(am_deflation *d, am_plan *plan, size_t rows, size_t q)
{
    d->q = q;
    am_plan_mat(plan, "Gram matrices", &d->basis, rows, q + 1);
    am_plan_mat(plan, "Gram matrices", &d->vk, rows, q);
    am_plan_mat(plan, "Gram matrices", &d->y, rows, q);
    am_plan_mat(plan, "Gram matrices", &d->p, q, q);
    am_plan_mat(plan, "Gram matrices", &d->h, q, q);
    am_plan_mat(plan, "Gram matrices", &d->eye, q, q);
    am_plan_mat(plan, "Gram matrices", &d->factor, q, am_factor_cols(q));
}

void am_stream_weight_plan(am_stream *s, am_plan *plan)
{
    const size_t *width = s->problem.net->width, rank = s->problem.settings->rank;
    static const char name[] = "Gram matrices";
    for (size_t l = 1; l <= s->n_layers; l++) {
        am_stream_layer *layer = &s->layer[l];
        const size_t d = width[l - 1], out = width[l];
        am_mat *const square[] = {&layer->gram, &layer->part, &layer->identity};
        am_mat *const vector[] = {&layer->mean, &layer->part_mean, &layer->mean_bias};
        for (size_t i = 0; i < 3; i++) {
            am_plan_mat(plan, name, square[i], d, d);
            am_plan_mat(plan, name, vector[i], d, 1);
        }
        am_plan_mat(plan, name, &layer->shares, s->chunk, 1);
        if (layer->inverse == AM_INVERSE_DEFLATE) {
            plan_deflation(&layer->right, plan, d, rank);
            am_plan_mat(plan, name, &layer->u, out, rank + 1);
            am_plan_mat(plan, name, &layer->edge_vk, rank, 1);
        } else {
            am_plan_mat(plan, name, &layer->mean_edge, d, 1);
        }
        if (layer->inverse == AM_INVERSE_FACTOR)
            am_plan_mat(plan, name, &layer->factor, d, am_factor_cols(d));
        if (!layer->two_sided) continue;
        size_t q = rank ? rank : AM_MAX_BASIS;
        if (q > out) q = out;
        plan_deflation(&layer->left, plan, out, q);
        am_plan_mat(plan, name, &layer->left_gram, out, out);
        am_plan_mat(plan, name, &layer->left_part, out, out);
        am_plan_mat(plan, name, &layer->left_identity, out, out);
        am_plan_mat(plan, name, &layer->left_u, q, d + 1);
    }
}

altmin_error am_stream_upload_identity(am_ctx *ctx, am_mat identity, altmin_status *st)
{
    const size_t d = identity.rows;
    float *host = calloc(d * d, sizeof *host);
    if (!host) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a %zu x %zu identity", d, d);
    for (size_t i = 0; i < d; i++) host[i + i * d] = 1.0f;
    am_upload(ctx, identity, host);
    free(host);
    return ALTMIN_OK;
}

static altmin_error start_deflation(const am_stream *s, am_deflation *d, uint32_t tensor, altmin_status *st)
{
    const size_t n = am_mat_len(d->y);
    float *host = malloc(n * sizeof *host);
    if (!host)
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu x %zu basis vectors", d->y.rows, d->q);
    am_rng_normal(host, n, 1.0, s->problem.settings->seed, tensor);
    d->v = am_mat_cols(d->basis, 0, d->q);
    am_upload(s->problem.ctx, d->v, host);
    free(host);
    am_fill(s->problem.ctx, am_mat_cols(d->basis, d->q, 1), 0.0f);
    return am_stream_upload_identity(s->problem.ctx, d->eye, st);
}

altmin_error am_stream_weight_start(am_stream *s, altmin_status *st)
{
    am_ctx *ctx = s->problem.ctx;
    am_fill(ctx, s->ones, 1.0f);
    am_stream_forget(s);
    for (size_t l = 1; l <= s->n_layers; l++) {
        am_stream_layer *layer = &s->layer[l];
        const uint32_t tensor = AM_BASIS_TENSOR + 2 * (uint32_t)l;
        if (am_stream_upload_identity(ctx, layer->identity, st)) return st->code;
        if (layer->inverse == AM_INVERSE_DEFLATE) {
            if (start_deflation(s, &layer->right, tensor, st)) return st->code;
            layer->mean_edge = am_mat_cols(layer->right.basis, layer->right.q, 1);
        }
        if (!layer->two_sided) continue;
        if (start_deflation(s, &layer->left, tensor + 1, st) ||
            am_stream_upload_identity(ctx, layer->left_identity, st))
            return st->code;
    }
    return ALTMIN_OK;
}
