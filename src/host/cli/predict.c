/* `altmin predict`: labels, class probabilities or values of a saved model for a file or for stdin. */
#include "host/cli/args.h"
#include "host/cli/cli.h"
#include "host/cli/help.h"
#include "host/cli/keeper.h"
#include "host/cli/predict_out.h"
#include "host/cli/source.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/io/file.h"

enum { OPT_DATA, OPT_OUTPUT, OPT_PROBA, OPT_FORMAT, OPT_NAMES, OPT_PART };

static const am_option options[] = {
    [OPT_DATA] = {0, "data", "DATA",
                  "data to apply the model to: what 'altmin train --data' takes, or - for standard input"},
    [OPT_OUTPUT] = {'o', "output", "FILE", "write to a file instead of standard output"},
    [OPT_PROBA] = {0, "proba", NULL, "class probabilities, one column a class, instead of labels"},
    [OPT_FORMAT] = {0, "format", "NAME", "csv or npy [default csv; npy when FILE ends so]"},
    [OPT_NAMES] = {0, "names", NULL, "begin the CSV with a line of column names"},
    [OPT_PART] = {0, "part", "NAME", "part of a named set or folder: train or test [default test]"},
};

static const char *const settings[] = {"label", "header", "backend", "threads", NULL};

static const am_syntax syntax = {
    .verb = "predict",
    .usage = "MODEL --data DATA|- [options]",
    .summary = "Apply a saved model. A CSV is "
               "taken to hold "
               "features alone; a column that is none is left out with --label.",
    .option = options,
    .n_options = sizeof options / sizeof *options,
    .setting = settings,
    .n_operands = 1,
};

typedef struct job {
    am_args args;
    altmin_model *model;
    altmin_data *data;
    float *out;
    am_predictions predictions;
    int npy;
} job;

static altmin_error check_arguments(job *j, altmin_status *st)
{
    const am_args *args = &j->args;
    const char *format = args->value[OPT_FORMAT], *output = args->value[OPT_OUTPUT];
    if (!args->operand[0])
        return am_fail(st, ALTMIN_ERR_USAGE, "which model? usage: altmin predict %s", syntax.usage);
    if (!args->value[OPT_DATA])
        return am_fail(st, ALTMIN_ERR_USAGE, "which data? usage: altmin predict %s", syntax.usage);
    if (format && strcmp(format, "csv") != 0 && strcmp(format, "npy") != 0)
        return am_fail(st, ALTMIN_ERR_USAGE, "--format: '%.60s' is neither csv nor npy", format);
    if (output && am_output_check(output, "--output", st)) return st->code;
    const size_t n = output ? strlen(output) : 0;
    j->npy = format ? strcmp(format, "npy") == 0 : n > 4 && strcmp(output + n - 4, ".npy") == 0;
    if (j->npy && !output && isatty(STDOUT_FILENO))
        return am_fail(st, ALTMIN_ERR_USAGE, "npy is binary and standard output is a terminal; give -o FILE");
    return ALTMIN_OK;
}

static altmin_error open_data(job *j, altmin_status *st)
{
    const altmin_settings *s = j->args.settings;
    const char *source = j->args.value[OPT_DATA], *part = j->args.value[OPT_PART];
    if (am_source_part(&part, source, st)) return st->code;
    am_read_options opt = am_source_options_for_model(s, j->model);
    opt.task = 2; /* labels, where there are any, are not looked at */
    opt.class_name = NULL;
    opt.n_classes = 0;
    if (am_data_open(&j->data, source, part ? part : "train", &opt, st)) return st->code;
    const size_t n = j->data->n_features, n_model = j->model->width[0];
    if (n == n_model + 1 && !s->label)
        return am_fail(
            st, ALTMIN_ERR_DATA,
            "%s has %zu columns, the model takes %zu features; if one column is the label, say which: "
            "--label NAME, or --label -1 for the last",
            j->data->source, n, n_model);
    return ALTMIN_OK;
}

static altmin_error compute(job *j, altmin_status *st)
{
    size_t n, n_bytes;
    const size_t n_outputs = altmin_model_n_outputs(j->model), n_samples = j->data->n_samples;
    if (am_size_mul(n_outputs, n_samples, &n) || am_size_mul(n, sizeof *j->out, &n_bytes) ||
        !(j->out = malloc(n_bytes ? n_bytes : 1)))
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu predictions", n_samples);
    j->predictions = (am_predictions){.model = j->model,
                                      .out = j->out,
                                      .n_outputs = n_outputs,
                                      .n_samples = n_samples,
                                      .proba = j->args.value[OPT_PROBA] != NULL,
                                      .names = j->args.value[OPT_NAMES] != NULL};
    return altmin_model_predict(j->model, j->data, j->args.settings, j->out, st);
}

static altmin_error write_all(FILE *f, void *user, altmin_status *st)
{
    const job *j = user;
    return j->npy ? am_predict_npy(f, &j->predictions, st) : am_predict_csv(f, &j->predictions, st);
}

static altmin_error predict(job *j, altmin_status *st)
{
    const char *output = j->args.value[OPT_OUTPUT];
    if (check_arguments(j, st) || altmin_model_load(&j->model, j->args.operand[0], st)) return st->code;
    if (open_data(j, st) || compute(j, st)) return st->code;
    return output ? am_file_replace(output, write_all, j, st) : write_all(stdout, j, st);
}

int am_cli_predict(int argc, char **argv)
{
    job j = {0};
    altmin_status st = {0};
    int code = AM_EXIT_OK;
    if (am_args_parse(&j.args, &syntax, argc, argv, &st)) return am_cli_fail("predict", &st);
    if (j.args.help)
        am_help_print(stdout, &syntax);
    else if (predict(&j, &st))
        code = am_cli_fail("predict", &st);
    free(j.out);
    altmin_data_free(j.data);
    altmin_model_free(j.model);
    am_args_free(&j.args);
    return code ? code : am_cli_flush("predict");
}
