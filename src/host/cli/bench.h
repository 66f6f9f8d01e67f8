/* What the two benchmarks share: timing a case, the machine's ceilings, JSON files. */
#ifndef AM_BENCH_H
#define AM_BENCH_H

#include <cjson/cJSON.h>

#include "host/train/settings.h"
#include "kernels/cases.h"

int am_bench_ops(int argc, char **argv);
int am_bench_sweep(int argc, char **argv);

/** Times of one case. */
typedef struct am_bench_time {
    double best_s, median_s;
    double flops, n_bytes; /* of one call, counted from shapes */
} am_bench_time;

/** Run a case until enough_s seconds were measured, at least 3 and at most 200 times. Each run starts from the same
 *  operands, and ends when the backend has finished it. */
altmin_error am_bench_case(am_ctx *ctx, const am_case *run, double enough_s, am_bench_time *time,
                           altmin_status *st);

/** Best rates seen on this machine with this backend. */
typedef struct am_bench_ceilings {
    double gemm; /* flop/s of a square product of 2048 */
    double copy; /* bytes/s of a copy far larger than any cache, read + written */
} am_bench_ceilings;
altmin_error am_bench_ceilings_measure(am_ctx *ctx, am_bench_ceilings *ceilings, altmin_status *st);

/** {"version", "machine", "backend", "backend_detail", "threads"}. NULL when memory is not there. */
cJSON *am_bench_json_header(const am_ctx *ctx, const char *bench);
/** Write `root` to `path` in one step and delete it. NULL root: a memory error. */
altmin_error am_bench_json_write(cJSON *root, const char *path, altmin_status *st);

/** Options for opening the backend that the settings ask for. */
am_open_options am_bench_open_options(const altmin_settings *settings);
double am_bench_now_s(void);
int am_bench_compare_doubles(const void *a, const void *b);
#endif
