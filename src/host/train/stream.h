/* The stream shell: a pass over the samples in chunks, shared by every method that is forward-consistent. For each chunk of
 * m samples (m = n: the full batch)
 *
 *   0. point    What = W, or W + p2 D with D the last change (methods with inertia)
 *   1. lift     z_l = What_l a_{l-1} + b_l, a_l = h(z_l): every auxiliary exactly consistent; the chunk's loss comes free
 *   2. guard    on that loss: a bad chunk is skipped and the last good weights come back
 *   3. blocks   the method's own: r_l = z_l - m_l, l = L..1, with the weights fixed
 *   4. weights  jointly with the bias: T_l = [r_l a'/m, r_l 1/m], S_l = T_l H_l^-1, H_l = A_l + lam mean(diag A_l) I with A_l the
 *               running mean of [a;1][a;1]'; then M <- beta M + (1 - beta) S, W <- W + e_l M, or with inertia
 *               W+ = W + p1 D + e_l S, W+ <- W+ + p3 (W+ - W)
 *
 * A method supplies its point, its blocks and its defaults (am_stream_design), nothing else. Its state begins with an
 * am_stream; the functions of am_method that it does not need to change are those below.
 *
 * Files: stream.c (passes, lift, guard, schedule), stream_setup.c (settings, memory), stream_chunk.c (samples, thinning),
 * stream_weight.c (step 4), stream_input.c (constant first layer: whitening and its inverse). Equations: METHODS.md 8, 9. */
#ifndef AM_STREAM_H
#define AM_STREAM_H

#include "host/methods/method.h"
#include "host/train/whiten.h"

typedef struct am_stream am_stream;

/** Capacities that the kept samples of a chunk of m are sorted into, in eighths of m: the smallest they fit takes them. */
#define AM_THIN_SIZES 5
static inline size_t am_thin_size(size_t m, int i)
{
    static const size_t eighths[AM_THIN_SIZES + 1] = {0, 1, 2, 3, 4, 8};
    return (m * eighths[i] + 7) / 8;
}

/** What a method lends the shell. */
typedef struct am_stream_design {
    /** Issue the blocks of the chunk that was just lifted: fill layer[l].r for l = L..1 and leave weights alone. Views in
     *  layer[l] have as many columns as samples count (s->m); thinned chunks have zero columns at their end. */
    void (*blocks)(am_stream *s);
    /** Compute anew what blocks keep between refreshes, from the current weights; NULL: nothing. */
    void (*refresh)(am_stream *s);
    int keep_z;   /* z_l and a_l apart; else h'(z_l) comes from a_l (or h_l) and z_l is not kept */
    int inertial; /* D instead of M, with p1, p2, p3 of the settings */
    int scale_rate; /* e_l grows with ||r_L||/||r_l||, running averages: for blocks that shrink r from layer to layer */
    double boost;          /* else e_l = e boost^(L - l); 1: alike in all layers */
    double eta, lam, warm; /* where the settings leave them to the method (0) */
} am_stream_design;

/** How a layer's H^-1 is applied. */
typedef enum am_stream_inverse {
    AM_INVERSE_WHITE,  /* the input was whitened: H = I */
    AM_INVERSE_FACTOR, /* Cholesky */
    AM_INVERSE_DEFLATE /* (A + c I)^-1 on the span of a basis V that follows A's leading eigenvectors, 1/c off it */
} am_stream_inverse;

/** (X + c I)^-1 = (I - VK V')/c with V <- qr(X V) at each refresh, P = V'X V, VK = V P (P + c I)^-1. */
typedef struct am_deflation {
    size_t q;
    am_mat basis;             /* d x (q + 1): V and one column for the user */
    am_mat v, vk, y;          /* d x q; v in basis; y: scratch */
    am_mat p, h, eye, factor; /* q x q, three times, and q x 2q */
} am_deflation;

/** Scalars of a layer. */
typedef struct am_stream_layer_slots {
    am_slot trace, ridge;                 /* tr A; c = lam mean(diag [A, 1]) */
    am_slot over_ridge, over_bias, share; /* 1/c; 1/(1 + c); what T's bias column is scaled by */
    am_slot gain, fresh_gain; /* what S is scaled by: 1/c if the inverse leaves it out, (1 + o)/o with left */
    am_slot step, rate;       /* coefficients of S and of the direction in the update */
    am_slot d_in, d_out;      /* constants */
    am_slot left_trace, left_ridge; /* of B */
    am_slot r2, mean_r2, boost;     /* ||r_l||^2 of the chunk, its running mean, c_l */
    am_slot step2_w, step2_b;       /* ||change||^2 in the pass */
} am_stream_layer_slots;

/** A layer's matrices; views of the chunk at work have s->m columns. */
typedef struct am_stream_layer {
    am_layer_kind kind;
    am_stream_inverse inverse;
    int two_sided;
    size_t at;               /* offset in flat vectors */
    am_mat wb, w, b;         /* [W_l b_l] as one matrix d_l x (d_{l-1} + 1), and its parts */
    am_mat point_w, point_b; /* where the chunk is lifted */
    am_mat direction, step;  /* M or D, and S; like wb */
    am_mat start, start_b;   /* W_l and b_l at the start of the pass, as they are reported */
    am_mat a, h, z, r; /* of the chunk at work: a_l; h(z_l) of a block; z_l where the method keeps it; r_l */
    am_mat full_a, full_h, full_z, full_r; /* memory of the whole chunk */
    am_mat thin_a, thin_h, thin_z;         /* memory of the kept samples */
    am_mat gram, mean;                     /* A_l = running mean of a a' and s_l of a, the layer's input */
    am_mat part, part_mean;                /* scratch like them */
    am_mat factor;                         /* d x 2d */
    am_mat mean_bias, mean_edge; /* s/(1 + c); what the bias takes out of T: s/c (in right.basis) or s */
    am_mat edge_vk;              /* VK's/c, q x 1 */
    am_mat shares;               /* m x 1: slot share in every entry */
    am_mat u, left_u;            /* scratch: d_l x (q + 1), q x (d_{l-1} + 1) */
    am_deflation right, left;
    am_mat left_gram, left_part;    /* B_l = running mean of r r', d_l x d_l */
    am_mat identity, left_identity; /* of d_{l-1} and of d_l */
    am_stream_layer_slots slot;
} am_stream_layer;

/** Scalars of a run. */
typedef struct am_stream_slots {
    /* constants; fresh = 1 - beta, far: larger than any count */
    am_slot zero, one, two, half, far, beta, fresh, eta, lam, warm, n_total, forget, refresh;
    am_slot inv_m, inv_last, n_full, n_last; /* 1/m and m of a chunk and of the short last one */
    am_slot rho_out, over_kappa, residual;   /* 1/kappa twice; -1/(1 + kappa) */
    am_slot thin, size[AM_THIN_SIZES + 1], size_last[AM_THIN_SIZES + 1]; /* bt; bounds of capacities */
    am_slot p2, reach, length,
        over_samples;                    /* inertia: p2, (1 + p3) p1, 1 + p3; 1/samples of the input's Gram */
    am_slot loss, hits, drop, mean_loss; /* of the chunk */
    am_slot unit, smooth, scale, rate;   /* unit of losses, Lb, sc, e */
    am_slot seen, n_good, age, n_grams;  /* chunks; good ones; good ones since the refresh; refreshes + 1 */
    am_slot bad, good, keep, due;        /* decisions */
    am_slot thinning, thin_now, n_kept, fits[AM_THIN_SIZES];
    am_slot g, fresh_g, add_g;           /* weights of the running Gram, its successor's sum */
    am_slot total, n_guarded, n_samples; /* of the pass, in this order */
} am_stream_slots;

/** Samples of a chunk. */
typedef struct am_chunk {
    size_t m;
    am_mat target;
    const int32_t *label;
} am_chunk;

struct am_stream {
    am_problem problem;
    am_stream_design design;
    size_t n_layers, n, chunk; /* chunk = n: no order, no gather */
    size_t n_chunks, n_pass;   /* chunks of a whole pass; passes begun */
    size_t m;                  /* columns of the views */
    am_chunk now;
    am_input x; /* a_0 of the chunk at work */
    size_t n_flat;
    am_mat theta, good, direction, step, point; /* flat: [W b] of all layers, the first layer last */
    am_mat full_x, thin_x, y;
    am_mat raw_x; /* features of the chunk before they are whitened, where that is done chunk by chunk */
    void *label, *index, *order, *kept; /* of the chunk; its samples; order of the pass; kept columns */
    int32_t *host_order;
    int keeping;             /* look at this chunk's weights, whether to keep them */
    int thinning, two_sided; /* of the run */
    am_mat ones;             /* m x 1 */
    am_white white;          /* the first layer's coordinates */
    am_stream_slots slot;
    am_stream_layer layer[AM_MAX_HIDDEN + 2];
};

/* ---------------------------------------------------------------------------------------------- for methods */

/** Samples of a chunk: --batch, or all where that is 0 or too many, and for sparse data unless --batch was given. */
size_t am_stream_chunk(const am_problem *problem);
/** Refuse settings that cannot work in chunks; `name` begins the sentence. */
altmin_error am_stream_check(const char *name, const altmin_settings *settings, const am_net *net,
                             altmin_status *st);
/** Fill in what the design left to settings, take slots, declare matrices. */
altmin_error am_stream_prepare(am_stream *s, const am_problem *problem, const am_stream_design *design,
                               am_plan *plan, altmin_status *st);
altmin_error am_stream_start(am_stream *s, float *const *w, float *const *b, altmin_status *st);
/** One pass, or its part when --sweeps ends inside it. */
void am_stream_sweep(void *state);
void am_stream_measure(const void *state, const double *slot, am_measures *out);
am_mat am_stream_weight(const void *state, size_t l);
am_mat am_stream_bias(const void *state, size_t l);
const char *am_stream_form(const void *state, size_t l);
/** Free what the shell holds beside the plan; the state itself is the method's. */
void am_stream_free(am_stream *s);

/** r_L = (z* - z_L)/kappa, z* = argmin R(z; y) + 1/(2 kappa) ||z - z_L||^2; kappa = 0: r_L = -dR/dz at z_L. Issued by the
 *  shell before the blocks, since thinning chooses by it; a method may write over it. */
void am_stream_output(am_stream *s);
/** Wb_l, the weights of layer l that its blocks see. */
static inline am_mat am_stream_wb(const am_stream *s, size_t l)
{
    return s->layer[l].point_w;
}

/** identity <- I. */
altmin_error am_stream_upload_identity(am_ctx *ctx, am_mat identity, altmin_status *st);

/* ---------------------------------------------------------------------------------------------- between its files */

/** Samples of the chunk at work, m of them: the data themselves for full batches, gathered columns else; all views. */
void am_stream_take(am_stream *s, size_t m);
/** Choose samples by r_L, without bias (am_thin), and issue step(s) with views over those that were kept. */
void am_stream_thin(am_stream *s, void (*step)(am_stream *s));

/** Declare step 4 of all layers. */
void am_stream_weight_plan(am_stream *s, am_plan *plan);
/** Values that step 4 starts from: bases, identities. */
altmin_error am_stream_weight_start(am_stream *s, altmin_status *st);
/** Grams of the chunk's inputs into the running ones and everything derived from them. */
void am_stream_refresh(am_stream *s);
/** The same for the Grams of r from the left, after the blocks. */
void am_stream_refresh_left(am_stream *s);
/** T_l, S_l and the update of all layers. */
void am_stream_weights(am_stream *s);
/** Drop all running Grams: the next refresh begins with its own chunk. */
void am_stream_forget(am_stream *s);
/** c and what follows from it and from A_l, s_l of layer l: vectors, factor or deflation. */
void am_stream_invert(am_stream *s, am_ctx *ctx, size_t l);

/** Declare the first layer's matrices. */
void am_stream_input_plan(am_stream *s, am_plan *plan);
/** W_1 and b_1 as they come, before anything is whitened. */
void am_stream_input_upload(am_stream *s, const float *w, const float *b);
/** Gram matrix of the input and the whitened data, in the first pass: part of the training time. Not inside a sweep. */
void am_stream_input_start(am_stream *s);
/** Views of [W b] and its companions in flat vectors; d_in columns and the bias. */
void am_stream_view_weights(am_stream *s, size_t l, size_t d_in);
/** x <- whitened coordinates of the columns of raw, k x m from d_0 x m. */
void am_stream_whiten_chunk(am_stream *s, am_mat x, am_mat raw);
/** W_1 and b_1 in the data's coordinates. */
void am_stream_fold(am_stream *s);
#endif
