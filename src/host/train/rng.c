/* Philox and Box-Muller, in double so that every machine rounds to the same floats; see rng.h. */
#include "host/train/rng.h"

#include <math.h>
#include <Random123/philox.h>

/* Uniform in (0, 1] from 32 bits: never 0, so its logarithm is finite. */
static double uniform(uint32_t bits)
{
    return ((double)bits + 1.0) * 0x1p-32;
}

void am_rng_normal(float *out, size_t n, double sd, uint64_t seed, uint32_t tensor)
{
    const double two_pi = 6.283185307179586;
    const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    for (size_t i = 0; i < n; i += 4) {
        const uint64_t block = i / 4;
        const philox4x32_ctr_t counter = {{(uint32_t)block, (uint32_t)(block >> 32), tensor, 0}};
        const philox4x32_ctr_t bits = philox4x32(counter, key);
        for (size_t j = 0; j < 4 && i + j < n; j += 2) {
            const double radius = sd * sqrt(-2.0 * log(uniform(bits.v[j]))),
                         angle = two_pi * uniform(bits.v[j + 1]);
            out[i + j] = (float)(radius * cos(angle));
            if (i + j + 1 < n) out[i + j + 1] = (float)(radius * sin(angle));
        }
    }
}

/* Fisher-Yates. The remainder of 64 random bits is uniform up to n/2^64. */
void am_rng_permutation(int32_t *index, size_t n, uint64_t seed, uint32_t pass)
{
    const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t bits = {{0}};
    for (size_t i = 0; i < n; i++) index[i] = (int32_t)i;
    for (size_t i = 0; i + 1 < n; i++) {
        if (i % 2 == 0) {
            const philox4x32_ctr_t counter = {{(uint32_t)(i / 2), 0, pass, 1}};
            bits = philox4x32(counter, key);
        }
        const uint64_t draw = (uint64_t)bits.v[2 * (i % 2)] << 32 | bits.v[2 * (i % 2) + 1];
        const size_t j = i + (size_t)(draw % (n - i));
        const int32_t t = index[i];
        index[i] = index[j];
        index[j] = t;
    }
}
