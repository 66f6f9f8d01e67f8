/* The monitor against sequences whose rates are known: gradient descent on |x|^r, noise, rounding plateaus, and the head of
 * a network that contracts by itself while the hidden blocks crawl. */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <cjson/cJSON.h>

#include "host/train/monitor.h"

static am_monitor_point point(size_t sweep, double f, double head2, double hidden2)
{
    return (am_monitor_point){sweep, f, head2, hidden2, NAN, NAN, NAN, 0.0};
}

static void assert_near(double x, double expected, double tolerance)
{
    if (!(fabs(x - expected) <= tolerance)) fail_msg("%.12g is not %.12g within %g", x, expected, tolerance);
}

/* Uniform in [-1, 1), the same on every machine. */
static double noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1.0;
}

/* Gradient descent on |x|^r from 1 with the given step. */
static am_monitor *descend(double r, double step, size_t n)
{
    am_monitor *m = am_monitor_new(DBL_EPSILON);
    double x = 1.0;
    for (size_t k = 1; k <= n; k++) {
        const double next = x - step * r * copysign(pow(fabs(x), r - 1.0), x), d = next - x;
        x = next;
        am_monitor_point p = point(k, pow(fabs(x), r), 0.0, d * d);
        p.gradient = r * pow(fabs(x), r - 1.0);
        assert_true(am_monitor_add(m, &p));
    }
    return m;
}

static void powers_give_their_exponent(void **state)
{
    (void)state;
    static const double r[] = {3.0, 4.0, 6.0}, step[] = {0.05, 0.1};
    for (int i = 0; i < 3; i++)
        for (int s = 0; s < 2; s++) {
            am_monitor *m = descend(r[i], step[s], 4000);
            am_monitor_report report;
            am_monitor_judge(m, 0.0, &report);
            assert_int_equal(report.rate, AM_RATE_SUBLINEAR);
            assert_near(report.theta, 1.0 - 1.0 / r[i], 0.02);
            assert_int_equal(report.j, 1);
            assert_int_equal(report.n_violations[0], 0);
            assert_true(isnan(report.distance));
            am_monitor_free(m);
        }
}

/* x <- (1 - 2 step) x: F falls by the square. (F_m - F_{m+1})/D = 1/step - 1 in every window of one sweep; the
 * gradient 2 x+ over |x+ - x| = 2 |q|/|1 - q|. */
static void square_gives_the_exact_factor(void **state)
{
    (void)state;
    static const double step[] = {0.01, 0.05, 0.2, 0.7};
    for (int i = 0; i < 4; i++) {
        const double q = 1.0 - 2.0 * step[i];
        am_monitor *m = descend(2.0, step[i], 100);
        am_monitor_report report;
        am_monitor_judge(m, 1e-30, &report);
        assert_int_equal(report.rate, AM_RATE_R_LINEAR);
        assert_near(report.rho_objective, q * q, 1e-9);
        assert_near(report.rho_step, fabs(q), 1e-9);
        assert_near(report.c[0], 1.0 / step[i] - 1.0, 1e-6);
        assert_near(report.c_blocked[1], report.c[1], 1e-6);
        assert_near(report.relative_error, 2.0 * fabs(q) / fabs(1.0 - q), 1e-6);
        /* the limit is 0, so the distance is |x| itself; the bound holds and is exact for positive q */
        const double x = pow(fabs(q), 100.0);
        assert_true(report.distance >= x * (1.0 - 1e-6));
        if (q > 0.0) assert_true(report.distance <= x * (1.0 + 1e-6));
        am_monitor_free(m);
    }
}

/* The prediction comes true: the run, continued, changes F by the tolerance when it was said to. */
static void sweeps_left_come_true(void **state)
{
    (void)state;
    am_monitor_report report;
    for (int i = 0; i < 2; i++) {
        const double r = i ? 4.0 : 2.0, tolerance = i ? 1e-9 : 1e-12;
        const size_t n = i ? 2000 : 80;
        am_monitor *m = am_monitor_new(DBL_EPSILON);
        double x = 1.0, f = 1.0, last = 1.0;
        size_t k = 0, reached = 0;
        for (k = 1; k < 1000000 && !reached; k++) {
            x -= 0.05 * r * pow(x, r - 1.0);
            last = f;
            f = 1.0 + pow(x, r); /* a limit that is not 0, as in a run */
            if (k <= n) {
                const am_monitor_point p = point(k, f, 0.0, pow(0.05 * r * pow(x, r - 1.0), 2.0));
                assert_true(am_monitor_add(m, &p));
            } else if (fabs(last - f) <= tolerance * f) {
                reached = k;
            }
        }
        am_monitor_judge(m, tolerance, &report);
        assert_int_equal(report.rate, i ? AM_RATE_SUBLINEAR : AM_RATE_R_LINEAR);
        assert_true(reached > n + 20);
        assert_near(report.sweeps_left, (double)(reached - n), 2.0 + 0.03 * (double)(reached - n));
        am_monitor_judge(m, 0.5, &report);
        assert_true(report.sweeps_left == 0.0);
        am_monitor_free(m);
    }
}

static void noise_is_unresolved(void **state)
{
    (void)state;
    uint64_t seed = 7;
    am_monitor *flat = am_monitor_new(DBL_EPSILON), *falling = am_monitor_new(DBL_EPSILON);
    for (size_t k = 1; k <= 500; k++) {
        const am_monitor_point p = point(k, 1.0 + 0.1 * noise(&seed), 0.0, 0.01 * (1.1 + noise(&seed)));
        const am_monitor_point q = point(k, 10.0 / (double)k + 0.5 * noise(&seed), 0.0, 1.1 + noise(&seed));
        assert_true(am_monitor_add(flat, &p) && am_monitor_add(falling, &q));
    }
    am_monitor_report report;
    am_monitor_judge(flat, 0.0, &report);
    assert_int_equal(report.rate, AM_RATE_UNRESOLVED);
    assert_true(report.n_violations[0] > 100 && report.c[0] < 0.0);
    assert_true(isnan(report.theta) && isnan(report.rho_objective) && isnan(report.distance));
    am_monitor_judge(falling, 0.0, &report);
    assert_int_equal(report.rate, AM_RATE_UNRESOLVED);
    am_monitor_free(flat);
    am_monitor_free(falling);
}

/* |x|^1 by proximal steps, theta = 0: x <- max(x - step, 0) is there after finitely many sweeps and stays. No rate is claimed;
 * nothing is left to do. */
static void finite_ends_claim_no_rate(void **state)
{
    (void)state;
    am_monitor *m = am_monitor_new(DBL_EPSILON);
    double x = 100.0;
    for (size_t k = 1; k <= 300; k++) {
        const double next = fmax(x - 1.0, 0.0), d = next - x;
        x = next;
        am_monitor_point p = point(k, x, 0.0, d * d);
        p.gradient = x > 0.0 ? 1.0 : 0.0;
        assert_true(am_monitor_add(m, &p));
    }
    am_monitor_report report;
    am_monitor_judge(m, 0.0, &report);
    assert_int_equal(report.rate, AM_RATE_UNRESOLVED);
    assert_int_equal(report.n_resolved, 100);
    assert_int_equal(report.j, 1);
    assert_near(report.c[0], 1.0, 1e-12);
    assert_near(report.relative_error, 1.0, 1e-12);
    assert_true(report.sweeps_left == 0.0 && isnan(report.distance));
    am_monitor_free(m);
}

static void short_runs_are_unresolved(void **state)
{
    (void)state;
    static const size_t n[] = {0, 1, 2, 3, 10, 30, 60};
    for (int i = 0; i < 7; i++) {
        am_monitor *m = descend(2.0, 0.1, n[i]);
        am_monitor_report report;
        char text[160];
        am_monitor_judge(m, 0.0, &report);
        assert_int_equal(report.rate, AM_RATE_UNRESOLVED);
        assert_int_equal(report.n_sweeps, n[i]);
        am_monitor_verdict(text, sizeof text, &report);
        assert_true(strlen(text) > 0 && strlen(text) < sizeof text - 1);
        am_monitor_free(m);
    }
}

/* F = 1 + q^k reaches its plateau; what follows is rounding of size `jitter` and must change nothing. */
static void plateaus_are_left_out(void **state)
{
    (void)state;
    uint64_t seed = 3;
    const double q = 0.95;
    am_monitor *m = am_monitor_new(FLT_EPSILON);
    for (size_t k = 1; k <= 1000; k++) {
        const double e = pow(q, (double)k), jitter = 5.0 * (double)FLT_EPSILON * noise(&seed);
        const am_monitor_point p = point(k, 1.0 + e + jitter, 0.0, e * (1.0 - q));
        assert_true(am_monitor_add(m, &p));
    }
    am_monitor_report report;
    am_monitor_judge(m, 0.0, &report);
    for (int w = 0; w < AM_MONITOR_WINDOWS; w++) assert_int_equal(report.n_violations[w], 0);
    assert_true(report.n_resolved > 150 && report.n_resolved < 250);
    assert_int_equal(report.rate, AM_RATE_R_LINEAR);
    assert_near(report.rho_objective, q, 0.01);
    assert_true(report.c[0] > 0.0);
    am_monitor_free(m);
}

/* The trap of alternating minimisation: with W following, the output pair
 *   a_L <- (y + gamma z_L + alpha a_L)/(1 + gamma + alpha),  z_L <- (gamma a_L + rho m_L)/(gamma + rho),  m_L = z_L
 * is a 2x2 contraction by itself: ||a_L - y||^2 falls by .622 (alpha 1) or .774 (alpha 5) per sweep, whatever the hidden
 * blocks do. F is dominated by it here; the hidden blocks fall like m^-2 in their steps. */
static void head_is_not_the_network(void **state)
{
    (void)state;
    static const double alpha[] = {1.0, 5.0}, factor[] = {0.622, 0.774};
    for (int i = 0; i < 2; i++) {
        am_monitor *m = am_monitor_new(DBL_EPSILON);
        double a = 1.0, z = 0.5; /* y = 0 */
        for (size_t k = 1; k <= 70; k++) {
            const double a_old = a, z_old = z;
            a = (z + alpha[i] * a) / (2.0 + alpha[i]);
            z = (a + z) / 2.0;
            const double head2 = (a - a_old) * (a - a_old) + (z - z_old) * (z - z_old);
            const double hidden = 1e-22 / (double)k;
            const am_monitor_point p =
                point(k, 0.5 * a * a + 0.5 * (a - z) * (a - z) + hidden, head2, hidden / (double)k);
            assert_true(am_monitor_add(m, &p));
        }
        am_monitor_report report;
        char text[160];
        am_monitor_judge(m, 0.0, &report);
        assert_int_equal(report.objective.kind, AM_RATE_R_LINEAR);
        assert_near(report.objective.factor, factor[i], 0.002);
        assert_int_equal(report.head.kind, AM_RATE_R_LINEAR);
        assert_near(report.head.factor, factor[i], 0.002);
        assert_int_equal(report.hidden.kind, AM_RATE_SUBLINEAR);
        assert_near(report.hidden.exponent, 2.0, 0.01);
        assert_int_equal(report.rate, AM_RATE_UNRESOLVED);
        assert_int_equal(report.head_leads, 1);
        assert_true(isnan(report.rho_objective) && isnan(report.rho_step) && isnan(report.distance));
        am_monitor_verdict(text, sizeof text, &report);
        assert_non_null(strstr(text, "unresolved"));
        assert_non_null(strstr(text, "only the head"));
        am_monitor_free(m);
    }
}

/* Hidden blocks that converge linearly but slower than the head give the network's rate; as fast as F they do not disturb
 * it. */
static void slower_hidden_blocks_give_the_rate(void **state)
{
    (void)state;
    static const double hidden_factor[] = {0.622, 0.9};
    for (int i = 0; i < 2; i++) {
        am_monitor *m = am_monitor_new(DBL_EPSILON);
        for (size_t k = 1; k <= 70; k++) {
            const double head = pow(0.622, (double)k), hidden = 1e-24 * pow(hidden_factor[i], (double)k);
            const am_monitor_point p = point(k, head + hidden, head, hidden);
            assert_true(am_monitor_add(m, &p));
        }
        am_monitor_report report;
        am_monitor_judge(m, 0.0, &report);
        assert_int_equal(report.rate, AM_RATE_R_LINEAR);
        assert_int_equal(report.head_leads, i);
        assert_near(report.rho_objective, hidden_factor[i], 1e-3);
        am_monitor_free(m);
    }
}

/* While eps shrinks F may rise; the monitor judges what follows, and starts again when eps is raised. */
static void starts_afresh_when_eps_changes(void **state)
{
    (void)state;
    am_monitor *m = am_monitor_new(DBL_EPSILON);
    am_monitor_report report;
    for (size_t k = 1; k <= 120; k++) {
        const double eps = k <= 18 ? 100.0 * pow(0.5, (double)k) : 1e-3;
        am_monitor_point p = point(k, k <= 18 ? (double)k : pow(0.9, (double)k), 0.0, pow(0.9, (double)k));
        p.eps = eps;
        assert_true(am_monitor_add(m, &p));
    }
    am_monitor_judge(m, 0.0, &report);
    assert_int_equal(report.first_sweep, 19);
    assert_int_equal(report.n_sweeps, 102);
    assert_int_equal(report.n_violations[0], 0);
    assert_int_equal(report.rate, AM_RATE_R_LINEAR);
    assert_near(report.rho_objective, 0.9, 1e-9);
    am_monitor_point p = point(121, 5.0, 0.0, 1.0);
    p.eps = 1.0;
    assert_true(am_monitor_add(m, &p));
    am_monitor_judge(m, 0.0, &report);
    assert_int_equal(report.first_sweep, 121);
    assert_int_equal(report.n_sweeps, 1);
    am_monitor_free(m);
}

/* A method that rises every third sweep and falls over three: no decrease for j = 1 and 2, decrease for j = 5. */
static void finds_the_smallest_window(void **state)
{
    (void)state;
    am_monitor *m = am_monitor_new(DBL_EPSILON);
    double f = 1000.0;
    for (size_t k = 1; k <= 100; k++) {
        f += k % 3 == 0 ? 4.0 : -3.0;
        const am_monitor_point p = point(k, f, 0.5, 0.5);
        assert_true(am_monitor_add(m, &p));
    }
    am_monitor_report report;
    am_monitor_judge(m, 0.0, &report);
    assert_int_equal(report.j, 5);
    assert_int_equal(report.n_violations[0], 33);
    assert_near(report.c[0], -4.0, 1e-12);
    assert_near(report.c[2], 1.0 / 5.0,
                1e-12); /* worst five: down, up, down, down, up: falls by 1 over D = 5 */
    am_monitor_free(m);
}

static void not_finite_sweeps_are_left_out(void **state)
{
    (void)state;
    am_monitor *m = descend(2.0, 0.1, 80);
    const am_monitor_point bad[] = {point(81, NAN, 0.0, 1.0), point(82, INFINITY, 0.0, 1.0),
                                    point(83, 1.0, 0.0, NAN)};
    for (int i = 0; i < 3; i++) assert_true(am_monitor_add(m, &bad[i]));
    am_monitor_report report;
    am_monitor_judge(m, 0.0, &report);
    assert_int_equal(report.n_sweeps, 80);
    assert_int_equal(report.rate, AM_RATE_R_LINEAR);
    am_monitor_free(m);
}

static void json_is_json(void **state)
{
    (void)state;
    am_monitor *m = descend(4.0, 0.1, 1000);
    am_monitor_report report;
    am_monitor_judge(m, 0.0, &report);
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    am_monitor_put_json(f, &report);
    fclose(f);
    cJSON *root = cJSON_Parse(text);
    assert_non_null(root);
    assert_string_equal(cJSON_GetObjectItem(root, "rate")->valuestring, "sublinear");
    assert_near(cJSON_GetObjectItem(root, "theta")->valuedouble, 0.75, 0.02);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(root, "rho_objective")));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(root, "decrease")), AM_MONITOR_WINDOWS);
    cJSON_Delete(root);
    free(text);
    am_monitor_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(powers_give_their_exponent),
        cmocka_unit_test(square_gives_the_exact_factor),
        cmocka_unit_test(sweeps_left_come_true),
        cmocka_unit_test(noise_is_unresolved),
        cmocka_unit_test(finite_ends_claim_no_rate),
        cmocka_unit_test(short_runs_are_unresolved),
        cmocka_unit_test(plateaus_are_left_out),
        cmocka_unit_test(head_is_not_the_network),
        cmocka_unit_test(slower_hidden_blocks_give_the_rate),
        cmocka_unit_test(starts_afresh_when_eps_changes),
        cmocka_unit_test(finds_the_smallest_window),
        cmocka_unit_test(not_finite_sweeps_are_left_out),
        cmocka_unit_test(json_is_json),
    };
    return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
