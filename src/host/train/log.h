/* The JSONL run log, an observer of the driver: a header object, one object per sweep, a closing object. The
 * names in it are a promise that tests hold. */
#ifndef AM_LOG_H
#define AM_LOG_H

#include "host/train/driver.h"

typedef struct am_log am_log;

/** Open (truncate) a log file; each line is flushed as it is written, so a killed run leaves complete lines.
 */
altmin_error am_log_open(am_log **log, const char *path, altmin_status *st);
/** Observer to hand to am_trainer_run; valid until am_log_close. A failed write ends the logging, not the
 * run. */
am_observer am_log_observer(am_log *log);
/** Close and free (NULL: nothing to do); reports the first write error (disk full, ...) if there was one. */
altmin_error am_log_close(am_log *log, altmin_status *st);
#endif
