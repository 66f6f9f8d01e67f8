/* Thinning: which columns are kept, their division by the probability, and the list of them.
 *   up to 32 rows   a thread a column; more: a warp a column
 * then one block counts and lists what was kept. Per element: reads 4 bytes, of kept columns twice, and writes
 * them; per column 12 bytes. */
#include "kernels/cuda/context.h"

static constexpr size_t most_in_thread = 32;
static constexpr unsigned n_warps = am_cuda_block / am_cuda_warp;

struct thin_params {
    float *r;
    size_t rows, cols;
    const double *b, *counter; /* slots */
    uint64_t seed;
    unsigned char *kept; /* cols */
};

/* Divide one column by its probability if it is kept; `across` threads share it, this is number `at`. */
__device__ static inline void weigh(const thin_params &t, size_t j, double l1, size_t at, size_t across)
{
    const double p = am_thin_probability(l1, *t.b);
    const int keep = am_random_uniform(t.seed, (uint64_t)*t.counter, j) < p;
    if (at == 0) t.kept[j] = (unsigned char)keep;
    if (!keep || p == 1.0) return;
    float *const column = t.r + j * t.rows;
    for (size_t i = at; i < t.rows; i += across) column[i] = (float)((double)column[i] / p);
}

static __global__ void __launch_bounds__(am_cuda_block) thin_threads(const thin_params t)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t j = (size_t)blockIdx.x * blockDim.x + threadIdx.x; j < t.cols; j += step) {
        double l1 = 0.0;
        for (size_t i = 0; i < t.rows; i++) l1 += fabs((double)t.r[i + j * t.rows]);
        weigh(t, j, l1, 0, 1);
    }
}

static __global__ void __launch_bounds__(am_cuda_block) thin_warps(const thin_params t)
{
    const unsigned lane = threadIdx.x % am_cuda_warp, warp = threadIdx.x / am_cuda_warp;
    for (size_t j = (size_t)blockIdx.x * n_warps + warp; j < t.cols; j += (size_t)gridDim.x * n_warps) {
        double l1 = 0.0;
        for (size_t i = lane; i < t.rows; i += am_cuda_warp) l1 += fabs((double)t.r[i + j * t.rows]);
        for (int distance = am_cuda_warp / 2; distance > 0; distance /= 2)
            l1 += __shfl_xor_sync(0xffffffffu, l1, distance); /* all lanes have the same bits */
        weigh(t, j, l1, lane, am_cuda_warp);
    }
}

/* index = the kept columns, ascending, then -1; *count = their number. One block; a thread lists a run of
 * columns. */
static __global__ void __launch_bounds__(am_cuda_block)
    list_kept(int32_t *index, double *count, const unsigned char *kept, size_t cols)
{
    __shared__ unsigned place[am_cuda_block];
    const unsigned thread = threadIdx.x;
    const size_t run = (cols + am_cuda_block - 1) / am_cuda_block, first = thread * run;
    const size_t last = first + run < cols ? first + run : cols;
    unsigned mine = 0;
    for (size_t j = first; j < last; j++) mine += kept[j];
    place[thread] = mine;
    __syncthreads();
    for (unsigned distance = 1; distance < am_cuda_block; distance *= 2) {
        const unsigned before = thread >= distance ? place[thread - distance] : 0;
        __syncthreads();
        place[thread] += before;
        __syncthreads();
    }
    const size_t total = place[am_cuda_block - 1];
    size_t at = place[thread] - mine;
    for (size_t j = first; j < last; j++)
        if (kept[j]) index[at++] = (int32_t)j;
    for (size_t j = total + thread; j < cols; j += am_cuda_block) index[j] = -1;
    if (thread == 0) *count = (double)total;
}

void am_cuda_thin(am_ctx *ctx, int32_t *index, am_slot count, am_mat r, am_slot bt, uint64_t seed,
                  am_slot counter)
{
    am_cuda *cu = am_cuda_enter(ctx, "thin");
    thin_params t = {r.data, r.rows, r.cols, cu->slot + bt, cu->slot + counter, seed, NULL};
    t.kept = (unsigned char *)am_cuda_scratch(cu, &cu->work, r.cols);
    if (!t.kept) return;
    if (r.rows <= most_in_thread)
        AM_LAUNCH(cu, thin_threads, am_cuda_blocks(cu, r.cols, am_cuda_block, 4), am_cuda_block, t);
    else
        AM_LAUNCH(cu, thin_warps, am_cuda_blocks(cu, r.cols, n_warps, 4), am_cuda_block, t);
    AM_LAUNCH(cu, list_kept, 1, am_cuda_block, index, cu->slot + count, t.kept, r.cols);
}
