/* Softmax over columns: loss and hits of the forward pass, and the output z step for cross-entropy.
 *   up to 32 classes    a thread a column, running the text of formulas.h as it stands, the column in its own
 * memory; more                a warp a column, lanes along classes: the same steps with sums taken across the
 * warp. Per element: loss reads 4 bytes; the prox reads 8 and writes 4, with about 40 flops in double per
 * Newton step. */
#include "kernels/cuda/reduce.h"

static constexpr size_t most_in_thread = 32, n_warps = am_cuda_block / am_cuda_warp;

struct column_params {
    float *z; /* softmax: the gradient, or NULL */
    const float *p, *b;
    const int32_t *label;
    size_t n, cols; /* classes, columns */
    const double *rho;
    float scale;
    float *work; /* 5 n floats a warp */
    am_grid_reduce sums;
};

/* ----------------------------------------------------------------------------- across a warp */

__device__ static inline double warp_sum(double v)
{
    for (int distance = am_cuda_warp / 2; distance > 0; distance /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, distance);
    return v;
}

__device__ static inline float warp_larger(float v)
{
    for (int distance = am_cuda_warp / 2; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, v, distance);
        if (other > v || other != other) v = other;
    }
    return v;
}

/* am_log_sum_exp of z (+ r), a warp wide: r and p may be NULL. The lane's own entries are i = lane, lane +
 * 32, ... */
__device__ static inline double warp_log_sum_exp(size_t n, const float *z, const float *r, float *p,
                                                 unsigned lane)
{
    float top = -INFINITY;
    for (size_t i = lane; i < n; i += am_cuda_warp) {
        const float v = r ? z[i] + r[i] : z[i];
        if (v > top || v != v) top = v;
    }
    top = warp_larger(top);
    double sum = 0.0;
    for (size_t i = lane; i < n; i += am_cuda_warp) {
        const float e = expf((r ? z[i] + r[i] : z[i]) - top);
        if (p) p[i] = e;
        sum += (double)e;
    }
    sum = warp_sum(sum);
    if (p)
        for (size_t i = lane; i < n; i += am_cuda_warp) p[i] = (float)((double)p[i] / sum);
    return (double)top + log(sum);
}

/* Entry y of x, which one lane holds, for all lanes. */
__device__ static inline double entry(const float *x, size_t y, unsigned lane)
{
    return warp_sum(y % am_cuda_warp == lane ? (double)x[y] : 0.0);
}

__device__ static inline double warp_prox_value(size_t n, double rho, const float *m, size_t y,
                                                const float *z, const float *d, float t, float *trial,
                                                unsigned lane)
{
    double quad = 0.0;
    for (size_t i = lane; i < n; i += am_cuda_warp) {
        trial[i] = z[i] + t * d[i];
        const double e = (double)trial[i] - (double)m[i];
        quad += e * e;
    }
    return warp_log_sum_exp(n, trial, NULL, NULL, lane) - entry(trial, y, lane) + 0.5 * rho * warp_sum(quad);
}

__device__ static inline float warp_prox_direction(size_t n, double rho, const float *m, size_t y,
                                                   const float *z, const float *p, float *d, float *moved,
                                                   unsigned lane)
{
    double others = 0.0, pu = 0.0, one_minus_pv = 0.0;
    for (size_t i = lane; i < n; i += am_cuda_warp) others += i == y ? 0.0 : (double)p[i];
    others = warp_sum(others);
    for (size_t i = lane; i < n; i += am_cuda_warp) {
        const double pi = (double)p[i];
        const double g = (i == y ? -others : pi) + rho * ((double)z[i] - (double)m[i]);
        const double inv = 1.0 / (rho + pi);
        d[i] = (float)(g * inv);
        pu += pi * g * inv;
        one_minus_pv += rho * pi * inv;
    }
    const double c = warp_sum(pu) / warp_sum(one_minus_pv);
    float lo = INFINITY, hi = -INFINITY, far = 0.0f;
    for (size_t i = lane; i < n; i += am_cuda_warp) {
        d[i] = -(float)((double)d[i] + c * (double)p[i] / (rho + (double)p[i]));
        const float relative = fabsf(d[i]) / (1.0f + fabsf(z[i]));
        if (relative > far) far = relative;
        if (d[i] < lo) lo = d[i];
        if (d[i] > hi) hi = d[i];
    }
    *moved = warp_larger(far);
    return warp_larger(hi) + warp_larger(-lo);
}

/* am_prox_softmax (formulas.h), a warp wide: same steps, same tests, sums across the warp. */
__device__ static inline double warp_prox_softmax(size_t n, double rho, const float *m, size_t y, float *z,
                                                  float *p, float *d, float *trial, unsigned lane)
{
    double lse = warp_log_sum_exp(n, z, NULL, p, lane);
    for (int step = 0; step < AM_PROX_SOFTMAX_MAX_STEPS; step++) {
        float moved, t = 1.0f;
        const float range = warp_prox_direction(n, rho, m, y, z, p, d, &moved, lane);
        if (!(range < INFINITY) || !(moved > 2e-7f)) break;
        if (range > AM_PROX_SOFTMAX_SAFE_RANGE) {
            const double value = warp_prox_value(n, rho, m, y, z, d, 0.0f, trial, lane);
            while (!(warp_prox_value(n, rho, m, y, z, d, t, trial, lane) < value) &&
                   t * range > AM_PROX_SOFTMAX_SAFE_RANGE)
                t *= 0.5f;
        }
        for (size_t i = lane; i < n; i += am_cuda_warp) z[i] += t * d[i];
        lse = warp_log_sum_exp(n, z, NULL, p, lane);
    }
    return lse - entry(z, y, lane);
}

/* ----------------------------------------------------------------------------- loss and hits */

/* The first of the largest entries of z + b. */
__device__ static inline size_t argmax(size_t n, const float *z, const float *b)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (z[i] + b[i] > z[best] + b[best]) best = i;
    return best;
}

/* Loss and hits, and where d is wanted the gradient scale (softmax - e_label). */
static __global__ void __launch_bounds__(am_cuda_block) softmax_threads(const column_params c)
{
    double v[2] = {0.0, 0.0};
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t j = (size_t)blockIdx.x * blockDim.x + threadIdx.x; j < c.cols; j += step) {
        const float *z = c.p + j * c.n;
        const size_t y = (size_t)c.label[j];
        v[1] += argmax(c.n, z, c.b) == y ? 1.0 : 0.0; /* first: the gradient may take z's place */
        if (c.z)
            v[0] += am_softmax_gradient(c.n, z, c.b, y, c.scale, c.z + j * c.n);
        else
            v[0] += am_log_sum_exp(c.n, z, c.b, NULL) - (double)(z[y] + c.b[y]);
    }
    am_grid_sums<2, 0>(c.sums, v, threadIdx.x, blockIdx.x, gridDim.x);
}

/* argmax, a warp wide, in all lanes. */
__device__ static inline size_t warp_argmax(size_t n, const float *z, const float *b, unsigned lane)
{
    float top = -INFINITY;
    unsigned long long best = n;
    for (size_t i = lane; i < n; i += am_cuda_warp)
        if (z[i] + b[i] > top || best == n) {
            top = z[i] + b[i];
            best = i;
        }
    for (int distance = am_cuda_warp / 2; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, top, distance);
        const unsigned long long at = __shfl_xor_sync(0xffffffffu, best, distance);
        if (other > top || (other == top && at < best)) {
            top = other;
            best = at;
        }
    }
    return (size_t)best;
}

/* am_softmax_gradient (formulas.h), a warp wide. */
__device__ static inline double warp_softmax_gradient(size_t n, const float *z, const float *b, size_t y,
                                                      float scale, float *d, unsigned lane)
{
    const float at_label = z[y] + b[y];
    __syncwarp(); /* d may take z's place */
    const double loss = warp_log_sum_exp(n, z, b, d, lane) - (double)at_label;
    double others = 0.0;
    for (size_t i = lane; i < n; i += am_cuda_warp) others += i == y ? 0.0 : (double)d[i];
    others = warp_sum(others);
    for (size_t i = lane; i < n; i += am_cuda_warp) d[i] = scale * (i == y ? -(float)others : d[i]);
    return loss;
}

static __global__ void __launch_bounds__(am_cuda_block) softmax_warps(const column_params c)
{
    const unsigned lane = threadIdx.x % am_cuda_warp, warp = threadIdx.x / am_cuda_warp;
    double v[2] = {0.0, 0.0};
    for (size_t j = (size_t)blockIdx.x * n_warps + warp; j < c.cols; j += (size_t)gridDim.x * n_warps) {
        const float *z = c.p + j * c.n;
        const size_t y = (size_t)c.label[j], best = warp_argmax(c.n, z, c.b, lane);
        const double loss = c.z ? warp_softmax_gradient(c.n, z, c.b, y, c.scale, c.z + j * c.n, lane)
                                : warp_log_sum_exp(c.n, z, c.b, NULL, lane) - (double)(z[y] + c.b[y]);
        v[0] += lane == 0 ? loss : 0.0;
        v[1] += lane == 0 && best == y ? 1.0 : 0.0;
    }
    am_grid_sums<2, 0>(c.sums, v, threadIdx.x, blockIdx.x, gridDim.x);
}

/* Scratch and grid of a pass over columns; 0 after a sticky error. */
static int prepare(am_cuda *cu, column_params *c, unsigned *n_blocks, int n_sums)
{
    const int in_thread = c->n <= most_in_thread;
    *n_blocks = am_cuda_blocks(cu, c->cols, in_thread ? (size_t)am_cuda_block : n_warps, 4);
    c->sums.slot = cu->slot;
    c->sums.partial =
        (double *)am_cuda_scratch(cu, &cu->partial, (size_t)*n_blocks * (size_t)n_sums * sizeof(double));
    c->sums.counter = am_cuda_counters(cu, 1);
    return c->sums.partial && c->sums.counter;
}

static void softmax_pass(am_cuda *cu, column_params c)
{
    unsigned n_blocks;
    if (!prepare(cu, &c, &n_blocks, 2)) return;
    if (c.n <= most_in_thread)
        AM_LAUNCH(cu, softmax_threads, n_blocks, am_cuda_block, c);
    else
        AM_LAUNCH(cu, softmax_warps, n_blocks, am_cuda_block, c);
}

static column_params pass_over(am_mat z, am_mat p, am_mat b, const int32_t *label)
{
    column_params c;
    memset(&c, 0, sizeof c);
    c.z = z.data, c.p = p.data, c.b = b.data, c.label = label;
    c.n = p.rows, c.cols = p.cols;
    return c;
}

void am_cuda_softmax_loss(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat p, am_mat b,
                          const int32_t *label)
{
    am_cuda *cu = am_cuda_enter(ctx, "softmax_loss");
    column_params c = pass_over(am_mat{NULL, 0, 0}, p, b, label);
    c.sums.out[0] = loss, c.sums.out[1] = n_correct;
    softmax_pass(cu, c);
}

void am_cuda_softmax_residual(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat d, am_mat p, am_mat b,
                              const int32_t *label, float scale)
{
    am_cuda *cu = am_cuda_enter(ctx, "softmax_residual");
    column_params c = pass_over(d, p, b, label);
    c.scale = scale;
    c.sums.out[0] = loss, c.sums.out[1] = n_correct;
    softmax_pass(cu, c);
}

/* -------------------------------------------------------------------------------------- prox */

template <int MOST>
static __global__ void __launch_bounds__(am_cuda_block) prox_threads(const column_params c)
{
    double v[3] = {0.0, 0.0, 0.0};
    float m[MOST], old[MOST], z[MOST], work[3 * MOST];
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t j = (size_t)blockIdx.x * blockDim.x + threadIdx.x; j < c.cols; j += step) {
        for (size_t i = 0; i < c.n; i++) {
            m[i] = c.p[i + j * c.n] + c.b[i];
            z[i] = old[i] = c.z[i + j * c.n];
        }
        v[0] += am_prox_softmax(c.n, *c.rho, m, (size_t)c.label[j], z, work);
        for (size_t i = 0; i < c.n; i++) {
            const double e = (double)z[i] - (double)m[i], d = (double)z[i] - (double)old[i];
            v[1] += e * e;
            v[2] += d * d;
            c.z[i + j * c.n] = z[i];
        }
    }
    am_grid_sums<3, 0>(c.sums, v, threadIdx.x, blockIdx.x, gridDim.x);
}

static __global__ void __launch_bounds__(am_cuda_block) prox_warps(const column_params c)
{
    const unsigned lane = threadIdx.x % am_cuda_warp, warp = threadIdx.x / am_cuda_warp;
    const size_t mine = (size_t)blockIdx.x * n_warps + warp, n_all = (size_t)gridDim.x * n_warps;
    float *const m = c.work + mine * 5 * c.n, *const old = m + c.n, *const p = old + c.n, *const d = p + c.n,
                 *const trial = d + c.n;
    double v[3] = {0.0, 0.0, 0.0};
    for (size_t j = mine; j < c.cols; j += n_all) {
        float *const z = c.z + j * c.n;
        for (size_t i = lane; i < c.n; i += am_cuda_warp) {
            m[i] = c.p[i + j * c.n] + c.b[i];
            old[i] = z[i];
        }
        const double loss = warp_prox_softmax(c.n, *c.rho, m, (size_t)c.label[j], z, p, d, trial, lane);
        if (lane == 0) v[0] += loss;
        for (size_t i = lane; i < c.n; i += am_cuda_warp) {
            const double e = (double)z[i] - (double)m[i], moved = (double)z[i] - (double)old[i];
            v[1] += e * e;
            v[2] += moved * moved;
        }
    }
    am_grid_sums<3, 0>(c.sums, v, threadIdx.x, blockIdx.x, gridDim.x);
}

void am_cuda_prox_softmax(am_ctx *ctx, am_mat z, am_mat p, am_mat b, const int32_t *label, am_slot rho,
                          const am_slot *sum, am_mat row_sum)
{
    am_cuda *cu = am_cuda_enter(ctx, "prox_softmax");
    column_params c = pass_over(z, p, b, label);
    c.rho = cu->slot + rho;
    for (int k = 0; k < 3; k++) c.sums.out[k] = sum[k];
    unsigned n_blocks;
    if (!prepare(cu, &c, &n_blocks, 3)) return;
    if (c.n <= 16)
        AM_LAUNCH(cu, prox_threads<16>, n_blocks, am_cuda_block, c);
    else if (c.n <= most_in_thread)
        AM_LAUNCH(cu, prox_threads<most_in_thread>, n_blocks, am_cuda_block, c);
    else {
        c.work =
            (float *)am_cuda_scratch(cu, &cu->work, (size_t)n_blocks * n_warps * 5 * c.n * sizeof(float));
        if (!c.work) return;
        AM_LAUNCH(cu, prox_warps, n_blocks, am_cuda_block, c);
    }
    if (row_sum.data) am_cuda_row_sum(ctx, row_sum, z); /* z is small and still in the cache */
}
