/* One line per method; see registry.h. */
#include "host/methods/registry.h"

#include "host/methods/mdlam.h"

static const char *const names[] = {"mdlam", NULL};
static const am_method *const methods[] = {&am_method_mdlam};

const char *const *am_method_names(void) { return names; }
const am_method *am_method_at(int index) { return methods[index]; }
