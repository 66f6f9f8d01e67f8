/* Downward maps; see stream_down.h. */
#include "host/train/stream_down.h"

void am_down_map_plan(am_down_map *map, am_ctx *ctx, am_plan *plan, size_t d_out, size_t d_in, double weight,
                      int scaled, int keep_inverse)
{
    static const char name[] = "downward maps";
    map->narrow = d_out < d_in && !keep_inverse;
    map->scaled = scaled;
    const size_t k = map->narrow ? d_out : d_in;
    am_plan_mat(plan, name, &map->q, d_out, d_in);
    am_plan_mat(plan, name, &map->gram, k, k);
    am_plan_mat(plan, name, &map->identity, k, k);
    am_plan_mat(plan, name, &map->factor, k, am_factor_cols(k));
    if (map->narrow || keep_inverse) am_plan_mat(plan, name, &map->inverse, k, k);
    const am_slot c = am_slots_new(ctx, 8);
    map->zero = c, map->one = c + 1, map->weight = c + 2, map->d_in = c + 3;
    map->trace = c + 4, map->ridge = c + 5, map->size_q = c + 6, map->ratio = c + 7;
    am_slots_write(ctx, c, 4, (double[]){0.0, 1.0, weight, (double)d_in});
}

altmin_error am_down_map_start(const am_down_map *map, am_ctx *ctx, altmin_status *st)
{
    return am_stream_upload_identity(ctx, map->identity, st);
}

/* c; tr W'W = |W|_F^2 on either side. */
static void set_ridge(const am_down_map *map, am_ctx *ctx)
{
    if (!map->scaled) {
        am_scalar(ctx, map->ridge, AM_SCALAR_SET, &map->weight);
        return;
    }
    am_map(ctx, AM_MAP_DOT, 0, &(am_map_args){.in = {map->gram, map->identity}, .sum = {map->trace}});
    am_scalar(ctx, map->ridge, AM_SCALAR_RIDGE, (am_slot[]){map->weight, map->trace, map->zero, map->d_in});
}

static void rescale(const am_down_map *map, am_ctx *ctx)
{
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {map->q}, .sum = {map->size_q}});
    am_scalar(ctx, map->ratio, AM_SCALAR_RATIO_ROOT, (am_slot[]){map->trace, map->size_q});
    am_map(ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {map->q}, .in = {map->q, map->q}, .coef = {map->ratio, map->zero}});
}

void am_down_map_refresh(const am_down_map *map, am_ctx *ctx, am_mat w)
{
    am_gram(ctx, map->gram, w, !map->narrow);
    set_ridge(map, ctx);
    am_map(
        ctx, AM_MAP_LINCOMB, 0,
        &(am_map_args){.out = {map->gram}, .in = {map->gram, map->identity}, .coef = {map->one, map->ridge}});
    am_cholesky(ctx, map->factor, map->gram, 1.0, 0.0);
    if (map->inverse.data) {
        am_copy(ctx, map->inverse, map->identity);
        am_solve_right(ctx, map->inverse, map->factor);
        if (map->narrow)
            am_gemm(ctx, map->q, 1.0f, map->inverse, 0, w, 0, 0.0f);
        else
            am_gemm(ctx, map->q, 1.0f, w, 0, map->inverse, 0, 0.0f);
    } else {
        am_copy(ctx, map->q, w);
        am_solve_right(ctx, map->q, map->factor);
    }
    if (map->scaled) rescale(map, ctx);
}

typedef struct all_maps {
    const am_stream *s;
    const am_down_map *map;
} all_maps;

static void refresh_one(am_ctx *ctx, size_t i, void *arg)
{
    const all_maps *all = arg;
    const size_t l = i + 2;
    am_label(ctx, "layer %zu, downward map", l);
    am_down_map_refresh(&all->map[l], ctx, all->s->layer[l].w);
}

void am_down_maps_refresh(const am_stream *s, const am_down_map *map)
{
    all_maps all = {s, map};
    am_lanes(s->problem.ctx, s->n_layers - 1, refresh_one, &all);
}

altmin_error am_down_maps_start(const am_stream *s, const am_down_map *map, altmin_status *st)
{
    for (size_t l = 2; l <= s->n_layers; l++)
        if (am_down_map_start(&map[l], s->problem.ctx, st)) return st->code;
    return ALTMIN_OK;
}
