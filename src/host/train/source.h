/* Where the features of a part of the data lie while a run needs them, and how a chunk of them gets into backend memory.
 *
 *   device  floats, scaled, in backend memory: nothing here is needed, am_samples.x holds them
 *   bytes   bytes in backend memory, a quarter of the room; gathering a chunk widens and scales it
 *   host    in host memory as they were read; chunks are gathered into pinned memory and travel while the chunk before is
 *           worked on, through two buffers
 *   disk    the same out of a mapped file, which the system reads as it is touched
 *
 * All four give the same floats, bit by bit (am_upload_u8, am_data_dense). Labels and targets are always in backend
 * memory: they are small. Sparse data are on the device. Evaluation reads contiguous ranges the same way. */
#ifndef AM_SOURCE_H
#define AM_SOURCE_H

#include "host/data/data.h"
#include "host/train/net.h"
#include "host/train/plan.h"

/** A part of a data set: index NULL means all samples. Pointers stay the caller's. */
typedef struct am_part {
    const altmin_data *data;
    const size_t *index;
    size_t n;
} am_part;

/** Refuse a residency that the part's data cannot have. */
altmin_error am_source_check(const am_part *part, am_residency residency, altmin_status *st);
/** Declare what `residency` (not device, not auto) needs of backend memory. The part is copied. */
altmin_error am_source_plan(am_source **source, const am_part *part, am_residency residency, am_plan *plan,
                            const char *name, altmin_status *st);
/** After am_plan_take: take pinned memory. scaler, shift and factor (backend memory; bytes only) stay the caller's. */
altmin_error am_source_start(am_source *source, am_ctx *ctx, const am_scaler *scaler, am_mat shift,
                             am_mat factor, altmin_status *st);
/** Residency bytes: bytes of samples first..first+n go to the backend. Else nothing. */
void am_source_put(am_source *source, size_t first, size_t n, const uint8_t *bytes);
/** Free what host memory it has; NULL is fine. Before the backend is closed. */
void am_source_free(am_source *source);

/* A chunk of m samples, numbers host_index[0..m) and the same at `index` in backend memory:
 *     am_samples_next(x, dst, host_index, m)      ahead of the sweep that works on it
 *       am_samples_gather(x, ctx, dst, index)     in the sweep
 *     am_samples_ahead(x, host_index', m')        behind the sweep: the next chunk sets out
 * Where data are in backend memory the gather in the sweep does it all; where they are not, dst is filled before. dst: features
 * x m. */

/** Fill dst where the data are not in backend memory. host_index may be as am_samples_ahead had it. Not in a sweep. */
void am_samples_next(const am_samples *samples, am_mat dst, const int32_t *host_index, size_t m);
/** dst(:, j) <- sample index[j] where the data are in backend memory. */
void am_samples_gather(const am_samples *samples, am_ctx *ctx, am_mat dst, const int32_t *index);
/** Start the next chunk on its way; nothing where the data are in backend memory. Not in a sweep. */
void am_samples_ahead(const am_samples *samples, const int32_t *host_index, size_t m);
/** Samples first..first+n: a view where floats are on the device, else in `room` (features x n floats or more). Not in a
 *  sweep. */
am_input am_samples_range(const am_samples *samples, am_ctx *ctx, size_t first, size_t n, am_mat room);
#endif
