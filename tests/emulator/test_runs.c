/* Whole runs on the emulated device, every method through the public functions: recorded sweeps give the same bits as
 * sweeps sent op by op, objective and accuracy follow ref's, and a run whose n-th allocation or call fails ends in an error
 * with nothing left behind. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emulator.h"
#include "host/data/data.h"
#include "host/methods/registry.h"

enum { max_sweeps = 24 };

typedef struct history {
    size_t n;
    altmin_sweep_report report[max_sweeps];
} history;

static int remember(const altmin_sweep_report *report, void *user)
{
    history *h = user;
    if (h->n < max_sweeps) h->report[h->n++] = *report;
    return 0;
}

/* A run on digits with the given name, value pairs on top; its reports, or its error. */
static altmin_error run(history *h, const altmin_data *data, const char *const *pairs, altmin_status *st)
{
    static const char *const common[] = {"hidden", "12,8",      "sweeps", "12", "seed",
                                         "3",      "precision", "fp32",   NULL};
    altmin_settings *settings = altmin_settings_new();
    assert_non_null(settings);
    altmin_error error = ALTMIN_OK;
    for (const char *const *p = common; *p && !error; p += 2)
        error = altmin_settings_set(settings, p[0], p[1], st);
    for (const char *const *p = pairs; *p && !error; p += 2)
        error = altmin_settings_set(settings, p[0], p[1], st);
    altmin_trainer *trainer = NULL;
    altmin_stop stop;
    h->n = 0;
    if (!error) error = altmin_trainer_new(&trainer, settings, data, NULL, st);
    if (!error) error = altmin_trainer_run(trainer, remember, h, &stop, st);
    altmin_trainer_free(trainer);
    altmin_settings_free(settings);
    return error;
}

/* Digits, every `step`-th sample: enough to learn from, quick to emulate. */
static altmin_data *some_digits(size_t step)
{
    altmin_data *all, *some;
    altmin_status st = {0};
    if (altmin_data_load(&all, "digits", "train", NULL, &st)) fail_msg("%s", st.message);
    const size_t n = altmin_data_n_samples(all) / step;
    size_t *index = malloc(n * sizeof *index);
    for (size_t j = 0; j < n; j++) index[j] = j * step;
    if (am_data_subset(&some, all, index, n, &st)) fail_msg("%s", st.message);
    free(index);
    altmin_data_free(all);
    return some;
}

/* ------------------------------------------------------------------------------ agreement */

static void compare_runs(const char *method, const history *ref, const history *cuda)
{
    assert_int_equal(ref->n, cuda->n);
    for (size_t k = 0; k < ref->n; k++) {
        const double a = ref->report[k].objective, b = cuda->report[k].objective;
        if (!(fabs(a - b) <= 2e-3 * fabs(a)) && !(isnan(a) && isnan(b)))
            fail_msg("%s, sweep %zu: objective %.9g on ref, %.9g on cuda", method, k + 1, a, b);
    }
    const altmin_metrics *a = &ref->report[ref->n - 1].train, *b = &cuda->report[cuda->n - 1].train;
    if (!(fabs(a->accuracy - b->accuracy) <= 0.02))
        fail_msg("%s: accuracy %g on ref, %g on cuda", method, a->accuracy, b->accuracy);
}

/* Recorded and not, in any order of threads: the same bits, sweep by sweep. */
static void expect_same(const char *method, const history *a, const history *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t k = 0; k < a->n; k++)
        if (memcmp(&a->report[k].objective, &b->report[k].objective, sizeof(double)) != 0 ||
            memcmp(&a->report[k].train, &b->report[k].train, sizeof a->report[k].train) != 0)
            fail_msg("%s, sweep %zu: %.17g and %.17g are not the same", method, k + 1, a->report[k].objective,
                     b->report[k].objective);
}

/* Two more settings, name and value each. */
static void run_method(const altmin_data *data, const char *method, const char *const more[4])
{
    const char *const ref[] = {"backend", "ref", "method", method, more[0], more[1], more[2], more[3], NULL};
    const char *const graph[] = {"backend", "cuda",  "launch", "graph", "method", method,
                                 more[0],   more[1], more[2],  more[3], NULL};
    const char *const stream[] = {"backend", "cuda",  "launch", "stream", "method", method,
                                  more[0],   more[1], more[2],  more[3],  NULL};
    history *h = malloc(3 * sizeof *h);
    altmin_status st = {0};
    char what[96];
    snprintf(what, sizeof what, "%s, %s %s", method, more[0], more[1]);
    if (run(&h[0], data, ref, &st) || run(&h[1], data, graph, &st)) fail_msg("%s: %s", what, st.message);
    am_emulator_seed(99);
    if (run(&h[2], data, stream, &st)) fail_msg("%s: %s", what, st.message);
    compare_runs(what, &h[0], &h[1]);
    expect_same(what, &h[1], &h[2]);
    assert_int_equal(am_emulator_alive(), 0);
    free(h);
}

static void every_method_agrees(void **state)
{
    (void)state;
    altmin_data *data = some_digits(9);
    const size_t graphs = am_emulator_graph_launches();
    static const char *const variants[][4] = {
        {"activation", "tanh", "seed", "4"},      {"step", "exact", "mu", "1"},
        {"form", "sample", "step", "cauchy"},     {"accel", "none", "step", "backtracking"},
        {"loss", "squared", "activation", "elu"},
    };
    for (int i = 0; am_method_names()[i]; i++) {
        const unsigned archs = am_method_at(i)->archs;
        assert_true(archs != 0);
        if (archs & AM_TRAINS(AM_ARCH_MLP))
            run_method(data, am_method_names()[i], (const char *const[]){"activation", "relu", "seed", "3"});
        if (archs & AM_TRAINS(AM_ARCH_RESNET))
            run_method(data, am_method_names()[i], (const char *const[]){"arch", "resnet", "hidden", "3x12"});
        if (am_method_at(i)->stream && am_method_at(i)->stream != am_method_at(i))
            run_method(data, am_method_names()[i], (const char *const[]){"stream", "yes", "hidden", "2x12"});
    }
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) run_method(data, "mdlam", variants[i]);
    static const char *const skip_variants[][4] = {{"hidden", "4x12", "order", "wavefront"},
                                                   {"hidden", "2x12", "order", "jacobi"},
                                                   {"hidden", "3x12", "split", "2"}};
    for (size_t i = 0; i < sizeof skip_variants / sizeof *skip_variants; i++)
        run_method(data, "radmm", skip_variants[i]);
    assert_true(am_emulator_graph_launches() > graphs);
    altmin_data_free(data);
}

/* ------------------------------------------------------------------------------ faults */

/* Every allocation and every call of each kind fails once in a short run: three sweeps, the second recorded, the third
 * replayed. */
static void every_fault_is_an_error(void **state)
{
    (void)state;
    altmin_data *data = some_digits(150);
    const char *const pairs[] = {"backend", "cuda", "hidden", "3", "sweeps", "3", NULL};
    history *h = malloc(sizeof *h);
    for (int kind = 0; kind < AM_N_FAULTS; kind++) {
        altmin_status st = {0};
        am_emulator_fail((am_fault)kind, 0);
        if (run(h, data, pairs, &st)) fail_msg("without a fault: %s", st.message);
        const size_t n = am_emulator_calls((am_fault)kind);
        assert_true(n > 0);
        size_t n_errors = 0;
        for (size_t i = 1; i <= n; i++) {
            st = (altmin_status){0};
            am_emulator_fail((am_fault)kind, i);
            const altmin_error error = run(h, data, pairs, &st);
            am_emulator_fail((am_fault)kind, 0);
            n_errors += error != ALTMIN_OK;
            assert_int_equal(st.code, error);
            if (error && strlen(st.message) < 20) fail_msg("fault %d, call %zu: '%s'", kind, i, st.message);
            if (am_emulator_alive())
                fail_msg("fault %d, call %zu: %zu things leak", kind, i, am_emulator_alive());
        }
        assert_true(n_errors > 0);
    }
    free(h);
    altmin_data_free(data);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_agrees),
        cmocka_unit_test(every_fault_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
