/* What a report says about the machine it was made on. */
#ifndef AM_MACHINE_H
#define AM_MACHINE_H

#include <stddef.h>

/** name <- "model name" of the first processor, cut to `room` bytes; the architecture where /proc does not tell. */
void am_machine_cpu(char *name, size_t room);
#endif
