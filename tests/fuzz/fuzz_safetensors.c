/* Fuzz the model reader: any bytes must end in an error sentence or in a model that writes and reads back the
 * same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void require(int holds)
{
    if (!holds) abort();
}

static char *write_again(const altmin_model *model, size_t *n)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, n);
    require(f && am_model_write(model, f, NULL) == ALTMIN_OK && fclose(f) == 0);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    altmin_status st = {0};
    altmin_model *model = NULL, *again = NULL;
    if (am_model_parse(&model, bytes, n_bytes, "fuzz", &st)) {
        require(model == NULL && st.code != ALTMIN_OK && st.message[0] != '\0');
        return 0;
    }
    size_t n_first = 0, n_second = 0;
    char *first = write_again(model, &n_first);
    require(am_model_parse(&again, first, n_first, "again", &st) == ALTMIN_OK);
    char *second = write_again(again, &n_second);
    require(n_first == n_second && memcmp(first, second, n_first) == 0);
    free(first);
    free(second);
    altmin_model_free(model);
    altmin_model_free(again);
    return 0;
}
