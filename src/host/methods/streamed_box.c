/* Blocks of mdlam and tiam over the stream shell; see streamed.h.
 *
 * At the lifted point z_l = m_l, a_l = h(z_l), top down with the displacement r_{l+1} of the layer above:
 *     a_l <- clip(h(z_l) + W_{l+1}'r_{l+1}/tau, h(z_l) -+ eps mean|a_l|), tau = 1.05 lambda_max(W'W)
 *     z_l by the linearised box: r_l = h'(z_l) (a_l - h(z_l)).
 * The plain box of the unmodified method, z = clip(m, B1, B2), wakes inactive units here and costs 4.5 points. For ReLU the
 * linearised one is: z = a where the unit is active, z = m where it is not [METHODS.md 9]; h' for the others [choice]. */
#include "host/methods/streamed.h"

#include "host/train/steps.h"

#include <stdlib.h>

#define AM_COLD_POWER    100  /* power iterations on W'W from a vector of ones */
#define AM_TAU_MARGIN    1.05 /* the power iteration comes from below */
#define AM_REFRESH_POWER 4    /* power iterations on W'W at a refresh, from the warm vector */

typedef struct box_layer {
    am_mat v, u;                                 /* d_l x 1, d_{l+1} x 1: power iteration on W_{l+1} */
    am_slot lambda, inv_tau, sum, limit, over_d; /* over_d = eps/d_l */
} box_layer;

typedef struct box_state {
    am_stream base;
    am_mat g; /* flat, widest hidden layer x m */
    am_slot margin;
    box_layer layer[AM_MAX_HIDDEN + 2];
} box_state;

static void refresh_layer(am_ctx *ctx, size_t i, void *arg)
{
    const box_state *s = arg;
    const box_layer *layer = &s->layer[i + 1];
    am_label(ctx, "layer %zu, largest eigenvalue of W'W", i + 2);
    am_norm2(ctx, layer->lambda, am_stream_wb(&s->base, i + 2), layer->v, layer->u, AM_REFRESH_POWER);
    am_scalar(ctx, layer->inv_tau, AM_SCALAR_SAFE_INVERSE, (am_slot[]){layer->lambda, s->margin});
}

static void box_refresh(am_stream *stream)
{
    if (stream->n_layers > 1) am_lanes(stream->problem.ctx, stream->n_layers - 1, refresh_layer, stream);
}

static void box_blocks(am_stream *stream)
{
    const box_state *s = (const box_state *)stream;
    am_ctx *ctx = stream->problem.ctx;
    const am_slot inv_m = stream->m == stream->chunk ? stream->slot.inv_m : stream->slot.inv_last;
    for (size_t l = stream->n_layers; l-- > 1;) {
        const am_stream_layer *layer = &stream->layer[l];
        const box_layer *own = &s->layer[l];
        const am_mat g = {s->g.data, layer->a.rows, layer->a.cols};
        am_label(ctx, "layer %zu, blocks a, z", l);
        am_gemm(ctx, g, 1.0f, am_stream_wb(stream, l + 1), 1, stream->layer[l + 1].r, 0, 0.0f);
        am_map(ctx, AM_MAP_SUM_ABS, 0, &(am_map_args){.in = {layer->a}, .sum = {own->sum}});
        am_scalar(ctx, own->limit, AM_SCALAR_MUL, (am_slot[]){own->sum, own->over_d});
        am_scalar(ctx, own->limit, AM_SCALAR_MUL, (am_slot[]){own->limit, inv_m});
        am_map(ctx, AM_MAP_BOX_DISPLACE, stream->problem.net->act,
               &(am_map_args){.out = {layer->r}, .in = {g, layer->a}, .coef = {own->inv_tau, own->limit}});
    }
}

/* ---------------------------------------------------------------------------------------------- life */

static altmin_error mdlam_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    return am_streamed_check("mdlam", settings, net, st);
}

static altmin_error tiam_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    return am_streamed_check("tiam", settings, net, st);
}

static altmin_error box_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    box_state *s = calloc(1, sizeof *s);
    *state = s;
    if (!s) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the state of a stream");
    const altmin_settings *set = problem->settings;
    const am_net *net = problem->net;
    am_stream_design design = am_streamed_design(problem, 1.0, 2.0);
    design.blocks = box_blocks, design.refresh = box_refresh, design.inertial = 1;
    if (am_stream_prepare(&s->base, problem, &design, plan, st)) return st->code;
    s->margin = am_slots_new(problem->ctx, 1);
    am_slot_set(problem->ctx, s->margin, AM_TAU_MARGIN);
    size_t widest = 0;
    for (size_t l = 1; l < net->n_layers; l++) {
        box_layer *layer = &s->layer[l];
        const am_slot c = am_slots_new(problem->ctx, 5);
        layer->lambda = c, layer->inv_tau = c + 1, layer->sum = c + 2, layer->limit = c + 3,
        layer->over_d = c + 4;
        am_slot_set(problem->ctx, layer->over_d, set->box / (double)net->width[l]);
        am_plan_mat(plan, "vectors", &layer->v, net->width[l], 1);
        am_plan_mat(plan, "vectors", &layer->u, net->width[l + 1], 1);
        if (net->width[l] > widest) widest = net->width[l];
    }
    am_plan_mat(plan, "a, r of a chunk", &s->g, widest, s->base.chunk);
    return am_ctx_status(problem->ctx, st);
}

static altmin_error box_start(void *state, float *const *w, float *const *b, altmin_status *st)
{
    box_state *s = state;
    am_ctx *ctx = s->base.problem.ctx;
    if (am_stream_start(&s->base, w, b, st)) return st->code;
    am_copy(ctx, s->base.point, s->base.theta);
    for (size_t l = 1; l < s->base.n_layers; l++) {
        const box_layer *layer = &s->layer[l];
        am_fill(ctx, layer->v, 1.0f);
        am_norm2(ctx, layer->lambda, s->base.layer[l + 1].w, layer->v, layer->u, AM_COLD_POWER);
    }
    return am_ctx_status(ctx, st);
}

static void box_release(void *state)
{
    am_stream_free(state);
    free(state);
}

static const char *const mdlam_preset[] = {"init", "he",  "batch",  "500", "p1",    "0.9",
                                           "p2",   "0.9", "p3",     "0",   "boost", "10",
                                           "thin", "0",   "sweeps", "4",   NULL};
static const char *const tiam_preset[] = {"init", "he",    "batch", "500",  "p1", "0.7",    "p2", "0.7", "p3",
                                          "0.3",  "boost", "10",    "thin", "0",  "sweeps", "4",  NULL};

#define AM_STREAMED_BOX                                                                                      \
    .archs = AM_TRAINS(AM_ARCH_MLP), .parts = 1, .gathers = 1, .prepare = box_prepare, .start = box_start,   \
    .sweep = am_stream_sweep, .measure = am_stream_measure, .weight = am_stream_weight,                      \
    .bias = am_stream_bias, .form = am_stream_form, .release = box_release

const am_method am_method_mdlam_stream = {.name = "mdlam",
                                          .title = "mDLAM's blocks over a stream of chunks",
                                          .preset = {mdlam_preset, mdlam_preset, mdlam_preset},
                                          .check = mdlam_check,
                                          AM_STREAMED_BOX};
const am_method am_method_tiam_stream = {.name = "tiam",
                                         .title = "TIAM's blocks over a stream of chunks",
                                         .preset = {tiam_preset, tiam_preset, tiam_preset},
                                         .check = tiam_check,
                                         AM_STREAMED_BOX};
