/* Bytes on the device, and features streamed from host memory or a mapped file through two buffers; see source.h. */
#include "host/train/source.h"

#include <stdlib.h>
#include <string.h>

#define AM_STAGE_BYTES ((size_t)4 << 20) /* of a buffer, at least one sample */

struct am_source {
    am_residency residency;
    am_part part;
    am_ctx *ctx;
    const am_scaler *scaler;
    am_mat shift, factor;
    void *bytes;                   /* residency bytes: features x n in backend memory */
    size_t capacity, sample_bytes; /* of a buffer, in samples */
    void *stage[2], *pinned[2];    /* buffers in backend and in host memory */
    int turn;                      /* buffer of the next piece */
    const int32_t *ahead;          /* numbers of the samples under way in buffer `turn`, NULL: none */
    size_t n_ahead;
};

/* Which samples: numbers in index, or first, first + 1, .. */
typedef struct picks {
    const int32_t *index;
    size_t first, n;
} picks;

static int is_bytes(const am_part *part)
{
    return part->data->storage == AM_STORE_U8;
}

/* ---------------------------------------------------------------------------------------------- life */

static altmin_error check_disk(const altmin_data *data, altmin_status *st)
{
    if (am_data_is_mapped(data)) return ALTMIN_OK;
    return am_fail(
        st, ALTMIN_ERR_USAGE,
        "residency disk: %s is not mapped; only IDX and NPY files of bytes or 32-bit floats that are not "
        "compressed can stay on disk. Use --residency host, or convert the file",
        data->source);
}

altmin_error am_source_check(const am_part *part, am_residency residency, altmin_status *st)
{
    static const char *const name[] = {"auto", "device", "bytes", "host", "disk"};
    if (residency == AM_RESIDENCY_DEVICE) return ALTMIN_OK;
    if (part->data->storage == AM_STORE_SPARSE)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "residency %s: %s is sparse, and sparse data are kept on the device; use --residency "
                       "device",
                       name[residency], part->data->source);
    if (residency == AM_RESIDENCY_BYTES && !is_bytes(part))
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "residency bytes: the features of %s are real numbers, not bytes; use --residency host",
            part->data->source);
    return residency == AM_RESIDENCY_DISK ? check_disk(part->data, st) : ALTMIN_OK;
}

static void plan_buffers(am_source *source, am_plan *plan)
{
    const size_t fit = AM_STAGE_BYTES / source->sample_bytes, most = source->part.n;
    source->capacity = fit < 1 ? 1 : (fit < most ? fit : most);
    const size_t n_bytes = source->capacity * source->sample_bytes;
    for (int b = 0; b < 2; b++) am_plan_raw(plan, "data under way", &source->stage[b], n_bytes);
}

altmin_error am_source_plan(am_source **out, const am_part *part, am_residency residency, am_plan *plan,
                            const char *name, altmin_status *st)
{
    am_source *source = *out = calloc(1, sizeof *source);
    size_t n_bytes = 0;
    if (!source) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a source of samples");
    source->residency = residency;
    source->part = *part;
    if (am_size_mul(part->data->n_features, is_bytes(part) ? 1 : sizeof(float), &source->sample_bytes) ||
        am_size_mul(source->sample_bytes, part->n, &n_bytes))
        return am_fail(st, ALTMIN_ERR_MEMORY, "%zu samples of %zu features overflow", part->n,
                       part->data->n_features);
    if (residency == AM_RESIDENCY_BYTES)
        am_plan_raw(plan, name, &source->bytes, n_bytes);
    else
        plan_buffers(source, plan);
    return ALTMIN_OK;
}

altmin_error am_source_start(am_source *source, am_ctx *ctx, const am_scaler *scaler, am_mat shift,
                             am_mat factor, altmin_status *st)
{
    source->ctx = ctx;
    source->scaler = scaler;
    source->shift = shift, source->factor = factor;
    for (int b = 0; b < 2 && source->residency != AM_RESIDENCY_BYTES; b++)
        if (am_pinned_take(ctx, &source->pinned[b], source->capacity * source->sample_bytes, st))
            return ALTMIN_ERR_MEMORY;
    return ALTMIN_OK;
}

void am_source_put(am_source *source, size_t first, size_t n, const uint8_t *bytes)
{
    if (source->residency != AM_RESIDENCY_BYTES) return;
    am_upload_bytes(source->ctx, (uint8_t *)source->bytes + first * source->sample_bytes, bytes,
                    n * source->sample_bytes);
}

void am_source_free(am_source *source)
{
    free(source);
}

/* ---------------------------------------------------------------------------------------------- buffers */

/* Number of a sample in the data set. */
static size_t number_of(const am_source *source, const picks *p, size_t j)
{
    const size_t i = p->index ? (size_t)p->index[j] : p->first + j;
    return source->part.index ? source->part.index[i] : i;
}

/* Gather n of the samples, from number `at` of p on, into buffer `turn` and send it off. */
static void send(am_source *source, const picks *p, size_t at, size_t n)
{
    const altmin_data *data = source->part.data;
    const size_t d = data->n_features;
    const int b = source->turn;
    am_stage_wait(source->ctx, b);
    if (source->ctx->status.code != ALTMIN_OK) return; /* the buffer may still be read */
    for (size_t j = 0; j < n; j++) {
        const size_t sample = number_of(source, p, at + j);
        if (is_bytes(&source->part))
            memcpy((uint8_t *)source->pinned[b] + j * d, data->u8 + sample * d, d);
        else
            am_data_dense(data, source->scaler, sample, 1, (float *)source->pinned[b] + j * d);
    }
    am_stage_send(source->ctx, b, source->stage[b], source->pinned[b], n * source->sample_bytes);
}

/* dst <- what buffer `turn` brings; then it is the other's turn. */
static void receive(am_source *source, am_mat dst)
{
    const int b = source->turn;
    am_ctx *ctx = source->ctx;
    am_stage_arrive(ctx, b);
    if (is_bytes(&source->part))
        am_gather_columns_u8(ctx, dst, source->stage[b], NULL, source->shift, source->factor);
    else
        am_copy(ctx, dst, (am_mat){source->stage[b], dst.rows, dst.cols});
    am_stage_free(ctx, b);
    source->turn = !b;
}

/* Are the first of these samples the ones under way? */
static int is_ahead(const am_source *source, const picks *p)
{
    return p->index && source->ahead == p->index && source->n_ahead <= p->n;
}

static void fill(am_source *source, am_mat dst, picks p)
{
    size_t done = 0;
    if (is_ahead(source, &p)) {
        done = source->n_ahead;
        receive(source, am_mat_cols(dst, 0, done));
    }
    source->ahead = NULL; /* another chunk than announced: its buffer is filled anew */
    while (done < p.n) {
        const size_t n = p.n - done < source->capacity ? p.n - done : source->capacity;
        send(source, &p, done, n);
        receive(source, am_mat_cols(dst, done, n));
        done += n;
    }
}

/* ---------------------------------------------------------------------------------------------- chunks */

static int is_streamed(const am_samples *samples)
{
    return samples->source && samples->source->residency != AM_RESIDENCY_BYTES;
}

void am_samples_next(const am_samples *samples, am_mat dst, const int32_t *host_index, size_t m)
{
    if (is_streamed(samples)) fill(samples->source, dst, (picks){host_index, 0, m});
}

void am_samples_ahead(const am_samples *samples, const int32_t *host_index, size_t m)
{
    am_source *source = samples->source;
    if (!is_streamed(samples) || m == 0) return;
    const picks p = {host_index, 0, m};
    source->n_ahead = m < source->capacity ? m : source->capacity;
    send(source, &p, 0, source->n_ahead);
    source->ahead = host_index;
}

void am_samples_gather(const am_samples *samples, am_ctx *ctx, am_mat dst, const int32_t *index)
{
    const am_source *source = samples->source;
    if (!source)
        am_gather_columns(ctx, dst, samples->x.dense, index);
    else if (source->bytes)
        am_gather_columns_u8(ctx, dst, source->bytes, index, source->shift, source->factor);
}

am_input am_samples_range(const am_samples *samples, am_ctx *ctx, size_t first, size_t n, am_mat room)
{
    am_source *source = samples->source;
    if (!source) return am_input_cols(&samples->x, first, n);
    const am_mat dst = {room.data, source->part.data->n_features, n};
    if (source->bytes)
        am_gather_columns_u8(ctx, dst, (uint8_t *)source->bytes + first * dst.rows, NULL, source->shift,
                             source->factor);
    else
        fill(source, dst, (picks){NULL, first, n});
    return (am_input){.dense = dst};
}
