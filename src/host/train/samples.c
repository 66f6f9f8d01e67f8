/* Planning and uploading of samples; see samples.h. */
#include "host/train/samples.h"

#include <stdlib.h>
#include <string.h>

#define AM_UPLOAD_CHUNK 2048 /* samples uploaded at a time */

static size_t sample_at(const am_part *part, size_t i)
{
    return part->index ? part->index[i] : i;
}

static size_t n_stored(const am_part *part)
{
    const size_t *start = part->data->sparse.start;
    size_t n = 0;
    for (size_t i = 0; i < part->n; i++) n += start[sample_at(part, i) + 1] - start[sample_at(part, i)];
    return n;
}

static void plan_sparse(am_samples *samples, const am_part *part, am_plan *plan, const char *name)
{
    const size_t stored = n_stored(part);
    am_csc *x = &samples->x.sparse;
    x->rows = part->data->n_features;
    x->cols = part->n;
    am_plan_raw(plan, name, (void **)(void *)&x->start, (part->n + 1) * sizeof(size_t));
    am_plan_raw(plan, name, (void **)(void *)&x->row, stored * sizeof(int32_t));
    am_plan_raw(plan, name, (void **)(void *)&x->value, stored * sizeof(float));
}

void am_samples_free(am_samples *samples)
{
    free(samples->host_label);
    am_source_free(samples->source);
    *samples = (am_samples){0};
}

altmin_error am_samples_plan(am_samples *samples, const am_part *part, const am_net *net,
                             am_residency residency, am_plan *plan, const char *name, altmin_status *st)
{
    *samples = (am_samples){.n = part->n};
    if (am_source_check(part, residency, st)) return st->code;
    if (part->data->storage == AM_STORE_SPARSE && am_net_kind(net, 1) != AM_LAYER_BLOCK)
        plan_sparse(samples, part, plan, name);
    else if (residency != AM_RESIDENCY_DEVICE &&
             am_source_plan(&samples->source, part, residency, plan, name, st))
        return st->code;
    else if (samples->source)
        samples->x.dense = (am_mat){NULL, part->data->n_features, part->n};
    else
        am_plan_mat(plan, name, &samples->x.dense, part->data->n_features, part->n);
    am_plan_mat(plan, "vectors", &samples->x.sum, part->data->n_features, 1);
    if (part->data->storage == AM_STORE_U8) {
        am_plan_mat(plan, "vectors", &samples->shift, part->data->n_features, 1);
        am_plan_mat(plan, "vectors", &samples->factor, part->data->n_features, 1);
    }
    if (net->loss == AM_LOSS_SQUARED)
        am_plan_mat(plan, name, &samples->target, net->width[net->n_layers], part->n);
    if (!part->data->label) return ALTMIN_OK;
    am_plan_raw(plan, name, (void **)(void *)&samples->label, part->n * sizeof(int32_t));
    samples->host_label = malloc(part->n * sizeof(int32_t) + 1);
    if (!samples->host_label) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu labels", part->n);
    for (size_t i = 0; i < part->n; i++) samples->host_label[i] = part->data->label[sample_at(part, i)];
    return ALTMIN_OK;
}

/* ---------------------------------------------------------------------------------------------- progress */

size_t am_samples_bytes(const am_samples *samples, const am_part *part)
{
    const size_t n_values = part->data->n_features * part->n; /* of the planned matrix: no overflow */
    if (am_input_is_sparse(&samples->x))
        return (part->n + 1) * sizeof(size_t) + n_stored(part) * (sizeof(int32_t) + sizeof(float));
    return part->data->storage == AM_STORE_U8 ? n_values : n_values * sizeof(float);
}

void am_progress_add(am_progress *progress, size_t n_bytes)
{
    progress->n_done += n_bytes;
    for (size_t i = 0; i < progress->n_observers; i++) {
        const am_observer *o = &progress->observer[i];
        if (o->upload) o->upload(o->user, progress->n_done, progress->n_total);
    }
}

/* ---------------------------------------------------------------------------------------------- features */

/* An upload under way. */
typedef struct upload {
    am_samples *samples;
    am_ctx *ctx;
    const am_part *part;
    const am_scaler *scaler;
    am_progress *progress;
    double *sum; /* row sums of what was uploaded so far, n_features */
} upload;

/* Samples first..first+n go up as floats, scaled in `room`. */
static altmin_error send_floats(const upload *u, size_t first, size_t n, void *room, altmin_status *st)
{
    const size_t d = u->part->data->n_features;
    float *out = room;
    if (!u->part->index) {
        am_data_dense(u->part->data, u->scaler, first, n, out);
    } else {
        altmin_data *chunk;
        if (am_data_subset(&chunk, u->part->data, u->part->index + first, n, st)) return st->code;
        am_data_dense(chunk, u->scaler, 0, n, out);
        altmin_data_free(chunk);
    }
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < d; i++) u->sum[i] += (double)out[i + j * d];
    if (!u->samples->source) am_upload(u->ctx, am_mat_cols(u->samples->x.dense, first, n), out);
    return ALTMIN_OK;
}

/* Samples first..first+n go up as bytes: from where they lie, or gathered in `room`. The sums are those of the floats that
 * the backend makes of them (am_upload_u8). */
static altmin_error send_bytes(const upload *u, size_t first, size_t n, void *room, altmin_status *st)
{
    const size_t d = u->part->data->n_features;
    const uint8_t *from = u->part->data->u8 + first * d;
    (void)st;
    if (u->part->index) {
        from = room;
        for (size_t j = 0; j < n; j++)
            memcpy((uint8_t *)room + j * d, u->part->data->u8 + u->part->index[first + j] * d, d);
    }
    const float *shift = u->scaler->shift, *factor = u->scaler->factor;
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < d; i++) u->sum[i] += (double)(((float)from[i + j * d] - shift[i]) * factor[i]);
    if (u->samples->source)
        am_source_put(u->samples->source, first, n, from);
    else
        am_upload_u8(u->ctx, am_mat_cols(u->samples->x.dense, first, n), from, u->samples->shift,
                     u->samples->factor);
    return ALTMIN_OK;
}

static altmin_error upload_dense(const upload *u, altmin_status *st)
{
    const int is_bytes = u->part->data->storage == AM_STORE_U8;
    const size_t d = u->part->data->n_features, value_bytes = is_bytes ? 1 : sizeof(float);
    const size_t most = u->part->n < AM_UPLOAD_CHUNK ? u->part->n : AM_UPLOAD_CHUNK;
    void *room = malloc(most * d * value_bytes); /* no more than the data take */
    if (!room)
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory to upload %zu samples of %zu features", most, d);
    if (is_bytes) {
        am_upload(u->ctx, u->samples->shift, u->scaler->shift);
        am_upload(u->ctx, u->samples->factor, u->scaler->factor);
    }
    altmin_error error = ALTMIN_OK;
    for (size_t first = 0; first < u->part->n && !error; first += most) {
        const size_t n = u->part->n - first < most ? u->part->n - first : most;
        error = (is_bytes ? send_bytes : send_floats)(u, first, n, room, st);
        am_progress_add(u->progress, n * d * value_bytes);
    }
    free(room);
    return error;
}

/* Sparse samples are scaled by factor alone: am_scaler_fit refuses a shift for them. */
static altmin_error upload_sparse(const upload *u, altmin_status *st)
{
    const am_part *part = u->part;
    const am_csc *from = &part->data->sparse, *to = &u->samples->x.sparse;
    const size_t stored = n_stored(part);
    size_t *start = malloc((part->n + 1) * sizeof *start);
    int32_t *row = malloc(stored * sizeof *row + 1);
    float *value = malloc(stored * sizeof *value + 1);
    const int ok = start && row && value;
    size_t used = 0;
    for (size_t j = 0; ok && j < part->n; j++) {
        const size_t s = sample_at(part, j);
        start[j] = used;
        for (size_t e = from->start[s]; e < from->start[s + 1]; e++, used++) {
            row[used] = from->row[e];
            value[used] = from->value[e] * u->scaler->factor[from->row[e]];
            u->sum[row[used]] += (double)value[used];
        }
    }
    if (ok) {
        start[part->n] = used;
        am_upload_bytes(u->ctx, (void *)(uintptr_t)to->start, start, (part->n + 1) * sizeof *start);
        am_upload_bytes(u->ctx, (void *)(uintptr_t)to->row, row, stored * sizeof *row);
        am_upload_bytes(u->ctx, (void *)(uintptr_t)to->value, value, stored * sizeof *value);
        am_progress_add(u->progress, am_samples_bytes(u->samples, part));
    }
    free(start);
    free(row);
    free(value);
    return ok ? ALTMIN_OK : am_fail(st, ALTMIN_ERR_MEMORY, "no memory to upload %zu stored values", stored);
}

/* ---------------------------------------------------------------------------------------------- targets */

/* Targets of the squared loss: one-hot rows for classes, the values for regression; with R^2's denominator. */
static altmin_error upload_target(am_samples *samples, am_ctx *ctx, const am_part *part, altmin_status *st)
{
    const size_t k = samples->target.rows, n = part->n;
    if (am_mat_len(samples->target) == 0) return ALTMIN_OK;
    float *target = calloc(am_mat_len(samples->target), sizeof *target);
    double *mean = calloc(k, sizeof *mean);
    if (!target || !mean) {
        free(target);
        free(mean);
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu x %zu targets", k, n);
    }
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < k; i++) {
            float *t = &target[i + j * k];
            *t = samples->host_label ? (float)(samples->host_label[j] == (int32_t)i)
                                     : part->data->target[i + sample_at(part, j) * k];
            mean[i] += (double)*t / (double)n;
        }
    for (size_t e = 0; e < k * n; e++) {
        const double d = (double)target[e] - mean[e % k];
        samples->target_sst += d * d;
    }
    am_upload(ctx, samples->target, target);
    free(target);
    free(mean);
    return ALTMIN_OK;
}

altmin_error am_samples_upload(am_samples *samples, am_ctx *ctx, const am_part *part, const am_scaler *scaler,
                               am_progress *progress, altmin_status *st)
{
    const size_t d = part->data->n_features;
    double *sum = calloc(d, sizeof *sum);
    float *sum_f = malloc(d * sizeof *sum_f);
    altmin_error error =
        sum && sum_f ? ALTMIN_OK : am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu sums", d);
    const upload u = {samples, ctx, part, scaler, progress, sum};
    if (!error && samples->source)
        error = am_source_start(samples->source, ctx, scaler, samples->shift, samples->factor, st);
    if (!error) error = am_input_is_sparse(&samples->x) ? upload_sparse(&u, st) : upload_dense(&u, st);
    for (size_t i = 0; i < d && !error; i++) sum_f[i] = (float)sum[i];
    if (!error) am_upload(ctx, samples->x.sum, sum_f);
    if (!error) error = upload_target(samples, ctx, part, st);
    if (!error && samples->label)
        am_upload_bytes(ctx, samples->label, samples->host_label, part->n * sizeof(int32_t));
    free(sum);
    free(sum_f);
    return error ? error : am_ctx_status(ctx, st);
}

altmin_error am_samples_signed_one_hot(const am_samples *samples, am_ctx *ctx, am_mat dst, altmin_status *st)
{
    const size_t k = dst.rows, most = AM_UPLOAD_CHUNK;
    float *chunk = malloc(k * most * sizeof *chunk);
    if (!chunk) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for one-hot labels");
    for (size_t first = 0; first < samples->n; first += most) {
        const size_t n = samples->n - first < most ? samples->n - first : most;
        for (size_t e = 0; e < k * n; e++)
            chunk[e] = samples->host_label[first + e / k] == (int32_t)(e % k) ? 1.0f : -1.0f;
        am_upload(ctx, am_mat_cols(dst, first, n), chunk);
    }
    free(chunk);
    return am_ctx_status(ctx, st);
}
