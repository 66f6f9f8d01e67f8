/* Sets of class names: looking a label up, and renumbering a data set's labels to follow another set of
 * names. */
#include "host/readers/readers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int same_number(const char *a, size_t n_a, const char *b, size_t n_b)
{
    int64_t i, j;
    float x, y;
    if (am_parse_integer(a, n_a, &i) == 0 && am_parse_integer(b, n_b, &j) == 0) return i == j;
    if (am_parse_number(a, n_a, &x) != AM_NUMBER_OK || am_parse_number(b, n_b, &y) != AM_NUMBER_OK) return 0;
    return !(x < y) && !(x > y);
}

int32_t am_class_index(const char *text, size_t n, char *const *name, size_t n_classes)
{
    for (size_t i = 0; i < n_classes; ++i)
        if (strlen(name[i]) == n && memcmp(name[i], text, n) == 0) return (int32_t)i;
    for (size_t i = 0; i < n_classes; ++i)
        if (same_number(text, n, name[i], strlen(name[i]))) return (int32_t)i;
    return -1;
}

const char *am_class_list(char out[400], char *const *name, size_t n_classes)
{
    enum { N_SHOWN = 5 };
    size_t used = 0;
    char excerpt[64];
    out[0] = '\0';
    for (size_t i = 0; i < n_classes && i < N_SHOWN; ++i)
        used += (size_t)snprintf(out + used, 400 - used, "%s'%s'", i ? ", " : "",
                                 am_excerpt(excerpt, name[i], strlen(name[i])));
    if (n_classes > N_SHOWN) snprintf(out + used, 400 - used, ", ...");
    return out;
}

static altmin_error fail_unknown(const altmin_data *data, size_t sample, char *const *name, size_t n_classes,
                                 altmin_status *st)
{
    char excerpt[64], names[400];
    const char *unknown = data->class_name[data->label[sample]];
    return am_fail(st, ALTMIN_ERR_DATA,
                   "cannot use '%s': the label '%s' of sample %zu is none of the %zu known classes (%s)",
                   data->source, am_excerpt(excerpt, unknown, strlen(unknown)), sample + 1, n_classes,
                   am_class_list(names, name, n_classes));
}

/* New labels by way of to[old class]. */
static altmin_error renumber(altmin_data *data, const int32_t *to, char *const *name, size_t n_classes,
                             altmin_status *st)
{
    int32_t *label = malloc(data->n_samples * sizeof *label);
    if (!label) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu labels", data->n_samples);
    for (size_t j = 0; j < data->n_samples; ++j) {
        label[j] = to[data->label[j]];
        if (label[j] < 0) {
            free(label);
            return fail_unknown(data, j, name, n_classes, st);
        }
    }
    altmin_error code = am_data_own(data, label, st);
    if (!code) data->label = label;
    return code;
}

altmin_error am_data_map_classes(altmin_data *data, char *const *class_name, size_t n_classes,
                                 altmin_status *st)
{
    char **names = NULL;
    if (!data->label)
        return am_fail(st, ALTMIN_ERR_DATA, "cannot use '%s': it has %s, class labels are needed",
                       data->source, data->target ? "regression targets" : "no labels");
    int32_t *to = malloc(data->n_classes * sizeof *to);
    if (!to) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu classes", data->n_classes);
    for (size_t i = 0; i < data->n_classes; ++i)
        to[i] = am_class_index(data->class_name[i], strlen(data->class_name[i]), class_name, n_classes);
    altmin_error code = renumber(data, to, class_name, n_classes, st);
    free(to);
    if (!code) code = am_data_copy_names(data, class_name, n_classes, &names, st);
    if (code) return code;
    data->class_name = names;
    data->n_classes = n_classes;
    return ALTMIN_OK;
}
