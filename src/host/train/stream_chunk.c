/* The samples of a chunk of the stream shell: views, gathering, and thinning, which keeps those that matter for the backward
 * half; stream.h. */
#include "host/train/source.h"
#include "host/train/stream.h"

/* ---------------------------------------------------------------------------------------------- all samples */

static am_mat as_row(const void *numbers, size_t n)
{
    return (am_mat){(float *)(uintptr_t)numbers, 1, n};
}

static am_mat columns(am_mat memory, size_t rows, size_t m)
{
    return (am_mat){memory.data, rows, memory.data ? m : 0};
}

/* Input rows as the first layer sees them. */
static size_t input_rows(const am_stream *s)
{
    return s->white.on ? s->white.k : s->problem.net->width[0];
}

/* Views of whole chunks of m samples. */
static void view_full(am_stream *s, size_t m)
{
    const size_t *width = s->problem.net->width;
    s->m = m;
    for (size_t l = 1; l <= s->n_layers; l++) {
        am_stream_layer *layer = &s->layer[l];
        layer->a = columns(layer->full_a, width[l], m);
        layer->h = columns(layer->full_h, width[l], m);
        layer->z = columns(layer->full_z, width[l], m);
        layer->r = columns(layer->full_r, width[l], m);
    }
}

void am_stream_take(am_stream *s, size_t m)
{
    am_ctx *ctx = s->problem.ctx;
    const am_samples *train = s->problem.train;
    view_full(s, m);
    s->now = (am_chunk){m, train->target, train->label};
    if (s->chunk == s->n) {
        s->x = s->white.on ? (am_input){.dense = s->white.data} : train->x;
        return;
    }
    const int32_t *index = s->index;
    s->x = (am_input){.dense = columns(s->full_x, input_rows(s), m)};
    if (s->white.on && train->source) {
        const am_mat raw = am_mat_cols(s->raw_x, 0, m);
        am_samples_gather(train, ctx, raw, index);
        am_stream_whiten_chunk(s, s->x.dense, raw);
    } else if (s->white.on) {
        am_gather_columns(ctx, s->x.dense, s->white.data, index);
    } else {
        am_samples_gather(train, ctx, s->x.dense, index);
    }
    if (s->problem.net->loss == AM_LOSS_SQUARED) {
        s->now.target = am_mat_cols(s->y, 0, m);
        am_gather_columns(ctx, s->now.target, train->target, index);
    } else {
        s->now.label = s->label;
        am_gather_columns(ctx, as_row(s->label, m), as_row(train->label, s->n), index);
    }
}

/* ---------------------------------------------------------------------------------------------- kept samples */

/* A capacity that the kept samples fit into. */
typedef struct thinned {
    am_stream *s;
    size_t capacity;
    void (*step)(am_stream *s);
} thinned;

static am_mat compact(const am_stream *s, am_mat full, am_mat memory, size_t capacity)
{
    const am_mat kept = columns(memory, full.rows, capacity);
    if (full.cols) am_gather_columns(s->problem.ctx, kept, full, s->kept);
    return kept;
}

/* The chunk's views over its kept samples; columns past their number are zero and add nothing to any product. */
static void step_thinned(am_ctx *ctx, void *arg)
{
    const thinned *t = arg;
    am_stream *s = t->s;
    (void)ctx;
    const am_input x = s->x;
    s->x = (am_input){.dense = compact(s, x.dense, s->thin_x, t->capacity)};
    for (size_t l = 1; l <= s->n_layers; l++) {
        am_stream_layer *layer = &s->layer[l];
        const int last = l == s->n_layers;
        if (!last) layer->a = compact(s, layer->a, layer->thin_a, t->capacity);
        layer->h = compact(s, layer->h, layer->thin_h, t->capacity);
        if (!last) layer->z = compact(s, layer->z, layer->thin_z, t->capacity);
        layer->r = last ? compact(s, layer->r, layer->thin_a, t->capacity)
                        : columns(layer->full_r, layer->r.rows, t->capacity);
    }
    s->m = t->capacity;
    t->step(s);
    s->x = x;
    view_full(s, s->now.m);
}

void am_stream_thin(am_stream *s, void (*step)(am_stream *s))
{
    am_ctx *ctx = s->problem.ctx;
    const am_stream_slots *slot = &s->slot;
    const size_t m = s->now.m;
    am_label(ctx, "thinning");
    /* Nothing is thinned while steps still grow: b = 0 keeps every sample. */
    am_scalar(ctx, slot->thinning, AM_SCALAR_WITHIN, (am_slot[]){slot->seen, slot->warm, slot->far});
    am_scalar(ctx, slot->thin_now, AM_SCALAR_MUL, (am_slot[]){slot->thinning, slot->thin});
    am_thin(ctx, s->kept, slot->n_kept, s->layer[s->n_layers].r, slot->thin_now, s->problem.settings->seed,
            slot->seen);
    const am_slot *size = m == s->chunk ? slot->size : slot->size_last;
    for (int i = 0; i < AM_THIN_SIZES; i++) {
        thinned t = {s, am_thin_size(m, i + 1), step};
        am_scalar(ctx, slot->fits[i], AM_SCALAR_WITHIN, (am_slot[]){slot->n_kept, size[i], size[i + 1]});
        if (t.capacity > am_thin_size(m, i)) am_branch(ctx, slot->fits[i], step_thinned, &t);
    }
}
