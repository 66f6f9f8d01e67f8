/* Messages and exit codes shared by the verbs. */
#include "host/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int am_cli_fail(const char *verb, const altmin_status *st)
{
    fflush(stdout); /* what was reported before the error stands before it */
    fprintf(stderr, "altmin %s: %s\n", verb, st->message);
    return st->code == ALTMIN_ERR_USAGE ? AM_EXIT_USAGE : AM_EXIT_FAILURE;
}

void am_cli_warn(const char *verb, const char *format, ...)
{
    va_list arg;
    va_start(arg, format);
    fprintf(stderr, "altmin %s: warning: ", verb);
    vfprintf(stderr, format, arg);
    fputc('\n', stderr);
    va_end(arg);
}

int am_cli_flush(const char *verb)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return AM_EXIT_OK;
    fprintf(stderr, "altmin %s: cannot write to standard output%s%s\n", verb, errno ? ": " : "",
            errno ? strerror(errno) : "");
    return AM_EXIT_FAILURE;
}
