/* Fuzz the config file: any text must end in an error sentence that changes nothing, or in settings that
 * print as JSON and read back the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/train/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void require(int holds)
{
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    altmin_status st = {0};
    altmin_settings *settings = altmin_settings_new(), *again = altmin_settings_new();
    char *before = am_settings_to_json(settings);
    require(settings && again && before);
    altmin_error code = am_settings_from_json(settings, (const char *)bytes, n_bytes, "fuzz", NULL, &st);
    char *after = am_settings_to_json(settings);
    if (code) {
        require(st.message[0] != '\0' && strcmp(before, after) == 0);
    } else {
        require(am_settings_from_json(again, after, strlen(after), "again", NULL, &st) == ALTMIN_OK);
        char *once_more = am_settings_to_json(again);
        require(strcmp(after, once_more) == 0);
        free(once_more);
    }
    free(before);
    free(after);
    altmin_settings_free(settings);
    altmin_settings_free(again);
    return 0;
}
