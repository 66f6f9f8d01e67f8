/* Parsing of one verb's arguments; see args.h for the syntax. */
#include "host/cli/args.h"

#include <stdlib.h>
#include <string.h>

int am_syntax_has_setting(const am_syntax *syntax, const char *name)
{
    if (syntax->all_settings) return am_setting_find(name) != NULL;
    for (const char *const *s = syntax->setting; s && *s; s++)
        if (strcmp(*s, name) == 0) return am_setting_find(name) != NULL;
    return 0;
}

int am_args_has_setting(const am_args *args, const char *name)
{
    size_t n_rows;
    return args->fixed[am_setting_find(name) - am_setting_table(&n_rows)];
}

static const char *nearest_option(const am_syntax *syntax, const char *name)
{
    enum { MAX_WORDS = 128 };
    const char *words[MAX_WORDS + 1];
    size_t n = 0, n_rows;
    const am_setting *row = am_setting_table(&n_rows);
    for (size_t i = 0; i < syntax->n_options && n < MAX_WORDS; i++) words[n++] = syntax->option[i].name;
    for (size_t i = 0; i < n_rows && n < MAX_WORDS; i++)
        if (am_syntax_has_setting(syntax, row[i].name)) words[n++] = row[i].name;
    if (n < MAX_WORDS) words[n++] = "help";
    words[n] = NULL;
    return am_nearest_word(name, words);
}

static altmin_error unknown_option(const am_syntax *syntax, const char *dashes, const char *name,
                                   altmin_status *st)
{
    const char *nearest = dashes[1] ? nearest_option(syntax, name) : NULL;
    if (nearest)
        return am_fail(st, ALTMIN_ERR_USAGE, "unknown option '%s%.60s': did you mean '--%s'?", dashes, name,
                       nearest);
    if (dashes[1] && am_setting_find(name))
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "option '--%s' belongs to 'altmin train', not to 'altmin %s'; 'altmin %s --help' lists what does",
            name, syntax->verb, syntax->verb);
    return am_fail(st, ALTMIN_ERR_USAGE, "unknown option '%s%.60s'; 'altmin %s --help' lists the options",
                   dashes, name, syntax->verb);
}

/* The arguments still to be read. */
typedef struct reader {
    int argc, next;
    char **argv;
} reader;

/* The value of an option: what stands behind '=' or the next argument. An argument that begins with two
 * dashes is taken for the next option, since a forgotten value is likelier than a value of that shape ('='
 * gives the latter). */
static altmin_error take_value(reader *r, const char *inlined, const char *shown, const char **value,
                               altmin_status *st)
{
    *value = inlined;
    if (inlined) return ALTMIN_OK;
    if (r->next >= r->argc)
        return am_fail(st, ALTMIN_ERR_USAGE, "option '%s' needs a value, nothing follows it", shown);
    if (strncmp(r->argv[r->next], "--", 2) == 0)
        return am_fail(st, ALTMIN_ERR_USAGE, "option '%s' needs a value, but '%.60s' follows it", shown,
                       r->argv[r->next]);
    *value = r->argv[r->next++];
    return ALTMIN_OK;
}

static altmin_error parse_setting(am_args *args, const am_setting *row, reader *r, const char *inlined,
                                  const char *shown, altmin_status *st)
{
    size_t n_rows;
    const char *value;
    if (take_value(r, inlined, shown, &value, st)) return st->code;
    if (altmin_settings_set(args->settings, row->name, value, st)) return st->code;
    args->fixed[row - am_setting_table(&n_rows)] = 1;
    return ALTMIN_OK;
}

static altmin_error parse_long(am_args *args, const am_syntax *syntax, reader *r, const char *text,
                               altmin_status *st)
{
    char name[64], shown[68];
    const char *equals = strchr(text, '=');
    const size_t n = equals ? (size_t)(equals - text) : strlen(text);
    if (n >= sizeof name) return unknown_option(syntax, "--", text, st);
    memcpy(name, text, n);
    name[n] = 0;
    memcpy(shown, "--", 2);
    memcpy(shown + 2, name, n + 1);
    const char *inlined = equals ? equals + 1 : NULL;

    if (strcmp(name, "help") == 0) return args->help = 1, ALTMIN_OK;
    for (size_t i = 0; i < syntax->n_options; i++) {
        const am_option *opt = &syntax->option[i];
        if (strcmp(name, opt->name) != 0) continue;
        if (opt->value) return take_value(r, inlined, shown, &args->value[i], st);
        if (inlined) return am_fail(st, ALTMIN_ERR_USAGE, "option '%s' takes no value", shown);
        return args->value[i] = "", ALTMIN_OK;
    }
    if (!am_syntax_has_setting(syntax, name)) return unknown_option(syntax, "--", name, st);
    return parse_setting(args, am_setting_find(name), r, inlined, shown, st);
}

static altmin_error parse_letters(am_args *args, const am_syntax *syntax, reader *r, const char *text,
                                  altmin_status *st)
{
    for (; *text; text++) {
        const char shown[3] = {'-', *text, 0};
        size_t i = 0;
        if (*text == 'h') return args->help = 1, ALTMIN_OK;
        while (i < syntax->n_options && syntax->option[i].letter != *text) i++;
        if (i == syntax->n_options) return unknown_option(syntax, "-", text, st);
        const am_option *opt = &syntax->option[i];
        if (opt->value) return take_value(r, text[1] ? text + 1 : NULL, shown, &args->value[i], st);
        args->value[i] = "";
    }
    return ALTMIN_OK;
}

static altmin_error parse_operand(am_args *args, const am_syntax *syntax, const char *text, altmin_status *st)
{
    if (args->n_operands < syntax->n_operands) {
        args->operand[args->n_operands++] = text;
        return ALTMIN_OK;
    }
    return am_fail(st, ALTMIN_ERR_USAGE, "unexpected argument '%.200s'; usage: altmin %s %s", text,
                   syntax->verb, syntax->usage);
}

static altmin_error parse_all(am_args *args, const am_syntax *syntax, reader *r, altmin_status *st)
{
    int options_ended = 0;
    while (r->next < r->argc && !args->help) {
        const char *text = r->argv[r->next++];
        altmin_error error;
        if (options_ended || text[0] != '-' || text[1] == 0)
            error = parse_operand(args, syntax, text, st);
        else if (strcmp(text, "--") == 0)
            error = ALTMIN_OK, options_ended = 1;
        else if (text[1] == '-')
            error = parse_long(args, syntax, r, text + 2, st);
        else
            error = parse_letters(args, syntax, r, text + 1, st);
        if (error) return error;
    }
    return ALTMIN_OK;
}

altmin_error am_args_parse(am_args *args, const am_syntax *syntax, int argc, char **argv, altmin_status *st)
{
    size_t n_rows;
    reader r = {.argc = argc, .next = 1, .argv = argv};
    *args = (am_args){0};
    am_setting_table(&n_rows);
    args->settings = altmin_settings_new();
    args->fixed = calloc(n_rows + 1, 1);
    altmin_error error = ALTMIN_OK;
    if (!args->settings || !args->fixed || syntax->n_options > AM_ARGS_MAX_OPTIONS)
        error = am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the settings");
    else
        error = parse_all(args, syntax, &r, st);
    if (error) am_args_free(args);
    return error;
}

void am_args_free(am_args *args)
{
    altmin_settings_free(args->settings);
    free(args->fixed);
    *args = (am_args){0};
}
