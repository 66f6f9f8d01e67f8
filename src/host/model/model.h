/* A trained network in host memory, and its file form: safetensors with the tensors
 *   layer.<l>.weight [width[l], width[l-1]], layer.<l>.bias [width[l]] for l = 1..L, scaler.shift and
 * scaler.factor [width[0]] and the metadata format "altmin", version, arch, activation, loss, scaling,
 * classes (a JSON array of strings, empty for regression), seed, method, and settings (a JSON object).
 * Weights lie row-major in the file, as PyTorch's nn.Linear holds them. */
#ifndef AM_MODEL_H
#define AM_MODEL_H

#include <stdio.h>

#include "altmin/altmin.h"
#include "base/status.h"
#include "host/data/data.h"
#include "host/train/settings.h"

#define AM_MAX_LAYERS (AM_MAX_HIDDEN + 1)

/** Layers l = 1..L are stored at index l-1: W[l-1] is width[l] x width[l-1], column-major; b[l-1] has
 * width[l]. */
struct altmin_model {
    size_t n_layers;     /* L >= 1 */
    size_t *width;       /* L + 1: width[0] features ... width[L] outputs */
    char arch[16];       /* "mlp", "resnet": am_net_kind says which layers are residual blocks */
    char activation[16]; /* name in AM_ACTIVATIONS, of every hidden layer */
    char loss[32];       /* "cross-entropy", "squared" */
    float **W, **b;
    am_scaler scaler;
    size_t n_classes;    /* 0 for regression */
    char **class_name;   /* n_classes strings */
    char *settings_json; /* resolved settings of the run, a JSON object as text; may be NULL */
    uint64_t seed;
    char method[16];
    char version[16]; /* altmin that wrote it */
};

/** Allocate a model with zero weights, the scaling "none" (shift 0, factor 1), no classes and arch "mlp"; the
 * caller sets activation, loss, method, seed and settings. Sizes are checked. Free with altmin_model_free. */
altmin_error am_model_new(altmin_model **model, size_t n_layers, const size_t *width, altmin_status *st);
/** Deep copy of class names into the model (names may be NULL: "0", "1", ...). n_classes must be the number
 * of outputs, or 0 for regression. Names that are equal or not UTF-8 are refused: they could not be told
 * apart in the file. */
altmin_error am_model_set_classes(altmin_model *model, char *const *names, size_t n_classes,
                                  altmin_status *st);

/** Deep copy. */
altmin_error am_model_copy(altmin_model **copy, const altmin_model *model, altmin_status *st);

/** Build a model from the bytes of a safetensors file; everything is checked before it is believed, and no
 * more memory is taken than the bytes justify. `name` begins error sentences. */
altmin_error am_model_parse(altmin_model **model, const void *bytes, size_t n_bytes, const char *name,
                            altmin_status *st);
/** Write a model as a safetensors file. A model that am_model_parse would refuse is refused here already. */
altmin_error am_model_write(const altmin_model *model, FILE *f, altmin_status *st);
#endif
