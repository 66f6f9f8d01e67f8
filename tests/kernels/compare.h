/* Running one case on two backends and comparing. Bounds follow from rounding analysis and the operands'
 * norms, in the manner of LAPACK's own tests; none is tuned to what some backend happens to give. */
#ifndef AM_TEST_COMPARE_H
#define AM_TEST_COMPARE_H

#include "kernels/cases.h"

/** All that a case left behind on a backend. */
typedef struct am_result {
    float *memory[AM_CASE_MAX_OPERANDS]; /* guards included */
    double sum[AM_CASE_MAX_SUMS];
    size_t n_operands, n_sums;
} am_result;

/** Run the rig once from its start and read everything. Fails the test on any error. */
void am_result_take(am_rig *rig, am_result *result);
void am_result_free(am_result *result);

#define AM_CASE_TEXT 256
/** What a case is, in words. Returns text. */
const char *am_case_text(const am_case *c, char text[AM_CASE_TEXT]);

/** Fail unless both are the same bits (operands with their guards, sums). */
void am_expect_same_bits(const am_rig *rig, const am_result *a, const am_result *b, const char *what);
/** Fail unless guards and inputs are as they were and every output element was written. */
void am_expect_contained(const am_rig *rig, const am_result *got);
/** Fail unless got agrees with the reference within the case's bound. */
void am_expect_close(const am_rig *rig, const am_result *got, const am_result *ref);
/** Fail unless NaN is at the same places. */
void am_expect_same_nan(const am_rig *rig, const am_result *got, const am_result *ref);
#endif
