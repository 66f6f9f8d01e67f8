/* The backend seam: one const table of operations, chosen at run time. Everything above this line (steps, methods,
 * driver) calls the am_* functions below; they check shapes, keep the sticky error, count work and time, and then call
 * the table. Three tables implement the same meaning: `ref` (ref.c: naive loops, sums in double, the executable
 * definition), `cpu` (cpu.c: OpenBLAS, LAPACK, OpenMP over ref's table) and `cuda`.
 *
 * Rules every op follows
 *  - Errors are sticky: ops return void, the first failure is kept in ctx->status with op and label, later ops do
 *    nothing. Reads (am_slots_read, am_download) return it.
 *  - Matrices live in backend memory (am_memory_take); shapes are those of am_mat; empty matrices (0 rows or columns)
 *    are legal everywhere and leave sums at 0.
 *  - Scalars are data: sums, step lengths and guard decisions live in numbered double slots on the backend. Ops that
 *    give sums write slots, ops that need coefficients read slots; the host reads all of them once per sweep.
 *  - Reductions run in double and in a fixed order: the same call gives the same bits every time, on ref and in
 *    am_map also for every number of threads.
 *  - Unless said otherwise an output does not overlap an input. */
#ifndef AM_BACKEND_H
#define AM_BACKEND_H

#include "base/status.h"
#include "kernels/backend_kind.h"
#include "kernels/formulas.h"
#include "kernels/mat.h"

typedef int am_slot; /* index of a scalar slot; AM_NO_SLOT where a result is not wanted */
#define AM_NO_SLOT   (-1)
#define AM_MAX_SLOTS 65536

typedef struct am_ctx am_ctx;

/** Operands of an elementwise map. Matrices not used by the map's signature (AM_MAPS) stay zero-initialised; all
 *  matrices that are given share one shape (rows x cols). Outputs may be the same matrix as an input. */
typedef struct am_map_args {
    am_mat out[AM_MAP_MAX_OUT];
    am_mat in[AM_MAP_MAX_IN];
    am_mat row;                    /* rows x 1: x's companion r, when the map has one */
    am_slot coef[AM_MAP_MAX_COEF]; /* slots of c[] */
    am_slot sum[AM_MAP_MAX_SUM];   /* slots of the sums; AM_NO_SLOT to drop one */
    am_slot max;                   /* slot of the maximum */
    am_mat row_sum;                /* optional, rows x 1: row sums of out[0], from the same pass */
} am_map_args;

/** Kinds of ops, for counting and timing. */
#define AM_OPS(X)                                                                                            \
    X(UPLOAD, "upload")                                                                                      \
    X(DOWNLOAD, "download")                                                                                  \
    X(COPY, "copy")                                                                                          \
    X(GEMM, "gemm")                                                                                          \
    X(GRAM, "gram")                                                                                          \
    X(SPARSE, "sparse")                                                                                      \
    X(CHOLESKY, "cholesky")                                                                                  \
    X(SOLVE, "solve")                                                                                        \
    X(NORM, "norm")                                                                                          \
    X(EIGH, "eigh")                                                                                          \
    X(BASIS, "orthonormalise")                                                                               \
    X(MAP, "map")                                                                                            \
    X(ROW_SUM, "row_sum")                                                                                    \
    X(SOFTMAX, "softmax")                                                                                    \
    X(GATHER, "gather")                                                                                      \
    X(THIN, "thin")                                                                                          \
    X(PROX, "prox")                                                                                          \
    X(SCALAR, "scalar")
#define AM_ENUM_OP(ID, name) AM_OP_##ID,
typedef enum am_op { AM_OPS(AM_ENUM_OP) AM_N_OPS } am_op;
#undef AM_ENUM_OP

/** Work of one kind of op since am_profile_reset. Flops and bytes are counted from shapes: bytes = operands read once +
 *  results written once. */
typedef struct am_op_stat {
    size_t n_calls;
    double time_s, flops, n_bytes;
} am_op_stat;

/** Products seen since am_profile_reset, by shape: what bench sweep times again to find the floor. */
typedef struct am_product_stat {
    am_op op; /* AM_OP_GEMM or AM_OP_GRAM */
    int ta, tb;
    size_t m, n, k;
    size_t n_calls;
    double time_s;
} am_product_stat;
#define AM_MAX_PRODUCT_STATS 64

/** How Gram products run on cpu. */
typedef enum am_gram_rule { AM_GRAM_AUTO, AM_GRAM_SYRK, AM_GRAM_GEMM } am_gram_rule;

/** Arithmetic of products on cuda (sums are fp32 in all of them); ref and cpu know fp32 alone. AUTO: tf32 on cuda. */
typedef enum am_precision {
    AM_PRECISION_AUTO,
    AM_PRECISION_FP32,
    AM_PRECISION_TF32,
    AM_PRECISION_BF16
} am_precision;

/** How cuda issues a sweep: recorded once as a graph and replayed, op by op, or op by op waiting for each (exact times
 *  and places of errors). ref and cpu always wait. */
typedef enum am_launch { AM_LAUNCH_GRAPH, AM_LAUNCH_STREAM, AM_LAUNCH_SYNC } am_launch;

typedef struct am_open_options {
    size_t n_threads;  /* 0: as many as the machine offers */
    am_gram_rule gram; /* AUTO: measured once at open (cpu), by size (cuda) */
    am_precision precision;
    am_launch launch;
} am_open_options;

/** Task i of am_lanes. */
typedef void am_task(am_ctx *lane, size_t i, void *arg);

/** Who waits for whom around a send: am_stage_wait, am_stage_arrive, am_stage_free. */
typedef enum am_stage_order { AM_STAGE_WAIT, AM_STAGE_ARRIVE, AM_STAGE_FREE } am_stage_order;

/** The table. The doc comment of each entry's meaning is at the am_* function of the same name below; an
 *  implementation may assume that shapes are checked, that matrices are not empty and that no error is pending. */
typedef struct am_ops {
    const char *name;
    const char *(*missing)(
        void); /* why it cannot be opened here, or NULL; the entry itself NULL: it always can */
    altmin_error (*open)(am_ctx *ctx, const am_open_options *opt, altmin_status *st);
    void (*close)(am_ctx *ctx);
    void *(*alloc)(am_ctx *ctx, size_t n_bytes); /* 64-byte aligned; NULL when it does not fit */
    void (*release)(am_ctx *ctx, void *memory);
    size_t (*free_bytes)(am_ctx *ctx); /* memory that could be had now; SIZE_MAX when unknown */
    void (*upload)(am_ctx *ctx, void *dst, const void *host, size_t n_bytes);
    void (*upload_u8)(am_ctx *ctx, am_mat dst, const uint8_t *host, am_mat shift, am_mat factor);
    void (*download)(am_ctx *ctx, void *host, const void *src, size_t n_bytes);
    void *(*pinned_alloc)(am_ctx *ctx, size_t n_bytes); /* NULL when there is none */
    void (*pinned_release)(am_ctx *ctx, void *memory);
    void (*stage_send)(am_ctx *ctx, int b, void *dst, const void *pinned, size_t n_bytes);
    void (*stage_order)(am_ctx *ctx, int b, am_stage_order what); /* NULL: sends are done when they return */
    void (*copy)(am_ctx *ctx, am_mat dst, am_mat src);
    void (*fill)(am_ctx *ctx, am_mat dst, float value);
    void (*gemm)(am_ctx *ctx, am_mat c, float alpha, am_mat a, int ta, am_mat b, int tb, float beta);
    void (*gram)(am_ctx *ctx, am_mat g, am_mat a, int ta);
    void (*gram_sparse)(am_ctx *ctx, am_mat g, const am_csc *x, int tx);
    void (*spmm)(am_ctx *ctx, am_mat c, float alpha, am_mat a, const am_csc *x, int tx, float beta);
    void (*cholesky)(am_ctx *ctx, am_mat factor, am_mat a, double scale, double ridge);
    void (*solve_right)(am_ctx *ctx, am_mat b, am_mat factor);
    void (*norm2)(am_ctx *ctx, am_slot out, am_mat w, am_mat v, am_mat u, int n_steps);
    void (*eigh)(am_ctx *ctx, am_mat values, am_mat vectors, am_mat a);
    void (*orthonormalise)(am_ctx *ctx, am_mat v);
    void (*map)(am_ctx *ctx, am_map_id id, int act, const am_map_args *args);
    void (*row_sum)(am_ctx *ctx, am_mat v, am_mat x);
    void (*softmax_loss)(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat p, am_mat b,
                         const int32_t *label);
    void (*softmax_residual)(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat d, am_mat p, am_mat b,
                             const int32_t *label, float scale);
    void (*gather_columns)(am_ctx *ctx, am_mat dst, am_mat src, const int32_t *index);
    void (*gather_columns_u8)(am_ctx *ctx, am_mat dst, const uint8_t *src, const int32_t *index, am_mat shift,
                              am_mat factor);
    void (*thin)(am_ctx *ctx, int32_t *index, am_slot count, am_mat r, am_slot bt, uint64_t seed,
                 am_slot counter);
    void (*prox_softmax)(am_ctx *ctx, am_mat z, am_mat p, am_mat b, const int32_t *label, am_slot rho,
                         const am_slot *sum, am_mat row_sum);
    void (*scalar)(am_ctx *ctx, am_slot out, am_scalar_id id, const am_slot *in);
    void (*slots_write)(am_ctx *ctx, am_slot first, size_t n, const double *value);
    void (*slots_read)(am_ctx *ctx, am_slot first, size_t n, double *value);
    void (*branch)(am_ctx *ctx, am_slot condition, void (*body)(am_ctx *ctx, void *arg), void *arg);
    void (*lanes)(am_ctx *ctx, size_t n, am_task *task, void *arg);
    int (*sweep_begin)(am_ctx *ctx,
                       uint64_t key); /* 1: the sweep's ops must be issued, 0: a recording runs */
    int (*sweep_end)(am_ctx *ctx,
                     uint64_t key); /* 1: nothing was done, issue them again (also after an error) */
} am_ops;

/** A backend in use. Public fields are for reading; `impl` belongs to the table. */
struct am_ctx {
    const am_ops *ops;
    altmin_status status; /* sticky */
    char label[64];       /* where we are, e.g. "layer 2, block W": set by am_label, quoted in errors */
    char detail
        [256]; /* e.g. "OpenBLAS 0.3.21 SkylakeX, gram by syrk"; says when sweeps could not be recorded */
    size_t n_threads;
    size_t n_slots;
    size_t taken_bytes; /* memory taken so far */
    void **block;       /* n_blocks pieces of memory taken and not released: close releases them */
    size_t n_blocks;
    void **pinned; /* the same of host memory */
    size_t n_pinned;
    size_t n_jitter; /* factorizations that needed a larger ridge */
    am_op_stat stat[AM_N_OPS];
    am_product_stat product[AM_MAX_PRODUCT_STATS];
    size_t n_products;
    int profile_paused; /* 1: ops are not counted (evaluation between sweeps) */
    int is_lane;        /* 1: lent to tasks by am_lanes; am_lanes itself then runs in turn */
    void *impl;
};

/* ------------------------------------------------------------------------------------------------ life */

/** Open a backend. AUTO picks cuda when there is a device, else cpu, and says so in ctx->ops->name. Asking for what is
 *  not there is ALTMIN_ERR_BACKEND with the reason. */
altmin_error am_backend_open(am_ctx **ctx, am_backend_kind kind, const am_open_options *opt,
                             altmin_status *st);
/** Close and release everything. NULL is fine. */
void am_backend_close(am_ctx *ctx);
/** NULL when the backend `kind` can be opened here, else the reason as a sentence. */
const char *am_backend_missing(am_backend_kind kind);

/** Take n_bytes of backend memory, 64-byte aligned, released by am_memory_release or at close. */
altmin_error am_memory_take(am_ctx *ctx, void **memory, size_t n_bytes, altmin_status *st);
void am_memory_release(am_ctx *ctx, void *memory, size_t n_bytes);

/** Reserve n new slots, initialised to 0, and return the first. Fails (sticky) past AM_MAX_SLOTS. */
am_slot am_slots_new(am_ctx *ctx, size_t n);

/** Set where we are for error messages, printf-style. */
void am_label(am_ctx *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Record a sticky failure from inside an op. */
void am_ctx_fail(am_ctx *ctx, altmin_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** The sticky error, copied to st. */
altmin_error am_ctx_status(const am_ctx *ctx, altmin_status *st);

void am_profile_reset(am_ctx *ctx);
const char *am_op_name(am_op op);

/* ------------------------------------------------------------------------------------------------ moving data */

/** dst <- host floats, dst.rows x dst.cols, column-major. */
void am_upload(am_ctx *ctx, am_mat dst, const float *host);
/** dst <- (host - shift) * factor, host dst.rows x dst.cols bytes, column-major; shift, factor: dst.rows x 1 in backend
 *  memory. Bytes cross the bus as bytes. */
void am_upload_u8(am_ctx *ctx, am_mat dst, const uint8_t *host, am_mat shift, am_mat factor);
/** host <- src. Returns the sticky error. */
altmin_error am_download(am_ctx *ctx, float *host, am_mat src, altmin_status *st);
/** Raw bytes, for labels and sparse structure. */
void am_upload_bytes(am_ctx *ctx, void *dst, const void *host, size_t n_bytes);
/** Host memory that copies to the backend leave from at full speed while other work goes on (pinned on cuda), 64-byte
 *  aligned; released by am_pinned_release or at close. */
altmin_error am_pinned_take(am_ctx *ctx, void **memory, size_t n_bytes, altmin_status *st);
void am_pinned_release(am_ctx *ctx, void *memory);
/** Two buffers of data under way, number b = 0 or 1, so that one travels while the other is worked on:
 *    am_stage_wait    the host waits until what it last sent from b's pinned memory has left: it may be written again
 *    am_stage_send    dst <- n_bytes of pinned memory, beside all other work, once b's dst is free
 *    am_stage_arrive  what is issued from here on waits for b's last send
 *    am_stage_free    what was issued up to here is the last to read b's dst
 *  In this order for each b; on the host backends a send is done when it returns. Not inside a sweep. */
void am_stage_wait(am_ctx *ctx, int b);
void am_stage_send(am_ctx *ctx, int b, void *dst, const void *pinned, size_t n_bytes);
void am_stage_arrive(am_ctx *ctx, int b);
void am_stage_free(am_ctx *ctx, int b);
/** dst <- src, same shape. */
void am_copy(am_ctx *ctx, am_mat dst, am_mat src);
/** dst <- value everywhere. */
void am_fill(am_ctx *ctx, am_mat dst, float value);

/* ------------------------------------------------------------------------------------------------ products */

/** C <- alpha op(A) op(B) + beta C; op is the transpose where ta, tb are 1. With beta = 0 C is not read. An
 * inner dimension of 0 is legal with beta 0 or 1. */
void am_gemm(am_ctx *ctx, am_mat c, float alpha, am_mat a, int ta, am_mat b, int tb, float beta);
/** G <- A A' (ta = 0) or A'A (ta = 1): the full symmetric matrix, both triangles, exactly symmetric. */
void am_gram(am_ctx *ctx, am_mat g, am_mat a, int ta);
/** G <- X X' (tx = 0) or X'X (tx = 1), X sparse. Meant for constant inputs: computed once a run. */
void am_gram_sparse(am_ctx *ctx, am_mat g, const am_csc *x, int tx);
/** C <- alpha A X + beta C (tx = 0) or alpha A X' + beta C (tx = 1), X sparse. */
void am_spmm(am_ctx *ctx, am_mat c, float alpha, am_mat a, const am_csc *x, int tx, float beta);

/* ------------------------------------------------------------------------------------------------ small systems */

/** Shape of the storage for the Cholesky factor of a d x d matrix: it is kept in double (d x 2d floats). */
static inline size_t am_factor_cols(size_t d)
{
    return 2 * d;
}
/** factor <- Cholesky of scale * A + ridge * I, in double. A symmetric d x d, factor d x 2d floats. When it is not positive
 *  definite the ridge is raised to 1e-7 x mean diagonal and then x 10, at most six times (counted in ctx->n_jitter); then
 *  a sticky ALTMIN_ERR_NUMERIC. */
void am_cholesky(am_ctx *ctx, am_mat factor, am_mat a, double scale, double ridge);
/** B <- B S^-1 with S the matrix that `factor` factors. B is m x d. */
void am_solve_right(am_ctx *ctx, am_mat b, am_mat factor);
/** slot <- ||W v||^2 for unit v after n_steps power iterations on W'W from v: lambda_max(W'W) from below, quickly exact
 *  when v is warm. v (W.cols x 1) in: start (not zero), out: the iterate; u (W.rows x 1): scratch. W = 0 gives 0. */
void am_norm2(am_ctx *ctx, am_slot out, am_mat w, am_mat v, am_mat u, int n_steps);

/** Eigenvalues and orthonormal eigenvectors of a symmetric matrix: A = V diag(w) V', w descending, computed in double and
 *  delivered as floats. A d x d (its lower triangle is read), values d x 1, vectors d x d, column i for w_i; vectors may be
 *  A. Of every column the entry largest in size (the first of equals) is positive; inside a cluster of equal eigenvalues
 *  the vectors are any basis. The k leading vectors are am_mat_cols(vectors, 0, k). Not inside a sweep. A matrix that is
 *  not finite is a sticky ALTMIN_ERR_NUMERIC. */
void am_eigh(am_ctx *ctx, am_mat values, am_mat vectors, am_mat a);
/** Most columns of am_orthonormalise. */
#define AM_MAX_BASIS   64
#define AM_BASIS_LEAST 1e-6 /* part of a column that must lie outside the span of those before it */
/** V <- Q of the thin QR factorization V = Q R with a positive diagonal of R: Gram-Schmidt in double, every column twice.
 *  V d x q, q <= AM_MAX_BASIS, q <= d. A column that is not finite, or whose part outside the span of those before it is
 *  below 1e-6 of it, is replaced: by the first of the unit vectors e_j, e_{j+1}, .. (cyclic; j its number) of which at least
 *  half the average share (d - j)/d of the squared length lies outside the span, made orthonormal. So V is orthonormal
 *  whatever came in, and an iteration V <- orthonormalise(A V) never loses a direction for good. */
void am_orthonormalise(am_ctx *ctx, am_mat v);

/* ------------------------------------------------------------------------------------------------ elementwise */

/** Run map `id` of formulas.h over all elements; `act` is the activation for maps that use one. See am_map_args. */
void am_map(am_ctx *ctx, am_map_id id, int act, const am_map_args *args);
/** v <- X 1 (rows x 1), sums over columns in double. */
void am_row_sum(am_ctx *ctx, am_mat v, am_mat x);

/* ------------------------------------------------------------------------------------------------ columns */

/** Cross-entropy and hits of the forward pass: with z = p_j + b per column j, loss slot <- sum lse(z) - z_label,
 *  n_correct slot <- number of columns whose largest entry (the first of equals) is the label. b: rows x 1. */
void am_softmax_loss(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat p, am_mat b, const int32_t *label);
/** Gradient of the cross-entropy at the output, with loss and hits from the same pass: with z = p_j + b per column j,
 *  d_j <- scale (softmax(z) - e_label); loss and n_correct as am_softmax_loss (AM_NO_SLOT to drop one). d may be p. The
 *  label's entry is -(sum of the other weights): 1 - p_y would lose all digits. */
void am_softmax_residual(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat d, am_mat p, am_mat b,
                         const int32_t *label, float scale);
/** dst(:, j) <- src(:, index[j]) for the dst.cols entries of index (backend memory, each below src.cols), bit by bit:
 *  also right for int32 labels seen as a 1 x n matrix. A negative entry gives a column of zeros. */
void am_gather_columns(am_ctx *ctx, am_mat dst, am_mat src, const int32_t *index);
/** dst(:, j) <- (src(:, index[j]) - shift) * factor from bytes in backend memory, in one pass: the bits of am_upload_u8
 *  followed by am_gather_columns. src: dst.rows x n bytes, column-major; index: dst.cols entries below n, in backend
 *  memory, or NULL for columns 0, 1, ..; shift, factor: dst.rows x 1. */
void am_gather_columns_u8(am_ctx *ctx, am_mat dst, const uint8_t *src, const int32_t *index, am_mat shift,
                          am_mat factor);
/** Unbiased choice of the columns of r that matter: with |r_j|_1 the sum of sizes of column j and b the slot bt,
 *      p_j = clamp(|r_j|_1 / (2 b), 0.02, 1),  kept when u_j < p_j,  r_j <- r_j / p_j where kept,
 *  u_j uniform in [0, 1), the same on every backend: am_random_uniform(seed, slot counter, j) (formulas/random.h; counter a
 *  whole number below 2^32). index[0..count) <- the kept columns, ascending, the rest of its r.cols entries -1; slot count
 *  <- their number. A column that is not finite is kept as it is. r: rows x m, in and out (columns that are not kept stay
 *  as they were); index: m entries in backend memory. [METHODS.md 8, thinning]
 *
 *  Use, in a sweep whose shapes are fixed: compact by am_gather_columns(dst, src, index) into dst of capacity cols = m/4,
 *  m/2 or m, one set per capacity, chosen by am_branch on AM_SCALAR_WITHIN of count (lower, upper] =
 *  (-1, m/4], (m/4, m/2], (m/2, m]: exactly one holds. Columns past the count are zero, so every product over columns
 *  (r a', W'r, r r') is exactly that of the kept columns. The buffers of all three may be one memory. */
void am_thin(am_ctx *ctx, int32_t *index, am_slot count, am_mat r, am_slot bt, uint64_t seed,
             am_slot counter);
/** Output z step for cross-entropy, per column: z <- argmin lse(z) - z_label + rho/2 ||z - (p + b)||^2 from z.
 *  sum: three slots (AM_NO_SLOT to drop) for sum of lse(z) - z_label, ||z - m||^2, ||z - z_old||^2.
 *  row_sum: optional (rows x 1 or empty), row sums of the new z. */
void am_prox_softmax_columns(am_ctx *ctx, am_mat z, am_mat p, am_mat b, const int32_t *label, am_slot rho,
                             const am_slot sum[3], am_mat row_sum);

/* ------------------------------------------------------------------------------------------------ scalars and flow */

/** slot out <- formula id of the slots in[0..n_in); out may be one of them. */
void am_scalar(am_ctx *ctx, am_slot out, am_scalar_id id, const am_slot *in);
/** slots first.. <- value[0..n). */
void am_slots_write(am_ctx *ctx, am_slot first, size_t n, const double *value);
void am_slot_set(am_ctx *ctx, am_slot slot, double value);
/** value <- slots first..first+n. Waits for the backend; returns the sticky error. */
altmin_error am_slots_read(am_ctx *ctx, am_slot first, size_t n, double *value, altmin_status *st);
/** Run body(ctx, arg) if the slot is not 0 when the backend gets there: a decision of the backend, not of the host. The
 *  body may be recorded without being run, so it must only issue ops. */
void am_branch(am_ctx *ctx, am_slot condition, void (*body)(am_ctx *ctx, void *arg), void *arg);

/** Run task(lane, i, arg) for i = 0..n-1, the tasks possibly at the same time, and return when all are issued (on the host
 *  backends: done). Tasks must not read what another one writes: neither matrices nor slots. A task issues its ops on the
 *  `lane` it is given, never on ctx. The bits are those of running the tasks one after the other on ctx: on cpu a lane is
 *  one thread with one BLAS thread, on cuda a stream that starts after what ctx has issued and that ctx waits for. The
 *  error kept is that of the lowest task that failed. A task only issues ops (am_branch too): it begins no sweep, takes
 *  neither memory nor slots, reads nothing back. am_lanes called from a task runs its tasks in turn. */
void am_lanes(am_ctx *ctx, size_t n, am_task *task, void *arg);

/** Run a sweep: issue(arg) issues its ops, unless a recording under the same key is replayed instead. `key` names
 *  everything the host decides about what is launched (buffer parity, schedule). issue leaves the host's state as it found
 *  it: when recording fails, the same ops are issued once more and run one by one (cuda then goes on so, and says it in
 *  ctx->detail). Not after an error. */
void am_sweep(am_ctx *ctx, uint64_t key, void (*issue)(void *arg), void *arg);

/* ------------------------------------------------------------------------------------------------ for tables */

extern const am_ops am_ops_ref, am_ops_cpu;
extern const am_ops am_ops_cuda; /* in builds with ALTMIN_HAVE_CUDA */
/** The table entry `lanes` of backends that have one lane: all tasks in turn on ctx. */
void am_lanes_in_turn(am_ctx *ctx, size_t n, am_task *task, void *arg);
/** Make a lane ready for the tasks of one am_lanes: it takes ctx's label and number of slots, and has counted nothing yet.
 *  Its ops, impl and n_threads are the table's business. */
void am_lane_start(am_ctx *lane, const am_ctx *ctx);
/** Add what the lane has counted to ctx. */
void am_lane_join(am_ctx *ctx, const am_ctx *lane);
/** Number of inputs of a scalar formula; number of inputs, outputs, ... of a map. */
int am_scalar_n_in(am_scalar_id id);
typedef struct am_map_signature {
    const char *name;
    int uses_act, n_in, has_row, n_coef, n_out, n_sum, n_max;
} am_map_signature;
const am_map_signature *am_map_signature_of(am_map_id id);
/** Evaluate a scalar formula on the host. */
double am_scalar_eval(am_scalar_id id, const double *x);

#endif
