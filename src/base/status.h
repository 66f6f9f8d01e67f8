/* Errors as sentences. Every fallible internal function takes an altmin_status and returns its code, so a caller
 * passes failure on with `if (f(..., st)) return st->code;`. Neither floor (kernels, host) owns this: it sits below both. */
#ifndef AM_STATUS_H
#define AM_STATUS_H

#include "altmin/altmin.h"

/** Record an error: printf-style sentence, no newline. Returns `code`. `st` may be NULL (the code still returns).
 *  The first error wins: a later call on a status that already holds one changes nothing. */
altmin_error am_fail(altmin_status *st, altmin_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Clear a status at the beginning of a public call. */
void am_status_clear(altmin_status *st);

/** a * b into *product; 0 when it fits size_t, 1 when it overflows (product untouched). */
int am_size_mul(size_t a, size_t b, size_t *product);
/** a + b into *sum; 0 when it fits size_t, 1 when it overflows. */
int am_size_add(size_t a, size_t b, size_t *sum);

#endif
