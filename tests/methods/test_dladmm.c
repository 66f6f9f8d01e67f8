/* dlADMM: no primal block raises the augmented Lagrangian; for rho > 2 H no sweep does, multiplier step included; the
 * multiplier is the gradient of the loss; schedules keep it; gradient steps go along the gradient. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/methods/dladmm.h"
#include "problems.h"
#include "split_oracle.h"

/* Blocks are stored and multiplied in float32: a block may seem to raise L by this share of the magnitudes in it. */
#define ROUNDING 3e-6

static const char *const forms[] = {"normal", "sample"}, *const backends[] = {"ref", "cpu"};

static void sweeps(altmin_trainer *t, int n)
{
    for (int i = 0; i < n; i++) t->method->sweep(t->state);
    altmin_status st = {0};
    if (am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, &st)) fail_msg("%s", st.message);
    t->method->measure(t->state, t->slot, &t->measures);
}

/* The whole point, multiplier included. */
static void fetch(split *s, const altmin_trainer *t)
{
    const am_splitting *m = t->state;
    split_fetch_all(s, t);
    free(s->v);
    s->v = split_download(t, am_dladmm_multiplier(t->state));
    for (size_t l = 1; l <= s->n_layers; l++) {
        s->penalty[l] = m->layer[l].penalty;
        s->gap[l] = m->layer[l].gap;
    }
}

/* Largest |u + c grad R(z_L)|, relative to the largest |u|: zero by the optimality of z_L. */
static double multiplier_error(const split *s)
{
    const size_t k = s->width[s->n_layers];
    double worst = 0.0, largest = 0.0;
    for (size_t j = 0; j < s->n; j++) {
        const double *z = s->z[s->n_layers] + j * k;
        double top = z[0], sum = 0.0;
        for (size_t i = 1; i < k; i++) top = fmax(top, z[i]);
        for (size_t i = 0; i < k; i++) sum += exp(z[i] - top);
        for (size_t i = 0; i < k; i++) {
            const double y = s->target[i + j * k];
            const double g = s->loss_weight * (s->cross_entropy ? exp(z[i] - top) / sum - y : z[i] - y);
            const double u = s->penalty[s->n_layers] * s->v[i + j * k];
            worst = fmax(worst, fabs(u + g));
            largest = fmax(largest, fabs(u));
        }
    }
    return worst / largest;
}

/* ---------------------------------------------------------------------------------------------- monotone */

static double check_fall(split *s, const altmin_trainer *t, double before, const char *what, int sweep,
                         const char *part, size_t l)
{
    double scale;
    fetch(s, t);
    const double now = split_objective(s, &scale);
    if (!(now <= before + ROUNDING * scale))
        fail_msg("%s, sweep %d, %s %zu: L %.9g -> %.9g", what, sweep, part, l, before, now);
    return now;
}

static void check_monotone(const altmin_data *data, const char *const *pairs, const char *what, int n_sweeps)
{
    altmin_trainer *t = problem_run(data, pairs);
    split *s = split_of(t, data, 0);
    double scale, f = 0, last = INFINITY, first = 0;
    for (int k = 1; k <= n_sweeps; k++) {
        fetch(s, t);
        f = split_objective(s, &scale);
        if (k == 1) first = f;
        for (size_t l = t->net.n_layers; l >= 1; l--) {
            am_dladmm_backward(t->state, l);
            f = check_fall(s, t, f, what, k, "backward", l);
        }
        for (size_t l = 1; l <= t->net.n_layers; l++) {
            am_dladmm_forward(t->state, l);
            f = check_fall(s, t, f, what, k, "forward", l);
        }
        am_dladmm_dual(t->state);
        if (k > 1) check_fall(s, t, last, what, k, "whole sweep, layers", t->net.n_layers);
        fetch(s, t);
        last = split_objective(s, &scale);
        const double error = multiplier_error(s);
        if (!(error < 1e-3)) fail_msg("%s, sweep %d: multiplier off by %g", what, k, error);
    }
    if (!(last < 0.98 * first)) fail_msg("%s: L %.9g -> %.9g is hardly a decrease", what, first, last);
    split_free(s);
    altmin_trainer_free(t);
}

/* H = 1 for the squared loss, 1/2 for cross-entropy. */
static void lagrangian_never_rises(void **state)
{
    (void)state;
    static const char *const steps[] = {"cauchy", "exact"};
    altmin_data *classes = problem_random(10, 50, 4, 1), *values = problem_random(10, 50, 0, 2);
    for (int i = 0; i < 24; i++) {
        const int squared = i % 3 != 1;
        const char *const pairs[] = {"method",
                                     "dladmm",
                                     "hidden",
                                     i % 5 ? "9,7" : "8",
                                     "init",
                                     "he",
                                     "loss",
                                     squared ? "squared" : "cross-entropy",
                                     "rho",
                                     squared ? "2.1" : "1.1",
                                     "nu",
                                     i & 8 ? "2" : "0.5",
                                     "penalty-every",
                                     "0",
                                     "form",
                                     forms[i & 1],
                                     "backend",
                                     backends[i >> 1 & 1],
                                     "step",
                                     steps[i >> 2 & 1],
                                     "mu",
                                     i % 4 == 3 ? "0.2" : "0",
                                     "prox-w",
                                     "0.5",
                                     NULL};
        char what[40];
        snprintf(what, sizeof what, "case %d", i);
        check_monotone(i % 3 == 2 ? values : classes, pairs, what, 10);
    }
    altmin_data_free(classes);
    altmin_data_free(values);
}

static void lagrangian_never_rises_on_digits(void **state)
{
    (void)state;
    static const char *const steps[] = {"cauchy", "exact"};
    altmin_data *data = problem_digits(250);
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"method", "dladmm", "hidden",  "30,20",         "init", "he",   "rho",
                                     "1.1",    "nu",     "1",       "penalty-every", "0",    "step", steps[i],
                                     "scale",  "unit",   "backend", "cpu",           NULL};
        check_monotone(data, pairs, steps[i], 8);
    }
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- blocks */

/* A gradient step moves every entry of a by one negative multiple of its gradient; an exact one ends where there is none. */
static void a_steps_follow_the_gradient(void **state)
{
    (void)state;
    static const char *const steps[] = {"cauchy", "exact"};
    altmin_data *data = problem_random(6, 30, 3, 1);
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"method",        "dladmm", "hidden",  "7,5", "init", "he",
                                     "rho",           "1.1",    "nu",      "0.7", "step", steps[i],
                                     "penalty-every", "0",      "backend", "ref", NULL};
        altmin_trainer *t = problem_run(data, pairs);
        am_splitting *m = t->state;
        sweeps(t, 2);
        split *s = split_of(t, data, 0);
        fetch(s, t);
        for (size_t l = 1; l <= 2; l++) {
            size_t len;
            const double *a = split_block(s, l, AM_BLOCK_A, &len);
            double *gradient = malloc(len * sizeof *gradient), *old = malloc(len * sizeof *old), ratio = 0.0,
                   top = 0.0;
            memcpy(old, a, len * sizeof *old);
            /* leave the optimum that the last forward half left behind */
            am_fill(t->ctx, m->layer[l].a, 0.5f);
            for (size_t e = 0; e < len; e++) s->a[l][e] = old[e] = 0.5;
            for (size_t e = 0; e < len; e++) {
                double scale;
                s->a[l][e] = 0.5 + 1e-4;
                gradient[e] = split_objective(s, &scale);
                s->a[l][e] = 0.5 - 1e-4;
                gradient[e] = (gradient[e] - split_objective(s, &scale)) / 2e-4;
                s->a[l][e] = 0.5;
                top = fmax(top, fabs(gradient[e]));
            }
            am_splitting_product(m, l + 1);
            am_splitting_a(m, l);
            split_fetch(s, t, l, AM_BLOCK_A);
            if (i == 1) {
                assert_true(split_gradient(s, l, AM_BLOCK_A, 0, old, 40) < 1e-3 * top);
            } else {
                for (size_t e = 0; e < len; e++)
                    if (fabs(gradient[e]) == top) ratio = (s->a[l][e] - 0.5) / gradient[e];
                assert_true(ratio < 0);
                for (size_t e = 0; e < len; e++)
                    assert_true(fabs(s->a[l][e] - 0.5 - ratio * gradient[e]) < 1e-3 * fabs(ratio) * top);
            }
            free(gradient);
            free(old);
        }
        split_free(s);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

static void z_blocks_are_optimal(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 30, 3, 1);
    const char *const pairs[] = {"method", "dladmm", "hidden",        "7,5", "init",    "he",  "rho", "1.1",
                                 "nu",     "0.7",    "penalty-every", "0",   "backend", "cpu", NULL};
    altmin_trainer *t = problem_run(data, pairs);
    split *s = split_of(t, data, 0);
    for (int k = 0; k < 4; k++) {
        for (size_t l = 3; l >= 1; l--) {
            am_dladmm_backward(t->state, l);
            fetch(s, t);
        }
        for (size_t l = 1; l <= 3; l++) {
            am_dladmm_forward(t->state, l);
            fetch(s, t);
        }
        am_dladmm_dual(t->state);
        /* a_2 moved after z_2: z at its next visit, which reads p from the forward half */
        for (size_t l = 1; l <= 2; l++) {
            am_splitting_z(t->state, l);
            fetch(s, t);
            const double gain = split_z_gain(s, l, 0, s->z[l], 60);
            if (!(gain < 1e-5)) fail_msg("layer %zu: another z is better by %g", l, gain);
        }
    }
    split_free(s);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- the rest */

static void schedules_keep_the_multiplier(void **state)
{
    (void)state;
    altmin_data *data = problem_random(8, 40, 4, 2);
    static const char *const steps[] = {"cauchy", "exact"};
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"method",     "dladmm", "hidden",    "9,6",  "init",          "he",
                                     "rho",        "0.5",    "nu",        "0.25", "penalty-every", "3",
                                     "rho-factor", "4",      "nu-factor", "2",    "step",          steps[i],
                                     "backend",    "cpu",    NULL};
        altmin_trainer *t = problem_run(data, pairs);
        const am_splitting *m = t->state;
        split *s = split_of(t, data, 0);
        double f = 0;
        for (int k = 0; k < 10; k++) {
            sweeps(t, 1);
            assert_true(m->layer[3].penalty == 0.5 * pow(4, k / 3) &&
                        m->layer[1].penalty == 0.25 * pow(2, k / 3));
            fetch(s, t);
            assert_true(multiplier_error(s) < 1e-3);
            double scale;
            f = split_objective(s, &scale);
            if (!(fabs(f - t->measures.objective) <= 1e-5 * scale))
                fail_msg("sweep %d: objective %.9g, oracle %.9g", k + 1, t->measures.objective, f);
        }
        split_free(s);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

static void forms_and_backends_agree(void **state)
{
    (void)state;
    static const char *const steps[] = {"cauchy", "exact"};
    altmin_data *data = problem_random(40, 60, 3, 9);
    for (int i = 0; i < 2; i++) {
        double f[3];
        for (int k = 0; k < 3; k++) {
            const char *const pairs[] = {
                "method", "dladmm", "hidden", "12,8",   "init", "he",          "rho",     "1.5",
                "nu",     "1",      "step",   steps[i], "form", forms[k == 1], "backend", backends[k != 2],
                NULL};
            altmin_trainer *t = problem_run(data, pairs);
            sweeps(t, 8);
            f[k] = t->measures.objective;
            altmin_trainer_free(t);
        }
        assert_true(fabs(f[1] - f[0]) < 1e-3 * fabs(f[0]) && fabs(f[2] - f[0]) < 1e-3 * fabs(f[0]));
        assert_true(f[1] != f[0]); /* two computations, not one */
    }
    altmin_data_free(data);
}

static void refuses_what_it_cannot_solve(void **state)
{
    (void)state;
    static const char *const wrong[][4] = {{"activation", "tanh", "mu", "0"},
                                           {"step", "backtracking", "mu", "0"},
                                           {"step", "exact", "prox-w", "0"}};
    altmin_data *data = problem_random(8, 40, 4, 2);
    for (int i = 0; i < 3; i++) {
        const char *const pairs[] = {"method",    "dladmm",    wrong[i][0], wrong[i][1],
                                     wrong[i][2], wrong[i][3], NULL};
        altmin_settings *settings = problem_settings(pairs);
        altmin_trainer *t = NULL;
        altmin_status st = {0};
        assert_int_equal(altmin_trainer_new(&t, settings, data, NULL, &st), ALTMIN_ERR_USAGE);
        assert_non_null(strstr(st.message, "dladmm"));
        altmin_settings_free(settings);
    }
    altmin_data_free(data);
}

static void learns_digits(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(600);
    static const char *const presets[] = {"paper", "best"};
    static const double enough[] = {0.5, 0.9};
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"method", "dladmm", "hidden",  "40,40",  "scale",
                                     "unit",   "sweeps", "60",      "preset", presets[i],
                                     "init",   "he",     "backend", "cpu",    NULL};
        altmin_trainer *t = problem_run(data, pairs);
        const am_run_result *result;
        assert_int_equal(am_trainer_run(t, NULL, 0, NULL, &result, NULL), ALTMIN_OK);
        print_message("%s: training accuracy %g\n", presets[i], result->last.train.accuracy);
        if (!(result->last.train.accuracy > enough[i]))
            fail_msg("%s: training accuracy %g", presets[i], result->last.train.accuracy);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lagrangian_never_rises),        cmocka_unit_test(lagrangian_never_rises_on_digits),
        cmocka_unit_test(a_steps_follow_the_gradient),   cmocka_unit_test(z_blocks_are_optimal),
        cmocka_unit_test(schedules_keep_the_multiplier), cmocka_unit_test(forms_and_backends_agree),
        cmocka_unit_test(refuses_what_it_cannot_solve),  cmocka_unit_test(learns_digits),
    };
    return cmocka_run_group_tests_name("dladmm", tests, NULL, NULL);
}
