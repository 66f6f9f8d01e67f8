/* Every block update solves the sub-problem that its doc comment states: gradients against central differences of phi in
 * double, step lengths against a line search, minimisers against perturbations, decisions against the change itself. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/train/rng.h"
#include "host/train/steps.h"

#define D_IN  5
#define D_OUT 4
#define N     9
#define RHO   0.7
#define MU    0.2

/* One layer with everything its steps touch, on a backend with host memory so that the test can look at it. */
typedef struct bench {
    am_ctx *ctx;
    float *memory;
    size_t used;
    am_common_slots common;
    am_weight_work work;
    am_weight_step step;
    am_input a;
    am_mat w_old; /* copy of w_prev before a step overwrites it */
} bench;

static am_mat take(bench *t, size_t rows, size_t cols)
{
    const am_mat m = {t->memory + t->used, rows, cols};
    t->used += (rows * cols + 1) / 2 * 2; /* factors are double */
    return m;
}

static am_mat take_random(bench *t, size_t rows, size_t cols, uint32_t stream)
{
    const am_mat m = take(t, rows, cols);
    am_rng_normal(m.data, rows * cols, 1.0, 11, stream);
    return m;
}

static void make_common(bench *t)
{
    const am_slot s = am_slots_new(t->ctx, 9);
    t->common = (am_common_slots){s, s + 1, s + 2, s + 3, s + 4, s + 5, s + 6, s + 7, s + 8};
    const double value[] = {0.0, 1.0, -1.0, RHO, MU, 1.0 / N, 0.3, 0.6, 1.02};
    am_slots_write(t->ctx, s, 9, value);
}

static bench *bench_new(am_backend_kind kind, int form)
{
    bench *t = calloc(1, sizeof *t);
    t->memory = aligned_alloc(64, 1 << 16);
    assert_int_equal(am_backend_open(&t->ctx, kind, NULL, NULL), ALTMIN_OK);
    make_common(t);
    am_weight_work *work = &t->work;
    am_mat *const small[] = {&work->d, &work->da, &work->g, &work->ga, &work->gw}, *const wide[] = {
                                                                                       &work->r, &work->dx,
                                                                                       &work->gx};
    for (int i = 0; i < 5; i++) *small[i] = take(t, D_OUT * D_IN, 1);
    for (int i = 0; i < 3; i++) *wide[i] = take(t, D_OUT * N, 1);
    work->cov = take(t, N, N), work->ones = take(t, N, 1), work->mean = take(t, N, 1),
    work->total = take(t, 1, 1);
    t->a.dense = take_random(t, D_IN, N, 1);
    t->a.sum = take(t, D_IN, 1);
    t->step = (am_weight_step){.form = form, .rule = AM_SCALAR_CAUCHY, .rho = (float)RHO, .mu = (float)MU};
    t->step.w = take_random(t, D_OUT, D_IN, 2);
    t->step.w_prev = take_random(t, D_OUT, D_IN, 3);
    t->w_old = take(t, D_OUT, D_IN);
    t->step.b = take_random(t, D_OUT, 1, 4);
    t->step.z = take_random(t, D_OUT, N, 5);
    t->step.p = take(t, D_OUT, N);
    t->step.s_z = take(t, D_OUT, 1);
    t->step.gram = take(t, D_IN, D_IN);
    t->step.a = &t->a, t->step.work = work, t->step.common = &t->common,
    t->step.slot = am_weight_slots_new(t->ctx);
    am_row_sum(t->ctx, t->a.sum, t->a.dense);
    am_row_sum(t->ctx, t->step.s_z, t->step.z);
    am_step_gram(t->ctx, t->step.gram, &t->a);
    am_input_apply(t->ctx, t->step.p, 1.0f, t->step.w, &t->a, 0.0f);
    am_copy(t->ctx, t->w_old, t->step.w_prev);
    return t;
}

static void bench_free(bench *t)
{
    altmin_status st = {0};
    if (am_ctx_status(t->ctx, &st)) fail_msg("%s", st.message);
    am_backend_close(t->ctx);
    free(t->memory);
    free(t);
}

static double slot(bench *t, am_slot s)
{
    double value;
    assert_int_equal(am_slots_read(t->ctx, s, 1, &value, NULL), ALTMIN_OK);
    return value;
}

/* phi(W, b) = rho/2 ||W a + b 1' - z||^2 + mu/2 ||W||^2 in double; W = w + t (e - w) when e is given. */
static double phi(const bench *t, const double *w, const double *b)
{
    double f = 0.0;
    for (size_t j = 0; j < N; j++)
        for (size_t i = 0; i < D_OUT; i++) {
            double r = b[i] - (double)t->step.z.data[i + j * D_OUT];
            for (size_t k = 0; k < D_IN; k++) r += w[i + k * D_OUT] * (double)t->a.dense.data[k + j * D_IN];
            f += 0.5 * RHO * r * r;
        }
    for (size_t e = 0; e < D_OUT * D_IN; e++) f += 0.5 * MU * w[e] * w[e];
    return f;
}

static void widen(double *out, am_mat m)
{
    for (size_t e = 0; e < am_mat_len(m); e++) out[e] = (double)m.data[e];
}

#define FOR_BACKENDS_AND_FORMS                                                                               \
    for (am_backend_kind kind = AM_BACKEND_REF; kind <= AM_BACKEND_CPU; kind++)                              \
        for (int form = AM_FORM_NORMAL; form <= AM_FORM_SAMPLE; form++)

/* Without acceleration W+ = W - G/theta: G by central differences, 1/theta by a line search along it. */
static void weight_gradient_and_length(void **state)
{
    (void)state;
    FOR_BACKENDS_AND_FORMS
    {
        bench *t = bench_new(kind, form);
        double w[D_OUT * D_IN], b[D_OUT], moved[D_OUT * D_IN], g[D_OUT * D_IN];
        widen(w, t->step.w), widen(b, t->step.b);
        am_step_weight_gradient(t->ctx, &t->step);
        const double inv_theta = slot(t, t->step.slot.inv_theta), h = 1e-4;
        for (size_t e = 0; e < D_OUT * D_IN; e++) {
            double up[D_OUT * D_IN], down[D_OUT * D_IN];
            memcpy(up, w, sizeof w), memcpy(down, w, sizeof w);
            up[e] += h, down[e] -= h;
            g[e] = (phi(t, up, b) - phi(t, down, b)) / (2 * h);
            moved[e] = (double)t->step.w_prev.data[e];
            assert_true(fabs((w[e] - moved[e]) / inv_theta - g[e]) < 1e-4 * (1 + fabs(g[e])));
        }
        const double best = phi(t, moved, b);
        for (double factor = 0.9; factor < 1.2;
             factor += 0.2) { /* shorter and longer steps along G are worse */
            double other[D_OUT * D_IN];
            for (size_t e = 0; e < D_OUT * D_IN; e++) other[e] = w[e] - factor * inv_theta * g[e];
            assert_true(phi(t, other, b) > best);
        }
        bench_free(t);
    }
}

/* With acceleration the step starts at Wbar, and slot change is phi(W+) - phi(W). */
static void weight_change_is_the_change(void **state)
{
    (void)state;
    FOR_BACKENDS_AND_FORMS
    {
        bench *t = bench_new(kind, form);
        double w[D_OUT * D_IN], b[D_OUT], next[D_OUT * D_IN];
        widen(w, t->step.w), widen(b, t->step.b);
        t->step.accelerate = 1, t->step.guard = 1;
        am_slot_set(t->ctx, t->common.momentum, 0.1); /* mild, so that the guard need not fire */
        am_step_weight_gradient(t->ctx, &t->step);
        widen(next, t->step.w_prev);
        assert_true(slot(t, t->step.slot.fired) == 0.0);
        const double change = phi(t, next, b) - phi(t, w, b);
        assert_true(fabs(slot(t, t->step.slot.change) - change) < 1e-4 * fabs(change));
        double step2 = 0.0;
        for (size_t e = 0; e < D_OUT * D_IN; e++) step2 += (next[e] - w[e]) * (next[e] - w[e]);
        assert_true(fabs(slot(t, t->step.slot.step2) - step2) < 1e-4 * step2);
        bench_free(t);
    }
}

/* A wild extrapolation: the guard fires and leaves exactly what the plain step gives, in W and in p. */
static void guard_falls_back_to_the_plain_step(void **state)
{
    (void)state;
    FOR_BACKENDS_AND_FORMS
    {
        bench *t = bench_new(kind, form), *plain = bench_new(kind, form);
        t->step.accelerate = 1, t->step.guard = 1;
        am_slot_set(t->ctx, t->common.momentum, 50.0);
        am_step_weight_gradient(t->ctx, &t->step);
        am_step_weight_gradient(plain->ctx, &plain->step);
        assert_true(slot(t, t->step.slot.fired) == 1.0);
        assert_memory_equal(t->step.w_prev.data, plain->step.w_prev.data, D_OUT * D_IN * sizeof(float));
        for (size_t e = 0; e < D_OUT * N; e++)
            assert_true(fabsf(t->step.p.data[e] - plain->step.p.data[e]) < 1e-4f);
        bench_free(t);
        bench_free(plain);
    }
}

/* theta doubles from 1 until it reaches q: at least q, less than 2 q unless it is 1. */
static void backtracking_doubles(void **state)
{
    (void)state;
    FOR_BACKENDS_AND_FORMS
    {
        bench *t = bench_new(kind, form), *cauchy = bench_new(kind, form);
        t->step.rule = AM_SCALAR_BACKTRACKING;
        am_step_weight_gradient(t->ctx, &t->step);
        am_step_weight_gradient(cauchy->ctx, &cauchy->step);
        const double theta = 1.0 / slot(t, t->step.slot.inv_theta),
                     q = 1.0 / slot(cauchy, cauchy->step.slot.inv_theta);
        assert_true(theta >= q && (theta == 1.0 || theta < 2 * q));
        assert_true(theta == exp2(round(log2(theta))));
        bench_free(t);
        bench_free(cauchy);
    }
}

/* Exact step and bias together: no perturbation of W or b lowers phi. */
static void exact_step_is_the_joint_minimiser(void **state)
{
    (void)state;
    FOR_BACKENDS_AND_FORMS
    {
        bench *t = bench_new(kind, form);
        const size_t d = form == AM_FORM_NORMAL ? D_IN : N;
        const am_mat factor = take(t, d, am_factor_cols(d)), scratch = take(t, D_OUT, 1);
        const am_slot step2 = am_slots_new(t->ctx, 1);
        am_step_weight_factor(t->ctx, &t->step, factor);
        am_step_weight_exact(t->ctx, &t->step, factor);
        am_step_bias(t->ctx, t->step.b, t->step.w_prev, t->a.sum, t->step.s_z, scratch, &t->common, step2);
        double w[D_OUT * D_IN], b[D_OUT];
        widen(w, t->step.w_prev), widen(b, t->step.b);
        const double best = phi(t, w, b);
        for (int e = 0; e < D_OUT * D_IN + D_OUT; e++)
            for (double h = -1e-2; h < 2e-2; h += 2e-2) {
                double *x = e < D_OUT * D_IN ? &w[e] : &b[e - D_OUT * D_IN];
                const double keep = *x;
                *x += h;
                assert_true(phi(t, w, b) > best);
                *x = keep;
            }
        bench_free(t);
    }
}

/* a step of layer l, where the layer above has W: D_OUT x D_IN acting on a: D_IN x N. */
static am_activation_step activation_step(bench *t, am_mat a_prev, am_mat z)
{
    return (am_activation_step){.rule = AM_SCALAR_SAFE_INVERSE,
                                .act = AM_ACT_RELU,
                                .n_power = 60,
                                .a = t->a.dense,
                                .a_prev = a_prev,
                                .z = z,
                                .w = t->step.w,
                                .b = t->step.b,
                                .p = t->step.p,
                                .z_next = t->step.z,
                                .t = take(t, D_OUT, N),
                                .g = take(t, D_IN, N),
                                .v = take_random(t, D_IN, 1, 9),
                                .u = take(t, D_OUT, 1),
                                .s_a = take(t, D_IN, 1),
                                .common = &t->common,
                                .slot = am_activation_slots_new(t->ctx)};
}

/* rho/2 ||W a + b 1' - z||^2 as a function of a. */
static double phi_a(const bench *t, const double *a)
{
    double f = 0.0;
    for (size_t j = 0; j < N; j++)
        for (size_t i = 0; i < D_OUT; i++) {
            double r = (double)t->step.b.data[i] - (double)t->step.z.data[i + j * D_OUT];
            for (size_t k = 0; k < D_IN; k++) r += (double)t->step.w.data[i + k * D_OUT] * a[k + j * D_IN];
            f += 0.5 * RHO * r * r;
        }
    return f;
}

/* In a box too wide to matter a+ = a - grad/(rho lambda): the gradient by central differences. In a narrow box it is clipped. */
static void activation_step_descends(void **state)
{
    (void)state;
    for (am_backend_kind kind = AM_BACKEND_REF; kind <= AM_BACKEND_CPU; kind++) {
        bench *t = bench_new(kind, AM_FORM_NORMAL);
        const am_mat a_plus = take_random(t, D_IN, N, 7), z = take_random(t, D_IN, N, 8);
        am_activation_step s = activation_step(t, a_plus, z);
        am_slot_set(t->ctx, t->common.eps, 1e6);
        am_step_a(t->ctx, &s);
        const double lambda = 1.0 / slot(t, s.slot.inv_lambda), h = 1e-4;
        double a[D_IN * N];
        widen(a, t->a.dense);
        for (size_t e = 0; e < D_IN * N; e++) {
            const double keep = a[e];
            a[e] = keep + h;
            const double up = phi_a(t, a);
            a[e] = keep - h;
            const double g = (up - phi_a(t, a)) / (2 * h);
            a[e] = keep;
            assert_true(fabs((keep - (double)a_plus.data[e]) * RHO * lambda - g) < 1e-3 * (1 + fabs(g)));
        }
        am_slot_set(t->ctx, t->common.eps, 0.05);
        am_step_a(t->ctx, &s);
        float worst = 0.0f, row = 0.0f;
        for (size_t e = 0; e < D_IN * N; e++)
            worst = fmaxf(worst, fabsf(a_plus.data[e] - am_act_h(AM_ACT_RELU, z.data[e])));
        for (size_t j = 0; j < N; j++) row += a_plus.data[j * D_IN];
        assert_true(worst <= 0.05f + 1e-6f && fabs((double)worst - slot(t, s.slot.box)) < 1e-7);
        assert_true(fabsf(row - s.s_a.data[0]) < 1e-5f);
        bench_free(t);
    }
}

/* The certificate: slot change bounds (phi(a+) - phi(a))/rho from above; when it is not negative the plain step stands. */
static void activation_guard_is_a_certificate(void **state)
{
    (void)state;
    static const double momentum[] = {0.2, 0.9, 5.0};
    int n_fired = 0;
    for (int m = 0; m < 3; m++) {
        bench *t = bench_new(AM_BACKEND_REF, AM_FORM_NORMAL);
        const am_mat a_plus = take_random(t, D_IN, N, 7), z = take_random(t, D_IN, N, 8);
        am_activation_step s = activation_step(t, a_plus, z);
        s.accelerate = s.guard = 1;
        am_slot_set(t->ctx, t->common.eps, 1e6);
        am_slot_set(t->ctx, t->common.momentum, momentum[m]);
        double a[D_IN * N], next[D_IN * N];
        widen(a, t->a.dense);
        am_step_a(t->ctx, &s);
        widen(next, a_plus);
        const double change = (phi_a(t, next) - phi_a(t, a)) / RHO;
        assert_true(change < 0.0); /* guarded: it fell in any case */
        if (slot(t, s.slot.fired) == 0.0) assert_true(change <= slot(t, s.slot.change) + 1e-4 * fabs(change));
        n_fired += slot(t, s.slot.fired) != 0.0;
        bench_free(t);
    }
    assert_true(n_fired > 0 && n_fired < 3);
}

/* z is in the box and no point of the box is nearer to m. */
static void hidden_z_is_the_nearest_point(void **state)
{
    (void)state;
    for (int act = 0; act < AM_N_ACTS; act++) {
        bench *t = bench_new(AM_BACKEND_REF, AM_FORM_NORMAL);
        const am_mat z = take(t, D_OUT, N), a = take(t, D_OUT, N), s_z = take(t, D_OUT, 1);
        const am_slot s = am_slots_new(t->ctx, 2);
        for (size_t e = 0; e < D_OUT * N; e++)
            a.data[e] = am_act_h(act, 2.0f * t->step.z.data[e]); /* the box is not empty */
        am_step_z(t->ctx, act, z, t->step.p, t->step.b, a, s_z, &t->common, s, s + 1);
        double residual2 = 0.0;
        for (size_t e = 0; e < D_OUT * N; e++) {
            const double m = (double)t->step.p.data[e] + (double)t->step.b.data[e % D_OUT],
                         gap = fabs((double)z.data[e] - m);
            residual2 += gap * gap;
            assert_true(fabsf(am_act_h(act, z.data[e]) - a.data[e]) <= 0.3f + 1e-5f);
            for (double x = m - gap + 1e-3; x < m + gap - 1e-3; x += gap / 50)
                assert_true(fabs((double)am_act_h(act, (float)x) - (double)a.data[e]) > 0.3 - 1e-4);
        }
        assert_true(fabs(slot(t, s) - residual2) <= 1e-4 * residual2 + 1e-9);
        bench_free(t);
    }
}

/* Output prox: the gradient of R(z) + rho/2 ||z - m||^2 vanishes. */
static void output_z_is_stationary(void **state)
{
    (void)state;
    for (am_loss loss = AM_LOSS_CROSS_ENTROPY; loss <= AM_LOSS_SQUARED; loss++) {
        bench *t = bench_new(AM_BACKEND_REF, AM_FORM_NORMAL);
        int32_t label[N];
        for (int32_t j = 0; j < N; j++) label[j] = j % D_OUT;
        const am_samples train = {.n = N, .label = label, .target = take_random(t, D_OUT, N, 12)};
        const am_mat z = take_random(t, D_OUT, N, 13), s_z = take(t, D_OUT, 1);
        const am_slot s = am_slots_new(t->ctx, 3);
        am_step_output(t->ctx, loss, z, t->step.p, t->step.b, &train, s_z, &t->common,
                       (am_output_slots){s, s + 1, s + 2});
        double total = 0.0;
        for (size_t j = 0; j < N; j++) {
            double sum = 0.0;
            for (size_t i = 0; i < D_OUT; i++) sum += exp((double)z.data[i + j * D_OUT]);
            for (size_t i = 0; i < D_OUT; i++) {
                const size_t e = i + j * D_OUT;
                const double m = (double)t->step.p.data[e] + (double)t->step.b.data[i],
                             y = (double)train.target.data[e];
                const double grad_r = loss == AM_LOSS_SQUARED
                                          ? (double)z.data[e] - y
                                          : exp((double)z.data[e]) / sum - ((int32_t)i == label[j]);
                assert_true(fabs(grad_r + RHO * ((double)z.data[e] - m)) < 1e-5);
                if (loss == AM_LOSS_SQUARED) total += pow((double)z.data[e] - y, 2);
            }
            if (loss == AM_LOSS_CROSS_ENTROPY)
                total += log(sum) - (double)z.data[(size_t)label[j] + j * D_OUT];
        }
        assert_true(fabs(slot(t, s) - total) < 1e-4 * total);
        bench_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_gradient_and_length),
        cmocka_unit_test(weight_change_is_the_change),
        cmocka_unit_test(guard_falls_back_to_the_plain_step),
        cmocka_unit_test(backtracking_doubles),
        cmocka_unit_test(exact_step_is_the_joint_minimiser),
        cmocka_unit_test(activation_step_descends),
        cmocka_unit_test(activation_guard_is_a_certificate),
        cmocka_unit_test(hidden_z_is_the_nearest_point),
        cmocka_unit_test(output_z_is_stationary),
    };
    return cmocka_run_group_tests_name("steps", tests, NULL, NULL);
}
