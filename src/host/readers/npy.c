/* NPY, numpy's array file: magic, version, a Python dict literal with dtype, order and shape, then the
 * elements.
 *
 * The first axis counts samples; further axes are flattened in C order into features. C-order float32 and
 * uint8 arrays are used as they lie in the file; everything else is converted to float. Read: f4, f8, u1, i4,
 * i8, little-endian. Format: numpy.lib.format, versions 1 to 3. */
#include "host/readers/readers.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 32, MAGIC_BYTES = 6 };

typedef enum npy_type { NPY_U1, NPY_I4, NPY_I8, NPY_F4, NPY_F8 } npy_type;

typedef struct npy_array {
    npy_type type;
    size_t item_bytes;
    int has_descr, has_order, has_shape;
    int fortran;
    size_t rank, dim[MAX_RANK];
    size_t n_samples, n_features;
    const unsigned char *elements;
} npy_array;

/* ---- the header's dict literal ---- */

typedef struct scanner {
    const am_input *in;
    const char *p, *end;
} scanner;

static altmin_error fail_header(const am_input *in, const char *what, altmin_status *st)
{
    return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': its NPY header is malformed (%s)", in->name,
                   what);
}

static void skip_space(scanner *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t')) ++s->p;
}

/* Step over one punctuation mark, with space before it: 1 when it was there. */
static int accept(scanner *s, char mark)
{
    skip_space(s);
    if (s->p == s->end || *s->p != mark) return 0;
    ++s->p;
    return 1;
}

/* A quoted string without escapes: 1 when there was one. */
static int accept_string(scanner *s, const char **text, size_t *n)
{
    skip_space(s);
    if (s->p == s->end || (*s->p != '\'' && *s->p != '"')) return 0;
    char quote = *s->p;
    const char *first = s->p + 1, *last = first;
    while (last < s->end && *last != quote && *last != '\\') ++last;
    if (last == s->end || *last != quote) return 0;
    *text = first;
    *n = (size_t)(last - first);
    s->p = last + 1;
    return 1;
}

static int is_text(const char *text, size_t n, const char *word)
{
    return strlen(word) == n && memcmp(text, word, n) == 0;
}

static altmin_error parse_descr(scanner *s, npy_array *a, altmin_status *st)
{
    static const struct {
        const char *name;
        npy_type type;
        size_t item_bytes;
    } known[] = {{"<f4", NPY_F4, 4}, {"<f8", NPY_F8, 8}, {"|u1", NPY_U1, 1},
                 {"<u1", NPY_U1, 1}, {"<i4", NPY_I4, 4}, {"<i8", NPY_I8, 8}};
    const char *text, *hint = "convert it with x.astype('float32') in numpy";
    char excerpt[64];
    size_t n;
    if (accept(s, '['))
        return am_fail(
            st, ALTMIN_ERR_DATA,
            "cannot read '%s': it is a structured array (a dtype with fields); save a plain float32 array",
            s->in->name);
    if (!accept_string(s, &text, &n)) return fail_header(s->in, "'descr' is not a string", st);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i) {
        if (!is_text(text, n, known[i].name)) continue;
        a->type = known[i].type;
        a->item_bytes = known[i].item_bytes;
        a->has_descr = 1;
        return ALTMIN_OK;
    }
    if (n && text[0] == '>') hint = "it is big-endian; convert it with x.astype('<f4') in numpy";
    if (n > 1 && text[1] == 'O')
        hint = "it holds Python objects; convert it with x.astype('float32') in numpy";
    if (n > 1 && (text[1] == 'U' || text[1] == 'S'))
        hint = "it holds text; save numbers, or write a CSV file";
    return am_fail(st, ALTMIN_ERR_DATA,
                   "cannot read '%s': its dtype '%s' is none of f4, f8, u1, i4, i8 (little-endian); %s",
                   s->in->name, am_excerpt(excerpt, text, n), hint);
}

static altmin_error parse_order(scanner *s, npy_array *a, altmin_status *st)
{
    skip_space(s);
    size_t left = (size_t)(s->end - s->p);
    if (left >= 4 && memcmp(s->p, "True", 4) == 0) {
        a->fortran = 1;
        s->p += 4;
    } else if (left >= 5 && memcmp(s->p, "False", 5) == 0) {
        s->p += 5;
    } else {
        return fail_header(s->in, "'fortran_order' is neither True nor False", st);
    }
    a->has_order = 1;
    return ALTMIN_OK;
}

static altmin_error parse_shape(scanner *s, npy_array *a, altmin_status *st)
{
    if (!accept(s, '(')) return fail_header(s->in, "'shape' is not a tuple", st);
    a->rank = 0;
    while (!accept(s, ')')) {
        size_t dim = 0;
        if (a->rank > 0 && !accept(s, ','))
            return fail_header(s->in, "'shape' is not a tuple of numbers", st);
        if (a->rank > 0 && accept(s, ')')) break;
        skip_space(s);
        const char *first = s->p;
        for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; ++s->p)
            if (am_size_mul(dim, 10, &dim) || am_size_add(dim, (size_t)(*s->p - '0'), &dim))
                return fail_header(s->in, "a number in 'shape' overflows", st);
        if (s->p == first) return fail_header(s->in, "'shape' is not a tuple of numbers", st);
        if (a->rank == MAX_RANK) return fail_header(s->in, "'shape' has more than 32 dimensions", st);
        a->dim[a->rank++] = dim;
    }
    a->has_shape = 1;
    return ALTMIN_OK;
}

static altmin_error parse_entry(scanner *s, npy_array *a, altmin_status *st)
{
    const char *key;
    size_t n;
    if (!accept_string(s, &key, &n) || !accept(s, ':')) return fail_header(s->in, "a key is missing", st);
    if (is_text(key, n, "descr") && !a->has_descr) return parse_descr(s, a, st);
    if (is_text(key, n, "fortran_order") && !a->has_order) return parse_order(s, a, st);
    if (is_text(key, n, "shape") && !a->has_shape) return parse_shape(s, a, st);
    return fail_header(s->in, "a key is unknown or occurs twice", st);
}

static altmin_error parse_dict(scanner *s, npy_array *a, altmin_status *st)
{
    if (!accept(s, '{')) return fail_header(s->in, "it is not a dict", st);
    while (!accept(s, '}')) {
        altmin_error code = parse_entry(s, a, st);
        if (code) return code;
        if (accept(s, ',')) continue;
        if (accept(s, '}')) break;
        return fail_header(s->in, "a comma is missing", st);
    }
    skip_space(s);
    if (s->p != s->end) return fail_header(s->in, "text follows the dict", st);
    if (!a->has_descr || !a->has_order || !a->has_shape)
        return fail_header(s->in, "descr, fortran_order or shape is missing", st);
    return ALTMIN_OK;
}

/* ---- the file ---- */

/* "(150, 4)" for messages. */
static const char *shape_text(char out[80], const npy_array *a)
{
    size_t used = (size_t)snprintf(out, 80, "(");
    for (size_t k = 0; k < a->rank && used < 50; ++k)
        used += (size_t)snprintf(out + used, 80 - used, "%s%zu", k ? ", " : "", a->dim[k]);
    snprintf(out + used, 80 - used, a->rank == 1 ? ",)" : ")");
    return out;
}

/* Sizes, and that the elements are exactly the rest of the file. */
static altmin_error measure(const am_input *in, npy_array *a, altmin_status *st)
{
    char shape[80];
    size_t n_there = in->n_bytes - (size_t)(a->elements - in->bytes), n_wanted = 0;
    a->n_samples = a->rank ? a->dim[0] : 1;
    a->n_features = 1;
    int overflow = 0;
    for (size_t k = 1; k < a->rank; ++k) overflow |= am_size_mul(a->n_features, a->dim[k], &a->n_features);
    if (overflow || am_size_mul(a->n_samples, a->n_features, &n_wanted) ||
        am_size_mul(n_wanted, a->item_bytes, &n_wanted))
        return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': its shape %s overflows", in->name,
                       shape_text(shape, a));
    if (n_wanted == n_there) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_FORMAT,
                   "cannot read '%s': its shape %s needs %zu bytes of data, %zu are there; was it cut off?",
                   in->name, shape_text(shape, a), n_wanted, n_there);
}

static altmin_error parse_header(const am_input *in, npy_array *a, altmin_status *st)
{
    const unsigned char *p = in->bytes;
    size_t prefix, n_header;
    *a = (npy_array){0};
    if (in->n_bytes < 10 || memcmp(p, "\x93NUMPY", MAGIC_BYTES) != 0)
        return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': it does not begin as an NPY file", in->name);
    if (p[6] < 1 || p[6] > 3)
        return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': NPY version %u.%u is unknown", in->name,
                       p[6], p[7]);
    prefix = p[6] == 1 ? 10 : 12;
    n_header = (size_t)p[8] | (size_t)p[9] << 8;
    if (p[6] > 1 && in->n_bytes >= prefix) n_header |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (in->n_bytes < prefix || in->n_bytes - prefix < n_header)
        return am_fail(st, ALTMIN_ERR_FORMAT,
                       "cannot read '%s': it ends inside its NPY header; was it cut off?", in->name);
    const char *text = (const char *)p + prefix;
    scanner s = {in, text, text + n_header};
    altmin_error code = parse_dict(&s, a, st);
    if (code) return code;
    a->elements = p + prefix + n_header;
    return measure(in, a, st);
}

/* ---- elements ---- */

static float element(const npy_array *a, size_t i)
{
    const unsigned char *p = a->elements + i * a->item_bytes;
    uint32_t bits32;
    uint64_t bits64;
    float f32;
    double f64;
    if (a->type == NPY_U1) return (float)*p;
    if (a->item_bytes == 4) {
        memcpy(&bits32, p, 4);
        bits32 = le32toh(bits32);
        if (a->type == NPY_I4) return (float)(int32_t)bits32;
        memcpy(&f32, &bits32, 4);
        return f32;
    }
    memcpy(&bits64, p, 8);
    bits64 = le64toh(bits64);
    if (a->type == NPY_I8) return (float)(int64_t)bits64;
    memcpy(&f64, &bits64, 8);
    return (float)f64;
}

static int64_t integer_element(const npy_array *a, size_t i)
{
    const unsigned char *p = a->elements + i * a->item_bytes;
    uint32_t bits32;
    uint64_t bits64;
    if (a->type == NPY_U1) return *p;
    if (a->type == NPY_I4) {
        memcpy(&bits32, p, 4);
        return (int32_t)le32toh(bits32);
    }
    memcpy(&bits64, p, 8);
    return (int64_t)le64toh(bits64);
}

/* In Fortran order, where feature f (numbered in C order) of sample 0 lies; sample j is j elements behind it.
 */
static size_t fortran_offset(const npy_array *a, size_t f)
{
    size_t offset = 0, stride = a->n_samples, position[MAX_RANK] = {0};
    for (size_t k = a->rank; k-- > 1; f /= a->dim[k]) position[k] = f % a->dim[k];
    for (size_t k = 1; k < a->rank; ++k) {
        offset += position[k] * stride;
        stride *= a->dim[k];
    }
    return offset;
}

/* All elements as floats, n_features x n_samples. Fortran order is transposed in bands of samples, so that
 * the lines being written stay in the cache. */
static void to_f32(const npy_array *a, float *out)
{
    enum { BAND = 64 };
    size_t n = a->n_samples, d = a->n_features;
    if (!a->fortran || a->rank < 2) {
        for (size_t i = 0; i < n * d; ++i) out[i] = element(a, i);
        return;
    }
    for (size_t first = 0; first < n; first += BAND) {
        size_t end = n - first < BAND ? n : first + BAND;
        for (size_t f = 0; f < d; ++f) {
            size_t offset = fortran_offset(a, f);
            for (size_t j = first; j < end; ++j) out[f + j * d] = element(a, offset + j);
        }
    }
}

static void to_u8(const npy_array *a, uint8_t *out)
{
    for (size_t f = 0; f < a->n_features; ++f) {
        size_t offset = fortran_offset(a, f);
        for (size_t j = 0; j < a->n_samples; ++j) out[f + j * a->n_features] = a->elements[offset + j];
    }
}

/* Converted copy that `data` owns; *x is set even when a value is not finite. */
static altmin_error convert(altmin_data *data, const am_input *in, const npy_array *a, const float **x,
                            altmin_status *st)
{
    size_t n_bytes;
    if (am_size_mul(a->n_samples * a->n_features, sizeof(float), &n_bytes)) n_bytes = SIZE_MAX;
    float *copy = malloc(n_bytes);
    altmin_error code = am_data_own(data, copy, st);
    if (code) return code;
    to_f32(a, copy);
    *x = copy;
    return am_check_finite(in, copy, a->n_features, a->n_samples, st);
}

static altmin_error take_features(altmin_data *data, am_input *in, const npy_array *a, altmin_status *st)
{
    size_t offset = (size_t)(a->elements - in->bytes);
    altmin_error code;
    int as_it_lies = !a->fortran || a->rank < 2;
    data->storage = a->type == NPY_U1 ? AM_STORE_U8 : AM_STORE_F32;
    if (a->type == NPY_U1 && as_it_lies) {
        if ((code = am_input_keep(in, data, st))) return code;
        data->u8 = in->bytes + offset;
        return ALTMIN_OK;
    }
    if (a->type == NPY_U1) {
        uint8_t *copy = malloc(a->n_samples * a->n_features);
        if ((code = am_data_own(data, copy, st))) return code;
        to_u8(a, copy);
        data->u8 = copy;
        return ALTMIN_OK;
    }
    if (a->type == NPY_F4 && as_it_lies && offset % sizeof(float) == 0 && __BYTE_ORDER == __LITTLE_ENDIAN) {
        if ((code = am_input_keep(in, data, st))) return code;
        data->f32 = (const float *)(const void *)(in->bytes + offset);
        return am_check_finite(in, data->f32, a->n_features, a->n_samples, st);
    }
    return convert(data, in, a, &data->f32, st);
}

altmin_error am_read_npy(altmin_data *data, am_input *in, am_input *labels, const am_read_options *opt,
                         altmin_status *st)
{
    npy_array a;
    char shape[80];
    altmin_error code = parse_header(in, &a, st);
    if (code) return code;
    if (a.rank < 2)
        return am_fail(
            st, ALTMIN_ERR_DATA,
            "cannot read '%s': its shape %s has no axis of features; save x.reshape(-1, 1) for one feature",
            in->name, shape_text(shape, &a));
    if ((code = am_check_sizes(in, a.n_features, a.n_samples, st))) return code;
    data->n_samples = a.n_samples;
    data->n_features = a.n_features;
    if ((code = take_features(data, in, &a, st))) return code;
    return labels ? am_read_label_file(data, labels, opt, st) : ALTMIN_OK;
}

/* ---- labels ---- */

static altmin_error add_labels(am_labels *labels, const am_input *in, const npy_array *a, altmin_status *st)
{
    altmin_error code = ALTMIN_OK;
    int is_float = a->type == NPY_F4 || a->type == NPY_F8;
    for (size_t i = 0; i < a->n_samples && !code; ++i) {
        int64_t value = 0;
        if (!is_float) {
            value = integer_element(a, i);
        } else {
            float x = element(a, i);
            if (x > -1e9f && x < 1e9f) value = (int64_t)x;
            if (!(x <= (float)value && x >= (float)value))
                return am_fail(st, ALTMIN_ERR_DATA,
                               "cannot read '%s': label number %zu is %g; class labels are whole numbers",
                               in->name, i + 1, (double)x);
        }
        code = am_labels_add_integer(labels, value, st);
    }
    return code;
}

altmin_error am_read_npy_labels(altmin_data *data, am_input *in, const am_read_options *opt,
                                altmin_status *st)
{
    npy_array a;
    char shape[80];
    altmin_error code = parse_header(in, &a, st);
    if (code) return code;
    if (a.rank < 1 || a.rank > 2 || a.n_samples != data->n_samples || a.n_features == 0)
        return am_fail(st, ALTMIN_ERR_DATA,
                       "cannot use '%s': its shape %s does not give a label to each of the %zu "
                       "samples of '%s'",
                       in->name, shape_text(shape, &a), data->n_samples, data->source);
    int is_float = a.type == NPY_F4 || a.type == NPY_F8;
    int wants_classes = opt->task == 0 || (opt->task != 1 && (!is_float || opt->n_classes > 0));
    if (opt->task == 1 || !wants_classes) {
        data->n_targets = a.n_features;
        return convert(data, in, &a, &data->target, st);
    }
    if (a.n_features != 1)
        return am_fail(
            st, ALTMIN_ERR_DATA,
            "cannot use '%s': class labels are one number per sample, its shape is %s; save y.argmax(1) "
            "for one-hot labels, or set task to regression",
            in->name, shape_text(shape, &a));
    am_labels *labels = am_labels_new(in, opt);
    if (!labels) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for labels");
    code = add_labels(labels, in, &a, st);
    if (!code) code = am_labels_finish(labels, data, st);
    am_labels_free(labels);
    return code;
}
