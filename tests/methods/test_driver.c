/* The driver: stop rules, evaluation apart from training, the best model kept, the NaN guard, refusals in sentences. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "problems.h"

typedef struct record {
    size_t n_sweeps, n_evaluated;
    double last_time, last_objective;
    int in_order, stop_at;
    altmin_sweep_report report[512];
} record;

static int keep_record(const altmin_sweep_report *report, void *user)
{
    record *r = user;
    r->in_order = r->in_order && report->sweep == r->n_sweeps + 1 && report->time_s >= r->last_time;
    r->report[r->n_sweeps++] = *report;
    r->n_evaluated += report->evaluated != 0;
    r->last_time = report->time_s;
    r->last_objective = report->objective;
    return r->stop_at && (size_t)r->stop_at == r->n_sweeps;
}

static altmin_stop run(altmin_trainer *t, record *r)
{
    altmin_stop stop = ALTMIN_STOP_NONE;
    altmin_status st = {0};
    r->in_order = 1;
    if (altmin_trainer_run(t, keep_record, r, &stop, &st)) fail_msg("%s", st.message);
    assert_true(r->in_order);
    return stop;
}

static altmin_trainer *digits(const char *const *more, altmin_data **data)
{
    *data = problem_digits(400);
    altmin_settings *set = problem_settings((const char *const[]){
        "hidden", "20", "scale", "unit", "valid", "0.2", "eps-start", "0.1", "rho", "0.01", NULL});
    for (size_t i = 0; more[i]; i += 2)
        assert_int_equal(altmin_settings_set(set, more[i], more[i + 1], NULL), ALTMIN_OK);
    return problem_trainer(*data, set);
}

static void check_stop(const char *const *pairs, altmin_stop expected, size_t at_most)
{
    altmin_data *data;
    record *r = calloc(1, sizeof *r);
    altmin_trainer *t = digits(pairs, &data);
    assert_string_equal(altmin_stop_name(run(t, r)), altmin_stop_name(expected));
    assert_true(r->n_sweeps > 0 && r->n_sweeps <= at_most);
    assert_true(r->report[r->n_sweeps - 1].evaluated); /* the end is always measured */
    altmin_trainer_free(t);
    altmin_data_free(data);
    free(r);
}

static void stop_rules(void **state)
{
    (void)state;
    check_stop((const char *const[]){"sweeps", "7", NULL}, ALTMIN_STOP_SWEEPS, 7);
    check_stop((const char *const[]){"sweeps", "500", "target-accuracy", "0.6", NULL},
               ALTMIN_STOP_TARGET_ACCURACY, 499);
    check_stop((const char *const[]){"sweeps", "500", "patience", "5", NULL}, ALTMIN_STOP_PATIENCE, 499);
    check_stop((const char *const[]){"sweeps", "500", "tolerance", "1e-2", NULL}, ALTMIN_STOP_TOLERANCE, 499);
    check_stop((const char *const[]){"sweeps", "500", "time-limit", "0.05", "eval-every", "50", NULL},
               ALTMIN_STOP_TIME_LIMIT, 499);
}

static void a_callback_stops_the_run(void **state)
{
    (void)state;
    altmin_data *data;
    record *r = calloc(1, sizeof *r);
    r->stop_at = 3;
    altmin_trainer *t = digits((const char *const[]){"sweeps", "50", "eval-every", "10", NULL}, &data);
    assert_int_equal(run(t, r), ALTMIN_STOP_INTERRUPTED);
    assert_int_equal(r->n_sweeps, 3);
    altmin_trainer_free(t);
    altmin_data_free(data);
    free(r);
}

static void evaluation_follows_its_interval(void **state)
{
    (void)state;
    altmin_data *data;
    record *r = calloc(1, sizeof *r);
    altmin_trainer *t = digits((const char *const[]){"sweeps", "10", "eval-every", "4", NULL}, &data);
    run(t, r);
    for (size_t k = 1; k <= 10; k++) {
        const altmin_sweep_report *report = &r->report[k - 1];
        assert_int_equal(report->evaluated, k == 4 || k == 8 || k == 10);
        assert_true(report->evaluated ? isfinite(report->train.loss) && isfinite(report->valid.accuracy)
                                      : isnan(report->train.loss));
        assert_true(isnan(report->test.loss) && isfinite(report->objective) && report->step_norm > 0);
    }
    altmin_trainer_free(t);
    altmin_data_free(data);
    free(r);
}

static const am_run_result *run_quietly(altmin_trainer *t)
{
    const am_run_result *result;
    altmin_status st = {0};
    if (am_trainer_run(t, NULL, 0, NULL, &result, &st)) fail_msg("%s", st.message);
    return result;
}

/* The model handed out is the best by validation: its forward pass, through the public functions on the raw samples, gives the
 * accuracy that the report of that sweep gave. */
static void best_model_is_what_was_reported(void **state)
{
    (void)state;
    altmin_data *data, *valid;
    altmin_trainer *t = digits((const char *const[]){"sweeps", "40", NULL}, &data);
    const am_run_result *result = run_quietly(t);
    altmin_model *model;
    altmin_metrics metrics;
    assert_int_equal(altmin_trainer_model(t, &model, NULL), ALTMIN_OK);
    assert_int_equal(am_data_subset(&valid, data, t->valid_index, t->part_valid.n, NULL), ALTMIN_OK);
    assert_int_equal(altmin_model_evaluate(model, valid, NULL, &metrics, NULL), ALTMIN_OK);
    assert_true(fabs(metrics.accuracy - result->best.valid.accuracy) < 1e-12);
    assert_true(fabs(metrics.loss - result->best.valid.loss) < 1e-4 * metrics.loss);
    assert_true(result->best.valid.accuracy >= result->last.valid.accuracy);
    assert_true(result->best.valid.accuracy > 0.6);
    altmin_data_free(valid);
    altmin_model_free(model);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

static void regression_reports_mse_and_r2(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 200, 0, 3);
    altmin_trainer *t = problem_run(data, (const char *const[]){"hidden", "16", "rho", "1", "sweeps", "150",
                                                                "init", "he", "activation", "tanh", "valid",
                                                                "0.2", "eps-start", "1", NULL});
    const am_run_result *result = run_quietly(t);
    const altmin_metrics *m = &result->best.valid;
    assert_true(isnan(m->accuracy) && isfinite(m->mse) &&
                fabs(m->loss - m->mse) < 1e-6 * m->mse); /* two targets, 1/2 */
    assert_true(m->r2 > 0.5 && m->r2 <= 1.0);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

/* A weight made NaN between two sweeps: the run ends, names layer and block, and hands out finite weights. */
static void nan_is_caught_and_named(void **state)
{
    (void)state;
    altmin_data *data;
    altmin_trainer *t = digits((const char *const[]){"sweeps", "5", "backend", "ref", NULL}, &data);
    run_quietly(t);
    t->method->weight(t->state, 2).data[3] = NAN;
    const am_run_result *result = run_quietly(t);
    assert_string_equal(altmin_stop_name(result->stop), "not-finite");
    assert_non_null(strstr(result->stop_detail, "layer "));
    assert_non_null(strstr(result->stop_detail, "block "));
    altmin_model *model;
    assert_int_equal(altmin_trainer_model(t, &model, NULL), ALTMIN_OK);
    for (size_t l = 0; l < model->n_layers; l++)
        for (size_t i = 0; i < model->width[l] * model->width[l + 1]; i++)
            assert_true(isfinite(model->W[l][i]));
    altmin_model_free(model);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

static void refuse(const altmin_data *train, const altmin_data *test, const char *const *pairs,
                   const char *needle)
{
    altmin_settings *set = problem_settings(pairs);
    altmin_trainer *t;
    altmin_status st = {0};
    assert_int_not_equal(altmin_trainer_new(&t, set, train, test, &st), ALTMIN_OK);
    assert_null(t);
    if (!strstr(st.message, needle)) fail_msg("'%s' does not say '%s'", st.message, needle);
    altmin_settings_free(set);
}

static void what_cannot_work_is_refused(void **state)
{
    (void)state;
    altmin_data *classes = problem_random(6, 30, 3, 1), *values = problem_random(6, 30, 0, 1),
                *wide = problem_random(7, 30, 3, 1);
    altmin_data *bare;
    const float x[4] = {1, 2, 3, 4};
    assert_int_equal(altmin_data_from_arrays(&bare, x, 2, 2, NULL, 0, NULL, 0, NULL), ALTMIN_OK);
    refuse(values, NULL, (const char *const[]){"loss", "cross-entropy", NULL}, "regression targets");
    refuse(bare, NULL, NULL, "neither labels nor targets");
    refuse(classes, wide, NULL, "7 features");
    refuse(classes, values, NULL, "not labelled");
    refuse(classes, NULL, (const char *const[]){"patience", "3", NULL}, "validation");
    refuse(classes, NULL, (const char *const[]){"hidden", "2000000000,2000000000", NULL}, "");
    if (am_backend_missing(AM_BACKEND_CUDA))
        refuse(classes, NULL, (const char *const[]){"backend", "cuda", NULL}, "cuda");
    altmin_data_free(classes);
    altmin_data_free(values);
    altmin_data_free(wide);
    altmin_data_free(bare);
}

/* Public functions: predictions are probabilities that agree with the metrics, before and after a round trip by file. */
static void predictions_agree_with_metrics(void **state)
{
    (void)state;
    altmin_data *data;
    altmin_trainer *t = digits((const char *const[]){"sweeps", "30", NULL}, &data);
    run_quietly(t);
    altmin_model *model;
    altmin_metrics metrics;
    assert_int_equal(altmin_trainer_model(t, &model, NULL), ALTMIN_OK);
    assert_int_equal(altmin_model_evaluate(model, data, NULL, &metrics, NULL), ALTMIN_OK);
    const size_t n = altmin_data_n_samples(data), k = altmin_model_n_outputs(model);
    float *p = malloc(n * k * sizeof *p);
    assert_int_equal(altmin_model_predict(model, data, NULL, p, NULL), ALTMIN_OK);
    size_t hits = 0;
    double loss = 0.0;
    for (size_t j = 0; j < n; j++) {
        double sum = 0.0;
        size_t best = 0;
        for (size_t i = 0; i < k; i++) {
            sum += (double)p[i + j * k];
            if (p[i + j * k] > p[best + j * k]) best = i;
        }
        assert_true(fabs(sum - 1.0) < 1e-5);
        hits += best == (size_t)data->label[j];
        loss -= log((double)p[(size_t)data->label[j] + j * k]);
    }
    assert_true(fabs((double)hits / (double)n - metrics.accuracy) < 1e-12);
    assert_true(fabs(loss / (double)n - metrics.loss) < 1e-4 * metrics.loss);
    free(p);
    altmin_model_free(model);
    altmin_trainer_free(t);
    altmin_data_free(data);
}

/* A preset's values for the kind of data win over its general ones, and what was given wins over both. */
static void presets_go_by_the_data(void **state)
{
    (void)state;
    altmin_data *many = problem_random(8, 40, 3, 1), *few = problem_random(40, 8, 3, 1),
                *values = problem_random(8, 40, 0, 1);
    const struct {
        const altmin_data *data;
        const char *preset;
        double rho;
        size_t relift;
    } cases[] = {
        {many, "default", 1e-3, 0},  {many, "best", 1e-2, 20},  {few, "default", 1e-3, 0},
        {few, "best", 3e-4, 0},      {few, "paper", 1e-3, 0},   {values, "paper", 1e-3, 0},
        {values, "default", 0.1, 0}, {values, "best", 0.1, 20},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const pairs[] = {"hidden", "5", "eps-floor", "0.5", "preset", cases[i].preset, NULL};
        altmin_trainer *t = problem_run(cases[i].data, pairs);
        const altmin_settings *set = t->settings;
        if (set->rho != cases[i].rho || set->relift != cases[i].relift)
            fail_msg("case %zu: rho %g, relift %zu", i, set->rho, set->relift);
        assert_true(set->eps_floor == 0.5);
        altmin_trainer_free(t);
    }
    altmin_data_free(many);
    altmin_data_free(few);
    altmin_data_free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_rules),
        cmocka_unit_test(a_callback_stops_the_run),
        cmocka_unit_test(evaluation_follows_its_interval),
        cmocka_unit_test(best_model_is_what_was_reported),
        cmocka_unit_test(regression_reports_mse_and_r2),
        cmocka_unit_test(nan_is_caught_and_named),
        cmocka_unit_test(what_cannot_work_is_refused),
        cmocka_unit_test(predictions_agree_with_metrics),
        cmocka_unit_test(presets_go_by_the_data),
    };
    return cmocka_run_group_tests_name("driver", tests, NULL, NULL);
}
