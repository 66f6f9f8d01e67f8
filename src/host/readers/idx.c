/* IDX, the format of MNIST and its relatives: two zero bytes, an element type, the number of dimensions, the
 * dimensions as big-endian 32-bit numbers, then the elements, big-endian, the last dimension fastest. The
 * first dimension counts samples, the others are the features of a sample, so bytes are used as they lie in
 * the file. Also holds what both array formats (IDX, NPY) check. Format: http://yann.lecun.com/exdb/mnist/ */
#include "host/readers/readers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum idx_type {
    IDX_U8 = 0x08,
    IDX_I8 = 0x09,
    IDX_I16 = 0x0B,
    IDX_I32 = 0x0C,
    IDX_F32 = 0x0D,
    IDX_F64 = 0x0E
} idx_type;

typedef struct idx_header {
    idx_type type;
    size_t element_bytes, rank;
    size_t n_samples, n_features; /* first dimension, product of the others */
    const unsigned char *elements;
} idx_header;

static size_t element_bytes(unsigned type)
{
    switch (type) {
    case IDX_U8:
    case IDX_I8: return 1;
    case IDX_I16: return 2;
    case IDX_I32:
    case IDX_F32: return 4;
    case IDX_F64: return 8;
    default: return 0;
    }
}

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

/* Check that the elements are exactly the rest of the file. */
static altmin_error check_length(const am_input *in, const idx_header *h, altmin_status *st)
{
    size_t n_header = 4 + 4 * h->rank, n_there = in->n_bytes - n_header, n_wanted;
    if (am_size_mul(h->n_samples, h->n_features, &n_wanted) ||
        am_size_mul(n_wanted, h->element_bytes, &n_wanted))
        return am_fail(st, ALTMIN_ERR_FORMAT,
                       "cannot read '%s': its dimensions overflow (%zu samples of %zu values)", in->name,
                       h->n_samples, h->n_features);
    if (n_wanted == n_there) return ALTMIN_OK;
    return am_fail(
        st, ALTMIN_ERR_FORMAT,
        "cannot read '%s': its header promises %zu bytes of data (%zu samples of %zu values), %zu are "
        "there; %s",
        in->name, n_wanted, h->n_samples, h->n_features, n_there,
        n_there < n_wanted ? "was the download cut off?" : "is it another file glued to its end?");
}

static altmin_error parse_header(const am_input *in, idx_header *h, altmin_status *st)
{
    const unsigned char *p = in->bytes;
    if (in->n_bytes < 4 || p[0] || p[1])
        return am_fail(st, ALTMIN_ERR_FORMAT,
                       "cannot read '%s': it is not an IDX file, which begins with two zero bytes", in->name);
    *h = (idx_header){
        .type = (idx_type)p[2], .element_bytes = element_bytes(p[2]), .rank = p[3], .n_features = 1};
    if (!h->element_bytes)
        return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': IDX element type 0x%02x is unknown",
                       in->name, p[2]);
    if (h->rank == 0)
        return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': its IDX header has no dimensions", in->name);
    if (in->n_bytes < 4 + 4 * h->rank)
        return am_fail(st, ALTMIN_ERR_FORMAT,
                       "cannot read '%s': it ends inside its IDX header, after %zu bytes", in->name,
                       in->n_bytes);
    h->n_samples = be32(p + 4);
    for (size_t k = 1; k < h->rank; ++k)
        if (am_size_mul(h->n_features, be32(p + 4 + 4 * k), &h->n_features))
            return am_fail(st, ALTMIN_ERR_FORMAT,
                           "cannot read '%s': the product of its %zu dimensions overflows", in->name,
                           h->rank);
    h->elements = p + 4 + 4 * h->rank;
    return check_length(in, h, st);
}

/* Element i as a double, which holds every IDX type exactly. */
static double element(const idx_header *h, size_t i)
{
    const unsigned char *p = h->elements + i * h->element_bytes;
    uint32_t bits32;
    uint64_t bits64;
    float f32;
    double f64;
    switch (h->type) {
    case IDX_U8: return p[0];
    case IDX_I8: return (int8_t)p[0];
    case IDX_I16: return (int16_t)((uint16_t)p[0] << 8 | p[1]);
    case IDX_I32: return (int32_t)be32(p);
    case IDX_F32:
        bits32 = be32(p);
        memcpy(&f32, &bits32, 4);
        return (double)f32;
    case IDX_F64: break;
    }
    bits64 = (uint64_t)be32(p) << 32 | be32(p + 4);
    memcpy(&f64, &bits64, 8);
    return f64;
}

static altmin_error convert_features(altmin_data *data, const am_input *in, const idx_header *h,
                                     altmin_status *st)
{
    size_t n = h->n_samples * h->n_features, n_bytes;
    if (am_size_mul(n, sizeof(float), &n_bytes)) n_bytes = SIZE_MAX;
    float *x = malloc(n_bytes);
    altmin_error code = am_data_own(data, x, st);
    if (code) return code;
    for (size_t i = 0; i < n; ++i) x[i] = (float)element(h, i);
    data->storage = AM_STORE_F32;
    data->f32 = x;
    return am_check_finite(in, x, h->n_features, h->n_samples, st);
}

altmin_error am_check_sizes(const am_input *in, size_t n_features, size_t n_samples, altmin_status *st)
{
    if (n_samples == 0)
        return am_fail(st, ALTMIN_ERR_DATA, "cannot read '%s': it holds no samples", in->name);
    if (n_features == 0)
        return am_fail(st, ALTMIN_ERR_DATA, "cannot read '%s': it holds no features", in->name);
    return ALTMIN_OK;
}

/* On the bits, so that the loop has no branch and can be vectorised: an exponent of all ones is NaN or
 * infinite. */
static int all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; ++i) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    return !bad;
}

altmin_error am_check_finite(const am_input *in, const float *f32, size_t n_features, size_t n_samples,
                             altmin_status *st)
{
    enum { BLOCK = 4096 };
    size_t n = n_features * n_samples;
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t end = n - first < BLOCK ? n : first + BLOCK;
        if (all_finite(f32 + first, end - first)) continue;
        for (size_t i = first; i < end; ++i)
            if (!isfinite(f32[i]))
                return am_fail(
                    st, ALTMIN_ERR_DATA,
                    "cannot read '%s': sample %zu, feature %zu (counted from 1) is not a finite 32-bit "
                    "float (%g); fill it in or leave the sample out",
                    in->name, i / n_features + 1, i % n_features + 1, (double)f32[i]);
    }
    return ALTMIN_OK;
}

altmin_error am_read_idx(altmin_data *data, am_input *in, am_input *labels, const am_read_options *opt,
                         altmin_status *st)
{
    idx_header h;
    altmin_error code = parse_header(in, &h, st);
    if (code) return code;
    if (h.rank < 2)
        return am_fail(
            st, ALTMIN_ERR_DATA,
            "cannot read '%s': it has one dimension, so it holds labels; give the file of the samples",
            in->name);
    if ((code = am_check_sizes(in, h.n_features, h.n_samples, st))) return code;
    data->n_samples = h.n_samples;
    data->n_features = h.n_features;
    if (h.type == IDX_U8) {
        size_t offset = (size_t)(h.elements - in->bytes);
        if ((code = am_input_keep(in, data, st))) return code;
        data->storage = AM_STORE_U8;
        data->u8 = in->bytes + offset;
    } else if ((code = convert_features(data, in, &h, st))) {
        return code;
    }
    return labels ? am_read_label_file(data, labels, opt, st) : ALTMIN_OK;
}

static altmin_error add_labels(am_labels *labels, const am_input *in, const idx_header *h, altmin_status *st)
{
    altmin_error code = ALTMIN_OK;
    if (h->type == IDX_F32 || h->type == IDX_F64)
        return am_fail(st, ALTMIN_ERR_DATA,
                       "cannot read '%s': IDX labels must be integers, these are real numbers", in->name);
    for (size_t i = 0; i < h->n_samples && !code; ++i)
        code = am_labels_add_integer(labels, (int64_t)element(h, i), st);
    return code;
}

altmin_error am_read_idx_labels(altmin_data *data, am_input *in, const am_read_options *opt,
                                altmin_status *st)
{
    idx_header h;
    altmin_error code = parse_header(in, &h, st);
    if (code) return code;
    if (h.rank != 1)
        return am_fail(st, ALTMIN_ERR_DATA, "cannot read '%s': labels have one dimension, this file has %zu",
                       in->name, h.rank);
    if (h.n_samples != data->n_samples)
        return am_fail(st, ALTMIN_ERR_DATA,
                       "cannot use '%s': it holds %zu labels for the %zu samples of '%s'", in->name,
                       h.n_samples, data->n_samples, data->source);
    am_labels *labels = am_labels_new(in, opt);
    if (!labels) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for labels");
    code = add_labels(labels, in, &h, st);
    if (!code) code = am_labels_finish(labels, data, st);
    am_labels_free(labels);
    return code;
}

altmin_error am_read_label_file(altmin_data *data, am_input *labels, const am_read_options *opt,
                                altmin_status *st)
{
    const char *hint;
    switch (am_input_format(labels, &hint)) {
    case AM_FORMAT_IDX: return am_read_idx_labels(data, labels, opt, st);
    case AM_FORMAT_NPY: return am_read_npy_labels(data, labels, opt, st);
    default: break;
    }
    return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read labels from '%s': %s", labels->name,
                   hint ? hint : "it is neither IDX nor NPY");
}
