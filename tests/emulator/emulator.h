/* What tests can ask of the emulated device: fail on purpose, run threads in another order, tell what is
 * still alive. */
#ifndef AM_EMULATOR_H
#define AM_EMULATOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What can be made to fail. */
typedef enum am_fault {
    AM_FAULT_ALLOC,   /* cudaMalloc, cudaMallocHost */
    AM_FAULT_LIBRARY, /* cuBLAS calls */
    AM_FAULT_LAUNCH,  /* a kernel launch is refused */
    AM_FAULT_KERNEL,  /* a kernel breaks while it runs: told by whoever waits next */
    AM_FAULT_RUNTIME, /* copies, streams, events, graphs */
    AM_N_FAULTS
} am_fault;

/** Make the n-th call of this kind from now fail (1: the next; 0: none). */
void am_emulator_fail(am_fault kind, size_t n);
/** Calls of this kind since the last am_emulator_fail of it. */
size_t am_emulator_calls(am_fault kind);
/** Seed of the order in which threads and blocks run. */
void am_emulator_seed(uint64_t seed);
/** Number of devices cudaGetDeviceCount tells; negative: no driver. Default 1. */
void am_emulator_devices(int n);
/** Device and pinned memory, streams, events, graphs and cuBLAS handles that nobody has given back. */
size_t am_emulator_alive(void);
/** Kernels run, graphs launched, and conditional bodies run since the start. */
size_t am_emulator_kernels(void);
size_t am_emulator_graph_launches(void);
size_t am_emulator_bodies(void);

#ifdef __cplusplus
}

#include <functional>

#include "include/cuda_runtime.h"

/* ---- between emulator.cpp, fiber.cpp and cublas.cpp ---- */

/** Count one call of a kind; 1 when this is the one that must fail. */
int am_emulator_due(am_fault kind);
/** Queue work on a stream, or record it when the stream is being captured. */
void am_emulator_enqueue(cudaStream_t stream, std::function<void()> work);
/** More (+1) or fewer (-1) things alive. */
void am_emulator_count(int change);
/** Random number for the order of things. */
uint64_t am_emulator_random();
/** Run a block: `call` once in each of `block` threads, as fibers, until all have ended. Aborts with a
 * sentence when they wait for each other for ever. */
void am_fiber_run_block(const char *kernel, const am_emulated_position &position,
                        const std::function<void()> &call);
#endif

#endif
