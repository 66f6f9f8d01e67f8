/* Output z step of the cpu backend: am_prox_softmax (formulas.h) for LANES columns side by side. Same steps, same tests,
 * every sum in the same order, so the same bits; lanes that have ended stand still while the others go on. One column
 * alone is too short for vector code (ten classes) and full of branches.
 *
 * Batches of columns belong to blocks of fixed size whose partial sums are added in block order: same bits for every
 * number of threads. */
#include "kernels/cpu.h"

#include <string.h>

enum { LANES = 16 };

/* Element (i, lane) of a batch is at i * LANES + lane. */
typedef struct batch {
    size_t n; /* classes */
    double rho;
    const float *m;
    float *z, *p, *d, *trial;
    int32_t label[LANES];
} batch;

/* Loops over the lanes of one row. */
#define EACH_LANE _Pragma("omp simd") for (int l = 0; l < LANES; l++)

#define INLINE static inline __attribute__((always_inline))

/* top and sum of exp(x - top) per lane, and into p the softmax weights when it is not NULL. */
INLINE void log_sum_exp(size_t n, const float *x, float *p, float *top, double *sum)
{
    EACH_LANE top[l] = -INFINITY;
    for (size_t i = 0; i < n; i++) EACH_LANE
        {
            const float v = x[i * LANES + (size_t)l];
            top[l] = v > top[l] || v != v ? v : top[l];
        }
    EACH_LANE sum[l] = 0.0;
    for (size_t i = 0; i < n; i++) EACH_LANE
        {
            const float e = am_expf(x[i * LANES + (size_t)l] - top[l]);
            if (p) p[i * LANES + (size_t)l] = e;
            sum[l] += (double)e;
        }
    for (size_t i = 0; p && i < n; i++)
        EACH_LANE p[i * LANES + (size_t)l] = (float)((double)p[i * LANES + (size_t)l] / sum[l]);
}

/* Objective at z + t d per lane; trial receives z + t d. */
INLINE void value_at(const batch *b, const float *t, double *value)
{
    float top[LANES];
    double sum[LANES], quad[LANES];
    EACH_LANE quad[l] = 0.0;
    for (size_t i = 0; i < b->n; i++) EACH_LANE
        {
            const size_t at = i * LANES + (size_t)l;
            b->trial[at] = b->z[at] + t[l] * b->d[at];
            const double e = (double)b->trial[at] - (double)b->m[at];
            quad[l] += e * e;
        }
    log_sum_exp(b->n, b->trial, NULL, top, sum);
    for (int l = 0; l < LANES; l++)
        value[l] = (double)top[l] + log(sum[l]) - (double)b->trial[(size_t)b->label[l] * LANES + (size_t)l] +
                   0.5 * b->rho * quad[l];
}

/* Newton directions into d, their ranges, and the largest relative moves. */
INLINE void directions(const batch *b, float *range, float *moved)
{
    double others[LANES], pu[LANES], rest[LANES];
    float lo[LANES], hi[LANES];
    EACH_LANE others[l] = pu[l] = rest[l] = 0.0;
    for (size_t i = 0; i < b->n; i++)
        EACH_LANE others[l] += (int32_t)i == b->label[l] ? 0.0 : (double)b->p[i * LANES + (size_t)l];
    for (size_t i = 0; i < b->n; i++) EACH_LANE
        {
            const size_t at = i * LANES + (size_t)l;
            const double p = (double)b->p[at];
            const double g =
                ((int32_t)i == b->label[l] ? -others[l] : p) + b->rho * ((double)b->z[at] - (double)b->m[at]);
            const double inv = 1.0 / (b->rho + p);
            b->d[at] = (float)(g * inv);
            pu[l] += p * g * inv;
            rest[l] += b->rho * p * inv;
        }
    EACH_LANE
    {
        pu[l] /= rest[l];
        lo[l] = INFINITY;
        hi[l] = -INFINITY;
        moved[l] = 0.0f;
    }
    for (size_t i = 0; i < b->n; i++) EACH_LANE
        {
            const size_t at = i * LANES + (size_t)l;
            const double p = (double)b->p[at];
            const float d = -(float)((double)b->d[at] + pu[l] * p / (b->rho + p));
            const float relative = fabsf(d) / (1.0f + fabsf(b->z[at]));
            b->d[at] = d;
            moved[l] = relative > moved[l] ? relative : moved[l];
            lo[l] = d < lo[l] ? d : lo[l];
            hi[l] = d > hi[l] ? d : hi[l];
        }
    EACH_LANE range[l] = hi[l] - lo[l];
}

/* Halve the steps of active lanes whose range is unsafe until their objective falls. */
INLINE void shorten_steps(const batch *b, const int32_t *active, const float *range, float *t)
{
    const float zero[LANES] = {0};
    int32_t long_step[LANES];
    double value[LANES], next[LANES];
    int any = 0;
    for (int l = 0; l < LANES; l++) {
        long_step[l] = active[l] && range[l] > AM_PROX_SOFTMAX_SAFE_RANGE;
        any |= long_step[l];
    }
    if (any) value_at(b, zero, value);
    while (any) {
        value_at(b, t, next);
        any = 0;
        for (int l = 0; l < LANES; l++) {
            long_step[l] =
                long_step[l] && !(next[l] < value[l]) && t[l] * range[l] > AM_PROX_SOFTMAX_SAFE_RANGE;
            if (long_step[l]) t[l] *= 0.5f;
            any |= long_step[l];
        }
    }
}

/* Minimise every lane from z; loss receives lse(z) - z_label. */
AM_CPU_CLONES static void minimise(const batch *b, double *loss)
{
    float top[LANES], range[LANES], moved[LANES], t[LANES];
    double sum[LANES];
    int32_t active[LANES];
    for (int l = 0; l < LANES; l++) active[l] = 1;
    log_sum_exp(b->n, b->z, b->p, top, sum);
    for (int step = 0; step < AM_PROX_SOFTMAX_MAX_STEPS; step++) {
        int any = 0;
        directions(b, range, moved);
        for (int l = 0; l < LANES; l++) {
            active[l] = active[l] && range[l] < INFINITY && moved[l] > 2e-7f;
            any |= active[l];
            t[l] = 1.0f;
        }
        if (!any) break;
        shorten_steps(b, active, range, t);
        for (size_t i = 0; i < b->n; i++) EACH_LANE
            {
                const size_t at = i * LANES + (size_t)l;
                b->z[at] = active[l] ? b->z[at] + t[l] * b->d[at] : b->z[at];
            }
        log_sum_exp(b->n, b->z, b->p, top, sum);
    }
    for (int l = 0; l < LANES; l++)
        loss[l] = (double)top[l] + log(sum[l]) - (double)b->z[(size_t)b->label[l] * LANES + (size_t)l];
}

/* ---------------------------------------------------------------------------------------------- columns */

/* What all batches share. */
typedef struct task {
    am_mat z, p, b;
    const int32_t *label;
    double rho;
} task;

/* Columns first .. first + count (at most LANES) with 5 n LANES floats of work; sums added to part[3]. Lanes without a
 * column repeat the last one. */
static void run_batch(const task *k, size_t first, size_t count, float *work, double *part)
{
    const size_t n = k->z.rows, room = n * LANES;
    float *m = work;
    batch b = {.n = n,
               .rho = k->rho,
               .m = m,
               .z = work + room,
               .p = work + 2 * room,
               .d = work + 3 * room,
               .trial = work + 4 * room};
    double loss[LANES];
    for (size_t l = 0; l < LANES; l++) {
        const size_t j = first + (l < count ? l : count - 1);
        b.label[l] = k->label[j];
        for (size_t i = 0; i < n; i++) {
            m[i * LANES + l] = k->p.data[i + j * n] + k->b.data[i];
            b.z[i * LANES + l] = k->z.data[i + j * n];
        }
    }
    minimise(&b, loss);
    for (size_t l = 0; l < count; l++) {
        float *z = k->z.data + (first + l) * n;
        part[0] += loss[l];
        for (size_t i = 0; i < n; i++) {
            const double v = (double)b.z[i * LANES + l], e = v - (double)m[i * LANES + l],
                         d = v - (double)z[i];
            part[1] += e * e;
            part[2] += d * d;
            z[i] = b.z[i * LANES + l];
        }
    }
}

/* Batches per block: some thousand entries. */
static size_t block_columns(size_t rows)
{
    const size_t columns = 2048 / rows / LANES * LANES;
    return columns ? columns : LANES;
}

static void run_block(const task *k, size_t first, size_t end, float *work, double *part)
{
    memset(part, 0, 3 * sizeof *part);
    for (size_t j = first; j < end; j += LANES)
        run_batch(k, j, end - j < LANES ? end - j : LANES, work, part);
}

void am_cpu_prox_softmax(am_ctx *ctx, am_mat z, am_mat p, am_mat b, const int32_t *label, am_slot rho,
                         const am_slot *sum, am_mat row_sum)
{
    const size_t step = block_columns(z.rows), n_blocks = (z.cols + step - 1) / step;
    const size_t n_batch = 5 * z.rows * LANES / 2; /* doubles of scratch per thread */
    const int n_threads = am_cpu_threads(ctx, 32 * am_mat_len(z));
    double *slot = am_host(ctx)->slot, *work = am_host_work(ctx, 3 * n_blocks + (size_t)n_threads * n_batch);
    if (!work) return;
    const task k = {z, p, b, label, slot[rho]};
    double *scratch = work + 3 * n_blocks;
#pragma omp parallel for schedule(static, 1) num_threads(n_threads) if (n_threads > 1)
    for (int t = 0; t < n_threads; t++)
        for (size_t block = (size_t)t; block < n_blocks; block += (size_t)n_threads) {
            const size_t end = (block + 1) * step < z.cols ? (block + 1) * step : z.cols;
            run_block(&k, block * step, end, (float *)(void *)(scratch + (size_t)t * n_batch),
                      work + 3 * block);
        }
    for (size_t i = 0; i < 3; i++) {
        double total = 0.0;
        for (size_t block = 0; block < n_blocks; block++) total += work[3 * block + i];
        if (sum[i] != AM_NO_SLOT) slot[sum[i]] = total;
    }
    if (row_sum.data) am_cpu_row_sum(ctx, row_sum, z);
}
