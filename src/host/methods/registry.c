/* One line per method; see registry.h. */
#include "host/methods/registry.h"

#include "host/methods/bcd.h"
#include "host/methods/dladmm.h"
#include "host/methods/fcam.h"
#include "host/methods/gradient.h"
#include "host/methods/mdlam.h"
#include "host/methods/radmm.h"
#include "host/methods/tiam.h"

static const char *const names[] = {"mdlam", "tiam", "bcd", "dladmm", "radmm", "fcam", "sgd", "adam", NULL};
static const am_method *const methods[] = {&am_method_mdlam,  &am_method_tiam,  &am_method_bcd,
                                           &am_method_dladmm, &am_method_radmm, &am_method_fcam,
                                           &am_method_sgd,    &am_method_adam};

const char *const *am_method_names(void)
{
    return names;
}
const am_method *am_method_at(int index)
{
    return methods[index];
}
