/* The safetensors container: eight bytes of header length, a JSON header that names tensors and text
 * metadata, and the tensors' bytes without gaps. Knows nothing of networks; model.c gives the tensors their
 * meaning.
 *
 * Only what altmin writes is read: dtype F32, one or two dimensions. Matrices are column-major in memory, as
 * everywhere in altmin, and row-major in the file, as other readers expect. Nothing in a file is believed
 * before it is checked, and memory taken for a header is bounded by its length. */
#ifndef AM_SAFETENSORS_H
#define AM_SAFETENSORS_H

#include <stdio.h>

#include <cjson/cJSON.h>

#include "base/status.h"

#define AM_TENSOR_MAX_DIMS  2
#define AM_TENSOR_NAME_SIZE 40

/** A tensor in a file that was read; points into the file's bytes. */
typedef struct am_tensor {
    const char *name;
    size_t n_dims;
    size_t shape[AM_TENSOR_MAX_DIMS]; /* rows, columns */
    const unsigned char *bytes;       /* little-endian floats, row-major */
    size_t n_bytes;
} am_tensor;

/** A parsed file. `bytes` belongs to the caller of am_safetensors_parse and must outlive it. */
typedef struct am_safetensors {
    const char *name;      /* for messages */
    cJSON *header;         /* owned */
    const cJSON *metadata; /* the object __metadata__, or NULL */
    am_tensor *tensor;     /* owned; in the order of their bytes */
    size_t n_tensors;
} am_safetensors;

/** Check and index a whole file in memory. Refused, with a sentence that begins with `name`: a header length
 * that does not fit the file or exceeds 100 MB; a header that is not a JSON object or has duplicate keys;
 * metadata that is not text; a dtype other than F32; shapes whose size overflows or differs from the bytes
 * given; bytes outside the file, overlapping or with gaps. `name` must outlive *file. On failure nothing is
 * left to close. */
altmin_error am_safetensors_parse(am_safetensors *file, const void *bytes, size_t n_bytes, const char *name,
                                  altmin_status *st);
void am_safetensors_close(am_safetensors *file);

/** Tensor by name, or NULL. */
const am_tensor *am_safetensors_find(const am_safetensors *file, const char *name);
/** Metadata text by key, or NULL. */
const char *am_safetensors_metadata(const am_safetensors *file, const char *key);
/** Copy a tensor into out (n_bytes / 4 floats; matrices become column-major). 1 when all values are finite,
 * else 0. */
int am_tensor_read(const am_tensor *tensor, float *out);

/** A tensor to write; `value` is column-major. */
typedef struct am_tensor_source {
    char name[AM_TENSOR_NAME_SIZE];
    size_t n_dims;
    size_t shape[AM_TENSOR_MAX_DIMS];
    const float *value;
} am_tensor_source;

typedef struct am_metadata {
    const char *key, *text;
} am_metadata;

/** Write a file: metadata and tensors in the order given, data aligned to 8 bytes by blanks behind the
 * header. */
altmin_error am_safetensors_write(FILE *f, const am_metadata *metadata, size_t n_metadata,
                                  const am_tensor_source *tensor, size_t n_tensors, altmin_status *st);
#endif
