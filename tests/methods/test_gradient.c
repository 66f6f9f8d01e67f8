/* The gradient baselines: gradients against finite differences in double on a network written once more with plain loops,
 * updates against the textbook, passes against their promise (every sample once, seeded order), and digits. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/methods/gradient.h"
#include "oracle.h"
#include "problems.h"

#define MAX_WIDTH 16

/* ---------------------------------------------------------------------------------------------- the same, plainly */

/* Weights of a trainer in double: w[l], b[l], l = 1..L. */
typedef struct weights {
    int resnet;
    size_t n_layers, width[8];
    double *w[8], *b[8];
} weights;

static double *fetch(const altmin_trainer *t, am_mat m)
{
    float *host = malloc(am_mat_len(m) * sizeof *host);
    double *out = malloc(am_mat_len(m) * sizeof *out);
    assert_int_equal(am_download(t->ctx, host, m, NULL), ALTMIN_OK);
    for (size_t i = 0; i < am_mat_len(m); i++) out[i] = (double)host[i];
    free(host);
    return out;
}

static weights weights_of(const altmin_trainer *t)
{
    weights v = {.resnet = t->settings->arch == AM_ARCH_RESNET, .n_layers = t->net.n_layers};
    memcpy(v.width, t->net.width, (v.n_layers + 1) * sizeof v.width[0]);
    for (size_t l = 1; l <= v.n_layers; l++) {
        v.w[l] = fetch(t, t->method->weight(t->state, l));
        v.b[l] = fetch(t, t->method->bias(t->state, l));
    }
    return v;
}

static void weights_free(weights *v)
{
    for (size_t l = 1; l <= v->n_layers; l++) {
        free(v->w[l]);
        free(v->b[l]);
    }
}

/* Loss of sample j by the forward pass. */
static double loss_of(const weights *v, int act, int squared, const altmin_data *data, size_t j)
{
    double a[MAX_WIDTH], z[MAX_WIDTH];
    for (size_t i = 0; i < v->width[0]; i++) a[i] = (double)data->f32[i + j * v->width[0]];
    for (size_t l = 1; l <= v->n_layers; l++) {
        for (size_t i = 0; i < v->width[l]; i++) {
            z[i] = v->b[l][i];
            for (size_t k = 0; k < v->width[l - 1]; k++) z[i] += v->w[l][i + k * v->width[l]] * a[k];
        }
        for (size_t i = 0; i < v->width[l]; i++)
            if (!v->resnet)
                a[i] = oracle_h(act, z[i]);
            else if (v->width[l] == v->width[l - 1])
                a[i] += oracle_h(act, z[i]);
            else
                a[i] = z[i]; /* the input map */
    }
    const size_t k = v->width[v->n_layers];
    double sum = 0.0;
    for (size_t i = 0; i < k; i++) {
        const double y =
            data->target ? (double)data->target[i + j * k] : (double)(data->label[j] == (int32_t)i);
        sum += squared ? 0.5 * (z[i] - y) * (z[i] - y) : exp(z[i]);
    }
    return squared ? sum : log(sum) - z[data->label[j]];
}

/* Mean loss over the samples order[0..n) (NULL: 0..n). */
static double mean_loss(const weights *v, int act, int squared, const altmin_data *data, const int32_t *order,
                        size_t n)
{
    double sum = 0.0;
    for (size_t j = 0; j < n; j++) sum += loss_of(v, act, squared, data, order ? (size_t)order[j] : j);
    return sum / (double)n;
}

/* Largest difference between the trainer's last gradient and central differences of the mean loss at v, in units of 1 and
 * the largest entry. */
static double gradient_error(const altmin_trainer *t, weights *v, const altmin_data *data,
                             const int32_t *order, size_t n)
{
    const double h = 1e-6;
    const int act = t->net.act, squared = t->net.loss == AM_LOSS_SQUARED;
    double worst = 0.0, largest = 0.0;
    for (size_t l = 1; l <= v->n_layers; l++)
        for (int block = 0; block < 2; block++) {
            double *x = block ? v->b[l] : v->w[l];
            const am_mat m = am_gradient_value(t->state, l, block ? AM_BLOCK_B : AM_BLOCK_W);
            double *g = fetch(t, m);
            for (size_t i = 0; i < am_mat_len(m); i++) {
                const double old = x[i];
                x[i] = old + h;
                const double up = mean_loss(v, act, squared, data, order, n);
                x[i] = old - h;
                const double down = mean_loss(v, act, squared, data, order, n);
                x[i] = old;
                worst = fmax(worst, fabs((up - down) / (2.0 * h) - g[i]));
                largest = fmax(largest, fabs(g[i]));
            }
            free(g);
        }
    return worst / (1.0 + largest);
}

static void sweep(altmin_trainer *t)
{
    t->method->sweep(t->state);
    assert_int_equal(am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, NULL), ALTMIN_OK);
    t->method->measure(t->state, t->slot, &t->measures);
}

/* ---------------------------------------------------------------------------------------------- tests */

static void gradients_are_gradients(void **state)
{
    (void)state;
    static const char *const acts[] = {"identity", "relu",    "leaky-relu", "elu",
                                       "tanh",     "sigmoid", "softplus",   "hard-tanh"};
    static const char *const backends[] = {"ref", "cpu"};
    static const struct {
        const char *arch, *hidden;
    } nets[] = {
        {"mlp", "7,5"}, {"mlp", "none"}, {"resnet", "3x6"}, {"resnet", "2x7"}}; /* 6 features: no map */
    altmin_data *classes = problem_random(6, 23, 4, 3), *values = problem_random(6, 23, 0, 4);
    for (int a = 0; a < 8; a++)
        for (int loss = 0; loss < 3; loss++)
            for (int k = 0; k < 8; k++) {
                const altmin_data *data = loss == 2 ? values : classes;
                const char *const arch = nets[k / 2].arch, *const hidden = nets[k / 2].hidden;
                altmin_trainer *t = problem_run(
                    data, (const char *const[]){"arch", arch, "hidden", hidden, "method",
                                                loss == 1 ? "adam" : "sgd", "activation", acts[a], "loss",
                                                loss ? "squared" : "cross-entropy", "batch", "0", "init",
                                                "he", "mu", "0", "backend", backends[k % 2], NULL});
                weights v = weights_of(t);
                sweep(t);
                const double error = gradient_error(t, &v, data, NULL, 23);
                if (!(error < 3e-6))
                    fail_msg("%s %s, %s, loss %d, %s: gradient off by %g", arch, hidden, acts[a], loss,
                             backends[k % 2], error);
                const double f = 23.0 * mean_loss(&v, t->net.act, loss > 0, data, NULL, 23);
                assert_true(fabs(t->measures.objective - f) <= 1e-5 * f);
                weights_free(&v);
                altmin_trainer_free(t);
            }
    altmin_data_free(classes);
    altmin_data_free(values);
}

/* Many blocks: the forward pass starts at the scale of the data, whatever the depth, and training gets somewhere. */
static void deep_residual_networks_train(void **state)
{
    (void)state;
    static const char *const depths[] = {"2x16", "8x16", "32x16", "128x16"};
    altmin_data *data = problem_digits(500);
    altmin_status st = {0};
    for (int k = 0; k < 4; k++) {
        altmin_trainer *t = problem_run(
            data, (const char *const[]){"arch", "resnet", "hidden", depths[k], "method", "adam", "batch",
                                        "50", "scale", "unit", "sweeps", "30", "rate", "3e-3", NULL});
        sweep(t);
        const double first = t->measures.objective;
        if (!(first < 1.5 * 500.0 * log(10.0))) fail_msg("%s: starts at %g", depths[k], first);
        altmin_stop stop;
        assert_int_equal(altmin_trainer_run(t, NULL, NULL, &stop, &st), ALTMIN_OK);
        assert_int_equal(stop, ALTMIN_STOP_SWEEPS);
        if (!(t->measures.objective < 0.1 * first && t->result.last.train.accuracy > 0.95))
            fail_msg("%s: from %g to %g, accuracy %.4f", depths[k], first, t->measures.objective,
                     t->result.last.train.accuracy);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

/* A batch's gradient is the mean over its own samples, also of the shorter last batch. Without movement (a tiny rate) the
 * objective of a pass is the loss of all samples: each was seen once. */
static void passes_see_every_sample_once(void **state)
{
    (void)state;
    altmin_data *classes = problem_random(6, 23, 4, 3), *values = problem_random(6, 23, 0, 4);
    for (int squared = 0; squared < 2; squared++) {
        const altmin_data *data = squared ? values : classes;
        altmin_trainer *t =
            problem_run(data, (const char *const[]){"method", "sgd", "hidden", "5", "activation", "tanh",
                                                    "rate", "1e-12", "batch", "5", "mu", "0", NULL});
        weights v = weights_of(t);
        int32_t before[23] = {0};
        for (int pass = 0; pass < 3; pass++) {
            sweep(t);
            const int32_t *order = am_gradient_order(t->state);
            int seen[23] = {0};
            for (size_t j = 0; j < 23; j++) seen[order[j]]++;
            for (size_t j = 0; j < 23; j++) assert_int_equal(seen[j], 1);
            assert_true(memcmp(before, order, sizeof before) != 0);
            memcpy(before, order, sizeof before);
            const double f = 23.0 * mean_loss(&v, t->net.act, squared, data, NULL, 23);
            assert_true(fabs(t->measures.objective - f) <= 1e-5 * f);
            assert_true(gradient_error(t, &v, data, order + 20, 3) < 3e-6); /* the last batch: 3 samples */
        }
        weights_free(&v);
        altmin_trainer_free(t);
    }
    altmin_data_free(classes);
    altmin_data_free(values);
}

static double weights_moved(const weights *v, const altmin_trainer *t)
{
    double worst = 0.0;
    weights now = weights_of(t);
    for (size_t l = 1; l <= t->net.n_layers; l++) {
        for (size_t i = 0; i < t->net.width[l] * t->net.width[l - 1]; i++)
            worst = fmax(worst, fabs((double)now.w[l][i] - (double)v->w[l][i]));
        for (size_t i = 0; i < t->net.width[l]; i++)
            worst = fmax(worst, fabs((double)now.b[l][i] - (double)v->b[l][i]));
    }
    weights_free(&now);
    return worst;
}

/* Whitened coordinates of all directions are the same network: without movement the objective is the plain network's loss and
 * folding gives the weights back. With movement the second pass goes on where the first one stopped. */
static void whitened_inputs_are_the_same_network(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 23, 4, 3);
    static const char *const batch[] = {"0", "5"}, *const drawn[] = {"0", "10"};
    for (int adam = 0; adam < 2; adam++)
        for (int i = 0; i < 4; i++) {
            altmin_trainer *t = problem_run(
                data, (const char *const[]){"method", adam ? "adam" : "sgd", "hidden", "5", "activation",
                                            "tanh", "rate", "1e-12", "batch", batch[i % 2], "mu", "0",
                                            "whiten", "1", "gram-samples", drawn[i / 2], NULL});
            weights v = weights_of(t);
            const double f = 23.0 * mean_loss(&v, t->net.act, 0, data, NULL, 23);
            for (int pass = 0; pass < 2; pass++) {
                sweep(t);
                assert_true(fabs(t->measures.objective - f) <= 1e-5 * f);
                assert_true(weights_moved(&v, t) < 1e-5);
            }
            weights_free(&v);
            altmin_trainer_free(t);
        }
    altmin_data_free(data);
}

/* --sweeps 1.4 of five batches: all of them, then two, whose loss stands for all samples. */
static void runs_end_inside_a_pass(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 23, 4, 3);
    altmin_trainer *t =
        problem_run(data, (const char *const[]){"method", "sgd", "hidden", "5", "activation", "tanh", "rate",
                                                "1e-12", "batch", "5", "mu", "0", "sweeps", "1.4", NULL});
    weights v = weights_of(t);
    sweep(t);
    const double all = 23.0 * mean_loss(&v, t->net.act, 0, data, NULL, 23);
    assert_true(fabs(t->measures.objective - all) <= 1e-5 * all);
    sweep(t);
    const double part = 23.0 * mean_loss(&v, t->net.act, 0, data, am_gradient_order(t->state), 10);
    assert_true(fabs(t->measures.objective - part) <= 1e-5 * part);
    assert_true(fabs(part - all) > 1e-3 * all);
    weights_free(&v);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

/* n_steps full-batch steps against the textbook, in double, from the gradients that the backend found. */
static void check_updates(const altmin_data *data, int adam, int cosine, const char *mu)
{
    enum { N_STEPS = 4 };
    const double rate = 0.05, b1 = adam ? 0.8 : 0.7, b2 = 0.95, eps = 1e-4, n = 23.0;
    altmin_trainer *t = problem_run(data, (const char *const[]){"method",     adam ? "adam" : "sgd",
                                                                "hidden",     "5",
                                                                "activation", "tanh",
                                                                "rate",       "0.05",
                                                                "momentum",   "0.7",
                                                                "beta1",      "0.8",
                                                                "beta2",      "0.95",
                                                                "adam-eps",   "1e-4",
                                                                "batch",      "0",
                                                                "mu",         mu,
                                                                "sweeps",     "4",
                                                                "schedule",   cosine ? "cosine" : "constant",
                                                                NULL});
    weights v = weights_of(t);
    double *m[2][4] = {{0}}, *s[2][4] = {{0}};
    for (int step = 1; step <= N_STEPS; step++) {
        const double now = cosine ? rate * 0.5 * (1.0 + cos(acos(-1.0) * (step - 1) / N_STEPS)) : rate;
        sweep(t);
        weights after = weights_of(t);
        for (size_t l = 1; l <= v.n_layers; l++)
            for (int block = 0; block < 2; block++) {
                double *x = block ? v.b[l] : v.w[l], *y = block ? after.b[l] : after.w[l], change2 = 0.0;
                const am_mat shape = am_gradient_value(t->state, l, block ? AM_BLOCK_B : AM_BLOCK_W);
                double *g = fetch(t, shape), **first = &m[block][l], **second = &s[block][l];
                if (!*first) *first = calloc(am_mat_len(shape), 8), *second = calloc(am_mat_len(shape), 8);
                for (size_t i = 0; i < am_mat_len(shape); i++) {
                    const double gi = g[i] + (block ? 0.0 : strtod(mu, NULL) / n * x[i]), old = x[i];
                    (*first)[i] = b1 * (*first)[i] + (adam ? 1.0 - b1 : 1.0) * gi;
                    (*second)[i] = b2 * (*second)[i] + (1.0 - b2) * gi * gi;
                    x[i] -= adam ? now * ((*first)[i] / (1.0 - pow(b1, step))) /
                                       (sqrt((*second)[i] / (1.0 - pow(b2, step))) + eps)
                                 : now * (*first)[i];
                    if (!(fabs(x[i] - y[i]) < 2e-6))
                        fail_msg("adam %d, step %d, layer %zu: %.9g, not %.9g", adam, step, l, y[i], x[i]);
                    change2 += (y[i] - old) * (y[i] - old);
                    x[i] = y[i]; /* judge each step by itself */
                }
                const double told = t->measures.layer[l].step2[block ? AM_BLOCK_B : AM_BLOCK_W];
                assert_true(fabs(told - change2) <= 1e-4 * change2 + 1e-12);
                free(g);
            }
        weights_free(&after);
    }
    for (size_t l = 1; l <= v.n_layers; l++)
        for (int block = 0; block < 2; block++) {
            free(m[block][l]);
            free(s[block][l]);
        }
    weights_free(&v);
    altmin_trainer_free(t);
}

static void updates_are_the_textbooks(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 23, 4, 3);
    for (int adam = 0; adam < 2; adam++)
        for (int cosine = 0; cosine < 2; cosine++) {
            check_updates(data, adam, cosine, "0");
            check_updates(data, adam, cosine, "2");
        }
    altmin_data_free(data);
}

/* The ridge belongs to the objective as well: F = sum of losses + mu/2 ||W||^2. */
static void objective_has_the_ridge(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 23, 4, 3);
    altmin_trainer *t =
        problem_run(data, (const char *const[]){"method", "sgd", "hidden", "5", "batch", "0", "mu", "3",
                                                "rate", "1e-12", "activation", "tanh", NULL});
    weights v = weights_of(t);
    double f = 23.0 * mean_loss(&v, t->net.act, 0, data, NULL, 23);
    for (size_t l = 1; l <= v.n_layers; l++)
        for (size_t i = 0; i < v.width[l] * v.width[l - 1]; i++) f += 1.5 * v.w[l][i] * v.w[l][i];
    sweep(t);
    assert_true(fabs(t->measures.objective - f) <= 1e-5 * f);
    weights_free(&v);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

/* Bit-identical weights for every run with one seed and every number of threads; another seed gives others. */
static void runs_repeat(void **state)
{
    (void)state;
    static const char *const methods[] = {"sgd", "adam"}, *const threads[] = {"1", "1", "2", "1"};
    altmin_data *data = problem_digits(700);
    for (int k = 0; k < 2; k++) {
        weights v[4];
        for (int i = 0; i < 4; i++) {
            altmin_trainer *t =
                problem_run(data, (const char *const[]){"method", methods[k], "hidden", "64", "batch", "100",
                                                        "scale", "unit", "backend", "cpu", "threads",
                                                        threads[i], "seed", i == 3 ? "2" : "1", NULL});
            for (int s = 0; s < 3; s++) sweep(t);
            v[i] = weights_of(t);
            altmin_trainer_free(t);
        }
        for (size_t l = 1; l <= 2; l++) {
            const size_t n_bytes = v[0].width[l] * v[0].width[l - 1] * sizeof(double);
            assert_memory_equal(v[0].w[l], v[1].w[l], n_bytes);
            assert_memory_equal(v[0].w[l], v[2].w[l], n_bytes);
            assert_true(memcmp(v[0].w[l], v[3].w[l], n_bytes) != 0);
        }
        for (int i = 0; i < 4; i++) weights_free(&v[i]);
    }
    altmin_data_free(data);
}

/* Sparse samples in full batches give the dense run's weights; in mini-batches they are refused with a way out. */
static void sparse_data_go_in_full_batches(void **state)
{
    (void)state;
    altmin_data *dense = problem_random(12, 40, 3, 9), *sparse = problem_sparse(dense, 0.0f);
    static const struct {
        const char *arch, *hidden;
        int stays; /* sparse: a first block adds its input to something, so it gets dense samples */
    } nets[] = {{"mlp", "8", 1}, {"resnet", "2x8", 1}, {"resnet", "2x12", 0}};
    for (int k = 0; k < 3; k++) {
        weights v[2];
        for (int i = 0; i < 2; i++) {
            altmin_trainer *t =
                problem_run(i ? sparse : dense,
                            (const char *const[]){"method", "adam", "arch", nets[k].arch, "hidden",
                                                  nets[k].hidden, "batch", "0", "rate", "0.01", NULL});
            assert_int_equal(am_input_is_sparse(&t->train.x), i && nets[k].stays);
            for (int s = 0; s < 10; s++) sweep(t);
            v[i] = weights_of(t);
            altmin_trainer_free(t);
        }
        for (size_t l = 1; l <= v[0].n_layers; l++)
            for (size_t e = 0; e < v[0].width[l] * v[0].width[l - 1]; e++)
                assert_true(fabs(v[0].w[l][e] - v[1].w[l][e]) < 1e-4);
        weights_free(&v[0]);
        weights_free(&v[1]);
    }
    altmin_settings *settings =
        problem_settings((const char *const[]){"method", "adam", "batch", "10", NULL});
    altmin_trainer *t = NULL;
    altmin_status st = {0};
    assert_int_equal(altmin_trainer_new(&t, settings, sparse, NULL, &st), ALTMIN_ERR_USAGE);
    assert_non_null(strstr(st.message, "--batch 0"));
    altmin_settings_free(settings);
    altmin_data_free(sparse);
    altmin_data_free(dense);
}

/* Presets as users get them: held-out digits. */
static void digits_are_learnt(void **state)
{
    (void)state;
    static const char *const methods[] = {"sgd", "adam"};
    altmin_data *train;
    altmin_status st = {0};
    assert_int_equal(altmin_data_load(&train, "digits", "train", NULL, &st), ALTMIN_OK);
    for (int k = 0; k < 2; k++) {
        altmin_settings *settings =
            problem_settings((const char *const[]){"method", methods[k], "hidden", "100", "batch", "25",
                                                   "sweeps", "15", "scale", "unit", "valid", "0.2", NULL});
        altmin_trainer *t = problem_trainer(train, settings);
        assert_int_equal(t->settings->init, AM_INIT_HE); /* the preset's */
        altmin_stop stop;
        assert_int_equal(altmin_trainer_run(t, NULL, NULL, &stop, &st), ALTMIN_OK);
        assert_true(t->result.last.feasibility == 0.0);
        if (!(t->result.last.valid.accuracy > 0.95))
            fail_msg("%s: %.4f", methods[k], t->result.last.valid.accuracy);
        altmin_trainer_free(t);
    }
    altmin_data_free(train);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_gradients),
        cmocka_unit_test(passes_see_every_sample_once),
        cmocka_unit_test(whitened_inputs_are_the_same_network),
        cmocka_unit_test(runs_end_inside_a_pass),
        cmocka_unit_test(updates_are_the_textbooks),
        cmocka_unit_test(objective_has_the_ridge),
        cmocka_unit_test(runs_repeat),
        cmocka_unit_test(sparse_data_go_in_full_batches),
        cmocka_unit_test(digits_are_learnt),
        cmocka_unit_test(deep_residual_networks_train),
    };
    return cmocka_run_group_tests_name("gradient", tests, NULL, NULL);
}
