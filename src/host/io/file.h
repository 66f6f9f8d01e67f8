/* Files the safe way: read-only mappings, whole-file reads with limits, transparent gzip, atomic replacement. */
#ifndef AM_FILE_H
#define AM_FILE_H

#include <stdio.h>
#include "base/status.h"

/** Map a file read-only. An empty file gives base NULL and n_bytes 0. Close with am_file_unmap. */
altmin_error am_file_map(const char *path, const void **base, size_t *n_bytes, altmin_status *st);
void am_file_unmap(const void *base, size_t n_bytes);

/** Read a whole file, gunzipping when it begins with the gzip magic, into malloc'ed memory with one NUL behind it.
 *  Refuses to inflate past max_bytes. */
altmin_error am_file_read(const char *path, size_t max_bytes, unsigned char **bytes, size_t *n_bytes,
                          altmin_status *st);

/** Atomic replacement: `write` fills a temporary in path's folder, which is fsync'ed and renamed over path; the folder
 *  is fsync'ed too. On any failure the temporary is removed and the old file stands. */
altmin_error am_file_replace(const char *path, altmin_error (*write)(FILE *f, void *user, altmin_status *st),
                             void *user, altmin_status *st);
#endif
