/* What every file of the CUDA backend stands on: the C headers of the seam made known to C++, the CUDA
 * headers, and the one macro that launches a kernel. tests/emulator/ brings stand-ins for the CUDA headers,
 * with a launch macro of its own, so that a host compiler builds these very files and any machine runs them.
 */
#ifndef AM_CUDA_BASE_H
#define AM_CUDA_BASE_H

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utility>

/* C++ of its own, which formulas/random.h would draw into the C linkage below. */
#include <Random123/philox.h>

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

extern "C" {
#include "kernels/backend.h"
}

#ifndef AM_KERNEL_LAUNCH
#define AM_KERNEL_LAUNCH(kernel, grid, block, stream, ...) kernel<<<grid, block, 0, stream>>>(__VA_ARGS__)
#endif

/* In front of loops over arrays that must stay in registers. */
#ifndef AM_UNROLL
#define AM_UNROLL _Pragma("unroll")
#endif

#endif
