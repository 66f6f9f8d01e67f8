/* `altmin info`: describe this build and machine, a model file or a data source. */
#include "host/cli/args.h"
#include "host/cli/cli.h"
#include "host/cli/help.h"
#include "host/cli/info.h"
#include "host/cli/source.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { OPT_JSON, OPT_SETTINGS, OPT_PART };

static const am_option options[] = {
    [OPT_JSON] = {0, "json", NULL, "print one JSON object instead of text"},
    [OPT_SETTINGS] =
        {0, "settings", NULL,
         "print nothing but a model's training settings, a JSON object as 'altmin train --config' reads it"},
    [OPT_PART] = {0, "part", "NAME", "part of a named set or folder: train or test [default train]"},
};

static const char *const settings[] = {"label", "header", "task", NULL};

static const am_syntax syntax = {
    .verb = "info",
    .usage = "[MODEL|DATA] [options]",
    .summary = "Describe a model file or a data source; without one, this build and machine.",
    .option = options,
    .n_options = sizeof options / sizeof *options,
    .setting = settings,
    .n_operands = 1,
};

/* A safetensors file begins with the length of its header (8 bytes, little endian) and then the header's
 * brace. No data format that altmin reads has a brace at that place after such a length. */
static int looks_like_model(const char *path)
{
    unsigned char head[9] = {0};
    struct stat info;
    FILE *f = stat(path, &info) == 0 && S_ISREG(info.st_mode) ? fopen(path, "rb") : NULL;
    if (!f) return 0;
    const size_t n = fread(head, 1, sizeof head, f);
    fclose(f);
    const size_t n_path = strlen(path), n_ending = strlen(".safetensors");
    if (n_path > n_ending && strcmp(path + n_path - n_ending, ".safetensors") == 0) return 1;
    return n == sizeof head && head[8] == '{' && (head[4] | head[5] | head[6] | head[7]) == 0;
}

static altmin_error info_model(const am_args *args, const char *path, altmin_status *st)
{
    altmin_model *model;
    if (altmin_model_load(&model, path, st)) return st->code;
    if (!args->value[OPT_SETTINGS])
        am_info_model(path, model, args->value[OPT_JSON] != NULL);
    else if (model->settings_json)
        printf("%s\n", model->settings_json);
    else
        am_fail(st, ALTMIN_ERR_DATA, "%s does not tell its training settings", path);
    altmin_model_free(model);
    return st->code;
}

static altmin_error info_data(const am_args *args, const char *source, altmin_status *st)
{
    altmin_data *data;
    const char *part = args->value[OPT_PART];
    if (args->value[OPT_SETTINGS])
        return am_fail(st, ALTMIN_ERR_USAGE, "--settings: '%s' is not a model file", source);
    if (!part) part = am_data_has_part(source, "test") ? "train" : NULL;
    if (part && am_source_part(&part, source, st)) return st->code;
    const am_read_options opt = am_source_options(args->settings);
    if (am_data_open(&data, source, part ? part : "train", &opt, st)) return st->code;
    am_info_data(data, part, args->value[OPT_JSON] != NULL);
    altmin_data_free(data);
    return ALTMIN_OK;
}

static altmin_error info(const am_args *args, altmin_status *st)
{
    const char *subject = args->operand[0];
    if (subject)
        return looks_like_model(subject) ? info_model(args, subject, st) : info_data(args, subject, st);
    if (args->value[OPT_SETTINGS]) return am_fail(st, ALTMIN_ERR_USAGE, "--settings needs a model file");
    am_info_build(args->value[OPT_JSON] != NULL);
    return ALTMIN_OK;
}

int am_cli_info(int argc, char **argv)
{
    am_args args;
    altmin_status st = {0};
    int code = AM_EXIT_OK;
    if (am_args_parse(&args, &syntax, argc, argv, &st)) return am_cli_fail("info", &st);
    if (args.help)
        am_help_print(stdout, &syntax);
    else if (info(&args, &st))
        code = am_cli_fail("info", &st);
    am_args_free(&args);
    return code ? code : am_cli_flush("info");
}
