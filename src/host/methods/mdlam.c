/* What is mDLAM's own: the rule of its momentum; see mdlam.h, and relaxed.c for the sweep. */
#include "host/methods/mdlam.h"

#include "host/methods/relaxed.h"
#include "host/methods/streamed.h"

#include <stdlib.h>

static altmin_error mdlam_check(const altmin_settings *settings, const am_net *net, altmin_status *st)
{
    (void)net; /* every activation in the list is monotone, which is all the boxes need */
    if (!(settings->rho > 0.0))
        return am_fail(st, ALTMIN_ERR_USAGE, "mdlam needs rho > 0, got %g", settings->rho);
    return ALTMIN_OK;
}

static altmin_error mdlam_prepare(void **state, const am_problem *problem, am_plan *plan, altmin_status *st)
{
    const int accel = problem->settings->accel, moves = accel != AM_ACCEL_NONE;
    const am_relaxed_rule rule = {.accelerate = moves,
                                  .guard = accel == AM_ACCEL_NESTEROV_GUARDED,
                                  .nesterov = moves,
                                  .own_inertia = 0};
    return am_relaxed_prepare(state, problem, rule, plan, st);
}

/* What the public script runs, with the momentum that it means to have. */
static const char *const paper[] = {"init",         "paper",     "init-scale", "0.1",        "step",
                                    "backtracking", "eps-start", "100",        "eps-factor", "0.5",
                                    "eps-floor",    "1e-3",      NULL};
const am_method am_method_mdlam = {
    .name = "mdlam",
    .archs = AM_TRAINS(AM_ARCH_MLP),
    .title = "monotone alternating minimisation under inequality constraints (Wang, Li, Zhao 2022)",
    .preset = {NULL, paper, am_relaxed_best},
    .preset_for =
        {[AM_DATA_FEW] = {[AM_PRESET_BEST] = am_relaxed_few},
         [AM_DATA_VALUES] = {[AM_PRESET_DEFAULT] = am_relaxed_values, [AM_PRESET_BEST] = am_relaxed_values}},
    .stream = &am_method_mdlam_stream,
    .check = mdlam_check,
    .prepare = mdlam_prepare,
    .start = am_relaxed_start,
    .sweep = am_relaxed_sweep,
    .measure = am_relaxed_measure,
    .subgradient = am_relaxed_subgradient,
    .weight = am_relaxed_weight,
    .bias = am_relaxed_bias,
    .form = am_relaxed_form,
    .release = free,
};
