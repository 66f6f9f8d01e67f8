/* The `altmin` command: hands its arguments to a verb. One file per verb; see cli.h. */
#include "host/cli/cli.h"
#include "host/cli/spin.h"

#include <stdio.h>
#include <string.h>

#include "host/train/settings.h"

typedef struct verb {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} verb;

static const verb verbs[] = {
    {"train", "train a network and save it", am_cli_train},
    {"eval", "measure a saved model on labelled data", am_cli_eval},
    {"predict", "apply a saved model", am_cli_predict},
    {"info", "describe this build and machine, a model or a data file", am_cli_info},
    {"bench", "measure operations and sweeps on this machine", am_cli_bench},
    {"monitor", "judge the convergence of a stored run", am_cli_monitor},
};
enum { N_VERBS = sizeof verbs / sizeof *verbs };

static const verb *find_verb(const char *name)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
    return NULL;
}

static int print_help(FILE *out)
{
    fprintf(out, "usage: altmin VERB [options]\n\n"
                 "Training of fully connected networks without gradients, by alternating minimisation.\n\n");
    for (size_t i = 0; i < N_VERBS; i++) fprintf(out, "  %-9s %s\n", verbs[i].name, verbs[i].summary);
    fprintf(out, "  %-9s this text, or a verb's: altmin help train\n\n", "help");
    fprintf(out, "altmin VERB --help lists a verb's options; altmin --version prints the version.\n"
                 "First steps: 'altmin train' trains on embedded handwritten digits, no files needed;\n"
                 "then 'altmin eval altmin.safetensors --data digits'.\n");
    return out == stdout ? am_cli_flush("help") : AM_EXIT_USAGE;
}

static int unknown_verb(const char *name)
{
    const char *names[N_VERBS + 2];
    for (size_t i = 0; i < N_VERBS; i++) names[i] = verbs[i].name;
    names[N_VERBS] = "help";
    names[N_VERBS + 1] = NULL;
    const char *nearest = am_nearest_word(name, names);
    fprintf(stderr, "altmin: unknown verb '%.60s'", name);
    if (nearest)
        fprintf(stderr, ": did you mean 'altmin %s'?\n", nearest);
    else
        fprintf(stderr, "; 'altmin help' lists the verbs\n");
    return AM_EXIT_USAGE;
}

static int help_verb(int argc, char **argv)
{
    char option[] = "--help";
    if (argc < 2) return print_help(stdout);
    const verb *v = find_verb(argv[1]);
    if (!v) return unknown_verb(argv[1]);
    char *arguments[] = {argv[1], option, NULL};
    return v->run(2, arguments);
}

int main(int argc, char **argv)
{
    am_spin_shorten(argv);
    if (argc < 2) return print_help(stderr);
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return print_help(stdout);
    if (strcmp(name, "help") == 0) return help_verb(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("altmin %s\n", altmin_version());
        return am_cli_flush("version");
    }
    const verb *v = find_verb(name);
    return v ? v->run(argc - 1, argv + 1) : unknown_verb(name);
}
