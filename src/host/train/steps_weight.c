/* The weight step in its two forms and three rules; formulas and shapes: steps.h.
 *
 * Both gradient forms read the same way: gradient at W, gradient at Wbar (from it, by linearity), curvature along it, step
 * length, trial point with the inner products that decide, and the redo from W if the guard fires. Without acceleration
 * D's place is taken by the gradient with coefficient 0. */
#include "host/train/steps.h"

am_weight_slots am_weight_slots_new(am_ctx *ctx)
{
    const am_slot first = am_slots_new(ctx, 11);
    return (am_weight_slots){.gradient2_w = first,
                             .gradient2 = first + 1,
                             .curvature = first + 2,
                             .inv_theta = first + 3,
                             .sum = {first + 4, first + 5, first + 6, first + 7},
                             .change = first + 8,
                             .fired = first + 9,
                             .step2 = first + 10};
}

/* View of flat scratch memory as rows x cols. */
static am_mat shaped(am_mat flat, size_t rows, size_t cols) { return (am_mat){flat.data, rows, cols}; }

static am_mat small(const am_weight_step *s, am_mat flat) { return shaped(flat, s->w.rows, s->w.cols); }
static am_mat wide(const am_weight_step *s, am_mat flat) { return shaped(flat, s->w.rows, s->p.cols); }

/* y = x0 - x1. */
static void subtract(am_ctx *ctx, const am_common_slots *common, am_mat y, am_mat x0, am_mat x1)
{
    am_map(ctx, AM_MAP_LINCOMB, 0, &(am_map_args){.out = {y}, .in = {x0, x1}, .coef = {common->one, common->minus_one}});
}

static void step_length(am_ctx *ctx, const am_weight_step *s, am_slot gradient2)
{
    am_scalar(ctx, s->slot.inv_theta, s->rule,
              (am_slot[]){s->slot.curvature, gradient2, s->common->rho, s->common->mu});
}

static void judge(am_ctx *ctx, const am_weight_step *s, void (*redo)(am_ctx *, void *))
{
    am_scalar(ctx, s->slot.fired, AM_SCALAR_NOT_DECREASED, &s->slot.change);
    am_branch(ctx, s->slot.fired, redo, (void *)s);
}

/* ---------------------------------------------------------------------------------------------- normal form */

/* W+ = W + w D - G/theta over w_prev, G A in work->ga. */
static void trial_normal(am_ctx *ctx, const am_weight_step *s, am_mat g, am_slot gradient2, am_mat d, am_mat da,
                         am_slot momentum)
{
    const am_mat ga = small(s, s->work->ga), gw = small(s, s->work->gw);
    am_gemm(ctx, ga, 1.0f, g, 0, s->gram, 0, 0.0f);
    am_map(ctx, AM_MAP_DOT, 0, &(am_map_args){.in = {ga, g}, .sum = {s->slot.curvature}});
    step_length(ctx, s, gradient2);
    am_map(ctx, AM_MAP_TRIAL_W, 0,
           &(am_map_args){.out = {s->w_prev},
                          .in = {s->w, d, g, da, ga, gw},
                          .coef = {momentum, s->slot.inv_theta},
                          .sum = {s->slot.sum[0], s->slot.sum[1], s->slot.step2}});
}

static void redo_normal(am_ctx *ctx, void *arg)
{
    const am_weight_step *s = arg;
    const am_mat gw = small(s, s->work->gw), ga = small(s, s->work->ga);
    trial_normal(ctx, s, gw, s->slot.gradient2_w, gw, ga, s->common->zero);
}

static void gradient_step_normal(am_ctx *ctx, const am_weight_step *s)
{
    const am_common_slots *common = s->common;
    const am_mat d = small(s, s->work->d), da = small(s, s->work->da), g = small(s, s->work->g);
    const am_mat gw = small(s, s->work->gw);
    am_input_correlate(ctx, g, 1.0f, s->z, s->a, 0.0f); /* B = z a' */
    am_gemm(ctx, gw, 1.0f, s->w, 0, s->gram, 0, 0.0f);
    am_gemm(ctx, gw, 1.0f, s->b, 0, s->a->sum, 1, 1.0f);
    am_map(ctx, AM_MAP_GRADIENT_W, 0,
           &(am_map_args){.out = {gw},
                          .in = {gw, g, s->w},
                          .coef = {common->rho, common->mu},
                          .sum = {s->slot.gradient2_w}});
    if (!s->accelerate) {
        redo_normal(ctx, (void *)s);
        return;
    }
    subtract(ctx, common, d, s->w, s->w_prev);
    am_gemm(ctx, da, 1.0f, d, 0, s->gram, 0, 0.0f);
    am_map(ctx, AM_MAP_GRADIENT_AHEAD, 0,
           &(am_map_args){.out = {g},
                          .in = {gw, da, d},
                          .coef = {common->momentum, common->rho, common->mu},
                          .sum = {s->slot.gradient2}});
    trial_normal(ctx, s, g, s->slot.gradient2, d, da, common->momentum);
    if (!s->guard) return;
    am_scalar(ctx, s->slot.change, AM_SCALAR_CHANGE_W,
              (am_slot[]){s->slot.sum[0], s->slot.sum[1], s->slot.step2, common->rho, common->mu});
    judge(ctx, s, redo_normal);
}

/* ---------------------------------------------------------------------------------------------- sample form */

/* G = rho R a' + mu (W + w D) into work->g, G a into work->gx, curvature and step length. */
static void gradient_sample(am_ctx *ctx, const am_weight_step *s, am_mat r, am_mat d, am_slot momentum, am_slot gradient2)
{
    const am_common_slots *common = s->common;
    const am_mat g = small(s, s->work->g), gx = wide(s, s->work->gx);
    am_input_correlate(ctx, g, s->rho, r, s->a, 0.0f);
    am_map(ctx, AM_MAP_GRADIENT_AHEAD, 0,
           &(am_map_args){.out = {g}, .in = {g, s->w, d}, .coef = {common->mu, common->one, momentum}, .sum = {gradient2}});
    am_input_apply(ctx, gx, 1.0f, g, s->a, 0.0f);
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {gx}, .sum = {s->slot.curvature}});
    step_length(ctx, s, gradient2);
}

/* W+ = W + E over w_prev and p+ = p + E a over p, E = w D - G/theta. */
static void trial_sample(am_ctx *ctx, const am_weight_step *s, am_mat d, am_mat dx, am_slot momentum)
{
    const am_mat g = small(s, s->work->g), gx = wide(s, s->work->gx), r = wide(s, s->work->r);
    const am_weight_slots *slot = &s->slot;
    am_map(ctx, AM_MAP_TRIAL_W_SAMPLE, 0,
           &(am_map_args){.out = {s->w_prev},
                          .in = {s->w, d, g},
                          .coef = {momentum, slot->inv_theta},
                          .sum = {slot->sum[2], slot->step2}});
    am_map(ctx, AM_MAP_TRIAL_P_SAMPLE, 0,
           &(am_map_args){.out = {s->p},
                          .in = {s->p, dx, gx, r},
                          .coef = {momentum, slot->inv_theta},
                          .sum = {slot->sum[0], slot->sum[1]}});
}

/* p already moved to the rejected point, so the redo ends by taking it from W+ afresh. */
static void redo_sample(am_ctx *ctx, void *arg)
{
    const am_weight_step *s = arg;
    const am_mat g = small(s, s->work->g), gx = wide(s, s->work->gx);
    gradient_sample(ctx, s, wide(s, s->work->r), s->w, s->common->zero, s->slot.gradient2_w);
    trial_sample(ctx, s, g, gx, s->common->zero);
    am_input_apply(ctx, s->p, 1.0f, s->w_prev, s->a, 0.0f);
}

static void gradient_step_sample(am_ctx *ctx, const am_weight_step *s)
{
    const am_common_slots *common = s->common;
    const am_mat d = small(s, s->work->d), g = small(s, s->work->g);
    const am_mat r = wide(s, s->work->r), dx = wide(s, s->work->dx), gx = wide(s, s->work->gx);
    am_map(ctx, AM_MAP_RESIDUAL, 0,
           &(am_map_args){.out = {r}, .in = {s->p, s->z}, .row = s->b, .sum = {AM_NO_SLOT}});
    if (!s->accelerate) {
        gradient_sample(ctx, s, r, s->w, common->zero, s->slot.gradient2);
        trial_sample(ctx, s, g, gx, common->zero);
        return;
    }
    subtract(ctx, common, d, s->w, s->w_prev);
    am_input_apply(ctx, dx, 1.0f, d, s->a, 0.0f);
    am_map(ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {gx}, .in = {r, dx}, .coef = {common->one, common->momentum}}); /* R at Wbar */
    gradient_sample(ctx, s, gx, d, common->momentum, s->slot.gradient2);
    trial_sample(ctx, s, d, dx, common->momentum);
    if (!s->guard) return;
    am_scalar(ctx, s->slot.change, AM_SCALAR_CHANGE_W_SAMPLE,
              (am_slot[]){s->slot.sum[0], s->slot.sum[1], s->slot.sum[2], s->slot.step2, common->rho, common->mu});
    judge(ctx, s, redo_sample);
}

void am_step_weight_gradient(am_ctx *ctx, const am_weight_step *step)
{
    if (step->form == AM_FORM_NORMAL)
        gradient_step_normal(ctx, step);
    else
        gradient_step_sample(ctx, step);
}

/* ---------------------------------------------------------------------------------------------- exact steps */

void am_step_gram(am_ctx *ctx, am_mat gram, const am_input *a)
{
    if (am_input_is_sparse(a))
        am_gram_sparse(ctx, gram, &a->sparse, 0);
    else
        am_gram(ctx, gram, a->dense, 0);
}

/* K_c = (I - 11'/n) K (I - 11'/n) in place, as K - m 1' - 1 m' with m = K1/n - (1'K1) 1/(2 n^2). */
static void centre_kernel(am_ctx *ctx, const am_weight_work *work, am_mat k)
{
    const size_t n = k.rows;
    const float inv_n = 1.0f / (float)n;
    const am_mat ones = shaped(work->ones, n, 1), mean = shaped(work->mean, n, 1), total = work->total;
    am_fill(ctx, ones, 1.0f);
    am_gemm(ctx, mean, inv_n, k, 0, ones, 0, 0.0f);
    am_gemm(ctx, total, inv_n, ones, 1, mean, 0, 0.0f);
    am_gemm(ctx, mean, -0.5f, ones, 0, total, 0, 1.0f);
    am_gemm(ctx, k, -1.0f, mean, 0, ones, 1, 1.0f);
    am_gemm(ctx, k, -1.0f, ones, 0, mean, 1, 1.0f);
}

void am_step_weight_factor(am_ctx *ctx, const am_weight_step *s, am_mat factor)
{
    const size_t n = s->z.cols, d = s->form == AM_FORM_NORMAL ? s->w.cols : n;
    const am_mat cov = shaped(s->work->cov, d, d);
    const float inv_n = 1.0f / (float)n;
    if (s->form == AM_FORM_NORMAL) {
        am_copy(ctx, cov, s->gram);
        am_gemm(ctx, cov, -inv_n, s->a->sum, 0, s->a->sum, 1, 1.0f);
    } else {
        if (am_input_is_sparse(s->a))
            am_gram_sparse(ctx, cov, &s->a->sparse, 1);
        else
            am_gram(ctx, cov, s->a->dense, 1);
        centre_kernel(ctx, s->work, cov);
    }
    am_cholesky(ctx, factor, cov, 1.0, (double)s->mu / (double)s->rho);
}

void am_step_weight_exact(am_ctx *ctx, const am_weight_step *s, am_mat factor)
{
    const size_t n = s->z.cols;
    const float inv_n = 1.0f / (float)n;
    const am_mat w_new = s->w_prev;
    if (s->form == AM_FORM_NORMAL) {
        am_input_correlate(ctx, w_new, 1.0f, s->z, s->a, 0.0f);
        am_gemm(ctx, w_new, -inv_n, s->s_z, 0, s->a->sum, 1, 1.0f); /* B_c */
        am_solve_right(ctx, w_new, factor);
    } else { /* rows of z_c M^-1 sum to zero, so a need not be centred */
        const am_mat r = wide(s, s->work->r), ones = shaped(s->work->ones, n, 1);
        am_copy(ctx, r, s->z);
        am_fill(ctx, ones, 1.0f);
        am_gemm(ctx, r, -inv_n, s->s_z, 0, ones, 1, 1.0f);
        am_solve_right(ctx, r, factor);
        am_input_correlate(ctx, w_new, 1.0f, r, s->a, 0.0f);
    }
    const am_mat d = small(s, s->work->d);
    subtract(ctx, s->common, d, w_new, s->w);
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {d}, .sum = {s->slot.step2}});
}
