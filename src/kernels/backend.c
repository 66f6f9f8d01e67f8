/* The seam itself: opening a table by name, shape checks, sticky errors, counting and timing. Each am_* function checks
 * what its doc comment promises, drops work on empty matrices, and calls the table. No arithmetic on matrices here. */
#include "kernels/backend.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---------------------------------------------------------------------------------------------- generated tables */

#define AM_SIGNATURE(ID, name, uses_act, n_in, has_row, n_coef, n_out, n_sum, n_max)                         \
    {#name, uses_act, n_in, has_row, n_coef, n_out, n_sum, n_max},
static const am_map_signature map_signatures[AM_N_MAPS] = {AM_MAPS(AM_SIGNATURE)};

const am_map_signature *am_map_signature_of(am_map_id id)
{
    return &map_signatures[id];
}

#define AM_N_IN(ID, name, n_in) n_in,
int am_scalar_n_in(am_scalar_id id)
{
    static const int n_in[AM_N_SCALARS] = {AM_SCALARS(AM_N_IN)};
    return n_in[id];
}

#define AM_EVAL(ID, name, n_in)                                                                              \
    case AM_SCALAR_##ID: return am_scalar_##name(x);
double am_scalar_eval(am_scalar_id id, const double *x)
{
    switch (id) {
        AM_SCALARS(AM_EVAL)
    default: return NAN;
    }
}

#define AM_OP_NAME(ID, name) name,
const char *am_op_name(am_op op)
{
    static const char *const names[AM_N_OPS] = {AM_OPS(AM_OP_NAME)};
    return names[op];
}

/* ---------------------------------------------------------------------------------------------- errors */

void am_ctx_fail(am_ctx *ctx, altmin_error code, const char *format, ...)
{
    if (ctx->status.code != ALTMIN_OK) return;
    char text[768];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    am_fail(&ctx->status, code, "backend %s%s%s: %s", ctx->ops->name, ctx->label[0] ? ", " : "", ctx->label,
            text);
}

altmin_error am_ctx_status(const am_ctx *ctx, altmin_status *st)
{
    if (ctx->status.code == ALTMIN_OK) return ALTMIN_OK;
    return am_fail(st, ctx->status.code, "%s", ctx->status.message);
}

void am_label(am_ctx *ctx, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(ctx->label, sizeof ctx->label, format, args);
    va_end(args);
}

static int failed(const am_ctx *ctx)
{
    return ctx->status.code != ALTMIN_OK;
}

/* A broken promise about shapes is altmin's own fault: say which op and which shapes. Returns 1 when it holds. */
static int shape_ok(am_ctx *ctx, int ok, const char *op, am_mat a, am_mat b, am_mat c)
{
    if (!ok)
        am_ctx_fail(ctx, ALTMIN_ERR_INTERNAL, "%s: shapes do not fit: %zu x %zu, %zu x %zu, %zu x %zu", op,
                    a.rows, a.cols, b.rows, b.cols, c.rows, c.cols);
    return ok;
}

/* ---------------------------------------------------------------------------------------------- counting */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double count(am_ctx *ctx, am_op op, double start_s, double flops, double n_bytes)
{
    const double spent = now_s() - start_s;
    if (ctx->profile_paused) return spent;
    am_op_stat *stat = &ctx->stat[op];
    stat->n_calls++;
    stat->time_s += spent;
    stat->flops += flops;
    stat->n_bytes += n_bytes;
    return spent;
}

static void count_product(am_ctx *ctx, am_product_stat shape)
{
    for (size_t i = 0; i < ctx->n_products; i++) {
        am_product_stat *p = &ctx->product[i];
        if (p->op == shape.op && p->ta == shape.ta && p->tb == shape.tb && p->m == shape.m &&
            p->n == shape.n && p->k == shape.k) {
            p->n_calls += shape.n_calls;
            p->time_s += shape.time_s;
            return;
        }
    }
    if (ctx->n_products == AM_MAX_PRODUCT_STATS) return;
    ctx->product[ctx->n_products++] = shape;
}

void am_profile_reset(am_ctx *ctx)
{
    memset(ctx->stat, 0, sizeof ctx->stat);
    ctx->n_products = 0;
}

static double mat_bytes(am_mat m)
{
    return 4.0 * (double)m.rows * (double)m.cols;
}

/* ---------------------------------------------------------------------------------------------- life */

static const am_ops *cuda_table(void)
{
#ifdef ALTMIN_HAVE_CUDA
    return &am_ops_cuda;
#else
    return NULL;
#endif
}

static const am_ops *table_of(am_backend_kind kind)
{
    switch (kind) {
    case AM_BACKEND_REF: return &am_ops_ref;
    case AM_BACKEND_CPU: return &am_ops_cpu;
    case AM_BACKEND_CUDA: return cuda_table();
    default: return am_backend_missing(AM_BACKEND_CUDA) ? &am_ops_cpu : cuda_table();
    }
}

const char *am_backend_missing(am_backend_kind kind)
{
    if (kind == AM_BACKEND_AUTO) return NULL;
    const am_ops *table = table_of(kind);
    if (!table) return "this build of altmin has no CUDA backend";
    return table->missing ? table->missing() : NULL;
}

altmin_error am_backend_open(am_ctx **out, am_backend_kind kind, const am_open_options *opt,
                             altmin_status *st)
{
    *out = NULL;
    const char *missing = am_backend_missing(kind);
    if (missing)
        return am_fail(st, ALTMIN_ERR_BACKEND, "backend cuda is not there: %s; try --backend cpu", missing);
    am_ctx *ctx = calloc(1, sizeof *ctx);
    if (!ctx) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a backend context");
    ctx->ops = table_of(kind);
    const am_open_options defaults = {0};
    if (ctx->ops->open(ctx, opt ? opt : &defaults, st)) {
        am_backend_close(ctx);
        return st ? st->code : ALTMIN_ERR_BACKEND;
    }
    *out = ctx;
    return ALTMIN_OK;
}

void am_backend_close(am_ctx *ctx)
{
    if (!ctx) return;
    for (size_t i = 0; i < ctx->n_blocks; i++) ctx->ops->release(ctx, ctx->block[i]);
    for (size_t i = 0; i < ctx->n_pinned; i++) ctx->ops->pinned_release(ctx, ctx->pinned[i]);
    ctx->ops->close(ctx);
    free(ctx->block);
    free(ctx->pinned);
    free(ctx);
}

/* A list of what was taken, with room for one more; 0 without memory. */
static int keep_account(void ***list, size_t n, altmin_status *st)
{
    void **grown = realloc(*list, (n + 1) * sizeof *grown);
    if (!grown) {
        am_fail(st, ALTMIN_ERR_MEMORY, "no memory to keep account of memory");
        return 0;
    }
    *list = grown;
    return 1;
}

static void strike(void **list, size_t *n, const void *memory)
{
    for (size_t i = 0; i < *n; i++)
        if (list[i] == memory) {
            list[i] = list[--*n];
            return;
        }
}

altmin_error am_memory_take(am_ctx *ctx, void **memory, size_t n_bytes, altmin_status *st)
{
    *memory = NULL;
    if (!keep_account(&ctx->block, ctx->n_blocks, st)) return ALTMIN_ERR_MEMORY;
    *memory = ctx->ops->alloc(ctx, n_bytes ? n_bytes : 64);
    if (!*memory)
        return am_fail(st, ALTMIN_ERR_MEMORY, "backend %s cannot give %.1f MiB of memory", ctx->ops->name,
                       (double)n_bytes / 1048576.0);
    ctx->block[ctx->n_blocks++] = *memory;
    ctx->taken_bytes += n_bytes;
    return ALTMIN_OK;
}

void am_memory_release(am_ctx *ctx, void *memory, size_t n_bytes)
{
    if (!memory) return;
    strike(ctx->block, &ctx->n_blocks, memory);
    ctx->ops->release(ctx, memory);
    ctx->taken_bytes -= n_bytes;
}

altmin_error am_pinned_take(am_ctx *ctx, void **memory, size_t n_bytes, altmin_status *st)
{
    *memory = NULL;
    if (!keep_account(&ctx->pinned, ctx->n_pinned, st)) return ALTMIN_ERR_MEMORY;
    *memory = ctx->ops->pinned_alloc(ctx, n_bytes ? n_bytes : 64);
    if (!*memory)
        return am_fail(st, ALTMIN_ERR_MEMORY, "backend %s cannot give %.1f MiB of pinned host memory",
                       ctx->ops->name, (double)n_bytes / 1048576.0);
    ctx->pinned[ctx->n_pinned++] = *memory;
    return ALTMIN_OK;
}

void am_pinned_release(am_ctx *ctx, void *memory)
{
    if (!memory) return;
    strike(ctx->pinned, &ctx->n_pinned, memory);
    ctx->ops->pinned_release(ctx, memory);
}

am_slot am_slots_new(am_ctx *ctx, size_t n)
{
    if (n > AM_MAX_SLOTS - ctx->n_slots) {
        am_ctx_fail(ctx, ALTMIN_ERR_MEMORY, "more than %d scalar slots", AM_MAX_SLOTS);
        return 0;
    }
    const am_slot first = (am_slot)ctx->n_slots;
    ctx->n_slots += n;
    return first;
}

/* ---------------------------------------------------------------------------------------------- moving data */

void am_upload_bytes(am_ctx *ctx, void *dst, const void *host, size_t n_bytes)
{
    if (failed(ctx) || n_bytes == 0) return;
    const double t = now_s();
    ctx->ops->upload(ctx, dst, host, n_bytes);
    count(ctx, AM_OP_UPLOAD, t, 0.0, (double)n_bytes);
}

void am_upload(am_ctx *ctx, am_mat dst, const float *host)
{
    am_upload_bytes(ctx, dst.data, host, am_mat_len(dst) * sizeof(float));
}

void am_upload_u8(am_ctx *ctx, am_mat dst, const uint8_t *host, am_mat shift, am_mat factor)
{
    const int fits = shift.rows == dst.rows && shift.cols == 1 && factor.rows == dst.rows && factor.cols == 1;
    if (failed(ctx) || !shape_ok(ctx, fits, "upload_u8", dst, shift, factor) || am_mat_len(dst) == 0) return;
    const double t = now_s();
    ctx->ops->upload_u8(ctx, dst, host, shift, factor);
    count(ctx, AM_OP_UPLOAD, t, 0.0, (double)am_mat_len(dst));
}

altmin_error am_download(am_ctx *ctx, float *host, am_mat src, altmin_status *st)
{
    if (!failed(ctx) && am_mat_len(src)) {
        const double t = now_s();
        ctx->ops->download(ctx, host, src.data, am_mat_len(src) * sizeof(float));
        count(ctx, AM_OP_DOWNLOAD, t, 0.0, mat_bytes(src));
    }
    return am_ctx_status(ctx, st);
}

void am_stage_send(am_ctx *ctx, int b, void *dst, const void *pinned, size_t n_bytes)
{
    if (failed(ctx) || n_bytes == 0) return;
    const double t = now_s();
    ctx->ops->stage_send(ctx, b, dst, pinned, n_bytes);
    count(ctx, AM_OP_UPLOAD, t, 0.0, (double)n_bytes);
}

static void stage_order(am_ctx *ctx, int b, am_stage_order what)
{
    if (!failed(ctx) && ctx->ops->stage_order) ctx->ops->stage_order(ctx, b, what);
}

void am_stage_wait(am_ctx *ctx, int b)
{
    stage_order(ctx, b, AM_STAGE_WAIT);
}

void am_stage_arrive(am_ctx *ctx, int b)
{
    stage_order(ctx, b, AM_STAGE_ARRIVE);
}

void am_stage_free(am_ctx *ctx, int b)
{
    stage_order(ctx, b, AM_STAGE_FREE);
}

void am_copy(am_ctx *ctx, am_mat dst, am_mat src)
{
    if (failed(ctx) || !shape_ok(ctx, dst.rows == src.rows && dst.cols == src.cols, "copy", dst, src, src))
        return;
    if (am_mat_len(dst) == 0) return;
    const double t = now_s();
    ctx->ops->copy(ctx, dst, src);
    count(ctx, AM_OP_COPY, t, 0.0, 2.0 * mat_bytes(dst));
}

void am_fill(am_ctx *ctx, am_mat dst, float value)
{
    if (failed(ctx) || am_mat_len(dst) == 0) return;
    const double t = now_s();
    ctx->ops->fill(ctx, dst, value);
    count(ctx, AM_OP_COPY, t, 0.0, mat_bytes(dst));
}

/* ---------------------------------------------------------------------------------------------- products */

void am_gemm(am_ctx *ctx, am_mat c, float alpha, am_mat a, int ta, am_mat b, int tb, float beta)
{
    const size_t m = ta ? a.cols : a.rows, k = ta ? a.rows : a.cols;
    const size_t kb = tb ? b.cols : b.rows, n = tb ? b.rows : b.cols;
    if (failed(ctx) || !shape_ok(ctx, c.rows == m && c.cols == n && k == kb, "gemm", c, a, b)) return;
    if (m == 0 || n == 0) return;
    if (k == 0) {
        if (beta == 0.0f) am_fill(ctx, c, 0.0f);
        shape_ok(ctx, beta == 0.0f || beta == 1.0f, "gemm with inner dimension 0 and beta not 0 or 1", c, a,
                 b);
        return;
    }
    const double t = now_s();
    ctx->ops->gemm(ctx, c, alpha, a, ta, b, tb, beta);
    const double bytes = mat_bytes(a) + mat_bytes(b) + mat_bytes(c) * (beta == 0.0f ? 1.0 : 2.0);
    const double spent = count(ctx, AM_OP_GEMM, t, 2.0 * (double)m * (double)n * (double)k, bytes);
    if (!ctx->profile_paused) count_product(ctx, (am_product_stat){AM_OP_GEMM, ta, tb, m, n, k, 1, spent});
}

void am_gram(am_ctx *ctx, am_mat g, am_mat a, int ta)
{
    const size_t d = ta ? a.cols : a.rows, k = ta ? a.rows : a.cols;
    if (failed(ctx) || !shape_ok(ctx, g.rows == d && g.cols == d, "gram", g, a, a)) return;
    if (d == 0) return;
    if (k == 0) {
        am_fill(ctx, g, 0.0f);
        return;
    }
    const double t = now_s();
    ctx->ops->gram(ctx, g, a, ta);
    const double spent =
        count(ctx, AM_OP_GRAM, t, (double)d * (double)(d + 1) * (double)k, mat_bytes(a) + mat_bytes(g));
    if (!ctx->profile_paused) count_product(ctx, (am_product_stat){AM_OP_GRAM, ta, !ta, d, d, k, 1, spent});
}

void am_gram_sparse(am_ctx *ctx, am_mat g, const am_csc *x, int tx)
{
    const size_t d = tx ? x->cols : x->rows;
    const am_mat shape = {NULL, x->rows, x->cols};
    if (failed(ctx) || !shape_ok(ctx, g.rows == d && g.cols == d, "gram_sparse", g, shape, shape)) return;
    if (d == 0) return;
    const double t = now_s();
    ctx->ops->gram_sparse(ctx, g, x, tx);
    count(ctx, AM_OP_SPARSE, t, 0.0, mat_bytes(g));
}

void am_spmm(am_ctx *ctx, am_mat c, float alpha, am_mat a, const am_csc *x, int tx, float beta)
{
    const size_t n = tx ? x->rows : x->cols, k = tx ? x->cols : x->rows;
    const am_mat shape = {NULL, x->rows, x->cols};
    if (failed(ctx) || !shape_ok(ctx, c.rows == a.rows && c.cols == n && a.cols == k, "spmm", c, a, shape))
        return;
    if (am_mat_len(c) == 0) return;
    const double t = now_s();
    ctx->ops->spmm(ctx, c, alpha, a, x, tx, beta);
    count(ctx, AM_OP_SPARSE, t, 0.0, mat_bytes(a) + 2.0 * mat_bytes(c));
}

/* ---------------------------------------------------------------------------------------------- small systems */

void am_cholesky(am_ctx *ctx, am_mat factor, am_mat a, double scale, double ridge)
{
    const size_t d = a.rows;
    if (failed(ctx) || !shape_ok(ctx, a.cols == d && factor.rows == d && factor.cols == am_factor_cols(d),
                                 "cholesky", factor, a, a))
        return;
    if (d == 0) return;
    const double t = now_s();
    ctx->ops->cholesky(ctx, factor, a, scale, ridge);
    count(ctx, AM_OP_CHOLESKY, t, (double)d * (double)d * (double)d / 3.0, mat_bytes(a) + mat_bytes(factor));
}

void am_solve_right(am_ctx *ctx, am_mat b, am_mat factor)
{
    const size_t d = factor.rows;
    if (failed(ctx) ||
        !shape_ok(ctx, factor.cols == am_factor_cols(d) && b.cols == d, "solve_right", b, factor, factor))
        return;
    if (am_mat_len(b) == 0) return;
    const double t = now_s();
    ctx->ops->solve_right(ctx, b, factor);
    count(ctx, AM_OP_SOLVE, t, 2.0 * (double)b.rows * (double)d * (double)d,
          2.0 * mat_bytes(b) + mat_bytes(factor));
}

void am_norm2(am_ctx *ctx, am_slot out, am_mat w, am_mat v, am_mat u, int n_steps)
{
    const int fits = am_mat_len(v) == w.cols && am_mat_len(u) == w.rows && v.cols == 1 && u.cols == 1;
    if (failed(ctx) || !shape_ok(ctx, fits, "norm2", w, v, u)) return;
    if (am_mat_len(w) == 0) {
        am_slot_set(ctx, out, 0.0);
        return;
    }
    const double t = now_s();
    ctx->ops->norm2(ctx, out, w, v, u, n_steps);
    count(ctx, AM_OP_NORM, t, 4.0 * (double)n_steps * (double)w.rows * (double)w.cols,
          2.0 * n_steps * mat_bytes(w));
}

void am_eigh(am_ctx *ctx, am_mat values, am_mat vectors, am_mat a)
{
    const size_t d = a.rows;
    const int fits =
        a.cols == d && values.rows == d && values.cols == 1 && vectors.rows == d && vectors.cols == d;
    if (failed(ctx) || !shape_ok(ctx, fits, "eigh", values, vectors, a) || d == 0) return;
    const double t = now_s();
    ctx->ops->eigh(ctx, values, vectors, a);
    count(ctx, AM_OP_EIGH, t, 9.0 * (double)d * (double)d * (double)d, 2.0 * mat_bytes(a));
}

void am_orthonormalise(am_ctx *ctx, am_mat v)
{
    const int fits = v.cols <= v.rows && v.cols <= AM_MAX_BASIS;
    if (failed(ctx) || !shape_ok(ctx, fits, "orthonormalise", v, v, v) || am_mat_len(v) == 0) return;
    const double t = now_s();
    ctx->ops->orthonormalise(ctx, v);
    count(ctx, AM_OP_BASIS, t, 4.0 * (double)v.rows * (double)v.cols * (double)v.cols, 2.0 * mat_bytes(v));
}

/* ---------------------------------------------------------------------------------------------- elementwise */

static int same_shape(am_mat a, am_mat b)
{
    return a.rows == b.rows && a.cols == b.cols;
}

static am_mat map_shape(const am_map_args *args, const am_map_signature *sig)
{
    return sig->n_in ? args->in[0] : args->out[0];
}

static int map_shapes_fit(const am_map_args *args, const am_map_signature *sig)
{
    const am_mat shape = map_shape(args, sig);
    int fit = !sig->has_row || (args->row.rows == shape.rows && args->row.cols == 1);
    fit = fit && (!args->row_sum.data || (args->row_sum.rows == shape.rows && args->row_sum.cols == 1));
    for (int i = 0; i < sig->n_in; i++) fit = fit && same_shape(args->in[i], shape);
    for (int i = 0; i < sig->n_out; i++) fit = fit && same_shape(args->out[i], shape);
    return fit;
}

void am_map(am_ctx *ctx, am_map_id id, int act, const am_map_args *args)
{
    const am_map_signature *sig = &map_signatures[id];
    const am_mat shape = map_shape(args, sig);
    if (failed(ctx) || !shape_ok(ctx, map_shapes_fit(args, sig), sig->name, shape, args->in[1], args->out[0]))
        return;
    if (am_mat_len(shape) == 0) {
        for (int i = 0; i < sig->n_sum; i++)
            if (args->sum[i] != AM_NO_SLOT) am_slot_set(ctx, args->sum[i], 0.0);
        if (sig->n_max && args->max != AM_NO_SLOT) am_slot_set(ctx, args->max, 0.0);
        if (args->row_sum.data) am_fill(ctx, args->row_sum, 0.0f);
        return;
    }
    const double t = now_s();
    ctx->ops->map(ctx, id, act, args);
    count(ctx, AM_OP_MAP, t, 0.0, mat_bytes(shape) * (sig->n_in + sig->n_out));
}

void am_row_sum(am_ctx *ctx, am_mat v, am_mat x)
{
    if (failed(ctx) || !shape_ok(ctx, v.rows == x.rows && v.cols == 1, "row_sum", v, x, x)) return;
    if (v.rows == 0) return;
    if (x.cols == 0) {
        am_fill(ctx, v, 0.0f);
        return;
    }
    const double t = now_s();
    ctx->ops->row_sum(ctx, v, x);
    count(ctx, AM_OP_ROW_SUM, t, (double)am_mat_len(x), mat_bytes(x));
}

/* ---------------------------------------------------------------------------------------------- columns */

void am_softmax_loss(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat p, am_mat b, const int32_t *label)
{
    if (failed(ctx) || !shape_ok(ctx, b.rows == p.rows && b.cols == 1, "softmax_loss", p, b, b)) return;
    if (am_mat_len(p) == 0) {
        am_slot_set(ctx, loss, 0.0);
        am_slot_set(ctx, n_correct, 0.0);
        return;
    }
    const double t = now_s();
    ctx->ops->softmax_loss(ctx, loss, n_correct, p, b, label);
    count(ctx, AM_OP_SOFTMAX, t, 0.0, mat_bytes(p));
}

void am_softmax_residual(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat d, am_mat p, am_mat b,
                         const int32_t *label, float scale)
{
    const int fits = same_shape(d, p) && b.rows == p.rows && b.cols == 1;
    if (failed(ctx) || !shape_ok(ctx, fits, "softmax_residual", d, p, b)) return;
    if (am_mat_len(p) == 0) {
        if (loss != AM_NO_SLOT) am_slot_set(ctx, loss, 0.0);
        if (n_correct != AM_NO_SLOT) am_slot_set(ctx, n_correct, 0.0);
        return;
    }
    const double t = now_s();
    ctx->ops->softmax_residual(ctx, loss, n_correct, d, p, b, label, scale);
    count(ctx, AM_OP_SOFTMAX, t, 0.0, 2.0 * mat_bytes(p));
}

void am_gather_columns(am_ctx *ctx, am_mat dst, am_mat src, const int32_t *index)
{
    if (failed(ctx) || !shape_ok(ctx, dst.rows == src.rows, "gather_columns", dst, src, src) ||
        am_mat_len(dst) == 0)
        return;
    const double t = now_s();
    ctx->ops->gather_columns(ctx, dst, src, index);
    count(ctx, AM_OP_GATHER, t, 0.0, 2.0 * mat_bytes(dst) + 4.0 * (double)dst.cols);
}

void am_gather_columns_u8(am_ctx *ctx, am_mat dst, const uint8_t *src, const int32_t *index, am_mat shift,
                          am_mat factor)
{
    const int fits = shift.rows == dst.rows && shift.cols == 1 && factor.rows == dst.rows && factor.cols == 1;
    if (failed(ctx) || !shape_ok(ctx, fits, "gather_columns_u8", dst, shift, factor) || am_mat_len(dst) == 0)
        return;
    const double t = now_s();
    ctx->ops->gather_columns_u8(ctx, dst, src, index, shift, factor);
    count(ctx, AM_OP_GATHER, t, 0.0, 1.25 * mat_bytes(dst) + 4.0 * (double)dst.cols);
}

void am_thin(am_ctx *ctx, int32_t *index, am_slot count_slot, am_mat r, am_slot bt, uint64_t seed,
             am_slot counter)
{
    if (failed(ctx) || !shape_ok(ctx, r.rows > 0 || r.cols == 0, "thin", r, r, r)) return;
    if (r.cols == 0) {
        am_slot_set(ctx, count_slot, 0.0);
        return;
    }
    const double t = now_s();
    ctx->ops->thin(ctx, index, count_slot, r, bt, seed, counter);
    count(ctx, AM_OP_THIN, t, 0.0, 1.5 * mat_bytes(r));
}

void am_prox_softmax_columns(am_ctx *ctx, am_mat z, am_mat p, am_mat b, const int32_t *label, am_slot rho,
                             const am_slot sum[3], am_mat row_sum)
{
    const int fits =
        same_shape(z, p) && b.rows == p.rows && b.cols == 1 && (!row_sum.data || row_sum.rows == z.rows);
    if (failed(ctx) || !shape_ok(ctx, fits, "prox_softmax", z, p, b)) return;
    if (am_mat_len(z) == 0) {
        for (int i = 0; i < 3; i++)
            if (sum[i] != AM_NO_SLOT) am_slot_set(ctx, sum[i], 0.0);
        if (row_sum.data) am_fill(ctx, row_sum, 0.0f);
        return;
    }
    const double t = now_s();
    ctx->ops->prox_softmax(ctx, z, p, b, label, rho, sum, row_sum);
    count(ctx, AM_OP_PROX, t, 0.0, 3.0 * mat_bytes(z));
}

/* ---------------------------------------------------------------------------------------------- scalars and flow */

void am_scalar(am_ctx *ctx, am_slot out, am_scalar_id id, const am_slot *in)
{
    if (failed(ctx)) return;
    const double t = now_s();
    ctx->ops->scalar(ctx, out, id, in);
    count(ctx, AM_OP_SCALAR, t, 0.0, 0.0);
}

void am_slots_write(am_ctx *ctx, am_slot first, size_t n, const double *value)
{
    if (failed(ctx) || n == 0) return;
    ctx->ops->slots_write(ctx, first, n, value);
}

void am_slot_set(am_ctx *ctx, am_slot slot, double value)
{
    am_slots_write(ctx, slot, 1, &value);
}

altmin_error am_slots_read(am_ctx *ctx, am_slot first, size_t n, double *value, altmin_status *st)
{
    if (!failed(ctx) && n) ctx->ops->slots_read(ctx, first, n, value);
    return am_ctx_status(ctx, st);
}

void am_branch(am_ctx *ctx, am_slot condition, void (*body)(am_ctx *ctx, void *arg), void *arg)
{
    if (!failed(ctx)) ctx->ops->branch(ctx, condition, body, arg);
}

/* ---------------------------------------------------------------------------------------------- lanes */

void am_lanes_in_turn(am_ctx *ctx, size_t n, am_task *task, void *arg)
{
    for (size_t i = 0; i < n && !failed(ctx); i++) task(ctx, i, arg);
}

void am_lane_start(am_ctx *lane, const am_ctx *ctx)
{
    memcpy(lane->label, ctx->label, sizeof lane->label);
    lane->status = (altmin_status){0};
    lane->n_slots = ctx->n_slots;
    lane->profile_paused = ctx->profile_paused;
    lane->n_jitter = 0;
    lane->is_lane = 1;
    am_profile_reset(lane);
}

void am_lane_join(am_ctx *ctx, const am_ctx *lane)
{
    ctx->n_jitter += lane->n_jitter;
    for (int i = 0; i < AM_N_OPS; i++) {
        ctx->stat[i].n_calls += lane->stat[i].n_calls;
        ctx->stat[i].time_s += lane->stat[i].time_s;
        ctx->stat[i].flops += lane->stat[i].flops;
        ctx->stat[i].n_bytes += lane->stat[i].n_bytes;
    }
    for (size_t i = 0; i < lane->n_products; i++) count_product(ctx, lane->product[i]);
}

void am_lanes(am_ctx *ctx, size_t n, am_task *task, void *arg)
{
    char label[sizeof ctx->label]; /* the tasks' labels are theirs */
    memcpy(label, ctx->label, sizeof label);
    if (failed(ctx)) return;
    if (n < 2 || ctx->is_lane)
        am_lanes_in_turn(ctx, n, task, arg);
    else
        ctx->ops->lanes(ctx, n, task, arg);
    memcpy(ctx->label, label, sizeof label);
}

/* ---------------------------------------------------------------------------------------------- sweeps */

void am_sweep(am_ctx *ctx, uint64_t key, void (*issue)(void *arg), void *arg)
{
    if (failed(ctx) || !ctx->ops->sweep_begin(ctx, key)) return;
    do issue(arg);
    while (ctx->ops->sweep_end(ctx, key));
}
