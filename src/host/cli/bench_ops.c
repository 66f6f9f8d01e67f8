/* `altmin bench ops`: every kind of case (kernels/cases.h), at sizes of real layers, against the machine's ceilings. */
#include "host/cli/args.h"
#include "host/cli/bench.h"
#include "host/cli/cli.h"
#include "host/cli/help.h"

#include <stdlib.h>
#include <string.h>

enum { OPT_JSON, OPT_SAMPLES, OPT_WIDTHS, OPT_FILTER, OPT_SECONDS };

static const am_option options[] = {
    [OPT_JSON] = {0, "json", "FILE", "write all measurements as one JSON object"},
    [OPT_SAMPLES] = {0, "samples", "N", "samples, the long side of products and passes [default 20000]"},
    [OPT_WIDTHS] = {0, "widths", "LIST",
                    "layer widths of products; passes use the last one [default 100,300,1000]"},
    [OPT_FILTER] = {0, "filter", "TEXT",
                    "only cases whose name contains this, e.g. gemm, box_z, 'a_step relu'"},
    [OPT_SECONDS] = {0, "seconds", "S", "measure each case for about this long [default 0.2]"},
};

static const char *const settings[] = {"backend", "threads", "gram", "precision", "launch", NULL};

static const am_syntax syntax = {
    .verb = "bench ops",
    .usage = "[options]",
    .summary = "Measure every operation. Rates come from the best run; a share is that of the machine's "
               "ceiling: its product "
               "rate for products, its copy rate for passes over memory.",
    .option = options,
    .n_options = sizeof options / sizeof *options,
    .setting = settings,
};

/* A run of the benchmark. */
typedef struct job {
    am_ctx *ctx;
    am_bench_ceilings ceilings;
    size_t n_samples, n_widths, width[AM_MAX_HIDDEN];
    const char *filter;
    double enough_s;
    cJSON *rows; /* NULL: no JSON asked for */
} job;

/* ------------------------------------------------------------------------------------------- one case */

/* Share of the ceiling that limits this op: the nearer one. */
static double share_of(const job *j, const am_bench_time *t)
{
    const double compute_s = t->flops / j->ceilings.gemm, memory_s = t->n_bytes / j->ceilings.copy;
    return (compute_s > memory_s ? compute_s : memory_s) / t->best_s;
}

static void shape_text(char *text, size_t room, const am_case *c)
{
    if (c->k)
        snprintf(text, room, "%zu x %zu x %zu", c->m, c->n, c->k);
    else
        snprintf(text, room, "%zu x %zu", c->m, c->n);
}

static void add_row(const job *j, const am_case *c, const am_bench_time *t)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "name", c->name);
    cJSON_AddStringToObject(row, "op", am_op_name(c->op));
    cJSON_AddNumberToObject(row, "m", (double)c->m);
    cJSON_AddNumberToObject(row, "n", (double)c->n);
    cJSON_AddNumberToObject(row, "k", (double)c->k);
    cJSON_AddNumberToObject(row, "time_s", t->best_s);
    cJSON_AddNumberToObject(row, "median_s", t->median_s);
    cJSON_AddNumberToObject(row, "gflops", 1e-9 * t->flops / t->best_s);
    cJSON_AddNumberToObject(row, "gb_per_s", 1e-9 * t->n_bytes / t->best_s);
    cJSON_AddNumberToObject(row, "share", share_of(j, t));
    cJSON_AddItemToArray(j->rows, row);
}

static altmin_error run_case(const job *j, const am_case *c, altmin_status *st)
{
    am_bench_time t;
    char shape[64], flops[16] = "-";
    if (am_bench_case(j->ctx, c, j->enough_s, &t, st)) return st->code;
    shape_text(shape, sizeof shape, c);
    if (t.flops > 0.0) snprintf(flops, sizeof flops, "%.1f", 1e-9 * t.flops / t.best_s);
    printf("%-24s %-20s %10.3f %10.3f %9s %8.1f %6.0f %%\n", c->name, shape, 1e3 * t.best_s, 1e3 * t.median_s,
           flops, 1e-9 * t.n_bytes / t.best_s, 100.0 * share_of(j, &t));
    fflush(stdout);
    if (j->rows) add_row(j, c, &t);
    return ALTMIN_OK;
}

/* ------------------------------------------------------------------------------------------- sizes */

static altmin_error run_products(const job *j, am_case c, altmin_status *st)
{
    for (size_t i = 0; i < j->n_widths; i++) {
        const size_t d = j->width[i], n = j->n_samples;
        /* W a; z a'; W'R; and small ones. */
        c.m = d, c.n = c.ta == c.tb ? n : (c.tb ? d : n), c.k = c.tb && !c.ta ? n : d;
        if (c.op == AM_OP_GRAM) c.n = 0, c.k = c.ta ? d : n;
        if (c.op == AM_OP_GEMM && c.ta && c.tb) c.n = d;
        if (run_case(j, &c, st)) return st->code;
    }
    return ALTMIN_OK;
}

static altmin_error run_systems(const job *j, am_case c, altmin_status *st)
{
    for (size_t i = 0; i < j->n_widths; i++) {
        c.m = c.n = j->width[i];
        if (run_case(j, &c, st)) return st->code;
    }
    return ALTMIN_OK;
}

static altmin_error run_kind(const job *j, am_case c, altmin_status *st)
{
    enum { CLASSES = 10, BASIS = 16 };
    const size_t last = j->width[j->n_widths - 1];
    switch (c.op) {
    case AM_OP_GEMM:
    case AM_OP_GRAM: return run_products(j, c, st);
    case AM_OP_CHOLESKY:
    case AM_OP_SOLVE:
    case AM_OP_EIGH:
    case AM_OP_NORM: return run_systems(j, c, st);
    case AM_OP_SPARSE: /* inputs such as word counts: many features, one in a hundred not zero */
        c.density = 0.01;
        c.m = c.variant ? last : j->width[0], c.n = c.ta ? last : j->n_samples,
        c.k = c.ta || c.variant ? j->n_samples : last;
        if (c.variant && c.ta) c.k = last;
        return run_case(j, &c, st);
    case AM_OP_BASIS: c.m = last, c.n = last < BASIS ? last : BASIS; return run_case(j, &c, st);
    case AM_OP_SOFTMAX:
    case AM_OP_THIN:
    case AM_OP_PROX: c.m = CLASSES, c.n = j->n_samples; return run_case(j, &c, st);
    default: c.m = last, c.n = j->n_samples; return run_case(j, &c, st);
    }
}

static altmin_error run_all(const job *j, altmin_status *st)
{
    printf("%-24s %-20s %10s %10s %9s %8s %8s\n", "case", "shape", "best ms", "median ms", "GFLOP/s", "GB/s",
           "ceiling");
    size_t n = 0;
    for (size_t i = 0; i < am_n_case_kinds(); i++) {
        const am_case c = am_case_kind(i);
        if (j->filter && !strstr(c.name, j->filter)) continue;
        if (run_kind(j, c, st)) return st->code;
        n++;
    }
    if (!n) return am_fail(st, ALTMIN_ERR_USAGE, "--filter: no case has '%.60s' in its name", j->filter);
    return ALTMIN_OK;
}

/* ------------------------------------------------------------------------------------------- the verb */

static altmin_error read_count(const char *text, const char *option, size_t fallback, size_t *count,
                               altmin_status *st)
{
    char *end;
    *count = fallback;
    if (!text) return ALTMIN_OK;
    const double x = strtod(text, &end);
    if (end == text || *end || !(x >= 1 && x <= 1e9) || x != (double)(size_t)x)
        return am_fail(st, ALTMIN_ERR_USAGE, "--%s: '%.60s' is not a whole number from 1 to 1e9", option,
                       text);
    *count = (size_t)x;
    return ALTMIN_OK;
}

static altmin_error read_widths(job *j, const char *text, altmin_status *st)
{
    while (j->n_widths < AM_MAX_HIDDEN) {
        char *end;
        const unsigned long long width = strtoull(text, &end, 10);
        if (end == text || width < 1 || width > 1000000 || (*end && *end != ','))
            return am_fail(st, ALTMIN_ERR_USAGE,
                           "--widths: '%.60s' does not begin with a width from 1 to 1000000", text);
        j->width[j->n_widths++] = (size_t)width;
        if (!*end) return ALTMIN_OK;
        text = end + 1;
    }
    return am_fail(st, ALTMIN_ERR_USAGE, "--widths: more than %d widths", AM_MAX_HIDDEN);
}

static altmin_error read_options(job *j, const am_args *args, altmin_status *st)
{
    const char *const *value = args->value;
    j->filter = value[OPT_FILTER];
    j->enough_s = 0.2;
    if (read_count(value[OPT_SAMPLES], "samples", 20000, &j->n_samples, st)) return st->code;
    if (read_widths(j, value[OPT_WIDTHS] ? value[OPT_WIDTHS] : "100,300,1000", st)) return st->code;
    if (value[OPT_SECONDS]) {
        char *end;
        j->enough_s = strtod(value[OPT_SECONDS], &end);
        if (end == value[OPT_SECONDS] || *end || !(j->enough_s >= 0 && j->enough_s <= 3600))
            return am_fail(st, ALTMIN_ERR_USAGE, "--seconds: '%.60s' is not a number from 0 to 3600",
                           value[OPT_SECONDS]);
    }
    return ALTMIN_OK;
}

static altmin_error bench(job *j, const am_args *args, altmin_status *st)
{
    const am_open_options open = am_bench_open_options(args->settings);
    const char *json = args->value[OPT_JSON];
    cJSON *root = NULL;
    if (read_options(j, args, st)) return st->code;
    if (am_backend_open(&j->ctx, (am_backend_kind)args->settings->backend, &open, st)) return st->code;
    am_slots_new(j->ctx, 1); /* the one that is read to wait for the backend */
    if (am_bench_ceilings_measure(j->ctx, &j->ceilings, st)) return st->code;
    printf("backend   %s (%s), %zu threads\n", j->ctx->ops->name, j->ctx->detail, j->ctx->n_threads);
    printf("ceilings  products %.1f GFLOP/s, copy %.1f GB/s\n\n", 1e-9 * j->ceilings.gemm,
           1e-9 * j->ceilings.copy);
    if (json) {
        root = am_bench_json_header(j->ctx, "ops");
        cJSON_AddNumberToObject(root, "gemm_gflops", 1e-9 * j->ceilings.gemm);
        cJSON_AddNumberToObject(root, "copy_gb_per_s", 1e-9 * j->ceilings.copy);
        j->rows = cJSON_AddArrayToObject(root, "cases");
    }
    const altmin_error error = run_all(j, st);
    if (error) {
        cJSON_Delete(root);
        return error;
    }
    return json ? am_bench_json_write(root, json, st) : ALTMIN_OK;
}

int am_bench_ops(int argc, char **argv)
{
    am_args args;
    altmin_status st = {0};
    job j = {0};
    int code = AM_EXIT_OK;
    if (am_args_parse(&args, &syntax, argc, argv, &st)) return am_cli_fail(syntax.verb, &st);
    if (args.help)
        am_help_print(stdout, &syntax);
    else if (bench(&j, &args, &st))
        code = am_cli_fail(syntax.verb, &st);
    am_backend_close(j.ctx);
    am_args_free(&args);
    return code ? code : am_cli_flush(syntax.verb);
}
