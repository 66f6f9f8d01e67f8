/* Restart with the right OpenBLAS kernels; blas_core.h says why. x86-64 Linux only, elsewhere nothing
 * happens. */
#include "host/cli/blas_core.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Marks the restarted process, so that it never restarts again and `altmin info` can tell who chose the
 * kernels. */
static const char *const marker = "ALTMIN_SET_CORETYPE";

#if defined(__x86_64__) && defined(__linux__)

/* The instructions that OpenBLAS' SkylakeX kernels use. The check includes the operating system's support. */
static int cpu_runs_skylakex(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

static int core_uses_avx512(const char *core)
{
    static const char *const cores[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
    for (size_t i = 0; i < sizeof cores / sizeof *cores; i++)
        if (strcasecmp(core, cores[i]) == 0) return 1;
    return 0;
}

void am_blas_core_correct(char **argv)
{
    if (getenv("OPENBLAS_CORETYPE") || getenv(marker)) return;
    if (!cpu_runs_skylakex() || core_uses_avx512(openblas_get_corename())) return;
    /* An OpenBLAS built for one core has no other kernels to offer. */
    if (!strstr(openblas_get_config(), "DYNAMIC_ARCH")) return;
    if (setenv(marker, "1", 1) || setenv("OPENBLAS_CORETYPE", "SkylakeX", 1)) return;
    execv("/proc/self/exe", argv);
    /* Not possible (no /proc): go on as we are, and do not mislead children. */
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv(marker);
}

#else

void am_blas_core_correct(char **argv)
{
    (void)argv;
}

#endif

int am_blas_core_was_corrected(void)
{
    return getenv(marker) && getenv("OPENBLAS_CORETYPE");
}
