/* Cutting a matrix into tiles, and plain row sums. */
#include "kernels/cuda/reduce.h"

am_tiling am_cuda_tiling(const am_cuda *cu, size_t rows, size_t cols, size_t v)
{
    const size_t wanted = (rows + v - 1) / v; /* threads along rows, if all stood side by side */
    const size_t widest = cols < 8 ? am_cuda_block : am_cuda_warp;
    am_tiling t;
    t.across = 1;
    while (t.across < wanted && t.across < widest) t.across *= 2;
    t.along = am_cuda_block / t.across;
    t.tiles = (unsigned)((wanted + t.across - 1) / t.across);
    /* Four blocks a multiprocessor fill the machine; more only make more pieces to add. */
    const size_t most = (4 * (size_t)cu->n_multiprocessors + t.tiles - 1) / t.tiles,
                 groups = (cols + t.along - 1) / t.along;
    t.slices = (unsigned)(groups < most ? groups : most);
    if (t.slices > 65535) t.slices = 65535; /* the grid's limit */
    return t;
}

/* Row sums over columns. Per element: reads 4 V bytes, V additions in double. */
template <int V>
static __global__ void __launch_bounds__(am_cuda_block)
    row_sum(const float *x, size_t rows, size_t cols, am_row_reduce to)
{
    const size_t row = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
    const size_t step = (size_t)gridDim.y * blockDim.y;
    const int inside = row < rows;
    double s[V];
    for (int i = 0; i < V; i++) s[i] = 0.0;
    if (inside)
        for (size_t col = (size_t)blockIdx.y * blockDim.y + threadIdx.y; col < cols; col += step) {
            float value[V];
            if (V == 4)
                *(float4 *)value = *(const float4 *)(x + col * rows + row);
            else
                value[0] = x[col * rows + row];
            for (int i = 0; i < V; i++) s[i] += (double)value[i];
        }
    am_row_sums<V>(to, s, row, rows, inside);
}

void am_cuda_row_sum(am_ctx *ctx, am_mat v, am_mat x)
{
    am_cuda *cu = am_cuda_enter(ctx, "row_sum");
    const int wide = x.rows % 4 == 0 && (uintptr_t)x.data % 16 == 0;
    const am_tiling t = am_cuda_tiling(cu, x.rows, x.cols, wide ? 4 : 1);
    am_row_reduce to;
    to.out = v.data;
    to.partial = (double *)am_cuda_scratch(cu, &cu->partial, (size_t)t.slices * x.rows * sizeof(double));
    to.counter = am_cuda_counters(cu, t.tiles);
    if (!to.partial || !to.counter) return;
    const dim3 grid(t.tiles, t.slices), block(t.across, t.along);
    if (wide)
        AM_LAUNCH(cu, row_sum<4>, grid, block, x.data, x.rows, x.cols, to);
    else
        AM_LAUNCH(cu, row_sum<1>, grid, block, x.data, x.rows, x.cols, to);
}
