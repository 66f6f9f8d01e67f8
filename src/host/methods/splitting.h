/* What BCD and dlADMM share: z_l = m_l and a_l = h(z_l) both held by penalties, exact or gradient blocks, ReLU.
 *
 *   sum_l c_l/2 ||z_l - W_l a_{l-1} - b_l 1'||^2 + sum_{l<L} g_l/2 ||a_l - h(z_l)||^2 + mu/2 sum_l ||W_l||^2 + output terms
 *
 * This file holds storage, plan, start, re-lift and the blocks of W, b, hidden z and hidden a; a method adds its output
 * blocks and the order of the sweep. A state of a method begins with an am_splitting. */
#ifndef AM_SPLITTING_H
#define AM_SPLITTING_H

#include "host/methods/method.h"
#include "host/train/steps_split.h"
#include "host/train/steps_subgradient.h"

typedef struct am_splitting_layer {
    int form;
    int now;                 /* w[now] is W */
    am_mat w[2], b, z, a, p; /* p = W a_{l-1}; a_L where the method has one */
    am_mat s_z, s_a;
    am_mat target,
        s_target;        /* what m is drawn to and its row sums: z and s_z unless the method says otherwise */
    am_mat gram;         /* of the input, normal form, l > 1 */
    am_mat identity;     /* d_l x d_l, in the first hidden layer of this width; exact a steps */
    am_mat v;            /* gradient a step of layer l - 1: leading right singular vector of W_l */
    double penalty, gap; /* c_l, g_l */
    double prox_w, prox_z, prox_a; /* alpha of the blocks W_l, z_l, a_l */
    am_common_slots common;        /* rho = 1, mu/c_l */
    am_slot ratio, keep, gap_slot, prox_slot;
    am_slot step2_b, step2_z, step2_a, residual2, gap2, box, lambda, inv_tau, weight2;
    am_weight_slots weight;
} am_splitting_layer;

typedef struct am_splitting {
    am_problem problem;
    size_t n_layers, n, n_sweeps;
    int exact;             /* W (with b) and a by Cholesky, else by gradient steps */
    am_slot first_slot;    /* 0, 1, -1, 1/n, margin */
    am_slot loss, rho_out; /* sum of the output step, its prox weight/loss-weight */
    am_input first;
    am_mat gram_1, factor_1;
    am_mat t, g, old, gram_a, factor_a, inverse, u, small, none; /* scratch; none: zeros, d_L x 1 */
    am_weight_work work;
    am_subgradient subgradient; /* scratch; taken where the settings ask for it */
    am_splitting_layer layer[AM_MAX_HIDDEN + 2];
} am_splitting;

/** Presets best of the family for some kinds of data, more than best; chosen as those of bcd and dladmm are. */
extern const char *const am_splitting_few[], *const am_splitting_values[];

/** Refuse activations other than ReLU, by the method's name. */
altmin_error am_splitting_check(const char *name, const am_net *net, altmin_status *st);
/** Fill in what the method does not set itself, take slots and declare matrices. `output_a`: there is an a_L. */
altmin_error am_splitting_prepare(am_splitting *m, const am_problem *problem, int exact, int output_a,
                                  am_plan *plan, altmin_status *st);
/** Upload weights, write ratios, factor the constant input, lift. After the method set penalty, gap and prox of every layer. */
altmin_error am_splitting_start(am_splitting *m, float *const *w, float *const *b, altmin_status *st);
/** Write the slots that follow from penalty, gap and prox, and factor the constant input for them. Not inside a sweep. */
void am_splitting_weights_changed(am_splitting *m);
/** z_l = m_l for all l, a_l = h(z_l) for l < L (and a_L = z_L) by a forward pass, with row sums, p and Gram matrices. */
void am_splitting_lift(am_splitting *m);

/** p_l <- W_l a_{l-1}. */
void am_splitting_product(am_splitting *m, size_t l);
/** Gram matrix of a_{l-1}, where layer l needs it; call it after a_{l-1} changed and before the W_l block. */
void am_splitting_gram(am_splitting *m, size_t l);
/** W_l; with exact steps followed by b_l, their joint minimiser. p_l is W_l a_{l-1} afterwards only if that was true before
 *  and the step is a gradient step in sample form. */
void am_splitting_w(am_splitting *m, size_t l);
void am_splitting_b(am_splitting *m, size_t l);
/** Hidden z_l; needs p_l. */
void am_splitting_z(am_splitting *m, size_t l);
/** Hidden a_l; the gradient step needs p_{l+1}. */
void am_splitting_a(am_splitting *m, size_t l);

/** Slots of all layers into measures, without objective. */
void am_splitting_measure(const am_splitting *m, const double *slot, am_measures *out);
/** Add to the subgradient at the end of a sweep: W_l, b_l and, for l > 1, z_{l-1} and a_{l-1}. Call it for l = L .. 1 after
 *  am_subgradient_begin. Returns T_l = m_l - target_l, which stays until the next call. */
am_mat am_splitting_subgradient(am_splitting *m, size_t l);
am_mat am_splitting_weight(const void *state, size_t l);
am_mat am_splitting_bias(const void *state, size_t l);
const char *am_splitting_form(const void *state, size_t l);
/** Current value of a block, for tests. */
am_mat am_splitting_value(const am_splitting *m, size_t l, am_block block);
#endif
