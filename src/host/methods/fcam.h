/* fcam: forward-consistent chunked proximal alternating minimisation (ours). Auxiliaries are lifted for every chunk
 * (host/train/stream.h), the output block takes its proximal target, displacements travel down, every weight block solves a
 * proximal least-squares problem with a running Gram matrix.
 *
 *   blocks, old weights:  r_L = (z* - z_L)/kappa,   r_{l-1} = (Q_l'r_l) o h'(z_{l-1})
 *   gam = inf:  Q_l = Wb_l
 *   gam < inf:  Q_l = Wb (c I + Wb'Wb)^-1, c = gam mean(diag Wb'Wb), rescaled to |Wb|_F: the activation step
 *               argmin_a 1/2 ||z_l + r_l - W a - b||^2 + c/2 ||a - a_{l-1}||^2, whose scale alone is changed
 *   residual block a_l = a_{l-1} + h(z_l): u_{l-1} = u_l + Q_l'r_l, r_l = u_l o h'(z_l), u_l the displacement of a_l
 *
 * What it is: with gam = inf the displacements are numerically the back-propagated output residual; the method is then
 * proximal back-propagation with an input-side layerwise preconditioner. With gam < inf the maps are closed-form block
 * minimisers in form, scaled; at gam = 10 they are nearly aligned with the transposed weights. There is no convergence
 * proof; the guard is a test. [METHODS.md 8] */
#ifndef AM_FCAM_H
#define AM_FCAM_H

#include "host/methods/method.h"

extern const am_method am_method_fcam;

typedef struct am_fcam am_fcam;
struct am_stream;
/** The shell at work, for tests. */
const struct am_stream *am_fcam_stream(const am_fcam *m);
/** Q_l of the last refresh (gam < inf), d_l x d_{l-1}. */
am_mat am_fcam_map(const am_fcam *m, size_t l);
#endif
