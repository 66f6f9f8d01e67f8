/* Forms in which predictions leave: labels, class probabilities or values, as CSV or NPY. */
#ifndef AM_PREDICT_OUT_H
#define AM_PREDICT_OUT_H

#include <stdio.h>
#include "host/model/model.h"

typedef struct am_predictions {
    const altmin_model *model;
    const float *out; /* n_outputs x n_samples: probabilities or values */
    size_t n_outputs, n_samples;
    int proba; /* classification: 1 probabilities, 0 the label of the most probable class */
    int names; /* CSV: begin with a line of column names */
} am_predictions;

/** CSV: one line a sample. Labels are the class names of the training data; text that needs it is quoted. */
altmin_error am_predict_csv(FILE *f, const am_predictions *p, altmin_status *st);
/** NPY 1.0: labels int64 (n) when every class name is a whole number, else bytes '|S' (n); probabilities and
 * values float32 (n, n_outputs). */
altmin_error am_predict_npy(FILE *f, const am_predictions *p, altmin_status *st);

#endif
