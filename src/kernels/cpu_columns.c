/* Column ops of the cpu backend: softmax cross-entropy and its gradient, shared out over columns (its prox is in
 * cpu_prox.c). Partial sums belong to blocks of columns of fixed size and are added in block order: same bits for
 * every number of threads. */
#include "kernels/cpu.h"

/* Columns per block: enough work to share out, few enough that 60,000 columns of 10 classes spread over many
 * cores. */
static size_t block_columns(size_t rows)
{
    return rows < 2048 ? 2048 / rows : 1;
}

/* ---------------------------------------------------------------------------------------- forward pass */

static size_t first_largest(const float *z, const float *b, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (z[i] + b[i] > z[best] + b[best]) best = i;
    return best;
}

void am_cpu_softmax_loss(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat p, am_mat b,
                         const int32_t *label)
{
    const size_t n = p.rows, step = block_columns(n), n_blocks = (p.cols + step - 1) / step;
    double *part = am_host_work(ctx, 2 * n_blocks);
    if (!part) return;
    const int n_threads = am_cpu_threads(ctx, 16 * am_mat_len(p)); /* an exponential is worth many accesses */
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t block = 0; block < n_blocks; block++) {
        const size_t end = (block + 1) * step < p.cols ? (block + 1) * step : p.cols;
        double sum = 0.0, hits = 0.0;
        for (size_t j = block * step; j < end; j++) {
            const float *z = p.data + j * n;
            const size_t y = (size_t)label[j];
            sum += am_log_sum_exp(n, z, b.data, NULL) - (double)(z[y] + b.data[y]);
            hits += first_largest(z, b.data, n) == y ? 1.0 : 0.0;
        }
        part[2 * block] = sum;
        part[2 * block + 1] = hits;
    }
    double sum = 0.0, hits = 0.0;
    for (size_t block = 0; block < n_blocks; block++) sum += part[2 * block], hits += part[2 * block + 1];
    am_host(ctx)->slot[loss] = sum;
    am_host(ctx)->slot[n_correct] = hits;
}

/* ------------------------------------------------------------------------------------ gradient methods */

void am_cpu_softmax_residual(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat d, am_mat p, am_mat b,
                             const int32_t *label, float scale)
{
    const size_t n = p.rows, step = block_columns(n), n_blocks = (p.cols + step - 1) / step;
    double *part = am_host_work(ctx, 2 * n_blocks);
    if (!part) return;
    const int n_threads = am_cpu_threads(ctx, 16 * am_mat_len(p));
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t block = 0; block < n_blocks; block++) {
        const size_t end = (block + 1) * step < p.cols ? (block + 1) * step : p.cols;
        double sum = 0.0, hits = 0.0;
        for (size_t j = block * step; j < end; j++) {
            const float *z = p.data + j * n;
            const size_t y = (size_t)label[j];
            hits += first_largest(z, b.data, n) == y ? 1.0 : 0.0;
            sum += am_softmax_gradient(n, z, b.data, y, scale, d.data + j * n);
        }
        part[2 * block] = sum;
        part[2 * block + 1] = hits;
    }
    double sum = 0.0, hits = 0.0;
    for (size_t block = 0; block < n_blocks; block++) sum += part[2 * block], hits += part[2 * block + 1];
    if (loss != AM_NO_SLOT) am_host(ctx)->slot[loss] = sum;
    if (n_correct != AM_NO_SLOT) am_host(ctx)->slot[n_correct] = hits;
}
