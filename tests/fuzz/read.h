/* What every reader's fuzz target does: read the bytes under one set of options, demand a sentence or a data
 * set that keeps the readers' promises, and walk over all of it so that the sanitizers see every element. */
#ifndef AM_FUZZ_READ_H
#define AM_FUZZ_READ_H

#include <stddef.h>
#include <stdint.h>
#include "host/readers/readers.h"

typedef altmin_error (*fuzz_reader)(altmin_data *data, am_input *in, const am_read_options *opt,
                                    altmin_status *st);

/** Abort when a promise is broken. */
void fuzz_read(fuzz_reader read, const uint8_t *bytes, size_t n_bytes, const am_read_options *opt);

#endif
