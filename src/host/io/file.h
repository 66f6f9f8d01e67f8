/* Files the safe way: read-only mappings, whole-file reads with limits, transparent gzip, atomic replacement.
 */
#ifndef AM_FILE_H
#define AM_FILE_H

#include <stdio.h>
#include "base/status.h"

/** Map a file read-only. An empty file gives base NULL and n_bytes 0. Close with am_file_unmap. Only regular
 * files can be mapped. Another process that shortens the file while it is mapped kills this one with SIGBUS,
 * as with any mapping. */
altmin_error am_file_map(const char *path, const void **base, size_t *n_bytes, altmin_status *st);
void am_file_unmap(const void *base, size_t n_bytes);

/** Read a whole file, gunzipping when it begins with the gzip magic, into malloc'ed memory with one NUL
 * behind it. Refuses to inflate past max_bytes. */
altmin_error am_file_read(const char *path, size_t max_bytes, unsigned char **bytes, size_t *n_bytes,
                          altmin_status *st);

/** As am_file_read, from a stream that cannot seek (a pipe). `name` is for messages. Does not close it. */
altmin_error am_file_read_stream(FILE *f, const char *name, size_t max_bytes, unsigned char **bytes,
                                 size_t *n_bytes, altmin_status *st);

/** 1 when the bytes begin with the gzip magic, else 0. */
int am_file_is_gzip(const unsigned char *bytes, size_t n_bytes);

/** Inflate gzip bytes (several members may follow each other, as `cat a.gz b.gz` makes them) into malloc'ed
 * memory with one NUL behind it. Memory grows with what really comes out, never past 1032 times the input,
 * which is the most that deflate can do, and never past max_bytes. `name` is for messages. */
altmin_error am_file_gunzip(const unsigned char *packed, size_t n_packed, const char *name, size_t max_bytes,
                            unsigned char **bytes, size_t *n_bytes, altmin_status *st);

/** The max_bytes that readers use: half of this machine's memory. */
size_t am_file_memory_limit(void);

/** Atomic replacement: `write` fills a temporary in path's folder, which is fsync'ed and renamed over path;
 * the folder is fsync'ed too. On any failure the temporary is removed and the old file stands. A symbolic
 * link is followed; the old file's permissions are kept. What is no regular file (/dev/null, a pipe) is
 * written to directly. */
altmin_error am_file_replace(const char *path, altmin_error (*write)(FILE *f, void *user, altmin_status *st),
                             void *user, altmin_status *st);
#endif
