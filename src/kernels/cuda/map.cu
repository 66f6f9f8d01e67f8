/* Elementwise maps: every entry of AM_MAPS as kernels made from its formula. Two forms:
 *
 * flat: maps without row vectors. Elements in memory order, 16 bytes of each operand at a time, several in
 * flight.
 *
 * tile: maps with a row vector (a bias) or row sums. A thread keeps its rows and walks along columns, so the
 * row's element is loaded once and its sum never leaves a register.
 *
 * Each pass reads every input once and writes every output once; sums and the maximum come out of it
 * (reduce.h). Bytes per element: 4 (n_in + n_out); flops: the formula's, plus one addition in double per sum.
 *
 * Both forms exist with 4 and with 1 element per access (operands that are not 16-byte aligned; tiles with
 * odd row counts), and for relu and for any activation: at 20 bytes an element a large GPU has time for a
 * hundred instructions, so a switch inside the formula costs nothing that a kernel for each activation would
 * save. */
#include "kernels/cuda/reduce.h"

/* ------------------------------------------------------------------------ formulas by number */

template <int ID> struct map_of;
#define AM_MAP_OF(ID, name, uses_act_, n_in_, has_row_, n_coef_, n_out_, n_sum_, n_max_)                     \
    template <> struct map_of<AM_MAP_##ID> {                                                                 \
        static constexpr int uses_act = uses_act_, n_in = n_in_, has_row = has_row_, n_coef = n_coef_;       \
        static constexpr int n_out = n_out_, n_sum = n_sum_, n_max = n_max_;                                 \
        __device__ static inline void eval(int act, const float *x, float r, const float *c, float *y,       \
                                           float *s, float *mx)                                              \
        {                                                                                                    \
            am_map_##name(act, x, r, c, y, s, mx);                                                           \
        }                                                                                                    \
    };
AM_MAPS(AM_MAP_OF)

static constexpr int any_activation = -1; /* the kernel asks its parameters */

struct map_params {
    int act;
    const float *in[AM_MAP_MAX_IN];
    float *out[AM_MAP_MAX_OUT]; /* may be inputs, element for element */
    const float *row;
    size_t rows, cols; /* flat: rows = number of elements */
    am_slot coef[AM_MAP_MAX_COEF];
    const double *slot;
    am_grid_reduce sums;
    am_row_reduce row_sums;
};

/* What a thread gathers on its way. */
template <int ID, int V> struct gathered {
    double sum[map_of<ID>::n_sum + map_of<ID>::n_max + 1]; /* sums, then the maximum */
    double row[V];
    float c[AM_MAP_MAX_COEF];

    __device__ void start(const map_params &p)
    {
        for (double &s : sum) s = 0.0;
        for (double &s : row) s = 0.0;
        AM_UNROLL
        for (int k = 0; k < map_of<ID>::n_coef; k++) c[k] = (float)p.slot[p.coef[k]];
    }
};

template <int V> __device__ static inline void load(float *x, const float *from)
{
    if (V == 4) {
        const float4 four = *(const float4 *)from;
        x[0] = four.x, x[1 % V] = four.y, x[2 % V] = four.z, x[3 % V] = four.w;
    } else {
        x[0] = from[0];
    }
}

template <int V> __device__ static inline void store(float *to, const float *y)
{
    if (V == 4)
        *(float4 *)to = make_float4(y[0], y[1 % V], y[2 % V], y[3 % V]);
    else
        to[0] = y[0];
}

/* V elements from offset at: x holds them, r their rows' elements. */
template <int ID, int ACT, int V>
__device__ static inline void apply(const map_params &p, const float x[][V], const float *r, size_t at,
                                    gathered<ID, V> &g)
{
    using map = map_of<ID>;
    float out[AM_MAP_MAX_OUT][V];
    AM_UNROLL
    for (int i = 0; i < V; i++) {
        float xi[AM_MAP_MAX_IN], y[AM_MAP_MAX_OUT] = {0}, s[AM_MAP_MAX_SUM] = {0}, mx = 0.0f;
        AM_UNROLL
        for (int k = 0; k < map::n_in; k++) xi[k] = x[k][i];
        map::eval(ACT == any_activation ? p.act : ACT, xi, r[i], g.c, y, s, &mx);
        AM_UNROLL
        for (int k = 0; k < map::n_out; k++) out[k][i] = y[k];
        AM_UNROLL
        for (int k = 0; k < map::n_sum; k++) g.sum[k] += (double)s[k];
        if (map::n_max) g.sum[map::n_sum] = am_larger(g.sum[map::n_sum], (double)mx);
        g.row[i] += (double)y[0];
    }
    AM_UNROLL
    for (int k = 0; k < map::n_out; k++) store<V>(p.out[k] + at, out[k]);
}

/* Groups in flight before the first is used: about 64 bytes a thread where accesses are 16 bytes wide. */
template <int ID, int V>
constexpr int unroll = map_of<ID>::n_in > 3 ? 1 : (map_of<ID>::n_in > 1 || V == 1 ? 2 : 4);

/* --------------------------------------------------------------------------------- flat form */

template <int ID, int ACT, int V>
static __global__ void __launch_bounds__(am_cuda_block) map_flat(const map_params p)
{
    using map = map_of<ID>;
    constexpr int U = unroll<ID, V>;
    gathered<ID, V> g;
    g.start(p);
    const float no_row[V] = {0};
    const size_t n_groups = p.rows / V, step = (size_t)gridDim.x * blockDim.x;
    const size_t start = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    float x[U][AM_MAP_MAX_IN][V];
    size_t group = start;
    for (; group + (U - 1) * step < n_groups; group += U * step) {
        AM_UNROLL
        for (int u = 0; u < U; u++) {
            AM_UNROLL
            for (int k = 0; k < map::n_in; k++) load<V>(x[u][k], p.in[k] + (group + (size_t)u * step) * V);
        }
        AM_UNROLL
        for (int u = 0; u < U; u++) apply<ID, ACT, V>(p, x[u], no_row, (group + (size_t)u * step) * V, g);
    }
    for (; group < n_groups; group += step) {
        AM_UNROLL
        for (int k = 0; k < map::n_in; k++) load<V>(x[0][k], p.in[k] + group * V);
        apply<ID, ACT, V>(p, x[0], no_row, group * V, g);
    }
    if (V > 1 && start < p.rows - n_groups * V) { /* the last, incomplete group, an element a thread */
        gathered<ID, 1> rest;
        rest.start(p);
        float one[AM_MAP_MAX_IN][1];
        const size_t at = n_groups * V + start;
        AM_UNROLL
        for (int k = 0; k < map::n_in; k++) load<1>(one[k], p.in[k] + at);
        apply<ID, ACT, 1>(p, one, no_row, at, rest);
        AM_UNROLL
        for (int k = 0; k < map::n_sum; k++) g.sum[k] += rest.sum[k];
        if (map::n_max) g.sum[map::n_sum] = am_larger(g.sum[map::n_sum], rest.sum[map::n_sum]);
    }
    if constexpr (map::n_sum + map::n_max > 0)
        am_grid_sums<map::n_sum, map::n_max>(p.sums, g.sum, threadIdx.x, blockIdx.x, gridDim.x);
}

/* --------------------------------------------------------------------------------- tile form */

template <int ID, int ACT, int V>
static __global__ void __launch_bounds__(am_cuda_block) map_tile(const map_params p)
{
    using map = map_of<ID>;
    constexpr int U = unroll<ID, V>;
    gathered<ID, V> g;
    g.start(p);
    const size_t row = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
    const size_t step = (size_t)gridDim.y * blockDim.y;
    const int inside = row < p.rows; /* V divides rows: all of a thread's rows are in, or none */
    float r[V] = {0}, x[U][AM_MAP_MAX_IN][V];
    if (map::has_row && inside) {
        AM_UNROLL
        for (int i = 0; i < V; i++) r[i] = p.row[row + (size_t)i];
    }
    size_t col = inside ? (size_t)blockIdx.y * blockDim.y + threadIdx.y : p.cols;
    for (; col + (U - 1) * step < p.cols; col += U * step) {
        AM_UNROLL
        for (int u = 0; u < U; u++) {
            AM_UNROLL
            for (int k = 0; k < map::n_in; k++)
                load<V>(x[u][k], p.in[k] + (col + (size_t)u * step) * p.rows + row);
        }
        AM_UNROLL
        for (int u = 0; u < U; u++) apply<ID, ACT, V>(p, x[u], r, (col + (size_t)u * step) * p.rows + row, g);
    }
    for (; col < p.cols; col += step) {
        AM_UNROLL
        for (int k = 0; k < map::n_in; k++) load<V>(x[0][k], p.in[k] + col * p.rows + row);
        apply<ID, ACT, V>(p, x[0], r, col * p.rows + row, g);
    }
    if (p.row_sums.out) am_row_sums<V>(p.row_sums, g.row, row, p.rows, inside);
    if constexpr (map::n_sum + map::n_max > 0)
        am_grid_sums<map::n_sum, map::n_max>(p.sums, g.sum, threadIdx.y * blockDim.x + threadIdx.x,
                                             blockIdx.y * gridDim.x + blockIdx.x, gridDim.x * gridDim.y);
}

/* ------------------------------------------------------------------------- tables of kernels */

typedef void (*map_kernel)(map_params);
struct map_kernels {
    map_kernel flat[2], tile[2]; /* by access: 1 element, 4 elements; flat NULL for maps with a row vector */
};

template <int ID, int ACT> static map_kernels kernels_of()
{
    map_kernels k = {{nullptr, nullptr}, {map_tile<ID, any_activation, 1>, map_tile<ID, ACT, 4>}};
    if constexpr (!map_of<ID>::has_row) {
        k.flat[0] = map_flat<ID, any_activation, 1>;
        k.flat[1] = map_flat<ID, ACT, 4>;
    }
    return k;
}

template <int ID> static map_kernels pick(int act)
{
    if constexpr (map_of<ID>::uses_act)
        if (act == AM_ACT_RELU) return kernels_of<ID, AM_ACT_RELU>();
    return kernels_of<ID, any_activation>();
}

#define AM_PICK_MAP(ID, ...)                                                                                 \
    case AM_MAP_##ID: return pick<AM_MAP_##ID>(act);
static map_kernels kernels_for(am_map_id id, int act)
{
    switch (id) {
        AM_MAPS(AM_PICK_MAP)
    default: return map_kernels{{nullptr, nullptr}, {nullptr, nullptr}};
    }
}

/* ------------------------------------------------------------------------------------ launch */

static map_params params_of(const am_cuda *cu, int act, const am_map_args *args, const am_map_signature *sig,
                            int *aligned)
{
    map_params p;
    memset(&p, 0, sizeof p);
    uintptr_t bits = 0;
    for (int k = 0; k < sig->n_in; k++) {
        p.in[k] = args->in[k].data;
        bits |= (uintptr_t)p.in[k];
    }
    for (int k = 0; k < sig->n_out; k++) {
        p.out[k] = args->out[k].data;
        bits |= (uintptr_t)p.out[k];
    }
    *aligned = bits % 16 == 0;
    p.act = act;
    p.row = sig->has_row ? args->row.data : NULL;
    for (int k = 0; k < sig->n_coef; k++) p.coef[k] = args->coef[k];
    p.slot = p.sums.slot = cu->slot;
    for (int k = 0; k < sig->n_sum; k++) p.sums.out[k] = args->sum[k];
    if (sig->n_max) p.sums.out[sig->n_sum] = args->max;
    return p;
}

static void launch_flat(am_cuda *cu, const map_kernels &kernels, map_params p, int n_reduced, int aligned)
{
    const unsigned n_blocks = am_cuda_blocks(cu, p.rows, am_cuda_block * (aligned ? 4 : 1), 4);
    p.sums.partial =
        (double *)am_cuda_scratch(cu, &cu->partial, (size_t)n_blocks * (size_t)n_reduced * sizeof(double));
    p.sums.counter = am_cuda_counters(cu, 1);
    if ((n_reduced && !p.sums.partial) || !p.sums.counter) return;
    const map_kernel kernel = kernels.flat[aligned];
    AM_LAUNCH(cu, kernel, n_blocks, am_cuda_block, p);
}

static void launch_tile(am_cuda *cu, const map_kernels &kernels, map_params p, int n_reduced, int wide,
                        float *row_sum)
{
    const am_tiling t = am_cuda_tiling(cu, p.rows, p.cols, wide ? 4 : 1);
    const size_t n_row = row_sum ? (size_t)t.slices * p.rows : 0, n_blocks = (size_t)t.tiles * t.slices;
    double *partial =
        (double *)am_cuda_scratch(cu, &cu->partial, (n_row + n_blocks * (size_t)n_reduced) * sizeof(double));
    unsigned *counter = am_cuda_counters(cu, (size_t)t.tiles + 1);
    if ((n_row + n_blocks * (size_t)n_reduced && !partial) || !counter) return;
    p.row_sums.out = row_sum;
    p.row_sums.partial = partial;
    p.row_sums.counter = counter + 1;
    p.sums.partial = partial + n_row;
    p.sums.counter = counter;
    const map_kernel kernel = kernels.tile[wide];
    AM_LAUNCH(cu, kernel, dim3(t.tiles, t.slices), dim3(t.across, t.along), p);
}

void am_cuda_map(am_ctx *ctx, am_map_id id, int act, const am_map_args *args)
{
    am_cuda *cu = am_cuda_enter(ctx, "map");
    const am_map_signature *sig = am_map_signature_of(id);
    const am_mat shape = sig->n_in ? args->in[0] : args->out[0];
    const map_kernels kernels = kernels_for(id, act);
    cu->op = sig->name;
    int aligned;
    map_params p = params_of(cu, act, args, sig, &aligned);
    p.rows = shape.rows;
    p.cols = shape.cols;
    const int n_reduced = sig->n_sum + sig->n_max;
    if (sig->has_row || args->row_sum.data) {
        launch_tile(cu, kernels, p, n_reduced, aligned && p.rows % 4 == 0, args->row_sum.data);
        return;
    }
    p.rows = am_mat_len(shape);
    p.cols = 1;
    launch_flat(cu, kernels, p, n_reduced, aligned);
}
