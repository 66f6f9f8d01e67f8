/* Block updates of residual ADMM: which variables of which layers go into which step. The steps: host/train/steps_residual.h
 * and steps.h; the objective: radmm.h.
 *
 * Work per block and sweep that grows with n (3-split, normal form): Gram 1/2, B 1, p 1, W'r 1, the product with the inverse 1:
 * 4.5 products of d x d x n. 2-split: p, D_W, D_W a, W's, W g: 5. */
#include "host/methods/radmm.h"

am_radmm_task am_radmm_task_at(const am_radmm *m, am_ctx *ctx, size_t k, size_t l)
{
    const int now = am_radmm_now(m);
    return (am_radmm_task){.m = m,
                           .ctx = ctx,
                           .l = l,
                           .from = now,
                           .to = m->order == AM_ORDER_JACOBI ? 1 - now : now,
                           .slot = m->layer[l].first + (am_slot)(k * AM_RADMM_N_SLOTS),
                           .work = &m->work[am_radmm_work_of(m->order, l)]};
}

static const am_radmm_layer *layer_of(const am_radmm_task *t)
{
    return &t->m->layer[t->l];
}

static am_input input_of(const am_radmm_task *t)
{
    if (t->l == 1) return t->m->first;
    const am_radmm_layer *below = &t->m->layer[t->l - 1];
    return (am_input){.dense = below->a[t->from], .sum = below->s_a[t->from]};
}

/* Blocks whose z is m, moved by gradient steps. */
static int is_linear(const am_radmm *m, const am_radmm_layer *layer)
{
    return m->split == 2 && layer->kind == AM_LAYER_BLOCK;
}

static am_slot step2_of(const am_radmm_task *t, am_block block)
{
    return t->slot + AM_RADMM_STEP2 + (am_slot)block;
}

/* ---------------------------------------------------------------------------------------------- weights */

void am_radmm_product(const am_radmm_task *t)
{
    const am_radmm_layer *layer = layer_of(t);
    const am_input a = input_of(t);
    const am_mat p = is_linear(t->m, layer) ? layer->z[t->to] : layer->p[t->to];
    am_input_apply(t->ctx, p, 1.0f, layer->w[t->to], &a, 0.0f);
    if (is_linear(t->m, layer))
        am_map(t->ctx, AM_MAP_ADD_ROW, 0, &(am_map_args){.out = {p}, .in = {p}, .row = layer->b[t->to]});
}

static void weights_linear(const am_radmm_task *t)
{
    const am_radmm *m = t->m;
    const am_radmm_layer *layer = layer_of(t);
    const am_radmm_work *work = t->work;
    const am_mat w = layer->w[t->from];
    const am_input a = input_of(t);
    am_step_skip_w_linear(t->ctx, &(am_skip_w){.act = m->problem.net->act,
                                               .nu = (float)m->problem.settings->nu,
                                               .w = w,
                                               .w_to = layer->w[t->to],
                                               .b = layer->b[t->from],
                                               .b_to = layer->b[t->to],
                                               .a = layer->a[t->from],
                                               .z = layer->z[t->from],
                                               .z_to = layer->z[t->to],
                                               .a_prev = &a,
                                               .slope = {work->t.data, m->d, m->n},
                                               .q = work->g,
                                               .gradient = {work->w_new.data, w.rows, w.cols},
                                               .gradient_b = {work->small.data, w.rows, 1},
                                               .common = &m->common,
                                               .constant = m->trial,
                                               .trial = layer->trial_w,
                                               .step2_w = step2_of(t, AM_BLOCK_W),
                                               .step2_b = step2_of(t, AM_BLOCK_B)});
}

/* What m_l is drawn to, with its row sums. */
static am_mat target_of(const am_radmm_task *t, am_mat *sum)
{
    const am_radmm_layer *layer = layer_of(t);
    switch (layer->kind) {
    case AM_LAYER_INPUT: *sum = layer->s_a[t->from]; return layer->a[t->from];
    case AM_LAYER_OUTPUT: *sum = t->m->s_target; return t->m->target;
    default: *sum = layer->s_z[t->from]; return layer->z[t->from];
    }
}

static void weights_exact(const am_radmm_task *t)
{
    const am_radmm *m = t->m;
    const am_radmm_layer *layer = layer_of(t);
    const altmin_settings *set = m->problem.settings;
    const am_radmm_work *work = t->work;
    const am_mat w = layer->w[t->from], w_new = {work->w_new.data, w.rows, w.cols};
    const am_input a = input_of(t);
    const size_t size = layer->form == AM_FORM_NORMAL ? w.cols : m->n;
    const am_mat factor =
        t->l == 1 ? m->factor_1 : (am_mat){work->weight.factor.data, size, am_factor_cols(size)};
    am_mat s_target;
    const am_mat target = target_of(t, &s_target);
    const am_weight_step step = {.form = layer->form,
                                 .rho = 1.0f,
                                 .mu = (float)(set->mu / layer->penalty),
                                 .alpha = (float)(set->prox_w / layer->penalty),
                                 .w = w,
                                 .w_prev = w_new,
                                 .b = layer->b[t->from],
                                 .z = target,
                                 .p = layer->p[t->to],
                                 .s_z = s_target,
                                 .a = &a,
                                 .gram = t->l == 1 ? m->gram_1 : work->gram,
                                 .work = t->l == 1 ? &m->work_1 : &work->weight,
                                 .common = &m->common,
                                 .slot = {.step2 = step2_of(t, AM_BLOCK_W)}};
    if (t->l > 1 && layer->form == AM_FORM_NORMAL) am_step_gram(t->ctx, work->gram, &a);
    if (t->l > 1) am_step_weight_factor(t->ctx, &step, factor);
    am_step_weight_exact(t->ctx, &step, factor);
    am_copy(t->ctx, layer->w[t->to], w_new);
    if (t->to != t->from) am_copy(t->ctx, layer->b[t->to], layer->b[t->from]);
    am_step_bias(t->ctx, layer->b[t->to], w_new, a.sum, s_target, (am_mat){work->small.data, w.rows, 1},
                 &m->common, step2_of(t, AM_BLOCK_B));
}

void am_radmm_weights(const am_radmm_task *t)
{
    const am_radmm_layer *layer = layer_of(t);
    am_label(t->ctx, "layer %zu, block W", t->l);
    if (is_linear(t->m, layer))
        weights_linear(t);
    else
        weights_exact(t);
    am_map(t->ctx, AM_MAP_SUM_SQUARES, 0,
           &(am_map_args){.in = {layer->w[t->to]}, .sum = {t->slot + AM_RADMM_WEIGHT2}});
}

/* ---------------------------------------------------------------------------------------------- auxiliaries */

/* Z <- argmin c R(Z) + beta/2 ||Z - (m - v)||^2. */
static void z_of_head(const am_radmm_task *t)
{
    const am_radmm *m = t->m;
    const am_radmm_layer *head = layer_of(t);
    const am_mat centre = {t->work->t.data, head->z[0].rows, m->n};
    am_common_slots common = m->common;
    common.rho = m->rho_out;
    if (t->to != t->from) am_copy(t->ctx, head->z[t->to], head->z[t->from]);
    am_map(t->ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){
               .out = {centre}, .in = {head->p[t->to], m->v}, .coef = {common.one, common.minus_one}});
    am_step_output(t->ctx, m->problem.net->loss, head->z[t->to], centre, head->b[t->to], m->problem.train,
                   head->s_z[t->to], &common,
                   (am_output_slots){t->slot + AM_RADMM_LOSS, AM_NO_SLOT, step2_of(t, AM_BLOCK_Z)});
}

void am_radmm_z(const am_radmm_task *t)
{
    const am_radmm *m = t->m;
    const am_radmm_layer *layer = layer_of(t);
    am_label(t->ctx, "layer %zu, block z", t->l);
    if (layer->kind == AM_LAYER_OUTPUT) {
        z_of_head(t);
        return;
    }
    am_step_skip_z(t->ctx, &(am_skip_z){.from = layer->z[t->from],
                                        .to = layer->z[t->to],
                                        .s_z = layer->s_z[t->to],
                                        .p = layer->p[t->to],
                                        .b = layer->b[t->to],
                                        .a = layer->a[t->from],
                                        .a_prev = input_of(t).dense,
                                        .ratio = m->ratio,
                                        .keep = m->keep,
                                        .residual2 = t->slot + AM_RADMM_RESIDUAL2,
                                        .step2 = step2_of(t, AM_BLOCK_Z)});
}

static am_skip_above above_of(const am_radmm_task *t)
{
    const am_radmm_layer *next = layer_of(t) + 1;
    const int is_head = next->kind == AM_LAYER_OUTPUT;
    return (am_skip_above){.is_head = is_head,
                           .penalty = next->penalty,
                           .w = next->w[t->from],
                           .b = next->b[t->from],
                           .p = next->p[t->from],
                           .target = is_head ? t->m->target : next->z[t->from],
                           .a = next->a[t->from],
                           .z = next->z[t->from]};
}

static am_skip_below below_of(const am_radmm_task *t)
{
    const am_radmm_layer *layer = layer_of(t);
    if (layer->kind == AM_LAYER_INPUT)
        return (am_skip_below){
            .is_input = 1, .penalty = layer->penalty, .p = layer->p[t->to], .b = layer->b[t->to]};
    return (am_skip_below){
        .penalty = t->m->problem.settings->nu, .a_prev = input_of(t).dense, .z = layer->z[t->to]};
}

void am_radmm_a(const am_radmm_task *t)
{
    const am_radmm *m = t->m;
    const am_radmm_layer *layer = layer_of(t);
    const am_radmm_work *work = t->work;
    const int is_input = layer->kind == AM_LAYER_INPUT;
    am_label(t->ctx, "layer %zu, block a", t->l);
    const am_skip_above above = above_of(t);
    const am_skip_a step = {.act = m->problem.net->act,
                            .below = below_of(t),
                            .above = above,
                            .nu = m->problem.settings->nu,
                            .prox = m->problem.settings->prox_a,
                            .below_slot = is_input ? m->rho : m->nu,
                            .nu_slot = m->nu,
                            .ratio_slot = is_input ? m->rho_by_nu : m->common.one,
                            .from = layer->a[t->from],
                            .to = layer->a[t->to],
                            .s_a = layer->s_a[t->to],
                            .t = {work->t.data, above.w.rows, m->n},
                            .g = work->g,
                            .d = work->d,
                            .gram = work->gram,
                            .factor = work->factor,
                            .inverse = work->inverse,
                            .identity = m->identity,
                            .zero = m->zero,
                            .common = &m->common,
                            .step2 = step2_of(t, AM_BLOCK_A),
                            .gap2 = t->slot + (is_input ? AM_RADMM_RESIDUAL2 : AM_RADMM_GAP2),
                            .box = t->slot + AM_RADMM_BOX};
    if (m->split == 2 && !above.is_head)
        am_step_skip_a_linear(t->ctx, &step, &m->trial, &layer->trial_a);
    else
        am_step_skip_a_exact(t->ctx, &step);
}

void am_radmm_dual(const am_radmm_task *t)
{
    const am_radmm *m = t->m;
    const am_radmm_layer *head = layer_of(t);
    am_label(t->ctx, "layer %zu, multiplier", t->l);
    am_map(t->ctx, AM_MAP_DUAL, 0,
           &(am_map_args){.out = {m->v, m->target},
                          .in = {head->z[t->to], head->p[t->to], m->v},
                          .row = head->b[t->to],
                          .sum = {t->slot + AM_RADMM_RESIDUAL2, t->slot + AM_RADMM_GAP2}});
    am_row_sum(t->ctx, m->s_target, m->target);
}

void am_radmm_layer_sweep(const am_radmm_task *t)
{
    const am_radmm_layer *layer = layer_of(t);
    const int linear = is_linear(t->m, layer);
    if (linear) am_radmm_product(t); /* a_{l-1} moved since z_l = m_l was formed */
    am_radmm_weights(t);
    if (!linear) am_radmm_product(t);
    if (!linear && layer->kind != AM_LAYER_INPUT) am_radmm_z(t);
    if (layer->kind == AM_LAYER_OUTPUT)
        am_radmm_dual(t);
    else
        am_radmm_a(t);
}

/* ---------------------------------------------------------------------------------------------- lift */

/* Z = m_L, v = -(c/beta) R'(Z), target = Z + v. */
static void lift_head(const am_radmm_task *t)
{
    const am_radmm *m = t->m;
    const am_problem *problem = &m->problem;
    const am_radmm_layer *head = layer_of(t);
    const double scale = -problem->settings->loss_weight / problem->settings->beta;
    am_map(t->ctx, AM_MAP_ADD_ROW, 0,
           &(am_map_args){.out = {head->z[t->from]},
                          .in = {head->p[t->to]},
                          .row = head->b[t->from],
                          .row_sum = head->s_z[t->from]});
    if (problem->net->loss == AM_LOSS_CROSS_ENTROPY)
        am_softmax_residual(t->ctx, AM_NO_SLOT, AM_NO_SLOT, m->v, head->p[t->to], head->b[t->from],
                            problem->train->label, (float)scale);
    else
        am_map(t->ctx, AM_MAP_OUTPUT_GRADIENT, 0,
               &(am_map_args){.out = {m->v},
                              .in = {head->p[t->to], problem->train->target},
                              .row = head->b[t->from],
                              .coef = {m->lift_scale},
                              .sum = {AM_NO_SLOT}});
    am_map(t->ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {m->target},
                          .in = {head->z[t->from], m->v},
                          .coef = {m->common.one, m->common.one},
                          .row_sum = m->s_target});
}

static void lift_hidden(const am_radmm_task *t)
{
    const am_radmm *m = t->m;
    const am_radmm_layer *layer = layer_of(t);
    const am_mat a = layer->a[t->from], z = layer->z[t->from], b = layer->b[t->from];
    if (layer->kind == AM_LAYER_INPUT) {
        am_map(t->ctx, AM_MAP_ADD_ROW, 0,
               &(am_map_args){.out = {a}, .in = {layer->p[t->to]}, .row = b, .row_sum = layer->s_a[t->from]});
        return;
    }
    if (!is_linear(m, layer))
        am_map(t->ctx, AM_MAP_ADD_ROW, 0,
               &(am_map_args){.out = {z}, .in = {layer->p[t->to]}, .row = b, .row_sum = layer->s_z[t->from]});
    am_map(t->ctx, AM_MAP_RESIDUAL_BLOCK, m->problem.net->act,
           &(am_map_args){
               .out = {a}, .in = {z, input_of(t).dense}, .row = m->zero, .row_sum = layer->s_a[t->from]});
}

void am_radmm_lift(const am_radmm *m)
{
    for (size_t l = 1; l <= m->n_layers; l++) {
        am_radmm_task t = am_radmm_task_at(m, m->problem.ctx, 0, l);
        t.to = t.from;
        am_label(t.ctx, "layer %zu, lift", l);
        am_radmm_product(&t);
        if (l < m->n_layers)
            lift_hidden(&t);
        else
            lift_head(&t);
    }
}
