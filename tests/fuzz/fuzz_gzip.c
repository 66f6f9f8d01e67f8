/* Fuzz the gzip reader: an error sentence, or content that is not larger than deflate can make it. */
#include <stdlib.h>
#include "host/io/file.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    altmin_status st = {0};
    unsigned char *content = NULL;
    size_t n_content = 0;
    altmin_error code = am_file_gunzip(bytes, n_bytes, "fuzz", 1u << 26, &content, &n_content, &st);
    if ((code != ALTMIN_OK) != (st.message[0] != '\0') || (code != ALTMIN_OK) != (content == NULL)) abort();
    if (!code && (n_content > 1032 * n_bytes || content[n_content] != 0)) abort();
    free(content);
    return 0;
}
