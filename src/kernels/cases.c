/* Kinds of cases, and building, running and reading one; cases.h says what for. Numbers come from a counter
 * hash of (seed, operand, element), so they do not depend on the backend or on the order in which operands
 * are made. */
#include "kernels/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------------- kinds */

typedef struct simple_kind {
    am_op op;
    const char *name;
    int ta, tb, variant;
} simple_kind;

static const simple_kind simple_kinds[] = {
    {AM_OP_UPLOAD, "upload", 0, 0, 0},
    {AM_OP_UPLOAD, "upload_u8", 0, 0, 1},
    {AM_OP_DOWNLOAD, "download", 0, 0, 0},
    {AM_OP_COPY, "copy", 0, 0, 0},
    {AM_OP_COPY, "fill", 0, 0, 1},
    {AM_OP_GEMM, "gemm NN", 0, 0, 0},
    {AM_OP_GEMM, "gemm NT", 0, 1, 0},
    {AM_OP_GEMM, "gemm TN", 1, 0, 0},
    {AM_OP_GEMM, "gemm TT", 1, 1, 0},
    {AM_OP_GRAM, "gram N", 0, 0, 0},
    {AM_OP_GRAM, "gram T", 1, 0, 0},
    {AM_OP_SPARSE, "spmm N", 0, 0, 0},
    {AM_OP_SPARSE, "spmm T", 1, 0, 0},
    {AM_OP_SPARSE, "gram_sparse N", 0, 0, 1},
    {AM_OP_SPARSE, "gram_sparse T", 1, 0, 1},
    {AM_OP_CHOLESKY, "cholesky", 0, 0, 0},
    {AM_OP_SOLVE, "solve_right", 0, 0, 0},
    {AM_OP_NORM, "norm2", 0, 0, 0},
    {AM_OP_EIGH, "eigh", 0, 0, 0},
    {AM_OP_BASIS, "orthonormalise", 0, 0, 0},
    {AM_OP_ROW_SUM, "row_sum", 0, 0, 0},
    {AM_OP_SOFTMAX, "softmax_loss", 0, 0, 0},
    {AM_OP_SOFTMAX, "softmax_residual", 0, 0, 1},
    {AM_OP_PROX, "prox_softmax", 0, 0, 0},
    {AM_OP_GATHER, "gather_columns", 0, 0, 0},
    {AM_OP_GATHER, "gather_columns_u8", 0, 0, 1},
    {AM_OP_THIN, "thin", 0, 0, 0},
};
#define N_SIMPLE (sizeof simple_kinds / sizeof *simple_kinds)

#define ACT_NAME(id, name) name,
static const char *const act_names[AM_N_ACTS] = {AM_ACTIVATIONS(ACT_NAME)};

static size_t n_acts_of(am_map_id id)
{
    return am_map_signature_of(id)->uses_act ? AM_N_ACTS : 1;
}

size_t am_n_case_kinds(void)
{
    size_t n = N_SIMPLE;
    for (int id = 0; id < AM_N_MAPS; id++) n += n_acts_of((am_map_id)id);
    return n;
}

am_case am_case_kind(size_t i)
{
    am_case c = {.alpha = 1.0f, .rho = 1.0, .density = 0.1};
    if (i < N_SIMPLE) {
        const simple_kind *k = &simple_kinds[i];
        c.op = k->op, c.ta = k->ta, c.tb = k->tb, c.variant = k->variant;
        snprintf(c.name, sizeof c.name, "%s", k->name);
        return c;
    }
    i -= N_SIMPLE;
    int id = 0;
    for (; i >= n_acts_of((am_map_id)id); id++) i -= n_acts_of((am_map_id)id);
    const am_map_signature *sig = am_map_signature_of((am_map_id)id);
    c.op = AM_OP_MAP, c.map = (am_map_id)id, c.act = (int)i;
    snprintf(c.name, sizeof c.name, "%s%s%s", sig->name, sig->uses_act ? " " : "",
             sig->uses_act ? act_names[i] : "");
    return c;
}

/* ------------------------------------------------------------------------------------------------ life */

altmin_error am_rig_open(am_rig *rig, am_ctx *ctx, const am_case *run, altmin_status *st)
{
    memset(rig, 0, sizeof *rig);
    rig->ctx = ctx;
    rig->run = *run;
    if (!am_rig_build(rig, st)) {
        am_rig_close(rig);
        return am_fail(st, ALTMIN_ERR_INTERNAL, "case %s cannot be built", run->name);
    }
    rig->coef = am_slots_new(ctx, rig->n_coef);
    rig->sum = am_slots_new(ctx, rig->n_sums);
    am_rig_reset(rig);
    return am_ctx_status(ctx, st);
}

static void reset_operand(am_rig *rig, const am_operand *o)
{
    am_upload_bytes(rig->ctx, o->memory, o->initial, o->len * sizeof(float));
}

void am_rig_reset(am_rig *rig)
{
    for (size_t i = 0; i < rig->n_operands; i++) reset_operand(rig, &rig->operand[i]);
    am_slots_write(rig->ctx, rig->coef, rig->n_coef, rig->coefficient);
    for (size_t k = 0; k < rig->n_sums; k++) am_slot_set(rig->ctx, rig->sum + (am_slot)k, -1.0);
    /* A factor to solve with is made here, not by the op. */
    if (rig->run.op == AM_OP_SOLVE) am_cholesky(rig->ctx, rig->operand[1].mat, rig->operand[0].mat, 1.0, 0.0);
}

/* --------------------------------------------------------------------------------------------- running */

static am_mat operand_named(const am_rig *rig, const char *name)
{
    for (size_t i = 0; i < rig->n_operands; i++)
        if (strcmp(rig->operand[i].name, name) == 0) return rig->operand[i].mat;
    return (am_mat){NULL, 0, 0};
}

static am_slot sum_slot(const am_rig *rig, int k)
{
    return rig->run.no_sums ? AM_NO_SLOT : rig->sum + k;
}

static void run_map(am_rig *rig)
{
    const am_map_signature *sig = am_map_signature_of(rig->run.map);
    am_map_args args = {.max = AM_NO_SLOT};
    size_t next = 0;
    for (int k = 0; k < sig->n_in; k++) args.in[k] = rig->operand[next++].mat;
    for (int k = 0; k < sig->n_out; k++)
        args.out[k] = k == 0 && rig->run.alias ? args.in[sig->n_in - 1] : rig->operand[next++].mat;
    if (sig->has_row) args.row = rig->operand[next++].mat;
    if (rig->run.row_sum && sig->n_out) args.row_sum = rig->operand[next].mat;
    for (int k = 0; k < sig->n_coef; k++) args.coef[k] = rig->coef + k;
    for (int k = 0; k < sig->n_sum; k++) args.sum[k] = sum_slot(rig, k);
    if (sig->n_max) args.max = sum_slot(rig, sig->n_sum);
    am_map(rig->ctx, rig->run.map, rig->run.act, &args);
}

static void run_prox(am_rig *rig)
{
    const am_slot sum[3] = {sum_slot(rig, 0), sum_slot(rig, 1), sum_slot(rig, 2)};
    am_prox_softmax_columns(rig->ctx, operand_named(rig, "z"), operand_named(rig, "p"),
                            operand_named(rig, "b"), rig->bytes[0], rig->coef, sum,
                            operand_named(rig, "row sums"));
}

static void run_transfer(am_rig *rig)
{
    const am_mat *mat = &rig->operand[0].mat;
    if (rig->run.op == AM_OP_DOWNLOAD)
        am_download(rig->ctx, rig->transfer, *mat, NULL);
    else if (rig->run.variant)
        am_upload_u8(rig->ctx, *mat, (const uint8_t *)rig->transfer, rig->operand[1].mat,
                     rig->operand[2].mat);
    else
        am_upload(rig->ctx, *mat, rig->transfer);
}

static void run_gather(am_rig *rig)
{
    const am_operand *o = rig->operand;
    const int32_t *index = rig->bytes[0];
    if (!rig->run.variant)
        am_gather_columns(rig->ctx, o[1].mat, o[0].mat, index);
    else
        am_gather_columns_u8(rig->ctx, o[2].mat, rig->bytes[1], rig->run.no_index ? NULL : index, o[0].mat,
                             o[1].mat);
}

#define NORM_STEPS 5
#define THIN_SEED  99

void am_rig_run(am_rig *rig)
{
    const am_case *c = &rig->run;
    const am_operand *o = rig->operand;
    switch (c->op) {
    case AM_OP_UPLOAD:
    case AM_OP_DOWNLOAD: run_transfer(rig); break;
    case AM_OP_COPY:
        if (c->variant)
            am_fill(rig->ctx, o[0].mat, 0.75f);
        else
            am_copy(rig->ctx, o[1].mat, o[0].mat);
        break;
    case AM_OP_GEMM: am_gemm(rig->ctx, o[2].mat, c->alpha, o[0].mat, c->ta, o[1].mat, c->tb, c->beta); break;
    case AM_OP_GRAM: am_gram(rig->ctx, o[1].mat, o[0].mat, c->ta); break;
    case AM_OP_SPARSE:
        if (c->variant)
            am_gram_sparse(rig->ctx, o[0].mat, &rig->sparse, c->ta);
        else
            am_spmm(rig->ctx, o[1].mat, c->alpha, o[0].mat, &rig->sparse, c->ta, c->beta);
        break;
    case AM_OP_CHOLESKY: am_cholesky(rig->ctx, o[1].mat, o[0].mat, 0.5, 0.125); break;
    case AM_OP_SOLVE: am_solve_right(rig->ctx, o[2].mat, o[1].mat); break;
    case AM_OP_NORM: am_norm2(rig->ctx, rig->sum, o[0].mat, o[1].mat, o[2].mat, NORM_STEPS); break;
    case AM_OP_ROW_SUM: am_row_sum(rig->ctx, o[1].mat, o[0].mat); break;
    case AM_OP_SOFTMAX:
        if (c->variant)
            am_softmax_residual(rig->ctx, sum_slot(rig, 0), sum_slot(rig, 1), o[c->alias ? 0 : 2].mat,
                                o[0].mat, o[1].mat, rig->bytes[0], c->alpha);
        else
            am_softmax_loss(rig->ctx, rig->sum, rig->sum + 1, o[0].mat, o[1].mat, rig->bytes[0]);
        break;
    case AM_OP_PROX: run_prox(rig); break;
    case AM_OP_GATHER: run_gather(rig); break;
    case AM_OP_THIN:
        am_thin(rig->ctx, (int32_t *)(void *)o[1].mat.data, rig->sum, o[0].mat, rig->coef, THIN_SEED,
                rig->coef + 1);
        break;
    case AM_OP_EIGH: am_eigh(rig->ctx, o[1].mat, o[c->alias ? 0 : 2].mat, o[0].mat); break;
    case AM_OP_BASIS: am_orthonormalise(rig->ctx, o[0].mat); break;
    case AM_OP_MAP: run_map(rig); break;
    default: break;
    }
}

altmin_error am_rig_read(am_rig *rig, size_t i, float *host, altmin_status *st)
{
    const am_operand *o = &rig->operand[i];
    return am_download(rig->ctx, host, (am_mat){o->memory, o->len, 1}, st);
}

altmin_error am_rig_sums(am_rig *rig, double *value, altmin_status *st)
{
    return am_slots_read(rig->ctx, rig->sum, rig->n_sums, value, st);
}

void am_rig_close(am_rig *rig)
{
    for (size_t i = 0; i < rig->n_operands; i++) {
        am_memory_release(rig->ctx, rig->operand[i].memory, rig->operand[i].len * sizeof(float));
        free(rig->operand[i].initial);
    }
    for (int i = 0; i < 3; i++) am_memory_release(rig->ctx, rig->bytes[i], rig->n_bytes[i]);
    free(rig->transfer);
    free(rig->label);
    free(rig->start);
    free(rig->row);
    free(rig->value);
    memset(rig, 0, sizeof *rig);
}
