/* The state of an open CUDA backend, the checked wrappers every CUDA and cuBLAS call goes through, and what
 * the files of this folder lend each other. Nothing here is seen outside the folder: it exports am_ops_cuda
 * alone.
 *
 * Streams: track[0] carries everything in issue order; track[1..] exist only to record the bodies of
 * conditional nodes (record.cu) and run nothing themselves. Each track has its own cuBLAS handle, because
 * changing a handle's stream forgets its workspace, and with it repeatable bits. Work of all tracks runs
 * strictly in order, so they share scratch.
 *
 * A lane (lanes.cu) is such a state again, over the same slots: its own tracks, scratch, workspace, queue and
 * report, because it runs beside the others.
 *
 * Scratch only grows and what is outgrown is kept until close: recorded graphs hold its addresses. */
#ifndef AM_CUDA_CONTEXT_H
#define AM_CUDA_CONTEXT_H

#include "kernels/cuda/base.h"
#include "kernels/cuda/library.h"

enum {
    am_cuda_block = 256, /* threads of a block, everywhere */
    am_cuda_warp = 32,
    am_cuda_max_depth = 3,       /* branch in branch in ...: tracks beside the main one */
    am_cuda_n_lanes = 4,         /* what a GPU overlaps of small factorizations */
    am_cuda_queue_length = 64,   /* scalar formulas per launch */
    am_cuda_max_recordings = 16, /* sweep keys remembered */
    am_cuda_max_sites = 256      /* labels of factorizations, for messages that come later */
};

static constexpr size_t am_cuda_staging_bytes = 4 << 20; /* of each pinned upload buffer */

typedef struct am_track {
    cudaStream_t stream;
    cublasHandle_t blas;
} am_track;

/** Device memory that grows on demand. */
typedef struct am_scratch {
    void *memory;
    size_t n_bytes;
} am_scratch;

/** What the device has to tell the host, read together with the slots. */
typedef struct am_report {
    unsigned long long n_jitter;  /* factorizations repeated with a larger ridge */
    int failed_rows, failed_site; /* rows of a matrix that could not be factored (0: none), and where */
    unsigned failed_turn;         /* which factorization of its sweep */
    double failed_ridge;
    /* the factorization under way */
    int info, attempt, retry; /* info: cuSOLVER's */
    double ridge, jitter;
} am_report;

/** One scalar formula waiting for its launch; id -1 stores `value`. */
typedef struct am_queued {
    int id, out;
    union {
        int in[AM_SCALAR_MAX_IN];
        double value;
    } u;
} am_queued;

typedef struct am_queue {
    int n;
    am_queued entry[am_cuda_queue_length];
} am_queue;

typedef enum am_recording_state {
    AM_RECORDING_NEW,
    AM_RECORDING_WARM,
    AM_RECORDING_READY
} am_recording_state;

/** Labels of factorizations, for messages that come later; all lanes' together. */
typedef struct am_sites {
    char label[am_cuda_max_sites][sizeof(((am_ctx *)0)->label)];
    int n;
    unsigned turn; /* factorizations issued in this sweep */
} am_sites;

struct am_cuda_lane;

/** A sweep by its key: seen once (its sizes are known and its libraries are loaded), or recorded. */
typedef struct am_recording {
    uint64_t key, used; /* used: for replacing the one unused longest */
    am_recording_state state;
    cudaGraphExec_t exec;
    am_op_stat work[AM_N_OPS]; /* what one replay counts as */
} am_recording;

typedef struct am_cuda {
    am_ctx *ctx;
    const char *op; /* being issued: for messages */
    am_blas blas;
    am_solver solver;
    cusolverDnHandle_t solving; /* its workspace comes with each call, so one handle serves all tracks */
    am_track track[am_cuda_max_depth + 1];
    int depth;
    cudaStream_t side; /* never recorded: clears fresh scratch while track[0] is being recorded */
    am_precision precision;
    am_launch launch;
    am_gram_rule gram;
    int n_multiprocessors;
    /* device memory */
    double *slot;      /* AM_MAX_SLOTS */
    am_report *report; /* of a main state the first of 1 + am_cuda_n_lanes, lanes' behind it */
    am_scratch partial, counter, work, workspace;
    void **retired;
    size_t n_retired;
    /* pinned host memory */
    unsigned char *staging[2];
    cudaEvent_t staged[2];
    double *slot_host;
    am_report *report_host;
    /* buffers under way beside the work (am_stage_send), opened by the first */
    cudaStream_t copying;
    cudaEvent_t arrived[2], freed[2];
    /* sweeps */
    am_queue queue;
    int capturing;
    am_recording recording[am_cuda_max_recordings], *current;
    uint64_t clock;
    struct { /* what was counted before the sweep under way */
        am_op_stat stat[AM_N_OPS];
        am_product_stat product[AM_MAX_PRODUCT_STATS];
        size_t n_products;
    } before;
    am_sites *sites;
    /* lanes, opened when first asked for */
    struct am_cuda_lane *lane; /* am_cuda_n_lanes, or NULL */
    cudaEvent_t forked;
} am_cuda;

static inline am_cuda *am_cuda_of(const am_ctx *ctx)
{
    return (am_cuda *)ctx->impl;
}
static inline am_track *am_cuda_track(am_cuda *cu)
{
    return &cu->track[cu->depth];
}

/* ----------------------------------------------------------------------------- checked calls */

/** 1 when status is success, else a sticky error that names the op, the call and the reason. */
int am_cuda_check(am_cuda *cu, cudaError_t status, const char *call);
int am_cuda_check_blas(am_cuda *cu, cublasStatus_t status, const char *call);
int am_cuda_check_solver(am_cuda *cu, cusolverStatus_t status, const char *call);
/** After a launch: 1 when it was accepted (and, with AM_LAUNCH_SYNC, when it ended well). */
int am_cuda_launched(am_cuda *cu, const char *kernel);

/* Every call of the CUDA runtime stands inside AM_CUDA or AM_CUDA_QUIET, every cuBLAS call inside AM_BLAS,
 * every cuSOLVER call inside AM_SOLVER, every launch is an AM_LAUNCH: tests/emulator/test_raw_calls.sh holds this. */
#define AM_CUDA(cu, call) am_cuda_check(cu, call, #call)
/* For releases on the way out, and questions whose failure is an answer. */
#define AM_CUDA_QUIET(call) (call)
#define AM_BLAS(cu, call)   (am_cuda_check_blas(cu, (cu)->blas.call, #call) && am_cuda_launched(cu, #call))
#define AM_SOLVER(cu, call)                                                                                  \
    (am_cuda_check_solver(cu, (cu)->solver.call, #call) && am_cuda_launched(cu, #call))
#define AM_LAUNCH(cu, kernel, grid, block, ...)                                                              \
    do {                                                                                                     \
        AM_KERNEL_LAUNCH(kernel, grid, block, am_cuda_track(cu)->stream, __VA_ARGS__);                       \
        am_cuda_launched(cu, #kernel);                                                                       \
    } while (0)

/* ----------------------------------------------------------------------------- shared pieces */

/** Begin an op: name it for messages and send the queued scalar formulas ahead of it. */
am_cuda *am_cuda_enter(am_ctx *ctx, const char *op);
/** At least n_bytes of scratch, NULL after a sticky error. Contents are undefined. */
void *am_cuda_scratch(am_cuda *cu, am_scratch *scratch, size_t n_bytes);
/** n counters, all 0; whoever uses them leaves them at 0 (atomicInc that wraps). */
unsigned *am_cuda_counters(am_cuda *cu, size_t n);
/** Wait for everything issued. Not while recording. */
int am_cuda_wait(am_cuda *cu);
/** Copy a few bytes from the device into pinned memory and wait: a decision the host must take itself. */
int am_cuda_fetch(am_cuda *cu, void *pinned, const void *device, size_t n_bytes);
/** Blocks for n elements at `per_block` each, at most `waves` blocks a multiprocessor; at least 1. */
unsigned am_cuda_blocks(const am_cuda *cu, size_t n, size_t per_block, size_t waves);

/* matrix.cu: data movement */
void am_cuda_upload(am_ctx *ctx, void *dst, const void *host, size_t n_bytes);
void am_cuda_upload_u8(am_ctx *ctx, am_mat dst, const uint8_t *host, am_mat shift, am_mat factor);
void am_cuda_stage_send(am_ctx *ctx, int b, void *dst, const void *pinned, size_t n_bytes);
void am_cuda_stage_order(am_ctx *ctx, int b, am_stage_order what);
void am_cuda_close_stages(am_cuda *cu);
void am_cuda_download(am_ctx *ctx, void *host, const void *src, size_t n_bytes);
void am_cuda_copy(am_ctx *ctx, am_mat dst, am_mat src);
void am_cuda_fill(am_ctx *ctx, am_mat dst, float value);
void am_cuda_gather_columns(am_ctx *ctx, am_mat dst, am_mat src, const int32_t *index);
void am_cuda_gather_columns_u8(am_ctx *ctx, am_mat dst, const uint8_t *src, const int32_t *index,
                               am_mat shift, am_mat factor);

/* product.cu */
void am_cuda_gemm(am_ctx *ctx, am_mat c, float alpha, am_mat a, int ta, am_mat b, int tb, float beta);
void am_cuda_gram(am_ctx *ctx, am_mat g, am_mat a, int ta);
/** Upper triangle of G <- lower. */
void am_cuda_mirror(am_cuda *cu, am_mat g);
/* sparse.cu */
void am_cuda_gram_sparse(am_ctx *ctx, am_mat g, const am_csc *x, int tx);
void am_cuda_spmm(am_ctx *ctx, am_mat c, float alpha, am_mat a, const am_csc *x, int tx, float beta);
/* solve.cu */
void am_cuda_cholesky(am_ctx *ctx, am_mat factor, am_mat a, double scale, double ridge);
void am_cuda_solve_right(am_ctx *ctx, am_mat b, am_mat factor);
/* norm.cu */
void am_cuda_norm2(am_ctx *ctx, am_slot out, am_mat w, am_mat v, am_mat u, int n_steps);
/* basis.cu */
void am_cuda_eigh(am_ctx *ctx, am_mat values, am_mat vectors, am_mat a);
void am_cuda_orthonormalise(am_ctx *ctx, am_mat v);
/* thin.cu */
void am_cuda_thin(am_ctx *ctx, int32_t *index, am_slot count, am_mat r, am_slot bt, uint64_t seed,
                  am_slot counter);
/* map.cu */
void am_cuda_map(am_ctx *ctx, am_map_id id, int act, const am_map_args *args);
/* reduce.cu */
void am_cuda_row_sum(am_ctx *ctx, am_mat v, am_mat x);
/* columns.cu */
void am_cuda_softmax_loss(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat p, am_mat b,
                          const int32_t *label);
void am_cuda_softmax_residual(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat d, am_mat p, am_mat b,
                              const int32_t *label, float scale);
void am_cuda_prox_softmax(am_ctx *ctx, am_mat z, am_mat p, am_mat b, const int32_t *label, am_slot rho,
                          const am_slot *sum, am_mat row_sum);
/* scalar.cu */
void am_cuda_scalar(am_ctx *ctx, am_slot out, am_scalar_id id, const am_slot *in);
void am_cuda_slots_write(am_ctx *ctx, am_slot first, size_t n, const double *value);
void am_cuda_slots_read(am_ctx *ctx, am_slot first, size_t n, double *value);
/** Launch what waits in the queue of scalar formulas. */
void am_cuda_flush(am_cuda *cu);

/* backend_cuda.cu */
/** Open a track: a stream and its libraries, with cu's workspace. 1, or 0 after a sticky error. */
int am_cuda_open_track(am_cuda *cu, am_track *track);
/** Take cu's workspace, its main track and its cuSOLVER handle. */
int am_cuda_open_tracks(am_cuda *cu);
/** Release cu's tracks, handle, scratch and workspace. */
void am_cuda_close_tracks(am_cuda *cu);

/* lanes.cu */
void am_cuda_lanes(am_ctx *ctx, size_t n, am_task *task, void *arg);
void am_cuda_close_lanes(am_cuda *cu);

/* record.cu */
int am_cuda_sweep_begin(am_ctx *ctx, uint64_t key);
int am_cuda_sweep_end(am_ctx *ctx, uint64_t key);
void am_cuda_branch(am_ctx *ctx, am_slot condition, void (*body)(am_ctx *ctx, void *arg), void *arg);
/** A condition of the graph being recorded, 0 unless a kernel sets it (am_set_condition). */
cudaGraphConditionalHandle am_cuda_condition(am_cuda *cu);
/** Record body(cu, arg) to run if (or while) the condition holds when the graph gets here. */
void am_cuda_conditional(am_cuda *cu, cudaGraphConditionalHandle handle, cudaGraphConditionalNodeType type,
                         void (*body)(am_cuda *cu, void *arg), void *arg);
/** End an open recording, forget all. */
void am_cuda_forget(am_cuda *cu);

#endif
