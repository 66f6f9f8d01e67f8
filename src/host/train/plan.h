/* The memory plan: every matrix of a run is declared by name, summed, checked and printed, and then taken in one slab.
 * Nothing is allocated inside a sweep. Declaring remembers where the view lives; taking fills the views in. */
#ifndef AM_PLAN_H
#define AM_PLAN_H

#include "host/train/driver.h"
#include "kernels/backend.h"

typedef struct am_plan am_plan;

/** NULL when memory is not there. */
am_plan *am_plan_new(void);
void am_plan_free(am_plan *plan);

/** Declare *m as rows x cols floats. Overflow and lack of memory are sticky and reported by am_plan_take. The same
 *  name may be used often: the plan's table sums by name. *m must stay where it is until am_plan_take. */
void am_plan_mat(am_plan *plan, const char *name, am_mat *m, size_t rows, size_t cols);
/** Declare n_bytes of raw memory, 64-byte aligned. */
void am_plan_raw(am_plan *plan, const char *name, void **memory, size_t n_bytes);
/** Note memory that is used but taken elsewhere (host data, libraries): it counts in the table only. */
void am_plan_note(am_plan *plan, const char *name, size_t n_bytes);

/** The table so far. */
const am_plan_row *am_plan_rows(const am_plan *plan, size_t *n_rows);
/** Total in bytes, notes included. */
size_t am_plan_total(const am_plan *plan);
/** Take one slab and fill in every declared view. Refuses, with the numbers, what does not fit into free memory. */
altmin_error am_plan_take(am_plan *plan, am_ctx *ctx, altmin_status *st);
#endif
