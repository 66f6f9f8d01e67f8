/* Tests of am_lanes for any backend; part of the conformance suite. */
#ifndef AM_TEST_LANES_H
#define AM_TEST_LANES_H

#include "kernels/backend.h"

/** Tasks side by side leave the bits, the counts and the jitter that they leave in turn, in and out of recorded sweeps. */
void am_expect_lanes_like_turns(am_backend_kind kind);
/** Of several tasks that fail the lowest one's error is kept, whoever gets there first. */
void am_expect_lowest_error(am_backend_kind kind);
/** No task, one task, and lanes inside a task. */
void am_expect_odd_lanes(am_backend_kind kind);
#endif
