/* State of the family on the relaxed problem (relaxed.h), shared by its two files: relaxed_life.c makes it (memory,
 * scalars, start), relaxed.c runs it (blocks, sweep, measures). */
#ifndef AM_RELAXED_STATE_H
#define AM_RELAXED_STATE_H

#include "host/methods/relaxed.h"
#include "host/train/samples.h"
#include "host/train/steps_subgradient.h"

/* Power iterations per sweep on a warm vector, and at the start on a cold one; the margin covers what is left. */
#define AM_POWER_WARM   8
#define AM_POWER_COLD   100
#define AM_POWER_MARGIN 1.02

typedef struct am_relaxed_layer {
    int form;
    am_mat w[2]; /* w[m->parity] is W^k, the other W^{k-1} and then W^{k+1} */
    am_mat a[2]; /* likewise; layer 0 uses a[0] alone, through m->input */
    am_mat b, p, z, s_a, s_z;
    am_mat b_prev, z_prev; /* TIAM; z_prev where p1 != p2 */
    am_mat v;              /* leading right singular vector of W, kept warm */
    am_weight_slots weight;
    am_activation_slots activation;
    am_slot residual2, step2_b, step2_z, weight2;
    am_slot change_b, fired_b, change_z, fired_z;
} am_relaxed_layer;

struct am_relaxed {
    am_problem problem;
    size_t n_layers, n, n_sweeps;
    int parity;
    am_relaxed_rule rule;
    int exact;
    am_common_slots common;
    am_common_slots output; /* common with rho/loss-weight in place of rho */
    am_inertia inertia;     /* rule.own_inertia */
    am_slot s, s_next, eps_factor, eps_floor, eps_again, eps_used, loss;
    am_input first;             /* a_0 with its row sums */
    am_mat gram_1, factor_1;    /* constant A_1 and, for exact steps, its factor */
    am_mat gram, t, g, u, bias; /* scratch */
    am_weight_work work;
    am_subgradient subgradient; /* scratch; taken where the settings ask for it */
    am_relaxed_layer layer[AM_MAX_HIDDEN + 2];
};

/** The weight block of layer l on the input a. */
am_weight_step am_relaxed_weight_step(const am_relaxed *m, size_t l, const am_input *a);
/** Hidden z and a by a forward pass from the current weights; histories of a and z forget where they were. */
void am_relaxed_lift(am_relaxed *m);
#endif
