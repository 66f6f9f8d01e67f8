/* The theorems of mDLAM as tests: with eps fixed F never rises, block by block; every box holds after every sweep; momentum
 * changes the iterates; the guard fires where it must and without it F does rise. F is recomputed in double by oracle.c. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "monotone.h"
#include "problems.h"

static const char *const acts[] = {"identity", "relu",    "leaky-relu", "elu",
                                   "tanh",     "sigmoid", "softplus",   "hard-tanh"};

static void monotone_for_every_activation(void **state)
{
    (void)state;
    altmin_data *classes = problem_random(10, 60, 4, 1), *values = problem_random(10, 60, 0, 2);
    for (int a = 0; a < 8; a++)
        for (int loss = 0; loss < 3; loss++) {
            const char *const pairs[] = {
                "hidden",    "9,7",  "activation", acts[a], "rho",       "0.05",
                "mu",        "0.01", "init",       "he",    "eps-start", "0.05",
                "eps-floor", "0.05", "backend",    "ref",   "loss",      loss ? "squared" : "cross-entropy",
                NULL};
            monotone_check(loss == 2 ? values : classes, pairs, acts[a], 25);
        }
    altmin_data_free(classes);
    altmin_data_free(values);
}

static void monotone_for_every_step(void **state)
{
    (void)state;
    static const char *const steps[] = {"cauchy", "backtracking", "exact"}, *const accels[] = {
                                                                                "nesterov-guarded", "none"};
    static const char *const forms[] = {"normal", "sample"}, *const backends[] = {"ref", "cpu"};
    altmin_data *data = problem_random(12, 40, 3, 4);
    for (int s = 0; s < 3; s++)
        for (int a = 0; a < 2; a++)
            for (int f = 0; f < 2; f++)
                for (int b = 0; b < 2; b++) {
                    const char *const pairs[] = {
                        "hidden",  "8,8",       "rho",       "0.1",   "mu",        "0.02", "init",
                        "he",      "step",      steps[s],    "accel", accels[a],   "form", forms[f],
                        "backend", backends[b], "eps-start", "0.01",  "eps-floor", "0.01", NULL};
                    monotone_check(data, pairs, steps[s], 40);
                }
    altmin_data_free(data);
}

static void monotone_on_digits(void **state)
{
    (void)state;
    static const char *const rhos[] = {"1e-3", "1e-1", "10"};
    altmin_data *data = problem_digits(300);
    for (int r = 0; r < 3; r++) {
        const char *const pairs[] = {"hidden", "30,20",     "rho",  rhos[r],     "scale", "unit", "backend",
                                     "cpu",    "eps-start", "1e-3", "eps-floor", "1e-3",  NULL};
        monotone_check(data, pairs, rhos[r], 30);
    }
    altmin_data_free(data);
}

static void monotone_at_any_depth(void **state)
{
    (void)state;
    static const char *const hidden[] = {"none", "6", "6,5,4,6,5,4"};
    altmin_data *data = problem_random(7, 45, 3, 8);
    for (int h = 0; h < 3; h++) {
        const char *const pairs[] = {"hidden", hidden[h],   "rho",  "0.2",       "init", "he", "backend",
                                     "cpu",    "eps-start", "0.02", "eps-floor", "0.02", NULL};
        monotone_check(data, pairs, hidden[h], 30);
    }
    altmin_data_free(data);
}

/* With the schedule on: the box of the sweep's own eps holds after every sweep, and eps ends at its floor. */
static void boxes_follow_the_schedule(void **state)
{
    (void)state;
    altmin_data *data = problem_random(10, 60, 4, 1);
    for (int a = 0; a < 8; a++) {
        const char *const pairs[] = {"hidden", "9,7",       "activation", acts[a],   "rho", "0.05", "init",
                                     "he",     "eps-floor", "1e-3",       "backend", "cpu", NULL};
        altmin_trainer *t = problem_run(data, pairs);
        double eps = 0.0;
        for (int k = 0; k < 30; k++) {
            t->method->sweep(t->state);
            assert_int_equal(am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, NULL), ALTMIN_OK);
            t->method->measure(t->state, t->slot, &t->measures);
            eps = t->measures.eps;
            const double expected = fmax(100.0 * pow(0.5, k), 1e-3);
            assert_true(fabs(eps - expected) < 1e-12 * expected);
            oracle *o = oracle_of(t, data);
            const double box = oracle_worst_box(o);
            if (!(box <= eps * (1 + 1e-5) + 2e-6))
                fail_msg("%s, sweep %d: |a - h(z)| = %g > eps = %g", acts[a], k + 1, box, eps);
            oracle_free(o);
        }
        assert_true(eps == 1e-3);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

/* Two least-squares problems on which extrapolation overshoots, first in a W block (no hidden layer), then in an a block (one
 * hidden layer in a wide box). Unguarded, blocks raise F; guarded, the guard fires and none does. */
static void guard_fires_where_it_must(void **state)
{
    (void)state;
    altmin_data *data = problem_random(5, 80, 0, 6);
    static const char *const accels[] = {"none", "nesterov", "nesterov-guarded"}, *const forms[] = {"normal",
                                                                                                    "sample"};
    static const char *const hidden[] = {"none", "10"}, *const rhos[] = {"0.1", "1"};
    for (int problem = 0; problem < 2; problem++)
        for (int form = 0; form < 2; form++) {
            double f[3];
            size_t rises[3], guarded[3];
            for (int a = 0; a < 3; a++) {
                const char *const pairs[] = {"hidden",    hidden[problem],
                                             "rho",       rhos[problem],
                                             "accel",     accels[a],
                                             "init",      "he",
                                             "form",      forms[form],
                                             "backend",   "ref",
                                             "eps-start", "10",
                                             "eps-floor", "10",
                                             NULL};
                monotone_count(data, pairs, 150, &rises[a], &guarded[a], &f[a]);
            }
            assert_int_equal(rises[0], 0);
            assert_true(rises[1] > 0);
            assert_int_equal(rises[2], 0);
            assert_int_equal(guarded[0] + guarded[1], 0);
            assert_true(guarded[2] > 0);
            assert_true(f[1] != f[0] && f[2] != f[0] && f[2] != f[1]);
        }
    altmin_data_free(data);
}

/* The published script's momentum is identically zero; here it changes the iterates and halves F. */
static void momentum_matters(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(300);
    static const char *const accels[] = {"none", "nesterov-guarded"};
    double f[2];
    for (int a = 0; a < 2; a++) {
        const char *const pairs[] = {"hidden",    "20",    "rho",       "0.01", "accel",
                                     accels[a],   "scale", "unit",      "init", "he",
                                     "eps-start", "0.1",   "eps-floor", "0.1",  NULL};
        altmin_trainer *t = problem_run(data, pairs);
        for (int k = 0; k < 100; k++) t->method->sweep(t->state);
        assert_int_equal(am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, NULL), ALTMIN_OK);
        t->method->measure(t->state, t->slot, &t->measures);
        f[a] = t->measures.objective;
        altmin_trainer_free(t);
    }
    if (!(f[1] < 0.5 * f[0])) fail_msg("F %.9g with momentum, %.9g without", f[1], f[0]);
    altmin_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotone_for_every_activation),
        cmocka_unit_test(monotone_for_every_step),
        cmocka_unit_test(monotone_on_digits),
        cmocka_unit_test(monotone_at_any_depth),
        cmocka_unit_test(boxes_follow_the_schedule),
        cmocka_unit_test(guard_fires_where_it_must),
        cmocka_unit_test(momentum_matters),
    };
    return cmocka_run_group_tests_name("mdlam", tests, NULL, NULL);
}
