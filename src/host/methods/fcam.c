/* The downward maps and defaults of fcam; see fcam.h. */
#include "host/methods/fcam.h"

#include "host/train/stream_down.h"

#include <math.h>
#include <stdlib.h>

struct am_fcam {
    am_stream base;
    int exact; /* gam = inf: Q_l = Wb_l */
    am_mat u;  /* flat, widest hidden layer x m: displacement of a_l */
    am_down_map map[AM_MAX_HIDDEN + 2];
};

const am_stream *am_fcam_stream(const am_fcam *m)
{
    return &m->base;
}

am_mat am_fcam_map(const am_fcam *m, size_t l)
{
    return m->map[l].q;
}

/* ---------------------------------------------------------------------------------------------- downward maps */

static void fcam_refresh(am_stream *stream)
{
    am_down_maps_refresh(stream, ((const am_fcam *)stream)->map);
}

/* ---------------------------------------------------------------------------------------------- blocks */

/* r_{l-1} from the displacement u of a_{l-1}. */
static void through_activation(const am_stream *s, size_t l, am_mat u)
{
    const am_stream_layer *layer = &s->layer[l];
    if (layer->kind == AM_LAYER_INPUT) {
        am_copy(s->problem.ctx, layer->r, u);
        return;
    }
    am_map(s->problem.ctx, AM_MAP_BACK, s->problem.net->act,
           &(am_map_args){.out = {layer->r}, .in = {u, layer->kind == AM_LAYER_BLOCK ? layer->h : layer->a}});
}

static void fcam_blocks(am_stream *s)
{
    const am_fcam *m = (const am_fcam *)s;
    for (size_t l = s->n_layers; l > 1; l--) {
        const am_stream_layer *layer = &s->layer[l];
        const am_mat q = m->exact ? layer->w : m->map[l].q, u = {m->u.data, q.cols, s->m};
        am_label(s->problem.ctx, "layer %zu, downward step", l);
        am_gemm(s->problem.ctx, u, 1.0f, q, 1, layer->r, 0, layer->kind == AM_LAYER_BLOCK ? 1.0f : 0.0f);
        through_activation(s, l - 1, u);
    }
}

/* ---------------------------------------------------------------------------------------------- life */

static altmin_error fcam_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    return am_stream_check("fcam", settings, net, st);
}

static am_stream_design design_of(const am_problem *problem, int exact)
{
    const double n_layers = (double)problem->net->n_layers;
    const int full = am_stream_chunk(problem) == problem->train->n;
    return (am_stream_design){.blocks = fcam_blocks,
                              .refresh = exact ? NULL : fcam_refresh,
                              .boost = 1.0,
                              .eta = full ? 20.0 : 45.0 / n_layers,
                              .lam = full ? 3.0 : 10.0,
                              .warm = full ? 5.0 : 7.0 * n_layers};
}

static altmin_error fcam_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    am_fcam *m = calloc(1, sizeof *m);
    *state = m;
    if (!m) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the state of fcam");
    m->exact = isinf(problem->settings->gam);
    const am_stream_design design = design_of(problem, m->exact);
    if (am_stream_prepare(&m->base, problem, &design, plan, st)) return st->code;
    const am_net *net = problem->net;
    size_t widest = 0;
    for (size_t l = 1; l < net->n_layers; l++) widest = net->width[l] > widest ? net->width[l] : widest;
    am_plan_mat(plan, "a, r of a chunk", &m->u, widest, m->base.chunk);
    for (size_t l = 2; l <= net->n_layers && !m->exact; l++)
        am_down_map_plan(&m->map[l], problem->ctx, plan, net->width[l], net->width[l - 1],
                         problem->settings->gam, 1, 0);
    return am_ctx_status(problem->ctx, st);
}

static altmin_error fcam_start(void *state, float *const *w, float *const *b, altmin_status *st)
{
    am_fcam *m = state;
    if (!m->exact && am_down_maps_start(&m->base, m->map, st)) return st->code;
    return am_stream_start(&m->base, w, b, st);
}

static void fcam_release(void *state)
{
    am_fcam *m = state;
    am_stream_free(&m->base);
    free(m);
}

static const char *const preset[] = {"init", "he", "batch", "250", "momentum", "0.7", "sweeps", "4", NULL};

const am_method am_method_fcam = {
    .name = "fcam",
    .archs = AM_TRAINS(AM_ARCH_MLP) | AM_TRAINS(AM_ARCH_RESNET),
    .parts = 1,
    .gathers = 1,
    .title = "forward-consistent chunked proximal alternating minimisation (ours)",
    .preset = {preset, preset, preset},
    .stream = &am_method_fcam,
    .check = fcam_check,
    .prepare = fcam_prepare,
    .start = fcam_start,
    .sweep = am_stream_sweep,
    .measure = am_stream_measure,
    .weight = am_stream_weight,
    .bias = am_stream_bias,
    .form = am_stream_form,
    .release = fcam_release,
};
