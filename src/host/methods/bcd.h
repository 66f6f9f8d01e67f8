/* BCD, three-splitting: block coordinate descent with every constraint as a penalty (Zeng, Lau, Lin, Yao, ICML 2019).
 *
 *   min F = c R(a_L; y) + gamma/2 (||a_L - z_L||^2 + sum_{l<L} ||a_l - h(z_l)||^2) + rho/2 sum_l ||z_l - m_l||^2
 *           + mu/2 sum_l ||W_l||^2,   m_l = W_l a_{l-1} + b_l 1', h = ReLU.
 *
 * A sweep goes backward: a_L, z_L, then (W_l, b_l), a_{l-1}, z_{l-1} for l = L..1, each block its exact minimiser plus a
 * proximal term (--prox-w, --prox-z, --prox-a, --prox-out), so that F never rises. The published code inverts matrices and
 * updates b with the old W; here (W, b) is one Cholesky solve of the centred normal equations, or of their dual when
 * n < d. Its published decay of ||a_L - y||^2 is the 2 x 2 contraction of the output pair alone, not the network's rate. */
#ifndef AM_BCD_H
#define AM_BCD_H

#include "host/methods/splitting.h"

extern const am_method am_method_bcd;

/* ---- for tests: one sweep taken apart. Blocks in order: a_L, z_L, then for l = L..1 W_l (with b_l), a_{l-1}, z_{l-1}. */
typedef struct am_bcd am_bcd;
void am_bcd_output_a(am_bcd *m);
void am_bcd_output_z(am_bcd *m);
/** (W_l, b_l). */
void am_bcd_weights(am_bcd *m, size_t l);
/** a_{l-1} and what follows from it; for l = 1 only the residual of layer 1. */
void am_bcd_below(am_bcd *m, size_t l);
const am_splitting *am_bcd_splitting(const am_bcd *m);
#endif
