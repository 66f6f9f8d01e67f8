/* Data sources as the verbs name them: a named set, a file or a folder, opened to fit settings, model or
 * other data. */
#ifndef AM_SOURCE_H
#define AM_SOURCE_H

#include "host/data/data.h"
#include "host/train/settings.h"

/** Reading options from the settings label, header and task. */
am_read_options am_source_options(const altmin_settings *settings);
/** The same, for data that a model is to be applied to: the model's task, classes and number of features. */
am_read_options am_source_options_for_model(const altmin_settings *settings, const altmin_model *model);
/** The same, for test data that must agree with training data. */
am_read_options am_source_options_like(const altmin_settings *settings, const altmin_data *train);
/** Open the training data that the settings name and, where there are any, the test data: those of --test, else the test
 * part of --data; else *test stays NULL. Both are the caller's, also after an error. */
altmin_error am_source_open(altmin_data **train, altmin_data **test, const altmin_settings *settings,
                            altmin_status *st);
/** Settle which part of `source` is meant: `part` ("train" or "test") as given, or by default "test" where
 * there is one; NULL for a single file, which has no parts. Anything else is a usage error that names
 * `source`. */
altmin_error am_source_part(const char **part, const char *source, altmin_status *st);

#endif
