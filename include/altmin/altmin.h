/* altmin: training fully connected networks without gradients, by alternating minimisation.
 *
 * The only public header. Four opaque objects:
 *   altmin_settings  named settings (the table `altmin train --help` prints), each with a checked range
 *   altmin_data      samples with class labels or regression targets
 *   altmin_trainer   one training run: data, settings, method and backend
 *   altmin_model     a trained network, ready to predict, save and load
 *
 * Conventions: sizes are size_t; a sample is contiguous (arrays are n_samples blocks of n_features values);
 * every function that can fail returns an altmin_error and, when `status` is not NULL, leaves a sentence there
 * that names what failed, where, the offending value and a hint. The library never exits, aborts or prints.
 * Objects are not thread-safe; different objects may be used from different threads. */
#ifndef ALTMIN_ALTMIN_H
#define ALTMIN_ALTMIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ALTMIN_VERSION "0.1.0"

#if defined(__GNUC__)
#define ALTMIN_API __attribute__((visibility("default")))
#else
#define ALTMIN_API
#endif

/** Did the call work? */
typedef enum altmin_error {
    ALTMIN_OK = 0,
    ALTMIN_ERR_USAGE,   /**< an argument or setting is unknown, malformed or out of range */
    ALTMIN_ERR_IO,      /**< a file cannot be opened, read or written */
    ALTMIN_ERR_FORMAT,  /**< a file's content is malformed */
    ALTMIN_ERR_DATA,    /**< well-formed data that does not fit the model, the method or other data */
    ALTMIN_ERR_MEMORY,  /**< memory is not there, or a size overflows */
    ALTMIN_ERR_BACKEND, /**< the backend asked for is not there, or one of its calls failed */
    ALTMIN_ERR_NUMERIC, /**< not finite, or a matrix that is not positive definite */
    ALTMIN_ERR_INTERNAL /**< a broken promise inside altmin: please report it */
} altmin_error;

/** Why did the run end? */
typedef enum altmin_stop {
    ALTMIN_STOP_NONE = 0,        /**< it has not ended */
    ALTMIN_STOP_SWEEPS,          /**< the number of sweeps asked for was done */
    ALTMIN_STOP_TIME_LIMIT,      /**< the training time limit was reached */
    ALTMIN_STOP_TARGET_ACCURACY, /**< the target accuracy was reached */
    ALTMIN_STOP_PATIENCE,        /**< validation did not improve for `patience` evaluations */
    ALTMIN_STOP_TOLERANCE,       /**< the objective's relative change fell below `tolerance` */
    ALTMIN_STOP_INTERRUPTED,     /**< the caller (Ctrl-C) asked for an end */
    ALTMIN_STOP_NOT_FINITE       /**< a block became NaN or infinite; the last good model was kept */
} altmin_stop;

typedef struct altmin_status {
    altmin_error code;
    char message[1024]; /**< one sentence, no newline at its end; empty when code is ALTMIN_OK */
} altmin_status;

typedef struct altmin_settings altmin_settings;
typedef struct altmin_data altmin_data;
typedef struct altmin_trainer altmin_trainer;
typedef struct altmin_model altmin_model;

/** Quality of the forward pass on one data set. Fields that do not apply are NaN. */
typedef struct altmin_metrics {
    double loss;     /**< mean loss per sample */
    double accuracy; /**< share of samples classified correctly (classification) */
    double mse;      /**< mean squared error per target (regression) */
    double r2;       /**< 1 - squared error / variance of the targets (regression) */
} altmin_metrics;

/** What one sweep did. `metrics` fields are NaN in sweeps that were not evaluated. */
typedef struct altmin_sweep_report {
    size_t sweep;       /**< 1, 2, ... */
    double time_s;      /**< training time so far, seconds; evaluation is not in it */
    double objective;   /**< the method's own objective F (a sum over samples) */
    double feasibility; /**< largest violation of the method's constraint a = h(z), over all units */
    double step_norm;   /**< 2-norm of the change of all blocks in this sweep */
    double eps;         /**< relaxation of the constraint in this sweep; NaN for methods without one */
    size_t n_guarded;   /**< block updates that the guard redid in this sweep */
    double subgradient; /**< norm of a subgradient of F at the end of the sweep; NaN: not measured */
    int evaluated;      /**< 1 when the metrics below were measured in this sweep */
    altmin_metrics train, valid, test;
} altmin_sweep_report;

/** Called after every sweep. Return 0 to go on, 1 to end the run after this sweep. */
typedef int (*altmin_sweep_callback)(const altmin_sweep_report *report, void *user);

ALTMIN_API const char *altmin_version(void);
/** Name of an error or stop code as one lower-case word, e.g. "format", "patience". Never NULL. */
ALTMIN_API const char *altmin_error_name(altmin_error code);
ALTMIN_API const char *altmin_stop_name(altmin_stop stop);

/** Create settings with every default. Returns NULL when memory is not there. */
ALTMIN_API altmin_settings *altmin_settings_new(void);
/** Set one setting from text, as on the command line without the dashes: ("hidden", "1000,1000"), ("rho", "1e-3"). */
ALTMIN_API altmin_error altmin_settings_set(altmin_settings *settings, const char *name, const char *value,
                                            altmin_status *status);
ALTMIN_API void altmin_settings_free(altmin_settings *settings);

/** Load data: "digits" (embedded), "mnist", "fashion-mnist" (from the system's data folders), or a path: a folder
 *  with the four standard IDX files, or a .csv .tsv .npy .svm/.libsvm or IDX file, .gz where that is usual.
 *  `part` is "train" or "test" and matters for named sets and folders. Settings used: label, header. */
ALTMIN_API altmin_error altmin_data_load(altmin_data **data, const char *source, const char *part,
                                         const altmin_settings *settings, altmin_status *status);
/** Copy samples from memory. x: n_features x n_samples, a sample contiguous. Exactly one of `label`
 *  (class indices 0..n_classes-1) and `target` (n_targets x n_samples) is given, or neither for prediction. */
ALTMIN_API altmin_error altmin_data_from_arrays(altmin_data **data, const float *x, size_t n_features,
                                                size_t n_samples, const int32_t *label, size_t n_classes,
                                                const float *target, size_t n_targets, altmin_status *status);
ALTMIN_API size_t altmin_data_n_samples(const altmin_data *data);
ALTMIN_API size_t altmin_data_n_features(const altmin_data *data);
ALTMIN_API size_t altmin_data_n_classes(const altmin_data *data); /**< 0 for regression or unlabelled data */
ALTMIN_API void altmin_data_free(altmin_data *data);

/** Prepare a run: split off validation data, fit the scaler, plan and take memory, initialise.
 *  `test` may be NULL. The data must outlive the trainer. */
ALTMIN_API altmin_error altmin_trainer_new(altmin_trainer **trainer, const altmin_settings *settings,
                                           const altmin_data *train, const altmin_data *test,
                                           altmin_status *status);
/** Run sweeps until a stop rule holds. `callback` may be NULL. *stop tells why it ended. */
ALTMIN_API altmin_error altmin_trainer_run(altmin_trainer *trainer, altmin_sweep_callback callback,
                                           void *user, altmin_stop *stop, altmin_status *status);
/** Copy out the best model by validation (the last one without validation data). The caller frees it. */
ALTMIN_API altmin_error altmin_trainer_model(const altmin_trainer *trainer, altmin_model **model,
                                             altmin_status *status);
ALTMIN_API void altmin_trainer_free(altmin_trainer *trainer);

/** Load a model from a safetensors file; everything is checked before it is believed. */
ALTMIN_API altmin_error altmin_model_load(altmin_model **model, const char *path, altmin_status *status);
/** Write a model atomically: a temporary in the same folder, fsync, rename. */
ALTMIN_API altmin_error altmin_model_save(const altmin_model *model, const char *path, altmin_status *status);
/** Network output for unscaled samples. out: n_outputs x n_samples; class probabilities for classification
 *  (softmax of the logits), values for regression. Settings used: backend, threads (NULL: defaults). */
ALTMIN_API altmin_error altmin_model_predict(const altmin_model *model, const altmin_data *data,
                                             const altmin_settings *settings, float *out,
                                             altmin_status *status);
/** True loss and accuracy (or mse and r2) of the forward pass on labelled data. */
ALTMIN_API altmin_error altmin_model_evaluate(const altmin_model *model, const altmin_data *data,
                                              const altmin_settings *settings, altmin_metrics *metrics,
                                              altmin_status *status);
ALTMIN_API size_t altmin_model_n_features(const altmin_model *model);
ALTMIN_API size_t altmin_model_n_outputs(const altmin_model *model);
/** Name of class i as in the training data; NULL for regression or an index out of range. */
ALTMIN_API const char *altmin_model_class_name(const altmin_model *model, size_t i);
ALTMIN_API void altmin_model_free(altmin_model *model);

#ifdef __cplusplus
}
#endif
#endif
