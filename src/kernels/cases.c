/* Kinds of cases, and building, running and reading one; cases.h says what for. Numbers come from a counter
 * hash of (seed, operand, element), so they do not depend on the backend or on the order in which operands
 * are made. */
#include "kernels/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------------- kinds */

typedef struct simple_kind {
    am_op op;
    const char *name;
    int ta, tb, variant;
} simple_kind;

static const simple_kind simple_kinds[] = {
    {AM_OP_UPLOAD, "upload", 0, 0, 0},
    {AM_OP_UPLOAD, "upload_u8", 0, 0, 1},
    {AM_OP_DOWNLOAD, "download", 0, 0, 0},
    {AM_OP_COPY, "copy", 0, 0, 0},
    {AM_OP_COPY, "fill", 0, 0, 1},
    {AM_OP_GEMM, "gemm NN", 0, 0, 0},
    {AM_OP_GEMM, "gemm NT", 0, 1, 0},
    {AM_OP_GEMM, "gemm TN", 1, 0, 0},
    {AM_OP_GEMM, "gemm TT", 1, 1, 0},
    {AM_OP_GRAM, "gram N", 0, 0, 0},
    {AM_OP_GRAM, "gram T", 1, 0, 0},
    {AM_OP_SPARSE, "spmm N", 0, 0, 0},
    {AM_OP_SPARSE, "spmm T", 1, 0, 0},
    {AM_OP_SPARSE, "gram_sparse N", 0, 0, 1},
    {AM_OP_SPARSE, "gram_sparse T", 1, 0, 1},
    {AM_OP_CHOLESKY, "cholesky", 0, 0, 0},
    {AM_OP_SOLVE, "solve_right", 0, 0, 0},
    {AM_OP_NORM, "norm2", 0, 0, 0},
    {AM_OP_ROW_SUM, "row_sum", 0, 0, 0},
    {AM_OP_SOFTMAX, "softmax_loss", 0, 0, 0},
    {AM_OP_PROX, "prox_softmax", 0, 0, 0},
};
#define N_SIMPLE (sizeof simple_kinds / sizeof *simple_kinds)

#define ACT_NAME(id, name) name,
static const char *const act_names[AM_N_ACTS] = {AM_ACTIVATIONS(ACT_NAME)};

static size_t n_acts_of(am_map_id id)
{
    return am_map_signature_of(id)->uses_act ? AM_N_ACTS : 1;
}

size_t am_n_case_kinds(void)
{
    size_t n = N_SIMPLE;
    for (int id = 0; id < AM_N_MAPS; id++) n += n_acts_of((am_map_id)id);
    return n;
}

am_case am_case_kind(size_t i)
{
    am_case c = {.alpha = 1.0f, .rho = 1.0, .density = 0.1};
    if (i < N_SIMPLE) {
        const simple_kind *k = &simple_kinds[i];
        c.op = k->op, c.ta = k->ta, c.tb = k->tb, c.variant = k->variant;
        snprintf(c.name, sizeof c.name, "%s", k->name);
        return c;
    }
    i -= N_SIMPLE;
    int id = 0;
    for (; i >= n_acts_of((am_map_id)id); id++) i -= n_acts_of((am_map_id)id);
    const am_map_signature *sig = am_map_signature_of((am_map_id)id);
    c.op = AM_OP_MAP, c.map = (am_map_id)id, c.act = (int)i;
    snprintf(c.name, sizeof c.name, "%s%s%s", sig->name, sig->uses_act ? " " : "",
             sig->uses_act ? act_names[i] : "");
    return c;
}

/* --------------------------------------------------------------------------------------------- numbers */

static uint64_t hash(uint64_t x) /* splitmix64's finaliser */
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Uniform in [0, 1) for element `at` of stream `stream`. */
static double uniform(const am_rig *rig, uint64_t stream, uint64_t at)
{
    return (double)(hash(hash(rig->run.seed * 64 + stream) + at) >> 11) * 0x1p-53;
}

/* Values that reach both sides of every kink and beyond the range of every activation. */
static void fill_random(const am_rig *rig, uint64_t stream, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)(4.0 * uniform(rig, stream, i) - 2.0);
}

/* -------------------------------------------------------------------------------------------- operands */

static void fill_sentinel(float *x, size_t n)
{
    const uint32_t bits = AM_CASE_SENTINEL;
    for (size_t i = 0; i < n; i++) memcpy(&x[i], &bits, sizeof bits);
}

/* Take a guarded operand; its host copy holds sentinels. NULL after a failure (recorded in st). */
static am_operand *add(am_rig *rig, const char *name, size_t rows, size_t cols, int is_output,
                       altmin_status *st)
{
    am_operand *o = &rig->operand[rig->n_operands];
    size_t len = 0, n_bytes = 0;
    if (am_size_mul(rows, cols, &len) || am_size_add(len, 2 * AM_CASE_GUARD, &len) ||
        am_size_mul(len, sizeof(float), &n_bytes)) {
        am_fail(st, ALTMIN_ERR_MEMORY, "case %s: a matrix of %zu x %zu is too large", rig->run.name, rows,
                cols);
        return NULL;
    }
    void *memory = NULL;
    if (am_memory_take(rig->ctx, &memory, n_bytes, st)) return NULL;
    *o = (am_operand){.name = name, .is_output = is_output, .memory = memory, .len = len};
    o->first = AM_CASE_GUARD - (rig->run.misalign ? 1 : 0);
    o->mat = (am_mat){o->memory + o->first, rows, cols};
    rig->n_operands++; /* from here on close releases it */
    o->initial = malloc(n_bytes);
    if (!o->initial) {
        am_fail(st, ALTMIN_ERR_MEMORY, "case %s: no memory for %zu floats", rig->run.name, len);
        return NULL;
    }
    fill_sentinel(o->initial, len);
    return o;
}

static float *host_of(am_operand *o)
{
    return o->initial + o->first;
}

static am_operand *add_random(am_rig *rig, const char *name, size_t rows, size_t cols, int is_output,
                              altmin_status *st)
{
    am_operand *o = add(rig, name, rows, cols, is_output, st);
    if (o) fill_random(rig, rig->n_operands, host_of(o), rows * cols);
    return o;
}

/* X X'/d + I/4 from a random d x d X: positive definite and well conditioned. */
static void fill_definite(const am_rig *rig, float *a, size_t d)
{
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < d; i++) {
            double sum = i == j ? 0.25 * (double)d : 0.0;
            for (size_t k = 0; k < d; k++)
                sum += (uniform(rig, 31, i + k * d) - 0.5) * (uniform(rig, 31, j + k * d) - 0.5);
            a[i + j * d] = (float)(sum / (double)d);
        }
}

/* Take backend memory for n_bytes and put host's bytes there. */
static altmin_error add_bytes(am_rig *rig, int i, const void *host, size_t n_bytes, altmin_status *st)
{
    if (am_memory_take(rig->ctx, &rig->bytes[i], n_bytes, st)) return ALTMIN_ERR_MEMORY;
    rig->n_bytes[i] = n_bytes;
    am_upload_bytes(rig->ctx, rig->bytes[i], host, n_bytes);
    return ALTMIN_OK;
}

static altmin_error add_labels(am_rig *rig, size_t n, size_t n_classes, altmin_status *st)
{
    rig->label = malloc((n ? n : 1) * sizeof *rig->label);
    if (!rig->label)
        return am_fail(st, ALTMIN_ERR_MEMORY, "case %s: no memory for %zu labels", rig->run.name, n);
    for (size_t j = 0; j < n; j++) rig->label[j] = (int32_t)(uniform(rig, 32, j) * (double)n_classes);
    return add_bytes(rig, 0, rig->label, n * sizeof *rig->label, st);
}

/* A rows x cols sparse matrix; every fifth column is empty. */
static altmin_error add_sparse(am_rig *rig, size_t rows, size_t cols, altmin_status *st)
{
    size_t *start = rig->start = malloc((cols + 1) * sizeof *start), n = 0;
    if (!start) return am_fail(st, ALTMIN_ERR_MEMORY, "case %s: no memory", rig->run.name);
    for (int filling = 0; filling < 2; filling++) {
        n = 0;
        for (size_t j = 0; j < cols; j++) {
            start[j] = n;
            for (size_t i = 0; i < rows && j % 5 != 4; i++) {
                if (uniform(rig, 33, i + j * rows) >= rig->run.density) continue;
                if (filling) rig->row[n] = (int32_t)i, rig->value[n] = (float)(uniform(rig, 34, n) - 0.5);
                n++;
            }
        }
        start[cols] = n;
        if (filling) break;
        rig->row = malloc((n ? n : 1) * sizeof *rig->row);
        rig->value = malloc((n ? n : 1) * sizeof *rig->value);
        if (!rig->row || !rig->value)
            return am_fail(st, ALTMIN_ERR_MEMORY, "case %s: no memory", rig->run.name);
    }
    if (add_bytes(rig, 0, start, (cols + 1) * sizeof *start, st) ||
        add_bytes(rig, 1, rig->row, n * sizeof *rig->row, st) ||
        add_bytes(rig, 2, rig->value, n * sizeof *rig->value, st))
        return ALTMIN_ERR_MEMORY;
    rig->sparse = (am_csc){rig->bytes[0], rig->bytes[1], rig->bytes[2], rows, cols};
    return ALTMIN_OK;
}

/* -------------------------------------------------------------------------------------------- building */

static int build_products(am_rig *rig, altmin_status *st)
{
    const am_case *c = &rig->run;
    switch (c->op) {
    case AM_OP_GEMM:
        return add_random(rig, "A", c->ta ? c->k : c->m, c->ta ? c->m : c->k, 0, st) &&
               add_random(rig, "B", c->tb ? c->n : c->k, c->tb ? c->k : c->n, 0, st) &&
               (c->beta != 0.0f ? add_random(rig, "C", c->m, c->n, 1, st) : add(rig, "C", c->m, c->n, 1, st));
    case AM_OP_GRAM:
        return add_random(rig, "A", c->ta ? c->k : c->m, c->ta ? c->m : c->k, 0, st) &&
               add(rig, "G", c->m, c->m, 1, st);
    case AM_OP_SPARSE:
        if (c->variant)
            return add(rig, "G", c->m, c->m, 1, st) &&
                   add_sparse(rig, c->ta ? c->k : c->m, c->ta ? c->m : c->k, st) == ALTMIN_OK;
        return add_random(rig, "A", c->m, c->k, 0, st) &&
               (c->beta != 0.0f ? add_random(rig, "C", c->m, c->n, 1, st)
                                : add(rig, "C", c->m, c->n, 1, st)) &&
               add_sparse(rig, c->ta ? c->n : c->k, c->ta ? c->k : c->n, st) == ALTMIN_OK;
    default: return 0;
    }
}

/* The factor is doubles: it may not start at a multiple of 4 bytes alone. */
static am_operand *add_factor(am_rig *rig, int is_output, altmin_status *st)
{
    const int misalign = rig->run.misalign;
    rig->run.misalign = 0;
    am_operand *o = add(rig, "factor", rig->run.m, am_factor_cols(rig->run.m), is_output, st);
    rig->run.misalign = misalign;
    return o;
}

static int build_systems(am_rig *rig, altmin_status *st)
{
    const am_case *c = &rig->run;
    am_operand *o = NULL;
    switch (c->op) {
    case AM_OP_CHOLESKY:
    case AM_OP_SOLVE:
        if (!(o = add(rig, "A", c->m, c->m, 0, st))) return 0;
        fill_definite(rig, host_of(o), c->m);
        if (!add_factor(rig, 1, st)) return 0;
        return c->op == AM_OP_CHOLESKY || add_random(rig, "B", c->n, c->m, 1, st);
    case AM_OP_NORM:
        rig->n_sums = 1;
        return add_random(rig, "W", c->m, c->n, 0, st) && add_random(rig, "v", c->n, 1, 1, st) &&
               add(rig, "u", c->m, 1, 1, st);
    default: return 0;
    }
}

static int build_columns(am_rig *rig, altmin_status *st)
{
    const am_case *c = &rig->run;
    if (c->op == AM_OP_SOFTMAX) {
        rig->n_sums = 2;
        return add_random(rig, "p", c->m, c->n, 0, st) && add_random(rig, "b", c->m, 1, 0, st) &&
               add_labels(rig, c->n, c->m, st) == ALTMIN_OK;
    }
    rig->n_sums = 3, rig->n_coef = 1;
    rig->coefficient[0] = c->rho;
    return add_random(rig, "z", c->m, c->n, 1, st) && add_random(rig, "p", c->m, c->n, 0, st) &&
           add_random(rig, "b", c->m, 1, 0, st) && (!c->row_sum || add(rig, "row sums", c->m, 1, 1, st)) &&
           add_labels(rig, c->n, c->m, st) == ALTMIN_OK;
}

static int build_map(am_rig *rig, altmin_status *st)
{
    static const char *const in_name[AM_MAP_MAX_IN] = {"x0", "x1", "x2", "x3", "x4", "x5"};
    static const char *const out_name[] = {"y0", "y1", "y2"};
    const am_case *c = &rig->run;
    const am_map_signature *sig = am_map_signature_of(c->map);
    rig->n_sums = (size_t)(sig->n_sum + sig->n_max), rig->n_coef = (size_t)sig->n_coef;
    for (int k = 0; k < sig->n_coef; k++) rig->coefficient[k] = 0.1 + 0.8 * uniform(rig, 35, (uint64_t)k);
    for (int k = 0; k < sig->n_in; k++) {
        const int also_output = c->alias && sig->n_out && k == sig->n_in - 1;
        if (!add_random(rig, in_name[k], c->m, c->n, also_output, st)) return 0;
    }
    for (int k = c->alias ? 1 : 0; k < sig->n_out; k++)
        if (!add(rig, out_name[k], c->m, c->n, 1, st)) return 0;
    if (sig->has_row && !add_random(rig, "row", c->m, 1, 0, st)) return 0;
    return !(c->row_sum && sig->n_out) || add(rig, "row sums", c->m, 1, 1, st);
}

static int build(am_rig *rig, altmin_status *st)
{
    const am_case *c = &rig->run;
    switch (c->op) {
    case AM_OP_UPLOAD:
        return add(rig, "x", c->m, c->n, 1, st) &&
               (!c->variant ||
                (add_random(rig, "shift", c->m, 1, 0, st) && add_random(rig, "factor", c->m, 1, 0, st)));
    case AM_OP_DOWNLOAD: return add_random(rig, "x", c->m, c->n, 0, st) != NULL;
    case AM_OP_COPY:
        return (c->variant || add_random(rig, "source", c->m, c->n, 0, st)) &&
               add(rig, "target", c->m, c->n, 1, st);
    case AM_OP_GEMM:
    case AM_OP_GRAM:
    case AM_OP_SPARSE: return build_products(rig, st);
    case AM_OP_CHOLESKY:
    case AM_OP_SOLVE:
    case AM_OP_NORM: return build_systems(rig, st);
    case AM_OP_ROW_SUM: return add_random(rig, "x", c->m, c->n, 0, st) && add(rig, "v", c->m, 1, 1, st);
    case AM_OP_SOFTMAX:
    case AM_OP_PROX: return build_columns(rig, st);
    case AM_OP_MAP: return build_map(rig, st);
    default: return 0;
    }
}

altmin_error am_rig_open(am_rig *rig, am_ctx *ctx, const am_case *run, altmin_status *st)
{
    memset(rig, 0, sizeof *rig);
    rig->ctx = ctx;
    rig->run = *run;
    if (!build(rig, st)) {
        am_rig_close(rig);
        return am_fail(st, ALTMIN_ERR_INTERNAL, "case %s cannot be built", run->name);
    }
    rig->coef = am_slots_new(ctx, rig->n_coef);
    rig->sum = am_slots_new(ctx, rig->n_sums);
    am_rig_reset(rig);
    return am_ctx_status(ctx, st);
}

static void reset_operand(am_rig *rig, const am_operand *o)
{
    am_upload_bytes(rig->ctx, o->memory, o->initial, o->len * sizeof(float));
}

void am_rig_reset(am_rig *rig)
{
    for (size_t i = 0; i < rig->n_operands; i++) reset_operand(rig, &rig->operand[i]);
    am_slots_write(rig->ctx, rig->coef, rig->n_coef, rig->coefficient);
    for (size_t k = 0; k < rig->n_sums; k++) am_slot_set(rig->ctx, rig->sum + (am_slot)k, -1.0);
    /* A factor to solve with is made here, not by the op. */
    if (rig->run.op == AM_OP_SOLVE) am_cholesky(rig->ctx, rig->operand[1].mat, rig->operand[0].mat, 1.0, 0.0);
}

/* --------------------------------------------------------------------------------------------- running */

static am_mat operand_named(const am_rig *rig, const char *name)
{
    for (size_t i = 0; i < rig->n_operands; i++)
        if (strcmp(rig->operand[i].name, name) == 0) return rig->operand[i].mat;
    return (am_mat){NULL, 0, 0};
}

static am_slot sum_slot(const am_rig *rig, int k)
{
    return rig->run.no_sums ? AM_NO_SLOT : rig->sum + k;
}

static void run_map(am_rig *rig)
{
    const am_map_signature *sig = am_map_signature_of(rig->run.map);
    am_map_args args = {.max = AM_NO_SLOT};
    size_t next = 0;
    for (int k = 0; k < sig->n_in; k++) args.in[k] = rig->operand[next++].mat;
    for (int k = 0; k < sig->n_out; k++)
        args.out[k] = k == 0 && rig->run.alias ? args.in[sig->n_in - 1] : rig->operand[next++].mat;
    if (sig->has_row) args.row = rig->operand[next++].mat;
    if (rig->run.row_sum && sig->n_out) args.row_sum = rig->operand[next].mat;
    for (int k = 0; k < sig->n_coef; k++) args.coef[k] = rig->coef + k;
    for (int k = 0; k < sig->n_sum; k++) args.sum[k] = sum_slot(rig, k);
    if (sig->n_max) args.max = sum_slot(rig, sig->n_sum);
    am_map(rig->ctx, rig->run.map, rig->run.act, &args);
}

static void run_prox(am_rig *rig)
{
    const am_slot sum[3] = {sum_slot(rig, 0), sum_slot(rig, 1), sum_slot(rig, 2)};
    am_prox_softmax_columns(rig->ctx, operand_named(rig, "z"), operand_named(rig, "p"),
                            operand_named(rig, "b"), rig->bytes[0], rig->coef, sum,
                            operand_named(rig, "row sums"));
}

/* Upload and download move the operand from and to memory of the host. */
static void run_transfer(am_rig *rig)
{
    am_operand *o = &rig->operand[0];
    float *host = malloc(o->len * sizeof *host);
    if (!host) {
        am_ctx_fail(rig->ctx, ALTMIN_ERR_MEMORY, "no memory for %zu floats", o->len);
        return;
    }
    fill_random(rig, 36, host, am_mat_len(o->mat));
    if (rig->run.op == AM_OP_UPLOAD && rig->run.variant)
        am_upload_u8(rig->ctx, o->mat, (const uint8_t *)host, rig->operand[1].mat, rig->operand[2].mat);
    else if (rig->run.op == AM_OP_UPLOAD)
        am_upload(rig->ctx, o->mat, host);
    else
        am_download(rig->ctx, host, o->mat, NULL);
    free(host);
}

#define NORM_STEPS 5

void am_rig_run(am_rig *rig)
{
    const am_case *c = &rig->run;
    const am_operand *o = rig->operand;
    switch (c->op) {
    case AM_OP_UPLOAD:
    case AM_OP_DOWNLOAD: run_transfer(rig); break;
    case AM_OP_COPY:
        if (c->variant)
            am_fill(rig->ctx, o[0].mat, 0.75f);
        else
            am_copy(rig->ctx, o[1].mat, o[0].mat);
        break;
    case AM_OP_GEMM: am_gemm(rig->ctx, o[2].mat, c->alpha, o[0].mat, c->ta, o[1].mat, c->tb, c->beta); break;
    case AM_OP_GRAM: am_gram(rig->ctx, o[1].mat, o[0].mat, c->ta); break;
    case AM_OP_SPARSE:
        if (c->variant)
            am_gram_sparse(rig->ctx, o[0].mat, &rig->sparse, c->ta);
        else
            am_spmm(rig->ctx, o[1].mat, c->alpha, o[0].mat, &rig->sparse, c->ta, c->beta);
        break;
    case AM_OP_CHOLESKY: am_cholesky(rig->ctx, o[1].mat, o[0].mat, 0.5, 0.125); break;
    case AM_OP_SOLVE: am_solve_right(rig->ctx, o[2].mat, o[1].mat); break;
    case AM_OP_NORM: am_norm2(rig->ctx, rig->sum, o[0].mat, o[1].mat, o[2].mat, NORM_STEPS); break;
    case AM_OP_ROW_SUM: am_row_sum(rig->ctx, o[1].mat, o[0].mat); break;
    case AM_OP_SOFTMAX:
        am_softmax_loss(rig->ctx, rig->sum, rig->sum + 1, o[0].mat, o[1].mat, rig->bytes[0]);
        break;
    case AM_OP_PROX: run_prox(rig); break;
    case AM_OP_MAP: run_map(rig); break;
    default: break;
    }
}

altmin_error am_rig_read(am_rig *rig, size_t i, float *host, altmin_status *st)
{
    const am_operand *o = &rig->operand[i];
    return am_download(rig->ctx, host, (am_mat){o->memory, o->len, 1}, st);
}

altmin_error am_rig_sums(am_rig *rig, double *value, altmin_status *st)
{
    return am_slots_read(rig->ctx, rig->sum, rig->n_sums, value, st);
}

void am_rig_close(am_rig *rig)
{
    for (size_t i = 0; i < rig->n_operands; i++) {
        am_memory_release(rig->ctx, rig->operand[i].memory, rig->operand[i].len * sizeof(float));
        free(rig->operand[i].initial);
    }
    for (int i = 0; i < 3; i++) am_memory_release(rig->ctx, rig->bytes[i], rig->n_bytes[i]);
    free(rig->label);
    free(rig->start);
    free(rig->row);
    free(rig->value);
    memset(rig, 0, sizeof *rig);
}
