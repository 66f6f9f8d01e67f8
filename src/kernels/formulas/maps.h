/* Elementwise maps: what happens to one element, with the sums that come out of the same pass. Section and equation
 * numbers refer to mDLAM (Wang, Li, Zhao, Neurocomputing 2022) unless said otherwise. */
#ifndef AM_MAPS_H
#define AM_MAPS_H

#include "kernels/formulas/activations.h"

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
    X(RESIDUAL_BLOCK, residual_block, 1, 2, 1, 0, 1, 0, 0)                                                   \
    X(RESIDUAL_KEEP, residual_keep, 1, 2, 1, 0, 2, 0, 0)                                                     \
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
    X(SKIP_Z, skip_z, 0, 4, 1, 2, 1, 2, 0)                                                                   \
    X(SKIP_PULL, skip_pull, 1, 6, 0, 1, 1, 0, 0)                                                             \
    X(SKIP_PULL_FIRST, skip_pull_first, 1, 5, 1, 2, 1, 0, 0)                                                 \
    X(SKIP_PULL_LAST, skip_pull_last, 1, 4, 0, 1, 1, 0, 0)                                                   \
    X(SKIP_MOVE, skip_move, 1, 4, 0, 1, 1, 2, 1)                                                             \
    X(SKIP_MOVE_FIRST, skip_move_first, 0, 3, 1, 1, 1, 2, 0)                                                 \
    X(SKIP_GAP, skip_gap, 1, 3, 0, 0, 0, 1, 1)                                                               \
    X(SKIP_SLOPE, skip_slope, 1, 3, 0, 0, 1, 0, 0)                                                           \
    X(SKIP_TRIAL_Z, skip_trial_z, 1, 4, 0, 1, 0, 1, 0)                                                       \
    X(SKIP_TRIAL_A, skip_trial_a, 1, 6, 0, 2, 0, 2, 0)                                                       \
    X(DESCEND, descend, 0, 2, 0, 1, 1, 1, 0)                                                                 \
    X(DISPLACE, displace, 0, 2, 1, 1, 1, 0, 0)                                                               \
    X(STREAM_STEP, stream_step, 0, 3, 0, 3, 2, 0, 0)                                                         \
    X(SUM_ABS, sum_abs, 0, 1, 0, 0, 0, 1, 0)                                                                 \
    X(BOX_DISPLACE, box_displace, 1, 2, 0, 2, 1, 0, 0)                                                       \
    X(RELUPROX_DISPLACE, reluprox_displace, 0, 2, 0, 1, 1, 0, 0)                                             \
    X(SKIP_DISPLACE, skip_displace, 0, 2, 0, 1, 2, 0, 0)                                                     \
    X(BACK, back, 1, 2, 0, 0, 1, 0, 0)                                                                       \
    X(MOMENTUM, momentum, 0, 3, 0, 3, 2, 0, 0)                                                               \
    X(ADAM, adam, 0, 4, 0, 6, 3, 0, 0)                                                                       \
    X(CHANGE, change, 0, 2, 0, 0, 1, 1, 0)                                                                   \
    X(BOX_SUBGRADIENT, box_subgradient, 1, 4, 1, 2, 0, 1, 0)                                                 \
    X(SPLIT_SUBGRADIENT, split_subgradient, 0, 4, 1, 3, 0, 1, 0)

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
/* a = a_prev + h(p + r): the forward pass of a residual block with p = W a_prev, r = b. x = p, a_prev. */
AM_MAP_FN(residual_block)
{
    AM_MAP_UNUSED;
    y[0] = x[1] + am_act_h(act, x[0] + r);
}
/* The same with the branch kept: y = a, h(p + r). a - a_prev would give h back with the digits of a, not of h. */
AM_MAP_FN(residual_keep)
{
    AM_MAP_UNUSED;
    y[1] = am_act_h(act, x[0] + r);
    y[0] = x[1] + y[1];
}
/* z = p + r: the forward pass of a layer without activation. */
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

#include "kernels/formulas/maps_skip.h"
#include "kernels/formulas/maps_stream.h"
#include "kernels/formulas/maps_subgradient.h"

#endif
