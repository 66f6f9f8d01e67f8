/* Keeps the model of a running training safe: copies the driver's best model after evaluated sweeps, writes
 * it to the output file every now and then and at the end, and hands the last copy to the file when the run
 * is cut short. Every write is atomic (temporary, fsync, rename): a killed run leaves the old file or a whole
 * new one. */
#ifndef AM_KEEPER_H
#define AM_KEEPER_H

#include "host/train/driver.h"

typedef struct am_keeper am_keeper;

/** `path` NULL: save nowhere. save_every_s: seconds between saves during the run; 0: only at the end. */
altmin_error am_keeper_new(am_keeper **keeper, const altmin_trainer *trainer, const char *path,
                           double save_every_s, altmin_status *st);
/** Observer to be given to am_trainer_run. A periodic save that fails is reported on stderr once and tried
 * again. */
am_observer am_keeper_observer(am_keeper *keeper);
/** Write the last copy if it is newer than the file, for a process about to end; callable from another thread
 * while the run goes on. Failures are reported on stderr. */
void am_keeper_rescue(void *keeper);
/** Write the trainer's best model. *n_bytes (may be NULL) receives the size of the file. */
altmin_error am_keeper_finish(am_keeper *keeper, size_t *n_bytes, altmin_status *st);
void am_keeper_free(am_keeper *keeper);

/** Can a file be written at `path` (by am_file_replace: a temporary in its folder, renamed)? Checked before
 * work begins. `option` names the option in the message. */
altmin_error am_output_check(const char *path, const char *option, altmin_status *st);

#endif
