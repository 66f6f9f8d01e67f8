/* The operands of a case. Numbers come from a counter hash of (seed, operand, element), so they do not depend on the
 * backend or on the order in which operands are made. */
#include "kernels/cases.h"

#include <stdlib.h>
#include <string.h>

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
void am_rig_random(const am_rig *rig, uint64_t stream, float *x, size_t n)
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
    if (o) am_rig_random(rig, rig->n_operands, host_of(o), rows * cols);
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

/* (X + X')/2 of a random X: symmetric, neither definite nor graded. */
static void fill_symmetric(const am_rig *rig, float *a, size_t d)
{
    for (size_t j = 0; j < d; j++)
        for (size_t i = j; i < d; i++)
            a[i + j * d] = a[j + i * d] =
                (float)(2.0 * uniform(rig, 31, i + j * d) + 2.0 * uniform(rig, 31, j + i * d) - 2.0);
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

/* Column numbers below n_columns; where zeros are allowed, every seventh is -1. */
static altmin_error add_index(am_rig *rig, size_t n, size_t n_columns, int zeros, altmin_status *st)
{
    rig->label = malloc((n ? n : 1) * sizeof *rig->label);
    if (!rig->label)
        return am_fail(st, ALTMIN_ERR_MEMORY, "case %s: no memory for %zu numbers", rig->run.name, n);
    for (size_t j = 0; j < n; j++)
        rig->label[j] = zeros && j % 7 == 6 ? -1 : (int32_t)(uniform(rig, 32, j) * (double)n_columns);
    return add_bytes(rig, 0, rig->label, n * sizeof *rig->label, st);
}

/* n random bytes as rig->bytes[1]. */
static altmin_error add_source_bytes(am_rig *rig, size_t n, altmin_status *st)
{
    uint8_t *source = malloc(n ? n : 1);
    if (!source) return am_fail(st, ALTMIN_ERR_MEMORY, "case %s: no memory for %zu bytes", rig->run.name, n);
    for (size_t i = 0; i < n; i++) source[i] = (uint8_t)(256.0 * uniform(rig, 37, i));
    const altmin_error error = add_bytes(rig, 1, source, n, st);
    free(source);
    return error;
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
    case AM_OP_EIGH:
        if (!(o = add(rig, "A", c->m, c->m, c->alias, st))) return 0;
        fill_symmetric(rig, host_of(o), c->m);
        return add(rig, "values", c->m, 1, 1, st) && (c->alias || add(rig, "vectors", c->m, c->m, 1, st));
    case AM_OP_BASIS: return add_random(rig, "V", c->m, c->n, 1, st) != NULL;
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
        return add_random(rig, "p", c->m, c->n, c->variant && c->alias, st) &&
               add_random(rig, "b", c->m, 1, 0, st) &&
               (!c->variant || c->alias || add(rig, "d", c->m, c->n, 1, st)) &&
               add_labels(rig, c->n, c->m, st) == ALTMIN_OK;
    }
    rig->n_sums = 3, rig->n_coef = 1;
    rig->coefficient[0] = c->rho;
    return add_random(rig, "z", c->m, c->n, 1, st) && add_random(rig, "p", c->m, c->n, 0, st) &&
           add_random(rig, "b", c->m, 1, 0, st) && (!c->row_sum || add(rig, "row sums", c->m, 1, 1, st)) &&
           add_labels(rig, c->n, c->m, st) == ALTMIN_OK;
}

static int build_gather(am_rig *rig, altmin_status *st)
{
    const am_case *c = &rig->run;
    const size_t n_source = c->n + 3;
    if (!c->variant)
        return add_random(rig, "source", c->m, n_source, 0, st) && add(rig, "target", c->m, c->n, 1, st) &&
               add_index(rig, c->n, n_source, 1, st) == ALTMIN_OK;
    return add_random(rig, "shift", c->m, 1, 0, st) && add_random(rig, "factor", c->m, 1, 0, st) &&
           add(rig, "target", c->m, c->n, 1, st) && add_index(rig, c->n, n_source, 0, st) == ALTMIN_OK &&
           add_source_bytes(rig, c->m * n_source, st) == ALTMIN_OK;
}

/* Elements are 1 in size on average, a column so m: rho = 1 keeps most columns, 30 few, 1e-3 all. */
static int build_thin(am_rig *rig, altmin_status *st)
{
    const am_case *c = &rig->run;
    rig->n_sums = 1, rig->n_coef = 2;
    rig->coefficient[0] = 0.5 * c->rho * (double)c->m;
    rig->coefficient[1] = 1e9 + (double)c->seed;
    return add_random(rig, "r", c->m, c->n, 1, st) && add(rig, "index", c->n, 1, 1, st);
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

static int build_transfer(am_rig *rig, altmin_status *st)
{
    const am_case *c = &rig->run;
    const am_operand *o =
        c->op == AM_OP_DOWNLOAD ? add_random(rig, "x", c->m, c->n, 0, st) : add(rig, "x", c->m, c->n, 1, st);
    if (!o) return 0;
    rig->transfer = malloc(o->len * sizeof *rig->transfer);
    if (!rig->transfer) {
        am_fail(st, ALTMIN_ERR_MEMORY, "case %s: no memory for %zu floats", c->name, o->len);
        return 0;
    }
    am_rig_random(rig, 36, rig->transfer, o->len);
    return !(c->op == AM_OP_UPLOAD && c->variant) ||
           (add_random(rig, "shift", c->m, 1, 0, st) && add_random(rig, "factor", c->m, 1, 0, st));
}

int am_rig_build(am_rig *rig, altmin_status *st)
{
    const am_case *c = &rig->run;
    switch (c->op) {
    case AM_OP_UPLOAD:
    case AM_OP_DOWNLOAD: return build_transfer(rig, st);
    case AM_OP_COPY:
        return (c->variant || add_random(rig, "source", c->m, c->n, 0, st)) &&
               add(rig, "target", c->m, c->n, 1, st);
    case AM_OP_GEMM:
    case AM_OP_GRAM:
    case AM_OP_SPARSE: return build_products(rig, st);
    case AM_OP_CHOLESKY:
    case AM_OP_SOLVE:
    case AM_OP_EIGH:
    case AM_OP_BASIS:
    case AM_OP_NORM: return build_systems(rig, st);
    case AM_OP_ROW_SUM: return add_random(rig, "x", c->m, c->n, 0, st) && add(rig, "v", c->m, 1, 1, st);
    case AM_OP_SOFTMAX:
    case AM_OP_PROX: return build_columns(rig, st);
    case AM_OP_GATHER: return build_gather(rig, st);
    case AM_OP_THIN: return build_thin(rig, st);
    case AM_OP_MAP: return build_map(rig, st);
    default: return 0;
    }
}
