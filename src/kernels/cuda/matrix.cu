/* Moving data: host to device through two pinned buffers in turn (the copy of one runs while the host fills
 * the other), bytes widened to floats on the device, copies and fills as kernels (so that a recorded sweep
 * has kernel nodes only). */
#include "kernels/cuda/context.h"

static constexpr size_t buffer_bytes = am_cuda_staging_bytes, wide = 4;

/* ---------------------------------------------------------------------------- host to device */

/* Fill pinned buffer i once its last copy has left, and send it. */
static int send(am_cuda *cu, int i, void *dst, const void *host, size_t n_bytes)
{
    if (!AM_CUDA(cu, cudaEventSynchronize(cu->staged[i]))) return 0;
    memcpy(cu->staging[i], host, n_bytes);
    return AM_CUDA(cu, cudaMemcpyAsync(dst, cu->staging[i], n_bytes, cudaMemcpyHostToDevice,
                                       cu->track[0].stream)) &&
           AM_CUDA(cu, cudaEventRecord(cu->staged[i], cu->track[0].stream));
}

/* A recording would keep the address of the buffer, not what is in it now. */
static int may_transfer(am_cuda *cu)
{
    if (!cu->capturing) return 1;
    am_ctx_fail(cu->ctx, ALTMIN_ERR_INTERNAL, "%s: data cannot cross the bus inside a recorded sweep",
                cu->op);
    return 0;
}

void am_cuda_upload(am_ctx *ctx, void *dst, const void *host, size_t n_bytes)
{
    am_cuda *cu = am_cuda_enter(ctx, "upload");
    int buffer = 0, ok = may_transfer(cu);
    for (size_t done = 0; ok && done < n_bytes; buffer = !buffer) {
        const size_t n = n_bytes - done < buffer_bytes ? n_bytes - done : (size_t)buffer_bytes;
        ok = send(cu, buffer, (unsigned char *)dst + done, (const unsigned char *)host + done, n);
        done += n;
    }
}

/* x = (byte - shift) * factor with the row's shift and factor. Per element: reads 1 byte, writes 4. */
static __global__ void __launch_bounds__(am_cuda_block)
    widen(float *dst, const unsigned char *src, size_t first, size_t n, size_t rows, const float *shift,
          const float *factor)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const size_t row = (first + i) % rows;
        dst[first + i] = ((float)src[i] - shift[row]) * factor[row];
    }
}

void am_cuda_upload_u8(am_ctx *ctx, am_mat dst, const uint8_t *host, am_mat shift, am_mat factor)
{
    am_cuda *cu = am_cuda_enter(ctx, "upload");
    if (!may_transfer(cu)) return;
    unsigned char *bytes = (unsigned char *)am_cuda_scratch(cu, &cu->work, 2 * (size_t)buffer_bytes);
    int buffer = 0, ok = bytes != NULL;
    for (size_t done = 0; ok && done < am_mat_len(dst); buffer = !buffer) {
        const size_t left = am_mat_len(dst) - done, n = left < buffer_bytes ? left : (size_t)buffer_bytes;
        unsigned char *part = bytes + (size_t)buffer * buffer_bytes;
        ok = send(cu, buffer, part, host + done, n);
        if (!ok) return;
        AM_LAUNCH(cu, widen, am_cuda_blocks(cu, n, am_cuda_block, 8), am_cuda_block, dst.data, part, done, n,
                  dst.rows, shift.data, factor.data);
        done += n;
    }
}

/* ------------------------------------------------------------------- beside the work under way */

static int open_stages(am_cuda *cu)
{
    if (cu->copying) return 1;
    int ok = AM_CUDA(cu, cudaStreamCreateWithFlags(&cu->copying, cudaStreamNonBlocking));
    for (int b = 0; ok && b < 2; b++)
        ok = AM_CUDA(cu, cudaEventCreateWithFlags(&cu->arrived[b], cudaEventDisableTiming)) &&
             AM_CUDA(cu, cudaEventCreateWithFlags(&cu->freed[b], cudaEventDisableTiming));
    return ok;
}

void am_cuda_close_stages(am_cuda *cu)
{
    for (int b = 0; b < 2; b++) {
        if (cu->arrived[b]) (void)AM_CUDA_QUIET(cudaEventDestroy(cu->arrived[b]));
        if (cu->freed[b]) (void)AM_CUDA_QUIET(cudaEventDestroy(cu->freed[b]));
    }
    if (cu->copying) (void)AM_CUDA_QUIET(cudaStreamDestroy(cu->copying));
}

/* An event that was never recorded holds nobody up: the first sends find their buffers free. */
void am_cuda_stage_send(am_ctx *ctx, int b, void *dst, const void *pinned, size_t n_bytes)
{
    am_cuda *cu = am_cuda_enter(ctx, "stage");
    if (!may_transfer(cu) || !open_stages(cu)) return;
    const int sent =
        AM_CUDA(cu, cudaStreamWaitEvent(cu->copying, cu->freed[b], 0)) &&
        AM_CUDA(cu, cudaMemcpyAsync(dst, pinned, n_bytes, cudaMemcpyHostToDevice, cu->copying)) &&
        AM_CUDA(cu, cudaEventRecord(cu->arrived[b], cu->copying));
    if (sent && cu->launch == AM_LAUNCH_SYNC) AM_CUDA(cu, cudaEventSynchronize(cu->arrived[b]));
}

void am_cuda_stage_order(am_ctx *ctx, int b, am_stage_order what)
{
    am_cuda *cu = am_cuda_enter(ctx, "stage");
    if (!may_transfer(cu) || !open_stages(cu)) return;
    cudaStream_t work = cu->track[0].stream;
    switch (what) {
    case AM_STAGE_WAIT: AM_CUDA(cu, cudaEventSynchronize(cu->arrived[b])); break;
    case AM_STAGE_ARRIVE: AM_CUDA(cu, cudaStreamWaitEvent(work, cu->arrived[b], 0)); break;
    case AM_STAGE_FREE: AM_CUDA(cu, cudaEventRecord(cu->freed[b], work)); break;
    }
}

/* ---------------------------------------------------------------------------- device to host */

void am_cuda_download(am_ctx *ctx, void *host, const void *src, size_t n_bytes)
{
    am_cuda *cu = am_cuda_enter(ctx, "download");
    int ok = may_transfer(cu) && am_cuda_wait(cu); /* uploads have left the buffers */
    for (size_t done = 0; ok && done < n_bytes;) {
        const size_t n = n_bytes - done < buffer_bytes ? n_bytes - done : (size_t)buffer_bytes;
        ok = am_cuda_fetch(cu, cu->staging[0], (const unsigned char *)src + done, n);
        if (ok) memcpy((unsigned char *)host + done, cu->staging[0], n);
        done += n;
    }
}

/* ----------------------------------------------------------------------------- on the device */

/* dst = src. Per element: reads 4 bytes, writes 4, 16 at a time where both are aligned. */
static __global__ void __launch_bounds__(am_cuda_block)
    copy_floats(float *dst, const float *src, size_t n, size_t n_wide)
{
    const size_t start = (size_t)blockIdx.x * blockDim.x + threadIdx.x, step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = start; i < n_wide; i += step) ((float4 *)dst)[i] = ((const float4 *)src)[i];
    for (size_t i = wide * n_wide + start; i < n; i += step) dst[i] = src[i];
}

void am_cuda_copy(am_ctx *ctx, am_mat dst, am_mat src)
{
    am_cuda *cu = am_cuda_enter(ctx, "copy");
    const size_t n = am_mat_len(dst), aligned = ((uintptr_t)dst.data | (uintptr_t)src.data) % 16 == 0;
    AM_LAUNCH(cu, copy_floats, am_cuda_blocks(cu, n, wide * am_cuda_block, 8), am_cuda_block, dst.data,
              src.data, n, aligned ? n / wide : 0);
}

/* dst = value. Per element: writes 4 bytes. */
static __global__ void __launch_bounds__(am_cuda_block)
    fill_floats(float *dst, float value, size_t n, size_t n_wide)
{
    const size_t start = (size_t)blockIdx.x * blockDim.x + threadIdx.x, step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = start; i < n_wide; i += step)
        ((float4 *)dst)[i] = make_float4(value, value, value, value);
    for (size_t i = wide * n_wide + start; i < n; i += step) dst[i] = value;
}

void am_cuda_fill(am_ctx *ctx, am_mat dst, float value)
{
    am_cuda *cu = am_cuda_enter(ctx, "fill");
    const size_t n = am_mat_len(dst), aligned = (uintptr_t)dst.data % 16 == 0;
    AM_LAUNCH(cu, fill_floats, am_cuda_blocks(cu, n, wide * am_cuda_block, 8), am_cuda_block, dst.data, value,
              n, aligned ? n / wide : 0);
}

/* dst(:, j) = src(:, index[j]), or zeros where the index is negative. Floats may be other words in disguise
 * (labels): they are moved, not computed with. Per element: reads 4 bytes, writes 4. */
static __global__ void __launch_bounds__(am_cuda_block)
    gather(float *dst, const float *src, size_t rows, size_t cols, const int32_t *index)
{
    const size_t step = (size_t)gridDim.x * blockDim.x, n = rows * cols;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        dst[i] = index[i / rows] < 0 ? 0.0f : src[i % rows + (size_t)index[i / rows] * rows];
}

/* The same from bytes, widened as by `widen`; without an index the columns as they stand. Per element: reads 1
 * byte, writes 4. */
static __global__ void __launch_bounds__(am_cuda_block)
    gather_bytes(float *dst, const unsigned char *src, size_t rows, size_t cols, const int32_t *index,
                 const float *shift, const float *factor)
{
    const size_t step = (size_t)gridDim.x * blockDim.x, n = rows * cols;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const size_t row = i % rows, col = index ? (size_t)index[i / rows] : i / rows;
        dst[i] = ((float)src[row + col * rows] - shift[row]) * factor[row];
    }
}

void am_cuda_gather_columns(am_ctx *ctx, am_mat dst, am_mat src, const int32_t *index)
{
    am_cuda *cu = am_cuda_enter(ctx, "gather_columns");
    AM_LAUNCH(cu, gather, am_cuda_blocks(cu, am_mat_len(dst), am_cuda_block, 8), am_cuda_block, dst.data,
              src.data, dst.rows, dst.cols, index);
}

void am_cuda_gather_columns_u8(am_ctx *ctx, am_mat dst, const uint8_t *src, const int32_t *index,
                               am_mat shift, am_mat factor)
{
    am_cuda *cu = am_cuda_enter(ctx, "gather_columns_u8");
    AM_LAUNCH(cu, gather_bytes, am_cuda_blocks(cu, am_mat_len(dst), am_cuda_block, 8), am_cuda_block,
              dst.data, src, dst.rows, dst.cols, index, shift.data, factor.data);
}
