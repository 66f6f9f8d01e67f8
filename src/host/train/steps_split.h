/* Block updates of methods that split a = h(z) by a penalty (gamma/2 ||a - h(z)||^2) instead of a box: BCD and dlADMM.
 * c is the layer's penalty on z - m; everything is divided by it, so only ratios appear. */
#ifndef AM_STEPS_SPLIT_H
#define AM_STEPS_SPLIT_H

#include "host/train/steps.h"

/** A hidden activation block: layer l seen from layer l + 1, whose m is drawn to `target` (its z, or z + multiplier/c). */
typedef struct am_split_a {
    int act;
    double gap, prox; /* gamma/c and alpha/c, also in the slots */
    am_slot gap_slot, prox_slot;
    am_mat a, z, s_a;                       /* d x n, d x n, d x 1 */
    am_mat w, b, p, target;                 /* of layer l + 1; p = W a, read by the gradient step alone */
    am_mat t, g, old;                       /* scratch: d_next x n, d x n, d x n */
    am_mat gram, factor, inverse, identity; /* exact: d x d scratch, d x 2d, d x d, and I */
    am_mat v, u, minus_b;                   /* gradient: d x 1 kept warm, d_next x 1; exact: d_next x 1 */
    int n_power;
    const am_common_slots *common;
    am_slot lambda, inv_tau;  /* of the gradient step */
    am_slot step2, gap2, box; /* ||change||^2, ||a - h(z)||^2, max |a - h(z)| */
} am_split_a;

/** Exact minimiser of 1/2 ||W a + b - t||^2 + gap/2 ||a - h(z)||^2 + prox/2 ||a - a_old||^2:
 *  a = (W'W + (gap + prox) I)^-1 (W'(t - b) + gap h(z) + prox a_old). One Cholesky factor, its inverse in double rounded
 *  once, and one product for the n right-hand sides. That is the faster way: at d = 1000, n = 10000 on two cores the product
 *  takes 100 ms and the inverse 35, the factor's two triangular solves 370 in double and 180 in float.
 *  The rounding of the inverse moves a by a relative 1e-7 cond and raises the block's objective by its square. [BCD, V block] */
void am_step_split_a_exact(am_ctx *ctx, const am_split_a *step);

/** One majorised gradient step on the same without prox: a - (W'R + gap (a - h(z)))/tau, R = p + b - t, tau = margin
 *  lambda_max(W'W) + gap. Never raises it. [dlADMM, a block] */
void am_step_split_a_gradient(am_ctx *ctx, const am_split_a *step);

/** Hidden z for ReLU: argmin c/2 ||z - m||^2 + gamma/2 ||a - h(z)||^2 + alpha/2 ||z - z_old||^2, m = p + b, elementwise.
 *  Slots: ratio = (c + alpha)/gamma, keep = alpha/(c + alpha). [BCD, U block; dlADMM with alpha = 0] */
typedef struct am_split_z {
    am_mat z, p, b, a, s_z;
    am_slot ratio, keep;
    am_slot residual2, step2, gap2, box; /* ||z - m||^2, ||change||^2, ||a - h(z)||^2, max |a - h(z)| */
} am_split_z;

void am_step_split_z(am_ctx *ctx, const am_split_z *step);
#endif
