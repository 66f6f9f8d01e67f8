/* Scalar formulas of the stream shell (host/train/stream.h): guard, schedule and running means of chunks. Included by
 * scalars.h. Losses are means over a chunk's samples, in units of the loss of a network that knows nothing. [METHODS.md 8] */
#ifndef AM_SCALARS_STREAM_H
#define AM_SCALARS_STREAM_H

#define AM_LOG_TEN 2.302585092994046 /* the thresholds were found on ten classes */

/* 1 - x. */
AM_FN double am_scalar_complement(const double *x)
{
    return 1.0 - x[0];
}
/* sqrt(x0/x1), 1 where x1 is not positive. */
AM_FN double am_scalar_ratio_root(const double *x)
{
    return x[1] > 0.0 ? sqrt(x[0] / x[1]) : 1.0;
}
/* The first value is taken, later ones are not: x = number taken so far, value, candidate. */
AM_FN double am_scalar_first(const double *x)
{
    return x[0] > 0.0 ? x[1] : x[2];
}
/* Guard: 1 when the chunk's loss is not finite or, after the third chunk, above 2 Lb + .3; Lb = 0: none was good yet.
 * x = loss, Lb, chunks seen, unit. */
AM_FN double am_scalar_chunk_bad(const double *x)
{
    if (!(fabs(x[0]) < INFINITY)) return 1.0;
    return x[2] > 3.0 && x[1] > 0.0 && x[0] > 2.0 * x[1] + 0.3 / AM_LOG_TEN * x[3] ? 1.0 : 0.0;
}
/* Lb after a good chunk: .9 Lb + .1 loss, the loss itself after the first. Also the running mean of other sums.
 * x = Lb, loss, good chunks so far. */
AM_FN double am_scalar_chunk_smooth(const double *x)
{
    return x[2] > 0.0 ? 0.9 * x[0] + 0.1 * x[1] : x[1];
}
/* Lb after a bad chunk: min(1.1 Lb, 2.5), so that a guard that was too strict gives way. x = Lb, unit. */
AM_FN double am_scalar_chunk_suspect(const double *x)
{
    const double more = 1.1 * x[0], most = 2.5 / AM_LOG_TEN * x[1];
    return more < most ? more : most;
}
/* Scale of the steps after a good chunk: min(1, 1.02 sc). x = sc. */
AM_FN double am_scalar_chunk_recover(const double *x)
{
    return 1.02 * x[0] < 1.0 ? 1.02 * x[0] : 1.0;
}
/* 1 when weights with this loss are worth keeping: loss <= 1.3 Lb. x = loss, Lb. */
AM_FN double am_scalar_chunk_keep(const double *x)
{
    return x[0] <= 1.3 * x[1] ? 1.0 : 0.0;
}
/* e = eta sc min(1, t/warm) (1 + cos(pi (t - 1)/n))/2 of chunk t = 1, 2, .. of n; n = 0: without the cosine.
 * x = eta, sc, t, warm, n. */
AM_FN double am_scalar_chunk_rate(const double *x)
{
    const double grown = x[2] < x[3] ? x[2] / x[3] : 1.0;
    const double used = x[4] > 0.0 ? (x[2] - 1.0) / x[4] : 0.0;
    return x[0] * x[1] * grown * 0.5 * (1.0 + cos(3.14159265358979323846 * (used < 1.0 ? used : 1.0)));
}
/* 1 when x0 has reached x1. */
AM_FN double am_scalar_due(const double *x)
{
    return x[0] >= x[1] ? 1.0 : 0.0;
}
/* What a running mean keeps at its k-th value: min(g, 1 - 1/k), a plain mean while it is young. x = g, k. */
AM_FN double am_scalar_forget(const double *x)
{
    const double young = 1.0 - 1.0 / x[1];
    return young < x[0] ? young : x[0];
}
/* c = lam mean(diag [A, 1]): lam (tr A + x2)/(d + x2), x2 = 1 where a bias belongs to A. x = lam, tr A, x2, d. Never quite 0:
 * where no sample has a displacement left (all are fitted, or none was kept) A = 0, and A + c I must still be invertible. */
AM_FN double am_scalar_ridge(const double *x)
{
    const double c = x[0] * (x[1] + x[2]) / (x[3] + x[2]);
    return c < 1e-30 ? 1e-30 : c;
}

#endif
