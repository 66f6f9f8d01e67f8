/* Fuzz the LIBSVM reader under every task, and with the number of features given. */
#include "read.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    am_read_options opt = am_read_options_default();
    for (opt.task = -1; opt.task <= 2; ++opt.task) fuzz_read(am_read_libsvm, bytes, n_bytes, &opt);
    opt.task = -1;
    opt.n_features = 5;
    fuzz_read(am_read_libsvm, bytes, n_bytes, &opt);
    return 0;
}
