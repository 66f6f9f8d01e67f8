/* Elementwise maps of residual blocks a = a_prev + h(z): the gap is e = a - a_prev - h(z), a_prev the block's input. Included by
 * maps.h. Equations: ADMM for residual networks (Xu, Li, Xing 2023/2025), as written out in host/methods/radmm.h. */
#ifndef AM_MAPS_SKIP_H
#define AM_MAPS_SKIP_H

/* z step of a block, ReLU: z = reluprox(a - a_prev, m + k (z_old - m), g), m = p + r. x = p, a, a_prev, z_old; c = g, k as in
 * reluprox_z. Sums (z - m)^2, (z - z_old)^2. */
AM_MAP_FN(skip_z)
{
    AM_MAP_UNUSED;
    const float m = x[0] + r, z = am_reluprox(x[1] - x[2], m + c[1] * (x[3] - m), c[0]);
    const float e = z - m, d = z - x[3];
    y[0] = z;
    s[0] = e * e;
    s[1] = d * d;
}
/* Gradient in a of what holds it from below and from above: q + k (e - e_next). x = q, a, a_prev, z, a_next, z_next; c = k. */
AM_MAP_FN(skip_pull)
{
    AM_MAP_UNUSED;
    const float e = x[1] - x[2] - am_act_h(act, x[3]), e_next = x[4] - x[1] - am_act_h(act, x[5]);
    y[0] = x[0] + c[0] * (e - e_next);
}
/* The same above the input map, a = p + r: q + k (a - p - r) - k2 e_next. x = q, a, p, a_next, z_next; c = k, k2. */
AM_MAP_FN(skip_pull_first)
{
    AM_MAP_UNUSED;
    y[0] = x[0] + c[0] * (x[1] - x[2] - r) - c[1] * (x[3] - x[1] - am_act_h(act, x[4]));
}
/* The same below the head, which has no gap: q + k e. x = q, a, a_prev, z; c = k. */
AM_MAP_FN(skip_pull_last)
{
    AM_MAP_UNUSED;
    y[0] = x[0] + c[0] * (x[1] - x[2] - am_act_h(act, x[3]));
}
/* a <- a - t d. x = a, d, a_prev, z; c = t. Sums (t d)^2, e^2; max |e|. */
AM_MAP_FN(skip_move)
{
    AM_MAP_UNUSED;
    const float d = c[0] * x[1], e = x[0] - d - x[2] - am_act_h(act, x[3]);
    y[0] = x[0] - d;
    s[0] = d * d;
    s[1] = e * e;
    *mx = fabsf(e);
}
/* The same above the input map: x = a, d, p; c = t. Sums (t d)^2, (a - p - r)^2. */
AM_MAP_FN(skip_move_first)
{
    AM_MAP_UNUSED;
    const float d = c[0] * x[1], e = x[0] - d - x[2] - r;
    y[0] = x[0] - d;
    s[0] = d * d;
    s[1] = e * e;
}
/* The gap alone. x = a, a_prev, z. Sum e^2; max |e|. */
AM_MAP_FN(skip_gap)
{
    AM_MAP_UNUSED;
    const float e = x[0] - x[1] - am_act_h(act, x[2]);
    s[0] = e * e;
    *mx = fabsf(e);
}
/* -d(e^2/2)/dz = h'(z) e. x = a, a_prev, z. */
AM_MAP_FN(skip_slope)
{
    AM_MAP_UNUSED;
    y[0] = am_act_dh(act, x[2]) * (x[0] - x[1] - am_act_h(act, x[2]));
}
/* How a step z - t q changes the gap: sum e_new^2 - e^2, formed element by element. x = a, a_prev, z, q; c = t. */
AM_MAP_FN(skip_trial_z)
{
    AM_MAP_UNUSED;
    const float h = am_act_h(act, x[2]), e = x[0] - x[1] - h;
    const float change = h - am_act_h(act, x[2] - c[0] * x[3]);
    s[0] = change * (2.0f * e + change);
}
/* How a step a - t g changes what holds a: k (a - low)^2 + e_next^2, where z_next moves to z_next - t q, q = W g.
 * x = a, g, low, a_next, z_next, q; c = t, k. Sum of the change, and of g^2. */
AM_MAP_FN(skip_trial_a)
{
    AM_MAP_UNUSED;
    const float d = c[0] * x[1], h = am_act_h(act, x[4]), e = x[3] - x[0] - h;
    const float change = d + (h - am_act_h(act, x[4] - c[0] * x[5]));
    s[0] = c[1] * d * (d - 2.0f * (x[0] - x[2])) + change * (2.0f * e + change);
    s[1] = x[1] * x[1];
}
/* y = x0 - t x1. c = t. Sum (t x1)^2. */
AM_MAP_FN(descend)
{
    AM_MAP_UNUSED;
    const float d = c[0] * x[1];
    y[0] = x[0] - d;
    s[0] = d * d;
}

#endif
