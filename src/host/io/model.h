/* A trained network in host memory, and its file form (safetensors with JSON metadata). */
#ifndef AM_MODEL_H
#define AM_MODEL_H

#include "altmin/altmin.h"
#include "base/status.h"
#include "host/io/data.h"

/** Layers l = 1..L are stored at index l-1: W[l-1] is width[l] x width[l-1], column-major; b[l-1] has width[l]. */
struct altmin_model {
    size_t n_layers;    /* L >= 1 */
    size_t *width;      /* L + 1: width[0] features ... width[L] outputs */
    char arch[16];      /* "mlp" (the seam for "resnet") */
    char activation[16]; /* name in AM_ACTIVATIONS, of every hidden layer */
    char loss[32];      /* "cross-entropy", "squared" */
    float **W, **b;
    am_scaler scaler;
    size_t n_classes;   /* 0 for regression */
    char **class_name;  /* n_classes strings */
    char *settings_json; /* resolved settings of the run, a JSON object as text; may be NULL */
    uint64_t seed;
    char method[16];
    char version[16];   /* altmin that wrote it */
};

/** Allocate a model with zero weights. All sizes checked. */
altmin_error am_model_new(altmin_model **model, size_t n_layers, const size_t *width, altmin_status *st);
/** Deep copy of class names into the model (names may be NULL: "0", "1", ...). */
altmin_error am_model_set_classes(altmin_model *model, char *const *names, size_t n_classes, altmin_status *st);
#endif
