/* Exponential, logarithm and their relatives in float, without branches, tables or library calls: compilers turn loops
 * over them into vector code, and every backend computes the same bits but for fused multiply-adds.
 *
 * Largest errors found over each function's domain, in units of the last place: exp 1.0, expm1 1.7, log 0.9, log1p 1.4,
 * tanh 2.5, atanh 2.4 (tests/kernels/test_formulas.c holds them to 2 and 3). NaN stays NaN. Polynomials and the split of
 * log 2 are those of Cephes (Moshier), expf and logf. */
#ifndef AM_ELEMENTARY_H
#define AM_ELEMENTARY_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define AM_FN static __host__ __device__ inline
#else
#define AM_FN static inline
#endif

#define AM_LOG2_HI 0.693359375f /* so short that its product with an exponent is exact */
#define AM_LOG2_LO -2.12194440e-4f

/* 2^n for -126 <= n <= 127. */
AM_FN float am_power_of_two(int32_t n)
{
    const int32_t bits = (n + 127) * (1 << 23);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* x = n log 2 + r with |r| <= (log 2)/2, for x where e^x is neither 0 nor infinite; outside the nearest such x is taken. */
AM_FN float am_exp_reduce(float x, int32_t *n)
{
    const float inside = x > -104.0f ? (x < 89.0f ? x : 89.0f) : -104.0f;
    const float k = (inside * 1.44269504088896341f + 12582912.0f) - 12582912.0f; /* to the nearest integer */
    *n = (int32_t)k;
    return (inside - k * AM_LOG2_HI) - k * AM_LOG2_LO;
}

/* e^r - 1 for |r| <= (log 2)/2. */
AM_FN float am_expm1_small(float r)
{
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return p * r * r + r;
}

/** e^x. */
AM_FN float am_expf(float x)
{
    int32_t n;
    const float p = am_expm1_small(am_exp_reduce(x, &n)) + 1.0f;
    const int32_t first = n / 2; /* in two factors: 2^n alone may be no normal number */
    const float y = p * am_power_of_two(first) * am_power_of_two(n - first);
    return x == x ? y : x;
}

/** e^x - 1, accurate near 0. */
AM_FN float am_expm1f(float x)
{
    int32_t n;
    const float p = am_expm1_small(am_exp_reduce(x, &n));
    const int32_t first = n / 2;
    const float s1 = am_power_of_two(first), s2 = am_power_of_two(n - first), s = s1 * s2;
    const float y = n >= 127 ? (p + 1.0f) * s1 * s2 : s * p + (s - 1.0f);
    return x == x ? y : x;
}

/** log x for x = 0, normal x > 0 and infinity; NaN for x < 0. */
AM_FN float am_logf(float x)
{
    const float normal = x > 0.0f ? x : 1.0f;
    int32_t bits;
    memcpy(&bits, &normal, sizeof bits);
    /* x = m 2^k with m in [sqrt(1/2), sqrt 2): 0x3f3504f3 are the bits of sqrt(1/2). */
    const int32_t k = (bits - 0x3f3504f3) >> 23;
    bits -= k * (1 << 23);
    float m;
    memcpy(&m, &bits, sizeof m);
    const float f = m - 1.0f, f2 = f * f, e = (float)k;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    const float tail = p * f * f2 + e * AM_LOG2_LO - 0.5f * f2;
    const float y = (f + tail) + e * AM_LOG2_HI;
    const float at_end = x == 0.0f ? -INFINITY : (x > 0.0f ? x : NAN); /* x > 0 here: infinity */
    return x > 0.0f && x < INFINITY ? y : at_end;
}

/** log(1 + x) for x > -1, accurate near 0. */
AM_FN float am_log1pf(float x)
{
    const float u = 1.0f + x, lost = x - (u - 1.0f);
    return u == 1.0f ? x : am_logf(u) + lost / u;
}

/** tanh x. */
AM_FN float am_tanhf(float x)
{
    const float size = fabsf(x) < 10.0f ? fabsf(x) : 10.0f; /* tanh 10 rounds to 1 */
    const float t = am_expm1f(2.0f * size), y = t / (t + 2.0f);
    return x < 0.0f ? -y : (x >= 0.0f ? y : x);
}

/** Inverse of tanh, |x| < 1. */
AM_FN float am_atanhf(float x)
{
    const float size = fabsf(x), y = 0.5f * am_log1pf(2.0f * size / (1.0f - size));
    return x < 0.0f ? -y : y;
}

#endif
