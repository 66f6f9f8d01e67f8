/* Where the features lie changes nothing: floats on the device, bytes there, streamed from host memory or out of a mapped
 * file, a run ends with the same weights and metrics, bit by bit; and each chunk is what the host makes of its samples,
 * however it is announced, cut into pieces or interrupted. What cannot lie there is refused with a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../io/files.h"
#include "host/train/source.h"
#include "problems.h"

/* ---------------------------------------------------------------------------------------------- data in files */

static void put_be32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* The first n digits as a pair of IDX files, which the reader maps. */
static altmin_data *bytes_in_a_file(size_t n)
{
    altmin_data *digits = problem_digits(n);
    const size_t d = digits->n_features;
    uint8_t *image = malloc(16 + n * d), *label = malloc(8 + n);
    assert_true(image && label && digits->storage == AM_STORE_U8);
    put_be32(image, 0x803), put_be32(image + 4, (uint32_t)n);
    put_be32(image + 8, 8), put_be32(image + 12, (uint32_t)d / 8);
    memcpy(image + 16, digits->u8, n * d);
    put_be32(label, 0x801), put_be32(label + 4, (uint32_t)n);
    for (size_t j = 0; j < n; j++) label[8 + j] = (uint8_t)digits->label[j];
    file_write("train-labels-idx1-ubyte", label, 8 + n);
    altmin_data *data = open_good(file_write("train-images-idx3-ubyte", image, 16 + n * d), NULL);
    free(image);
    free(label);
    altmin_data_free(digits);
    assert_int_equal(data->storage, AM_STORE_U8);
    return data;
}

static const char *npy(const char *name, const char *type, const char *shape, const void *values,
                       size_t n_bytes)
{
    char *file = calloc(1, 128 + n_bytes);
    assert_non_null(file);
    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    const int used =
        snprintf(file + 10, 118, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, shape);
    memset(file + 10 + used, ' ', (size_t)(117 - used));
    file[127] = '\n';
    memcpy(file + 128, values, n_bytes);
    const char *path = file_write(name, file, 128 + n_bytes);
    free(file);
    return path;
}

/* Clusters of real numbers as a pair of NPY files. */
static altmin_data *floats_in_a_file(size_t d, size_t n)
{
    altmin_data *random = problem_random(d, n, 3, 8);
    char shape[64];
    snprintf(shape, sizeof shape, "%zu,", n);
    npy("y.npy", "<i4", shape, random->label, n * sizeof *random->label);
    snprintf(shape, sizeof shape, "%zu, %zu", n, d);
    altmin_data *data = open_good(npy("X.npy", "<f4", shape, random->f32, n * d * sizeof *random->f32), NULL);
    altmin_data_free(random);
    assert_int_equal(data->storage, AM_STORE_F32);
    return data;
}

/* ---------------------------------------------------------------------------------------------- whole runs */

typedef struct outcome {
    altmin_model *model;
    altmin_sweep_report last;
} outcome;

static int remember(const altmin_sweep_report *report, void *user)
{
    ((outcome *)user)->last = *report;
    return 0;
}

static outcome run(const altmin_data *data, const char *residency, const char *const *pairs)
{
    static const char *const common[] = {"method", "fcam", "hidden", "24,12", "batch", "25",
                                         "sweeps", "2.3",  "valid",  "0.15",  NULL};
    altmin_settings *settings = problem_settings(common);
    outcome out = {0};
    altmin_stop stop;
    altmin_status st = {0};
    int error = altmin_settings_set(settings, "residency", residency, &st);
    for (; *pairs && !error; pairs += 2) error = altmin_settings_set(settings, pairs[0], pairs[1], &st);
    if (error) fail_msg("%s", st.message);
    altmin_trainer *trainer = problem_trainer(data, settings);
    if (altmin_trainer_run(trainer, remember, &out, &stop, &st) ||
        altmin_trainer_model(trainer, &out.model, &st))
        fail_msg("%s", st.message);
    altmin_trainer_free(trainer);
    return out;
}

static void expect_same(const outcome *a, const outcome *b, const char *residency)
{
    const altmin_model *m = a->model, *k = b->model;
    for (size_t l = 0; l < m->n_layers; l++) {
        const size_t n_b = m->width[l + 1], n_w = n_b * m->width[l];
        if (memcmp(m->W[l], k->W[l], n_w * sizeof(float)) || memcmp(m->b[l], k->b[l], n_b * sizeof(float)))
            fail_msg("residency %s: layer %zu is another", residency, l + 1);
    }
    assert_true(a->last.train.loss == b->last.train.loss && a->last.valid.loss == b->last.valid.loss);
}

/* The first of the NULL-terminated residencies against the others. */
static void expect_all_same(const altmin_data *data, const char *const *residency, const char *const *pairs)
{
    const outcome first = run(data, residency[0], pairs);
    assert_true(first.last.train.accuracy > 0.5); /* something was learnt */
    for (size_t i = 1; residency[i]; i++) {
        const outcome other = run(data, residency[i], pairs);
        expect_same(&first, &other, residency[i]);
        altmin_model_free(other.model);
    }
    altmin_model_free(first.model);
}

static void bytes_anywhere(void **state)
{
    (void)state;
    altmin_data *data = bytes_in_a_file(310);
    static const char *const everywhere[] = {"device", "bytes", "host", "disk", NULL};
    static const char *const off_device[] = {"bytes", "host", "disk", NULL};
    assert_true(am_data_is_mapped(data));
    for (int standardise = 0; standardise < 2; standardise++) {
        const char *const scale = standardise ? "standardise" : "unit";
        expect_all_same(data, everywhere, (const char *const[]){"whiten", "0", "scale", scale, NULL});
        /* Whitened chunk by chunk instead of once: the same numbers but for the rounding of other products. */
        expect_all_same(data, off_device,
                        (const char *const[]){"whiten", "0.9", "gram-samples", "100", "scale", scale, NULL});
    }
    altmin_data_free(data);
}

static void floats_anywhere(void **state)
{
    (void)state;
    altmin_data *data = floats_in_a_file(9, 260);
    static const char *const everywhere[] = {"device", "host", "disk", NULL};
    assert_true(am_data_is_mapped(data));
    expect_all_same(data, everywhere, (const char *const[]){"whiten", "0", "scale", "standardise", NULL});
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- chunks */

/* A source on a backend, with room for all its samples. */
typedef struct rig {
    am_ctx *ctx;
    am_plan *plan;
    am_scaler scaler;
    am_samples samples;
    am_part part;
    am_mat room;
    float *got, *want;
} rig;

static void open_rig(rig *r, const altmin_data *data, am_residency residency)
{
    altmin_status st = {0};
    const char *backend = getenv("ALTMIN_TEST_BACKEND");
    const am_backend_kind kind = backend && strcmp(backend, "cuda") == 0 ? AM_BACKEND_CUDA : AM_BACKEND_CPU;
    const am_net net = {.n_layers = 1, .width = {data->n_features, 3}, .loss = AM_LOSS_CROSS_ENTROPY};
    am_progress progress = {0};
    *r = (rig){.part = {data, NULL, data->n_samples}, .plan = am_plan_new()};
    if (am_backend_open(&r->ctx, kind, NULL, &st) || am_scaler_fit(&r->scaler, AM_SCALE_AUTO, data, &st) ||
        am_samples_plan(&r->samples, &r->part, &net, residency, r->plan, "data", &st))
        fail_msg("%s", st.message);
    am_plan_mat(r->plan, "room", &r->room, data->n_features, data->n_samples);
    if (am_plan_take(r->plan, r->ctx, &st) ||
        am_samples_upload(&r->samples, r->ctx, &r->part, &r->scaler, &progress, &st))
        fail_msg("%s", st.message);
    const size_t n_bytes = data->n_features * data->n_samples * sizeof(float);
    r->got = malloc(n_bytes), r->want = malloc(n_bytes);
    assert_true(r->got && r->want);
}

static void close_rig(rig *r)
{
    am_samples_free(&r->samples);
    am_backend_close(r->ctx);
    am_plan_free(r->plan);
    am_scaler_free(&r->scaler);
    free(r->got);
    free(r->want);
}

static void expect_columns(rig *r, const float *data, const int32_t *number, size_t first, size_t m)
{
    const size_t d = r->part.data->n_features;
    altmin_status st = {0};
    for (size_t j = 0; j < m; j++)
        am_data_dense(r->part.data, &r->scaler, number ? (size_t)number[j] : first + j, 1, r->want + j * d);
    if (am_download(r->ctx, r->got, (am_mat){(float *)(uintptr_t)data, d, m}, &st))
        fail_msg("%s", st.message);
    assert_memory_equal(r->got, r->want, m * d * sizeof(float));
}

static void expect_chunk(rig *r, const int32_t *number, size_t m)
{
    const am_mat dst = am_mat_cols(r->room, 0, m);
    void *index = NULL;
    assert_int_equal(am_memory_take(r->ctx, &index, m * sizeof *number, NULL), ALTMIN_OK);
    am_upload_bytes(r->ctx, index, number, m * sizeof *number);
    am_fill(r->ctx, dst, -7.0f);
    am_samples_next(&r->samples, dst, number, m);
    am_samples_gather(&r->samples, r->ctx, dst, index);
    expect_columns(r, dst.data, number, 0, m);
    am_memory_release(r->ctx, index, m * sizeof *number);
}

static void expect_range(rig *r, size_t first, size_t m)
{
    am_fill(r->ctx, r->room, -7.0f);
    const am_input x = am_samples_range(&r->samples, r->ctx, first, m, r->room);
    expect_columns(r, x.dense.data, NULL, first, m);
}

/* Announced chunks, chunks that were not, announced ones that never come, ranges in between; buffers hold a few samples, so
 * that chunks come in pieces. */
static void check_chunks(const altmin_data *data, am_residency residency)
{
    rig r;
    open_rig(&r, data, residency);
    static const int32_t order[] = {7,  3,  29, 0,  12, 12, 28, 1,  5,  9,  2,  4,  6,  8,  10,
                                    11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26};
    expect_chunk(&r, order, 30);
    am_samples_ahead(&r.samples, order, 30);
    expect_chunk(&r, order, 30);
    for (size_t first = 0; first < 30; first += 4) {
        const size_t m = 30 - first < 4 ? 30 - first : 4;
        am_samples_ahead(&r.samples, order + first, m);
        expect_chunk(&r, order + first, m);
    }
    am_samples_ahead(&r.samples, order, 9);
    expect_chunk(&r, order + 9, 11);
    am_samples_ahead(&r.samples, order, 9);
    expect_range(&r, 3, 25);
    expect_chunk(&r, order, 9);
    expect_chunk(&r, order + 29, 1);
    am_samples_ahead(&r.samples, order, 0);
    expect_range(&r, 0, 30);
    expect_range(&r, 29, 1);
    am_samples_ahead(&r.samples, order, 5); /* never comes */
    close_rig(&r);
}

static void chunks_are_the_samples(void **state)
{
    (void)state;
    enum { D = 400000, N = 30 }; /* ten samples of bytes to a buffer, two of floats */
    altmin_data *data = problem_random(D, N, 3, 6);
    altmin_status st = {0};
    check_chunks(data, AM_RESIDENCY_DEVICE);
    check_chunks(data, AM_RESIDENCY_HOST);
    uint8_t *bytes = malloc((size_t)D * N);
    for (size_t i = 0; bytes && i < (size_t)D * N; i++) bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    if (am_data_own(data, bytes, &st)) fail_msg("%s", st.message);
    data->u8 = bytes, data->f32 = NULL, data->storage = AM_STORE_U8;
    check_chunks(data, AM_RESIDENCY_DEVICE);
    check_chunks(data, AM_RESIDENCY_BYTES);
    check_chunks(data, AM_RESIDENCY_HOST);
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- refusals */

static void expect_refused(const altmin_data *data, const char *const *pairs, const char *part)
{
    altmin_settings *settings = problem_settings(pairs);
    altmin_trainer *trainer = NULL;
    altmin_status st = {0};
    assert_int_equal(altmin_trainer_new(&trainer, settings, data, NULL, &st), ALTMIN_ERR_USAGE);
    assert_null(trainer);
    if (!strstr(st.message, part)) fail_msg("'%s' does not say '%s'", st.message, part);
    altmin_settings_free(settings);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    altmin_data *floats = problem_random(6, 40, 3, 2), *sparse = problem_sparse(floats, 0.5f),
                *digits = problem_digits(60);
    expect_refused(floats, (const char *const[]){"method", "fcam", "residency", "bytes", NULL},
                   "are real numbers, not bytes");
    expect_refused(floats, (const char *const[]){"method", "fcam", "residency", "disk", NULL},
                   "is not mapped");
    expect_refused(digits, (const char *const[]){"method", "fcam", "residency", "disk", NULL},
                   "is not mapped");
    expect_refused(sparse, (const char *const[]){"method", "fcam", "batch", "0", "residency", "host", NULL},
                   "is sparse");
    expect_refused(floats, (const char *const[]){"method", "mdlam", "residency", "host", NULL},
                   "method mdlam");
    expect_refused(digits, (const char *const[]){"method", "fcam", "batch", "0", "residency", "host", NULL},
                   "all 60 samples at once");
    altmin_data_free(floats);
    altmin_data_free(sparse);
    altmin_data_free(digits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_anywhere),
        cmocka_unit_test(floats_anywhere),
        cmocka_unit_test(chunks_are_the_samples),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
