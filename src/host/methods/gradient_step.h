/* One step of a gradient method: a batch of samples, the forward pass, back-propagation, the update. gradient.c repeats
 * it over the batches of a pass; formulas and conventions: gradient.h.
 *
 * Per step of m samples: L forward products, L products d a' and L - 1 products W'd, one fused pass after each, one pass
 * over all weights for the update: the least that back-propagation can do. A plain layer keeps a_l alone (h' comes from a)
 * and d_l is written over it. A residual block keeps its branch h(z_l) beside a_l, for a_l - a_{l-1} would have lost
 * digits, and d_l is written over the branch. Weights and biases, gradients and moments lie in flat vectors, so that a
 * step updates all layers in one pass. */
#ifndef AM_GRADIENT_STEP_H
#define AM_GRADIENT_STEP_H

#include "host/methods/gradient.h"
#include "host/train/steps_subgradient.h"
#include "host/train/whiten.h"

/* One vector over all parameters: b_L .. b_1, then W_L .. W_1, padded with zeros. The first layer comes last: it gets
 * narrower when the input is whitened. */
typedef struct am_flat {
    am_mat all;
} am_flat;

typedef struct am_gradient_layer {
    size_t w_at, b_at; /* offsets in flat vectors */
    am_mat a;          /* width x m: a_l; of the output layer p_l, then d_l */
    am_mat h;          /* width x m: h(z_l) of a residual block, then d_l; plain layers have both in a */
    am_slot step2_w, step2_b;
} am_gradient_layer;

/* Scalars of a run; all doubles on the backend. */
typedef struct am_gradient_slots {
    am_slot zero, one, rate_0, n_steps, beta1, beta2, eps, decay, inv_m, inv_last; /* constants */
    am_slot t, rate, rate_t, scale_t;                                              /* of the step */
    am_slot loss, total, weight2;                                                  /* results */
} am_gradient_slots;

/* --whiten: the first layer in whitened coordinates, for comparison with methods that have them. */
typedef struct am_gradient_white {
    am_white white;
    am_mat gram, mean, mean_bias; /* A and s of the samples looked at; s/(1 + c) */
    am_mat drawn;                 /* these samples, where they are not all */
    am_slot trace, scale;
} am_gradient_white;

struct am_gradient {
    am_problem problem;
    int adam, cosine;
    size_t n_layers, n, batch; /* batch = n: no gathering, no shuffling */
    size_t n_pass;
    size_t n_features;         /* rows of the first layer's input */
    size_t n_biases, n_floats; /* of a flat vector: biases, everything */
    am_flat theta, grad, first, second, start;
    am_mat q;    /* flat, widest hidden layer x m: dF/da_l of the layer that back-propagation is at */
    am_mat x, y; /* gathered samples and targets */
    void *label, *index;
    int32_t *order; /* host */
    am_gradient_slots slot;
    am_subgradient norm; /* slots of gradient_norm alone */
    am_gradient_white input;
    am_gradient_layer layer[AM_MAX_HIDDEN + 2];
};

/** W_l or b_l inside a flat vector. */
am_mat am_flat_weight(const am_gradient *g, const am_flat *v, size_t l);
am_mat am_flat_bias(const am_gradient *g, const am_flat *v, size_t l);
/** All weights, all biases of a flat vector as one column each, padding included. */
am_mat am_flat_weights(const am_gradient *g, const am_flat *v);
am_mat am_flat_biases(const am_gradient *g, const am_flat *v);

/** Offsets of all matrices in a flat vector for g->n_features features. */
altmin_error am_flat_lay_out(am_gradient *g, altmin_status *st);

/** Refuse what --whiten cannot do, and declare its matrices. Nothing without --whiten. */
altmin_error am_gradient_white_prepare(am_gradient *g, am_plan *plan, altmin_status *st);
/** In the first pass, ahead of its sweep: coordinates, whitened data, weights in them. Part of the training time. */
void am_gradient_white_start(am_gradient *g);
/** The training data that batches are taken from. */
am_input am_gradient_input(const am_gradient *g);

/** Issue the gradient of the mean loss of batch i at the current weights: into g->grad, the loss into g->slot.loss. */
void am_gradient_of_batch(am_gradient *g, size_t i);
/** Issue the step of batch i of a pass: gradients in g->grad, loss of the batch added to g->slot.total, new weights in
 *  g->theta. */
void am_gradient_step(am_gradient *g, size_t i);
#endif
