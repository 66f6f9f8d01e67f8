/* `altmin train`: settings from flags and config file, data in, one run of the driver, model out.
 *
 * Order matters: everything that can be refused (paths, settings, data, plan) is refused before the first
 * sweep. */
#include "host/cli/args.h"
#include "host/cli/cli.h"
#include "host/cli/help.h"
#include "host/cli/keeper.h"
#include "host/cli/signals.h"
#include "host/cli/source.h"
#include "host/cli/table.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/io/file.h"
#include "host/train/log.h"

enum { OPT_OUTPUT, OPT_LOG, OPT_CONFIG, OPT_SAVE_EVERY, OPT_QUIET };

static const am_option options[] = {
    [OPT_OUTPUT] = {'o', "output", "FILE",
                    "where the model goes (safetensors), replaced in one step; /dev/null: nowhere "
                    "[default altmin.safetensors]"},
    [OPT_LOG] = {0, "log", "FILE", "write a run log, one JSON object a line: header, every sweep, result"},
    [OPT_CONFIG] = {0, "config", "FILE",
                    "read settings from a JSON object whose keys are the names below; options given "
                    "here win over it"},
    [OPT_SAVE_EVERY] = {0, "save-every", "SECONDS",
                        "save the best model so far during the run, at most this often; 0: "
                        "only at the end [default 60]"},
    [OPT_QUIET] = {'q', "quiet", NULL, "print nothing but errors"},
};

static const am_syntax syntax = {
    .verb = "train",
    .usage = "[--data DATA] [options] [-o MODEL]",
    .summary = "Train a fully connected network without gradients, by alternating minimisation. Without "
               "options: on the "
               "embedded digits, into altmin.safetensors.",
    .option = options,
    .n_options = sizeof options / sizeof *options,
    .all_settings = 1,
    .notes =
        "Ctrl-C (or SIGTERM) finishes the sweep, saves the best model and reports. A second one stops at\n"
        "once and saves the best model as of at most a second before. No signal, not even SIGKILL,\n"
        "leaves a damaged file.\n\n"
        "Exit codes: 0 done, also after one Ctrl-C; 1 failed; 2 wrong usage; 130 stopped by a second "
        "Ctrl-C.\n",
};

/* Everything a run needs, released in one place. */
typedef struct job {
    am_args args;
    const char *output; /* NULL: save nothing */
    double save_every_s;
    altmin_data *train, *test;
    altmin_trainer *trainer;
    am_log *log;
    am_table *table;
    am_keeper *keeper;
    am_signals *signals;
} job;

static altmin_error read_config(am_args *args, const char *path, altmin_status *st)
{
    enum { MAX_BYTES = 1 << 20 };
    unsigned char *text;
    size_t n;
    if (am_file_read(path, MAX_BYTES, &text, &n, st)) return st->code;
    const altmin_error error =
        am_settings_from_json(args->settings, (const char *)text, n, path, args->fixed, st);
    free(text);
    return error;
}

static altmin_error read_save_every(const char *text, double *seconds, altmin_status *st)
{
    char *end;
    *seconds = 60;
    if (!text) return ALTMIN_OK;
    *seconds = strtod(text, &end);
    if (end == text || *end || !(*seconds >= 0 && *seconds <= 1e9))
        return am_fail(st, ALTMIN_ERR_USAGE, "--save-every: '%.60s' is not a number of seconds, 0 or more",
                       text);
    return ALTMIN_OK;
}

/* Settle settings and output files, and refuse what cannot work, before any data is read. */
static altmin_error prepare(job *j, altmin_status *st)
{
    const char *const *value = j->args.value;
    if (value[OPT_CONFIG] && read_config(&j->args, value[OPT_CONFIG], st)) return st->code;
    if (read_save_every(value[OPT_SAVE_EVERY], &j->save_every_s, st)) return st->code;
    j->output = value[OPT_OUTPUT] ? value[OPT_OUTPUT] : "altmin.safetensors";
    if (strcmp(j->output, "/dev/null") == 0) j->output = NULL;
    if (j->output && am_output_check(j->output, "--output", st)) return st->code;
    if (value[OPT_LOG] && j->output && strcmp(value[OPT_LOG], j->output) == 0)
        return am_fail(st, ALTMIN_ERR_USAGE, "--log and --output both name '%s'", j->output);
    return ALTMIN_OK;
}

static altmin_error open_trainer(job *j, altmin_status *st)
{
    const am_observer table = j->table ? am_table_observer(j->table) : (am_observer){0};
    return am_trainer_new(&j->trainer, j->args.settings, j->train, j->test, &table, 1, st);
}

/* The driver with its observers. The keeper comes last: what the others show is then already on its way. */
static altmin_error run(job *j, const am_run_result **result, altmin_status *st)
{
    am_observer observer[3];
    size_t n = 0;
    if (j->table) observer[n++] = am_table_observer(j->table);
    if (j->log) observer[n++] = am_log_observer(j->log);
    observer[n++] = am_keeper_observer(j->keeper);
    am_signals_arm(j->signals, j->output ? am_keeper_rescue : NULL, j->keeper);
    return am_trainer_run(j->trainer, observer, n, am_signals_flag(j->signals), result, st);
}

static void report_files(const job *j, size_t n_bytes)
{
    char size[32];
    am_print_bytes(size, sizeof size, n_bytes);
    if (j->output) printf("wrote     %s (%s)\n", j->output, size);
    if (j->log) printf("wrote     %s (run log)\n", j->args.value[OPT_LOG]);
}

/* Save what the run reached, whether it ended well or not; the run's own error comes first. */
static altmin_error finish(job *j, altmin_error run_error, const am_run_result *result, altmin_status *st)
{
    size_t n_bytes;
    altmin_status save_status = {0}, log_status = {0};
    altmin_error save_error = ALTMIN_OK;
    if (!run_error && result->best.evaluated) { /* else nothing was learned that could replace an old file */
        save_error = am_keeper_finish(j->keeper, &n_bytes, &save_status);
        if (!save_error && j->table) report_files(j, n_bytes);
    } else if (j->output)
        am_keeper_rescue(j->keeper);
    const altmin_error log_error = am_log_close(j->log, &log_status);
    j->log = NULL;
    if (run_error) return run_error;
    if (save_error) return *st = save_status, save_error;
    if (log_error) return *st = log_status, log_error;
    if (result->stop == ALTMIN_STOP_NOT_FINITE)
        return am_fail(st, ALTMIN_ERR_NUMERIC, "%s", result->stop_detail);
    return ALTMIN_OK;
}

static altmin_error train(job *j, altmin_status *st)
{
    const char *log_path = j->args.value[OPT_LOG];
    const am_run_result *result = NULL;
    if (prepare(j, st) || am_signals_start(&j->signals, st) ||
        am_source_open(&j->train, &j->test, j->args.settings, st))
        return st->code;
    if (!j->args.value[OPT_QUIET]) {
        j->table = am_table_new(stdout, isatty(STDOUT_FILENO), j->output);
        if (!j->table) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the report");
    }
    if (open_trainer(j, st) || am_keeper_new(&j->keeper, j->trainer, j->output, j->save_every_s, st))
        return st->code;
    if (log_path && am_log_open(&j->log, log_path, st)) return st->code;
    const altmin_error error = run(j, &result, st);
    return finish(j, error, result, st);
}

static void release(job *j)
{
    am_signals_stop(j->signals); /* first: its thread may use the keeper */
    if (j->log) am_log_close(j->log, NULL);
    am_table_free(j->table);
    am_keeper_free(j->keeper);
    altmin_trainer_free(j->trainer);
    altmin_data_free(j->train);
    altmin_data_free(j->test);
    am_args_free(&j->args);
}

int am_cli_train(int argc, char **argv)
{
    job j = {0};
    altmin_status st = {0};
    int code = AM_EXIT_OK;
    if (am_args_parse(&j.args, &syntax, argc, argv, &st)) return am_cli_fail("train", &st);
    if (j.args.help) {
        am_help_print(stdout, &syntax);
    } else {
        /* A reader of our report that goes away (`| head`) must not take the model with it: the table notices
         * and ends the run in order. */
        signal(SIGPIPE, SIG_IGN);
        if (train(&j, &st)) code = am_cli_fail("train", &st);
    }
    release(&j);
    return code ? code : am_cli_flush("train");
}
