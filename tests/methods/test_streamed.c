/* The published methods over the stream shell: each block and the weight step against their definitions in double, from the
 * state that the first full-batch chunk leaves; then whole runs. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/methods/streamed.h"
#include "host/train/stream.h"
#include "problems.h"

#define MAX_D 16
#define N     40

static const char *const method_names[] = {"mdlam", "tiam", "bcd", "dladmm", "radmm"};

/* A layer before its first step, in double; columns are samples. */
typedef struct layer_copy {
    size_t d, d_in;
    double w[MAX_D * MAX_D], b[MAX_D]; /* before the step */
    double dw[MAX_D * MAX_D], db[MAX_D];
    double in[MAX_D * N]; /* a_{l-1} of the lift */
    double z[MAX_D * N], r[MAX_D * N];
} layer_copy;

typedef struct first_step {
    altmin_data *data;
    altmin_trainer *t;
    size_t n_layers;
    layer_copy layer[6];
} first_step;

static const am_stream *stream_of(const altmin_trainer *t)
{
    return t->state;
}

static void fetch(const altmin_trainer *t, am_mat m, double *out)
{
    float *host = malloc((am_mat_len(m) + 1) * sizeof *host);
    assert_non_null(host);
    assert_int_equal(am_download(t->ctx, host, m, NULL), ALTMIN_OK);
    for (size_t i = 0; i < am_mat_len(m); i++) out[i] = (double)host[i];
    free(host);
}

static void sweep(altmin_trainer *t)
{
    altmin_status st = {0};
    t->method->sweep(t->state);
    if (am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, &st)) fail_msg("%s", st.message);
    t->method->measure(t->state, t->slot, &t->measures);
}

static void weights(const altmin_trainer *t, size_t l, double *w, double *b)
{
    fetch(t, t->method->weight(t->state, l), w);
    fetch(t, t->method->bias(t->state, l), b);
}

/* One undamped step on the full batch: e = 1, c_l = 1, beta = 0, no inertia, exact inverses. */
static first_step *take_step(const char *method)
{
    first_step *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->data = problem_random(6, N, 3, 5);
    const int residual = strcmp(method, "radmm") == 0;
    const char *const pairs[] = {"method",    method,
                                 "stream",    "yes",
                                 "hidden",    residual ? "5,5,5" : "7,5",
                                 "batch",     "0",
                                 "whiten",    "0",
                                 "rank",      "0",
                                 "eta",       "1",
                                 "warm",      "1",
                                 "boost",     "1",
                                 "momentum",  "0",
                                 "p1",        "0",
                                 "p2",        "0",
                                 "p3",        "0",
                                 "schedule",  "constant",
                                 "sweeps",    "3",
                                 "two-sided", "no",
                                 "lam",       "0.5",
                                 "backend",   "ref",
                                 "arch",      residual ? "resnet" : "mlp",
                                 NULL};
    f->t = problem_run(f->data, pairs);
    f->n_layers = f->t->net.n_layers;
    for (size_t l = 1; l <= f->n_layers; l++) weights(f->t, l, f->layer[l].w, f->layer[l].b);
    sweep(f->t);
    for (size_t l = 1; l <= f->n_layers; l++) {
        layer_copy *layer = &f->layer[l];
        double w[MAX_D * MAX_D], b[MAX_D];
        layer->d = f->t->net.width[l], layer->d_in = f->t->net.width[l - 1];
        weights(f->t, l, w, b);
        for (size_t i = 0; i < layer->d * layer->d_in; i++) layer->dw[i] = w[i] - layer->w[i];
        for (size_t i = 0; i < layer->d; i++) layer->db[i] = b[i] - layer->b[i];
        fetch(f->t, stream_of(f->t)->layer[l].r, layer->r);
        fetch(f->t, l == 1 ? f->t->train.x.dense : stream_of(f->t)->layer[l - 1].a, layer->in);
        for (size_t j = 0; j < N; j++)
            for (size_t i = 0; i < layer->d; i++) {
                double z = layer->b[i];
                for (size_t k = 0; k < layer->d_in; k++)
                    z += layer->w[i + k * layer->d] * layer->in[k + j * layer->d_in];
                layer->z[i + j * layer->d] = z;
            }
    }
    return f;
}

static void free_step(first_step *f)
{
    altmin_trainer_free(f->t);
    altmin_data_free(f->data);
    free(f);
}

/* ---------------------------------------------------------------------------------------------- weights */

/* The step D = [dW db] of layer l zeroes the gradient of 1/(2n) ||D [a;1] - r||^2 + c/2 ||D||^2. */
static void check_weight_step(const char *method, const layer_copy *layer, size_t l)
{
    double trace = 1.0, size = 0.0, worst = 0.0;
    for (size_t i = 0; i < layer->d_in * N; i++) trace += layer->in[i] * layer->in[i] / N;
    const double c = 0.5 * trace / (double)(layer->d_in + 1);
    for (size_t i = 0; i < layer->d; i++)
        for (size_t k = 0; k <= layer->d_in; k++) {
            double gradient = c * (k < layer->d_in ? layer->dw[i + k * layer->d] : layer->db[i]), pull = 0.0;
            for (size_t j = 0; j < N; j++) {
                double moved = layer->db[i];
                const double a = k < layer->d_in ? layer->in[k + j * layer->d_in] : 1.0;
                for (size_t q = 0; q < layer->d_in; q++)
                    moved += layer->dw[i + q * layer->d] * layer->in[q + j * layer->d_in];
                gradient += (moved - layer->r[i + j * layer->d]) * a / N;
                pull += layer->r[i + j * layer->d] * a / N;
            }
            worst = fmax(worst, fabs(gradient));
            size = fmax(size, fabs(pull));
        }
    assert_true(size > 1e-6);
    if (!(worst < 2e-4 * size)) fail_msg("%s, layer %zu: gradient %g of %g left", method, l, worst, size);
}

static void weight_step_is_the_proximal_block(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++) {
        first_step *f = take_step(method_names[i]);
        for (size_t l = 1; l <= f->n_layers; l++) check_weight_step(method_names[i], &f->layer[l], l);
        free_step(f);
    }
}

/* ---------------------------------------------------------------------------------------------- blocks */

/* x <- (W'W + c I)^-1 x by elimination. */
static void solve_block(const layer_copy *above, double c, double *x)
{
    const size_t n = above->d_in;
    double m[MAX_D * MAX_D];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            m[i + k * n] = i == k ? c : 0.0;
            for (size_t q = 0; q < above->d; q++)
                m[i + k * n] += above->w[q + i * above->d] * above->w[q + k * above->d];
        }
    for (size_t p = 0; p < n; p++)
        for (size_t i = p + 1; i < n; i++) {
            const double f = m[i + p * n] / m[p + p * n];
            for (size_t k = p; k < n; k++) m[i + k * n] -= f * m[p + k * n];
            x[i] -= f * x[p];
        }
    for (size_t p = n; p-- > 0;) {
        for (size_t k = p + 1; k < n; k++) x[p] -= m[p + k * n] * x[k];
        x[p] /= m[p + p * n];
    }
}

/* W'r of sample j. */
static void down(const layer_copy *above, const double *r, double *out)
{
    for (size_t k = 0; k < above->d_in; k++) {
        out[k] = 0.0;
        for (size_t i = 0; i < above->d; i++) out[k] += above->w[i + k * above->d] * r[i];
    }
}

/* argmin_u 1/2 (max(u, 0) - a)^2 + g/2 (u - b)^2 by its two branches. */
static double relu_prox(double a, double b, double g)
{
    const double p = fmax((a + g * b) / (1.0 + g), 0.0), q = fmin(b, 0.0);
    return (p - a) * (p - a) + g * (p - b) * (p - b) < a * a + g * (q - b) * (q - b) ? p : q;
}

static void expect(const char *method, size_t l, const char *what, double is, double should)
{
    if (!(fabs(is - should) < 2e-4 * (1e-2 + fabs(should))))
        fail_msg("%s, layer %zu, %s: %.9g, should be %.9g", method, l, what, is, should);
}

/* r_L of sample j: argmin CE(z) + 1/2 ||z - z_L||^2 minus z_L, by 300 small gradient steps. */
static void output_target(const first_step *f, size_t j, double *r)
{
    const layer_copy *out = &f->layer[f->n_layers];
    const double *z = out->z + j * out->d;
    for (size_t i = 0; i < out->d; i++) r[i] = 0.0;
    for (int step = 0; step < 300; step++) {
        double sum = 0.0, e[MAX_D];
        for (size_t i = 0; i < out->d; i++) sum += e[i] = exp(z[i] + r[i]);
        for (size_t i = 0; i < out->d; i++)
            r[i] -= 0.5 * (e[i] / sum - (f->t->train.host_label[j] == (int32_t)i) + r[i]);
    }
}

static void box_blocks_meet_their_definition(void **state)
{
    (void)state;
    for (size_t which = 0; which < 2; which++) {
        first_step *f = take_step(method_names[which]);
        for (size_t l = f->n_layers; l-- > 1;) {
            const layer_copy *layer = &f->layer[l], *above = &f->layer[l + 1];
            double v[MAX_D], u[MAX_D], tau = 0.0, mean = 0.0;
            for (size_t i = 0; i < layer->d; i++) v[i] = 1.0;
            for (int k = 0; k < 1000; k++) {
                double wv[MAX_D] = {0}, norm = 0.0;
                for (size_t q = 0; q < above->d; q++)
                    for (size_t i = 0; i < layer->d; i++) wv[q] += above->w[q + i * above->d] * v[i];
                down(above, wv, u);
                for (size_t i = 0; i < layer->d; i++) norm += u[i] * u[i];
                tau = sqrt(norm);
                for (size_t i = 0; i < layer->d; i++) v[i] = u[i] / tau;
            }
            for (size_t i = 0; i < layer->d * N; i++) mean += fmax(layer->z[i], 0.0) / (double)(layer->d * N);
            size_t n_clipped = 0, n_free = 0;
            for (size_t j = 0; j < N; j++) {
                down(above, above->r + j * above->d, u);
                for (size_t i = 0; i < layer->d; i++) {
                    const double d = u[i] / (1.05 * tau), limit = 0.3 * mean;
                    const double moved = fmin(fmax(d, -limit), limit);
                    const int active = layer->z[i + j * layer->d] > 0.0;
                    if (active) *(fabs(d) > limit ? &n_clipped : &n_free) += 1;
                    expect(method_names[which], l, "r", layer->r[i + j * layer->d], active ? moved : 0.0);
                }
            }
            assert_true(n_free > 0);
            if (l == 1) assert_true(n_clipped + n_free > N);
        }
        free_step(f);
    }
}

static void split_blocks_meet_their_definition(void **state)
{
    (void)state;
    for (size_t which = 2; which < 4; which++) {
        first_step *f = take_step(method_names[which]);
        const double c = which == 2 ? 3.0 : 1.0; /* gamma/rho of the presets */
        for (size_t j = 0; j < N; j++) {
            double r[MAX_D], d[MAX_D];
            output_target(f, j, r);
            for (size_t l = f->n_layers; l-- > 1;) {
                const layer_copy *layer = &f->layer[l], *above = &f->layer[l + 1];
                down(above, r, d);
                solve_block(above, c, d);
                for (size_t i = 0; i < above->d; i++) {
                    double target = r[i];
                    if (which == 3 && l + 1 == f->n_layers) { /* with the multiplier u = z_L - m_L(new a) */
                        target = 2.0 * r[i];
                        for (size_t k = 0; k < layer->d; k++) target -= above->w[i + k * above->d] * d[k];
                    }
                    expect(method_names[which], l + 1, "r", above->r[i + j * above->d], target);
                }
                for (size_t i = 0; i < layer->d; i++) {
                    const double z = layer->z[i + j * layer->d];
                    r[i] = relu_prox(fmax(z, 0.0) + d[i], z, 1.0 / c) - z;
                    if (l == 1) expect(method_names[which], 1, "r", layer->r[i + j * layer->d], r[i]);
                }
            }
        }
        free_step(f);
    }
}

static void skip_blocks_meet_their_definition(void **state)
{
    (void)state;
    first_step *f = take_step("radmm");
    assert_int_equal(f->n_layers, 5); /* input map, three blocks, head */
    for (size_t j = 0; j < N; j++) {
        double r[MAX_D], e[MAX_D] = {0}, d[MAX_D];
        output_target(f, j, r);
        for (size_t l = f->n_layers; l-- > 1;) {
            const layer_copy *layer = &f->layer[l], *above = &f->layer[l + 1];
            const int head = l + 1 == f->n_layers;
            for (size_t i = 0; i < above->d; i++)
                expect("radmm", l + 1, "r", above->r[i + j * above->d], r[i]);
            down(above, r, d);
            for (size_t i = 0; i < layer->d && !head; i++) d[i] += e[i]; /* nu = rho = 1 */
            solve_block(above, head ? 1.1 : 2.1, d);
            for (size_t i = 0; i < layer->d; i++) {
                const double z = layer->z[i + j * layer->d], moved = relu_prox(fmax(z, 0.0) + d[i], z, 1.1);
                e[i] = fmax(z, 0.0) + d[i] - fmax(moved, 0.0);
                r[i] = l == 1 ? d[i] : moved - z;
            }
        }
        for (size_t i = 0; i < 5; i++) expect("radmm", 1, "r", f->layer[1].r[i + j * 5], r[i]);
    }
    free_step(f);
}

/* ---------------------------------------------------------------------------------------------- whole runs */

static altmin_trainer *digits_run(const altmin_data *data, const char *method, const char *threads,
                                  const char *hidden, const char *backend)
{
    return problem_run(data, (const char *const[]){"method", method, "stream", "yes", "hidden", hidden,
                                                   "scale", "unit", "sweeps", "6", "threads", threads,
                                                   "batch", "50", "backend", backend, NULL});
}

static double run_accuracy(altmin_trainer *t)
{
    altmin_status st = {0};
    const am_run_result *result;
    if (am_trainer_run(t, NULL, 0, NULL, &result, &st)) fail_msg("%s", st.message);
    return result->last.train.accuracy;
}

static void every_method_learns_digits(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(1000);
    for (size_t i = 0; i < 5; i++) {
        altmin_trainer *t = digits_run(data, method_names[i], "1", "40,40", "cpu");
        const double accuracy = run_accuracy(t);
        if (!(accuracy > 0.93)) fail_msg("%s: accuracy %g", method_names[i], accuracy);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

/* Ten layers: the loss stays finite and the network learns. */
static void exact_blocks_train_ten_layers(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(1400);
    static const char *const deep[] = {"bcd", "dladmm", "radmm"};
    for (size_t i = 0; i < 3; i++) {
        altmin_trainer *t = digits_run(data, deep[i], "1", "9x40", "cpu");
        const double accuracy = run_accuracy(t);
        if (!(accuracy > 0.6)) fail_msg("%s: accuracy %g", deep[i], accuracy);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

static void same_bits_for_every_thread_count(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(300);
    for (size_t i = 0; i < 5; i++) {
        altmin_trainer *t[2] = {digits_run(data, method_names[i], "1", "20,20", "cpu"),
                                digits_run(data, method_names[i], "3", "20,20", "cpu")};
        for (int k = 0; k < 2; k++) sweep(t[k]), sweep(t[k]);
        for (size_t l = 1; l <= t[0]->net.n_layers; l++) {
            double w[2][20 * 64], b[2][20];
            for (int k = 0; k < 2; k++) weights(t[k], l, w[k], b[k]);
            const size_t n = t[0]->net.width[l] * t[0]->net.width[l - 1];
            for (size_t q = 0; q < n; q++) assert_true(w[0][q] == w[1][q]);
        }
        for (int k = 0; k < 2; k++) altmin_trainer_free(t[k]);
    }
    altmin_data_free(data);
}

static void ref_and_cpu_agree(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(200);
    for (size_t i = 0; i < 5; i++) {
        altmin_trainer *t[2] = {digits_run(data, method_names[i], "1", "20,20", "ref"),
                                digits_run(data, method_names[i], "1", "20,20", "cpu")};
        for (int k = 0; k < 2; k++) sweep(t[k]);
        for (size_t l = 1; l <= t[0]->net.n_layers; l++) {
            double w[2][20 * 64], b[2][20], worst = 0.0, size = 0.0;
            for (int k = 0; k < 2; k++) weights(t[k], l, w[k], b[k]);
            const size_t n = t[0]->net.width[l] * t[0]->net.width[l - 1];
            for (size_t q = 0; q < n; q++)
                worst = fmax(worst, fabs(w[0][q] - w[1][q])), size = fmax(size, fabs(w[0][q]));
            if (!(worst < 2e-3 * size)) fail_msg("%s, layer %zu: %g of %g", method_names[i], l, worst, size);
        }
        for (int k = 0; k < 2; k++) altmin_trainer_free(t[k]);
    }
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- refusals */

static void expect_refusal(const altmin_data *data, const char *const *pairs, const char *words)
{
    altmin_status st = {0};
    altmin_trainer *t = NULL;
    altmin_settings *settings = problem_settings(pairs);
    assert_int_equal(altmin_trainer_new(&t, settings, data, NULL, &st), ALTMIN_ERR_USAGE);
    if (!strstr(st.message, words)) fail_msg("'%s' does not say '%s'", st.message, words);
    altmin_settings_free(settings);
}

static void what_cannot_work_is_refused(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(50);
    expect_refusal(data, (const char *const[]){"method", "adam", "stream", "yes", NULL}, "no stream mode");
    expect_refusal(data, (const char *const[]){"method", "bcd", "stream", "yes", "activation", "tanh", NULL},
                   "ReLU alone");
    expect_refusal(data, (const char *const[]){"method", "mdlam", "stream", "yes", "thin", "0.3", NULL},
                   "thin");
    expect_refusal(data, (const char *const[]){"method", "tiam", "stream", "yes", "mu", "1", NULL}, "ridge");
    altmin_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_step_is_the_proximal_block),
        cmocka_unit_test(box_blocks_meet_their_definition),
        cmocka_unit_test(split_blocks_meet_their_definition),
        cmocka_unit_test(skip_blocks_meet_their_definition),
        cmocka_unit_test(every_method_learns_digits),
        cmocka_unit_test(exact_blocks_train_ten_layers),
        cmocka_unit_test(same_bits_for_every_thread_count),
        cmocka_unit_test(ref_and_cpu_agree),
        cmocka_unit_test(what_cannot_work_is_refused),
    };
    return cmocka_run_group_tests_name("streamed", tests, NULL, NULL);
}
