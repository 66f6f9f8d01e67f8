/* The orders of residual ADMM: a wavefront gives the bits of the serial order for every number of threads, depth and window; a
 * jacobi sweep is every block from old values, whatever the threads; the driver reports every sweep of a window. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "problems.h"
#include "skip_oracle.h"

#define MAX_SWEEPS 64

typedef struct history {
    size_t n;
    altmin_sweep_report report[MAX_SWEEPS];
} history;

static int remember(const altmin_sweep_report *report, void *user)
{
    history *h = user;
    assert_true(h->n < MAX_SWEEPS);
    h->report[h->n++] = *report;
    return 0;
}

/* A whole run; its trainer is kept for a look at the variables. */
static altmin_trainer *run(const altmin_data *data, const char *const *pairs, history *h, altmin_stop *stop)
{
    altmin_trainer *t = problem_run(data, pairs);
    altmin_status st = {0};
    h->n = 0;
    if (altmin_trainer_run(t, remember, h, stop, &st)) fail_msg("%s", st.message);
    return t;
}

static void expect_same_bits(am_mat x, am_mat y, const char *what, size_t l, am_block block)
{
    assert_true(x.rows == y.rows && x.cols == y.cols);
    if (am_mat_len(x) && memcmp(x.data, y.data, am_mat_len(x) * sizeof(float)) != 0)
        fail_msg("%s: layer %zu, block %c is not the same", what, l, "WbZa"[block]);
}

static void expect_same_run(const altmin_trainer *s, const history *hs, const altmin_trainer *t,
                            const history *ht, const char *what)
{
    assert_int_equal(hs->n, ht->n);
    for (size_t k = 0; k < hs->n; k++) {
        const altmin_sweep_report *x = &hs->report[k], *y = &ht->report[k];
        if (memcmp(&x->objective, &y->objective, sizeof x->objective) != 0 || x->step_norm != y->step_norm ||
            x->feasibility != y->feasibility || x->evaluated != y->evaluated ||
            memcmp(&x->train, &y->train, sizeof x->train) != 0)
            fail_msg("%s, sweep %zu: objective %.17g and %.17g", what, k + 1, x->objective, y->objective);
    }
    const am_radmm *m = s->state, *n = t->state;
    for (size_t l = 1; l <= m->n_layers; l++)
        for (am_block k = AM_BLOCK_W; k < AM_N_BLOCKS; k++)
            expect_same_bits(am_radmm_value(m, l, k), am_radmm_value(n, l, k), what, l, k);
    expect_same_bits(m->v, n->v, what, m->n_layers, AM_BLOCK_Z);
}

static const char *const depths[] = {"8,8", "8,8,8,8,8,8,8,8",
                                     "6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6,6"};
static const char *const losses[] = {"squared", "cross-entropy"}, *const splits[] = {"3", "2"};

/* Evaluations every few sweeps, re-lifts and the last sweep cut windows of all lengths from 1 to the longest. */
static void wavefront_is_serial_bit_for_bit(void **state)
{
    (void)state;
    static const char *const threads[] = {"1", "2", "3", "4"}, *const every[] = {"1", "5", "100"};
    altmin_data *data = problem_digits(200);
    history *h = malloc(2 * sizeof *h);
    for (int i = 0; i < 18; i++) {
        const char *pairs[] = {"method",     "radmm",
                               "hidden",     depths[i % 3],
                               "split",      splits[i / 3 % 2],
                               "loss",       losses[i & 1],
                               "scale",      "unit",
                               "sweeps",     "22",
                               "eval-every", every[i / 6],
                               "relift",     i % 4 == 3 ? "7" : "0",
                               "backend",    "cpu",
                               "order",      "serial",
                               "threads",    threads[i & 3],
                               NULL};
        altmin_stop stop;
        altmin_trainer *serial = run(data, pairs, &h[0], &stop);
        assert_int_equal(h[0].n, 22);
        pairs[19] = "wavefront";
        for (int k = 0; k < 4; k++) {
            pairs[21] = threads[k];
            char what[80];
            snprintf(what, sizeof what, "case %d, %s threads", i, threads[k]);
            altmin_trainer *wave = run(data, pairs, &h[1], &stop);
            expect_same_run(serial, &h[0], wave, &h[1], what);
            altmin_trainer_free(wave);
        }
        altmin_trainer_free(serial);
    }
    free(h);
    altmin_data_free(data);
}

/* Every sweep is told once, in order, with its time; a target or tolerance met inside a window ends the run at its end. */
static void windows_report_every_sweep(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(100);
    history h;
    altmin_stop stop;
    const char *const whole[] = {"method",  "radmm", "hidden",     "8,8,8",  "scale",
                                 "unit",    "order", "wavefront",  "sweeps", "37",
                                 "backend", "cpu",   "eval-every", "10",     NULL};
    altmin_trainer *t = run(data, whole, &h, &stop);
    assert_int_equal(stop, ALTMIN_STOP_SWEEPS);
    assert_int_equal(h.n, 37);
    for (size_t k = 0; k < h.n; k++) {
        assert_int_equal(h.report[k].sweep, k + 1);
        assert_int_equal(h.report[k].evaluated, (k + 1) % 10 == 0 || k == 36);
        assert_true(h.report[k].time_s > (k ? h.report[k - 1].time_s : 0.0));
    }
    altmin_trainer_free(t);
    const char *const loose[] = {"method",     "radmm",     "hidden",    "8,8,8", "scale",   "unit",
                                 "order",      "wavefront", "sweeps",    "60",    "backend", "cpu",
                                 "eval-every", "10",        "tolerance", "0.5",   NULL};
    t = run(data, loose, &h, &stop);
    assert_int_equal(stop, ALTMIN_STOP_TOLERANCE);
    assert_true(h.n == 10 && h.report[9].evaluated); /* met in sweep 2 to 9 */
    altmin_trainer_free(t);
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- jacobi */

/* A block of a jacobi sweep is what a serial sweep makes of it alone when its neighbours are still old: layer 1 is the first to
 * move in a serial sweep, so its W and b are the same bits; so are all blocks for every number of threads. */
static void jacobi_takes_old_values(void **state)
{
    (void)state;
    static const char *const threads[] = {"1", "2", "3", "4"};
    altmin_data *data = problem_digits(200);
    history *h = malloc(2 * sizeof *h);
    for (int i = 0; i < 6; i++) {
        const char *pairs[] = {"method", "radmm",  "hidden",  depths[i % 3], "split",   splits[i / 3],
                               "scale",  "unit",   "sweeps",  "5",           "prox-w",  "100",
                               "prox-a", "10",     "prox-z",  "10",          "backend", "cpu",
                               "order",  "jacobi", "threads", "1",           NULL};
        altmin_stop stop;
        altmin_trainer *one = run(data, pairs, &h[0], &stop);
        for (int k = 1; k < 4; k++) {
            pairs[21] = threads[k];
            altmin_trainer *many = run(data, pairs, &h[1], &stop);
            expect_same_run(one, &h[0], many, &h[1], threads[k]);
            altmin_trainer_free(many);
        }
        altmin_trainer_free(one);
        pairs[9] = "1";
        one = run(data, pairs, &h[0], &stop);
        pairs[19] = "serial";
        altmin_trainer *serial = run(data, pairs, &h[1], &stop);
        expect_same_bits(am_radmm_value(one->state, 1, AM_BLOCK_W),
                         am_radmm_value(serial->state, 1, AM_BLOCK_W), "serial", 1, AM_BLOCK_W);
        const am_mat x = am_radmm_value(one->state, 2, AM_BLOCK_A),
                     y = am_radmm_value(serial->state, 2, AM_BLOCK_A);
        assert_true(memcmp(x.data, y.data, am_mat_len(x) * sizeof(float)) != 0);
        altmin_trainer_free(one);
        altmin_trainer_free(serial);
    }
    free(h);
    altmin_data_free(data);
}

/* No theorem holds, but with proximal weights of the size of the couplings it does learn. */
static void jacobi_learns_with_heavy_steps(void **state)
{
    (void)state;
    altmin_data *data = problem_digits(300);
    history *h = malloc(sizeof *h);
    for (int i = 0; i < 2; i++) {
        const char *const pairs[] = {"method", "radmm",  "hidden", "24,24,24", "split",   splits[i], "scale",
                                     "unit",   "sweeps", "60",     "prox-w",   "100",     "prox-a",  "10",
                                     "prox-z", "10",     "order",  "jacobi",   "backend", "cpu",     NULL};
        altmin_stop stop;
        altmin_trainer *t = run(data, pairs, h, &stop);
        const altmin_sweep_report *last = &h->report[h->n - 1];
        print_message("split %s: objective %g -> %g, accuracy %g\n", splits[i], h->report[0].objective,
                      last->objective, last->train.accuracy);
        assert_true(isfinite(last->objective) && last->train.accuracy > 0.6);
        altmin_trainer_free(t);
    }
    free(h);
    altmin_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wavefront_is_serial_bit_for_bit),
        cmocka_unit_test(windows_report_every_sweep),
        cmocka_unit_test(jacobi_takes_old_values),
        cmocka_unit_test(jacobi_learns_with_heavy_steps),
    };
    return cmocka_run_group_tests_name("radmm_order", tests, NULL, NULL);
}
