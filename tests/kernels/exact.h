/* Mathematics of formulas.h once more, in double and by other means: direct definitions, scanning, bisection.
 */
#ifndef AM_TEST_EXACT_H
#define AM_TEST_EXACT_H

#include <stddef.h>

/** h(z) of activation act by its definition; NaN for an activation this file does not know. */
double exact_h(int act, double z);
/** Least and largest z in [lo, hi] with |a - h(z)| <= eps for increasing h, by scanning and bisection.
 * Returns 0 when there is none. Ends that reach lo or hi are returned as -INFINITY, INFINITY. */
int exact_box(int act, double a, double eps, double lo, double hi, double *first, double *last);
/** Place of the least value of f(x, arg) on [lo, hi]: scanning, then scanning around the best. f need not be
 * smooth. */
double exact_minimum(double (*f)(double x, const void *arg), const void *arg, double lo, double hi);
/** z <- argmin lse(z) - z_y + rho/2 ||z - m||^2, by nested bisection on the optimality conditions
 *  z_i = m_i + (1[i = y] - exp(z_i - L))/rho, sum exp(z_i - L) = 1. Returns the loss lse(z) - z_y. */
double exact_prox_softmax(size_t n, double rho, const double *m, size_t y, double *z);
#endif
