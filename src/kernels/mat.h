/* Matrix views. Column-major, contiguous: element (i, j) is data[i + j * rows]. Features run along rows and
 * samples along columns, so a chunk of samples is a column range. `data` lives where the backend keeps its memory
 * and is dereferenced by backends alone. A vector is a matrix with one column. */
#ifndef AM_MAT_H
#define AM_MAT_H

#include <stddef.h>
#include <stdint.h>

typedef struct am_mat {
    float *data;
    size_t rows, cols;
} am_mat;

/** Sparse matrix in compressed-sparse-column form: column j holds entries start[j] .. start[j+1]-1, rows ascending.
 *  As a network input its columns are samples. Memory as in am_mat. */
typedef struct am_csc {
    const size_t *start; /* cols + 1 */
    const int32_t *row;  /* start[cols] */
    const float *value;  /* start[cols] */
    size_t rows, cols;
} am_csc;

static inline size_t am_mat_len(am_mat m)
{
    return m.rows * m.cols;
}

/** View of n columns of m, starting at column first. */
static inline am_mat am_mat_cols(am_mat m, size_t first, size_t n)
{
    return (am_mat){m.data + first * m.rows, m.rows, n};
}

/** The same memory as one long column: what elementwise maps without row vectors run on. */
static inline am_mat am_mat_flat(am_mat m)
{
    return (am_mat){m.data, m.rows * m.cols, 1};
}

static inline void am_mat_swap(am_mat *a, am_mat *b)
{
    am_mat t = *a;
    *a = *b;
    *b = t;
}
#endif
