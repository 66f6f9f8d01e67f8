/* Samples on their way into backend memory: planned first, then uploaded chunk by chunk, scaled as they go. */
#ifndef AM_SAMPLES_H
#define AM_SAMPLES_H

#include "host/data/data.h"
#include "host/train/net.h"
#include "host/train/plan.h"

/** A part of a data set to be uploaded: index NULL means all samples. Pointers stay the caller's. */
typedef struct am_part {
    const altmin_data *data;
    const size_t *index;
    size_t n;
} am_part;

/** Declare the part's memory under `name`. Sparse data stay sparse. */
altmin_error am_samples_plan(am_samples *samples, const am_part *part, const am_net *net, am_plan *plan,
                             const char *name, altmin_status *st);
/** Upload features (scaled), labels and targets, and the input's row sums. After am_plan_take. */
altmin_error am_samples_upload(am_samples *samples, am_ctx *ctx, const am_part *part, const am_scaler *scaler,
                               altmin_status *st);
/** dst <- 2 y - 1 with y the one-hot rows of the labels, n_classes x n. */
altmin_error am_samples_signed_one_hot(const am_samples *samples, am_ctx *ctx, am_mat dst, altmin_status *st);
#endif
