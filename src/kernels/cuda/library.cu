/* Loading cuBLAS and cuSOLVER by name: first as the system's loader finds them, then in the folder of the toolkit altmin was
 * built with. */
#include "kernels/cuda/library.h"

#include <dlfcn.h>

#define AM_TEXT_OF(x)  #x
#define AM_TEXT(x)     AM_TEXT_OF(x)
#define AM_BLAS_FILE   "libcublas.so." AM_TEXT(CUBLAS_VER_MAJOR)
#define AM_SOLVER_FILE "libcusolver.so." AM_TEXT(CUSOLVER_VER_MAJOR)
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

/* The library, or NULL with the reason. */
static void *load(const char *file, const char *in_toolkit, char *reason, size_t n_reason)
{
    /* never unloaded, once there: asking whether cuda is there and opening it then load it once, and cuBLAS takes
     * badly to leaving early */
    const int how = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
    void *library = dlopen(file, how);
    if (!library) library = dlopen(in_toolkit, how);
    if (!library)
        snprintf(reason, n_reason,
                 "%s cannot be loaded; install CUDA's run-time libraries or set LD_LIBRARY_PATH", file);
    return library;
}

#define AM_RESOLVE_BLAS(name)                                                                                \
    if (!resolve(blas->library, AM_TEXT_OF(name), &blas->name)) missing = AM_TEXT_OF(name);
#define AM_RESOLVE_SOLVER(name)                                                                              \
    if (!resolve(solver->library, AM_TEXT_OF(name), &solver->name)) missing = AM_TEXT_OF(name);

int am_libraries_load(am_blas *blas, am_solver *solver, char *reason, size_t n_reason)
{
    memset(blas, 0, sizeof *blas);
    memset(solver, 0, sizeof *solver);
    blas->library = load(AM_BLAS_FILE, ALTMIN_CUDA_LIBRARY_DIR "/" AM_BLAS_FILE, reason, n_reason);
    if (blas->library)
        solver->library = load(AM_SOLVER_FILE, ALTMIN_CUDA_LIBRARY_DIR "/" AM_SOLVER_FILE, reason, n_reason);
    if (!solver->library) {
        am_libraries_unload(blas, solver);
        return 0;
    }
    const char *missing = NULL;
    AM_BLAS_FUNCTIONS(AM_RESOLVE_BLAS)
    AM_SOLVER_FUNCTIONS(AM_RESOLVE_SOLVER)
    if (!missing) return 1;
    snprintf(reason, n_reason, "CUDA's libraries have no %s; version 12.4 or later is needed", missing);
    am_libraries_unload(blas, solver);
    return 0;
}

void am_libraries_unload(am_blas *blas, am_solver *solver)
{
    if (blas->library) dlclose(blas->library);
    if (solver->library) dlclose(solver->library);
    memset(blas, 0, sizeof *blas);
    memset(solver, 0, sizeof *solver);
}
