/* --help of a verb, generated from its syntax and the settings table. */
#ifndef AM_HELP_H
#define AM_HELP_H

#include <stdio.h>
#include "host/cli/args.h"

/** Print usage, summary, the verb's options and its rows of the settings table (by group, with choices,
 * defaults and ranges), and notes. */
void am_help_print(FILE *out, const am_syntax *syntax);

#endif
