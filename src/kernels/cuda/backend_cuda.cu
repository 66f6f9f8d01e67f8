/* The CUDA backend's table: opening a device, its memory, errors as sentences. The ops themselves are in the
 * files beside this one. Matrices and slots live in device memory; nothing crosses the bus inside a sweep.
 *
 * Opening takes: a stream with its cuBLAS handle, a cuBLAS workspace of fixed address and size (with one
 * stream per handle that makes products repeat bit for bit), the slots, and two pinned buffers for uploads. */
#include "kernels/cuda/context.h"

static constexpr size_t workspace_bytes = 32 << 20; /* what NVIDIA advises for Hopper */

/* ----------------------------------------------------------------------------- checked calls */

/* "cudaMemcpyAsync" out of "cudaMemcpyAsync(dst, src, ...)". */
static int name_length(const char *call)
{
    return (int)strcspn(call, "(");
}

static altmin_error code_of(cudaError_t status)
{
    return status == cudaErrorMemoryAllocation ? ALTMIN_ERR_MEMORY : ALTMIN_ERR_BACKEND;
}

int am_cuda_check(am_cuda *cu, cudaError_t status, const char *call)
{
    if (status == cudaSuccess) return 1;
    am_ctx_fail(cu->ctx, code_of(status), "%s: %.*s: %s (%s)", cu->op, name_length(call), call,
                AM_CUDA_QUIET(cudaGetErrorString(status)), AM_CUDA_QUIET(cudaGetErrorName(status)));
    return 0;
}

int am_cuda_check_blas(am_cuda *cu, cublasStatus_t status, const char *call)
{
    if (status == CUBLAS_STATUS_SUCCESS) return 1;
    const altmin_error code = status == CUBLAS_STATUS_ALLOC_FAILED ? ALTMIN_ERR_MEMORY : ALTMIN_ERR_BACKEND;
    am_ctx_fail(cu->ctx, code, "%s: %.*s: %s", cu->op, name_length(call), call,
                AM_CUDA_QUIET(cu->blas.cublasGetStatusString(status)));
    return 0;
}

int am_cuda_check_solver(am_cuda *cu, cusolverStatus_t status, const char *call)
{
    if (status == CUSOLVER_STATUS_SUCCESS) return 1;
    const altmin_error code = status == CUSOLVER_STATUS_ALLOC_FAILED ? ALTMIN_ERR_MEMORY : ALTMIN_ERR_BACKEND;
    am_ctx_fail(cu->ctx, code, "%s: %.*s: cuSOLVER status %d", cu->op, name_length(call), call, (int)status);
    return 0;
}

int am_cuda_launched(am_cuda *cu, const char *kernel)
{
    if (!am_cuda_check(cu, AM_CUDA_QUIET(cudaGetLastError()), kernel)) return 0;
    if (cu->launch != AM_LAUNCH_SYNC) return 1;
    return am_cuda_check(cu, AM_CUDA_QUIET(cudaStreamSynchronize(am_cuda_track(cu)->stream)), kernel);
}

am_cuda *am_cuda_enter(am_ctx *ctx, const char *op)
{
    am_cuda *cu = am_cuda_of(ctx);
    am_cuda_flush(cu);
    cu->op = op;
    return cu;
}

int am_cuda_wait(am_cuda *cu)
{
    return AM_CUDA(cu, cudaStreamSynchronize(am_cuda_track(cu)->stream));
}

int am_cuda_fetch(am_cuda *cu, void *pinned, const void *device, size_t n_bytes)
{
    cudaStream_t stream = am_cuda_track(cu)->stream;
    return AM_CUDA(cu, cudaMemcpyAsync(pinned, device, n_bytes, cudaMemcpyDeviceToHost, stream)) &&
           am_cuda_wait(cu);
}

unsigned am_cuda_blocks(const am_cuda *cu, size_t n, size_t per_block, size_t waves)
{
    const size_t wanted = (n + per_block - 1) / per_block, most = waves * (size_t)cu->n_multiprocessors;
    const size_t blocks = wanted < most ? wanted : most;
    return blocks > 0 ? (unsigned)blocks : 1u;
}

/* ------------------------------------------------------------------------------------ memory */

/* Keep outgrown scratch until close: a recorded graph may hold its address. */
static int retire(am_cuda *cu, void *memory)
{
    void **grown = (void **)realloc(cu->retired, (cu->n_retired + 1) * sizeof *grown);
    if (!grown) {
        am_ctx_fail(cu->ctx, ALTMIN_ERR_MEMORY, "%s: no host memory for a list of scratch", cu->op);
        return 0;
    }
    cu->retired = grown;
    cu->retired[cu->n_retired++] = memory;
    return 1;
}

void *am_cuda_scratch(am_cuda *cu, am_scratch *scratch, size_t n_bytes)
{
    if (n_bytes <= scratch->n_bytes) return scratch->memory;
    const size_t doubled = scratch->n_bytes <= SIZE_MAX / 2 ? 2 * scratch->n_bytes : n_bytes;
    const size_t wanted = n_bytes > doubled ? n_bytes : doubled;
    if (scratch->memory && !retire(cu, scratch->memory)) return NULL;
    scratch->memory = NULL;
    scratch->n_bytes = 0;
    if (!AM_CUDA(cu, cudaMalloc(&scratch->memory, wanted))) {
        scratch->memory = NULL;
        return NULL;
    }
    scratch->n_bytes = wanted;
    return scratch->memory;
}

unsigned *am_cuda_counters(am_cuda *cu, size_t n)
{
    const size_t had = cu->counter.n_bytes;
    unsigned *counter = (unsigned *)am_cuda_scratch(cu, &cu->counter, n * sizeof(unsigned));
    if (!counter || cu->counter.n_bytes == had) return counter;
    const int cleared = AM_CUDA(cu, cudaMemsetAsync(counter, 0, cu->counter.n_bytes, cu->side)) &&
                        AM_CUDA(cu, cudaStreamSynchronize(cu->side));
    return cleared ? counter : NULL;
}

static void *cuda_alloc(am_ctx *ctx, size_t n_bytes)
{
    (void)ctx;
    void *memory = NULL;
    if (AM_CUDA_QUIET(cudaMalloc(&memory, n_bytes)) == cudaSuccess) return memory;
    (void)AM_CUDA_QUIET(cudaGetLastError()); /* told by the NULL: not to be found again by the next launch */
    return NULL;
}

static void cuda_release(am_ctx *ctx, void *memory)
{
    (void)ctx;
    (void)AM_CUDA_QUIET(cudaFree(memory));
}

static void *cuda_pinned_alloc(am_ctx *ctx, size_t n_bytes)
{
    (void)ctx;
    void *memory = NULL;
    if (AM_CUDA_QUIET(cudaMallocHost(&memory, n_bytes)) == cudaSuccess) return memory;
    (void)AM_CUDA_QUIET(cudaGetLastError()); /* told by the NULL, as above */
    return NULL;
}

static void cuda_pinned_release(am_ctx *ctx, void *memory)
{
    (void)ctx;
    (void)AM_CUDA_QUIET(cudaFreeHost(memory));
}

static size_t cuda_free_bytes(am_ctx *ctx)
{
    (void)ctx;
    size_t free_bytes = 0, total = 0;
    return AM_CUDA_QUIET(cudaMemGetInfo(&free_bytes, &total)) == cudaSuccess ? free_bytes : SIZE_MAX;
}

/* ---------------------------------------------------------------------------- open and close */

/* The reason why there is nothing to open, as a sentence in `reason`; 1 when there is a device. */
static int device_found(char *reason, size_t n_reason)
{
    int n = 0;
    const cudaError_t status = AM_CUDA_QUIET(cudaGetDeviceCount(&n));
    (void)AM_CUDA_QUIET(cudaGetLastError()); /* the answer is in status: no later launch should find it */
    if (status == cudaErrorInsufficientDriver)
        snprintf(reason, n_reason, "no NVIDIA driver, or one too old for CUDA %d.%d", CUDART_VERSION / 1000,
                 CUDART_VERSION % 1000 / 10);
    else if (status != cudaSuccess)
        snprintf(reason, n_reason, "%s", AM_CUDA_QUIET(cudaGetErrorString(status)));
    else if (n == 0)
        snprintf(reason, n_reason, "no NVIDIA GPU is visible (CUDA_VISIBLE_DEVICES can hide one)");
    return status == cudaSuccess && n > 0;
}

static const char *cuda_missing(void)
{
    static thread_local char reason[256]; /* read before this thread asks again */
    if (!device_found(reason, sizeof reason)) return reason;
    am_blas blas;
    am_solver solver;
    if (!am_libraries_load(&blas, &solver, reason, sizeof reason)) return reason;
    am_libraries_unload(&blas, &solver);
    return NULL;
}

int am_cuda_open_track(am_cuda *cu, am_track *track)
{
    return AM_CUDA(cu, cudaStreamCreateWithFlags(&track->stream, cudaStreamNonBlocking)) &&
           AM_BLAS(cu, cublasCreate_v2(&track->blas)) &&
           AM_BLAS(cu, cublasSetStream_v2(track->blas, track->stream)) &&
           AM_BLAS(cu, cublasSetWorkspace_v2(track->blas, cu->workspace.memory, cu->workspace.n_bytes));
}

int am_cuda_open_tracks(am_cuda *cu)
{
    return am_cuda_scratch(cu, &cu->workspace, workspace_bytes) && am_cuda_open_track(cu, &cu->track[0]) &&
           AM_SOLVER(cu, cusolverDnCreate(&cu->solving));
}

static int open_memory(am_cuda *cu)
{
    const size_t slot_bytes = AM_MAX_SLOTS * sizeof(double),
                 report_bytes = (1 + am_cuda_n_lanes) * sizeof(am_report);
    int ok = AM_CUDA(cu, cudaMalloc((void **)&cu->slot, slot_bytes)) &&
             AM_CUDA(cu, cudaMemset(cu->slot, 0, slot_bytes));
    ok = ok && AM_CUDA(cu, cudaMalloc((void **)&cu->report, report_bytes)) &&
         AM_CUDA(cu, cudaMemset(cu->report, 0, report_bytes));
    ok = ok && AM_CUDA(cu, cudaMallocHost((void **)&cu->slot_host, slot_bytes)) &&
         AM_CUDA(cu, cudaMallocHost((void **)&cu->report_host, report_bytes));
    for (int i = 0; ok && i < 2; i++)
        ok = AM_CUDA(cu, cudaMallocHost((void **)&cu->staging[i], am_cuda_staging_bytes)) &&
             AM_CUDA(cu, cudaEventCreateWithFlags(&cu->staged[i], cudaEventDisableTiming));
    return ok && AM_CUDA(cu, cudaStreamCreateWithFlags(&cu->side, cudaStreamNonBlocking));
}

static const char *precision_name(am_precision precision)
{
    static const char *const names[] = {"auto", "fp32", "tf32", "bf16"};
    return names[precision];
}

static int describe(am_cuda *cu)
{
    int device = 0, driver = 0, version = 0;
    cudaDeviceProp properties;
    if (!AM_CUDA(cu, cudaGetDevice(&device)) || !AM_CUDA(cu, cudaGetDeviceProperties(&properties, device)) ||
        !AM_CUDA(cu, cudaDriverGetVersion(&driver)) ||
        !AM_BLAS(cu, cublasGetVersion_v2(cu->track[0].blas, &version)))
        return 0;
    cu->n_multiprocessors = properties.multiProcessorCount;
    /* Conditional nodes came with 12.4: an older driver runs the same ops one by one. */
    if (driver < 12040 && cu->launch == AM_LAUNCH_GRAPH) cu->launch = AM_LAUNCH_STREAM;
    static const char *const launch_names[] = {"graph", "stream", "sync"};
    snprintf(cu->ctx->detail, sizeof cu->ctx->detail, "%.48s sm_%d%d, driver %d.%d, cuBLAS %d.%d, %s, %s",
             properties.name, properties.major, properties.minor, driver / 1000, driver % 1000 / 10,
             version / 10000, version / 100 % 100, precision_name(cu->precision), launch_names[cu->launch]);
    return 1;
}

static altmin_error cuda_open(am_ctx *ctx, const am_open_options *opt, altmin_status *st)
{
    am_cuda *cu = (am_cuda *)calloc(1, sizeof *cu);
    if (!cu) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the cuda backend");
    ctx->impl = cu;
    ctx->n_threads = 1;
    cu->ctx = ctx;
    cu->op = "open";
    cu->precision = opt->precision == AM_PRECISION_AUTO ? AM_PRECISION_TF32 : opt->precision;
    cu->launch = opt->launch;
    cu->gram = opt->gram;
    char reason[256];
    if (!am_libraries_load(&cu->blas, &cu->solver, reason, sizeof reason))
        return am_fail(st, ALTMIN_ERR_BACKEND, "backend cuda: %s", reason);
    cu->sites = (am_sites *)calloc(1, sizeof *cu->sites);
    if (!cu->sites) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the cuda backend");
    if (open_memory(cu) && am_cuda_open_tracks(cu) && describe(cu)) return ALTMIN_OK;
    return am_ctx_status(ctx, st);
}

void am_cuda_close_tracks(am_cuda *cu)
{
    if (cu->solving) (void)AM_CUDA_QUIET(cu->solver.cusolverDnDestroy(cu->solving));
    for (am_track &track : cu->track) {
        if (track.blas) (void)AM_CUDA_QUIET(cu->blas.cublasDestroy_v2(track.blas));
        if (track.stream) (void)AM_CUDA_QUIET(cudaStreamDestroy(track.stream));
    }
    void *const device[] = {cu->partial.memory, cu->counter.memory, cu->work.memory, cu->workspace.memory};
    for (void *memory : device)
        if (memory) (void)AM_CUDA_QUIET(cudaFree(memory));
    for (size_t i = 0; i < cu->n_retired; i++) (void)AM_CUDA_QUIET(cudaFree(cu->retired[i]));
    free(cu->retired);
}

static void cuda_close(am_ctx *ctx)
{
    am_cuda *cu = am_cuda_of(ctx);
    if (!cu) return;
    am_cuda_forget(cu);
    (void)AM_CUDA_QUIET(cudaDeviceSynchronize());
    am_cuda_close_lanes(cu);
    am_cuda_close_tracks(cu);
    am_cuda_close_stages(cu);
    if (cu->side) (void)AM_CUDA_QUIET(cudaStreamDestroy(cu->side));
    for (int i = 0; i < 2; i++) {
        if (cu->staged[i]) (void)AM_CUDA_QUIET(cudaEventDestroy(cu->staged[i]));
        if (cu->staging[i]) (void)AM_CUDA_QUIET(cudaFreeHost(cu->staging[i]));
    }
    if (cu->slot_host) (void)AM_CUDA_QUIET(cudaFreeHost(cu->slot_host));
    if (cu->report_host) (void)AM_CUDA_QUIET(cudaFreeHost(cu->report_host));
    if (cu->slot) (void)AM_CUDA_QUIET(cudaFree(cu->slot));
    if (cu->report) (void)AM_CUDA_QUIET(cudaFree(cu->report));
    free(cu->sites);
    am_libraries_unload(&cu->blas, &cu->solver);
    free(cu);
}

extern "C" const am_ops am_ops_cuda = {
    .name = "cuda",
    .missing = cuda_missing,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .release = cuda_release,
    .free_bytes = cuda_free_bytes,
    .upload = am_cuda_upload,
    .upload_u8 = am_cuda_upload_u8,
    .download = am_cuda_download,
    .pinned_alloc = cuda_pinned_alloc,
    .pinned_release = cuda_pinned_release,
    .stage_send = am_cuda_stage_send,
    .stage_order = am_cuda_stage_order,
    .copy = am_cuda_copy,
    .fill = am_cuda_fill,
    .gemm = am_cuda_gemm,
    .gram = am_cuda_gram,
    .gram_sparse = am_cuda_gram_sparse,
    .spmm = am_cuda_spmm,
    .cholesky = am_cuda_cholesky,
    .solve_right = am_cuda_solve_right,
    .norm2 = am_cuda_norm2,
    .eigh = am_cuda_eigh,
    .orthonormalise = am_cuda_orthonormalise,
    .map = am_cuda_map,
    .row_sum = am_cuda_row_sum,
    .softmax_loss = am_cuda_softmax_loss,
    .softmax_residual = am_cuda_softmax_residual,
    .gather_columns = am_cuda_gather_columns,
    .gather_columns_u8 = am_cuda_gather_columns_u8,
    .thin = am_cuda_thin,
    .prox_softmax = am_cuda_prox_softmax,
    .scalar = am_cuda_scalar,
    .slots_write = am_cuda_slots_write,
    .slots_read = am_cuda_slots_read,
    .branch = am_cuda_branch,
    .lanes = am_cuda_lanes,
    .sweep_begin = am_cuda_sweep_begin,
    .sweep_end = am_cuda_sweep_end,
};
