/* The signal thread of a training run; see signals.h. */
#include "host/cli/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct am_signals {
    sigset_t watched, mask_before;
    pthread_t thread;
    pthread_mutex_t lock; /* guards armed, last, user */
    int armed;
    void (*last)(void *user);
    void *user;
    volatile int flag;
};

/* Wipe a progress line that may stand on the terminal, then print. */
static void say(const char *sentence)
{
    fprintf(stderr, "%s%s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "", sentence);
}

static void handle(am_signals *s, int signal_number)
{
    pthread_mutex_lock(&s->lock);
    const int armed = s->armed;
    if (!armed) _exit(128 + signal_number); /* nothing has been trained, nothing can be lost */
    if (!s->flag) {
        s->flag = 1;
        say("altmin: interrupted: finishing this sweep, then saving (Ctrl-C again: stop now)");
    } else {
        if (s->last) s->last(s->user);
        say("altmin: stopped");
        _exit(128 + signal_number);
    }
    pthread_mutex_unlock(&s->lock);
}

static void *watch(void *user)
{
    am_signals *s = user;
    for (;;) {
        int signal_number = 0;
        if (sigwait(&s->watched, &signal_number) != 0) continue;
        /* am_signals_stop must not cut off a last save half-way. */
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        handle(s, signal_number);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    }
    return NULL;
}

/* Watch a signal unless our parent had it ignored. */
static void add_signal(sigset_t *set, int signal_number)
{
    struct sigaction action;
    if (sigaction(signal_number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset(set, signal_number);
}

altmin_error am_signals_start(am_signals **signals, altmin_status *st)
{
    am_signals *s = calloc(1, sizeof *s);
    if (!s) return am_fail(st, ALTMIN_ERR_MEMORY, "no memory for the signal thread");
    sigemptyset(&s->watched);
    add_signal(&s->watched, SIGINT);
    add_signal(&s->watched, SIGTERM);
    pthread_mutex_init(&s->lock, NULL);
    pthread_sigmask(SIG_BLOCK, &s->watched, &s->mask_before);
    const int error = pthread_create(&s->thread, NULL, watch, s);
    if (error) {
        pthread_sigmask(SIG_SETMASK, &s->mask_before, NULL);
        pthread_mutex_destroy(&s->lock);
        free(s);
        return am_fail(st, ALTMIN_ERR_INTERNAL, "cannot start the signal thread: %s", strerror(error));
    }
    *signals = s;
    return ALTMIN_OK;
}

void am_signals_arm(am_signals *signals, void (*last)(void *user), void *user)
{
    pthread_mutex_lock(&signals->lock);
    signals->armed = 1;
    signals->last = last;
    signals->user = user;
    pthread_mutex_unlock(&signals->lock);
}

const volatile int *am_signals_flag(const am_signals *signals)
{
    return &signals->flag;
}

void am_signals_stop(am_signals *signals)
{
    if (!signals) return;
    pthread_cancel(signals->thread);
    pthread_join(signals->thread, NULL);
    pthread_sigmask(SIG_SETMASK, &signals->mask_before, NULL);
    pthread_mutex_destroy(&signals->lock);
    free(signals);
}
