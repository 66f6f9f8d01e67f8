/* From a source's name to a data set: named sets, folders of IDX files, single files of any known format,
 * streams. This file decides what to read; the readers read. */
#include "host/data/data.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "host/readers/readers.h"

typedef struct path_buffer {
    char text[PATH_MAX];
} path_buffer;

static int is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

/* ---- the four standard IDX files ---- */

/* The file of `part` ("train" or "test") and `kind` ("images" or "labels") in a folder: 1 when found. Both
 * spellings that circulate (train-images-idx3-ubyte, train-images.idx3-ubyte) are looked for, plain before
 * gzip. */
static int find_idx(path_buffer *path, const char *folder, const char *part, const char *kind)
{
    static const char *const ending[] = {"-idx%c-ubyte", "-idx%c-ubyte.gz", ".idx%c-ubyte",
                                         ".idx%c-ubyte.gz"};
    const char *stem = strcmp(part, "test") == 0 ? "t10k" : "train";
    char rank = strcmp(kind, "images") == 0 ? '3' : '1';
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; ++i) {
        char tail[32];
        const char *percent = strchr(ending[i], '%');
        snprintf(tail, sizeof tail, "%.*s%c%s", (int)(percent - ending[i]), ending[i], rank, percent + 2);
        int n = snprintf(path->text, sizeof path->text, "%s/%s-%s%s", folder, stem, kind, tail);
        if (n > 0 && (size_t)n < sizeof path->text && is_file(path->text)) return 1;
    }
    return 0;
}

static int folder_has_part(const char *folder, const char *part)
{
    path_buffer path;
    return find_idx(&path, folder, part, "images");
}

/* ---- named sets ---- */

typedef struct named_set {
    const char *name;
    const char *package; /* the Debian package, or NULL */
} named_set;

static const named_set *find_named(const char *source)
{
    static const named_set sets[] = {{"fashion-mnist", "dataset-fashion-mnist"}, {"mnist", NULL}};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; ++i)
        if (strcmp(source, sets[i].name) == 0) return &sets[i];
    return NULL;
}

/* The k-th folder in which a named set may lie, in order of preference: 1 while k is in range. A folder that
 * cannot exist (its variable is not set) is empty text. */
static int candidate_folder(path_buffer *path, const char *name, size_t k)
{
    const char *data = getenv("ALTMIN_DATA"), *home = getenv("HOME");
    int n = 0;
    path->text[0] = '\0';
    switch (k) {
    case 0:
        if (data && *data) n = snprintf(path->text, sizeof path->text, "%s/%s", data, name);
        break;
    case 1: n = snprintf(path->text, sizeof path->text, "/usr/share/datasets/%s", name); break;
    case 2:
        if (home && *home) n = snprintf(path->text, sizeof path->text, "%s/.cache/altmin/%s", home, name);
        break;
    case 3: n = snprintf(path->text, sizeof path->text, "./%s", name); break;
    case 4: n = snprintf(path->text, sizeof path->text, "./data/%s", name); break;
    default: return 0;
    }
    if (n < 0 || (size_t)n >= sizeof path->text) path->text[0] = '\0';
    return 1;
}

static int find_named_folder(path_buffer *path, const char *name, const char *part)
{
    for (size_t k = 0; candidate_folder(path, name, k); ++k)
        if (path->text[0] && folder_has_part(path->text, part)) return 1;
    return 0;
}

static altmin_error fail_not_found(const named_set *set, altmin_status *st)
{
    path_buffer path;
    char looked[700] = "", advice[200];
    for (size_t k = 0, n = 0; candidate_folder(&path, set->name, k); ++k) {
        if (!path.text[0]) continue;
        int m = snprintf(looked + n, sizeof looked - n, "%s%.160s", n ? ", " : "", path.text);
        if (m > 0 && (size_t)m < sizeof looked - n) n += (size_t)m;
    }
    if (set->package)
        snprintf(advice, sizeof advice, "install it with 'apt-get install %s', or put", set->package);
    else
        snprintf(advice, sizeof advice, "put");
    return am_fail(
        st, ALTMIN_ERR_IO,
        "data set '%s' is not on this machine: looked in %s; %s its four IDX files into one of these folders "
        "(ALTMIN_DATA=FOLDER adds FOLDER/%s)",
        set->name, looked, advice, set->name);
}

/* ---- where a file's labels lie ---- */

/* Replace the first `from` in the last path component by `to`; 1 when there was one. */
static int replace_in_name(path_buffer *path, const char *from, const char *to)
{
    char *slash = strrchr(path->text, '/');
    char *at = strstr(slash ? slash + 1 : path->text, from);
    size_t n_from = strlen(from), n_to = strlen(to);
    if (!at || strlen(path->text) + n_to >= sizeof path->text) return 0;
    memmove(at + n_to, at + n_from, strlen(at + n_from) + 1);
    memcpy(at, to, n_to);
    return 1;
}

/* With or without .gz, whichever exists. */
static int exists_with_or_without_gz(path_buffer *path)
{
    size_t n = strlen(path->text);
    if (is_file(path->text)) return 1;
    if (n > 3 && strcmp(path->text + n - 3, ".gz") == 0) {
        path->text[n - 3] = '\0';
    } else {
        if (n + 4 > sizeof path->text) return 0;
        memcpy(path->text + n, ".gz", 4);
    }
    return is_file(path->text);
}

/* train-images-idx3-ubyte -> train-labels-idx1-ubyte: 1 when that file exists. */
static int derive_idx_labels(path_buffer *labels, const char *path)
{
    if (snprintf(labels->text, sizeof labels->text, "%s", path) >= (int)sizeof labels->text) return 0;
    if (!replace_in_name(labels, "images", "labels")) return 0;
    replace_in_name(labels, "idx3", "idx1");
    return exists_with_or_without_gz(labels);
}

/* X.npy -> y.npy, X_train.npy -> y_train.npy, train_X.npy -> train_y.npy, also with x, and images -> labels,
 * features -> labels: 1 when that file exists. */
static int derive_npy_labels(path_buffer *labels, const char *path)
{
    static const char *const word[][2] = {{"images", "labels"}, {"features", "labels"}};
    for (size_t i = 0; i < 2; ++i) {
        if (snprintf(labels->text, sizeof labels->text, "%s", path) >= (int)sizeof labels->text) return 0;
        if (replace_in_name(labels, word[i][0], word[i][1]) && exists_with_or_without_gz(labels)) return 1;
    }
    snprintf(labels->text, sizeof labels->text, "%s", path);
    char *slash = strrchr(labels->text, '/');
    char *name = slash ? slash + 1 : labels->text;
    for (char *p = name; *p; ++p) {
        if (*p != 'X' && *p != 'x') continue;
        int begins = p == name || strchr("_-.", p[-1]), ends = strchr("_-.", p[1]) != NULL;
        if (!begins || !ends) continue;
        *p = 'y';
        return exists_with_or_without_gz(labels);
    }
    return 0;
}

/* ---- reading ---- */

static altmin_error fail_unknown(const am_input *in, const char *hint, altmin_status *st)
{
    return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': %s", in->name,
                   hint ? hint : "its content is none of IDX, NPY, CSV, TSV and LIBSVM");
}

/* Features and, for IDX and NPY, labels from the file that labels_path names (NULL: none). */
static altmin_error read_input(altmin_data *data, am_input *in, const char *labels_path,
                               const am_read_options *opt, altmin_status *st)
{
    const char *hint;
    am_input labels = {0};
    altmin_error code = ALTMIN_OK;
    am_format format = am_input_format(in, &hint);
    if (format == AM_FORMAT_EMPTY)
        return am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': it is empty", in->name);
    if (format == AM_FORMAT_CSV) return am_read_csv(data, in, opt, st);
    if (format == AM_FORMAT_LIBSVM) return am_read_libsvm(data, in, opt, st);
    if (format == AM_FORMAT_UNKNOWN) return fail_unknown(in, hint, st);
    if (labels_path && (code = am_input_open(&labels, labels_path, st))) return code;
    am_input *given = labels_path ? &labels : NULL;
    code = format == AM_FORMAT_IDX ? am_read_idx(data, in, given, opt, st)
                                   : am_read_npy(data, in, given, opt, st);
    am_input_close(&labels);
    return code;
}

static altmin_error read_file(altmin_data *data, const char *path, const am_read_options *opt,
                              altmin_status *st)
{
    am_input in;
    path_buffer derived;
    const char *hint, *labels_path = opt->labels_path;
    altmin_error code = am_input_open(&in, path, st);
    if (code) return code;
    if (opt->task == 2) {
        labels_path = NULL;
    } else if (!labels_path) {
        am_format format = am_input_format(&in, &hint);
        if ((format == AM_FORMAT_IDX && derive_idx_labels(&derived, path)) ||
            (format == AM_FORMAT_NPY && derive_npy_labels(&derived, path)))
            labels_path = derived.text;
    }
    code = read_input(data, &in, labels_path, opt, st);
    am_input_close(&in);
    return code;
}

static altmin_error read_folder(altmin_data *data, const char *folder, const char *part,
                                const am_read_options *opt, altmin_status *st)
{
    path_buffer images, labels;
    am_read_options with_labels = *opt;
    if (!find_idx(&images, folder, part, "images"))
        return am_fail(
            st, ALTMIN_ERR_IO,
            "folder '%s' has no %s data: %s-images-idx3-ubyte or the same with .gz is not there; give a "
            "folder with the four standard IDX files, or a single file",
            folder, part, strcmp(part, "test") == 0 ? "t10k" : "train");
    if (!opt->labels_path && find_idx(&labels, folder, part, "labels")) with_labels.labels_path = labels.text;
    return read_file(data, images.text, &with_labels, st);
}

static altmin_error read_stream(altmin_data *data, FILE *f, const char *name, const am_read_options *opt,
                                altmin_status *st)
{
    am_input in;
    altmin_error code = am_input_open_stream(&in, f, name, st);
    if (code) return code;
    code = read_input(data, &in, opt->task == 2 ? NULL : opt->labels_path, opt, st);
    am_input_close(&in);
    return code;
}

/* Pipes and devices given by path, e.g. a shell's <(zcat ...). */
static altmin_error read_special(altmin_data *data, const char *path, const am_read_options *opt,
                                 altmin_status *st)
{
    FILE *f = fopen(path, "rb");
    if (!f) return am_fail(st, ALTMIN_ERR_IO, "cannot open '%s'", path);
    altmin_error code = read_stream(data, f, path, opt, st);
    fclose(f);
    return code;
}

static altmin_error read_single(altmin_data *data, const char *source, const char *part,
                                const am_read_options *opt, altmin_status *st)
{
    struct stat info;
    if (strcmp(part, "train") != 0)
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "'%s' is a single file and has no %s part of its own: give test data as a source of its own",
            source, part);
    if (stat(source, &info) == 0 && !S_ISREG(info.st_mode)) return read_special(data, source, opt, st);
    return read_file(data, source, opt, st);
}

static altmin_error read_source(altmin_data *data, const char *source, const char *part,
                                const am_read_options *opt, altmin_status *st)
{
    path_buffer folder;
    const named_set *set = find_named(source);
    if (strcmp(source, "digits") == 0) return am_read_digits(data, part, opt, st);
    if (strcmp(source, "-") == 0) return read_stream(data, stdin, "standard input", opt, st);
    if (set) {
        if (!find_named_folder(&folder, set->name, part)) return fail_not_found(set, st);
        return read_folder(data, folder.text, part, opt, st);
    }
    if (is_folder(source)) return read_folder(data, source, part, opt, st);
    if (!is_file(source) && !strchr(source, '/') && !strchr(source, '.'))
        return am_fail(st, ALTMIN_ERR_IO,
                       "data '%s' is neither a file, nor a folder, nor one of the named sets digits, mnist, "
                       "fashion-mnist",
                       source);
    return read_single(data, source, part, opt, st);
}

int am_data_has_part(const char *source, const char *part)
{
    path_buffer folder;
    const named_set *set = find_named(source);
    if (strcmp(source, "digits") == 0) return 1;
    if (set) return find_named_folder(&folder, set->name, part);
    if (is_folder(source)) return folder_has_part(source, part);
    return strcmp(part, "train") == 0;
}

altmin_error am_data_open(altmin_data **data, const char *source, const char *part,
                          const am_read_options *opt, altmin_status *st)
{
    altmin_data *made = NULL;
    *data = NULL;
    if (!part) part = "train";
    if (strcmp(part, "train") != 0 && strcmp(part, "test") != 0)
        return am_fail(st, ALTMIN_ERR_USAGE, "part '%s' is neither 'train' nor 'test'", part);
    altmin_error code = am_data_new(&made, source, st);
    if (!code) code = read_source(made, source, part, opt, st);
    if (code)
        altmin_data_free(made);
    else
        *data = made;
    return code;
}

altmin_error am_data_open_stream(altmin_data **data, void *file, const char *name, const am_read_options *opt,
                                 altmin_status *st)
{
    altmin_data *made = NULL;
    *data = NULL;
    altmin_error code = am_data_new(&made, name, st);
    if (!code) code = read_stream(made, file, name, opt, st);
    if (code)
        altmin_data_free(made);
    else
        *data = made;
    return code;
}
