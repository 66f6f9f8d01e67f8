/* The embedded data set "digits": 1,797 real 8 x 8 images of handwritten digits, values 0..16, ten classes
 * (UCI, E. Alpaydin and C. Kaynak, CC BY 4.0, https://doi.org/10.24432/C50P49). Always there, so that altmin
 * does something useful without files or network. The first 1,437 samples are the train part and the last 360
 * the test part, in the order in which scikit-learn ships them. */
#include "host/readers/readers.h"

#include <stdlib.h>
#include <string.h>
#include "host/data/digits_table.h"

enum { N_TRAIN = 1437 };

static altmin_error unpack_pixels(altmin_data *data, size_t first, altmin_status *st)
{
    uint8_t *pixel = malloc(data->n_samples * AM_DIGITS_FEATURES);
    altmin_error code = am_data_own(data, pixel, st);
    if (code) return code;
    for (size_t j = 0; j < data->n_samples; ++j)
        for (size_t i = 0; i < AM_DIGITS_FEATURES; ++i)
            pixel[i + j * AM_DIGITS_FEATURES] = (uint8_t)(am_digits_table[first + j][i] - '@');
    data->u8 = pixel;
    return ALTMIN_OK;
}

altmin_error am_read_digits(altmin_data *data, const char *part, const am_read_options *opt,
                            altmin_status *st)
{
    const am_input in = {.name = "digits"};
    int is_test = strcmp(part, "test") == 0;
    size_t first = is_test ? N_TRAIN : 0;
    data->n_features = AM_DIGITS_FEATURES;
    data->n_samples = is_test ? AM_DIGITS_SAMPLES - N_TRAIN : N_TRAIN;
    data->storage = AM_STORE_U8;
    altmin_error code = unpack_pixels(data, first, st);
    if (code) return code;
    am_labels *labels = am_labels_new(&in, opt);
    if (!labels) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for labels");
    for (size_t j = 0; j < data->n_samples && !code; ++j)
        code = am_labels_add_integer(labels, am_digits_table[first + j][AM_DIGITS_FEATURES] - '0', st);
    if (!code) code = am_labels_finish(labels, data, st);
    am_labels_free(labels);
    return code;
}
