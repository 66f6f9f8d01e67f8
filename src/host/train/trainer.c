/* Preparing a run: resolve settings against the data, split, fit the scaler, open the backend, plan and take memory,
 * upload, initialise. Nothing here repeats per sweep. */
#include "host/train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/train/rng.h"

/* ---------------------------------------------------------------------------------------------- resolving */

static altmin_error check_sweeps(const altmin_trainer *t, altmin_status *st)
{
    const double sweeps = t->settings->sweeps;
    if (t->method->parts || sweeps == floor(sweeps)) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_USAGE, "sweeps %g: method %s does whole sweeps only; give a whole number",
                   sweeps, t->method->name);
}

static altmin_error check_data(const altmin_data *train, const altmin_data *test, altmin_status *st)
{
    if (!train->label && !train->target)
        return am_fail(st, ALTMIN_ERR_DATA, "%s has neither labels nor targets: nothing to train on",
                       train->source);
    if (train->n_classes == 1)
        return am_fail(st, ALTMIN_ERR_DATA, "%s has one class only ('%s'): nothing to tell apart",
                       train->source, train->class_name[0]);
    if (!test) return ALTMIN_OK;
    if (test->n_features != train->n_features)
        return am_fail(st, ALTMIN_ERR_DATA, "%s has %zu features but the training data have %zu",
                       test->source, test->n_features, train->n_features);
    if (!!test->label != !!train->label || test->n_targets != train->n_targets)
        return am_fail(st, ALTMIN_ERR_DATA, "%s is not labelled as the training data are", test->source);
    if (test->n_classes > train->n_classes)
        return am_fail(st, ALTMIN_ERR_DATA, "%s has %zu classes but the training data have %zu", test->source,
                       test->n_classes, train->n_classes);
    for (size_t i = 0; i < test->n_classes; i++)
        if (strcmp(test->class_name[i], train->class_name[i]) != 0)
            return am_fail(st, ALTMIN_ERR_DATA, "%s: class %zu is '%s' but '%s' in the training data",
                           test->source, i, test->class_name[i], train->class_name[i]);
    return ALTMIN_OK;
}

/* "sgd, adam": the methods that train `arch`. */
static void list_methods(am_arch arch, char *text, size_t room)
{
    const char *const *name = am_method_names();
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; name[i] && used < room; i++) {
        if (!(am_method_at(i)->archs & AM_TRAINS(arch))) continue;
        const int n = snprintf(text + used, room - used, "%s%s", used ? ", " : "", name[i]);
        if (n > 0) used += (size_t)n;
    }
}

static altmin_error check_arch(const am_method *method, am_arch arch, altmin_status *st)
{
    static const char *const what[] = {"plain networks", "residual networks"};
    const am_arch other = arch == AM_ARCH_MLP ? AM_ARCH_RESNET : AM_ARCH_MLP;
    char others[128];
    if (method->archs & AM_TRAINS(arch)) return ALTMIN_OK;
    list_methods(arch, others, sizeof others);
    return am_fail(st, ALTMIN_ERR_USAGE,
                   "method %s trains %s only (--arch %s); %s (--arch %s) need another --method: %s",
                   method->name, what[other], am_arch_name(other), what[arch], am_arch_name(arch), others);
}

/* Widths of all layers. The blocks of a residual network take what they give, so data of another width need a linear
 * input map before them: one more layer than --hidden counts. */
static altmin_error resolve_widths(altmin_trainer *t, const altmin_data *train, altmin_status *st)
{
    const am_widths *hidden = &t->settings->hidden;
    am_net *net = &t->net;
    const int resnet = net->arch == AM_ARCH_RESNET;
    if (resnet && !hidden->n)
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "arch resnet needs at least one residual block, but hidden is none; give --hidden like "
            "16x50, or --arch mlp for a linear model");
    const size_t map = resnet && hidden->width[0] != train->n_features;
    if (hidden->n + map > AM_MAX_HIDDEN)
        return am_fail(
            st, ALTMIN_ERR_USAGE,
            "hidden: %zu residual blocks and the input map from %zu features to width %zu are more "
            "than %d hidden layers",
            hidden->n, train->n_features, hidden->width[0], AM_MAX_HIDDEN);
    net->n_layers = hidden->n + map + 1;
    net->width[0] = train->n_features;
    if (map) net->width[1] = hidden->width[0];
    memcpy(net->width + 1 + map, hidden->width, hidden->n * sizeof net->width[0]);
    net->width[net->n_layers] = train->label ? train->n_classes : train->n_targets;
    const size_t l = am_net_misfit(net);
    if (l)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "arch resnet: all blocks have one width, but hidden has %zu after %zu; give --hidden "
                       "like %zux%zu",
                       net->width[l], net->width[l - 1], hidden->n, hidden->width[0]);
    return ALTMIN_OK;
}

static altmin_error resolve_net(altmin_trainer *t, const altmin_data *train, altmin_status *st)
{
    const altmin_settings *set = t->settings;
    am_net *net = &t->net;
    net->arch = (am_arch)set->arch;
    if (check_arch(t->method, net->arch, st) || resolve_widths(t, train, st)) return st->code;
    net->n_classes = train->n_classes;
    net->act = set->activation;
    net->loss = (am_loss)set->loss;
    if (net->loss == AM_LOSS_AUTO) net->loss = train->label ? AM_LOSS_CROSS_ENTROPY : AM_LOSS_SQUARED;
    if (net->loss == AM_LOSS_CROSS_ENTROPY && !train->label)
        return am_fail(st, ALTMIN_ERR_USAGE,
                       "loss cross-entropy needs class labels, but %s has regression targets; use "
                       "--loss squared",
                       train->source);
    size_t total = 0;
    for (size_t l = 1; l <= net->n_layers; l++) {
        size_t n;
        if (am_size_mul(net->width[l], net->width[l - 1], &n) || am_size_add(total, n, &total))
            return am_fail(st, ALTMIN_ERR_USAGE, "layer %zu: %zu x %zu weights overflow", l, net->width[l],
                           net->width[l - 1]);
    }
    if (set->subgradient && !t->method->subgradient)
        return am_fail(st, ALTMIN_ERR_USAGE, "method %s gives no subgradient; leave --subgradient out",
                       t->method->name);
    return t->method->check(set, net, st);
}

static altmin_error split(altmin_trainer *t, const altmin_data *train, altmin_status *st)
{
    const altmin_settings *set = t->settings;
    t->part_train = (am_part){train, NULL, train->n_samples};
    if (set->valid_fraction <= 0.0) {
        if (set->patience)
            return am_fail(st, ALTMIN_ERR_USAGE, "patience %zu needs validation data: set --valid above 0",
                           set->patience);
        return ALTMIN_OK;
    }
    size_t n_train, n_valid;
    if (am_data_split(train, set->valid_fraction, set->seed, &t->train_index, &n_train, &t->valid_index,
                      &n_valid, st))
        return st->code;
    t->part_train = (am_part){train, t->train_index, n_train};
    t->part_valid = (am_part){train, t->valid_index, n_valid};
    return ALTMIN_OK;
}

/* The scaler sees training samples only. */
static altmin_error fit_scaler(altmin_trainer *t, altmin_status *st)
{
    const am_scaling kind = (am_scaling)t->settings->scaling;
    if (!t->part_train.index) return am_scaler_fit(&t->scaler, kind, t->part_train.data, st);
    altmin_data *subset;
    if (am_data_subset(&subset, t->part_train.data, t->part_train.index, t->part_train.n, st))
        return st->code;
    const altmin_error error = am_scaler_fit(&t->scaler, kind, subset, st);
    altmin_data_free(subset);
    return error;
}

/* ---------------------------------------------------------------------------------------------- planning */

/* auto: floats on the device when they take no more than half of its memory, else bytes when these do, else the host. */
static am_residency residency_that_fits(const altmin_trainer *t)
{
    const altmin_data *train = t->part_train.data, *test = t->part_test.data;
    const size_t n = train->n_samples + (test ? test->n_samples : 0),
                 room = t->ctx->ops->free_bytes(t->ctx) / 2;
    const int all_bytes = train->storage == AM_STORE_U8 && (!test || test->storage == AM_STORE_U8);
    size_t n_bytes = 0;
    if (train->storage == AM_STORE_SPARSE || !t->method->gathers) return AM_RESIDENCY_DEVICE;
    const int overflows = am_size_mul(n, train->n_features, &n_bytes);
    if (!overflows && n_bytes <= room / sizeof(float)) return AM_RESIDENCY_DEVICE;
    return !overflows && all_bytes && n_bytes <= room ? AM_RESIDENCY_BYTES : AM_RESIDENCY_HOST;
}

static altmin_error resolve_residency(altmin_trainer *t, altmin_status *st)
{
    int *residency = &t->settings->residency;
    if (*residency == AM_RESIDENCY_AUTO) *residency = (int)residency_that_fits(t);
    if (*residency == AM_RESIDENCY_DEVICE || t->method->gathers) return ALTMIN_OK;
    return am_fail(
        st, ALTMIN_ERR_USAGE,
        "residency: method %s works on all samples at once and needs them in the backend's memory; use "
        "--residency device, or --method fcam, which goes in chunks",
        t->method->name);
}

static altmin_error plan_all(altmin_trainer *t, altmin_status *st)
{
    am_plan *plan = t->plan;
    size_t most = t->part_train.n;
    const am_residency residency = (am_residency)t->settings->residency;
    am_plan_note(plan, "data as read", am_data_bytes(t->part_train.data));
    if (am_samples_plan(&t->train, &t->part_train, &t->net, residency, plan, "training data", st))
        return st->code;
    if (t->part_valid.n &&
        am_samples_plan(&t->valid, &t->part_valid, &t->net, residency, plan, "validation data", st))
        return st->code;
    if (t->part_test.n) {
        am_plan_note(plan, "data as read", am_data_bytes(t->part_test.data));
        if (am_samples_plan(&t->test, &t->part_test, &t->net, residency, plan, "test data", st))
            return st->code;
    }
    if (t->part_valid.n > most) most = t->part_valid.n;
    if (t->part_test.n > most) most = t->part_test.n;
    am_evaluator_plan(&t->evaluator, t->ctx, &t->net, most, residency != AM_RESIDENCY_DEVICE, plan);
    t->settings->mu += t->settings->mu_per_sample * (double)t->part_train.n;
    t->settings->mu_per_sample =
        0.0; /* resolved: a log or model that is used as a config says what was done */
    const am_problem problem = {t->ctx, t->settings, &t->net, &t->train};
    return t->method->prepare(&t->state, &problem, plan, st);
}

/* progress: who is told; the bytes are counted here. */
static altmin_error upload_all(altmin_trainer *t, am_progress progress, altmin_status *st)
{
    const struct {
        am_samples *samples;
        const am_part *part;
    } parts[] = {{&t->train, &t->part_train}, {&t->valid, &t->part_valid}, {&t->test, &t->part_test}};
    for (size_t i = 0; i < 3; i++)
        if (parts[i].part->n) progress.n_total += am_samples_bytes(parts[i].samples, parts[i].part);
    am_progress_add(&progress, 0);
    am_label(t->ctx, "upload of the data");
    for (size_t i = 0; i < 3; i++)
        if (parts[i].part->n &&
            am_samples_upload(parts[i].samples, t->ctx, parts[i].part, &t->scaler, &progress, st))
            return st->code;
    return ALTMIN_OK;
}

/* ---------------------------------------------------------------------------------------------- weights */

/* Deviation of He's initial weights: with variance 2/d_in a layer keeps the size of its input, the 2 for the half that
 * ReLU cuts off; a linear input map cuts nothing off. A residual block adds a branch of that size to its input, and more
 * than as noise, for means of ReLU are positive: a grows by a factor 1 + c each block, 1e7 in 32 of them. Divided by the
 * number of blocks n it grows by (1 + c/n)^n, below e^c at any depth: 1.2 in 32 blocks (by sqrt(n): 13). */
static double he_deviation(const am_net *net, size_t l)
{
    const double d_in = (double)net->width[l - 1];
    const am_layer_kind kind = am_net_kind(net, l);
    if (kind == AM_LAYER_INPUT) return sqrt(1.0 / d_in);
    return sqrt(2.0 / d_in) / (kind == AM_LAYER_BLOCK ? (double)am_net_n_blocks(net) : 1.0);
}

/* One random stream per tensor. Published: N(0, init_scale^2). Biases: one value. */
static void initial_weights(altmin_trainer *t)
{
    const altmin_settings *set = t->settings;
    for (size_t l = 1; l <= t->net.n_layers; l++) {
        const size_t n = t->net.width[l] * t->net.width[l - 1];
        const double sd = set->init == AM_INIT_HE ? he_deviation(&t->net, l) : set->init_scale;
        am_rng_normal(t->best->W[l - 1], n, sd, set->seed, (uint32_t)l);
        for (size_t i = 0; i < t->net.width[l]; i++) t->best->b[l - 1][i] = (float)set->bias_start;
    }
}

static altmin_error new_model(altmin_trainer *t, const altmin_data *train, altmin_status *st)
{
    if (am_model_new(&t->best, t->net.n_layers, t->net.width, st)) return st->code;
    altmin_model *m = t->best;
    if (train->label && am_model_set_classes(m, train->class_name, train->n_classes, st)) return st->code;
    strncpy(m->arch, am_arch_name(t->net.arch), sizeof m->arch - 1);
    strncpy(m->activation, am_act_name(t->net.act), sizeof m->activation - 1);
    strncpy(m->loss, am_loss_name(t->net.loss), sizeof m->loss - 1);
    strncpy(m->method, t->method->name, sizeof m->method - 1);
    strncpy(m->version, ALTMIN_VERSION, sizeof m->version - 1);
    m->seed = t->settings->seed;
    m->settings_json = am_settings_to_json(t->settings);
    if (!m->settings_json) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the model's settings");
    m->scaler.kind = t->scaler.kind;
    memcpy(m->scaler.shift, t->scaler.shift, train->n_features * sizeof(float));
    memcpy(m->scaler.factor, t->scaler.factor, train->n_features * sizeof(float));
    initial_weights(t);
    return ALTMIN_OK;
}

altmin_error am_trainer_keep(altmin_trainer *t, altmin_status *st)
{
    for (size_t l = 1; l <= t->net.n_layers; l++) {
        if (am_download(t->ctx, t->best->W[l - 1], t->method->weight(t->state, l), st)) return st->code;
        if (am_download(t->ctx, t->best->b[l - 1], t->method->bias(t->state, l), st)) return st->code;
    }
    return ALTMIN_OK;
}

static altmin_error start(altmin_trainer *t, altmin_status *st)
{
    float *w[AM_MAX_HIDDEN + 2] = {0}, *b[AM_MAX_HIDDEN + 2] = {0};
    for (size_t l = 1; l <= t->net.n_layers; l++) w[l] = t->best->W[l - 1], b[l] = t->best->b[l - 1];
    am_label(t->ctx, "initialisation");
    return t->method->start(t->state, w, b, st);
}

/* ---------------------------------------------------------------------------------------------- life */

static const char *scaling_name(am_scaling kind)
{
    static const char *const names[] = {"auto", "none", "unit", "standardise"};
    return names[kind];
}

static void describe(altmin_trainer *t, const altmin_data *train, const altmin_data *test)
{
    am_run_info *info = &t->info;
    for (size_t l = 1; l <= t->net.n_layers; l++) t->form[l - 1] = t->method->form(t->state, l);
    *info = (am_run_info){
        .settings = t->settings,
        .method = t->method->name,
        .backend = t->ctx->ops->name,
        .backend_detail = t->ctx->detail,
        .loss = am_loss_name(t->net.loss),
        .activation = am_act_name(t->net.act),
        .scaling = scaling_name(t->scaler.kind),
        .n_threads = t->ctx->n_threads,
        .n_layers = t->net.n_layers,
        .width = t->net.width,
        .form = t->form,
        .n_parameters = am_net_n_parameters(&t->net),
        .n_train = t->part_train.n,
        .n_valid = t->part_valid.n,
        .n_test = t->part_test.n,
        .n_classes = t->net.n_classes,
        .train_source = train->source,
        .test_source = test ? test->source : NULL,
        .plan_bytes = am_plan_total(t->plan),
    };
    info->plan = am_plan_rows(t->plan, &info->n_plan);
    am_data_fingerprint(train, info->train_fingerprint);
    if (test) am_data_fingerprint(test, info->test_fingerprint);
}

static am_data_kind kind_of(const altmin_data *train)
{
    if (!train->label) return AM_DATA_VALUES;
    return train->n_samples < train->n_features ? AM_DATA_FEW : AM_DATA_CLASSES;
}

static altmin_error choose_method(altmin_trainer *t, altmin_status *st)
{
    t->method = am_method_at(t->settings->method);
    if (!t->settings->stream) return ALTMIN_OK;
    if (!t->method->stream)
        return am_fail(st, ALTMIN_ERR_USAGE, "method %s has no stream mode; leave --stream out",
                       t->method->name);
    t->method = t->method->stream;
    return ALTMIN_OK;
}

static altmin_error apply_presets(altmin_trainer *t, const altmin_data *train, altmin_status *st)
{
    const int which = t->settings->preset;
    if (am_settings_apply_preset(t->settings, t->method->preset[which], st)) return st->code;
    return am_settings_apply_preset(t->settings, t->method->preset_for[kind_of(train)][which], st);
}

static altmin_error prepare(altmin_trainer *t, const altmin_settings *settings, const altmin_data *train,
                            const altmin_data *test, am_progress progress, altmin_status *st)
{
    t->settings = am_settings_copy(settings);
    t->plan = am_plan_new();
    if (!t->settings || !t->plan) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a trainer");
    if (choose_method(t, st) || apply_presets(t, train, st)) return st->code;
    if (check_sweeps(t, st) || check_data(train, test, st) || resolve_net(t, train, st) ||
        split(t, train, st) || fit_scaler(t, st))
        return st->code;
    if (test) t->part_test = (am_part){test, NULL, test->n_samples};
    const am_open_options open = {.n_threads = t->settings->threads,
                                  .gram = (am_gram_rule)t->settings->gram,
                                  .precision = (am_precision)t->settings->precision,
                                  .launch = (am_launch)t->settings->launch};
    if (am_backend_open(&t->ctx, (am_backend_kind)t->settings->backend, &open, st)) return st->code;
    if (resolve_residency(t, st) || plan_all(t, st) || am_plan_take(t->plan, t->ctx, st)) return st->code;
    if (new_model(t, train, st) || upload_all(t, progress, st) || start(t, st)) return st->code;
    t->slot = calloc(t->ctx->n_slots, sizeof *t->slot);
    if (!t->slot) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for %zu scalars", t->ctx->n_slots);
    describe(t, train, test);
    return ALTMIN_OK;
}

altmin_error am_trainer_new(altmin_trainer **out, const altmin_settings *settings, const altmin_data *train,
                            const altmin_data *test, const am_observer *observer, size_t n_observers,
                            altmin_status *st)
{
    const am_progress progress = {.observer = observer, .n_observers = n_observers};
    altmin_status local = {0};
    if (!st) st = &local;
    am_status_clear(st);
    *out = NULL;
    altmin_trainer *t = calloc(1, sizeof *t);
    if (!t) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for a trainer");
    if (prepare(t, settings, train, test, progress, st)) {
        altmin_trainer_free(t);
        return st->code;
    }
    *out = t;
    return ALTMIN_OK;
}

altmin_error altmin_trainer_new(altmin_trainer **out, const altmin_settings *settings,
                                const altmin_data *train, const altmin_data *test, altmin_status *st)
{
    return am_trainer_new(out, settings, train, test, NULL, 0, st);
}

const am_run_info *am_trainer_info(const altmin_trainer *trainer)
{
    return &trainer->info;
}

altmin_error altmin_trainer_model(const altmin_trainer *trainer, altmin_model **model, altmin_status *st)
{
    altmin_status local = {0};
    if (!st) st = &local;
    am_status_clear(st);
    return am_model_copy(model, trainer->best, st);
}

void altmin_trainer_free(altmin_trainer *t)
{
    if (!t) return;
    if (t->state) t->method->release(t->state);
    am_backend_close(t->ctx);
    am_plan_free(t->plan);
    am_scaler_free(&t->scaler);
    altmin_model_free(t->best);
    altmin_settings_free(t->settings);
    am_samples_free(&t->train);
    am_samples_free(&t->valid);
    am_samples_free(&t->test);
    free(t->train_index);
    free(t->valid_index);
    free(t->slot);
    free(t);
}
