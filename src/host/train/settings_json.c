/* JSON forms of settings: what a config file, the run log and a model's metadata hold. JSON values are turned
 * into the text a user would type, so that am_setting_set checks them as it checks the command line. */
#include <math.h>
#include <stdlib.h>

#include "host/io/json.h"
#include "host/train/settings.h"

/* Far more than settings need; bounds what a hostile file makes cJSON allocate. */
enum { max_json_values = 65536 };

static void put_widths(FILE *f, const am_widths *widths)
{
    fputc('[', f);
    for (size_t i = 0; i < widths->n; i++) fprintf(f, "%s%zu", i ? "," : "", widths->width[i]);
    fputc(']', f);
}

static void put_value(FILE *f, const am_setting *row, const altmin_settings *s)
{
    const void *field = (const char *)s + row->offset;
    const char *text = NULL;
    switch (row->type) {
    case AM_SET_TEXT: text = *(char *const *)field; break;
    case AM_SET_CHOICE: text = am_setting_choice_name(row, *(const int *)field); break;
    case AM_SET_WIDTHS: put_widths(f, field); return;
    case AM_SET_REAL:
        if (!isinf(*(const double *)field)) {
            am_json_put_exact(f, *(const double *)field);
            return;
        }
        text = "inf"; /* JSON has no number for it */
        break;
    case AM_SET_COUNT: fprintf(f, "%zu", *(const size_t *)field); return;
    case AM_SET_SEED: fprintf(f, "%llu", (unsigned long long)*(const uint64_t *)field); return;
    }
    if (text) {
        am_json_put_string(f, text);
    } else {
        fputs("null", f);
    }
}

static void put_settings(FILE *f, const void *settings)
{
    size_t n = 0;
    const am_setting *row = am_setting_table(&n);
    for (size_t i = 0; i < n; i++) {
        fputs(i ? "," : "{", f);
        am_json_put_string(f, row[i].name);
        fputc(':', f);
        put_value(f, &row[i], settings);
    }
    fputc('}', f);
}

char *am_settings_to_json(const altmin_settings *settings)
{
    return am_json_text(put_settings, settings);
}

static int type_fits(const am_setting *row, const cJSON *value)
{
    switch (row->type) {
    case AM_SET_TEXT: return cJSON_IsString(value) || (row->unset && cJSON_IsNull(value));
    case AM_SET_CHOICE: return cJSON_IsString(value);
    case AM_SET_WIDTHS: return cJSON_IsString(value) || cJSON_IsArray(value);
    case AM_SET_REAL: return cJSON_IsNumber(value) || (row->takes_inf && cJSON_IsString(value));
    case AM_SET_COUNT:
    case AM_SET_SEED: return cJSON_IsNumber(value);
    }
    return 0;
}

static const char *type_wanted(const am_setting *row)
{
    switch (row->type) {
    case AM_SET_TEXT: return row->unset ? "a string or null" : "a string";
    case AM_SET_CHOICE: return "a string";
    case AM_SET_WIDTHS: return "an array of numbers, or a string like \"1000,1000\" or \"16x50\"";
    default: return "a number";
    }
}

static altmin_error set_width_array(const am_setting *row, altmin_settings *s, const cJSON *array,
                                    altmin_status *st)
{
    char text[(AM_MAX_HIDDEN + 1) * AM_JSON_REAL_SIZE];
    size_t used = 0, n = 0;
    text[0] = '\0';
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, array)
    {
        if (!cJSON_IsNumber(item)) {
            return am_fail(st, ALTMIN_ERR_USAGE, "setting '%s': an array of layer widths holds %s", row->name,
                           am_json_type_name(item));
        }
        if (n > AM_MAX_HIDDEN) break; /* one too many is enough for am_setting_set to refuse */
        char number[AM_JSON_REAL_SIZE];
        am_json_format_real(number, item->valuedouble);
        int n_written = snprintf(text + used, sizeof text - used, "%s%s", n++ ? "," : "", number);
        if (n_written > 0) used += (size_t)n_written;
    }
    return am_setting_set(row, s, text, st);
}

static altmin_error set_json(const am_setting *row, altmin_settings *s, const cJSON *value, altmin_status *st)
{
    if (!type_fits(row, value)) {
        return am_fail(st, ALTMIN_ERR_USAGE, "setting '%s' must be %s, not %s", row->name, type_wanted(row),
                       am_json_type_name(value));
    }
    if (cJSON_IsArray(value)) return set_width_array(row, s, value, st);
    if (cJSON_IsString(value)) return am_setting_set(row, s, value->valuestring, st);
    if (cJSON_IsNull(value)) return am_setting_set(row, s, "", st);
    char number[AM_JSON_REAL_SIZE];
    am_json_format_real(number, value->valuedouble);
    return am_setting_set(row, s, number, st);
}

/* Set in `s` what the object names; rows with fixed[row] != 0 go to `ignored`, so that they are checked all
 * the same. */
static altmin_error apply_object(altmin_settings *s, altmin_settings *ignored, const cJSON *object,
                                 const char *source, const unsigned char *fixed, altmin_status *st)
{
    size_t n = 0;
    const am_setting *table = am_setting_table(&n);
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, object)
    {
        altmin_status reason = {0};
        const am_setting *row = am_setting_find(item->string);
        if (row) {
            set_json(row, fixed && fixed[row - table] ? ignored : s, item, &reason);
        } else {
            am_setting_unknown(item->string, &reason);
        }
        if (reason.code) return am_fail(st, reason.code, "%s: %s", source, reason.message);
    }
    return ALTMIN_OK;
}

altmin_error am_settings_from_json(altmin_settings *settings, const char *json, size_t n_json,
                                   const char *source, const unsigned char *fixed, altmin_status *st)
{
    cJSON *object = NULL;
    altmin_error code = am_json_parse(&object, json, n_json, source, max_json_values, st);
    if (code) return code;
    altmin_settings *draft = am_settings_copy(settings), *ignored = altmin_settings_new();
    if (!draft || !ignored) {
        code = am_fail(st, ALTMIN_ERR_MEMORY, "%s: no memory for settings", source);
    } else if (!cJSON_IsObject(object)) {
        code =
            am_fail(st, ALTMIN_ERR_USAGE, "%s: settings must be a JSON object like {\"rho\": 0.001}, not %s",
                    source, am_json_type_name(object));
    } else {
        code = apply_object(draft, ignored, object, source, fixed, st);
    }
    if (!code) {
        altmin_settings old = *settings;
        *settings = *draft;
        *draft = old;
    }
    cJSON_Delete(object);
    altmin_settings_free(draft);
    altmin_settings_free(ignored);
    return code;
}
