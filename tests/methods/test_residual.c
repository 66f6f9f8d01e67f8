/* Residual networks apart from any method: widths from --hidden and the data, what is refused, and the forward pass against
 * plain loops in double. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "oracle.h"
#include "problems.h"

/* ---------------------------------------------------------------------------------------------- widths */

static void check_net(const altmin_data *data, const char *hidden, size_t n_layers, const am_layer_kind *kind)
{
    altmin_trainer *t = problem_run(data, (const char *const[]){"arch", "resnet", "method", "adam", "hidden",
                                                                hidden, "threads", "1", NULL});
    assert_int_equal(t->net.n_layers, n_layers);
    assert_int_equal(t->net.width[0], data->n_features);
    assert_int_equal(t->net.width[n_layers], data->n_classes);
    for (size_t l = 1; l < n_layers; l++) {
        assert_int_equal(t->net.width[l], t->settings->hidden.width[0]);
        if (am_net_kind(&t->net, l) != kind[l > 1]) fail_msg("%s: layer %zu is of another kind", hidden, l);
    }
    assert_int_equal(am_net_kind(&t->net, n_layers), AM_LAYER_OUTPUT);
    assert_int_equal(am_net_n_blocks(&t->net), t->settings->hidden.n);
    altmin_trainer_free(t);
}

/* --hidden counts blocks; an input map comes on top when the data have another width. Up to the last layer there is room
 * for. */
static void widths_follow_the_data(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 23, 4, 3);
    static const am_layer_kind blocks[] = {AM_LAYER_BLOCK, AM_LAYER_BLOCK},
                               mapped[] = {AM_LAYER_INPUT, AM_LAYER_BLOCK};
    check_net(data, "6", 2, blocks);
    check_net(data, "3x6", 4, blocks);
    check_net(data, "256x6", 257, blocks);
    check_net(data, "5", 3, mapped);
    check_net(data, "3x7", 5, mapped);
    check_net(data, "255x7", 257, mapped);
    altmin_data_free(data);
}

static void refuse(const altmin_data *data, const char *const *pairs, const char *const *words)
{
    altmin_settings *settings = problem_settings(pairs);
    altmin_trainer *t = NULL;
    altmin_status st = {0};
    assert_int_equal(altmin_trainer_new(&t, settings, data, NULL, &st), ALTMIN_ERR_USAGE);
    assert_null(t);
    for (; *words; words++)
        if (!strstr(st.message, *words)) fail_msg("'%s' is not in: %s", *words, st.message);
    altmin_settings_free(settings);
}

static void impossible_networks_are_refused(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 23, 4, 3);
    static const struct {
        const char *hidden, *words[4];
    } bad[] = {
        {"none", {"at least one residual block", "--arch mlp"}},
        {"7,5", {"5 after 7", "2x7"}},
        {"6,5", {"5 after 6", "2x6"}},
        {"3x6,7", {"7 after 6", "4x6"}},
        {"256x7", {"256 residual blocks", "6 features", "width 7"}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuse(data, (const char *const[]){"arch", "resnet", "method", "sgd", "hidden", bad[i].hidden, NULL},
               bad[i].words);
    altmin_data_free(data);
}

/* Each method trains what it says, and sends users elsewhere with the rest. */
static void methods_keep_to_their_architectures(void **state)
{
    (void)state;
    altmin_data *data = problem_random(6, 23, 4, 3);
    size_t n_refused = 0;
    for (int i = 0; am_method_names()[i]; i++)
        for (int arch = 0; arch < 2; arch++) {
            const char *const name = am_method_names()[i];
            const char *const pairs[] = {"method",  name, "arch", arch ? "resnet" : "mlp", "hidden", "2x6",
                                         "threads", "1",  NULL};
            if (am_method_at(i)->archs & AM_TRAINS(arch)) {
                altmin_trainer_free(problem_run(data, pairs));
                continue;
            }
            refuse(data, pairs,
                   arch ? (const char *const[]){name, "plain networks only", "sgd, adam", NULL}
                        : (const char *const[]){name, "residual networks only", "mdlam", NULL});
            n_refused++;
        }
    assert_true(n_refused >= 4);
    altmin_data_free(data);
}

/* ---------------------------------------------------------------------------------------------- forward pass */

/* Outputs for one unscaled sample: a <- W a + b where widths differ, a <- a + h(W a + b) else; the last layer's z. */
static void forward(const altmin_model *m, int act, const float *x, double *z)
{
    double a[16];
    for (size_t i = 0; i < m->width[0]; i++)
        a[i] = ((double)x[i] - (double)m->scaler.shift[i]) * (double)m->scaler.factor[i];
    for (size_t l = 1; l <= m->n_layers; l++) {
        const size_t d = m->width[l], d_in = m->width[l - 1];
        for (size_t i = 0; i < d; i++) {
            z[i] = (double)m->b[l - 1][i];
            for (size_t k = 0; k < d_in; k++) z[i] += (double)m->W[l - 1][i + k * d] * a[k];
        }
        for (size_t i = 0; i < d; i++) a[i] = d == d_in ? a[i] + oracle_h(act, z[i]) : z[i];
    }
}

/* Predictions of a trained model, and the metrics that the trainer saw, come from this very pass. */
static void check_forward(const altmin_data *data, const char *act, const char *hidden, const char *backend)
{
    altmin_trainer *t = problem_run(
        data, (const char *const[]){"arch",       "resnet",      "method", "sgd",  "rate",       "0.01",
                                    "activation", act,           "hidden", hidden, "backend",    backend,
                                    "threads",    "1",           "sweeps", "2",    "bias-start", "0.1",
                                    "scale",      "standardise", NULL});
    altmin_model *m;
    altmin_stop stop;
    altmin_status st = {0};
    if (altmin_trainer_run(t, NULL, NULL, &stop, &st) || altmin_trainer_model(t, &m, &st))
        fail_msg("%s", st.message);
    float out[2 * 40];
    assert_int_equal(altmin_model_predict(m, data, t->settings, out, &st), ALTMIN_OK);
    double loss = 0.0;
    for (size_t j = 0; j < 40; j++) {
        double z[16];
        forward(m, t->net.act, data->f32 + j * data->n_features, z);
        for (size_t i = 0; i < 2; i++) {
            if (!(fabs(z[i] - (double)out[i + 2 * j]) <= 2e-5 * (1.0 + fabs(z[i]))))
                fail_msg("%s, %s, %s: %.9g, not %.9g", act, hidden, backend, (double)out[i + 2 * j], z[i]);
            loss += 0.5 * pow(z[i] - (double)data->target[i + 2 * j], 2) / 40.0;
        }
    }
    assert_true(fabs(t->result.last.train.loss - loss) <= 1e-4 * loss);
    altmin_model_free(m);
    altmin_trainer_free(t);
}

static void forward_pass_is_the_networks(void **state)
{
    (void)state;
    static const char *const acts[] = {"identity", "relu",    "leaky-relu", "elu",
                                       "tanh",     "sigmoid", "softplus",   "hard-tanh"};
    static const char *const hidden[] = {"3x6", "2x9"}, *const backends[] = {"ref", "cpu"};
    altmin_data *data = problem_random(6, 40, 0, 5);
    for (int a = 0; a < 8; a++)
        for (int k = 0; k < 4; k++) check_forward(data, acts[a], hidden[k / 2], backends[k % 2]);
    altmin_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_follow_the_data),
        cmocka_unit_test(impossible_networks_are_refused),
        cmocka_unit_test(methods_keep_to_their_architectures),
        cmocka_unit_test(forward_pass_is_the_networks),
    };
    return cmocka_run_group_tests_name("residual", tests, NULL, NULL);
}
