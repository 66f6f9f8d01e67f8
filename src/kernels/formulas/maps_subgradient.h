/* Maps of steps_subgradient: what hangs on one hidden pair (z, a) at the point where a sweep ends. Included by maps.h. */
#ifndef AM_MAPS_SUBGRADIENT_H
#define AM_MAPS_SUBGRADIENT_H

/* Least element of the subdifferential in (z, a) of rho/2 (z - m)^2 + a rho q under |a - h(z)| <= eps, m = p + r, q = W'R of the
 * layer above: g = rho (z - m, q) and, on the boundary, + t n with t >= 0 and the outward normal n = +-(-h'(z), 1). At a kink
 * h' is the derivative from the left: an element, not always the least. x = p, z, a, q; c = rho, eps. Sum of its square.
 * On the boundary: within four roundings of a and eps. [derived] */
AM_MAP_FN(box_subgradient)
{
    AM_MAP_UNUSED;
    const float m = x[0] + r, gz = c[0] * (x[1] - m), ga = c[0] * x[3];
    const float f = x[2] - am_act_h(act, x[1]), side = f < 0.0f ? -1.0f : 1.0f;
    const float nz = -side * am_act_dh(act, x[1]), across = ga * nz - gz * side;
    const int edge = fabsf(f) >= c[1] - 5e-7f * (fabsf(x[2]) + c[1]);
    const int outside =
        gz * nz + ga * side < 0.0f; /* -g points out of the box: the normal takes its part of g */
    s[0] = edge && outside ? across * across / (1.0f + nz * nz) : gz * gz + ga * ga;
}
/* Least element of the subdifferential in (z, a) of c0/2 (z - m)^2 + c1/2 (a - max(z, 0))^2 + c2 a q, m = p + r, q = W'R of
 * the layer above. At z = 0 the kink is convex for a <= 0 (all slopes between the two), else concave (either slope).
 * x = p, z, a, q; c = penalty, gap, penalty above. Sum of its square. [derived] */
AM_MAP_FN(split_subgradient)
{
    AM_MAP_UNUSED;
    const float z = x[1], m = x[0] + r, pull = c[1] * (x[2] - (z > 0.0f ? z : 0.0f));
    const float ga = c[2] * x[3] + pull, left = c[0] * (z - m), right = left - pull;
    const float least = fabsf(left) < fabsf(right) ? left : right;
    const int between = pull <= 0.0f && left < 0.0f && right > 0.0f;
    const float gz = z > 0.0f ? right : z < 0.0f ? left : between ? 0.0f : least;
    s[0] = gz * gz + ga * ga;
}

#endif
