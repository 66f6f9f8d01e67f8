/* `altmin bench tta`: time to accuracy. Contestants (methods with settings) train the same network on the same data in one
 * process, one after the other, on the same threads; seeds 1..k.
 *
 * Schedules fall to zero at the end of a run, so a run counts with its accuracy at its end alone, and time to an accuracy is
 * that of the shortest run whose mean accuracy over the seeds reaches it. Each contestant therefore trains anew for 0.1
 * passes, 0.2 passes and so on, until the highest target is reached or the list of passes ends. The clock is the driver's:
 * sweeps with all that a method does in them (Gram matrices and whitening of the input, folding back), without reading and
 * uploading data and without evaluation. */
#include "host/cli/args.h"
#include "host/cli/bench.h"
#include "host/cli/cli.h"
#include "host/cli/help.h"
#include "host/cli/table.h"
#include "host/cli/tta.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/io/machine.h"
#include "host/train/trainer.h"

enum { OPT_JSON, OPT_METHODS, OPT_PASSES, OPT_SEEDS, OPT_SHAPE, OPT_TARGETS };

static const am_option options[] = {
    [OPT_JSON] = {0, "json", "FILE", "write all runs as one JSON object"},
    [OPT_METHODS] =
        {0, "methods", "LIST",
         "contestants, with commas between them: METHOD[:SETTING=VALUE[@P]].., where a value with @P counts "
         "for runs of at most P passes [default: fcam, also with gam inf, the streamed methods, adam and "
         "sgd, also "
         "with whitened inputs]"},
    [OPT_PASSES] = {0, "passes", "LIST",
                    "lengths of runs, ascending; methods that do whole passes only take the whole ones "
                    "[default " AM_TTA_PASSES "]"},
    [OPT_SEEDS] = {0, "seeds", "K", "train with seeds 1..K [default 3]"},
    [OPT_SHAPE] = AM_BENCH_SHAPE_OPTION,
    [OPT_TARGETS] = {0, "targets", "LIST", "accuracies, ascending [default " AM_TTA_TARGETS "]"},
};

static const am_syntax syntax = {
    .verb = "bench tta",
    .usage = "[--data DATA | --shape N,D,C] [--methods LIST] [options]",
    .summary = "Time to accuracy: train contestants on the same network and data, for longer and longer, and "
               "find how many "
               "seconds and passes each needs.",
    .option = options,
    .n_options = sizeof options / sizeof *options,
    .all_settings = 1,
    .notes = "Accuracies are those of the test data, of the validation part (--valid) where there are none. "
             "Unless given "
             "here:\n--valid 0. Other settings hold for all contestants.\n",
};

static const char *const defaults[] = {"valid", "0", "eval-every", "1000000000", NULL};

typedef struct job {
    am_args args;
    altmin_data *train, *test;
    am_tta tta;
} job;

/* ------------------------------------------------------------------------------------------- runs */

/* Accuracy of what was held back: the test data, else the validation part; NaN after a run that became NaN. */
static double judged(const am_run_result *result, const am_run_info *info)
{
    if (result->stop == ALTMIN_STOP_NOT_FINITE) return NAN;
    return info->n_test ? result->last.test.accuracy : result->last.valid.accuracy;
}

static altmin_error check_judge(const am_run_info *info, altmin_status *st)
{
    if (!info->n_classes)
        return am_fail(st, ALTMIN_ERR_USAGE, "%s has no classes: there is no accuracy to reach",
                       info->train_source);
    if (info->n_test || info->n_valid) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_USAGE,
                   "no test data beside %s: name some by --test, or hold a part back by --valid 0.1",
                   info->train_source);
}

static altmin_error train(job *j, am_tta_run *run, altmin_trainer *t, altmin_status *st)
{
    const am_run_result *result = NULL;
    const am_run_info *info = am_trainer_info(t);
    if (check_judge(info, st)) return st->code;
    t->spare_train = 1;
    if (am_trainer_run(t, NULL, 0, NULL, &result, st)) return st->code;
    run->train_s = result->train_s;
    run->accuracy = judged(result, info);
    am_tta_describe(&j->tta, info);
    return ALTMIN_OK;
}

static altmin_error run_once(job *j, const am_contestant *c, double passes, uint64_t seed, am_tta_run *run,
                             altmin_status *st)
{
    altmin_settings *settings = NULL;
    altmin_trainer *t = NULL;
    *run = (am_tta_run){.seed = seed, .accuracy = NAN};
    if (am_contestant_settings(&settings, c, passes, seed, st)) return st->code;
    altmin_error error = altmin_trainer_new(&t, settings, j->train, j->test, st);
    if (!error) error = train(j, run, t, st);
    altmin_trainer_free(t);
    altmin_settings_free(settings);
    return error;
}

/* All seeds for one number of passes. */
static altmin_error run_seeds(job *j, const am_contestant *c, am_tta_group *g, altmin_status *st)
{
    for (size_t i = 0; i < j->tta.n_seeds; i++)
        if (run_once(j, c, g->passes, i + 1, &g->run[i], st)) return st->code;
    am_tta_sum_up(g, j->tta.n_seeds);
    am_tta_print_group(c, g);
    return fflush(stdout) ? am_fail(st, ALTMIN_ERR_IO, "standard output cannot be written") : ALTMIN_OK;
}

/* Longer and longer runs, until the highest target is reached. */
static altmin_error run_contestant(job *j, am_contestant *c, altmin_status *st)
{
    const am_tta *tta = &j->tta;
    for (size_t i = 0; i < tta->n_passes; i++) {
        am_tta_group *g = &c->group[c->n_groups];
        if (!am_contestant_does(c, tta->passes[i])) continue;
        g->passes = tta->passes[i];
        if (run_seeds(j, c, g, st)) return st->code;
        c->n_groups++;
        if (g->accuracy >= tta->target[tta->n_targets - 1]) break;
    }
    return ALTMIN_OK;
}

/* A run that nobody counts: memory is touched, kernels are chosen, threads are there. */
static altmin_error warm_up(job *j, altmin_status *st)
{
    const am_contestant *c = &j->tta.contestant[0];
    am_tta_run run;
    size_t i = 0;
    while (!am_contestant_does(c, j->tta.passes[i])) i++;
    return run_once(j, c, j->tta.passes[i], 1, &run, st);
}

/* ------------------------------------------------------------------------------------------- the verb */

static altmin_error bench(job *j, altmin_status *st)
{
    const char *const *value = j->args.value;
    if (am_settings_apply_preset(j->args.settings, defaults, st)) return st->code;
    if (am_args_has_setting(&j->args, "method") || am_args_has_setting(&j->args, "sweeps") ||
        am_args_has_setting(&j->args, "seed"))
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "--method, --sweeps and --seed: say --methods LIST, --passes LIST and --seeds K here");
    if (am_tta_lists(&j->tta, value[OPT_PASSES], value[OPT_TARGETS], value[OPT_SEEDS], st) ||
        am_tta_contestants(&j->tta, value[OPT_METHODS], j->args.settings, st) ||
        am_bench_data(&j->train, &j->test, &j->args, value[OPT_SHAPE], st) || warm_up(j, st))
        return st->code;
    am_tta_print_header(&j->tta, j->train->source);
    for (size_t i = 0; i < j->tta.n_contestants; i++)
        if (run_contestant(j, &j->tta.contestant[i], st)) return st->code;
    am_tta_print_times(&j->tta);
    if (!value[OPT_JSON]) return ALTMIN_OK;
    return am_bench_json_write(am_tta_json(&j->tta, j->train->source), value[OPT_JSON], st);
}

int am_bench_tta(int argc, char **argv)
{
    altmin_status st = {0};
    int code = AM_EXIT_OK;
    job *j = calloc(1, sizeof *j);
    if (!j) return AM_EXIT_FAILURE;
    if (am_args_parse(&j->args, &syntax, argc, argv, &st)) {
        free(j);
        return am_cli_fail(syntax.verb, &st);
    }
    if (j->args.help)
        am_help_print(stdout, &syntax);
    else if (bench(j, &st))
        code = am_cli_fail(syntax.verb, &st);
    am_tta_free(&j->tta);
    altmin_data_free(j->train);
    altmin_data_free(j->test);
    am_args_free(&j->args);
    free(j);
    return code ? code : am_cli_flush(syntax.verb);
}
