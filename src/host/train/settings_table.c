/* The descriptor table of settings and look-ups in it; see settings.h. To add a setting: a field in struct
 * altmin_settings and a row here. Defaults, checks, --help, the config file, the run log and the model's
 * metadata follow. Rows are grouped: --help prints them in this order. */
#include "host/train/settings.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "host/methods/registry.h"
#include "kernels/formulas.h"

#define FIELD(f) offsetof(struct altmin_settings, f)

/* Largest count and seed: whole numbers survive JSON, which reads them as doubles, up to 2^53 - 1. */
#define COUNT_MAX 9007199254740991.0
#define NO_LIMIT  INFINITY

/* Each list is in the order of the enum it names. */
static const char *const header_names[] = {"auto", "no", "yes", NULL};
static const char *const task_names[] = {"auto", "classification", "regression", NULL};
static const char *const scaling_names[] = {"auto", "none", "unit", "standardise", NULL};
#define NAME_ONLY(id, name) name,
static const char *const activation_names[] = {AM_ACTIVATIONS(NAME_ONLY) NULL};
#undef NAME_ONLY
static const char *const arch_names[] = {"mlp", "resnet", NULL};
static const char *const loss_names[] = {"auto", "cross-entropy", "squared", NULL};
static const char *const init_names[] = {"he", "paper", NULL};
static const char *const schedule_names[] = {"cosine", "constant", NULL};
static const char *const accel_names[] = {"nesterov-guarded", "nesterov", "none", NULL};
static const char *const step_names[] = {"cauchy", "backtracking", "exact", NULL};
static const char *const form_names[] = {"auto", "normal", "sample", NULL};
static const char *const precision_names[] = {"auto", "fp32", "tf32", "bf16", NULL};
static const char *const launch_names[] = {"graph", "stream", "sync", NULL};
static const char *const gram_names[] = {"auto", "syrk", "gemm", NULL};
static const char *const preset_names[] = {"default", "paper", "best", NULL};
static const char *const guard_names[] = {"no", "yes", NULL};
static const char *const backend_names[] = {"auto", "ref", "cpu", "cuda", NULL};

static const am_setting table[] = {
    /* ---- Data ---- */
    {.name = "data",
     .type = AM_SET_TEXT,
     .offset = FIELD(data),
     .fallback = "digits",
     .group = "Data",
     .help =
         "training data: digits (embedded), mnist, fashion-mnist, a folder with the four standard IDX files, "
         "or a CSV, TSV, NPY, LIBSVM or IDX file"},
    {.name = "test",
     .type = AM_SET_TEXT,
     .offset = FIELD(test),
     .fallback = "none",
     .unset = "none",
     .group = "Data",
     .help = "test data, named like --data; sets and folders that bring a test part use it by themselves"},
    {.name = "label",
     .type = AM_SET_TEXT,
     .offset = FIELD(label),
     .fallback = "last",
     .unset = "last",
     .group = "Data",
     .help = "CSV column that holds the label: a name, or an index from 0 (negative: from the end); "
             "none: the file has no labels"},
    {.name = "header",
     .type = AM_SET_CHOICE,
     .offset = FIELD(header),
     .fallback = "auto",
     .choices = header_names,
     .choice_first = -1,
     .group = "Data",
     .help = "is the first CSV line a header with column names?"},
    {.name = "task",
     .type = AM_SET_CHOICE,
     .offset = FIELD(task),
     .fallback = "auto",
     .choices = task_names,
     .choice_first = -1,
     .group = "Data",
     .help = "what labels mean; auto: classes when they are text or few whole numbers, else values"},
    {.name = "valid",
     .type = AM_SET_REAL,
     .offset = FIELD(valid_fraction),
     .fallback = "0.1",
     .min = 0,
     .max = 1,
     .max_open = 1,
     .group = "Data",
     .help = "share of the training data held out for validation (stratified by class, drawn by --seed)"},
    {.name = "scale",
     .type = AM_SET_CHOICE,
     .offset = FIELD(scaling),
     .fallback = "auto",
     .choices = scaling_names,
     .group = "Data",
     .help = "scaling of features, fitted on training data and stored in the model; auto: unit for bytes, "
             "standardise for real numbers, none for sparse data"},

    /* ---- Network ---- */
    {.name = "arch",
     .type = AM_SET_CHOICE,
     .offset = FIELD(arch),
     .fallback = "mlp",
     .choices = arch_names,
     .group = "Network",
     .help = "mlp: a = h(W a + b) layer by layer; resnet: residual blocks a = a + h(W a + b) of equal width, "
             "after a "
             "linear input map when the data have another width, before a linear output layer"},
    {.name = "hidden",
     .type = AM_SET_WIDTHS,
     .offset = FIELD(hidden),
     .fallback = "100,100",
     .min = 1,
     .max = 2147483648.0,
     .group = "Network",
     .help = "widths of the hidden layers, first to last, e.g. 1000,1000; none: a linear model"},
    {.name = "activation",
     .type = AM_SET_CHOICE,
     .offset = FIELD(activation),
     .fallback = "relu",
     .choices = activation_names,
     .symbol = "h",
     .group = "Network",
     .help = "activation of the hidden layers"},
    {.name = "loss",
     .type = AM_SET_CHOICE,
     .offset = FIELD(loss),
     .fallback = "auto",
     .choices = loss_names,
     .symbol = "R",
     .group = "Network",
     .help = "loss at the output; auto: cross-entropy for classes, squared for values"},
    {.name = "init",
     .type = AM_SET_CHOICE,
     .offset = FIELD(init),
     .fallback = "he",
     .choices = init_names,
     .group = "Network",
     .help = "initial weights; paper: normal with standard deviation --init-scale; he: normal with variance "
             "2 / inputs of the layer"},
    {.name = "init-scale",
     .type = AM_SET_REAL,
     .offset = FIELD(init_scale),
     .fallback = "0.1",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .group = "Network",
     .help = "standard deviation of the initial weights with --init paper"},
    {.name = "bias-start",
     .type = AM_SET_REAL,
     .offset = FIELD(bias_start),
     .fallback = "0",
     .min = -1e6,
     .max = 1e6,
     .group = "Network",
     .help = "initial biases"},

    /* ---- Method ---- */
    {.name = "method",
     .type = AM_SET_CHOICE,
     .offset = FIELD(method),
     .fallback = "mdlam",
     .group = "Method",
     .help = "training method"},
    {.name = "rho",
     .type = AM_SET_REAL,
     .offset = FIELD(rho),
     .fallback = "1e-3",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .symbol = "rho",
     .group = "Method",
     .help = "penalty on z - (W a + b); the loss is a sum over samples, so rho is relative to their number"},
    {.name = "mu",
     .type = AM_SET_REAL,
     .offset = FIELD(mu),
     .fallback = "0",
     .min = 0,
     .max = NO_LIMIT,
     .symbol = "mu",
     .group = "Method",
     .help = "ridge penalty on the weights"},
    {.name = "accel",
     .type = AM_SET_CHOICE,
     .offset = FIELD(accel),
     .fallback = "nesterov-guarded",
     .choices = accel_names,
     .symbol = "w_k",
     .group = "Method",
     .help = "momentum; nesterov-guarded redoes a block without momentum when its objective does not fall"},
    {.name = "step",
     .type = AM_SET_CHOICE,
     .offset = FIELD(step),
     .fallback = "cauchy",
     .choices = step_names,
     .symbol = "theta",
     .group = "Method",
     .help =
         "weight step; cauchy: the best step along the gradient; backtracking: as published; exact: solve "
         "the layer's least squares"},
    {.name = "form",
     .type = AM_SET_CHOICE,
     .offset = FIELD(form),
     .fallback = "auto",
     .choices = form_names,
     .group = "Method",
     .help =
         "products behind a weight step; normal: on normal matrices, sample: on samples; auto: the cheaper "
         "one for each layer"},
    {.name = "eps-start",
     .type = AM_SET_REAL,
     .offset = FIELD(eps_start),
     .fallback = "100",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .symbol = "eps_0",
     .group = "Method",
     .help = "relaxation of a = h(z) in the first sweep"},
    {.name = "eps-factor",
     .type = AM_SET_REAL,
     .offset = FIELD(eps_factor),
     .fallback = "0.5",
     .min = 0,
     .max = 1,
     .min_open = 1,
     .max_open = 1,
     .group = "Method",
     .help = "what the relaxation is multiplied by after every sweep"},
    {.name = "eps-floor",
     .type = AM_SET_REAL,
     .offset = FIELD(eps_floor),
     .fallback = "1e-2",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .group = "Method",
     .help = "where the relaxation ends; it bounds how far a unit moves in one sweep"},
    {.name = "eps-restart",
     .type = AM_SET_COUNT,
     .offset = FIELD(eps_restart),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .unit = "sweeps",
     .group = "Method",
     .help = "mdlam, tiam: how often the relaxation goes back to --eps-again; 0: never"},
    {.name = "eps-again",
     .type = AM_SET_REAL,
     .offset = FIELD(eps_again),
     .fallback = "1",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .group = "Method",
     .help = "mdlam, tiam: relaxation after a restart"},
    {.name = "preset",
     .type = AM_SET_CHOICE,
     .offset = FIELD(preset),
     .fallback = "default",
     .choices = preset_names,
     .group = "Method",
     .help =
         "what settings that are not given become; default: the table's values and what the method needs; "
         "paper: its published values; best: with re-lift and restarts, which give up "
         "monotone descent for accuracy; not searched for systematically yet"},
    {.name = "mu-per-sample",
     .type = AM_SET_REAL,
     .offset = FIELD(mu_per_sample),
     .fallback = "0",
     .min = 0,
     .max = NO_LIMIT,
     .group = "Method",
     .help =
         "added to --mu, times the number of training samples, so that one value suits small and large data"},
    {.name = "loss-weight",
     .type = AM_SET_REAL,
     .offset = FIELD(loss_weight),
     .fallback = "1",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .group = "Method",
     .help = "factor on the loss in the objective; only its ratio to the penalties matters"},
    {.name = "relift",
     .type = AM_SET_COUNT,
     .offset = FIELD(relift),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .unit = "sweeps",
     .group = "Method",
     .help =
         "how often z and a are computed anew by a forward pass; 0: never, which is what theorems assume"},
    {.name = "p1",
     .type = AM_SET_REAL,
     .offset = FIELD(p1),
     .fallback = "0.7",
     .min = 0,
     .max = 1,
     .symbol = "p1",
     .group = "Method",
     .help = "tiam: inertia of the point a block steps from"},
    {.name = "p2",
     .type = AM_SET_REAL,
     .offset = FIELD(p2),
     .fallback = "0.7",
     .min = 0,
     .max = 1,
     .symbol = "p2",
     .group = "Method",
     .help = "tiam: inertia of the point where the gradient is taken"},
    {.name = "p3",
     .type = AM_SET_REAL,
     .offset = FIELD(p3),
     .fallback = "0.3",
     .min = 0,
     .max = 1,
     .max_open = 1,
     .symbol = "p3",
     .group = "Method",
     .help = "tiam: how far a block goes beyond its result"},
    {.name = "guard",
     .type = AM_SET_CHOICE,
     .offset = FIELD(guard),
     .fallback = "yes",
     .choices = guard_names,
     .group = "Method",
     .help = "tiam: redo a block without inertia when its objective does not fall (mdlam: see --accel)"},
    {.name = "gamma",
     .type = AM_SET_REAL,
     .offset = FIELD(gamma),
     .fallback = "1",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .symbol = "gamma",
     .group = "Method",
     .help = "bcd: penalty on a - h(z)"},
    {.name = "nu",
     .type = AM_SET_REAL,
     .offset = FIELD(nu),
     .fallback = "1e-6",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .symbol = "nu",
     .group = "Method",
     .help =
         "dladmm: penalty on z - (W a + b) and a - h(z) of the hidden layers; --rho is the output layer's"},
    {.name = "prox-w",
     .type = AM_SET_REAL,
     .offset = FIELD(prox_w),
     .fallback = "1",
     .min = 0,
     .max = NO_LIMIT,
     .symbol = "alpha",
     .group = "Method",
     .help = "bcd, dladmm with --step exact: weight of the squared change of W in its block"},
    {.name = "prox-z",
     .type = AM_SET_REAL,
     .offset = FIELD(prox_z),
     .fallback = "1",
     .min = 0,
     .max = NO_LIMIT,
     .symbol = "alpha",
     .group = "Method",
     .help = "bcd: the same for hidden z"},
    {.name = "prox-a",
     .type = AM_SET_REAL,
     .offset = FIELD(prox_a),
     .fallback = "0",
     .min = 0,
     .max = NO_LIMIT,
     .group = "Method",
     .help = "bcd: the same for hidden a"},
    {.name = "prox-out",
     .type = AM_SET_REAL,
     .offset = FIELD(prox_out),
     .fallback = "1",
     .min = 0,
     .max = NO_LIMIT,
     .symbol = "alpha",
     .group = "Method",
     .help = "bcd: the same for the output a"},
    {.name = "penalty-every",
     .type = AM_SET_COUNT,
     .offset = FIELD(penalty_every),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .unit = "sweeps",
     .group = "Method",
     .help = "dladmm: how often penalties are multiplied by --rho-factor and --nu-factor; 0: never"},
    {.name = "rho-factor",
     .type = AM_SET_REAL,
     .offset = FIELD(rho_factor),
     .fallback = "10",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .group = "Method",
     .help = "dladmm: factor on --rho every --penalty-every sweeps"},
    {.name = "nu-factor",
     .type = AM_SET_REAL,
     .offset = FIELD(nu_factor),
     .fallback = "1",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .group = "Method",
     .help = "dladmm: factor on --nu every --penalty-every sweeps"},

    {.name = "batch",
     .type = AM_SET_COUNT,
     .offset = FIELD(batch),
     .fallback = "250",
     .min = 0,
     .max = 2147483647.0,
     .unit = "samples",
     .symbol = "m",
     .group = "Method",
     .help = "sgd, adam: samples per step, drawn anew in every pass; 0: all samples"},
    {.name = "rate",
     .type = AM_SET_REAL,
     .offset = FIELD(rate),
     .fallback = "3e-3",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .group = "Method",
     .help = "sgd, adam: learning rate in the first step"},
    {.name = "schedule",
     .type = AM_SET_CHOICE,
     .offset = FIELD(schedule),
     .fallback = "cosine",
     .choices = schedule_names,
     .group = "Method",
     .help = "sgd, adam: learning rate over time; cosine: to zero at the end of sweep --sweeps"},
    {.name = "momentum",
     .type = AM_SET_REAL,
     .offset = FIELD(momentum),
     .fallback = "0.9",
     .min = 0,
     .max = 1,
     .max_open = 1,
     .group = "Method",
     .help = "sgd: share of the last step that is kept"},
    {.name = "beta1",
     .type = AM_SET_REAL,
     .offset = FIELD(beta1),
     .fallback = "0.9",
     .min = 0,
     .max = 1,
     .max_open = 1,
     .symbol = "beta_1",
     .group = "Method",
     .help = "adam: decay of the mean gradient"},
    {.name = "beta2",
     .type = AM_SET_REAL,
     .offset = FIELD(beta2),
     .fallback = "0.999",
     .min = 0,
     .max = 1,
     .max_open = 1,
     .symbol = "beta_2",
     .group = "Method",
     .help = "adam: decay of the mean squared gradient"},
    {.name = "adam-eps",
     .type = AM_SET_REAL,
     .offset = FIELD(adam_eps),
     .fallback = "1e-8",
     .min = 0,
     .max = NO_LIMIT,
     .min_open = 1,
     .symbol = "eps",
     .group = "Method",
     .help = "adam: added to the root of the mean squared gradient"},

    /* ---- Run ---- */
    {.name = "seed",
     .type = AM_SET_SEED,
     .offset = FIELD(seed),
     .fallback = "1",
     .min = 0,
     .max = COUNT_MAX,
     .group = "Run",
     .help = "seed of the initial weights and of the validation split"},
    {.name = "sweeps",
     .type = AM_SET_COUNT,
     .offset = FIELD(sweeps),
     .fallback = "100",
     .min = 1,
     .max = 1e9,
     .symbol = "K",
     .group = "Run",
     .help = "stop after this many sweeps over all blocks"},
    {.name = "time-limit",
     .type = AM_SET_REAL,
     .offset = FIELD(time_limit),
     .fallback = "0",
     .min = 0,
     .max = NO_LIMIT,
     .unit = "s",
     .group = "Run",
     .help = "stop after this much training time; 0: no limit"},
    {.name = "target-accuracy",
     .type = AM_SET_REAL,
     .offset = FIELD(target_accuracy),
     .fallback = "0",
     .min = 0,
     .max = 1,
     .group = "Run",
     .help = "stop at this validation accuracy (training accuracy without validation data); 0: off"},
    {.name = "patience",
     .type = AM_SET_COUNT,
     .offset = FIELD(patience),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .unit = "evaluations",
     .group = "Run",
     .help = "stop after this many evaluations without a better validation result; 0: off"},
    {.name = "tolerance",
     .type = AM_SET_REAL,
     .offset = FIELD(tolerance),
     .fallback = "0",
     .min = 0,
     .max = 1,
     .group = "Run",
     .help = "stop when the objective's relative change in a sweep falls below this; 0: off"},
    {.name = "eval-every",
     .type = AM_SET_COUNT,
     .offset = FIELD(eval_every),
     .fallback = "1",
     .min = 1,
     .max = 1e9,
     .unit = "sweeps",
     .group = "Run",
     .help = "how often loss and accuracy are measured"},

    /* ---- Machine ---- */
    {.name = "backend",
     .type = AM_SET_CHOICE,
     .offset = FIELD(backend),
     .fallback = "auto",
     .choices = backend_names,
     .group = "Machine",
     .help = "where to compute; auto says what it chose"},
    {.name = "gram",
     .type = AM_SET_CHOICE,
     .offset = FIELD(gram),
     .fallback = "auto",
     .choices = gram_names,
     .group = "Machine",
     .help = "how Gram products run on cpu; auto: measured at the start. The two round differently, so a run "
             "repeats "
             "bit for bit under the same choice (shown and logged with the backend); the number of threads "
             "does not "
             "matter"},
    {.name = "threads",
     .type = AM_SET_COUNT,
     .offset = FIELD(threads),
     .fallback = "0",
     .min = 0,
     .max = 4096,
     .group = "Machine",
     .help = "threads to use; 0: all cores"},
    {.name = "precision",
     .type = AM_SET_CHOICE,
     .offset = FIELD(precision),
     .fallback = "auto",
     .choices = precision_names,
     .group = "Machine",
     .help = "arithmetic of products on cuda, sums in fp32: tf32 and bf16 round what is multiplied; auto: "
             "tf32. cpu and ref "
             "always compute in fp32 or better"},
    {.name = "launch",
     .type = AM_SET_CHOICE,
     .offset = FIELD(launch),
     .fallback = "graph",
     .choices = launch_names,
     .group = "Machine",
     .help = "how a sweep is sent to cuda; graph: recorded once and replayed; stream: op by op; sync: op by "
             "op, waiting for "
             "each, so that times and places of errors are exact"},
};

enum { n_rows = sizeof table / sizeof table[0] };
_Static_assert(n_rows <= AM_MAX_SETTINGS,
               "settings.h remembers which rows were given: raise AM_MAX_SETTINGS");

const am_setting *am_setting_table(size_t *n)
{
    *n = n_rows;
    return table;
}

const am_setting *am_setting_find(const char *name)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (strcmp(table[i].name, name) == 0) return &table[i];
    }
    return NULL;
}

/* The registry knows the methods; a table of constants cannot ask it. */
const char *const *am_setting_choices(const am_setting *row)
{
    return row->offset == FIELD(method) ? am_method_names() : row->choices;
}

int am_setting_choice_value(const am_setting *row, const char *name, int *value)
{
    const char *const *names = am_setting_choices(row);
    for (int i = 0; names && names[i]; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *value = i + row->choice_first;
        return 1;
    }
    return 0;
}

const char *am_setting_choice_name(const am_setting *row, int value)
{
    const char *const *names = am_setting_choices(row);
    for (int i = 0; names && names[i]; i++) {
        if (i + row->choice_first == value) return names[i];
    }
    return NULL;
}

enum { longest_word = 40 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b; both at most longest_word long. */
static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    size_t cost[3][longest_word + 1]; /* rows i, i-1, i-2 of the usual table, in turn */
    for (size_t j = 0; j <= n_b; j++) cost[0][j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t *row = cost[i % 3], *above = cost[(i + 2) % 3], *two_above = cost[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = smaller(replaced, smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = smaller(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return cost[n_a % 3][n_b];
}

/* Short words must be closer: three edits turn any word of three letters into any other. A beginning of a
 * word, or a word with something behind it, counts as one edit. */
static size_t suggestion_distance(const char *typed, const char *word)
{
    size_t n = strlen(typed), n_word = strlen(word), shorter = smaller(n, n_word);
    if (n > longest_word || n_word > longest_word || n == 0) return SIZE_MAX;
    size_t distance = edit_distance(typed, n, word, n_word);
    if (distance > 1 && shorter >= 3 && strncmp(typed, word, shorter) == 0) return 1;
    size_t allowed = smaller(3, 1 + shorter / 3);
    return distance <= allowed && distance < shorter ? distance : SIZE_MAX;
}

const char *am_nearest_word(const char *word, const char *const *words)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; words[i]; i++) {
        size_t distance = suggestion_distance(word, words[i]);
        if (distance >= least) continue;
        least = distance;
        best = words[i];
    }
    return best;
}

const char *am_setting_nearest(const char *name)
{
    const char *names[n_rows + 1];
    for (size_t i = 0; i < n_rows; i++) names[i] = table[i].name;
    names[n_rows] = NULL;
    return am_nearest_word(name, names);
}
