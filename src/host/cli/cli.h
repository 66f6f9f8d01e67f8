/* What the verbs of the command line share: exit codes, messages, the verbs themselves.
 *
 * Data and reports go to stdout, messages to stderr. A verb receives argv with argv[0] = its own name and
 * returns the process's exit code. */
#ifndef AM_CLI_H
#define AM_CLI_H

#include "base/status.h"

enum {
    AM_EXIT_OK = 0,
    AM_EXIT_FAILURE = 1, /* it was asked for properly and did not work */
    AM_EXIT_USAGE = 2    /* it was not asked for properly */
    /* 128 + signal: ended by a signal, as a shell reports it (130: Ctrl-C) */
};

int am_cli_train(int argc, char **argv);
int am_cli_eval(int argc, char **argv);
int am_cli_predict(int argc, char **argv);
int am_cli_info(int argc, char **argv);
int am_cli_bench(int argc, char **argv);
int am_cli_monitor(int argc, char **argv);

/** Print "altmin VERB: sentence" on stderr and return the exit code that belongs to the status' error: usage
 * errors 2, all others 1. */
int am_cli_fail(const char *verb, const altmin_status *st);
/** Print "altmin VERB: warning: ..." on stderr. */
void am_cli_warn(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Flush stdout; when anything written to it was lost (disk full), say so and return AM_EXIT_FAILURE, else
 * AM_EXIT_OK. */
int am_cli_flush(const char *verb);

#endif
