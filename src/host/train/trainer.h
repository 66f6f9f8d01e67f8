/* A training run as prepared by trainer.c and driven by driver.c. */
#ifndef AM_TRAINER_H
#define AM_TRAINER_H

#include "host/model/model.h"
#include "host/methods/registry.h"
#include "host/train/driver.h"
#include "host/train/evaluate.h"
#include "host/train/samples.h"

struct altmin_trainer {
    altmin_settings *settings; /* own copy, resolved */
    am_net net;
    const am_method *method;
    void *state;
    am_ctx *ctx;
    am_plan *plan;
    am_scaler scaler;
    size_t *train_index, *valid_index;
    am_part part_train, part_valid, part_test; /* n = 0: none */
    am_samples train, valid, test;
    am_evaluator evaluator;
    double *slot; /* all slots as read after the last sweep */
    am_measures measures;
    am_layer_report layer[AM_MAX_HIDDEN + 2];
    altmin_model *best; /* best so far by validation; before the first evaluation the initial weights */
    const char *form[AM_MAX_HIDDEN + 2];
    int spare_train; /* 1: evaluations leave the training data out, and keep a model by validation data alone */
    am_run_info info;
    am_run_result result;
    am_op_time op[AM_N_OPS];
};

/** Copy the current weights into trainer->best. */
altmin_error am_trainer_keep(altmin_trainer *trainer, altmin_status *st);
#endif
