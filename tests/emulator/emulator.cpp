/* The emulated device: memory, streams, events, graphs, faults. Queued work runs when somebody waits
 * (cudaStreamSynchronize and the like), late enough to show a host that reuses a buffer too soon. What streams and events
 * leave open is drawn at random, and so is the order of a graph's nodes as far as their dependencies leave it open: a
 * dependency left out shows as wrong numbers. A node is a piece of work or a condition with a graph of its own. */
#include "emulator.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <vector>

/* ------------------------------------------------------------------------------------- state */

struct am_emulated_node {
    std::function<void()> work; /* empty for a condition */
    cudaGraphConditionalHandle handle = 0;
    cudaGraphConditionalNodeType type = cudaGraphCondTypeIf;
    std::shared_ptr<am_emulated_graph> body;
    cudaGraph_t body_address = nullptr; /* what phGraph_out points at */
    std::vector<cudaGraphNode_t> after;
    size_t index = 0; /* in its graph */
};
struct am_emulated_graph {
    std::vector<std::shared_ptr<am_emulated_node>> nodes;
    std::vector<cudaGraphConditionalHandle> handles; /* set to their defaults at every launch */
};
struct am_emulated_exec {
    am_emulated_graph graph;
};
/* Work, or a mark: `event` reaches `version` here, or must have reached it before the stream goes on. */
struct queued {
    std::function<void()> work;
    cudaEvent_t event = nullptr;
    size_t version = 0;
    bool waits = false;
};
struct am_emulated_stream {
    cudaGraph_t recording = nullptr;
    bool owns_recording = false,
         joined = false;               /* joined: drawn into another stream's recording by an event */
    std::vector<cudaGraphNode_t> tail; /* what the next node will follow */
    std::deque<queued> queue;
};
struct am_emulated_event {
    size_t version = 0, reached = 0;
    cudaGraph_t recording = nullptr; /* of the last record, if it was in one */
    std::vector<cudaGraphNode_t> tail;
};

namespace
{

struct condition {
    unsigned value, fallback;
};

struct device {
    std::vector<cudaStream_t> streams;
    std::vector<cudaGraph_t> recordings; /* under way */
    std::map<void *, size_t> memory, pinned;
    std::multimap<size_t, void *>
        spare; /* large blocks given back, by size: fresh pages are slow, more so to sanitizers */
    std::vector<condition> conditions{condition{0, 0}}; /* handle 0 is nobody's */
    cudaError_t last = cudaSuccess, broken = cudaSuccess;
    size_t calls[AM_N_FAULTS] = {}, due[AM_N_FAULTS] = {};
    size_t n_alive = 0, n_kernels = 0, n_graphs = 0, n_bodies = 0;
    uint64_t random = 88172645463325252u;
    int n_devices = 1;
    ~device()
    {
        for (const auto &block : spare) std::free(block.second);
    }
};
device the;

cudaError_t fail(cudaError_t status)
{
    the.last = status;
    return status;
}

[[noreturn]] void misuse(const char *what)
{
    std::fprintf(stderr, "emulator: %s\n", what);
    std::abort();
}

/* A stream with work that can run now, drawn at random. */
cudaStream_t draw_stream()
{
    std::vector<cudaStream_t> able;
    for (cudaStream_t s : the.streams)
        if (!s->queue.empty()) {
            const queued &front = s->queue.front();
            if (!front.waits || front.event->reached >= front.version) able.push_back(s);
        }
    if (able.empty()) misuse("streams wait for each other for ever");
    return able.size() == 1 ? able[0] : able[(size_t)(am_emulator_random() % able.size())];
}

/* Run until done() holds; what other streams do meanwhile is drawn. A kernel that broke makes every wait from then on
 * fail. */
template <typename condition> cudaError_t run_until(condition done)
{
    while (!done()) {
        cudaStream_t s = draw_stream();
        const queued next = std::move(s->queue.front());
        s->queue.pop_front();
        if (next.event && !next.waits)
            next.event->reached = next.version;
        else if (next.work && the.broken == cudaSuccess)
            next.work();
    }
    return the.broken == cudaSuccess ? cudaSuccess : fail(the.broken);
}

cudaError_t drain()
{
    return run_until([] {
        return std::all_of(the.streams.begin(), the.streams.end(),
                           [](cudaStream_t s) { return s->queue.empty(); });
    });
}

cudaError_t runtime_call()
{
    return am_emulator_due(AM_FAULT_RUNTIME) ? fail(cudaErrorUnknown) : cudaSuccess;
}

void append(cudaStream_t stream, std::shared_ptr<am_emulated_node> node)
{
    am_emulated_graph &graph = *stream->recording;
    node->after = stream->tail;
    node->index = graph.nodes.size();
    stream->tail = {node.get()};
    graph.nodes.push_back(std::move(node));
}

void run_graph(const am_emulated_graph &graph);

void run_node(const am_emulated_node &node)
{
    if (node.work) {
        node.work();
        return;
    }
    const auto holds = [&node] {
        return the.conditions[node.handle].value != 0 && the.broken == cudaSuccess;
    };
    while (holds()) {
        the.n_bodies++;
        run_graph(*node.body);
        if (node.type == cudaGraphCondTypeIf) break;
    }
}

void run_graph(const am_emulated_graph &graph)
{
    for (cudaGraphConditionalHandle handle : graph.handles)
        the.conditions[handle].value = the.conditions[handle].fallback;
    std::vector<size_t> n_before(graph.nodes.size()), ready;
    std::vector<std::vector<size_t>> followers(graph.nodes.size());
    for (const auto &node : graph.nodes) {
        for (cudaGraphNode_t before : node->after) followers[before->index].push_back(node->index);
        n_before[node->index] = node->after.size();
        if (node->after.empty()) ready.push_back(node->index);
    }
    while (!ready.empty() && the.broken == cudaSuccess) {
        const size_t drawn = ready.size() == 1 ? 0 : (size_t)(am_emulator_random() % ready.size()),
                     i = ready[drawn];
        ready[drawn] = ready.back();
        ready.pop_back();
        run_node(*graph.nodes[i]);
        for (size_t follower : followers[i])
            if (--n_before[follower] == 0) ready.push_back(follower);
    }
}

/* Blocks one after another, in a drawn order. */
void run_kernel(const char *kernel, dim3 grid, dim3 block, const std::function<void()> &call)
{
    the.n_kernels++;
    if (am_emulator_due(AM_FAULT_KERNEL)) {
        the.broken = cudaErrorLaunchFailure;
        return;
    }
    const size_t n = (size_t)grid.x * grid.y * grid.z;
    std::vector<size_t> order(n);
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = n; i > 1; i--) std::swap(order[i - 1], order[(size_t)(am_emulator_random() % i)]);
    am_emulated_position position{};
    position.block_size = block;
    position.grid_size = grid;
    for (size_t b : order) {
        position.block = {(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                          (unsigned)(b / grid.x / grid.y)};
        am_fiber_run_block(kernel, position, call);
    }
}

/* Memory that is full of NaN, whatever it is read as (its first MiB: large workspaces are taken by the
 * hundred). */
constexpr size_t poisoned_bytes = 1 << 20;
cudaError_t take(std::map<void *, size_t> &list, void **memory, size_t n_bytes)
{
    *memory = nullptr;
    if (am_emulator_due(AM_FAULT_ALLOC)) return fail(cudaErrorMemoryAllocation);
    const size_t padded = n_bytes <= SIZE_MAX - 255 ? (n_bytes + 255) / 256 * 256 : 0;
    const auto spare = the.spare.find(padded);
    if (spare != the.spare.end()) {
        *memory = spare->second;
        the.spare.erase(spare);
    } else {
        *memory = padded ? std::aligned_alloc(256, padded) : nullptr;
    }
    if (!*memory) return fail(cudaErrorMemoryAllocation);
    std::memset(*memory, 0xff, std::min(padded, poisoned_bytes));
    list[*memory] = n_bytes;
    am_emulator_count(+1);
    return cudaSuccess;
}

cudaError_t give_back(std::map<void *, size_t> &list, void *memory)
{
    if (!memory) return cudaSuccess;
    const cudaError_t status = drain();
    const auto block = list.find(memory);
    if (block == list.end()) misuse("memory is given back that was never taken, or twice");
    const size_t padded = (block->second + 255) / 256 * 256;
    list.erase(block);
    if (padded >= poisoned_bytes)
        the.spare.emplace(padded, memory);
    else
        std::free(memory);
    am_emulator_count(-1);
    return status;
}

} // namespace

/* --------------------------------------------------------------------------------- for tests */

int am_emulator_due(am_fault kind)
{
    the.calls[kind]++;
    return the.due[kind] != 0 && the.calls[kind] == the.due[kind];
}
void am_emulator_fail(am_fault kind, size_t n)
{
    the.calls[kind] = 0;
    the.due[kind] = n;
    if (kind == AM_FAULT_KERNEL) the.broken = cudaSuccess;
}
size_t am_emulator_calls(am_fault kind)
{
    return the.calls[kind];
}
void am_emulator_seed(uint64_t seed)
{
    the.random = seed * 2862933555777941757u + 3037000493u;
}
void am_emulator_devices(int n)
{
    the.n_devices = n;
}
size_t am_emulator_alive(void)
{
    return the.n_alive;
}
size_t am_emulator_kernels(void)
{
    return the.n_kernels;
}
size_t am_emulator_graph_launches(void)
{
    return the.n_graphs;
}
size_t am_emulator_bodies(void)
{
    return the.n_bodies;
}
void am_emulator_count(int change)
{
    the.n_alive += (size_t)change;
}
uint64_t am_emulator_random()
{
    the.random ^= the.random << 13;
    the.random ^= the.random >> 7;
    the.random ^= the.random << 17;
    return the.random;
}

/* ------------------------------------------------------------------------------------ device */

static const struct {
    cudaError_t status;
    const char *name, *text;
} error_texts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "not permitted when stream is capturing"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capture was not ended in the same stream as it began"},
};

const char *cudaGetErrorString(cudaError_t status)
{
    for (const auto &e : error_texts)
        if (e.status == status) return e.text;
    return "unknown error";
}
const char *cudaGetErrorName(cudaError_t status)
{
    for (const auto &e : error_texts)
        if (e.status == status) return e.name;
    return "cudaErrorUnknown";
}
cudaError_t cudaGetLastError()
{
    const cudaError_t last = the.last;
    the.last = cudaSuccess;
    return last;
}
cudaError_t cudaGetDeviceCount(int *n)
{
    *n = the.n_devices > 0 ? the.n_devices : 0;
    if (the.n_devices < 0) return fail(cudaErrorInsufficientDriver);
    return the.n_devices == 0 ? fail(cudaErrorNoDevice) : cudaSuccess;
}
cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return runtime_call();
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int)
{
    std::memset(properties, 0, sizeof *properties);
    std::snprintf(properties->name, sizeof properties->name, "emulated device");
    properties->major = 9;
    properties->multiProcessorCount = 2;
    return runtime_call();
}
cudaError_t cudaDriverGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return runtime_call();
}
cudaError_t cudaDeviceSynchronize()
{
    return drain();
}

cudaError_t cudaMalloc(void **memory, size_t n_bytes)
{
    return take(the.memory, memory, n_bytes);
}
cudaError_t cudaFree(void *memory)
{
    return give_back(the.memory, memory);
}
cudaError_t cudaMallocHost(void **memory, size_t n_bytes)
{
    return take(the.pinned, memory, n_bytes);
}
cudaError_t cudaFreeHost(void *memory)
{
    return give_back(the.pinned, memory);
}
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    *total = (size_t)1 << 32;
    size_t taken = 0;
    for (const auto &block : the.memory) taken += block.second;
    *free_bytes = taken < *total ? *total - taken : 0;
    return runtime_call();
}

/* -------------------------------------------------------------------------------------- work */

void am_emulator_enqueue(cudaStream_t stream, std::function<void()> work)
{
    if (!stream) misuse("work on the default stream");
    if (!stream->recording) {
        queued q;
        q.work = std::move(work);
        stream->queue.push_back(std::move(q));
        return;
    }
    auto node = std::make_shared<am_emulated_node>();
    node->work = std::move(work);
    append(stream, std::move(node));
}

void am_emulated_launch(const char *kernel, dim3 grid, dim3 block, cudaStream_t stream,
                        std::function<void()> call)
{
    const size_t n_threads = (size_t)block.x * block.y * block.z, n_blocks = (size_t)grid.x * grid.y * grid.z;
    if (am_emulator_due(AM_FAULT_LAUNCH) || n_threads == 0 || n_threads > 1024 || n_blocks == 0 ||
        grid.y > 65535) {
        fail(cudaErrorInvalidConfiguration);
        return;
    }
    am_emulator_enqueue(stream, [=, call = std::move(call)] { run_kernel(kernel, grid, block, call); });
}

cudaError_t cudaMemset(void *memory, int value, size_t n_bytes)
{
    const cudaError_t status = runtime_call();
    if (status == cudaSuccess && drain() == cudaSuccess) std::memset(memory, value, n_bytes);
    return status;
}
cudaError_t cudaMemsetAsync(void *memory, int value, size_t n_bytes, cudaStream_t stream)
{
    const cudaError_t status = runtime_call();
    if (status == cudaSuccess) am_emulator_enqueue(stream, [=] { std::memset(memory, value, n_bytes); });
    return status;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    const void *const host = kind == cudaMemcpyHostToDevice ? from : to;
    const auto block = the.pinned.upper_bound(const_cast<void *>(host));
    if (block == the.pinned.begin()) misuse("an asynchronous copy whose host side is not pinned");
    const cudaError_t status = runtime_call();
    if (status == cudaSuccess) am_emulator_enqueue(stream, [=] { std::memcpy(to, from, n_bytes); });
    return status;
}

/* ------------------------------------------------------------------------ streams and events */

template <typename type> static cudaError_t create(type **out)
{
    *out = nullptr;
    const cudaError_t status = runtime_call();
    if (status != cudaSuccess) return status;
    *out = new type();
    am_emulator_count(+1);
    return cudaSuccess;
}
template <typename type> static cudaError_t destroy(type *object)
{
    if (!object) return fail(cudaErrorInvalidValue);
    const cudaError_t status = drain();
    delete object;
    am_emulator_count(-1);
    return status;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    const cudaError_t status = create(stream);
    if (status == cudaSuccess) the.streams.push_back(*stream);
    return status;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    const cudaError_t status = drain();
    the.streams.erase(std::remove(the.streams.begin(), the.streams.end(), stream), the.streams.end());
    const cudaError_t destroyed = destroy(stream);
    return status == cudaSuccess ? destroyed : status;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (stream && stream->recording) return fail(cudaErrorStreamCaptureUnsupported);
    const cudaError_t status = runtime_call();
    return status == cudaSuccess ? run_until([stream] { return stream->queue.empty(); }) : status;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    const cudaError_t status = runtime_call();
    if (status != cudaSuccess) return status;
    if (!event->recording) {
        if (stream->recording) misuse("a recorded stream waits for an event from outside");
        if (event->version) stream->queue.push_back({nullptr, event, event->version, true});
        return cudaSuccess;
    }
    if (std::count(the.recordings.begin(), the.recordings.end(), event->recording) == 0)
        misuse("a stream waits for an event of a recording that has ended");
    if (!stream->recording) {
        stream->recording = event->recording;
        stream->owns_recording = false;
        stream->joined = true;
    } else if (stream->recording != event->recording) {
        misuse("a stream waits for an event of another recording");
    }
    for (cudaGraphNode_t node : event->tail)
        if (std::count(stream->tail.begin(), stream->tail.end(), node) == 0) stream->tail.push_back(node);
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    return create(event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    return destroy(event);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    const cudaError_t status = runtime_call();
    if (status != cudaSuccess) return status;
    event->recording = stream->recording;
    event->tail = stream->tail;
    if (!stream->recording) stream->queue.push_back({nullptr, event, ++event->version, false});
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->recording) misuse("the host waits for an event of a recording");
    const cudaError_t status = runtime_call();
    return status == cudaSuccess ? run_until([event] { return event->reached == event->version; }) : status;
}

/* ------------------------------------------------------------------------------------ graphs */

static void begin(cudaStream_t stream, cudaGraph_t graph, bool own)
{
    if (stream->recording) misuse("a stream is recorded twice at once");
    stream->recording = graph;
    stream->owns_recording = own;
    stream->joined = false;
    stream->tail.clear();
    the.recordings.push_back(graph);
}

/* Streams drawn into this one's recording leave it; 0 when something of theirs is not followed by its end. */
static bool leave_joined(cudaStream_t origin, cudaGraph_t graph)
{
    std::vector<bool> followed(graph->nodes.size());
    std::vector<cudaGraphNode_t> open = origin->tail;
    while (!open.empty()) {
        const cudaGraphNode_t node = open.back();
        open.pop_back();
        if (followed[node->index]) continue;
        followed[node->index] = true;
        open.insert(open.end(), node->after.begin(), node->after.end());
    }
    bool all = true;
    for (cudaStream_t s : the.streams)
        if (s->joined && s->recording == graph) {
            for (cudaGraphNode_t node : s->tail) all = all && followed[node->index];
            s->recording = nullptr;
            s->joined = false;
            s->tail.clear();
        }
    return all;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    const cudaError_t status = runtime_call();
    if (status != cudaSuccess) return status;
    begin(stream, new am_emulated_graph(), true);
    am_emulator_count(+1);
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t *,
                                          const cudaGraphEdgeData *, size_t, cudaStreamCaptureMode)
{
    const cudaError_t status = runtime_call();
    if (status == cudaSuccess) begin(stream, graph, false);
    return status;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    if (!stream->recording || stream->joined) return fail(cudaErrorInvalidValue);
    *graph = stream->recording;
    const bool joined = leave_joined(stream, *graph);
    stream->recording = nullptr;
    the.recordings.erase(std::remove(the.recordings.begin(), the.recordings.end(), *graph),
                         the.recordings.end());
    cudaError_t status = runtime_call();
    if (status == cudaSuccess && !joined) status = fail(cudaErrorStreamCaptureUnjoined);
    if (status == cudaSuccess || !stream->owns_recording) return status;
    delete *graph; /* a recording that failed is nobody's */
    *graph = nullptr;
    am_emulator_count(-1);
    return status;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status)
{
    *status = stream->recording ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus *status,
                                     unsigned long long *, cudaGraph_t *graph, const cudaGraphNode_t **nodes,
                                     const cudaGraphEdgeData **, size_t *n_nodes)
{
    cudaStreamIsCapturing(stream, status);
    *graph = stream->recording;
    *nodes = stream->tail.data();
    *n_nodes = stream->tail.size();
    return stream->recording ? runtime_call() : fail(cudaErrorInvalidValue);
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t *nodes,
                                                const cudaGraphEdgeData *, size_t n_nodes, unsigned flags)
{
    if (!stream->recording || flags != cudaStreamSetCaptureDependencies) return fail(cudaErrorInvalidValue);
    stream->tail.assign(nodes, nodes + n_nodes);
    return runtime_call();
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,
                             const cudaGraphEdgeData *, size_t n_after, cudaGraphNodeParams *params)
{
    const cudaError_t status = runtime_call();
    if (status != cudaSuccess) return status;
    if (params->type != cudaGraphNodeTypeConditional || params->conditional.size != 1)
        return fail(cudaErrorInvalidValue);
    auto made = std::make_shared<am_emulated_node>();
    made->handle = params->conditional.handle;
    made->type = params->conditional.type;
    made->body = std::make_shared<am_emulated_graph>();
    made->body_address = made->body.get();
    made->after.assign(after, after + n_after);
    made->index = graph->nodes.size();
    params->conditional.phGraph_out = &made->body_address;
    *node = made.get();
    graph->nodes.push_back(std::move(made));
    return cudaSuccess;
}
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle *handle, cudaGraph_t graph,
                                             unsigned value, unsigned flags)
{
    const cudaError_t status = runtime_call();
    if (status != cudaSuccess) return status;
    *handle = the.conditions.size();
    the.conditions.push_back(condition{value, value});
    if (flags & cudaGraphCondAssignDefault) graph->handles.push_back(*handle);
    return cudaSuccess;
}
void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value)
{
    if (handle == 0 || handle >= the.conditions.size()) misuse("a condition that does not exist is set");
    the.conditions[handle].value = value;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    *exec = nullptr;
    const cudaError_t status = runtime_call();
    if (status != cudaSuccess) return status;
    *exec = new am_emulated_exec{*graph};
    am_emulator_count(+1);
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    const cudaError_t status = runtime_call();
    if (status != cudaSuccess) return status;
    the.n_graphs++;
    am_emulator_enqueue(stream, [exec] { run_graph(exec->graph); });
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    am_emulator_count(-1);
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    return destroy(exec);
}
