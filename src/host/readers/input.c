/* Input bytes of the readers: a mapping when the file is plain, memory when it is gzip or a stream. Guesses
 * the format from the bytes. */
#include "host/readers/readers.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "host/io/file.h"

enum { SNIFF_BYTES = 4096 };

altmin_error am_input_open(am_input *in, const char *path, altmin_status *st)
{
    const void *base = NULL;
    size_t n_bytes = 0;
    *in = (am_input){.name = path};
    altmin_error code = am_file_map(path, &base, &n_bytes, st);
    if (code) return code;
    if (!am_file_is_gzip(base, n_bytes)) {
        *in = (am_input){path, base, n_bytes, AM_BYTES_MAPPED, (void *)(uintptr_t)base};
        return ALTMIN_OK;
    }
    unsigned char *bytes = NULL;
    size_t n_unpacked = 0;
    code = am_file_gunzip(base, n_bytes, path, am_file_memory_limit(), &bytes, &n_unpacked, st);
    am_file_unmap(base, n_bytes);
    if (!code) *in = (am_input){path, bytes, n_unpacked, AM_BYTES_HEAP, bytes};
    return code;
}

altmin_error am_input_open_stream(am_input *in, FILE *f, const char *name, altmin_status *st)
{
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    *in = (am_input){.name = name};
    altmin_error code = am_file_read_stream(f, name, am_file_memory_limit(), &bytes, &n_bytes, st);
    if (!code) *in = (am_input){name, bytes, n_bytes, AM_BYTES_HEAP, bytes};
    return code;
}

altmin_error am_input_keep(am_input *in, altmin_data *data, altmin_status *st)
{
    am_bytes_owner owner = in->owner;
    void *base = in->base;
    if (owner == AM_BYTES_BORROWED) {
        base = malloc(in->n_bytes ? in->n_bytes : 1);
        if (!base)
            return am_fail(st, ALTMIN_ERR_MEMORY, "cannot read '%s': no memory for %zu bytes", in->name,
                           in->n_bytes);
        if (in->n_bytes) memcpy(base, in->bytes, in->n_bytes);
        in->bytes = base;
    }
    in->owner = AM_BYTES_BORROWED;
    in->base = NULL;
    return owner == AM_BYTES_MAPPED ? am_data_own_mapping(data, base, in->n_bytes, st)
                                    : am_data_own(data, base, st);
}

void am_input_close(am_input *in)
{
    if (in->owner == AM_BYTES_HEAP) free(in->base);
    if (in->owner == AM_BYTES_MAPPED) am_file_unmap(in->base, in->n_bytes);
    *in = (am_input){.name = in->name};
}

static int begins_with(const am_input *in, const char *magic, size_t n)
{
    return in->n_bytes >= n && memcmp(in->bytes, magic, n) == 0;
}

static int ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);
    if (n >= 3 && strcasecmp(name + n - 3, ".gz") == 0) n -= 3;
    return n >= m && strncasecmp(name + n - m, ending, m) == 0;
}

/* "+1 3:0.5 7:1": a word, then only words of the form index:value. */
static int line_is_libsvm(const char *p, const char *end)
{
    size_t n_pairs = 0;
    while (p < end && *p != ' ' && *p != '\t' && *p != ':' && *p != ',' && *p != ';' && *p != '"') ++p;
    if (p == end || (*p != ' ' && *p != '\t')) return 0;
    while (p < end && *p != '#') {
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) ++p;
        if (p == end || *p == '#') break;
        const char *word = p;
        while (p < end && *p >= '0' && *p <= '9') ++p;
        if (p == end || *p != ':' || p == word) return 0;
        while (p < end && *p != ' ' && *p != '\t' && *p != '\r') {
            if (*p == ',' || *p == ';') return 0;
            ++p;
        }
        ++n_pairs;
    }
    return n_pairs > 0;
}

/* The first line that is neither empty nor a comment decides. */
static int text_is_libsvm(const char *p, const char *end)
{
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *line_end = newline ? newline : end;
        if (line_end > p && *p != '#' && *p != '\r') return line_is_libsvm(p, line_end);
        if (!newline) break;
        p = newline + 1;
    }
    return 0;
}

static const char *foreign_format(const am_input *in)
{
    static const struct {
        const char *magic;
        size_t n;
        const char *hint;
    } known[] = {
        {"PK\3\4", 4, "it is a zip archive (.npz, .xlsx, .zip): unpack it and give one of its files"},
        {"\x89HDF", 4, "it is an HDF5 file: export the arrays with numpy.save"},
        {"PAR1", 4, "it is a Parquet file: export it as CSV or with numpy.save"},
        {"ARROW1", 6, "it is an Arrow file: export it as CSV or with numpy.save"},
        {"BZh", 3, "it is bzip2-compressed: unpack it with bunzip2"},
        {"\xFD"
         "7zXZ",
         5, "it is xz-compressed: unpack it with unxz"},
        {"\x28\xB5\x2F\xFD", 4, "it is zstd-compressed: unpack it with unzstd"},
        {"\x1f\x8b", 2, "it is gzip-compressed twice: unpack it once with gunzip"},
        {"\x80\x04\x95", 3, "it is a Python pickle: export the arrays with numpy.save"},
        {"\xFF\xFE", 2, "it is UTF-16 text: convert it with iconv -f utf-16 -t utf-8"},
        {"\xFE\xFF", 2, "it is UTF-16 text: convert it with iconv -f utf-16 -t utf-8"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i)
        if (begins_with(in, known[i].magic, known[i].n)) return known[i].hint;
    return NULL;
}

static int is_idx(const am_input *in)
{
    const unsigned char *p = in->bytes;
    return in->n_bytes >= 4 && p[0] == 0 && p[1] == 0 && p[2] >= 0x08 && p[2] <= 0x0E && p[3] >= 1;
}

am_format am_input_format(const am_input *in, const char **hint)
{
    *hint = NULL;
    if (in->n_bytes == 0) return AM_FORMAT_EMPTY;
    if (begins_with(in, "\x93NUMPY", 6)) return AM_FORMAT_NPY;
    if (is_idx(in)) return AM_FORMAT_IDX;
    if ((*hint = foreign_format(in)) != NULL) return AM_FORMAT_UNKNOWN;
    /* Damaged or foreign content under a name of ours goes to that reader, which says what is wrong. */
    if (ends_with(in->name, ".npy")) return AM_FORMAT_NPY;
    if (ends_with(in->name, "-ubyte") || ends_with(in->name, ".idx")) return AM_FORMAT_IDX;
    size_t n = in->n_bytes < SNIFF_BYTES ? in->n_bytes : SNIFF_BYTES;
    if (memchr(in->bytes, '\0', n)) return AM_FORMAT_UNKNOWN;
    if (ends_with(in->name, ".svm") || ends_with(in->name, ".libsvm") || ends_with(in->name, ".svmlight"))
        return AM_FORMAT_LIBSVM;
    const char *text = (const char *)in->bytes;
    return text_is_libsvm(text, text + in->n_bytes) ? AM_FORMAT_LIBSVM : AM_FORMAT_CSV;
}
