/* Reading, normalising and applying a citation graph; formulas and shapes in graph.h. */
#include "graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "host/io/file.h"
#include "host/readers/readers.h"

/* ---- node lists ---- */

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static altmin_error add_word(citation_nodes *nodes, size_t *capacity, const char *path, size_t line,
                             const char *word, size_t n, size_t n_nodes, altmin_status *st)
{
    char excerpt[64];
    int64_t value;
    if (am_parse_integer(word, n, &value) || value < 0 || (uint64_t)value >= n_nodes)
        return am_fail(st, ALTMIN_ERR_FORMAT,
                       "cannot read '%s': line %zu: '%s' is not a node number from 0 to %zu", path, line,
                       am_excerpt(excerpt, word, n), n_nodes - 1);
    if (am_reserve(&nodes->node, nodes->n + 1, capacity, sizeof *nodes->node))
        return am_fail(st, ALTMIN_ERR_MEMORY, "cannot read '%s': no memory at line %zu", path, line);
    nodes->node[nodes->n++] = (size_t)value;
    return ALTMIN_OK;
}

static altmin_error read_line(citation_nodes *nodes, size_t *capacity, const char *path, size_t line,
                              const char *p, const char *end, size_t n_nodes, size_t per_line,
                              altmin_status *st)
{
    const size_t n_before = nodes->n;
    for (;;) {
        while (p < end && is_blank(*p)) p++;
        if (p == end) break;
        const char *word = p;
        while (p < end && !is_blank(*p)) p++;
        if (add_word(nodes, capacity, path, line, word, (size_t)(p - word), n_nodes, st)) return st->code;
    }
    const size_t n_words = nodes->n - n_before;
    if (n_words && n_words != per_line)
        return am_fail(st, ALTMIN_ERR_FORMAT,
                       "cannot read '%s': line %zu holds %zu node numbers instead of %zu", path, line,
                       n_words, per_line);
    return ALTMIN_OK;
}

altmin_error citation_nodes_read(citation_nodes *nodes, const char *path, size_t n_nodes, size_t per_line,
                                 altmin_status *st)
{
    unsigned char *bytes;
    size_t n_bytes, capacity = 0, line = 0;
    *nodes = (citation_nodes){0};
    if (am_file_read(path, am_file_memory_limit(), &bytes, &n_bytes, st)) return st->code;
    const char *p = (const char *)bytes, *end = p + n_bytes;
    altmin_error code = ALTMIN_OK;
    while (!code && p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p)), *line_end = newline ? newline : end;
        code = read_line(nodes, &capacity, path, ++line, p, line_end, n_nodes, per_line, st);
        p = newline ? newline + 1 : end;
    }
    free(bytes);
    if (!code && nodes->n == 0)
        code = am_fail(st, ALTMIN_ERR_FORMAT, "cannot read '%s': it holds no node numbers", path);
    return code;
}

/* ---- graph ---- */

static int compare_size(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* Enter every edge at both its ends; self-loops are left out, since A + I brings its own. */
static void fill_neighbours(citation_graph *graph, const size_t *end, size_t n_ends)
{
    size_t *start = graph->start;
    for (size_t e = 0; e + 1 < n_ends; e += 2)
        if (end[e] != end[e + 1]) start[end[e]]++, start[end[e + 1]]++;
    for (size_t i = 0, sum = 0; i <= graph->n_nodes; i++) {
        const size_t n_here = start[i];
        start[i] = sum;
        sum += n_here;
    }
    /* start[i] moves to where list i ends, which is where list i + 1 begins: shift back afterwards. */
    for (size_t e = 0; e + 1 < n_ends; e += 2) {
        if (end[e] == end[e + 1]) continue;
        graph->neighbour[start[end[e]]++] = end[e + 1];
        graph->neighbour[start[end[e + 1]]++] = end[e];
    }
    memmove(start + 1, start, graph->n_nodes * sizeof *start);
    start[0] = 0;
}

/* Sort every list and close it up over repeats. */
static void remove_repeats(citation_graph *graph)
{
    size_t kept = 0;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const size_t first = graph->start[i], last = graph->start[i + 1], begin = kept;
        qsort(graph->neighbour + first, last - first, sizeof *graph->neighbour, compare_size);
        graph->start[i] = begin;
        for (size_t k = first; k < last; k++)
            if (kept == begin || graph->neighbour[k] != graph->neighbour[kept - 1])
                graph->neighbour[kept++] = graph->neighbour[k];
        graph->inv_sqrt_size[i] = 1.0 / sqrt((double)(kept - begin + 1));
    }
    graph->start[graph->n_nodes] = kept;
}

altmin_error citation_graph_new(citation_graph *graph, size_t n_nodes, const size_t *end, size_t n_ends,
                                altmin_status *st)
{
    size_t n_start;
    *graph = (citation_graph){.n_nodes = n_nodes};
    if (am_size_add(n_nodes, 1, &n_start))
        return am_fail(st, ALTMIN_ERR_MEMORY, "too many nodes: %zu", n_nodes);
    graph->start = calloc(n_start, sizeof *graph->start);
    graph->neighbour = calloc(n_ends + 1, sizeof *graph->neighbour);
    graph->inv_sqrt_size = calloc(n_start, sizeof *graph->inv_sqrt_size);
    if (!graph->start || !graph->neighbour || !graph->inv_sqrt_size) {
        citation_graph_free(graph);
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a graph of %zu nodes", n_nodes);
    }
    fill_neighbours(graph, end, n_ends);
    remove_repeats(graph);
    return ALTMIN_OK;
}

void citation_graph_free(citation_graph *graph)
{
    free(graph->start);
    free(graph->neighbour);
    free(graph->inv_sqrt_size);
    *graph = (citation_graph){0};
}

void citation_apply(const citation_graph *graph, double *out, const double *v)
{
    const double *scale = graph->inv_sqrt_size;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        double sum = scale[i] * v[i];
        for (size_t k = graph->start[i]; k < graph->start[i + 1]; k++)
            sum += scale[graph->neighbour[k]] * v[graph->neighbour[k]];
        out[i] = scale[i] * sum + v[i];
    }
}

/* ---- features ---- */

/* One feature at a time needs two vectors over the nodes, however wide X is. */
static void augment_features(float *out, const citation_graph *graph, const float *x, size_t n_features,
                             const citation_nodes *listed, double *v, double *next)
{
    const size_t width = (CITATION_HOPS + 1) * n_features;
    for (size_t j = 0; j < n_features; j++) {
        for (size_t i = 0; i < graph->n_nodes; i++) v[i] = (double)x[j + i * n_features];
        for (size_t hop = 0; hop <= CITATION_HOPS; hop++) {
            const size_t column = (CITATION_HOPS - hop) * n_features + j;
            for (size_t i = 0; i < listed->n; i++) out[i * width + column] = (float)v[listed->node[i]];
            if (hop == CITATION_HOPS) break;
            citation_apply(graph, next, v);
            double *const old = v;
            v = next;
            next = old;
        }
    }
}

altmin_error citation_augment(float **out, const citation_graph *graph, const float *x, size_t n_features,
                              const citation_nodes *listed, altmin_status *st)
{
    size_t width, n_out;
    *out = NULL;
    if (am_size_mul(n_features, CITATION_HOPS + 1, &width) || am_size_mul(width, listed->n, &n_out))
        return am_fail(st, ALTMIN_ERR_MEMORY, "%zu features of %zu nodes are too many", n_features,
                       listed->n);
    double *v = calloc(graph->n_nodes, sizeof *v), *next = calloc(graph->n_nodes, sizeof *next);
    *out = calloc(n_out, sizeof **out);
    const int failed = !v || !next || !*out;
    if (!failed) augment_features(*out, graph, x, n_features, listed, v, next);
    free(v);
    free(next);
    if (!failed) return ALTMIN_OK;
    free(*out);
    *out = NULL;
    return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu features of %zu nodes", width, listed->n);
}
