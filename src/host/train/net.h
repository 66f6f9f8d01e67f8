/* The network's shape, samples in backend memory, and the forward pass: everything a method and the evaluation share.
 *
 * Layers are numbered l = 1..L as in the papers; arrays indexed by layer have L + 1 entries and leave 0 to the input.
 * p_l = W_l a_{l-1} is kept without its bias, which the elementwise maps add as they read it: m_l = p_l + b_l 1'. */
#ifndef AM_NET_H
#define AM_NET_H

#include "host/train/settings.h"
#include "kernels/backend.h"

typedef enum am_loss { AM_LOSS_AUTO, AM_LOSS_CROSS_ENTROPY, AM_LOSS_SQUARED } am_loss;

/** What a layer does with z_l = W_l a_{l-1} + b_l. */
typedef enum am_layer_kind {
    AM_LAYER_PLAIN,  /* a_l = h(z_l) */
    AM_LAYER_INPUT,  /* a_l = z_l: the input map of a residual network */
    AM_LAYER_BLOCK,  /* a_l = a_{l-1} + h(z_l): a residual block, width[l] = width[l-1] */
    AM_LAYER_OUTPUT, /* z_L alone */
} am_layer_kind;

/** A residual network (Xu, Li, Xing 2023/2025) is a row of blocks of one width d, with an input map as layer 1 when the
 *  data have another width, and the output layer L: widths d, d, .., d, outputs or features, d, .., d, outputs. */
typedef struct am_net {
    am_arch arch;
    size_t n_layers;                 /* L: weight layers */
    size_t width[AM_MAX_HIDDEN + 2]; /* width[0] features ... width[L] outputs */
    int act;                         /* am_act of hidden layers */
    am_loss loss;                    /* never AUTO */
    size_t n_classes;                /* 0: regression */
} am_net;

/** Names as settings and model files spell them. */
const char *am_act_name(int act);
const char *am_loss_name(am_loss loss);
const char *am_arch_name(am_arch arch);

/** Kind of layer l = 1..L; follows from arch and widths alone. */
static inline am_layer_kind am_net_kind(const am_net *net, size_t l)
{
    if (l == net->n_layers) return AM_LAYER_OUTPUT;
    if (net->arch == AM_ARCH_MLP) return AM_LAYER_PLAIN;
    return net->width[l] == net->width[l - 1] ? AM_LAYER_BLOCK : AM_LAYER_INPUT;
}

/** First layer at which the widths stop being a network of net->arch: every hidden layer of a residual network but an
 *  input map is a block, and there is one at least. 0: they are one. */
size_t am_net_misfit(const am_net *net);

/** Number of residual blocks. */
size_t am_net_n_blocks(const am_net *net);

/** Largest of width[first..L]. */
size_t am_net_max_width(const am_net *net, size_t first);
size_t am_net_n_parameters(const am_net *net);

/** The input of a layer: dense (features x n) or sparse, and its row sums. A block adds its input to something, so the
 *  input of a block is dense. */
typedef struct am_input {
    am_mat dense; /* used when sparse.start is NULL */
    am_csc sparse;
    am_mat sum; /* s_a = a 1, d_in x 1; data NULL where nobody needs it */
} am_input;

typedef struct am_source am_source; /* host/train/source.h */

/** Samples in backend memory, or at least their labels. */
typedef struct am_samples {
    size_t n;
    am_input x;           /* where there is a source: its shape alone, and the sums */
    am_source *source;    /* where the features are when x does not hold them, else NULL */
    am_mat shift, factor; /* of the scaler, n_features x 1, for data that go up as bytes; else empty */
    int32_t *label;       /* n class numbers in backend memory; NULL for regression */
    int32_t *host_label;  /* the same in host memory, malloc'ed */
    am_mat target;        /* n_outputs x n for squared loss (one-hot rows for classes), else empty */
    double target_sst;    /* sum of (target - row mean)^2: the denominator of R^2 */
} am_samples;

/** Columns first..first+n of the input. */
am_input am_input_cols(const am_input *x, size_t first, size_t n);
static inline int am_input_is_sparse(const am_input *x)
{
    return x->sparse.start != NULL;
}
static inline size_t am_input_rows(const am_input *x)
{
    return am_input_is_sparse(x) ? x->sparse.rows : x->dense.rows;
}
static inline size_t am_input_n(const am_input *x)
{
    return am_input_is_sparse(x) ? x->sparse.cols : x->dense.cols;
}

/** C <- alpha W a + beta C: C is W.rows x n. */
void am_input_apply(am_ctx *ctx, am_mat c, float alpha, am_mat w, const am_input *a, float beta);
/** C <- alpha R a' + beta C: R is d_out x n, C is d_out x d_in. */
void am_input_correlate(am_ctx *ctx, am_mat c, float alpha, am_mat r, const am_input *a, float beta);

/** p_L of the forward pass for the samples in `x` (output bias not added), in one of the two buffers; each buffer holds
 *  am_net_max_width(net, 1) x n floats or more. w, b: L + 1 matrices, entry 0 unused. */
am_mat am_forward(am_ctx *ctx, const am_net *net, const am_mat *w, const am_mat *b, const am_input *x,
                  am_mat buffer[2]);
#endif
