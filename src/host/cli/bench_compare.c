/* `altmin bench compare`: the same run on two backends in one process. Problem, settings and seed are the same, so the
 * objectives of the first sweeps may differ by rounding alone; how far they may is the band, printed with the verdict. */
#include "host/cli/args.h"
#include "host/cli/bench.h"
#include "host/cli/cli.h"
#include "host/cli/help.h"
#include "host/cli/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/io/machine.h"
#include "host/train/trainer.h"

enum { OPT_BACKENDS, OPT_BAND, OPT_JSON, OPT_SHAPE };

static const am_option options[] = {
    [OPT_BACKENDS] = {0, "backends", "A,B", "the two backends, the one in question first [default cuda,cpu]"},
    [OPT_BAND] = {0, "band", "X",
                  "relative difference of the objective that counts as agreement [default 2e-3 when both "
                  "multiply in fp32, 2e-2 with tf32, 1e-1 with bf16]"},
    [OPT_JSON] = {0, "json", "FILE", "write the result as one JSON object"},
    [OPT_SHAPE] = AM_BENCH_SHAPE_OPTION,
};

static const am_syntax syntax = {
    .verb = "bench compare",
    .usage = "[--backends A,B] [--data DATA | --shape N,D,C] [options]",
    .summary =
        "Run one problem with one seed on two backends: time of a sweep on each, and whether they agree.",
    .option = options,
    .n_options = sizeof options / sizeof *options,
    .all_settings = 1,
    .notes =
        "Unless given here: --sweeps 30, --valid 0, and no evaluation but the last. Agreement is judged by "
        "the\n"
        "objective of the first 20 sweeps and by the final accuracies; exit code 1 when there is none.\n",
};

static const char *const defaults[] = {"sweeps", "30", "valid", "0", "eval-every", "1000000000", NULL};

enum { MOST_COMPARED = 20, MOST_WARM_UP = 10 };

/* One backend's run. */
typedef struct run {
    am_backend_kind kind;
    const char *name, *precision;
    size_t n, n_most;           /* sweeps done, room for */
    double *objective, *time_s; /* of every sweep */
    double last_s;              /* training time at the end of the sweep before */
    double prepare_s;           /* split, plan, upload, first state */
    double median_s, best_s, worst_s;
    size_t n_threads;
    char detail[160];
    altmin_metrics train, test;
} run;

/* A difference with the most that counts as agreement. */
typedef struct agreement {
    double difference, band;
    int holds;
} agreement;

typedef struct job {
    am_args args;
    altmin_data *train, *test;
    run run[2];
    /* the same on both */
    char method[32], widths[160];
    size_t width[AM_MAX_HIDDEN + 2], n_layers, n_train, n_test;
    size_t n_warm_up, n_compared, worst_sweep;
    agreement objective, train_accuracy, test_accuracy;
    double speed_up;
} job;

/* ------------------------------------------------------------------------------------------- options */

/* Arithmetic of products: what was asked for on cuda, fp32 elsewhere. */
static const char *precision_of(am_backend_kind kind, const altmin_settings *s)
{
    const int precision = kind != AM_BACKEND_CUDA             ? AM_PRECISION_FP32
                          : s->precision == AM_PRECISION_AUTO ? AM_PRECISION_TF32
                                                              : s->precision;
    return am_setting_choice_name(am_setting_find("precision"), precision);
}

static int read_backend(run *r, const char *name, const altmin_settings *s)
{
    int kind;
    if (!am_setting_choice_value(am_setting_find("backend"), name, &kind) || kind == AM_BACKEND_AUTO)
        return 0;
    r->kind = (am_backend_kind)kind;
    r->name = am_setting_choice_name(am_setting_find("backend"), kind);
    r->precision = precision_of(r->kind, s);
    return 1;
}

static altmin_error read_backends(job *j, altmin_status *st)
{
    const char *text = j->args.value[OPT_BACKENDS] ? j->args.value[OPT_BACKENDS] : "cuda,cpu";
    const size_t n_first = strcspn(text, ",");
    char first[8] = "";
    if (am_args_has_setting(&j->args, "backend"))
        return am_fail(st, ALTMIN_ERR_USAGE, "--backend: two are compared; name both with --backends A,B");
    if (n_first < sizeof first) memcpy(first, text, n_first);
    if (text[n_first] != ',' || !read_backend(&j->run[0], first, j->args.settings) ||
        !read_backend(&j->run[1], text + n_first + 1, j->args.settings))
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "--backends: '%.60s' is not two of ref, cpu, cuda with a comma between them", text);
    for (int i = 0; i < 2; i++) {
        const char *missing = am_backend_missing(j->run[i].kind);
        if (missing)
            return am_fail(st, ALTMIN_ERR_BACKEND,
                           "backend %s is not there: %s; --backends cpu,ref works anywhere", j->run[i].name,
                           missing);
    }
    return ALTMIN_OK;
}

/* The coarser of the two products decides. 2e-3 is what the emulated device is held to over a dozen sweeps; tf32 and bf16
 * round what is multiplied to 2^-11 and 2^-8, and a sweep passes its errors on. */
static altmin_error read_band(job *j, altmin_status *st)
{
    const char *text = j->args.value[OPT_BAND];
    j->objective.band = 2e-3;
    for (int i = 0; i < 2; i++) {
        const char *precision = j->run[i].precision;
        const double band = strcmp(precision, "bf16") == 0   ? 1e-1
                            : strcmp(precision, "tf32") == 0 ? 2e-2
                                                             : 0.0;
        if (band > j->objective.band) j->objective.band = band;
    }
    if (!text) return ALTMIN_OK;
    char *end;
    j->objective.band = strtod(text, &end);
    if (end == text || *end || !(j->objective.band >= 0 && j->objective.band <= 1))
        return am_fail(st, ALTMIN_ERR_USAGE, "--band: '%.60s' is not a number from 0 to 1", text);
    return ALTMIN_OK;
}

/* ------------------------------------------------------------------------------------------- runs */

static int note_sweep(void *user, const altmin_sweep_report *report, const am_layer_report *layer,
                      size_t n_layers)
{
    run *r = user;
    (void)layer, (void)n_layers;
    r->objective[r->n] = report->objective;
    r->time_s[r->n++] = report->time_s - r->last_s;
    r->last_s = report->time_s;
    return r->n == r->n_most;
}

static void describe(job *j, run *r, const am_run_info *info)
{
    r->n_threads = info->n_threads;
    snprintf(r->detail, sizeof r->detail, "%s", info->backend_detail);
    snprintf(j->method, sizeof j->method, "%s", info->method);
    am_print_widths(j->widths, sizeof j->widths, info->width, info->n_layers);
    memcpy(j->width, info->width, (info->n_layers + 1) * sizeof *j->width);
    j->n_layers = info->n_layers, j->n_train = info->n_train, j->n_test = info->n_test;
}

static altmin_error train(job *j, run *r, altmin_trainer **trainer, altmin_status *st)
{
    const am_observer observer = {.sweep = note_sweep, .user = r};
    const am_run_result *result = NULL;
    const double start_s = am_bench_now_s();
    j->args.settings->backend = (int)r->kind;
    if (altmin_trainer_new(trainer, j->args.settings, j->train, j->test, st)) return st->code;
    r->prepare_s = am_bench_now_s() - start_s;
    describe(j, r, am_trainer_info(*trainer));
    if (am_trainer_run(*trainer, &observer, 1, NULL, &result, st)) return st->code;
    if (result->stop == ALTMIN_STOP_NOT_FINITE)
        return am_fail(st, ALTMIN_ERR_NUMERIC, "backend %s: %s", r->name, result->stop_detail);
    r->train = result->last.train;
    r->test = result->last.test;
    return ALTMIN_OK;
}

/* One run from data to metrics. Its memory is given back before the other one begins. */
static altmin_error run_once(job *j, run *r, altmin_status *st)
{
    size_t n_bytes;
    r->n_most = am_settings_n_sweeps(j->args.settings);
    if (r->n_most < 2)
        return am_fail(st, ALTMIN_ERR_USAGE, "the first sweeps warm up: --sweeps must be 2 or more");
    if (am_size_mul(r->n_most, sizeof(double), &n_bytes) || !(r->objective = malloc(n_bytes)) ||
        !(r->time_s = malloc(n_bytes)))
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the results of %zu sweeps", r->n_most);
    altmin_trainer *trainer = NULL;
    const altmin_error error = train(j, r, &trainer, st);
    altmin_trainer_free(trainer);
    return error;
}

/* ------------------------------------------------------------------------------------------- results */

/* Median, best and worst of the sweeps after those that warm up. Puts these in order of time. */
static void sum_up_times(run *r, size_t n_warm_up)
{
    double *time = r->time_s + n_warm_up;
    const size_t n = r->n - n_warm_up;
    qsort(time, n, sizeof *time, am_bench_compare_doubles);
    r->best_s = time[0];
    r->median_s = time[n / 2];
    r->worst_s = time[n - 1];
}

/* |a - b| / max(|a|, |b|); 0 for equal ones. */
static double relative(double a, double b)
{
    return a == b ? 0.0 : fabs(a - b) / fmax(fabs(a), fabs(b));
}

static void compare_objectives(job *j)
{
    const run *a = &j->run[0], *b = &j->run[1];
    j->objective.difference = 0.0;
    j->worst_sweep = 1;
    for (size_t k = 0; k < j->n_compared; k++) {
        const double difference = relative(a->objective[k], b->objective[k]);
        if (difference <= j->objective.difference) continue;
        j->objective.difference = difference;
        j->worst_sweep = k + 1;
    }
    j->objective.holds = j->objective.difference <= j->objective.band;
}

/* Two runs may classify some samples differently: as many as two standard errors of an accuracy over n samples, and one
 * sample in any case. */
static agreement compare_accuracies(double a, double b, size_t n)
{
    const double p = 0.5 * (a + b), one = 1.0 / (double)(n ? n : 1);
    const double band = fmax(2.0 * sqrt(p * (1.0 - p) * one), one);
    return (agreement){fabs(a - b), band, !(fabs(a - b) > band)}; /* no accuracy: nothing to disagree about */
}

static altmin_error compare(job *j, altmin_status *st)
{
    run *a = &j->run[0], *b = &j->run[1];
    const size_t n = a->n < b->n ? a->n : b->n;
    if (n < 2)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "a run ended after its first sweep: two are needed; set --tolerance, --time-limit and "
                       "--target-accuracy aside");
    j->n_compared = n < MOST_COMPARED ? n : MOST_COMPARED;
    j->n_warm_up = n / 2 < MOST_WARM_UP ? n / 2 : MOST_WARM_UP;
    compare_objectives(j);
    j->train_accuracy = compare_accuracies(a->train.accuracy, b->train.accuracy, j->n_train);
    j->test_accuracy = compare_accuracies(a->test.accuracy, b->test.accuracy, j->n_test);
    for (int i = 0; i < 2; i++) sum_up_times(&j->run[i], j->n_warm_up);
    j->speed_up = b->median_s / a->median_s;
    return ALTMIN_OK;
}

static int agrees(const job *j)
{
    return j->objective.holds && j->train_accuracy.holds && j->test_accuracy.holds;
}

/* ------------------------------------------------------------------------------------------- report */

static void print_header(const job *j)
{
    char cpu[128], n[32];
    am_machine_cpu(cpu, sizeof cpu);
    am_print_count(n, sizeof n, j->n_train);
    printf("method    %s, %s, %s samples of %s, seed %llu\n", j->method, j->widths, n, j->train->source,
           (unsigned long long)j->args.settings->seed);
    printf("machine   %s\n", cpu);
    for (int i = 0; i < 2; i++) {
        const run *r = &j->run[i];
        printf("%-9s %s, %zu thread%s, products in %s\n", r->name, r->detail, r->n_threads,
               r->n_threads == 1 ? "" : "s", r->precision);
    }
}

static void print_accuracy(double accuracy)
{
    if (isnan(accuracy))
        printf(" %9s", "-");
    else
        printf(" %9.4f", accuracy);
}

static void print_runs(const job *j)
{
    printf("\n%-9s %12s %10s %10s %11s %12s %9s %9s\n", "backend", "ms per sweep", "best", "worst",
           "prepare s", "loss", "train acc", "test acc");
    for (int i = 0; i < 2; i++) {
        const run *r = &j->run[i];
        printf("%-9s %12.4f %10.4f %10.4f %11.2f %12.6g", r->name, 1e3 * r->median_s, 1e3 * r->best_s,
               1e3 * r->worst_s, r->prepare_s, r->train.loss);
        print_accuracy(r->train.accuracy);
        print_accuracy(r->test.accuracy);
        putchar('\n');
    }
}

static void print_objectives(const job *j)
{
    const run *a = &j->run[0], *b = &j->run[1];
    printf("\n%6s %16s %16s %12s\n", "sweep", a->name, b->name, "difference");
    for (size_t k = 0; k < j->n_compared; k++)
        printf("%6zu %16.9g %16.9g %12.2e\n", k + 1, a->objective[k], b->objective[k],
               relative(a->objective[k], b->objective[k]));
}

static void print_accuracy_agreement(const char *part, const agreement *accuracy, size_t n)
{
    if (isnan(accuracy->difference)) return;
    printf("%-9s accuracies differ by %.4f; band %.4f (two standard errors over %zu samples): %s\n", part,
           accuracy->difference, accuracy->band, n, accuracy->holds ? "agree" : "DISAGREE");
}

static void print_report(const job *j)
{
    print_header(j);
    print_runs(j);
    print_objectives(j);
    printf("\nspeed-up  %.2f: %s against %s, medians of the sweeps after %zu that warm up\n", j->speed_up,
           j->run[0].name, j->run[1].name, j->n_warm_up);
    printf("objective differs by %.2e at most, in sweep %zu of the first %zu; band %.1e: %s\n",
           j->objective.difference, j->worst_sweep, j->n_compared, j->objective.band,
           j->objective.holds ? "agree" : "DISAGREE");
    print_accuracy_agreement("train", &j->train_accuracy, j->n_train);
    print_accuracy_agreement("test", &j->test_accuracy, j->n_test);
}

/* ------------------------------------------------------------------------------------------- JSON */

static cJSON *json_of_run(const run *r, size_t n_compared)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "backend", r->name);
    cJSON_AddStringToObject(item, "backend_detail", r->detail);
    cJSON_AddNumberToObject(item, "threads", (double)r->n_threads);
    cJSON_AddStringToObject(item, "precision", r->precision);
    cJSON_AddNumberToObject(item, "sweeps", (double)r->n);
    cJSON_AddNumberToObject(item, "sweep_s", r->median_s);
    cJSON_AddNumberToObject(item, "sweep_best_s", r->best_s);
    cJSON_AddNumberToObject(item, "sweep_worst_s", r->worst_s);
    cJSON_AddNumberToObject(item, "prepare_s", r->prepare_s);
    cJSON_AddNumberToObject(item, "train_loss", r->train.loss);
    cJSON_AddNumberToObject(item, "train_accuracy", r->train.accuracy);
    cJSON_AddNumberToObject(item, "test_accuracy", r->test.accuracy);
    cJSON_AddItemToObject(item, "objective", cJSON_CreateDoubleArray(r->objective, (int)n_compared));
    return item;
}

static void add_agreement(cJSON *root, const char *name, const agreement *a)
{
    cJSON *item = cJSON_AddObjectToObject(root, name);
    cJSON_AddNumberToObject(item, "difference", a->difference);
    cJSON_AddNumberToObject(item, "band", a->band);
    cJSON_AddBoolToObject(item, "holds", a->holds);
}

static cJSON *json_of(const job *j)
{
    cJSON *root = am_bench_json_new("compare");
    if (!root) return NULL;
    cJSON_AddStringToObject(root, "method", j->method);
    cJSON *widths = cJSON_AddArrayToObject(root, "widths"), *runs = cJSON_AddArrayToObject(root, "runs");
    for (size_t l = 0; l <= j->n_layers; l++)
        cJSON_AddItemToArray(widths, cJSON_CreateNumber((double)j->width[l]));
    cJSON_AddStringToObject(root, "data", j->train->source);
    cJSON_AddNumberToObject(root, "samples", (double)j->n_train);
    cJSON_AddNumberToObject(root, "seed", (double)j->args.settings->seed);
    cJSON_AddNumberToObject(root, "warm_up_sweeps", (double)j->n_warm_up);
    for (int i = 0; i < 2; i++) cJSON_AddItemToArray(runs, json_of_run(&j->run[i], j->n_compared));
    cJSON_AddNumberToObject(root, "speed_up", j->speed_up);
    cJSON_AddNumberToObject(root, "worst_sweep", (double)j->worst_sweep);
    add_agreement(root, "objective", &j->objective);
    add_agreement(root, "train_accuracy", &j->train_accuracy);
    add_agreement(root, "test_accuracy", &j->test_accuracy);
    cJSON_AddBoolToObject(root, "agree", agrees(j));
    return root;
}

/* ------------------------------------------------------------------------------------------- the verb */

static altmin_error bench(job *j, altmin_status *st)
{
    const char *json = j->args.value[OPT_JSON];
    if (am_settings_apply_preset(j->args.settings, defaults, st) || read_backends(j, st) ||
        read_band(j, st) || am_bench_data(&j->train, &j->test, &j->args, j->args.value[OPT_SHAPE], st))
        return st->code;
    if (run_once(j, &j->run[0], st) || run_once(j, &j->run[1], st) || compare(j, st)) return st->code;
    print_report(j);
    if (json && am_bench_json_write(json_of(j), json, st)) return st->code;
    if (agrees(j)) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_NUMERIC, "%s and %s do not agree", j->run[0].name, j->run[1].name);
}

int am_bench_compare(int argc, char **argv)
{
    altmin_status st = {0};
    int code = AM_EXIT_OK;
    job *j = calloc(1, sizeof *j);
    if (!j) return AM_EXIT_FAILURE;
    if (am_args_parse(&j->args, &syntax, argc, argv, &st)) {
        free(j);
        return am_cli_fail(syntax.verb, &st);
    }
    if (j->args.help)
        am_help_print(stdout, &syntax);
    else if (bench(j, &st))
        code = am_cli_fail(syntax.verb, &st);
    for (int i = 0; i < 2; i++) {
        free(j->run[i].objective);
        free(j->run[i].time_s);
    }
    altmin_data_free(j->train);
    altmin_data_free(j->test);
    am_args_free(&j->args);
    free(j);
    return code ? code : am_cli_flush(syntax.verb);
}
