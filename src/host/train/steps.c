/* Block updates of auxiliaries and biases; weights are in steps_weight.c. Formulas and shapes: steps.h. */
#include "host/train/steps.h"

void am_step_bias(am_ctx *ctx, am_mat b, am_mat w, am_mat s_a, am_mat s_z, am_mat scratch,
                  const am_common_slots *common, am_slot step2)
{
    am_gemm(ctx, scratch, 1.0f, w, 0, s_a, 0, 0.0f);
    am_map(ctx, AM_MAP_BIAS_MEAN, 0,
           &(am_map_args){.out = {b}, .in = {s_z, scratch, b}, .coef = {common->inv_n}, .sum = {step2}});
}

static void plain_bias(am_ctx *ctx, void *arg)
{
    const am_inertial_bias *s = arg;
    am_map(ctx, AM_MAP_BIAS_MEAN, 0,
           &(am_map_args){.out = {s->b},
                          .in = {s->s_z, s->scratch, s->b_prev},
                          .coef = {s->common->inv_n},
                          .sum = {s->step2}});
}

void am_step_bias_inertial(am_ctx *ctx, const am_inertial_bias *step)
{
    am_inertial_bias s = *step;
    am_gemm(ctx, s.scratch, 1.0f, s.w, 0, s.s_a, 0, 0.0f);
    am_map(ctx, AM_MAP_BIAS_INERTIAL, 0,
           &(am_map_args){.out = {s.b, s.b_prev},
                          .in = {s.s_z, s.scratch, s.b, s.b_prev},
                          .coef = {s.common->inv_n, s.inertia->lag, s.inertia->p3},
                          .sum = {s.step2, s.change}});
    if (!s.guard) return;
    am_scalar(ctx, s.fired, AM_SCALAR_NOT_DECREASED, &s.change);
    am_branch(ctx, s.fired, plain_bias, &s);
}

void am_step_z(am_ctx *ctx, int act, am_mat z, am_mat p, am_mat b, am_mat a, am_mat s_z,
               const am_common_slots *common, am_slot residual2, am_slot step2)
{
    am_map(ctx, AM_MAP_BOX_Z, act,
           &(am_map_args){.out = {z},
                          .in = {p, a, z},
                          .row = b,
                          .coef = {common->eps, common->zero},
                          .sum = {residual2, step2},
                          .row_sum = s_z});
}

static void plain_z(am_ctx *ctx, void *arg)
{
    const am_inertial_z *s = arg;
    am_map(ctx, AM_MAP_BOX_Z, s->act,
           &(am_map_args){.out = {s->z},
                          .in = {s->p, s->a, s->z_prev},
                          .row = s->b,
                          .coef = {s->common->eps, s->common->zero},
                          .sum = {s->residual2, s->step2},
                          .row_sum = s->s_z});
}

void am_step_z_inertial(am_ctx *ctx, const am_inertial_z *step)
{
    am_inertial_z s = *step;
    const am_slot eps = s.common->eps;
    if (!s.z_prev.data) {
        am_map(ctx, AM_MAP_BOX_Z, s.act,
               &(am_map_args){.out = {s.z},
                              .in = {s.p, s.a, s.z},
                              .row = s.b,
                              .coef = {eps, s.inertia->p3},
                              .sum = {s.residual2, s.step2},
                              .row_sum = s.s_z});
        return;
    }
    am_map(ctx, AM_MAP_BOX_Z_INERTIAL, s.act,
           &(am_map_args){.out = {s.z, s.z_prev},
                          .in = {s.p, s.a, s.z, s.z_prev},
                          .row = s.b,
                          .coef = {eps, s.inertia->lag, s.inertia->p3},
                          .sum = {s.residual2, s.step2, s.change},
                          .row_sum = s.s_z});
    if (!s.guard) return;
    am_scalar(ctx, s.fired, AM_SCALAR_NOT_DECREASED, &s.change);
    am_branch(ctx, s.fired, plain_z, &s);
}

void am_step_output(am_ctx *ctx, am_loss loss, am_mat z, am_mat p, am_mat b, const am_samples *train,
                    am_mat s_z, const am_common_slots *common, am_output_slots slot)
{
    if (loss == AM_LOSS_CROSS_ENTROPY) {
        const am_slot sum[3] = {slot.loss, slot.residual2, slot.step2};
        am_prox_softmax_columns(ctx, z, p, b, train->label, common->rho, sum, s_z);
        return;
    }
    am_map(ctx, AM_MAP_PROX_SQUARED, 0,
           &(am_map_args){.out = {z},
                          .in = {p, train->target, z},
                          .row = b,
                          .coef = {common->rho},
                          .sum = {slot.loss, slot.residual2, slot.step2},
                          .row_sum = s_z});
}

/* ---------------------------------------------------------------------------------------------- activations */

am_activation_slots am_activation_slots_new(am_ctx *ctx)
{
    const am_slot first = am_slots_new(ctx, 9);
    return (am_activation_slots){.lambda = first,
                                 .inv_lambda = first + 1,
                                 .ahead2 = first + 2,
                                 .sum = {first + 3, first + 4},
                                 .change = first + 5,
                                 .fired = first + 6,
                                 .step2 = first + 7,
                                 .box = first + 8};
}

/* g = W'R in s->g, then a+ over a_prev: the part that both the accelerated step and its redo share. */
static void descend(am_ctx *ctx, const am_activation_step *s, am_inertia p)
{
    const am_activation_slots *slot = &s->slot;
    am_gemm(ctx, s->g, 1.0f, s->w, 1, s->t, 0, 0.0f);
    am_map(ctx, AM_MAP_A_STEP, s->act,
           &(am_map_args){.out = {s->a_prev},
                          .in = {s->a, s->a_prev, s->g, s->z},
                          .coef = {p.p1, slot->inv_lambda, s->common->eps, p.p2, p.p3},
                          .sum = {slot->sum[0], slot->sum[1], slot->step2},
                          .max = slot->box,
                          .row_sum = s->s_a});
}

/* The same step from a itself: with an admissible tau it cannot raise phi. */
static void plain(am_ctx *ctx, void *arg)
{
    const am_activation_step *s = arg;
    am_map(ctx, AM_MAP_RESIDUAL, 0,
           &(am_map_args){.out = {s->t}, .in = {s->p, s->z_next}, .row = s->b, .sum = {AM_NO_SLOT}});
    const am_slot zero = s->common->zero;
    descend(ctx, s, (am_inertia){zero, zero, zero, zero});
}

void am_step_a(am_ctx *ctx, const am_activation_step *step)
{
    am_activation_step s = *step;
    const am_activation_slots *slot = &s.slot;
    const am_slot w = s.common->momentum, zero = s.common->zero;
    const am_inertia p = s.inertia ? *s.inertia : (am_inertia){w, w, zero, zero};
    am_norm2(ctx, slot->lambda, s.w, s.v, s.u, s.n_power);
    am_scalar(ctx, slot->inv_lambda, s.rule, (am_slot[]){slot->lambda, s.common->margin, s.common->rho});
    if (!s.accelerate) {
        plain(ctx, &s);
        return;
    }
    am_gemm(ctx, s.t, 1.0f, s.w, 0, s.a_prev, 0, 0.0f);
    am_map(ctx, AM_MAP_RESIDUAL_AHEAD, 0,
           &(am_map_args){
               .out = {s.t}, .in = {s.p, s.z_next, s.t}, .row = s.b, .coef = {p.p2}, .sum = {slot->ahead2}});
    descend(ctx, &s, p);
    if (!s.guard) return;
    am_scalar(ctx, slot->change, AM_SCALAR_CHANGE_A,
              (am_slot[]){slot->sum[0], slot->sum[1], slot->ahead2, p.p2, slot->inv_lambda});
    am_scalar(ctx, slot->fired, AM_SCALAR_NOT_DECREASED, &slot->change);
    am_branch(ctx, slot->fired, plain, &s);
}
