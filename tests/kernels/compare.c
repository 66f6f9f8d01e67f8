/* Bounds and comparisons of the conformance test; see compare.h. eps is float's unit, 2^-23. */
#include "compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const double eps = 0x1p-23;

const char *am_case_text(const am_case *c, char text[AM_CASE_TEXT])
{
    snprintf(text, AM_CASE_TEXT, "%s, m=%zu n=%zu k=%zu alpha=%g beta=%g rho=%g%s%s%s%s", c->name, c->m, c->n,
             c->k, (double)c->alpha, (double)c->beta, c->rho, c->row_sum ? ", row sums" : "",
             c->alias ? ", aliased" : "", c->no_sums ? ", no sums" : "", c->misalign ? ", misaligned" : "");
    return text;
}

/* ----------------------------------------------------------------------------------------------------
 * results */

void am_result_take(am_rig *rig, am_result *result)
{
    altmin_status st = {0};
    am_rig_reset(rig);
    am_rig_run(rig);
    memset(result, 0, sizeof *result);
    result->n_operands = rig->n_operands, result->n_sums = rig->n_sums;
    for (size_t i = 0; i < rig->n_operands; i++) {
        result->memory[i] = malloc(rig->operand[i].len * sizeof(float));
        assert_non_null(result->memory[i]);
        if (am_rig_read(rig, i, result->memory[i], &st)) fail_msg("%s", st.message);
    }
    if (am_rig_sums(rig, result->sum, &st)) fail_msg("%s", st.message);
}

void am_result_free(am_result *result)
{
    for (size_t i = 0; i < result->n_operands; i++) free(result->memory[i]);
    memset(result, 0, sizeof *result);
}

static const float *values(const am_rig *rig, const am_result *r, size_t i)
{
    return r->memory[i] + rig->operand[i].first;
}

static const float *initial_values(const am_rig *rig, size_t i)
{
    return rig->operand[i].initial + rig->operand[i].first;
}

/* ---------------------------------------------------------------------------------------------------- exact
 */

void am_expect_same_bits(const am_rig *rig, const am_result *a, const am_result *b, const char *what)
{
    char text[AM_CASE_TEXT];
    for (size_t i = 0; i < rig->n_operands; i++)
        if (memcmp(a->memory[i], b->memory[i], rig->operand[i].len * sizeof(float)) != 0)
            fail_msg("%s: %s differs %s", am_case_text(&rig->run, text), rig->operand[i].name, what);
    if (memcmp(a->sum, b->sum, rig->n_sums * sizeof *a->sum) != 0)
        fail_msg("%s: sums differ %s", am_case_text(&rig->run, text), what);
}

static int is_sentinel(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits == AM_CASE_SENTINEL;
}

/* The layout of a factor is the backend's own, and u is scratch. */
static int must_be_written(const am_operand *o)
{
    return o->is_output && strcmp(o->name, "factor") != 0 && strcmp(o->name, "u") != 0;
}

void am_expect_contained(const am_rig *rig, const am_result *got)
{
    char text[AM_CASE_TEXT];
    for (size_t i = 0; i < rig->n_operands; i++) {
        const am_operand *o = &rig->operand[i];
        const size_t len = am_mat_len(o->mat), end = o->first + len;
        for (size_t e = 0; e < o->len; e++) {
            const int inside = e >= o->first && e < end;
            if (inside && o->is_output) {
                if (must_be_written(o) && is_sentinel(got->memory[i][e]))
                    fail_msg("%s: %s[%zu] was not written", am_case_text(&rig->run, text), o->name,
                             e - o->first);
            } else if (memcmp(&got->memory[i][e], &o->initial[e], sizeof(float)) != 0)
                fail_msg("%s: %s was written %s, at %td", am_case_text(&rig->run, text), o->name,
                         inside ? "though an input" : "outside", (ptrdiff_t)e - (ptrdiff_t)o->first);
        }
    }
    for (size_t k = 0; k < rig->n_sums; k++)
        if ((got->sum[k] == -1.0) != (rig->run.no_sums != 0))
            fail_msg("%s: sum %zu %s", am_case_text(&rig->run, text), k,
                     rig->run.no_sums ? "was written though dropped" : "was not written");
}

void am_expect_same_nan(const am_rig *rig, const am_result *got, const am_result *ref)
{
    char text[AM_CASE_TEXT];
    for (size_t i = 0; i < rig->n_operands; i++)
        for (size_t e = 0; e < am_mat_len(rig->operand[i].mat); e++)
            if (must_be_written(&rig->operand[i]) &&
                !isnan(values(rig, got, i)[e]) != !isnan(values(rig, ref, i)[e]))
                fail_msg("%s: %s[%zu] is %g, ref has %g", am_case_text(&rig->run, text), rig->operand[i].name,
                         e, (double)values(rig, got, i)[e], (double)values(rig, ref, i)[e]);
    for (size_t k = 0; k < rig->n_sums; k++)
        if (!isnan(got->sum[k]) != !isnan(ref->sum[k]))
            fail_msg("%s: sum %zu is %g, ref has %g", am_case_text(&rig->run, text), k, got->sum[k],
                     ref->sum[k]);
}

/* ---------------------------------------------------------------------------------------------------- bounds
 */

static double norm(const float *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static double initial_norm(const am_rig *rig, size_t i)
{
    return norm(initial_values(rig, i), am_mat_len(rig->operand[i].mat));
}

static void expect_norm_close(const am_rig *rig, size_t i, const am_result *got, const am_result *ref,
                              double bound)
{
    char text[AM_CASE_TEXT];
    const float *a = values(rig, got, i), *b = values(rig, ref, i);
    double sum = 0.0;
    for (size_t e = 0; e < am_mat_len(rig->operand[i].mat); e++)
        sum += ((double)a[e] - (double)b[e]) * ((double)a[e] - (double)b[e]);
    if (!(sqrt(sum) <= bound))
        fail_msg("%s: %s is off by %g in norm, bound %g", am_case_text(&rig->run, text), rig->operand[i].name,
                 sqrt(sum), bound);
}

/* |got - ref| <= factor eps (|ref| + scale) element by element. */
static void expect_elements_close(const am_rig *rig, size_t i, const am_result *got, const am_result *ref,
                                  double factor, double scale)
{
    char text[AM_CASE_TEXT];
    const float *a = values(rig, got, i), *b = values(rig, ref, i);
    for (size_t e = 0; e < am_mat_len(rig->operand[i].mat); e++)
        if (!(fabs((double)a[e] - (double)b[e]) <= factor * eps * (fabs((double)b[e]) + scale)))
            fail_msg("%s: %s[%zu] = %.9g, ref %.9g", am_case_text(&rig->run, text), rig->operand[i].name, e,
                     (double)a[e], (double)b[e]);
}

static void expect_sum_close(const am_rig *rig, size_t k, const am_result *got, const am_result *ref,
                             double bound)
{
    char text[AM_CASE_TEXT];
    if (rig->run.no_sums) return;
    if (!(fabs(got->sum[k] - ref->sum[k]) <= bound))
        fail_msg("%s: sum %zu = %.12g, ref %.12g, bound %g", am_case_text(&rig->run, text), k, got->sum[k],
                 ref->sum[k], bound);
}

/* Products: ||error||_F <= 2 eps (|alpha| ||A||_F ||B||_F + |beta| ||C||_F), the normwise bound without its
 * factor k (sums of random terms stay well inside it). */
static void check_product(const am_rig *rig, const am_result *got, const am_result *ref)
{
    const am_case *c = &rig->run;
    double right = 0.0, bound = 0.0;
    size_t out = rig->n_operands - 1;
    if (c->op == AM_OP_GEMM) right = initial_norm(rig, 1);
    if (c->op == AM_OP_GRAM) right = initial_norm(rig, 0);
    if (c->op == AM_OP_SPARSE) right = norm(rig->value, rig->start[rig->sparse.cols]);
    const double left = c->op == AM_OP_SPARSE && c->variant ? right : initial_norm(rig, 0);
    bound = fabs((double)c->alpha) * left * right;
    if (c->beta != 0.0f) bound += fabs((double)c->beta) * initial_norm(rig, out);
    expect_norm_close(rig, out, got, ref, 2.0 * eps * bound);
}

static void expect_symmetric(const am_rig *rig, const am_result *got)
{
    char text[AM_CASE_TEXT];
    const size_t out = rig->n_operands - 1, d = rig->run.m;
    const float *g = values(rig, got, out);
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < j; i++)
            if (g[i + j * d] != g[j + i * d])
                fail_msg("%s: G[%zu,%zu] is not G[%zu,%zu]", am_case_text(&rig->run, text), i, j, j, i);
}

/* B = X S: ||X S - B||_F <= 2 eps ||X||_F ||S||_F, by an own product. */
static void check_solve(const am_rig *rig, const am_result *got)
{
    char text[AM_CASE_TEXT];
    const size_t m = rig->run.n, d = rig->run.m;
    const float *s = initial_values(rig, 0), *b = initial_values(rig, 2), *x = values(rig, got, 2);
    double sum = 0.0;
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < m; i++) {
            double r = -(double)b[i + j * m];
            for (size_t k = 0; k < d; k++) r += (double)x[i + k * m] * (double)s[k + j * d];
            sum += r * r;
        }
    const double bound = 2.0 * eps * norm(x, m * d) * norm(s, d * d);
    if (!(sqrt(sum) <= bound))
        fail_msg("%s: residual %g, bound %g", am_case_text(&rig->run, text), sqrt(sum), bound);
}

/* Sum over the rows of columns i of a and j of b. */
static double column_product(const float *a, size_t i, const float *b, size_t j, size_t rows)
{
    double sum = 0.0;
    for (size_t k = 0; k < rows; k++) sum += (double)a[k + i * rows] * (double)b[k + j * rows];
    return sum;
}

/* ||V'V - I||_F <= 2 eps sqrt(n): an orthonormal V rounded to float is off by eps/2 in each product. */
static void expect_orthonormal(const am_rig *rig, const float *v, size_t rows, size_t n)
{
    char text[AM_CASE_TEXT];
    double sum = 0.0;
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < n; i++) {
            const double e = column_product(v, i, v, j, rows) - (i == j ? 1.0 : 0.0);
            sum += e * e;
        }
    if (!(sqrt(sum) <= 2.0 * eps * sqrt((double)n)))
        fail_msg("%s: V'V is off by %g", am_case_text(&rig->run, text), sqrt(sum));
}

static double largest_entry(const float *v, size_t n)
{
    float largest = 0.0f;
    for (size_t i = 0; i < n; i++)
        if (fabsf(v[i]) > fabsf(largest)) largest = v[i];
    return (double)largest;
}

/* A V = V diag(w): rounding V and w to float leaves ||A V - V diag(w)||_F <= eps (||A||_F sqrt(d) + ||w||); w descends,
 * is ref's to eps ||A||_F (Weyl), and the largest entry of every vector is positive. */
static void check_eigh(const am_rig *rig, const am_result *got, const am_result *ref)
{
    char text[AM_CASE_TEXT];
    const size_t d = rig->run.m;
    const float *a = initial_values(rig, 0), *w = values(rig, got, 1),
                *v = values(rig, got, rig->run.alias ? 0 : 2);
    const double size = initial_norm(rig, 0);
    double sum = 0.0;
    for (size_t j = 0; j < d; j++) {
        if (j && !(w[j] <= w[j - 1])) fail_msg("%s: w rises at %zu", am_case_text(&rig->run, text), j);
        if (!(largest_entry(v + j * d, d) > 0.0))
            fail_msg("%s: vector %zu points the other way", am_case_text(&rig->run, text), j);
        for (size_t i = 0; i < d; i++) {
            const double e = column_product(a, i, v, j, d) - (double)v[i + j * d] * (double)w[j];
            sum += e * e;
        }
    }
    if (!(sqrt(sum) <= eps * size * (sqrt((double)d) + 1.0)))
        fail_msg("%s: A V - V diag(w) is %g", am_case_text(&rig->run, text), sqrt(sum));
    expect_orthonormal(rig, v, d, d);
    expect_elements_close(rig, 1, got, ref, 1.0, size);
}

/* V = Q R with R = Q'V upper triangular and positive on the diagonal, which makes Q unique. */
static void check_basis(const am_rig *rig, const am_result *got)
{
    char text[AM_CASE_TEXT];
    const size_t d = rig->run.m, n = rig->run.n;
    const float *before = initial_values(rig, 0), *q = values(rig, got, 0);
    const double bound = 2.0 * eps * sqrt((double)n) * initial_norm(rig, 0);
    double sum = 0.0;
    for (size_t j = 0; j < n; j++) {
        double r[AM_MAX_BASIS];
        for (size_t i = 0; i < n; i++) {
            r[i] = column_product(q, i, before, j, d);
            if (i > j && !(fabs(r[i]) <= bound))
                fail_msg("%s: R[%zu,%zu] = %g", am_case_text(&rig->run, text), i, j, r[i]);
        }
        if (!(r[j] > 0.0)) fail_msg("%s: R[%zu,%zu] = %g", am_case_text(&rig->run, text), j, j, r[j]);
        for (size_t row = 0; row < d; row++) {
            double e = -(double)before[row + j * d];
            for (size_t i = 0; i <= j; i++) e += (double)q[row + i * d] * r[i];
            sum += e * e;
        }
    }
    if (!(sqrt(sum) <= bound)) fail_msg("%s: V - Q R is %g", am_case_text(&rig->run, text), sqrt(sum));
    expect_orthonormal(rig, q, d, n);
}

/* The same columns are kept, and divided by a probability known to a few units of double. */
static void check_thin(const am_rig *rig, const am_result *got, const am_result *ref)
{
    char text[AM_CASE_TEXT];
    expect_sum_close(rig, 0, got, ref, 0.0);
    expect_elements_close(rig, 0, got, ref, 1.0, 0.0);
    if (memcmp(values(rig, got, 1), values(rig, ref, 1), rig->run.n * sizeof(float)) != 0)
        fail_msg("%s: other columns than ref's are kept", am_case_text(&rig->run, text));
}

/* Each step rounds u and v once: their error is amplified by at most ||W||^2/lambda. */
static void check_norm2(const am_rig *rig, const am_result *got, const am_result *ref)
{
    const double w = initial_norm(rig, 0), lambda = ref->sum[0];
    if (rig->run.m == 0 || rig->run.n == 0) return;
    expect_sum_close(rig, 0, got, ref, 16.0 * eps * w * w);
    expect_elements_close(rig, 1, got, ref, 16.0, w * w / lambda);
    expect_elements_close(rig, 2, got, ref, 16.0, w * w * w / lambda);
}

/* Row sums against the elements they are sums of: double sums, rounded once. */
static void check_row_sums(const am_rig *rig, const am_result *got, size_t elements, size_t sums)
{
    char text[AM_CASE_TEXT];
    const am_mat x = rig->operand[elements].mat;
    for (size_t i = 0; i < x.rows; i++) {
        double sum = 0.0, size = 0.0;
        for (size_t j = 0; j < x.cols; j++) {
            const double v = (double)values(rig, got, elements)[i + j * x.rows];
            sum += v, size += fabs(v);
        }
        const double v = (double)values(rig, got, sums)[i];
        if (!(fabs(v - sum) <= eps * fabs(sum) + 0x1p-52 * (double)x.cols * size))
            fail_msg("%s: row sum %zu is %.9g, not %.9g", am_case_text(&rig->run, text), i, v, sum);
    }
}

/* The element an operand's name and place stand for, as the op saw it. */
static double seen(const am_rig *rig, const char *name, size_t e)
{
    for (size_t i = 0; i < rig->n_operands; i++)
        if (strcmp(rig->operand[i].name, name) == 0)
            return (double)initial_values(rig, i)[e % am_mat_len(rig->operand[i].mat)];
    return 0.0;
}

/* reluprox jumps where its two candidates are equally good, and rounding decides. Number of elements where
 * got took the other candidate; each must be as good as ref's. 0 for maps that are continuous. */
static size_t count_ties(const am_rig *rig, size_t i, const am_result *got, const am_result *ref,
                         double scale)
{
    const int skip = rig->run.map == AM_MAP_SKIP_Z; /* its a is x1 - x2 */
    if (rig->run.map != AM_MAP_RELUPROX_Z && !skip) return 0;
    size_t n = 0;
    for (size_t e = 0; e < am_mat_len(rig->operand[i].mat); e++) {
        const double z[2] = {(double)values(rig, got, i)[e], (double)values(rig, ref, i)[e]};
        if (fabs(z[0] - z[1]) <= 8.0 * eps * scale) continue;
        const double a = seen(rig, "x1", e) - (skip ? seen(rig, "x2", e) : 0.0);
        const double m = seen(rig, "x0", e) + seen(rig, "row", e % rig->run.m), g = rig->coefficient[0];
        const double b = m + rig->coefficient[1] * (seen(rig, skip ? "x3" : "x2", e) - m);
        double value[2];
        for (int k = 0; k < 2; k++) {
            const double h = z[k] > 0.0 ? z[k] : 0.0;
            value[k] = (h - a) * (h - a) + g * (z[k] - b) * (z[k] - b);
        }
        if (!(value[0] <= value[1] + 16.0 * eps * scale * scale)) return 0; /* the element check reports it */
        n++;
    }
    return n;
}

/* Operands are at most 2 in size and coefficients below 1, so every intermediate of a map is at most twice
 * the number of its operands, unless its result is larger still (the inverse of a leaky slope). */
static void check_map(const am_rig *rig, const am_result *got, const am_result *ref)
{
    const am_map_signature *sig = am_map_signature_of(rig->run.map);
    const double scale = 2.0 * (sig->n_in + sig->has_row + 1), n = (double)rig->run.m * (double)rig->run.n;
    size_t first_out = AM_CASE_MAX_OPERANDS, n_ties = 0;
    for (size_t i = 0; i < rig->n_operands; i++) {
        if (!rig->operand[i].is_output) continue;
        if (strcmp(rig->operand[i].name, "row sums") == 0) {
            check_row_sums(rig, got, first_out, i);
            continue;
        }
        n_ties = count_ties(rig, i, got, ref, scale);
        if (!n_ties) expect_elements_close(rig, i, got, ref, 8.0, scale);
        if (first_out == AM_CASE_MAX_OPERANDS) first_out = i;
    }
    const double freedom = (double)n_ties * scale * scale;
    for (size_t k = 0; k < (size_t)sig->n_sum; k++)
        expect_sum_close(rig, k, got, ref, freedom + 16.0 * eps * (fabs(ref->sum[k]) + n * scale * scale));
    if (sig->n_max) expect_sum_close(rig, (size_t)sig->n_sum, got, ref, freedom + 8.0 * eps * scale);
}

/* Entries are at most 4 in size, so lse is at most 4 + log m. */
static void check_softmax(const am_rig *rig, const am_result *got, const am_result *ref)
{
    const double m = (double)rig->run.m, n = (double)rig->run.n;
    if (m == 0.0 || n == 0.0) return;
    expect_sum_close(rig, 0, got, ref, 4.0 * eps * n * (8.0 + log(m)));
    expect_sum_close(rig, 1, got, ref, 0.0);
    /* A weight comes from an exponential of at most 8, whose rounding it takes over. */
    if (rig->run.variant) expect_elements_close(rig, rig->run.alias ? 0 : 2, got, ref, 32.0, 0.0);
}

/* The gradient is known to about eps, and the objective is rho-strongly convex: z is known to eps (1/rho +
 * |z|). */
static void check_prox(const am_rig *rig, const am_result *got, const am_result *ref)
{
    const double scale = 4.0 + 1.0 / rig->run.rho, n = (double)rig->run.m * (double)rig->run.n;
    expect_elements_close(rig, 0, got, ref, 16.0, scale);
    if (n == 0.0) return;
    expect_sum_close(rig, 0, got, ref, 16.0 * eps * (fabs(ref->sum[0]) + n * scale));
    for (size_t k = 1; k < 3; k++)
        expect_sum_close(rig, k, got, ref, 32.0 * eps * (fabs(ref->sum[k]) + n * scale * scale));
    if (rig->run.row_sum) check_row_sums(rig, got, 0, 3);
}

void am_expect_close(const am_rig *rig, const am_result *got, const am_result *ref)
{
    switch (rig->run.op) {
    case AM_OP_GRAM:
        expect_symmetric(rig, got);
        check_product(rig, got, ref);
        break;
    case AM_OP_SPARSE:
        if (rig->run.variant) expect_symmetric(rig, got);
        check_product(rig, got, ref);
        break;
    case AM_OP_GEMM: check_product(rig, got, ref); break;
    case AM_OP_SOLVE: check_solve(rig, got); break;
    case AM_OP_NORM: check_norm2(rig, got, ref); break;
    case AM_OP_EIGH: check_eigh(rig, got, ref); break;
    case AM_OP_BASIS: check_basis(rig, got); break;
    case AM_OP_THIN: check_thin(rig, got, ref); break;
    case AM_OP_ROW_SUM: check_row_sums(rig, got, 0, 1); break;
    case AM_OP_SOFTMAX: check_softmax(rig, got, ref); break;
    case AM_OP_PROX: check_prox(rig, got, ref); break;
    case AM_OP_MAP: check_map(rig, got, ref); break;
    case AM_OP_CHOLESKY: break; /* test_conformance solves with it */
    default: am_expect_same_bits(rig, got, ref, "from ref");
    }
}
