/* Chunks, lift, guard and schedule of the stream shell; what it is: stream.h.
 *
 * Every number that decides something lives in slots, so a chunk is recorded once on the GPU and replayed: what differs from
 * chunk to chunk is the list of its samples, copied to one place before the chunk begins. Keys of a recording: the short last
 * chunk of a pass or not, with or without a look at the weights to keep. */
#include "host/train/stream.h"

#include "host/train/rng.h"
#include "host/train/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AM_KEEP_EVERY 10 /* chunks between copies of good weights */

static am_mat as_row(const void *numbers, size_t n)
{
    return (am_mat){(float *)(uintptr_t)numbers, 1, n};
}

/* ---------------------------------------------------------------------------------------------- one chunk: lift */

static am_input input_of(const am_stream *s, size_t l)
{
    return l == 1 ? s->x : (am_input){.dense = s->layer[l - 1].a};
}

/* z_l, h(z_l) and a_l from p_l = W_l a_{l-1}, which lies where a_l goes. */
static void lift_layer(am_stream *s, size_t l, const am_input *a)
{
    const am_stream_layer *layer = &s->layer[l];
    am_ctx *ctx = s->problem.ctx;
    const int act = s->problem.net->act;
    am_input_apply(ctx, layer->a, 1.0f, layer->point_w, a, 0.0f);
    am_map_args args = {.out = {layer->a}, .in = {layer->a}, .row = layer->point_b};
    if (layer->kind == AM_LAYER_INPUT) {
        am_map(ctx, AM_MAP_ADD_ROW, 0, &args);
        return;
    }
    if (s->design.keep_z) {
        args.out[0] = layer->z, args.out[1] = layer->kind == AM_LAYER_BLOCK ? layer->h : layer->a;
        am_map(ctx, AM_MAP_LIFT, act, &args);
        if (layer->kind == AM_LAYER_BLOCK)
            am_map(ctx, AM_MAP_LINCOMB, 0,
                   &(am_map_args){
                       .out = {layer->a}, .in = {a->dense, layer->h}, .coef = {s->slot.one, s->slot.one}});
    } else if (layer->kind == AM_LAYER_BLOCK) {
        args.out[1] = layer->h, args.in[1] = a->dense;
        am_map(ctx, AM_MAP_RESIDUAL_KEEP, act, &args);
    } else {
        am_map(ctx, AM_MAP_ACTIVATE, act, &args);
    }
}

/* Loss of the chunk at the lifted point. Squared loss: half the sum of squares. */
static void lift(am_stream *s)
{
    am_ctx *ctx = s->problem.ctx;
    am_stream_layer *out = &s->layer[s->n_layers];
    if (s->design.inertial)
        am_map(ctx, AM_MAP_LINCOMB, 0,
               &(am_map_args){
                   .out = {s->point}, .in = {s->theta, s->direction}, .coef = {s->slot.one, s->slot.p2}});
    for (size_t l = 1; l < s->n_layers; l++) {
        am_label(ctx, "layer %zu, lift", l);
        const am_input a = input_of(s, l);
        lift_layer(s, l, &a);
    }
    am_label(ctx, "layer %zu, lift", s->n_layers);
    const am_input a = input_of(s, s->n_layers);
    am_input_apply(ctx, out->a, 1.0f, out->point_w, &a, 0.0f); /* p_L */
    if (s->problem.net->loss == AM_LOSS_CROSS_ENTROPY) {
        am_softmax_loss(ctx, s->slot.loss, s->slot.hits, out->a, out->point_b, s->now.label);
        return;
    }
    am_map(ctx, AM_MAP_SQUARED_ERROR, 0,
           &(am_map_args){.in = {out->a, s->now.target}, .row = out->point_b, .sum = {s->slot.loss}});
    am_scalar(ctx, s->slot.loss, AM_SCALAR_MUL, (am_slot[]){s->slot.loss, s->slot.half});
}

void am_stream_output(am_stream *s)
{
    am_ctx *ctx = s->problem.ctx;
    const am_stream_layer *out = &s->layer[s->n_layers];
    const am_stream_slots *slot = &s->slot;
    const am_mat m = out->a, none = {0};
    am_label(ctx, "layer %zu, output block", s->n_layers);
    if (s->problem.net->loss == AM_LOSS_SQUARED) {
        am_map(ctx, AM_MAP_OUTPUT_GRADIENT, 0,
               &(am_map_args){.out = {out->r},
                              .in = {m, s->now.target},
                              .row = out->point_b,
                              .coef = {slot->residual},
                              .sum = {slot->drop}});
        return;
    }
    if (s->problem.settings->kappa <= 0.0) {
        am_softmax_residual(ctx, AM_NO_SLOT, AM_NO_SLOT, out->r, m, out->point_b, s->now.label, -1.0f);
        return;
    }
    const am_slot sum[3] = {AM_NO_SLOT, AM_NO_SLOT, AM_NO_SLOT};
    am_map(ctx, AM_MAP_ADD_ROW, 0, &(am_map_args){.out = {out->r}, .in = {m}, .row = out->point_b});
    am_prox_softmax_columns(ctx, out->r, m, out->point_b, s->now.label, slot->rho_out, sum, none);
    am_map(
        ctx, AM_MAP_DISPLACE, 0,
        &(am_map_args){.out = {out->r}, .in = {out->r, m}, .row = out->point_b, .coef = {slot->over_kappa}});
}

/* ---------------------------------------------------------------------------------------------- one chunk: learning */

static void refresh(am_ctx *ctx, void *arg)
{
    am_stream *s = arg;
    const am_stream_slots *slot = &s->slot;
    am_scalar(ctx, slot->age, AM_SCALAR_SET, &slot->zero);
    am_stream_refresh(s);
    if (s->design.refresh) s->design.refresh(s);
}

static void refresh_left(am_ctx *ctx, void *arg)
{
    (void)ctx;
    am_stream_refresh_left(arg);
}

/* Blocks and weights from the samples in view. */
static void step(am_stream *s)
{
    s->design.blocks(s);
    if (s->two_sided) am_branch(s->problem.ctx, s->slot.due, refresh_left, s);
    am_stream_weights(s);
}

static void keep(am_ctx *ctx, void *arg)
{
    const am_stream *s = arg;
    am_copy(ctx, s->good, s->theta);
}

/* The chunk is good: Lb, sc, e; a copy of the weights now and then; then it teaches. */
static void learn(am_ctx *ctx, void *arg)
{
    am_stream *s = arg;
    const am_stream_slots *slot = &s->slot;
    const am_slot m = s->now.m == s->chunk ? slot->n_full : slot->n_last;
    am_scalar(ctx, slot->total, AM_SCALAR_ADD, (am_slot[]){slot->total, slot->loss});
    am_scalar(ctx, slot->n_samples, AM_SCALAR_ADD, (am_slot[]){slot->n_samples, m});
    if (s->problem.net->loss == AM_LOSS_SQUARED)
        am_scalar(ctx, slot->unit, AM_SCALAR_FIRST, (am_slot[]){slot->n_good, slot->unit, slot->mean_loss});
    am_scalar(ctx, slot->smooth, AM_SCALAR_CHUNK_SMOOTH,
              (am_slot[]){slot->smooth, slot->mean_loss, slot->n_good});
    if (s->keeping) {
        am_scalar(ctx, slot->keep, AM_SCALAR_CHUNK_KEEP, (am_slot[]){slot->mean_loss, slot->smooth});
        am_branch(ctx, slot->keep, keep, s);
    }
    am_scalar(ctx, slot->scale, AM_SCALAR_CHUNK_RECOVER, &slot->scale);
    am_scalar(ctx, slot->rate, AM_SCALAR_CHUNK_RATE,
              (am_slot[]){slot->eta, slot->scale, slot->seen, slot->warm, slot->n_total});
    am_scalar(ctx, slot->due, AM_SCALAR_DUE, (am_slot[]){slot->age, slot->refresh});
    am_branch(ctx, slot->due, refresh, s);
    am_stream_output(s);
    if (s->thinning)
        am_stream_thin(s, step);
    else
        step(s);
    am_scalar(ctx, slot->n_grams, AM_SCALAR_ADD, (am_slot[]){slot->n_grams, slot->due});
    am_scalar(ctx, slot->age, AM_SCALAR_ADD, (am_slot[]){slot->age, slot->one});
    am_scalar(ctx, slot->n_good, AM_SCALAR_ADD, (am_slot[]){slot->n_good, slot->one});
}

/* The chunk is bad: the last good weights come back by copying, so that nothing of a NaN is left. */
static void roll_back(am_ctx *ctx, void *arg)
{
    am_stream *s = arg;
    const am_stream_slots *slot = &s->slot;
    am_copy(ctx, s->theta, s->good);
    am_fill(ctx, s->direction, 0.0f);
    am_stream_forget(s);
    am_scalar(ctx, slot->n_grams, AM_SCALAR_SET, &slot->one);
    am_scalar(ctx, slot->age, AM_SCALAR_SET, &slot->refresh);
    am_scalar(ctx, slot->scale, AM_SCALAR_MUL, (am_slot[]){slot->scale, slot->half});
    am_scalar(ctx, slot->smooth, AM_SCALAR_CHUNK_SUSPECT, (am_slot[]){slot->smooth, slot->unit});
    am_scalar(ctx, slot->n_guarded, AM_SCALAR_ADD, (am_slot[]){slot->n_guarded, slot->one});
}

typedef struct chunk_issue {
    am_stream *s;
    size_t m; /* samples */
} chunk_issue;

static void issue_chunk(void *arg)
{
    am_stream *s = ((const chunk_issue *)arg)->s;
    const size_t m = ((const chunk_issue *)arg)->m;
    am_ctx *ctx = s->problem.ctx;
    const am_stream_slots *slot = &s->slot;
    am_stream_take(s, m);
    lift(s);
    am_label(ctx, "guard");
    const am_slot inv_m = m == s->chunk ? slot->inv_m : slot->inv_last;
    am_scalar(ctx, slot->seen, AM_SCALAR_ADD, (am_slot[]){slot->seen, slot->one});
    am_scalar(ctx, slot->mean_loss, AM_SCALAR_MUL, (am_slot[]){slot->loss, inv_m});
    am_scalar(ctx, slot->bad, AM_SCALAR_CHUNK_BAD,
              (am_slot[]){slot->mean_loss, slot->smooth, slot->seen, slot->unit});
    am_scalar(ctx, slot->good, AM_SCALAR_COMPLEMENT, &slot->bad);
    am_branch(ctx, slot->bad, roll_back, s);
    am_branch(ctx, slot->good, learn, s);
}

/* ---------------------------------------------------------------------------------------------- one pass */

/* A new order of the samples, ahead of the chunks: recorded chunks read theirs from the same place. */
static void shuffle(am_stream *s)
{
    if (s->chunk == s->n) return;
    am_rng_permutation(s->host_order, s->n, s->problem.settings->seed, (uint32_t)s->n_pass);
    am_upload_bytes(s->problem.ctx, s->order, s->host_order, s->n * sizeof *s->host_order);
}

/* Length of the pass's step: the change of every layer since the last pass, in the data's coordinates. */
static void measure_change(am_stream *s)
{
    am_ctx *ctx = s->problem.ctx;
    am_stream_fold(s);
    for (size_t l = 1; l <= s->n_layers; l++) {
        const am_stream_layer *layer = &s->layer[l];
        const am_mat w = am_stream_weight(s, l), b = am_stream_bias(s, l);
        am_map(ctx, AM_MAP_CHANGE, 0,
               &(am_map_args){.out = {layer->start}, .in = {w, layer->start}, .sum = {layer->slot.step2_w}});
        am_map(
            ctx, AM_MAP_CHANGE, 0,
            &(am_map_args){.out = {layer->start_b}, .in = {b, layer->start_b}, .sum = {layer->slot.step2_b}});
    }
}

/* Numbers of the samples of chunk i; *m receives how many. NULL: all of them, or past the last chunk. */
static const int32_t *chunk_at(const am_stream *s, size_t i, size_t *m)
{
    const size_t first = i * s->chunk, left = s->n > first ? s->n - first : 0;
    *m = left < s->chunk ? left : s->chunk;
    return s->chunk < s->n && left ? s->host_order + first : NULL;
}

/* Where the features of a chunk are put when they come from outside the backend's memory. */
static am_mat landing(const am_stream *s, size_t m)
{
    return am_mat_cols(s->white.on ? s->raw_x : s->full_x, 0, m);
}

void am_stream_sweep(void *state)
{
    am_stream *s = state;
    am_ctx *ctx = s->problem.ctx;
    const am_stream_slots *slot = &s->slot;
    if (++s->n_pass == 1) am_stream_input_start(s);
    shuffle(s);
    const double zeros[3] = {0};
    am_slots_write(ctx, slot->total, 3, zeros); /* and n_guarded, n_samples */
    const size_t n_chunks = am_settings_steps_of_pass(s->problem.settings, s->n_pass, s->n_chunks);
    for (size_t i = 0; i < n_chunks; i++) {
        size_t m, m_ahead;
        const int32_t *now = chunk_at(s, i, &m), *ahead = chunk_at(s, i + 1, &m_ahead);
        s->keeping = s->n_chunks < AM_KEEP_EVERY || i % AM_KEEP_EVERY == 0;
        if (now) {
            am_copy(ctx, as_row(s->index, m), as_row((int32_t *)s->order + i * s->chunk, m));
            am_samples_next(s->problem.train, landing(s, m), now, m);
        }
        const uint64_t key = (uint64_t)(m < s->chunk) | (uint64_t)s->keeping << 1;
        am_sweep(ctx, key, issue_chunk, &(chunk_issue){s, m});
        if (ahead && i + 1 < n_chunks) am_samples_ahead(s->problem.train, ahead, m_ahead);
    }
    measure_change(s);
}

void am_stream_measure(const void *state, const double *slot, am_measures *out)
{
    const am_stream *s = state;
    const double n_seen = slot[s->slot.n_samples];
    *out = (am_measures){.objective = slot[s->slot.total] * ((double)s->n / n_seen),
                         .eps = NAN,
                         .gradient = NAN,
                         .n_guarded = (size_t)slot[s->slot.n_guarded]};
    for (size_t l = 1; l <= s->n_layers; l++) {
        out->layer[l].step2[AM_BLOCK_W] = slot[s->layer[l].slot.step2_w];
        out->layer[l].step2[AM_BLOCK_B] = slot[s->layer[l].slot.step2_b];
    }
}

am_mat am_stream_weight(const void *state, size_t l)
{
    const am_stream *s = state;
    return l == 1 && s->white.on ? s->white.w : s->layer[l].w;
}

am_mat am_stream_bias(const void *state, size_t l)
{
    const am_stream *s = state;
    return l == 1 && s->white.on ? s->white.b : s->layer[l].b;
}

const char *am_stream_form(const void *state, size_t l)
{
    static const char *const name[] = {"whitened", "factored", "deflated"};
    return name[((const am_stream *)state)->layer[l].inverse];
}
