/* Pieces of the reference backend that other host-memory backends share. */
#ifndef AM_REF_H
#define AM_REF_H

#include "kernels/backend.h"

/** State of a backend whose memory is the host's. cpu.c embeds it as its first member. */
typedef struct am_host_state {
    double *slot;  /* AM_MAX_SLOTS; lanes share them */
    double *work;  /* scratch of factorizations and columns, grown outside sweeps when possible */
    size_t n_work; /* doubles */
} am_host_state;

static inline am_host_state *am_host(const am_ctx *ctx)
{
    return (am_host_state *)ctx->impl;
}

/** Make ctx->impl, n_bytes that begin with an am_host_state, all 0 but for its slots. */
altmin_error am_host_open(am_ctx *ctx, size_t n_bytes, altmin_status *st);
/** Release what am_host_open and am_host_work took. */
void am_host_close(am_ctx *ctx);
/** Scratch of at least n doubles, kept until close: after the first sweep of a shape nothing is allocated. NULL after a
 *  sticky failure. */
double *am_host_work(am_ctx *ctx, size_t n);

/** Column `column` of vectors <- +-v (vectors.rows doubles) with am_eigh's sign. */
void am_host_store_eigenvector(am_mat vectors, size_t column, const double *v);
/** The two vector loops of Gram-Schmidt, over n doubles: x'y, and x <- x - c q. */
typedef struct am_vector_ops {
    double (*dot)(const double *x, const double *y, size_t n);
    void (*take_away)(double *x, const double *q, double c, size_t n);
} am_vector_ops;
/** am_orthonormalise over a backend's own vector loops. */
void am_host_orthonormalise(am_ctx *ctx, am_mat v, const am_vector_ops *ops);

void *am_ref_alloc(am_ctx *ctx, size_t n_bytes);
void am_ref_release(am_ctx *ctx, void *memory);
size_t am_ref_free_bytes(am_ctx *ctx);
void am_ref_upload(am_ctx *ctx, void *dst, const void *host, size_t n_bytes);
void am_ref_upload_u8(am_ctx *ctx, am_mat dst, const uint8_t *host, am_mat shift, am_mat factor);
void am_ref_download(am_ctx *ctx, void *host, const void *src, size_t n_bytes);
void am_ref_stage_send(am_ctx *ctx, int b, void *dst, const void *pinned, size_t n_bytes);
void am_ref_copy(am_ctx *ctx, am_mat dst, am_mat src);
void am_ref_fill(am_ctx *ctx, am_mat dst, float value);
void am_ref_gram_sparse(am_ctx *ctx, am_mat g, const am_csc *x, int tx);
void am_ref_spmm(am_ctx *ctx, am_mat c, float alpha, am_mat a, const am_csc *x, int tx, float beta);
void am_ref_cholesky(am_ctx *ctx, am_mat factor, am_mat a, double scale, double ridge);
void am_ref_eigh(am_ctx *ctx, am_mat values, am_mat vectors, am_mat a);
void am_ref_orthonormalise(am_ctx *ctx, am_mat v);
void am_ref_gather_columns(am_ctx *ctx, am_mat dst, am_mat src, const int32_t *index);
void am_ref_gather_columns_u8(am_ctx *ctx, am_mat dst, const uint8_t *src, const int32_t *index, am_mat shift,
                              am_mat factor);
void am_ref_thin(am_ctx *ctx, int32_t *index, am_slot count, am_mat r, am_slot bt, uint64_t seed,
                 am_slot counter);
void am_ref_scalar(am_ctx *ctx, am_slot out, am_scalar_id id, const am_slot *in);
void am_ref_slots_write(am_ctx *ctx, am_slot first, size_t n, const double *value);
void am_ref_slots_read(am_ctx *ctx, am_slot first, size_t n, double *value);
void am_ref_branch(am_ctx *ctx, am_slot condition, void (*body)(am_ctx *ctx, void *arg), void *arg);
int am_ref_sweep_begin(am_ctx *ctx, uint64_t key);
int am_ref_sweep_end(am_ctx *ctx, uint64_t key);
#endif
