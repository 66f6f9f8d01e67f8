/* Block updates of alternating minimisation on m_l = W_l a_{l-1} + b_l 1', each written once and used by
 * every method.
 *
 * phi_l(W, b) = rho/2 ||W a + b 1' - z||^2 + mu/2 ||W||^2 is the part of the objective that a weight step
 * sees. Two forms compute the same step:
 *   normal  on A = a a' (d_in x d_in) and B = z a': inner work free of n; pays when n > d_in
 *   sample  on R = W a + b 1' - z (d_out x n): pays when n < d_in; R is carried along linearly
 * Everything is decided on the backend: a step length, a guard's verdict and the redo it calls for never
 * visit the host. */
#ifndef AM_STEPS_H
#define AM_STEPS_H

#include "host/train/net.h"
#include "host/train/plan.h"

/** Scalars every step of a run shares. */
typedef struct am_common_slots {
    am_slot zero, one, minus_one;
    am_slot rho, mu, inv_n;
    am_slot eps;      /* current relaxation */
    am_slot momentum; /* w_k; the zero slot when there is no acceleration */
    am_slot margin;   /* factor on lambda_max(W'W), which power iteration gives from below */
} am_common_slots;

/** Slots of an inertial step with D = x - x_prev: prox centre x + p1 D, gradient point x + p2 D,
 * over-relaxation p3 of the result. mDLAM: p1 = p2 = w_k, p3 = 0. [TIAM, Yan et al. 2025] */
typedef struct am_inertia {
    am_slot p1, p2, p3;
    am_slot lag; /* p1 - p2: what is left of inertia where the step is an exact minimiser */
} am_inertia;

/* ---------------------------------------------------------------------------------------------- weights */

typedef struct am_weight_slots {
    am_slot gradient2_w; /* ||G||^2 at W */
    am_slot gradient2;   /* ||G||^2 at the point of the step */
    am_slot curvature;   /* <G A, G> or ||G a||^2 */
    am_slot inv_theta;
    am_slot reach, length; /* coefficients of D and -G in the whole step */
    am_slot sum[4];        /* the decision's inner products */
    am_slot change;        /* phi(W+) - phi(W) */
    am_slot fired;         /* 1 when the guard redid the step from W itself */
    am_slot step2;         /* ||W+ - W||^2 */
} am_weight_slots;

/** Take the slots of one weight block. */
am_weight_slots am_weight_slots_new(am_ctx *ctx);

/** Scratch shared by all layers' weight steps, as flat memory of the largest layer's size. */
typedef struct am_weight_work {
    am_mat d, da, g, ga, gw;  /* d_out x d_in */
    am_mat r, dx, gx;         /* d_out x n: sample form only */
    am_mat cov, factor;       /* exact steps: d_in x d_in or n x n, and its factor */
    am_mat ones, mean, total; /* exact steps, sample form: n x 1, n x 1, largest d_out x 1 */
} am_weight_work;

/** One weight block at work. The result goes over w_prev; w stays for the guard. */
typedef struct am_weight_step {
    int form;                  /* AM_FORM_NORMAL or AM_FORM_SAMPLE */
    am_scalar_id rule;         /* AM_SCALAR_CAUCHY or AM_SCALAR_BACKTRACKING */
    int accelerate, guard;     /* take inertia; redo from W when phi does not fall */
    const am_inertia *inertia; /* NULL: p1 = p2 = slot momentum, p3 = 0 */
    float rho, mu;
    float alpha; /* exact steps: weight alpha/2 ||W - W_old||^2 */
    am_mat w, w_prev, b, z;
    am_mat p;          /* W a on entry (sample form), W+ a on exit of the sample form's gradient step */
    am_mat s_z;        /* row sums of z (exact step) */
    const am_input *a; /* with sum = s_a */
    am_mat gram;       /* A = a a' (normal form) */
    const am_weight_work *work;
    const am_common_slots *common;
    am_weight_slots slot;
} am_weight_step;

/** Inertial gradient step, D = W - W_prev: Wbar = W + p2 D, theta by the rule (ridge included) from G(Wbar),
 *  W+ = W + p1 D + mu/theta (p2 - p1) D - G(Wbar)/theta, then W+ + p3 (W+ - W). With mDLAM's p1 = p2 = w, p3
 * = 0 that is W+ = Wbar - G(Wbar)/theta. Redone from W when the guard is on and phi(W+) < phi(W) does not
 * hold. The decrease is computed as <G_W, E> + rho/2 <E A, E> + mu/2 ||E||^2, never as a difference of sums.
 * [mDLAM, W subproblem; q derived] */
void am_step_weight_gradient(am_ctx *ctx, const am_weight_step *step);

/** Factor rho-free normal equations for exact steps: A_c + k I (normal) or K_c + k I with K = a'a (sample), k
 * = (mu + alpha)/rho. Once a run for a constant input, else before each am_step_weight_exact. */
void am_step_weight_factor(am_ctx *ctx, const am_weight_step *step, am_mat factor);
/** Joint exact minimiser of phi + alpha/2 ||W - W_old||^2 over (W, b), weight part: W (A_c + k I) = B_c +
 * (alpha/rho) W_old, or in sample form W = s W_old + (z_c - s W_old a_c) (K_c + k I)^-1 a' with s = alpha/(mu
 * + alpha). The bias follows by am_step_bias. [BCD, (W, b) block; sample form derived] */
void am_step_weight_exact(am_ctx *ctx, const am_weight_step *step, am_mat factor);

/** The form with fewer flops per sweep for a layer of d_in inputs, d_out outputs and n samples; `constant`:
 * its input never changes; `exact`: am_step_weight_exact instead of a gradient step. settings->form
 * overrules. */
int am_step_weight_form(const altmin_settings *settings, size_t d_in, size_t d_out, size_t n, int constant,
                        int exact);

/** Declare the scratch of all layers' weight steps; form[l] for l = 1..L. */
void am_weight_work_plan(am_weight_work *work, am_plan *plan, const am_net *net, const int *form, size_t n,
                         int exact);

/** Gram matrix A = a a' of a layer's input, dense or sparse. */
void am_step_gram(am_ctx *ctx, am_mat gram, const am_input *a);

/** b <- (s_z - W s_a)/n, the exact bias; scratch is d_out x 1. Slot step2 <- ||change||^2. */
void am_step_bias(am_ctx *ctx, am_mat b, am_mat w, am_mat s_a, am_mat s_z, am_mat scratch,
                  const am_common_slots *common, am_slot step2);

typedef struct am_inertial_bias {
    am_mat b, b_prev; /* d_out x 1; b_prev <- b, b <- the step */
    am_mat w, s_a, s_z, scratch;
    int guard;
    const am_common_slots *common;
    const am_inertia *inertia;
    am_slot change, fired, step2;
} am_inertial_bias;

/** b+ = mean + (p1 - p2) (b - b_prev), mean the exact bias, then b+ + p3 (b+ - b); the exact bias when the
 * guard is on and
 *  ||b+ - mean|| < ||b - mean|| does not hold. [TIAM, b block] */
void am_step_bias_inertial(am_ctx *ctx, const am_inertial_bias *step);

/* ---------------------------------------------------------------------------------------------- auxiliaries
 */

/** Hidden z: the point of the box |a - h(z)| <= eps nearest to m = p + b. Slots: ||z - m||^2, ||change||^2.
 */
void am_step_z(am_ctx *ctx, int act, am_mat z, am_mat p, am_mat b, am_mat a, am_mat s_z,
               const am_common_slots *common, am_slot residual2, am_slot step2);

/** One hidden z block with inertia. z_prev.data NULL where p1 = p2: then D drops out, and for p3 < 1 the
 * over-relaxed point cannot raise ||z - m||^2 from any z in the box [derived: elementwise, the box being an
 * interval], so no guard is needed. */
typedef struct am_inertial_z {
    int act, guard;
    am_mat z, z_prev; /* d x n; z_prev <- z, z <- the step */
    am_mat p, b, a, s_z;
    const am_common_slots *common;
    const am_inertia *inertia;
    am_slot residual2, step2, change, fired;
} am_inertial_z;

/** z+ = the point of the box nearest to m + (p1 - p2) (z - z_prev), then z+ + p3 (z+ - z) clipped to the box;
 * redone as am_step_z when the guard is on and ||z - m||^2 does not fall. [TIAM, z block] */
void am_step_z_inertial(am_ctx *ctx, const am_inertial_z *step);

typedef struct am_output_slots {
    am_slot loss, residual2, step2;
} am_output_slots;

/** Output z: argmin R(z; y) + rho/2 ||z - m||^2, cross-entropy by damped Newton, squared loss in closed form.
 * Slot loss gets R for cross-entropy and 2 R for squared loss. */
void am_step_output(am_ctx *ctx, am_loss loss, am_mat z, am_mat p, am_mat b, const am_samples *train,
                    am_mat s_z, const am_common_slots *common, am_output_slots slot);

typedef struct am_activation_slots {
    am_slot lambda, inv_lambda; /* lambda_max(W'W) of the layer above, and 1/(margin lambda) */
    am_slot ahead2;             /* ||W (a - a_prev)||^2 */
    am_slot sum[2];             /* <g, a+ - a>, ||a+ - abar||^2 */
    am_slot change;             /* bound of (phi(a+) - phi(a))/rho */
    am_slot fired, step2, box;  /* guard, ||a+ - a||^2, max |a+ - h(z)| */
} am_activation_slots;

am_activation_slots am_activation_slots_new(am_ctx *ctx);

/** One activation block at work: layer l seen from layer l + 1. The result goes over a_prev. */
typedef struct am_activation_step {
    am_scalar_id
        rule; /* rho/tau: AM_SCALAR_SAFE_INVERSE (1/lambda) or, as published, AM_SCALAR_BACKTRACKING_A */
    int act, accelerate, guard;
    const am_inertia *inertia; /* NULL: p1 = p2 = slot momentum, p3 = 0 */
    int n_power;               /* power iterations on W'W from the warm vector v */
    am_mat a, a_prev, z;       /* d x n */
    am_mat w, b, p, z_next;    /* of layer l + 1, p = W a */
    am_mat t, g;               /* scratch: d_next x n, d x n */
    am_mat v, u;               /* d x 1 (kept warm between sweeps), d_next x 1 */
    am_mat s_a;                /* d x 1: row sums of a+ */
    const am_common_slots *common;
    am_activation_slots slot;
} am_activation_step;

/** With D = a - a_prev: a+ = clip(a + p1 D - g/tau, h(z) - eps, h(z) + eps), g = rho W'R(abar) at abar = a +
 * p2 D, tau = rho margin lambda_max(W'W); then a+ + p3 (a+ - a), clipped again. Guard: redone from a unless
 * the majoriser certifies a decrease, with W D known exactly from the step's own product: <g, a+ - a> +
 * lambda/2 ||a+ - abar||^2 - p2^2/2 ||W D||^2 < 0. This is sufficient for phi(a+) < phi(a), costs no product
 * beyond the step's two, and fires somewhat more often than the published test, which would need a third one.
 * [mDLAM and TIAM, a subproblems; guard derived] */
void am_step_a(am_ctx *ctx, const am_activation_step *step);
#endif
