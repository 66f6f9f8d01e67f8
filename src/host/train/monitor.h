/* The convergence monitor: watches the numbers of a run, sweep by sweep, and says what the run itself shows about
 * convergence (theory: Xu, Bao, Xing 2022/23; estimators derived). Plain doubles, no matrices: it can judge a live run,
 * a stored log, or any sequence.
 *
 * From F_m (complete objective), D_m (sum of ||change||^2 over the blocks) and, where there is one, the subgradient norm:
 *   sufficient decrease  c(j) = min over windows of (F_m - F_{m+j}) / (sum of D inside), j in {1, 2, 5, 10, 20}
 *   relative error       b = max g_m / sqrt(sum of D over the last j sweeps)
 *   rate class           from e_m = F_m - F_{m+j}, without F*: log e fitted against m (R-linear) and against log m
 *                        (sublinear, e ~ m^-p, KL exponent theta = p/(2 (p - 1))) on the last 1/2, 1/4 and 1/8
 *   distance bound       M rho/(1 - rho), M the last step's length, where the rate is R-linear
 *   sweeps left          until a sweep changes F by less than tolerance |F|
 * Changes of F below 50 x rounding x |F| are not looked at; |F| is the size of its terms, which are of one sign but for a
 * multiplier's, and that one goes with its residual. The class is `unresolved` unless the run shows it: it is never taken
 * from a theorem. Nor is a finite end (theta = 0) claimed: rounding ends every run after finitely many sweeps.
 *
 * Head and hidden blocks are watched apart. The head (z_L and a_L) may contract linearly by itself, whatever the network
 * does; where F falls R-linearly and the hidden blocks are slower than that, their rate is the network's, and where theirs
 * is no R-linear one, the network's is unresolved.
 *
 * The problem itself changes while a relaxation eps shrinks or is restarted (F may rise): the monitor starts afresh in
 * every sweep whose eps differs from the one before, so it judges what comes after eps has reached its floor. */
#ifndef AM_MONITOR_H
#define AM_MONITOR_H

#include <stddef.h>
#include <stdio.h>

#define AM_MONITOR_WINDOWS 5
/** The window lengths j: 1, 2, 5, 10, 20. */
extern const size_t am_monitor_window[AM_MONITOR_WINDOWS];

typedef enum am_rate_class { AM_RATE_UNRESOLVED, AM_RATE_R_LINEAR, AM_RATE_SUBLINEAR } am_rate_class;
/** "unresolved", "r-linear", "sublinear". */
const char *am_rate_name(am_rate_class rate);

/** How fast F - F* or a sum of squared steps falls (both have the same factor where all blocks converge together). */
typedef struct am_rate {
    am_rate_class kind;
    double factor;   /* R-linear: per sweep; else NaN */
    double exponent; /* sublinear: p of m^-p; else NaN */
} am_rate;

/** One sweep as the monitor sees it. */
typedef struct am_monitor_point {
    size_t sweep;
    double objective;
    double head2, hidden2; /* sums of ||change||^2: z_L and a_L; all other blocks */
    double gradient;       /* norm of a subgradient of F at the end of the sweep; NaN: not known */
    double eps;            /* relaxation in the sweep; NaN: none */
    double loss;           /* of the forward pass, per sample; NaN: not measured */
    double feasibility;
} am_monitor_point;

typedef struct am_monitor_report {
    size_t first_sweep;                   /* where the judged sweeps begin (after the last change of eps) */
    size_t n_sweeps;                      /* judged sweeps */
    size_t n_resolved;                    /* of them before F stopped changing by more than rounding */
    size_t j;                             /* smallest window with c(j) > 0; 0: none */
    double c[AM_MONITOR_WINDOWS];         /* over all windows; NaN: no window tells */
    double c_blocked[AM_MONITOR_WINDOWS]; /* over windows that do not overlap */
    size_t n_violations[AM_MONITOR_WINDOWS]; /* windows over which F rose */
    double relative_error;                   /* b; NaN: no subgradients */
    am_rate_class rate;                      /* of the network */
    double rho_objective;                    /* R-linear: factor of F - F* per sweep */
    double rho_step;                         /* R-linear: factor of ||x - x*||, its square root */
    double exponent;                         /* sublinear: p of e_m ~ m^-p */
    double theta;                            /* sublinear: KL exponent; R-linear: NaN, at most 1/2 */
    am_rate objective, head,
        hidden;               /* as measured on F and on the steps of each group, before they are weighed */
    int head_leads;           /* 1: F falls by the head's contraction, which the hidden blocks do not share */
    double distance;          /* R-linear: bound on ||x - x*||; NaN else */
    double tolerance;         /* what sweeps_left refers to */
    double sweeps_left;       /* 0: there already; NaN: not resolved */
    double loss, feasibility; /* last that were told */
} am_monitor_report;

typedef struct am_monitor am_monitor;

/** `rounding`: relative accuracy of F, e.g. FLT_EPSILON for runs in float32. NULL when memory is not there. */
am_monitor *am_monitor_new(double rounding);
void am_monitor_free(am_monitor *monitor);
/** Add the next sweep. Starts afresh when eps changes; a sweep that is not finite is left out. Returns 0 when memory is
 *  not there (the sweep is then left out). */
int am_monitor_add(am_monitor *monitor, const am_monitor_point *point);
/** Judge what was added since the last start. tolerance 0: 1e-6. Linear in the number of sweeps; may be called at any time. */
void am_monitor_judge(const am_monitor *monitor, double tolerance, am_monitor_report *report);

/** One JSON object, without a newline. */
void am_monitor_put_json(FILE *f, const am_monitor_report *report);
/** The verdict as one line of at most n_text - 1 characters, for the end of a run's table. */
void am_monitor_verdict(char *text, size_t n_text, const am_monitor_report *report);
#endif
