/* What the runs of `altmin bench tta` sum up to, as text and as JSON. */
#include "host/cli/tta.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/bench.h"
#include "host/cli/table.h"
#include "host/io/machine.h"

/* ------------------------------------------------------------------------------------------- sums */

void am_tta_describe(am_tta *tta, const am_run_info *info)
{
    am_print_widths(tta->widths, sizeof tta->widths, info->width, info->n_layers);
    snprintf(tta->backend, sizeof tta->backend, "%s, %s", info->backend, info->backend_detail);
    tta->n_threads = info->n_threads, tta->n_train = info->n_train;
    tta->judge = info->n_test ? "test" : "valid";
    tta->n_judged = info->n_test ? info->n_test : info->n_valid;
}

/* Puts the runs in order of time, for the median. */
static int compare_times(const void *a, const void *b)
{
    return am_bench_compare_doubles(&((const am_tta_run *)a)->train_s, &((const am_tta_run *)b)->train_s);
}

void am_tta_sum_up(am_tta_group *g, size_t n_seeds)
{
    am_tta_run *run = g->run;
    double sum = 0.0;
    g->least = g->most = run[0].accuracy;
    for (size_t i = 0; i < n_seeds; i++) {
        sum += run[i].accuracy;
        g->least = fmin(g->least, run[i].accuracy);
        g->most = fmax(g->most, run[i].accuracy);
    }
    g->accuracy = sum / (double)n_seeds;
    qsort(run, n_seeds, sizeof *run, compare_times);
    g->median_s = 0.5 * (run[(n_seeds - 1) / 2].train_s + run[n_seeds / 2].train_s);
    g->least_s = run[0].train_s, g->most_s = run[n_seeds - 1].train_s;
}

const am_tta_group *am_tta_reached(const am_contestant *c, double target)
{
    for (size_t i = 0; i < c->n_groups; i++)
        if (c->group[i].accuracy >= target) return &c->group[i];
    return NULL;
}

/* ------------------------------------------------------------------------------------------- text */

static int name_width(const am_tta *tta)
{
    int width = 12;
    for (size_t i = 0; i < tta->n_contestants; i++) {
        const int n = (int)strlen(tta->contestant[i].name);
        if (n > width) width = n;
    }
    return width;
}

void am_tta_print_header(const am_tta *tta, const char *source)
{
    char cpu[128], n_train[32], n_judged[32];
    am_machine_cpu(cpu, sizeof cpu);
    am_print_count(n_train, sizeof n_train, tta->n_train);
    am_print_count(n_judged, sizeof n_judged, tta->n_judged);
    printf("problem   %s, %s samples of %s; accuracy of %s %s samples\n", tta->widths, n_train, source,
           n_judged, tta->judge);
    printf("machine   %s; %s, %zu thread%s\n", cpu, tta->backend, tta->n_threads,
           tta->n_threads == 1 ? "" : "s");
    printf("runs      seeds 1..%zu; a run counts with its accuracy at its end\n\n", tta->n_seeds);
    printf("%7s %10s %10s %10s %9s %9s %9s  %s\n", "passes", "seconds", "least", "most", "accuracy", "least",
           "most", "contestant");
}

void am_tta_print_group(const am_contestant *c, const am_tta_group *g)
{
    printf("%7g %10.3f %10.3f %10.3f %9.4f %9.4f %9.4f  %s\n", g->passes, g->median_s, g->least_s, g->most_s,
           g->accuracy, g->least, g->most, c->name);
}

void am_tta_print_times(const am_tta *tta)
{
    const int width = name_width(tta);
    printf("\nSeconds (median over the seeds) and passes of the shortest run whose mean accuracy is at "
           "least\n\n%-*s",
           width, "contestant");
    for (size_t i = 0; i < tta->n_targets; i++) printf(" %16g", tta->target[i]);
    putchar('\n');
    for (size_t k = 0; k < tta->n_contestants; k++) {
        const am_contestant *c = &tta->contestant[k];
        printf("%-*s", width, c->name);
        for (size_t i = 0; i < tta->n_targets; i++) {
            const am_tta_group *g = am_tta_reached(c, tta->target[i]);
            if (g)
                printf(" %9.3f (%4g)", g->median_s, g->passes);
            else
                printf(" %16s", "-");
        }
        putchar('\n');
    }
}

/* ------------------------------------------------------------------------------------------- JSON */

static cJSON *json_of_group(const am_tta_group *g, size_t n_seeds)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddNumberToObject(item, "passes", g->passes);
    cJSON_AddNumberToObject(item, "accuracy", g->accuracy);
    cJSON_AddNumberToObject(item, "median_s", g->median_s);
    cJSON *runs = cJSON_AddArrayToObject(item, "runs");
    for (size_t i = 0; i < n_seeds; i++) {
        cJSON *run = cJSON_CreateObject();
        cJSON_AddNumberToObject(run, "seed", (double)g->run[i].seed);
        cJSON_AddNumberToObject(run, "train_s", g->run[i].train_s);
        cJSON_AddNumberToObject(run, "accuracy", g->run[i].accuracy);
        cJSON_AddItemToArray(runs, run);
    }
    return item;
}

static cJSON *json_of_target(const am_contestant *c, double target)
{
    const am_tta_group *g = am_tta_reached(c, target);
    cJSON *item = cJSON_CreateObject();
    cJSON_AddNumberToObject(item, "accuracy", target);
    cJSON_AddItemToObject(item, "passes", g ? cJSON_CreateNumber(g->passes) : cJSON_CreateNull());
    cJSON_AddItemToObject(item, "median_s", g ? cJSON_CreateNumber(g->median_s) : cJSON_CreateNull());
    cJSON_AddItemToObject(item, "least_s", g ? cJSON_CreateNumber(g->least_s) : cJSON_CreateNull());
    cJSON_AddItemToObject(item, "most_s", g ? cJSON_CreateNumber(g->most_s) : cJSON_CreateNull());
    return item;
}

static cJSON *json_of_contestant(const am_tta *tta, const am_contestant *c)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", c->name);
    cJSON *groups = cJSON_AddArrayToObject(item, "lengths"),
          *targets = cJSON_AddArrayToObject(item, "reached");
    for (size_t i = 0; i < c->n_groups; i++)
        cJSON_AddItemToArray(groups, json_of_group(&c->group[i], tta->n_seeds));
    for (size_t i = 0; i < tta->n_targets; i++)
        cJSON_AddItemToArray(targets, json_of_target(c, tta->target[i]));
    return item;
}

cJSON *am_tta_json(const am_tta *tta, const char *source)
{
    cJSON *root = am_bench_json_new("tta");
    if (!root) return NULL;
    cJSON_AddStringToObject(root, "backend", tta->backend);
    cJSON_AddNumberToObject(root, "threads", (double)tta->n_threads);
    cJSON_AddStringToObject(root, "data", source);
    cJSON_AddStringToObject(root, "widths", tta->widths);
    cJSON_AddStringToObject(root, "judge", tta->judge);
    cJSON_AddNumberToObject(root, "n_train", (double)tta->n_train);
    cJSON_AddNumberToObject(root, "n_judged", (double)tta->n_judged);
    cJSON_AddNumberToObject(root, "seeds", (double)tta->n_seeds);
    cJSON_AddItemToObject(root, "targets", cJSON_CreateDoubleArray(tta->target, (int)tta->n_targets));
    cJSON *contestants = cJSON_AddArrayToObject(root, "contestants");
    for (size_t i = 0; i < tta->n_contestants; i++)
        cJSON_AddItemToArray(contestants, json_of_contestant(tta, &tta->contestant[i]));
    return root;
}
