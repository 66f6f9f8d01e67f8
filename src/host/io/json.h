/* JSON at altmin's edges: strict reading on top of cJSON (position of syntax errors, no duplicate keys,
 * bounded memory) and the two writers of values that can go wrong: text that is not UTF-8 and numbers that
 * are not finite. */
#ifndef AM_JSON_H
#define AM_JSON_H

#include <stdio.h>

#include <cjson/cJSON.h>

#include "base/status.h"

/** Bytes that hold every number am_json_format_real writes, its NUL included. */
#define AM_JSON_REAL_SIZE 32

/** Parse one JSON document of n bytes; the caller frees *root with cJSON_Delete. Refused with a sentence that
 * begins with `name`: syntax errors (line and column), text behind the document, duplicate keys in any
 * object, and more than max_values values, which bounds what a small file can make us allocate. */
altmin_error am_json_parse(cJSON **root, const char *text, size_t n, const char *name, size_t max_values,
                           altmin_status *st);

/** What a value is, for sentences: "a number", "an object", ... */
const char *am_json_type_name(const cJSON *item);

/** Shortest of 6, 9, 15, 16 and 17 digits that reads back as x; whole numbers below 2^53 in full. Always with
 * a decimal point, whatever the locale. Not finite: "nan", "inf", "-inf", which JSON does not know. */
void am_json_format_real(char buf[AM_JSON_REAL_SIZE], double x);

/** Write a string with its quotes. Bytes that are not UTF-8 become U+FFFD, so the output is always valid
 * JSON. */
void am_json_put_string(FILE *f, const char *text);

/** 1 when the text is UTF-8, which JSON demands. */
int am_json_is_utf8(const char *text);

/** Write a number so that it reads back exactly, or null when it is not finite. */
void am_json_put_exact(FILE *f, double x);

/** What `write` writes, as malloc'ed text; NULL when memory is not there. */
char *am_json_text(void (*write)(FILE *f, const void *user), const void *user);

/** Write a measured number with nine digits (whole numbers below 2^53 in full), or null when it is not
 * finite. */
void am_json_put_real(FILE *f, double x);
#endif
