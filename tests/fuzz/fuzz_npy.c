/* Fuzz the NPY reader: the bytes as samples, and as the labels of three samples. */
#include "read.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static altmin_error read_samples(altmin_data *data, am_input *in, const am_read_options *opt,
                                 altmin_status *st)
{
    return am_read_npy(data, in, NULL, opt, st);
}

/* The samples are three zeros. */
static altmin_error read_labels(altmin_data *data, am_input *in, const am_read_options *opt,
                                altmin_status *st)
{
    static const uint8_t zeros[3] = {0};
    data->storage = AM_STORE_U8;
    data->u8 = zeros;
    data->n_samples = 3;
    data->n_features = 1;
    return am_read_npy_labels(data, in, opt, st);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    am_read_options opt = am_read_options_default();
    fuzz_read(read_samples, bytes, n_bytes, &opt);
    for (opt.task = -1; opt.task <= 1; ++opt.task) fuzz_read(read_labels, bytes, n_bytes, &opt);
    return 0;
}
