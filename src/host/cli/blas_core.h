/* OpenBLAS picks its kernels by the CPU's model number. Releases older than a CPU do not know it and fall
 * back to the AVX2 ("Haswell") kernels even where AVX-512 is there: Debian 12's 0.3.21 does so on Sapphire
 * Rapids, at .6 of the speed. OPENBLAS_CORETYPE overrides the choice, but OpenBLAS reads it when it is
 * loaded, before main. */
#ifndef AM_BLAS_CORE_H
#define AM_BLAS_CORE_H

/** Call first in main. On an AVX-512 CPU for which OpenBLAS chose kernels without AVX-512, set
 * OPENBLAS_CORETYPE and start this program again (once); elsewhere, or when the user has set
 * OPENBLAS_CORETYPE, do nothing. Returns when nothing is to be done or the restart is not possible: altmin
 * then runs, only slower. */
void am_blas_core_correct(char **argv);

/** Was OPENBLAS_CORETYPE set by am_blas_core_correct (1) rather than by the user or not at all (0)? */
int am_blas_core_was_corrected(void);

#endif
