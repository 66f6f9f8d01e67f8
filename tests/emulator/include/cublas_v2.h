/* Stand-in for cuBLAS's header: what src/kernels/cuda/library.h lists, with the same argument conventions.
 * The functions are in a shared object of the name the loader asks for (cublas.cpp), so loading by name is
 * exercised too. */
#ifndef AM_EMULATED_CUBLAS_H
#define AM_EMULATED_CUBLAS_H

#include "cuda_runtime.h"

#define CUBLAS_VER_MAJOR 99

typedef struct am_emulated_blas *cublasHandle_t;
enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_ALLOC_FAILED = 3,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_EXECUTION_FAILED = 13
};
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasFillMode_t { CUBLAS_FILL_MODE_LOWER = 0, CUBLAS_FILL_MODE_UPPER = 1 };
enum cublasSideMode_t { CUBLAS_SIDE_LEFT = 0, CUBLAS_SIDE_RIGHT = 1 };
enum cublasDiagType_t { CUBLAS_DIAG_NON_UNIT = 0 };
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT = -1 };
enum cublasComputeType_t {
    CUBLAS_COMPUTE_32F = 68,
    CUBLAS_COMPUTE_32F_FAST_16BF = 75,
    CUBLAS_COMPUTE_32F_FAST_TF32 = 77
};
enum cudaDataType { CUDA_R_32F = 0 };

extern "C" {
cublasStatus_t cublasCreate_v2(cublasHandle_t *handle);
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle);
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream);
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t n_bytes);
cublasStatus_t cublasGetVersion_v2(cublasHandle_t handle, int *version);
const char *cublasGetStatusString(cublasStatus_t status);
cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int64_t m,
                               int64_t n, int64_t k, const void *alpha, const void *a, cudaDataType type_a,
                               int64_t lda, const void *b, cudaDataType type_b, int64_t ldb, const void *beta,
                               void *c, cudaDataType type_c, int64_t ldc, cublasComputeType_t compute,
                               cublasGemmAlgo_t algo);
cublasStatus_t cublasSsyrk_v2_64(cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t t, int64_t n,
                                 int64_t k, const float *alpha, const float *a, int64_t lda,
                                 const float *beta, float *c, int64_t ldc);
cublasStatus_t cublasSgemv_v2_64(cublasHandle_t handle, cublasOperation_t t, int64_t m, int64_t n,
                                 const float *alpha, const float *a, int64_t lda, const float *x,
                                 int64_t incx, const float *beta, float *y, int64_t incy);
cublasStatus_t cublasDtrsm_v2_64(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,
                                 cublasOperation_t t, cublasDiagType_t diag, int64_t m, int64_t n,
                                 const double *alpha, const double *a, int64_t lda, double *b, int64_t ldb);
}

#endif
