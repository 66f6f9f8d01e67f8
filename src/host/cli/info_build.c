/* `altmin info` without a subject: version, compiler, CPU, backends, methods. */
#include "host/cli/info.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/io/json.h"
#include "host/io/machine.h"
#include "host/train/settings.h"
#include "kernels/backend.h"

#if defined(__clang__)
static const char compiler[] = "clang " __clang_version__;
#else
static const char compiler[] = "gcc " __VERSION__;
#endif

static const am_backend_kind kinds[] = {AM_BACKEND_REF, AM_BACKEND_CPU, AM_BACKEND_CUDA};
static const char *const kind_names[] = {"ref", "cpu", "cuda"};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* What one backend says of itself when it is opened, or why it cannot be. */
typedef struct backend_info {
    int available;
    size_t n_threads;
    char detail[sizeof((altmin_status *)0)->message];
} backend_info;

static void ask_backend(backend_info *info, am_backend_kind kind)
{
    am_ctx *ctx;
    altmin_status st = {0};
    const am_open_options opt = {0};
    *info = (backend_info){0};
    const char *missing = am_backend_missing(kind);
    if (missing) {
        snprintf(info->detail, sizeof info->detail, "%s", missing);
    } else if (am_backend_open(&ctx, kind, &opt, &st)) {
        snprintf(info->detail, sizeof info->detail, "%s", st.message);
    } else {
        info->available = 1;
        info->n_threads = ctx->n_threads;
        snprintf(info->detail, sizeof info->detail, "%s", ctx->detail);
        am_backend_close(ctx);
    }
}

/* 1 when the CPU has the instructions of OpenBLAS' AVX-512 kernels and the kernels in use are others. */
static int misses_avx512(void)
{
#if defined(__x86_64__)
    static const char *const wide[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
        return 0;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (strcmp(openblas_get_corename(), wide[i]) == 0) return 0;
    return 1;
#else
    return 0;
#endif
}

static void print_openblas(void)
{
    const char *forced = getenv("OPENBLAS_CORETYPE");
    printf("OpenBLAS  %s\n          kernels for %s", openblas_get_config(), openblas_get_corename());
    if (forced) printf(", asked for by OPENBLAS_CORETYPE=%s", forced);
    putchar('\n');
    if (misses_avx512())
        printf("          this CPU has AVX-512: %s may be faster\n",
               forced ? "without OPENBLAS_CORETYPE products" : "with OPENBLAS_CORETYPE=SkylakeX products");
}

static void print_text(const backend_info *backend, const char *cpu)
{
    const char *const *method = am_setting_choices(am_setting_find("method"));
    printf("altmin    %s\n", altmin_version());
    printf("compiler  %s\n", compiler);
    printf("cpu       %s\n", cpu);
    for (size_t i = 0; i < N_KINDS; i++) {
        const backend_info *b = &backend[i];
        printf("%-9s %-4s  %s%s", i ? "" : "backends", kind_names[i],
               b->available ? "" : "not available: ", b->detail);
        if (b->available)
            printf("%s%zu thread%s", b->detail[0] ? ", " : "", b->n_threads, b->n_threads == 1 ? "" : "s");
        putchar('\n');
    }
    print_openblas();
    printf("methods  ");
    for (; *method; method++) printf(" %s", *method);
    putchar('\n');
}

static void print_json_backend(const backend_info *b, const char *name)
{
    printf("{\"name\":\"%s\",\"available\":%s,\"threads\":", name, b->available ? "true" : "false");
    if (b->available)
        printf("%zu", b->n_threads);
    else
        printf("null");
    printf(",\"detail\":");
    am_json_put_string(stdout, b->detail);
    putchar('}');
}

static void print_json(const backend_info *backend, const char *cpu)
{
    const char *const *method = am_setting_choices(am_setting_find("method"));
    printf("{\"version\":\"%s\",\"compiler\":", altmin_version());
    am_json_put_string(stdout, compiler);
    printf(",\"cpu\":");
    am_json_put_string(stdout, cpu);
    printf(",\"backends\":[");
    for (size_t i = 0; i < N_KINDS; i++) {
        if (i) putchar(',');
        print_json_backend(&backend[i], kind_names[i]);
    }
    printf("],\"openblas\":");
    am_json_put_string(stdout, openblas_get_config());
    printf(",\"openblas_core\":");
    am_json_put_string(stdout, openblas_get_corename());
    printf(",\"methods\":[");
    for (size_t i = 0; method[i]; i++) printf("%s\"%s\"", i ? "," : "", method[i]);
    printf("]}\n");
}

void am_info_build(int json)
{
    char cpu[200];
    backend_info backend[N_KINDS];
    am_machine_cpu(cpu, sizeof cpu);
    for (size_t i = 0; i < N_KINDS; i++) ask_backend(&backend[i], kinds[i]);
    if (json)
        print_json(backend, cpu);
    else
        print_text(backend, cpu);
}
