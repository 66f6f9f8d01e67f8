/* Defaults and checks that streamed methods share; see streamed.h. */
#include "host/methods/streamed.h"

am_stream_design am_streamed_design(const am_problem *problem, double eta, double eta_full)
{
    const double boost = problem->settings->boost;
    const int full = am_stream_chunk(problem) == problem->train->n;
    return (am_stream_design){.scale_rate = boost <= 0.0,
                              .boost = boost > 0.0 ? boost : 1.0,
                              .eta = full ? eta_full : eta,
                              .lam = full ? 3.0 : 10.0,
                              .warm = full ? 5.0 : 20.0};
}

altmin_error am_streamed_check(const char *name, const altmin_settings *settings, const am_net *net,
                               altmin_status *st)
{
    if (settings->thin > 0.0)
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "%s: thin %g: the blocks are not linear in r, so leaving samples out would bias them; leave "
            "--thin out",
            name, settings->thin);
    return am_stream_check(name, settings, net, st);
}

altmin_error am_streamed_check_relu(const char *name, const altmin_settings *settings, const am_net *net,
                                    altmin_status *st)
{
    if (net->n_layers > 1 && net->act != AM_ACT_RELU)
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "%s has a closed form for its z block with ReLU alone; use --activation relu, or --method "
            "mdlam or fcam for %s",
            name, am_act_name(net->act));
    return am_streamed_check(name, settings, net, st);
}
