/* The constant first layer of the stream shell: its Gram matrix, taken once, and whitened coordinates; stream.h.
 *
 * With A - s s'/(1 + c) = V diag(e) V', c = lam mean(diag [A, 1]) and the k leading eigenvectors,
 *     y = diag(e + c)^-1/2 V_k'(x - s/(1 + c)),   W' = W_1 V_k diag(e + c)^1/2,   b' = b_1 + W_1 s/(1 + c)
 * gives the same products, H = I for W' and 1/(1 + c) for b' [derived]: the first layer needs no Gram matrix and no solve, and
 * its products have k rows. What the data have outside V_k is not seen. Folded back at the end of every pass. */
#include "host/train/stream.h"

#include "host/train/rng.h"
#include "host/train/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AM_STREAM_PIECE 4096 /* samples summed at a time */
#define AM_WHITE_STEP   16   /* directions come in multiples of this: whole vectors for the products */

void am_stream_input_plan(am_stream *s, am_plan *plan)
{
    const size_t d = s->problem.net->width[0], out = s->problem.net->width[1];
    am_stream_white *white = &s->white;
    const int on_device = !s->problem.train->source;
    if (white->on || !on_device)
        am_plan_mat(plan, "samples of a Gram matrix", &white->piece, d,
                    s->n < AM_STREAM_PIECE ? s->n : AM_STREAM_PIECE);
    if (!white->on) return;
    if (on_device) am_plan_mat(plan, "whitened data", &white->data, d, s->n);
    am_mat *const square[] = {&white->vectors, &white->scale, &white->proj, &white->back};
    for (size_t i = 0; i < 4; i++) am_plan_mat(plan, "whitening", square[i], d, d);
    am_plan_mat(plan, "whitening", &white->values, d, 1);
    am_plan_mat(plan, "whitening", &white->offset, d, 1);
    am_plan_mat(plan, "whitening", &white->w, out, d);
    am_plan_mat(plan, "whitening", &white->b, out, 1);
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

/* Fewest leading directions with the share of the energy that is asked for; all when that is most of them anyway. */
static size_t choose(const float *e, size_t d, double share)
{
    double total = 0.0, sum = 0.0;
    size_t k = 0;
    for (size_t i = 0; i < d; i++) total += e[i] > 0.0f ? (double)e[i] : 0.0;
    while (k < d && (sum < share * total || share >= 1.0)) sum += e[k] > 0.0f ? (double)e[k] : 0.0, k++;
    k = k < 1 ? 1 : (k + AM_WHITE_STEP - 1) / AM_WHITE_STEP * AM_WHITE_STEP;
    return 4 * k > 3 * d ? d : k;
}

/* back or proj <- V_k diag(f), f from the eigenvalues on the host. */
static void scale_vectors(am_stream *s, am_mat out, const float *e, double c, double power)
{
    const am_stream_white *white = &s->white;
    const size_t k = white->k, d = white->vectors.rows;
    float *diagonal = white->host + d;
    memset(diagonal, 0, k * k * sizeof *diagonal);
    for (size_t i = 0; i < k; i++)
        diagonal[i + i * k] = (float)pow((e[i] > 0.0f ? (double)e[i] : 0.0) + c, power);
    am_upload(s->problem.ctx, white->scale, diagonal);
    am_gemm(s->problem.ctx, out, 1.0f, am_mat_cols(white->vectors, 0, k), 0, white->scale, 0, 0.0f);
}

/* Views of k rows once k is known. */
static void set_rows(am_stream *s, size_t k)
{
    am_stream_white *white = &s->white;
    const size_t d = white->vectors.rows;
    white->k = k;
    if (white->data.data) white->data = (am_mat){white->data.data, k, s->n};
    white->scale = (am_mat){white->scale.data, k, k};
    white->proj = (am_mat){white->proj.data, d, k};
    white->back = (am_mat){white->back.data, d, k};
    white->offset = (am_mat){white->offset.data, k, 1};
}

void am_stream_whiten_chunk(am_stream *s, am_mat x, am_mat raw)
{
    am_ctx *ctx = s->problem.ctx;
    am_gemm(ctx, x, 1.0f, s->white.proj, 1, raw, 0, 0.0f);
    am_map(ctx, AM_MAP_ADD_ROW, 0, &(am_map_args){.out = {x}, .in = {x}, .row = s->white.offset});
}

static void transform(am_stream *s)
{
    am_ctx *ctx = s->problem.ctx;
    const am_stream_white *white = &s->white;
    am_stream_layer *first = &s->layer[1];
    am_gemm(ctx, white->offset, -1.0f, white->proj, 1, first->mean_bias, 0, 0.0f);
    if (!s->problem.train->source) am_stream_whiten_chunk(s, white->data, s->problem.train->x.dense);
    am_stream_view_weights(s, 1, white->k);
    am_gemm(ctx, first->w, 1.0f, white->w, 0, white->back, 0, 0.0f);
    am_copy(ctx, first->b, white->b);
    am_gemm(ctx, first->b, -1.0f, first->w, 0, white->offset, 0, 1.0f);
}

static void whiten(am_stream *s)
{
    am_ctx *ctx = s->problem.ctx;
    am_stream_white *white = &s->white;
    double c = 0.0;
    am_label(ctx, "layer 1, whitening");
    am_eigh(ctx, white->values, white->vectors, s->layer[1].part);
    if (am_download(ctx, white->host, white->values, NULL) ||
        am_slots_read(ctx, s->layer[1].slot.ridge, 1, &c, NULL))
        return; /* the error stays in the context */
    set_rows(s, choose(white->host, white->vectors.rows, s->problem.settings->whiten));
    scale_vectors(s, white->proj, white->host, c, -0.5);
    scale_vectors(s, white->back, white->host, c, 0.5);
    transform(s);
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
    am_ctx *ctx = s->problem.ctx;
    const am_stream_white *white = &s->white;
    if (!white->on) return;
    am_label(ctx, "layer 1, folding back");
    am_gemm(ctx, white->w, 1.0f, s->layer[1].w, 0, white->proj, 1, 0.0f);
    am_copy(ctx, white->b, s->layer[1].b);
    am_gemm(ctx, white->b, 1.0f, s->layer[1].w, 0, white->offset, 0, 1.0f);
}
