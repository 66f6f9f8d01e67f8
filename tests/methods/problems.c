/* Generated problems; see problems.h. */
#include "problems.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "host/train/rng.h"

static void must(altmin_error error, const altmin_status *st)
{
    if (error) fail_msg("%s", st->message);
}

altmin_data *problem_random(size_t n_features, size_t n_samples, size_t n_classes, unsigned seed)
{
    const size_t n_centres = n_classes ? n_classes : 2;
    float *x = malloc(n_features * n_samples * sizeof *x),
          *centre = malloc(n_features * n_centres * sizeof *centre);
    int32_t *label = malloc(n_samples * sizeof *label);
    float *target = malloc(2 * n_samples * sizeof *target);
    am_rng_normal(x, n_features * n_samples, 0.7, seed, 1);
    am_rng_normal(centre, n_features * n_centres, 1.0, seed, 2);
    for (size_t j = 0; j < n_samples; j++) {
        label[j] = (int32_t)(j % n_centres);
        float u = 0.0f, v = 0.0f;
        for (size_t i = 0; i < n_features; i++) {
            float *e = &x[i + j * n_features];
            *e += 0.6f * centre[i + (size_t)label[j] * n_features];
            u += *e * centre[i];
            v += *e * centre[i + n_features];
        }
        target[2 * j] = tanhf(0.3f * u);
        target[2 * j + 1] = 0.2f * v + 0.1f * u;
    }
    altmin_data *data;
    altmin_status st = {0};
    must(n_classes ? altmin_data_from_arrays(&data, x, n_features, n_samples, label, n_classes, NULL, 0, &st)
                   : altmin_data_from_arrays(&data, x, n_features, n_samples, NULL, 0, target, 2, &st),
         &st);
    free(x);
    free(centre);
    free(label);
    free(target);
    return data;
}

altmin_data *problem_sparse(const altmin_data *dense, float cut)
{
    const size_t d = dense->n_features, n = dense->n_samples;
    size_t *start = malloc((n + 1) * sizeof *start), used = 0;
    int32_t *row = malloc(d * n * sizeof *row);
    float *value = malloc(d * n * sizeof *value);
    for (size_t j = 0; j < n; j++) {
        start[j] = used;
        for (size_t i = 0; i < d; i++)
            if (fabsf(dense->f32[i + j * d]) >= cut) {
                row[used] = (int32_t)i;
                value[used++] = dense->f32[i + j * d];
            }
    }
    start[n] = used;
    altmin_data *data;
    altmin_status st = {0};
    must(altmin_data_from_arrays(&data, dense->f32, d, n, dense->label, dense->n_classes, NULL, 0, &st), &st);
    must(am_data_own(data, start, &st), &st);
    must(am_data_own(data, row, &st), &st);
    must(am_data_own(data, value, &st), &st);
    data->storage = AM_STORE_SPARSE;
    data->f32 = NULL;
    data->sparse = (am_csc){start, row, value, d, n};
    return data;
}

altmin_data *problem_digits(size_t n)
{
    altmin_data *all, *part;
    altmin_status st = {0};
    must(altmin_data_load(&all, "digits", "train", NULL, &st), &st);
    size_t *index = malloc(n * sizeof *index);
    for (size_t i = 0; i < n; i++) index[i] = i;
    must(am_data_subset(&part, all, index, n, &st), &st);
    free(index);
    altmin_data_free(all);
    return part;
}

altmin_settings *problem_settings(const char *const *pairs)
{
    altmin_settings *settings = altmin_settings_new();
    altmin_status st = {0};
    assert_non_null(settings);
    must(altmin_settings_set(settings, "valid", "0", &st), &st);
    must(altmin_settings_set(settings, "scale", "none", &st), &st);
    /* Tests that do not name a backend run on cpu, or on the one that is to be tested: bounds are those of fp32. */
    const char *backend = getenv("ALTMIN_TEST_BACKEND");
    must(altmin_settings_set(settings, "backend", backend ? backend : "cpu", &st), &st);
    must(altmin_settings_set(settings, "precision", "fp32", &st), &st);
    for (size_t i = 0; pairs && pairs[i]; i += 2)
        must(altmin_settings_set(settings, pairs[i], pairs[i + 1], &st), &st);
    return settings;
}

altmin_trainer *problem_trainer(const altmin_data *data, altmin_settings *settings)
{
    altmin_trainer *trainer;
    altmin_status st = {0};
    must(altmin_trainer_new(&trainer, settings, data, NULL, &st), &st);
    altmin_settings_free(settings);
    return trainer;
}

altmin_trainer *problem_run(const altmin_data *data, const char *const *pairs)
{
    return problem_trainer(data, problem_settings(pairs));
}
