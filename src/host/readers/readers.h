/* What the readers share: input bytes, the label builder, number parsing, and one entry point per format.
 * Every reader is a function from bytes to an altmin_data, so a fuzzer can call it without a file.
 *
 * A reader fills sizes, features and labels of an empty data set; on failure the caller frees the data set.
 */
#ifndef AM_READERS_H
#define AM_READERS_H

#include <stdio.h>
#include "host/data/data.h"

/* ---- input.c: bytes and who owns them ---- */
typedef enum am_bytes_owner { AM_BYTES_BORROWED, AM_BYTES_HEAP, AM_BYTES_MAPPED } am_bytes_owner;

typedef struct am_input {
    const char *name; /* for messages; not owned */
    const unsigned char *bytes;
    size_t n_bytes;
    am_bytes_owner owner; /* BORROWED once a data set has taken them */
    void *base;           /* what to free or unmap */
} am_input;

/** Map a file, or inflate it into memory when it is gzip. `name` must outlive the input. */
altmin_error am_input_open(am_input *in, const char *path, altmin_status *st);
/** Read a stream to its end, inflating gzip. */
altmin_error am_input_open_stream(am_input *in, FILE *f, const char *name, altmin_status *st);
/** Give the bytes to the data set, which then frees them; borrowed bytes are copied. in->bytes stays valid
 * (and may move) until the data set is freed. */
altmin_error am_input_keep(am_input *in, altmin_data *data, altmin_status *st);
/** Release the bytes unless a data set has them. */
void am_input_close(am_input *in);

typedef enum am_format {
    AM_FORMAT_CSV,
    AM_FORMAT_LIBSVM,
    AM_FORMAT_NPY,
    AM_FORMAT_IDX,
    AM_FORMAT_EMPTY,  /* no bytes at all */
    AM_FORMAT_UNKNOWN /* binary, none of ours */
} am_format;

/** Guess the format by content, then by the ending of in->name. *hint names a known foreign format ("a zip
 * archive ...") when the answer is UNKNOWN, else NULL. */
am_format am_input_format(const am_input *in, const char **hint);

/* ---- text.c: numbers and words of text files ---- */
typedef enum am_number_kind {
    AM_NUMBER_OK,
    AM_NUMBER_MISSING,    /* empty, ?, NA, N/A, null, None */
    AM_NUMBER_NOT_FINITE, /* nan, inf */
    AM_NUMBER_TOO_LARGE,  /* beyond float range */
    AM_NUMBER_BAD         /* anything else */
} am_number_kind;

/** Parse all of text[0..n) as a decimal number, correctly rounded to float, whatever the locale. Grammar:
 * [+-] digits
 *  [. digits] [e [+-] digits], a digit somewhere before the e. Too small a number
 * is 0. */
am_number_kind am_parse_number(const char *text, size_t n, float *value);
/** Parse all of text[0..n) as [+-]digits; 0 when it is one and fits, else 1. */
int am_parse_integer(const char *text, size_t n, int64_t *value);
/** Shorten for a message: at most 40 characters, unprintable bytes as \xNN. Returns out. */
const char *am_excerpt(char out[64], const char *text, size_t n);
/** 1 when the bytes are valid UTF-8 without NUL. */
int am_is_utf8(const char *text, size_t n);
/** Fail with `'abc' is not a number` and the like, at a place such as "line 17, column 4". kind is not OK. */
altmin_error am_fail_number(const am_input *in, am_number_kind kind, const char *place, const char *text,
                            size_t n, const char *hint, altmin_status *st);

/* ---- labels.c: one label per sample, classes or values ---- */
typedef struct am_labels am_labels;

/** Begin. opt->task and opt->class_name decide what is allowed. Returns NULL when memory is not there. */
am_labels *am_labels_new(const am_input *in, const am_read_options *opt);
/** Add the next sample's label as text; `place` is for messages and only formatted on failure: line and
 * column are 1-based, 0 leaves one out ("line 17, column 4"; "sample 3" when line is 0). */
altmin_error am_labels_add(am_labels *labels, const char *text, size_t n, size_t line, size_t column,
                           altmin_status *st);
/** Add the next sample's label from a binary file that holds integers. */
altmin_error am_labels_add_integer(am_labels *labels, int64_t value, altmin_status *st);
size_t am_labels_count(const am_labels *labels);
/** Decide classes or regression and give the result to the data set, whose n_samples must be set. */
altmin_error am_labels_finish(am_labels *labels, altmin_data *data, altmin_status *st);
void am_labels_free(am_labels *labels);

/* ---- classes.c: sets of class names ---- */
/** Index of the class named text[0..n), compared as text, then as numbers ("3" is "3.0"); -1 when there is
 * none. */
int32_t am_class_index(const char *text, size_t n, char *const *name, size_t n_classes);
/** The first names of a set for a message: 'a', 'b', '...'. Returns out. */
const char *am_class_list(char out[400], char *const *name, size_t n_classes);

/** Copy n strings into memory that the data set owns. */
altmin_error am_data_copy_names(altmin_data *data, char *const *name, size_t n, char ***copy,
                                altmin_status *st);

/* ---- one reader per format; `labels` may be NULL ---- */
altmin_error am_read_idx(altmin_data *data, am_input *in, am_input *labels, const am_read_options *opt,
                         altmin_status *st);
altmin_error am_read_npy(altmin_data *data, am_input *in, am_input *labels, const am_read_options *opt,
                         altmin_status *st);
altmin_error am_read_csv(altmin_data *data, am_input *in, const am_read_options *opt, altmin_status *st);
altmin_error am_read_libsvm(altmin_data *data, am_input *in, const am_read_options *opt, altmin_status *st);
/** Labels alone, from an IDX or NPY file (by content), for data->n_samples samples. */
altmin_error am_read_label_file(altmin_data *data, am_input *labels, const am_read_options *opt,
                                altmin_status *st);
altmin_error am_read_idx_labels(altmin_data *data, am_input *labels, const am_read_options *opt,
                                altmin_status *st);
altmin_error am_read_npy_labels(altmin_data *data, am_input *labels, const am_read_options *opt,
                                altmin_status *st);
/** Embedded UCI digits. "train": the first 1,437 samples; "test": the last 360. */
altmin_error am_read_digits(altmin_data *data, const char *part, const am_read_options *opt,
                            altmin_status *st);

/** Fail if a feature is NaN or infinite, naming sample and feature. f32 is n_features x n_samples. */
altmin_error am_check_finite(const am_input *in, const float *f32, size_t n_features, size_t n_samples,
                             altmin_status *st);
/** Fail if there are no samples or no features. */
altmin_error am_check_sizes(const am_input *in, size_t n_features, size_t n_samples, altmin_status *st);

/** Make room for n_wanted elements of `size` bytes, at least doubling. `array` is the address of the pointer,
 * whatever its type. 0 on success; on failure everything is as before. */
int am_reserve(void *array, size_t n_wanted, size_t *capacity, size_t size);
#endif
