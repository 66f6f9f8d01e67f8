/* Small problems for the tests of methods: random classification and regression data, digits, and trainers on them. */
#ifndef AM_TEST_PROBLEMS_H
#define AM_TEST_PROBLEMS_H

#include "host/train/trainer.h"

/** Classes 0..n_classes-1 as noisy clusters; n_classes = 0 gives a smooth regression problem with two targets. */
altmin_data *problem_random(size_t n_features, size_t n_samples, size_t n_classes, unsigned seed);
/** The same samples stored sparsely (entries below `cut` in magnitude dropped). */
altmin_data *problem_sparse(const altmin_data *dense, float cut);
/** First n training samples of the embedded digits. */
altmin_data *problem_digits(size_t n);

/** Settings from NULL-terminated name, value pairs on top of: no validation data, no scaling, products in
 * fp32, backend cpu or what the environment variable ALTMIN_TEST_BACKEND names. */
altmin_settings *problem_settings(const char *const *pairs);
/** Trainer on `data` without test data; fails the test with the sentence when it cannot be made. Frees settings. */
altmin_trainer *problem_trainer(const altmin_data *data, altmin_settings *settings);
/** The same from pairs. */
altmin_trainer *problem_run(const altmin_data *data, const char *const *pairs);
#endif
