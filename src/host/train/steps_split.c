/* Block updates of penalty splittings; formulas and shapes: steps_split.h. */
#include "host/train/steps_split.h"

void am_step_split_a_exact(am_ctx *ctx, const am_split_a *s)
{
    const am_common_slots *common = s->common;
    am_gram(ctx, s->gram, s->w, 1);
    am_cholesky(ctx, s->factor, s->gram, 1.0, s->gap + s->prox);
    am_copy(ctx, s->inverse, s->identity);
    am_solve_right(ctx, s->inverse, s->factor);
    am_map(
        ctx, AM_MAP_LINCOMB, 0,
        &(am_map_args){.out = {s->minus_b}, .in = {s->b, s->b}, .coef = {common->minus_one, common->zero}});
    am_map(ctx, AM_MAP_ADD_ROW, 0, &(am_map_args){.out = {s->t}, .in = {s->target}, .row = s->minus_b});
    am_gemm(ctx, s->g, 1.0f, s->w, 1, s->t, 0, 0.0f);
    am_map(ctx, AM_MAP_A_EXACT_TARGET, s->act,
           &(am_map_args){.out = {s->g}, .in = {s->g, s->z, s->a}, .coef = {s->gap_slot, s->prox_slot}});
    am_copy(ctx, s->old, s->a);
    am_gemm(ctx, s->a, 1.0f, s->inverse, 0, s->g, 0, 0.0f);
    am_map(ctx, AM_MAP_A_MOVED, s->act,
           &(am_map_args){.in = {s->a, s->old, s->z}, .sum = {s->step2, s->gap2}, .max = s->box});
    am_row_sum(ctx, s->s_a, s->a);
}

void am_step_split_a_gradient(am_ctx *ctx, const am_split_a *s)
{
    am_norm2(ctx, s->lambda, s->w, s->v, s->u, s->n_power);
    am_scalar(ctx, s->inv_tau, AM_SCALAR_MAJORISER, (am_slot[]){s->lambda, s->common->margin, s->gap_slot});
    am_map(ctx, AM_MAP_RESIDUAL, 0,
           &(am_map_args){.out = {s->t}, .in = {s->p, s->target}, .row = s->b, .sum = {AM_NO_SLOT}});
    am_gemm(ctx, s->g, 1.0f, s->w, 1, s->t, 0, 0.0f);
    am_map(ctx, AM_MAP_A_GRADIENT, s->act,
           &(am_map_args){.out = {s->a},
                          .in = {s->a, s->g, s->z},
                          .coef = {s->inv_tau, s->gap_slot},
                          .sum = {s->step2, s->gap2, AM_NO_SLOT},
                          .max = s->box,
                          .row_sum = s->s_a});
}

void am_step_split_z(am_ctx *ctx, const am_split_z *s)
{
    am_map(ctx, AM_MAP_RELUPROX_Z, 0,
           &(am_map_args){.out = {s->z},
                          .in = {s->p, s->a, s->z},
                          .row = s->b,
                          .coef = {s->ratio, s->keep},
                          .sum = {s->residual2, s->step2, s->gap2},
                          .max = s->box,
                          .row_sum = s->s_z});
}
