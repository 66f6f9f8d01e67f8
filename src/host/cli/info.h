/* The three subjects of `altmin info`, each as text for people or one JSON object for programs, on stdout. */
#ifndef AM_INFO_H
#define AM_INFO_H

#include "host/model/model.h"

/** This build and machine: version, compiler, backends with their details, methods, OpenBLAS. */
void am_info_build(int json);
/** A saved model: network, scaling, classes, what trained it. `path` is for the report. */
void am_info_model(const char *path, const altmin_model *model, int json);
/** A data set: sizes, storage, classes with their numbers of samples or range of targets, fingerprint. */
void am_info_data(const altmin_data *data, const char *part, int json);

#endif
