/* Block updates of residual blocks; formulas and shapes: steps_residual.h. */
#include "host/train/steps_residual.h"

void am_step_skip_z(am_ctx *ctx, const am_skip_z *s)
{
    am_map(ctx, AM_MAP_SKIP_Z, 0,
           &(am_map_args){.out = {s->to},
                          .in = {s->p, s->a, s->a_prev, s->from},
                          .row = s->b,
                          .coef = {s->ratio, s->keep},
                          .sum = {s->residual2, s->step2},
                          .row_sum = s->s_z});
}

/* g <- g + below e - nu e_next: what holds a besides the product with W. */
static void pull(am_ctx *ctx, const am_skip_a *s)
{
    const am_skip_below *below = &s->below;
    const am_skip_above *above = &s->above;
    if (below->is_input)
        am_map(ctx, AM_MAP_SKIP_PULL_FIRST, s->act,
               &(am_map_args){.out = {s->g},
                              .in = {s->g, s->from, below->p, above->a, above->z},
                              .row = below->b,
                              .coef = {s->below_slot, s->nu_slot}});
    else if (above->is_head)
        am_map(ctx, AM_MAP_SKIP_PULL_LAST, s->act,
               &(am_map_args){
                   .out = {s->g}, .in = {s->g, s->from, below->a_prev, below->z}, .coef = {s->below_slot}});
    else
        am_map(ctx, AM_MAP_SKIP_PULL, s->act,
               &(am_map_args){.out = {s->g},
                              .in = {s->g, s->from, below->a_prev, below->z, above->a, above->z},
                              .coef = {s->nu_slot}});
}

/* a <- a - t d. */
static void move(am_ctx *ctx, const am_skip_a *s, am_mat d, am_slot t)
{
    const am_skip_below *below = &s->below;
    if (below->is_input)
        am_map(ctx, AM_MAP_SKIP_MOVE_FIRST, 0,
               &(am_map_args){.out = {s->to},
                              .in = {s->from, d, below->p},
                              .row = below->b,
                              .coef = {t},
                              .sum = {s->step2, s->gap2},
                              .row_sum = s->s_a});
    else
        am_map(ctx, AM_MAP_SKIP_MOVE, s->act,
               &(am_map_args){.out = {s->to},
                              .in = {s->from, d, below->a_prev, below->z},
                              .coef = {t},
                              .sum = {s->step2, s->gap2},
                              .max = s->box,
                              .row_sum = s->s_a});
}

void am_step_skip_a_exact(am_ctx *ctx, const am_skip_a *s)
{
    const am_skip_above *above = &s->above;
    const double ridge = s->below.penalty + (above->is_head ? 0.0 : s->nu) + s->prox;
    am_gram(ctx, s->gram, above->w, 1);
    am_cholesky(ctx, s->factor, s->gram, above->penalty, ridge);
    am_copy(ctx, s->inverse, s->identity);
    am_solve_right(ctx, s->inverse, s->factor);
    am_map(
        ctx, AM_MAP_RESIDUAL, 0,
        &(am_map_args){.out = {s->t}, .in = {above->p, above->target}, .row = above->b, .sum = {AM_NO_SLOT}});
    am_gemm(ctx, s->g, (float)above->penalty, above->w, 1, s->t, 0, 0.0f);
    pull(ctx, s);
    am_gemm(ctx, s->d, 1.0f, s->inverse, 0, s->g, 0, 0.0f);
    move(ctx, s, s->d, s->common->one);
}

/* ---------------------------------------------------------------------------------------------- trials */

am_trial_slots am_trial_slots_new(am_ctx *ctx)
{
    const am_slot first = am_slots_new(ctx, 8);
    return (am_trial_slots){.length = first,
                            .used = first + 1,
                            .gradient2 = {first + 2, first + 3},
                            .cross = first + 4,
                            .moved = first + 5,
                            .change = first + 6,
                            .fired = first + 7};
}

/* One trial at slot length: slot fired says whether it was good enough. */
typedef void trial_fn(am_ctx *ctx, const void *step);

typedef struct search {
    trial_fn *trial;
    const void *step;
    const am_trial_slots *slot;
    const am_trial_constants *constant;
} search;

static void try_shorter(am_ctx *ctx, void *arg)
{
    const search *s = arg;
    am_scalar(ctx, s->slot->length, AM_SCALAR_MUL, (am_slot[]){s->slot->length, s->constant->shrink});
    s->trial(ctx, s->step);
}

/* Slot used <- the first good length of grow t, grow shrink t, ..; 0 when there was none. */
static void find_length(am_ctx *ctx, search s)
{
    const am_trial_slots *slot = s.slot;
    am_scalar(ctx, slot->length, AM_SCALAR_MUL, (am_slot[]){slot->length, s.constant->grow});
    s.trial(ctx, s.step);
    for (int i = 1; i < AM_TRIAL_MAX; i++) am_branch(ctx, slot->fired, try_shorter, &s);
    am_scalar(ctx, slot->used, AM_SCALAR_UNLESS, (am_slot[]){slot->length, slot->fired});
}

static void judge(am_ctx *ctx, const am_trial_slots *slot)
{
    am_scalar(ctx, slot->fired, AM_SCALAR_NOT_MAJORISED,
              (am_slot[]){slot->change, slot->length, slot->gradient2[0], slot->gradient2[1]});
}

/* ---------------------------------------------------------------------------------------------- weights */

static void trial_w(am_ctx *ctx, const void *step)
{
    const am_skip_w *s = step;
    const am_trial_slots *slot = &s->trial;
    am_map(ctx, AM_MAP_SKIP_TRIAL_Z, s->act,
           &(am_map_args){
               .in = {s->a, s->a_prev->dense, s->z, s->q}, .coef = {slot->length}, .sum = {slot->moved}});
    am_scalar(ctx, slot->change, AM_SCALAR_CHANGE_SKIP,
              (am_slot[]){slot->moved, slot->cross, slot->gradient2[0], slot->length, s->constant.lambda,
                          s->constant.nu});
    judge(ctx, slot);
}

/* D_W = -nu (h' o e) a' + lambda W, D_b = -nu (h' o e) 1, q = D_W a + D_b 1', with their norms. */
static void gradient_w(am_ctx *ctx, const am_skip_w *s)
{
    const am_common_slots *common = s->common;
    const am_trial_slots *slot = &s->trial;
    am_map(ctx, AM_MAP_SKIP_SLOPE, s->act,
           &(am_map_args){.out = {s->slope}, .in = {s->a, s->a_prev->dense, s->z}, .row_sum = s->gradient_b});
    am_input_correlate(ctx, s->gradient, -s->nu, s->slope, s->a_prev, 0.0f);
    am_map(ctx, AM_MAP_GRADIENT_AHEAD, 0,
           &(am_map_args){.out = {s->gradient},
                          .in = {s->gradient, s->w, s->w},
                          .coef = {common->one, s->constant.lambda, common->zero},
                          .sum = {slot->gradient2[0]}});
    am_map(ctx, AM_MAP_DOT, 0, &(am_map_args){.in = {s->w, s->gradient}, .sum = {slot->cross}});
    am_scalar(ctx, slot->moved, AM_SCALAR_MUL, (am_slot[]){s->constant.nu, common->minus_one});
    am_map(ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {s->gradient_b},
                          .in = {s->gradient_b, s->gradient_b},
                          .coef = {slot->moved, common->zero}});
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {s->gradient_b}, .sum = {slot->gradient2[1]}});
    am_input_apply(ctx, s->q, 1.0f, s->gradient, s->a_prev, 0.0f);
    am_map(ctx, AM_MAP_ADD_ROW, 0, &(am_map_args){.out = {s->q}, .in = {s->q}, .row = s->gradient_b});
}

static void descend(am_ctx *ctx, am_mat to, am_mat from, am_mat d, am_slot t, am_slot step2)
{
    am_map(ctx, AM_MAP_DESCEND, 0, &(am_map_args){.out = {to}, .in = {from, d}, .coef = {t}, .sum = {step2}});
}

void am_step_skip_w_linear(am_ctx *ctx, const am_skip_w *s)
{
    gradient_w(ctx, s);
    find_length(ctx, (search){trial_w, s, &s->trial, &s->constant});
    descend(ctx, s->w_to, s->w, s->gradient, s->trial.used, s->step2_w);
    descend(ctx, s->b_to, s->b, s->gradient_b, s->trial.used, s->step2_b);
    descend(ctx, s->z_to, s->z, s->q, s->trial.used, AM_NO_SLOT);
}

/* ---------------------------------------------------------------------------------------------- activations */

typedef struct linear_a {
    const am_skip_a *step;
    const am_trial_constants *constant;
    const am_trial_slots *slot;
} linear_a;

/* The trial pass weighs both parts against nu/2. */
static void trial_a(am_ctx *ctx, const void *arg)
{
    const linear_a *l = arg;
    const am_skip_a *s = l->step;
    am_map(ctx, AM_MAP_SKIP_TRIAL_A, s->act,
           &(am_map_args){.in = {s->from, s->g, s->t, s->above.a, s->above.z, s->d},
                          .coef = {l->slot->length, s->ratio_slot},
                          .sum = {l->slot->moved, l->slot->gradient2[0]}});
    am_scalar(ctx, l->slot->change, AM_SCALAR_MUL, (am_slot[]){l->slot->moved, l->constant->half_nu});
    judge(ctx, l->slot);
}

/* t <- what a is drawn to from below: a_prev + h(z), or p + b. */
static void low(am_ctx *ctx, const am_skip_a *s)
{
    if (s->below.is_input)
        am_map(ctx, AM_MAP_ADD_ROW, 0, &(am_map_args){.out = {s->t}, .in = {s->below.p}, .row = s->below.b});
    else
        am_map(ctx, AM_MAP_RESIDUAL_BLOCK, s->act,
               &(am_map_args){.out = {s->t}, .in = {s->below.z, s->below.a_prev}, .row = s->zero});
}

void am_step_skip_a_linear(am_ctx *ctx, const am_skip_a *s, const am_trial_constants *constant,
                           const am_trial_slots *trial)
{
    const am_skip_above *above = &s->above;
    const linear_a l = {s, constant, trial};
    am_map(ctx, AM_MAP_SKIP_SLOPE, s->act,
           &(am_map_args){.out = {s->t}, .in = {above->a, s->from, above->z}});
    am_gemm(ctx, s->g, -(float)s->nu, above->w, 1, s->t, 0, 0.0f);
    pull(ctx, s);
    am_gemm(ctx, s->d, 1.0f, above->w, 0, s->g, 0, 0.0f);
    low(ctx, s);
    find_length(ctx, (search){trial_a, &l, trial, constant});
    move(ctx, s, s->g, trial->used);
}
