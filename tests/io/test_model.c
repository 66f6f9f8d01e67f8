/* Models and their files: bit-identical round trips, the layout other readers expect, and hostile files.
 * Every hostile file must end in an error sentence or in a legal model, without taking more memory than its
 * size justifies; run under AddressSanitizer, that also means that nothing outside the file is read. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/io/json.h"
#include "host/model/model.h"
#include "host/model/safetensors.h"

/* ---- counting memory: the linker sends the library's malloc and calloc here (--wrap) ---- */

static size_t n_bytes_taken;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_malloc(size_t n)
{
    n_bytes_taken += n;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    n_bytes_taken += n * size;
    return __real_calloc(n, size);
}

/* ---- files in memory ---- */

typedef struct bytes {
    unsigned char *p;
    size_t n;
} bytes;

static void put_u64(unsigned char *p, uint64_t x)
{
    for (int i = 0; i < 8; i++) p[i] = (unsigned char)(x >> (8 * i));
}

static uint64_t get_u64(const unsigned char *p)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--) x = x << 8 | p[i];
    return x;
}

/* Values in [-1, 1) that use all bits of the mantissa. */
static float next_value(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return (float)*random / 2147483648.0f - 1.0f;
}

static altmin_model *make_model(size_t n_layers, const size_t *width, size_t n_classes)
{
    altmin_status st = {0};
    altmin_model *m = NULL;
    if (am_model_new(&m, n_layers, width, &st)) fail_msg("%s", st.message);
    strcpy(m->activation, "tanh");
    strcpy(m->loss, n_classes ? "cross-entropy" : "squared");
    strcpy(m->method, "mdlam");
    m->seed = UINT64_MAX;
    m->scaler.kind = AM_SCALE_STANDARDISE;
    uint32_t random = 1;
    for (size_t l = 0; l < n_layers; l++) {
        for (size_t i = 0; i < width[l] * width[l + 1]; i++) m->W[l][i] = next_value(&random);
        for (size_t i = 0; i < width[l + 1]; i++) m->b[l][i] = next_value(&random);
    }
    for (size_t i = 0; i < width[0]; i++) {
        m->scaler.shift[i] = 0.3f * (float)i;
        m->scaler.factor[i] = 1.0f / (1.0f + (float)i);
    }
    if (am_model_set_classes(m, NULL, n_classes, &st)) fail_msg("%s", st.message);
    return m;
}

static bytes write_model(const altmin_model *m)
{
    bytes file = {0};
    char *p = NULL;
    altmin_status st = {0};
    FILE *f = open_memstream(&p, &file.n);
    assert_non_null(f);
    if (am_model_write(m, f, &st)) fail_msg("%s", st.message);
    assert_int_equal(fclose(f), 0);
    file.p = (unsigned char *)p;
    return file;
}

/* A small classifier 3-4-2, the victim of most hostile tests. */
static bytes base_file(void)
{
    static const size_t width[] = {3, 4, 2};
    altmin_model *m = make_model(2, width, 2);
    m->settings_json = strdup("{\"rho\":0.001}");
    bytes file = write_model(m);
    altmin_model_free(m);
    return file;
}

/* The file with `from` in its header replaced by `to`; the header is padded to stay aligned. */
static bytes edit_header(bytes file, const char *from, const char *to)
{
    size_t n_header = (size_t)get_u64(file.p), n_from = strlen(from), n_to = strlen(to);
    char *header = strndup((const char *)file.p + 8, n_header);
    assert_non_null(header);
    char *at = strstr(header, from);
    if (!at) fail_msg("'%s' is not in the header %s", from, header);
    size_t n_before = (size_t)(at - header), n_new = n_header - n_from + n_to;
    size_t n_padded = (n_new + 7) / 8 * 8;
    bytes edited = {malloc(8 + n_padded + file.n - 8 - n_header), 8 + n_padded + file.n - 8 - n_header};
    assert_non_null(edited.p);
    put_u64(edited.p, n_padded);
    memcpy(edited.p + 8, header, n_before);
    memcpy(edited.p + 8 + n_before, to, n_to);
    memcpy(edited.p + 8 + n_before + n_to, at + n_from, n_header - n_before - n_from);
    memset(edited.p + 8 + n_new, ' ', n_padded - n_new);
    memcpy(edited.p + 8 + n_padded, file.p + 8 + n_header, file.n - 8 - n_header);
    free(header);
    return edited;
}

/* ---- round trips ---- */

static void assert_same_floats(const float *a, const float *b, size_t n)
{
    assert_memory_equal(a, b, n * sizeof(float));
}

static void assert_same_model(const altmin_model *a, const altmin_model *b)
{
    assert_int_equal(a->n_layers, b->n_layers);
    assert_memory_equal(a->width, b->width, (a->n_layers + 1) * sizeof *a->width);
    for (size_t l = 0; l < a->n_layers; l++) {
        assert_same_floats(a->W[l], b->W[l], a->width[l] * a->width[l + 1]);
        assert_same_floats(a->b[l], b->b[l], a->width[l + 1]);
    }
    assert_string_equal(a->arch, b->arch);
    assert_string_equal(a->activation, b->activation);
    assert_string_equal(a->loss, b->loss);
    assert_string_equal(a->method, b->method);
    assert_string_equal(a->version, b->version);
    assert_int_equal(a->scaler.kind, b->scaler.kind);
    assert_int_equal(a->scaler.n_features, b->scaler.n_features);
    assert_same_floats(a->scaler.shift, b->scaler.shift, a->width[0]);
    assert_same_floats(a->scaler.factor, b->scaler.factor, a->width[0]);
    assert_true(a->seed == b->seed);
    assert_int_equal(a->n_classes, b->n_classes);
    for (size_t i = 0; i < a->n_classes; i++) assert_string_equal(a->class_name[i], b->class_name[i]);
    assert_int_equal(a->settings_json == NULL, b->settings_json == NULL);
    if (a->settings_json) assert_string_equal(a->settings_json, b->settings_json);
}

static altmin_model *parse_model(bytes file)
{
    altmin_model *m = NULL;
    altmin_status st = {0};
    if (am_model_parse(&m, file.p, file.n, "m.safetensors", &st)) fail_msg("%s", st.message);
    return m;
}

static void round_trip_of(const char *arch, size_t n_layers, const size_t *width, size_t n_classes,
                          const char *settings)
{
    altmin_model *m = make_model(n_layers, width, n_classes);
    strcpy(m->arch, arch);
    if (settings) m->settings_json = strdup(settings);
    bytes first = write_model(m);
    altmin_model *read = parse_model(first);
    assert_same_model(m, read);
    bytes second = write_model(read);
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.p, second.p, first.n);
    assert_int_equal(get_u64(first.p) % 8, 0);
    altmin_model_free(m);
    altmin_model_free(read);
    free(first.p);
    free(second.p);
}

static void round_trip(size_t n_layers, const size_t *width, size_t n_classes, const char *settings)
{
    round_trip_of("mlp", n_layers, width, n_classes, settings);
}

static void test_round_trips(void **state)
{
    (void)state;
    round_trip_of("resnet", 2, (const size_t[]){4, 4, 2}, 2, NULL);
    round_trip_of("resnet", 5, (const size_t[]){5, 3, 3, 3, 3, 1}, 0, "{}");
    round_trip(1, (const size_t[]){1, 1}, 0, NULL);
    round_trip(1, (const size_t[]){7, 3}, 3, "{}");
    round_trip(2, (const size_t[]){784, 30, 10}, 10, "{\"data\":\"\\u00e9 \\\"x\\\"\"}");
    round_trip(3, (const size_t[]){5, 1, 2000, 2}, 0, NULL);
    size_t deep[AM_MAX_LAYERS + 1];
    for (size_t l = 0; l <= AM_MAX_LAYERS; l++) deep[l] = 1 + l % 3;
    round_trip(AM_MAX_LAYERS, deep, deep[AM_MAX_LAYERS], NULL);
    size_t wide[] = {1, 3000};
    round_trip(1, wide, 3000, NULL);
}

static void test_copy(void **state)
{
    (void)state;
    static const size_t width[] = {3, 4, 2};
    altmin_model *m = make_model(2, width, 2), *copy = NULL;
    m->settings_json = strdup("{\"rho\":1}");
    assert_int_equal(am_model_copy(&copy, m, NULL), ALTMIN_OK);
    assert_same_model(m, copy);
    altmin_model_free(m);
    assert_string_equal(altmin_model_class_name(copy, 1), "1");
    altmin_model_free(copy);
}

/* Values that a careless path through text or arithmetic would change. */
static void test_odd_values_survive(void **state)
{
    (void)state;
    static const size_t width[] = {6, 1};
    altmin_model *m = make_model(1, width, 0);
    const float odd[] = {-0.0f, 1e-45f, 3.4028235e38f, -1.1754942e-38f, 1.00000012f, 0.1f};
    memcpy(m->W[0], odd, sizeof odd);
    bytes file = write_model(m);
    altmin_model *read = parse_model(file);
    assert_same_model(m, read);
    altmin_model_free(m);
    altmin_model_free(read);
    free(file.p);
}

/* Row-major [out, in] in the file, as torch.nn.Linear holds it: value 10 i + j at row i, column j. */
static void test_layout(void **state)
{
    (void)state;
    static const size_t width[] = {3, 2};
    altmin_model *m = make_model(1, width, 0);
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < 3; j++) m->W[0][i + j * 2] = (float)(10 * i + j);
    }
    bytes file = write_model(m);
    am_safetensors parsed;
    altmin_status st = {0};
    assert_int_equal(am_safetensors_parse(&parsed, file.p, file.n, "m", &st), ALTMIN_OK);
    const am_tensor *t = am_safetensors_find(&parsed, "layer.1.weight");
    assert_non_null(t);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 3);
    const unsigned char expected[] = {0, 0, 0,    0,    0, 0, 0x80, 0x3f, 0, 0, 0,    0x40,  /* 0 1 2 */
                                      0, 0, 0x20, 0x41, 0, 0, 0x30, 0x41, 0, 0, 0x40, 0x41}; /* 10 11 12 */
    assert_memory_equal(t->bytes, expected, sizeof expected);
    assert_string_equal(am_safetensors_metadata(&parsed, "format"), "altmin");
    assert_null(am_safetensors_metadata(&parsed, "nothing"));
    am_safetensors_close(&parsed);
    altmin_model_free(m);
    free(file.p);
}

static void test_files(void **state)
{
    (void)state;
    static const size_t width[] = {3, 4, 2};
    char path[] = "/tmp/altmin-model-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    altmin_model *m = make_model(2, width, 2), *read = NULL;
    altmin_status st = {0};
    assert_int_equal(altmin_model_save(m, path, &st), ALTMIN_OK);
    if (altmin_model_load(&read, path, &st)) fail_msg("%s", st.message);
    assert_same_model(m, read);
    assert_int_equal(altmin_model_n_features(read), 3);
    assert_int_equal(altmin_model_n_outputs(read), 2);
    assert_string_equal(altmin_model_class_name(read, 1), "1");
    assert_null(altmin_model_class_name(read, 2));
    altmin_model_free(read);

    /* A refused model leaves the old file as it was. */
    m->W[1][3] = NAN;
    assert_int_equal(altmin_model_save(m, path, &st), ALTMIN_ERR_NUMERIC);
    assert_non_null(strstr(st.message, "layer.2.weight"));
    assert_int_equal(altmin_model_load(&read, path, &st), ALTMIN_OK);
    altmin_model_free(read);
    altmin_model_free(m);
    unlink(path);
    assert_int_equal(altmin_model_load(&read, path, &st), ALTMIN_ERR_IO);
    assert_non_null(strstr(st.message, path));
    assert_null(read);
    assert_int_equal(altmin_model_load(NULL, path, &st), ALTMIN_ERR_USAGE);
    assert_int_equal(altmin_model_save(NULL, path, &st), ALTMIN_ERR_USAGE);
}

static void test_write_errors(void **state)
{
    (void)state;
    static const size_t width[] = {300, 200};
    altmin_model *m = make_model(1, width, 0);
    altmin_status st = {0};
    assert_int_equal(altmin_model_save(m, "/no/such/folder/m.safetensors", &st), ALTMIN_ERR_IO);
    if (access("/dev/full", W_OK) == 0)
        assert_int_equal(altmin_model_save(m, "/dev/full", &st), ALTMIN_ERR_IO);
    strcpy(m->activation, "swish");
    assert_int_not_equal(altmin_model_save(m, "/tmp/altmin-never-written", &st), ALTMIN_OK);
    assert_non_null(strstr(st.message, "swish"));
    assert_int_not_equal(access("/tmp/altmin-never-written", F_OK), 0);
    altmin_model_free(m);
}

/* Residual networks are rows of blocks: other widths are neither written nor read, and the sentence says where. */
static void test_residual_widths(void **state)
{
    (void)state;
    static const struct {
        size_t n_layers, width[6];
        const char *why;
    } bad[] = {
        {1, {4, 2}, "layer 1"},             /* no block */
        {2, {3, 4, 2}, "layer 2"},          /* an input map alone */
        {3, {4, 4, 3, 2}, "layer 2"},       /* a block and a layer that is none */
        {4, {5, 4, 4, 3, 2}, "layer 3"},    /* the same behind an input map */
        {5, {4, 4, 4, 3, 4, 2}, "layer 3"}, /* narrower in the middle */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        altmin_model *m = make_model(bad[i].n_layers, bad[i].width, 2), *read = NULL;
        altmin_status st = {0};
        bytes file = write_model(m), edited = edit_header(file, "\"arch\":\"mlp\"", "\"arch\":\"resnet\"");
        assert_int_equal(am_model_parse(&read, edited.p, edited.n, "m", &st), ALTMIN_ERR_FORMAT);
        assert_non_null(strstr(st.message, bad[i].why));
        assert_null(read);
        strcpy(m->arch, "resnet");
        am_status_clear(&st);
        assert_int_equal(altmin_model_save(m, "/tmp/altmin-never-written", &st), ALTMIN_ERR_FORMAT);
        assert_non_null(strstr(st.message, bad[i].why));
        assert_int_not_equal(access("/tmp/altmin-never-written", F_OK), 0);
        altmin_model_free(m);
        free(file.p);
        free(edited.p);
    }
}

/* The forward pass in double, as a reader of the file would write it. */
static void forward(const altmin_model *m, const double *x, double *out)
{
    double a[2][8];
    for (size_t j = 0; j < m->width[0]; j++) a[0][j] = (x[j] - m->scaler.shift[j]) * m->scaler.factor[j];
    for (size_t l = 0; l < m->n_layers; l++) {
        size_t rows = m->width[l + 1], cols = m->width[l];
        assert_true(rows <= 8 && cols <= 8);
        for (size_t i = 0; i < rows; i++) {
            double z = m->b[l][i];
            for (size_t j = 0; j < cols; j++) z += m->W[l][i + j * rows] * a[l % 2][j];
            a[(l + 1) % 2][i] = l + 1 < m->n_layers ? tanh(z) : z;
        }
    }
    memcpy(out, a[m->n_layers % 2], m->width[m->n_layers] * sizeof *out);
}

/* Files made by other means: by altmin 0.1.0 on x86-64, and by Python's safetensors 0.8 (other key order and
 * padding). Both hold the same 3-4-2 network: W_1[i][j] = (10 i + j) / 8 - 2, b_1[i] = i / 4, W_2[i][j] = (j
 * - i) / 2, b_2 = 1, -1. */
static void check_golden(const char *path)
{
    altmin_status st = {0};
    altmin_model *m = NULL;
    if (altmin_model_load(&m, path, &st)) fail_msg("%s", st.message);
    assert_int_equal(m->n_layers, 2);
    assert_int_equal(m->width[0], 3);
    assert_int_equal(m->width[1], 4);
    assert_int_equal(m->width[2], 2);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 3; j++) assert_true(m->W[0][i + 4 * j] == (float)(10 * i + j) / 8 - 2);
        assert_true(m->b[0][i] == (float)i / 4);
        for (size_t k = 0; k < 2; k++) assert_true(m->W[1][k + 2 * i] == ((float)i - (float)k) / 2);
    }
    assert_true(m->b[1][0] == 1 && m->b[1][1] == -1);
    for (size_t j = 0; j < 3; j++) {
        assert_true(m->scaler.shift[j] == (float)j && m->scaler.factor[j] == 0.5f);
    }
    assert_string_equal(m->activation, "tanh");
    assert_string_equal(m->loss, "cross-entropy");
    assert_string_equal(m->version, "0.1.0");
    assert_int_equal(m->scaler.kind, AM_SCALE_STANDARDISE);
    assert_true(m->seed == 42);
    /* What numpy computes from the file with x @ weight.T + bias. */
    static const double x[2][3] = {{1, 2, 3}, {0, -1, 0.5}},
                        expected[2][2] = {{3.0925944, 0.9413949}, {-0.6565714, -2.7860458}};
    for (size_t i = 0; i < 2; i++) {
        double out[8];
        forward(m, x[i], out);
        assert_true(fabs(out[0] - expected[i][0]) < 1e-6 && fabs(out[1] - expected[i][1]) < 1e-6);
    }
    assert_string_equal(altmin_model_class_name(m, 0), "Katze");
    assert_string_equal(altmin_model_class_name(m, 1), "V\xc3\xb6gel, \"alle\"");
    altmin_model_free(m);
}

static void test_golden(void **state)
{
    (void)state;
    check_golden(ALTMIN_TEST_DATA "/model_altmin.safetensors");
    check_golden(ALTMIN_TEST_DATA "/model_python.safetensors");
}

/* ---- models in memory ---- */

static void test_impossible_models(void **state)
{
    (void)state;
    altmin_model *m = NULL;
    altmin_status st = {0};
    assert_int_not_equal(am_model_new(&m, 0, (const size_t[]){1}, &st), ALTMIN_OK);
    assert_null(m);
    am_status_clear(&st);
    assert_int_not_equal(am_model_new(&m, 1, (const size_t[]){3, 0}, &st), ALTMIN_OK);
    am_status_clear(&st);
    assert_int_not_equal(am_model_new(&m, 1, (const size_t[]){SIZE_MAX, SIZE_MAX}, &st), ALTMIN_OK);
    am_status_clear(&st);
    assert_int_not_equal(am_model_new(&m, SIZE_MAX, (const size_t[]){1, 1}, &st), ALTMIN_OK);
    assert_null(m);
    altmin_model_free(NULL);
}

static void test_class_names(void **state)
{
    (void)state;
    static const size_t width[] = {1, 3};
    altmin_model *m = make_model(1, width, 0);
    altmin_status st = {0};
    char *names[] = {"a", "b", "a", "\xe9"};
    assert_int_equal(am_model_set_classes(m, names, 3, &st), ALTMIN_ERR_DATA);
    assert_non_null(strstr(st.message, "'a'"));
    am_status_clear(&st);
    assert_int_equal(am_model_set_classes(m, names + 1, 3, &st), ALTMIN_ERR_DATA);
    assert_non_null(strstr(st.message, "UTF-8"));
    am_status_clear(&st);
    assert_int_equal(am_model_set_classes(m, names, 2, &st), ALTMIN_ERR_DATA);
    assert_null(altmin_model_class_name(m, 0));
    altmin_model_free(m);
}

/* ---- hostile files ---- */

typedef struct tally {
    size_t n_files, n_refused;
} tally;

static void check_hostile(bytes file, tally *count, altmin_status *st)
{
    altmin_model *m = NULL;
    am_status_clear(st);
    n_bytes_taken = 0;
    /* A copy of exact size lets AddressSanitizer see every byte read outside. */
    unsigned char *exact = __real_malloc(file.n ? file.n : 1);
    assert_non_null(exact);
    if (file.n) memcpy(exact, file.p, file.n);
    altmin_error code = am_model_parse(&m, file.n ? exact : NULL, file.n, "bad.safetensors", st);
    size_t taken = n_bytes_taken;
    free(exact);
    count->n_files++;
    if (taken > 65536 + 64 * file.n) fail_msg("%zu bytes were taken for a file of %zu", taken, file.n);
    if (code) {
        count->n_refused++;
        assert_null(m);
        assert_int_equal(st->code, code);
        if (strncmp(st->message, "bad.safetensors", 15) != 0)
            fail_msg("the sentence '%s' names no file", st->message);
        return;
    }
    bytes again = write_model(m); /* what was let through must be a model that can be written */
    free(again.p);
    altmin_model_free(m);
}

static void test_header_edits(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *why;
    } edits[] = {
        /* tensors */
        {"\"F32\"", "\"F16\"", "'F16'"},
        {"\"F32\"", "\"f32\"", "'f32'"},
        {"\"F32\"", "32", "dtype"},
        {"\"dtype\"", "\"type\"", "dtype"},
        {"\"shape\":[4,3]", "\"shape\":[4,3,1]", "dimensions"},
        {"\"shape\":[4,3]", "\"shape\":[]", "no shape"},
        {"\"shape\":[4,3]", "\"shape\":12", "no shape"},
        {"\"shape\":[4,3]", "\"shape\":[12]", "must have 2 dimension"},
        {"\"shape\":[4,3]", "\"shape\":[3,4]", "layer 1 has 3 units"},
        {"\"shape\":[4,3]", "\"shape\":[2,6]", "layer 1 has 2 units"},
        {"\"shape\":[4,3]", "\"shape\":[-4,-3]", "impossible shape"},
        {"\"shape\":[4,3]", "\"shape\":[4.5,3]", "impossible shape"},
        {"\"shape\":[4,3]", "\"shape\":[\"4\",3]", "impossible shape"},
        {"\"shape\":[4,3]", "\"shape\":[1e30,3]", "impossible shape"},
        {"\"shape\":[4,3]", "\"shape\":[1e999,3]", "impossible shape"},
        {"\"shape\":[4,3]", "\"shape\":[4294967296,4294967296]", "impossible shape"},
        {"\"shape\":[4,3]", "\"shape\":[4503599627370496,1024]", "impossible size"},
        {"\"shape\":[4,3]", "\"shape\":[2147483648,1073741824]", "needs 9223372036854775808"},
        {"\"shape\":[4,3]", "\"shape\":[1000000000,3]", "its shape needs 12000000000"},
        {"\"shape\":[4,3]", "\"shape\":[0,3]", "shape needs 0"},
        {"\"shape\":[4,3]", "\"shape\":[5,3]", "shape needs 60"},
        {"\"shape\":[4,3]", "\"shape\":[4,2]", "shape needs 32"},
        {"\"data_offsets\":[0,48]", "\"data_offsets\":[48,0]", "should lie at"},
        {"\"data_offsets\":[0,48]", "\"data_offsets\":[0,99999]", "is the file complete"},
        {"\"data_offsets\":[0,48]", "\"data_offsets\":[9007199254740991,9007199254740991]",
         "is the file complete"},
        {"\"data_offsets\":[0,48]", "\"data_offsets\":[18446744073709551568,0]", "two whole numbers"},
        {"\"data_offsets\":[0,48]", "\"data_offsets\":[-48,0]", "two whole numbers"},
        {"\"data_offsets\":[0,48]", "\"data_offsets\":[0.5,48.5]", "two whole numbers"},
        {"\"data_offsets\":[0,48]", "\"data_offsets\":[0]", "two whole numbers"},
        {"\"data_offsets\":[0,48]", "\"data_offsets\":[0,48,96]", "two whole numbers"},
        {"\"data_offsets\":[0,48]", "\"data_offsets\":null", "two whole numbers"},
        {"\"data_offsets\":[0,48]", "\"data_offsets\":[8,56]", "gap"},
        {"\"data_offsets\":[48,64]", "\"data_offsets\":[47,63]", "overlapping"},
        {"\"data_offsets\":[48,64]", "\"data_offsets\":[0,16]", "overlapping"},
        {"\"data_offsets\":[48,64]", "\"data_offsets\":[49,65]", "gap"},
        {"\"layer.1.weight\":{", "\"layer.1.weight\":[],\"x\":{", "an array instead of an object"},
        {"\"layer.1.weight\":", "\"layer.0.weight\":", "'layer.1.weight' is missing"},
        {"\"layer.1.weight\":", "\"layer.01.weight\":", "'layer.1.weight' is missing"},
        {"\"layer.2.weight\":", "\"layer.3.weight\":", "no place"},
        {"\"layer.1.bias\":", "\"layer.1.offset\":", "'layer.1.bias' is missing"},
        {"\"layer.2.bias\":", "\"layer.1.bias\":", "twice"},
        {"\"layer.1.bias\":{\"dtype\":\"F32\",\"shape\":[4]",
         "\"layer.1.bias\":{\"dtype\":\"F32\",\"shape\":[2,2]", "must have 1 dimension"},
        {"\"scaler.shift\":", "\"scaler.shaft\":", "'scaler.shift' is missing"},
        {"\"scaler.factor\":", "\"scaler.shift\":", "twice"},
        {"\"layer.1.weight\":",
         "\"e\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},\"layer.1.weight\":",
         "'e' has no place"},
        /* metadata */
        {"\"__metadata__\":{", "\"__metadata__\":[],\"x\":{", "__metadata__"},
        {"\"__metadata__\":{", "\"metadata\":{", "dtype"},
        {"\"__metadata__\":{", "\"__metadata__\":{\"extra\":1,", "'extra'"},
        {"\"__metadata__\":{", "\"__metadata__\":{\"extra\":null,", "'extra'"},
        {"\"__metadata__\":{", "\"__metadata__\":{\"arch\":\"mlp\",", "twice"},
        {"\"format\":\"altmin\"", "\"format\":\"pt\"", "format 'pt'"},
        {"\"format\":\"altmin\",", "", "'format' is missing"},
        {"\"format\":\"altmin\"", "\"format\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
         "too long"},
        {"\"version\":", "\"v\":", "'version' is missing"},
        {"\"version\":\"0", "\"version\":\"0000000000000000", "too long"},
        {"\"arch\":\"mlp\"", "\"arch\":\"cnn\"", "'cnn'"},
        {"\"arch\":", "\"a\":", "'arch' is missing"},
        {"\"activation\":\"tanh\"", "\"activation\":\"tan\"", "'tan'"},
        {"\"activation\":\"tanh\"", "\"activation\":\"\"", "activation"},
        {"\"activation\":", "\"a\":", "'activation' is missing"},
        {"\"loss\":\"cross-entropy\"", "\"loss\":\"auto\"", "'auto'"},
        {"\"loss\":\"cross-entropy\"", "\"loss\":\"hinge\"", "'hinge'"},
        {"\"loss\":", "\"a\":", "'loss' is missing"},
        {"\"scaling\":\"standardise\"", "\"scaling\":\"auto\"", "'auto'"},
        {"\"scaling\":\"standardise\"", "\"scaling\":\"minmax\"", "'minmax'"},
        {"\"scaling\":", "\"a\":", "'scaling' is missing"},
        {"\"method\":", "\"a\":", "'method' is missing"},
        {"\"seed\":\"", "\"seed\":\"-", "not a seed"},
        {"\"seed\":\"", "\"seed\":\"9", "seed"},
        {"\"seed\":\"18446744073709551615\"", "\"seed\":\"18446744073709551616\"", "not a seed"},
        {"\"seed\":\"18446744073709551615\"", "\"seed\":\"\"", "not a seed"},
        {"\"seed\":\"18446744073709551615\"", "\"seed\":18446744073709551615",
         "a number instead of a string"},
        {"\"seed\":", "\"a\":", "'seed' is missing"},
        {"\"classes\":", "\"a\":", "'classes' is missing"},
        {"[\\\"0\\\",\\\"1\\\"]", "[\\\"0\\\"]", "2 names"},
        {"[\\\"0\\\",\\\"1\\\"]", "[\\\"0\\\",\\\"1\\\",\\\"2\\\"]", "too many values"},
        {"[\\\"0\\\",\\\"1\\\"]", "[\\\"0\\\",\\\"0\\\"]", "'0'"},
        {"[\\\"0\\\",\\\"1\\\"]", "[\\\"0\\\",1]", "2 names"},
        {"[\\\"0\\\",\\\"1\\\"]", "[]", "must name its 2 classes"},
        {"[\\\"0\\\",\\\"1\\\"]", "{}", "2 names"},
        {"[\\\"0\\\",\\\"1\\\"]", "[\\\"0\\\",\\\"1\\\"", "metadata 'classes'"},
        {"[\\\"0\\\",\\\"1\\\"]", "", "metadata 'classes'"},
        {"[\\\"0\\\",\\\"1\\\"]", "[\\\"0\\\",\\\"\xff\\\"]", "UTF-8"},
        {"{\\\"rho\\\":0.001}", "[]", "'settings'"},
        {"{\\\"rho\\\":0.001}", "{\\\"rho\\\":", "metadata 'settings'"},
        {"{\\\"rho\\\":0.001}", "{\\\"rho\\\":1,\\\"rho\\\":1}", "twice"},
        /* JSON */
        {"\"arch\"", "\"ar\\u0000ch\"", "u0000"},
        {"{\"__metadata__\"", "[{\"__metadata__\"", "not a safetensors file"},
        {"{\"__metadata__\"", " {\"__metadata__\"", "not a safetensors file"},
        {"{\"__metadata__\"", "{{\"__metadata__\"", "key"},
        {"}}", "}", "not valid JSON"},
        {"}}", "}}}", "not valid JSON"},
        {"}}", "}} x", "not valid JSON"},
        {"}}", "},}", "not valid JSON"},
        {"}}", "}\n}\n", NULL},
        {"\"mlp\"", "'mlp'", "not valid JSON"},
        {"\"mlp\"", "\"\\u006dlp\"", NULL},
    };
    bytes base = base_file();
    tally count = {0};
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        bytes file = edit_header(base, edits[i].from, edits[i].to);
        altmin_status st = {0};
        check_hostile(file, &count, &st);
        const char *why = edits[i].why ? edits[i].why : "";
        if (!!edits[i].why != !!st.code || !strstr(st.message, why)) {
            fail_msg("%s -> %s: expected '%s', got '%s'", edits[i].from, edits[i].to, why, st.message);
        }
        free(file.p);
    }
    assert_true(count.n_refused >= 90);
    free(base.p);
}

/* The header's length says anything. */
static void test_lengths(void **state)
{
    (void)state;
    bytes base = base_file();
    uint64_t n = get_u64(base.p);
    const uint64_t lengths[] = {0,
                                1,
                                2,
                                7,
                                8,
                                n - 8,
                                n - 1,
                                n + 1,
                                n + 8,
                                base.n - 9,
                                base.n - 8,
                                base.n - 7,
                                base.n,
                                100000000,
                                100000001,
                                1u << 31,
                                UINT32_MAX,
                                1ull << 32,
                                1ull << 62,
                                1ull << 63,
                                UINT64_MAX - 7,
                                UINT64_MAX - 8,
                                UINT64_MAX};
    tally count = {0};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        altmin_status st = {0};
        put_u64(base.p, lengths[i]);
        check_hostile(base, &count, &st);
        assert_int_not_equal(st.code, ALTMIN_OK);
    }
    free(base.p);
}

/* Cut anywhere, or with bytes behind the end: a model file has exactly one legal length. */
static void test_truncation(void **state)
{
    (void)state;
    bytes base = base_file();
    tally count = {0};
    altmin_status st = {0};
    for (size_t n = 0; n < base.n; n++) {
        bytes cut = {base.p, n};
        check_hostile(cut, &count, &st);
        assert_int_not_equal(st.code, ALTMIN_OK);
    }
    for (size_t n_more = 1; n_more <= 16; n_more++) {
        bytes longer = {calloc(base.n + n_more, 1), base.n + n_more};
        memcpy(longer.p, base.p, base.n);
        check_hostile(longer, &count, &st);
        assert_non_null(strstr(st.message, "behind the last tensor"));
        free(longer.p);
    }
    assert_int_equal(count.n_files, count.n_refused);
    assert_true(count.n_files >= 200);
    free(base.p);
}

static void test_bit_flips(void **state)
{
    (void)state;
    bytes base = base_file();
    tally count = {0};
    altmin_status st = {0};
    for (size_t i = 0; i < base.n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            base.p[i] ^= (unsigned char)(1 << bit);
            check_hostile(base, &count, &st);
            base.p[i] ^= (unsigned char)(1 << bit);
        }
    }
    assert_int_equal(count.n_files, 8 * base.n);
    assert_true(count.n_refused > count.n_files / 2);
    free(base.p);
}

static void test_values_that_are_not_finite(void **state)
{
    (void)state;
    static const uint32_t patterns[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0x7f800000, 0xff800000};
    bytes base = base_file();
    tally count = {0};
    for (size_t at = 8 + (size_t)get_u64(base.p); at < base.n; at += 4) {
        altmin_status st = {0};
        unsigned char saved[4];
        memcpy(saved, base.p + at, 4);
        for (int i = 0; i < 4; i++) base.p[at + (size_t)i] = (unsigned char)(patterns[at / 4 % 5] >> (8 * i));
        check_hostile(base, &count, &st);
        assert_non_null(strstr(st.message, "NaN or infinite"));
        memcpy(base.p + at, saved, 4);
    }
    assert_true(count.n_files >= 30);
    free(base.p);
}

static void test_strangers(void **state)
{
    (void)state;
    static const char png[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", json[] = "{\"a\":1}         ", zeros[64] = {0};
    const bytes files[] = {{(unsigned char *)(uintptr_t)png, sizeof png},
                           {(unsigned char *)(uintptr_t)json, sizeof json},
                           {(unsigned char *)(uintptr_t)zeros, sizeof zeros},
                           {NULL, 0}};
    tally count = {0};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        altmin_status st = {0};
        check_hostile(files[i], &count, &st);
        assert_non_null(strstr(st.message, "not a safetensors file"));
    }
}

/* Headers that are large for what they say: the parser's memory must stay in proportion. */
static void test_heavy_headers(void **state)
{
    (void)state;
    enum { n = 1 << 20 };
    static const char *const fillings[] = {"[", "[],", "{\"a\":", "1,", "\"\",", "{},", " ", "\"\\"};
    tally count = {0};
    for (size_t i = 0; i < sizeof fillings / sizeof fillings[0]; i++) {
        bytes file = {malloc(8 + n), 8 + n};
        altmin_status st = {0};
        put_u64(file.p, n);
        memcpy(file.p + 8, "{\"a\":[", 6);
        size_t n_filling = strlen(fillings[i]);
        for (size_t k = 6; k < n; k++) file.p[8 + k] = (unsigned char)fillings[i][(k - 6) % n_filling];
        check_hostile(file, &count, &st);
        assert_int_not_equal(st.code, ALTMIN_OK);
        free(file.p);
    }
}

static void *counted_malloc(size_t n)
{
    n_bytes_taken += n;
    return __real_malloc(n);
}

int main(void)
{
    /* cJSON is a shared library, which --wrap does not reach. */
    cJSON_Hooks hooks = {.malloc_fn = counted_malloc, .free_fn = free};
    cJSON_InitHooks(&hooks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_odd_values_survive),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_write_errors),
        cmocka_unit_test(test_residual_widths),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_impossible_models),
        cmocka_unit_test(test_class_names),
        cmocka_unit_test(test_header_edits),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_values_that_are_not_finite),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_heavy_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
