/* The estimators; what they mean is said in monitor.h. Written forms of a report are in monitor_text.c. */
#include "host/train/monitor.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

const size_t am_monitor_window[AM_MONITOR_WINDOWS] = {1, 2, 5, 10, 20};

#define ROUNDING_UNITS    50.0 /* changes below this many roundings of F are not looked at */
#define MIN_FIT           8    /* points of the shortest fit: fewer resolve nothing */
#define MIN_SHARE         0.9  /* of the points of a fit that must have fallen visibly */
#define MAX_THETA_SPREAD  0.1
#define MIN_EXPONENT      1.05
#define MAX_FACTOR_SPREAD 0.1 /* of log rho between fits, relative */
#define SLOWER            0.8 /* hidden blocks count as slower below this share of F's log rate */
#define DEFAULT_TOLERANCE 1e-6

typedef struct column {
    double objective, head2, hidden2, gradient;
} column;

struct am_monitor {
    double rounding;
    column *at; /* since the last start */
    size_t n, n_max, first_sweep;
    double eps, loss, feasibility;
};

/* ------------------------------------------------------------------------------------------------ collecting */

am_monitor *am_monitor_new(double rounding)
{
    am_monitor *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->rounding = rounding;
    m->eps = m->loss = m->feasibility = NAN;
    return m;
}

void am_monitor_free(am_monitor *m)
{
    if (!m) return;
    free(m->at);
    free(m);
}

static int grow(am_monitor *m)
{
    if (m->n < m->n_max) return 1;
    const size_t n_max = m->n_max ? 2 * m->n_max : 256;
    column *at = n_max <= SIZE_MAX / 2 / sizeof *at ? realloc(m->at, n_max * sizeof *at) : NULL;
    if (!at) return 0;
    m->at = at;
    m->n_max = n_max;
    return 1;
}

static int same_eps(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

int am_monitor_add(am_monitor *m, const am_monitor_point *p)
{
    if (!same_eps(p->eps, m->eps)) m->n = 0;
    m->eps = p->eps;
    if (!isnan(p->loss)) m->loss = p->loss;
    m->feasibility = p->feasibility;
    if (!isfinite(p->objective) || !isfinite(p->head2) || !isfinite(p->hidden2)) return 1;
    if (!grow(m)) return 0;
    if (m->n == 0) m->first_sweep = p->sweep;
    m->at[m->n++] = (column){p->objective, p->head2, p->hidden2, p->gradient};
    return 1;
}

/* ------------------------------------------------------------------------------------------------ decrease */

/* F_i - F_{i+j}; 0 where the change is within rounding. */
static double fall(const am_monitor *m, size_t i, size_t j)
{
    const double a = m->at[i].objective, b = m->at[i + j].objective;
    const double size = fabs(a) > fabs(b) ? fabs(a) : fabs(b);
    return fabs(a - b) > ROUNDING_UNITS * m->rounding * size ? a - b : 0.0;
}

static double step2(const am_monitor *m, size_t i)
{
    return m->at[i].head2 + m->at[i].hidden2;
}

static void lower(double *least, double x)
{
    if (!(*least <= x)) *least = x; /* also when it is NaN */
}

static void judge_decrease(const am_monitor *m, size_t window, am_monitor_report *r)
{
    const size_t j = am_monitor_window[window];
    double inside = 0.0;
    r->c[window] = r->c_blocked[window] = NAN;
    for (size_t i = 0; i + j < m->n; i++) {
        if (i % 64 == 0) { /* taken afresh now and then, so that rounding of the running sum cannot pile up */
            inside = 0.0;
            for (size_t k = 1; k <= j; k++) inside += step2(m, i + k);
        } else {
            inside += step2(m, i + j) - step2(m, i);
        }
        const double e = fall(m, i, j);
        r->n_violations[window] += e < 0.0;
        if (e == 0.0 || !(inside > 0.0)) continue;
        lower(&r->c[window], e / inside);
        if (i % j == 0) lower(&r->c_blocked[window], e / inside);
    }
    if (r->j == 0 && r->c[window] > 0.0) r->j = j;
}

static void judge_relative_error(const am_monitor *m, am_monitor_report *r)
{
    const size_t j = r->j ? r->j : 1;
    r->relative_error = NAN;
    for (size_t i = j; i < m->n; i++) {
        double inside = 0.0;
        for (size_t k = 0; k < j; k++) inside += step2(m, i - k);
        const double b = m->at[i].gradient / sqrt(inside);
        if (inside > 0.0 && !isnan(b) && !(r->relative_error >= b)) r->relative_error = b;
    }
}

/* ------------------------------------------------------------------------------------------------ rates */

/* What is fitted: value(m, i, j) > 0 for usable i, 0 or less elsewhere. */
typedef double series(const am_monitor *m, size_t i, size_t j);

static double head2_at(const am_monitor *m, size_t i, size_t j)
{
    return (void)j, m->at[i].head2;
}
static double hidden2_at(const am_monitor *m, size_t i, size_t j)
{
    return (void)j, m->at[i].hidden2;
}

/* Line log y = a + b x through usable points; x = i + 1, or its logarithm. */
typedef struct line {
    double slope, residual2;
    size_t n;
} line;

static line fit(const am_monitor *m, series *value, size_t j, size_t from, size_t to, int logarithmic)
{
    double mean_x = 0.0, mean_y = 0.0, xx = 0.0, xy = 0.0, yy = 0.0;
    line l = {0};
    for (size_t i = from; i < to; i++) {
        const double v = value(m, i, j);
        if (!(v > 0.0)) continue;
        const double x = logarithmic ? log((double)(i + 1)) : (double)(i + 1), y = log(v);
        const double dx = x - mean_x, dy = y - mean_y;
        l.n++;
        mean_x += dx / (double)l.n;
        mean_y += dy / (double)l.n;
        xx += dx * (x - mean_x);
        xy += dx * (y - mean_y);
        yy += dy * (y - mean_y);
    }
    l.slope = xx > 0.0 ? xy / xx : 0.0;
    l.residual2 = yy - l.slope * xy;
    return l;
}

static double theta_of(double exponent)
{
    return exponent / (2.0 * (exponent - 1.0));
}

/* Rate of a series over [0, n): the last 1/2, 1/4 and 1/8 must agree. In a short window the two curves are nearly the
 * same, so the longest decides between them. An exponent must belong to some theta (p > 1.05) for F; steps only have to
 * fall. The last 1/8 gives the value: it is nearest to the limit. */
static am_rate rate_of(const am_monitor *m, series *value, size_t j, size_t n, int of_objective)
{
    const am_rate unresolved = {AM_RATE_UNRESOLVED, NAN, NAN};
    double slope[2][3];
    int linear = 0;
    for (int w = 0; w < 3; w++) {
        const size_t length = n >> (w + 1), from = n - length;
        if (length < MIN_FIT) return unresolved;
        const line straight = fit(m, value, j, from, n, 0), power = fit(m, value, j, from, n, 1);
        if ((double)straight.n < MIN_SHARE * (double)length) return unresolved;
        if (w == 0) linear = straight.residual2 < power.residual2;
        slope[0][w] = straight.slope, slope[1][w] = power.slope;
    }
    double lo = INFINITY, hi = -INFINITY;
    for (int w = 0; w < 3; w++) {
        const double p = -slope[1][w];
        if (!linear && !(p > (of_objective ? MIN_EXPONENT : 0.05))) return unresolved;
        const double x = linear ? slope[0][w] : of_objective ? theta_of(p) : slope[1][w] / slope[1][2];
        lo = x < lo ? x : lo, hi = x > hi ? x : hi;
    }
    if (linear ? !(hi < 0.0 && hi - lo <= -MAX_FACTOR_SPREAD * lo) : !(hi - lo <= MAX_THETA_SPREAD))
        return unresolved;
    return linear ? (am_rate){AM_RATE_R_LINEAR, exp(slope[0][2]), NAN}
                  : (am_rate){AM_RATE_SUBLINEAR, NAN, -slope[1][2]};
}

/* Slope of log M_k, M_k = max_{i >= k} ||dx_i||, over the last half of [0, n): the factor per sweep. */
static double step_factor(const am_monitor *m, size_t n)
{
    double top = 0.0, mean_x = 0.0, mean_y = 0.0, xx = 0.0, xy = 0.0, count = 0.0;
    for (size_t i = n; i-- > n / 2;) {
        const double here = 0.5 * log(step2(m, i));
        top = i + 1 == n || here > top ? here : top;
        const double dx = (double)i - mean_x, dy = top - mean_y;
        count += 1.0;
        mean_x += dx / count;
        mean_y += dy / count;
        xx += dx * ((double)i - mean_x);
        xy += dx * (top - mean_y);
    }
    return xx > 0.0 ? exp(xy / xx) : NAN;
}

/* F's R-linear rate is the network's only if the hidden blocks fall as fast: D falls like F - F*, so its factor is to be
 * compared with F's. */
static void weigh_groups(am_monitor_report *r, int has_hidden)
{
    r->rate = r->objective.kind;
    r->rho_objective = r->objective.factor;
    r->exponent = r->objective.exponent;
    if (r->rate != AM_RATE_R_LINEAR || !has_hidden) return;
    if (r->hidden.kind == AM_RATE_R_LINEAR && log(r->hidden.factor) <= SLOWER * log(r->objective.factor))
        return;
    r->head_leads = 1;
    if (r->hidden.kind == AM_RATE_R_LINEAR) {
        r->rho_objective = r->hidden.factor;
    } else {
        r->rate = AM_RATE_UNRESOLVED;
        r->rho_objective = NAN;
    }
}

/* ------------------------------------------------------------------------------------------------ judging */

/* Sweeps up to the last that changed F visibly. */
static size_t n_resolved(const am_monitor *m)
{
    for (size_t i = m->n; i > 1; i--)
        if (fall(m, i - 2, 1) != 0.0) return i;
    return m->n ? 1 : 0;
}

static void judge_rest(const am_monitor *m, am_monitor_report *r)
{
    const size_t n = r->n_resolved;
    if (r->rate == AM_RATE_R_LINEAR) {
        r->rho_step = sqrt(r->rho_objective);
        const double rho = step_factor(m, n), step = n ? sqrt(step2(m, n - 1)) : NAN;
        if (rho < 1.0) r->distance = step * fmax(rho, r->rho_step) / (1.0 - fmax(rho, r->rho_step));
    }
    if (r->rate == AM_RATE_SUBLINEAR) r->theta = theta_of(r->exponent);
    if (m->n < 2) return;
    const double wanted = r->tolerance * fabs(m->at[m->n - 1].objective);
    const double last = fall(m, m->n - 2, 1), e = n > 1 ? fall(m, n - 2, 1) : 0.0;
    if (fabs(last) <= wanted) {
        r->sweeps_left = 0.0;
    } else if (e > 0.0 && wanted > 0.0) {
        if (r->rate == AM_RATE_R_LINEAR) r->sweeps_left = ceil(log(wanted / e) / log(r->rho_objective));
        if (r->rate == AM_RATE_SUBLINEAR)
            r->sweeps_left = ceil((double)n * (pow(e / wanted, 1.0 / r->exponent) - 1.0));
    }
}

void am_monitor_judge(const am_monitor *m, double tolerance, am_monitor_report *r)
{
    *r = (am_monitor_report){.n_sweeps = m->n,
                             .first_sweep = m->n ? m->first_sweep : 0,
                             .n_resolved = n_resolved(m),
                             .tolerance = tolerance > 0.0 ? tolerance : DEFAULT_TOLERANCE,
                             .rho_objective = NAN,
                             .rho_step = NAN,
                             .exponent = NAN,
                             .theta = NAN,
                             .distance = NAN,
                             .sweeps_left = NAN,
                             .loss = m->loss,
                             .feasibility = m->feasibility};
    for (size_t w = 0; w < AM_MONITOR_WINDOWS; w++) judge_decrease(m, w, r);
    judge_relative_error(m, r);
    const size_t n = r->n_resolved, j = r->j ? r->j : 1;
    int has_hidden = 0;
    for (size_t i = 0; i < n; i++) has_hidden |= m->at[i].hidden2 > 0.0;
    r->objective = rate_of(m, fall, j, n > j ? n - j : 0, 1);
    r->head = rate_of(m, head2_at, 0, n, 0);
    r->hidden = rate_of(m, hidden2_at, 0, n, 0);
    weigh_groups(r, has_hidden);
    judge_rest(m, r);
}
