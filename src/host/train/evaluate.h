/* The forward pass is the truth: loss and accuracy of the weights alone, on samples in backend memory. */
#ifndef AM_EVALUATE_H
#define AM_EVALUATE_H

#include "host/train/plan.h"
#include "host/train/net.h"

typedef struct am_evaluator {
    am_mat buffer[2];    /* flat: widest layer x chunk */
    am_mat input;        /* features x chunk, or empty */
    size_t chunk;        /* samples per forward pass */
    am_slot part, total; /* three slots each: loss, hits, squared error */
} am_evaluator;

/** Declare buffers for data sets of at most n samples; with_input: one for features that are not on the device as floats
 *  (am_samples.source). Takes slots. */
void am_evaluator_plan(am_evaluator *evaluator, am_ctx *ctx, const am_net *net, size_t n, int with_input,
                       am_plan *plan);
/** Metrics of the network with weights w[l], b[l] (l = 1..L) on `samples`. Fields that do not apply are NaN. */
altmin_error am_evaluate(const am_evaluator *evaluator, am_ctx *ctx, const am_net *net, const am_mat *w,
                         const am_mat *b, const am_samples *samples, altmin_metrics *metrics,
                         altmin_status *st);
/** Metrics with every field NaN. */
altmin_metrics am_metrics_none(void);
#endif
