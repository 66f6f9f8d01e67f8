/* What the files of the cpu backend share: cpu.c (life, products, small systems, the table), cpu_product.c (dense products),
 * cpu_map.c (elementwise passes and row sums), cpu_columns.c (softmax), cpu_prox.c (its prox), cpu_basis.c (eigenvectors,
 * orthonormal columns), cpu_chunk.c (gathering and thinning columns) and cpu_lanes.c (tasks). */
#ifndef AM_CPU_H
#define AM_CPU_H

#include "kernels/backend.h"
#include "kernels/ref.h"

/** State of a cpu context. */
typedef struct am_cpu_state {
    am_host_state host;  /* first: what is shared with ref works on it */
    int gram_by_gemm;    /* the choice made at open */
    size_t n_processors; /* of the machine, whatever --threads says: how finely products are cut */
    size_t n_blas;       /* threads that may call BLAS at once */
    struct am_cpu_lane *lane;
    size_t n_lanes; /* opened when first asked for, kept until close */
} am_cpu_state;

/* Below this many memory accesses (floats read + written) a pass runs on one thread: waking the others costs
 * more. */
#define AM_CPU_SERIAL_FLOATS 65536

/* Hot loops are compiled for AVX-512, AVX2 and plain x86-64 and chosen when the program is loaded, so that
 * one binary runs everywhere and is fast where it can be. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define AM_CPU_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define AM_CPU_CLONES
#endif

/** Threads for a pass over n floats of memory traffic. */
static inline int am_cpu_threads(const am_ctx *ctx, size_t n_floats)
{
    return n_floats < AM_CPU_SERIAL_FLOATS ? 1 : (int)ctx->n_threads;
}

/** Threads for n_tasks tasks that call BLAS. */
static inline int am_cpu_blas_threads(const am_ctx *ctx, size_t n_tasks)
{
    size_t n = ((const am_cpu_state *)ctx->impl)->n_blas;
    if (n > ctx->n_threads) n = ctx->n_threads;
    return (int)(n_tasks < n ? n_tasks : n);
}

/** Between enter and leave OpenBLAS runs every call on the thread that makes it; leave gives the embedding
 * program its OpenMP setting back. */
typedef struct am_blas_guard {
    int omp_threads;
} am_blas_guard;
am_blas_guard am_cpu_blas_enter(void);
void am_cpu_blas_leave(am_blas_guard guard);
/** BLAS counts in int: 1 when m fits, else a sticky failure and 0. */
int am_cpu_blas_fits(am_ctx *ctx, const char *op, am_mat m);

/* Entries of the table that live in the other files; meanings in backend.h. */
void am_cpu_gemm(am_ctx *ctx, am_mat c, float alpha, am_mat a, int ta, am_mat b, int tb, float beta);
void am_cpu_gram(am_ctx *ctx, am_mat g, am_mat a, int ta);
void am_cpu_copy(am_ctx *ctx, am_mat dst, am_mat src);
void am_cpu_fill(am_ctx *ctx, am_mat dst, float value);
void am_cpu_map(am_ctx *ctx, am_map_id id, int act, const am_map_args *args);
void am_cpu_row_sum(am_ctx *ctx, am_mat v, am_mat x);
void am_cpu_softmax_loss(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat p, am_mat b,
                         const int32_t *label);
void am_cpu_softmax_residual(am_ctx *ctx, am_slot loss, am_slot n_correct, am_mat d, am_mat p, am_mat b,
                             const int32_t *label, float scale);
void am_cpu_eigh(am_ctx *ctx, am_mat values, am_mat vectors, am_mat a);
void am_cpu_orthonormalise(am_ctx *ctx, am_mat v);
void am_cpu_gather_columns(am_ctx *ctx, am_mat dst, am_mat src, const int32_t *index);
void am_cpu_gather_columns_u8(am_ctx *ctx, am_mat dst, const uint8_t *src, const int32_t *index, am_mat shift,
                              am_mat factor);
void am_cpu_thin(am_ctx *ctx, int32_t *index, am_slot count, am_mat r, am_slot bt, uint64_t seed,
                 am_slot counter);
void am_cpu_prox_softmax(am_ctx *ctx, am_mat z, am_mat p, am_mat b, const int32_t *label, am_slot rho,
                         const am_slot *sum, am_mat row_sum);
void am_cpu_lanes(am_ctx *ctx, size_t n, am_task *task, void *arg);
/** Release the lanes. */
void am_cpu_lanes_close(am_cpu_state *state);
#endif
