/* TIAM: triple-inertial accelerated alternating minimisation (Yan, Xu, Wang, Peng, Neurocomputing 2025), on the problem of
 * relaxed.h.
 *
 * Each block u uses D = u^k - u^{k-1} three times: prox centre u + p1 D, gradient point u + p2 D, and over-relaxation of the
 * result, u+ + p3 (u+ - u^k); the history keeps the value after the third step. Order W, b, z, a, b its own block.
 * The publication leaves p1, p2, p3, the step sizes and the output block open; ours: theta by --step, z_L its exact
 * minimiser, without inertia, and with --step exact (W, b) their joint one. The guard redoes a block with p = 0 when its part
 * of F would not fall; with eps fixed F then never rises.
 * p = 0 is mDLAM without momentum, p3 = 0 with p1 = p2 = w_k mDLAM with it, p2 = p3 = 0 the heavy ball. */
#ifndef AM_TIAM_H
#define AM_TIAM_H

#include "host/methods/method.h"

extern const am_method am_method_tiam;
#endif
