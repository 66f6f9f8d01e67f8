/* Blocks of radmm over the stream shell (3-split); see streamed.h and radmm.h, whose a and z rules these are at the lifted
 * point, where every gap a_l - a_{l-1} - h(z_l) and the multiplier are zero. Top down with d_l the displacement of a_l:
 *     last block   d = [(nu + tau) I + beta W'W]^-1 beta W'r_L, W of the head
 *     z_l          reluprox(h(z_l) + d_l, z_l, (rho + tau)/nu), r_l = z_l - m_l, leaving the gap e_l = h(m_l) + d_l - h(z_l)
 *     below        d_{l-1} = [(2 nu + tau) I + rho W_l'W_l]^-1 (rho W_l'r_l + nu e_l)
 * and r_1 = d_1 for an input map. All in displacement form: with the full right-hand side a matrix that is a few chunks old
 * gives NaN within an epoch. tau is --prox-a and --prox-z. */
#include "host/methods/streamed.h"

#include "host/train/stream_down.h"

#include <stdlib.h>

typedef struct skip_state {
    am_stream base;
    float pull;       /* nu/rho */
    am_slot ratio;    /* (rho + tau)/nu */
    am_mat memory[2]; /* d x m: displacement, gap */
    am_down_map map[AM_MAX_HIDDEN + 2];
} skip_state;

static void skip_refresh(am_stream *stream)
{
    am_down_maps_refresh(stream, ((const skip_state *)stream)->map);
}

static void skip_blocks(am_stream *stream)
{
    const skip_state *s = (const skip_state *)stream;
    am_ctx *ctx = stream->problem.ctx;
    for (size_t l = stream->n_layers; l-- > 1;) {
        const am_stream_layer *layer = &stream->layer[l], *above = &stream->layer[l + 1];
        const am_mat d = {s->memory[0].data, layer->r.rows, layer->r.cols},
                     e = {s->memory[1].data, layer->r.rows, layer->r.cols};
        am_label(ctx, "layer %zu, blocks a, z", l);
        am_gemm(ctx, d, 1.0f, s->map[l + 1].q, 1, above->r, 0, 0.0f);
        if (above->kind == AM_LAYER_BLOCK) am_gemm(ctx, d, s->pull, s->map[l + 1].inverse, 0, e, 0, 1.0f);
        if (layer->kind == AM_LAYER_INPUT)
            am_copy(ctx, layer->r, d);
        else
            am_map(ctx, AM_MAP_SKIP_DISPLACE, 0,
                   &(am_map_args){.out = {layer->r, e}, .in = {d, layer->z}, .coef = {s->ratio}});
    }
}

/* ---------------------------------------------------------------------------------------------- life */

static altmin_error skip_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    return am_streamed_check_relu("radmm", settings, net, st);
}

static altmin_error skip_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    skip_state *s = calloc(1, sizeof *s);
    *state = s;
    if (!s) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the state of a stream");
    const altmin_settings *set = problem->settings;
    const size_t *width = problem->net->width, n_layers = problem->net->n_layers;
    am_stream_design design = am_streamed_design(problem, 60.0 / (double)n_layers, 20.0);
    design.blocks = skip_blocks, design.refresh = skip_refresh, design.keep_z = 1;
    if (am_stream_prepare(&s->base, problem, &design, plan, st)) return st->code;
    s->ratio = am_slots_new(problem->ctx, 1);
    am_slot_set(problem->ctx, s->ratio, (set->rho + set->prox_z) / set->nu);
    s->pull = (float)(set->nu / set->rho);
    for (size_t l = 2; l <= n_layers; l++) {
        const int head = l == n_layers;
        const double c =
            head ? (set->nu + set->prox_a) / set->beta : (2.0 * set->nu + set->prox_a) / set->rho;
        am_down_map_plan(&s->map[l], problem->ctx, plan, width[l], width[l - 1], c, 0, !head);
    }
    for (int i = 0; i < 2 && n_layers > 1; i++)
        am_plan_mat(plan, "a, r of a chunk", &s->memory[i], width[n_layers - 1], s->base.chunk);
    return am_ctx_status(problem->ctx, st);
}

static altmin_error skip_start(void *state, float *const *w, float *const *b, altmin_status *st)
{
    skip_state *s = state;
    if (am_down_maps_start(&s->base, s->map, st)) return st->code;
    return am_stream_start(&s->base, w, b, st);
}

static void skip_release(void *state)
{
    am_stream_free(state);
    free(state);
}

/* Chosen on held-out training samples of MNIST. Scaling steps from the left as well loses: ten blocks, one pass, .84 against
 * .93 at the same rate. */
static const char *const preset[] = {"arch",   "resnet", "init",     "he",     "batch", "125",    "rho",
                                     "1",      "nu",     "1",        "beta",   "1",     "prox-a", "0.1",
                                     "prox-z", "0.1",    "momentum", "0.7",    "boost", "0",      "two-sided",
                                     "no",     "thin",   "0",        "sweeps", "4",     NULL};

const am_method am_method_radmm_stream = {.name = "radmm",
                                          .archs = AM_TRAINS(AM_ARCH_RESNET),
                                          .parts = 1,
                                          .gathers = 1,
                                          .title = "residual ADMM's blocks over a stream of chunks",
                                          .preset = {preset, preset, preset},
                                          .check = skip_check,
                                          .prepare = skip_prepare,
                                          .start = skip_start,
                                          .sweep = am_stream_sweep,
                                          .measure = am_stream_measure,
                                          .weight = am_stream_weight,
                                          .bias = am_stream_bias,
                                          .form = am_stream_form,
                                          .release = skip_release};
