/* The report of a training run on stdout: header lines, one row per sweep, footer. An observer of the driver.
 *
 * On a terminal a progress line with the time left stands below the rows; elsewhere there are plain lines
 * without any control characters. Long runs show every k-th sweep (the JSONL log has them all). */
#ifndef AM_TABLE_H
#define AM_TABLE_H

#include <stdio.h>
#include "host/train/driver.h"

typedef struct am_table am_table;

/** `live`: out is a terminal. `output` is named in the header; NULL: nothing will be written. NULL when
 * memory is not there. When `out` can no longer be written (its reader is gone) the observer asks for the
 * run's end. */
am_table *am_table_new(FILE *out, int live, const char *output);
am_observer am_table_observer(am_table *table);
void am_table_free(am_table *table);

/** Seconds as people write them: "0.42 s", "12.3 s", "3 min 20 s", "2 h 05 min". */
void am_print_seconds(char *text, size_t room, double seconds);
/** Bytes in binary units: "812 B", "1.4 KiB", "34.5 MiB". */
void am_print_bytes(char *text, size_t room, size_t n_bytes);
/** Widths joined by dashes, "784-1000-1000-10"; the middle of long networks is left out. */
void am_print_widths(char *text, size_t room, const size_t *width, size_t n_layers);
/** A count with a comma between thousands: "1,796,010". */
void am_print_count(char *text, size_t room, size_t count);

#endif
