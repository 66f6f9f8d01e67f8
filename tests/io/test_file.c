/* Files: mappings, whole reads, gzip of every kind, atomic replacement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>
#include "files.h"
#include "host/io/file.h"

static const size_t no_limit = SIZE_MAX / 4;

static void check_read(const char *path, const void *wanted, size_t n_wanted)
{
    unsigned char *bytes = NULL;
    size_t n = 0;
    altmin_status st = {0};
    if (am_file_read(path, no_limit, &bytes, &n, &st)) fail_msg("%s", st.message);
    assert_int_equal(n, n_wanted);
    if (n) assert_memory_equal(bytes, wanted, n);
    assert_int_equal(bytes[n], 0);
    free(bytes);
}

static void check_refused(const char *path, size_t max_bytes, altmin_error code, const char *sentence)
{
    unsigned char *bytes = NULL;
    size_t n = 0;
    altmin_status st = {0};
    assert_int_equal(am_file_read(path, max_bytes, &bytes, &n, &st), code);
    assert_null(bytes);
    if (!strstr(st.message, sentence)) fail_msg("'%s' is not in: %s", sentence, st.message);
}

static void test_map(void **state)
{
    (void)state;
    const void *base;
    size_t n;
    altmin_status st = {0};
    assert_int_equal(am_file_map(file_text("m", "hello"), &base, &n, &st), ALTMIN_OK);
    assert_int_equal(n, 5);
    assert_memory_equal(base, "hello", 5);
    am_file_unmap(base, n);
    assert_int_equal(am_file_map(file_text("m", ""), &base, &n, &st), ALTMIN_OK);
    assert_null(base);
    assert_int_equal(n, 0);
    am_file_unmap(base, n);
    check_refused(file_path("none"), no_limit, ALTMIN_ERR_IO, "No such file");
    check_refused(file_path(""), no_limit, ALTMIN_ERR_IO, "it is a folder");
    check_refused("/dev/zero", no_limit, ALTMIN_ERR_IO, "a device or a pipe");
}

static void test_read_and_gunzip(void **state)
{
    (void)state;
    enum { N = 300000 };
    unsigned char *bytes = malloc(2 * N);
    assert_non_null(bytes);
    for (size_t i = 0; i < 2 * N; ++i) bytes[i] = (unsigned char)(i * 2654435761u >> 24);
    check_read(file_write("r", bytes, N), bytes, N);
    check_read(file_gzip("r.gz", bytes, N), bytes, N);
    check_read(file_gzip("r.gz", bytes, 0), bytes, 0);
    check_read(file_text("r", ""), bytes, 0);
    memset(bytes, 0, 2 * N); /* compresses as much as deflate can */
    check_read(file_gzip("r.gz", bytes, 2 * N), bytes, 2 * N);
    free(bytes);
}

/* Members one behind the other, and zeros up to a block's end, are legal; anything else behind is not. */
static void test_gzip_members(void **state)
{
    (void)state;
    unsigned char packed[600];
    size_t n = 0;
    static const char *const words[] = {"one ", "two ", "three"};
    for (int k = 0; k < 3; ++k) {
        FILE *f = fopen(file_gzip("member.gz", words[k], strlen(words[k])), "rb");
        n += fread(packed + n, 1, sizeof packed - n, f);
        fclose(f);
    }
    check_read(file_write("all.gz", packed, n), "one two three", 13);
    memset(packed + n, 0, 100);
    check_read(file_write("all.gz", packed, n + 100), "one two three", 13);
    packed[n + 50] = 1;
    check_refused(file_write("all.gz", packed, n + 100), no_limit, ALTMIN_ERR_FORMAT,
                  "bytes that are not gzip data follow its gzip data");
}

static void test_damaged_gzip(void **state)
{
    (void)state;
    char text[5000];
    unsigned char packed[5000];
    for (size_t i = 0; i < sizeof text; ++i) text[i] = (char)('a' + i * i % 23);
    FILE *f = fopen(file_gzip("whole.gz", text, sizeof text), "rb");
    size_t n = fread(packed, 1, sizeof packed, f);
    fclose(f);
    for (size_t cut = 2; cut < n; ++cut)
        check_refused(file_write("cut.gz", packed, cut), no_limit, ALTMIN_ERR_FORMAT, "ends too early");
    packed[n - 8] ^= 1; /* the checksum */
    check_refused(file_write("cut.gz", packed, n), no_limit, ALTMIN_ERR_FORMAT, "gzip data is damaged");
    packed[n - 8] ^= 1;
    packed[2] = 9; /* the method */
    check_refused(file_write("cut.gz", packed, n), no_limit, ALTMIN_ERR_FORMAT, "gzip data is damaged");
}

static void test_limits(void **state)
{
    (void)state;
    static const char zeros[10000] = {0};
    const char *path = file_gzip("bomb.gz", zeros, sizeof zeros);
    check_read(path, zeros, sizeof zeros);
    check_refused(path, 9999, ALTMIN_ERR_MEMORY, "more than 9999 bytes once unpacked");
    check_refused(path, 100, ALTMIN_ERR_MEMORY, "more than 100 bytes");
    check_refused(file_write("big", zeros, sizeof zeros), 9999, ALTMIN_ERR_MEMORY, "more than 9999 bytes");
    assert_true(am_file_memory_limit() > 1u << 20);
}

/* ---- replacement ---- */

static altmin_error write_text(FILE *f, void *user, altmin_status *st)
{
    if (fputs(user, f) < 0) return am_fail(st, ALTMIN_ERR_IO, "fputs");
    return ALTMIN_OK;
}

static altmin_error write_half(FILE *f, void *user, altmin_status *st)
{
    fputs(user, f);
    fflush(f);
    return am_fail(st, ALTMIN_ERR_NUMERIC, "changed my mind");
}

static size_t n_entries(const char *folder)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d)) ++n;
    closedir(d);
    return n;
}

static void test_replace(void **state)
{
    (void)state;
    altmin_status st = {0};
    char first[] = "first", second[] = "second, longer";
    assert_int_equal(mkdir(file_path("new"), 0700), 0);
    const char *path = file_path("new/model");
    if (am_file_replace(path, write_text, first, &st)) fail_msg("%s", st.message);
    check_read(path, first, 5);
    assert_int_equal(chmod(path, 0604), 0);
    if (am_file_replace(path, write_text, second, &st)) fail_msg("%s", st.message);
    check_read(path, second, strlen(second));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0604);
    /* A writer that fails leaves the old file and no temporary. */
    assert_int_equal(am_file_replace(path, write_half, first, &st), ALTMIN_ERR_NUMERIC);
    assert_string_equal(st.message, "changed my mind");
    check_read(path, second, strlen(second));
    assert_int_equal(n_entries(file_path("new")), 3);
    /* A link stays a link. */
    st = (altmin_status){0};
    assert_int_equal(symlink("model", file_path("new/link")), 0);
    if (am_file_replace(file_path("new/link"), write_text, first, &st)) fail_msg("%s", st.message);
    check_read(path, first, 5);
    assert_int_equal(lstat(file_path("new/link"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(n_entries(file_path("new")), 4);
}

static void test_replace_elsewhere(void **state)
{
    (void)state;
    altmin_status st = {0};
    char text[] = "text";
    struct stat info;
    assert_int_equal(am_file_replace("/dev/null", write_text, text, &st), ALTMIN_OK);
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(am_file_replace("/dev/full", write_text, text, &st), ALTMIN_ERR_IO);
    assert_non_null(strstr(st.message, "No space left"));
    st = (altmin_status){0};
    assert_int_equal(am_file_replace(file_path(""), write_text, text, &st), ALTMIN_ERR_IO);
    assert_non_null(strstr(st.message, "it is a folder"));
    st = (altmin_status){0};
    assert_int_equal(am_file_replace(file_path("no/such/place"), write_text, text, &st), ALTMIN_ERR_IO);
    assert_non_null(strstr(st.message, "No such file or directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_read_and_gunzip),
        cmocka_unit_test(test_gzip_members),
        cmocka_unit_test(test_damaged_gzip),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_replace_elsewhere),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
