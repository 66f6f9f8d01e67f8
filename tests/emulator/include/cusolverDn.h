/* Stand-in for cuSOLVER's header: what src/kernels/cuda/library.h lists, with the same argument conventions (cusolver.cpp).
 */
#ifndef AM_EMULATED_CUSOLVER_H
#define AM_EMULATED_CUSOLVER_H

#include "cublas_v2.h"

#define CUSOLVER_VER_MAJOR 99

typedef struct am_emulated_solver *cusolverDnHandle_t;
enum cusolverStatus_t {
    CUSOLVER_STATUS_SUCCESS = 0,
    CUSOLVER_STATUS_ALLOC_FAILED = 2,
    CUSOLVER_STATUS_INVALID_VALUE = 3,
    CUSOLVER_STATUS_EXECUTION_FAILED = 6
};
enum cusolverEigMode_t { CUSOLVER_EIG_MODE_NOVECTOR = 0, CUSOLVER_EIG_MODE_VECTOR = 1 };

extern "C" {
cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t *handle);
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle);
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream);
cusolverStatus_t cusolverDnDpotrf_bufferSize(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n,
                                             double *a, int lda, int *n_work);
cusolverStatus_t cusolverDnDpotrf(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n, double *a, int lda,
                                  double *work, int n_work, int *info);
cusolverStatus_t cusolverDnDsyevd_bufferSize(cusolverDnHandle_t handle, cusolverEigMode_t vectors,
                                             cublasFillMode_t uplo, int n, const double *a, int lda,
                                             const double *w, int *n_work);
cusolverStatus_t cusolverDnDsyevd(cusolverDnHandle_t handle, cusolverEigMode_t vectors, cublasFillMode_t uplo,
                                  int n, double *a, int lda, double *w, double *work, int n_work, int *info);
}

#endif
