/* The table of settings as the text of --help: a heading for each group, names in one column, wrapped
 * sentences with choices or range, unit, paper symbol and default in the other. */
#include <math.h>
#include <string.h>

#include "host/io/json.h"
#include "host/train/settings.h"

enum { text_column = 28, last_column = 96, max_words = 1024 };

static const char *kind_of_value(const am_setting *row)
{
    switch (row->type) {
    case AM_SET_TEXT: return strcmp(row->name, "label") == 0 ? "COLUMN" : "DATA";
    case AM_SET_REAL: return "REAL";
    case AM_SET_COUNT:
    case AM_SET_SEED: return "N";
    case AM_SET_CHOICE: return "NAME";
    case AM_SET_WIDTHS: return "N,NxN,...";
    }
    return "";
}

/* snprintf at the end of buf; text that does not fit is cut. */
static void append(char *buf, size_t n_buf, const char *before, const char *text)
{
    size_t used = strlen(buf);
    snprintf(buf + used, n_buf - used, "%s%s", before, text);
}

static void append_bounds(char *buf, size_t n_buf, const am_setting *row)
{
    char number[AM_JSON_REAL_SIZE];
    am_json_format_real(number, row->min);
    append(buf, n_buf, row->min_open ? "; > " : "; >= ", number);
    if (isinf(row->max) || row->max >= 1e9) return;
    am_json_format_real(number, row->max);
    append(buf, n_buf, row->max_open ? ", < " : ", <= ", number);
}

static void describe(const am_setting *row, char *buf, size_t n_buf)
{
    snprintf(buf, n_buf, "%s", row->help);
    if (row->type == AM_SET_CHOICE) {
        const char *const *names = am_setting_choices(row);
        for (size_t i = 0; names[i]; i++) append(buf, n_buf, i ? ", " : "; one of ", names[i]);
    }
    append(buf, n_buf, " [default ", row->fallback);
    if (row->unit) append(buf, n_buf, " ", row->unit);
    if (row->type == AM_SET_REAL || row->type == AM_SET_COUNT) append_bounds(buf, n_buf, row);
    if (row->symbol) append(buf, n_buf, "; in the paper: ", row->symbol);
    append(buf, n_buf, "]", "");
}

/* Print words of `text`, `column` being where the cursor stands, and break lines before last_column. */
static void put_wrapped(FILE *out, const char *text, int column)
{
    int line_is_empty = 1;
    if (column >= text_column) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", text_column - column, "");
    column = text_column;
    for (const char *word = text; *word;) {
        int n = (int)strcspn(word, " ");
        if (!line_is_empty && column + 1 + n > last_column) {
            fprintf(out, "\n%*s", text_column, "");
            column = text_column;
            line_is_empty = 1;
        }
        fprintf(out, "%s%.*s", line_is_empty ? "" : " ", n, word);
        column += n + !line_is_empty;
        line_is_empty = 0;
        word += n;
        word += strspn(word, " ");
    }
    fputc('\n', out);
}

static int is_picked(const am_setting *row, const char *const *pick)
{
    if (!pick) return 1;
    for (size_t i = 0; pick[i]; i++) {
        if (strcmp(pick[i], row->group) == 0 || strcmp(pick[i], row->name) == 0) return 1;
    }
    return 0;
}

void am_settings_help(FILE *out, const char *const *pick)
{
    size_t n = 0;
    const am_setting *row = am_setting_table(&n);
    const char *group = "";
    for (size_t i = 0; i < n; i++) {
        if (!is_picked(&row[i], pick)) continue;
        if (strcmp(group, row[i].group) != 0) {
            fprintf(out, "%s%s:\n", group[0] ? "\n" : "", row[i].group);
            group = row[i].group;
        }
        char text[max_words];
        describe(&row[i], text, sizeof text);
        int column = fprintf(out, "  --%s %s ", row[i].name, kind_of_value(&row[i]));
        put_wrapped(out, text, column);
    }
}
