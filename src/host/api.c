/* Public names that belong to no part in particular. */
#include "altmin/altmin.h"

const char *altmin_version(void)
{
    return ALTMIN_VERSION;
}

const char *altmin_error_name(altmin_error code)
{
    static const char *const names[] = {"ok",     "usage",   "io",      "format",  "data",
                                        "memory", "backend", "numeric", "internal"};
    const unsigned i = (unsigned)code;
    return i < sizeof names / sizeof names[0] ? names[i] : "unknown";
}

const char *altmin_stop_name(altmin_stop stop)
{
    static const char *const names[] = {"none",     "sweeps",    "time-limit",  "target-accuracy",
                                        "patience", "tolerance", "interrupted", "not-finite"};
    const unsigned i = (unsigned)stop;
    return i < sizeof names / sizeof names[0] ? names[i] : "unknown";
}
