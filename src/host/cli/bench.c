/* `altmin bench`: the verb and what its benchmarks share; bench.h. */
#include "host/cli/bench.h"
#include "host/cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "host/io/file.h"
#include "host/io/machine.h"

/* ------------------------------------------------------------------------------------------- the verb */

static int print_usage(FILE *out)
{
    fprintf(out, "usage: altmin bench ops [options]\n"
                 "       altmin bench sweep [options]\n"
                 "       altmin bench compare [options]\n"
                 "       altmin bench tta [options]\n\n"
                 "  ops      measure every operation against this machine's product and copy rates\n"
                 "  sweep    measure a method's sweep against the time of its products alone\n"
                 "  compare  run the same problem on two backends: speed and agreement\n"
                 "  tta      time to accuracy of methods on the same network and data\n\n"
                 "altmin bench ops --help and so on list the options.\n");
    return out == stdout ? am_cli_flush("bench") : AM_EXIT_USAGE;
}

int am_cli_bench(int argc, char **argv)
{
    if (argc < 2) return print_usage(stderr);
    const char *what = argv[1];
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) return print_usage(stdout);
    if (strcmp(what, "ops") == 0) return am_bench_ops(argc - 1, argv + 1);
    if (strcmp(what, "sweep") == 0) return am_bench_sweep(argc - 1, argv + 1);
    if (strcmp(what, "compare") == 0) return am_bench_compare(argc - 1, argv + 1);
    if (strcmp(what, "tta") == 0) return am_bench_tta(argc - 1, argv + 1);
    static const char *const names[] = {"ops", "sweep", "compare", "tta", NULL};
    const char *nearest = am_nearest_word(what, names);
    fprintf(stderr, "altmin bench: there is no benchmark '%.60s'; %s%s\n", what,
            nearest ? "did you mean " : "say ops, sweep, compare or tta", nearest ? nearest : "");
    return AM_EXIT_USAGE;
}

/* ------------------------------------------------------------------------------------------- timing */

double am_bench_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int am_bench_compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { MIN_RUNS = 3, MAX_RUNS = 200 };

static altmin_error wait_for(am_ctx *ctx, altmin_status *st)
{
    double value;
    return am_slots_read(ctx, 0, 1, &value, st);
}

/* Ops that start from what the last run left would have nothing left to do, or run away. */
static int needs_fresh_operands(am_op op)
{
    return op == AM_OP_PROX || op == AM_OP_SOLVE;
}

static altmin_error measure(am_rig *rig, double enough_s, am_bench_time *time, altmin_status *st)
{
    double spent[MAX_RUNS], total = 0.0;
    int n = 0;
    am_rig_run(rig); /* warms up: scratch is taken, pages are touched */
    if (wait_for(rig->ctx, st)) return st->code;
    while (n < MAX_RUNS && (n < MIN_RUNS || total < enough_s)) {
        if (needs_fresh_operands(rig->run.op)) am_rig_reset(rig);
        if (wait_for(rig->ctx, st)) return st->code;
        am_profile_reset(rig->ctx);
        const double start_s = am_bench_now_s();
        am_rig_run(rig);
        if (wait_for(rig->ctx, st)) return st->code;
        spent[n] = am_bench_now_s() - start_s;
        total += spent[n++];
    }
    for (int op = 0; op < AM_N_OPS; op++) {
        time->flops += rig->ctx->stat[op].flops;
        time->n_bytes += rig->ctx->stat[op].n_bytes;
    }
    qsort(spent, (size_t)n, sizeof *spent, am_bench_compare_doubles);
    time->best_s = spent[0];
    time->median_s = spent[n / 2];
    return ALTMIN_OK;
}

altmin_error am_bench_case(am_ctx *ctx, const am_case *run, double enough_s, am_bench_time *time,
                           altmin_status *st)
{
    am_rig rig;
    *time = (am_bench_time){0};
    if (am_rig_open(&rig, ctx, run, st)) return st->code;
    const altmin_error error = measure(&rig, enough_s, time, st);
    am_rig_close(&rig);
    return error;
}

static am_case kind_named(const char *name)
{
    for (size_t i = 0; i < am_n_case_kinds(); i++) {
        const am_case c = am_case_kind(i);
        if (strcmp(c.name, name) == 0) return c;
    }
    return (am_case){.op = AM_N_OPS};
}

altmin_error am_bench_ceilings_measure(am_ctx *ctx, am_bench_ceilings *ceilings, altmin_status *st)
{
    am_bench_time time;
    am_case gemm = kind_named("gemm NN"), copy = kind_named("copy");
    gemm.m = gemm.n = gemm.k = 2048;
    if (am_bench_case(ctx, &gemm, 1.0, &time, st)) return st->code;
    ceilings->gemm = time.flops / time.best_s;
    copy.m = 1024, copy.n = 65536; /* 256 MiB each way */
    if (am_bench_case(ctx, &copy, 0.5, &time, st)) return st->code;
    ceilings->copy = time.n_bytes / time.best_s;
    return ALTMIN_OK;
}

/* ------------------------------------------------------------------------------------------- JSON */

cJSON *am_bench_json_new(const char *bench)
{
    struct utsname name;
    char cpu[128];
    cJSON *root = cJSON_CreateObject();
    if (!root) return NULL;
    am_machine_cpu(cpu, sizeof cpu);
    cJSON_AddStringToObject(root, "bench", bench);
    cJSON_AddStringToObject(root, "version", altmin_version());
    cJSON_AddStringToObject(root, "machine", uname(&name) == 0 ? name.machine : "unknown");
    cJSON_AddStringToObject(root, "cpu", cpu);
    return root;
}

cJSON *am_bench_json_header(const am_ctx *ctx, const char *bench)
{
    cJSON *root = am_bench_json_new(bench);
    if (!root) return NULL;
    cJSON_AddStringToObject(root, "backend", ctx->ops->name);
    cJSON_AddStringToObject(root, "backend_detail", ctx->detail);
    cJSON_AddNumberToObject(root, "threads", (double)ctx->n_threads);
    return root;
}

static altmin_error write_text(FILE *f, void *user, altmin_status *st)
{
    if (fputs(user, f) < 0 || fputc('\n', f) == EOF)
        return am_fail(st, ALTMIN_ERR_IO, "the benchmark's JSON cannot be written");
    return ALTMIN_OK;
}

altmin_error am_bench_json_write(cJSON *root, const char *path, altmin_status *st)
{
    char *text = root ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (!text) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the benchmark's JSON");
    const altmin_error error = am_file_replace(path, write_text, text, st);
    cJSON_free(text);
    return error;
}

am_open_options am_bench_open_options(const altmin_settings *s)
{
    return (am_open_options){.n_threads = s->threads,
                             .gram = (am_gram_rule)s->gram,
                             .precision = (am_precision)s->precision,
                             .launch = (am_launch)s->launch};
}
