/* A monitor's report as JSON and as one line of text; see monitor.h. */
#include "host/train/monitor.h"

#include <math.h>

#include "host/io/json.h"

const char *am_rate_name(am_rate_class rate)
{
    static const char *const names[] = {"unresolved", "r-linear", "sublinear"};
    return names[rate];
}

/* ------------------------------------------------------------------------------------------------ JSON */

static void put_real(FILE *f, const char *key, double x)
{
    fprintf(f, ",\"%s\":", key);
    am_json_put_real(f, x);
}

static void put_rate(FILE *f, const char *key, const am_rate *rate)
{
    fprintf(f, ",\"%s\":{\"rate\":\"%s\"", key, am_rate_name(rate->kind));
    put_real(f, "factor", rate->factor);
    put_real(f, "exponent", rate->exponent);
    fputc('}', f);
}

static void put_windows(FILE *f, const am_monitor_report *r)
{
    fputs(",\"decrease\":[", f);
    for (int w = 0; w < AM_MONITOR_WINDOWS; w++) {
        fprintf(f, "%s{\"j\":%zu", w ? "," : "", am_monitor_window[w]);
        put_real(f, "c", r->c[w]);
        put_real(f, "c_blocked", r->c_blocked[w]);
        fprintf(f, ",\"violations\":%zu}", r->n_violations[w]);
    }
    fputc(']', f);
}

void am_monitor_put_json(FILE *f, const am_monitor_report *r)
{
    fprintf(f, "{\"rate\":\"%s\"", am_rate_name(r->rate));
    put_real(f, "rho_objective", r->rho_objective);
    put_real(f, "rho_step", r->rho_step);
    put_real(f, "exponent", r->exponent);
    put_real(f, "theta", r->theta);
    fprintf(f, ",\"head_leads\":%s", r->head_leads ? "true" : "false");
    put_rate(f, "objective", &r->objective);
    put_rate(f, "head", &r->head);
    put_rate(f, "hidden", &r->hidden);
    fprintf(f, ",\"j\":%zu", r->j);
    put_windows(f, r);
    put_real(f, "relative_error", r->relative_error);
    put_real(f, "distance", r->distance);
    put_real(f, "tolerance", r->tolerance);
    put_real(f, "sweeps_left", r->sweeps_left);
    fprintf(f, ",\"first_sweep\":%zu,\"sweeps\":%zu,\"resolved_sweeps\":%zu", r->first_sweep, r->n_sweeps,
            r->n_resolved);
    put_real(f, "loss", r->loss);
    put_real(f, "feasibility", r->feasibility);
    fputc('}', f);
}

/* ------------------------------------------------------------------------------------------------ text */

static void print_rate(char *text, size_t n_text, const am_monitor_report *r)
{
    if (r->rate == AM_RATE_R_LINEAR)
        snprintf(text, n_text, "R-linear, factor %.4g a sweep", r->rho_objective);
    else if (r->rate == AM_RATE_SUBLINEAR)
        snprintf(text, n_text, "sublinear, KL exponent %.2f", r->theta);
    else
        snprintf(text, n_text, "rate unresolved");
}

static void print_decrease(char *text, size_t n_text, const am_monitor_report *r)
{
    size_t w = 0;
    while (w + 1 < AM_MONITOR_WINDOWS && am_monitor_window[w] != r->j) w++;
    if (r->j)
        snprintf(text, n_text, "; decrease over %zu sweep%s, c %.3g", r->j, r->j == 1 ? "" : "s", r->c[w]);
    else
        snprintf(text, n_text, "; no sufficient decrease (F rose in %zu of %zu sweeps)", r->n_violations[0],
                 r->n_sweeps - 1);
}

void am_monitor_verdict(char *text, size_t n_text, const am_monitor_report *r)
{
    char rate[64], decrease[96] = "", error[48] = "", left[64] = "";
    if (r->n_sweeps < 2) {
        snprintf(text, n_text, "too few sweeps to judge");
        return;
    }
    print_rate(rate, sizeof rate, r);
    print_decrease(decrease, sizeof decrease, r);
    if (!isnan(r->relative_error))
        snprintf(error, sizeof error, ", relative error b %.3g", r->relative_error);
    if (!isnan(r->sweeps_left))
        snprintf(left, sizeof left, "; %.0f sweeps to %.0e", r->sweeps_left, r->tolerance);
    snprintf(text, n_text, "%s%s%s%s%s", rate, r->head_leads ? " (only the head is fast)" : "", decrease,
             error, left);
}
