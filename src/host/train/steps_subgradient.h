/* Norm of a subgradient of a method's objective F at the point where a sweep ends, for the monitor's relative error.
 *
 * What blocks know when they are updated is not enough: a_l has seen W_{l+1} and z_{l+1} as they were, and W_l another z_l.
 * Their gradients at the end of the sweep need two products a layer,
 *   T = W a + b 1' - t,  t = z (or z + multiplier/c),   dF/dW = c T a' + mu W,  dF/db = c T 1,  q = W'T for dF/da below,
 * so this is evaluated afresh from the final point, only when asked for (--subgradient yes) and off the clock of sweeps.
 * It takes no block's optimality for granted: a block that missed its minimiser shows. Where F has a kink or a
 * constraint is active, the element taken is said in maps.h (BOX_SUBGRADIENT, SPLIT_SUBGRADIENT).
 *
 * Use: begin; for l = L .. 1 linear, then (l > 1) below and what hangs on z_{l-1}, a_{l-1}; the sum is in slot `sum`. */
#ifndef AM_STEPS_SUBGRADIENT_H
#define AM_STEPS_SUBGRADIENT_H

#include "host/train/net.h"
#include "host/train/plan.h"

typedef struct am_subgradient {
    am_mat t, q;    /* flat, widest layer x n: T; W'T or the gradient of the loss */
    am_mat g;       /* flat, largest W */
    am_mat row, no; /* flat, widest layer x 1: T 1; zeros */
    am_slot sum;    /* ||g||^2 */
    am_slot part, scale2, one, coef;
} am_subgradient;

/** Take the slots. */
void am_subgradient_slots(am_subgradient *s, am_ctx *ctx);
/** Declare the scratch for a network and n samples, as "subgradient". */
void am_subgradient_plan(am_subgradient *s, const am_net *net, size_t n, am_plan *plan);

/** sum <- 0. */
void am_subgradient_begin(am_ctx *ctx, const am_subgradient *s);
/** x <- x + cy y + cz z, sum <- sum + scale^2 ||x||^2; y, z may be x. */
void am_subgradient_add(am_ctx *ctx, const am_subgradient *s, double scale, am_mat x, double cy, am_mat y,
                        double cz, am_mat z);
/** sum <- sum + the one sum of map `id` on these operands. */
void am_subgradient_map(am_ctx *ctx, const am_subgradient *s, am_map_id id, int act, am_map_args args);

/** One layer's c/2 ||W a + b 1' - t||^2 + mu/2 ||W||^2, p = W a. */
typedef struct am_linear_terms {
    double c, mu;
    am_mat w, b, p, target;
    const am_input *a;
} am_linear_terms;

/** T into the scratch, returned as d_out x n; W and b added to the sum. */
am_mat am_subgradient_linear(am_ctx *ctx, const am_subgradient *s, const am_linear_terms *terms);
/** q = W'T, d_in x n, in the scratch; T as returned by am_subgradient_linear. */
am_mat am_subgradient_below(am_ctx *ctx, const am_subgradient *s, am_mat w, am_mat t);
/** weight x gradient of the loss R at x, d_out x n, in the scratch. */
am_mat am_subgradient_loss(am_ctx *ctx, const am_subgradient *s, am_loss loss, double weight, am_mat x,
                           const am_samples *train);
#endif
