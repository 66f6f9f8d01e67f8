/* mDLAM: monotone alternating minimisation under inequality constraints (Wang, Li, Zhao, Neurocomputing
 * 2022), on the problem of relaxed.h.
 *
 * A sweep goes forward: W_l, b_l, z_l, a_l for l = 1..L, with Nesterov extrapolation of W and a and a guard
 * that redoes a block from its own value when its part of F would not fall. In b and hidden z extrapolation
 * changes nothing [derived]: their curvature is exactly the majoriser's, so the step lands on the exact
 * minimiser from anywhere. With eps fixed F never rises, block by block. While eps shrinks it may, because
 * the feasible set shrinks. */
#ifndef AM_MDLAM_H
#define AM_MDLAM_H

#include "host/methods/method.h"

extern const am_method am_method_mdlam;
#endif
