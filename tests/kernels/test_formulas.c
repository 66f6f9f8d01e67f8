/* The scalar formulas against the same mathematics by other means (exact.h) and against numbers worked out by
 * hand. Every entry of every list has a line here: a new one without fails. */
#include "exact.h"
#include "kernels/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const double eps = 0x1p-23;

/* ---------------------------------------------------------------------------------------- activations */

static void test_values(void **state)
{
    (void)state;
    for (int act = 0; act < AM_N_ACTS; act++)
        for (double z = -30.0; z <= 30.0; z += 0.037) {
            const float at = (float)z;
            const double expected = exact_h(act, (double)at), got = (double)am_act_h(act, at);
            assert_true(!isnan(expected)); /* exact_h knows every activation */
            assert_true(fabs(got - expected) <= 4.0 * eps * (fabs(expected) + 1e-6));
        }
}

static void test_derivatives(void **state)
{
    (void)state;
    const double h = 1e-6;
    for (int act = 0; act < AM_N_ACTS; act++)
        for (double z = -8.0; z <= 8.0; z += 0.0371) { /* never within h of a kink at -1, 0, 1 */
            const float at = (float)z;
            const double d = (exact_h(act, (double)at + h) - exact_h(act, (double)at - h)) / (2.0 * h);
            assert_true(fabs((double)am_act_dh(act, at) - d) <= 1e-6);
            const float a = am_act_h(act, at);
            if (act == AM_ACT_HARD_TANH && fabsf(a) >= 1.0f) continue; /* a does not tell */
            assert_true(fabs((double)am_act_dh_of_a(act, a) - d) <= 2e-6);
        }
    for (int act = 0; act < AM_N_ACTS; act++) assert_true(isnan(am_act_h(act, NAN)) != 0);
}

/* Error of got in units of expected's last place. */
static double ulps(float got, double expected)
{
    int exponent;
    if (got == (float)expected) return fabs((double)got - expected) > 0.0 ? 0.5 : 0.0;
    frexp(expected, &exponent);
    return fabs((double)got - expected) / ldexp(1.0, (exponent > -125 ? exponent : -125) - 24);
}

typedef struct elementary {
    const char *name;
    float (*function)(float x);
    double (*exact)(double x);
    double lo, hi, bound;
} elementary;

static void test_elementary(void **state)
{
    (void)state;
    static const elementary rows[] = {
        {"exp", am_expf, exp, -104, 88.7, 2},
        {"exp", am_expf, exp, -1, 1, 2},
        {"expm1", am_expm1f, expm1, -30, 88, 2},
        {"expm1", am_expm1f, expm1, -1e-3, 1e-3, 2},
        {"expm1", am_expm1f, expm1, -2, 2, 2},
        {"log", am_logf, log, 0.4, 2.2, 2},
        {"log", am_logf, log, 1e-37, 1e-30, 2},
        {"log", am_logf, log, 1, 1e38, 2},
        {"log1p", am_log1pf, log1p, -0.9999, 3, 2},
        {"log1p", am_log1pf, log1p, -1e-6, 1e-6, 2},
        {"tanh", am_tanhf, tanh, -12, 12, 3},
        {"tanh", am_tanhf, tanh, -0.01, 0.01, 3},
        {"atanh", am_atanhf, atanh, -0.999999, 0.999999, 3},
        {"atanh", am_atanhf, atanh, -0.01, 0.01, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k <= 200000; k++) {
            const elementary *r = &rows[i];
            const float x = (float)(r->lo + (r->hi - r->lo) * k / 200000.0);
            const float got = r->function(x);
            if (!(ulps(got, r->exact((double)x)) <= r->bound))
                fail_msg("%s(%.9g) = %.9g, off by %g ulp", r->name, (double)x, (double)got,
                         ulps(got, r->exact((double)x)));
        }
    assert_true(am_expf(-INFINITY) == 0.0f && am_expf(INFINITY) == INFINITY && am_expf(0.0f) == 1.0f);
    assert_true(am_expf(90.0f) == INFINITY && am_expf(-110.0f) == 0.0f);
    assert_true(am_expm1f(-INFINITY) == -1.0f && am_expm1f(INFINITY) == INFINITY && am_expm1f(0.0f) == 0.0f);
    assert_true(am_logf(0.0f) == -INFINITY && am_logf(INFINITY) == INFINITY && am_logf(1.0f) == 0.0f);
    assert_true(am_tanhf(INFINITY) == 1.0f && am_tanhf(-INFINITY) == -1.0f && am_atanhf(0.0f) == 0.0f);
    assert_true(isnan(am_expf(NAN)) && isnan(am_expm1f(NAN)) && isnan(am_logf(NAN)) && isnan(am_logf(-1.0f)));
    assert_true(isnan(am_log1pf(NAN)) && isnan(am_tanhf(NAN)) && isnan(am_atanhf(NAN)));
}

/* Can some z in the test's range have h(z) = t? */
static int reachable(int act, double t, double margin)
{
    return t > exact_h(act, -60.0) + margin && t < exact_h(act, 60.0) - margin;
}

/* Box ends of one (a, eps) against scanning. */
static void check_box(int act, float a, float radius)
{
    const float t_lo = a - radius, t_hi = a + radius;
    const float lo = am_act_lower(act, t_lo), hi = am_act_upper(act, t_hi);
    double first = 0.0, last = 0.0;
    assert_true(!isnan(lo) && !isnan(hi));
    if (!exact_box(act, (double)a, (double)radius, -60.0, 60.0, &first, &last)) {
        /* No z qualifies. The bound towards which a lies is finite, so that a clipped z is. */
        assert_true(isfinite(lo) || isfinite(hi));
        return;
    }
    /* At an end h(z) is as far from a as it may be (compared in h: where h is flat, z is not well
     * determined). */
    if (isinf(first))
        assert_true((double)lo <= -60.0 || !reachable(act, (double)t_lo, 1e-5));
    else
        assert_true(fabs(exact_h(act, (double)lo) - exact_h(act, first)) <=
                        8.0 * eps * (1.0 + fabs((double)a)) + 2e-6 ||
                    fabs((double)lo - first) <= 8.0 * eps * (1.0 + fabs(first)));
    if (isinf(last))
        assert_true((double)hi >= 60.0 || !reachable(act, (double)t_hi, 1e-5));
    else
        assert_true(fabs(exact_h(act, (double)hi) - exact_h(act, last)) <=
                        8.0 * eps * (1.0 + fabs((double)a)) + 2e-6 ||
                    fabs((double)hi - last) <= 8.0 * eps * (1.0 + fabs(last)));
}

static void test_boxes(void **state)
{
    (void)state;
    static const float radii[] = {0.001f, 0.1f, 1.0f, 50.0f};
    static const float places[] = {-30.0f, -3.0f, -1.05f, -0.999f, -0.5f,  -0.04f, 0.0f, 0.0005f,
                                   0.03f,  0.4f,  0.75f,  0.999f,  1.005f, 2.0f,   30.0f};
    for (int act = 0; act < AM_N_ACTS; act++)
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            for (size_t k = 0; k < sizeof radii / sizeof *radii; k++) check_box(act, places[i], radii[k]);
}

/* The statement of lower and upper themselves: sides of every finite end, for a fine grid of t. */
static void test_ends(void **state)
{
    (void)state;
    for (int act = 0; act < AM_N_ACTS; act++)
        for (double t = -3.0; t <= 3.0; t += 0.0173) {
            const float at = (float)t, lo = am_act_lower(act, at), hi = am_act_upper(act, at);
            const double slack = 4.0 * eps * (1.0 + fabs(t)) + 2e-6;
            if (isinf(lo)) /* every z has h(z) >= t */
                assert_true(lo < 0.0f && exact_h(act, -60.0) >= t - slack);
            else if (reachable(act, t, 2e-6)) {
                assert_true(exact_h(act, (double)lo + 1e-5 * (1.0 + fabs((double)lo))) >= (double)at - slack);
                assert_true(exact_h(act, (double)lo - 1e-3 * (1.0 + fabs((double)lo))) < (double)at + slack);
            }
            if (isinf(hi)) /* every z has h(z) <= t */
                assert_true(hi > 0.0f && exact_h(act, 60.0) <= t + slack);
            else if (reachable(act, t, 2e-6)) {
                assert_true(exact_h(act, (double)hi - 1e-5 * (1.0 + fabs((double)hi))) <= (double)at + slack);
                assert_true(exact_h(act, (double)hi + 1e-3 * (1.0 + fabs((double)hi))) > (double)at - slack);
            }
        }
}

/* ---------------------------------------------------------------------------------------- maps by hand */

/* Inputs and all results of one element, worked out by hand. Activations are relu unless the line says
 * otherwise. */
typedef struct map_line {
    am_map_id id;
    int act;
    float x[AM_MAP_MAX_IN], r, c[AM_MAP_MAX_COEF];
    double y[AM_MAP_MAX_OUT], s[AM_MAP_MAX_SUM], mx;
} map_line;

static const map_line map_lines[] = {
    {AM_MAP_LIFT, AM_ACT_RELU, {-3}, 1, {0}, {-2, 0}, {0}, 0},
    {AM_MAP_LIFT, AM_ACT_HARD_TANH, {3}, -0.5f, {0}, {2.5, 1}, {0}, 0},
    {AM_MAP_ACTIVATE, AM_ACT_RELU, {-3}, 5, {0}, {2}, {0}, 0},
    {AM_MAP_RESIDUAL_BLOCK, AM_ACT_RELU, {-3, 4}, 5, {0}, {6}, {0}, 0},
    {AM_MAP_RESIDUAL_BLOCK, AM_ACT_RELU, {-3, -4}, 2, {0}, {-4}, {0}, 0},
    {AM_MAP_RESIDUAL_KEEP, AM_ACT_RELU, {-3, 4}, 5, {0}, {6, 2}, {0}, 0},
    {AM_MAP_RESIDUAL_KEEP, AM_ACT_HARD_TANH, {-3, 4}, 0.5f, {0}, {3, -1}, {0}, 0},
    {AM_MAP_ADD_ROW, 0, {-3}, 5, {0}, {2}, {0}, 0},
    {AM_MAP_LINCOMB, 0, {2, -3}, 0, {0.5f, 4}, {-11}, {0}, 0},
    {AM_MAP_DOT, 0, {2, -3}, 0, {0}, {0}, {-6}, 0},
    /* m = 5 above the box [1, 3] of a = 2, eps = 1: z = 3; old 2.5. */
    {AM_MAP_BOX_Z, AM_ACT_RELU, {4, 2, 2.5f}, 1, {1, 0}, {3}, {4, 0.25}, 0},
    /* a = .5, eps = 1: every z <= 1.5 qualifies, m = -7 stays. */
    {AM_MAP_BOX_Z, AM_ACT_RELU, {-8, 0.5f, -7}, 1, {1, 0}, {-7}, {0, 0}, 0},
    /* m = 0 below the box [1, 3]: z+ = 1, over-relaxed by half the way from 3 gives 0, clipped to 1. */
    {AM_MAP_BOX_Z, AM_ACT_RELU, {-1, 2, 3}, 1, {1, 0.5f}, {1}, {1, 4}, 0},
    /* m = 2, extrapolated by half of (2.5 - 1.5): z+ = 2.5; over-relaxed from 2.5 unchanged. */
    {AM_MAP_BOX_Z_INERTIAL, AM_ACT_RELU, {1, 2, 2.5f, 1.5f}, 1, {1, 0.5f, 0.5f}, {2.5, 2.5}, {0.25, 0, 0}, 0},
    /* The same from 1: z+ = 2 + .5 (1 - 0) = 2.5, over-relaxed 2.5 + .5 (1.5) = 3.25, clipped to 3. */
    {AM_MAP_BOX_Z_INERTIAL, AM_ACT_RELU, {1, 2, 1, 0}, 1, {1, 0.5f, 0.5f}, {3, 1}, {1, 4, 0}, 0},
    /* reluprox(a = 2, b = 1, g = 1) = 1.5; b = m = 1 with k = 0. */
    {AM_MAP_RELUPROX_Z, 0, {0.5f, 2, 1}, 0.5f, {1, 0}, {1.5}, {0.25, 0.25, 0.25}, 0.5},
    /* z = (4 + 3 (2))/(1 + 3) = 2.5. */
    {AM_MAP_PROX_SQUARED, 0, {1, 4, 2}, 1, {3}, {2.5}, {2.25, 0.25, 0.25}, 0},
    {AM_MAP_RESIDUAL, 0, {5, 3}, -4, {0}, {-2}, {4}, 0},
    {AM_MAP_RESIDUAL_AHEAD, 0, {5, 3, 2}, -4, {0.5f}, {-0.5}, {9}, 0},
    /* mDLAM: abar = 3 + .5 (1) = 3.5, minus .25 * 2 = 3, box around h(2) = 2 of .5: 2.5. */
    {AM_MAP_A_STEP, AM_ACT_RELU, {3, 2, 2, 2}, 0, {0.5f, 0.25f, 0.5f, 0.5f, 0}, {2.5}, {-1, 1, 0.25}, 0.5},
    /* Over-relaxed: 3 - .25 * 2 = 2.5 inside the box [1, 3], then + .5 (-.5) = 2.25; gradient point 3 + 1. */
    {AM_MAP_A_STEP,
     AM_ACT_RELU,
     {3, 2, 2, 2},
     0,
     {0, 0.25f, 1, 1, 0.5f},
     {2.25},
     {-1.5, 3.0625, 0.5625},
     0.25},
    /* d = -.5 (2 + 3 (1 - 2)) = .5. */
    {AM_MAP_A_GRADIENT, AM_ACT_RELU, {1, 2, 2}, 0, {0.5f, 3}, {1.5}, {0.25, 0.25, 1}, 0.5},
    {AM_MAP_A_EXACT_TARGET, AM_ACT_RELU, {1, 2, 5}, 0, {3, 0.5f}, {9.5}, {0}, 0},
    {AM_MAP_A_MOVED, AM_ACT_RELU, {1, 3, -2}, 0, {0}, {0}, {4, 1}, 1},
    {AM_MAP_GRADIENT_W, 0, {5, 3, 2}, 0, {0.5f, 4}, {9}, {81}, 0},
    {AM_MAP_GRADIENT_AHEAD, 0, {5, 3, 2}, 0, {0.5f, 2, 4}, {12}, {144}, 0},
    /* e = .5 (4) - .25 (8) + ... = 2 - 2 = 0, and with G = 4: 2 - 1 = 1; ea = .5 (2) - .25 (-4) = 2. */
    {AM_MAP_TRIAL_W, 0, {3, 4, 4, 2, -4, 7}, 0, {0.5f, 0.25f}, {4}, {7, 2, 1}, 0},
    {AM_MAP_TRIAL_W_SAMPLE, 0, {3, 4, 4}, 0, {0.5f, 0.25f}, {4}, {3, 1}, 0},
    {AM_MAP_TRIAL_P_SAMPLE, 0, {3, 4, 4, 5}, 0, {0.5f, 0.25f}, {4}, {5, 1}, 0},
    {AM_MAP_SUM_SQUARES, 0, {-3}, 0, {0}, {0}, {9}, 0},
    {AM_MAP_SQUARED_ERROR, 0, {5, 3}, -4, {0}, {0}, {4}, 0},
    {AM_MAP_BIAS_MEAN, 0, {10, 2, 1}, 0, {0.25f}, {2}, {1}, 0},
    /* mean 2; 2 + .5 (1 - 3) = 1; over-relaxed from 1 unchanged. */
    {AM_MAP_BIAS_INERTIAL, 0, {10, 2, 1, 3}, 0, {0.25f, 0.5f, 0.5f}, {1, 1}, {0, 0}, 0},
    /* 2 + .5 (4 - 2) = 3, over-relaxed 3 + .5 (3 - 4) = 2.5: sums 1.5^2 and .5^2 - 2^2. */
    {AM_MAP_BIAS_INERTIAL, 0, {10, 2, 4, 2}, 0, {0.25f, 0.5f, 0.5f}, {2.5, 4}, {2.25, -3.75}, 0},
    {AM_MAP_DUAL, 0, {5, 2, 10}, 1, {0}, {12, 17}, {4, 24}, 0},
    {AM_MAP_OUTPUT_GRADIENT, 0, {5, 3}, -4, {0.5f}, {-1}, {4}, 0},
    /* reluprox(a = 5 - 3, b = 1, g = 1) = 1.5; m = 1, z_old 2: b = 1 with k = 0. */
    {AM_MAP_SKIP_Z, 0, {0.5f, 5, 3, 2}, 0.5f, {1, 0}, {1.5}, {0.25, 0.25}, 0},
    /* a - a_prev = -1 < 0, b = -2 + .5 (2 - -2) = 0: z = 0. */
    {AM_MAP_SKIP_Z, 0, {-3, 2, 3, 2}, 1, {1, 0.5f}, {0}, {4, 4}, 0},
    /* e = 5 - 3 - 1 = 1, e_next = 9 - 5 - 0 = 4: 2 + .5 (1 - 4). */
    {AM_MAP_SKIP_PULL, AM_ACT_RELU, {2, 5, 3, 1, 9, -1}, 0, {0.5f}, {0.5}, {0}, 0},
    /* 2 + .5 (5 - 3 - 1) - 2 (9 - 5 - 0). */
    {AM_MAP_SKIP_PULL_FIRST, AM_ACT_RELU, {2, 5, 3, 9, -1}, 1, {0.5f, 2}, {-5.5}, {0}, 0},
    {AM_MAP_SKIP_PULL_LAST, AM_ACT_RELU, {2, 5, 3, 1}, 0, {0.5f}, {2.5}, {0}, 0},
    {AM_MAP_SKIP_MOVE, AM_ACT_RELU, {5, 4, 3, 2}, 0, {0.5f}, {3}, {4, 4}, 2},
    {AM_MAP_SKIP_MOVE_FIRST, 0, {5, 4, 3}, 2, {0.5f}, {3}, {4, 4}, 0},
    {AM_MAP_SKIP_GAP, AM_ACT_RELU, {3, 5, -1}, 0, {0}, {0}, {4}, 2},
    {AM_MAP_SKIP_SLOPE, AM_ACT_LEAKY_RELU, {5, 3, 1}, 0, {0}, {1}, {0}, 0},
    {AM_MAP_SKIP_SLOPE, AM_ACT_RELU, {5, 3, -1}, 0, {0}, {0}, {0}, 0},
    /* e = 5 - 3 - 1 = 1; z = 1 - .5 (4) = -1: e_new = 2. */
    {AM_MAP_SKIP_TRIAL_Z, AM_ACT_RELU, {5, 3, 1, 4}, 0, {0.5f}, {0}, {3}, 0},
    /* a = 5 -> 3 with low 2: 2 (1 - 9); e_next = 9 - 5 - 1 = 3 -> 9 - 3 - 0 = 6. */
    {AM_MAP_SKIP_TRIAL_A, AM_ACT_RELU, {5, 4, 2, 9, 1, 4}, 0, {0.5f, 2}, {0}, {11, 16}, 0},
    {AM_MAP_DESCEND, 0, {5, 4}, 0, {0.5f}, {3}, {4}, 0},
    {AM_MAP_BACK, AM_ACT_RELU, {5, 0.1f}, 0, {0}, {5}, {0}, 0},
    {AM_MAP_BACK, AM_ACT_RELU, {5, 0}, 0, {0}, {0}, {0}, 0},
    {AM_MAP_BACK, AM_ACT_SIGMOID, {8, 0.25f}, 0, {0}, {1.5}, {0}, 0},
    /* u+ = .5 (4) + 1 + .5 (2) = 4, w+ = 2 - .25 (4) = 1. */
    {AM_MAP_DISPLACE, 0, {5, 1}, 2, {0.5f}, {1}, {0}, 0},
    {AM_MAP_STREAM_STEP, 0, {2, 4, 1}, 0, {0.5f, 0.25f, 2}, {6, 2.5f}, {0}, 0},
    {AM_MAP_SUM_ABS, 0, {-3}, 0, {0}, {0}, {3}, 0},
    /* inside: .5 (3); beyond the box: -1; inactive: 0. */
    {AM_MAP_BOX_DISPLACE, AM_ACT_RELU, {3, 0.1f}, 0, {0.5f, 2}, {1.5}, {0}, 0},
    {AM_MAP_BOX_DISPLACE, AM_ACT_RELU, {-3, 0.1f}, 0, {0.5f, 1}, {-1}, {0}, 0},
    {AM_MAP_BOX_DISPLACE, AM_ACT_RELU, {3, 0}, 0, {0.5f, 2}, {0}, {0}, 0},
    /* reluprox(1 + 2, 1, 1) = 2; reluprox(0 - 1, -1, 1) = -1; reluprox(4, -1, 1) = 1.5. */
    {AM_MAP_RELUPROX_DISPLACE, 0, {2, 1}, 0, {1}, {1}, {0}, 0},
    {AM_MAP_RELUPROX_DISPLACE, 0, {-1, -1}, 0, {1}, {0}, {0}, 0},
    {AM_MAP_RELUPROX_DISPLACE, 0, {4, -1}, 0, {1}, {2.5}, {0}, 0},
    {AM_MAP_SKIP_DISPLACE, 0, {2, 1}, 0, {1}, {1, 1}, {0}, 0},
    {AM_MAP_SKIP_DISPLACE, 0, {-1, -1}, 0, {1}, {0, -1}, {0}, 0},
    {AM_MAP_MOMENTUM, 0, {1, 2, 4}, 0, {0.25f, 0.5f, 0.5f}, {1, 4}, {0}, 0},
    /* g' = 1 + .5 (2) = 2; m+ = .5 (4) + .5 (2) = 3; v+ = .75 (0) + .25 (4) = 1; w+ = 2 - .5 (3)/(1 (2) + 1)
       = 1.5. */
    {AM_MAP_ADAM, 0, {1, 2, 4, 0}, 0, {0.5f, 0.5f, 0.75f, 2, 1, 0.5f}, {1.5, 3, 1}, {0}, 0},
    {AM_MAP_CHANGE, 0, {5, 3}, 0, {0}, {5}, {4}, 0},
    /* inside: g = 2 (3 - 1, .5) = (4, 1). */
    {AM_MAP_BOX_SUBGRADIENT, AM_ACT_RELU, {0, 3, 3, 0.5f}, 1, {2, 1}, {0}, {17}, 0},
    /* on the upper edge, n = (-1, 1): g = (4, 1) points in, its normal part 3/sqrt(2) is taken: (5)^2/2 is left. */
    {AM_MAP_BOX_SUBGRADIENT, AM_ACT_RELU, {0, 3, 4, 0.5f}, 1, {2, 1}, {0}, {12.5}, 0},
    /* on the lower edge, n = (1, -1): g n > 0, nothing is taken. */
    {AM_MAP_BOX_SUBGRADIENT, AM_ACT_RELU, {0, 3, 2, 0.5f}, 1, {2, 1}, {0}, {17}, 0},
    /* h' = 0, n = (0, 1), g = (-1, -3): only the a part is taken. */
    {AM_MAP_BOX_SUBGRADIENT, AM_ACT_RELU, {1, -1, 1, -3}, -1, {1, 1}, {0}, {1}, 0},
    /* z > 0: gz = 2 (3 - 1) - 3 (5 - 3) = -2, ga = 4 (.5) + 3 (2) = 8. */
    {AM_MAP_SPLIT_SUBGRADIENT, 0, {0, 3, 5, 0.5f}, 1, {2, 3, 4}, {0}, {68}, 0},
    /* z < 0: gz = 2 (-3 - 1), ga = 2 + 3 (5). */
    {AM_MAP_SPLIT_SUBGRADIENT, 0, {0, -3, 5, 0.5f}, 1, {2, 3, 4}, {0}, {353}, 0},
    /* z = 0, a = -2: slopes from 2 (-1) to -2 + 6 hold 0; ga = 4 (.5) - 6. */
    {AM_MAP_SPLIT_SUBGRADIENT, 0, {0, 0, -2, 0.5f}, 1, {2, 3, 4}, {0}, {16}, 0},
    /* z = 0, a = 2: slopes -2 or -8. */
    {AM_MAP_SPLIT_SUBGRADIENT, 0, {0, 0, 2, 0.5f}, 1, {2, 3, 4}, {0}, {68}, 0},
};
#define N_MAP_LINES (sizeof map_lines / sizeof *map_lines)

#define AM_RUN_MAP(ID, name, ...)                                                                            \
    case AM_MAP_##ID: am_map_##name(act, x, r, c, y, s, mx); break;
static void run_map(am_map_id id, int act, const float *x, float r, const float *c, float *y, float *s,
                    float *mx)
{
    switch (id) {
        AM_MAPS(AM_RUN_MAP)
    default: fail();
    }
}

static void test_maps(void **state)
{
    (void)state;
    int n_lines[AM_N_MAPS] = {0};
    for (size_t i = 0; i < N_MAP_LINES; i++) {
        const map_line *l = &map_lines[i];
        float y[AM_MAP_MAX_OUT] = {0}, s[AM_MAP_MAX_SUM] = {0}, mx = 0.0f;
        run_map(l->id, l->act, l->x, l->r, l->c, y, s, &mx);
        int same = (double)mx == l->mx;
        for (int k = 0; k < AM_MAP_MAX_OUT; k++)
            same = same && fabs((double)y[k] - l->y[k]) <= 4.0 * eps * fabs(l->y[k]);
        for (int k = 0; k < AM_MAP_MAX_SUM; k++)
            same = same && fabs((double)s[k] - l->s[k]) <= 4.0 * eps * fabs(l->s[k]);
        if (!same)
            fail_msg("line %zu, map %s: y %g %g, sums %g %g %g, max %g", i, am_map_signature_of(l->id)->name,
                     (double)y[0], (double)y[1], (double)s[0], (double)s[1], (double)s[2], (double)mx);
        n_lines[l->id]++;
    }
    for (int id = 0; id < AM_N_MAPS; id++)
        if (!n_lines[id])
            fail_msg("map %s has no line in map_lines", am_map_signature_of((am_map_id)id)->name);
}

/* ---------------------------------------------------------------------------------------- optimal steps */

static double random_in(double lo, double hi)
{
    return lo + (hi - lo) * (double)rand() / (double)RAND_MAX;
}

typedef struct scalar_problem {
    int act;
    double a, eps, m, y, rho, b, g, center;
} scalar_problem;

/* Infinite outside the box. */
static double box_objective(double z, const void *arg)
{
    const scalar_problem *p = arg;
    return fabs(p->a - exact_h(p->act, z)) <= p->eps * (1.0 + 1e-9) ? (z - p->m) * (z - p->m) : INFINITY;
}

/* box_z is the least of (z - m)^2 in the box, wherever the box is not empty. */
static void test_box_step(void **state)
{
    (void)state;
    srand(1);
    for (int act = 0; act < AM_N_ACTS; act++)
        for (int trial = 0; trial < 60; trial++) {
            const float m = (float)random_in(-6, 6), z0 = (float)random_in(-3, 3),
                        radius = (float)random_in(0.05, 2);
            const float a = am_act_h(act, z0) + radius * (float)random_in(-0.9, 0.9);
            const float x[AM_MAP_MAX_IN] = {m, a, z0}, c[AM_MAP_MAX_COEF] = {radius};
            float y[AM_MAP_MAX_OUT], s[AM_MAP_MAX_SUM], mx;
            am_map_box_z(act, x, 0.0f, c, y, s, &mx);
            const scalar_problem p = {.act = act, .a = (double)a, .eps = (double)radius, .m = (double)m};
            const double best = exact_minimum(box_objective, &p, -70.0, 70.0), z = (double)y[0];
            assert_true(fabs(p.a - exact_h(act, z)) <= p.eps + 4e-6);
            assert_true(fabs(z - p.m) <= fabs(best - p.m) + 1e-4 * (1.0 + fabs(best)));
        }
}

static double squared_objective(double z, const void *arg)
{
    const scalar_problem *p = arg;
    return 0.5 * (z - p->y) * (z - p->y) + 0.5 * p->rho * (z - p->m) * (z - p->m);
}

static double reluprox_objective(double u, const void *arg)
{
    const scalar_problem *p = arg;
    const double h = u > 0.0 ? u : 0.0;
    return 0.5 * (h - p->a) * (h - p->a) + 0.5 * p->g * (u - p->b) * (u - p->b);
}

static void test_proximal_steps(void **state)
{
    (void)state;
    srand(2);
    for (int trial = 0; trial < 200; trial++) {
        const float y0 = (float)random_in(-3, 3), m = (float)random_in(-3, 3),
                    rho = (float)random_in(0.01, 5);
        const float x[AM_MAP_MAX_IN] = {m, y0, 0}, c[AM_MAP_MAX_COEF] = {rho};
        float y[AM_MAP_MAX_OUT], s[AM_MAP_MAX_SUM], mx;
        am_map_prox_squared(0, x, 0.0f, c, y, s, &mx);
        const scalar_problem p = {.y = (double)y0,
                                  .m = (double)m,
                                  .rho = (double)rho,
                                  .a = (double)m,
                                  .b = (double)y0,
                                  .g = (double)rho};
        assert_true(fabs((double)y[0] - exact_minimum(squared_objective, &p, -5.0, 5.0)) <= 1e-5);
        /* Two minimisers can be equally good: compare values. */
        const double best = exact_minimum(reluprox_objective, &p, -5.0, 5.0);
        const double u = (double)am_reluprox(m, y0, rho);
        assert_true(reluprox_objective(u, &p) <= reluprox_objective(best, &p) + 1e-5);
    }
}

static double a_objective(double a, const void *arg)
{
    const scalar_problem *p = arg;
    return fabs(a - p->center) <= p->eps * (1.0 + 1e-9) ? (a - p->m) * (a - p->m) : INFINITY;
}

/* a_step without over-relaxation is the projection of abar - g/lambda on the box. */
static void test_a_step(void **state)
{
    (void)state;
    srand(3);
    for (int trial = 0; trial < 200; trial++) {
        const float x[AM_MAP_MAX_IN] = {(float)random_in(-2, 2), (float)random_in(-2, 2),
                                        (float)random_in(-2, 2), (float)random_in(-2, 2)};
        const float c[AM_MAP_MAX_COEF] = {0.5f, 0.25f, (float)random_in(0.01, 2), 0.5f, 0};
        float y[AM_MAP_MAX_OUT], s[AM_MAP_MAX_SUM], mx;
        am_map_a_step(AM_ACT_TANH, x, 0.0f, c, y, s, &mx);
        const double ahead = (double)x[0] + 0.5 * ((double)x[0] - (double)x[1]);
        const scalar_problem p = {.m = ahead - 0.25 * (double)x[2],
                                  .center = exact_h(AM_ACT_TANH, (double)x[3]),
                                  .eps = (double)c[2]};
        assert_true(fabs((double)y[0] - exact_minimum(a_objective, &p, -5.0, 5.0)) <= 1e-5);
        assert_true((double)mx <= p.eps + 4.0 * eps);
    }
}

/* ---------------------------------------------------------------------------------------- scalars */

typedef struct scalar_line {
    am_scalar_id id;
    double x[AM_SCALAR_MAX_IN], expected;
} scalar_line;

static const scalar_line scalar_lines[] = {
    {AM_SCALAR_SET, {7}, 7},
    {AM_SCALAR_ADD, {7, -2}, 5},
    {AM_SCALAR_MUL, {7, -2}, -14},
    {AM_SCALAR_MAX, {7, -2}, 7},
    {AM_SCALAR_MAX, {-7, -2}, -2},
    {AM_SCALAR_NESTEROV_S, {0}, 1},
    {AM_SCALAR_NESTEROV_S, {1}, 1.618033988749895},
    {AM_SCALAR_NESTEROV_W, {0, 1}, -1},
    {AM_SCALAR_NESTEROV_W, {3, 4}, 0.5},
    {AM_SCALAR_DECAY, {100, 0.5, 1}, 50},
    {AM_SCALAR_DECAY, {1.5, 0.5, 1}, 1},
    {AM_SCALAR_DECAY, {0.25, 0.5, 1}, 0.25}, /* a floor above eps does not raise it */
    {AM_SCALAR_CAUCHY, {6, 2, 3, 1}, 0.1},   /* theta = 3 (6)/2 + 1 = 10 */
    {AM_SCALAR_CAUCHY, {0, 0, 3, 1}, 0},
    {AM_SCALAR_BACKTRACKING, {6, 2, 3, 1}, 1.0 / 16},
    {AM_SCALAR_BACKTRACKING, {0.1, 2, 3, 0.1}, 1},
    {AM_SCALAR_CHANGE_W, {-5, 4, 2, 0.5, 3}, -1},
    {AM_SCALAR_CHANGE_W_SAMPLE, {-5, 4, 2, 3, 0.5, 3}, 9},
    {AM_SCALAR_CHANGE_A, {-5, 4, 2, 0.5, 0.5}, -1.25},
    {AM_SCALAR_CHANGE_A, {-5, 0, 2, 0, 0}, -5},
    {AM_SCALAR_NOT_DECREASED, {-1e-300}, 0},
    {AM_SCALAR_NOT_DECREASED, {0}, 1},
    {AM_SCALAR_NOT_DECREASED, {NAN}, 1},
    {AM_SCALAR_BACKTRACKING_A, {4, 1.25, 0.1}, 0.1},
    {AM_SCALAR_BACKTRACKING_A, {4, 1.25, 3}, 3.0 / 16},
    {AM_SCALAR_SAFE_INVERSE, {4, 1.25}, 0.2},
    {AM_SCALAR_SAFE_INVERSE, {0, 1.25}, 0},
    {AM_SCALAR_INERTIA_REACH, {0.5, 0.75, 0.5, 2, 0.25}, 0.9375}, /* 1.5 (.5 + 2 (.25) .25) */
    {AM_SCALAR_INERTIA_LENGTH, {0.5, 0.25}, 0.375},
    {AM_SCALAR_MAJORISER, {4, 1.5, 2}, 0.125},
    /* .5 (2) 3 + 4 (.5) (.25 (8) - 5) */
    {AM_SCALAR_CHANGE_SKIP, {3, 5, 8, 0.5, 4, 2}, -3},
    {AM_SCALAR_NOT_MAJORISED, {-3, 0.5, 8, 4}, 0}, /* -3 = -.25 (12) */
    {AM_SCALAR_NOT_MAJORISED, {-2.9, 0.5, 8, 4}, 1},
    {AM_SCALAR_NOT_MAJORISED, {NAN, 0.5, 8, 4}, 1},
    {AM_SCALAR_UNLESS, {5, 1}, 0},
    {AM_SCALAR_UNLESS, {5, 0}, 5},
    {AM_SCALAR_COMPLEMENT, {0.25}, 0.75},
    {AM_SCALAR_RATIO_ROOT, {18, 2}, 3},
    {AM_SCALAR_RATIO_ROOT, {18, 0}, 1},
    {AM_SCALAR_FIRST, {0, 5, 7}, 7},
    {AM_SCALAR_FIRST, {1, 5, 7}, 5},
    {AM_SCALAR_CHUNK_BAD, {2.25, 1, 4, 2.302585092994046}, 0},
    {AM_SCALAR_CHUNK_BAD, {2.35, 1, 4, 2.302585092994046}, 1},
    {AM_SCALAR_CHUNK_BAD, {2.35, 1, 3, 2.302585092994046}, 0},
    {AM_SCALAR_CHUNK_BAD, {2.35, 0, 9, 1}, 0},
    {AM_SCALAR_CHUNK_BAD, {INFINITY, 1, 1, 1}, 1},
    {AM_SCALAR_CHUNK_BAD, {NAN, 1, 1, 1}, 1},
    {AM_SCALAR_CHUNK_SMOOTH, {2, 3, 1}, 2.1},
    {AM_SCALAR_CHUNK_SMOOTH, {2, 3, 0}, 3},
    {AM_SCALAR_CHUNK_SUSPECT, {2, 2.302585092994046}, 2.2},
    {AM_SCALAR_CHUNK_SUSPECT, {2.4, 2.302585092994046}, 2.5},
    {AM_SCALAR_CHUNK_RECOVER, {0.5}, 0.51},
    {AM_SCALAR_CHUNK_RECOVER, {0.99}, 1},
    {AM_SCALAR_CHUNK_KEEP, {1.3, 1}, 1},
    {AM_SCALAR_CHUNK_KEEP, {1.31, 1}, 0},
    {AM_SCALAR_CHUNK_RATE, {8, 0.5, 1, 4, 10}, 1},
    {AM_SCALAR_CHUNK_RATE, {8, 0.5, 6, 4, 10}, 2},
    {AM_SCALAR_CHUNK_RATE, {8, 0.5, 99, 4, 0}, 4},
    {AM_SCALAR_DUE, {8, 8}, 1},
    {AM_SCALAR_DUE, {7, 8}, 0},
    {AM_SCALAR_FORGET, {0.75, 1}, 0},
    {AM_SCALAR_FORGET, {0.75, 2}, 0.5},
    {AM_SCALAR_FORGET, {0.75, 9}, 0.75},
    {AM_SCALAR_RIDGE, {10, 5, 1, 2}, 20},
    {AM_SCALAR_RIDGE, {10, 6, 0, 2}, 30},
    {AM_SCALAR_RIDGE, {10, 0, 0, 2}, 1e-30},
    {AM_SCALAR_WITHIN, {2, 1, 2}, 1},
    {AM_SCALAR_WITHIN, {1, 1, 2}, 0},
    {AM_SCALAR_WITHIN, {NAN, 1, 2}, 0},
    {AM_SCALAR_COSINE, {0.5, 1, 10}, 0.5},
    {AM_SCALAR_COSINE, {0.5, 6, 10}, 0.25},
    {AM_SCALAR_COSINE, {0.5, 11, 10}, 0},
    {AM_SCALAR_ADAM_RATE, {0.5, 0.5, 2}, 2.0 / 3},
    {AM_SCALAR_ADAM_SCALE, {0.75, 1}, 2},
};

static void test_scalars(void **state)
{
    (void)state;
    int n_lines[AM_N_SCALARS] = {0};
    for (size_t i = 0; i < sizeof scalar_lines / sizeof *scalar_lines; i++) {
        const scalar_line *l = &scalar_lines[i];
        const double got = am_scalar_eval(l->id, l->x);
        if (!(fabs(got - l->expected) <= 1e-14 * fabs(l->expected)))
            fail_msg("line %zu, scalar formula %d: %.17g, expected %.17g", i, (int)l->id, got, l->expected);
        n_lines[l->id]++;
    }
    for (int id = 0; id < AM_N_SCALARS; id++)
        if (!n_lines[id]) fail_msg("scalar formula %d has no line in scalar_lines", id);
}

/* Step lengths as the theory states them: the Cauchy step minimises the quadratic along -G, backtracking's is
 * the largest power of two below it and never above 1. */
static void test_step_lengths(void **state)
{
    (void)state;
    srand(4);
    for (int trial = 0; trial < 200; trial++) {
        const double gg = random_in(0.1, 10), gag = random_in(0, 100), rho = random_in(1e-3, 2),
                     mu = random_in(0, 1);
        const double x[4] = {gag, gg, rho, mu};
        const double t = am_scalar_eval(AM_SCALAR_CAUCHY, x), b = am_scalar_eval(AM_SCALAR_BACKTRACKING, x);
        const double curvature = rho * gag + mu * gg; /* phi(W - t G) = -t ||G||^2 + t^2/2 curvature */
        assert_true(fabs(gg - t * curvature) <= 1e-12 * gg);
        assert_true(b <= t * (1 + 1e-12) || b == 1.0);
        assert_true(b == 1.0 || 2.0 * b > t * (1 - 1e-12));
        assert_true(b <= 1.0 && frexp(b, &(int){0}) == 0.5);
    }
}

/* ---------------------------------------------------------------------------------------- softmax */

static void test_log_sum_exp(void **state)
{
    (void)state;
    srand(5);
    static const double spreads[] = {0.1, 3, 50, 1e4};
    for (int trial = 0; trial < 400; trial++) {
        float z[40], r[40], p[40], d[40];
        double exact[40], top = -INFINITY, bottom = INFINITY, sum = 0.0, weights = 0.0;
        const size_t n = 1 + (size_t)(trial % 40), y = (size_t)trial % n;
        for (size_t i = 0; i < n; i++) {
            z[i] = (float)(spreads[trial % 4] * random_in(-1, 1)), r[i] = (float)random_in(-1, 1);
            exact[i] = (double)(z[i] + r[i]);
            top = fmax(top, exact[i]);
            bottom = fmin(bottom, exact[i]);
        }
        const double widest = (8.0 + top - bottom) * eps;
        for (size_t i = 0; i < n; i++) sum += exp(exact[i] - top);
        const double lse = top + log(sum), got = am_log_sum_exp(n, z, r, p);
        assert_true(fabs(got - lse) <= 2.0 * eps * (1.0 + fabs(top) * 0x1p-20));
        const double loss = am_softmax_gradient(n, z, r, y, 0.5f, d);
        assert_true(fabs(loss - (lse - exact[y])) <= 2.0 * eps * (1.0 + fabs(top) * 0x1p-20));
        for (size_t i = 0; i < n; i++) {
            const double w = exp(exact[i] - lse);
            /* The exponent is rounded once: exp turns that into a relative error of eps times its size. */
            const double bound = (8.0 + fabs(exact[i] - top)) * eps;
            assert_true(fabs((double)p[i] - w) <= bound * w + 1e-37);
            double others = 0.0;
            for (size_t k = 0; k < n; k++) others += k == y ? 0.0 : exp(exact[k] - lse);
            const double g = 0.5 * (i == y ? -others : w);
            assert_true(fabs((double)d[i] - g) <= (i == y ? widest : bound) * fabs(g) + 1e-37);
            weights += (double)p[i];
        }
        assert_true(fabs(weights - 1.0) <= 8.0 * eps);
    }
}

static void check_prox(size_t n, double rho, double spread, int start)
{
    float *m = malloc(n * sizeof *m), *z = malloc(n * sizeof *z), *work = malloc(3 * n * sizeof *work);
    double *target = malloc(n * sizeof *target), *exact = malloc(n * sizeof *exact);
    assert_true(m && z && work && target && exact);
    const size_t y = (size_t)rand() % n;
    double size = 0.0, top = -INFINITY, sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        m[i] = (float)(spread * random_in(-1, 1));
        target[i] = (double)m[i];
        /* Starts: at m, at the published 2 y - 1, far away. */
        z[i] = start == 0 ? m[i] : (start == 1 ? (i == y ? 1.0f : -1.0f) : (float)random_in(-100, 100));
    }
    const double loss = am_prox_softmax(n, rho, m, y, z, work);
    const double exact_loss = exact_prox_softmax(n, rho, target, y, exact);
    for (size_t i = 0; i < n; i++) {
        size = fmax(size, fmax(fabs(exact[i]), fabs(target[i])));
        top = fmax(top, (double)z[i]);
    }
    for (size_t i = 0; i < n; i++) sum += exp((double)z[i] - top);
    double others = 0.0;
    for (size_t i = 0; i < n; i++) others += i == y ? 0.0 : exp((double)z[i] - top) / sum;
    /* Optimality up to a perturbation of z by float rounding: that moves gradient i by (p_i + rho) eps |z|,
     * for the label's (its p is 1 - others) by (others + rho) eps |z|. */
    for (size_t i = 0; i < n; i++) {
        const double p = exp((double)z[i] - top) / sum, weight = i == y ? others : p;
        const double g = (i == y ? -others : p) + rho * ((double)z[i] - target[i]);
        if (!(fabs(g) <= 16.0 * eps * (weight + rho) * (1.0 + size)))
            fail_msg("n=%zu rho=%g spread=%g start=%d: gradient %zu is %g (z %g, exact %g)", n, rho, spread,
                     start, i, g, (double)z[i], exact[i]);
        /* Strong convexity: the distance to the minimiser is at most the gradient over rho; near a confident
         * solution curvature is only rho. */
        assert_true(fabs((double)z[i] - exact[i]) <=
                    64.0 * eps * (1.0 + size) * (1.0 + (i == y ? others : p) / rho));
    }
    assert_true(fabs(loss - exact_loss) <= 64.0 * eps * (1.0 + size) * (1.0 + others / rho));
    free(m);
    free(z);
    free(work);
    free(target);
    free(exact);
}

static void test_prox_softmax(void **state)
{
    (void)state;
    srand(6);
    static const double rhos[] = {1e-6, 1e-4, 1e-2, 0.3, 1, 30, 1e3}, spreads[] = {0.0, 0.5, 5, 100, 1e4};
    static const size_t sizes[] = {1, 2, 3, 10, 37};
    for (size_t i = 0; i < sizeof rhos / sizeof *rhos; i++)
        for (size_t k = 0; k < sizeof spreads / sizeof *spreads; k++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
                for (int start = 0; start < 3; start++) check_prox(sizes[s], rhos[i], spreads[k], start);
}

/* ------------------------------------------------------------------------------------------------ random */

/* Philox4x32-10 (Salmon et al. 2011) as it is printed, for the first draws of a step. */
static void philox(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xd2511f53u * c[0], b = (uint64_t)0xcd9e8d57u * c[2];
        const uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b,
                                  (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        for (int i = 0; i < 4; i++) c[i] = next[i];
        k0 += 0x9e3779b9u, k1 += 0xbb67ae85u;
    }
}

static void test_random(void **state)
{
    (void)state;
    uint32_t zeros[4] = {0};
    philox(zeros, 0, 0);
    assert_true(zeros[0] == 0x6627e8d5u && zeros[3] == 0x9b00dbd8u); /* Random123's known answer */
    const uint64_t seed = 0x123456789abcdef0u, counter = 4000000000u;
    double mean = 0.0;
    for (uint64_t j = 0; j < 4000; j++) {
        uint32_t c[4] = {(uint32_t)(j / 4), 0, (uint32_t)counter, AM_RANDOM_STREAM};
        philox(c, (uint32_t)seed, (uint32_t)(seed >> 32));
        const double u = am_random_uniform(seed, counter, j);
        assert_true(u == (double)c[j % 4] / 4294967296.0 && u >= 0.0 && u < 1.0);
        mean += u / 4000;
    }
    assert_true(fabs(mean - 0.5) < 5.0 * sqrt(1.0 / 12.0 / 4000)); /* five standard errors */
}

static void test_thin_probability(void **state)
{
    (void)state;
    assert_true(am_thin_probability(0.0, 0.3) == 0.02 && am_thin_probability(0.011, 0.3) == 0.02);
    assert_true(fabs(am_thin_probability(0.15, 0.3) - 0.25) < 1e-15);
    assert_true(am_thin_probability(0.6, 0.3) == 1.0 && am_thin_probability(7.0, 0.3) == 1.0);
    assert_true(am_thin_probability(0.0, 0.0) == 1.0 && am_thin_probability(NAN, 0.3) == 1.0);
    assert_true(am_thin_probability(INFINITY, 0.3) == 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elementary),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_derivatives),
        cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_box_step),
        cmocka_unit_test(test_proximal_steps),
        cmocka_unit_test(test_a_step),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_step_lengths),
        cmocka_unit_test(test_log_sum_exp),
        cmocka_unit_test(test_prox_softmax),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_thin_probability),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
