/* Hidden activations h, with their derivative and the two ends of the box {z : |a - h(z)| <= eps} in z. Every entry of the
 * list is monotone, which is all that the boxes need. */
#ifndef AM_ACTIVATIONS_H
#define AM_ACTIVATIONS_H

#include "kernels/formulas/elementary.h"

/* X(ID, name) */
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

#endif
