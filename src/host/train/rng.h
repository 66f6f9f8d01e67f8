/* Random numbers by counter (Philox4x32-10, Random123): element i of stream (seed, tensor) is a pure function of the
 * three, so every backend and every thread count starts from the same weights. */
#ifndef AM_RNG_H
#define AM_RNG_H

#include <stddef.h>
#include <stdint.h>

/** out[i] ~ N(0, sd^2) for i < n, from stream `tensor` of `seed`. */
void am_rng_normal(float *out, size_t n, double sd, uint64_t seed, uint32_t tensor);

/** index <- a permutation of 0..n-1, drawn from stream `pass` of `seed` (apart from am_rng_normal's). n <=
 * INT32_MAX. */
void am_rng_permutation(int32_t *index, size_t n, uint64_t seed, uint32_t pass);
#endif
