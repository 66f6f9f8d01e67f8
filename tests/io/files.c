/* Temporary files and expectations for the tests of the readers; see files.h. */
#include "files.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

static char folder[64];

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

int files_setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/altmin-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

int files_teardown(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *file_path(const char *name)
{
    static char path[16][200];
    static int next;
    next = (next + 1) % 16;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

const char *file_write(const char *name, const void *bytes, size_t n_bytes)
{
    const char *path = file_path(name);
    unlink(path); /* a new file is cheap, but ext4 waits for the disk when an old one is truncated and
                     rewritten */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n_bytes, f), n_bytes);
    assert_int_equal(fclose(f), 0);
    return path;
}

const char *file_text(const char *name, const char *text)
{
    return file_write(name, text, strlen(text));
}

const char *file_gzip(const char *name, const void *bytes, size_t n_bytes)
{
    const char *path = file_path(name);
    gzFile f = gzopen(path, "wb9");
    assert_non_null(f);
    if (n_bytes) assert_int_equal(gzwrite(f, bytes, (unsigned)n_bytes), (int)n_bytes);
    assert_int_equal(gzclose(f), Z_OK);
    return path;
}

altmin_data *open_good(const char *path, const am_read_options *opt)
{
    am_read_options fallback = am_read_options_default();
    altmin_status st = {0};
    altmin_data *data = NULL;
    if (am_data_open(&data, path, "train", opt ? opt : &fallback, &st)) fail_msg("%s", st.message);
    assert_non_null(data);
    assert_int_equal(st.code, ALTMIN_OK);
    return data;
}

void open_bad(const char *path, const am_read_options *opt, const char *part, ...)
{
    am_read_options fallback = am_read_options_default();
    altmin_status st = {0};
    altmin_data *data = NULL;
    altmin_error code = am_data_open(&data, path, "train", opt ? opt : &fallback, &st);
    if (!code) fail_msg("'%s' was read without the error '%s'", path, part);
    assert_null(data);
    assert_int_equal(code, st.code);
    va_list parts;
    va_start(parts, part);
    for (; part; part = va_arg(parts, const char *))
        if (!strstr(st.message, part)) fail_msg("'%s' is not in: %s", part, st.message);
    va_end(parts);
}

float feature(const altmin_data *data, size_t i, size_t j)
{
    float *x = malloc(data->n_features * sizeof *x);
    assert_non_null(x);
    am_data_dense(data, NULL, j, 1, x);
    float value = x[i];
    free(x);
    return value;
}
