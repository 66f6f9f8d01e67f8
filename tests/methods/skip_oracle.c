/* Textbook augmented Lagrangian of residual ADMM in double; see skip_oracle.h. */
#include "skip_oracle.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../kernels/exact.h"

static void fetch(double **to, const altmin_trainer *t, am_mat m, double factor)
{
    const size_t n = am_mat_len(m);
    float *host = malloc((n + 1) * sizeof *host);
    free(*to);
    *to = calloc(n + 1, sizeof **to);
    altmin_status st = {0};
    if (!host || !*to || am_download(t->ctx, host, m, &st)) fail_msg("%s", st.message);
    for (size_t i = 0; i < n; i++) (*to)[i] = factor * (double)host[i];
    free(host);
}

int skip_has(const skip_net *s, size_t l, am_block block)
{
    if (block == AM_BLOCK_A) return l < s->n_layers;
    if (block != AM_BLOCK_Z) return 1;
    if (l == s->n_layers) return 1;
    return s->split == 3 && !(l == 1 && s->has_input);
}

static double **place_of(skip_net *s, size_t l, am_block block)
{
    return block == AM_BLOCK_W   ? &s->w[l]
           : block == AM_BLOCK_B ? &s->b[l]
           : block == AM_BLOCK_Z ? &s->z[l]
                                 : &s->a[l];
}

void skip_fetch(skip_net *s, const altmin_trainer *t)
{
    const am_radmm *m = t->state;
    for (size_t l = 1; l <= s->n_layers; l++)
        for (am_block k = AM_BLOCK_W; k < AM_N_BLOCKS; k++)
            if (skip_has(s, l, k)) fetch(place_of(s, l, k), t, am_radmm_value(m, l, k), 1.0);
    fetch(&s->multiplier, t, m->v, -s->beta);
}

skip_net *skip_of(const altmin_trainer *t, const altmin_data *data)
{
    skip_net *s = calloc(1, sizeof *s);
    const altmin_settings *set = t->settings;
    s->n_layers = t->net.n_layers;
    s->n = t->train.n;
    memcpy(s->width, t->net.width, (s->n_layers + 1) * sizeof s->width[0]);
    s->has_input = s->width[0] != s->width[1];
    s->split = set->split, s->act = t->net.act;
    s->cross_entropy = t->net.loss == AM_LOSS_CROSS_ENTROPY;
    s->rho = set->rho, s->nu = set->nu, s->beta = set->beta, s->lambda = set->mu;
    s->loss_weight = set->loss_weight;
    s->label = data->label;
    const size_t k = s->width[s->n_layers], d = s->width[0];
    s->target = calloc(k * s->n, sizeof(double));
    for (size_t e = 0; e < k * s->n; e++)
        s->target[e] =
            data->target ? (double)data->target[e] : (double)(data->label[e / k] == (int32_t)(e % k));
    float *x = malloc(d * s->n * sizeof *x);
    am_data_dense(data, &t->scaler, 0, s->n, x);
    s->a[0] = calloc(d * s->n, sizeof(double));
    for (size_t e = 0; e < d * s->n; e++) s->a[0][e] = (double)x[e];
    free(x);
    skip_fetch(s, t);
    return s;
}

void skip_free(skip_net *s)
{
    for (size_t l = 0; l <= s->n_layers; l++) {
        free(s->w[l]);
        free(s->b[l]);
        free(s->z[l]);
        free(s->a[l]);
    }
    free(s->target);
    free(s->multiplier);
    free(s);
}

/* Loss of one column of Z, and its gradient (may be NULL). */
static double column_loss(const skip_net *s, size_t j, double *g)
{
    const size_t k = s->width[s->n_layers];
    const double *z = s->z[s->n_layers] + j * k, *y = s->target + j * k;
    double sum = 0.0, top = z[0];
    if (!s->cross_entropy) {
        for (size_t i = 0; i < k; i++) sum += 0.5 * (z[i] - y[i]) * (z[i] - y[i]);
        for (size_t i = 0; g && i < k; i++) g[i] = z[i] - y[i];
        return sum;
    }
    for (size_t i = 1; i < k; i++) top = fmax(top, z[i]);
    for (size_t i = 0; i < k; i++) sum += exp(z[i] - top);
    for (size_t i = 0; g && i < k; i++) g[i] = exp(z[i] - top) / sum - ((size_t)s->label[j] == i);
    return top + log(sum) - z[s->label[j]];
}

double skip_multiplier_error(const skip_net *s)
{
    const size_t k = s->width[s->n_layers];
    double g[64], worst = 0.0;
    for (size_t j = 0; j < s->n; j++) {
        column_loss(s, j, g);
        for (size_t i = 0; i < k; i++)
            worst = fmax(worst, fabs(s->multiplier[i + j * k] - s->loss_weight * g[i]));
    }
    return worst;
}

static double m_at(const skip_net *s, size_t l, size_t i, size_t j)
{
    const size_t rows = s->width[l], cols = s->width[l - 1];
    double sum = s->b[l][i];
    for (size_t k = 0; k < cols; k++) sum += s->w[l][i + k * rows] * s->a[l - 1][k + j * cols];
    return sum;
}

/* One element's terms of layer l; magnitudes of what is squared or multiplied into *size. */
static double element(const skip_net *s, size_t l, size_t i, size_t j, double *size)
{
    const size_t e = i + j * s->width[l];
    const double m = m_at(s, l, i, j);
    if (l == s->n_layers) {
        const double r = m - s->z[l][e], lam = s->multiplier[e];
        *size += fabs(lam * r) + s->beta * r * r + (fabs(lam) + s->beta * fabs(r)) * fabs(m);
        return lam * r + 0.5 * s->beta * r * r;
    }
    if (l == 1 && s->has_input) {
        const double r = s->a[l][e] - m;
        *size += s->rho * fabs(r) * (fabs(r) + fabs(m));
        return 0.5 * s->rho * r * r;
    }
    const double z = s->split == 3 ? s->z[l][e] : m, r = z - m;
    const double gap = s->a[l][e] - s->a[l - 1][e] - exact_h(s->act, z);
    *size += s->rho * fabs(r) * (fabs(r) + fabs(m)) + s->nu * fabs(gap) * (fabs(gap) + fabs(s->a[l][e]));
    return 0.5 * s->rho * r * r + 0.5 * s->nu * gap * gap;
}

static double ridge_of(const skip_net *s, size_t l)
{
    double sum = 0.0;
    for (size_t i = 0; i < s->width[l] * s->width[l - 1]; i++) sum += s->w[l][i] * s->w[l][i];
    return 0.5 * s->lambda * sum;
}

double skip_lagrangian(const skip_net *s, double *scale)
{
    double f = 0.0;
    *scale = 0.0;
    for (size_t j = 0; j < s->n; j++) f += s->loss_weight * column_loss(s, j, NULL);
    *scale += fabs(f);
    for (size_t l = 1; l <= s->n_layers; l++) {
        for (size_t j = 0; j < s->n; j++)
            for (size_t i = 0; i < s->width[l]; i++) f += element(s, l, i, j, scale);
        f += ridge_of(s, l), *scale += ridge_of(s, l);
    }
    return f;
}

double *skip_block(skip_net *s, size_t l, am_block block, size_t *len)
{
    *len = s->width[l] * (block == AM_BLOCK_W ? s->width[l - 1] : block == AM_BLOCK_B ? 1 : s->n);
    return *place_of(s, l, block);
}

double skip_gradient(skip_net *s, size_t l, am_block block, double prox, const double *centre,
                     size_t n_samples)
{
    size_t len;
    double *x = skip_block(s, l, block, &len), sum = 0.0, scale;
    const double h = 1e-4;
    for (size_t k = 0; k < n_samples; k++) {
        const size_t i = (k * 7919 + 13) % len;
        const double old = x[i];
        x[i] = old + h;
        double g = skip_lagrangian(s, &scale);
        x[i] = old - h;
        g = (g - skip_lagrangian(s, &scale)) / (2 * h);
        x[i] = old;
        if (centre) g += prox * (old - centre[i]);
        sum += g * g;
    }
    return sqrt(sum);
}

double skip_z_gain(skip_net *s, size_t l, double prox, const double *centre, size_t n_samples)
{
    size_t len;
    double *z = skip_block(s, l, AM_BLOCK_Z, &len), worst = -INFINITY, size;
    const size_t rows = s->width[l];
    for (size_t k = 0; k < n_samples; k++) {
        const size_t e = (k * 7919 + 13) % len;
        const double old = z[e], far = 3 + fabs(old) + fabs(m_at(s, l, e % rows, e / rows));
        double best = INFINITY, value = INFINITY;
        for (int step = -1; step <= 4000; step++) { /* -1: where z is */
            z[e] = step < 0 ? old : far * (step / 2000.0 - 1);
            const double f = element(s, l, e % rows, e / rows, &size) + 0.5 * prox * pow(z[e] - centre[e], 2);
            if (step < 0)
                value = f;
            else
                best = fmin(best, f);
        }
        z[e] = old;
        worst = fmax(worst, value - best);
    }
    return worst;
}
