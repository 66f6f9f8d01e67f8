/* `altmin bench sweep`: a method's sweep against the time of its sample-sized products alone.
 *
 * Sample-sized products are those with one dimension as long as the batch (all training samples for methods that sweep
 * over everything). Their floor: flops over the rate at which this machine forms W a for the same widths, measured
 * afterwards on the same backend; Gram products count d (d + 1) n flops. The strict floor takes the best rate of all, that
 * of a large square product. The first sweep is not counted: it forms what stays constant. */
#include "host/cli/args.h"
#include "host/cli/bench.h"
#include "host/cli/cli.h"
#include "host/cli/help.h"
#include "host/cli/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "host/train/trainer.h"

enum { OPT_JSON, OPT_SHAPE };

static const am_option options[] = {
    [OPT_JSON] = {0, "json", "FILE", "write the result as one JSON object"},
    [OPT_SHAPE] = AM_BENCH_SHAPE_OPTION,
};

static const am_syntax syntax = {
    .verb = "bench sweep",
    .usage = "[--data DATA | --shape N,D,C] [options]",
    .summary = "Measure a method's sweep: seconds, the floor that its sample-sized products set, time by "
               "operation, memory.",
    .option = options,
    .n_options = sizeof options / sizeof *options,
    .all_settings = 1,
    .notes = "Unless given here: --sweeps 8, --valid 0, and no evaluation but the last.\n",
};

static const char *const defaults[] = {"sweeps", "8", "valid", "0", "eval-every", "1000000000", NULL};

/* A product that a sweep forms. */
typedef struct product {
    am_product_stat stat;
    double per_sweep, flops; /* calls; flops of one */
    double rate;             /* of W a at its widths */
} product;

typedef struct job {
    am_args args;
    altmin_data *data;
    altmin_trainer *trainer;
    size_t n_samples, n_layers, batch;
    double spent[1024]; /* of counted sweeps */
    double last_s;      /* time at the end of the sweep before */
    size_t n_spent;
    size_t plan_bytes, peak_bytes, start_bytes;
    am_op_stat stat[AM_N_OPS];
    product product[AM_MAX_PRODUCT_STATS];
    size_t n_products; /* sample-sized ones */
    am_ctx *ctx;       /* of the rates */
    am_bench_ceilings ceilings;
    double sweep_s, floor_s, strict_floor_s, equivalents;
} job;

/* ------------------------------------------------------------------------------------------- sweeps */

static size_t peak_bytes(void)
{
    struct rusage use;
    return getrusage(RUSAGE_SELF, &use) == 0 ? (size_t)use.ru_maxrss * 1024 : 0;
}

/* The first sweep warms up: counting starts after it. */
static int note_sweep(void *user, const altmin_sweep_report *report, const am_layer_report *layer,
                      size_t n_layers)
{
    job *j = user;
    (void)layer, (void)n_layers;
    if (report->sweep == 1)
        am_profile_reset(j->trainer->ctx);
    else if (j->n_spent < sizeof j->spent / sizeof *j->spent)
        j->spent[j->n_spent++] = report->time_s - j->last_s;
    j->last_s = report->time_s;
    return 0;
}

static double product_flops(const am_product_stat *p)
{
    const double m = (double)p->m, n = (double)p->n, k = (double)p->k;
    return p->op == AM_OP_GRAM ? m * (m + 1.0) * k : 2.0 * m * n * k;
}

static void keep_counts(job *j)
{
    const am_ctx *ctx = j->trainer->ctx;
    memcpy(j->stat, ctx->stat, sizeof j->stat);
    for (size_t i = 0; i < ctx->n_products; i++) {
        const am_product_stat *p = &ctx->product[i];
        if (p->m != j->batch && p->n != j->batch && p->k != j->batch) continue;
        j->product[j->n_products++] =
            (product){.stat = *p, .flops = product_flops(p), .per_sweep = (double)p->n_calls};
    }
}

static altmin_error run_sweeps(job *j, altmin_status *st)
{
    const am_observer observer = {.sweep = note_sweep, .user = j};
    const am_run_result *result = NULL;
    j->start_bytes = peak_bytes();
    if (altmin_trainer_new(&j->trainer, j->args.settings, j->data, NULL, st)) return st->code;
    const am_run_info *info = am_trainer_info(j->trainer);
    j->n_samples = info->n_train, j->n_layers = info->n_layers, j->plan_bytes = info->plan_bytes;
    const size_t batch = info->settings->batch; /* a preset may have set it */
    const int steps_over_batches = strcmp(info->method, "sgd") == 0 || strcmp(info->method, "adam") == 0;
    j->batch = steps_over_batches && batch && batch < j->n_samples ? batch : j->n_samples;
    if (am_trainer_run(j->trainer, &observer, 1, NULL, &result, st)) return st->code;
    j->peak_bytes = peak_bytes();
    if (!j->n_spent) return am_fail(st, ALTMIN_ERR_USAGE, "one sweep warms up: --sweeps must be 2 or more");
    keep_counts(j);
    for (size_t i = 0; i < j->n_products; i++) j->product[i].per_sweep /= (double)j->n_spent;
    qsort(j->spent, j->n_spent, sizeof *j->spent, am_bench_compare_doubles);
    j->sweep_s = j->spent[j->n_spent / 2];
    return ALTMIN_OK;
}

/* ------------------------------------------------------------------------------------------- floor */

/* The layer a product belongs to, as the shape of its W: out x in. */
static void widths_of(const job *j, const product *p, size_t *out, size_t *in)
{
    const am_product_stat *s = &p->stat;
    if (s->op == AM_OP_GRAM)
        *out = *in = s->k == j->batch ? s->m : s->k;
    else if (s->n == j->batch) /* W a, or W'R */
        *out = s->ta ? s->k : s->m, *in = s->ta ? s->m : s->k;
    else if (s->k == j->batch) /* z a' */
        *out = s->m, *in = s->n;
    else
        *out = s->n, *in = s->k;
}

/* Rate of W a with W out x in and as many samples as memory for a short measurement allows. */
static altmin_error rate_at(job *j, size_t out, size_t in, double *rate, altmin_status *st)
{
    enum { MAX_FLOATS = 32 << 20 };
    const size_t wide = out > in ? out : in, most = MAX_FLOATS / wide;
    am_bench_time time;
    am_case c = {.op = AM_OP_GEMM, .name = "W a", .alpha = 1.0f, .m = out, .k = in};
    c.n = j->batch < most ? j->batch : (most ? most : 1);
    if (am_bench_case(j->ctx, &c, 0.3, &time, st)) return st->code;
    *rate = time.flops / time.best_s;
    return ALTMIN_OK;
}

static altmin_error rate_of(job *j, size_t i, altmin_status *st)
{
    size_t out, in, other_out, other_in;
    product *p = &j->product[i];
    widths_of(j, p, &out, &in);
    for (size_t k = 0; k < i; k++) {
        widths_of(j, &j->product[k], &other_out, &other_in);
        if (out == other_out && in == other_in) {
            p->rate = j->product[k].rate;
            return ALTMIN_OK;
        }
    }
    return rate_at(j, out, in, &p->rate, st);
}

static altmin_error find_floor(job *j, altmin_status *st)
{
    const altmin_settings *s = j->args.settings;
    const am_open_options open = am_bench_open_options(s);
    if (am_backend_open(&j->ctx, (am_backend_kind)s->backend, &open, st)) return st->code;
    am_slots_new(j->ctx, 1); /* the one that is read to wait for the backend */
    if (am_bench_ceilings_measure(j->ctx, &j->ceilings, st)) return st->code;
    for (size_t i = 0; i < j->n_products; i++) {
        product *p = &j->product[i];
        if (rate_of(j, i, st)) return st->code;
        j->floor_s += p->per_sweep * p->flops / p->rate;
        j->strict_floor_s += p->per_sweep * p->flops / j->ceilings.gemm;
        j->equivalents += p->per_sweep * (p->stat.op == AM_OP_GRAM ? 0.5 : 1.0);
    }
    return ALTMIN_OK;
}

/* ------------------------------------------------------------------------------------------- report */

static double op_total_s(const job *j)
{
    double total = 0.0;
    for (int op = 0; op < AM_N_OPS; op++) total += j->stat[op].time_s;
    return total;
}

/* Share of the counted sweeps that went into sample-sized products. */
static double product_share(const job *j)
{
    double products = 0.0, sweeps = 0.0;
    for (size_t i = 0; i < j->n_products; i++) products += j->product[i].stat.time_s;
    for (size_t i = 0; i < j->n_spent; i++) sweeps += j->spent[i];
    return products / sweeps;
}

static void print_products(const job *j)
{
    printf("\n%-8s %-22s %10s %12s %12s %9s\n", "product", "m x n x k", "a sweep", "GFLOP/s", "W a GFLOP/s",
           "floor ms");
    for (size_t i = 0; i < j->n_products; i++) {
        const product *p = &j->product[i];
        char shape[64], name[16];
        snprintf(name, sizeof name, "%s %c%c", am_op_name(p->stat.op), p->stat.ta ? 'T' : 'N',
                 p->stat.tb ? 'T' : 'N');
        snprintf(shape, sizeof shape, "%zu x %zu x %zu", p->stat.m, p->stat.n, p->stat.k);
        printf("%-8s %-22s %10.2f %12.1f %12.1f %9.2f\n", name, shape, p->per_sweep,
               1e-9 * p->flops * (double)p->stat.n_calls / p->stat.time_s, 1e-9 * p->rate,
               1e3 * p->per_sweep * p->flops / p->rate);
    }
}

static void print_ops(const job *j)
{
    const double total = op_total_s(j), n = (double)j->n_spent;
    printf("\n%-10s %10s %12s %8s %10s %8s\n", "operation", "a sweep", "ms a sweep", "share", "GFLOP/s",
           "GB/s");
    for (int op = 0; op < AM_N_OPS; op++) {
        const am_op_stat *s = &j->stat[op];
        if (!s->n_calls) continue;
        printf("%-10s %10.1f %12.3f %6.1f %% %10.1f %8.1f\n", am_op_name((am_op)op), (double)s->n_calls / n,
               1e3 * s->time_s / n, 100.0 * s->time_s / total, 1e-9 * s->flops / s->time_s,
               1e-9 * s->n_bytes / s->time_s);
    }
}

static void print_report(const job *j)
{
    const am_run_info *info = am_trainer_info(j->trainer);
    char widths[160], plan[32], peak[32], start[32];
    am_print_widths(widths, sizeof widths, info->width, info->n_layers);
    am_print_bytes(plan, sizeof plan, j->plan_bytes);
    am_print_bytes(peak, sizeof peak, j->peak_bytes);
    am_print_bytes(start, sizeof start, j->start_bytes);
    printf("method    %s, %s, %zu samples\n", info->method, widths, j->n_samples);
    printf("backend   %s (%s), %zu threads\n", info->backend, info->backend_detail, info->n_threads);
    printf("ceilings  products %.1f GFLOP/s, copy %.1f GB/s\n", 1e-9 * j->ceilings.gemm,
           1e-9 * j->ceilings.copy);
    print_products(j);
    print_ops(j);
    printf("\nsweep     %.2f ms (median of %zu; best %.2f, worst %.2f)\n", 1e3 * j->sweep_s, j->n_spent,
           1e3 * j->spent[0], 1e3 * j->spent[j->n_spent - 1]);
    printf("floor     %.2f ms: the sweep takes %.3f times that (%.3f times at the square product's rate)\n",
           1e3 * j->floor_s, j->sweep_s / j->floor_s, j->sweep_s / j->strict_floor_s);
    printf(
        "products  %.2f sample-sized a layer and sweep, a Gram product counted half; %.1f %% of the time\n",
        j->equivalents / (double)j->n_layers, 100.0 * product_share(j));
    printf("memory    peak %s, plan %s, %s before the plan was taken\n", peak, plan, start);
}

static cJSON *json_of(const job *j)
{
    const am_run_info *info = am_trainer_info(j->trainer);
    cJSON *root = am_bench_json_header(j->ctx, "sweep");
    cJSON_AddStringToObject(root, "method", info->method);
    cJSON *widths = cJSON_AddArrayToObject(root, "widths");
    for (size_t l = 0; l <= info->n_layers; l++)
        cJSON_AddItemToArray(widths, cJSON_CreateNumber((double)info->width[l]));
    cJSON_AddNumberToObject(root, "samples", (double)j->n_samples);
    cJSON_AddNumberToObject(root, "sweeps", (double)j->n_spent);
    cJSON_AddNumberToObject(root, "sweep_s", j->sweep_s);
    cJSON_AddNumberToObject(root, "sweep_best_s", j->spent[0]);
    cJSON_AddNumberToObject(root, "gemm_floor_s", j->floor_s);
    cJSON_AddNumberToObject(root, "ratio", j->sweep_s / j->floor_s);
    cJSON_AddNumberToObject(root, "strict_floor_s", j->strict_floor_s);
    cJSON_AddNumberToObject(root, "products_per_layer", j->equivalents / (double)j->n_layers);
    cJSON_AddNumberToObject(root, "product_share", product_share(j));
    cJSON_AddNumberToObject(root, "gemm_gflops", 1e-9 * j->ceilings.gemm);
    cJSON_AddNumberToObject(root, "copy_gb_per_s", 1e-9 * j->ceilings.copy);
    cJSON_AddNumberToObject(root, "peak_bytes", (double)j->peak_bytes);
    cJSON_AddNumberToObject(root, "plan_bytes", (double)j->plan_bytes);
    cJSON_AddNumberToObject(root, "start_bytes", (double)j->start_bytes);
    return root;
}

static void add_lists(const job *j, cJSON *root)
{
    cJSON *products = cJSON_AddArrayToObject(root, "products"), *ops = cJSON_AddArrayToObject(root, "ops");
    for (size_t i = 0; i < j->n_products; i++) {
        const product *p = &j->product[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "op", am_op_name(p->stat.op));
        cJSON_AddNumberToObject(item, "m", (double)p->stat.m);
        cJSON_AddNumberToObject(item, "n", (double)p->stat.n);
        cJSON_AddNumberToObject(item, "k", (double)p->stat.k);
        cJSON_AddNumberToObject(item, "per_sweep", p->per_sweep);
        cJSON_AddNumberToObject(item, "time_s", p->stat.time_s / (double)j->n_spent);
        cJSON_AddNumberToObject(item, "floor_s", p->per_sweep * p->flops / p->rate);
        cJSON_AddItemToArray(products, item);
    }
    for (int op = 0; op < AM_N_OPS; op++) {
        const am_op_stat *s = &j->stat[op];
        if (!s->n_calls) continue;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "op", am_op_name((am_op)op));
        cJSON_AddNumberToObject(item, "calls", (double)s->n_calls / (double)j->n_spent);
        cJSON_AddNumberToObject(item, "time_s", s->time_s / (double)j->n_spent);
        cJSON_AddNumberToObject(item, "share", s->time_s / op_total_s(j));
        cJSON_AddNumberToObject(item, "flops", s->flops / (double)j->n_spent);
        cJSON_AddNumberToObject(item, "bytes", s->n_bytes / (double)j->n_spent);
        cJSON_AddItemToArray(ops, item);
    }
}

/* ------------------------------------------------------------------------------------------- the verb */

static altmin_error bench(job *j, altmin_status *st)
{
    const char *json = j->args.value[OPT_JSON];
    if (am_settings_apply_preset(j->args.settings, defaults, st) ||
        am_bench_data(&j->data, NULL, &j->args, j->args.value[OPT_SHAPE], st))
        return st->code;
    if (run_sweeps(j, st) || find_floor(j, st)) return st->code;
    print_report(j);
    if (!json) return ALTMIN_OK;
    cJSON *root = json_of(j);
    add_lists(j, root);
    return am_bench_json_write(root, json, st);
}

int am_bench_sweep(int argc, char **argv)
{
    job *j = calloc(1, sizeof *j);
    altmin_status st = {0};
    int code = AM_EXIT_OK;
    if (!j) return AM_EXIT_FAILURE;
    if (am_args_parse(&j->args, &syntax, argc, argv, &st)) {
        free(j);
        return am_cli_fail(syntax.verb, &st);
    }
    if (j->args.help)
        am_help_print(stdout, &syntax);
    else if (bench(j, &st))
        code = am_cli_fail(syntax.verb, &st);
    am_backend_close(j->ctx);
    altmin_trainer_free(j->trainer);
    altmin_data_free(j->data);
    am_args_free(&j->args);
    free(j);
    return code ? code : am_cli_flush(syntax.verb);
}
