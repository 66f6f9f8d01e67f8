/* Reading options for the verbs; see source.h. */
#include "host/cli/source.h"

#include <string.h>

#include "host/model/model.h"

am_read_options am_source_options(const altmin_settings *settings)
{
    am_read_options opt = am_read_options_default();
    opt.label_column = settings->label;
    opt.header = settings->header;
    opt.task = settings->task;
    return opt;
}

am_read_options am_source_options_for_model(const altmin_settings *settings, const altmin_model *model)
{
    am_read_options opt = am_source_options(settings);
    opt.task = model->n_classes ? 0 : 1;
    opt.n_features = model->width[0];
    opt.class_name = model->class_name;
    opt.n_classes = model->n_classes;
    return opt;
}

am_read_options am_source_options_like(const altmin_settings *settings, const altmin_data *train)
{
    am_read_options opt = am_source_options(settings);
    opt.task = train->n_classes ? 0 : 1;
    opt.n_features = train->n_features;
    opt.class_name = train->class_name;
    opt.n_classes = train->n_classes;
    return opt;
}

altmin_error am_source_open(altmin_data **train, altmin_data **test, const altmin_settings *s,
                            altmin_status *st)
{
    am_read_options opt = am_source_options(s);
    if (am_data_open(train, s->data, "train", &opt, st)) return st->code;
    const char *source = s->test ? s->test : s->data;
    const int has_part = am_data_has_part(source, "test");
    if (!s->test && !has_part) return ALTMIN_OK; /* one file, all of it for training */
    opt = am_source_options_like(s, *train);
    return am_data_open(test, source, has_part ? "test" : "train", &opt, st);
}

altmin_error am_source_part(const char **part, const char *source, altmin_status *st)
{
    const int has_parts = am_data_has_part(source, "test");
    if (!*part) {
        *part = has_parts ? "test" : NULL;
        return ALTMIN_OK;
    }
    if (strcmp(*part, "train") != 0 && strcmp(*part, "test") != 0)
        return am_fail(st, ALTMIN_ERR_USAGE, "--part: '%.60s' is neither train nor test", *part);
    if (!has_parts && strcmp(*part, "test") == 0)
        return am_fail(st, ALTMIN_ERR_USAGE, "--part: '%s' has no test part", source);
    return ALTMIN_OK;
}
