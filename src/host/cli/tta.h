/* What `altmin bench tta` knows: contestants, their runs, how soon each reached an accuracy. */
#ifndef AM_TTA_H
#define AM_TTA_H

#include <cjson/cJSON.h>

#include "host/train/driver.h"

#define AM_TTA_PASSES  ".1,.2,.4,.6,.8,1,1.5,2,2.5,3,4"
#define AM_TTA_TARGETS ".9,.95,.97,.975,.98"

#define AM_TTA_MOST        24 /* passes, targets, contestants */
#define AM_TTA_MOST_RULES  12
#define AM_TTA_NAME_LENGTH 120

typedef struct am_tta_run {
    uint64_t seed;
    double train_s, accuracy;
} am_tta_run;

/* Runs of one length, one for each seed. */
typedef struct am_tta_group {
    double passes;
    am_tta_run *run;
    double accuracy, least, most; /* mean and ends over the seeds; NaN when a run became NaN */
    double median_s, least_s, most_s;
} am_tta_group;

/* A setting of a contestant, for runs of at most `passes` passes (infinite: for all). */
typedef struct am_tta_rule {
    char name[24], value[40];
    double passes;
} am_tta_rule;

typedef struct am_contestant {
    char name[AM_TTA_NAME_LENGTH]; /* as it was written */
    const altmin_settings *common;
    size_t n_rules;
    am_tta_rule rule[AM_TTA_MOST_RULES]; /* the method's name first */
    int parts;                           /* runs may end inside a pass */
    size_t n_groups;
    am_tta_group group[AM_TTA_MOST]; /* by passes, ascending */
} am_contestant;

typedef struct am_tta {
    size_t n_passes, n_targets, n_seeds, n_contestants;
    double passes[AM_TTA_MOST], target[AM_TTA_MOST];
    am_contestant contestant[AM_TTA_MOST];
    am_tta_run *run; /* of all groups */
    /* the same in all runs */
    char widths[160], backend[160];
    size_t n_threads, n_train, n_judged;
    const char *judge; /* "test", "valid" */
} am_tta;

/** Read the lists of options --passes, --targets, --seeds; NULL: the default. Numbers ascend. */
altmin_error am_tta_lists(am_tta *tta, const char *passes, const char *targets, const char *seeds,
                          altmin_status *st);
/** Read the contestants of --methods (NULL: the default); `common` holds what was set for all. After am_tta_lists. */
altmin_error am_tta_contestants(am_tta *tta, const char *list, const altmin_settings *common,
                                altmin_status *st);
void am_tta_free(am_tta *tta);

/** 1 when the contestant can train for that many passes. */
int am_contestant_does(const am_contestant *c, double passes);
/** Settings of a run of so many passes with a seed; the caller's to free. */
altmin_error am_contestant_settings(altmin_settings **settings, const am_contestant *c, double passes,
                                    uint64_t seed, altmin_status *st);

/** Keep what is the same in all runs. */
void am_tta_describe(am_tta *tta, const am_run_info *info);
/** Means, medians and ends over the seeds. */
void am_tta_sum_up(am_tta_group *g, size_t n_seeds);
/** First group whose mean accuracy is `target` or more; NULL: none. */
const am_tta_group *am_tta_reached(const am_contestant *c, double target);

void am_tta_print_header(const am_tta *tta, const char *source);
void am_tta_print_group(const am_contestant *c, const am_tta_group *g);
void am_tta_print_times(const am_tta *tta);
/** NULL when memory is not there. */
cJSON *am_tta_json(const am_tta *tta, const char *source);
#endif
