/* Names of backends: shared by settings (which parses them) and the backend table (which opens them). */
#ifndef AM_BACKEND_KIND_H
#define AM_BACKEND_KIND_H

typedef enum am_backend_kind {
    AM_BACKEND_AUTO,
    AM_BACKEND_REF,
    AM_BACKEND_CPU,
    AM_BACKEND_CUDA
} am_backend_kind;
#endif
