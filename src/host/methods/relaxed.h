/* The family of methods on the relaxed problem that mDLAM and TIAM share:
 *
 *   min F = c R(z_L; y) + sum_l mu/2 ||W_l||^2 + sum_l rho/2 ||z_l - W_l a_{l-1} - b_l 1'||^2
 *   subject to |a_l - h(z_l)| <= eps elementwise, l < L; no multipliers; c = loss-weight.
 *
 * Storage, boxes, schedule of eps, block order W_l, b_l, z_l, a_l for l = 1..L, and the guards are one; a method says only
 * how its blocks use their previous value. Re-lift and restarts of eps, both off by default, give up monotonicity in the
 * sweeps where they happen. */
#ifndef AM_RELAXED_H
#define AM_RELAXED_H

#include "host/methods/method.h"
#include "host/train/steps.h"

typedef struct am_relaxed am_relaxed;

typedef struct am_relaxed_rule {
    int accelerate;  /* W and a use their previous value */
    int guard;       /* redo a block from its own value when its part of F would not fall */
    int nesterov;    /* slot momentum follows w_k = (s_k - 1)/s_{k+1} */
    int own_inertia; /* p1, p2, p3 of the settings in all blocks instead of momentum in W and a */
} am_relaxed_rule;

/** The entries of am_method for a family member; prepare needs the member's rule. */
altmin_error am_relaxed_prepare(void **state, const am_problem *problem, am_relaxed_rule rule, am_plan *plan,
                                altmin_status *st);
altmin_error am_relaxed_start(void *state, float *const *w, float *const *b, altmin_status *st);
void am_relaxed_sweep(void *state);
void am_relaxed_measure(const void *state, const double *slot, am_measures *out);
am_slot am_relaxed_subgradient(void *state);
am_mat am_relaxed_weight(const void *state, size_t l);
am_mat am_relaxed_bias(const void *state, size_t l);
const char *am_relaxed_form(const void *state, size_t l);

/** Presets of the family, chosen on samples held out of the training data (bench/methods/search.py); how is said there. */
extern const char *const am_relaxed_best[], *const am_relaxed_few[], *const am_relaxed_values[];

/* ---- for tests: one sweep taken apart. The order is begin, then W b z a for l = 1..L (no a at L), then end. */
void am_relaxed_sweep_begin(am_relaxed *m);
void am_relaxed_block(am_relaxed *m, size_t l, am_block block);
void am_relaxed_sweep_end(am_relaxed *m);
/** Current value of a block: W_l and a_l after their update in this sweep when `updated`, else before. For b and z the only one. */
am_mat am_relaxed_value(const am_relaxed *m, size_t l, am_block block, int updated);
/** tau/rho that the last a_l step used, from the slots as read. */
double am_relaxed_lambda(const am_relaxed *m, const double *slot, size_t l);
/** Replace p1, p2, p3 by w_k, w_k, 0. */
void am_relaxed_follow_nesterov(am_relaxed *m);
#endif
