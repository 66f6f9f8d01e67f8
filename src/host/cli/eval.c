/* `altmin eval`: loss and accuracy (or mean squared error and R2) of a saved model on labelled data. */
#include "host/cli/args.h"
#include "host/cli/cli.h"
#include "host/cli/help.h"
#include "host/cli/source.h"
#include "host/cli/table.h"

#include <math.h>
#include <string.h>

#include "host/io/json.h"
#include "host/model/model.h"

enum { OPT_DATA, OPT_PART, OPT_JSON };

static const am_option options[] = {
    [OPT_DATA] = {0, "data", "DATA",
                  "labelled data to measure on: what 'altmin train --data' takes, or - for standard input"},
    [OPT_PART] = {0, "part", "NAME", "part of a named set or folder: train or test [default test]"},
    [OPT_JSON] = {0, "json", NULL, "print one JSON object instead of text"},
};

static const char *const settings[] = {"label", "header", "backend", "threads", NULL};

static const am_syntax syntax = {
    .verb = "eval",
    .usage = "MODEL --data DATA [options]",
    .summary = "Measure a saved model on labelled data. The model brings its own scaling and class names.",
    .option = options,
    .n_options = sizeof options / sizeof *options,
    .setting = settings,
    .n_operands = 1,
};

static void print_text(const char *path, const altmin_model *model, const altmin_data *data, const char *part,
                       const altmin_metrics *m)
{
    char widths[256], n[32];
    am_print_widths(widths, sizeof widths, model->width, model->n_layers);
    am_print_count(n, sizeof n, data->n_samples);
    printf("model     %s (%s %s)\n", path, model->arch, widths);
    printf("data      %s%s%s, %s samples\n", data->source, part ? " " : "", part ? part : "", n);
    printf("loss      %.6g\n", m->loss);
    if (model->n_classes) {
        printf("accuracy  %.4f (%.0f of %zu)\n", m->accuracy, m->accuracy * (double)data->n_samples,
               data->n_samples);
    } else {
        printf("mse       %.6g\n", m->mse);
        printf("r2        %.6g\n", m->r2);
    }
}

static void print_json(const char *path, const altmin_data *data, const char *part, const altmin_metrics *m)
{
    const struct {
        const char *name;
        double value;
    } field[] = {{"loss", m->loss}, {"accuracy", m->accuracy}, {"mse", m->mse}, {"r2", m->r2}};
    printf("{\"model\":");
    am_json_put_string(stdout, path);
    printf(",\"data\":");
    am_json_put_string(stdout, data->source);
    printf(",\"part\":");
    if (part)
        am_json_put_string(stdout, part);
    else
        printf("null");
    printf(",\"n_samples\":%zu", data->n_samples);
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        printf(",\"%s\":", field[i].name);
        am_json_put_real(stdout, field[i].value);
    }
    printf("}\n");
}

static altmin_error evaluate(const am_args *args, altmin_model **model, altmin_data **data, altmin_status *st)
{
    altmin_metrics metrics;
    const char *path = args->operand[0], *source = args->value[OPT_DATA], *part = args->value[OPT_PART];
    if (!path) return am_fail(st, ALTMIN_ERR_USAGE, "which model? usage: altmin eval %s", syntax.usage);
    if (!args->value[OPT_DATA])
        return am_fail(st, ALTMIN_ERR_USAGE, "which data? usage: altmin eval %s", syntax.usage);
    if (am_source_part(&part, source, st)) return st->code;

    if (altmin_model_load(model, path, st)) return st->code;
    const am_read_options opt = am_source_options_for_model(args->settings, *model);
    if (am_data_open(data, source, part ? part : "train", &opt, st)) return st->code;
    if (altmin_model_evaluate(*model, *data, args->settings, &metrics, st)) return st->code;
    if (args->value[OPT_JSON])
        print_json(path, *data, part, &metrics);
    else
        print_text(path, *model, *data, part, &metrics);
    return ALTMIN_OK;
}

int am_cli_eval(int argc, char **argv)
{
    am_args args;
    altmin_status st = {0};
    altmin_model *model = NULL;
    altmin_data *data = NULL;
    int code = AM_EXIT_OK;
    if (am_args_parse(&args, &syntax, argc, argv, &st)) return am_cli_fail("eval", &st);
    if (args.help)
        am_help_print(stdout, &syntax);
    else if (evaluate(&args, &model, &data, &st))
        code = am_cli_fail("eval", &st);
    altmin_data_free(data);
    altmin_model_free(model);
    am_args_free(&args);
    return code ? code : am_cli_flush("eval");
}
