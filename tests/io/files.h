/* Temporary files and expectations for the tests of the readers. */
#ifndef AM_TEST_FILES_H
#define AM_TEST_FILES_H

#include <stddef.h>
#include "host/data/data.h"

/** Make a private temporary folder (a cmocka group setup) and remove it with all it holds (a group teardown).
 */
int files_setup(void **state);
int files_teardown(void **state);
/** Path of a name in the temporary folder; valid for the next 15 calls. */
const char *file_path(const char *name);
/** Write bytes to a name in the temporary folder; returns its path. */
const char *file_write(const char *name, const void *bytes, size_t n_bytes);
/** Write a NUL-terminated text. */
const char *file_text(const char *name, const char *text);
/** Write bytes gzip-compressed. */
const char *file_gzip(const char *name, const void *bytes, size_t n_bytes);

/** Open the "train" part and fail the test, printing the sentence, when that does not work. opt may be NULL.
 */
altmin_data *open_good(const char *path, const am_read_options *opt);
/** Open and demand an error whose sentence holds every one of the NULL-terminated parts. */
void open_bad(const char *path, const am_read_options *opt, const char *part, ...) __attribute__((sentinel));
/** Feature i of sample j as float, whatever the storage. */
float feature(const altmin_data *data, size_t i, size_t j);

#endif
