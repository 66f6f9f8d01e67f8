/* cuBLAS, loaded when the backend is opened and not when the program starts: a binary built with CUDA also
 * runs where neither driver nor libraries are installed. The list below is everything altmin uses of it.
 * cuSOLVER is not used: its factorizations cannot be recorded into a CUDA graph, which every sweep is
 * (solve.cu has altmin's own). */
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
    X(cublasDsyrk_v2_64)                                                                                     \
    X(cublasDtrsm_v2_64)

#define AM_BLAS_POINTER(name) decltype(&::name) name;
/** The functions, called as blas->cublasGemmEx_64(...). */
typedef struct am_blas {
    AM_BLAS_FUNCTIONS(AM_BLAS_POINTER)
    void *library;
} am_blas;
#undef AM_BLAS_POINTER

/** Load cuBLAS. Returns 1, or 0 with the reason in `reason` (n_reason bytes). */
int am_blas_load(am_blas *blas, char *reason, size_t n_reason);
/** Unload. A zeroed table is fine. */
void am_blas_unload(am_blas *blas);

#endif
