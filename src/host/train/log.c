/* The JSONL run log: one JSON object per line, flushed line by line. The names are a promise
 * (tests/io/test_log.c).
 *
 *   {"type":"header", version, time, host, machine, threads, backend, backend_detail, method, loss,
 * activation, scaling, settings, data, test, widths, parameters, forms, plan}
 *   {"type":"sweep", sweep, time_s, objective, feasibility, step_norm, eps, guarded, subgradient, train_*, valid_*, test_*,
 *    box_violation, residual, steps}
 *   {"type":"result", stop, detail, sweeps, best_sweep, best, last, train_s, eval_s, jitter, backend_detail, monitor,
 *    ops}
 *
 * residual: ||z - W a - b|| per layer; steps: 2-norms of the blocks' changes, {"W":[a number per layer], "b":, "z":, "a":}; `altmin monitor` reads them again.
 * Measurements are loss and accuracy for classification, loss, r2 and mse for regression; null where there is
 * none. A failed write ends the logging, not the run; am_log_close reports it. */
#include "host/train/log.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/io/json.h"
#include "host/io/machine.h"

struct am_log {
    FILE *f;
    char *path;
    int classification;   /* known from the header on */
    int error;            /* errno of the first failed write; nothing is written after it */
    char buffer[1 << 16]; /* of f; longer than any usual line, so that a line reaches the file in one piece */
};

/* ---- pieces of a line; `key` is written with a comma before it ---- */

static void put_key(FILE *f, const char *key)
{
    fprintf(f, ",\"%s\":", key);
}

static void put_text(FILE *f, const char *key, const char *text)
{
    put_key(f, key);
    if (text) {
        am_json_put_string(f, text);
    } else {
        fputs("null", f);
    }
}

static void put_real(FILE *f, const char *key, double x)
{
    put_key(f, key);
    am_json_put_real(f, x);
}

static void put_count(FILE *f, const char *key, size_t n)
{
    put_key(f, key);
    fprintf(f, "%zu", n);
}

static void put_measure(FILE *f, const char *part, const char *what, double x)
{
    char key[32];
    snprintf(key, sizeof key, "%s_%s", part, what);
    put_real(f, key, x);
}

static void put_metrics(FILE *f, const char *part, const altmin_metrics *m, int classification)
{
    put_measure(f, part, "loss", m->loss);
    if (classification) {
        put_measure(f, part, "accuracy", m->accuracy);
    } else {
        put_measure(f, part, "r2", m->r2);
        put_measure(f, part, "mse", m->mse);
    }
}

/* Everything in a sweep report, without the braces and without a comma in front. */
static void put_report(const am_log *log, const altmin_sweep_report *r)
{
    altmin_metrics none = {NAN, NAN, NAN, NAN};
    fprintf(log->f, "\"sweep\":%zu", r->sweep);
    put_real(log->f, "time_s", r->time_s);
    put_real(log->f, "objective", r->objective);
    put_real(log->f, "feasibility", r->feasibility);
    put_real(log->f, "step_norm", r->step_norm);
    put_real(log->f, "eps", r->eps);
    put_count(log->f, "guarded", r->n_guarded);
    put_real(log->f, "subgradient", r->subgradient);
    put_metrics(log->f, "train", r->evaluated ? &r->train : &none, log->classification);
    put_metrics(log->f, "valid", r->evaluated ? &r->valid : &none, log->classification);
    put_metrics(log->f, "test", r->evaluated ? &r->test : &none, log->classification);
}

/* ---- header ---- */

static void put_time(FILE *f)
{
    char text[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    put_text(f, "time", text);
}

static void put_machine(FILE *f)
{
    char host[256] = "", cpu[256];
    long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    am_machine_cpu(cpu, sizeof cpu);
    put_text(f, "host", host);
    put_key(f, "machine");
    fputs("{\"cpu\":", f);
    am_json_put_string(f, cpu);
    put_count(f, "cores", n_cores > 0 ? (size_t)n_cores : 0);
    fputc('}', f);
}

static void put_data(FILE *f, const am_run_info *info)
{
    put_key(f, "data");
    fputs("{\"source\":", f);
    am_json_put_string(f, info->train_source ? info->train_source : "");
    put_text(f, "fingerprint", info->train_fingerprint);
    put_count(f, "n_train", info->n_train);
    put_count(f, "n_valid", info->n_valid);
    put_count(f, "n_features", info->n_layers ? info->width[0] : 0);
    put_count(f, "n_outputs", info->n_layers ? info->width[info->n_layers] : 0);
    put_count(f, "n_classes", info->n_classes);
    fputc('}', f);
    put_key(f, "test");
    if (!info->test_source) {
        fputs("null", f);
        return;
    }
    fputs("{\"source\":", f);
    am_json_put_string(f, info->test_source);
    put_text(f, "fingerprint", info->test_fingerprint);
    put_count(f, "n_test", info->n_test);
    fputc('}', f);
}

static void put_network(FILE *f, const am_run_info *info)
{
    put_key(f, "widths");
    for (size_t l = 0; l <= info->n_layers; l++) fprintf(f, "%s%zu", l ? "," : "[", info->width[l]);
    fputc(']', f);
    put_count(f, "parameters", info->n_parameters);
    put_key(f, "forms");
    fputc('[', f);
    for (size_t l = 0; l < info->n_layers && info->form; l++) {
        fputs(l ? "," : "", f);
        am_json_put_string(f, info->form[l]);
    }
    fputc(']', f);
}

static void put_plan(FILE *f, const am_run_info *info)
{
    put_key(f, "plan");
    fputs("{\"rows\":[", f);
    for (size_t i = 0; i < info->n_plan; i++) {
        fputs(i ? ",{\"name\":" : "{\"name\":", f);
        am_json_put_string(f, info->plan[i].name);
        put_count(f, "bytes", info->plan[i].n_bytes);
        fputc('}', f);
    }
    fputc(']', f);
    put_count(f, "total_bytes", info->plan_bytes);
    fputc('}', f);
}

/* ---- the observer ---- */

/* End the line and hand it to the system, so that a killed run leaves complete lines. */
static void end_line(am_log *log)
{
    errno = 0;
    if (fputs("}\n", log->f) >= 0 && fflush(log->f) == 0 && !ferror(log->f)) return;
    log->error = errno ? errno : EIO;
}

static void log_start(void *user, const am_run_info *info)
{
    am_log *log = user;
    if (log->error) return;
    char *settings = am_settings_to_json(info->settings);
    if (!settings) {
        log->error = ENOMEM;
        return;
    }
    log->classification = info->n_classes > 0;
    FILE *f = log->f;
    fputs("{\"type\":\"header\"", f);
    put_text(f, "version", ALTMIN_VERSION);
    put_time(f);
    put_machine(f);
    put_count(f, "threads", info->n_threads);
    put_text(f, "backend", info->backend);
    put_text(f, "backend_detail", info->backend_detail);
    put_text(f, "method", info->method);
    put_text(f, "loss", info->loss);
    put_text(f, "activation", info->activation);
    put_text(f, "scaling", info->scaling);
    put_key(f, "settings");
    fputs(settings, f);
    put_data(f, info);
    put_network(f, info);
    put_plan(f, info);
    end_line(log);
    free(settings);
}

/* "key":[one number per layer], the number `at` bytes into its report. */
static void put_list(FILE *f, const char *key, const am_layer_report *layer, size_t n_layers, size_t at)
{
    fprintf(f, "\"%s\":[", key);
    for (size_t l = 0; l < n_layers && layer; l++) {
        fputs(l ? "," : "", f);
        am_json_put_real(f, *(const double *)(const void *)((const char *)&layer[l] + at));
    }
    fputc(']', f);
}

static void put_steps(FILE *f, const am_layer_report *layer, size_t n_layers)
{
    static const char *const name[] = {"W", "b", "z", "a"};
    put_key(f, "steps");
    for (size_t k = 0; k < 4; k++) {
        fputc(k ? ',' : '{', f);
        put_list(f, name[k], layer, n_layers, offsetof(am_layer_report, step) + k * sizeof(double));
    }
    fputc('}', f);
}

static int log_sweep(void *user, const altmin_sweep_report *report, const am_layer_report *layer,
                     size_t n_layers)
{
    am_log *log = user;
    if (log->error) return 0;
    fputs("{\"type\":\"sweep\",", log->f);
    put_report(log, report);
    fputc(',', log->f);
    put_list(log->f, "box_violation", layer, n_layers, offsetof(am_layer_report, box_violation));
    fputc(',', log->f);
    put_list(log->f, "residual", layer, n_layers, offsetof(am_layer_report, residual));
    put_steps(log->f, layer, n_layers);
    end_line(log);
    return 0;
}

static void log_end(void *user, const am_run_result *result)
{
    am_log *log = user;
    if (log->error) return;
    FILE *f = log->f;
    fputs("{\"type\":\"result\"", f);
    put_text(f, "stop", altmin_stop_name(result->stop));
    put_text(f, "detail", result->stop_detail);
    put_count(f, "sweeps", result->n_sweeps);
    put_count(f, "best_sweep", result->best.sweep);
    put_key(f, "best");
    fputc('{', f);
    put_report(log, &result->best);
    fputs("},\"last\":{", f);
    put_report(log, &result->last);
    fputc('}', f);
    put_real(f, "train_s", result->train_s);
    put_real(f, "eval_s", result->eval_s);
    put_count(f, "jitter", result->n_jitter);
    put_text(f, "backend_detail", result->backend_detail);
    put_key(f, "monitor");
    am_monitor_put_json(f, &result->monitor);
    put_key(f, "ops");
    fputc('[', f);
    for (size_t i = 0; i < result->n_op; i++) {
        const am_op_time *op = &result->op[i];
        fputs(i ? ",{\"op\":" : "{\"op\":", f);
        am_json_put_string(f, op->op);
        put_count(f, "calls", op->n_calls);
        put_real(f, "time_s", op->time_s);
        put_real(f, "flops", op->flops);
        put_real(f, "bytes", op->n_bytes);
        fputc('}', f);
    }
    fputc(']', f);
    end_line(log);
}

am_observer am_log_observer(am_log *log)
{
    return (am_observer){.start = log_start, .sweep = log_sweep, .end = log_end, .user = log};
}

/* ---- open and close ---- */

altmin_error am_log_open(am_log **log, const char *path, altmin_status *st)
{
    *log = NULL;
    am_log *new_log = calloc(1, sizeof *new_log);
    char *copy = strdup(path);
    FILE *f = new_log && copy ? fopen(path, "we") : NULL;
    if (f) {
        setvbuf(f, new_log->buffer, _IOFBF, sizeof new_log->buffer);
        new_log->f = f;
        new_log->path = copy;
        *log = new_log;
        return ALTMIN_OK;
    }
    int reason = errno;
    altmin_error code =
        new_log && copy ? am_fail(st, ALTMIN_ERR_IO, "cannot open log file '%s': %s", path, strerror(reason))
                        : am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the log '%s'", path);
    free(copy);
    free(new_log);
    return code;
}

altmin_error am_log_close(am_log *log, altmin_status *st)
{
    if (!log) return ALTMIN_OK;
    int error = log->error;
    if (fclose(log->f) != 0 && !error) error = errno;
    altmin_error code = ALTMIN_OK;
    if (error) {
        code = am_fail(st, ALTMIN_ERR_IO, "cannot write log file '%s': %s; lines are missing at its end",
                       log->path, strerror(error));
    }
    free(log->path);
    free(log);
    return code;
}
