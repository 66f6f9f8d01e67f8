/* Orthonormal bases of the cpu backend: eigenvectors by LAPACK's divide and conquer, and ref_basis.c's Gram-Schmidt over
 * vector code. Both run on one thread: the first is needed once a run, the second works on a few columns. */
#include "kernels/cpu.h"

#include <limits.h>
#include <stdlib.h>

extern void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
                    double *work, const int *lwork, int *iwork, const int *liwork, int *info);

/* ---------------------------------------------------------------------------------------------- eigenvectors */

#define MOST_ROWS 32000 /* LAPACK counts its scratch, 2 d^2 + 6 d + 1, in int */

/* s <- the lower triangle of A; 0 when an entry is not finite. */
static int load_lower(double *s, am_mat a)
{
    const size_t d = a.rows;
    int finite = 1;
    for (size_t j = 0; j < d; j++)
        for (size_t i = j; i < d; i++) {
            s[i + j * d] = (double)a.data[i + j * d];
            finite &= isfinite(a.data[i + j * d]) != 0;
        }
    return finite;
}

/* s <- eigenvectors of s, w <- eigenvalues ascending. LAPACK's verdict, -1 without memory. */
static int decompose(double *s, double *w, size_t d)
{
    const int n = (int)d, n_work = 1 + 6 * n + 2 * n * n, n_integers = 3 + 5 * n;
    double *work = malloc((size_t)n_work * sizeof *work);
    int *integers = malloc((size_t)n_integers * sizeof *integers), info = -1;
    if (work && integers) {
        const am_blas_guard guard = am_cpu_blas_enter();
        dsyevd_("V", "L", &n, s, &n, w, work, &n_work, integers, &n_integers, &info);
        am_cpu_blas_leave(guard);
    }
    free(work);
    free(integers);
    return info;
}

void am_cpu_eigh(am_ctx *ctx, am_mat values, am_mat vectors, am_mat a)
{
    const size_t d = a.rows;
    double *s = d <= MOST_ROWS ? malloc((d * d + d) * sizeof *s) : NULL, *w = s ? s + d * d : NULL;
    int info = 0;
    if (!s)
        am_ctx_fail(ctx, ALTMIN_ERR_MEMORY, "eigh: no memory for a %zu x %zu matrix (at most %d rows)", d, d,
                    MOST_ROWS);
    else if (!load_lower(s, a))
        am_ctx_fail(ctx, ALTMIN_ERR_NUMERIC, "eigh: the %zu x %zu matrix holds numbers that are not finite",
                    d, d);
    else if ((info = decompose(s, w, d)) != 0)
        am_ctx_fail(ctx, info < 0 ? ALTMIN_ERR_MEMORY : ALTMIN_ERR_NUMERIC,
                    "eigh: LAPACK's dsyevd gave up on the %zu x %zu matrix (%d)", d, d, info);
    for (size_t rank = 0; s && rank < d && ctx->status.code == ALTMIN_OK; rank++) {
        const size_t from = d - 1 - rank;
        values.data[rank] = (float)w[from];
        am_host_store_eigenvector(vectors, rank, s + from * d);
    }
    free(s);
}

/* ---------------------------------------------------------------------------------------------- Gram-Schmidt */

AM_CPU_CLONES static double dot(const double *x, const double *y, size_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

AM_CPU_CLONES static void take_away(double *x, const double *q, double c, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) x[i] -= c * q[i];
}

void am_cpu_orthonormalise(am_ctx *ctx, am_mat v)
{
    am_host_orthonormalise(ctx, v, &(am_vector_ops){dot, take_away});
}
