/* Declared memory, one slab; see plan.h. */
#include "host/train/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AM_ALIGN 64

typedef struct am_claim {
    am_mat *mat; /* or */
    void **memory;
    size_t offset;
} am_claim;

struct am_plan {
    am_claim *claim;
    size_t n_claims, max_claims;
    am_plan_row row[32];
    size_t n_rows;
    size_t slab_bytes, noted_bytes;
    altmin_error error; /* sticky */
};

am_plan *am_plan_new(void)
{
    return calloc(1, sizeof(am_plan));
}

void am_plan_free(am_plan *plan)
{
    if (!plan) return;
    free(plan->claim);
    free(plan);
}

static void add_row(am_plan *plan, const char *name, size_t n_bytes)
{
    const size_t max = sizeof plan->row / sizeof plan->row[0];
    for (size_t i = 0; i < plan->n_rows; i++)
        if (strcmp(plan->row[i].name, name) == 0 || i == max - 1) {
            plan->row[i].n_bytes += n_bytes;
            return;
        }
    am_plan_row *row = &plan->row[plan->n_rows++];
    snprintf(row->name, sizeof row->name, "%s", name);
    row->n_bytes = n_bytes;
}

static int grow(am_plan *plan)
{
    if (plan->n_claims < plan->max_claims) return 1;
    const size_t n = plan->max_claims ? 2 * plan->max_claims : 64;
    am_claim *claim = realloc(plan->claim, n * sizeof *claim);
    if (!claim) {
        plan->error = ALTMIN_ERR_MEMORY;
        return 0;
    }
    plan->claim = claim;
    plan->max_claims = n;
    return 1;
}

static void claim(am_plan *plan, const char *name, am_claim what, size_t n_bytes)
{
    size_t padded, end;
    if (plan->error || !grow(plan)) return;
    if (am_size_add(n_bytes, AM_ALIGN - 1, &padded) ||
        am_size_add(plan->slab_bytes, padded & ~(size_t)(AM_ALIGN - 1), &end)) {
        plan->error = ALTMIN_ERR_MEMORY;
        return;
    }
    what.offset = plan->slab_bytes;
    plan->claim[plan->n_claims++] = what;
    plan->slab_bytes = end;
    add_row(plan, name, n_bytes);
}

void am_plan_mat(am_plan *plan, const char *name, am_mat *m, size_t rows, size_t cols)
{
    size_t n, n_bytes;
    *m = (am_mat){NULL, rows, cols};
    if (am_size_mul(rows, cols, &n) || am_size_mul(n, sizeof(float), &n_bytes)) {
        plan->error = ALTMIN_ERR_MEMORY;
        return;
    }
    claim(plan, name, (am_claim){.mat = m}, n_bytes);
}

void am_plan_raw(am_plan *plan, const char *name, void **memory, size_t n_bytes)
{
    claim(plan, name, (am_claim){.memory = memory}, n_bytes);
}

void am_plan_note(am_plan *plan, const char *name, size_t n_bytes)
{
    if (am_size_add(plan->noted_bytes, n_bytes, &plan->noted_bytes)) plan->error = ALTMIN_ERR_MEMORY;
    add_row(plan, name, n_bytes);
}

const am_plan_row *am_plan_rows(const am_plan *plan, size_t *n_rows)
{
    *n_rows = plan->n_rows;
    return plan->row;
}

size_t am_plan_total(const am_plan *plan)
{
    return plan->slab_bytes + plan->noted_bytes;
}

static void assign(const am_claim *c, unsigned char *slab)
{
    if (c->mat)
        c->mat->data = (float *)(void *)(slab + c->offset);
    else
        *c->memory = slab + c->offset;
}

altmin_error am_plan_take(am_plan *plan, am_ctx *ctx, altmin_status *st)
{
    if (plan->error)
        return am_fail(st, ALTMIN_ERR_MEMORY,
                       "the memory plan overflows or cannot be kept: the network and the data are "
                       "too large together; use fewer samples or narrower layers");
    const size_t free_bytes = ctx->ops->free_bytes(ctx);
    if (plan->slab_bytes > free_bytes)
        return am_fail(st, ALTMIN_ERR_MEMORY,
                       "the plan needs %.1f MiB on backend %s but %.1f MiB are free; use fewer samples or "
                       "narrower layers",
                       (double)plan->slab_bytes / 1048576.0, ctx->ops->name, (double)free_bytes / 1048576.0);
    void *slab;
    if (am_memory_take(ctx, &slab, plan->slab_bytes, st)) return ALTMIN_ERR_MEMORY;
    for (size_t i = 0; i < plan->n_claims; i++) assign(&plan->claim[i], slab);
    return ALTMIN_OK;
}
