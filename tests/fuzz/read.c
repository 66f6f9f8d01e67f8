/* Shared body of the readers' fuzz targets; see read.h. */
#include "read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void require(int holds)
{
    if (!holds) abort();
}

static void check_sparse(const am_csc *x, const altmin_data *d)
{
    require(x->rows == d->n_features && x->cols == d->n_samples && x->start[0] == 0);
    for (size_t j = 0; j < x->cols; ++j) {
        require(x->start[j] <= x->start[j + 1]);
        for (size_t k = x->start[j]; k < x->start[j + 1]; ++k) {
            require(x->row[k] >= 0 && (size_t)x->row[k] < x->rows && isfinite(x->value[k]));
            require(k == x->start[j] || x->row[k] > x->row[k - 1]);
        }
    }
}

static void check_names(char *const *name, size_t n)
{
    for (size_t i = 0; i < n; ++i) require(am_is_utf8(name[i], strlen(name[i])));
    for (size_t i = 1; i < n && i < 100; ++i) require(strcmp(name[i - 1], name[i]) != 0);
}

static void check_data(const altmin_data *d)
{
    char hex[17];
    require(d->n_samples > 0 && d->n_features > 0);
    require((d->u8 != NULL) == (d->storage == AM_STORE_U8) &&
            (d->f32 != NULL) == (d->storage == AM_STORE_F32));
    if (d->storage == AM_STORE_SPARSE) check_sparse(&d->sparse, d);
    for (size_t i = 0; d->f32 && i < d->n_features * d->n_samples; ++i) require(isfinite(d->f32[i]));
    require(!(d->label && d->target) && (d->label != NULL) == (d->n_classes > 0));
    for (size_t j = 0; d->label && j < d->n_samples; ++j)
        require(d->label[j] >= 0 && (size_t)d->label[j] < d->n_classes);
    for (size_t j = 0; d->target && j < d->n_targets * d->n_samples; ++j) require(isfinite(d->target[j]));
    check_names(d->class_name, d->n_classes);
    am_data_fingerprint(d, hex); /* touches every byte */
    require(strlen(hex) == 16 && am_data_bytes(d) > 0);
}

void fuzz_read(fuzz_reader read, const uint8_t *bytes, size_t n_bytes, const am_read_options *opt)
{
    altmin_data *data = NULL;
    altmin_status st = {0};
    /* A copy without a byte to spare, so that reading one too many is seen. */
    unsigned char *copy = malloc(n_bytes ? n_bytes : 1);
    require(copy != NULL);
    if (n_bytes) memcpy(copy, bytes, n_bytes);
    am_input in = {.name = "fuzz", .bytes = copy, .n_bytes = n_bytes};
    const char *hint;
    am_format format = am_input_format(&in, &hint);
    require(format == AM_FORMAT_UNKNOWN || hint == NULL);
    require(am_data_new(&data, "fuzz", &st) == ALTMIN_OK);
    altmin_error code = read(data, &in, opt, &st);
    require(code == st.code && (code != ALTMIN_OK) == (st.message[0] != '\0'));
    if (!code) check_data(data);
    altmin_data_free(data);
    am_input_close(&in);
    free(copy);
}
