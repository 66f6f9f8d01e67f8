/* Data sets in host memory, as read: compact (bytes stay bytes, sparse stays sparse), unscaled, a sample
 * contiguous.
 *
 * Data walks one way: reader (idx.c npy.c csv.c libsvm.c digits.c) -> am_data -> split/scale -> driver ->
 * backend. Readers check every size before it is multiplied or allocated, never allocate more than the file's
 * size can justify, and fail with file, line and hint. */
#ifndef AM_DATA_H
#define AM_DATA_H

#include "altmin/altmin.h"
#include "base/status.h"
#include "kernels/mat.h"

typedef enum am_storage {
    AM_STORE_U8,    /* bytes, n_features x n_samples */
    AM_STORE_F32,   /* floats, n_features x n_samples */
    AM_STORE_SPARSE /* compressed sparse columns, a column a sample */
} am_storage;

struct altmin_data {
    size_t n_features, n_samples;
    am_storage storage;
    const uint8_t *u8; /* exactly one of u8, f32, sparse is set, by `storage` */
    const float *f32;
    am_csc sparse;
    /* Labels: classes 0..n_classes-1, or regression targets, or neither. */
    const int32_t *label; /* n_samples */
    size_t n_classes;
    char **class_name; /* n_classes strings, as in the file ("0", "Iris-setosa"); sorted: numeric order if all
                          are numbers */
    const float *target; /* n_targets x n_samples */
    size_t n_targets;
    char **feature_name; /* n_features strings from a CSV header, or NULL */
    char *source;        /* where it came from, for messages and the run log */
    void *owned;         /* list of memory blocks and mappings this data set frees (data.c) */
};

/** How to read a file whose format leaves it open. Zero-initialise for defaults. */
typedef struct am_read_options {
    const char *label_column; /* CSV: column name or 0-based index (negative: from the end); NULL: the last
                                 column, or none when task is 2. "none": no label column (prediction) */
    int header;               /* CSV: -1 detect (default is set by am_read_options_default), 0 no, 1 yes */
    int task;          /* -1: classes when labels are integers or text with at most 1000 distinct values,
                          else regression; 0 classification; 1 regression; 2 unlabelled: a CSV label column
                          that is named, LIBSVM labels and label files are left out */
    size_t n_features; /* LIBSVM: force this many features (0: the largest index seen) */
    char **class_name; /* map labels onto these n_classes names (a model's), unknown ones are an error */
    size_t n_classes;
    /* NPY/IDX: the file that holds the labels. NULL: the one beside it with the usual name, if it is there
     * (train-images-idx3-ubyte -> train-labels-idx1-ubyte, X.npy -> y.npy, X_train.npy -> y_train.npy). */
    const char *labels_path;
} am_read_options;

am_read_options am_read_options_default(void);

/** Load `source` (see altmin_data_load). Format by content (magic numbers) first, then by file name ending. A
 * single file has only a "train" part, whatever it is used for: ask am_data_has_part before asking for
 * "test". "-" reads standard input. */
altmin_error am_data_open(altmin_data **data, const char *source, const char *part,
                          const am_read_options *opt, altmin_status *st);
/** 1 when `source` is a named set or a folder that offers `part` ("train" or "test"), or a file and part is
 * "train". */
int am_data_has_part(const char *source, const char *part);
/** Read CSV/TSV (or any other format that its content shows) from a stream that cannot seek, e.g. stdin.
 * `name` is for messages. */
altmin_error am_data_open_stream(altmin_data **data, void *file /* FILE* */, const char *name,
                                 const am_read_options *opt, altmin_status *st);

/** Renumber the labels of `data` so that class i is class_name[i] (a model's, or the training set's). Names
 * are compared as text, then as numbers ("3" is "3.0"). A class of `data` without its name in the list is an
 * error, unless no sample has it. */
altmin_error am_data_map_classes(altmin_data *data, char *const *class_name, size_t n_classes,
                                 altmin_status *st);

/** Seeded, stratified (by class; plain shuffle for regression) split: *valid_index gets n_valid sample
 * numbers, *train_index the rest, each ascending. fraction in [0, 1); every class keeps at least one training
 * sample. */
altmin_error am_data_split(const altmin_data *data, double valid_fraction, uint64_t seed,
                           size_t **train_index, size_t *n_train, size_t **valid_index, size_t *n_valid,
                           altmin_status *st);
/** Copy the samples index[0..n) into a new data set (same storage kind). */
altmin_error am_data_subset(altmin_data **subset, const altmin_data *data, const size_t *index, size_t n,
                            altmin_status *st);

/** 64-bit fingerprint of everything that counts (sizes, features, labels), as 16 hex digits + NUL. Stable
 * across machines and runs. */
void am_data_fingerprint(const altmin_data *data, char hex[17]);
/** 1 when the features lie in a mapped file, as those of plain IDX and NPY files do. */
int am_data_is_mapped(const altmin_data *data);
/** Bytes of host memory (mappings included) this data set holds. */
size_t am_data_bytes(const altmin_data *data);

/* ---- scaling: x' = (x - shift) * factor, per feature; stored in the model and applied in eval and predict
 * ---- */
typedef enum am_scaling { AM_SCALE_AUTO, AM_SCALE_NONE, AM_SCALE_UNIT, AM_SCALE_STANDARDISE } am_scaling;

typedef struct am_scaler {
    am_scaling kind; /* what was resolved: never AUTO */
    size_t n_features;
    float *shift, *factor; /* n_features each; malloc'ed */
} am_scaler;

/** Fit on training data. unit: divide by the largest absolute value of the whole set (255 for most image
 * sets, 16 for digits); standardise: per-feature mean 0, variance 1 (constant features: factor 1); AUTO: unit
 * for bytes, standardise for floats, none for sparse. standardise is refused for sparse data: it would fill
 * in every zero. */
altmin_error am_scaler_fit(am_scaler *scaler, am_scaling kind, const altmin_data *data, altmin_status *st);
void am_scaler_free(am_scaler *scaler);
/** Scaled samples first..first+n as dense floats, n_features x n, whatever the storage. scaler NULL:
 * unscaled. */
void am_data_dense(const altmin_data *data, const am_scaler *scaler, size_t first, size_t n, float *out);

/* ---- for readers ---- */
/* Reader-internal prototypes are in readers.h. */
/** Create an empty data set; memory handed to am_data_own is freed with it. */
altmin_error am_data_new(altmin_data **data, const char *source, altmin_status *st);
/** Take ownership of malloc'ed memory. On failure frees `block` and returns ALTMIN_ERR_MEMORY. */
altmin_error am_data_own(altmin_data *data, void *block, altmin_status *st);
/** Take ownership of an mmap'ed range. */
altmin_error am_data_own_mapping(altmin_data *data, void *base, size_t n_bytes, altmin_status *st);
#endif
