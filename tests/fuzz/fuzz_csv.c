/* Fuzz the CSV reader under every task, with and without a header, with labels by index and by name. */
#include "read.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    am_read_options opt = am_read_options_default();
    for (opt.task = -1; opt.task <= 2; ++opt.task) fuzz_read(am_read_csv, bytes, n_bytes, &opt);
    opt.task = -1;
    for (opt.header = 0; opt.header <= 1; ++opt.header) fuzz_read(am_read_csv, bytes, n_bytes, &opt);
    opt.header = -1;
    opt.label_column = "0";
    fuzz_read(am_read_csv, bytes, n_bytes, &opt);
    opt.label_column = "c";
    fuzz_read(am_read_csv, bytes, n_bytes, &opt);
    return 0;
}
