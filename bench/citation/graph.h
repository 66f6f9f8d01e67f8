/* Graph-augmented features of a citation network, the input of mDLAM's published experiments.
 *
 * With A the 0/1 adjacency matrix of the undirected graph, D the diagonal matrix of the row sums of A + I and
 *     S = D^-1/2 (A + I) D^-1/2 + I,
 * node i gets row i of [S^4 X, S^3 X, S^2 X, S X, X]. Wang, Li, Zhao (Neurocomputing 2022) take this input
 * from their graph-augmented networks. Everything is computed in double and rounded once, at the end. */
#ifndef ALTMIN_CITATION_GRAPH_H
#define ALTMIN_CITATION_GRAPH_H

#include "base/status.h"

#define CITATION_HOPS 4

/** A list of node numbers as read from a file: malloc'ed, free() it. */
typedef struct citation_nodes {
    size_t *node;
    size_t n;
} citation_nodes;

/** Undirected graph without self-loops and double edges: the neighbours of node i, ascending, are
 *  neighbour[start[i]] .. neighbour[start[i+1]-1]. */
typedef struct citation_graph {
    size_t n_nodes;
    size_t *start;         /* n_nodes + 1 */
    size_t *neighbour;     /* start[n_nodes] */
    double *inv_sqrt_size; /* n_nodes: 1 / sqrt(neighbours + 1), the diagonal of D^-1/2 */
} citation_graph;

/** Read whole numbers in 0..n_nodes-1, `per_line` on each line, separated by blanks or tabs. Blank lines are
 * left out. Errors name file and line. */
altmin_error citation_nodes_read(citation_nodes *nodes, const char *path, size_t n_nodes, size_t per_line,
                                 altmin_status *st);

/** Build a graph from n_ends / 2 edges, each two ends in a row, in any direction and any number of times. */
altmin_error citation_graph_new(citation_graph *graph, size_t n_nodes, const size_t *end, size_t n_ends,
                                altmin_status *st);
void citation_graph_free(citation_graph *graph);

/** out = S v, both of n_nodes numbers and distinct. */
void citation_apply(const citation_graph *graph, double *out, const double *v);

/** Rows of [S^4 X, .., S X, X] for the listed nodes. x: n_features x n_nodes, a node's features contiguous.
 *  *out: malloc'ed, a listed node's (CITATION_HOPS + 1) n_features values contiguous. */
altmin_error citation_augment(float **out, const citation_graph *graph, const float *x, size_t n_features,
                              const citation_nodes *listed, altmin_status *st);
#endif
