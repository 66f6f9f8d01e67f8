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
/* sum |x|. */
AM_MAP_FN(sum_abs)
{
    AM_MAP_UNUSED;
    s[0] = fabsf(x[0]);
}
/* a and z blocks in the linearised box: d = clip(c0 g, -c1, c1) moves a, and z follows by r = h'(z) d: active units go with a,
 * inactive ones stay at m. x = g = W'r of the layer above, a (= h(z), which gives h'); c = 1/tau, half-width of the box.
 * [mDLAM's blocks, relinearised; METHODS.md 9] */
AM_MAP_FN(box_displace)
{
    AM_MAP_UNUSED;
    y[0] = am_clip(c[0] * x[0], -c[1], c[1]) * am_act_dh_of_a(act, x[1]);
}
/* z block of the ReLU splittings from a consistent point (z = m) whose a moved by d: r = reluprox(h(z) + d, z, g) - z.
 * x = d, z; c = g = rho/gamma. [BCD, Zeng et al. 2019] */
AM_MAP_FN(reluprox_displace)
{
    AM_MAP_UNUSED;
    const float h = x[1] > 0.0f ? x[1] : 0.0f;
    y[0] = am_reluprox(h + x[0], x[1], c[0]) - x[1];
}
/* The same in a residual block, with the gap that it leaves: e = h(z) + d - h(z + r). y = r, e.
 * [ADMM for residual networks, Xu, Li, Xing 2023/2025] */
AM_MAP_FN(skip_displace)
{
    AM_MAP_UNUSED;
    const float h = x[1] > 0.0f ? x[1] : 0.0f, z = am_reluprox(h + x[0], x[1], c[0]);
    y[0] = z - x[1];
    y[1] = h + x[0] - (z > 0.0f ? z : 0.0f);
}

#endif
