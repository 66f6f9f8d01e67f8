/* Using a trained model: predictions and true metrics on unscaled samples, by the same forward pass as in training. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/model/model.h"
#include "host/train/evaluate.h"
#include "host/train/samples.h"

#define AM_PREDICT_CHUNK 2048

typedef struct am_inference {
    const altmin_model *model;
    const altmin_data *data;
    am_ctx *ctx;
    am_plan *plan;
    am_net net;
    am_mat w[AM_MAX_HIDDEN + 2], b[AM_MAX_HIDDEN + 2];
    am_mat x, buffer[2];
    float *host; /* one chunk of input or output */
} am_inference;

static void close_inference(am_inference *inf)
{
    am_backend_close(inf->ctx);
    am_plan_free(inf->plan);
    free(inf->host);
}

static altmin_error describe_net(am_inference *inf, altmin_status *st)
{
    const altmin_model *model = inf->model;
    am_net *net = &inf->net;
    net->n_layers = model->n_layers;
    memcpy(net->width, model->width, (model->n_layers + 1) * sizeof net->width[0]);
    net->n_classes = model->n_classes;
    int arch = AM_ARCH_MLP;
    if (!am_setting_choice_value(am_setting_find("arch"), model->arch, &arch))
        return am_fail(st, ALTMIN_ERR_DATA, "the model's arch '%s' is not known", model->arch);
    net->arch = (am_arch)arch;
    net->loss =
        strcmp(model->loss, am_loss_name(AM_LOSS_SQUARED)) == 0 ? AM_LOSS_SQUARED : AM_LOSS_CROSS_ENTROPY;
    for (net->act = 0; net->act < AM_N_ACTS; net->act++)
        if (strcmp(model->activation, am_act_name(net->act)) == 0) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_DATA, "the model's activation '%s' is not known", model->activation);
}

static altmin_error open_inference(am_inference *inf, const altmin_settings *settings, altmin_status *st)
{
    const altmin_model *model = inf->model;
    const am_open_options open = {.n_threads = settings ? settings->threads : 0,
                                  .precision =
                                      settings ? (am_precision)settings->precision : AM_PRECISION_AUTO};
    const am_backend_kind kind = settings ? (am_backend_kind)settings->backend : AM_BACKEND_AUTO;
    if (inf->data->n_features != model->width[0])
        return am_fail(st, ALTMIN_ERR_DATA, "%s has %zu features but the model takes %zu", inf->data->source,
                       inf->data->n_features, model->width[0]);
    if (describe_net(inf, st) || am_backend_open(&inf->ctx, kind, &open, st)) return st->code;
    const size_t widest = am_net_max_width(&inf->net, 1), most = am_net_max_width(&inf->net, 0);
    size_t chunk = inf->data->n_samples < AM_PREDICT_CHUNK ? inf->data->n_samples : AM_PREDICT_CHUNK, n;
    inf->plan = am_plan_new();
    if (!inf->plan || am_size_mul(most, chunk * sizeof(float), &n) || !(inf->host = malloc(n)))
        return am_fail(st, ALTMIN_ERR_MEMORY, "no memory to predict");
    for (size_t l = 1; l <= inf->net.n_layers; l++) {
        am_plan_mat(inf->plan, "model", &inf->w[l], inf->net.width[l], inf->net.width[l - 1]);
        am_plan_mat(inf->plan, "model", &inf->b[l], inf->net.width[l], 1);
    }
    am_plan_mat(inf->plan, "samples", &inf->x, model->width[0], chunk);
    for (int i = 0; i < 2; i++) am_plan_mat(inf->plan, "samples", &inf->buffer[i], widest, chunk);
    if (am_plan_take(inf->plan, inf->ctx, st)) return st->code;
    for (size_t l = 1; l <= inf->net.n_layers; l++) {
        am_upload(inf->ctx, inf->w[l], model->W[l - 1]);
        am_upload(inf->ctx, inf->b[l], model->b[l - 1]);
    }
    return am_ctx_status(inf->ctx, st);
}

/* Outputs of samples first..first+n, in inf->host. */
static altmin_error forward_chunk(am_inference *inf, size_t first, size_t n, altmin_status *st)
{
    am_data_dense(inf->data, &inf->model->scaler, first, n, inf->host);
    const am_input x = {.dense = am_mat_cols(inf->x, 0, n)};
    am_upload(inf->ctx, x.dense, inf->host);
    const am_mat p = am_forward(inf->ctx, &inf->net, inf->w, inf->b, &x, inf->buffer);
    am_map(inf->ctx, AM_MAP_ADD_ROW, 0,
           &(am_map_args){.out = {p}, .in = {p}, .row = inf->b[inf->net.n_layers]});
    return am_download(inf->ctx, inf->host, p, st);
}

/* Sums over samples that metrics are made of. */
typedef struct am_score {
    double loss, hits, squared;
} am_score;

static void score_sample(const am_net *net, const float *z, const float *target, int32_t label,
                         am_score *score)
{
    const size_t k = net->width[net->n_layers];
    size_t best = 0;
    for (size_t i = 0; i < k; i++) {
        const float y = target ? target[i] : (float)(label == (int32_t)i);
        score->squared += ((double)z[i] - (double)y) * ((double)z[i] - (double)y);
        if (z[i] > z[best]) best = i;
    }
    if (target) return;
    score->hits += best == (size_t)label;
    if (net->loss == AM_LOSS_CROSS_ENTROPY)
        score->loss += am_log_sum_exp(k, z, NULL, NULL) - (double)z[label];
}

/* sum (target - its mean)^2 over the data set. */
static double target_sst(const altmin_data *data)
{
    double sst = 0.0;
    for (size_t i = 0; i < data->n_targets; i++) {
        double mean = 0.0;
        for (size_t j = 0; j < data->n_samples; j++)
            mean += (double)data->target[i + j * data->n_targets] / (double)data->n_samples;
        for (size_t j = 0; j < data->n_samples; j++) {
            const double d = (double)data->target[i + j * data->n_targets] - mean;
            sst += d * d;
        }
    }
    return sst;
}

static altmin_metrics metrics_of(const am_inference *inf, const am_score *score)
{
    const double n = (double)inf->data->n_samples;
    altmin_metrics metrics = am_metrics_none();
    metrics.loss = (inf->net.loss == AM_LOSS_SQUARED ? 0.5 * score->squared : score->loss) / n;
    if (inf->data->label) {
        metrics.accuracy = score->hits / n;
    } else {
        const double sst = target_sst(inf->data);
        metrics.mse = score->squared / (n * (double)inf->data->n_targets);
        metrics.r2 = sst > 0.0 ? 1.0 - score->squared / sst : NAN;
    }
    return metrics;
}

altmin_error altmin_model_predict(const altmin_model *model, const altmin_data *data,
                                  const altmin_settings *settings, float *out, altmin_status *status)
{
    altmin_status local = {0}, *st = status ? status : &local;
    am_status_clear(st);
    am_inference inf = {.model = model, .data = data};
    altmin_error error = open_inference(&inf, settings, st);
    const size_t k = model->width[model->n_layers];
    for (size_t first = 0; first < data->n_samples && !error; first += AM_PREDICT_CHUNK) {
        const size_t left = data->n_samples - first, n = left < AM_PREDICT_CHUNK ? left : AM_PREDICT_CHUNK;
        error = forward_chunk(&inf, first, n, st);
        for (size_t j = 0; j < n && !error; j++) {
            float *z = out + (first + j) * k;
            memcpy(z, inf.host + j * k, k * sizeof *z);
            if (inf.net.n_classes) am_log_sum_exp(k, inf.host + j * k, NULL, z);
        }
    }
    close_inference(&inf);
    return error;
}

/* Class names must be the model's, in its order: a reader given the model's names sees to that. */
static altmin_error check_labels(const altmin_model *model, const altmin_data *data, altmin_status *st)
{
    if (!data->label && !data->target)
        return am_fail(st, ALTMIN_ERR_DATA, "%s has neither labels nor targets: nothing to evaluate against",
                       data->source);
    if (!!data->label != !!model->n_classes)
        return am_fail(st, ALTMIN_ERR_DATA, "%s holds %s but the model does %s", data->source,
                       data->label ? "class labels" : "regression targets",
                       model->n_classes ? "classification" : "regression");
    if (data->target && data->n_targets != model->width[model->n_layers])
        return am_fail(st, ALTMIN_ERR_DATA, "%s has %zu targets but the model gives %zu", data->source,
                       data->n_targets, model->width[model->n_layers]);
    for (size_t i = 0; i < data->n_classes; i++)
        if (i >= model->n_classes || strcmp(data->class_name[i], model->class_name[i]) != 0)
            return am_fail(st, ALTMIN_ERR_DATA,
                           "%s: class %zu is '%s', which is not the model's class %zu; read the data "
                           "with the model's class names",
                           data->source, i, data->class_name[i], i);
    return ALTMIN_OK;
}

altmin_error altmin_model_evaluate(const altmin_model *model, const altmin_data *data,
                                   const altmin_settings *settings, altmin_metrics *metrics,
                                   altmin_status *status)
{
    altmin_status local = {0}, *st = status ? status : &local;
    am_status_clear(st);
    am_inference inf = {.model = model, .data = data};
    am_score score = {0};
    altmin_error error = check_labels(model, data, st);
    if (!error) error = open_inference(&inf, settings, st);
    const size_t k = model->width[model->n_layers];
    for (size_t first = 0; first < data->n_samples && !error; first += AM_PREDICT_CHUNK) {
        const size_t left = data->n_samples - first, n = left < AM_PREDICT_CHUNK ? left : AM_PREDICT_CHUNK;
        error = forward_chunk(&inf, first, n, st);
        for (size_t j = 0; j < n && !error; j++) {
            const float *target = data->target ? data->target + (first + j) * k : NULL;
            score_sample(&inf.net, inf.host + j * k, target, data->label ? data->label[first + j] : 0,
                         &score);
        }
    }
    if (!error) *metrics = metrics_of(&inf, &score);
    close_inference(&inf);
    return error;
}
