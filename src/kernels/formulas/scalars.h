/* Formulas on scalar slots, in double: step lengths, momentum weights, guard decisions. */
#ifndef AM_SCALARS_H
#define AM_SCALARS_H

#include "kernels/formulas/elementary.h"

#define AM_SCALAR_MAX_IN 6

/* X(ID, name, n_in): slot out = name(x[0..n_in)), all double. */
#define AM_SCALARS(X)                                                                                        \
    X(SET, set, 1)                                                                                           \
    X(ADD, add, 2)                                                                                           \
    X(MUL, mul, 2)                                                                                           \
    X(MAX, max, 2)                                                                                           \
    X(NESTEROV_S, nesterov_s, 1)                                                                             \
    X(NESTEROV_W, nesterov_w, 2)                                                                             \
    X(DECAY, decay, 3)                                                                                       \
    X(CAUCHY, cauchy, 4)                                                                                     \
    X(BACKTRACKING, backtracking, 4)                                                                         \
    X(CHANGE_W, change_w, 5)                                                                                 \
    X(CHANGE_W_SAMPLE, change_w_sample, 6)                                                                   \
    X(CHANGE_A, change_a, 5)                                                                                 \
    X(NOT_DECREASED, not_decreased, 1)                                                                       \
    X(INERTIA_REACH, inertia_reach, 5)                                                                       \
    X(INERTIA_LENGTH, inertia_length, 2)                                                                     \
    X(MAJORISER, majoriser, 3)                                                                               \
    X(SAFE_INVERSE, safe_inverse, 2)                                                                         \
    X(BACKTRACKING_A, backtracking_a, 3)                                                                     \
    X(CHANGE_SKIP, change_skip, 6)                                                                           \
    X(NOT_MAJORISED, not_majorised, 4)                                                                       \
    X(UNLESS, unless, 2)                                                                                     \
    X(COMPLEMENT, complement, 1)                                                                             \
    X(RATIO_ROOT, ratio_root, 2)                                                                             \
    X(FIRST, first, 3)                                                                                       \
    X(CHUNK_BAD, chunk_bad, 4)                                                                               \
    X(CHUNK_SMOOTH, chunk_smooth, 3)                                                                         \
    X(CHUNK_SUSPECT, chunk_suspect, 2)                                                                       \
    X(CHUNK_RECOVER, chunk_recover, 1)                                                                       \
    X(CHUNK_KEEP, chunk_keep, 2)                                                                             \
    X(CHUNK_RATE, chunk_rate, 5)                                                                             \
    X(DUE, due, 2)                                                                                           \
    X(FORGET, forget, 2)                                                                                     \
    X(RIDGE, ridge, 4)                                                                                       \
    X(COSINE, cosine, 3)                                                                                     \
    X(ADAM_RATE, adam_rate, 3)                                                                               \
    X(ADAM_SCALE, adam_scale, 2)                                                                             \
    X(WITHIN, within, 3)

#define AM_ENUM_SCALAR(ID, name, n_in) AM_SCALAR_##ID,
typedef enum am_scalar_id { AM_SCALARS(AM_ENUM_SCALAR) AM_N_SCALARS } am_scalar_id;
#undef AM_ENUM_SCALAR

AM_FN double am_scalar_set(const double *x)
{
    return x[0];
}
AM_FN double am_scalar_add(const double *x)
{
    return x[0] + x[1];
}
AM_FN double am_scalar_mul(const double *x)
{
    return x[0] * x[1];
}
AM_FN double am_scalar_max(const double *x)
{
    return x[0] > x[1] ? x[0] : x[1];
}
/* s_{k+1} = (1 + sqrt(1 + 4 s_k^2))/2. x = s_k. [mDLAM, acceleration] */
AM_FN double am_scalar_nesterov_s(const double *x)
{
    return 0.5 * (1.0 + sqrt(1.0 + 4.0 * x[0] * x[0]));
}
/* w_k = (s_k - 1)/s_{k+1}. x = s_k, s_{k+1}. */
AM_FN double am_scalar_nesterov_w(const double *x)
{
    return (x[0] - 1.0) / x[1];
}
/* eps <- max(eps factor, floor), never upwards. x = eps, factor, floor. */
AM_FN double am_scalar_decay(const double *x)
{
    const double next = x[0] * x[1] > x[2] ? x[0] * x[1] : x[2];
    return next < x[0] ? next : x[0];
}
/* 1/theta of the Cauchy step: theta = q = rho c/||G||^2 + mu, with c = <G A, G> (normal form) or ||G a||^2 (sample
 * form); 0 when G = 0. x = c, ||G||^2, rho, mu. theta = q passes the majoriser's acceptance test with equality. */
AM_FN double am_scalar_cauchy(const double *x)
{
    const double q = x[2] * x[0] + x[3] * x[1];
    return q > 0.0 ? x[1] / q : 0.0;
}
/* 1/theta as published: theta = 1, 2, 4, ... until theta >= q. Arguments as cauchy. */
AM_FN double am_scalar_backtracking(const double *x)
{
    const double q = x[1] > 0.0 ? x[2] * x[0] / x[1] + x[3] : 0.0;
    double theta = 1.0;
    while (theta < q && theta < 1e300) theta *= 2.0;
    return 1.0 / theta;
}
/* phi(W+E) - phi(W) = <G_W, E> + rho/2 <E A, E> + mu/2 ||E||^2, free of cancellation. x = the three sums, rho, mu. */
AM_FN double am_scalar_change_w(const double *x)
{
    return x[0] + 0.5 * (x[3] * x[1] + x[4] * x[2]);
}
/* The same in sample form: rho (<R, E a> + 1/2 ||E a||^2) + mu (<W, E> + 1/2 ||E||^2).
 * x = <R, E a>, ||E a||^2, <W, E>, ||E||^2, rho, mu. */
AM_FN double am_scalar_change_w_sample(const double *x)
{
    return x[4] * (x[0] + 0.5 * x[1]) + x[5] * (x[2] + 0.5 * x[3]);
}
/* Upper bound of (phi(a+) - phi(a))/rho from the majoriser at abar:
 * <g, a+ - a> + lambda/2 ||a+ - abar||^2 - w^2/2 ||W (a - a_prev)||^2. x = the first two sums, ||W D||^2, w, 1/lambda. */
AM_FN double am_scalar_change_a(const double *x)
{
    return x[0] + 0.5 * (x[4] > 0.0 ? x[1] / x[4] : 0.0) - 0.5 * x[3] * x[3] * x[2];
}
/* 1 when x is not strictly negative (NaN included): the guard fires. */
AM_FN double am_scalar_not_decreased(const double *x)
{
    return x[0] < 0.0 ? 0.0 : 1.0;
}
/* rho/tau as published: tau = 1, 2, 4, ... until tau >= rho margin lambda_max(W'W), which admits every step.
 * x = lambda_max(W'W), margin, rho. */
AM_FN double am_scalar_backtracking_a(const double *x)
{
    double tau = 1.0;
    while (tau < x[2] * x[1] * x[0] && tau < 1e300) tau *= 2.0;
    return x[2] / tau;
}
/* 1/(margin x), 0 for x = 0. x = value, margin. */
AM_FN double am_scalar_safe_inverse(const double *x)
{
    return x[0] > 0.0 ? 1.0 / (x[0] * x[1]) : 0.0;
}

/* Change of nu/2 ||e||^2 + lam/2 ||W||^2 along W - t D: nu/2 dE + lam (t^2/2 ||D||^2 - t <W, D>).
 * x = dE = ||e_new||^2 - ||e||^2, <W, D>, ||D||^2, t, lam, nu. [residual ADMM, 2-split] */
AM_FN double am_scalar_change_skip(const double *x)
{
    return 0.5 * x[5] * x[0] + x[4] * x[3] * (0.5 * x[3] * x[2] - x[1]);
}
/* 1 unless a step t along minus the gradient (g, g2) does what the majoriser 1/t promises: change <= -t/2 ||(g, g2)||^2;
 * 1 for NaN. x = change, t, ||g||^2, ||g2||^2. [residual ADMM, 2-split] */
AM_FN double am_scalar_not_majorised(const double *x)
{
    return x[0] <= -0.5 * x[1] * (x[2] + x[3]) ? 0.0 : 1.0;
}
/* x0 unless x1 is set: 0 when it is. */
AM_FN double am_scalar_unless(const double *x)
{
    return x[1] == 0.0 ? x[0] : 0.0;
}

/* Learning rate that falls as half a cosine from x0 at step 1 to 0 after the last. x = rate, step (1, 2, ...), steps. */
AM_FN double am_scalar_cosine(const double *x)
{
    const double done = x[2] > 0.0 ? (x[1] - 1.0) / x[2] : 1.0;
    return done < 1.0 ? 0.5 * x[0] * (1.0 + cos(3.14159265358979323846 * done)) : 0.0;
}
/* rate/(1 - b1^t): Adam's rate with the correction of the first moment. x = rate, b1, t. */
AM_FN double am_scalar_adam_rate(const double *x)
{
    return x[0] / (1.0 - pow(x[1], x[2]));
}
/* 1/sqrt(1 - b2^t): the correction of the second moment's root. x = b2, t. */
AM_FN double am_scalar_adam_scale(const double *x)
{
    return 1.0 / sqrt(1.0 - pow(x[0], x[1]));
}

/* 1 when x0 lies in (x1, x2], else 0 (NaN: 0): which of several sizes a count needs. x = value, lower, upper. */
AM_FN double am_scalar_within(const double *x)
{
    return x[0] > x[1] && x[0] <= x[2] ? 1.0 : 0.0;
}

/* Coefficient of D = W - W_prev in a whole TIAM weight step: (1 + p3) (p1 + mu (p2 - p1)/theta), theta including mu.
 * x = p1, p2, p3, mu, 1/theta. [TIAM, prox of the ridge; derived] */
AM_FN double am_scalar_inertia_reach(const double *x)
{
    return (1.0 + x[2]) * (x[0] + x[3] * (x[1] - x[0]) * x[4]);
}
/* Coefficient of -G in the same step: (1 + p3)/theta. x = p3, 1/theta. */
AM_FN double am_scalar_inertia_length(const double *x)
{
    return (1.0 + x[0]) * x[1];
}
/* 1/tau of a prox-linear a step, relative to the weight of R: tau = margin lambda_max(W'W) + k. x = lambda, margin, k. */
AM_FN double am_scalar_majoriser(const double *x)
{
    return 1.0 / (x[0] * x[1] + x[2]);
}

#include "kernels/formulas/scalars_stream.h"

#endif
