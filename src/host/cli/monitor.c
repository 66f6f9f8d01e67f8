/* `altmin monitor`: judge the convergence of a stored run. It reads the JSONL log of 'altmin train --log' line by line and
 * feeds the monitor what the driver fed it: objective, block steps, subgradient, eps, forward loss. */
#include "host/cli/args.h"
#include "host/cli/cli.h"
#include "host/cli/help.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/io/json.h"
#include "host/train/monitor.h"

enum { OPT_JSON };

static const am_option options[] = {
    [OPT_JSON] = {0, "json", NULL, "print one JSON object instead of text"},
};

static const char *const settings[] = {"tolerance", NULL};

static const am_syntax syntax = {
    .verb = "monitor",
    .usage = "RUN.jsonl [options]",
    .summary = "Judge the convergence of a stored run: decrease per step, rate class, sweeps left to a "
               "tolerance (that of "
               "the run, or 1e-6). What counts is what comes after the last change of eps.",
    .option = options,
    .n_options = sizeof options / sizeof *options,
    .setting = settings,
    .n_operands = 1,
};

/* What is read from a log. */
typedef struct run {
    const char *path;
    size_t n_line;
    char method[32];
    double tolerance;
    am_monitor *monitor;
} run;

/* ------------------------------------------------------------------------------------------------ reading */

/* Number `key` of an object; null and missing ones are NaN. */
static double number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

/* Sum of squares of the steps of block `key` over layers first .. last (from 0; to the end of the list). */
static double squares(const cJSON *steps, const char *key, int first, int n)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(steps, key);
    double sum = cJSON_IsArray(list) ? 0.0 : NAN;
    for (int l = first; l < first + n; l++) {
        const cJSON *item = cJSON_GetArrayItem(list, l);
        sum += cJSON_IsNumber(item) ? item->valuedouble * item->valuedouble : NAN;
    }
    return sum;
}

static altmin_error read_sweep(run *r, const cJSON *line, altmin_status *st)
{
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(line, "steps");
    const int n = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(steps, "W"));
    const double sweep = number(line, "sweep");
    if (!(sweep >= 1.0) || n == 0)
        return am_fail(st, ALTMIN_ERR_FORMAT, "%s, line %zu: a sweep without its number or its block steps",
                       r->path, r->n_line);
    const am_monitor_point p = {
        .sweep = (size_t)sweep,
        .objective = number(line, "objective"),
        .head2 = squares(steps, "z", n - 1, 1) + squares(steps, "a", n - 1, 1),
        .hidden2 = squares(steps, "W", 0, n) + squares(steps, "b", 0, n) + squares(steps, "z", 0, n - 1) +
                   squares(steps, "a", 0, n - 1),
        .gradient = number(line, "subgradient"),
        .eps = number(line, "eps"),
        .loss = number(line, "train_loss"),
        .feasibility = number(line, "feasibility"),
    };
    if (am_monitor_add(r->monitor, &p)) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_MEMORY, "%s, line %zu: no memory for so many sweeps", r->path, r->n_line);
}

static void read_header(run *r, const cJSON *line)
{
    const cJSON *method = cJSON_GetObjectItemCaseSensitive(line, "method");
    const double tolerance = number(cJSON_GetObjectItemCaseSensitive(line, "settings"), "tolerance");
    if (cJSON_IsString(method)) snprintf(r->method, sizeof r->method, "%s", method->valuestring);
    if (!(r->tolerance > 0.0) && tolerance > 0.0) r->tolerance = tolerance;
}

static altmin_error read_line(run *r, const char *text, size_t n_text, altmin_status *st)
{
    enum { MAX_VALUES = 1 << 16 };
    char name[512];
    cJSON *line = NULL;
    snprintf(name, sizeof name, "%.400s, line %zu", r->path, r->n_line);
    if (am_json_parse(&line, text, n_text, name, MAX_VALUES, st)) return st->code;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, "type");
    const char *type = cJSON_IsString(item) ? item->valuestring : "";
    altmin_error error = ALTMIN_OK;
    if (strcmp(type, "header") == 0)
        read_header(r, line);
    else if (strcmp(type, "sweep") == 0)
        error = read_sweep(r, line, st);
    else if (strcmp(type, "result") != 0)
        error = am_fail(st, ALTMIN_ERR_FORMAT, "%s, line %zu: neither header, sweep nor result of a run log",
                        r->path, r->n_line);
    cJSON_Delete(line);
    return error;
}

/* A run that was killed may leave half a line at the end: it is left out, with a warning. */
static altmin_error read_log(run *r, FILE *f, altmin_status *st)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t n;
    altmin_error error = ALTMIN_OK;
    errno = 0;
    while (!error && (n = getline(&text, &room, f)) > 0) {
        r->n_line++;
        if (text[n - 1] == '\n')
            error = read_line(r, text, (size_t)n, st);
        else
            am_cli_warn("monitor", "%s, line %zu is incomplete and left out", r->path, r->n_line);
    }
    if (!error && ferror(f))
        error = am_fail(st, ALTMIN_ERR_IO, "cannot read '%s': %s", r->path, strerror(errno));
    free(text);
    return error;
}

/* ------------------------------------------------------------------------------------------------ printing */

static void print_group(const char *name, const am_rate *rate)
{
    if (rate->kind == AM_RATE_R_LINEAR)
        printf("%-11s R-linear, factor %.4g a sweep\n", name, rate->factor);
    else if (rate->kind == AM_RATE_SUBLINEAR)
        printf("%-11s sublinear, like m^-%.3g\n", name, rate->exponent);
    else
        printf("%-11s unresolved\n", name);
}

static void print_text(const run *r, const am_monitor_report *m)
{
    char verdict[256];
    am_monitor_verdict(verdict, sizeof verdict, m);
    printf("run         %s (%s)\n", r->path, r->method[0] ? r->method : "unknown method");
    printf("judged      %zu sweeps from sweep %zu, F beyond rounding in %zu\n", m->n_sweeps, m->first_sweep,
           m->n_resolved);
    printf("verdict     %s\n", verdict);
    print_group("F falls", &m->objective);
    print_group("head steps", &m->head);
    print_group("hidden", &m->hidden);
    if (m->rate == AM_RATE_R_LINEAR)
        printf("iterates    R-linear, factor %.4g a sweep (KL exponent at most 1/2)\n", m->rho_step);
    if (!isnan(m->relative_error))
        printf("gradient    at most %.4g times the step over %zu sweep%s (relative error b)\n",
               m->relative_error, m->j ? m->j : 1, m->j > 1 ? "s" : "");
    if (!isnan(m->distance))
        printf("distance    at most %.3g to the limit, all blocks together\n", m->distance);
    printf("\n%6s %12s %12s %11s\n", "j", "c(j)", "blocked", "violations");
    for (int w = 0; w < AM_MONITOR_WINDOWS; w++) {
        char c[2][32] = {"-", "-"};
        if (!isnan(m->c[w])) snprintf(c[0], sizeof c[0], "%.4g", m->c[w]);
        if (!isnan(m->c_blocked[w])) snprintf(c[1], sizeof c[1], "%.4g", m->c_blocked[w]);
        printf("%6zu %12s %12s %11zu\n", am_monitor_window[w], c[0], c[1], m->n_violations[w]);
    }
}

static altmin_error judge(const am_args *args, run *r, altmin_status *st)
{
    if (!r->path) return am_fail(st, ALTMIN_ERR_USAGE, "which run? usage: altmin monitor %s", syntax.usage);
    r->tolerance = args->settings->tolerance;
    r->monitor = am_monitor_new((double)FLT_EPSILON);
    if (!r->monitor) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a monitor");
    const int is_stdin = strcmp(r->path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(r->path, "re");
    if (!f) return am_fail(st, ALTMIN_ERR_IO, "cannot open '%s': %s", r->path, strerror(errno));
    altmin_error error = read_log(r, f, st);
    if (!is_stdin) fclose(f);
    if (error) return error;
    am_monitor_report report;
    am_monitor_judge(r->monitor, r->tolerance, &report);
    if (report.n_sweeps == 0) return am_fail(st, ALTMIN_ERR_DATA, "%s holds no sweeps", r->path);
    if (args->value[OPT_JSON]) {
        am_monitor_put_json(stdout, &report);
        putchar('\n');
    } else {
        print_text(r, &report);
    }
    return ALTMIN_OK;
}

int am_cli_monitor(int argc, char **argv)
{
    am_args args;
    altmin_status st = {0};
    int code = AM_EXIT_OK;
    if (am_args_parse(&args, &syntax, argc, argv, &st)) return am_cli_fail("monitor", &st);
    run r = {.path = args.operand[0]};
    if (args.help)
        am_help_print(stdout, &syntax);
    else if (judge(&args, &r, &st))
        code = am_cli_fail("monitor", &st);
    am_monitor_free(r.monitor);
    am_args_free(&args);
    return code ? code : am_cli_flush("monitor");
}
