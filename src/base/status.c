/* Sticky error sentences and checked size arithmetic; see status.h. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

altmin_error am_fail(altmin_status *st, altmin_error code, const char *format, ...)
{
    if (!st) return code;
    if (st->code != ALTMIN_OK) return st->code;
    st->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(st->message, sizeof st->message, format, args);
    va_end(args);
    return code;
}

void am_status_clear(altmin_status *st)
{
    if (!st) return;
    st->code = ALTMIN_OK;
    st->message[0] = '\0';
}

int am_size_mul(size_t a, size_t b, size_t *product)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return 1;
    *product = r;
    return 0;
}

int am_size_add(size_t a, size_t b, size_t *sum)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return 1;
    *sum = r;
    return 0;
}
