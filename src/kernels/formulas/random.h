/* Random numbers by counter on every backend (Philox4x32-10, Random123): draw j is a pure function of (seed, counter, j),
 * so it does not depend on the backend, the number of threads or the order of work. */
#ifndef AM_RANDOM_H
#define AM_RANDOM_H

#include "kernels/formulas/elementary.h"

#include <Random123/philox.h>

/* The last word of the counter keeps these draws apart from those of host/train/rng.h with the same seed. */
#define AM_RANDOM_STREAM 2

/** Uniform in [0, 1), a multiple of 2^-32: draw j of step `counter` (below 2^32) under `seed`. */
AM_FN double am_random_uniform(uint64_t seed, uint64_t counter, uint64_t j)
{
    const uint64_t block = j / 4;
    philox4x32_key_t key;
    philox4x32_ctr_t at;
    key.v[0] = (uint32_t)seed, key.v[1] = (uint32_t)(seed >> 32);
    at.v[0] = (uint32_t)block, at.v[1] = (uint32_t)(block >> 32);
    at.v[2] = (uint32_t)counter, at.v[3] = AM_RANDOM_STREAM;
    const philox4x32_ctr_t bits = philox4x32(at, key);
    return (double)bits.v[j % 4] * 0x1p-32;
}

#define AM_THIN_LEAST 0.02 /* least probability of keeping a column: no weight grows beyond 50 */

/** Probability of keeping a column of size l1 = |r_j|_1: clamp(l1/(2 b), 0.02, 1). 1 where l1 is not finite, so that such
 *  columns stay to be seen, and where b = 0. [METHODS.md 8, thinning] */
AM_FN double am_thin_probability(double l1, double b)
{
    if (!(l1 < 2.0 * b)) return 1.0;
    return l1 / (2.0 * b) > AM_THIN_LEAST ? l1 / (2.0 * b) : AM_THIN_LEAST;
}

#endif
