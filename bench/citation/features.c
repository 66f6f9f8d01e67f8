/* citation_features DIR NAME OUT: the augmented features of a citation network as NPY files.
 *
 * Reads DIR/NAME.svm (LIBSVM, a line a node: class and features), NAME.edges.tsv (two node numbers a line,
 * from 0), NAME.train.txt and NAME.test.txt (a node number a line). Writes, in the order of the lists,
 * OUT/X_train.npy and OUT/X_test.npy (float32, nodes x features) and the classes as OUT/y_train.npy and
 * OUT/y_test.npy (int32). */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "graph.h"
#include "host/data/data.h"
#include "host/io/file.h"
#include "host/readers/readers.h"

typedef struct part_of {
    const altmin_data *data;
    const float *x; /* n_features x n_nodes */
    const citation_graph *graph;
    const char *folder, *name, *out;
} part_of;

typedef struct array {
    const char *dtype;
    const void *value;
    size_t item_bytes, rows, cols; /* cols 0: a vector */
} array;

static altmin_error join(char path[PATH_MAX], const char *folder, const char *name, const char *ending,
                         altmin_status *st)
{
    const int n = snprintf(path, PATH_MAX, "%s/%s%s", folder, name, ending);
    if (n < 0 || n >= PATH_MAX) return am_fail(st, ALTMIN_ERR_USAGE, "path too long: %.60s...", folder);
    return ALTMIN_OK;
}

/* ---- NPY, version 1.0: magic, header padded to a multiple of 64 bytes, values ---- */

static altmin_error write_npy(FILE *f, void *user, altmin_status *st)
{
    const array *a = user;
    char shape[64], header[128];
    if (a->cols)
        snprintf(shape, sizeof shape, "(%zu, %zu)", a->rows, a->cols);
    else
        snprintf(shape, sizeof shape, "(%zu,)", a->rows);
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 0x76 = 128 - 10 bytes of header text follow */
    const int n = snprintf(header + 10, sizeof header - 10,
                           "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", a->dtype, shape);
    header[10 + n] = ' ';
    header[sizeof header - 1] = '\n';
    const size_t n_values = a->rows * (a->cols ? a->cols : 1);
    if (fwrite(header, 1, sizeof header, f) != sizeof header ||
        fwrite(a->value, a->item_bytes, n_values, f) != n_values)
        return am_fail(st, ALTMIN_ERR_IO, "cannot write an NPY file: is the disk full?");
    return ALTMIN_OK;
}

static altmin_error save(const part_of *p, const char *letter, const char *part, array *a, altmin_status *st)
{
    char path[PATH_MAX], ending[32];
    snprintf(ending, sizeof ending, "_%s.npy", part);
    if (join(path, p->out, letter, ending, st)) return st->code;
    return am_file_replace(path, write_npy, a, st);
}

/* ---- parts ---- */

static altmin_error save_labels(const part_of *p, const char *part, const citation_nodes *listed,
                                altmin_status *st)
{
    int32_t *label = malloc(listed->n * sizeof *label);
    if (!label) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu labels", listed->n);
    for (size_t i = 0; i < listed->n; i++) {
        const char *name = p->data->class_name[p->data->label[listed->node[i]]];
        int64_t value;
        if (am_parse_integer(name, strlen(name), &value) || value < INT32_MIN || value > INT32_MAX) {
            free(label);
            return am_fail(st, ALTMIN_ERR_DATA, "node %zu has the class '%.40s', which is not a whole number",
                           listed->node[i], name);
        }
        label[i] = (int32_t)value;
    }
    array a = {"<i4", label, sizeof *label, listed->n, 0};
    const altmin_error code = save(p, "y", part, &a, st);
    free(label);
    return code;
}

static altmin_error save_features(const part_of *p, const char *part, const citation_nodes *listed,
                                  altmin_status *st)
{
    float *x;
    if (citation_augment(&x, p->graph, p->x, p->data->n_features, listed, st)) return st->code;
    array a = {"<f4", x, sizeof *x, listed->n, (CITATION_HOPS + 1) * p->data->n_features};
    const altmin_error code = save(p, "X", part, &a, st);
    free(x);
    return code;
}

static altmin_error make_part(const part_of *p, const char *part, altmin_status *st)
{
    char path[PATH_MAX], ending[32];
    citation_nodes listed = {0};
    snprintf(ending, sizeof ending, ".%s.txt", part);
    if (join(path, p->folder, p->name, ending, st)) return st->code;
    altmin_error code = citation_nodes_read(&listed, path, p->graph->n_nodes, 1, st);
    if (!code) code = save_labels(p, part, &listed, st);
    if (!code) code = save_features(p, part, &listed, st);
    free(listed.node);
    return code;
}

/* ---- whole ---- */

/* The features unscaled and dense, whatever the file's size made the reader choose. */
static altmin_error read_nodes(altmin_data **data, float **x, const char *folder, const char *name,
                               altmin_status *st)
{
    char path[PATH_MAX];
    size_t n_values, n_bytes;
    am_read_options opt = am_read_options_default();
    opt.task = 0;
    if (join(path, folder, name, ".svm", st) || am_data_open(data, path, "train", &opt, st)) return st->code;
    const altmin_data *d = *data;
    *x = NULL;
    if (!am_size_mul(d->n_features, d->n_samples, &n_values) && !am_size_mul(n_values, sizeof **x, &n_bytes))
        *x = malloc(n_bytes);
    if (!*x)
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu features of %zu nodes", d->n_features,
                       d->n_samples);
    am_data_dense(d, NULL, 0, d->n_samples, *x);
    return ALTMIN_OK;
}

static altmin_error read_graph(citation_graph *graph, const char *folder, const char *name, size_t n_nodes,
                               altmin_status *st)
{
    char path[PATH_MAX];
    citation_nodes end = {0};
    if (join(path, folder, name, ".edges.tsv", st)) return st->code;
    altmin_error code = citation_nodes_read(&end, path, n_nodes, 2, st);
    if (!code) code = citation_graph_new(graph, n_nodes, end.node, end.n, st);
    free(end.node);
    return code;
}

static altmin_error make_all(const char *folder, const char *name, const char *out, altmin_status *st)
{
    altmin_data *data = NULL;
    float *x = NULL;
    citation_graph graph = {0};
    altmin_error code = read_nodes(&data, &x, folder, name, st);
    if (!code) code = read_graph(&graph, folder, name, data->n_samples, st);
    const part_of p = {data, x, &graph, folder, name, out};
    if (!code) code = make_part(&p, "train", st);
    if (!code) code = make_part(&p, "test", st);
    citation_graph_free(&graph);
    free(x);
    altmin_data_free(data);
    return code;
}

int main(int argc, char **argv)
{
    altmin_status st = {0};
    if (argc != 4) {
        fprintf(stderr, "usage: citation_features DIR NAME OUT\n");
        return 2;
    }
    if (!make_all(argv[1], argv[2], argv[3], &st)) return 0;
    fprintf(stderr, "citation_features: %s\n", st.message);
    return 1;
}
