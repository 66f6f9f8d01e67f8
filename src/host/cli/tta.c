/* Contestants of `altmin bench tta`: their lists, their settings; what their runs sum up to is in tta_report.c. */
#include "host/cli/tta.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/bench.h"
#include "host/methods/registry.h"

/* Opponents get every shortcut: whitened inputs, rates and batches that were best on held-out training samples of MNIST,
 * 784-300-300-10 (METHODS.md 7; with whitened inputs bench/tta/search.py). */
static const char default_methods[] =
    "fcam,fcam:gam=inf,mdlam:stream=yes,tiam:stream=yes,bcd:stream=yes,dladmm:stream=yes,"
    "adam:rate=5e-3@2,adam:batch=125:rate=5e-3,adam:whiten=0.97:rate=1.2e-2,"
    "adam:whiten=0.97:batch=125:rate=5e-3:rate=8e-3@2,sgd,sgd:whiten=0.97:rate=0.3";

/* ------------------------------------------------------------------------------------------- lists */

/* Numbers above 0, each larger than the one before, with commas between them. */
static altmin_error read_numbers(double *number, size_t *n, const char *option, const char *text, double most,
                                 altmin_status *st)
{
    const char *at = text;
    for (*n = 0;; at++) {
        char *end;
        const double x = strtod(at, &end);
        if (*n == AM_TTA_MOST)
            return am_fail(st, ALTMIN_ERR_USAGE, "--%s: more than %d numbers", option, AM_TTA_MOST);
        if (end == at || (*end && *end != ',') || !(x > 0.0 && x <= most) || (*n && x <= number[*n - 1]))
            return am_fail(st, ALTMIN_ERR_USAGE,
                           "--%s: '%.60s' is not a list of ascending numbers above 0 and at most %g", option,
                           text, most);
        number[(*n)++] = x;
        at = end;
        if (!*at) return ALTMIN_OK;
    }
}

altmin_error am_tta_lists(am_tta *tta, const char *passes, const char *targets, const char *seeds,
                          altmin_status *st)
{
    char *end = NULL;
    const long n = seeds ? strtol(seeds, &end, 10) : 3;
    if (read_numbers(tta->passes, &tta->n_passes, "passes", passes ? passes : AM_TTA_PASSES, 1e6, st) ||
        read_numbers(tta->target, &tta->n_targets, "targets", targets ? targets : AM_TTA_TARGETS, 1.0, st))
        return st->code;
    if (n < 1 || n > 1000 || (seeds && (end == seeds || *end)))
        return am_fail(st, ALTMIN_ERR_USAGE, "--seeds: '%.60s' is not a whole number from 1 to 1000", seeds);
    tta->n_seeds = (size_t)n;
    return ALTMIN_OK;
}

/* ------------------------------------------------------------------------------------------- contestants */

static altmin_error fail_contestant(const am_contestant *c, const char *part, altmin_status *st)
{
    return am_fail(st, ALTMIN_ERR_USAGE,
                   "--methods: '%s' in '%s' is not SETTING=VALUE or SETTING=VALUE@PASSES", part, c->name);
}

/* "rate=5e-3@2", or the method's name as the first part. */
static altmin_error read_rule(am_contestant *c, char *part, altmin_status *st)
{
    am_tta_rule *rule = &c->rule[c->n_rules];
    char *value = part, *end = NULL, *at = strchr(part, '@');
    *rule = (am_tta_rule){.name = "method", .passes = INFINITY};
    if (c->n_rules == AM_TTA_MOST_RULES - 1)
        return am_fail(st, ALTMIN_ERR_USAGE, "--methods: '%s' has more than %d settings", c->name,
                       AM_TTA_MOST_RULES - 2);
    if (c->n_rules) {
        value = strchr(part, '=');
        if (!value) return fail_contestant(c, part, st);
        if (at) rule->passes = strtod(at + 1, &end);
        if (at && (end == at + 1 || *end || !(rule->passes > 0.0))) return fail_contestant(c, part, st);
        *value++ = '\0';
        if (at) *at = '\0';
        if (snprintf(rule->name, sizeof rule->name, "%s", part) >= (int)sizeof rule->name)
            return am_setting_unknown(part, st);
    }
    if (snprintf(rule->value, sizeof rule->value, "%s", value) >= (int)sizeof rule->value)
        return am_fail(st, ALTMIN_ERR_USAGE, "--methods: '%.60s' in '%s' is too long", value, c->name);
    c->n_rules++;
    return ALTMIN_OK;
}

/* Says early what is wrong with a contestant, and whether its runs may end inside a pass. */
static altmin_error try_settings(am_contestant *c, altmin_status *st)
{
    altmin_settings *settings = NULL;
    if (am_contestant_settings(&settings, c, 1e-6, 1, st)) return st->code;
    const am_method *method = am_method_at(settings->method);
    if (settings->stream && method->stream) method = method->stream;
    c->parts = method->parts;
    altmin_settings_free(settings);
    return ALTMIN_OK;
}

static altmin_error read_contestant(am_contestant *c, const char *text, size_t length, altmin_status *st)
{
    char parts[AM_TTA_NAME_LENGTH];
    if (length >= sizeof c->name)
        return am_fail(st, ALTMIN_ERR_USAGE, "--methods: '%.60s..' is longer than %d characters", text,
                       AM_TTA_NAME_LENGTH - 1);
    memcpy(c->name, text, length);
    c->name[length] = '\0';
    memcpy(parts, c->name, length + 1);
    for (char *part = parts; part;) {
        char *colon = strchr(part, ':');
        if (colon) *colon = '\0';
        if (read_rule(c, part, st)) return st->code;
        part = colon ? colon + 1 : NULL;
    }
    return try_settings(c, st);
}

static altmin_error check_passes(const am_tta *tta, const am_contestant *c, altmin_status *st)
{
    for (size_t i = 0; i < tta->n_passes; i++)
        if (am_contestant_does(c, tta->passes[i])) return ALTMIN_OK;
    return am_fail(st, ALTMIN_ERR_USAGE, "--passes: %s does whole passes only, and there is none in the list",
                   c->name);
}

/* Room for a run of every contestant, number of passes and seed. */
static altmin_error take_room(am_tta *tta, altmin_status *st)
{
    const size_t n_groups = tta->n_contestants * tta->n_passes;
    tta->run = calloc(n_groups * tta->n_seeds, sizeof *tta->run);
    if (!tta->run) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the results of the runs");
    for (size_t i = 0; i < n_groups; i++)
        tta->contestant[i / tta->n_passes].group[i % tta->n_passes].run = tta->run + i * tta->n_seeds;
    return ALTMIN_OK;
}

altmin_error am_tta_contestants(am_tta *tta, const char *list, const altmin_settings *common,
                                altmin_status *st)
{
    for (const char *at = list ? list : default_methods;; at++) {
        const size_t length = strcspn(at, ",");
        if (tta->n_contestants == AM_TTA_MOST)
            return am_fail(st, ALTMIN_ERR_USAGE, "--methods: more than %d", AM_TTA_MOST);
        am_contestant *c = &tta->contestant[tta->n_contestants++];
        c->common = common;
        if (read_contestant(c, at, length, st) || check_passes(tta, c, st)) return st->code;
        at += length;
        if (!*at) break;
    }
    return take_room(tta, st);
}

void am_tta_free(am_tta *tta)
{
    free(tta->run);
}

int am_contestant_does(const am_contestant *c, double passes)
{
    return c->parts || passes == floor(passes);
}

static altmin_error set_rules(altmin_settings *s, const am_contestant *c, double passes, uint64_t seed,
                              altmin_status *st)
{
    char text[40];
    for (size_t i = 0; i < c->n_rules; i++)
        if (passes <= c->rule[i].passes && altmin_settings_set(s, c->rule[i].name, c->rule[i].value, st))
            return st->code;
    snprintf(text, sizeof text, "%.17g", passes);
    if (altmin_settings_set(s, "sweeps", text, st)) return st->code;
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    return altmin_settings_set(s, "seed", text, st);
}

altmin_error am_contestant_settings(altmin_settings **settings, const am_contestant *c, double passes,
                                    uint64_t seed, altmin_status *st)
{
    altmin_settings *s = am_settings_copy(c->common);
    *settings = s;
    if (!s) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the settings of a run");
    if (set_rules(s, c, passes, seed, st) == ALTMIN_OK) return ALTMIN_OK;
    altmin_settings_free(s);
    *settings = NULL;
    return st->code;
}
