/* TIAM: its identities with mDLAM, the sweep against a second implementation in double, the guard's theorem, and the
 * schedules (re-lift, restarts of eps) it shares with mDLAM. */
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

static void sweeps(altmin_trainer *t, int n)
{
    for (int i = 0; i < n; i++) t->method->sweep(t->state);
    assert_int_equal(am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, NULL), ALTMIN_OK);
    t->method->measure(t->state, t->slot, &t->measures);
}

/* Largest relative difference of any W, b, z, a; negative when all of them have the same bits. */
static double difference(const altmin_trainer *s, const altmin_trainer *t)
{
    double worst = -1.0;
    for (size_t l = 1; l <= s->net.n_layers; l++)
        for (am_block k = AM_BLOCK_W; k <= (l < s->net.n_layers ? AM_BLOCK_A : AM_BLOCK_Z); k++) {
            const am_mat x = am_relaxed_value(s->state, l, k, 0), y = am_relaxed_value(t->state, l, k, 0);
            double d = 0.0, sum = 0.0;
            if (memcmp(x.data, y.data, am_mat_len(x) * sizeof(float)) == 0) continue;
            for (size_t i = 0; i < am_mat_len(x); i++) {
                d += pow((double)x.data[i] - (double)y.data[i], 2);
                sum += pow((double)y.data[i], 2);
            }
            worst = fmax(worst, sqrt(d / (sum > 0 ? sum : 1)));
        }
    return worst;
}

static const char *const forms[] = {"normal", "sample"}, *const backends[] = {"ref", "cpu"};

static void no_inertia_is_plain_mdlam(void **state)
{
    (void)state;
    static const char *const acts[] = {"relu", "tanh"}, *const guards[] = {"yes", "no"};
    altmin_data *data = problem_random(12, 50, 3, 4);
    for (int i = 0; i < 16; i++) {
        const char *const both[] = {"hidden",     "9,8",
                                    "rho",        "0.1",
                                    "mu",         "0.02",
                                    "activation", acts[i & 1],
                                    "form",       forms[i >> 1 & 1],
                                    "backend",    backends[i >> 2 & 1],
                                    NULL};
        altmin_settings *plain = problem_settings(both), *tiam = problem_settings(both);
        static const char *const own[] = {"method", "tiam", "p1", "0", "p2", "0", "p3", "0"};
        for (int k = 0; k < 8; k += 2)
            assert_int_equal(altmin_settings_set(tiam, own[k], own[k + 1], NULL), ALTMIN_OK);
        assert_int_equal(altmin_settings_set(tiam, "guard", guards[i >> 3 & 1], NULL), ALTMIN_OK);
        assert_int_equal(altmin_settings_set(plain, "accel", "none", NULL), ALTMIN_OK);
        altmin_trainer *s = problem_trainer(data, plain), *t = problem_trainer(data, tiam);
        for (int k = 0; k < 20; k++) {
            sweeps(s, 1);
            sweeps(t, 1);
            const double d = difference(t, s);
            if (d >= 0) fail_msg("case %d, sweep %d: blocks differ by %g", i, k + 1, d);
        }
        altmin_trainer_free(s);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

static void nesterov_inertia_is_mdlam(void **state)
{
    (void)state;
    altmin_data *data = problem_random(12, 50, 3, 4);
    for (int i = 0; i < 8; i++) {
        const char *const both[] = {"hidden", "9,8",  "rho",        "0.1",     "mu",
                                    "0.02",   "form", forms[i & 1], "backend", backends[i >> 1 & 1],
                                    NULL};
        altmin_settings *nesterov = problem_settings(both), *tiam = problem_settings(both);
        const int guard = i >> 2;
        altmin_settings_set(nesterov, "accel", guard ? "nesterov-guarded" : "nesterov", NULL);
        altmin_settings_set(tiam, "method", "tiam", NULL);
        altmin_settings_set(tiam, "guard", guard ? "yes" : "no", NULL);
        altmin_settings_set(tiam, "p1", "0.5", NULL);
        altmin_settings_set(tiam, "p2", "0.5", NULL);
        altmin_trainer *s = problem_trainer(data, nesterov), *t = problem_trainer(data, tiam);
        am_relaxed_follow_nesterov(t->state);
        for (int k = 0; k < 20; k++) {
            sweeps(s, 1);
            sweeps(t, 1);
            const double d = difference(t, s);
            if (!(d < 1e-6)) fail_msg("case %d, sweep %d: blocks differ by %g", i, k + 1, d);
        }
        altmin_trainer_free(s);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

static double relative(const double *a, const double *b, size_t n)
{
    double d = 0.0, s = 0.0;
    for (size_t i = 0; i < n; i++) {
        d += (a[i] - b[i]) * (a[i] - b[i]);
        s += b[i] * b[i];
    }
    return sqrt(d / (s > 0 ? s : 1));
}

static double distance(const altmin_trainer *t, const altmin_data *data, const oracle *o)
{
    oracle *mine = oracle_of(t, data);
    double worst = 0.0;
    for (size_t l = 1; l <= o->n_layers; l++) {
        worst = fmax(worst, relative(mine->w[l], o->w[l], o->width[l] * o->width[l - 1]));
        worst = fmax(worst, relative(mine->b[l], o->b[l], o->width[l]));
        worst = fmax(worst, relative(mine->z[l], o->z[l], o->width[l] * o->n));
        if (l < o->n_layers) worst = fmax(worst, relative(mine->a[l], o->a[l], o->width[l] * o->n));
    }
    oracle_free(mine);
    return worst;
}

static void sweep_equals_oracle(void **state)
{
    (void)state;
    static const struct {
        const char *text[3];
        double p[3];
    } cases[] = {{{"0.7", "0.7", "0.3"}, {0.7, 0.7, 0.3}},
                 {{"0.6", "0.2", "0.4"}, {0.6, 0.2, 0.4}},
                 {{"0.5", "0", "0"}, {0.5, 0, 0}},
                 {{"0", "0", "0.5"}, {0, 0, 0.5}},
                 {{"0.1", "0.8", "0"}, {0.1, 0.8, 0}}};
    static const char *const acts[] = {"relu", "leaky-relu", "identity"};
    for (int c = 0; c < 5; c++)
        for (int i = 0; i < 6; i++) {
            const char *const pairs[] = {"method",     "tiam",
                                         "hidden",     "7,5",
                                         "activation", acts[i % 3],
                                         "rho",        "0.3",
                                         "mu",         "0.05",
                                         "eps-start",  "0.4",
                                         "eps-floor",  "0.4",
                                         "backend",    "ref",
                                         "form",       forms[i / 3],
                                         "init",       "he",
                                         "guard",      "no",
                                         "p1",         cases[c].text[0],
                                         "p2",         cases[c].text[1],
                                         "p3",         cases[c].text[2],
                                         NULL};
            altmin_data *data = problem_random(6, 40, i % 2 ? 3 : 0, 5);
            altmin_trainer *t = problem_run(data, pairs);
            oracle *o = oracle_of(t, data);
            for (int k = 0; k < 6; k++) {
                double lambda[ORACLE_MAX_LAYERS + 1] = {0};
                sweeps(t, 1);
                for (size_t l = 1; l < o->n_layers; l++) lambda[l] = am_relaxed_lambda(t->state, t->slot, l);
                oracle_sweep_tiam(o, lambda, cases[c].p);
            }
            const double d = distance(t, data, o);
            if (!(d < 2e-4)) fail_msg("p case %d, case %d: relative difference %g", c, i, d);
            oracle_free(o);
            altmin_trainer_free(t);
            altmin_data_free(data);
        }
}

static void guarded_sweeps_never_raise_f(void **state)
{
    (void)state;
    static const char *const ps[][3] = {
        {"0.7", "0.7", "0.3"}, {"1", "1", "0.9"}, {"0.9", "0.1", "0.5"}, {"0", "1", "0"}};
    static const char *const acts[] = {"relu", "tanh", "softplus", "identity"};
    altmin_data *classes = problem_random(10, 60, 4, 1), *values = problem_random(10, 60, 0, 2);
    for (int p = 0; p < 4; p++)
        for (int a = 0; a < 4; a++) {
            const char *const pairs[] = {
                "method",    "tiam",       "hidden",    "9,7",    "activation", acts[a],
                "rho",       "0.05",       "mu",        "0.01",   "init",       "he",
                "eps-start", "0.05",       "eps-floor", "0.05",   "backend",    backends[p & 1],
                "form",      forms[a & 1], "p1",        ps[p][0], "p2",         ps[p][1],
                "p3",        ps[p][2],     NULL};
            monotone_check(a & 1 ? classes : values, pairs, acts[a], 40);
        }
    altmin_data_free(classes);
    altmin_data_free(values);
    altmin_data *digits = problem_digits(300);
    const char *const pairs[] = {"method",    "tiam",  "hidden",    "30,20",   "rho",
                                 "0.1",       "scale", "unit",      "backend", "cpu",
                                 "eps-start", "1e-3",  "eps-floor", "1e-3",    NULL};
    monotone_check(digits, pairs, "digits", 40);
    altmin_data_free(digits);
}

/* Least squares on which inertia overshoots: unguarded, blocks raise F; guarded, the guard fires and none does. */
static void guard_fires_where_it_must(void **state)
{
    (void)state;
    altmin_data *data = problem_random(5, 80, 0, 6);
    static const char *const guards[] = {"no", "yes"};
    static const char *const hidden[] = {"none", "10"}, *const p1[] = {"0.95", "1"},
                             *const p2[] = {"0.95", "0.3"};
    for (int problem = 0; problem < 2; problem++)
        for (int form = 0; form < 2; form++) {
            double f[2];
            size_t rises[2], guarded[2];
            for (int g = 0; g < 2; g++) {
                const char *const pairs[] = {"method",    "tiam",      "hidden",    hidden[problem],
                                             "rho",       "0.1",       "guard",     guards[g],
                                             "init",      "he",        "form",      forms[form],
                                             "backend",   "ref",       "eps-start", "10",
                                             "eps-floor", "10",        "p1",        p1[problem],
                                             "p2",        p2[problem], "p3",        "0.5",
                                             NULL};
                monotone_count(data, pairs, 100, &rises[g], &guarded[g], &f[g]);
            }
            assert_true(rises[0] > 0);
            assert_int_equal(rises[1], 0);
            assert_int_equal(guarded[0], 0);
            assert_true(guarded[1] > 0);
        }
    altmin_data_free(data);
}

/* After the re-lift that opens a sweep every z and a is the forward pass's, whatever the method did before. */
static void relift_returns_to_the_forward_pass(void **state)
{
    (void)state;
    static const char *const methods[] = {"mdlam", "tiam"};
    altmin_data *data = problem_random(10, 60, 4, 1);
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"method", methods[i], "hidden",  "9,7", "rho", "0.05", "init", "he",
                                     "relift", "3",        "backend", "cpu", "p1",  "0.5",  NULL};
        altmin_trainer *t = problem_run(data, pairs);
        for (int k = 1; k <= 7; k++) {
            const int lifted = k % 3 == 0;
            sweeps(t, 1);
            am_relaxed_sweep_begin(t->state); /* of sweep k, counted from 0 */
            oracle *o = oracle_of(t, data);
            double far = 0.0;
            for (size_t l = 1; l <= 2; l++)
                for (size_t e = 0; e < o->width[l] * o->n; e++) {
                    const size_t rows = o->width[l], row = e % rows, column = e / rows;
                    double m = o->b[l][row];
                    for (size_t j = 0; j < o->width[l - 1]; j++)
                        m += o->w[l][row + j * rows] * o->a[l - 1][j + column * o->width[l - 1]];
                    far = fmax(far,
                               fmax(fabs(o->z[l][e] - m), fabs(o->a[l][e] - oracle_h(o->act, o->z[l][e]))));
                }
            assert_true(lifted ? far < 1e-5 : far > 1e-4);
            oracle_free(o);
        }
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

static void eps_restarts(void **state)
{
    (void)state;
    altmin_data *data = problem_random(10, 60, 4, 1);
    const char *const pairs[] = {"method",    "tiam",      "hidden",    "9",       "eps-restart",
                                 "5",         "eps-again", "0.5",       "backend", "cpu",
                                 "eps-start", "1",         "eps-floor", "0.1",     NULL};
    static const double expected[] = {1, .5, .25, .125, .1, .5, .25, .125, .1, .1, .5, .25};
    altmin_trainer *t = problem_run(data, pairs);
    for (int k = 0; k < 12; k++) {
        sweeps(t, 1);
        assert_true(fabs(t->measures.eps - expected[k]) < 1e-12);
    }
    altmin_trainer_free(t);
    altmin_data_free(data);
}

/* The objective with loss-weight c and penalties c rho, c mu is c times the objective: the same iterates. */
static void only_ratios_to_the_loss_weight_matter(void **state)
{
    (void)state;
    altmin_data *data = problem_random(10, 60, 4, 1);
    const char *const one[] = {"hidden", "9", "rho", "0.25", "mu", "0.5", "backend", "ref", NULL};
    const char *const four[] = {"hidden",      "9", "rho",     "1",   "mu", "2",
                                "loss-weight", "4", "backend", "ref", NULL};
    altmin_trainer *s = problem_run(data, one), *t = problem_run(data, four);
    sweeps(s, 10);
    sweeps(t, 10);
    assert_true(fabs(t->measures.objective - 4 * s->measures.objective) < 1e-5 * t->measures.objective);
    assert_true(difference(s, t) < 1e-5);
    altmin_trainer_free(s);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

static void learns_digits(void **state)
{
    (void)state;
    const char *const pairs[] = {
        "method", "tiam",          "hidden", "40",   "valid", "0",  "scale",   "unit", "sweeps", "60",
        "loss",   "cross-entropy", "rho",    "1e-2", "init",  "he", "backend", "cpu",  NULL};
    altmin_data *data = problem_digits(600);
    altmin_trainer *t = problem_run(data, pairs);
    const am_run_result *result;
    assert_int_equal(am_trainer_run(t, NULL, 0, NULL, &result, NULL), ALTMIN_OK);
    if (!(result->last.train.accuracy > 0.85)) fail_msg("training accuracy %g", result->last.train.accuracy);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_inertia_is_plain_mdlam),
        cmocka_unit_test(nesterov_inertia_is_mdlam),
        cmocka_unit_test(sweep_equals_oracle),
        cmocka_unit_test(guarded_sweeps_never_raise_f),
        cmocka_unit_test(guard_fires_where_it_must),
        cmocka_unit_test(relift_returns_to_the_forward_pass),
        cmocka_unit_test(eps_restarts),
        cmocka_unit_test(only_ratios_to_the_loss_weight_matter),
        cmocka_unit_test(learns_digits),
    };
    return cmocka_run_group_tests_name("tiam", tests, NULL, NULL);
}
