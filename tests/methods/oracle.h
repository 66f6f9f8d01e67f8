/* mDLAM once more, in double, by textbook loops on whole matrices: written from the paper's formulas, sharing nothing with
 * src/. It downloads a trainer's blocks, computes the objective F of any point, and sweeps without a guard. */
#ifndef AM_TEST_ORACLE_H
#define AM_TEST_ORACLE_H

#include "host/methods/relaxed.h"
#include "host/train/trainer.h"

#define ORACLE_MAX_LAYERS 8

/* Layers l = 1..L; a[0] is the input. Column-major doubles. */
typedef struct oracle {
    size_t n_layers, n, width[ORACLE_MAX_LAYERS + 1];
    int act;
    int cross_entropy;
    double rho, mu, eps;
    const int32_t *label;
    double *target;
    double *w[ORACLE_MAX_LAYERS + 1], *b[ORACLE_MAX_LAYERS + 1], *z[ORACLE_MAX_LAYERS + 1],
        *a[ORACLE_MAX_LAYERS + 1];
    double *w_prev[ORACLE_MAX_LAYERS + 1], *a_prev[ORACLE_MAX_LAYERS + 1];
    double *b_prev[ORACLE_MAX_LAYERS + 1], *z_prev[ORACLE_MAX_LAYERS + 1];
    double s; /* momentum sequence */
    int accelerate;
    int backtracking;
} oracle;

/** Copy of the trainer's current point (after whole sweeps). */
oracle *oracle_of(const altmin_trainer *trainer, const altmin_data *data);
/** Copy one block from the trainer; `updated` as in am_relaxed_value. */
void oracle_fetch(oracle *o, const altmin_trainer *trainer, size_t l, am_block block, int updated);
void oracle_free(oracle *o);

/** F = R(z_L) + sum mu/2 ||W||^2 + sum rho/2 ||z - W a - b||^2, and the sum of its terms' magnitudes in *scale. */
double oracle_objective(const oracle *o, double *scale);
/** h(z) in double. */
double oracle_h(int act, double z);
/** Largest |a_l - h(z_l)| over hidden layers. */
double oracle_worst_box(const oracle *o);
/** One sweep W, b, z, a for l = 1..L without a guard: Nesterov or plain, Cauchy or doubling theta, relu or identity or
 *  leaky relu; z_L by many damped Newton steps or closed form. lambda: the tau/rho to use per layer (1-based, of W_{l+1}). */
void oracle_sweep(oracle *o, const double *lambda);
/** One TIAM sweep with p1, p2, p3 without a guard, Cauchy theta; activations and lambda as oracle_sweep. */
void oracle_sweep_tiam(oracle *o, const double *lambda, const double p[3]);
/** lambda_max(W'W) of layer l by power iteration to convergence. */
double oracle_lambda(const oracle *o, size_t l);
#endif
