/* Sums and maxima over a grid in a fixed order, in double, without floating-point atomics: warps by shuffles,
 * the warps of a block through shared memory, then the block that finishes last adds what all blocks left, in
 * block order of its threads. Which block is last changes nothing: it reads the same numbers and adds them in
 * the same order. So the same launch gives the same bits every time. The counter of finished blocks wraps to
 * 0 by itself (atomicInc). */
#ifndef AM_CUDA_REDUCE_H
#define AM_CUDA_REDUCE_H

#include "kernels/cuda/context.h"

/* Larger of two, where a NaN wins and stays. */
__device__ static inline double am_larger(double a, double b)
{
    return b > a || b != b ? b : a;
}

/** Combine N_SUM sums and then N_MAX maxima of every thread of a block (am_cuda_block threads, any shape,
 * `thread` its linear index): v[] of thread 0 receives the result. All threads take part. */
template <int N_SUM, int N_MAX> __device__ static inline void am_block_reduce(double *v, unsigned thread)
{
    constexpr int n = N_SUM + N_MAX, n_warps = am_cuda_block / am_cuda_warp;
    __shared__ double left[n][n_warps];
    const unsigned lane = thread % am_cuda_warp, warp = thread / am_cuda_warp;
    __syncthreads(); /* `left` may still be read from an earlier call */
    for (int k = 0; k < n; k++) {
        for (int distance = am_cuda_warp / 2; distance > 0; distance /= 2) {
            const double other = __shfl_down_sync(0xffffffffu, v[k], (unsigned)distance);
            v[k] = k < N_SUM ? v[k] + other : am_larger(v[k], other);
        }
        if (lane == 0) left[k][warp] = v[k];
    }
    __syncthreads();
    if (thread != 0) return;
    for (int k = 0; k < n; k++)
        for (int w = 1; w < n_warps; w++) v[k] = k < N_SUM ? v[k] + left[k][w] : am_larger(v[k], left[k][w]);
}

/** 1 in all threads of the block that gets here last of n_blocks; what every block wrote before is then
 * visible to it. Threads of the block must not write afterwards what the last block reads. */
__device__ static inline int am_last_block(unsigned *counter, unsigned n_blocks, unsigned thread)
{
    __shared__ int last;
    __threadfence();
    __syncthreads(); /* every thread's writes are out before the block is counted */
    if (thread == 0) last = atomicInc(counter, n_blocks - 1) == n_blocks - 1;
    __syncthreads();
    if (last) __threadfence();
    return last;
}

/** Where a grid's reduction keeps its pieces and leaves its results. partial: (N_SUM + N_MAX) x n_blocks. */
typedef struct am_grid_reduce {
    double *partial;
    unsigned *counter;
    double *slot;
    am_slot out[AM_MAP_MAX_SUM + 1];
} am_grid_reduce;

/** Combine over the whole grid; results go to slots. Call it in all threads, once, with block = linear block
 * index. */
template <int N_SUM, int N_MAX>
__device__ static inline void am_grid_sums(const am_grid_reduce &to, double *v, unsigned thread,
                                           unsigned block, unsigned n_blocks)
{
    constexpr int n = N_SUM + N_MAX;
    am_block_reduce<N_SUM, N_MAX>(v, thread);
    if (thread == 0)
        for (int k = 0; k < n; k++) to.partial[(size_t)k * n_blocks + block] = v[k];
    if (!am_last_block(to.counter, n_blocks, thread)) return;
    for (int k = 0; k < n; k++) {
        v[k] = 0.0;
        for (unsigned b = thread; b < n_blocks; b += am_cuda_block) {
            const double other = __ldcg(&to.partial[(size_t)k * n_blocks + b]);
            v[k] = k < N_SUM ? v[k] + other : am_larger(v[k], other);
        }
    }
    am_block_reduce<N_SUM, N_MAX>(v, thread);
    if (thread == 0)
        for (int k = 0; k < n; k++)
            if (to.out[k] >= 0) to.slot[to.out[k]] = v[k];
}

/* ------------------------------------------------------------------- row sums of a tile pass */

/** How a pass with row vectors or row sums cuts a matrix: a block is `across` threads along rows, V rows
 * each, and am_cuda_block / across columns at a time; blocks (x, y) own row tile x and every gridDim.y-th
 * group of columns. */
typedef struct am_tiling {
    unsigned across, along; /* threads of a block along rows, along columns */
    unsigned tiles, slices; /* blocks along rows, along columns */
} am_tiling;

/** The tiling of rows x cols with v rows a thread: depends on nothing else, so sums repeat. */
am_tiling am_cuda_tiling(const am_cuda *cu, size_t rows, size_t cols, size_t v);

/** Room for row sums: partial holds slices x rows doubles, counter one per tile, all 0. */
typedef struct am_row_reduce {
    float *out; /* NULL: not wanted */
    double *partial;
    unsigned *counter;
} am_row_reduce;

/** Add up V rows' sums s[] of this thread over the block's columns, then over the slices; the last slice of
 * the tile writes out. `row` is the thread's first row, valid if `inside`. Call it in all threads. */
template <int V>
__device__ static inline void am_row_sums(const am_row_reduce &to, const double *s, size_t row, size_t rows,
                                          int inside)
{
    __shared__ double column[am_cuda_block][V];
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    for (int i = 0; i < V; i++) column[thread][i] = s[i];
    __syncthreads();
    if (threadIdx.y == 0 && inside)
        for (int i = 0; i < V; i++) {
            double sum = 0.0;
            for (unsigned y = 0; y < blockDim.y; y++) sum += column[y * blockDim.x + threadIdx.x][i];
            to.partial[(size_t)blockIdx.y * rows + row + (size_t)i] = sum;
        }
    if (!am_last_block(to.counter + blockIdx.x, gridDim.y, thread)) return;
    double total[V];
    for (int i = 0; i < V; i++) total[i] = 0.0;
    if (inside)
        for (unsigned slice = threadIdx.y; slice < gridDim.y; slice += blockDim.y)
            for (int i = 0; i < V; i++)
                total[i] += __ldcg(&to.partial[(size_t)slice * rows + row + (size_t)i]);
    for (int i = 0; i < V; i++) column[thread][i] = total[i];
    __syncthreads();
    if (threadIdx.y != 0 || !inside) return;
    for (int i = 0; i < V; i++) {
        double sum = 0.0;
        for (unsigned y = 0; y < blockDim.y; y++) sum += column[y * blockDim.x + threadIdx.x][i];
        to.out[row + (size_t)i] = (float)sum;
    }
}

#endif
