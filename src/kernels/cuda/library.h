/* cuBLAS and cuSOLVER, loaded when the backend is opened and not when the program starts: a binary built with CUDA also
 * runs where neither driver nor libraries are installed. The lists below are everything altmin uses of them. */
#ifndef AM_CUDA_LIBRARY_H
#define AM_CUDA_LIBRARY_H

#include "kernels/cuda/base.h"

#define AM_BLAS_FUNCTIONS(X)                                                                                 \
    X(cublasCreate_v2)                                                                                       \
    X(cublasDestroy_v2)                                                                                      \
    X(cublasSetStream_v2)                                                                                    \
    X(cublasSetWorkspace_v2)                                                                                 \
    X(cublasGetVersion_v2)                                                                                   \
    X(cublasGetStatusString)                                                                                 \
    X(cublasGemmEx_64)                                                                                       \
    X(cublasSsyrk_v2_64)                                                                                     \
    X(cublasSgemv_v2_64)                                                                                     \
    X(cublasDtrsm_v2_64)

#define AM_SOLVER_FUNCTIONS(X)                                                                               \
    X(cusolverDnCreate)                                                                                      \
    X(cusolverDnDestroy)                                                                                     \
    X(cusolverDnSetStream)                                                                                   \
    X(cusolverDnDpotrf_bufferSize)                                                                           \
    X(cusolverDnDpotrf)                                                                                      \
    X(cusolverDnDsyevd_bufferSize)                                                                           \
    X(cusolverDnDsyevd)

#define AM_LIBRARY_POINTER(name) decltype(&::name) name;
/** The functions, called as blas->cublasGemmEx_64(...), solver->cusolverDnDpotrf(...). */
typedef struct am_blas {
    AM_BLAS_FUNCTIONS(AM_LIBRARY_POINTER)
    void *library;
} am_blas;
typedef struct am_solver {
    AM_SOLVER_FUNCTIONS(AM_LIBRARY_POINTER)
    void *library;
} am_solver;
#undef AM_LIBRARY_POINTER

/** Load both. Returns 1, or 0 with the reason in `reason` (n_reason bytes). */
int am_libraries_load(am_blas *blas, am_solver *solver, char *reason, size_t n_reason);
/** Unload. Zeroed tables are fine. */
void am_libraries_unload(am_blas *blas, am_solver *solver);

#endif
