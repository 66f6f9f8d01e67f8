/* The loop; see driver.h. Training time is the sweeps and the one read of their scalars; evaluation, logging and keeping
 * the best model are outside that clock. */
#include "host/train/driver.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "host/train/trainer.h"

typedef struct am_loop {
    altmin_trainer *t;
    size_t sweep, n_stale; /* evaluations since the best one */
    double last_objective; /* of the sweep before */
    int has_best;
    am_monitor *monitor; /* NULL: memory for it ran out */
} am_loop;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---------------------------------------------------------------------------------------------- one sweep */

/* First block, in sweep order, whose change is not finite; 0 when all are. */
static int find_not_finite(const altmin_trainer *t, size_t *layer, am_block *block)
{
    for (size_t l = 1; l <= t->net.n_layers; l++)
        for (am_block k = AM_BLOCK_W; k < AM_N_BLOCKS; k++)
            if (!isfinite(t->measures.layer[l].step2[k])) {
                *layer = l;
                *block = k;
                return 1;
            }
    return 0;
}

static void summarise(const am_loop *loop, altmin_sweep_report *report)
{
    altmin_trainer *t = loop->t;
    double step2 = 0.0;
    for (size_t l = 1; l <= t->net.n_layers; l++) {
        const am_layer_measures *layer = &t->measures.layer[l];
        for (am_block k = AM_BLOCK_W; k < AM_N_BLOCKS; k++) step2 += layer->step2[k];
        if (layer->box > report->feasibility) report->feasibility = layer->box;
        t->layer[l - 1].box_violation = l < t->net.n_layers ? layer->box : NAN;
        t->layer[l - 1].residual = sqrt(layer->residual2);
        for (am_block k = AM_BLOCK_W; k < AM_N_BLOCKS; k++) t->layer[l - 1].step[k] = sqrt(layer->step2[k]);
    }
    report->objective = t->measures.objective;
    report->step_norm = sqrt(step2);
    report->eps = t->measures.eps;
    report->n_guarded = t->measures.n_guarded;
    report->subgradient = t->measures.gradient;
}

/* Off the clock and out of the profile, like an evaluation. Of the sweeps of one window only the last one's point is there. */
static altmin_error measure_subgradient(altmin_trainer *t, int is_there, altmin_status *st)
{
    t->measures.gradient = NAN;
    if (!t->settings->subgradient || !is_there) return ALTMIN_OK;
    const double start_s = now_s();
    double square;
    t->ctx->profile_paused = 1;
    const am_slot slot = t->method->subgradient(t->state);
    const altmin_error error = am_slots_read(t->ctx, slot, 1, &square, st);
    t->ctx->profile_paused = 0;
    t->result.eval_s += now_s() - start_s;
    t->measures.gradient = sqrt(square);
    return error;
}

/* Sweeps of one call to the method, done together and then explained one by one. */
typedef struct am_window {
    size_t k, n;    /* sweep k of n */
    double start_s; /* training time before it */
} am_window;

/* Up to the next evaluation and not past the last sweep. */
static size_t next_window(const am_loop *loop)
{
    const altmin_trainer *t = loop->t;
    const size_t every = t->settings->eval_every, left = am_settings_n_sweeps(t->settings) - loop->sweep;
    const size_t to_evaluation = every - loop->sweep % every;
    if (!t->method->window) return 1;
    return t->method->window(t->state, to_evaluation < left ? to_evaluation : left);
}

static altmin_error sweep_window(am_loop *loop, altmin_status *st)
{
    altmin_trainer *t = loop->t;
    const double start_s = now_s();
    t->method->sweep(t->state);
    const altmin_error error = am_slots_read(t->ctx, 0, t->ctx->n_slots, t->slot, st);
    t->result.train_s += now_s() - start_s;
    return error;
}

/* Sweep w->k of the window; the sweeps of one window share its time evenly. */
static altmin_error explain(am_loop *loop, const am_window *w, altmin_sweep_report *report, altmin_status *st)
{
    altmin_trainer *t = loop->t;
    if (t->method->measure_at)
        t->method->measure_at(t->state, t->slot, w->k, &t->measures);
    else
        t->method->measure(t->state, t->slot, &t->measures);
    if (measure_subgradient(t, w->k + 1 == w->n, st)) return st->code;
    const double share = (double)(w->k + 1) / (double)w->n;
    *report = (altmin_sweep_report){.sweep = loop->sweep,
                                    .time_s = w->start_s + share * (t->result.train_s - w->start_s),
                                    .train = am_metrics_none(),
                                    .valid = am_metrics_none(),
                                    .test = am_metrics_none()};
    summarise(loop, report);
    return ALTMIN_OK;
}

/* ---------------------------------------------------------------------------------------------- evaluation */

static altmin_error evaluate_all(altmin_trainer *t, altmin_sweep_report *report, altmin_status *st)
{
    am_mat w[AM_MAX_HIDDEN + 2], b[AM_MAX_HIDDEN + 2];
    for (size_t l = 1; l <= t->net.n_layers; l++) {
        w[l] = t->method->weight(t->state, l);
        b[l] = t->method->bias(t->state, l);
    }
    const struct {
        const am_samples *samples;
        altmin_metrics *metrics;
    } parts[] = {{&t->train, &report->train}, {&t->valid, &report->valid}, {&t->test, &report->test}};
    const double start_s = now_s();
    t->ctx->profile_paused = 1;
    altmin_error error = ALTMIN_OK;
    for (size_t i = 0; i < 3 && !error; i++)
        if (parts[i].samples->n && !(i == 0 && t->spare_train))
            error = am_evaluate(&t->evaluator, t->ctx, &t->net, w, b, parts[i].samples, parts[i].metrics, st);
    t->ctx->profile_paused = 0;
    t->result.eval_s += now_s() - start_s;
    report->evaluated = 1;
    return error;
}

/* Metrics that choose the best model: validation where there is some, else training. Never the test data. */
static const altmin_metrics *judged(const altmin_trainer *t, const altmin_sweep_report *report)
{
    return t->part_valid.n ? &report->valid : &report->train;
}

/* Accuracy decides for classes, loss for regression and between equal accuracies. */
static int is_better(const altmin_metrics *a, const altmin_metrics *b)
{
    if (!isnan(a->accuracy) && a->accuracy != b->accuracy) return a->accuracy > b->accuracy;
    return a->loss < b->loss;
}

/* With validation data the best model is kept, without the last finite one. */
static altmin_error keep_if_better(am_loop *loop, const altmin_sweep_report *report, altmin_status *st)
{
    altmin_trainer *t = loop->t;
    const altmin_metrics *metrics = judged(t, report);
    if (!isfinite(metrics->loss)) return ALTMIN_OK;
    if (loop->has_best && t->part_valid.n && !is_better(metrics, judged(t, &t->result.best))) {
        loop->n_stale++;
        return ALTMIN_OK;
    }
    loop->has_best = 1;
    loop->n_stale = 0;
    t->result.best = *report;
    return am_trainer_keep(t, st);
}

/* ---------------------------------------------------------------------------------------------- stopping */

static altmin_stop stop_rule(const am_loop *loop, const altmin_sweep_report *report)
{
    const altmin_settings *set = loop->t->settings;
    if (report->evaluated) {
        if (set->target_accuracy > 0.0 && judged(loop->t, report)->accuracy >= set->target_accuracy)
            return ALTMIN_STOP_TARGET_ACCURACY;
        if (set->patience && loop->n_stale >= set->patience) return ALTMIN_STOP_PATIENCE;
    }
    if (set->tolerance > 0.0 && loop->sweep > 1 &&
        fabs(loop->last_objective - report->objective) <= set->tolerance * fabs(report->objective))
        return ALTMIN_STOP_TOLERANCE;
    if (set->time_limit > 0.0 && report->time_s >= set->time_limit) return ALTMIN_STOP_TIME_LIMIT;
    return loop->sweep >= am_settings_n_sweeps(set) ? ALTMIN_STOP_SWEEPS : ALTMIN_STOP_NONE;
}

static altmin_stop stop_not_finite(am_loop *loop)
{
    static const char *const block_name[AM_N_BLOCKS] = {"W", "b", "z", "a"};
    altmin_trainer *t = loop->t;
    size_t layer;
    am_block block;
    if (find_not_finite(t, &layer, &block))
        snprintf(t->result.stop_detail, sizeof t->result.stop_detail,
                 "layer %zu, block %s became NaN or infinite in sweep %zu; the last good model was kept",
                 layer, block_name[block], loop->sweep);
    else if (!isfinite(t->measures.objective))
        snprintf(t->result.stop_detail, sizeof t->result.stop_detail,
                 "the objective became NaN or infinite in sweep %zu; the last good model was kept",
                 loop->sweep);
    else
        return ALTMIN_STOP_NONE;
    return ALTMIN_STOP_NOT_FINITE;
}

/* ---------------------------------------------------------------------------------------------- the loop */

/* Hand the sweep to the monitor; the head is the output layer's auxiliaries. */
static void watch(am_loop *loop, const altmin_sweep_report *report)
{
    const am_measures *measures = &loop->t->measures;
    const size_t n_layers = loop->t->net.n_layers;
    am_monitor_point p = {.sweep = loop->sweep,
                          .objective = report->objective,
                          .gradient = report->subgradient,
                          .eps = report->eps,
                          .loss = report->train.loss,
                          .feasibility = report->feasibility};
    for (size_t l = 1; l <= n_layers; l++)
        for (am_block k = AM_BLOCK_W; k < AM_N_BLOCKS; k++)
            *(l == n_layers && k >= AM_BLOCK_Z ? &p.head2 : &p.hidden2) += measures->layer[l].step2[k];
    if (!loop->monitor || am_monitor_add(loop->monitor, &p)) return;
    am_monitor_free(loop->monitor);
    loop->monitor = NULL;
}

static int tell_sweep(const am_loop *loop, const altmin_sweep_report *report, const am_observer *observer,
                      size_t n)
{
    int stop = 0;
    for (size_t i = 0; i < n; i++)
        if (observer[i].sweep)
            stop |= observer[i].sweep(observer[i].user, report, loop->t->layer, loop->t->net.n_layers) != 0;
    return stop;
}

/* What follows a sweep. A reason to stop inside a window takes effect at its end, where the weights are, save one that is
 * not finite. */
static altmin_error after_sweep(am_loop *loop, const am_window *w, const am_observer *observer,
                                size_t n_observers, const volatile int *interrupt, altmin_stop *stop,
                                altmin_status *st)
{
    altmin_trainer *t = loop->t;
    altmin_sweep_report report;
    loop->sweep++;
    if (explain(loop, w, &report, st)) return st->code;
    const altmin_stop broken = stop_not_finite(loop);
    const int finite = broken == ALTMIN_STOP_NONE;
    if (!finite) *stop = broken;
    if (*stop == ALTMIN_STOP_NONE) *stop = stop_rule(loop, &report);
    if (interrupt && *interrupt && finite) *stop = ALTMIN_STOP_INTERRUPTED;
    const int due = loop->sweep % t->settings->eval_every == 0 || *stop != ALTMIN_STOP_NONE;
    if (finite && due && w->k + 1 == w->n) {
        if (evaluate_all(t, &report, st) || keep_if_better(loop, &report, st)) return st->code;
        if (*stop == ALTMIN_STOP_NONE) *stop = stop_rule(loop, &report);
    }
    watch(loop, &report);
    loop->last_objective = report.objective;
    t->result.last = report;
    t->result.n_sweeps = loop->sweep;
    if (tell_sweep(loop, &report, observer, n_observers) && *stop == ALTMIN_STOP_NONE)
        *stop = ALTMIN_STOP_INTERRUPTED;
    return ALTMIN_OK;
}

static altmin_error step(am_loop *loop, const am_observer *observer, size_t n_observers,
                         const volatile int *interrupt, altmin_stop *stop, altmin_status *st)
{
    am_window w = {.n = next_window(loop), .start_s = loop->t->result.train_s};
    if (sweep_window(loop, st)) return st->code;
    for (; w.k < w.n && *stop != ALTMIN_STOP_NOT_FINITE; w.k++)
        if (after_sweep(loop, &w, observer, n_observers, interrupt, stop, st)) return st->code;
    return ALTMIN_OK;
}

/* An observer's wish to stop comes after the sweep was told: evaluate it now if it was not. */
static altmin_error finish(am_loop *loop, altmin_status *st)
{
    altmin_trainer *t = loop->t;
    if (t->result.stop == ALTMIN_STOP_NOT_FINITE || t->result.last.evaluated) return ALTMIN_OK;
    if (evaluate_all(t, &t->result.last, st)) return st->code;
    return keep_if_better(loop, &t->result.last, st);
}

static void collect_ops(altmin_trainer *t)
{
    size_t n = 0;
    for (am_op op = 0; op < AM_N_OPS; op++) {
        const am_op_stat *stat = &t->ctx->stat[op];
        if (stat->n_calls)
            t->op[n++] =
                (am_op_time){am_op_name(op), stat->n_calls, stat->time_s, stat->flops, stat->n_bytes};
    }
    t->result.op = t->op;
    t->result.n_op = n;
    t->result.n_jitter = t->ctx->n_jitter;
    t->result.backend_detail = t->ctx->detail;
}

altmin_error am_trainer_run(altmin_trainer *t, const am_observer *observer, size_t n_observers,
                            const volatile int *interrupt, const am_run_result **result, altmin_status *st)
{
    altmin_status local = {0};
    if (!st) st = &local;
    am_status_clear(st);
    am_loop loop = {.t = t, .last_objective = INFINITY, .monitor = am_monitor_new((double)FLT_EPSILON)};
    t->result = (am_run_result){0};
    t->result.best.train = t->result.best.valid = t->result.best.test = am_metrics_none();
    am_profile_reset(t->ctx);
    for (size_t i = 0; i < n_observers; i++)
        if (observer[i].start) observer[i].start(observer[i].user, &t->info);
    altmin_stop stop = am_settings_n_sweeps(t->settings) ? ALTMIN_STOP_NONE : ALTMIN_STOP_SWEEPS;
    altmin_error error = ALTMIN_OK;
    while (stop == ALTMIN_STOP_NONE && !error)
        error = step(&loop, observer, n_observers, interrupt, &stop, st);
    t->result.stop = stop;
    if (!error) error = finish(&loop, st);
    collect_ops(t);
    if (loop.monitor) am_monitor_judge(loop.monitor, t->settings->tolerance, &t->result.monitor);
    am_monitor_free(loop.monitor);
    if (result) *result = &t->result;
    for (size_t i = 0; i < n_observers; i++)
        if (observer[i].end) observer[i].end(observer[i].user, &t->result);
    return error;
}

/* ---------------------------------------------------------------------------------------------- public form */

typedef struct am_callback {
    altmin_sweep_callback function;
    void *user;
} am_callback;

static int call_back(void *user, const altmin_sweep_report *report, const am_layer_report *layer,
                     size_t n_layers)
{
    const am_callback *callback = user;
    (void)layer, (void)n_layers;
    return callback->function(report, callback->user);
}

altmin_error altmin_trainer_run(altmin_trainer *trainer, altmin_sweep_callback callback, void *user,
                                altmin_stop *stop, altmin_status *status)
{
    am_callback wrapped = {callback, user};
    const am_observer observer = {.sweep = call_back, .user = &wrapped};
    const am_run_result *result = NULL;
    const altmin_error error = am_trainer_run(trainer, &observer, callback ? 1 : 0, NULL, &result, status);
    if (stop) *stop = result->stop;
    return error;
}
