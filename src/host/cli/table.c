/* Header, rows, progress and footer of a training run; see table.h. */
#include "host/cli/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/train/net.h"

#define MIB           (1024.0 * 1024.0)
#define LONG_UPLOAD_S 0.5 /* shorter ones are not worth a line */
#define REFRESH_S     0.1 /* between two states of the progress line */

struct am_table {
    FILE *out;
    int live; /* a terminal: keep a progress line below the rows */
    const char *output;
    int classification, has_valid, has_test;
    size_t sweeps, stride; /* asked for; every stride-th is shown */
    double time_limit;
    double started_s; /* monotonic clock */
    size_t shown;     /* last sweep shown as a row */
    altmin_sweep_report last;
    double progress_s; /* when the progress line was last written */
    double upload_started_s, upload_s;
    size_t upload_bytes;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Rows that show about 40 sweeps of n: every 1st, 2nd, 5th, 10th, 20th, ... */
static size_t nice_stride(size_t n)
{
    static const size_t steps[] = {1, 2, 5};
    for (size_t scale = 1;; scale *= 10)
        for (size_t i = 0; i < 3; i++)
            if (n / (steps[i] * scale) <= 40 || scale > SIZE_MAX / 100) return steps[i] * scale;
}

/* ---- header ---- */

static void print_data(FILE *out, const am_run_info *info)
{
    char n[32], classes[48] = "regression";
    if (info->n_classes) snprintf(classes, sizeof classes, "%zu classes", info->n_classes);
    am_print_count(n, sizeof n, info->n_train);
    fprintf(out, "data      %s, %zu features (scaling %s), %s\n", info->train_source, info->width[0],
            info->scaling, classes);
    fprintf(out, "samples   %s to train", n);
    am_print_count(n, sizeof n, info->n_valid);
    if (info->n_valid) fprintf(out, ", %s to validate", n);
    am_print_count(n, sizeof n, info->n_test);
    if (info->n_test) fprintf(out, ", %s to test", n);
    fputc('\n', out);
}

/* One entry of the plan, on a new line where the old one is full. */
static int print_entry(FILE *out, int column, int is_first, const char *name, double n_bytes)
{
    char text[96];
    const int n = snprintf(text, sizeof text, " %s %.1f", name, n_bytes / MIB);
    if (!is_first) column += fprintf(out, ";");
    if (column + n > 79) column = fprintf(out, "\n%9s", "") - 1;
    return column + fprintf(out, "%s", text);
}

/* The memory plan in MiB; entries below a fiftieth of the whole are summed up. */
static void print_plan(FILE *out, const am_run_info *info)
{
    size_t others = 0;
    int is_first = 1, column = fprintf(out, "memory    %.1f MiB:", (double)info->plan_bytes / MIB);
    for (size_t i = 0; i < info->n_plan; i++) {
        if (info->plan[i].n_bytes < info->plan_bytes / 50) {
            others += info->plan[i].n_bytes;
            continue;
        }
        column = print_entry(out, column, is_first, info->plan[i].name, (double)info->plan[i].n_bytes);
        is_first = 0;
    }
    if (others) print_entry(out, column, is_first, "others", (double)others);
    fputc('\n', out);
}

/* "normal", or "sample, normal, normal" where layers differ. */
static void print_forms(FILE *out, const am_run_info *info)
{
    int differ = 0;
    for (size_t l = 1; l < info->n_layers; l++) differ |= strcmp(info->form[l], info->form[0]) != 0;
    const size_t n = differ ? info->n_layers : 1;
    for (size_t l = 0; l < n && l < 12; l++) fprintf(out, "%s%s", l ? ", " : "", info->form[l]);
    fprintf(out, "%s\n", n > 12 ? ", ..." : "");
}

static void print_method(FILE *out, const am_run_info *info)
{
    const altmin_settings *set = info->settings;
    if (strcmp(info->form[0], "gradient") == 0) {
        fprintf(out, "method    %s, ", info->method);
        if (set->batch && set->batch < info->n_train)
            fprintf(out, "batches of %zu", set->batch);
        else
            fputs("full batches", out);
        fprintf(out, ", rate %g, %s\n", set->rate,
                set->schedule == AM_SCHEDULE_COSINE ? "cosine to 0" : "constant");
        return;
    }
    fprintf(out, "method    %s, weight steps on matrices in form: ", info->method);
    print_forms(out, info);
}

static void print_upload(const am_table *t)
{
    char size[32], time[32];
    am_print_bytes(size, sizeof size, t->upload_bytes);
    am_print_seconds(time, sizeof time, t->upload_s);
    fprintf(t->out, "upload    %s of samples in %s\n", size, time);
}

static void print_header(am_table *t, const am_run_info *info)
{
    char widths[256], n[32];
    FILE *out = t->out;
    fprintf(out, "altmin    %s\n", altmin_version());
    print_data(out, info);
    am_print_widths(widths, sizeof widths, info->width, info->n_layers);
    am_print_count(n, sizeof n, info->n_parameters);
    fprintf(out, "network   %s %s, %s, %s, %s parameters\n", am_arch_name((am_arch)info->settings->arch),
            widths, info->activation, info->loss, n);
    print_method(out, info);
    fprintf(out, "backend   %s (%s)\n", info->backend, info->backend_detail);
    print_plan(out, info);
    if (t->upload_s > LONG_UPLOAD_S) print_upload(t);
    fprintf(out, "output    %s\n", t->output ? t->output : "none");
}

/* ---- rows ---- */

static void print_titles(const am_table *t)
{
    const char *quality = t->classification ? "acc" : "R2";
    fprintf(t->out, "\n%6s %9s %12s %9s %9s %5s%4s", "sweep", "time", "objective", "feasib.", "loss", "train",
            quality);
    if (t->has_valid) fprintf(t->out, " %5s%4s", "valid", quality);
    if (t->has_test) fprintf(t->out, " %4s%4s", "test", quality);
    fputc('\n', t->out);
}

static double quality(const am_table *t, const altmin_metrics *m)
{
    return t->classification ? m->accuracy : m->r2;
}

static void print_number(FILE *out, int width, int digits, double value)
{
    if (isnan(value))
        fprintf(out, " %*s", width, "-");
    else
        fprintf(out, " %*.*f", width, digits, value);
}

static void print_row(am_table *t, const altmin_sweep_report *r)
{
    fprintf(t->out, "%6zu %8.2fs %12.5g %9.2e", r->sweep, r->time_s, r->objective, r->feasibility);
    print_number(t->out, 9, 5, r->train.loss);
    print_number(t->out, 9, 4, quality(t, &r->train));
    if (t->has_valid) print_number(t->out, 9, 4, quality(t, &r->valid));
    if (t->has_test) print_number(t->out, 8, 4, quality(t, &r->test));
    fputc('\n', t->out);
    t->shown = r->sweep;
}

static void wipe_progress(const am_table *t)
{
    if (t->live) fputs("\r\033[K", t->out);
}

/* Share of the run that is done, by whichever limit is nearer; at least a hair, to divide by. */
static double share_done(const am_table *t, const altmin_sweep_report *r)
{
    double share = t->sweeps ? (double)r->sweep / (double)t->sweeps : 0;
    if (t->time_limit > 0) share = fmax(share, r->time_s / t->time_limit);
    return fmin(fmax(share, 1e-9), 1);
}

static void print_progress(const am_table *t, const altmin_sweep_report *r)
{
    enum { BAR = 24 };
    char elapsed[32], left[32];
    const double share = share_done(t, r), elapsed_s = now_s() - t->started_s;
    const int n_full = (int)(share * BAR);
    am_print_seconds(elapsed, sizeof elapsed, elapsed_s);
    am_print_seconds(left, sizeof left, elapsed_s * (1 - share) / share);
    fprintf(t->out, "\r[%.*s%.*s] sweep %zu of %zu, %s", n_full, "########################", BAR - n_full,
            "........................", r->sweep, t->sweeps, elapsed);
    if (r->sweep) fprintf(t->out, ", %s left", left);
    fputs("\033[K", t->out);
}

/* ---- footer ---- */

static void print_metrics(const am_table *t, const char *name, const altmin_metrics *m)
{
    if (t->classification)
        fprintf(t->out, "%-9s accuracy %.4f, loss %.5f\n", name, m->accuracy, m->loss);
    else
        fprintf(t->out, "%-9s R2 %.4f, mean squared error %.5g\n", name, m->r2, m->mse);
}

static void print_stop(const am_table *t, const am_run_result *result)
{
    static const char *const why[] = {
        [ALTMIN_STOP_NONE] = "unknown",
        [ALTMIN_STOP_SWEEPS] = "all sweeps done",
        [ALTMIN_STOP_TIME_LIMIT] = "time limit reached",
        [ALTMIN_STOP_TARGET_ACCURACY] = "target accuracy reached",
        [ALTMIN_STOP_PATIENCE] = "no improvement on validation data for as long as patience allows",
        [ALTMIN_STOP_TOLERANCE] = "the objective hardly changes any more",
        [ALTMIN_STOP_INTERRUPTED] = "interrupted",
        [ALTMIN_STOP_NOT_FINITE] = "not finite",
    };
    const size_t stop = (size_t)result->stop;
    fprintf(t->out, "\nstopped   after sweep %zu: %s", result->n_sweeps,
            stop < sizeof why / sizeof *why && why[stop] ? why[stop] : altmin_stop_name(result->stop));
    if (result->stop_detail[0]) fprintf(t->out, " (%s)", result->stop_detail);
    fputc('\n', t->out);
}

static void print_footer(const am_table *t, const am_run_result *result)
{
    char train[32], eval[32], verdict[256];
    print_stop(t, result);
    if (result->best.evaluated) {
        if (t->has_valid)
            fprintf(t->out, "best      sweep %zu, by validation\n", result->best.sweep);
        else
            fprintf(t->out, "kept      sweep %zu, the last (no validation data to choose by)\n",
                    result->best.sweep);
        print_metrics(t, "train", &result->best.train);
        if (t->has_valid) print_metrics(t, "valid", &result->best.valid);
        if (t->has_test) print_metrics(t, "test", &result->best.test);
    }
    const char *later = result->backend_detail ? strstr(result->backend_detail, "; ") : NULL;
    if (result->n_jitter)
        fprintf(t->out, "note      %zu factorization%s needed a larger ridge\n", result->n_jitter,
                result->n_jitter == 1 ? "" : "s");
    if (later) fprintf(t->out, "note      backend: %s\n", later + 2);
    am_monitor_verdict(verdict, sizeof verdict, &result->monitor);
    fprintf(t->out, "monitor   %s\n", verdict);
    am_print_seconds(train, sizeof train, result->train_s);
    am_print_seconds(eval, sizeof eval, result->eval_s);
    fprintf(t->out, "time      %s training, %s evaluation\n", train, eval);
    fflush(t->out);
}

/* ---- observer ---- */

/* Before the header: samples on their way. */
static void on_upload(void *user, size_t n_done, size_t n_total)
{
    am_table *t = user;
    char done[32], total[32];
    if (n_done == 0) t->upload_started_s = now_s();
    t->upload_s = now_s() - t->upload_started_s;
    t->upload_bytes = n_done;
    if (!t->live || t->upload_s < LONG_UPLOAD_S || now_s() - t->progress_s < REFRESH_S) return;
    t->progress_s = now_s();
    am_print_bytes(done, sizeof done, n_done);
    am_print_bytes(total, sizeof total, n_total);
    fprintf(t->out, "\ruploading samples, %s of %s\033[K", done, total);
    fflush(t->out);
}

static void on_start(void *user, const am_run_info *info)
{
    am_table *t = user;
    t->classification = info->n_classes > 0;
    t->has_valid = info->n_valid > 0;
    t->has_test = info->n_test > 0;
    t->sweeps = am_settings_n_sweeps(info->settings);
    t->time_limit = info->settings->time_limit;
    t->stride = nice_stride(t->sweeps);
    t->started_s = now_s();
    wipe_progress(t);
    print_header(t, info);
    print_titles(t);
    fflush(t->out);
}

static int on_sweep(void *user, const altmin_sweep_report *r, const am_layer_report *layer, size_t n_layers)
{
    (void)layer, (void)n_layers;
    am_table *t = user;
    const int is_row = r->sweep <= 5 || r->sweep % t->stride == 0;
    t->last = *r;
    if (is_row) {
        wipe_progress(t);
        print_row(t, r);
    }
    if (t->live && (is_row || now_s() - t->progress_s > REFRESH_S)) {
        t->progress_s = now_s();
        print_progress(t, r);
    }
    fflush(t->out);
    return ferror(t->out) != 0;
}

static void on_end(void *user, const am_run_result *result)
{
    am_table *t = user;
    wipe_progress(t);
    if (t->last.sweep > t->shown) print_row(t, &t->last);
    print_footer(t, result);
}

am_table *am_table_new(FILE *out, int live, const char *output)
{
    am_table *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->out = out;
    t->live = live;
    t->output = output;
    t->stride = 1;
    return t;
}

am_observer am_table_observer(am_table *table)
{
    return (am_observer){
        .upload = on_upload, .start = on_start, .sweep = on_sweep, .end = on_end, .user = table};
}

void am_table_free(am_table *table)
{
    free(table);
}
