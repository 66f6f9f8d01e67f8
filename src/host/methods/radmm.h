/* ADMM for residual networks (Xu, Li, Xing 2023/2025): blocks a_l = a_{l-1} + h(z_l), a linear input map when the data have
 * another width, a linear head Z with a multiplier. The publication fixes the splitting (hidden constraints as penalties, two
 * or three variables a block), the proximal and linearised steps, the serial and the two parallel orders; its constants are not
 * public. The sub-problems and the descent proof behind them are derived.
 *
 *   L = c R(Z) + <Lam, m_L - Z> + beta/2 ||m_L - Z||^2 + lambda/2 sum ||W_l||^2         m_l = W_l a_{l-1} + b_l 1'
 *     + sum over blocks of nu/2 ||a_l - a_{l-1} - h(z_l)||^2 + rho/2 ||z_l - m_l||^2    (3-split; 2-split: z_l = m_l)
 *     + rho/2 ||a_1 - m_1||^2                                                           (input map, if there is one)
 *
 * The output of the input map stays a variable: eliminated, W_1 would be coupled to its block by a Kronecker system, kept, it
 * is least squares on constant data, factored once a run. Biases are not regularised. Lam is stored as v = -Lam/beta, so that
 * m_L is drawn to Z + v as in dladmm. Lam starts at the gradient of c R at Z = m_L, so that Lam = c R'(Z) (squared loss:
 * c (Z - y)) holds before the first sweep and, by the Z step, after every one [choice].
 *
 * L never rises when the head's beta exceeds c (squared loss; cross-entropy: c/sqrt 2, as its Hessian is at most 1/2): the Z
 * step takes (beta + sigma)/2 ||dZ||^2 off, the multiplier's gives back (c H)^2/beta ||dZ||^2. */
#ifndef AM_RADMM_H
#define AM_RADMM_H

#include "host/methods/method.h"
#include "host/train/steps_residual.h"

/* Sweeps of a wavefront that may be under way in one call. */
#define AM_RADMM_WINDOW 16

/** Slots of one layer's part of one sweep. */
typedef enum am_radmm_slot {
    AM_RADMM_STEP2,                                    /* ||change||^2 by am_block */
    AM_RADMM_RESIDUAL2 = AM_RADMM_STEP2 + AM_N_BLOCKS, /* ||z - m||^2; input map: ||a - m||^2 */
    AM_RADMM_GAP2,                                     /* ||a - a_prev - h(z)||^2; head: <v, Z - m> */
    AM_RADMM_BOX,                                      /* largest |a - a_prev - h(z)| */
    AM_RADMM_WEIGHT2,                                  /* ||W||^2 */
    AM_RADMM_LOSS,                                     /* of Z, head alone: R, squared loss: 2 R */
    AM_RADMM_N_SLOTS
} am_radmm_slot;

/** Variables have two places, the old and the new one of a jacobi sweep; in the other orders both are the same memory. */
typedef struct am_radmm_layer {
    am_layer_kind kind;
    int form;
    double penalty; /* of z - m, of the input map's residual, of the head */
    am_mat w[2], b[2], z[2], a[2], s_z[2], s_a[2];
    am_mat p[2]; /* W a_prev; blocks of the 2-split keep it in z, with the bias */
    am_trial_slots trial_w, trial_a;
    am_slot first; /* AM_RADMM_N_SLOTS slots for each sweep of a window */
} am_radmm_layer;

/** Scratch of one block at work. */
typedef struct am_radmm_work {
    am_weight_work weight;
    am_mat w_new, t, g, d, gram, factor, inverse, small;
} am_radmm_work;

typedef struct am_radmm {
    am_problem problem;
    size_t n_layers, n, d; /* L, samples, width of the blocks */
    int split;
    am_order order;
    size_t n_sweeps, n_window; /* sweeps done; sweeps of the last call */
    am_input first;
    am_mat gram_1, factor_1;
    am_weight_work work_1;            /* of layer 1, whose input is constant */
    am_mat v, target, s_target, none; /* -Lam/beta, Z + v and its row sums, zeros d_L x 1 */
    am_mat identity, zero;            /* d x d, d x 1 */
    am_common_slots common;
    am_slot rho, nu, rho_by_nu;  /* penalties */
    am_slot ratio, keep;         /* (rho + prox)/nu, prox/(rho + prox) of the z step */
    am_slot rho_out, lift_scale; /* beta/c, -c/beta */
    am_trial_constants trial;
    size_t n_work;
    am_radmm_work *work; /* blocks at work at once */
    am_radmm_layer layer[AM_MAX_HIDDEN + 2];
} am_radmm;

extern const am_method am_method_radmm;

/* ---------------------------------------------------------------------------------------------- blocks */

/** One layer's part of a sweep: where it runs, what it reads and writes. It reads other layers at `from`, its own variables at
 *  `from` until it has written them to `to`. */
typedef struct am_radmm_task {
    const am_radmm *m;
    am_ctx *ctx;
    size_t l;
    int from, to; /* places of the variables */
    am_slot slot; /* first of its AM_RADMM_N_SLOTS */
    const am_radmm_work *work;
} am_radmm_task;

/** The part of layer l in sweep k of the window. */
am_radmm_task am_radmm_task_at(const am_radmm *m, am_ctx *ctx, size_t k, size_t l);
/** p_l (blocks of the 2-split: z_l = m_l) at W_l, b_l, a_{l-1}. */
void am_radmm_product(const am_radmm_task *task);
/** (W_l, b_l): exact, in the 2-split for blocks by a gradient step that also moves z_l = m_l. */
void am_radmm_weights(const am_radmm_task *task);
/** Hidden z_l (3-split), or Z at the head. */
void am_radmm_z(const am_radmm_task *task);
/** Hidden a_l. */
void am_radmm_a(const am_radmm_task *task);
/** v <- v + Z - m_L and what m_L is drawn to. */
void am_radmm_dual(const am_radmm_task *task);
/** All blocks of layer l in order, as a serial sweep visits them: the multiplier is the head's last. */
void am_radmm_layer_sweep(const am_radmm_task *task);
/** Everything by a forward pass: z, a, Z = m_L, and Lam the gradient of c R there. */
void am_radmm_lift(const am_radmm *m);

/* ---------------------------------------------------------------------------------------------- orders */

/** Place of the current values after whole sweeps. */
int am_radmm_now(const am_radmm *m);
/** Issue m->n_window sweeps of the order chosen. */
void am_radmm_issue(am_radmm *m);
/** Blocks that may be at work at once, and the scratch that layer l uses. */
size_t am_radmm_n_work(am_order order, size_t n_layers);
size_t am_radmm_work_of(am_order order, size_t l);

/* ---------------------------------------------------------------------------------------------- for tests */

/** Current value of a block. */
am_mat am_radmm_value(const am_radmm *m, size_t l, am_block block);
#endif
