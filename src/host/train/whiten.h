/* Whitened coordinates of an input that never changes, for methods whose first layer works in them. With the mean Gram matrix
 * A and mean s of the input, c = lam mean(diag [A, 1]), A - s s'/(1 + c) = V diag(e) V' and the k leading eigenvectors,
 *     y = diag(e + c)^-1/2 V_k'(x - s/(1 + c)),   W' = W_1 V_k diag(e + c)^1/2,   b' = b_1 + W_1 s/(1 + c)
 * gives the same products, H = I for W' and 1/(1 + c) for b' [derived]; products of the first layer have k rows. What the
 * data have outside V_k is not seen. */
#ifndef AM_WHITEN_H
#define AM_WHITEN_H

#include "host/train/plan.h"

#define AM_MAX_WHITE 4096 /* inputs up to which eigenvectors are taken */

typedef struct am_white {
    int on;
    size_t k;     /* directions kept */
    am_mat data;  /* k x n (room for d_0 x n); none where the features are not on the device as floats: then
                     chunks are whitened one by one */
    am_mat piece; /* samples on their way into the Gram matrix */
    am_mat values, vectors;           /* d_0 x 1, d_0 x d_0 */
    am_mat scale, proj, back, offset; /* k x k diagonal; d_0 x k; d_0 x k; k x 1 */
    am_mat w, b; /* W_1 and b_1 folded back to the data's coordinates, for everybody else */
    float *host; /* d_0 eigenvalues, then diagonals made of them */
} am_white;

/** Declare the matrices but `piece`: d features, `out` rows of W_1, n samples whose coordinates are kept (0: none). */
void am_white_plan(am_white *white, am_plan *plan, size_t d, size_t out, size_t n);
/** Take the host memory; am_white_free gives it back. */
altmin_error am_white_take(am_white *white, size_t d, altmin_status *st);
void am_white_free(am_white *white);
/** Coordinates: k by the `share` of energy, proj, back, offset. rest = A - s s'/(1 + c), d x d, is read; mean_bias =
 * s/(1 + c), d x 1. Reads eigenvalues back: not inside a sweep. */
void am_white_find(am_white *white, am_ctx *ctx, am_mat rest, am_mat mean_bias, double c, double share);
/** x <- y of the columns of raw; k x m from d x m. */
void am_white_apply(const am_white *white, am_ctx *ctx, am_mat x, am_mat raw);
/** w, b <- W', b' of white->w, white->b. */
void am_white_enter(const am_white *white, am_ctx *ctx, am_mat w, am_mat b);
/** white->w, white->b <- W_1, b_1 of W', b' in w, b. */
void am_white_fold(const am_white *white, am_ctx *ctx, am_mat w, am_mat b);
#endif
