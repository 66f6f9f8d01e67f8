/* What a training method is to the driver: a table of functions over its own state. A method declares its matrices in the
 * plan, arranges the steps of host/train/steps.h into a sweep, and says what its slots mean. It holds no loop over
 * sweeps, reads no clock and prints nothing. */
#ifndef AM_METHOD_H
#define AM_METHOD_H

#include "host/train/net.h"
#include "host/train/plan.h"

/* The blocks of one layer, as alternating minimisation names them. */
typedef enum am_block { AM_BLOCK_W, AM_BLOCK_B, AM_BLOCK_Z, AM_BLOCK_A, AM_N_BLOCKS } am_block;

typedef struct am_layer_measures {
    double step2
        [AM_N_BLOCKS]; /* ||change||^2 of each block in the last sweep; 0 where the layer has no such block */
    double box;        /* largest |a - h(z)|; 0 for the output layer */
    double residual2;  /* ||z - W a - b||^2 */
} am_layer_measures;

/** What one sweep did, in the method's own terms. */
typedef struct am_measures {
    double objective; /* F, a sum over samples */
    double eps;       /* relaxation used in the sweep; NaN for methods without one */
    size_t n_guarded; /* block updates redone by the guard in this sweep */
    double gradient;  /* norm of a subgradient of F at the end of the sweep; NaN where it was not measured */
    am_layer_measures layer[AM_MAX_HIDDEN + 2]; /* 1..L */
} am_measures;

typedef struct am_problem {
    am_ctx *ctx;
    const altmin_settings *settings;
    const am_net *net;
    const am_samples *train;
} am_problem;

#define AM_TRAINS(arch) (1u << (arch))

/** Training data, as far as settings that suit them differ. */
typedef enum am_data_kind {
    AM_DATA_CLASSES, /* classes, at least as many samples as features */
    AM_DATA_FEW,     /* classes, fewer samples than features */
    AM_DATA_VALUES,  /* regression */
    AM_N_DATA_KINDS
} am_data_kind;

typedef struct am_method am_method;
struct am_method {
    const char *name;
    const char *title; /* one line for help */
    unsigned archs; /* AM_TRAINS of each architecture it trains; others are refused before check is asked */
    int parts;      /* 1: --sweeps may end inside a sweep */
    /** Values of settings that were not given, as NULL-terminated name, value pairs by am_preset; NULL: the
     * table's own. */
    const char *const *preset[AM_N_PRESETS];
    /** More of the same for data of a kind; where both name a setting these count. */
    const char *const *preset_for[AM_N_DATA_KINDS][AM_N_PRESETS];
    const am_method *stream; /* the same method over the stream shell (--stream yes); NULL: there is none */
    int gathers; /* 1: draws its chunks by am_samples_next and am_samples_gather, so the data may lie anywhere */
    /** Refuse, with a sentence, settings or networks whose theory the method does not cover. */
    altmin_error (*check)(const altmin_settings *settings, const am_net *net, altmin_status *st);
    /** Create the state; declare matrices in the plan and take slots. */
    altmin_error (*prepare)(void **state, const am_problem *problem, am_plan *plan, altmin_status *st);
    /** After the plan is taken: upload initial weights w[l] (column-major, width[l] x width[l-1]) and b[l], derive the rest. */
    altmin_error (*start)(void *state, float *const *w, float *const *b, altmin_status *st);
    /** Settle how many sweeps the next call of sweep does, 1 to max, and return it; NULL: one. */
    size_t (*window)(void *state, size_t max);
    /** Issue one sweep, or those that window settled. */
    void (*sweep)(void *state);
    /** Explain the slots read after the sweep, the last one of a window. */
    void (*measure)(const void *state, const double *slot, am_measures *out);
    /** Explain sweep k = 0, 1, .. of a window; given with window. */
    void (*measure_at)(const void *state, const double *slot, size_t k, am_measures *out);
    /** Issue, between sweeps, what leaves ||g||^2 of a subgradient g of F at the current point in a slot, and return that
     * slot. Asked for with settings->subgradient alone, known at prepare; NULL: the method gives none. */
    am_slot (*subgradient)(void *state);
    /** Current W_l and b_l, l = 1..L, in backend memory. */
    am_mat (*weight)(const void *state, size_t l);
    am_mat (*bias)(const void *state, size_t l);
    /** "normal" or "sample": the weight step's form of layer l. */
    const char *(*form)(const void *state, size_t l);
    void (*release)(void *state);
};
#endif
