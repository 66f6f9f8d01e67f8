/* The report's line for uploads: shown while it lasts on a terminal, once in the header when it took long, never else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "host/cli/table.h"
#include "host/train/settings.h"

static void pause_ms(long ms)
{
    const struct timespec wait = {.tv_nsec = ms * 1000000};
    nanosleep(&wait, NULL);
}

/* What a table writes when 4 MiB go up in two pieces, each after a pause, and a run starts; the caller frees it. */
static char *report_of(int live, long pause)
{
    enum { MIB = 1 << 20 };
    char *text = NULL;
    size_t n_text = 0;
    FILE *out = open_memstream(&text, &n_text);
    am_table *table = am_table_new(out, live, NULL);
    altmin_settings *settings = altmin_settings_new();
    assert_true(out && table && settings);
    const am_observer observer = am_table_observer(table);
    observer.upload(observer.user, 0, 4 * MIB);
    for (size_t done = 2; done <= 4; done += 2) {
        pause_ms(pause);
        observer.upload(observer.user, done * MIB, 4 * MIB);
    }
    const size_t width[] = {3, 2};
    const char *const form[] = {"normal"};
    const am_run_info info = {.settings = settings,
                              .method = "mdlam",
                              .backend = "cpu",
                              .backend_detail = "",
                              .loss = "squared",
                              .activation = "relu",
                              .scaling = "unit",
                              .n_layers = 1,
                              .width = width,
                              .form = form,
                              .train_source = "data"};
    observer.start(observer.user, &info);
    fclose(out);
    am_table_free(table);
    altmin_settings_free(settings);
    return text;
}

static void long_upload_is_shown(void **state)
{
    (void)state;
    char *text = report_of(1, 600);
    const char *line = strstr(text, "\ruploading samples, 2.0 MiB of 4.0 MiB\033[K"),
               *wiped = line ? strstr(line + 1, "\r\033[K") : NULL,
               *header = wiped ? strstr(wiped, "upload    4.0 MiB of samples in ") : NULL;
    assert_true(line && wiped && header && header > strstr(text, "altmin    "));
    free(text);
}

static void plain_report_has_no_control_characters(void **state)
{
    (void)state;
    char *text = report_of(0, 600);
    assert_non_null(strstr(text, "upload    4.0 MiB of samples in "));
    assert_null(strpbrk(text, "\r\033"));
    free(text);
}

static void short_upload_is_not_worth_a_line(void **state)
{
    (void)state;
    char *text = report_of(1, 1);
    assert_null(strstr(text, "upload"));
    assert_non_null(strstr(text, "backend   cpu"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_upload_is_shown),
        cmocka_unit_test(plain_report_has_no_control_characters),
        cmocka_unit_test(short_upload_is_not_worth_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
