/* Reading files: mappings, whole reads, gzip. The writing half is replace.c. Every allocation here is bounded
 * by what the file has been seen to hold. */
#include "host/io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { GZIP_MAX_RATIO = 1032, GZIP_MIN_BYTES = 18, READ_STEP = 1 << 16 };

static altmin_error fail_memory(const char *name, size_t n_bytes, altmin_status *st)
{
    return am_fail(st, ALTMIN_ERR_MEMORY, "cannot read '%s': no memory for %zu bytes", name, n_bytes);
}

static altmin_error fail_too_big(const char *name, size_t max_bytes, altmin_status *st)
{
    return am_fail(
        st, ALTMIN_ERR_MEMORY,
        "cannot read '%s': it holds more than %zu bytes once unpacked, the limit here; unpack it to a "
        "plain file first, which is mapped instead of copied",
        name, max_bytes);
}

/* Open for reading and make sure that it is a regular file; *fd is -1 on failure. */
static altmin_error open_regular(const char *path, int *fd, size_t *n_bytes, altmin_status *st)
{
    struct stat info;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return am_fail(st, ALTMIN_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(*fd, &info)) {
        am_fail(st, ALTMIN_ERR_IO, "cannot examine '%s': %s", path, strerror(errno));
    } else if (S_ISDIR(info.st_mode)) {
        am_fail(st, ALTMIN_ERR_IO, "cannot read '%s': it is a folder, a file is needed here", path);
    } else if (!S_ISREG(info.st_mode)) {
        am_fail(st, ALTMIN_ERR_IO,
                "cannot read '%s': it is a device or a pipe, a regular file is needed here", path);
    } else {
        *n_bytes = (size_t)info.st_size;
        return ALTMIN_OK;
    }
    close(*fd);
    *fd = -1;
    return ALTMIN_ERR_IO;
}

/* Room for one NUL is kept behind `n_bytes`. */
static altmin_error shrink(unsigned char *buffer, size_t n, unsigned char **bytes, size_t *n_bytes)
{
    buffer[n] = '\0';
    unsigned char *fitted = realloc(buffer, n + 1);
    *bytes = fitted ? fitted : buffer;
    *n_bytes = n;
    return ALTMIN_OK;
}

/* The uncompressed size that a single-member gzip file states in its last four bytes (modulo 2^32), as a
 * first guess of what to allocate; a lie costs one reallocation. */
static size_t stated_size(const unsigned char *packed, size_t n_packed)
{
    const unsigned char *p = packed + n_packed - 4;
    return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

typedef struct inflate_job {
    z_stream z;
    const char *name;
    const unsigned char *next; /* packed bytes not yet given to zlib */
    size_t left;
    unsigned char *out;
    size_t n_out, capacity; /* capacity excludes the NUL's byte */
    size_t ceiling;         /* the most that may come out */
} inflate_job;

static altmin_error inflate_grow(inflate_job *job, size_t max_bytes, altmin_status *st)
{
    size_t wanted = job->capacity > SIZE_MAX / 2 ? SIZE_MAX : job->capacity * 2;
    if (wanted > job->ceiling) wanted = job->ceiling;
    if (wanted == job->capacity) return fail_too_big(job->name, max_bytes, st);
    unsigned char *grown = realloc(job->out, wanted + 1);
    if (!grown) return fail_memory(job->name, wanted, st);
    job->out = grown;
    job->capacity = wanted;
    return ALTMIN_OK;
}

/* Inflate one gzip member; zlib counts in unsigned int, hence the pieces. */
static altmin_error inflate_member(inflate_job *job, size_t max_bytes, altmin_status *st)
{
    const size_t piece = 1u << 30;
    for (;;) {
        unsigned char spare;
        size_t room = job->capacity - job->n_out;
        int probing =
            room == 0; /* the stream may end exactly here: ask with one byte to spare before growing */
        job->z.next_in = (Bytef *)(uintptr_t)job->next;
        job->z.avail_in = (uInt)(job->left < piece ? job->left : piece);
        job->z.next_out = probing ? &spare : job->out + job->n_out;
        job->z.avail_out = (uInt)(probing ? 1 : room < piece ? room : piece);
        uInt in_before = job->z.avail_in, out_before = job->z.avail_out;
        int rc = inflate(&job->z, Z_NO_FLUSH);
        size_t n_in = in_before - job->z.avail_in, n_out = out_before - job->z.avail_out;
        job->next += n_in;
        job->left -= n_in;
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return am_fail(st, rc == Z_MEM_ERROR ? ALTMIN_ERR_MEMORY : ALTMIN_ERR_FORMAT,
                           "cannot read '%s': its gzip data is damaged after %zu bytes of content (%s)",
                           job->name, job->n_out, job->z.msg ? job->z.msg : "zlib gives no reason");
        if (probing && n_out) {
            altmin_error code = inflate_grow(job, max_bytes, st);
            if (code) return code;
            job->out[job->n_out++] = spare;
        } else {
            job->n_out += n_out;
        }
        if (rc == Z_STREAM_END) return ALTMIN_OK;
        if (job->left == 0 && n_in == 0 && n_out == 0)
            return am_fail(
                st, ALTMIN_ERR_FORMAT,
                "cannot read '%s': its gzip data ends too early, after %zu bytes of content; was the "
                "download cut off?",
                job->name, job->n_out);
    }
}

/* Some writers pad with zeros up to a block boundary; anything else behind the last member is damage. */
static int only_zeros(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (p[i]) return 0;
    return 1;
}

static altmin_error inflate_all(inflate_job *job, size_t max_bytes, altmin_status *st)
{
    do {
        altmin_error code = inflate_member(job, max_bytes, st);
        if (code) return code;
        if (only_zeros(job->next, job->left)) return ALTMIN_OK;
        if (!am_file_is_gzip(job->next, job->left))
            return am_fail(st, ALTMIN_ERR_FORMAT,
                           "cannot read '%s': %zu bytes that are not gzip data follow its gzip data",
                           job->name, job->left);
        inflateReset(&job->z);
    } while (1);
}

int am_file_is_gzip(const unsigned char *bytes, size_t n_bytes)
{
    return n_bytes >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

altmin_error am_file_gunzip(const unsigned char *packed, size_t n_packed, const char *name, size_t max_bytes,
                            unsigned char **bytes, size_t *n_bytes, altmin_status *st)
{
    *bytes = NULL;
    *n_bytes = 0;
    if (n_packed < GZIP_MIN_BYTES)
        return am_fail(
            st, ALTMIN_ERR_FORMAT,
            "cannot read '%s': its gzip data ends too early, after %zu packed bytes; was the download "
            "cut off?",
            name, n_packed);
    inflate_job job = {.name = name, .next = packed, .left = n_packed};
    if (am_size_mul(n_packed, GZIP_MAX_RATIO, &job.ceiling)) job.ceiling = SIZE_MAX - 1;
    if (job.ceiling > max_bytes) job.ceiling = max_bytes;
    size_t stated = stated_size(packed, n_packed);
    size_t first = stated > n_packed ? stated : n_packed;
    job.capacity = first < job.ceiling ? first : job.ceiling;
    if (job.capacity == SIZE_MAX) job.capacity -= 1;
    job.out = malloc(job.capacity + 1);
    if (!job.out) return fail_memory(name, job.capacity, st);
    if (inflateInit2(&job.z, 15 + 16) != Z_OK) {
        free(job.out);
        return fail_memory(name, job.capacity, st);
    }
    altmin_error code = inflate_all(&job, max_bytes, st);
    inflateEnd(&job.z);
    if (!code) return shrink(job.out, job.n_out, bytes, n_bytes);
    free(job.out);
    return code;
}

altmin_error am_file_map(const char *path, const void **base, size_t *n_bytes, altmin_status *st)
{
    int fd;
    size_t size = 0;
    *base = NULL;
    *n_bytes = 0;
    altmin_error code = open_regular(path, &fd, &size, st);
    if (code) return code;
    if (size > 0) {
        void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED) {
            code = am_fail(st, ALTMIN_ERR_IO, "cannot map '%s': %s", path, strerror(errno));
        } else {
            *base = map;
            *n_bytes = size;
        }
    }
    close(fd);
    return code;
}

void am_file_unmap(const void *base, size_t n_bytes)
{
    if (base) munmap((void *)(uintptr_t)base, n_bytes);
}

altmin_error am_file_read(const char *path, size_t max_bytes, unsigned char **bytes, size_t *n_bytes,
                          altmin_status *st)
{
    const void *base;
    size_t size;
    *bytes = NULL;
    *n_bytes = 0;
    altmin_error code = am_file_map(path, &base, &size, st);
    if (code) return code;
    if (am_file_is_gzip(base, size)) {
        code = am_file_gunzip(base, size, path, max_bytes, bytes, n_bytes, st);
    } else if (size > max_bytes || size == SIZE_MAX) {
        code = fail_too_big(path, max_bytes, st);
    } else if ((*bytes = malloc(size + 1)) == NULL) {
        code = fail_memory(path, size, st);
    } else {
        if (size) memcpy(*bytes, base, size);
        (*bytes)[size] = '\0';
        *n_bytes = size;
    }
    am_file_unmap(base, size);
    return code;
}

/* Read to the end of the stream, growing by half each time. */
static altmin_error slurp(FILE *f, const char *name, size_t max_bytes, unsigned char **bytes, size_t *n_bytes,
                          altmin_status *st)
{
    size_t capacity = READ_STEP, n = 0;
    unsigned char *buffer = malloc(capacity + 1);
    if (!buffer) return fail_memory(name, capacity, st);
    for (;;) {
        n += fread(buffer + n, 1, capacity - n, f);
        if (n < capacity) break;
        size_t wanted = capacity + capacity / 2;
        unsigned char *grown = wanted > max_bytes ? NULL : realloc(buffer, wanted + 1);
        if (!grown) {
            free(buffer);
            return wanted > max_bytes ? fail_too_big(name, max_bytes, st) : fail_memory(name, wanted, st);
        }
        buffer = grown;
        capacity = wanted;
    }
    if (ferror(f)) {
        free(buffer);
        return am_fail(st, ALTMIN_ERR_IO, "cannot read '%s': %s", name, strerror(errno));
    }
    return shrink(buffer, n, bytes, n_bytes);
}

altmin_error am_file_read_stream(FILE *f, const char *name, size_t max_bytes, unsigned char **bytes,
                                 size_t *n_bytes, altmin_status *st)
{
    unsigned char *raw = NULL;
    size_t n_raw = 0;
    *bytes = NULL;
    *n_bytes = 0;
    altmin_error code = slurp(f, name, max_bytes, &raw, &n_raw, st);
    if (code) return code;
    if (!am_file_is_gzip(raw, n_raw)) {
        *bytes = raw;
        *n_bytes = n_raw;
        return ALTMIN_OK;
    }
    code = am_file_gunzip(raw, n_raw, name, max_bytes, bytes, n_bytes, st);
    free(raw);
    return code;
}

size_t am_file_memory_limit(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    size_t limit;
    if (pages <= 0 || page_bytes <= 0 || am_size_mul((size_t)pages, (size_t)page_bytes, &limit))
        return SIZE_MAX / 2;
    return limit / 2;
}
