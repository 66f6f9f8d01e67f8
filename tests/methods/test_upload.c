/* Samples on their way to the backend: bytes cross as bytes and become the very floats that the host would make of them,
 * whatever the scaling, the split and the backend; observers see how far it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/train/trainer.h"
#include "problems.h"

enum { N = 5000, D = 7, N_CLASSES = 3 }; /* more than two pieces, the last one short */

typedef struct progress {
    size_t n_calls, first, last, total;
    int in_order;
} progress;

static void note(void *user, size_t n_done, size_t n_total)
{
    progress *t = user;
    if (!t->n_calls++) t->first = n_done, t->total = n_total, t->in_order = 1;
    t->in_order = t->in_order && n_done >= t->last && n_total == t->total;
    t->last = n_done;
}

/* Every feature has bytes of its own range; feature 3 is constant. */
static altmin_data *some_bytes(void)
{
    altmin_data *data = problem_random(D, N, N_CLASSES, 5);
    altmin_status st = {0};
    uint8_t *x = malloc((size_t)N * D);
    assert_non_null(x);
    for (size_t j = 0; j < N; j++)
        for (size_t i = 0; i < D; i++) {
            const float value = 20.0f * data->f32[i + j * D] + 30.0f * (float)i;
            x[i + j * D] = i == 3 ? 77 : (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        }
    if (am_data_own(data, x, &st)) fail_msg("%s", st.message);
    data->u8 = x;
    data->f32 = NULL;
    data->storage = AM_STORE_U8;
    return data;
}

/* The part as the host scales it, and its row sums: what backend memory must hold. */
static void check_part(altmin_trainer *t, const am_part *part, const am_samples *samples)
{
    altmin_status st = {0};
    float *got = malloc(part->n * D * sizeof *got), *want = malloc(part->n * D * sizeof *want), sums[D];
    double sum[D] = {0};
    assert_true(got && want);
    for (size_t j = 0; j < part->n; j++) {
        am_data_dense(part->data, &t->scaler, part->index ? part->index[j] : j, 1, want + j * D);
        for (size_t i = 0; i < D; i++) sum[i] += (double)want[i + j * D];
    }
    assert_int_equal(am_download(t->ctx, got, samples->x.dense, &st), ALTMIN_OK);
    assert_memory_equal(got, want, part->n * D * sizeof *got);
    assert_int_equal(am_download(t->ctx, sums, samples->x.sum, &st), ALTMIN_OK);
    for (size_t i = 0; i < D; i++) assert_true(sums[i] == (float)sum[i]);
    free(got);
    free(want);
}

static void check_upload(const altmin_data *data, const char *backend, const char *scale, const char *valid)
{
    progress told = {0};
    const am_observer observer = {.upload = note, .user = &told};
    altmin_settings *set = problem_settings((const char *const[]){
        "backend", backend, "scale", scale, "valid", valid, "hidden", "2", "threads", "1", NULL});
    altmin_trainer *t;
    altmin_status st = {0};
    if (am_trainer_new(&t, set, data, data, &observer, 1, &st)) fail_msg("%s", st.message);
    check_part(t, &t->part_train, &t->train);
    if (t->part_valid.n) check_part(t, &t->part_valid, &t->valid);
    check_part(t, &t->part_test, &t->test);

    const size_t value_bytes = data->storage == AM_STORE_U8 ? 1 : sizeof(float);
    const size_t features = 2 * (size_t)N * D * value_bytes; /* the data are their own test data */
    assert_int_equal(told.first, 0);
    assert_int_equal(told.last, features);
    assert_int_equal(told.total, features);
    assert_true(told.in_order && told.n_calls >= 1 + 3 + 3);
    /* What crossed the bus: features, labels, mDLAM's 2 y - 1, and a few vectors and weights. */
    const size_t labels = 2 * (size_t)N * sizeof(int32_t), one_hot = t->train.n * N_CLASSES * sizeof(float);
    const double crossed = t->ctx->stat[AM_OP_UPLOAD].n_bytes, known = (double)(features + labels);
    assert_true(crossed >= known && crossed < known + (double)one_hot + 2000.0);
    altmin_trainer_free(t);
    altmin_settings_free(set);
}

static void check_data(altmin_data *data)
{
    static const char *const backends[] = {"ref", "cpu"}, *const scales[] = {"none", "unit", "standardise"},
                             *const valid[] = {"0", "0.3"};
    for (size_t b = 0; b < 2; b++)
        for (size_t s = 0; s < 3; s++)
            for (size_t v = 0; v < 2; v++) check_upload(data, backends[b], scales[s], valid[v]);
    altmin_data_free(data);
}

static void bytes_go_up_as_bytes(void **state)
{
    (void)state;
    check_data(some_bytes());
}

static void floats_are_scaled_on_the_host(void **state)
{
    (void)state;
    check_data(problem_random(D, N, N_CLASSES, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_up_as_bytes),
        cmocka_unit_test(floats_are_scaled_on_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
