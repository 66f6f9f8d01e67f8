/* One runnable instance of every op: operands of a given shape filled with seeded random numbers, the call,
 * its results. The conformance test runs these cases on every backend against ref, `altmin bench ops`
 * measures the same cases; a new op, map or activation appears in both by itself (a new op after adding it
 * here). */
#ifndef AM_CASES_H
#define AM_CASES_H

#include "kernels/backend.h"

/** What to run. am_case_kind fills kind, name and the op's own switches; sizes and options are the caller's.
 */
typedef struct am_case {
    am_op op;
    char name[48]; /* "gemm NT", "box_z tanh" */
    int ta, tb;    /* gemm, gram, spmm (ta: X transposed) */
    am_map_id map; /* AM_OP_MAP */
    int act;
    int variant;    /* 1: COPY is fill, UPLOAD upload_u8, SPARSE gram_sparse, SOFTMAX softmax_residual, GATHER
                          gather_columns_u8 */
    size_t m, n, k; /* see am_case_kind */
    float alpha, beta; /* gemm, spmm; softmax_residual (alpha: scale) */
    double rho;        /* prox_softmax; thin (bt in units of half a column's mean size) */
    double density;    /* spmm */
    int row_sum;       /* maps with an output, prox: row sums as well */
    int alias;    /* maps with in- and outputs: the first output is the last input; softmax_residual; eigh */
    int no_index; /* gather_columns_u8: columns as they stand */
    int no_sums;  /* drop all sums */
    int misalign; /* operands start at odd addresses (multiples of 4 bytes only) */
    uint64_t seed;
} am_case;

/** Number of kinds: every op, every map, for maps with an activation every activation, every transposition.
 */
size_t am_n_case_kinds(void);
/** Kind i, with alpha 1, beta 0, rho 1, density 0.1. Sizes mean
 *  gemm: C m x n, inner k. gram, gram_sparse: m x m from a sum of k terms. spmm: C m x n, A m x k. cholesky:
 * m x m. solve_right: B n x m, factor of m x m. norm2: W m x n. eigh: m x m. All others: matrices m x n. */
am_case am_case_kind(size_t i);

#define AM_CASE_MAX_OPERANDS 12
#define AM_CASE_MAX_SUMS     (AM_MAP_MAX_SUM + 1)
#define AM_CASE_GUARD        64         /* floats of AM_CASE_SENTINEL on both sides of every operand */
#define AM_CASE_SENTINEL     0x7fc0dead /* a NaN */

/** An operand in guarded memory. Outputs start as sentinels, so that what is not written shows. */
typedef struct am_operand {
    const char *name; /* "A", "x2", "row sums" */
    am_mat mat;       /* in backend memory */
    int is_output;
    float *memory;  /* backend memory with guards */
    float *initial; /* host: all of memory as it was before the op */
    size_t len;     /* floats in memory, guards included */
    size_t first;   /* of mat in memory */
} am_operand;

/** A case with its operands on a backend. */
typedef struct am_rig {
    am_ctx *ctx;
    am_case run;
    am_operand operand[AM_CASE_MAX_OPERANDS];
    size_t n_operands;
    am_slot coef, sum; /* first slots of coefficients and of results */
    size_t n_coef, n_sums;
    double coefficient[AM_MAP_MAX_COEF];
    void *bytes
        [3]; /* labels, or index and bytes to gather, or the sparse matrix's start, row, value, in backend
                       memory */
    size_t n_bytes[3];
    float *transfer; /* the host's end of an upload or download */
    int32_t *label;  /* host copies */
    size_t *start;
    int32_t *row;
    float *value;
    am_csc sparse; /* in backend memory */
} am_rig;

/** Take memory and make operands in it, on the host; am_rig_open calls it. Returns 1 when it worked. */
int am_rig_build(am_rig *rig, altmin_status *st);
/** x <- n random numbers in [-2, 2) of stream `stream`. */
void am_rig_random(const am_rig *rig, uint64_t stream, float *x, size_t n);
/** Take memory, make operands (the same numbers on every backend) and upload them. */
altmin_error am_rig_open(am_rig *rig, am_ctx *ctx, const am_case *run, altmin_status *st);
/** Put all operands and result slots back to their start. */
void am_rig_reset(am_rig *rig);
/** Issue the op once. */
void am_rig_run(am_rig *rig);
/** host <- operand i's memory with guards (operand[i].len floats). */
altmin_error am_rig_read(am_rig *rig, size_t i, float *host, altmin_status *st);
/** value <- the n_sums result slots. */
altmin_error am_rig_sums(am_rig *rig, double *value, altmin_status *st);
/** Release everything the rig took; slots stay used. */
void am_rig_close(am_rig *rig);
#endif
