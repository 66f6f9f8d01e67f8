/* Command-line arguments of one verb: its own options and, under the same syntax, rows of the settings table.
 *
 * Syntax: --name value, --name=value, -x value, -xvalue, flags may be bundled (-qh), `--` ends the options, a
 * lone `-` is an operand (stdin). The last of repeated options counts. Unknown options are refused with the
 * nearest known name. Settings are checked and applied as they are met. */
#ifndef AM_ARGS_H
#define AM_ARGS_H

#include "base/status.h"
#include "host/train/settings.h"

#define AM_ARGS_MAX_OPTIONS  16
#define AM_ARGS_MAX_OPERANDS 2

/** An option that is not a row of the settings table. */
typedef struct am_option {
    char letter;       /* the x of -x; 0: none */
    const char *name;  /* without dashes */
    const char *value; /* what it takes, for --help: "FILE"; NULL: a flag */
    const char *help;  /* one sentence or two */
} am_option;

/** What a verb understands; drives parsing and --help. */
typedef struct am_syntax {
    const char *verb;
    const char *usage;   /* operands and options in one line, after "altmin VERB" */
    const char *summary; /* what the verb does, a short paragraph */
    const am_option *option;
    size_t n_options;
    int all_settings;           /* 1: every row of the settings table is an option */
    const char *const *setting; /* else: names of the rows that are, NULL-terminated; NULL: none */
    size_t n_operands;          /* at most this many */
    const char *notes;          /* printed at the end of --help; NULL: nothing */
} am_syntax;

typedef struct am_args {
    const char
        *value[AM_ARGS_MAX_OPTIONS]; /* by index in syntax->option; NULL: not given; "" for a given flag */
    const char *operand[AM_ARGS_MAX_OPERANDS];
    size_t n_operands;
    altmin_settings *settings; /* defaults, overridden by what was given */
    unsigned char *fixed;      /* per row of the settings table: 1 when given */
    int help;                  /* -h or --help was given: everything after it was not looked at */
} am_args;

/** Parse argv[1..argc). On failure everything is released and st holds a usage sentence. Else am_args_free.
 */
altmin_error am_args_parse(am_args *args, const am_syntax *syntax, int argc, char **argv, altmin_status *st);
void am_args_free(am_args *args);

/** 1 when the setting `name`, a row of the settings table, was given. */
int am_args_has_setting(const am_args *args, const char *name);

/** Is the row `name` of the settings table an option of this verb? */
int am_syntax_has_setting(const am_syntax *syntax, const char *name);

#endif
