/* Checks that streamed methods share; see streamed.h. */
#include "host/methods/streamed.h"

#include "host/train/stream.h"

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
