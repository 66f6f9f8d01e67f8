/* With eps fixed a guarded sweep on the relaxed problem never raises F, block by block, and keeps every box. */
#ifndef AM_TEST_MONOTONE_H
#define AM_TEST_MONOTONE_H

#include "oracle.h"

/** One sweep, block by block. Returns the largest rise of F in one block over its rounding allowance, and in `where` which
 *  block that was. */
double monotone_sweep(altmin_trainer *t, oracle *o, char *where, size_t n_where);
/** Fail the test when, in n_sweeps sweeps of a trainer made from pairs (fixed eps), a block raises F beyond rounding or a box
 *  is violated, or when F did not fall at all. */
void monotone_check(const altmin_data *data, const char *const *pairs, const char *what, int n_sweeps);
/** Sweep block by block: the number of sweeps in which a block raised F beyond rounding, the number of block updates that the
 *  guard redid, and F at the end. */
void monotone_count(const altmin_data *data, const char *const *pairs, int n_sweeps, size_t *n_rises,
                    size_t *n_guarded, double *f);
#endif
