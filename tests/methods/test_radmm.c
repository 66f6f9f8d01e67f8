/* Residual ADMM: its augmented Lagrangian never rises, block by block, and Lam = c R'(Z) after every sweep; every exact block is
 * optimal and every linearised one a gradient step, judged by finite differences in double; forms and backends agree. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "problems.h"
#include "skip_oracle.h"

/* Blocks are stored and multiplied in float32: a block may seem to raise L by this share of the magnitudes in it. */
#define ROUNDING 2e-6
#define SAMPLES  40

static const char *const forms[] = {"normal", "sample"}, *const backends[] = {"ref", "cpu"};
static const char *const splits[] = {"3", "2"}, *const losses[] = {"squared", "cross-entropy"};

static void read_slots(altmin_trainer *t)
{
    altmin_status st = {0};
    if (am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, &st)) fail_msg("%s", st.message);
}

static void sweeps(altmin_trainer *t, int n)
{
    for (int i = 0; i < n; i++) t->method->sweep(t->state);
    read_slots(t);
    t->method->measure(t->state, t->slot, &t->measures);
}

static int is_linear(const altmin_trainer *t, size_t l)
{
    return t->settings->split == 2 && am_net_kind(&t->net, l) == AM_LAYER_BLOCK;
}

/* ---------------------------------------------------------------------------------------------- monotone */

typedef struct watch {
    skip_net *s;
    double f;
    const char *what;
    int sweep;
} watch;

static void watch_block(watch *w, const altmin_trainer *t, size_t l, const char *block)
{
    double scale;
    skip_fetch(w->s, t);
    const double f = skip_lagrangian(w->s, &scale);
    if (!(f <= w->f + ROUNDING * scale))
        fail_msg("%s, sweep %d, layer %zu, block %s: L %.9g -> %.9g, allowance %.3g", w->what, w->sweep, l,
                 block, w->f, f, ROUNDING * scale);
    w->f = f;
}

/* One sweep, the blocks of a layer as am_radmm_layer_sweep has them; Z and the multiplier count as one block. */
static void watch_sweep(watch *w, altmin_trainer *t)
{
    const am_radmm *m = t->state;
    for (size_t l = 1; l <= t->net.n_layers; l++) {
        const am_radmm_task task = am_radmm_task_at(m, t->ctx, 0, l);
        const am_layer_kind kind = am_net_kind(&t->net, l);
        if (is_linear(t, l)) am_radmm_product(&task);
        am_radmm_weights(&task);
        watch_block(w, t, l, "W");
        if (!is_linear(t, l)) am_radmm_product(&task);
        if (kind == AM_LAYER_OUTPUT) {
            am_radmm_z(&task);
            am_radmm_dual(&task);
            watch_block(w, t, l, "Z with Lam");
            break;
        }
        if (kind == AM_LAYER_BLOCK && !is_linear(t, l)) {
            am_radmm_z(&task);
            watch_block(w, t, l, "z");
        }
        am_radmm_a(&task);
        watch_block(w, t, l, "a");
    }
}

static void check_monotone(const altmin_data *data, const char *const *pairs, const char *what, int n_sweeps)
{
    altmin_trainer *t = problem_run(data, pairs);
    double scale;
    watch w = {.s = skip_of(t, data), .what = what};
    const double first = w.f = skip_lagrangian(w.s, &scale);
    for (w.sweep = 1; w.sweep <= n_sweeps; w.sweep++) {
        watch_sweep(&w, t);
        const double error = skip_multiplier_error(w.s);
        if (!(error < 2e-5 * (1 + t->settings->loss_weight)))
            fail_msg("%s, sweep %d: Lam is off c R'(Z) by %g", what, w.sweep, error);
    }
    if (!(w.f < 0.9 * first)) fail_msg("%s: L %.9g -> %.9g is hardly a decrease", what, first, w.f);
    skip_free(w.s);
    altmin_trainer_free(t);
}

/* Data of ten features: blocks of ten start at the data, narrower ones after an input map. */
static void lagrangian_never_rises(void **state)
{
    (void)state;
    /* the sample form divides by the ridge what lies outside a's row space: it is meant for n < d and tested there */
    altmin_data *classes[] = {problem_random(10, 50, 4, 1), problem_random(10, 8, 4, 1)};
    altmin_data *values[] = {problem_random(10, 50, 0, 2), problem_random(10, 8, 0, 2)};
    static const char *const hidden[] = {"10,10", "12,12,12", "8"}, *const mu[] = {"1e-3", "0.3"};
    static const char *const smooth[] = {"relu", "tanh", "sigmoid", "elu", "softplus", "leaky-relu"};
    for (int i = 0; i < 36; i++) {
        const int two = i & 1;
        const char *const pairs[] = {"method",      "radmm",
                                     "hidden",      hidden[i % 3],
                                     "split",       splits[two],
                                     "activation",  two ? smooth[i / 2 % 6] : "relu",
                                     "loss",        losses[i / 2 % 2],
                                     "form",        forms[i >> 2 & 1],
                                     "backend",     backends[i >> 3 & 1],
                                     "mu",          mu[i / 3 % 2],
                                     "beta",        i % 5 == 2 ? "20" : i % 5 == 3 ? "1.01" : "2",
                                     "loss-weight", i % 5 == 2 ? "10" : "1",
                                     "prox-z",      i % 7 == 3 ? "0" : "0.1",
                                     "nu",          i % 4 == 3 ? "3" : "1",
                                     "rho",         i % 4 == 1 ? "0.5" : "1",
                                     NULL};
        char what[60];
        snprintf(what, sizeof what, "case %d", i);
        const int form = i >> 2 & 1, of_classes = i / 2 % 2 || i % 3;
        check_monotone(of_classes ? classes[form] : values[form], pairs, what, 15);
    }
    for (int i = 0; i < 2; i++) altmin_data_free(classes[i]), altmin_data_free(values[i]);
}

static void lagrangian_never_rises_on_digits(void **state)
{
    (void)state;
    static const char *const hidden[] = {"12,12", "8,8,8,8,8,8,8,8",
                                         "6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6"};
    altmin_data *data = problem_digits(120);
    for (int i = 0; i < 12; i++) {
        const char *const pairs[] = {"method",          "radmm", "hidden",      hidden[i % 3], "loss",
                                     losses[i / 3 % 2], "split", splits[i / 6], "scale",       "unit",
                                     "backend",         "cpu",   NULL};
        char what[60];
        snprintf(what, sizeof what, "digits, case %d", i);
        check_monotone(data, pairs, what, i % 3 == 2 ? 6 : 12);
    }
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- optimal */

static double *copy_block(skip_net *s, size_t l, am_block block)
{
    size_t len;
    const double *x = skip_block(s, l, block, &len);
    double *copy = malloc(len * sizeof *copy);
    memcpy(copy, x, len * sizeof *copy);
    return copy;
}

/* A smooth block after its update: the gradient of what it minimises has gone; the prox centre is where the block was. */
static void check_smooth(skip_net *s, const altmin_trainer *t, size_t l, am_block block, double prox,
                         double before, const double *old, const char *what)
{
    skip_fetch(s, t);
    const double after = skip_gradient(s, l, block, prox, old, SAMPLES);
    /* The sample form divides by the ridge what rounding leaves outside the span of the samples. */
    const int divides = block == AM_BLOCK_W && strcmp(t->method->form(t->state, l), "sample") == 0;
    if (!(after < (divides ? 1e-2 : 2e-3) * before + 1e-6))
        fail_msg("%s, layer %zu, block %c: gradient %g before, %g after", what, l, "WbZa"[block], before,
                 after);
}

/* A linearised block: (old - new)/t is the gradient at the old point. */
static void check_linear(skip_net *s, size_t l, am_block block, const double *old, const double *gradient,
                         double length, const char *what)
{
    size_t len;
    const double *x = skip_block(s, l, block, &len);
    double error = 0.0, size = 0.0;
    for (size_t k = 0; k < SAMPLES; k++) {
        const size_t i = (k * 7919 + 13) % len;
        error += pow((old[i] - x[i]) / length - gradient[k], 2);
        size += pow(gradient[k], 2);
    }
    if (!(length > 0) || !(sqrt(error) <= 3e-3 * sqrt(size) + 1e-5))
        fail_msg("%s, layer %zu, block %c: step of length %g is off the gradient %g by %g", what, l,
                 "WbZa"[block], length, sqrt(size), sqrt(error));
}

/* Differences at the elements that check_linear looks at. */
static double *gradient_at(skip_net *s, size_t l, am_block block)
{
    size_t len;
    double *x = skip_block(s, l, block, &len), *g = calloc(SAMPLES, sizeof *g), scale;
    for (size_t k = 0; k < SAMPLES; k++) {
        const size_t i = (k * 7919 + 13) % len;
        const double old = x[i], h = 1e-4;
        x[i] = old + h;
        g[k] = skip_lagrangian(s, &scale);
        x[i] = old - h;
        g[k] = (g[k] - skip_lagrangian(s, &scale)) / (2 * h);
        x[i] = old;
    }
    return g;
}

static void linear_block(altmin_trainer *t, skip_net *s, size_t l, am_block block,
                         void (*update)(const am_radmm_task *), const char *what)
{
    const am_radmm *m = t->state;
    const am_radmm_task task = am_radmm_task_at(m, t->ctx, 0, l);
    const int is_w = block == AM_BLOCK_W;
    double *old = copy_block(s, l, block), *g = gradient_at(s, l, block);
    double *old_b = copy_block(s, l, AM_BLOCK_B), *g_b = gradient_at(s, l, AM_BLOCK_B);
    update(&task);
    read_slots(t);
    skip_fetch(s, t);
    const double length = t->slot[is_w ? m->layer[l].trial_w.used : m->layer[l].trial_a.used];
    check_linear(s, l, block, old, g, length, what);
    if (is_w) check_linear(s, l, AM_BLOCK_B, old_b, g_b, length, what);
    free(old);
    free(g);
    free(old_b);
    free(g_b);
}

static void exact_weights(altmin_trainer *t, skip_net *s, size_t l, const char *what)
{
    const am_radmm_task task = am_radmm_task_at(t->state, t->ctx, 0, l);
    double *old = copy_block(s, l, AM_BLOCK_W);
    const double before = skip_gradient(s, l, AM_BLOCK_W, 0, NULL, SAMPLES) +
                          skip_gradient(s, l, AM_BLOCK_B, 0, NULL, SAMPLES) + 1e-3;
    am_radmm_weights(&task);
    check_smooth(s, t, l, AM_BLOCK_W, t->settings->prox_w, before, old, what);
    check_smooth(s, t, l, AM_BLOCK_B, 0, before, NULL, what);
    free(old);
}

static void exact_a(altmin_trainer *t, skip_net *s, size_t l, const char *what)
{
    const am_radmm_task task = am_radmm_task_at(t->state, t->ctx, 0, l);
    double *old = copy_block(s, l, AM_BLOCK_A);
    const double before = skip_gradient(s, l, AM_BLOCK_A, 0, NULL, SAMPLES) + 1e-3;
    am_radmm_a(&task);
    check_smooth(s, t, l, AM_BLOCK_A, t->settings->prox_a, before, old, what);
    free(old);
}

static void z_block(altmin_trainer *t, skip_net *s, size_t l, const char *what)
{
    const am_radmm_task task = am_radmm_task_at(t->state, t->ctx, 0, l);
    double *old = copy_block(s, l, AM_BLOCK_Z);
    const double before = skip_gradient(s, l, AM_BLOCK_Z, 0, NULL, SAMPLES) + 1e-3;
    am_radmm_z(&task);
    if (l == t->net.n_layers) {
        check_smooth(s, t, l, AM_BLOCK_Z, 0, before, NULL, what); /* at the old multiplier */
        am_radmm_dual(&task);
        skip_fetch(s, t);
    } else {
        skip_fetch(s, t);
        const double gain = skip_z_gain(s, l, t->settings->prox_z, old, SAMPLES);
        if (!(gain < 1e-5)) fail_msg("%s, layer %zu, block z: another value is better by %g", what, l, gain);
    }
    free(old);
}

static void check_blocks(altmin_trainer *t, skip_net *s, const char *what)
{
    const size_t n_layers = t->net.n_layers;
    for (size_t l = 1; l <= n_layers; l++) {
        const am_radmm_task task = am_radmm_task_at(t->state, t->ctx, 0, l);
        const int two = t->settings->split == 2;
        if (is_linear(t, l)) {
            am_radmm_product(&task);
            linear_block(t, s, l, AM_BLOCK_W, am_radmm_weights, what);
        } else {
            exact_weights(t, s, l, what);
            am_radmm_product(&task);
        }
        if (skip_has(s, l, AM_BLOCK_Z)) z_block(t, s, l, what);
        if (l == n_layers) break;
        if (two && l + 1 < n_layers)
            linear_block(t, s, l, AM_BLOCK_A, am_radmm_a, what);
        else
            exact_a(t, s, l, what);
    }
}

static void blocks_are_optimal(void **state)
{
    (void)state;
    altmin_data *classes = problem_random(6, 30, 3, 1), *values = problem_random(6, 30, 0, 2);
    for (int i = 0; i < 16; i++) {
        const char *const pairs[] = {"method",      "radmm",
                                     "hidden",      i & 2 ? "6,6" : "5,5,5",
                                     "split",       splits[i & 1],
                                     "activation",  i & 1 ? "tanh" : "relu",
                                     "loss",        losses[i >> 2 & 1],
                                     "form",        forms[i >> 1 & 1],
                                     "backend",     backends[i >> 3 & 1],
                                     "prox-w",      "0.4",
                                     "prox-z",      "0.3",
                                     "prox-a",      "0.2",
                                     "mu",          "0.25",
                                     "nu",          "1.5",
                                     "rho",         "0.8",
                                     "beta",        "3",
                                     "loss-weight", "2",
                                     NULL};
        const altmin_data *data = i & 4 ? classes : values;
        altmin_trainer *t = problem_run(data, pairs);
        skip_net *s = skip_of(t, data);
        char what[40];
        for (int k = 1; k <= 3; k++) {
            snprintf(what, sizeof what, "case %d, sweep %d", i, k);
            check_blocks(t, s, what);
        }
        skip_free(s);
        altmin_trainer_free(t);
    }
    altmin_data_free(classes);
    altmin_data_free(values);
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
    for (int i = 0; i < 4; i++) {
        altmin_data *data = problem_random(40, n_samples[i & 1], 3, 9);
        altmin_trainer *t[3];
        for (int f = 0; f < 3; f++) {
            const char *const pairs[] = {"method",       "radmm",       "hidden", "12,12",   "split",
                                         splits[i >> 1], "prox-w",      "5",      "backend", backends[f != 2],
                                         "form",         forms[f == 1], NULL};
            t[f] = problem_run(data, pairs);
            sweeps(t[f], 8);
        }
        const double of_form = weight_difference(t[1], t[0]), of_backend = weight_difference(t[2], t[0]);
        if (!(of_form < 1e-3 && of_backend < 1e-3 && of_form > 0)) /* > 0: two computations, not one */
            fail_msg("case %d: forms differ by %g, backends by %g", i, of_form, of_backend);
        for (int f = 0; f < 3; f++) altmin_trainer_free(t[f]);
        altmin_data_free(data);
    }
}

static void check_measures(const altmin_trainer *t, skip_net *after, skip_net *before, const char *what)
{
    double scale;
    const double f = skip_lagrangian(after, &scale);
    if (!(fabs(f - t->measures.objective) <= 1e-5 * scale))
        fail_msg("%s: objective %.9g, oracle %.9g", what, t->measures.objective, f);
    for (size_t l = 1; l <= t->net.n_layers; l++)
        for (am_block b = AM_BLOCK_W; b < AM_N_BLOCKS; b++) {
            size_t len = 0;
            double step2 = 0.0;
            const int has = skip_has(after, l, b);
            const double *x = has ? skip_block(after, l, b, &len) : NULL,
                         *y = has ? skip_block(before, l, b, &len) : NULL;
            for (size_t e = 0; e < len && has; e++) step2 += pow(x[e] - y[e], 2);
            if (!(fabs(step2 - t->measures.layer[l].step2[b]) <= 1e-3 * step2 + 1e-9))
                fail_msg("%s, layer %zu, block %c: step %g, oracle %g", what, l, "WbZa"[b],
                         t -> measures.layer[l].step2[b], step2);
        }
}

static void measures_are_true(void **state)
{
    (void)state;
    altmin_data *data = problem_random(8, 40, 4, 2);
    static const char *const orders[] = {"serial", "wavefront", "jacobi"};
    for (int i = 0; i < 24; i++) {
        const char *const pairs[] = {"method",      "radmm",
                                     "hidden",      i & 1 ? "8,8" : "6,6,6",
                                     "split",       splits[i >> 1 & 1],
                                     "loss",        losses[i >> 2 & 1],
                                     "order",       orders[i >> 3],
                                     "loss-weight", "1.5",
                                     "mu",          "0.1",
                                     "backend",     "cpu",
                                     NULL};
        altmin_trainer *t = problem_run(data, pairs);
        skip_net *before = skip_of(t, data);
        char what[40];
        for (int k = 1; k <= 4; k++) {
            snprintf(what, sizeof what, "case %d, sweep %d", i, k);
            sweeps(t, 1);
            skip_net *after = skip_of(t, data);
            check_measures(t, after, before, what);
            skip_free(before);
            before = after;
        }
        skip_free(before);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

/* A lifted point is the forward pass, L is then c R and the ridge, and --relift lifts when it should. */
static void relift_returns_to_the_forward_pass(void **state)
{
    (void)state;
    altmin_data *data = problem_random(8, 40, 4, 2);
    for (int i = 0; i < 4; i++) {
        altmin_trainer *t[2];
        for (int k = 0; k < 2; k++) {
            const char *const pairs[] = {"method",  "radmm",       "hidden", i & 2 ? "8,8" : "6,6,6",
                                         "split",   splits[i & 1], "relift", k ? "3" : "0",
                                         "backend", "cpu",         NULL};
            t[k] = problem_run(data, pairs);
            sweeps(t[k], 3);
        }
        assert_true(weight_difference(t[0], t[1]) == 0);
        sweeps(t[0], 1);
        sweeps(t[1], 1);
        assert_true(weight_difference(t[0], t[1]) > 0);
        am_radmm_lift(t[0]->state);
        skip_net *s = skip_of(t[0], data);
        double scale, ridge = 0.0, loss;
        for (size_t l = 1; l <= s->n_layers; l++)
            for (size_t e = 0; e < s->width[l] * s->width[l - 1]; e++)
                ridge += 0.5 * s->lambda * pow(s->w[l][e], 2);
        const double f = skip_lagrangian(s, &scale);
        s->loss_weight = 0.0;
        loss = f - skip_lagrangian(s, &scale);
        assert_true(fabs(f - loss - ridge) < 1e-5 * f); /* no residual, no gap, no multiplier term */
        s->loss_weight = 1.0;
        assert_true(skip_multiplier_error(s) < 1e-5);
        skip_free(s);
        altmin_trainer_free(t[0]);
        altmin_trainer_free(t[1]);
    }
    altmin_data_free(data);
}

static void refuses_what_it_cannot_solve(void **state)
{
    (void)state;
    static const char *const wrong[][4] = {
        {"activation", "tanh", "split", "3"}, {"arch", "mlp", "split", "3"}, {"prox-w", "0", "mu", "0"}};
    altmin_data *data = problem_random(8, 40, 4, 2);
    for (int i = 0; i < 3; i++) {
        const char *const pairs[] = {"method",    "radmm",     wrong[i][0], wrong[i][1],
                                     wrong[i][2], wrong[i][3], NULL};
        altmin_settings *settings = problem_settings(pairs);
        altmin_trainer *t = NULL;
        altmin_status st = {0};
        assert_int_equal(altmin_trainer_new(&t, settings, data, NULL, &st), ALTMIN_ERR_USAGE);
        assert_null(t);
        assert_non_null(strstr(st.message, "radmm"));
        altmin_settings_free(settings);
    }
    altmin_data_free(data);
}

static void learns_digits(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(600);
    static const char *const presets[] = {"paper", "best"};
    for (int i = 0; i < 4; i++) {
        const char *const pairs[] = {"method",  "radmm",  "hidden", "40,40,40",     "scale",
                                     "unit",    "sweeps", "60",     "preset",       presets[i & 1],
                                     "backend", "cpu",    "split",  splits[i >> 1], NULL};
        altmin_trainer *t = problem_run(data, pairs);
        const am_run_result *result;
        assert_int_equal(am_trainer_run(t, NULL, 0, NULL, &result, NULL), ALTMIN_OK);
        print_message("%s, split %s: training accuracy %g\n", presets[i & 1], splits[i >> 1],
                      result->last.train.accuracy);
        if (!(result->last.train.accuracy > 0.7))
            fail_msg("%s: training accuracy %g", presets[i & 1], result->last.train.accuracy);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_optimal),
        cmocka_unit_test(lagrangian_never_rises),
        cmocka_unit_test(lagrangian_never_rises_on_digits),
        cmocka_unit_test(forms_and_backends_agree),
        cmocka_unit_test(measures_are_true),
        cmocka_unit_test(relift_returns_to_the_forward_pass),
        cmocka_unit_test(refuses_what_it_cannot_solve),
        cmocka_unit_test(learns_digits),
    };
    return cmocka_run_group_tests_name("radmm", tests, NULL, NULL);
}
