/* The life of a stream: what settings mean for it, slots, memory, first values; stream.h. */
#include "host/train/stream.h"

#include <math.h>
#include <stdlib.h>

#define AM_ALIGN_FLOATS    16   /* every matrix of a flat vector starts at a multiple of 64 bytes */
#define AM_LARGE_CHUNK     1000 /* two-sided from here */
#define AM_DEEP            5    /* and from this many weight layers */
#define AM_UNKNOWN_CLASSES 10   /* unit of losses before the first is known */

/* ---------------------------------------------------------------------------------------------- settings */

altmin_error am_stream_check(const char *name, const altmin_settings *settings, const am_net *net,
                             altmin_status *st)
{
    (void)net;
    if (settings->mu + settings->mu_per_sample > 0.0)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "%s has no ridge on the weights: mu and mu-per-sample must be 0; what holds its steps "
                       "back is --lam",
                       name);
    return ALTMIN_OK;
}

/* Known before memory is taken. */
static int is_sparse(const am_problem *problem)
{
    return problem->train->x.sparse.cols > 0;
}

size_t am_stream_chunk(const am_problem *problem)
{
    const altmin_settings *set = problem->settings;
    const size_t n = problem->train->n,
                 wanted = is_sparse(problem) && !am_setting_given(set, "batch") ? 0 : set->batch;
    return wanted && wanted < n ? wanted : n;
}

static altmin_error set_chunk(am_stream *s, altmin_status *st)
{
    const am_samples *train = s->problem.train;
    s->n = train->n;
    s->chunk = am_stream_chunk(&s->problem);
    s->n_chunks = (s->n + s->chunk - 1) / s->chunk;
    if (s->chunk == s->n && train->source)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "residency: all %zu samples at once (batch %zu) must be in the backend's memory; use "
                       "--residency device or a smaller --batch",
                       s->n, s->problem.settings->batch);
    if (s->chunk == s->n) return ALTMIN_OK;
    if (is_sparse(&s->problem))
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "batch %zu: sparse data are trained on as a whole; use --batch 0", s->chunk);
    if (s->n > INT32_MAX)
        return am_fail(st, ALTMIN_ERR_DATA, "%zu samples are more than can be shuffled (%d)", s->n,
                       INT32_MAX);
    s->host_order = malloc(s->n * sizeof *s->host_order);
    return s->host_order ? ALTMIN_OK
                         : am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the order of %zu samples", s->n);
}

/* Whether and how a layer's inverse is applied; a full batch has the time for exact ones. */
static am_stream_inverse inverse_of(const am_stream *s, size_t l)
{
    const size_t rank = s->problem.settings->rank, d = s->problem.net->width[l - 1];
    if (l == 1) return s->white.on ? AM_INVERSE_WHITE : AM_INVERSE_FACTOR;
    return rank && d >= 2 * rank && s->chunk < s->n ? AM_INVERSE_DEFLATE : AM_INVERSE_FACTOR;
}

/* A block adds its input to something, which must then be the input itself. */
static void resolve(am_stream *s)
{
    const altmin_settings *set = s->problem.settings;
    const am_net *net = s->problem.net;
    const size_t d = net->width[0];
    s->two_sided = set->two_sided < 0 ? s->n_layers >= AM_DEEP || s->chunk >= AM_LARGE_CHUNK : set->two_sided;
    s->thinning = set->thin > 0.0 && s->chunk < s->n && net->loss == AM_LOSS_CROSS_ENTROPY;
    s->white.on = set->whiten > 0.0 && !is_sparse(&s->problem) && am_net_kind(net, 1) != AM_LAYER_BLOCK &&
                  d <= AM_MAX_WHITE;
    s->white.k = d;
    for (size_t l = 1; l <= s->n_layers; l++) {
        s->layer[l].kind = am_net_kind(net, l);
        s->layer[l].two_sided = s->two_sided;
        s->layer[l].inverse = inverse_of(s, l);
    }
}

/* ---------------------------------------------------------------------------------------------- slots */

static void take_layer_slots(am_stream *s, size_t l)
{
    am_ctx *ctx = s->problem.ctx;
    const am_slot c = am_slots_new(ctx, 18);
    s->layer[l].slot =
        (am_stream_layer_slots){c,     c + 1,  c + 2,  c + 3,  c + 4,  c + 5,  c + 6,  c + 7,  c + 8,
                                c + 9, c + 10, c + 11, c + 12, c + 13, c + 14, c + 15, c + 16, c + 17};
    am_slot_set(ctx, s->layer[l].slot.d_in, (double)s->problem.net->width[l - 1]);
    am_slot_set(ctx, s->layer[l].slot.d_out, (double)s->problem.net->width[l]);
    am_slot_set(ctx, s->layer[l].slot.boost, pow(s->design.boost, (double)(s->n_layers - l)));
}

static void constant(am_stream *s, am_slot *slot, double value)
{
    *slot = am_slots_new(s->problem.ctx, 1);
    am_slot_set(s->problem.ctx, *slot, value);
}

static void take_constants(am_stream *s)
{
    const altmin_settings *set = s->problem.settings;
    const am_stream_design *design = &s->design;
    am_stream_slots *slot = &s->slot;
    const size_t rest = s->n % s->chunk, short_m = rest ? rest : s->chunk;
    const int full = s->chunk == s->n; /* one chunk: its Gram matrix is exact */
    constant(s, &slot->zero, 0.0);
    constant(s, &slot->one, 1.0);
    constant(s, &slot->two, 2.0);
    constant(s, &slot->half, 0.5);
    constant(s, &slot->far, 1e300);
    constant(s, &slot->beta, set->momentum);
    constant(s, &slot->fresh, 1.0 - set->momentum);
    constant(s, &slot->eta, set->eta > 0.0 ? set->eta : design->eta);
    constant(s, &slot->lam, set->lam > 0.0 ? set->lam : design->lam);
    constant(s, &slot->warm, set->warm > 0.0 ? set->warm : design->warm);
    constant(s, &slot->n_total,
             set->schedule == AM_SCHEDULE_COSINE ? am_settings_steps_of_run(set, s->n_chunks) : 0.0);
    constant(s, &slot->forget, full ? 0.0 : set->forget);
    constant(s, &slot->refresh, full ? 1.0 : (double)set->refresh);
    constant(s, &slot->inv_m, 1.0 / (double)s->chunk);
    constant(s, &slot->inv_last, 1.0 / (double)short_m);
    constant(s, &slot->n_full, (double)s->chunk);
    constant(s, &slot->n_last, (double)short_m);
    constant(s, &slot->rho_out, set->kappa > 0.0 ? 1.0 / set->kappa : 0.0);
    constant(s, &slot->over_kappa, set->kappa > 0.0 ? 1.0 / set->kappa : 0.0);
    constant(s, &slot->residual, -1.0 / (1.0 + set->kappa));
    constant(s, &slot->thin, set->thin);
    constant(s, &slot->p2, set->p2);
    constant(s, &slot->reach, (1.0 + set->p3) * set->p1);
    constant(s, &slot->length, 1.0 + set->p3);
}

/* Bounds of the capacities: (-1, first], (first, second], .. */
static void take_sizes(am_stream *s, am_slot size[AM_THIN_SIZES + 1], size_t m)
{
    constant(s, &size[0], -1.0);
    for (int i = 1; i <= AM_THIN_SIZES; i++) constant(s, &size[i], (double)am_thin_size(m, i));
}

static void take_slots(am_stream *s)
{
    am_stream_slots *slot = &s->slot;
    take_constants(s);
    take_sizes(s, slot->size, s->chunk);
    take_sizes(s, slot->size_last, s->n % s->chunk ? s->n % s->chunk : s->chunk);
    am_slot *const state[] = {
        &slot->over_samples, &slot->loss, &slot->hits,    &slot->drop,     &slot->mean_loss,
        &slot->smooth,       &slot->rate, &slot->seen,    &slot->n_good,   &slot->bad,
        &slot->good,         &slot->keep, &slot->due,     &slot->thinning, &slot->thin_now,
        &slot->n_kept,       &slot->g,    &slot->fresh_g, &slot->add_g};
    for (size_t i = 0; i < sizeof state / sizeof *state; i++) constant(s, state[i], 0.0);
    for (int i = 0; i < AM_THIN_SIZES; i++) constant(s, &slot->fits[i], 0.0);
    const size_t n_classes = s->problem.net->n_classes ? s->problem.net->n_classes : AM_UNKNOWN_CLASSES;
    constant(s, &slot->unit, log((double)n_classes));
    constant(s, &slot->scale, 1.0);
    constant(s, &slot->n_grams, 1.0);
    constant(s, &slot->age, INFINITY); /* the first chunk refreshes */
    slot->total = am_slots_new(s->problem.ctx, 3);
    slot->n_guarded = slot->total + 1, slot->n_samples = slot->total + 2;
    for (size_t l = 1; l <= s->n_layers; l++) take_layer_slots(s, l);
}

/* ---------------------------------------------------------------------------------------------- memory */

/* Offsets of [W b] in flat vectors, the first layer last: it gets narrower when the input is whitened. */
static altmin_error lay_out(am_stream *s, altmin_status *st)
{
    const size_t *width = s->problem.net->width;
    size_t at = 0, len = 0;
    for (size_t i = 2; i <= s->n_layers + 1; i++) {
        const size_t l = i <= s->n_layers ? i : 1;
        s->layer[l].at = at;
        if (am_size_mul(width[l], width[l - 1] + 1, &len) || am_size_add(at, len, &at) ||
            am_size_add(at, AM_ALIGN_FLOATS - 1, &at))
            return am_fail(st, ALTMIN_ERR_MEMORY, "the network has more weights than memory can address");
        at -= at % AM_ALIGN_FLOATS;
    }
    s->n_flat = at;
    return ALTMIN_OK;
}

static void plan_layer(am_stream *s, am_plan *plan, size_t l)
{
    am_stream_layer *layer = &s->layer[l];
    const size_t d = s->problem.net->width[l], m = s->chunk;
    static const char name[] = "a, r of a chunk";
    am_plan_mat(plan, name, &layer->full_a, d, m);
    am_plan_mat(plan, name, &layer->full_r, d, m);
    if (layer->kind == AM_LAYER_BLOCK) am_plan_mat(plan, name, &layer->full_h, d, m);
    if (s->design.keep_z && l < s->n_layers) am_plan_mat(plan, name, &layer->full_z, d, m);
    am_plan_mat(plan, "W before the pass", &layer->start, d, s->problem.net->width[l - 1]);
    am_plan_mat(plan, "W before the pass", &layer->start_b, d, 1);
    if (!s->thinning) return;
    am_plan_mat(plan, name, &layer->thin_a, d, m);
    if (layer->kind == AM_LAYER_BLOCK) am_plan_mat(plan, name, &layer->thin_h, d, m);
    if (s->design.keep_z && l < s->n_layers) am_plan_mat(plan, name, &layer->thin_z, d, m);
}

static void plan_memory(am_stream *s, am_plan *plan)
{
    const am_net *net = s->problem.net;
    am_mat *const vectors[] = {&s->theta, &s->good, &s->direction, &s->step, &s->point};
    static const char *const name[] = {"W", "good W", "directions", "directions", "W ahead"};
    for (int i = 0; i < 4 + s->design.inertial; i++) am_plan_mat(plan, name[i], vectors[i], s->n_flat, 1);
    for (size_t l = 1; l <= s->n_layers; l++) plan_layer(s, plan, l);
    am_plan_mat(plan, "vectors", &s->ones, s->chunk, 1);
    am_stream_weight_plan(s, plan);
    am_stream_input_plan(s, plan);
    if (s->chunk == s->n) return;
    am_plan_mat(plan, "samples of a chunk", &s->full_x, net->width[0], s->chunk);
    if (s->white.on && s->problem.train->source)
        am_plan_mat(plan, "samples of a chunk", &s->raw_x, net->width[0], s->chunk);
    if (s->thinning) am_plan_mat(plan, "samples of a chunk", &s->thin_x, net->width[0], s->chunk);
    if (net->loss == AM_LOSS_SQUARED)
        am_plan_mat(plan, "samples of a chunk", &s->y, net->width[s->n_layers], s->chunk);
    am_plan_raw(plan, "samples of a chunk", &s->label, s->chunk * sizeof(int32_t));
    am_plan_raw(plan, "samples of a chunk", &s->index, s->chunk * sizeof(int32_t));
    am_plan_raw(plan, "samples of a chunk", &s->kept, s->chunk * sizeof(int32_t));
    am_plan_raw(plan, "order of samples", &s->order, s->n * sizeof(int32_t));
}

/* ---------------------------------------------------------------------------------------------- life */

altmin_error am_stream_prepare(am_stream *s, const am_problem *problem, const am_stream_design *design,
                               am_plan *plan, altmin_status *st)
{
    s->problem = *problem;
    s->design = *design;
    s->n_layers = problem->net->n_layers;
    if (set_chunk(s, st)) return st->code;
    resolve(s);
    if (lay_out(s, st)) return st->code;
    if (s->white.on && am_white_take(&s->white, problem->net->width[0], st)) return st->code;
    plan_memory(s, plan);
    take_slots(s);
    return am_ctx_status(problem->ctx, st);
}

static am_mat in_flat(am_mat flat, size_t at, size_t rows, size_t cols)
{
    return (am_mat){flat.data + at, rows, cols};
}

void am_stream_view_weights(am_stream *s, size_t l, size_t d_in)
{
    am_stream_layer *layer = &s->layer[l];
    const size_t d = s->problem.net->width[l], at = layer->at;
    const am_mat point = s->design.inertial ? s->point : s->theta;
    layer->wb = in_flat(s->theta, at, d, d_in + 1);
    layer->w = in_flat(s->theta, at, d, d_in);
    layer->b = in_flat(s->theta, at + d * d_in, d, 1);
    layer->point_w = in_flat(point, at, d, d_in);
    layer->point_b = in_flat(point, at + d * d_in, d, 1);
    layer->direction = in_flat(s->direction, at, d, d_in + 1);
    layer->step = in_flat(s->step, at, d, d_in + 1);
    if (l > 1) return;
    am_mat *const vectors[] = {&s->theta, &s->good, &s->direction, &s->step, &s->point};
    for (int i = 0; i < 5; i++) vectors[i]->rows = at + d * (d_in + 1);
}

altmin_error am_stream_start(am_stream *s, float *const *w, float *const *b, altmin_status *st)
{
    am_ctx *ctx = s->problem.ctx;
    const am_mat zeroed[] = {s->theta, s->direction, s->step}; /* padding stays zero for good */
    for (int i = 0; i < 3; i++) am_fill(ctx, zeroed[i], 0.0f);
    for (size_t l = 1; l <= s->n_layers; l++) {
        am_stream_layer *layer = &s->layer[l];
        am_stream_view_weights(s, l, s->problem.net->width[l - 1]);
        if (l == 1) {
            am_stream_input_upload(s, w[l], b[l]);
        } else {
            am_upload(ctx, layer->w, w[l]);
            am_upload(ctx, layer->b, b[l]);
        }
        am_upload(ctx, layer->start, w[l]);
        am_upload(ctx, layer->start_b, b[l]);
    }
    if (am_stream_weight_start(s, st)) return st->code;
    return am_ctx_status(ctx, st);
}

void am_stream_free(am_stream *s)
{
    free(s->host_order);
    am_white_free(&s->white);
}
