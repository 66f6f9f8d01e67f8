/* --help: the verb's own options here, in the columns of am_settings_help, which prints the rows of the
 * table. */
#include "host/cli/help.h"

#include <string.h>

enum { LEFT = 28, WIDTH = 96 };

/* Print text wrapped at WIDTH; the cursor stands at `column`, later lines are indented by `indent`. */
static void print_wrapped(FILE *out, const char *text, size_t column, size_t indent)
{
    const size_t start = column;
    while (*text) {
        const size_t n_space = strspn(text, " "), n_word = strcspn(text + n_space, " ");
        if (column > start && column + n_space + n_word > WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            fprintf(out, "%.*s", (int)n_word, text + n_space);
            column += n_word;
        } else {
            fprintf(out, "%.*s", (int)(n_space + n_word), text);
            column += n_space + n_word;
        }
        text += n_space + n_word;
    }
    fputc('\n', out);
}

static void print_entry(FILE *out, const char *left, const char *text)
{
    const size_t n = strlen(left);
    if (n + 2 > LEFT) /* no room for the text on this line */
        fprintf(out, "%s\n%*s", left, LEFT, "");
    else
        fprintf(out, "%-*s", LEFT, left);
    print_wrapped(out, text, LEFT, LEFT);
}

static void print_option(FILE *out, const am_option *opt)
{
    char left[80], letter[8] = "";
    if (opt->letter) snprintf(letter, sizeof letter, "-%c, ", opt->letter);
    snprintf(left, sizeof left, "  %s--%s%s%s", letter, opt->name, opt->value ? " " : "",
             opt->value ? opt->value : "");
    print_entry(out, left, opt->help);
}

void am_help_print(FILE *out, const am_syntax *syntax)
{
    const am_option help = {'h', "help", NULL, "print this text"};
    fprintf(out, "usage: altmin %s %s\n\n", syntax->verb, syntax->usage);
    print_wrapped(out, syntax->summary, 0, 0);
    fprintf(out, "\nOptions:\n");
    for (size_t i = 0; i < syntax->n_options; i++) print_option(out, &syntax->option[i]);
    print_option(out, &help);
    if (syntax->all_settings || syntax->setting) {
        fputc('\n', out);
        am_settings_help(out, syntax->all_settings ? NULL : syntax->setting);
    }
    if (syntax->notes) fprintf(out, "\n%s", syntax->notes);
}
