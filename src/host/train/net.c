/* Shapes, layer inputs and the forward pass; see net.h. */
#include "host/train/net.h"

#define AM_ACT_NAME(ID, name) name,
const char *am_act_name(int act)
{
    static const char *const names[AM_N_ACTS] = {AM_ACTIVATIONS(AM_ACT_NAME)};
    return names[act];
}

const char *am_loss_name(am_loss loss)
{
    static const char *const names[] = {"auto", "cross-entropy", "squared"};
    return names[loss];
}

const char *am_arch_name(am_arch arch)
{
    return am_setting_choice_name(am_setting_find("arch"), (int)arch);
}

size_t am_net_misfit(const am_net *net)
{
    const size_t last = net->n_layers;
    if (net->arch != AM_ARCH_RESNET) return 0;
    for (size_t l = 2; l < last; l++)
        if (net->width[l] != net->width[l - 1]) return l;
    return last > 1 && am_net_kind(net, last - 1) == AM_LAYER_BLOCK ? 0 : last;
}

size_t am_net_n_blocks(const am_net *net)
{
    size_t n = 0;
    for (size_t l = 1; l <= net->n_layers; l++) n += am_net_kind(net, l) == AM_LAYER_BLOCK;
    return n;
}

size_t am_net_max_width(const am_net *net, size_t first)
{
    size_t widest = 0;
    for (size_t l = first; l <= net->n_layers; l++)
        if (net->width[l] > widest) widest = net->width[l];
    return widest;
}

size_t am_net_n_parameters(const am_net *net)
{
    size_t n = 0;
    for (size_t l = 1; l <= net->n_layers; l++) n += net->width[l] * (net->width[l - 1] + 1);
    return n;
}

am_input am_input_cols(const am_input *x, size_t first, size_t n)
{
    am_input part = {0};
    if (am_input_is_sparse(x)) {
        part.sparse = x->sparse;
        part.sparse.start += first;
        part.sparse.cols = n;
    } else {
        part.dense = am_mat_cols(x->dense, first, n);
    }
    return part;
}

void am_input_apply(am_ctx *ctx, am_mat c, float alpha, am_mat w, const am_input *a, float beta)
{
    if (am_input_is_sparse(a))
        am_spmm(ctx, c, alpha, w, &a->sparse, 0, beta);
    else
        am_gemm(ctx, c, alpha, w, 0, a->dense, 0, beta);
}

void am_input_correlate(am_ctx *ctx, am_mat c, float alpha, am_mat r, const am_input *a, float beta)
{
    if (am_input_is_sparse(a))
        am_spmm(ctx, c, alpha, r, &a->sparse, 1, beta);
    else
        am_gemm(ctx, c, alpha, r, 0, a->dense, 1, beta);
}

am_mat am_forward(am_ctx *ctx, const am_net *net, const am_mat *w, const am_mat *b, const am_input *x,
                  am_mat buffer[2])
{
    const size_t n = am_input_n(x);
    am_input a = *x;
    am_mat p = {0};
    for (size_t l = 1; l <= net->n_layers; l++) {
        p = (am_mat){buffer[l % 2].data, net->width[l], n};
        am_input_apply(ctx, p, 1.0f, w[l], &a, 0.0f);
        const am_layer_kind kind = am_net_kind(net, l);
        if (kind == AM_LAYER_PLAIN)
            am_map(ctx, AM_MAP_ACTIVATE, net->act, &(am_map_args){.out = {p}, .in = {p}, .row = b[l]});
        else if (kind == AM_LAYER_INPUT)
            am_map(ctx, AM_MAP_ADD_ROW, 0, &(am_map_args){.out = {p}, .in = {p}, .row = b[l]});
        else if (kind == AM_LAYER_BLOCK)
            am_map(ctx, AM_MAP_RESIDUAL_BLOCK, net->act,
                   &(am_map_args){.out = {p}, .in = {p, a.dense}, .row = b[l]});
        a = (am_input){.dense = p};
    }
    return p;
}
