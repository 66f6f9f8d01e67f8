/* The one loop: sweep, measure, log, stop, keep the best model. It serves every method and every backend, and tells
 * observers (the terminal table, the JSONL log) what happens; it never prints. */
#ifndef AM_DRIVER_H
#define AM_DRIVER_H

#include "altmin/altmin.h"
#include "base/status.h"
#include "host/train/monitor.h"
#include "host/train/settings.h"

/** One row of the memory plan. */
typedef struct am_plan_row {
    char name[48]; /* "z", "a", "train data", ... summed over layers */
    size_t n_bytes;
} am_plan_row;

/** Time and work of one backend op, summed over the run. */
typedef struct am_op_time {
    const char *op;
    size_t n_calls;
    double time_s, flops, n_bytes;
} am_op_time;

/** Everything fixed before the first sweep. Pointers are valid as long as the trainer. */
typedef struct am_run_info {
    const altmin_settings *settings; /* resolved: no `auto` left except where it is the value */
    const char *method, *backend;    /* "mdlam", "cpu" */
    const char *backend_detail;      /* "OpenBLAS 0.3.21 SkylakeX, 2 threads" */
    const char *loss, *activation, *scaling;
    size_t n_threads;
    size_t n_layers;
    const size_t *width;     /* n_layers + 1 */
    const char *const *form; /* n_layers names: "normal", "sample" */
    size_t n_parameters;
    size_t n_train, n_valid, n_test;        /* samples */
    size_t n_classes;                       /* 0: regression */
    const char *train_source, *test_source; /* test_source NULL: no test data */
    char train_fingerprint[17], test_fingerprint[17];
    const am_plan_row *plan;
    size_t n_plan;
    size_t plan_bytes;
} am_run_info;

typedef struct am_layer_report {
    double box_violation; /* largest |a - h(z)| of the layer; NaN for the output layer */
    double residual;      /* ||z - W a - b||: the primal residual where the layer has a multiplier */
    double
        step[4]; /* 2-norms of the changes of W, b, z, a in the sweep; 0 where the layer has no such block */
} am_layer_report;

/** Everything known after the last sweep. */
typedef struct am_run_result {
    altmin_stop stop;
    char stop_detail[256]; /* a sentence: "layer 2, block W is not finite in sweep 17" */
    size_t n_sweeps;
    altmin_sweep_report best, last; /* best by validation (by train without validation data) */
    double train_s, eval_s;
    size_t n_jitter;            /* factorizations that needed a larger ridge */
    const char *backend_detail; /* as in am_run_info, with what the backend had to say later */
    am_monitor_report monitor;  /* what the run shows about convergence */
    const am_op_time *op;
    size_t n_op;
} am_run_result;

/** Who wants to know. Every pointer may be NULL. `upload` comes before `start`, while samples go into backend memory: first
 * with 0 of n_total bytes of features, last with all of them. `sweep` returns non-zero to end the run after this sweep. */
typedef struct am_observer {
    void (*upload)(void *user, size_t n_done, size_t n_total);
    void (*start)(void *user, const am_run_info *info);
    int (*sweep)(void *user, const altmin_sweep_report *report, const am_layer_report *layer,
                 size_t n_layers);
    void (*end)(void *user, const am_run_result *result);
    void *user;
} am_observer;

/** altmin_trainer_new with observers, of whom only `upload` is called. */
altmin_error am_trainer_new(altmin_trainer **trainer, const altmin_settings *settings,
                            const altmin_data *train, const altmin_data *test, const am_observer *observer,
                            size_t n_observers, altmin_status *st);
/** What the run was prepared with; valid after altmin_trainer_new. */
const am_run_info *am_trainer_info(const altmin_trainer *trainer);
/** altmin_trainer_run with observers. *result (may be NULL) lives as long as the trainer. `interrupt` (may be NULL) is
 *  polled: 1 = finish this sweep and end. */
altmin_error am_trainer_run(altmin_trainer *trainer, const am_observer *observer, size_t n_observers,
                            const volatile int *interrupt, const am_run_result **result, altmin_status *st);
#endif
