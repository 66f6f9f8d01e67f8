/* fcam: its direction against finite differences where it is the gradient's, ridge least squares where that is what one step
 * solves, its downward maps against their definition, thinning without bias, and the same run on every backend and number
 * of threads. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/methods/fcam.h"
#include "host/train/stream.h"
#include "oracle.h"
#include "problems.h"

#define MAX_WIDTH 16

static float *fetch(const altmin_trainer *t, am_mat m)
{
    float *out = malloc((am_mat_len(m) + 1) * sizeof *out);
    assert_int_equal(am_download(t->ctx, out, m, NULL), ALTMIN_OK);
    return out;
}

static void sweep(altmin_trainer *t)
{
    altmin_status st = {0};
    t->method->sweep(t->state);
    if (am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, &st)) fail_msg("%s", st.message);
    t->method->measure(t->state, t->slot, &t->measures);
}

/* ---------------------------------------------------------------------------------------------- the gradient */

typedef struct weights {
    size_t n_layers, width[8];
    double *wb[8]; /* [W_l b_l], l = 1..L */
} weights;

static weights weights_of(const altmin_trainer *t)
{
    weights v = {.n_layers = t->net.n_layers};
    memcpy(v.width, t->net.width, (v.n_layers + 1) * sizeof v.width[0]);
    for (size_t l = 1; l <= v.n_layers; l++) {
        const am_mat w = t->method->weight(t->state, l), b = t->method->bias(t->state, l);
        float *x = fetch(t, w), *y = fetch(t, b);
        v.wb[l] = malloc((am_mat_len(w) + b.rows) * sizeof *v.wb[l]);
        for (size_t i = 0; i < am_mat_len(w); i++) v.wb[l][i] = (double)x[i];
        for (size_t i = 0; i < b.rows; i++) v.wb[l][am_mat_len(w) + i] = (double)y[i];
        free(x);
        free(y);
    }
    return v;
}

static void weights_free(weights *v)
{
    for (size_t l = 1; l <= v->n_layers; l++) free(v->wb[l]);
}

static double loss_of(const weights *v, const am_net *net, const altmin_data *data, size_t j)
{
    double a[MAX_WIDTH], z[MAX_WIDTH];
    for (size_t i = 0; i < v->width[0]; i++) a[i] = (double)data->f32[i + j * v->width[0]];
    for (size_t l = 1; l <= v->n_layers; l++) {
        const size_t out = v->width[l], in = v->width[l - 1];
        for (size_t i = 0; i < out; i++) {
            z[i] = v->wb[l][i + in * out];
            for (size_t k = 0; k < in; k++) z[i] += v->wb[l][i + k * out] * a[k];
        }
        const am_layer_kind kind = am_net_kind(net, l);
        for (size_t i = 0; i < out; i++)
            a[i] = kind == AM_LAYER_INPUT   ? z[i]
                   : kind == AM_LAYER_BLOCK ? a[i] + oracle_h(net->act, z[i])
                                            : oracle_h(net->act, z[i]);
    }
    const size_t k = v->width[v->n_layers];
    double sum = 0.0;
    for (size_t i = 0; i < k; i++) {
        const double y = data->target ? (double)data->target[i + j * k] : 0.0;
        sum += data->target ? 0.5 * (z[i] - y) * (z[i] - y) : exp(z[i]);
    }
    return data->target ? sum : log(sum) - z[data->label[j]];
}

static double mean_loss(const weights *v, const am_net *net, const altmin_data *data)
{
    double sum = 0.0;
    for (size_t j = 0; j < data->n_samples; j++) sum += loss_of(v, net, data, j);
    return sum / (double)data->n_samples;
}

/* With kappa = 0, gam = inf, beta = 0 and lam large the step is -e/c_l times the gradient, c_l = lam mean(diag [A, 1]). */
static void direction_is_the_gradient(void **state)
{
    (void)state;
    static const char *const acts[] = {"identity", "relu",    "leaky-relu", "elu",
                                       "tanh",     "sigmoid", "softplus",   "hard-tanh"};
    altmin_data *classes = problem_random(6, 23, 4, 3), *values = problem_random(6, 23, 0, 4);
    for (int k = 0; k < 32; k++) {
        const altmin_data *data = k & 8 ? values : classes;
        const int resnet = k >= 16;
        altmin_trainer *t = problem_run(data, (const char *const[]){"method",     "fcam",
                                                                    "arch",       resnet ? "resnet" : "mlp",
                                                                    "hidden",     resnet ? "5,5" : "7,5",
                                                                    "activation", acts[k % 8],
                                                                    "batch",      "0",
                                                                    "kappa",      "0",
                                                                    "gam",        "inf",
                                                                    "momentum",   "0",
                                                                    "lam",        "1e6",
                                                                    "eta",        "1e6",
                                                                    "warm",       "1",
                                                                    "schedule",   "constant",
                                                                    "whiten",     "0",
                                                                    "two-sided",  "no",
                                                                    "backend",    k % 2 ? "cpu" : "ref",
                                                                    NULL});
        const am_stream *s = am_fcam_stream(t->state);
        weights v = weights_of(t);
        sweep(t);
        for (size_t l = 1; l <= v.n_layers; l++) {
            const size_t n = v.width[l] * (v.width[l - 1] + 1);
            float *step = fetch(t, s->layer[l].step);
            /* Factored: S H = T with H = c I to six digits. */
            const double c = t->slot[s->layer[l].slot.ridge];
            for (size_t i = 0; i < n; i++) {
                const double h = 1e-6, old = v.wb[l][i];
                v.wb[l][i] = old + h;
                const double up = mean_loss(&v, &t->net, data);
                v.wb[l][i] = old - h;
                const double down = mean_loss(&v, &t->net, data);
                v.wb[l][i] = old;
                const double g = (up - down) / (2.0 * h), found = -c * (double)step[i];
                if (!(fabs(g - found) < 1e-5 + 1e-4 * fabs(g)))
                    fail_msg("%s, layer %zu, entry %zu: %g, not %g", acts[k % 8], l, i, found, g);
            }
            free(step);
        }
        weights_free(&v);
        altmin_trainer_free(t);
    }
    altmin_data_free(classes);
    altmin_data_free(values);
}

/* ---------------------------------------------------------------------------------------------- least squares */

/* One linear layer, full batch, one step of length one from anywhere: the minimiser of
 * 1/(2n) ||W X + b 1' - Y||^2 + c/2 ||[W b] - [W b]_0||^2, whose gradient there is zero. */
static void one_step_solves_ridge(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 40, 0, 4);
    for (int white = 0; white < 2; white++) {
        altmin_trainer *t = problem_run(data, (const char *const[]){"method",    "fcam",
                                                                    "hidden",    "none",
                                                                    "batch",     "0",
                                                                    "kappa",     "0",
                                                                    "momentum",  "0",
                                                                    "eta",       "1",
                                                                    "lam",       "0.01",
                                                                    "warm",      "1",
                                                                    "schedule",  "constant",
                                                                    "two-sided", "no",
                                                                    "whiten",    white ? "1" : "0",
                                                                    NULL});
        weights before = weights_of(t);
        sweep(t);
        weights after = weights_of(t);
        const double c = t->slot[am_fcam_stream(t->state)->layer[1].slot.ridge];
        for (size_t i = 0; i < 2 * 7; i++) {
            const double h = 1e-5, old = after.wb[1][i];
            after.wb[1][i] = old + h;
            const double up = mean_loss(&after, &t->net, data);
            after.wb[1][i] = old - h;
            const double down = mean_loss(&after, &t->net, data);
            after.wb[1][i] = old;
            const double g = (up - down) / (2.0 * h) + c * (old - before.wb[1][i]);
            if (!(fabs(g) < 1e-5))
                fail_msg("whitened %d, entry %zu: gradient %g at the minimiser", white, i, g);
        }
        weights_free(&before);
        weights_free(&after);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- downward maps */

/* Q (c I + W'W) is parallel to W and |Q|_F = |W|_F, whichever side the system was solved on. */
static void downward_maps_are_closed_forms(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 30, 3, 3);
    altmin_trainer *t =
        problem_run(data, (const char *const[]){"method", "fcam", "hidden", "5,9,4", "batch", "0", "gam",
                                                "0.5", "eta", "0.1", "sweeps", "1", NULL});
    const am_stream *s = am_fcam_stream(t->state);
    float *w[5];
    for (size_t l = 2; l <= 4; l++)
        w[l] = fetch(t, s->layer[l].w); /* the refresh of the first sweep sees these */
    sweep(t);
    for (size_t l = 2; l <= 4; l++) {
        const size_t out = t->net.width[l], in = t->net.width[l - 1];
        float *q = fetch(t, am_fcam_map(t->state, l));
        double ww[MAX_WIDTH * MAX_WIDTH], size_w = 0.0, size_q = 0.0, dot = 0.0, left2 = 0.0;
        for (size_t i = 0; i < in; i++)
            for (size_t j = 0; j < in; j++) {
                ww[i + j * in] = 0.0;
                for (size_t k = 0; k < out; k++)
                    ww[i + j * in] += (double)w[l][k + i * out] * (double)w[l][k + j * out];
            }
        for (size_t i = 0; i < out * in; i++) {
            size_w += (double)w[l][i] * (double)w[l][i];
            size_q += (double)q[i] * (double)q[i];
        }
        for (size_t i = 0; i < in; i++) ww[i + i * in] += 0.5 * size_w / (double)in;
        for (size_t k = 0; k < out; k++)
            for (size_t j = 0; j < in; j++) {
                double left = 0.0;
                for (size_t i = 0; i < in; i++) left += (double)q[k + i * out] * ww[i + j * in];
                dot += left * (double)w[l][k + j * out];
                left2 += left * left;
            }
        assert_true(fabs(size_q / size_w - 1.0) < 1e-5);
        assert_true(dot / sqrt(left2 * size_w) > 1.0 - 1e-6);
        free(q);
        free(w[l]);
    }
    altmin_trainer_free(t);
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- thinning */

/* The direction of one chunk, averaged over many draws of the kept samples, is the direction of all of them. */
static void thinning_is_unbiased(void **state)
{
    (void)state;
    enum { n_draws = 400 };
    altmin_data *data = problem_random(6, 40, 3, 3);
    double *mean = NULL, *all = NULL, spread = 0.0, error = 0.0, size = 0.0;
    size_t n = 0, n_thinned = 0;
    for (int draw = -1; draw < n_draws; draw++) {
        char seed[16] = "1";
        altmin_trainer *t = problem_run(
            data, (const char *const[]){"method",   "fcam",   "hidden", "7",    "batch",
                                        "39",       "sweeps", "0.5",    "thin", draw < 0 ? "0" : "0.8",
                                        "momentum", "0",      "warm",   "0.5",  "whiten",
                                        "0",        "kappa",  "0",      "seed", seed,
                                        NULL});
        am_stream *s = (am_stream *)(uintptr_t)am_fcam_stream(t->state);
        /* Same weights, same chunk: only the counter of the draws differs. */
        am_slot_set(t->ctx, s->slot.seen, (double)(draw + 1));
        sweep(t);
        const am_mat step = {s->step.data, s->step.rows, 1};
        float *now = fetch(t, step);
        n = step.rows;
        if (draw < 0) {
            all = calloc(n, sizeof *all), mean = calloc(n, sizeof *mean);
            for (size_t i = 0; i < n; i++) all[i] = (double)now[i], size += all[i] * all[i];
        } else {
            double d2 = 0.0;
            for (size_t i = 0; i < n; i++) {
                mean[i] += (double)now[i] / n_draws;
                d2 += ((double)now[i] - all[i]) * ((double)now[i] - all[i]);
            }
            spread += d2 / n_draws;
            n_thinned += t->slot[s->slot.n_kept] < 39.0;
        }
        free(now);
        altmin_trainer_free(t);
    }
    for (size_t i = 0; i < n; i++) error += (mean[i] - all[i]) * (mean[i] - all[i]);
    assert_true(n_thinned > n_draws / 2);  /* samples were dropped */
    assert_true(spread > 1e-4 * size);     /* and it shows in single draws */
    if (!(error < 4.0 * spread / n_draws)) /* but the mean is off by its standard error alone */
        fail_msg("thinned mean off by %g, spread %g, size %g", sqrt(error), sqrt(spread), sqrt(size));
    free(all);
    free(mean);
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- whole runs */

static const char *const run[] = {"method", "fcam", "hidden",  "40,36", "batch", "50",
                                  "scale",  "unit", "sweeps",  "1.5",   "thin",  "0.3",
                                  "warm",   "4",    "refresh", "3",     NULL};

static altmin_trainer *trained(const altmin_data *data, const char *backend, const char *threads,
                               const char *extra, const char *value)
{
    altmin_settings *set = problem_settings(run);
    altmin_status st = {0};
    const char *const pairs[] = {"backend", backend, "threads", threads, extra, value};
    for (int i = 0; i < 6; i += 2)
        if (altmin_settings_set(set, pairs[i], pairs[i + 1], &st)) fail_msg("%s", st.message);
    altmin_trainer *t = problem_trainer(data, set);
    sweep(t);
    sweep(t);
    return t;
}

static void threads_do_not_change_bits(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(500);
    altmin_trainer *one = trained(data, "cpu", "1", "two-sided", "yes");
    static const char *const threads[] = {"2", "3", "7"};
    for (int i = 0; i < 3; i++) {
        altmin_trainer *many = trained(data, "cpu", threads[i], "two-sided", "yes");
        for (size_t l = 1; l <= one->net.n_layers; l++) {
            const am_mat w = one->method->weight(one->state, l);
            float *a = fetch(one, w), *b = fetch(many, many->method->weight(many->state, l));
            assert_memory_equal(a, b, am_mat_len(w) * sizeof *a);
            free(a);
            free(b);
        }
        altmin_trainer_free(many);
    }
    altmin_trainer_free(one);
    altmin_data_free(data);
}

/* ref and cpu: the same losses to rounding, for plain and residual networks, gam finite and infinite. */
static void backends_agree(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(300);
    static const char *const extra[][2] = {{"gam", "1"},         {"gam", "inf"},      {"hidden", "40,40,40"},
                                           {"two-sided", "yes"}, {"loss", "squared"}, {"activation", "tanh"}};
    for (size_t i = 0; i < sizeof extra / sizeof *extra; i++) {
        altmin_trainer *ref = trained(data, "ref", "1", extra[i][0], extra[i][1]);
        altmin_trainer *cpu = trained(data, "cpu", "2", extra[i][0], extra[i][1]);
        const double f = ref->measures.objective, g = cpu->measures.objective;
        if (!(fabs(f - g) < 1e-3 * f)) fail_msg("%s %s: ref %g, cpu %g", extra[i][0], extra[i][1], f, g);
        assert_int_equal(ref->measures.n_guarded, cpu->measures.n_guarded);
        altmin_trainer_free(ref);
        altmin_trainer_free(cpu);
    }
    altmin_data_free(data);
}

/* Digits are learnt in three passes by every kind of network that --method fcam takes. */
static void digits_are_learnt(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(1000);
    static const char *const nets[][4] = {
        {"mlp", "40,40", "relu", "cross-entropy"},   {"mlp", "none", "relu", "cross-entropy"},
        {"mlp", "12x20", "tanh", "cross-entropy"},   {"mlp", "40", "sigmoid", "squared"},
        {"resnet", "6x40", "relu", "cross-entropy"}, {"resnet", "3x64", "elu", "squared"}};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        altmin_trainer *t =
            problem_run(data, (const char *const[]){"method", "fcam", "arch", nets[i][0], "hidden",
                                                    nets[i][1], "activation", nets[i][2], "loss", nets[i][3],
                                                    "batch", "20", "scale", "unit", "sweeps", "6", NULL});
        const am_run_result *result;
        altmin_status st = {0};
        if (am_trainer_run(t, NULL, 0, NULL, &result, &st)) fail_msg("%s", st.message);
        if (!(result->last.train.accuracy > 0.93))
            fail_msg("%s %s %s: %g", nets[i][0], nets[i][1], nets[i][2], result->last.train.accuracy);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

static void sparse_data_need_the_full_batch(void **state)
{
    (void)state;
    altmin_data *dense = problem_random(8, 30, 3, 3), *data = problem_sparse(dense, 0.3f);
    altmin_trainer *t = NULL;
    altmin_status st = {0};
    altmin_settings *set = problem_settings((const char *const[]){"method", "fcam", "batch", "10", NULL});
    assert_int_equal(altmin_trainer_new(&t, set, data, NULL, &st), ALTMIN_ERR_USAGE);
    assert_non_null(strstr(st.message, "sparse"));
    altmin_settings_free(set);
    t = problem_run(data, (const char *const[]){"method", "fcam", "hidden", "6", "sweeps", "10", NULL});
    sweep(t);
    const double first = t->measures.objective;
    for (int k = 1; k < 10; k++) sweep(t);
    assert_true(t->measures.objective < 0.7 * first);
    altmin_trainer_free(t);
    altmin_data_free(data);
    altmin_data_free(dense);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(direction_is_the_gradient),
        cmocka_unit_test(one_step_solves_ridge),
        cmocka_unit_test(downward_maps_are_closed_forms),
        cmocka_unit_test(thinning_is_unbiased),
        cmocka_unit_test(threads_do_not_change_bits),
        cmocka_unit_test(backends_agree),
        cmocka_unit_test(digits_are_learnt),
        cmocka_unit_test(sparse_data_need_the_full_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
