/* cuSOLVER of the emulated device, over LAPACK: same arguments, info on the device, and a workspace that the caller brings
 * and that holds nothing afterwards. */
#include "emulator.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "include/cusolverDn.h"

extern "C" {
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
             double *work, const int *n_work, int *iwork, const int *n_iwork, int *info);
}

struct am_emulated_solver {
    cudaStream_t stream = nullptr;
};

namespace
{

cusolverStatus_t library_call()
{
    return am_emulator_due(AM_FAULT_LIBRARY) ? CUSOLVER_STATUS_EXECUTION_FAILED : CUSOLVER_STATUS_SUCCESS;
}

/* Doubles asked for; what of it is used is up to the library. */
int workspace_of(int n)
{
    return 2 * n + 64;
}

const char *uplo_of(cublasFillMode_t f)
{
    return f == CUBLAS_FILL_MODE_LOWER ? "L" : "U";
}

cusolverStatus_t solver_call(cusolverDnHandle_t handle, int n, int lda, int n_work)
{
    if (n < 1 || lda < n || n_work < workspace_of(n)) return CUSOLVER_STATUS_INVALID_VALUE;
    if (!handle->stream) return CUSOLVER_STATUS_EXECUTION_FAILED;
    return library_call();
}

} // namespace

extern "C" {

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t *handle)
{
    *handle = nullptr;
    const cusolverStatus_t status = library_call();
    if (status != CUSOLVER_STATUS_SUCCESS) return status;
    *handle = new am_emulated_solver();
    am_emulator_count(+1);
    return status;
}
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle)
{
    delete handle;
    am_emulator_count(-1);
    return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return library_call();
}

cusolverStatus_t cusolverDnDpotrf_bufferSize(cusolverDnHandle_t, cublasFillMode_t, int n, double *, int,
                                             int *n_work)
{
    *n_work = workspace_of(n);
    return library_call();
}
cusolverStatus_t cusolverDnDpotrf(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n, double *a, int lda,
                                  double *work, int n_work, int *info)
{
    const cusolverStatus_t status = solver_call(handle, n, lda, n_work);
    if (status != CUSOLVER_STATUS_SUCCESS) return status;
    am_emulator_enqueue(handle->stream, [=] {
        std::fill(work, work + n_work, std::nan(""));
        dpotrf_(uplo_of(uplo), &n, a, &lda, info);
    });
    return status;
}

cusolverStatus_t cusolverDnDsyevd_bufferSize(cusolverDnHandle_t, cusolverEigMode_t, cublasFillMode_t, int n,
                                             const double *, int, const double *, int *n_work)
{
    *n_work = workspace_of(n);
    return library_call();
}
cusolverStatus_t cusolverDnDsyevd(cusolverDnHandle_t handle, cusolverEigMode_t vectors, cublasFillMode_t uplo,
                                  int n, double *a, int lda, double *w, double *work, int n_work, int *info)
{
    const cusolverStatus_t status = solver_call(handle, n, lda, n_work);
    if (status != CUSOLVER_STATUS_SUCCESS) return status;
    am_emulator_enqueue(handle->stream, [=] {
        const size_t d = (size_t)n;
        const int n_own = 1 + 6 * n + 2 * n * n, n_int = 3 + 5 * n;
        std::vector<double> own(1 + 6 * d + 2 * d * d);
        std::vector<int> integers(3 + 5 * d);
        std::fill(work, work + n_work, std::nan(""));
        dsyevd_(vectors == CUSOLVER_EIG_MODE_VECTOR ? "V" : "N", uplo_of(uplo), &n, a, &lda, w, own.data(),
                &n_own, integers.data(), &n_int, info);
    });
    return status;
}
}
