/* Block updates of a residual block a = a_prev + h(z) held by penalties [ADMM for residual networks, Xu, Li, Xing 2023/2025;
 * constants and the linearised steps derived]. Its gap is e = a - a_prev - h(z), its residual z - m, m = W a_prev + b.
 *
 * Every step reads its variables in `from` views and writes `to` views: the same memory in a sweep that goes from block to
 * block, different memory where all blocks move at once. */
#ifndef AM_STEPS_RESIDUAL_H
#define AM_STEPS_RESIDUAL_H

#include "host/train/steps.h"

/** What holds an activation block a from above: block l + 1 with its gap, or the head, which has none. */
typedef struct am_skip_above {
    int is_head;
    double penalty; /* of z - m (rho) or of the head (beta) */
    am_mat w, b, p; /* p = W a at the old a; unused by the linearised step */
    am_mat target;  /* what m is drawn to: z, or Z + multiplier */
    am_mat a, z;    /* of the block; unused for the head */
} am_skip_above;

/** What holds it from below: its own gap (a_prev, z), or the input map's residual a - p - b. */
typedef struct am_skip_below {
    int is_input;
    double penalty; /* of the gap (nu) or of the input map (rho) */
    am_mat a_prev, z;
    am_mat p, b;
} am_skip_below;

typedef struct am_skip_a {
    int act;
    am_skip_below below;
    am_skip_above above;
    double nu, prox; /* penalty of the gap above; weight of ||a - a_old||^2/2, exact step alone */
    am_slot below_slot, nu_slot, ratio_slot;      /* below, nu, below/nu */
    am_mat from, to, s_a;                         /* d x n, and the new row sums, d x 1 */
    am_mat t, g, d;                               /* scratch: d_next x n, d x n, d x n */
    am_mat gram, factor, inverse, identity, zero; /* d x d scratch, d x 2d, d x d, I, zeros d x 1 */
    const am_common_slots *common;
    am_slot step2, gap2, box; /* ||change||^2; ||e||^2 (input map: of its residual); max |e| */
} am_skip_a;

/** Exact minimiser over a of the terms that hold it, in displacement form: a - S^-1 g with
 *  S = penalty W'W + (below + nu + prox) I (no nu under the head) and g the gradient at the old a,
 *  penalty W'(p + b - target) + below e - nu e_next. The displacement keeps its digits where a does not move any more. */
void am_step_skip_a_exact(am_ctx *ctx, const am_skip_a *step);

/** Hidden z for ReLU: argmin rho/2 ||z - m||^2 + nu/2 ||e||^2 + prox/2 ||z - z_old||^2, elementwise; the centre of its relu
 *  prox, a - a_prev, may be negative. Slots: ratio = (rho + prox)/nu, keep = prox/(rho + prox). */
typedef struct am_skip_z {
    am_mat from, to, s_z; /* d x n, and the new row sums */
    am_mat p, b, a, a_prev;
    am_slot ratio, keep;
    am_slot residual2, step2; /* ||z - m||^2, ||change||^2 */
} am_skip_z;

void am_step_skip_z(am_ctx *ctx, const am_skip_z *step);

/* ---------------------------------------------------------------------------------------------- linearised */

/** Slots of a step along minus a gradient whose length is found by trial. `length` is kept between sweeps. */
typedef struct am_trial_slots {
    am_slot length;        /* accepted last: the next search starts from twice of it */
    am_slot used;          /* length, or 0 when no trial was good enough */
    am_slot gradient2[2];  /* squared norms of the gradient's parts; an a step has one, the other stays 0 */
    am_slot cross;         /* <W, D>, W step alone */
    am_slot moved, change; /* sum of the trial pass; change of the objective */
    am_slot fired;         /* 1: the trial was not good enough */
} am_trial_slots;

am_trial_slots am_trial_slots_new(am_ctx *ctx);

/** Constants of all searches, in slots. */
typedef struct am_trial_constants {
    am_slot nu, half_nu, lambda, grow, shrink;
} am_trial_constants;

#define AM_TRIAL_GROW   2.0
#define AM_TRIAL_SHRINK 0.25
#define AM_TRIAL_MAX    8 /* lengths tried: the last is 2 x 4^-7 of the one before */

typedef struct am_skip_w {
    int act;
    float nu, lambda; /* penalty of the gap, ridge */
    am_mat w, w_to, b, b_to;
    am_mat a, z, z_to; /* d x n: block's output, m = W a_prev + b and where m of the step goes */
    const am_input *a_prev;
    am_mat slope, q;             /* scratch: d x n */
    am_mat gradient, gradient_b; /* scratch: d x d_in, d x 1 */
    const am_common_slots *common;
    am_trial_constants constant;
    am_trial_slots trial;
    am_slot step2_w, step2_b, drop;
} am_skip_w;

/** One gradient step on nu/2 ||a - a_prev - h(m)||^2 + lambda/2 ||W||^2 over (W, b) with D its gradient: W - t D_W, b - t D_b,
 *  m - t (D_W a_prev + D_b 1'). t starts at twice the last one and is cut to a quarter until
 *  change <= -t/2 ||D||^2, which a majoriser 1/t guarantees; after AM_TRIAL_MAX trials nothing moves. Every trial is one
 *  elementwise pass, m being linear in t, and its decision stays on the backend. */
void am_step_skip_w_linear(am_ctx *ctx, const am_skip_w *step);

/** The same for a below a block: gradient nu e - nu (e_next + W'(h'(m_next) o e_next)), both terms tried together.
 *  `above.z` is m_next at the old a. */
void am_step_skip_a_linear(am_ctx *ctx, const am_skip_a *step, const am_trial_constants *constant,
                           const am_trial_slots *trial);
#endif
