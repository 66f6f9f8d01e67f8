/* Elementwise passes of the cpu backend: every map of AM_MAPS (for maps with an activation: times every
 * activation) as one vectorised loop, with its sums, its maximum and optional row sums from the same pass
 * over memory.
 *
 * Same bits for every number of threads: memory is cut into blocks whose size depends on the shape alone;
 * each block gives one partial result, and partial results are added in block order. Threads only decide who
 * does which block.
 *
 * Row vectors and row sums: k neighbouring columns are treated as one "wide column" of k * rows elements
 * (possible because storage is contiguous), with the row vector repeated k times, so that loops are long even
 * for 7 rows. */
#include "kernels/cpu.h"

#include <string.h>

/* --------------------------------------------------------------------------------------------- kernels */

/* Operands of a pass; pointers are those of element 0. */
typedef struct operands {
    const float *in[AM_MAP_MAX_IN];
    float *out[AM_MAP_MAX_OUT];
    float coef[AM_MAP_MAX_COEF];
} operands;

/* What a block contributes. The maximum is kept as the bits of a float >= 0: they order like integers, and a
 * NaN is above infinity, so it stays. */
typedef struct partial {
    double sum[AM_MAP_MAX_SUM];
    int32_t max_bits;
} partial;

/* All results of one element. Maps fill arrays; a structure returned by value is what the vectoriser can take
 * apart. */
typedef struct element {
    float y[AM_MAP_MAX_OUT], s[AM_MAP_MAX_SUM], mx;
} element;

static inline int32_t magnitude_bits(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & INT32_MAX;
}

static inline float float_of_bits(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Elements first .. first + n of a map; row: row-vector elements of these n, when the map has one. */
typedef void span_fn(const operands *o, const float *row, size_t first, size_t n, partial *p);

#define ELEMENT(ID, name, ...)                                                                               \
    static inline __attribute__((always_inline)) element element_##name(                                     \
        int act, float x0, float x1, float x2, float x3, float x4, float x5, float r, const float *c)        \
    {                                                                                                        \
        element e = {{0}, {0}, 0};                                                                           \
        const float x[AM_MAP_MAX_IN] = {x0, x1, x2, x3, x4, x5};                                             \
        am_map_##name(act, x, r, c, e.y, e.s, &e.mx);                                                        \
        return e;                                                                                            \
    }
AM_MAPS(ELEMENT)

_Static_assert(AM_MAP_MAX_IN <= 6 && AM_MAP_MAX_OUT <= 3 && AM_MAP_MAX_SUM <= 4, "SPAN spells these out");
#define OPERAND(k, n_in) ((k) < (n_in) ? x##k[i] : 0.0f)
#define SPAN(name, act, n_in, has_row, n_out, n_sum, n_max)                                                  \
    AM_CPU_CLONES static void span_##name##_##act(const operands *o, const float *row, size_t first,         \
                                                  size_t n, partial *p)                                      \
    {                                                                                                        \
        const float *x0 = o->in[0] + first, *x1 = o->in[1] + first, *x2 = o->in[2] + first;                  \
        const float *x3 = o->in[3] + first, *x4 = o->in[4] + first, *x5 = o->in[5] + first;                  \
        float *y0 = o->out[0] + first, *y1 = o->out[1] + first, *y2 = o->out[2] + first;                     \
        float c[AM_MAP_MAX_COEF];                                                                            \
        for (int k = 0; k < AM_MAP_MAX_COEF; k++) c[k] = o->coef[k];                                         \
        double s0 = 0.0, s1 = 0.0, s2 = 0.0, s3 = 0.0;                                                       \
        int32_t top = 0;                                                                                     \
        _Pragma("omp simd reduction(+ : s0, s1, s2, s3) reduction(max : top)") /* one loop per formula */    \
            for (size_t i = 0; i < n; i++)                                                                   \
        {                                                                                                    \
            const element e =                                                                                \
                element_##name(act, OPERAND(0, n_in), OPERAND(1, n_in), OPERAND(2, n_in), OPERAND(3, n_in),  \
                               OPERAND(4, n_in), OPERAND(5, n_in), (has_row) ? row[i] : 0.0f, c);            \
            if ((n_out) > 0) y0[i] = e.y[0];                                                                 \
            if ((n_out) > 1) y1[i] = e.y[1];                                                                 \
            if ((n_out) > 2) y2[i] = e.y[AM_MAP_MAX_OUT - 1];                                                \
            if ((n_out) > 2) y2[i] = e.y[2];                                                                 \
            if ((n_sum) > 0) s0 += (double)e.s[0];                                                           \
            if ((n_sum) > 1) s1 += (double)e.s[1];                                                           \
            if ((n_sum) > 2) s2 += (double)e.s[2];                                                           \
            if ((n_sum) > 3) s3 += (double)e.s[3];                                                           \
            if (n_max) {                                                                                     \
                const int32_t bits = magnitude_bits(e.mx);                                                   \
                top = bits > top ? bits : top;                                                               \
            }                                                                                                \
        }                                                                                                    \
        p->sum[0] += s0, p->sum[1] += s1, p->sum[2] += s2, p->sum[3] += s3;                                  \
        p->max_bits = top > p->max_bits ? top : p->max_bits;                                                 \
        (void)row, (void)x0, (void)x1, (void)x2, (void)x3, (void)x4, (void)x5, (void)y0, (void)y1, (void)y2; \
    }

/* One function per map; for maps that use an activation one per map and activation, so that the activation is
 * a constant inside the loop. Numbers are enum am_act's values. */
_Static_assert(AM_N_ACTS == 8, "SPANS_1 and TABLE_1 below list every activation by number: extend both");
#define SPANS_0(name, ...) SPAN(name, 0, __VA_ARGS__)
#define SPANS_1(name, ...)                                                                                   \
    SPAN(name, 0, __VA_ARGS__)                                                                               \
    SPAN(name, 1, __VA_ARGS__)                                                                               \
    SPAN(name, 2, __VA_ARGS__)                                                                               \
    SPAN(name, 3, __VA_ARGS__)                                                                               \
    SPAN(name, 4, __VA_ARGS__)                                                                               \
    SPAN(name, 5, __VA_ARGS__)                                                                               \
    SPAN(name, 6, __VA_ARGS__)                                                                               \
    SPAN(name, 7, __VA_ARGS__)
#define SPANS(ID, name, uses_act, n_in, has_row, n_coef, n_out, n_sum, n_max)                                \
    SPANS_##uses_act(name, n_in, has_row, n_out, n_sum, n_max)
AM_MAPS(SPANS)

#define TABLE_0(name) span_##name##_0
#define TABLE_1(name)                                                                                        \
    span_##name##_0, span_##name##_1, span_##name##_2, span_##name##_3, span_##name##_4, span_##name##_5,    \
        span_##name##_6, span_##name##_7
#define TABLE(ID, name, uses_act, ...) [AM_MAP_##ID] = {TABLE_##uses_act(name)},
static span_fn *const spans[AM_N_MAPS][AM_N_ACTS] = {AM_MAPS(TABLE)};

AM_CPU_CLONES static void add_to(double *sum, const float *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) sum[i] += (double)x[i];
}

AM_CPU_CLONES static void add_doubles_to(double *sum, const double *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) sum[i] += x[i];
}

/* ---------------------------------------------------------------------------------------------- passes */

/* How a matrix is cut. A block is a whole number of wide columns of `period` elements (the last may be
 * short). */
typedef struct layout {
    size_t len, period, block, n_blocks;
} layout;

#define BLOCK_LEN        16384 /* elements: operands of a block fit the second-level cache */
#define LONG_COLUMN      512   /* elements: a loop this long is efficient */
#define MAX_ROW_SUM_SETS 256   /* blocks of a pass with row sums, each with its own set of sums */
#define MIN_SET_COLUMNS  8 /* wide columns per such set, so that clearing and adding sets is small change */

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static layout cut(am_mat shape, int by_columns, int row_sums)
{
    layout l = {.len = am_mat_len(shape), .period = 1};
    if (by_columns) l.period = shape.rows * ceil_div(LONG_COLUMN, shape.rows);
    size_t columns = ceil_div(BLOCK_LEN, l.period); /* wide columns per block */
    if (row_sums) {
        const size_t even = ceil_div(ceil_div(l.len, l.period), MAX_ROW_SUM_SETS);
        columns = even > MIN_SET_COLUMNS ? even : MIN_SET_COLUMNS;
    }
    l.block = columns * l.period;
    l.n_blocks = ceil_div(l.len, l.block);
    return l;
}

/* Everything a pass works on. */
typedef struct pass {
    layout cut;
    span_fn *span; /* NULL: only row sums of `summed` */
    operands o;
    const float *row;    /* the row vector over one wide column, or NULL */
    const float *summed; /* whose row sums are wanted, or NULL */
    partial *part;       /* n_blocks */
    double *set;         /* n_blocks sets of `period` row sums */
} pass;

static void run_block(const pass *p, size_t block)
{
    const size_t start = block * p->cut.block;
    const size_t left = p->cut.len - start, len = left < p->cut.block ? left : p->cut.block;
    /* Without row operands the block is one long column. */
    const size_t step = p->row || p->summed ? p->cut.period : len;
    double *set = p->summed ? p->set + block * p->cut.period : NULL;
    partial part = {{0}, 0};
    if (set) memset(set, 0, p->cut.period * sizeof *set);
    for (size_t done = 0; done < len; done += step) {
        const size_t n = len - done < step ? len - done : step;
        if (p->span) p->span(&p->o, p->row, start + done, n, &part);
        if (set) add_to(set, p->summed + start + done, n);
    }
    p->part[block] = part;
}

/* v <- row sums: sets added in block order, then the columns inside a wide column. */
static void fold_sets(const pass *p, float *v, size_t rows, int n_threads)
{
    const size_t period = p->cut.period, n_chunks = ceil_div(period, LONG_COLUMN);
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t chunk = 0; chunk < n_chunks; chunk++) {
        const size_t first = chunk * LONG_COLUMN;
        const size_t n = period - first < LONG_COLUMN ? period - first : LONG_COLUMN;
        for (size_t b = 1; b < p->cut.n_blocks; b++)
            add_doubles_to(p->set + first, p->set + b * period + first, n);
    }
    for (size_t i = 0; i < rows; i++) {
        double sum = 0.0;
        for (size_t k = i; k < period; k += rows) sum += p->set[k];
        v[i] = (float)sum;
    }
}

/* Carve scratch, run all blocks, fold row sums into row_sum. Returns the partial results, NULL after a
 * failure. */
static const partial *run(am_ctx *ctx, pass *p, am_mat shape, const float *row, am_mat row_sum,
                          size_t n_arrays)
{
    const layout l = p->cut;
    const size_t n_part = l.n_blocks * ceil_div(sizeof(partial), sizeof(double));
    const size_t n_set = row_sum.data ? l.n_blocks * l.period : 0, n_row = row ? ceil_div(l.period, 2) : 0;
    double *work = am_host_work(ctx, n_part + n_set + n_row);
    if (!work) return NULL;
    p->part = (partial *)(void *)work;
    p->set = work + n_part;
    if (row) {
        float *wide = (float *)(void *)(p->set + n_set);
        for (size_t k = 0; k < l.period; k += shape.rows) memcpy(wide + k, row, shape.rows * sizeof *row);
        p->row = wide;
    }
    const int n_threads = am_cpu_threads(ctx, l.len * n_arrays);
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t block = 0; block < l.n_blocks; block++) run_block(p, block);
    if (row_sum.data) fold_sets(p, row_sum.data, shape.rows, am_cpu_threads(ctx, n_set));
    return p->part;
}

/* --------------------------------------------------------------------------------------- table entries */

void am_cpu_map(am_ctx *ctx, am_map_id id, int act, const am_map_args *args)
{
    const am_map_signature *sig = am_map_signature_of(id);
    const am_mat shape = sig->n_in ? args->in[0] : args->out[0];
    double *slot = am_host(ctx)->slot;
    pass p = {.cut = cut(shape, sig->has_row || args->row_sum.data, args->row_sum.data != NULL)};
    p.span = spans[id][sig->uses_act ? act : 0];
    p.summed = args->row_sum.data ? args->out[0].data : NULL;
    for (int k = 0; k < AM_MAP_MAX_IN; k++) p.o.in[k] = k < sig->n_in ? args->in[k].data : shape.data;
    for (int k = 0; k < AM_MAP_MAX_OUT; k++) p.o.out[k] = k < sig->n_out ? args->out[k].data : shape.data;
    for (int k = 0; k < sig->n_coef; k++) p.o.coef[k] = (float)slot[args->coef[k]];
    const size_t n_arrays = (size_t)(sig->n_in + sig->n_out);
    const partial *part = run(ctx, &p, shape, sig->has_row ? args->row.data : NULL, args->row_sum, n_arrays);
    if (!part) return;
    partial total = {{0}, 0};
    for (size_t b = 0; b < p.cut.n_blocks; b++) {
        for (int k = 0; k < sig->n_sum; k++) total.sum[k] += part[b].sum[k];
        total.max_bits = part[b].max_bits > total.max_bits ? part[b].max_bits : total.max_bits;
    }
    for (int k = 0; k < sig->n_sum; k++)
        if (args->sum[k] != AM_NO_SLOT) slot[args->sum[k]] = total.sum[k];
    if (sig->n_max && args->max != AM_NO_SLOT) slot[args->max] = (double)float_of_bits(total.max_bits);
}

void am_cpu_row_sum(am_ctx *ctx, am_mat v, am_mat x)
{
    pass p = {.cut = cut(x, 1, 1), .summed = x.data};
    run(ctx, &p, x, NULL, v, 1);
}

/* Share t of [0, len), cut at cache lines. */
static size_t share_start(size_t len, int t, int n_threads)
{
    const size_t step = ceil_div(ceil_div(len, (size_t)n_threads), 16) * 16;
    const size_t start = step * (size_t)t;
    return start < len ? start : len;
}

void am_cpu_copy(am_ctx *ctx, am_mat dst, am_mat src)
{
    const size_t len = am_mat_len(src);
    const int n_threads = am_cpu_threads(ctx, 2 * len);
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (int t = 0; t < n_threads; t++) {
        const size_t first = share_start(len, t, n_threads), end = share_start(len, t + 1, n_threads);
        memcpy(dst.data + first, src.data + first, (end - first) * sizeof(float));
    }
}

void am_cpu_fill(am_ctx *ctx, am_mat dst, float value)
{
    const size_t len = am_mat_len(dst);
    const int n_threads = am_cpu_threads(ctx, len);
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t i = 0; i < len; i++) dst.data[i] = value;
}
