/* The whole sweep against a second implementation in double (oracle.c), and its claims about equivalent computations: normal
 * and sample form, dense and sparse input, ref and cpu, one run and the same run again. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "oracle.h"
#include "problems.h"

static am_layer_measures *layers(altmin_trainer *t)
{
    return t->measures.layer;
}

static void sweeps(altmin_trainer *t, size_t n)
{
    for (size_t i = 0; i < n; i++) t->method->sweep(t->state);
    assert_int_equal(am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, NULL), ALTMIN_OK);
    t->method->measure(t->state, t->slot, &t->measures);
}

static double relative_difference(const double *a, const double *b, size_t n)
{
    double d = 0.0, s = 0.0;
    for (size_t i = 0; i < n; i++) {
        d += (a[i] - b[i]) * (a[i] - b[i]);
        s += b[i] * b[i];
    }
    return sqrt(d / (s > 0 ? s : 1));
}

/* Largest relative difference of any W, b, z, a between a trainer and the oracle. */
static double distance(const altmin_trainer *t, const altmin_data *data, const oracle *o)
{
    oracle *mine = oracle_of(t, data);
    double worst = 0.0;
    for (size_t l = 1; l <= o->n_layers; l++) {
        worst = fmax(worst, relative_difference(mine->w[l], o->w[l], o->width[l] * o->width[l - 1]));
        worst = fmax(worst, relative_difference(mine->b[l], o->b[l], o->width[l]));
        worst = fmax(worst, relative_difference(mine->z[l], o->z[l], o->width[l] * o->n));
        if (l < o->n_layers)
            worst = fmax(worst, relative_difference(mine->a[l], o->a[l], o->width[l] * o->n));
    }
    oracle_free(mine);
    return worst;
}

static void compare_with_oracle(const char *act, const char *accel, const char *step, size_t n_classes,
                                const char *form)
{
    const char *const pairs[] = {
        "hidden",    "7,5", "activation", act,   "accel",   accel, "step", step, "rho",  "0.3", "mu", "0.05",
        "eps-start", "0.4", "eps-floor",  "0.4", "backend", "ref", "form", form, "init", "he",  NULL};
    altmin_data *data = problem_random(6, 40, n_classes, 5);
    altmin_trainer *t = problem_run(data, pairs);
    oracle *o = oracle_of(t, data);
    for (int k = 0; k < 6; k++) {
        /* tau is a free choice of the method within its bound: compare on the one it took, and check the bound itself */
        double lambda[ORACLE_MAX_LAYERS + 1] = {0}, exact[ORACLE_MAX_LAYERS + 1] = {0};
        for (size_t l = 1; l < o->n_layers; l++) exact[l] = oracle_lambda(o, l + 1);
        sweeps(t, 1);
        for (size_t l = 1; l < o->n_layers; l++) {
            lambda[l] = am_relaxed_lambda(t->state, t->slot, l);
            const double tau = lambda[l] * t->settings->rho;
            assert_true(lambda[l] >= exact[l] * (1 - 1e-6));
            if (o->backtracking) /* 1, 2, 4, ...: the first that admits every step */
                assert_true(exp2(round(log2(tau))) == tau && (tau == 1.0 || lambda[l] < 2 * 1.05 * exact[l]));
            else
                assert_true(lambda[l] <= exact[l] * 1.05);
        }
        oracle_sweep(o, lambda);
    }
    const double d = distance(t, data, o);
    if (!(d < 2e-4))
        fail_msg("%s %s %s %zu classes, %s form: relative difference %g", act, accel, step, n_classes, form,
                 d);
    oracle_free(o);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

static void sweep_equals_oracle(void **state)
{
    (void)state;
    static const char *const acts[] = {"relu", "leaky-relu", "identity"};
    static const char *const forms[] = {"normal", "sample"};
    for (int a = 0; a < 3; a++)
        for (int f = 0; f < 2; f++) {
            compare_with_oracle(acts[a], "none", "cauchy", 3, forms[f]);
            compare_with_oracle(acts[a], "nesterov", "cauchy", 3, forms[f]);
            compare_with_oracle(acts[a], "nesterov", "backtracking", 3, forms[f]);
            compare_with_oracle(acts[a], "nesterov", "cauchy", 0, forms[f]);
        }
}

/* Difference of W between two trainers after the same number of sweeps. */
static double weight_difference(const altmin_trainer *a, const altmin_trainer *b)
{
    double worst = 0.0;
    for (size_t l = 1; l <= a->net.n_layers; l++) {
        const am_mat wa = a->method->weight(a->state, l), wb = b->method->weight(b->state, l);
        double d = 0.0, s = 0.0;
        for (size_t i = 0; i < am_mat_len(wa); i++) {
            d += pow((double)wa.data[i] - (double)wb.data[i], 2);
            s += pow((double)wb.data[i], 2);
        }
        worst = fmax(worst, sqrt(d / s));
    }
    return worst;
}

static int weights_identical(const altmin_trainer *a, const altmin_trainer *b)
{
    for (size_t l = 1; l <= a->net.n_layers; l++) {
        const am_mat wa = a->method->weight(a->state, l), wb = b->method->weight(b->state, l);
        if (memcmp(wa.data, wb.data, am_mat_len(wa) * sizeof(float)) != 0) return 0;
    }
    return 1;
}

static void forms_agree(void **state)
{
    (void)state;
    static const char *const steps[] = {"cauchy", "backtracking", "exact"};
    static const size_t n_samples[] = {25, 80};
    for (int s = 0; s < 3; s++)
        for (int n = 0; n < 2; n++) {
            altmin_data *data = problem_random(40, n_samples[n], 3, 9);
            altmin_trainer *t[2];
            for (int f = 0; f < 2; f++) {
                const char *const pairs[] = {"hidden",  "12,8", "rho",  "0.1",
                                             "mu",      "0.1",  "step", steps[s],
                                             "backend", "cpu",  "form", f ? "sample" : "normal",
                                             NULL};
                t[f] = problem_run(data, pairs);
                sweeps(t[f], 10);
            }
            const double d = weight_difference(t[0], t[1]);
            if (!(d < 2e-3)) fail_msg("%s, %zu samples: forms differ by %g", steps[s], n_samples[n], d);
            assert_false(weights_identical(t[0], t[1])); /* two computations, not one */
            altmin_trainer_free(t[0]);
            altmin_trainer_free(t[1]);
            altmin_data_free(data);
        }
}

static void sparse_input_equals_dense(void **state)
{
    (void)state;
    static const char *const steps[] = {"cauchy", "exact"};
    static const char *const forms[] = {"normal", "sample"};
    altmin_data *full = problem_random(30, 60, 3, 3), *sparse = problem_sparse(full, 0.8f);
    float *x = malloc(30 * 60 * sizeof *x);
    am_data_dense(sparse, NULL, 0, 60, x);
    altmin_data *dense;
    assert_int_equal(altmin_data_from_arrays(&dense, x, 30, 60, full->label, 3, NULL, 0, NULL), ALTMIN_OK);
    for (int s = 0; s < 2; s++)
        for (int f = 0; f < 2; f++) {
            const char *const pairs[] = {"hidden", "8",      "rho",  "0.1",    "mu", "0.1",
                                         "step",   steps[s], "form", forms[f], NULL};
            altmin_trainer *a = problem_run(sparse, pairs), *b = problem_run(dense, pairs);
            assert_true(a->train.x.sparse.start != NULL && b->train.x.sparse.start == NULL);
            sweeps(a, 8);
            sweeps(b, 8);
            assert_true(weight_difference(a, b) < 1e-3);
            altmin_trainer_free(a);
            altmin_trainer_free(b);
        }
    free(x);
    altmin_data_free(full);
    altmin_data_free(sparse);
    altmin_data_free(dense);
}

/* Parity: the objective of ref and cpu over the first 20 sweeps within a relative 1e-3, rounding amplified by 20 sweeps. */
static void ref_and_cpu_agree(void **state)
{
    (void)state;
    static const char *const acts[] = {"relu", "tanh", "sigmoid", "softplus", "elu"};
    altmin_data *data = problem_digits(200);
    for (int a = 0; a < 5; a++) {
        altmin_trainer *t[2];
        for (int b = 0; b < 2; b++) {
            const char *const pairs[] = {"hidden", "16,12", "activation", acts[a],           "scale", "unit",
                                         "rho",    "0.01",  "backend",    b ? "cpu" : "ref", NULL};
            t[b] = problem_run(data, pairs);
        }
        for (int k = 0; k < 20; k++) {
            sweeps(t[0], 1);
            sweeps(t[1], 1);
            const double f0 = t[0]->measures.objective, f1 = t[1]->measures.objective;
            if (!(fabs(f0 - f1) <= 1e-3 * fabs(f0)))
                fail_msg("%s, sweep %d: %.9g on ref, %.9g on cpu", acts[a], k, f0, f1);
        }
        altmin_trainer_free(t[0]);
        altmin_trainer_free(t[1]);
    }
    altmin_data_free(data);
}

static void runs_are_bit_identical(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(500);
    static const char *const seeds[] = {"7", "7", "8"};
    altmin_trainer *t[3];
    for (int i = 0; i < 3; i++) {
        const char *const pairs[] = {"hidden",  "50,30", "scale",   "unit", "seed", seeds[i],
                                     "backend", "cpu",   "threads", "2",    NULL};
        t[i] = problem_run(data, pairs);
        sweeps(t[i], 12);
    }
    assert_true(weights_identical(t[0], t[1]));
    assert_false(weights_identical(t[0], t[2]));
    for (int i = 0; i < 3; i++) altmin_trainer_free(t[i]);
    altmin_data_free(data);
}

/* What measure says about a sweep is what the blocks did. */
static void measures_are_true(void **state)
{
    (void)state;
    const char *const pairs[] = {"hidden",    "9,6", "rho",     "0.2", "mu", "0.03",
                                 "eps-start", "0.5", "backend", "ref", NULL};
    for (size_t n_classes = 0; n_classes <= 4; n_classes += 4) {
        altmin_data *data = problem_random(8, 50, n_classes, 2);
        altmin_trainer *t = problem_run(data, pairs);
        for (int k = 0; k < 5; k++) {
            oracle *before = oracle_of(t, data);
            sweeps(t, 1);
            oracle *after = oracle_of(t, data);
            double scale;
            assert_true(fabs(oracle_objective(after, &scale) - t->measures.objective) <=
                        1e-5 * t->measures.objective);
            for (size_t l = 1; l <= t->net.n_layers; l++) {
                double step2 = 0.0;
                for (size_t i = 0; i < after->width[l] * after->width[l - 1]; i++)
                    step2 += pow(after->w[l][i] - before->w[l][i], 2);
                assert_true(fabs(step2 - layers(t)[l].step2[AM_BLOCK_W]) <= 1e-4 * step2 + 1e-12);
                step2 = 0.0;
                for (size_t i = 0; i < after->width[l] * after->n; i++)
                    step2 += pow(after->z[l][i] - before->z[l][i], 2);
                assert_true(fabs(step2 - layers(t)[l].step2[AM_BLOCK_Z]) <= 1e-4 * step2 + 1e-12);
            }
            assert_true(fabs(oracle_worst_box(after) - fmax(layers(t)[1].box, layers(t)[2].box)) < 1e-6);
            oracle_free(before);
            oracle_free(after);
        }
        altmin_trainer_free(t);
        altmin_data_free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sweep_equals_oracle),       cmocka_unit_test(forms_agree),
        cmocka_unit_test(sparse_input_equals_dense), cmocka_unit_test(ref_and_cpu_agree),
        cmocka_unit_test(runs_are_bit_identical),    cmocka_unit_test(measures_are_true),
    };
    return cmocka_run_group_tests_name("mdlam_sweep", tests, NULL, NULL);
}
