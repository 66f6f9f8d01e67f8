/* Settings of a run: one descriptor table (settings_table.c) gives each its name, type, default, range, unit, help
 * and paper symbol, and drives defaults, validation, --help, the config file, the run log and the model's
 * metadata. */
#ifndef AM_SETTINGS_H
#define AM_SETTINGS_H

#include <stdio.h>

#include "altmin/altmin.h"
#include "base/status.h"

#define AM_MAX_HIDDEN   256
#define AM_MAX_SETTINGS 96 /* rows of the table */

typedef struct am_widths {
    size_t n;
    size_t width[AM_MAX_HIDDEN];
} am_widths;

typedef enum am_arch { AM_ARCH_MLP, AM_ARCH_RESNET } am_arch;
typedef enum am_accel { AM_ACCEL_NESTEROV_GUARDED, AM_ACCEL_NESTEROV, AM_ACCEL_NONE } am_accel;
typedef enum am_step_rule { AM_STEP_CAUCHY, AM_STEP_BACKTRACKING, AM_STEP_EXACT } am_step_rule;
typedef enum am_init { AM_INIT_HE, AM_INIT_PAPER } am_init;
typedef enum am_schedule { AM_SCHEDULE_COSINE, AM_SCHEDULE_CONSTANT } am_schedule;
typedef enum am_preset { AM_PRESET_DEFAULT, AM_PRESET_PAPER, AM_PRESET_BEST, AM_N_PRESETS } am_preset;
typedef enum am_order { AM_ORDER_SERIAL, AM_ORDER_WAVEFRONT, AM_ORDER_JACOBI } am_order;
typedef enum am_residency {
    AM_RESIDENCY_AUTO,
    AM_RESIDENCY_DEVICE,
    AM_RESIDENCY_BYTES,
    AM_RESIDENCY_HOST,
    AM_RESIDENCY_DISK
} am_residency;
typedef enum am_form { AM_FORM_AUTO, AM_FORM_NORMAL, AM_FORM_SAMPLE } am_form;

struct altmin_settings {
    /* data */
    char *data, *test;     /* source names; NULL: none */
    char *label;           /* CSV label column; NULL: last */
    int header;            /* -1 detect, 0, 1 */
    int task;              /* am_read_options.task */
    double valid_fraction; /* share of training data held out for validation */
    int scaling;           /* am_scaling */
    int residency;         /* am_residency */
    /* network */
    int arch;          /* am_arch */
    am_widths hidden;  /* widths of hidden layers; n = 0: a linear model */
    int activation;    /* am_act */
    int loss;          /* am_loss: auto, cross-entropy, squared */
    int init;          /* am_init */
    double init_scale; /* standard deviation of AM_INIT_PAPER weights */
    double bias_start; /* initial biases */
    /* method */
    int method;                              /* index in the method registry */
    double rho, mu;                          /* penalty, ridge */
    int accel;                               /* am_accel */
    int step;                                /* am_step_rule */
    int form;                                /* am_form: forced weight form, for tests and comparison */
    double eps_start, eps_factor, eps_floor; /* relaxation schedule: eps <- max(eps*factor, floor) */
    size_t eps_restart;                      /* sweeps; 0: off. Every so often eps <- eps_again */
    double eps_again;
    int preset;                              /* am_preset: values of settings that were not given */
    double mu_per_sample;                    /* added to mu, times the number of training samples */
    double loss_weight;                      /* c in c R(z_L; y) */
    size_t relift;                           /* sweeps between re-lifts; 0: off */
    double p1, p2, p3;                       /* tiam */
    int guard;                               /* tiam: 0, 1 */
    double gamma;                            /* bcd: penalty on a - h(z) */
    double nu;                               /* dladmm: penalty of the hidden layers */
    double prox_w, prox_z, prox_a, prox_out; /* bcd: weights of ||change||^2/2 */
    size_t penalty_every;                    /* dladmm: sweeps between rises of the penalties; 0: off */
    double rho_factor, nu_factor;
    /* radmm */
    double beta; /* penalty of the head */
    int split;   /* 2, 3 */
    int order;   /* am_order */
    /* gradient methods */
    size_t batch;                  /* samples per step; 0: all */
    double rate;                   /* learning rate */
    int schedule;                  /* am_schedule */
    double momentum;               /* of sgd */
    double beta1, beta2, adam_eps; /* of adam */
    /* methods that go through the samples in chunks */
    int stream;          /* 0, 1: the method's blocks over the stream shell */
    double box;          /* half-width of the linearised box, relative */
    double boost;        /* of rates from a layer to the one below; 0: automatic */
    double eta, lam;     /* length and prox weight of weight steps; 0: the method's */
    double gam;          /* fcam: prox weight of the downward map; may be infinite */
    double kappa;        /* of the output block */
    double warm;         /* chunks; 0: the method's */
    size_t refresh;      /* chunks */
    double forget;       /* share of the running Gram that a refresh keeps */
    size_t rank;         /* of deflated inverses; 0: Cholesky */
    int two_sided;       /* -1 auto, 0, 1 */
    double thin;         /* 0: off */
    double whiten;       /* share of energy; 0: off */
    size_t gram_samples; /* 0: all */
    /* run */
    uint64_t seed;
    double sweeps;          /* passes of methods that go in chunks, which may end inside one; else whole */
    double time_limit;      /* seconds; 0: none */
    double target_accuracy; /* 0: none */
    size_t patience;        /* evaluations; 0: off */
    double tolerance;       /* relative objective change; 0: off */
    size_t eval_every;      /* sweeps between evaluations */
    int subgradient;        /* 0, 1: measure it after every sweep */
    /* machine */
    int backend;    /* am_backend_kind: auto, ref, cpu, cuda */
    size_t threads; /* 0: all */
    int gram;       /* am_gram_rule: auto, syrk, gemm */
    int precision;  /* am_precision: auto, fp32, tf32, bf16 */
    int launch;     /* am_launch: graph, stream, sync */

    /* not a row of the table: 1 for each row that was set since altmin_settings_new; presets leave those alone */
    unsigned char given[AM_MAX_SETTINGS];
};

typedef enum am_setting_type {
    AM_SET_TEXT,   /* char *, malloc'ed */
    AM_SET_REAL,   /* double */
    AM_SET_COUNT,  /* size_t */
    AM_SET_SEED,   /* uint64_t */
    AM_SET_CHOICE, /* int, index + choice_first into a list of names */
    AM_SET_WIDTHS  /* am_widths */
} am_setting_type;

/** Sweeps of a run, the last of which may be a part of one. */
static inline size_t am_settings_n_sweeps(const altmin_settings *s)
{
    const size_t whole = (size_t)s->sweeps;
    return (double)whole < s->sweeps ? whole + 1 : whole;
}

/** Steps of pass number `pass` = 1, 2, .. of a method that goes in n_steps chunks through the samples: all, but for the last
 * pass when --sweeps ends inside it, and one at least. */
size_t am_settings_steps_of_pass(const altmin_settings *s, size_t pass, size_t n_steps);
/** Steps of the whole run. */
double am_settings_steps_of_run(const altmin_settings *s, size_t n_steps);

/** One row of the table. */
typedef struct am_setting {
    const char *name; /* "eps-floor": the command line's --eps-floor, the config file's "eps-floor" */
    am_setting_type type;
    size_t offset;        /* in struct altmin_settings */
    const char *fallback; /* the default, as text */
    const char
        *unset;      /* AM_SET_TEXT: the word that stands for NULL ("none"), or NULL when text is required */
    double min, max; /* allowed range; max may be infinite, the value only where takes_inf */
    int min_open, max_open;     /* 1: the bound itself is not allowed */
    const char *const *choices; /* NULL-terminated names for AM_SET_CHOICE; read them by am_setting_choices */
    int takes_inf;              /* AM_SET_REAL: the value may be infinite, spelt inf */
    int choice_first;           /* value of the first choice (-1 for tri-states) */
    const char *unit;           /* "s", "samples", NULL */
    const char *symbol;         /* the paper's letter, or NULL */
    const char *group;          /* heading in --help: "Data", "Network", "Method", "Run", "Machine" */
    const char *help;           /* one sentence */
} am_setting;

/** The table; *n receives the number of rows. */
const am_setting *am_setting_table(size_t *n);
/** Row by name, or NULL. */
const am_setting *am_setting_find(const char *name);
/** Name in the table nearest to `name` (edit distance at most 3, or a common prefix), or NULL. For "did you
 * mean". */
const char *am_setting_nearest(const char *name);
/** Record ALTMIN_ERR_USAGE for a name that is not in the table, with the nearest one as suggestion. */
altmin_error am_setting_unknown(const char *name, altmin_status *st);
/** Names of an AM_SET_CHOICE row in the order of their values, NULL-terminated; NULL for other rows. */
const char *const *am_setting_choices(const am_setting *row);
/** Value of a choice by its name into *value; 1 when it is found, else 0. For names read from files. */
int am_setting_choice_value(const am_setting *row, const char *name, int *value);
/** Name of a choice by its value, or NULL when there is none. */
const char *am_setting_choice_name(const am_setting *row, int value);
/** Member of the NULL-terminated list `words` nearest to `word`, or NULL when none is near enough to suggest.
 */
const char *am_nearest_word(const char *word, const char *const *words);
/** Set one row from text; the error sentence names the setting, the value and what is allowed. */
altmin_error am_setting_set(const am_setting *row, altmin_settings *settings, const char *text,
                            altmin_status *st);
/** 1 when the row `name` was set by am_setting_set: what presets leave alone. */
int am_setting_given(const altmin_settings *settings, const char *name);
/** Set rows from NULL-terminated name, value pairs (NULL: none), except those that were given by am_setting_set. */
altmin_error am_settings_apply_preset(altmin_settings *settings, const char *const *pairs, altmin_status *st);
/** Current value as text into buf (as altmin_settings_set would accept it). */
void am_setting_print(const am_setting *row, const altmin_settings *settings, char *buf, size_t n_buf);
/** Deep copy; NULL when memory is not there. */
altmin_settings *am_settings_copy(const altmin_settings *settings);
/** All settings as a JSON object in malloc'ed text, NULL when memory is not there. */
char *am_settings_to_json(const altmin_settings *settings);
/** Apply a JSON object (unknown names, wrong types, duplicate keys are errors that name the key and
 * `source`). Rows whose byte in `fixed` is not 0 (one byte per table row, may be NULL) are checked but left
 * alone: command-line flags win. On failure no setting is changed. */
altmin_error am_settings_from_json(altmin_settings *settings, const char *json, size_t n_json,
                                   const char *source, const unsigned char *fixed, altmin_status *st);
/** Print the table as help text, 96 columns wide. `pick` is a NULL-terminated list of group headings ("Run")
 * and setting names ("label"); NULL prints everything. */
void am_settings_help(FILE *out, const char *const *pick);
#endif
