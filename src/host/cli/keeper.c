/* Model copies and saves of a running training; see keeper.h. */
#include "host/cli/keeper.h"
#include "host/cli/cli.h"

#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct am_keeper {
    const altmin_trainer *trainer;
    const char *path;
    double save_every_s, copy_every_s; /* seconds */
    double copied_s, saved_s;          /* when, on the monotonic clock */
    pthread_mutex_t lock;              /* guards model, model_is_new and the file */
    altmin_model *model;               /* copy of the best model at copied_s; NULL: none yet */
    int model_is_new;                  /* the copy has not been written */
    int warned;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

altmin_error am_keeper_new(am_keeper **keeper, const altmin_trainer *trainer, const char *path,
                           double save_every_s, altmin_status *st)
{
    am_keeper *k = calloc(1, sizeof *k);
    if (!k) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory to keep the model");
    k->trainer = trainer;
    k->path = path;
    k->save_every_s = save_every_s;
    /* A copy costs a pass over the weights: once a second is nothing beside any training. */
    k->copy_every_s = save_every_s > 0 && save_every_s < 1 ? save_every_s : 1;
    k->saved_s = now_s();
    k->copied_s = -INFINITY; /* the first measured sweep is copied at once */
    pthread_mutex_init(&k->lock, NULL);
    *keeper = k;
    return ALTMIN_OK;
}

/* Write the copy; the lock is held. */
static altmin_error write_copy(am_keeper *k, altmin_status *st)
{
    if (!k->model_is_new) return ALTMIN_OK;
    if (altmin_model_save(k->model, k->path, st)) return st->code;
    k->model_is_new = 0;
    return ALTMIN_OK;
}

static void warn_once(am_keeper *k, const altmin_status *st)
{
    if (!k->warned) am_cli_warn("train", "could not save during the run: %s", st->message);
    k->warned = 1;
}

static int on_sweep(void *user, const altmin_sweep_report *report, const am_layer_report *layer,
                    size_t n_layers)
{
    (void)layer, (void)n_layers;
    am_keeper *k = user;
    const double now = now_s();
    if (!report->evaluated || now - k->copied_s < k->copy_every_s) return 0;

    altmin_status st = {0};
    altmin_model *fresh = NULL;
    if (altmin_trainer_model(k->trainer, &fresh, &st)) return warn_once(k, &st), 0;
    pthread_mutex_lock(&k->lock);
    altmin_model *stale = k->model;
    k->model = fresh;
    k->model_is_new = 1;
    k->copied_s = now;
    if (k->save_every_s > 0 && now - k->saved_s >= k->save_every_s) {
        if (write_copy(k, &st)) warn_once(k, &st);
        k->saved_s = now_s();
    }
    pthread_mutex_unlock(&k->lock);
    altmin_model_free(stale);
    return 0;
}

am_observer am_keeper_observer(am_keeper *keeper)
{
    /* Nothing to copy for when nothing is to be written. */
    return (am_observer){.sweep = keeper->path ? on_sweep : NULL, .user = keeper};
}

void am_keeper_rescue(void *keeper)
{
    am_keeper *k = keeper;
    altmin_status st = {0};
    pthread_mutex_lock(&k->lock);
    const int had_news = k->model_is_new;
    if (write_copy(k, &st))
        fprintf(stderr, "altmin train: could not save: %s\n", st.message);
    else if (had_news)
        fprintf(stderr, "altmin train: wrote %s (best model of the finished sweeps)\n", k->path);
    pthread_mutex_unlock(&k->lock);
}

altmin_error am_keeper_finish(am_keeper *keeper, size_t *n_bytes, altmin_status *st)
{
    struct stat info;
    altmin_model *model = NULL;
    if (n_bytes) *n_bytes = 0;
    if (!keeper->path) return ALTMIN_OK;
    if (altmin_trainer_model(keeper->trainer, &model, st)) return st->code;
    pthread_mutex_lock(&keeper->lock);
    altmin_model_free(keeper->model);
    keeper->model = model;
    keeper->model_is_new = 1;
    const altmin_error error = write_copy(keeper, st);
    pthread_mutex_unlock(&keeper->lock);
    if (!error && n_bytes && stat(keeper->path, &info) == 0) *n_bytes = (size_t)info.st_size;
    return error;
}

void am_keeper_free(am_keeper *keeper)
{
    if (!keeper) return;
    altmin_model_free(keeper->model);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}

altmin_error am_output_check(const char *path, const char *option, altmin_status *st)
{
    struct stat info;
    if (!*path) return am_fail(st, ALTMIN_ERR_USAGE, "%s needs a file name, not an empty text", option);
    const int exists = stat(path, &info) == 0;
    if (exists && S_ISDIR(info.st_mode))
        return am_fail(st, ALTMIN_ERR_USAGE, "%s: '%s' is a folder; give a file name", option, path);
    if (exists && !S_ISREG(info.st_mode)) return ALTMIN_OK; /* a pipe or device is written as it is */
    char *copy =
        exists ? realpath(path, NULL) : strdup(path); /* a link is followed, as am_file_replace does */
    if (!copy) return am_fail(st, ALTMIN_ERR_IO, "%s: '%s': %s", option, path, strerror(errno));
    const char *folder = dirname(copy);
    altmin_error error = ALTMIN_OK;
    if (access(folder, W_OK | X_OK) != 0)
        error = am_fail(st, ALTMIN_ERR_IO, "%s: cannot write '%s': folder '%s': %s", option, path, folder,
                        strerror(errno));
    free(copy);
    return error;
}
