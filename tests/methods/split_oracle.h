/* The penalty splittings (BCD, dlADMM) once more, in double: their blocks downloaded, the terms of their objective, and what it
 * takes to check that a block is optimal. Written from the formulas, sharing nothing with src/. */
#ifndef AM_TEST_SPLIT_ORACLE_H
#define AM_TEST_SPLIT_ORACLE_H

#include "host/methods/splitting.h"
#include "host/train/trainer.h"

#define SPLIT_MAX_LAYERS 8

typedef struct split {
    size_t n_layers, n, width[SPLIT_MAX_LAYERS + 1];
    int cross_entropy, output_a; /* output_a: the loss sits on a_L, coupled to z_L by the gap; else on z_L */
    double loss_weight, mu, penalty[SPLIT_MAX_LAYERS + 1], gap[SPLIT_MAX_LAYERS + 1];
    const int32_t *label;
    double *target;
    double *v; /* scaled multiplier of z_L = m_L, or NULL */
    double *w[SPLIT_MAX_LAYERS + 1], *b[SPLIT_MAX_LAYERS + 1], *z[SPLIT_MAX_LAYERS + 1],
        *a[SPLIT_MAX_LAYERS + 1];
} split;

/** Copy of the current point of a trainer whose state begins with an am_splitting. */
split *split_of(const altmin_trainer *t, const altmin_data *data, int output_a);
void split_fetch(split *s, const altmin_trainer *t, size_t l, am_block block);
void split_fetch_all(split *s, const altmin_trainer *t);
void split_free(split *s);
/** A copy of a backend matrix in double. */
double *split_download(const altmin_trainer *t, am_mat m);
/** The objective; with v the augmented Lagrangian, v being the multiplier over penalty[L]. *scale: magnitudes that carry
 *  float rounding. */
double split_objective(const split *s, double *scale);
/** One block of the point, and its length. */
double *split_block(split *s, size_t l, am_block block, size_t *len);
/** Norm of the gradient of objective + prox/2 ||x - centre||^2 over n_samples entries of block x, by central differences;
 *  centre may be NULL when prox is 0. */
double split_gradient(split *s, size_t l, am_block block, double prox, const double *centre,
                      size_t n_samples);
/** Largest amount by which moving a single entry of hidden z_l, over a fine grid, lowers objective + prox/2 (z - centre)^2,
 *  over n_samples entries. */
double split_z_gain(split *s, size_t l, double prox, const double *centre, size_t n_samples);
#endif
