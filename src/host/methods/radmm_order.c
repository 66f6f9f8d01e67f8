/* The orders of residual ADMM. A layer's part of a sweep is a task; in the serial order task (k, l) of sweep k and layer l reads
 * what (k, l - 1) and (k - 1, l + 1) left behind and nothing newer.
 *
 * Wavefront: task (k, l) runs in time slot 2 k + l. Tasks of one slot are two layers and one sweep apart, so they touch no
 * variable that another one writes, and every task finds what it finds in the serial order: the same bits. A window of K sweeps
 * takes 2 (K - 1) + L slots instead of K L tasks in turn.
 * Jacobi: all layers at once, each in the order of a serial sweep, its own variables from the old places to the new ones, its
 * neighbours at the old ones; then the multiplier and what mixes new variables of several layers. */
#include "host/methods/radmm.h"

int am_radmm_now(const am_radmm *m)
{
    return m->order == AM_ORDER_JACOBI ? (int)(m->n_sweeps & 1) : 0;
}

size_t am_radmm_n_work(am_order order, size_t n_layers)
{
    return am_radmm_work_of(order, n_layers) + 1;
}

size_t am_radmm_work_of(am_order order, size_t l)
{
    return order == AM_ORDER_SERIAL ? 0 : order == AM_ORDER_WAVEFRONT ? l / 2 : l - 1;
}

static void serial(am_radmm *m)
{
    for (size_t k = 0; k < m->n_window; k++)
        for (size_t l = 1; l <= m->n_layers; l++) {
            const am_radmm_task t = am_radmm_task_at(m, m->problem.ctx, k, l);
            am_radmm_layer_sweep(&t);
        }
}

/* ---------------------------------------------------------------------------------------------- wavefront */

/* Tasks of time slot s: sweeps k_first.. with layer s - 2 k. */
typedef struct front {
    const am_radmm *m;
    size_t s, k_first;
} front;

static void front_task(am_ctx *lane, size_t i, void *arg)
{
    const front *f = arg;
    const size_t k = f->k_first + i;
    const am_radmm_task t = am_radmm_task_at(f->m, lane, k, f->s - 2 * k);
    am_radmm_layer_sweep(&t);
}

static void wavefront(am_radmm *m)
{
    const size_t n_layers = m->n_layers, last = m->n_window - 1;
    for (size_t s = 1; s <= 2 * last + n_layers; s++) {
        const size_t k_first = s > n_layers ? (s - n_layers + 1) / 2 : 0; /* layer s - 2 k at most L */
        const size_t k_last = (s - 1) / 2 < last ? (s - 1) / 2 : last;    /* and at least 1 */
        front f = {m, s, k_first};
        if (k_first <= k_last) am_lanes(m->problem.ctx, k_last - k_first + 1, front_task, &f);
    }
}

/* ---------------------------------------------------------------------------------------------- jacobi */

static void jacobi_task(am_ctx *lane, size_t i, void *arg)
{
    const am_radmm *m = arg;
    const am_radmm_task t = am_radmm_task_at(m, lane, 0, i + 1);
    const am_layer_kind kind = m->layer[t.l].kind;
    const int linear = m->split == 2 && kind == AM_LAYER_BLOCK;
    am_radmm_weights(&t);
    if (!linear) am_radmm_product(&t);
    if (!linear && kind != AM_LAYER_INPUT) am_radmm_z(&t);
    if (kind != AM_LAYER_OUTPUT) am_radmm_a(&t);
}

/* The products and terms of the objective that mix new variables of several layers. */
static void settle_task(am_ctx *lane, size_t i, void *arg)
{
    const am_radmm *m = arg;
    am_radmm_task t = am_radmm_task_at(m, lane, 0, i + 1);
    const am_radmm_layer *layer = &m->layer[t.l], *below = layer - 1;
    t.from = t.to;
    am_radmm_product(&t);
    if (layer->kind == AM_LAYER_OUTPUT) {
        am_radmm_dual(&t);
        return;
    }
    const int is_input = layer->kind == AM_LAYER_INPUT;
    if (is_input || m->split == 3)
        am_map(lane, AM_MAP_SQUARED_ERROR, 0,
               &(am_map_args){.in = {layer->p[t.to], is_input ? layer->a[t.to] : layer->z[t.to]},
                              .row = layer->b[t.to],
                              .sum = {t.slot + AM_RADMM_RESIDUAL2}});
    if (!is_input)
        am_map(
            lane, AM_MAP_SKIP_GAP, m->problem.net->act,
            &(am_map_args){.in = {layer->a[t.to], t.l == 1 ? m->first.dense : below->a[t.to], layer->z[t.to]},
                           .sum = {t.slot + AM_RADMM_GAP2},
                           .max = t.slot + AM_RADMM_BOX});
}

static void jacobi(am_radmm *m)
{
    am_lanes(m->problem.ctx, m->n_layers, jacobi_task, m);
    am_lanes(m->problem.ctx, m->n_layers, settle_task, m);
}

void am_radmm_issue(am_radmm *m)
{
    switch (m->order) {
    case AM_ORDER_SERIAL: serial(m); break;
    case AM_ORDER_WAVEFRONT: wavefront(m); break;
    case AM_ORDER_JACOBI: jacobi(m); break;
    }
}
