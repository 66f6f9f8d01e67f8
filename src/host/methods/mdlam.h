/* mDLAM: monotone alternating minimisation under inequality constraints (Wang, Li, Zhao, Neurocomputing 2022).
 *
 *   min F = R(z_L; y) + sum_l mu/2 ||W_l||^2 + sum_l rho/2 ||z_l - W_l a_{l-1} - b_l 1'||^2
 *   subject to |a_l - h(z_l)| <= eps elementwise, l < L; no multipliers.
 *
 * A sweep goes forward: W_l, b_l, z_l, a_l for l = 1..L, with Nesterov extrapolation of W and a and a guard that redoes a
 * block from its own value when its part of F would not fall. In b and hidden z extrapolation changes nothing [derived]:
 * their curvature is exactly the majoriser's, so the step lands on the exact minimiser from anywhere.
 * With eps fixed F never rises, block by block. While eps shrinks it may, because the feasible set shrinks. */
#ifndef AM_MDLAM_H
#define AM_MDLAM_H

#include "host/methods/method.h"
#include "host/train/steps.h"

extern const am_method am_method_mdlam;

/* ---- for tests: one sweep taken apart. The order is begin, then W b z a for l = 1..L (no a at L), then end. */
typedef struct am_mdlam am_mdlam;
void am_mdlam_sweep_begin(am_mdlam *m);
void am_mdlam_block(am_mdlam *m, size_t l, am_block block);
void am_mdlam_sweep_end(am_mdlam *m);
/** Current value of a block: W_l and a_l after their update in this sweep when `updated`, else before. For b and z the only one. */
am_mat am_mdlam_value(const am_mdlam *m, size_t l, am_block block, int updated);
/** tau/rho that the last a_l step used, from the slots as read. */
double am_mdlam_lambda(const am_mdlam *m, const double *slot, size_t l);
#endif
