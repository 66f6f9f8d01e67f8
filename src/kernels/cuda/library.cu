/* Loading cuBLAS by name: first as the system's loader finds it, then in the folder of the toolkit altmin was
 * built with. */
#include "kernels/cuda/library.h"

#include <dlfcn.h>

#define AM_TEXT_OF(x) #x
#define AM_TEXT(x)    AM_TEXT_OF(x)
#ifndef AM_CUBLAS_FILE
#define AM_CUBLAS_FILE "libcublas.so." AM_TEXT(CUBLAS_VER_MAJOR)
#endif
#ifndef ALTMIN_CUDA_LIBRARY_DIR
#define ALTMIN_CUDA_LIBRARY_DIR "/usr/local/cuda/lib64"
#endif

/* POSIX lets dlsym give functions as void *; the copy of bits is how to say so without a cast that C++
 * forbids. */
template <typename function> static int resolve(void *library, const char *name, function *pointer)
{
    void *symbol = dlsym(library, name);
    memcpy(pointer, &symbol, sizeof symbol);
    return symbol != NULL;
}

#define AM_BLAS_RESOLVE(name)                                                                                \
    if (!resolve(blas->library, AM_TEXT_OF(name), &blas->name)) missing = AM_TEXT_OF(name);

int am_blas_load(am_blas *blas, char *reason, size_t n_reason)
{
    memset(blas, 0, sizeof *blas);
    const char *const file = AM_CUBLAS_FILE;
    /* never unloaded, once there: asking whether cuda is there and opening it then load it once, and cuBLAS takes
     * badly to leaving early */
    const int how = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
    blas->library = dlopen(file, how);
    if (!blas->library && file) blas->library = dlopen(ALTMIN_CUDA_LIBRARY_DIR "/" AM_CUBLAS_FILE "", how);
    if (!blas->library) {
        snprintf(reason, n_reason,
                 "%s cannot be loaded; install CUDA's run-time libraries or set LD_LIBRARY_PATH", file);
        return 0;
    }
    const char *missing = NULL;
    AM_BLAS_FUNCTIONS(AM_BLAS_RESOLVE)
    if (!missing) return 1;
    snprintf(reason, n_reason, "cuBLAS has no %s; version 12.4 or later is needed", missing);
    am_blas_unload(blas);
    return 0;
}

void am_blas_unload(am_blas *blas)
{
    if (blas->library) dlclose(blas->library);
    memset(blas, 0, sizeof *blas);
}
