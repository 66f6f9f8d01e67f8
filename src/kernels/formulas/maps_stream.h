/* Elementwise maps of the stream shell (host/train/stream.h). Included by maps.h. */
#ifndef AM_MAPS_STREAM_H
#define AM_MAPS_STREAM_H

/* r = c (z - m), m = p + r: how far a block moved its auxiliary. x = z, p; c = scale. */
AM_MAP_FN(displace)
{
    AM_MAP_UNUSED;
    y[0] = c[0] * (x[0] - (x[1] + r));
}
/* Weight update of a chunk: M+ = c0 M + c1 S, W+ = W + c2 M+. x = S, M, W; y = W+, M+. */
AM_MAP_FN(stream_step)
{
    AM_MAP_UNUSED;
    y[1] = c[0] * x[1] + c[1] * x[0];
    y[0] = x[2] + c[2] * y[1];
}

#endif
