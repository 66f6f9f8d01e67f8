/* The reference backend's orthonormal bases: eigenvectors of a symmetric matrix by cyclic Jacobi rotations (Golub, Van
 * Loan, Matrix Computations, 8.5), and Gram-Schmidt, every column twice (Giraud, Langou, Rozloznik 2005: twice is enough).
 * All in double. See backend.h. */
#include "kernels/ref.h"

#include <stdlib.h>

/* ---------------------------------------------------------------------------------------------- eigenvectors */

#define JACOBI_MOST_ROUNDS 60 /* convergence is quadratic: about ten are needed */

/* Load the lower triangle of A into the whole of s, I into v; 0 when an entry is not finite. */
static int load_symmetric(double *s, double *v, am_mat a)
{
    const size_t d = a.rows;
    for (size_t j = 0; j < d; j++)
        for (size_t i = j; i < d; i++) {
            const double x = (double)a.data[i + j * d];
            if (!isfinite(x)) return 0;
            s[i + j * d] = s[j + i * d] = x;
            v[i + j * d] = v[j + i * d] = i == j ? 1.0 : 0.0;
        }
    return 1;
}

/* Columns p and q of x <- their rotation by (c, s). */
static void rotate_columns(double *x, size_t d, size_t p, size_t q, double c, double s)
{
    for (size_t i = 0; i < d; i++) {
        const double xp = x[i + p * d], xq = x[i + q * d];
        x[i + p * d] = c * xp - s * xq;
        x[i + q * d] = s * xp + c * xq;
    }
}

/* S <- J'S J, V <- V J with the rotation J of (p, q) that makes S_pq zero. */
static void annihilate(double *m, double *v, size_t d, size_t p, size_t q)
{
    const double off = m[p + q * d];
    if (off == 0.0) return;
    const double tau = (m[q + q * d] - m[p + p * d]) / (2.0 * off);
    const double t = (tau >= 0.0 ? 1.0 : -1.0) / (fabs(tau) + sqrt(1.0 + tau * tau));
    const double c = 1.0 / sqrt(1.0 + t * t), s = t * c;
    rotate_columns(m, d, p, q, c, s);
    for (size_t j = 0; j < d; j++) {
        const double xp = m[p + j * d], xq = m[q + j * d];
        m[p + j * d] = c * xp - s * xq;
        m[q + j * d] = s * xp + c * xq;
    }
    m[p + q * d] = m[q + p * d] = 0.0;
    rotate_columns(v, d, p, q, c, s);
}

/* ||S - diag(S)||_F^2, and ||S||_F^2. */
static double off_diagonal(const double *s, size_t d, double *all)
{
    double off = 0.0;
    *all = 0.0;
    for (size_t e = 0; e < d * d; e++) {
        *all += s[e] * s[e];
        if (e % (d + 1) != 0) off += s[e] * s[e];
    }
    return off;
}

static int diagonalise(double *s, double *v, size_t d)
{
    for (int round = 0; round < JACOBI_MOST_ROUNDS; round++) {
        double all;
        if (off_diagonal(s, d, &all) <= 1e-30 * all) return 1;
        for (size_t p = 0; p < d; p++)
            for (size_t q = p + 1; q < d; q++) annihilate(s, v, d, p, q);
    }
    return 0;
}

void am_host_store_eigenvector(am_mat vectors, size_t column, const double *v)
{
    const size_t d = vectors.rows;
    size_t largest = 0;
    for (size_t i = 1; i < d; i++)
        if (fabs(v[i]) > fabs(v[largest])) largest = i;
    const double sign = v[largest] < 0.0 ? -1.0 : 1.0;
    for (size_t i = 0; i < d; i++) vectors.data[i + column * d] = (float)(sign * v[i]);
}

/* Deliver the diagonal of s, largest first, with the columns of v. */
static void deliver(am_mat values, am_mat vectors, double *s, const double *v)
{
    const size_t d = values.rows;
    for (size_t rank = 0; rank < d; rank++) {
        size_t best = 0;
        for (size_t i = 1; i < d; i++)
            if (s[i * (d + 1)] > s[best * (d + 1)]) best = i;
        values.data[rank] = (float)s[best * (d + 1)];
        s[best * (d + 1)] = -INFINITY;
        am_host_store_eigenvector(vectors, rank, v + best * d);
    }
}

void am_ref_eigh(am_ctx *ctx, am_mat values, am_mat vectors, am_mat a)
{
    const size_t d = a.rows;
    double *s = am_host_work(ctx, 2 * d * d), *v = s ? s + d * d : NULL;
    if (!s) return;
    if (!load_symmetric(s, v, a))
        am_ctx_fail(ctx, ALTMIN_ERR_NUMERIC, "eigh: the %zu x %zu matrix holds numbers that are not finite",
                    d, d);
    else if (!diagonalise(s, v, d))
        am_ctx_fail(ctx, ALTMIN_ERR_NUMERIC, "eigh: %d rounds did not diagonalise the %zu x %zu matrix",
                    JACOBI_MOST_ROUNDS, d, d);
    else
        deliver(values, vectors, s, v);
}

/* ---------------------------------------------------------------------------------------------- Gram-Schmidt */

/* x <- x - Q Q'x for the n columns of q, twice. */
static void leave_span(const am_vector_ops *ops, double *x, const double *q, size_t d, size_t n)
{
    for (int pass = 0; pass < 2; pass++) {
        double c[AM_MAX_BASIS];
        for (size_t k = 0; k < n; k++) c[k] = ops->dot(q + k * d, x, d);
        for (size_t k = 0; k < n; k++) ops->take_away(x, q + k * d, c[k], d);
    }
}

/* Column n of q <- a unit vector's part outside the span of the first n; see am_orthonormalise. Returns its length. */
static double replace(const am_vector_ops *ops, double *q, size_t d, size_t n)
{
    double *x = q + n * d, norm2 = 0.0;
    const double enough = 0.5 * (double)(d - n) / (double)d;
    for (size_t k = 0; k < d && norm2 < enough; k++) {
        for (size_t i = 0; i < d; i++) x[i] = i == (n + k) % d ? 1.0 : 0.0;
        leave_span(ops, x, q, d, n);
        norm2 = ops->dot(x, x, d);
    }
    return sqrt(norm2);
}

void am_host_orthonormalise(am_ctx *ctx, am_mat v, const am_vector_ops *ops)
{
    const size_t d = v.rows;
    double *q = am_host_work(ctx, am_mat_len(v));
    if (!q) return;
    for (size_t e = 0; e < am_mat_len(v); e++) q[e] = (double)v.data[e];
    for (size_t n = 0; n < v.cols; n++) {
        double *x = q + n * d;
        const double before = sqrt(ops->dot(x, x, d));
        if (isfinite(before)) leave_span(ops, x, q, d, n);
        double after = sqrt(ops->dot(x, x, d));
        if (!isfinite(before) || !(after > AM_BASIS_LEAST * before)) after = replace(ops, q, d, n);
        for (size_t i = 0; i < d; i++) x[i] /= after;
    }
    for (size_t e = 0; e < am_mat_len(v); e++) v.data[e] = (float)q[e];
}

static double dot(const double *x, const double *y, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static void take_away(double *x, const double *q, double c, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] -= c * q[i];
}

void am_ref_orthonormalise(am_ctx *ctx, am_mat v)
{
    am_host_orthonormalise(ctx, v, &(am_vector_ops){dot, take_away});
}
