/* Formulas of one column of logits: softmax, its loss and gradient, and the proximal map of cross-entropy. */
#ifndef AM_COLUMNS_H
#define AM_COLUMNS_H

#include "kernels/formulas/elementary.h"

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
