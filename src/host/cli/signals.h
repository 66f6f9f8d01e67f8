/* Ctrl-C (SIGINT) and SIGTERM during training: the first asks the driver to finish the sweep, the second ends
 * the process at once, after a last call that may save what there is.
 *
 * The signals are blocked everywhere and received by a thread of their own (sigwait), so what runs on them is
 * ordinary code: no async-signal restrictions, no global variables. */
#ifndef AM_SIGNALS_H
#define AM_SIGNALS_H

#include "base/status.h"

typedef struct am_signals am_signals;

/** Begin. Call before any other thread is made: threads inherit the blocked signals. Until am_signals_arm a
 * signal ends the process at once, as it would without this module. A signal the parent told us to ignore
 * (nohup, `&` in a script) stays ignored. */
altmin_error am_signals_start(am_signals **signals, altmin_status *st);
/** From here on the first signal sets the flag and says so on stderr; the second calls `last(user)` from the
 * signal thread and exits with 128 + signal. */
void am_signals_arm(am_signals *signals, void (*last)(void *user), void *user);
/** 1 after the first signal; what the driver polls. */
const volatile int *am_signals_flag(const am_signals *signals);
/** End the thread; later signals act as by default. NULL is allowed. */
void am_signals_stop(am_signals *signals);

#endif
