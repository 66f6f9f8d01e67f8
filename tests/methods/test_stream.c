/* The stream shell: its order of samples, its full batch, its guard, thinning, the whitened first layer. */
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
#include "problems.h"

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

static const am_stream *stream_of(const altmin_trainer *t)
{
    return am_fcam_stream(t->state);
}

/* Largest difference between two matrices, over the size of the first. */
static double difference(const altmin_trainer *t, am_mat x, const altmin_trainer *u, am_mat y)
{
    float *a = fetch(t, x), *b = fetch(u, y);
    double worst = 0.0, size = 1e-30;
    for (size_t i = 0; i < am_mat_len(x); i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    free(a);
    free(b);
    return worst / size;
}

static double weights_differ(const altmin_trainer *t, const altmin_trainer *u)
{
    double worst = 0.0;
    for (size_t l = 1; l <= t->net.n_layers; l++) {
        worst = fmax(worst, difference(t, t->method->weight(t->state, l), u, u->method->weight(u->state, l)));
        worst = fmax(worst, difference(t, t->method->bias(t->state, l), u, u->method->bias(u->state, l)));
    }
    return worst;
}

/* ---------------------------------------------------------------------------------------------- input */

/* Twelve chunks with all directions kept and the Gram matrix of all samples: the plain first layer's iterates. */
static void whitened_is_plain(void **state)
{
    (void)state;
    altmin_data *data = problem_random(12, 60, 4, 3);
    altmin_trainer *t[2];
    for (int white = 0; white < 2; white++) {
        t[white] = problem_run(data, (const char *const[]){"method", "fcam", "hidden", "9,7", "activation",
                                                           "tanh", "batch", "5", "sweeps", "2",
                                                           "gram-samples", "0", "thin", "0", "whiten",
                                                           white ? "1" : "0", "backend", "ref", NULL});
        sweep(t[white]);
    }
    assert_string_equal(t[0]->method->form(t[0]->state, 1), "factored");
    assert_string_equal(t[1]->method->form(t[1]->state, 1), "whitened");
    const double worst = weights_differ(t[0], t[1]);
    if (!(worst < 1e-4)) fail_msg("whitened and plain first layers differ by %g", worst);
    assert_int_equal(stream_of(t[0])->n_chunks, 12);
    altmin_trainer_free(t[0]);
    altmin_trainer_free(t[1]);
    altmin_data_free(data);
}

/* W_1 x + b_1 folded back is W' y + b' of the whitened sample, also with few directions. */
static void folding_keeps_the_logits(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(300);
    altmin_trainer *t =
        problem_run(data, (const char *const[]){"method", "fcam", "hidden", "20", "batch", "50", "scale",
                                                "unit", "sweeps", "1", "whiten", "0.9", NULL});
    sweep(t);
    const am_stream *s = stream_of(t);
    assert_true(s->white.on && s->white.k < 64 && s->white.k >= 1);
    const size_t d = t->net.width[0], k = s->white.k, out = 20;
    float *x = fetch(t, t->train.x.dense), *y = fetch(t, s->white.data);
    float *w = fetch(t, t->method->weight(t->state, 1)), *b = fetch(t, t->method->bias(t->state, 1));
    float *ww = fetch(t, s->layer[1].w), *wb = fetch(t, s->layer[1].b);
    for (size_t j = 0; j < 300; j++)
        for (size_t i = 0; i < out; i++) {
            double plain = (double)b[i], white = (double)wb[i];
            for (size_t f = 0; f < d; f++) plain += (double)w[i + f * out] * (double)x[f + j * d];
            for (size_t f = 0; f < k; f++) white += (double)ww[i + f * out] * (double)y[f + j * k];
            if (!(fabs(plain - white) < 1e-4 * (1.0 + fabs(plain))))
                fail_msg("%g, whitened %g", plain, white);
        }
    float *const all[] = {x, y, w, b, ww, wb};
    for (int i = 0; i < 6; i++) free(all[i]);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- chunks */

/* A pass sees every sample once, in a seeded order that is new every time; --sweeps 1.5 ends in the middle. */
static void passes_draw_without_replacement(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 23, 3, 3);
    altmin_trainer *t = problem_run(
        data, (const char *const[]){"method", "fcam", "hidden", "5", "batch", "4", "sweeps", "1.5", NULL});
    const am_stream *s = stream_of(t);
    int32_t first[23];
    int seen[23] = {0};
    sweep(t);
    memcpy(first, s->host_order, sizeof first);
    for (size_t j = 0; j < 23; j++) seen[first[j]]++;
    for (size_t j = 0; j < 23; j++) assert_int_equal(seen[j], 1);
    assert_true(t->slot[s->slot.n_samples] == 23.0 && t->slot[s->slot.seen] == 6.0);
    sweep(t);
    assert_true(memcmp(first, s->host_order, sizeof first) != 0);
    assert_true(t->slot[s->slot.n_samples] == 12.0 && t->slot[s->slot.seen] == 9.0 &&
                t->slot[s->slot.n_total] == 9.0);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

/* One chunk that holds all samples is the full batch, but for their order. */
static void whole_chunk_is_the_full_batch(void **state)
{
    (void)state;
    altmin_data *data = problem_random(8, 40, 3, 5);
    altmin_trainer *t[3];
    static const char *const batch[] = {"0", "40", "1000"};
    for (int i = 0; i < 3; i++) {
        t[i] = problem_run(data, (const char *const[]){"method", "fcam", "hidden", "9,6", "sweeps", "3",
                                                       "batch", batch[i], "eta", "3", NULL});
        for (int k = 0; k < 3; k++) sweep(t[i]);
        assert_null(stream_of(t[i])->host_order);
        if (i) assert_true(weights_differ(t[0], t[i]) == 0.0);
        altmin_trainer_free(i ? t[i] : NULL);
    }
    altmin_trainer_free(t[0]);
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- guard */

/* A NaN in W: the next chunk is skipped, the last good weights come back, training goes on and ends finite. */
static void nan_is_rolled_back(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    altmin_data *data = problem_digits(400);
    for (int k = 0; k < 2; k++)
        for (int two_sided = 0; two_sided < 2; two_sided++) {
            altmin_trainer *t = problem_run(
                data, (const char *const[]){"method", "fcam", "hidden", "40,40", "batch", "40", "scale",
                                            "unit", "sweeps", "3", "refresh", "2", "two-sided",
                                            two_sided ? "yes" : "no", "backend", backends[k], NULL});
            const am_stream *s = stream_of(t);
            sweep(t);
            assert_int_equal(t->measures.n_guarded, 0);
            float *good = fetch(t, s->good), bad = NAN;
            am_upload(t->ctx, am_mat_cols(s->layer[2].w, 3, 1), (const float[40]){bad, bad, bad});
            am_upload(t->ctx, (am_mat){s->layer[2].gram.data, 40, 1}, (const float[40]){bad});
            am_upload(t->ctx, (am_mat){s->layer[2].right.v.data, 40, 1}, (const float[40]){bad});
            sweep(t);
            assert_int_equal(t->measures.n_guarded, 1);
            assert_true(t->slot[s->slot.scale] > 0.5 && t->slot[s->slot.scale] < 1.0);
            assert_true(isfinite(t->measures.objective));
            sweep(t);
            assert_int_equal(t->measures.n_guarded, 0);
            float *now = fetch(t, s->theta);
            for (size_t i = 0; i < am_mat_len(s->theta); i++) assert_true(isfinite(now[i]));
            free(good);
            free(now);
            altmin_trainer_free(t);
        }
    altmin_data_free(data);
}

/* Steps far too long: the guard keeps every number finite. */
static void long_steps_stay_finite(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(600);
    static const char *const hidden[] = {"30", "30,30,30,30,30,30"};
    for (int deep = 0; deep < 2; deep++) {
        altmin_trainer *t = problem_run(data, (const char *const[]){"method", "fcam", "hidden", hidden[deep],
                                                                    "batch", "20", "scale", "unit", "sweeps",
                                                                    "4", "eta", deep ? "100" : "300", NULL});
        for (int k = 0; k < 4; k++) sweep(t);
        const am_stream *s = stream_of(t);
        float *now = fetch(t, s->theta);
        for (size_t i = 0; i < am_mat_len(s->theta); i++) assert_true(isfinite(now[i]));
        free(now);
        altmin_trainer_free(t);
    }
    altmin_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whitened_is_plain),
        cmocka_unit_test(folding_keeps_the_logits),
        cmocka_unit_test(passes_draw_without_replacement),
        cmocka_unit_test(whole_chunk_is_the_full_batch),
        cmocka_unit_test(nan_is_rolled_back),
        cmocka_unit_test(long_steps_stay_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
