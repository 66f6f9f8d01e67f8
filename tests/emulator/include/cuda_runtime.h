/* Stand-in for CUDA's run-time header: the part of it that src/kernels/cuda/ uses, over a device made of host
 * memory (emulator.cpp) whose threads are fibers (fiber.cpp). With this folder ahead of the toolkit's on the
 * include path, a host C++ compiler builds the very same .cu files.
 *
 * What is like a GPU: work is queued and done when somebody waits; errors of kernels come late; threads of a
 * block run in shuffled order and meet only at barriers and shuffles; fresh memory holds NaN; graphs record
 * and replay. What is not: blocks run one after another, and the host could read device memory. */
#ifndef AM_EMULATED_CUDA_RUNTIME_H
#define AM_EMULATED_CUDA_RUNTIME_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

#ifndef CUDART_VERSION
#define CUDART_VERSION 13000
#endif

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)

/* ------------------------------------------------------------------------------------- types */

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) float4 {
    float x, y, z, w;
};
static inline float4 make_float4(float x, float y, float z, float w)
{
    return float4{x, y, z, w};
}

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureUnjoined = 904,
    cudaErrorUnknown = 999
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed = 2 };
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone = 0, cudaStreamCaptureStatusActive = 1 };
enum cudaGraphConditionalNodeType { cudaGraphCondTypeIf = 0, cudaGraphCondTypeWhile = 1 };
enum cudaGraphNodeType { cudaGraphNodeTypeKernel = 0, cudaGraphNodeTypeConditional = 13 };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaGraphCondAssignDefault = 1 };
enum { cudaStreamSetCaptureDependencies = 1 };

typedef struct am_emulated_stream *cudaStream_t;
typedef struct am_emulated_event *cudaEvent_t;
typedef struct am_emulated_graph *cudaGraph_t;
typedef struct am_emulated_exec *cudaGraphExec_t;
typedef struct am_emulated_node *cudaGraphNode_t;
typedef unsigned long long cudaGraphConditionalHandle;
struct cudaGraphEdgeData {
    unsigned char from_port;
};
struct cudaConditionalNodeParams {
    cudaGraphConditionalHandle handle;
    cudaGraphConditionalNodeType type;
    unsigned size;
    cudaGraph_t *phGraph_out;
};
struct cudaGraphNodeParams {
    cudaGraphNodeType type;
    cudaConditionalNodeParams conditional;
};
struct cudaDeviceProp {
    char name[256];
    int major, minor, multiProcessorCount;
};

/* ---------------------------------------------------------------------------- host functions */

const char *cudaGetErrorString(cudaError_t status);
const char *cudaGetErrorName(cudaError_t status);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaMalloc(void **memory, size_t n_bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMallocHost(void **memory, size_t n_bytes);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total);
cudaError_t cudaMemset(void *memory, int value, size_t n_bytes);
cudaError_t cudaMemsetAsync(void *memory, int value, size_t n_bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph,
                                          const cudaGraphNode_t *after, const cudaGraphEdgeData *edges,
                                          size_t n_after, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status);
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus *status,
                                     unsigned long long *id, cudaGraph_t *graph,
                                     const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges,
                                     size_t *n_nodes);
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t *nodes,
                                                const cudaGraphEdgeData *edges, size_t n_nodes,
                                                unsigned flags);
cudaError_t cudaGraphAddNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,
                             const cudaGraphEdgeData *edges, size_t n_after, cudaGraphNodeParams *params);
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle *handle, cudaGraph_t graph,
                                             unsigned value, unsigned flags);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

/* The same three as toolkit 12 spells them. */
static inline cudaError_t cudaStreamGetCaptureInfo_v2(cudaStream_t stream, cudaStreamCaptureStatus *status,
                                                      unsigned long long *id, cudaGraph_t *graph,
                                                      const cudaGraphNode_t **nodes, size_t *n_nodes)
{
    return cudaStreamGetCaptureInfo(stream, status, id, graph, nodes, nullptr, n_nodes);
}
static inline cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t *nodes,
                                                              size_t n_nodes, unsigned flags)
{
    return cudaStreamUpdateCaptureDependencies(stream, nodes, nullptr, n_nodes, flags);
}
static inline cudaError_t cudaGraphAddNode(cudaGraphNode_t *node, cudaGraph_t graph,
                                           const cudaGraphNode_t *after, size_t n_after,
                                           cudaGraphNodeParams *params)
{
    return cudaGraphAddNode(node, graph, after, nullptr, n_after, params);
}

/* ---------------------------------------------------------------------------------- launches */

/* Queue (or record) a kernel: `call` runs it for the thread that is current. */
void am_emulated_launch(const char *kernel, dim3 grid, dim3 block, cudaStream_t stream,
                        std::function<void()> call);

/* The kernel with its arguments copied, as a launch copies them. */
template <typename... parameters, typename... arguments>
std::function<void()> am_emulated_call(void (*kernel)(parameters...), const arguments &...values)
{
    return [kernel, copy = std::tuple<std::decay_t<parameters>...>(values...)] { std::apply(kernel, copy); };
}

#define AM_UNROLL
#define AM_KERNEL_LAUNCH(kernel, grid, block, stream, ...)                                                   \
    am_emulated_launch(#kernel, grid, block, stream, am_emulated_call(kernel, __VA_ARGS__))

/* ---------------------------------------------------------------------------- inside kernels */

struct am_emulated_position {
    uint3 thread, block;
    dim3 block_size, grid_size;
};
extern am_emulated_position *am_emulated_now;
#define threadIdx (am_emulated_now->thread)
#define blockIdx  (am_emulated_now->block)
#define blockDim  (am_emulated_now->block_size)
#define gridDim   (am_emulated_now->grid_size)

void am_emulated_barrier();
/* Value of lane `from` of this thread's warp; own value when there is no such lane. */
uint64_t am_emulated_exchange(uint64_t value, int from);
int am_emulated_lane();

#define __syncthreads() am_emulated_barrier()
static inline void __syncwarp()
{
    am_emulated_exchange(0, 0);
}
static inline void __threadfence() {}

template <typename type> static inline type am_emulated_shuffle(type value, int from)
{
    static_assert(sizeof(type) <= sizeof(uint64_t), "shuffles move at most 8 bytes");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = am_emulated_exchange(bits, from);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
template <typename type> static inline type __shfl_down_sync(unsigned, type value, unsigned distance)
{
    return am_emulated_shuffle(value, am_emulated_lane() + (int)distance);
}
template <typename type> static inline type __shfl_xor_sync(unsigned, type value, int mask)
{
    return am_emulated_shuffle(value, am_emulated_lane() ^ mask);
}
template <typename type> static inline type __ldcg(const type *from)
{
    return *from;
}
static inline unsigned atomicInc(unsigned *at, unsigned last)
{
    const unsigned old = *at;
    *at = old >= last ? 0 : old + 1;
    return old;
}
void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value);

#endif
