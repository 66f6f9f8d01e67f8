/* The baselines: stochastic gradient descent with momentum and Adam, by back-propagation.
 *
 *   min F = R(z_L; y) + mu/2 sum_l ||W_l||^2,   z_l = W_l a_{l-1} + b_l 1',  a_l = h(z_l)
 *
 * and a_l = a_{l-1} + h(z_l) in the blocks of a residual network (am_net_kind).
 *
 * They run on the same ops, data order, precision and initial weights' generator as the alternating methods, so that a
 * comparison compares methods. One sweep is one pass over the training samples in batches of --batch m (0: all samples
 * at once), in a new seeded order each pass. The gradient of a batch is that of its mean loss + mu/(2 n) ||W||^2:
 *   sgd    u <- momentum u + g;  W <- W - rate u
 *   adam   Kingma and Ba 2015, with both corrections
 * The rate falls as half a cosine to zero at the end of pass --sweeps, or is constant (--schedule).
 *
 * The objective that a sweep reports is the sum over its batches of the training loss before their steps: a running
 * value that costs nothing. Auxiliary variables do not exist, so the feasibility is 0. */
#ifndef AM_GRADIENT_H
#define AM_GRADIENT_H

#include "host/methods/method.h"

extern const am_method am_method_sgd, am_method_adam;

typedef struct am_gradient am_gradient;

/** Gradient of the last batch: dF/dW_l or dF/db_l (`block` AM_BLOCK_W or AM_BLOCK_B), in backend memory. */
am_mat am_gradient_value(const am_gradient *g, size_t l, am_block block);
/** Order of the samples in the last pass (host memory, n numbers); NULL for full batches. */
const int32_t *am_gradient_order(const am_gradient *g);
#endif
