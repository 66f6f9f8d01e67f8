/* The subgradient that a method measures at the end of a sweep against finite differences in double of its objective, over
 * every entry of every block; in an active box against the projection of that gradient. */
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
#include "oracle.h"
#include "problems.h"
#include "split_oracle.h"

#define H 1e-5 /* of the differences */

static const char *const forms[] = {"normal", "sample"}, *const backends[] = {"ref", "cpu"};

static double measured(altmin_trainer *t)
{
    double square;
    const am_slot slot = t->method->subgradient(t->state);
    assert_int_equal(am_slots_read(t->ctx, slot, 1, &square, NULL), ALTMIN_OK);
    return sqrt(square);
}

static void assert_same(double norm, double expected, const char *what, int sweep)
{
    if (!(expected > 0.0 && fabs(norm - expected) <= 1e-3 * expected))
        fail_msg("%s, sweep %d: subgradient %.9g, differences say %.9g", what, sweep, norm, expected);
}

/* ---------------------------------------------------------------------------------------------- mdlam, tiam */

static double slope(oracle *o, double *x)
{
    const double old = *x;
    double scale;
    *x = old + H;
    const double up = oracle_objective(o, &scale);
    *x = old - H;
    const double down = oracle_objective(o, &scale);
    *x = old;
    return (up - down) / (2 * H);
}

static double sum_of_slopes(oracle *o, double *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += pow(slope(o, &x[i]), 2);
    return sum;
}

/* One pair (z, a): the gradient, less its part against the outward normal where a is at an end of its box. */
static double pair_square(const oracle *o, double gz, double ga, double z, double a, size_t *n_active)
{
    const double f = a - oracle_h(o->act, z), side = f < 0 ? -1 : 1;
    if (fabs(f) < o->eps * (1 - 1e-5) - 1e-6) return gz * gz + ga * ga;
    const double dh = (oracle_h(o->act, z) - oracle_h(o->act, z - H)) / H, nz = -side * dh;
    const double normal = gz * nz + ga * side;
    if (normal >= 0) return gz * gz + ga * ga;
    ++*n_active;
    return gz * gz + ga * ga - normal * normal / (nz * nz + 1);
}

static double relaxed_norm(oracle *o, size_t *n_active)
{
    double sum = 0.0;
    for (size_t l = 1; l <= o->n_layers; l++) {
        const size_t len = o->width[l] * o->n;
        sum += sum_of_slopes(o, o->w[l], o->width[l] * o->width[l - 1]);
        sum += sum_of_slopes(o, o->b[l], o->width[l]);
        if (l == o->n_layers) return sqrt(sum + sum_of_slopes(o, o->z[l], len));
        for (size_t e = 0; e < len; e++)
            sum += pair_square(o, slope(o, &o->z[l][e]), slope(o, &o->a[l][e]), o->z[l][e], o->a[l][e],
                               n_active);
    }
    return sqrt(sum);
}

static void relaxed_is_the_projected_gradient(void **state)
{
    (void)state;
    static const char *const methods[] = {"mdlam", "tiam"}, *const acts[] = {"relu", "tanh"},
                             *const eps[] = {"100", "0.2"}, *const steps[] = {"cauchy", "exact"};
    altmin_data *classes = problem_random(6, 20, 3, 1), *values = problem_random(6, 20, 0, 2);
    size_t n_active = 0;
    for (int i = 0; i < 32; i++) {
        const char *const start = eps[i >> 1 & 1];
        const char *const pairs[] = {"method",      methods[i & 1],
                                     "hidden",      "7,5",
                                     "rho",         "0.3",
                                     "mu",          "0.05",
                                     "subgradient", "yes",
                                     "loss-weight", "1", /* the oracle's */
                                     "eps-start",   start,
                                     "eps-floor",   start,
                                     "activation",  acts[i >> 2 & 1],
                                     "form",        forms[i >> 3 & 1],
                                     "backend",     backends[i & 1],
                                     "step",        steps[i >> 4],
                                     NULL};
        const altmin_data *data = i % 3 ? classes : values;
        altmin_trainer *t = problem_run(data, pairs);
        char what[40];
        snprintf(what, sizeof what, "case %d, %s", i, methods[i & 1]);
        for (int k = 1; k <= 6; k++) {
            t->method->sweep(t->state);
            if (k % 3) continue;
            oracle *o = oracle_of(t, data);
            assert_same(measured(t), relaxed_norm(o, &n_active), what, k);
            oracle_free(o);
        }
        altmin_trainer_free(t);
    }
    assert_true(n_active > 500);
    altmin_data_free(classes);
    altmin_data_free(values);
}

/* ---------------------------------------------------------------------------------------------- bcd, dladmm */

static double split_difference(split *s, double *x, double from, double to)
{
    const double old = *x;
    double scale;
    *x = old + to;
    const double up = split_objective(s, &scale);
    *x = old + from;
    const double down = split_objective(s, &scale);
    *x = old;
    return (up - down) / (to - from);
}

/* At the kink of a hidden z = 0: the least slope between the two where F is convex there, else the lesser of the two. */
static double kink_slope(split *s, double *z, size_t *n_kinks)
{
    const double left = split_difference(s, z, -H, 0), right = split_difference(s, z, 0, H);
    ++*n_kinks;
    if (left < 0 && right > 0) return 0;
    return fmin(fabs(left), fabs(right));
}

static double split_slopes(split *s, double *x, size_t n, int has_kinks, size_t *n_kinks)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += pow(has_kinks && x[i] == 0 ? kink_slope(s, &x[i], n_kinks) : split_difference(s, &x[i], -H, H),
                   2);
    return sum;
}

/* All blocks, and the multiplier u = penalty x v. */
static double split_norm(split *s, size_t *n_kinks)
{
    const size_t n_layers = s->n_layers;
    double sum = 0.0;
    for (size_t l = 1; l <= n_layers; l++)
        for (am_block k = AM_BLOCK_W; k < AM_N_BLOCKS; k++) {
            size_t len;
            double *x = split_block(s, l, k, &len);
            if (x) sum += split_slopes(s, x, len, l < n_layers && k == AM_BLOCK_Z, n_kinks);
        }
    if (s->v)
        sum += split_slopes(s, s->v, s->width[n_layers] * s->n, 0, n_kinks) / pow(s->penalty[n_layers], 2);
    return sqrt(sum);
}

static void splittings_give_the_gradient(void **state)
{
    (void)state;
    static const char *const methods[] = {"bcd", "dladmm"}, *const losses[] = {"squared", "cross-entropy"},
                             *const steps[] = {"exact", "cauchy"};
    altmin_data *data = problem_random(6, 20, 3, 1);
    size_t n_kinks = 0;
    for (int i = 0; i < 24; i++) {
        const int is_bcd = i % 3 == 0;
        const char *const pairs[] = {"method",      methods[!is_bcd],
                                     "step",        steps[i % 3 == 2],
                                     "hidden",      "7,5",
                                     "init",        "he",
                                     "bias-start",  "0",
                                     "subgradient", "yes",
                                     "loss",        losses[i >> 1 & 1],
                                     "form",        forms[i >> 2 & 1],
                                     "backend",     backends[i & 1],
                                     "prox-w",      "0.4",
                                     "prox-a",      "0.2",
                                     "mu",          i & 4 ? "0.25" : "0",
                                     "gamma",       "1.5",
                                     "nu",          "0.7",
                                     "rho",         "0.8",
                                     "loss-weight", "2",
                                     NULL};
        altmin_trainer *t = problem_run(data, pairs);
        split *s = split_of(t, data, is_bcd);
        char what[40];
        snprintf(what, sizeof what, "case %d, %s", i, methods[!is_bcd]);
        for (int k = 1; k <= 6; k++) {
            t->method->sweep(t->state);
            if (k % 3) continue;
            split_fetch_all(s, t);
            free(s->v);
            s->v = is_bcd ? NULL : split_download(t, am_dladmm_multiplier(t->state));
            assert_same(measured(t), split_norm(s, &n_kinks), what, k);
        }
        split_free(s);
        altmin_trainer_free(t);
    }
    assert_true(n_kinks > 0);
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- sgd, adam */

/* F of the weights alone: the oracle's with z and a on the forward path, where the penalties are 0. */
static double forward_objective(oracle *o)
{
    double scale;
    for (size_t l = 1; l <= o->n_layers; l++)
        for (size_t j = 0; j < o->n; j++)
            for (size_t i = 0; i < o->width[l]; i++) {
                double m = o->b[l][i];
                for (size_t k = 0; k < o->width[l - 1]; k++)
                    m += o->w[l][i + k * o->width[l]] * o->a[l - 1][k + j * o->width[l - 1]];
                o->z[l][i + j * o->width[l]] = m;
                if (l < o->n_layers) o->a[l][i + j * o->width[l]] = oracle_h(o->act, m);
            }
    return oracle_objective(o, &scale);
}

static double forward_slopes(oracle *o, double *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double old = x[i];
        x[i] = old + H;
        const double up = forward_objective(o);
        x[i] = old - H;
        const double down = forward_objective(o);
        x[i] = old;
        sum += pow((up - down) / (2 * H), 2);
    }
    return sum;
}

static void gradient_methods_give_the_full_gradient(void **state)
{
    (void)state;
    static const char *const methods[] = {"sgd", "adam"};
    altmin_data *classes = problem_random(6, 20, 3, 1), *values = problem_random(6, 20, 0, 2);
    for (int i = 0; i < 8; i++) {
        const char *const pairs[] = {"method",      methods[i & 1],
                                     "hidden",      "7,5",
                                     "mu",          i & 4 ? "0.5" : "0",
                                     "activation",  "tanh",
                                     "batch",       "0",
                                     "rate",        "0.01",
                                     "init",        "he",
                                     "backend",     backends[i >> 1 & 1],
                                     "sweeps",      "6",
                                     "subgradient", "yes",
                                     NULL};
        /* the oracle's layout, from a method that has every block */
        const char *const shape[] = {
            "mu-per-sample", "0",  "loss-weight",       "1", "hidden", "7,5", "activation",
            "tanh",          "mu", i & 4 ? "0.5" : "0", NULL};
        const altmin_data *data = i & 2 ? classes : values;
        altmin_trainer *t = problem_run(data, pairs), *other = problem_run(data, shape);
        oracle *o = oracle_of(other, data);
        for (int k = 1; k <= 3; k++) {
            double sum = 0.0;
            t->method->sweep(t->state);
            for (size_t l = 1; l <= 3; l++) {
                free(o->w[l]), free(o->b[l]);
                o->w[l] = split_download(t, t->method->weight(t->state, l));
                o->b[l] = split_download(t, t->method->bias(t->state, l));
            }
            for (size_t l = 1; l <= 3; l++)
                sum += forward_slopes(o, o->w[l], o->width[l] * o->width[l - 1]) +
                       forward_slopes(o, o->b[l], o->width[l]);
            assert_same(measured(t), sqrt(sum), methods[i & 1], k);
        }
        oracle_free(o);
        altmin_trainer_free(t);
        altmin_trainer_free(other);
    }
    altmin_data_free(classes);
    altmin_data_free(values);
}

static void mini_batches_have_none(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 20, 3, 1);
    altmin_settings *set =
        problem_settings((const char *const[]){"method", "adam", "batch", "5", "subgradient", "yes", NULL});
    altmin_trainer *t;
    altmin_status st = {0};
    assert_int_equal(altmin_trainer_new(&t, set, data, NULL, &st), ALTMIN_ERR_USAGE);
    assert_non_null(strstr(st.message, "--batch 0"));
    altmin_settings_free(set);
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- the driver */

static int note(void *user, const altmin_sweep_report *report, const am_layer_report *layer, size_t n_layers)
{
    (void)layer, (void)n_layers;
    ((double *)user)[report->sweep] = report->subgradient;
    return 0;
}

/* Asked for: in every report and in the monitor's b; not asked for: NaN. It changes no iterate. */
static void driver_measures_when_asked(void **state)
{
    (void)state;
    static const char *const methods[] = {"mdlam", "tiam", "bcd", "dladmm"};
    altmin_data *data = problem_random(8, 40, 4, 2);
    for (int i = 0; i < 4; i++) {
        altmin_trainer *t[2];
        for (int k = 0; k < 2; k++) {
            const char *const pairs[] = {"method", methods[i], "hidden", "9,6",         "sweeps",
                                         "12",     "valid",    "0",      "subgradient", k ? "yes" : "no",
                                         NULL};
            double seen[13];
            const am_observer observer = {.sweep = note, .user = seen};
            const am_run_result *result;
            t[k] = problem_run(data, pairs);
            assert_int_equal(am_trainer_run(t[k], &observer, 1, NULL, &result, NULL), ALTMIN_OK);
            for (int n = 1; n <= 12; n++) assert_true(k ? seen[n] > 0.0 : isnan(seen[n]));
            if (strcmp(methods[i], "bcd") == 0) assert_true(isnan(result->monitor.relative_error) == !k);
        }
        for (size_t l = 1; l <= 3; l++) {
            const am_mat x = t[0]->method->weight(t[0]->state, l), y = t[1]->method->weight(t[1]->state, l);
            assert_memory_equal(x.data, y.data, am_mat_len(x) * sizeof(float));
        }
        altmin_trainer_free(t[0]);
        altmin_trainer_free(t[1]);
    }
    altmin_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relaxed_is_the_projected_gradient),
        cmocka_unit_test(splittings_give_the_gradient),
        cmocka_unit_test(gradient_methods_give_the_full_gradient),
        cmocka_unit_test(mini_batches_have_none),
        cmocka_unit_test(driver_measures_when_asked),
    };
    return cmocka_run_group_tests_name("subgradient", tests, NULL, NULL);
}
