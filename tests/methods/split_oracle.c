/* Textbook objective of the penalty splittings in double; see split_oracle.h. */
#include "split_oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double *split_download(const altmin_trainer *t, am_mat m)
{
    const size_t n = am_mat_len(m);
    float *host = malloc((n + 1) * sizeof *host);
    double *out = calloc(n + 1, sizeof *out);
    if (!host || !out || am_download(t->ctx, host, m, NULL)) abort();
    for (size_t i = 0; i < n; i++) out[i] = (double)host[i];
    free(host);
    return out;
}

static double **slot_of(split *s, size_t l, am_block block)
{
    return block == AM_BLOCK_W   ? &s->w[l]
           : block == AM_BLOCK_B ? &s->b[l]
           : block == AM_BLOCK_Z ? &s->z[l]
                                 : &s->a[l];
}

static int has_a(const split *s, size_t l)
{
    return l < s->n_layers || s->output_a;
}

void split_fetch(split *s, const altmin_trainer *t, size_t l, am_block block)
{
    double **at = slot_of(s, l, block);
    free(*at);
    *at = split_download(t, am_splitting_value(t->state, l, block));
}

void split_fetch_all(split *s, const altmin_trainer *t)
{
    for (size_t l = 1; l <= s->n_layers; l++)
        for (am_block k = AM_BLOCK_W; k <= (has_a(s, l) ? AM_BLOCK_A : AM_BLOCK_Z); k++)
            split_fetch(s, t, l, k);
}

split *split_of(const altmin_trainer *t, const altmin_data *data, int output_a)
{
    split *s = calloc(1, sizeof *s);
    const am_splitting *m = t->state;
    s->n_layers = t->net.n_layers;
    s->n = t->train.n;
    s->output_a = output_a;
    memcpy(s->width, t->net.width, (s->n_layers + 1) * sizeof s->width[0]);
    s->cross_entropy = t->net.loss == AM_LOSS_CROSS_ENTROPY;
    s->loss_weight = t->settings->loss_weight;
    s->mu = t->settings->mu;
    s->label = data->label;
    const size_t k = s->width[s->n_layers];
    s->target = calloc(k * s->n, sizeof(double));
    for (size_t e = 0; e < k * s->n; e++)
        s->target[e] =
            data->target ? (double)data->target[e] : (double)(data->label[e / k] == (int32_t)(e % k));
    float *x = malloc(s->width[0] * s->n * sizeof *x);
    am_data_dense(data, &t->scaler, 0, s->n, x);
    s->a[0] = calloc(s->width[0] * s->n, sizeof(double));
    for (size_t e = 0; e < s->width[0] * s->n; e++) s->a[0][e] = (double)x[e];
    free(x);
    for (size_t l = 1; l <= s->n_layers; l++) {
        s->penalty[l] = m->layer[l].penalty;
        s->gap[l] = m->layer[l].gap;
    }
    split_fetch_all(s, t);
    return s;
}

void split_free(split *s)
{
    for (size_t l = 0; l <= s->n_layers; l++) {
        free(s->w[l]);
        free(s->b[l]);
        free(s->z[l]);
        free(s->a[l]);
    }
    free(s->target);
    free(s->v);
    free(s);
}

/* Loss of one column of the output variable. */
static double column_loss(const split *s, size_t j)
{
    const size_t k = s->width[s->n_layers];
    const double *x = (s->output_a ? s->a[s->n_layers] : s->z[s->n_layers]) + j * k;
    double sum = 0.0, top = x[0];
    if (!s->cross_entropy) {
        for (size_t i = 0; i < k; i++) sum += 0.5 * pow(x[i] - s->target[i + j * k], 2);
        return sum;
    }
    for (size_t i = 1; i < k; i++) top = fmax(top, x[i]);
    for (size_t i = 0; i < k; i++) sum += exp(x[i] - top);
    return top + log(sum) - x[s->label[j]];
}

static double m_at(const split *s, size_t l, size_t i, size_t j)
{
    const size_t rows = s->width[l], cols = s->width[l - 1];
    double sum = s->b[l][i];
    for (size_t k = 0; k < cols; k++) sum += s->w[l][i + k * rows] * s->a[l - 1][k + j * cols];
    return sum;
}

/* Terms of layer l: residual, gap, ridge; multiplier at the output. */
static double layer_terms(const split *s, size_t l, double *scale)
{
    const size_t rows = s->width[l];
    double residual = 0.0, gap = 0.0, dual = 0.0, ridge = 0.0, z2 = 0.0;
    for (size_t j = 0; j < s->n; j++)
        for (size_t i = 0; i < rows; i++) {
            const size_t e = i + j * rows;
            const double r = s->z[l][e] - m_at(s, l, i, j);
            residual += r * r;
            z2 += s->z[l][e] * s->z[l][e];
            if (l == s->n_layers && s->v) dual += s->v[e] * r;
            if (!has_a(s, l)) continue;
            const double h = l < s->n_layers ? fmax(s->z[l][e], 0) : s->z[l][e];
            gap += pow(s->a[l][e] - h, 2);
        }
    for (size_t i = 0; i < rows * s->width[l - 1]; i++) ridge += s->w[l][i] * s->w[l][i];
    const double c = s->penalty[l];
    const double value =
        c * (0.5 * residual + dual) + 0.5 * s->gap[l] * gap * has_a(s, l) + 0.5 * s->mu * ridge;
    /* z, a and W a are stored and multiplied in float: their magnitudes carry the rounding */
    *scale += fabs(value) + fabs(c * dual) + c * sqrt(residual * z2) + s->gap[l] * sqrt(gap * z2);
    return value;
}

double split_objective(const split *s, double *scale)
{
    double f = 0.0;
    for (size_t j = 0; j < s->n; j++) f += s->loss_weight * column_loss(s, j);
    *scale = fabs(f);
    for (size_t l = 1; l <= s->n_layers; l++) f += layer_terms(s, l, scale);
    return f;
}

double *split_block(split *s, size_t l, am_block block, size_t *len)
{
    *len = s->width[l] * (block == AM_BLOCK_W ? s->width[l - 1] : block == AM_BLOCK_B ? 1 : s->n);
    return *slot_of(s, l, block);
}

double split_gradient(split *s, size_t l, am_block block, double prox, const double *centre, size_t n_samples)
{
    size_t len;
    double *x = split_block(s, l, block, &len), sum = 0.0, scale;
    const double h = 1e-4;
    for (size_t k = 0; k < n_samples; k++) {
        const size_t i = (k * 7919 + 13) % len;
        const double old = x[i];
        x[i] = old + h;
        double g = split_objective(s, &scale);
        x[i] = old - h;
        g = (g - split_objective(s, &scale)) / (2 * h);
        x[i] = old;
        if (prox > 0) g += prox * (old - centre[i]);
        sum += g * g;
    }
    return sqrt(sum);
}

double split_z_gain(split *s, size_t l, double prox, const double *centre, size_t n_samples)
{
    size_t len;
    double *z = split_block(s, l, AM_BLOCK_Z, &len), worst = -INFINITY;
    const size_t rows = s->width[l];
    for (size_t k = 0; k < n_samples; k++) {
        const size_t e = (k * 7919 + 13) % len;
        const double m = m_at(s, l, e % rows, e / rows), a = s->a[l][e], far = 2 + fabs(a) + fabs(m);
        double best = INFINITY, value = INFINITY;
        for (int step = -1; step <= 4000; step++) { /* -1: where z is */
            const double u = step < 0 ? z[e] : far * (step / 2000.0 - 1), h = fmax(u, 0);
            const double f = 0.5 * (s->penalty[l] * pow(u - m, 2) + s->gap[l] * pow(a - h, 2) +
                                    prox * pow(u - centre[e], 2));
            if (step < 0)
                value = f;
            else
                best = fmin(best, f);
        }
        worst = fmax(worst, value - best);
    }
    return worst;
}
