/* What the benchmarks share: data, timing a case, the machine's ceilings, JSON files. */
#ifndef AM_BENCH_H
#define AM_BENCH_H

#include <cjson/cJSON.h>

#include "host/cli/args.h"
#include "host/data/data.h"
#include "kernels/cases.h"

int am_bench_ops(int argc, char **argv);
int am_bench_sweep(int argc, char **argv);
int am_bench_compare(int argc, char **argv);
int am_bench_tta(int argc, char **argv);

/** The option of those that train for data of a shape. */
#define AM_BENCH_SHAPE_OPTION                                                                                \
    {                                                                                                        \
        0, "shape", "N,D,C",                                                                                 \
            "make up N samples of D bytes in C classes instead of reading data [default 60000,784,10, the "  \
            "shape of Fashion-MNIST, when --data is not given]"                                              \
    }
/** Open what --data names, with its test data unless test is NULL, or make up data of `shape` (NULL: the default). Made-up
 * data have no test part. Both at once are a usage error. The data are the caller's, also after an error. */
altmin_error am_bench_data(altmin_data **train, altmin_data **test, const am_args *args, const char *shape,
                           altmin_status *st);

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

/** {"bench", "version", "machine", "cpu"}. NULL when memory is not there. */
cJSON *am_bench_json_new(const char *bench);
/** The same with "backend", "backend_detail", "threads". */
cJSON *am_bench_json_header(const am_ctx *ctx, const char *bench);
/** Write `root` to `path` in one step and delete it. NULL root: a memory error. */
altmin_error am_bench_json_write(cJSON *root, const char *path, altmin_status *st);

/** Options for opening the backend that the settings ask for. */
am_open_options am_bench_open_options(const altmin_settings *settings);
double am_bench_now_s(void);
int am_bench_compare_doubles(const void *a, const void *b);
#endif
