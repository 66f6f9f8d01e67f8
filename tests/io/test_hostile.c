/* Hostile data files: for each format a few hundred files that are cut off, bent, spliced or lie about their
 * size. Each must end in an error sentence or be a legal file, and must not take more memory than its size
 * justifies; built with AddressSanitizer and UBSan, that also means that nothing outside a file is read.
 *
 * Memory is counted by the linker's --wrap on malloc, calloc, realloc and free: what altmin holds at its
 * highest, beyond mappings of the file itself. */
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>
#include "files.h"

/* ---- counting memory ---- */

static size_t n_live, n_peak, n_largest;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t n);
void __real_free(void *block);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t n);
void __wrap_free(void *block);

static void *count_in(void *block, size_t n)
{
    if (n > n_largest) n_largest = n;
    if (block) n_live += malloc_usable_size(block);
    if (n_live > n_peak) n_peak = n_live;
    return block;
}

static void count_out(void *block)
{
    size_t n = block ? malloc_usable_size(block) : 0;
    n_live -= n < n_live ? n : n_live; /* a block from before the count began */
}

void *__wrap_malloc(size_t n)
{
    return count_in(__real_malloc(n), n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    size_t n_bytes = SIZE_MAX;
    if (__builtin_mul_overflow(n, size, &n_bytes)) n_bytes = SIZE_MAX;
    return count_in(__real_calloc(n, size), n_bytes);
}

void *__wrap_realloc(void *block, size_t n)
{
    size_t n_before = block ? malloc_usable_size(block) : 0;
    void *grown = __real_realloc(block, n);
    if (!grown) return count_in(NULL, n);
    n_live -= n_before < n_live ? n_before : n_live;
    return count_in(grown, n);
}

void __wrap_free(void *block)
{
    count_out(block);
    __real_free(block);
}

/* ---- one file ---- */

typedef struct tally {
    size_t n_files, n_refused, n_read;
} tally;

/* Walk over everything that was read. */
static void check_legal(const altmin_data *d)
{
    char hex[17];
    assert_true(d->n_samples > 0 && d->n_features > 0);
    for (size_t i = 0; d->f32 && i < d->n_samples * d->n_features; ++i) assert_true(isfinite(d->f32[i]));
    for (size_t j = 0; d->label && j < d->n_samples; ++j)
        assert_true(d->label[j] >= 0 && (size_t)d->label[j] < d->n_classes);
    for (size_t j = 0; d->target && j < d->n_samples * d->n_targets; ++j) assert_true(isfinite(d->target[j]));
    for (size_t k = 0; d->storage == AM_STORE_SPARSE && k < d->sparse.start[d->n_samples]; ++k)
        assert_true(d->sparse.row[k] >= 0 && (size_t)d->sparse.row[k] < d->n_features &&
                    isfinite(d->sparse.value[k]));
    am_data_fingerprint(d, hex);
    assert_int_equal(strlen(hex), 16);
}

/* content_bytes: what the file can hold at most, itself or 1032 times that for gzip. Text is the worst: a
 * label of two bytes becomes a word, a class name and a number, in arrays that double. */
static void try_file(tally *t, const char *path, size_t content_bytes)
{
    enum { BYTES_PER_BYTE = 16, SLACK = 8192 };
    am_read_options opt = am_read_options_default();
    altmin_status st = {0};
    altmin_data *d = NULL;
    n_live = n_peak = n_largest = 0;
    altmin_error code = am_data_open(&d, path, "train", &opt, &st);
    size_t justified = content_bytes * BYTES_PER_BYTE + SLACK;
    if (n_peak > justified || n_largest > justified)
        fail_msg("%zu bytes held, %zu asked for at once, for content of at most %zu: %s", n_peak, n_largest,
                 content_bytes, st.message);
    t->n_files += 1;
    if (code) {
        t->n_refused += 1;
        assert_null(d);
        assert_int_equal(code, st.code);
        assert_true(strlen(st.message) > 20);
        assert_non_null(strstr(st.message, "/h")); /* which file */
        assert_null(strchr(st.message, '\n'));
    } else {
        t->n_read += 1;
        assert_int_equal(st.message[0], 0);
        check_legal(d);
    }
    altmin_data_free(d);
}

static void try_bytes(tally *t, const char *name, const void *bytes, size_t n)
{
    try_file(t, file_write(name, bytes, n), n);
}

/* ---- ways to damage a file ---- */

static uint64_t random_state;

static size_t random_below(size_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(random_state >> 33) % n;
}

/* Cut off, flip a bit, overwrite, take a piece out, repeat a piece: 60 of each. */
static void try_damaged(tally *t, const char *name, const unsigned char *bytes, size_t n)
{
    enum { N_EACH = 60 };
    static const char poison[] = "\0\xff\x7f\x80,;\"\n\r\t:- .e9";
    unsigned char *copy = malloc(2 * n + 16);
    assert_non_null(copy);
    random_state = n;
    for (size_t k = 0; k < N_EACH; ++k) try_bytes(t, name, bytes, n * k / N_EACH);
    for (size_t k = 0; k < N_EACH; ++k) {
        memcpy(copy, bytes, n);
        copy[random_below(n)] ^= (unsigned char)(1u << random_below(8));
        try_bytes(t, name, copy, n);
    }
    for (size_t k = 0; k < N_EACH; ++k) { /* mostly near the beginning, where the headers are */
        memcpy(copy, bytes, n);
        size_t at = random_below(k % 2 ? n : n < 32 ? n : 32), length = 1 + random_below(4);
        for (size_t i = at; i < n && i < at + length; ++i)
            copy[i] = (unsigned char)poison[random_below(sizeof poison - 1)];
        try_bytes(t, name, copy, n);
    }
    for (size_t k = 0; k < N_EACH; ++k) {
        size_t from = random_below(n), to = from + random_below(n - from);
        memcpy(copy, bytes, from);
        memcpy(copy + from, bytes + to, n - to);
        try_bytes(t, name, copy, from + n - to);
    }
    for (size_t k = 0; k < N_EACH; ++k) {
        size_t from = random_below(n), to = from + random_below(n - from);
        memcpy(copy, bytes, to);
        memcpy(copy + to, bytes + from, n - from);
        try_bytes(t, name, copy, to + n - from);
    }
    free(copy);
}

/* The same bytes gzip-compressed, then cut off and flipped. */
static void try_damaged_gzip(tally *t, const char *name, const unsigned char *bytes, size_t n)
{
    enum { N_EACH = 40, MAX = 65536 };
    static unsigned char packed[MAX];
    FILE *f = fopen(file_gzip("whole.gz", bytes, n), "rb");
    assert_non_null(f);
    size_t n_packed = fread(packed, 1, MAX, f);
    fclose(f);
    for (size_t k = 0; k < N_EACH; ++k)
        try_file(t, file_write(name, packed, n_packed * k / N_EACH), 1032 * (n_packed * k / N_EACH));
    for (size_t k = 0; k < N_EACH; ++k) {
        size_t at = random_below(n_packed);
        unsigned char bit = (unsigned char)(1u << random_below(8));
        packed[at] ^= bit;
        try_file(t, file_write(name, packed, n_packed), 1032 * n_packed);
        packed[at] ^= bit;
    }
}

static void check_tally(const tally *t, const char *format)
{
    print_message("%s: %zu files, %zu refused, %zu legal\n", format, t->n_files, t->n_refused, t->n_read);
    assert_true(t->n_files >= 200);
    assert_true(t->n_refused >= 100);
}

/* ---- formats ---- */

static void test_csv(void **state)
{
    (void)state;
    tally t = {0};
    static const char *const texts[] = {
        "a,b,class\n1,2.5,cat\n-3e-1, 4 ,dog\n.5,6.,cat\n",
        "\"fixed, acidity\";\"pH\";\"quality\"\r\n7.4;3.51;5\r\n\"7.8\";3.2;6\r\n11.2;3.16;6\r\n",
        "\xEF\xBB\xBF"
        "0\t1\tlabel\n0.30000000000000004\t1e-45\t3\n3.4028235e38\t16777217\t4\n",
        "1,2,\"x, \"\"y\"\"\nz\"\n3,4,\"w\"\n5,6,x\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i)
        try_damaged(&t, "h.csv", (const unsigned char *)texts[i], strlen(texts[i]));
    try_damaged_gzip(&t, "h.csv.gz", (const unsigned char *)texts[0], strlen(texts[0]));
    static const char *const extremes[] = {
        "",
        "\n",
        "\r",
        "\"",
        "\"\"",
        "\"\"\"",
        ",",
        ";;;;",
        "\t\n\t",
        "nan,nan,nan\n",
        "1,1e309,0\n",
        "1,-1e-400,0\n",
        "1,0x1p3,0\n",
        "1,infinity,0\n",
        "1,2\n1\n",
        "1\n1,2\n",
        "a,b\n",
        "\xEF\xBB\xBF",
        "\xEF\xBB\xBF\n",
        "1,2,\n",
        "1,99999999999999999999999999999999999999999999999999999999999999999999,0\n",
        "1,1e-99999999999999999999,0\n",
        "1,2,\"\n",
        "1,2,\"a\"b\n",
        "1,2,\xC3\n",
        "1,2,a\x01\n",
        ",,,\n,,,\n",
        "1,,0\n",
        "?,?,?\n1,2,3\n"};
    for (size_t i = 0; i < sizeof extremes / sizeof extremes[0]; ++i)
        try_bytes(&t, "h.csv", extremes[i], strlen(extremes[i]));
    try_bytes(&t, "h.csv", "1,2\0,0\n1,2,1\n", 13);
    /* A wide first line over very many short ones: rows times columns must not be what is allocated. */
    enum { N = 100000 };
    char *wide = malloc(3 * N);
    assert_non_null(wide);
    for (size_t i = 0; i < N; i += 2) memcpy(wide + i, "1,", 2);
    memset(wide + N - 1, '\n', 2 * N);
    try_bytes(&t, "h.csv", wide, 3 * N - 1);
    memset(wide, ',', N);
    try_bytes(&t, "h.csv", wide, N);
    memset(wide, '"', N);
    try_bytes(&t, "h.csv", wide, N);
    memset(wide, '1', N);
    try_bytes(&t, "h.csv", wide, N);
    for (size_t i = 0; i < N; i += 4) memcpy(wide + i, "1,1\n", 4);
    try_bytes(&t, "h.csv", wide, N);
    free(wide);
    check_tally(&t, "csv");
}

static void test_libsvm(void **state)
{
    (void)state;
    tally t = {0};
    static const char *const texts[] = {"# a comment\n+1 1:0.5 9:-2 # more\n\n-1\t3:1e2 \r\n1\n1 4:0 10:7\n",
                                        "1.5 1:1 2:2 3:3\n-2 2:5\n0.25 1:1e-3\n",
                                        "cat 1:1 5:2\ndog 2:3\ncat 2:0\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i)
        try_damaged(&t, "h.svm", (const unsigned char *)texts[i], strlen(texts[i]));
    try_damaged_gzip(&t, "h.svm.gz", (const unsigned char *)texts[0], strlen(texts[0]));
    static const char *const extremes[] = {"1 2147483647:1\n",
                                           "1 2147483648:1\n",
                                           "1 18446744073709551617:1\n",
                                           "1 1:nan\n",
                                           "1 1:1e999\n",
                                           "1 1:\n",
                                           "1 :1\n",
                                           "1 :\n",
                                           ":\n",
                                           "1:1\n",
                                           "1 1:1:1\n",
                                           "1 0:1\n",
                                           "1 -1:1\n",
                                           "1 2:1 1:1\n",
                                           "1 1:1 1:1\n",
                                           "nan 1:1\n",
                                           "# \n",
                                           "1\n",
                                           "1 qid:1 1:1\n",
                                           "1,2 1:1\n",
                                           "1 1:1\n2 2147483647:5\n3 1:1\n"};
    for (size_t i = 0; i < sizeof extremes / sizeof extremes[0]; ++i)
        try_bytes(&t, "h.svm", extremes[i], strlen(extremes[i]));
    check_tally(&t, "libsvm");
}

static const unsigned char idx_images[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2,  0,  0,
                                           0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const unsigned char idx_floats[] = {0, 0, 13,   2,    0, 0, 0,    2,    0, 0,
                                           0, 1, 0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0};

static void test_idx(void **state)
{
    (void)state;
    tally t = {0};
    try_damaged(&t, "h-ubyte", idx_images, sizeof idx_images);
    try_damaged(&t, "h-ubyte", idx_floats, sizeof idx_floats);
    try_damaged_gzip(&t, "h-ubyte.gz", idx_images, sizeof idx_images);
    /* Every type and rank over huge dimensions. */
    unsigned char bytes[64];
    memset(bytes, 0xff, sizeof bytes);
    bytes[0] = bytes[1] = 0;
    for (unsigned type = 7; type < 16; ++type)
        for (unsigned rank = 0; rank < 20; rank += 3) {
            bytes[2] = (unsigned char)type;
            bytes[3] = (unsigned char)rank;
            try_bytes(&t, "h-ubyte", bytes, sizeof bytes);
        }
    /* Dimensions whose product wraps to the length that is there. */
    static const unsigned char wrap[] = {0, 0, 8, 3, 0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 2};
    try_bytes(&t, "h-ubyte", wrap, sizeof wrap);
    check_tally(&t, "idx");
}

/* Labels that do not belong: every damaged label file beside good images. */
static void test_idx_labels(void **state)
{
    (void)state;
    tally t = {0};
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 5};
    file_write("h-images-idx3-ubyte", idx_images, sizeof idx_images);
    const char *images = file_path("h-images-idx3-ubyte");
    unsigned char copy[sizeof labels];
    for (size_t n = 0; n <= sizeof labels; ++n) {
        file_write("h-labels-idx1-ubyte", labels, n);
        try_file(&t, images, sizeof idx_images + n);
    }
    assert_int_equal(t.n_read, 1);
    for (size_t bit = 0; bit < 8 * sizeof labels; ++bit) {
        memcpy(copy, labels, sizeof labels);
        copy[bit / 8] ^= (unsigned char)(1u << bit % 8);
        file_write("h-labels-idx1-ubyte", copy, sizeof labels);
        try_file(&t, images, sizeof idx_images + sizeof labels);
    }
    assert_true(t.n_refused > 60);
}

static size_t read_golden(const char *name, unsigned char bytes[1024])
{
    char path[500];
    snprintf(path, sizeof path, ALTMIN_TEST_DATA "/npy/%s.npy", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, 1024, f);
    fclose(f);
    return n;
}

static void test_npy(void **state)
{
    (void)state;
    tally t = {0};
    unsigned char bytes[1024];
    static const char *const names[] = {"f4_C", "f8_F", "u1_F", "i8_C", "f4_3d_F"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i)
        try_damaged(&t, "h.npy", bytes, read_golden(names[i], bytes));
    try_damaged_gzip(&t, "h.npy.gz", bytes, read_golden("f4_C", bytes));
    static const char *const shapes[] = {"(18446744073709551615, 1)",
                                         "(18446744073709551616, 1)",
                                         "(4294967296, 4294967296)",
                                         "(9223372036854775807, 2)",
                                         "(4611686018427387904, 1)",
                                         "(1, 4611686018427387908)",
                                         "(0, 18446744073709551615)",
                                         "(18446744073709551615, 0)",
                                         "(2, 2, 0)",
                                         "(1000000, 1)",
                                         "()",
                                         "(4,)",
                                         "(,)",
                                         "(((((",
                                         "(1, 4) (1, 4)"};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; ++i)
        for (int order = 0; order < 2; ++order) {
            memset(bytes, 0, sizeof bytes);
            memcpy(bytes, "\x93NUMPY\1\0", 8);
            int n = snprintf((char *)bytes + 10, 500, "{'descr': '<f4', 'fortran_order': %s, 'shape': %s}",
                             order ? "True" : "False", shapes[i]);
            bytes[8] = (unsigned char)n;
            try_bytes(&t, "h.npy", bytes, 10 + (size_t)n + 16);
        }
    check_tally(&t, "npy");
}

/* A megabyte of zeros packs into a thousandth: as IDX that promises little, as text, and with a false length.
 */
static void test_bombs(void **state)
{
    (void)state;
    tally t = {0};
    enum { N = 1 << 24 };
    unsigned char *zeros = calloc(N, 1);
    assert_non_null(zeros);
    memcpy(zeros, idx_images, 16);
    static const char *const names[] = {"h-ubyte.gz", "h.csv.gz", "h.npy.gz", "h.svm.gz", "h.gz"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        const char *path = file_gzip(names[i], zeros, N);
        FILE *f = fopen(path, "rb");
        fseek(f, 0, SEEK_END);
        long n_packed = ftell(f);
        fclose(f);
        assert_true(n_packed * 900 < N);
        try_file(&t, path, (size_t)n_packed * 1032 / 12); /* times 16 in try_file: 1.3 times the content */
        if (i == 0) zeros[0] = 'a';
    }
    assert_int_equal(t.n_refused, t.n_files);
    static unsigned char lie[200];
    FILE *f = fopen(file_gzip("h-ubyte.gz", idx_images, sizeof idx_images), "rb");
    size_t n = fread(lie, 1, sizeof lie, f);
    fclose(f);
    memset(lie + n - 4, 0xff, 4); /* "4 GiB of content" */
    try_file(&t, file_write("h-ubyte.gz", lie, n), n * 1032 / 12);
    free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv),        cmocka_unit_test(test_libsvm), cmocka_unit_test(test_idx),
        cmocka_unit_test(test_idx_labels), cmocka_unit_test(test_npy),    cmocka_unit_test(test_bombs),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
