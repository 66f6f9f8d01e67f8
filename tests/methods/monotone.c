/* The theorem of mDLAM and TIAM as a check; see monotone.h. */
#include "monotone.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "problems.h"

/* Blocks are stored and multiplied in float32: a block may seem to raise F by this share of the magnitudes in it. */
#define ROUNDING 2e-6

double monotone_sweep(altmin_trainer *t, oracle *o, char *where, size_t n_where)
{
    am_relaxed *m = t->state;
    double worst = 0.0, scale, f = oracle_objective(o, &scale);
    am_relaxed_sweep_begin(m);
    for (size_t l = 1; l <= o->n_layers; l++)
        for (am_block k = AM_BLOCK_W; k <= (l < o->n_layers ? AM_BLOCK_A : AM_BLOCK_Z); k++) {
            am_relaxed_block(m, l, k);
            oracle_fetch(o, t, l, k, 1);
            /* an exact W step is the joint minimiser in (W, b): it is judged with its b */
            if (k == AM_BLOCK_W && t->settings->step == AM_STEP_EXACT) continue;
            const double next = oracle_objective(o, &scale), rise = (next - f) / (ROUNDING * scale);
            if (rise > worst) {
                worst = rise;
                snprintf(where, n_where, "layer %zu, block %c: F %.9g -> %.9g", l, "WbZa"[k], f, next);
            }
            f = next;
        }
    am_relaxed_sweep_end(m);
    return worst;
}

void monotone_check(const altmin_data *data, const char *const *pairs, const char *what, int n_sweeps)
{
    altmin_trainer *t = problem_run(data, pairs);
    oracle *o = oracle_of(t, data);
    const double eps = t->settings->eps_start;
    double scale;
    char where[160] = "";
    const double first = oracle_objective(o, &scale);
    for (int k = 0; k < n_sweeps; k++) {
        const double rise = monotone_sweep(t, o, where, sizeof where);
        if (rise > 1.0)
            fail_msg("%s, sweep %d: F rose in %s (%.2g x the rounding allowance)", what, k + 1, where, rise);
        const double box = oracle_worst_box(o);
        if (!(box <= eps * (1 + 1e-5) + 1e-6))
            fail_msg("%s, sweep %d: |a - h(z)| = %g > eps = %g", what, k + 1, box, eps);
    }
    assert_true(oracle_objective(o, &scale) < first);
    oracle_free(o);
    altmin_trainer_free(t);
}

void monotone_count(const altmin_data *data, const char *const *pairs, int n_sweeps, size_t *n_rises,
                    size_t *n_guarded, double *f)
{
    altmin_trainer *t = problem_run(data, pairs);
    oracle *o = oracle_of(t, data);
    char where[160];
    double scale;
    *n_rises = *n_guarded = 0;
    for (int k = 0; k < n_sweeps; k++) {
        *n_rises += monotone_sweep(t, o, where, sizeof where) > 1.0;
        assert_int_equal(am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, NULL), ALTMIN_OK);
        t->method->measure(t->state, t->slot, &t->measures);
        *n_guarded += t->measures.n_guarded;
    }
    *f = oracle_objective(o, &scale);
    oracle_free(o);
    altmin_trainer_free(t);
}
