/* How long an idle OpenMP thread spins before it sleeps. libgomp's default, milliseconds, suits a machine of
 * one's own; as soon as something else runs, spinning threads keep the working ones off the cores: small
 * networks then trained 5 to 20 times slower on a busy two-core machine. A spin of 1000 rounds costs at most
 * 3 % on an idle machine and none of that on a busy one. libgomp reads the number when it is loaded, before
 * main. */
#ifndef AM_SPIN_H
#define AM_SPIN_H

/** Call first in main: unless the user has set GOMP_SPINCOUNT or OMP_WAIT_POLICY, set a short spin and start
 * this program again, once. Returns when nothing is to be done or the restart is not possible: altmin then
 * runs all the same. */
void am_spin_shorten(char **argv);

#endif
