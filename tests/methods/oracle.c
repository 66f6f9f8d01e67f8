/* Textbook mDLAM in double; see oracle.h. */
#include "oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *doubles(size_t n)
{
    return calloc(n ? n : 1, sizeof(double));
}

static double *fetch(am_ctx *ctx, am_mat m)
{
    float *host = malloc(am_mat_len(m) * sizeof *host + 1);
    double *out = doubles(am_mat_len(m));
    if (am_download(ctx, host, m, NULL)) abort();
    for (size_t i = 0; i < am_mat_len(m); i++) out[i] = (double)host[i];
    free(host);
    return out;
}

static double **slot_of(oracle *o, size_t l, am_block block)
{
    return block == AM_BLOCK_W   ? &o->w[l]
           : block == AM_BLOCK_B ? &o->b[l]
           : block == AM_BLOCK_Z ? &o->z[l]
                                 : &o->a[l];
}

void oracle_fetch(oracle *o, const altmin_trainer *trainer, size_t l, am_block block, int updated)
{
    double **at = slot_of(o, l, block);
    free(*at);
    *at = fetch(trainer->ctx, am_relaxed_value(trainer->state, l, block, updated));
}

static double *copy_of(const double *x, size_t n)
{
    double *y = doubles(n);
    memcpy(y, x, n * sizeof *y);
    return y;
}

oracle *oracle_of(const altmin_trainer *trainer, const altmin_data *data)
{
    oracle *o = calloc(1, sizeof *o);
    const am_net *net = &trainer->net;
    o->n_layers = net->n_layers;
    o->n = trainer->train.n;
    memcpy(o->width, net->width, (net->n_layers + 1) * sizeof o->width[0]);
    o->act = net->act;
    o->cross_entropy = net->loss == AM_LOSS_CROSS_ENTROPY;
    o->rho = trainer->settings->rho;
    o->mu = trainer->settings->mu;
    o->eps = trainer->settings->eps_start;
    o->accelerate = trainer->settings->accel != AM_ACCEL_NONE;
    o->backtracking = trainer->settings->step == AM_STEP_BACKTRACKING;
    o->label = data->label;
    const size_t n_out = o->width[o->n_layers];
    o->target = doubles(n_out * o->n);
    for (size_t e = 0; e < n_out * o->n; e++)
        o->target[e] =
            data->target ? (double)data->target[e] : (double)(data->label[e / n_out] == (int32_t)(e % n_out));
    o->a[0] = doubles(o->width[0] * o->n);
    float *x = malloc(o->width[0] * o->n * sizeof *x);
    am_data_dense(data, &trainer->scaler, 0, o->n, x);
    for (size_t e = 0; e < o->width[0] * o->n; e++) o->a[0][e] = (double)x[e];
    free(x);
    for (size_t l = 1; l <= o->n_layers; l++) {
        for (am_block k = AM_BLOCK_W; k <= (l < o->n_layers ? AM_BLOCK_A : AM_BLOCK_Z); k++)
            oracle_fetch(o, trainer, l, k, 0);
        o->w_prev[l] = copy_of(o->w[l], o->width[l] * o->width[l - 1]);
        o->b_prev[l] = copy_of(o->b[l], o->width[l]);
        o->z_prev[l] = copy_of(o->z[l], o->width[l] * o->n);
        if (l < o->n_layers) o->a_prev[l] = copy_of(o->a[l], o->width[l] * o->n);
    }
    return o;
}

void oracle_free(oracle *o)
{
    for (size_t l = 0; l <= o->n_layers; l++) {
        free(o->w[l]);
        free(o->b[l]);
        free(o->z[l]);
        free(o->a[l]);
        free(o->w_prev[l]);
        free(o->a_prev[l]);
        free(o->b_prev[l]);
        free(o->z_prev[l]);
    }
    free(o->target);
    free(o);
}

/* C (m x n) = A (m x k) B (k x n) */
static double *product(const double *a, const double *b, size_t m, size_t k, size_t n)
{
    double *c = doubles(m * n);
    for (size_t j = 0; j < n; j++)
        for (size_t q = 0; q < k; q++)
            for (size_t i = 0; i < m; i++) c[i + j * m] += a[i + q * m] * b[q + j * k];
    return c;
}

static double *transposed(const double *a, size_t rows, size_t cols)
{
    double *t = doubles(rows * cols);
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < rows; i++) t[j + i * cols] = a[i + j * rows];
    return t;
}

/* R = W a_{l-1} + b 1' - z */
static double *residual(const oracle *o, size_t l, const double *w, const double *a)
{
    double *r = product(w, a, o->width[l], o->width[l - 1], o->n);
    for (size_t e = 0; e < o->width[l] * o->n; e++) r[e] += o->b[l][e % o->width[l]] - o->z[l][e];
    return r;
}

static double dot(const double *a, const double *b, size_t n)
{
    double s = 0.0;
    for (size_t i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

static double column_loss(const oracle *o, size_t j)
{
    const size_t k = o->width[o->n_layers];
    const double *z = o->z[o->n_layers] + j * k;
    if (!o->cross_entropy) {
        double s = 0.0;
        for (size_t i = 0; i < k; i++) s += 0.5 * pow(z[i] - o->target[i + j * k], 2);
        return s;
    }
    double top = z[0], sum = 0.0;
    for (size_t i = 1; i < k; i++) top = fmax(top, z[i]);
    for (size_t i = 0; i < k; i++) sum += exp(z[i] - top);
    return top + log(sum) - z[o->label[j]];
}

double oracle_objective(const oracle *o, double *scale)
{
    double f = 0.0;
    for (size_t j = 0; j < o->n; j++) f += column_loss(o, j);
    *scale = fabs(f);
    for (size_t l = 1; l <= o->n_layers; l++) {
        double *r = residual(o, l, o->w[l], o->a[l - 1]);
        f += 0.5 * o->rho * dot(r, r, o->width[l] * o->n);
        f += 0.5 * o->mu * dot(o->w[l], o->w[l], o->width[l] * o->width[l - 1]);
        /* z and W a are stored and multiplied in float: their magnitudes, not the residual's, carry the rounding */
        *scale += o->rho * sqrt(dot(r, r, o->width[l] * o->n) * dot(o->z[l], o->z[l], o->width[l] * o->n));
        free(r);
    }
    *scale += f;
    return f;
}

double oracle_h(int act, double z)
{
    switch (act) {
    case AM_ACT_RELU: return z > 0 ? z : 0;
    case AM_ACT_LEAKY_RELU: return z > 0 ? z : (double)AM_LEAKY_SLOPE * z;
    case AM_ACT_ELU: return z > 0 ? z : expm1(z);
    case AM_ACT_TANH: return tanh(z);
    case AM_ACT_SIGMOID: return 1 / (1 + exp(-z));
    case AM_ACT_SOFTPLUS: return fmax(z, 0) + log1p(exp(-fabs(z)));
    case AM_ACT_HARD_TANH: return fmin(fmax(z, -1), 1);
    default: return z;
    }
}

double oracle_worst_box(const oracle *o)
{
    double worst = 0.0;
    for (size_t l = 1; l < o->n_layers; l++)
        for (size_t e = 0; e < o->width[l] * o->n; e++)
            worst = fmax(worst, fabs(o->a[l][e] - oracle_h(o->act, o->z[l][e])));
    return worst;
}

double oracle_lambda(const oracle *o, size_t l)
{
    const size_t rows = o->width[l], cols = o->width[l - 1];
    double *v = doubles(cols), lambda = 0.0, *wt = transposed(o->w[l], rows, cols);
    for (size_t i = 0; i < cols; i++) v[i] = 1.0 + 0.01 * (double)i;
    for (int step = 0; step < 3000; step++) {
        const double norm = sqrt(dot(v, v, cols));
        for (size_t i = 0; i < cols; i++) v[i] /= norm;
        double *u = product(o->w[l], v, rows, cols, 1), *next = product(wt, u, cols, rows, 1);
        lambda = dot(u, u, rows);
        memcpy(v, next, cols * sizeof *v);
        free(u);
        free(next);
        if (!(lambda > 0)) break;
    }
    free(v);
    free(wt);
    return lambda;
}

/* ---------------------------------------------------------------------------------------------- the sweep */

/* xbar = x + w (x - x_prev); x_prev <- x. */
static double *ahead(double *x, double *x_prev, size_t n, double w)
{
    double *bar = doubles(n);
    for (size_t i = 0; i < n; i++) {
        bar[i] = x[i] + w * (x[i] - x_prev[i]);
        x_prev[i] = x[i];
    }
    return bar;
}

static void sweep_w(oracle *o, size_t l, double momentum)
{
    const size_t rows = o->width[l], cols = o->width[l - 1], n_w = rows * cols;
    double *bar = ahead(o->w[l], o->w_prev[l], n_w, momentum);
    double *r = residual(o, l, bar, o->a[l - 1]), *at = transposed(o->a[l - 1], cols, o->n);
    double *g = product(r, at, rows, o->n, cols);
    for (size_t i = 0; i < n_w; i++) g[i] = o->rho * g[i] + o->mu * bar[i];
    double *ga = product(g, o->a[l - 1], rows, cols, o->n);
    const double q = o->rho * dot(ga, ga, rows * o->n) / dot(g, g, n_w) + o->mu;
    double theta = q;
    if (o->backtracking)
        for (theta = 1.0; theta < q;) theta *= 2.0;
    for (size_t i = 0; i < n_w; i++) o->w[l][i] = bar[i] - g[i] / theta;
    free(bar);
    free(r);
    free(at);
    free(g);
    free(ga);
}

static void sweep_b(oracle *o, size_t l)
{
    const size_t rows = o->width[l];
    double *p = product(o->w[l], o->a[l - 1], rows, o->width[l - 1], o->n);
    for (size_t i = 0; i < rows; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < o->n; j++) sum += o->z[l][i + j * rows] - p[i + j * rows];
        o->b[l][i] = sum / (double)o->n;
    }
    free(p);
}

/* relu family only: lower and upper end of {z : |a - h(z)| <= eps}. */
static double box(const oracle *o, double m, double a)
{
    const double lo = a - o->eps, hi = a + o->eps, slope = (double)AM_LEAKY_SLOPE;
    if (o->act == AM_ACT_RELU) {
        m = fmin(m, fmax(hi, 0.0));
        return lo > 0 ? fmax(m, lo) : m;
    }
    if (o->act == AM_ACT_LEAKY_RELU)
        return fmin(fmax(m, lo >= 0 ? lo : lo / slope), hi >= 0 ? hi : hi / slope);
    return fmin(fmax(m, lo), hi);
}

/* Plain gradient descent with a step of 1/(rho + 1/2): slow and sure. */
static void prox_column(const oracle *o, const double *m, size_t j, double *z)
{
    const size_t k = o->width[o->n_layers];
    for (int step = 0; step < 200000; step++) {
        double top = z[0], sum = 0.0, moved = 0.0;
        for (size_t i = 1; i < k; i++) top = fmax(top, z[i]);
        for (size_t i = 0; i < k; i++) sum += exp(z[i] - top);
        for (size_t i = 0; i < k; i++) {
            const double p = exp(z[i] - top) / sum,
                         g = p - (o->label[j] == (int32_t)i) + o->rho * (z[i] - m[i]);
            moved = fmax(moved, fabs(g));
            z[i] -= g / (o->rho + 0.5);
        }
        if (moved < 1e-12) break;
    }
}

static void sweep_z(oracle *o, size_t l)
{
    const size_t rows = o->width[l];
    double *m = product(o->w[l], o->a[l - 1], rows, o->width[l - 1], o->n);
    for (size_t e = 0; e < rows * o->n; e++) {
        m[e] += o->b[l][e % rows];
        if (l < o->n_layers)
            o->z[l][e] = box(o, m[e], o->a[l][e]);
        else if (!o->cross_entropy)
            o->z[l][e] = (o->target[e] + o->rho * m[e]) / (1 + o->rho);
    }
    if (l == o->n_layers && o->cross_entropy)
        for (size_t j = 0; j < o->n; j++) prox_column(o, m + j * rows, j, o->z[l] + j * rows);
    free(m);
}

static void sweep_a(oracle *o, size_t l, double momentum, double lambda)
{
    const size_t rows = o->width[l], n_a = rows * o->n, next = o->width[l + 1];
    double *bar = ahead(o->a[l], o->a_prev[l], n_a, momentum);
    double *r = residual(o, l + 1, o->w[l + 1], bar), *wt = transposed(o->w[l + 1], next, rows);
    double *g = product(wt, r, rows, next, o->n);
    for (size_t e = 0; e < n_a; e++) {
        const double h = oracle_h(o->act, o->z[l][e]);
        o->a[l][e] = fmin(fmax(bar[e] - g[e] / lambda, h - o->eps), h + o->eps);
    }
    free(bar);
    free(r);
    free(wt);
    free(g);
}

void oracle_sweep(oracle *o, const double *lambda)
{
    const double next = 0.5 * (1.0 + sqrt(1.0 + 4.0 * o->s * o->s)),
                 w = o->accelerate ? (o->s - 1.0) / next : 0.0;
    o->s = next;
    for (size_t l = 1; l <= o->n_layers; l++) {
        sweep_w(o, l, w);
        sweep_b(o, l);
        sweep_z(o, l);
        if (l < o->n_layers) sweep_a(o, l, w, lambda[l]);
    }
}

/* ---------------------------------------------------------------------------------------------- TIAM */

/* Three steps of one block: centre and gradient point from (x, prev), then x <- plus + p3 (plus - x) and prev <- old x. */
static double *shifted(const double *x, const double *prev, size_t n, double p)
{
    double *y = doubles(n);
    for (size_t i = 0; i < n; i++) y[i] = x[i] + p * (x[i] - prev[i]);
    return y;
}

static void third_step(double *x, double *prev, const double *plus, size_t n, double p3)
{
    for (size_t i = 0; i < n; i++) {
        prev[i] = x[i];
        x[i] = plus[i] + p3 * (plus[i] - x[i]);
    }
}

static void tiam_w(oracle *o, size_t l, const double p[3])
{
    const size_t rows = o->width[l], cols = o->width[l - 1], n_w = rows * cols;
    double *centre = shifted(o->w[l], o->w_prev[l], n_w, p[0]),
           *hat = shifted(o->w[l], o->w_prev[l], n_w, p[1]);
    double *r = residual(o, l, hat, o->a[l - 1]), *at = transposed(o->a[l - 1], cols, o->n);
    double *g = product(r, at, rows, o->n, cols), *full = doubles(n_w), *plus = doubles(n_w);
    for (size_t i = 0; i < n_w; i++) {
        g[i] *= o->rho;
        full[i] = g[i] + o->mu * hat[i];
    }
    double *ga = product(full, o->a[l - 1], rows, cols, o->n);
    const double theta = o->rho * dot(ga, ga, rows * o->n) / dot(full, full, n_w);
    for (size_t i = 0; i < n_w; i++) plus[i] = (theta * centre[i] - g[i]) / (theta + o->mu);
    third_step(o->w[l], o->w_prev[l], plus, n_w, p[2]);
    free(centre);
    free(hat);
    free(r);
    free(at);
    free(g);
    free(full);
    free(plus);
    free(ga);
}

static void tiam_b(oracle *o, size_t l, const double p[3])
{
    const size_t rows = o->width[l];
    double *centre = shifted(o->b[l], o->b_prev[l], rows, p[0]),
           *hat = shifted(o->b[l], o->b_prev[l], rows, p[1]);
    double *old = copy_of(o->b[l], rows);
    sweep_b(o, l); /* b <- mean */
    for (size_t i = 0; i < rows; i++) centre[i] -= hat[i] - o->b[l][i];
    memcpy(o->b[l], old, rows * sizeof *old);
    third_step(o->b[l], o->b_prev[l], centre, rows, p[2]);
    free(centre);
    free(hat);
    free(old);
}

static void tiam_z(oracle *o, size_t l, const double p[3])
{
    const size_t rows = o->width[l], n_z = rows * o->n;
    double *centre = shifted(o->z[l], o->z_prev[l], n_z, p[0]),
           *hat = shifted(o->z[l], o->z_prev[l], n_z, p[1]);
    double *m = product(o->w[l], o->a[l - 1], rows, o->width[l - 1], o->n);
    for (size_t e = 0; e < n_z; e++) {
        m[e] += o->b[l][e % rows];
        centre[e] = box(o, centre[e] - (hat[e] - m[e]), o->a[l][e]);
    }
    third_step(o->z[l], o->z_prev[l], centre, n_z, p[2]);
    for (size_t e = 0; e < n_z; e++) o->z[l][e] = box(o, o->z[l][e], o->a[l][e]);
    free(centre);
    free(hat);
    free(m);
}

static void tiam_a(oracle *o, size_t l, double lambda, const double p[3])
{
    const size_t rows = o->width[l], n_a = rows * o->n, next = o->width[l + 1];
    double *centre = shifted(o->a[l], o->a_prev[l], n_a, p[0]),
           *hat = shifted(o->a[l], o->a_prev[l], n_a, p[1]);
    double *r = residual(o, l + 1, o->w[l + 1], hat), *wt = transposed(o->w[l + 1], next, rows);
    double *g = product(wt, r, rows, next, o->n);
    for (int twice = 0; twice < 2; twice++) {
        double *x = twice ? o->a[l] : centre;
        for (size_t e = 0; e < n_a; e++) {
            const double h = oracle_h(o->act, o->z[l][e]);
            x[e] = fmin(fmax(x[e] - (twice ? 0 : g[e] / lambda), h - o->eps), h + o->eps);
        }
        if (!twice) third_step(o->a[l], o->a_prev[l], centre, n_a, p[2]);
    }
    free(centre);
    free(hat);
    free(r);
    free(wt);
    free(g);
}

void oracle_sweep_tiam(oracle *o, const double *lambda, const double p[3])
{
    for (size_t l = 1; l <= o->n_layers; l++) {
        tiam_w(o, l, p);
        tiam_b(o, l, p);
        if (l == o->n_layers) {
            sweep_z(o, l);
            break;
        }
        tiam_z(o, l, p);
        tiam_a(o, l, lambda[l], p);
    }
}
