/* The constant first layer of the stream shell: its Gram matrix, taken once, and whitened coordinates (whiten.h): the
 * first layer needs no Gram matrix and no solve. Folded back at the end of every pass.
 */
#include "host/train/stream.h"

#include "host/train/rng.h"
#include "host/train/source.h"

#define AM_STREAM_PIECE 4096 /* samples summed at a time */

void am_stream_input_plan(am_stream *s, am_plan *plan)
{
    const size_t d = s->problem.net->width[0], out = s->problem.net->width[1];
    am_white *white = &s->white;
    const int on_device = !s->problem.train->source;
    if (white->on || !on_device)
        am_plan_mat(plan, "samples of a Gram matrix", &white->piece, d,
                    s->n < AM_STREAM_PIECE ? s->n : AM_STREAM_PIECE);
    if (white->on) am_white_plan(white, plan, d, out, on_device ? s->n : 0);
}

void am_stream_input_upload(am_stream *s, const float *w, const float *b)
{
    am_ctx *ctx = s->problem.ctx;
    am_upload(ctx, s->white.on ? s->white.w : s->layer[1].w, w);
    am_upload(ctx, s->white.on ? s->white.b : s->layer[1].b, b);
}

/* Samples first..first+m of those that the Gram matrix is summed over: of all, or of the drawn ones. */
static am_mat piece_at(am_stream *s, int drawn, size_t first, size_t m)
{
    const am_samples *train = s->problem.train;
    am_ctx *ctx = s->problem.ctx;
    if (!drawn) return am_samples_range(train, ctx, first, m, s->white.piece).dense;
    const am_mat piece = am_mat_cols(s->white.piece, 0, m);
    am_samples_next(train, piece, s->host_order + first, m);
    am_samples_gather(train, ctx, piece, (const int32_t *)s->order + first);
    return piece;
}

/* Gram matrix and sum of n samples, piece by piece: the same numbers wherever the data lie. */
static void sum_pieces(am_stream *s, int drawn, size_t n)
{
    am_ctx *ctx = s->problem.ctx;
    const am_stream_layer *first_layer = &s->layer[1];
    const am_mat sum[] = {first_layer->gram, first_layer->mean},
                 part[] = {first_layer->part, first_layer->part_mean};
    for (int k = 0; k < 2; k++) am_fill(ctx, sum[k], 0.0f);
    for (size_t first = 0; first < n; first += AM_STREAM_PIECE) {
        const am_mat x = piece_at(s, drawn, first, n - first < AM_STREAM_PIECE ? n - first : AM_STREAM_PIECE);
        am_gram(ctx, part[0], x, 0);
        am_row_sum(ctx, part[1], x);
        for (int k = 0; k < 2; k++)
            am_map(
                ctx, AM_MAP_LINCOMB, 0,
                &(am_map_args){.out = {sum[k]}, .in = {sum[k], part[k]}, .coef = {s->slot.one, s->slot.one}});
    }
}

/* Sums over the samples of the Gram matrix: of seeded ones, or of all. Returns how many. */
static size_t sum_input(am_stream *s)
{
    am_ctx *ctx = s->problem.ctx;
    const am_input *x = &s->problem.train->x;
    const size_t wanted = s->problem.settings->gram_samples;
    if (am_input_is_sparse(x)) {
        am_gram_sparse(ctx, s->layer[1].gram, &x->sparse, 0);
        am_copy(ctx, s->layer[1].mean, x->sum);
        return s->n;
    }
    if (!s->white.on || s->chunk == s->n || !wanted || wanted >= s->n) {
        sum_pieces(s, 0, s->n);
        return s->n;
    }
    am_rng_permutation(s->host_order, s->n, s->problem.settings->seed, 0);
    am_upload_bytes(ctx, s->order, s->host_order, wanted * sizeof *s->host_order);
    sum_pieces(s, 1, wanted);
    return wanted;
}

void am_stream_whiten_chunk(am_stream *s, am_mat x, am_mat raw)
{
    am_white_apply(&s->white, s->problem.ctx, x, raw);
}

static void whiten(am_stream *s)
{
    am_ctx *ctx = s->problem.ctx;
    am_white *white = &s->white;
    am_stream_layer *first = &s->layer[1];
    double c = 0.0;
    am_label(ctx, "layer 1, whitening");
    if (am_slots_read(ctx, first->slot.ridge, 1, &c, NULL)) return; /* the error stays in the context */
    am_white_find(white, ctx, first->part, first->mean_bias, c, s->problem.settings->whiten);
    if (!s->problem.train->source) am_white_apply(white, ctx, white->data, s->problem.train->x.dense);
    am_stream_view_weights(s, 1, white->k);
    am_white_enter(white, ctx, first->w, first->b);
}

void am_stream_input_start(am_stream *s)
{
    am_ctx *ctx = s->problem.ctx;
    const am_stream_layer *first = &s->layer[1];
    am_label(ctx, "layer 1, Gram matrix");
    const size_t n = sum_input(s);
    am_slot_set(ctx, s->slot.over_samples, 1.0 / (double)n);
    const am_mat sums[] = {first->gram, first->mean};
    for (int i = 0; i < 2; i++)
        am_map(ctx, AM_MAP_LINCOMB, 0,
               &(am_map_args){
                   .out = {sums[i]}, .in = {sums[i], sums[i]}, .coef = {s->slot.over_samples, s->slot.zero}});
    am_stream_invert(s, ctx, 1);
    if (s->white.on) whiten(s);
    am_copy(ctx, s->good, s->theta);
}

void am_stream_fold(am_stream *s)
{
    if (!s->white.on) return;
    am_label(s->problem.ctx, "layer 1, folding back");
    am_white_fold(&s->white, s->problem.ctx, s->layer[1].w, s->layer[1].b);
}
