/* Scanning CSV: bytes into records and fields. What the fields mean is csv.c's affair. */
#ifndef AM_CSV_SCAN_H
#define AM_CSV_SCAN_H

#include "host/readers/readers.h"

/** A place in the text. Copy it to come back later. */
typedef struct am_csv_scan {
    const am_input *in;
    const char *p, *end;
    size_t line; /* of p, from 1 */
    char separator;
    char
        *scratch; /* a quoted field without its doubled quotes; freed by am_csv_scan_free, shared by copies */
    size_t scratch_capacity;
} am_csv_scan;

typedef struct am_csv_field {
    const char *text; /* valid until the next field is scanned; not NUL-terminated; text[n] is readable unless
                         at the end */
    size_t n;
    size_t line, column; /* where it begins, from 1 */
    int quoted;
    int last; /* the last of its record */
} am_csv_field;

/** Start behind a byte order mark and choose the separator: the one of tab, semicolon, comma that divides the
 * first two records into equally many fields, the most if several do. */
void am_csv_scan_init(am_csv_scan *scan, const am_input *in);
void am_csv_scan_free(am_csv_scan *scan);
/** Step over blank lines; 1 when a record follows, 0 at the end. */
int am_csv_next_record(am_csv_scan *scan);
/** Scan the next field of a record; column is the previous field's plus one. Fails on a quote that is not
 * closed and on text behind a closing quote. */
altmin_error am_csv_next_field(am_csv_scan *scan, size_t column, am_csv_field *field, altmin_status *st);

#endif
