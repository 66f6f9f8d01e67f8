/* The augmented Lagrangian of residual ADMM once more, in double, by textbook loops: written from the formula in
 * host/methods/radmm.h, sharing nothing with src/. It downloads a trainer's variables and knows L at any point, block by
 * block differentiable by differences. */
#ifndef AM_TEST_SKIP_ORACLE_H
#define AM_TEST_SKIP_ORACLE_H

#include "host/methods/radmm.h"
#include "host/train/trainer.h"

#define SKIP_MAX_LAYERS 40

/* Layers l = 1..L; a[0] is the input, z[L] is Z. has_input: layer 1 is the input map, without z. Column-major doubles. */
typedef struct skip_net {
    size_t n_layers, n, width[SKIP_MAX_LAYERS + 1];
    int has_input, split, act, cross_entropy;
    double rho, nu, beta, lambda, loss_weight;
    const int32_t *label;
    double *target, *multiplier; /* y; Lam */
    double *w[SKIP_MAX_LAYERS + 1], *b[SKIP_MAX_LAYERS + 1], *z[SKIP_MAX_LAYERS + 1], *a[SKIP_MAX_LAYERS + 1];
} skip_net;

/** Copy of the trainer's current point; `data` without a test part. */
skip_net *skip_of(const altmin_trainer *trainer, const altmin_data *data);
/** Copy all variables again. */
void skip_fetch(skip_net *s, const altmin_trainer *trainer);
void skip_free(skip_net *s);
/** Has layer l a variable z (blocks of the 3-split, head), a variable a (hidden)? */
int skip_has(const skip_net *s, size_t l, am_block block);
/** L, and the sum of its terms' magnitudes in *scale. In the 2-split z_l = m_l is computed here. */
double skip_lagrangian(const skip_net *s, double *scale);
/** Block of a layer and its length. */
double *skip_block(skip_net *s, size_t l, am_block block, size_t *len);
/** Norm over some elements of the gradient of L + prox/2 ||x - centre||^2 in a block, by central differences. */
double skip_gradient(skip_net *s, size_t l, am_block block, double prox, const double *centre,
                     size_t n_samples);
/** By how much L + prox/2 ||z - centre||^2 falls, at most, when one of some elements of z_l moves to the best point of a grid. */
double skip_z_gain(skip_net *s, size_t l, double prox, const double *centre, size_t n_samples);
/** max |Lam - c R'(Z)|. */
double skip_multiplier_error(const skip_net *s);
#endif
