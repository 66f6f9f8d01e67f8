/* dlADMM: alternating directions with a multiplier on the output layer (Wang, Yu, Chen, Zhao, KDD 2019).
 *
 *   L = c R(z_L; y) + nu/2 sum_{l<L} (||z_l - m_l||^2 + ||a_l - h(z_l)||^2) + mu/2 sum_l ||W_l||^2
 *       + <u, z_L - m_L> + rho/2 ||z_L - m_L||^2,   m_l = W_l a_{l-1} + b_l 1', h = ReLU.
 *
 * A sweep goes backward, a_l, z_l, b_l, W_l for l = L..1, then forward, W_l, b_l, z_l, a_l for l = 1..L, then
 * u <- u + rho (z_L - m_L). W and a take majorised gradient steps as published, or with --step exact their minimisers, (W, b)
 * then jointly in both directions [ours]. L falls from sweep to sweep when rho > 2 H, H the Lipschitz constant of c grad R
 * (c for the squared loss, c/2 for cross-entropy). After every sweep u = -c grad R(z_L): the optimality of z_L.
 * Every --penalty-every sweeps rho and nu are multiplied by their factors; u stays. */
#ifndef AM_DLADMM_H
#define AM_DLADMM_H

#include "host/methods/splitting.h"

extern const am_method am_method_dladmm;

/* ---- for tests */
typedef struct am_dladmm am_dladmm;
/** Scaled multiplier u/rho. */
am_mat am_dladmm_multiplier(const am_dladmm *m);
/** One sweep taken apart: backward(l) for l = L..1, forward(l) for l = 1..L, dual. */
void am_dladmm_backward(am_dladmm *m, size_t l);
void am_dladmm_forward(am_dladmm *m, size_t l);
void am_dladmm_dual(am_dladmm *m);
#endif
