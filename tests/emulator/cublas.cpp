/* cuBLAS of the emulated device, over OpenBLAS: same arguments, same order of work, and the rounding of
 * operands that the tensor-core modes do. A handle whose workspace was not set after its stream is refused:
 * its products would not repeat bit for bit on a GPU. */
#include "emulator.h"

#include <cblas.h>

#include <cmath>
#include <cstdlib>
#include <vector>

#include "include/cublas_v2.h"

struct am_emulated_blas {
    cudaStream_t stream = nullptr;
    bool has_workspace = false;
};

namespace
{

cublasStatus_t library_call()
{
    return am_emulator_due(AM_FAULT_LIBRARY) ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

/* What every product checks first. */
cublasStatus_t product_call(cublasHandle_t handle, bool valid)
{
    if (!valid) return CUBLAS_STATUS_INVALID_VALUE;
    if (!handle->stream || !handle->has_workspace) return CUBLAS_STATUS_EXECUTION_FAILED;
    return library_call();
}

CBLAS_TRANSPOSE trans(cublasOperation_t t)
{
    return t == CUBLAS_OP_T ? CblasTrans : CblasNoTrans;
}
CBLAS_UPLO uplo_of(cublasFillMode_t f)
{
    return f == CUBLAS_FILL_MODE_LOWER ? CblasLower : CblasUpper;
}

/* To the nearest float with `bits` bits of mantissa. */
float rounded(float x, int bits)
{
    if (!std::isfinite(x)) return x;
    uint32_t u;
    std::memcpy(&u, &x, sizeof u);
    const uint32_t unit = 1u << (23 - bits);
    u = (u + unit / 2 - 1 + ((u / unit) & 1)) & ~(unit - 1);
    std::memcpy(&x, &u, sizeof x);
    return x;
}

/* A copy of a rows x cols operand, rounded as the compute type says. */
std::vector<float> operand(const float *a, int64_t rows, int64_t cols, int64_t ld,
                           cublasComputeType_t compute)
{
    std::vector<float> copy((size_t)(rows * cols));
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = 0; i < rows; i++) {
            const float x = a[i + j * ld];
            copy[(size_t)(i + j * rows)] = compute == CUBLAS_COMPUTE_32F             ? x
                                           : compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? rounded(x, 10)
                                                                                     : rounded(x, 7);
        }
    return copy;
}

} // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    *handle = nullptr;
    const cublasStatus_t status = library_call();
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    *handle = new am_emulated_blas();
    am_emulator_count(+1);
    return status;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    delete handle;
    am_emulator_count(-1);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    handle->has_workspace = false;
    return library_call();
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t n_bytes)
{
    handle->has_workspace = workspace && n_bytes;
    return library_call();
}
cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int *version)
{
    *version = CUBLAS_VER_MAJOR * 10000;
    return library_call();
}
const char *cublasGetStatusString(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "success";
    case CUBLAS_STATUS_ALLOC_FAILED: return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE: return "an unsupported value or parameter was passed to the function";
    default: return "the function failed to launch on the GPU";
    }
}

cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int64_t m,
                               int64_t n, int64_t k, const void *alpha, const void *a, cudaDataType,
                               int64_t lda, const void *b, cudaDataType, int64_t ldb, const void *beta,
                               void *c, cudaDataType, int64_t ldc, cublasComputeType_t compute,
                               cublasGemmAlgo_t)
{
    const int64_t rows_a = ta == CUBLAS_OP_T ? k : m, cols_a = ta == CUBLAS_OP_T ? m : k;
    const int64_t rows_b = tb == CUBLAS_OP_T ? n : k, cols_b = tb == CUBLAS_OP_T ? k : n;
    const cublasStatus_t status = product_call(handle, m > 0 && n > 0 && k > 0 && lda >= rows_a &&
                                                           ldb >= rows_b && ldc >= m && a && b && c);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    const float alpha_now = *(const float *)alpha, beta_now = *(const float *)beta;
    am_emulator_enqueue(handle->stream, [=] {
        const std::vector<float> x = operand((const float *)a, rows_a, cols_a, lda, compute);
        const std::vector<float> y = operand((const float *)b, rows_b, cols_b, ldb, compute);
        cblas_sgemm(CblasColMajor, trans(ta), trans(tb), (int)m, (int)n, (int)k, alpha_now, x.data(),
                    (int)rows_a, y.data(), (int)rows_b, beta_now, (float *)c, (int)ldc);
    });
    return status;
}

cublasStatus_t cublasSsyrk_v2_64(cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t t, int64_t n,
                                 int64_t k, const float *alpha, const float *a, int64_t lda,
                                 const float *beta, float *c, int64_t ldc)
{
    const cublasStatus_t status =
        product_call(handle, n > 0 && k > 0 && lda >= (t == CUBLAS_OP_T ? k : n) && ldc >= n);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    const float alpha_now = *alpha, beta_now = *beta;
    am_emulator_enqueue(handle->stream, [=] {
        cblas_ssyrk(CblasColMajor, uplo_of(uplo), trans(t), (int)n, (int)k, alpha_now, a, (int)lda, beta_now,
                    c, (int)ldc);
    });
    return status;
}

cublasStatus_t cublasSgemv_v2_64(cublasHandle_t handle, cublasOperation_t t, int64_t m, int64_t n,
                                 const float *alpha, const float *a, int64_t lda, const float *x,
                                 int64_t incx, const float *beta, float *y, int64_t incy)
{
    const cublasStatus_t status = product_call(handle, m > 0 && n > 0 && lda >= m && incx == 1 && incy == 1);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    const float alpha_now = *alpha, beta_now = *beta;
    am_emulator_enqueue(handle->stream, [=] {
        /* with beta = 0 y may hold NaN, which must not count */
        if (beta_now == 0.0f) std::memset(y, 0, (size_t)(t == CUBLAS_OP_T ? n : m) * sizeof(float));
        cblas_sgemv(CblasColMajor, trans(t), (int)m, (int)n, alpha_now, a, (int)lda, x, 1, beta_now, y, 1);
    });
    return status;
}

cublasStatus_t cublasDtrsm_v2_64(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,
                                 cublasOperation_t t, cublasDiagType_t, int64_t m, int64_t n,
                                 const double *alpha, const double *a, int64_t lda, double *b, int64_t ldb)
{
    const cublasStatus_t status =
        product_call(handle, m > 0 && n > 0 && lda >= (side == CUBLAS_SIDE_LEFT ? m : n) && ldb >= m);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    const double alpha_now = *alpha;
    am_emulator_enqueue(handle->stream, [=] {
        cblas_dtrsm(CblasColMajor, side == CUBLAS_SIDE_LEFT ? CblasLeft : CblasRight, uplo_of(uplo), trans(t),
                    CblasNonUnit, (int)m, (int)n, alpha_now, a, (int)lda, b, (int)ldb);
    });
    return status;
}
}
