/* Samples on their way into backend memory: planned first, then uploaded in pieces. Bytes go up as bytes and are widened and
 * scaled by the backend; floats are scaled on the host. Both give the same floats, bit by bit. */
#ifndef AM_SAMPLES_H
#define AM_SAMPLES_H

#include "host/data/data.h"
#include "host/train/net.h"
#include "host/train/plan.h"
#include "host/train/source.h"

/** Declare the part's memory under `name`. Sparse data stay sparse. residency: not auto. */
altmin_error am_samples_plan(am_samples *samples, const am_part *part, const am_net *net,
                             am_residency residency, am_plan *plan, const char *name, altmin_status *st);
/** Free what the samples hold in host memory. Before the backend is closed. */
void am_samples_free(am_samples *samples);
/** Bytes of the part's features as they are uploaded. After am_plan_take. */
size_t am_samples_bytes(const am_samples *samples, const am_part *part);

/** Who is told how far an upload is. */
typedef struct am_progress {
    const am_observer *observer;
    size_t n_observers;
    size_t n_done, n_total; /* bytes */
} am_progress;
/** n_bytes more are done; tell the observers. */
void am_progress_add(am_progress *progress, size_t n_bytes);

/** Upload features (scaled), labels and targets, and the input's row sums. After am_plan_take. progress->n_done grows by
 * am_samples_bytes. */
altmin_error am_samples_upload(am_samples *samples, am_ctx *ctx, const am_part *part, const am_scaler *scaler,
                               am_progress *progress, altmin_status *st);
/** dst <- 2 y - 1 with y the one-hot rows of the labels, n_classes x n. */
altmin_error am_samples_signed_one_hot(const am_samples *samples, am_ctx *ctx, am_mat dst, altmin_status *st);
#endif
