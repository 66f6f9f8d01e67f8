/* The descriptor table of settings and look-ups in it; see settings.h. To add a setting: a field in struct
 * altmin_settings and a row in settings_rows/<group>.h. Defaults, checks, --help, the config file, the run log
 * and the model's metadata follow. --help prints groups and rows in the order they have here. */
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
static const char *const residency_names[] = {"auto", "device", "bytes", "host", "disk", NULL};
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
static const char *const split_names[] = {"2", "3", NULL};
static const char *const order_names[] = {"serial", "wavefront", "jacobi", NULL};
static const char *const form_names[] = {"auto", "normal", "sample", NULL};
static const char *const precision_names[] = {"auto", "fp32", "tf32", "bf16", NULL};
static const char *const launch_names[] = {"graph", "stream", "sync", NULL};
static const char *const gram_names[] = {"auto", "syrk", "gemm", NULL};
static const char *const preset_names[] = {"default", "paper", "best", NULL};
static const char *const no_yes_names[] = {"no", "yes", NULL};
static const char *const backend_names[] = {"auto", "ref", "cpu", "cuda", NULL};

/* One row: fields of am_setting by name; GROUP is the heading that the file of rows stands under. */
#define SETTING(...) {.group = GROUP, __VA_ARGS__},

static const am_setting table[] = {
#define GROUP "Data"
#include "host/train/settings_rows/data.h"
#undef GROUP
#define GROUP "Network"
#include "host/train/settings_rows/network.h"
#undef GROUP
#define GROUP "Method"
#include "host/train/settings_rows/method.h"
#undef GROUP
#define GROUP "Stream"
#include "host/train/settings_rows/stream.h"
#undef GROUP
#define GROUP "Run"
#include "host/train/settings_rows/run.h"
#undef GROUP
#define GROUP "Machine"
#include "host/train/settings_rows/machine.h"
#undef GROUP
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
