/* BCD: its complete objective never rises, block by block; every block is optimal, judged by finite differences in double or
 * by brute force; the normal and the dual form of (W, b) agree; reluprox against brute force. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/methods/bcd.h"
#include "problems.h"
#include "split_oracle.h"

/* Blocks are stored and multiplied in float32: a block may seem to raise F by this share of the magnitudes in it. */
#define ROUNDING 2e-6

static const char *const forms[] = {"normal", "sample"}, *const backends[] = {"ref", "cpu"};

static void sweeps(altmin_trainer *t, int n)
{
    for (int i = 0; i < n; i++) t->method->sweep(t->state);
    altmin_status st = {0};
    if (am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, &st)) fail_msg("%s", st.message);
    t->method->measure(t->state, t->slot, &t->measures);
}

/* ---------------------------------------------------------------------------------------------- monotone */

typedef struct watch {
    split *s;
    double f;
    const char *what;
    int sweep;
} watch;

static void watch_block(watch *w, const altmin_trainer *t, size_t l, am_block block)
{
    double scale;
    split_fetch(w->s, t, l, block);
    if (block == AM_BLOCK_W) split_fetch(w->s, t, l, AM_BLOCK_B); /* one block */
    const double f = split_objective(w->s, &scale);
    if (!(f <= w->f + ROUNDING * scale))
        fail_msg("%s, sweep %d, layer %zu, block %c: F %.9g -> %.9g", w->what, w->sweep, l, "WbZa"[block],
                 w -> f, f);
    w->f = f;
}

static void check_monotone(const altmin_data *data, const char *const *pairs, const char *what, int n_sweeps)
{
    altmin_trainer *t = problem_run(data, pairs);
    am_bcd *m = t->state;
    double scale;
    watch w = {.s = split_of(t, data, 1), .what = what};
    const double first = w.f = split_objective(w.s, &scale);
    const size_t n_layers = t->net.n_layers;
    for (w.sweep = 1; w.sweep <= n_sweeps; w.sweep++) {
        am_bcd_output_a(m);
        watch_block(&w, t, n_layers, AM_BLOCK_A);
        am_bcd_output_z(m);
        watch_block(&w, t, n_layers, AM_BLOCK_Z);
        for (size_t l = n_layers; l >= 1; l--) {
            am_bcd_weights(m, l);
            watch_block(&w, t, l, AM_BLOCK_W);
            am_bcd_below(m, l);
            if (l == 1) break;
            watch_block(&w, t, l - 1, AM_BLOCK_A);
            am_splitting_z(t->state, l - 1);
            watch_block(&w, t, l - 1, AM_BLOCK_Z);
        }
    }
    if (!(w.f < 0.9 * first)) fail_msg("%s: F %.9g -> %.9g is hardly a decrease", what, first, w.f);
    split_free(w.s);
    altmin_trainer_free(t);
}

static void objective_never_rises(void **state)
{
    (void)state;
    altmin_data *classes = problem_random(10, 50, 4, 1), *values = problem_random(10, 50, 0, 2);
    static const char *const alpha[] = {"5", "0.1"}, *const mu[] = {"0", "0.3"};
    for (int i = 0; i < 24; i++) {
        const char *const pairs[] = {"method",      "bcd",
                                     "hidden",      i % 3 ? "9,7" : "8",
                                     "init",        "he",
                                     "bias-start",  "0",
                                     "loss",        i % 3 == 1 ? "cross-entropy" : "squared",
                                     "form",        forms[i & 1],
                                     "backend",     backends[i >> 1 & 1],
                                     "prox-w",      alpha[i >> 2 & 1],
                                     "prox-z",      alpha[i >> 2 & 1],
                                     "prox-a",      mu[i & 1],
                                     "prox-out",    alpha[i & 1],
                                     "mu",          mu[i >> 1 & 1],
                                     "gamma",       i % 4 == 3 ? "3" : "1",
                                     "rho",         "0.7",
                                     "loss-weight", i % 5 == 2 ? "10" : "1",
                                     NULL};
        char what[40];
        snprintf(what, sizeof what, "case %d", i);
        check_monotone(i % 3 == 2 ? values : classes, pairs, what, 12);
    }
    altmin_data_free(classes);
    altmin_data_free(values);
}

static void objective_never_rises_on_digits(void **state)
{
    (void)state;
    static const char *const losses[] = {"squared", "cross-entropy"}, *const hidden[] = {"30,20",
                                                                                         "12,12,12,12"};
    altmin_data *data = problem_digits(250);
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"method", "bcd",  "hidden",  hidden[i], "loss", losses[i],
                                     "scale",  "unit", "backend", "cpu",     NULL};
        check_monotone(data, pairs, losses[i], 12);
    }
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- optimal */

#define SAMPLES 40

/* Gradient at a smooth block after its update against the one before it; the prox centre is where the block was. */
static void smooth_block(split *s, const altmin_trainer *t, size_t l, am_block block, double prox,
                         double before, const double *centre, const char *what)
{
    split_fetch(s, t, l, block);
    const double after = split_gradient(s, l, block, prox, centre, SAMPLES);
    if (!(after < 2e-3 * before))
        fail_msg("%s, layer %zu, block %c: gradient %g before, %g after", what, l, "WbZa"[block], before,
                 after);
}

static double *copy_block(split *s, size_t l, am_block block)
{
    size_t len;
    const double *x = split_block(s, l, block, &len);
    double *copy = malloc(len * sizeof *copy);
    memcpy(copy, x, len * sizeof *copy);
    return copy;
}

static void check_blocks(altmin_trainer *t, split *s, const char *what)
{
    am_bcd *m = t->state;
    const altmin_settings *set = t->settings;
    const size_t n_layers = t->net.n_layers;
    double *old = copy_block(s, n_layers, AM_BLOCK_A);
    double before = split_gradient(s, n_layers, AM_BLOCK_A, 0, old, SAMPLES);
    am_bcd_output_a(m);
    smooth_block(s, t, n_layers, AM_BLOCK_A, set->prox_out, before, old, what);
    free(old);
    old = copy_block(s, n_layers, AM_BLOCK_Z);
    before = split_gradient(s, n_layers, AM_BLOCK_Z, 0, old, SAMPLES);
    am_bcd_output_z(m);
    smooth_block(s, t, n_layers, AM_BLOCK_Z, 0, before, old, what);
    free(old);
    for (size_t l = n_layers; l >= 1; l--) {
        old = copy_block(s, l, AM_BLOCK_W);
        before = split_gradient(s, l, AM_BLOCK_W, 0, old, SAMPLES);
        const double before_b = split_gradient(s, l, AM_BLOCK_B, 0, NULL, SAMPLES);
        am_bcd_weights(m, l);
        split_fetch(s, t, l, AM_BLOCK_B); /* jointly: both gradients at the new (W, b) */
        smooth_block(s, t, l, AM_BLOCK_W, set->prox_w, before, old, what);
        smooth_block(s, t, l, AM_BLOCK_B, 0, before + before_b, NULL, what);
        free(old);
        old = l > 1 ? copy_block(s, l - 1, AM_BLOCK_A) : NULL;
        before = l > 1 ? split_gradient(s, l - 1, AM_BLOCK_A, 0, old, SAMPLES) : 0;
        am_bcd_below(m, l);
        if (l == 1) break;
        smooth_block(s, t, l - 1, AM_BLOCK_A, set->prox_a, before, old, what);
        free(old);
        old = copy_block(s, l - 1, AM_BLOCK_Z);
        am_splitting_z(t->state, l - 1);
        split_fetch(s, t, l - 1, AM_BLOCK_Z);
        const double gain = split_z_gain(s, l - 1, set->prox_z, old, SAMPLES);
        if (!(gain < 1e-5))
            fail_msg("%s, layer %zu, block z: another value is better by %g", what, l - 1, gain);
        free(old);
    }
}

static void blocks_are_optimal(void **state)
{
    (void)state;
    altmin_data *classes = problem_random(6, 30, 3, 1), *values = problem_random(6, 30, 0, 2);
    for (int i = 0; i < 8; i++) {
        const char *const pairs[] = {"method",      "bcd",
                                     "hidden",      "7,5",
                                     "init",        "he",
                                     "bias-start",  "0",
                                     "loss",        i & 1 ? "cross-entropy" : "squared",
                                     "form",        forms[i >> 1 & 1],
                                     "backend",     backends[i >> 2 & 1],
                                     "prox-w",      "0.4",
                                     "prox-z",      "0.3",
                                     "prox-a",      i & 2 ? "0" : "0.2",
                                     "prox-out",    "0.5",
                                     "mu",          i & 4 ? "0.25" : "0",
                                     "gamma",       "1.5",
                                     "rho",         "0.8",
                                     "loss-weight", "2",
                                     NULL};
        const altmin_data *data = i & 1 ? classes : values;
        altmin_trainer *t = problem_run(data, pairs);
        split *s = split_of(t, data, 1);
        char what[40];
        for (int k = 1; k <= 3; k++) {
            snprintf(what, sizeof what, "case %d, sweep %d", i, k);
            check_blocks(t, s, what);
        }
        split_free(s);
        altmin_trainer_free(t);
    }
    altmin_data_free(classes);
    altmin_data_free(values);
}

/* 1/2 (max(u, 0) - a)^2 + g/2 (u - b)^2 on a fine grid, for any signs of a and b. */
static void reluprox_beats_brute_force(void **state)
{
    (void)state;
    size_t n_negative = 0;
    for (int k = 0; k < 2000; k++) {
        const double a = 4 * sin(1.7 * k), b = 3 * sin(2.9 * k + 1), g = pow(10, 2 * sin(0.7 * k));
        const double u = (double)am_reluprox((float)a, (float)b, (float)g);
        const double value = 0.5 * pow(fmax(u, 0) - a, 2) + 0.5 * g * pow(u - b, 2);
        n_negative += a < 0;
        for (int i = -4000; i <= 4000; i++) {
            const double t = 5 * i / 4000.0, other = 0.5 * pow(fmax(t, 0) - a, 2) + 0.5 * g * pow(t - b, 2);
            if (!(value <= other + 1e-5 * (1 + g)))
                fail_msg("a %g, b %g, g %g: %g at %g, %g at %g", a, b, g, value, u, other, t);
        }
    }
    assert_true(n_negative > 500);
}

/* ---------------------------------------------------------------------------------------------- the rest */

static double weight_difference(const altmin_trainer *s, const altmin_trainer *t)
{
    double worst = 0.0;
    for (size_t l = 1; l <= s->net.n_layers; l++) {
        const am_mat x = s->method->weight(s->state, l), y = t->method->weight(t->state, l);
        double d = 0.0, sum = 0.0;
        for (size_t i = 0; i < am_mat_len(x); i++) {
            d += pow((double)x.data[i] - (double)y.data[i], 2);
            sum += pow((double)y.data[i], 2);
        }
        worst = fmax(worst, sqrt(d / sum));
    }
    return worst;
}

static void forms_and_backends_agree(void **state)
{
    (void)state;
    static const size_t n_samples[] = {25, 80};
    for (int n = 0; n < 2; n++)
        for (int mu = 0; mu < 2; mu++) {
            altmin_data *data = problem_random(40, n_samples[n], 3, 9);
            altmin_trainer *t[3];
            for (int f = 0; f < 3; f++) {
                const char *const pairs[] = {
                    "method", "bcd",         "hidden", "12,8", "backend", backends[f != 2],
                    "form",   forms[f == 1], "init",   "he",   "mu",      mu ? "0.2" : "0",
                    NULL};
                t[f] = problem_run(data, pairs);
                sweeps(t[f], 8);
            }
            assert_true(weight_difference(t[1], t[0]) < 1e-3);
            assert_true(weight_difference(t[1], t[0]) > 0); /* two computations, not one */
            assert_true(weight_difference(t[2], t[0]) < 1e-3);
            for (int f = 0; f < 3; f++) altmin_trainer_free(t[f]);
            altmin_data_free(data);
        }
}

static void measures_are_true(void **state)
{
    (void)state;
    altmin_data *data = problem_random(8, 40, 4, 2);
    static const char *const losses[] = {"squared", "cross-entropy"};
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"method", "bcd",     "hidden",      "9,6", "init",    "he",  "mu", "0.1",
                                     "loss",   losses[i], "loss-weight", "3",   "backend", "cpu", NULL};
        altmin_trainer *t = problem_run(data, pairs);
        split *before = split_of(t, data, 1);
        for (int k = 0; k < 4; k++) {
            double scale, box = 0.0, reported = 0.0;
            sweeps(t, 1);
            split *after = split_of(t, data, 1);
            const double f = split_objective(after, &scale);
            if (!(fabs(f - t->measures.objective) <= 1e-5 * f))
                fail_msg("objective %.9g, oracle %.9g", t->measures.objective, f);
            for (size_t l = 1; l <= 3; l++) {
                for (am_block b = AM_BLOCK_W; b < AM_N_BLOCKS; b++) {
                    size_t len;
                    const double *x = split_block(after, l, b, &len), *y = split_block(before, l, b, &len);
                    double step2 = 0.0;
                    for (size_t e = 0; e < len; e++) step2 += pow(x[e] - y[e], 2);
                    if (!(fabs(step2 - t->measures.layer[l].step2[b]) <= 1e-3 * step2 + 1e-10))
                        fail_msg("layer %zu, block %c: step %g, oracle %g", l, "WbZa"[b],
                                 t -> measures.layer[l].step2[b], step2);
                }
                for (size_t e = 0; l < 3 && e < after->width[l] * after->n; e++)
                    box = fmax(box, fabs(after->a[l][e] - fmax(after->z[l][e], 0)));
                reported = fmax(reported, t->measures.layer[l].box);
            }
            assert_true(fabs(box - reported) < 1e-5);
            split_free(before);
            before = after;
        }
        split_free(before);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

/* A lifted point is the forward pass, and --relift lifts before sweeps k + 1, 2 k + 1, ... and no others. */
static void relift_returns_to_the_forward_pass(void **state)
{
    (void)state;
    static const char *const methods[] = {"bcd", "dladmm"};
    altmin_data *data = problem_random(8, 40, 4, 2);
    for (int i = 0; i < 2; i++) {
        altmin_trainer *t[2];
        for (int k = 0; k < 2; k++) {
            const char *const pairs[] = {"method", methods[i],    "hidden",  "9,6", "init",
                                         "he",     "rho",         "1",       "nu",  "1",
                                         "relift", k ? "3" : "0", "backend", "cpu", NULL};
            t[k] = problem_run(data, pairs);
            sweeps(t[k], 3);
        }
        assert_true(weight_difference(t[0], t[1]) == 0);
        sweeps(t[0], 1);
        sweeps(t[1], 1);
        assert_true(weight_difference(t[0], t[1]) > 0);
        am_splitting_lift(t[0]->state);
        split *s = split_of(t[0], data, 0);
        for (size_t l = 1; l <= 3; l++)
            for (size_t e = 0; e < s->width[l] * s->n; e++) {
                const size_t rows = s->width[l], cols = s->width[l - 1];
                double m = s->b[l][e % rows];
                for (size_t j = 0; j < cols; j++)
                    m += s->w[l][e % rows + j * rows] * s->a[l - 1][j + e / rows * cols];
                assert_true(fabs(s->z[l][e] - m) < 1e-5);
                if (l < 3) assert_true(s->a[l][e] == fmax(s->z[l][e], 0));
            }
        split_free(s);
        altmin_trainer_free(t[0]);
        altmin_trainer_free(t[1]);
    }
    altmin_data_free(data);
}

static void preset_fills_in_what_was_not_given(void **state)
{
    (void)state;
    altmin_data *data = problem_random(8, 40, 4, 2);
    const char *const pairs[] = {"method", "bcd", "prox-w", "2", "hidden", "5", NULL};
    altmin_trainer *t = problem_run(data, pairs);
    assert_true(t->settings->prox_w == 2 && t->settings->prox_z == 5 && t->settings->rho == 1);
    assert_true(t->settings->init_scale == 0.01 && t->net.loss == AM_LOSS_SQUARED);
    assert_true(am_splitting_value(t->state, 1, AM_BLOCK_B).data[0] == 0.1f);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

static void refuses_what_it_cannot_solve(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {{"activation", "tanh"}, {"step", "cauchy"}, {"prox-w", "0"}};
    altmin_data *data = problem_random(8, 40, 4, 2);
    for (int i = 0; i < 3; i++) {
        const char *const pairs[] = {"method", "bcd", wrong[i][0], wrong[i][1], NULL};
        altmin_settings *settings = problem_settings(pairs);
        altmin_trainer *t = NULL;
        altmin_status st = {0};
        assert_int_equal(altmin_trainer_new(&t, settings, data, NULL, &st), ALTMIN_ERR_USAGE);
        assert_null(t);
        assert_non_null(strstr(st.message, "bcd"));
        altmin_settings_free(settings);
    }
    altmin_data_free(data);
}

static void learns_digits(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(600);
    static const char *const presets[] = {"paper", "best"};
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"method", "bcd",    "hidden",   "40,40",   "scale", "unit", "sweeps",
                                     "40",     "preset", presets[i], "backend", "cpu",   NULL};
        altmin_trainer *t = problem_run(data, pairs);
        const am_run_result *result;
        assert_int_equal(am_trainer_run(t, NULL, 0, NULL, &result, NULL), ALTMIN_OK);
        print_message("%s: training accuracy %g\n", presets[i], result->last.train.accuracy);
        if (!(result->last.train.accuracy > 0.7))
            fail_msg("%s: training accuracy %g", presets[i], result->last.train.accuracy);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reluprox_beats_brute_force),
        cmocka_unit_test(blocks_are_optimal),
        cmocka_unit_test(objective_never_rises),
        cmocka_unit_test(objective_never_rises_on_digits),
        cmocka_unit_test(forms_and_backends_agree),
        cmocka_unit_test(measures_are_true),
        cmocka_unit_test(relift_returns_to_the_forward_pass),
        cmocka_unit_test(preset_fills_in_what_was_not_given),
        cmocka_unit_test(refuses_what_it_cannot_solve),
        cmocka_unit_test(learns_digits),
    };
    return cmocka_run_group_tests_name("bcd", tests, NULL, NULL);
}
