/* The weight step in its two forms and three rules; formulas and shapes: steps.h.
 *
 * Both gradient forms read the same way: gradient at W, gradient at Wbar (from it, by linearity), curvature along it, step
 * length, trial point with the inner products that decide, and the redo from W if the guard fires. Without acceleration
 * D's place is taken by the gradient with coefficient 0. */
#include "host/train/steps.h"

am_weight_slots am_weight_slots_new(am_ctx *ctx)
{
    const am_slot first = am_slots_new(ctx, 13);
    return (am_weight_slots){.gradient2_w = first,
                             .gradient2 = first + 1,
                             .curvature = first + 2,
                             .inv_theta = first + 3,
                             .sum = {first + 4, first + 5, first + 6, first + 7},
                             .change = first + 8,
                             .fired = first + 9,
                             .step2 = first + 10,
                             .reach = first + 11,
                             .length = first + 12};
}

/* View of flat scratch memory as rows x cols. */
static am_mat shaped(am_mat flat, size_t rows, size_t cols)
{
    return (am_mat){flat.data, rows, cols};
}

static am_mat small(const am_weight_step *s, am_mat flat)
{
    return shaped(flat, s->w.rows, s->w.cols);
}
static am_mat wide(const am_weight_step *s, am_mat flat)
{
    return shaped(flat, s->w.rows, s->p.cols);
}

/* y = x0 - x1. */
static void subtract(am_ctx *ctx, const am_common_slots *common, am_mat y, am_mat x0, am_mat x1)
{
    am_map(ctx, AM_MAP_LINCOMB, 0,
           &(am_map_args){.out = {y}, .in = {x0, x1}, .coef = {common->one, common->minus_one}});
}

/* Slots of the whole step: W+ = W + reach D - length G. */
typedef struct reach {
    am_slot reach, length;
} reach;

static am_inertia inertia_of(const am_weight_step *s)
{
    const am_common_slots *common = s->common;
    return s->inertia ? *s->inertia
                      : (am_inertia){common->momentum, common->momentum, common->zero, common->zero};
}

static reach step_length(am_ctx *ctx, const am_weight_step *s, am_slot gradient2, int inertial)
{
    const am_weight_slots *slot = &s->slot;
    const am_common_slots *common = s->common;
    am_scalar(ctx, slot->inv_theta, s->rule,
              (am_slot[]){slot->curvature, gradient2, common->rho, common->mu});
    if (!inertial) return (reach){common->zero, slot->inv_theta};
    if (!s->inertia) return (reach){common->momentum, slot->inv_theta};
    am_scalar(ctx, slot->reach, AM_SCALAR_INERTIA_REACH,
              (am_slot[]){s->inertia->p1, s->inertia->p2, s->inertia->p3, common->mu, slot->inv_theta});
    am_scalar(ctx, slot->length, AM_SCALAR_INERTIA_LENGTH, (am_slot[]){s->inertia->p3, slot->inv_theta});
    return (reach){slot->reach, slot->length};
}

static void judge(am_ctx *ctx, const am_weight_step *s, void (*redo)(am_ctx *, void *))
{
    am_scalar(ctx, s->slot.fired, AM_SCALAR_NOT_DECREASED, &s->slot.change);
    am_branch(ctx, s->slot.fired, redo, (void *)s);
}

/* ---------------------------------------------------------------------------------------------- normal form */

/* W+ = W + reach D - length G over w_prev, G A in work->ga. */
static void trial_normal(am_ctx *ctx, const am_weight_step *s, am_mat g, am_slot gradient2, am_mat d,
                         am_mat da, int inertial)
{
    const am_mat ga = small(s, s->work->ga), gw = small(s, s->work->gw);
    am_gemm(ctx, ga, 1.0f, g, 0, s->gram, 0, 0.0f);
    am_map(ctx, AM_MAP_DOT, 0, &(am_map_args){.in = {ga, g}, .sum = {s->slot.curvature}});
    const reach step = step_length(ctx, s, gradient2, inertial);
    am_map(ctx, AM_MAP_TRIAL_W, 0,
           &(am_map_args){.out = {s->w_prev},
                          .in = {s->w, d, g, da, ga, gw},
                          .coef = {step.reach, step.length},
                          .sum = {s->slot.sum[0], s->slot.sum[1], s->slot.step2}});
}

static void redo_normal(am_ctx *ctx, void *arg)
{
    const am_weight_step *s = arg;
    const am_mat gw = small(s, s->work->gw), ga = small(s, s->work->ga);
    trial_normal(ctx, s, gw, s->slot.gradient2_w, gw, ga, 0);
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
                          .coef = {inertia_of(s).p2, common->rho, common->mu},
                          .sum = {s->slot.gradient2}});
    trial_normal(ctx, s, g, s->slot.gradient2, d, da, 1);
    if (!s->guard) return;
    am_scalar(ctx, s->slot.change, AM_SCALAR_CHANGE_W,
              (am_slot[]){s->slot.sum[0], s->slot.sum[1], s->slot.step2, common->rho, common->mu});
    judge(ctx, s, redo_normal);
}

/* ---------------------------------------------------------------------------------------------- sample form */

/* G = rho R a' + mu (W + p2 D) into work->g, G a into work->gx, curvature and step length. */
static reach gradient_sample(am_ctx *ctx, const am_weight_step *s, am_mat r, am_mat d, am_slot gradient2,
                             int inertial)
{
    const am_common_slots *common = s->common;
    const am_mat g = small(s, s->work->g), gx = wide(s, s->work->gx);
    am_input_correlate(ctx, g, s->rho, r, s->a, 0.0f);
    am_map(ctx, AM_MAP_GRADIENT_AHEAD, 0,
           &(am_map_args){.out = {g},
                          .in = {g, s->w, d},
                          .coef = {common->mu, common->one, inertial ? inertia_of(s).p2 : common->zero},
                          .sum = {gradient2}});
    am_input_apply(ctx, gx, 1.0f, g, s->a, 0.0f);
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {gx}, .sum = {s->slot.curvature}});
    return step_length(ctx, s, gradient2, inertial);
}

/* W+ = W + E over w_prev and p+ = p + E a over p, E = reach D - length G. */
static void trial_sample(am_ctx *ctx, const am_weight_step *s, am_mat d, am_mat dx, reach step)
{
    const am_mat g = small(s, s->work->g), gx = wide(s, s->work->gx), r = wide(s, s->work->r);
    const am_weight_slots *slot = &s->slot;
    am_map(ctx, AM_MAP_TRIAL_W_SAMPLE, 0,
           &(am_map_args){.out = {s->w_prev},
                          .in = {s->w, d, g},
                          .coef = {step.reach, step.length},
                          .sum = {slot->sum[2], slot->step2}});
    am_map(ctx, AM_MAP_TRIAL_P_SAMPLE, 0,
           &(am_map_args){.out = {s->p},
                          .in = {s->p, dx, gx, r},
                          .coef = {step.reach, step.length},
                          .sum = {slot->sum[0], slot->sum[1]}});
}

/* p already moved to the rejected point, so the redo ends by taking it from W+ afresh. */
static void redo_sample(am_ctx *ctx, void *arg)
{
    const am_weight_step *s = arg;
    const am_mat g = small(s, s->work->g), gx = wide(s, s->work->gx);
    const reach step = gradient_sample(ctx, s, wide(s, s->work->r), s->w, s->slot.gradient2_w, 0);
    trial_sample(ctx, s, g, gx, step);
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
        trial_sample(ctx, s, g, gx, gradient_sample(ctx, s, r, s->w, s->slot.gradient2, 0));
        return;
    }
    subtract(ctx, common, d, s->w, s->w_prev);
    am_input_apply(ctx, dx, 1.0f, d, s->a, 0.0f);
    am_map(
        ctx, AM_MAP_LINCOMB, 0,
        &(am_map_args){.out = {gx}, .in = {r, dx}, .coef = {common->one, inertia_of(s).p2}}); /* R at Wbar */
    trial_sample(ctx, s, d, dx, gradient_sample(ctx, s, gx, d, s->slot.gradient2, 1));
    if (!s->guard) return;
    am_scalar(
        ctx, s->slot.change, AM_SCALAR_CHANGE_W_SAMPLE,
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
    const am_mat ones = shaped(work->ones, n, 1), mean = shaped(work->mean, n, 1),
                 total = shaped(work->total, 1, 1);
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
    am_cholesky(ctx, factor, cov, 1.0, ((double)s->mu + (double)s->alpha) / (double)s->rho);
}

/* W (A_c + k I) = B_c + (alpha/rho) W_old. */
static void exact_normal(am_ctx *ctx, const am_weight_step *s, am_mat factor)
{
    const am_mat w_new = s->w_prev;
    const float centre = s->alpha / s->rho;
    if (centre > 0.0f) am_copy(ctx, w_new, s->w);
    am_input_correlate(ctx, w_new, 1.0f, s->z, s->a, centre);
    am_gemm(ctx, w_new, -1.0f / (float)s->z.cols, s->s_z, 0, s->a->sum, 1, 1.0f); /* B_c */
    am_solve_right(ctx, w_new, factor);
}

/* W = s W_old + T_c (K_c + k I)^-1 a', T = z - s W_old a, s = alpha/(mu + alpha). Rows of T_c M^-1 sum to
 * zero, so a need not be centred. */
static void exact_sample(am_ctx *ctx, const am_weight_step *s, am_mat factor)
{
    const size_t n = s->z.cols;
    const am_mat w_new = s->w_prev, t = wide(s, s->work->r), ones = shaped(s->work->ones, n, 1);
    const float keep = s->alpha > 0.0f ? s->alpha / (s->mu + s->alpha) : 0.0f;
    am_mat sum = s->s_z;
    am_copy(ctx, t, s->z);
    am_fill(ctx, ones, 1.0f);
    if (keep > 0.0f) {
        am_input_apply(ctx, t, -keep, s->w, s->a, 1.0f);
        sum = shaped(s->work->total, s->z.rows, 1);
        am_row_sum(ctx, sum, t);
        am_copy(ctx, w_new, s->w);
    }
    am_gemm(ctx, t, -1.0f / (float)n, sum, 0, ones, 1, 1.0f);
    am_solve_right(ctx, t, factor);
    am_input_correlate(ctx, w_new, 1.0f, t, s->a, keep);
}

void am_step_weight_exact(am_ctx *ctx, const am_weight_step *s, am_mat factor)
{
    if (s->form == AM_FORM_NORMAL)
        exact_normal(ctx, s, factor);
    else
        exact_sample(ctx, s, factor);
    const am_mat d = small(s, s->work->d);
    subtract(ctx, s->common, d, s->w_prev, s->w);
    am_map(ctx, AM_MAP_SUM_SQUARES, 0, &(am_map_args){.in = {d}, .sum = {s->slot.step2}});
}

/* ---------------------------------------------------------------------------------------------- forms and
 * scratch */

/* Normal pays 3 products of d_out x d_in x d_in, B (and a Gram unless the input is constant) and p; sample
 * pays D a, R a' and G a (and p unless the input is constant). */
int am_step_weight_form(const altmin_settings *settings, size_t d_in, size_t d_out, size_t n, int constant,
                        int exact)
{
    if (settings->form != AM_FORM_AUTO) return settings->form;
    const double k = (double)n, in = (double)d_in, out = (double)d_out;
    double normal, sample;
    if (exact) { /* a factor of d_in^3 or n^3 decides, unless it is constant; then the solve */
        normal = (constant ? 0.0 : in * in * (k + in / 3)) + out * in * (2 * k + 2 * in);
        sample = (constant ? 0.0 : k * k * (in + k / 3)) + out * k * (2 * in + 2 * k);
        if (constant) normal += in * in * in / 100, sample += k * k * k / 100; /* spread over a run */
    } else {
        normal = (constant ? 0.0 : in * in * k) + out * in * (4 * k + 6 * in);
        sample = out * in * k * (constant ? 6 : 8);
    }
    return normal <= sample ? AM_FORM_NORMAL : AM_FORM_SAMPLE;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

void am_weight_work_plan(am_weight_work *work, am_plan *plan, const am_net *net, const int *form, size_t n,
                         int exact)
{
    size_t weight = 0, wide_rows = 0, cov = 0;
    for (size_t l = 1; l <= net->n_layers; l++) {
        const int normal = form[l] == AM_FORM_NORMAL;
        size_t product;
        /* width x width was checked when W itself was declared */
        weight = am_size_mul(net->width[l], net->width[l - 1], &product) ? weight : max_size(weight, product);
        if (!normal) wide_rows = max_size(wide_rows, net->width[l]);
        cov = max_size(cov, normal ? net->width[l - 1] : n);
    }
    am_mat *const matrices[] = {&work->d, &work->da, &work->g, &work->ga, &work->gw};
    for (size_t i = 0; i < (exact ? 1 : 5); i++)
        am_plan_mat(plan, "scratch, weights", matrices[i], weight, 1);
    am_mat *const samples[] = {&work->r, &work->dx, &work->gx};
    for (size_t i = 0; i < (exact ? 1 : 3); i++)
        am_plan_mat(plan, "scratch, samples", samples[i], wide_rows, n);
    if (!exact) return;
    am_plan_mat(plan, "normal matrices", &work->cov, cov, cov);
    am_plan_mat(plan, "normal matrices", &work->factor, cov, am_factor_cols(cov));
    am_plan_mat(plan, "vectors", &work->ones, n, 1);
    am_plan_mat(plan, "vectors", &work->mean, n, 1);
    am_plan_mat(plan, "vectors", &work->total, am_net_max_width(net, 1), 1);
}
