/* The methods altmin knows, by name. */
#ifndef AM_REGISTRY_H
#define AM_REGISTRY_H

#include "host/methods/method.h"

/** NULL-terminated names, in the order of settings.method. */
const char *const *am_method_names(void);
/** Method by its index in am_method_names. */
const am_method *am_method_at(int index);
#endif
