/* What is TIAM's own: three constants in place of mDLAM's momentum; see tiam.h, and relaxed.c for the sweep. */
#include "host/methods/tiam.h"

#include "host/methods/relaxed.h"
#include "host/methods/streamed.h"

#include <stdlib.h>

static altmin_error tiam_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    (void)net;
    if (!(settings->rho > 0.0))
        return am_fail(st, ALTMIN_ERR_USAGE, "tiam needs rho > 0, got %g", settings->rho);
    if (settings->step == AM_STEP_EXACT && settings->p1 != settings->p2)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "tiam with --step exact minimises (W, b) jointly, which leaves no use for p1 = %g and "
                       "p2 = %g; give "
                       "them one value or choose --step cauchy",
                       settings->p1, settings->p2);
    return ALTMIN_OK;
}

static altmin_error tiam_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    const am_relaxed_rule rule = {
        .accelerate = 1, .guard = problem->settings->guard, .nesterov = 0, .own_inertia = 1};
    return am_relaxed_prepare(state, problem, rule, plan, st);
}

const am_method am_method_tiam = {
    .name = "tiam",
    .archs = AM_TRAINS(AM_ARCH_MLP),
    .title = "triple-inertial alternating minimisation on mDLAM's problem (Yan, Xu, Wang, Peng 2025)",
    .preset = {NULL, NULL, am_relaxed_best},
    .preset_for =
        {[AM_DATA_FEW] = {[AM_PRESET_BEST] = am_relaxed_few},
         [AM_DATA_VALUES] = {[AM_PRESET_DEFAULT] = am_relaxed_values, [AM_PRESET_BEST] = am_relaxed_values}},
    .stream = &am_method_tiam_stream,
    .check = tiam_check,
    .prepare = tiam_prepare,
    .start = am_relaxed_start,
    .sweep = am_relaxed_sweep,
    .measure = am_relaxed_measure,
    .subgradient = am_relaxed_subgradient,
    .weight = am_relaxed_weight,
    .bias = am_relaxed_bias,
    .form = am_relaxed_form,
    .release = free,
};
