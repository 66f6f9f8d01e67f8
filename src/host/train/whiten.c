/* Whitened coordinates; whiten.h. */
#include "host/train/whiten.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AM_WHITE_STEP 16 /* directions come in multiples of this: whole vectors for the products */

void am_white_plan(am_white *white, am_plan *plan, size_t d, size_t out, size_t n)
{
    if (n) am_plan_mat(plan, "whitened data", &white->data, d, n);
    am_mat *const square[] = {&white->vectors, &white->scale, &white->proj, &white->back};
    for (size_t i = 0; i < 4; i++) am_plan_mat(plan, "whitening", square[i], d, d);
    am_plan_mat(plan, "whitening", &white->values, d, 1);
    am_plan_mat(plan, "whitening", &white->offset, d, 1);
    am_plan_mat(plan, "whitening", &white->w, out, d);
    am_plan_mat(plan, "whitening", &white->b, out, 1);
}

altmin_error am_white_take(am_white *white, size_t d, altmin_status *st)
{
    size_t n, n_bytes;
    if (am_size_mul(d, d, &n) || am_size_add(n, d, &n) || am_size_mul(n, sizeof *white->host, &n_bytes) ||
        !(white->host = malloc(n_bytes)))
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for whitening %zu features", d);
    return ALTMIN_OK;
}

void am_white_free(am_white *white)
{
    free(white->host);
}

/* Fewest leading directions with the share of the energy that is asked for; all when that is most of them anyway. */
static size_t choose(const float *e, size_t d, double share)
{
    double total = 0.0, sum = 0.0;
    size_t k = 0;
    for (size_t i = 0; i < d; i++) total += e[i] > 0.0f ? (double)e[i] : 0.0;
    while (k < d && (sum < share * total || share >= 1.0)) sum += e[k] > 0.0f ? (double)e[k] : 0.0, k++;
    k = k < 1 ? 1 : (k + AM_WHITE_STEP - 1) / AM_WHITE_STEP * AM_WHITE_STEP;
    return 4 * k > 3 * d ? d : k;
}

/* back or proj <- V_k diag(f), f from the eigenvalues on the host. */
static void scale_vectors(am_white *white, am_ctx *ctx, am_mat out, const float *e, double c, double power)
{
    const size_t k = white->k, d = white->vectors.rows;
    float *diagonal = white->host + d;
    memset(diagonal, 0, k * k * sizeof *diagonal);
    for (size_t i = 0; i < k; i++)
        diagonal[i + i * k] = (float)pow((e[i] > 0.0f ? (double)e[i] : 0.0) + c, power);
    am_upload(ctx, white->scale, diagonal);
    am_gemm(ctx, out, 1.0f, am_mat_cols(white->vectors, 0, k), 0, white->scale, 0, 0.0f);
}

/* Views of k rows once k is known. */
static void set_rows(am_white *white, size_t k)
{
    const size_t d = white->vectors.rows;
    white->k = k;
    if (white->data.data) white->data = (am_mat){white->data.data, k, white->data.cols};
    white->scale = (am_mat){white->scale.data, k, k};
    white->proj = (am_mat){white->proj.data, d, k};
    white->back = (am_mat){white->back.data, d, k};
    white->offset = (am_mat){white->offset.data, k, 1};
}

void am_white_find(am_white *white, am_ctx *ctx, am_mat rest, am_mat mean_bias, double c, double share)
{
    am_eigh(ctx, white->values, white->vectors, rest);
    if (am_download(ctx, white->host, white->values, NULL)) return; /* the error stays in the context */
    set_rows(white, choose(white->host, white->vectors.rows, share));
    scale_vectors(white, ctx, white->proj, white->host, c, -0.5);
    scale_vectors(white, ctx, white->back, white->host, c, 0.5);
    am_gemm(ctx, white->offset, -1.0f, white->proj, 1, mean_bias, 0, 0.0f);
}

void am_white_apply(const am_white *white, am_ctx *ctx, am_mat x, am_mat raw)
{
    am_gemm(ctx, x, 1.0f, white->proj, 1, raw, 0, 0.0f);
    am_map(ctx, AM_MAP_ADD_ROW, 0, &(am_map_args){.out = {x}, .in = {x}, .row = white->offset});
}

void am_white_enter(const am_white *white, am_ctx *ctx, am_mat w, am_mat b)
{
    am_gemm(ctx, w, 1.0f, white->w, 0, white->back, 0, 0.0f);
    am_copy(ctx, b, white->b);
    am_gemm(ctx, b, -1.0f, w, 0, white->offset, 0, 1.0f);
}

void am_white_fold(const am_white *white, am_ctx *ctx, am_mat w, am_mat b)
{
    am_gemm(ctx, white->w, 1.0f, w, 0, white->proj, 1, 0.0f);
    am_copy(ctx, white->b, b);
    am_gemm(ctx, white->b, 1.0f, w, 0, white->offset, 0, 1.0f);
}
