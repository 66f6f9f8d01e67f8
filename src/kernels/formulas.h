/* The scalar mathematics of altmin, one text per formula, valid as C11 and as CUDA C++.
 *
 * Three lists drive everything that is generated from them (enum ids, CPU loops, CUDA kernels, tests, bench cases):
 *   AM_ACTIVATIONS  the hidden activations h, with their derivative and the two ends of a box in z
 *   AM_MAPS         elementwise maps: what happens to one element, with the sums that come out of the same pass
 *   AM_SCALARS      formulas on scalar slots, in double: step lengths, momentum weights, guard decisions
 * Adding a formula is one function here, one list entry, and one line in tests/kernels.
 * Section and equation numbers refer to mDLAM (Wang, Li, Zhao, Neurocomputing 2022) unless said otherwise. */
#ifndef AM_FORMULAS_H
#define AM_FORMULAS_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/elementary.h"

/* ------------------------------------------------------------------------------------------------ activations */

/* X(ID, name, monotone) */
#define AM_ACTIVATIONS(X)                                                                                    \
    X(IDENTITY, "identity")                                                                                  \
    X(RELU, "relu")                                                                                          \
    X(LEAKY_RELU, "leaky-relu")                                                                              \
    X(ELU, "elu")                                                                                            \
    X(TANH, "tanh")                                                                                          \
    X(SIGMOID, "sigmoid")                                                                                    \
    X(SOFTPLUS, "softplus")                                                                                  \
    X(HARD_TANH, "hard-tanh")

#define AM_ENUM_ACT(id, name) AM_ACT_##id,
typedef enum am_act { AM_ACTIVATIONS(AM_ENUM_ACT) AM_N_ACTS } am_act;
#undef AM_ENUM_ACT

#define AM_LEAKY_SLOPE 0.01f
/* Distance kept from an open end of h's range when a box asks for a value h never reaches: the bound stays finite
 * (tanh: |z| <= 7.25) and the a step, which clips to h(z) +- eps, repairs the rest. */
#define AM_RANGE_MARGIN 1e-6f

/** h(z). */
AM_FN float am_act_h(int act, float z)
{
    switch (act) {
    case AM_ACT_RELU: return z < 0.0f ? 0.0f : z; /* NaN stays NaN */
    case AM_ACT_LEAKY_RELU: return z > 0.0f ? z : AM_LEAKY_SLOPE * z;
    case AM_ACT_ELU: return z > 0.0f ? z : am_expm1f(z);
    case AM_ACT_TANH: return am_tanhf(z);
    case AM_ACT_SIGMOID: return 1.0f / (1.0f + am_expf(-z));
    case AM_ACT_SOFTPLUS: return (z > 0.0f ? z : 0.0f) + am_log1pf(am_expf(-fabsf(z)));
    case AM_ACT_HARD_TANH: return z > 1.0f ? 1.0f : (z < -1.0f ? -1.0f : z);
    default: return z;
    }
}

/** h'(z); at a kink the derivative from the left. */
AM_FN float am_act_dh(int act, float z)
{
    switch (act) {
    case AM_ACT_RELU: return z > 0.0f ? 1.0f : 0.0f;
    case AM_ACT_LEAKY_RELU: return z > 0.0f ? 1.0f : AM_LEAKY_SLOPE;
    case AM_ACT_ELU: return z > 0.0f ? 1.0f : am_expf(z);
    case AM_ACT_TANH: {
        const float t = am_tanhf(z);
        return 1.0f - t * t;
    }
    case AM_ACT_SIGMOID: {
        const float s = 1.0f / (1.0f + am_expf(-z));
        return s * (1.0f - s);
    }
    case AM_ACT_SOFTPLUS: return 1.0f / (1.0f + am_expf(-z));
    case AM_ACT_HARD_TANH: return z > -1.0f && z <= 1.0f ? 1.0f : 0.0f;
    default: return 1.0f;
    }
}

/** h'(z) from a = h(z): back-propagation then keeps a alone. At the ends of hard-tanh's range, where a does not tell, 0. */
AM_FN float am_act_dh_of_a(int act, float a)
{
    switch (act) {
    case AM_ACT_RELU: return a > 0.0f ? 1.0f : 0.0f;
    case AM_ACT_LEAKY_RELU: return a > 0.0f ? 1.0f : AM_LEAKY_SLOPE;
    case AM_ACT_ELU: return a > 0.0f ? 1.0f : a + 1.0f;
    case AM_ACT_TANH: return 1.0f - a * a;
    case AM_ACT_SIGMOID: return a * (1.0f - a);
    case AM_ACT_SOFTPLUS: return -am_expm1f(-a);
    case AM_ACT_HARD_TANH: return a > -1.0f && a < 1.0f ? 1.0f : 0.0f;
    default: return 1.0f;
    }
}

/* Inverse of h at t strictly inside its range, for activations whose range is open at one or both ends. */
AM_FN float am_act_inverse_inside(int act, float t)
{
    switch (act) {
    case AM_ACT_ELU: return t >= 0.0f ? t : am_log1pf(t);
    case AM_ACT_TANH: return am_atanhf(t);
    case AM_ACT_SIGMOID: return am_logf(t) - am_log1pf(-t);
    case AM_ACT_SOFTPLUS: return t > 20.0f ? t : am_logf(am_expm1f(t));
    default: return t;
    }
}

/* Open ends of the range of h (+-infinity when unbounded there). */
AM_FN float am_act_range_lo(int act)
{
    if (act == AM_ACT_ELU || act == AM_ACT_TANH) return -1.0f;
    return act == AM_ACT_SIGMOID || act == AM_ACT_SOFTPLUS ? 0.0f : -INFINITY;
}
AM_FN float am_act_range_hi(int act)
{
    return act == AM_ACT_TANH || act == AM_ACT_SIGMOID ? 1.0f : INFINITY;
}

/** B1 = inf{z : h(z) >= t}: lower end of the z box, -inf when every z qualifies. Where no z qualifies, the z whose
 *  h(z) comes nearest (up to AM_RANGE_MARGIN), so that the bound is finite. */
AM_FN float am_act_lower(int act, float t)
{
    switch (act) {
    case AM_ACT_RELU: return t > 0.0f ? t : -INFINITY;
    case AM_ACT_LEAKY_RELU: return t >= 0.0f ? t : t / AM_LEAKY_SLOPE;
    case AM_ACT_HARD_TANH: return t <= -1.0f ? -INFINITY : (t > 1.0f ? 1.0f : t);
    case AM_ACT_IDENTITY: return t;
    default: {
        const float top = am_act_range_hi(act) - AM_RANGE_MARGIN;
        if (t <= am_act_range_lo(act)) return -INFINITY;
        return am_act_inverse_inside(act, t > top ? top : t);
    }
    }
}

/** B2 = sup{z : h(z) <= t}: upper end of the z box, +inf when every z qualifies; finite where none does. */
AM_FN float am_act_upper(int act, float t)
{
    switch (act) {
    case AM_ACT_RELU: return t > 0.0f ? t : 0.0f;
    case AM_ACT_LEAKY_RELU: return t >= 0.0f ? t : t / AM_LEAKY_SLOPE;
    case AM_ACT_HARD_TANH: return t >= 1.0f ? INFINITY : (t < -1.0f ? -1.0f : t);
    case AM_ACT_IDENTITY: return t;
    default: {
        const float bottom = am_act_range_lo(act) + AM_RANGE_MARGIN;
        if (t >= am_act_range_hi(act)) return INFINITY;
        return am_act_inverse_inside(act, t < bottom ? bottom : t);
    }
    }
}

AM_FN float am_clip(float x, float lo, float hi)
{
    return x < lo ? lo : (x > hi ? hi : x);
}

/* -------------------------------------------------------------------------------------------- elementwise maps */

#define AM_MAP_MAX_IN   6
#define AM_MAP_MAX_OUT  3
#define AM_MAP_MAX_COEF 6
#define AM_MAP_MAX_SUM  4

/* X(ID, name, uses_act, n_in, has_row, n_coef, n_out, n_sum, n_max)
 * An element sees x[n_in] (its elements of the inputs), r (its row's element of the row vector, e.g. a bias),
 * c[n_coef] (coefficients from slots) and gives y[n_out], s[n_sum] (summed over all elements in double) and, with
 * n_max = 1, *mx (>= 0, its maximum is taken; a NaN element makes it NaN). Outputs may alias inputs element for element. */
#define AM_MAPS(X)                                                                                           \
    X(LIFT, lift, 1, 1, 1, 0, 2, 0, 0)                                                                       \
    X(ACTIVATE, activate, 1, 1, 1, 0, 1, 0, 0)                                                               \
    X(ADD_ROW, add_row, 0, 1, 1, 0, 1, 0, 0)                                                                 \
    X(LINCOMB, lincomb, 0, 2, 0, 2, 1, 0, 0)                                                                 \
    X(DOT, dot, 0, 2, 0, 0, 0, 1, 0)                                                                         \
    X(BOX_Z, box_z, 1, 3, 1, 2, 1, 2, 0)                                                                     \
    X(BOX_Z_INERTIAL, box_z_inertial, 1, 4, 1, 3, 2, 3, 0)                                                   \
    X(RELUPROX_Z, reluprox_z, 0, 3, 1, 2, 1, 3, 1)                                                           \
    X(PROX_SQUARED, prox_squared, 0, 3, 1, 1, 1, 3, 0)                                                       \
    X(RESIDUAL, residual, 0, 2, 1, 0, 1, 1, 0)                                                               \
    X(RESIDUAL_AHEAD, residual_ahead, 0, 3, 1, 1, 1, 1, 0)                                                   \
    X(A_STEP, a_step, 1, 4, 0, 5, 1, 3, 1)                                                                   \
    X(A_GRADIENT, a_gradient, 1, 3, 0, 2, 1, 3, 1)                                                           \
    X(A_EXACT_TARGET, a_exact_target, 1, 3, 0, 2, 1, 0, 0)                                                   \
    X(A_MOVED, a_moved, 1, 3, 0, 0, 0, 2, 1)                                                                 \
    X(GRADIENT_W, gradient_w, 0, 3, 0, 2, 1, 1, 0)                                                           \
    X(GRADIENT_AHEAD, gradient_ahead, 0, 3, 0, 3, 1, 1, 0)                                                   \
    X(TRIAL_W, trial_w, 0, 6, 0, 2, 1, 3, 0)                                                                 \
    X(TRIAL_W_SAMPLE, trial_w_sample, 0, 3, 0, 2, 1, 2, 0)                                                   \
    X(TRIAL_P_SAMPLE, trial_p_sample, 0, 4, 0, 2, 1, 2, 0)                                                   \
    X(SUM_SQUARES, sum_squares, 0, 1, 0, 0, 0, 1, 0)                                                         \
    X(SQUARED_ERROR, squared_error, 0, 2, 1, 0, 0, 1, 0)                                                     \
    X(BIAS_MEAN, bias_mean, 0, 3, 0, 1, 1, 1, 0)                                                             \
    X(BIAS_INERTIAL, bias_inertial, 0, 4, 0, 3, 2, 2, 0)                                                     \
    X(DUAL, dual, 0, 3, 1, 0, 2, 2, 0)                                                                       \
    X(OUTPUT_GRADIENT, output_gradient, 0, 2, 1, 1, 1, 1, 0)                                                 \
    X(BACK, back, 1, 2, 0, 0, 1, 0, 0)                                                                       \
    X(MOMENTUM, momentum, 0, 3, 0, 3, 2, 0, 0)                                                               \
    X(ADAM, adam, 0, 4, 0, 6, 3, 0, 0)                                                                       \
    X(CHANGE, change, 0, 2, 0, 0, 1, 1, 0)

#define AM_ENUM_MAP(ID, ...) AM_MAP_##ID,
typedef enum am_map_id { AM_MAPS(AM_ENUM_MAP) AM_N_MAPS } am_map_id;
#undef AM_ENUM_MAP

#define AM_MAP_FN(name)                                                                                      \
    AM_FN void am_map_##name(int act, const float *x, float r, const float *c, float *y, float *s, float *mx)
#define AM_MAP_UNUSED (void)act, (void)x, (void)r, (void)c, (void)y, (void)s, (void)mx

/* z = p + r, a = h(z): the forward pass of a hidden layer with p = W a_prev, r = b. */
AM_MAP_FN(lift)
{
    AM_MAP_UNUSED;
    y[0] = x[0] + r;
    y[1] = am_act_h(act, y[0]);
}
/* a = h(p + r), when z is not wanted. */
AM_MAP_FN(activate)
{
    AM_MAP_UNUSED;
    y[0] = am_act_h(act, x[0] + r);
}
/* z = p + r: the output layer's forward pass. */
AM_MAP_FN(add_row)
{
    AM_MAP_UNUSED;
    y[0] = x[0] + r;
}
/* y = c0 x0 + c1 x1. */
AM_MAP_FN(lincomb)
{
    AM_MAP_UNUSED;
    y[0] = c[0] * x[0] + c[1] * x[1];
}
/* sum x0 x1. */
AM_MAP_FN(dot)
{
    AM_MAP_UNUSED;
    s[0] = x[0] * x[1];
}
/* Hidden z step: z+ = min(max(m, B1), B2), m = p + r, box {z : |a - h(z)| <= eps}; then over-relaxed and clipped again,
 * z = clip(z+ + p3 (z+ - z_old)). x = p, a, z_old; c = eps, p3 (0: mDLAM).
 * Sums (z - m)^2 and (z - z_old)^2. [mDLAM, z subproblem; other activations derived; p3: TIAM] */
AM_MAP_FN(box_z)
{
    AM_MAP_UNUSED;
    const float m = x[0] + r;
    const float lo = am_act_lower(act, x[1] - c[0]), hi = am_act_upper(act, x[1] + c[0]);
    const float plus = am_clip(m, lo, hi), over = c[1] * (plus - x[2]);
    const float z =
        over != 0.0f ? am_clip(plus + over, lo, hi) : plus; /* lo > hi: clipping twice would switch ends */
    const float e = z - m, d = z - x[2];
    y[0] = z;
    s[0] = e * e;
    s[1] = d * d;
}
/* Hidden z step with p1 != p2: as box_z from m + (p1 - p2) (z_old - z_prev). x = p, a, z_old, z_prev; c = eps, p1 - p2, p3.
 * y = z, z_old. Sums (z - m)^2, (z - z_old)^2 and (z - m)^2 - (z_old - m)^2 without cancellation. [TIAM, derived] */
AM_MAP_FN(box_z_inertial)
{
    AM_MAP_UNUSED;
    const float m = x[0] + r, old = x[2];
    const float lo = am_act_lower(act, x[1] - c[0]), hi = am_act_upper(act, x[1] + c[0]);
    const float plus = am_clip(m + c[1] * (old - x[3]), lo, hi), over = c[2] * (plus - old);
    const float z = over != 0.0f ? am_clip(plus + over, lo, hi) : plus;
    const float e = z - m, d = z - old;
    y[0] = z;
    y[1] = old;
    s[0] = e * e;
    s[1] = d * d;
    s[2] = d * (e + (old - m));
}
/* argmin_u 1/2 (max(u, 0) - a)^2 + g/2 (u - b)^2, any sign of a: the better of the best u >= 0 and the best u <= 0.
 * [BCD, Zeng et al. 2019] */
AM_FN float am_reluprox(float a, float b, float g)
{
    const float up = (a + g * b) / (1.0f + g), p = up > 0.0f ? up : 0.0f, m = b < 0.0f ? b : 0.0f;
    const float at_p = (p - a) * (p - a) + g * (p - b) * (p - b), at_m = a * a + g * (m - b) * (m - b);
    return at_p < at_m ? p : m;
}
/* Hidden z step of the ReLU splittings: z = reluprox(a, m + k (z_old - m), g), m = p + r. x = p, a, z_old; c = g, k with
 * g = (rho + alpha)/gamma, k = alpha/(rho + alpha); alpha is the prox weight.
 * Sums (z - m)^2, (z - z_old)^2, (a - h(z))^2; max |a - h(z)|. */
AM_MAP_FN(reluprox_z)
{
    AM_MAP_UNUSED;
    const float m = x[0] + r, z = am_reluprox(x[1], m + c[1] * (x[2] - m), c[0]);
    const float e = z - m, d = z - x[2], f = x[1] - (z > 0.0f ? z : 0.0f);
    y[0] = z;
    s[0] = e * e;
    s[1] = d * d;
    s[2] = f * f;
    *mx = fabsf(f);
}
/* Output z step for R = 1/2 ||z - y||^2: z = (y + rho m)/(1 + rho). x = p, y, z_old; c = rho.
 * Sums (z - y)^2, (z - m)^2, (z - z_old)^2. */
AM_MAP_FN(prox_squared)
{
    AM_MAP_UNUSED;
    const float m = x[0] + r;
    const float z = (x[1] + c[0] * m) / (1.0f + c[0]);
    const float f = z - x[1], e = z - m, d = z - x[2];
    y[0] = z;
    s[0] = f * f;
    s[1] = e * e;
    s[2] = d * d;
}
/* R = p + r - z. x = p, z. Sum R^2. */
AM_MAP_FN(residual)
{
    AM_MAP_UNUSED;
    y[0] = x[0] + r - x[1];
    s[0] = y[0] * y[0];
}
/* R at abar = a + w (a - a_prev): p + r - z + w (p - t), p = W a, t = W a_prev. x = p, z, t; c = w.
 * Sum (p - t)^2 = ||W (a - a_prev)||^2. */
AM_MAP_FN(residual_ahead)
{
    AM_MAP_UNUSED;
    const float d = x[0] - x[2];
    y[0] = x[0] + r - x[1] + c[0] * d;
    s[0] = d * d;
}
/* a step: with D = a - a_prev, a+ = clip(a + p1 D - g/lambda, h(z) - eps, h(z) + eps), over-relaxed and clipped again,
 * clip(a+ + p3 (a+ - a)); g = W'R at abar = a + p2 D. mDLAM: p1 = p2 = w, p3 = 0.
 * x = a, a_prev, g, z; c = p1, 1/lambda, eps, p2, p3. Sums g (new - a), (new - abar)^2, (new - a)^2; max |new - h(z)|.
 * [mDLAM and TIAM, a subproblems] */
AM_MAP_FN(a_step)
{
    AM_MAP_UNUSED;
    const float back = x[0] - x[1], h = am_act_h(act, x[3]), lo = h - c[2], hi = h + c[2];
    const float plus = am_clip(x[0] + c[0] * back - c[1] * x[2], lo, hi);
    const float a = am_clip(plus + c[4] * (plus - x[0]), lo, hi);
    const float d = a - x[0], e = a - (x[0] + c[3] * back);
    y[0] = a;
    s[0] = x[2] * d;
    s[1] = e * e;
    s[2] = d * d;
    *mx = fabsf(a - h);
}
/* Prox-linear a step of the splittings: a <- a - (g + k (a - h(z)))/tau, g = W'R. x = a, g, z; c = 1/tau, k (tau and k
 * relative to the weight of R). Sums as a_moved, and g (change). [dlADMM, a subproblem; majoriser derived] */
AM_MAP_FN(a_gradient)
{
    AM_MAP_UNUSED;
    const float h = am_act_h(act, x[2]), d = -c[0] * (x[1] + c[1] * (x[0] - h)), f = x[0] + d - h;
    y[0] = x[0] + d;
    s[0] = d * d;
    s[1] = f * f;
    s[2] = x[1] * d;
    *mx = fabsf(f);
}
/* Right-hand side of the exact a step: W'(z - b) + k h(z_l) + k2 a. x = W'(z - b), z_l, a; c = k, k2. */
AM_MAP_FN(a_exact_target)
{
    AM_MAP_UNUSED;
    y[0] = x[0] + c[0] * am_act_h(act, x[1]) + c[1] * x[2];
}
/* What an exact a step did. x = a, a_old, z. Sums (a - a_old)^2, (a - h(z))^2; max |a - h(z)|. */
AM_MAP_FN(a_moved)
{
    AM_MAP_UNUSED;
    const float d = x[0] - x[1], f = x[0] - am_act_h(act, x[2]);
    s[0] = d * d;
    s[1] = f * f;
    *mx = fabsf(f);
}
/* G = rho (u - B) + mu W with u = W A + b s_a'. x = u, B, W; c = rho, mu. Sum G^2. */
AM_MAP_FN(gradient_w)
{
    AM_MAP_UNUSED;
    y[0] = c[0] * (x[0] - x[1]) + c[1] * x[2];
    s[0] = y[0] * y[0];
}
/* G at Wbar = W + w D, from G at W: G + w (rho D A + mu D). x = G, D A, D; c = w, rho, mu. Sum G^2. */
AM_MAP_FN(gradient_ahead)
{
    AM_MAP_UNUSED;
    y[0] = x[0] + c[0] * (c[1] * x[1] + c[2] * x[2]);
    s[0] = y[0] * y[0];
}
/* W+ = W + E, E = w D - G/theta, and what decides it: E A = w (D A) - (G A)/theta.
 * x = W, D, G, D A, G A, G_W (gradient at W); c = w, 1/theta. Sums G_W E, (E A) E, E^2. */
AM_MAP_FN(trial_w)
{
    AM_MAP_UNUSED;
    const float e = c[0] * x[1] - c[1] * x[2], ea = c[0] * x[3] - c[1] * x[4];
    y[0] = x[0] + e;
    s[0] = x[5] * e;
    s[1] = ea * e;
    s[2] = e * e;
}
/* Sample form of trial_w, weight part: x = W, D, G; c = w, 1/theta. Sums W E, E^2. */
AM_MAP_FN(trial_w_sample)
{
    AM_MAP_UNUSED;
    const float e = c[0] * x[1] - c[1] * x[2];
    y[0] = x[0] + e;
    s[0] = x[0] * e;
    s[1] = e * e;
}
/* Sample form of trial_w, product part: p+ = p + E a, E a = w (D a) - (G a)/theta. x = p, D a, G a, R; c = w, 1/theta.
 * Sums R (E a), (E a)^2. */
AM_MAP_FN(trial_p_sample)
{
    AM_MAP_UNUSED;
    const float e = c[0] * x[1] - c[1] * x[2];
    y[0] = x[0] + e;
    s[0] = x[3] * e;
    s[1] = e * e;
}
/* sum x^2. */
AM_MAP_FN(sum_squares)
{
    AM_MAP_UNUSED;
    s[0] = x[0] * x[0];
}
/* sum (p + r - y)^2: the squared loss of the forward pass. x = p, y. */
AM_MAP_FN(squared_error)
{
    AM_MAP_UNUSED;
    const float d = x[0] + r - x[1];
    s[0] = d * d;
}
/* b = (s_z - W s_a)/n: the exact bias. x = s_z, W s_a, b_old; c = 1/n. Sum (b - b_old)^2. */
AM_MAP_FN(bias_mean)
{
    AM_MAP_UNUSED;
    const float d = c[0] * (x[0] - x[1]) - x[2];
    y[0] = c[0] * (x[0] - x[1]);
    s[0] = d * d;
}

/* Gradient of the squared loss at the output: d = c (p + r - y). x = p, y; c = scale. Sum (p + r - y)^2. */
AM_MAP_FN(output_gradient)
{
    AM_MAP_UNUSED;
    const float d = x[0] + r - x[1];
    y[0] = c[0] * d;
    s[0] = d * d;
}
/* Back-propagation through h: d = q h'(z) with h' from a = h(z). x = q (= W'd of the layer above), a. */
AM_MAP_FN(back)
{
    AM_MAP_UNUSED;
    y[0] = x[0] * am_act_dh_of_a(act, x[1]);
}
/* Heavy ball: u+ = beta u + g + mu w, w+ = w - rate u+. x = g, w, u; c = rate, beta, mu; y = w+, u+. */
AM_MAP_FN(momentum)
{
    AM_MAP_UNUSED;
    y[1] = c[1] * x[2] + (x[0] + c[2] * x[1]);
    y[0] = x[1] - c[0] * y[1];
}
/* Adam (Kingma, Ba 2015): g' = g + mu w, m+ = b1 m + (1 - b1) g', v+ = b2 v + (1 - b2) g'^2,
 * w+ = w - rate m+/(sqrt(v+) k + eps), where rate holds 1/(1 - b1^t) and k = 1/sqrt(1 - b2^t).
 * x = g, w, m, v; c = rate, b1, b2, k, eps, mu; y = w+, m+, v+. */
AM_MAP_FN(adam)
{
    AM_MAP_UNUSED;
    const float g = x[0] + c[5] * x[1];
    y[1] = c[1] * x[2] + (1.0f - c[1]) * g;
    y[2] = c[2] * x[3] + (1.0f - c[2]) * (g * g);
    y[0] = x[1] - c[0] * y[1] / (sqrtf(y[2] > 0.0f ? y[2] : 0.0f) * c[3] + c[4]);
}
/* Copy with the change it makes: y = x0 (usually over x1). x = new, old. Sum (new - old)^2. */
AM_MAP_FN(change)
{
    AM_MAP_UNUSED;
    const float d = x[0] - x[1];
    y[0] = x[0];
    s[0] = d * d;
}

/* b+ = mean + (p1 - p2) (b - b_prev), over-relaxed: b+ + p3 (b+ - b), mean = (s_z - W s_a)/n. x = s_z, W s_a, b, b_prev;
 * c = 1/n, p1 - p2, p3. y = new b, old b. Sums (new - b)^2 and (new - mean)^2 - (b - mean)^2 without cancellation. [TIAM] */
AM_MAP_FN(bias_inertial)
{
    AM_MAP_UNUSED;
    const float mean = c[0] * (x[0] - x[1]), old = x[2];
    const float plus = mean + c[1] * (old - x[3]), b = plus + c[2] * (plus - old), d = b - old;
    y[0] = b;
    y[1] = old;
    s[0] = d * d;
    s[1] = d * ((b - mean) + (old - mean));
}
/* Scaled multiplier v = u/rho of z = m, m = p + r: v <- v + (z - m), and the target t = z + v that m is drawn to.
 * x = z, p, v. y = v, t. Sums (z - m)^2 and v (z - m). [dlADMM, dual step] */
AM_MAP_FN(dual)
{
    AM_MAP_UNUSED;
    const float e = x[0] - x[1] - r, v = x[2] + e;
    y[0] = v;
    y[1] = x[0] + v;
    s[0] = e * e;
    s[1] = v * e;
}

/* ------------------------------------------------------------------------------------------ formulas on scalars */

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
    X(COSINE, cosine, 3)                                                                                     \
    X(ADAM_RATE, adam_rate, 3)                                                                               \
    X(ADAM_SCALE, adam_scale, 2)

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

/* ------------------------------------------------------------------------------------------------ column formulas */

/** log sum_i exp(z_i + r_i) of one column, and softmax weights into p (may be NULL). r may be NULL. */
AM_FN double am_log_sum_exp(size_t n, const float *z, const float *r, float *p)
{
    float top = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        const float v = r ? z[i] + r[i] : z[i];
        if (v > top || v != v) top = v;
    }
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        const float e = am_expf((r ? z[i] + r[i] : z[i]) - top);
        if (p) p[i] = e;
        sum += e;
    }
    if (p)
        for (size_t i = 0; i < n; i++) p[i] = (float)(p[i] / sum);
    return (double)top + log(sum);
}

/** d = scale (softmax(z) - e_y) of one column, z = p + r (d may be p). Returns the loss lse(z) - z_y. */
AM_FN double am_softmax_gradient(size_t n, const float *p, const float *r, size_t y, float scale, float *d)
{
    const float at_label = p[y] + r[y];
    const double loss = am_log_sum_exp(n, p, r, d) - (double)at_label;
    double others = 0.0;
    for (size_t i = 0; i < n; i++) others += i == y ? 0.0 : (double)d[i];
    for (size_t i = 0; i < n; i++) d[i] = scale * (i == y ? -(float)others : d[i]);
    return loss;
}

/** Objective of the cross-entropy prox along z + t d: lse(z + t d) - (z + t d)_y + rho/2 ||z + t d - m||^2. */
AM_FN double am_prox_softmax_value(size_t n, double rho, const float *m, size_t y, const float *z,
                                   const float *d, float t, float *trial)
{
    double quad = 0.0;
    for (size_t i = 0; i < n; i++) {
        trial[i] = z[i] + t * d[i];
        const double e = (double)trial[i] - (double)m[i];
        quad += e * e;
    }
    return am_log_sum_exp(n, trial, NULL, NULL) - (double)trial[y] + 0.5 * rho * quad;
}

#define AM_PROX_SOFTMAX_MAX_STEPS 60
/* Along d the curvature of lse grows at most by exp(t range(d)); up to this range a full Newton step is sure to descend
 * [derived: (e^R - R - 1)/R^2 < 1 for R < 1.79], so that no objective, with its rounding, needs to be compared. */
#define AM_PROX_SOFTMAX_SAFE_RANGE 1.5f

/* Newton direction d at z with softmax weights p. Returns its range max d - min d; *moved receives the largest
 * |d_i|/(1 + |z_i|). The label's gradient is written -(sum of the other weights): 1 - p_y would lose all digits. */
AM_FN float am_prox_softmax_direction(size_t n, double rho, const float *m, size_t y, const float *z,
                                      const float *p, float *d, float *moved)
{
    double others = 0.0, pu = 0.0, one_minus_pv = 0.0;
    for (size_t i = 0; i < n; i++) others += i == y ? 0.0 : (double)p[i];
    for (size_t i = 0; i < n; i++) {
        const double pi = (double)p[i];
        const double g = (i == y ? -others : pi) + rho * ((double)z[i] - (double)m[i]);
        const double inv = 1.0 / (rho + pi);
        d[i] = (float)(g * inv);
        pu += pi * g * inv;
        one_minus_pv += rho * pi * inv; /* 1 - p'D^-1 p = sum rho p/(rho + p), free of cancellation */
    }
    const double c = pu / one_minus_pv;
    float lo = INFINITY, hi = -INFINITY;
    *moved = 0.0f;
    for (size_t i = 0; i < n; i++) {
        d[i] = -(float)((double)d[i] + c * (double)p[i] / (rho + (double)p[i]));
        const float relative = fabsf(d[i]) / (1.0f + fabsf(z[i]));
        if (relative > *moved) *moved = relative;
        if (d[i] < lo) lo = d[i];
        if (d[i] > hi) hi = d[i];
    }
    return hi - lo;
}

/** z = argmin_z lse(z) - z_y + rho/2 ||z - m||^2 for one column of n classes, by damped Newton from z.
 *
 *  H = rho I + diag(p) - p p' is inverted in O(n) by Sherman-Morrison [derived]: with D = diag(rho + p),
 *  H^-1 g = D^-1 g + D^-1 p (p'D^-1 g)/(1 - p'D^-1 p). A long step is halved until the objective falls; strong convexity
 *  makes the minimiser unique. Ends when no component moves by more than float rounding.
 *  m, z: n floats (z in: start, out: minimiser); y: label; work: 3 n floats. Returns the loss lse(z) - z_y. */
AM_FN double am_prox_softmax(size_t n, double rho, const float *m, size_t y, float *z, float *work)
{
    float *p = work, *d = work + n, *trial = work + 2 * n;
    double lse = am_log_sum_exp(n, z, NULL, p);
    for (int step = 0; step < AM_PROX_SOFTMAX_MAX_STEPS; step++) {
        float moved, t = 1.0f;
        const float range = am_prox_softmax_direction(n, rho, m, y, z, p, d, &moved);
        if (!(range < INFINITY) || !(moved > 2e-7f)) break;
        if (range > AM_PROX_SOFTMAX_SAFE_RANGE) {
            const double value = am_prox_softmax_value(n, rho, m, y, z, d, 0.0f, trial);
            while (!(am_prox_softmax_value(n, rho, m, y, z, d, t, trial) < value) &&
                   t * range > AM_PROX_SOFTMAX_SAFE_RANGE)
                t *= 0.5f;
        }
        for (size_t i = 0; i < n; i++) z[i] += t * d[i];
        lse = am_log_sum_exp(n, z, NULL, p);
    }
    return lse - (double)z[y];
}

#endif
