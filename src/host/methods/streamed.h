/* Stream mode of the published methods: their own blocks over the shell of host/train/stream.h, which lifts every chunk anew,
 * so that auxiliaries cannot drift from the forward path. The unmodified sweeps, whose theorems are proved, stay in the
 * method's own file; here nothing is proved, and the shell's guard is a test. Point, blocks and defaults [METHODS.md 9]:
 *
 *   mdlam, tiam  point W + p2 D; a moves by W'r/tau inside a box, z follows where the unit is active   streamed_box.c
 *   bcd, dladmm  point W; a by its exact block, z by reluprox                                         streamed_split.c
 *   radmm        point W; a by its exact block with the skip's pull, z by reluprox                    streamed_skip.c
 *
 * bcd, dladmm and radmm minimise their blocks exactly: their direction differs visibly from back-propagation. mdlam and tiam
 * pass down numerically what back-propagation does, clipped: they stay gradient-free in form alone. */
#ifndef AM_STREAMED_H
#define AM_STREAMED_H

#include "host/methods/method.h"
#include "host/train/stream.h"

/* States begin with an am_stream. */
extern const am_method am_method_mdlam_stream, am_method_tiam_stream, am_method_bcd_stream,
    am_method_dladmm_stream, am_method_radmm_stream;

/** What the design of a streamed method has in common: rates by --boost; eta, lam and warm of a stream of chunks, or of full
 *  batches, whose sums need less damping and carry longer steps. */
am_stream_design am_streamed_design(const am_problem *problem, double eta, double eta_full);
/** Refuse what no streamed method can do: thinning, which is unbiased for linear maps of r alone. Then as the shell. */
altmin_error am_streamed_check(const char *name, const altmin_settings *settings, const am_net *net,
                               altmin_status *st);
/** The same for blocks that know ReLU alone. */
altmin_error am_streamed_check_relu(const char *name, const altmin_settings *settings, const am_net *net,
                                    altmin_status *st);
#endif
