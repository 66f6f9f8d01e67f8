/* The reference backend: the executable meaning of every op. Naive loops, sums in double, one thread, host
 * memory. Slow on purpose; every other backend is tested against it. See backend.h for formulas and shapes.
 */
#include "kernels/ref.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---------------------------------------------------------------------------------------------- memory */

altmin_error am_host_open(am_ctx *ctx, size_t n_bytes, altmin_status *st)
{
    ctx->impl = calloc(1, n_bytes);
    if (ctx->impl) am_host(ctx)->slot = calloc(AM_MAX_SLOTS, sizeof(double));
    if (ctx->impl && am_host(ctx)->slot) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the %s backend", ctx->ops->name);
}

void am_host_close(am_ctx *ctx)
{
    if (!ctx->impl) return;
    free(am_host(ctx)->slot);
    free(am_host(ctx)->work);
    free(ctx->impl);
}

static altmin_error ref_open(am_ctx *ctx, const am_open_options *opt, altmin_status *st)
{
    (void)opt;
    if (am_host_open(ctx, sizeof(am_host_state), st)) return st ? st->code : ALTMIN_ERR_MEMORY;
    ctx->n_threads = 1;
    memcpy(ctx->detail, "naive loops", 12);
    return ALTMIN_OK;
}

double *am_host_work(am_ctx *ctx, size_t n)
{
    am_host_state *host = am_host(ctx);
    if (host->n_work < n) {
        free(host->work);
        host->work = n <= SIZE_MAX / sizeof(double) ? malloc(n * sizeof(double)) : NULL;
        host->n_work = host->work ? n : 0;
        if (!host->work) am_ctx_fail(ctx, ALTMIN_ERR_MEMORY, "no memory for %zu doubles of scratch", n);
    }
    return host->work;
}

#define HUGE_PAGE ((size_t)2 << 20)

/* Large blocks ask for huge pages: passes over hundreds of MiB otherwise spend a good part of their time on
 * misses of the address translation cache. */
void *am_ref_alloc(am_ctx *ctx, size_t n_bytes)
{
    (void)ctx;
    const size_t alignment = n_bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
    if (n_bytes > SIZE_MAX - alignment) return NULL;
    void *memory = aligned_alloc(alignment, (n_bytes + alignment - 1) / alignment * alignment);
#ifdef MADV_HUGEPAGE
    if (memory && alignment == HUGE_PAGE)
        madvise(memory, n_bytes, MADV_HUGEPAGE); /* advice: may be refused */
#endif
    return memory;
}

void am_ref_release(am_ctx *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

size_t am_ref_free_bytes(am_ctx *ctx)
{
    (void)ctx;
    const long pages = sysconf(_SC_AVPHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : SIZE_MAX;
}

void am_ref_upload(am_ctx *ctx, void *dst, const void *host, size_t n_bytes)
{
    (void)ctx;
    memcpy(dst, host, n_bytes);
}

void am_ref_upload_u8(am_ctx *ctx, am_mat dst, const uint8_t *host, am_mat shift, am_mat factor)
{
    (void)ctx;
    for (size_t j = 0; j < dst.cols; j++)
        for (size_t i = 0; i < dst.rows; i++)
            dst.data[i + j * dst.rows] = ((float)host[i + j * dst.rows] - shift.data[i]) * factor.data[i];
}

void am_ref_download(am_ctx *ctx, void *host, const void *src, size_t n_bytes)
{
    (void)ctx;
    memcpy(host, src, n_bytes);
}

void am_ref_stage_send(am_ctx *ctx, int b, void *dst, const void *pinned, size_t n_bytes)
{
    (void)ctx, (void)b;
    memcpy(dst, pinned, n_bytes);
}

void am_ref_copy(am_ctx *ctx, am_mat dst, am_mat src)
{
    (void)ctx;
    memcpy(dst.data, src.data, am_mat_len(src) * sizeof(float));
}

void am_ref_fill(am_ctx *ctx, am_mat dst, float value)
{
    (void)ctx;
    for (size_t i = 0; i < am_mat_len(dst); i++) dst.data[i] = value;
}

/* -------------------------------------------------------------------------------------------- products */

/* Element (i, j) of op(m). */
static double at(am_mat m, int t, size_t i, size_t j)
{
    return t ? m.data[j + i * m.rows] : m.data[i + j * m.rows];
}

static void store(am_mat c, size_t i, size_t j, float alpha, double sum, float beta)
{
    float *out = &c.data[i + j * c.rows];
    *out = (float)((double)alpha * sum + (beta != 0.0f ? (double)beta * (double)*out : 0.0));
}

static void ref_gemm(am_ctx *ctx, am_mat c, float alpha, am_mat a, int ta, am_mat b, int tb, float beta)
{
    (void)ctx;
    const size_t inner = ta ? a.rows : a.cols;
    for (size_t j = 0; j < c.cols; j++)
        for (size_t i = 0; i < c.rows; i++) {
            double sum = 0.0;
            for (size_t k = 0; k < inner; k++) sum += at(a, ta, i, k) * at(b, tb, k, j);
            store(c, i, j, alpha, sum, beta);
        }
}

static void ref_gram(am_ctx *ctx, am_mat g, am_mat a, int ta)
{
    ref_gemm(ctx, g, 1.0f, a, ta, a, !ta, 0.0f);
}

/* X X': the outer product of every column's entries with themselves, summed in float's destination by column
 * order. */
static void gram_rows(am_mat g, const am_csc *x)
{
    for (size_t j = 0; j < x->cols; j++)
        for (size_t e = x->start[j]; e < x->start[j + 1]; e++)
            for (size_t f = x->start[j]; f < x->start[j + 1]; f++)
                g.data[(size_t)x->row[e] + (size_t)x->row[f] * g.rows] += x->value[e] * x->value[f];
}

/* X'X: inner products of columns, by merging their ascending row numbers. */
static void gram_columns(am_mat g, const am_csc *x)
{
    for (size_t i = 0; i < x->cols; i++)
        for (size_t j = i; j < x->cols; j++) {
            double sum = 0.0;
            size_t e = x->start[i], f = x->start[j];
            while (e < x->start[i + 1] && f < x->start[j + 1]) {
                const int32_t re = x->row[e], rf = x->row[f];
                if (re == rf) sum += (double)x->value[e] * (double)x->value[f];
                e += re <= rf;
                f += rf <= re;
            }
            g.data[i + j * g.rows] = g.data[j + i * g.rows] = (float)sum;
        }
}

void am_ref_gram_sparse(am_ctx *ctx, am_mat g, const am_csc *x, int tx)
{
    am_ref_fill(ctx, g, 0.0f);
    if (tx)
        gram_columns(g, x);
    else
        gram_rows(g, x);
}

void am_ref_spmm(am_ctx *ctx, am_mat c, float alpha, am_mat a, const am_csc *x, int tx, float beta)
{
    (void)ctx;
    if (beta == 0.0f)
        am_ref_fill(ctx, c, 0.0f);
    else
        for (size_t i = 0; i < am_mat_len(c); i++) c.data[i] *= beta;
    for (size_t j = 0; j < x->cols; j++)
        for (size_t e = x->start[j]; e < x->start[j + 1]; e++) {
            const size_t row = (size_t)x->row[e];
            const size_t from = tx ? j : row, to = tx ? row : j;
            const float value = alpha * x->value[e];
            for (size_t i = 0; i < c.rows; i++) c.data[i + to * c.rows] += a.data[i + from * a.rows] * value;
        }
}

/* --------------------------------------------------------------------------------------- small systems */

/* Lower factor of scale A + ridge I, column by column; 0 when a pivot is not positive. */
static int factor_once(double *l, am_mat a, double scale, double ridge)
{
    const size_t d = a.rows;
    for (size_t j = 0; j < d; j++)
        for (size_t i = j; i < d; i++) {
            double sum = scale * (double)a.data[i + j * d] + (i == j ? ridge : 0.0);
            for (size_t k = 0; k < j; k++) sum -= l[i + k * d] * l[j + k * d];
            if (i == j && !(sum > 0.0 && isfinite(sum))) return 0;
            l[i + j * d] = i == j ? sqrt(sum) : sum / l[j + j * d];
        }
    return 1;
}

void am_ref_cholesky(am_ctx *ctx, am_mat factor, am_mat a, double scale, double ridge)
{
    double trace = 0.0;
    for (size_t i = 0; i < a.rows; i++) trace += scale * (double)a.data[i + i * a.rows];
    double jitter = 1e-7 * trace / (double)a.rows;
    for (int attempt = 0; attempt < 7; attempt++) {
        if (factor_once((double *)factor.data, a, scale, ridge)) return;
        ctx->n_jitter++;
        ridge += jitter;
        jitter *= 10.0;
    }
    am_ctx_fail(ctx, ALTMIN_ERR_NUMERIC,
                "cholesky: the %zu x %zu matrix is not positive definite, even with a ridge of %g", a.rows,
                a.rows, ridge);
}

/* Each row x of B solves x S = b: forward and back substitution with S = L L'. */
static void ref_solve_right(am_ctx *ctx, am_mat b, am_mat factor)
{
    const size_t d = factor.rows;
    const double *l = (const double *)factor.data;
    double *x = am_host_work(ctx, d);
    if (!x) return;
    for (size_t r = 0; r < b.rows; r++) {
        for (size_t j = 0; j < d; j++) {
            x[j] = b.data[r + j * b.rows];
            for (size_t k = 0; k < j; k++) x[j] -= l[j + k * d] * x[k];
            x[j] /= l[j + j * d];
        }
        for (size_t j = d; j-- > 0;) {
            for (size_t k = j + 1; k < d; k++) x[j] -= l[k + j * d] * x[k];
            x[j] /= l[j + j * d];
        }
        for (size_t j = 0; j < d; j++) b.data[r + j * b.rows] = (float)x[j];
    }
}

static double normalise(am_mat v)
{
    double sum = 0.0;
    for (size_t i = 0; i < v.rows; i++) sum += (double)v.data[i] * (double)v.data[i];
    const double norm = sqrt(sum);
    for (size_t i = 0; i < v.rows && norm > 0.0; i++) v.data[i] = (float)((double)v.data[i] / norm);
    return norm;
}

static void ref_norm2(am_ctx *ctx, am_slot out, am_mat w, am_mat v, am_mat u, int n_steps)
{
    double lambda = 0.0;
    normalise(v);
    for (int step = 0; step <= n_steps; step++) {
        ref_gemm(ctx, u, 1.0f, w, 0, v, 0, 0.0f);
        lambda = 0.0;
        for (size_t i = 0; i < u.rows; i++) lambda += (double)u.data[i] * (double)u.data[i];
        if (step == n_steps || !(lambda > 0.0)) break; /* W v = 0: v stays as it is */
        ref_gemm(ctx, v, 1.0f, w, 1, u, 0, 0.0f);
        normalise(v);
    }
    am_host(ctx)->slot[out] = lambda;
}

/* ----------------------------------------------------------------------------------------- elementwise */

#define AM_CALL_MAP(ID, name, ...)                                                                           \
    case AM_MAP_##ID: am_map_##name(act, x, r, c, y, s, mx); return;
static void eval_map(am_map_id id, int act, const float *x, float r, const float *c, float *y, float *s,
                     float *mx)
{
    switch (id) {
        AM_MAPS(AM_CALL_MAP)
    default: return;
    }
}

static void ref_map(am_ctx *ctx, am_map_id id, int act, const am_map_args *args)
{
    const am_map_signature *sig = am_map_signature_of(id);
    const am_mat shape = sig->n_in ? args->in[0] : args->out[0];
    double *slot = am_host(ctx)->slot;
    float c[AM_MAP_MAX_COEF] = {0};
    double sum[AM_MAP_MAX_SUM] = {0}, max = 0.0;
    double *row_sum = args->row_sum.data ? am_host_work(ctx, shape.rows) : NULL;
    if (args->row_sum.data && !row_sum) return;
    for (int k = 0; k < sig->n_coef; k++) c[k] = (float)slot[args->coef[k]];
    for (size_t i = 0; row_sum && i < shape.rows; i++) row_sum[i] = 0.0;
    for (size_t e = 0; e < am_mat_len(shape); e++) {
        const size_t row = e % shape.rows;
        float x[AM_MAP_MAX_IN] = {0}, y[AM_MAP_MAX_OUT] = {0}, s[AM_MAP_MAX_SUM] = {0}, mx = 0.0f;
        for (int k = 0; k < sig->n_in; k++) x[k] = args->in[k].data[e];
        eval_map(id, act, x, sig->has_row ? args->row.data[row] : 0.0f, c, y, s, &mx);
        for (int k = 0; k < sig->n_out; k++) args->out[k].data[e] = y[k];
        for (int k = 0; k < sig->n_sum; k++) sum[k] += (double)s[k];
        if ((double)mx > max || mx != mx) max = (double)mx;
        if (row_sum) row_sum[row] += (double)y[0];
    }
    for (int k = 0; k < sig->n_sum; k++)
        if (args->sum[k] != AM_NO_SLOT) slot[args->sum[k]] = sum[k];
    if (sig->n_max && args->max != AM_NO_SLOT) slot[args->max] = max;
    for (size_t i = 0; row_sum && i < shape.rows; i++) args->row_sum.data[i] = (float)row_sum[i];
}

static void ref_row_sum(am_ctx *ctx, am_mat v, am_mat x)
{
    (void)ctx;
    for (size_t i = 0; i < x.rows; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < x.cols; j++) sum += (double)x.data[i + j * x.rows];
        v.data[i] = (float)sum;
    }
}

/* --------------------------------------------------------------------------------------------- columns */

static void ref_softmax_loss(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat p, am_mat b,
                             const int32_t *label)
{
    double sum = 0.0, hits = 0.0;
    for (size_t j = 0; j < p.cols; j++) {
        const float *z = p.data + j * p.rows;
        const size_t y = (size_t)label[j];
        size_t best = 0;
        for (size_t i = 1; i < p.rows; i++)
            if (z[i] + b.data[i] > z[best] + b.data[best]) best = i;
        sum += am_log_sum_exp(p.rows, z, b.data, NULL) - (double)(z[y] + b.data[y]);
        hits += best == y ? 1.0 : 0.0;
    }
    am_host(ctx)->slot[loss] = sum;
    am_host(ctx)->slot[n_correct] = hits;
}

static void ref_softmax_residual(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat d, am_mat p, am_mat b,
                                 const int32_t *label, float scale)
{
    double sum = 0.0, hits = 0.0;
    for (size_t j = 0; j < p.cols; j++) {
        const float *z = p.data + j * p.rows;
        size_t best = 0;
        for (size_t i = 1; i < p.rows; i++)
            if (z[i] + b.data[i] > z[best] + b.data[best]) best = i;
        hits += best == (size_t)label[j] ? 1.0 : 0.0;
        sum += am_softmax_gradient(p.rows, z, b.data, (size_t)label[j], scale, d.data + j * d.rows);
    }
    if (loss != AM_NO_SLOT) am_host(ctx)->slot[loss] = sum;
    if (n_correct != AM_NO_SLOT) am_host(ctx)->slot[n_correct] = hits;
}

static void ref_prox_softmax(am_ctx *ctx, am_mat z, am_mat p, am_mat b, const int32_t *label, am_slot rho,
                             const am_slot *sum, am_mat row_sum)
{
    const size_t n = z.rows;
    double *slot = am_host(ctx)->slot, total[3] = {0};
    float *m = (float *)am_host_work(ctx, 5 * n), *old = m ? m + n : NULL;
    if (!m) return;
    for (size_t j = 0; j < z.cols; j++) {
        float *zj = z.data + j * n;
        for (size_t i = 0; i < n; i++) {
            m[i] = p.data[i + j * n] + b.data[i];
            old[i] = zj[i];
        }
        total[0] += am_prox_softmax(n, slot[rho], m, (size_t)label[j], zj, old + n);
        for (size_t i = 0; i < n; i++) {
            total[1] += ((double)zj[i] - (double)m[i]) * ((double)zj[i] - (double)m[i]);
            total[2] += ((double)zj[i] - (double)old[i]) * ((double)zj[i] - (double)old[i]);
        }
    }
    for (int k = 0; k < 3; k++)
        if (sum[k] != AM_NO_SLOT) slot[sum[k]] = total[k];
    if (row_sum.data) ref_row_sum(ctx, row_sum, z);
}

/* ------------------------------------------------------------------------------------ scalars and flow */

void am_ref_scalar(am_ctx *ctx, am_slot out, am_scalar_id id, const am_slot *in)
{
    double x[AM_SCALAR_MAX_IN];
    double *slot = am_host(ctx)->slot;
    for (int i = 0; i < am_scalar_n_in(id); i++) x[i] = slot[in[i]];
    slot[out] = am_scalar_eval(id, x);
}

void am_ref_slots_write(am_ctx *ctx, am_slot first, size_t n, const double *value)
{
    memcpy(am_host(ctx)->slot + first, value, n * sizeof(double));
}

void am_ref_slots_read(am_ctx *ctx, am_slot first, size_t n, double *value)
{
    memcpy(value, am_host(ctx)->slot + first, n * sizeof(double));
}

void am_ref_branch(am_ctx *ctx, am_slot condition, void (*body)(am_ctx *ctx, void *arg), void *arg)
{
    if (am_host(ctx)->slot[condition] != 0.0) body(ctx, arg);
}

int am_ref_sweep_begin(am_ctx *ctx, uint64_t key)
{
    (void)ctx, (void)key;
    return 1;
}

int am_ref_sweep_end(am_ctx *ctx, uint64_t key)
{
    (void)ctx, (void)key;
    return 0;
}

const am_ops am_ops_ref = {
    .name = "ref",
    .open = ref_open,
    .close = am_host_close,
    .alloc = am_ref_alloc,
    .release = am_ref_release,
    .free_bytes = am_ref_free_bytes,
    .upload = am_ref_upload,
    .upload_u8 = am_ref_upload_u8,
    .download = am_ref_download,
    .pinned_alloc = am_ref_alloc,
    .pinned_release = am_ref_release,
    .stage_send = am_ref_stage_send,
    .copy = am_ref_copy,
    .fill = am_ref_fill,
    .gemm = ref_gemm,
    .gram = ref_gram,
    .gram_sparse = am_ref_gram_sparse,
    .spmm = am_ref_spmm,
    .cholesky = am_ref_cholesky,
    .solve_right = ref_solve_right,
    .norm2 = ref_norm2,
    .eigh = am_ref_eigh,
    .orthonormalise = am_ref_orthonormalise,
    .map = ref_map,
    .row_sum = ref_row_sum,
    .softmax_loss = ref_softmax_loss,
    .softmax_residual = ref_softmax_residual,
    .gather_columns = am_ref_gather_columns,
    .gather_columns_u8 = am_ref_gather_columns_u8,
    .thin = am_ref_thin,
    .prox_softmax = ref_prox_softmax,
    .scalar = am_ref_scalar,
    .slots_write = am_ref_slots_write,
    .slots_read = am_ref_slots_read,
    .branch = am_ref_branch,
    .lanes = am_lanes_in_turn,
    .sweep_begin = am_ref_sweep_begin,
    .sweep_end = am_ref_sweep_end,
};
