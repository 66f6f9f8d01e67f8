/* See exact.h. Slow and plain on purpose; nothing here is shared with formulas.h but the names of the
 * activations. */
#include "exact.h"

#include "kernels/formulas.h"

double exact_h(int act, double z)
{
    switch (act) {
    case AM_ACT_IDENTITY: return z;
    case AM_ACT_RELU: return fmax(z, 0.0);
    case AM_ACT_LEAKY_RELU: return z > 0.0 ? z : (double)0.01f * z;
    case AM_ACT_ELU: return z > 0.0 ? z : exp(z) - 1.0;
    case AM_ACT_TANH: return (exp(z) - exp(-z)) / (exp(z) + exp(-z));
    case AM_ACT_SIGMOID: return 1.0 / (1.0 + exp(-z));
    case AM_ACT_SOFTPLUS: return log(1.0 + exp(z));
    case AM_ACT_HARD_TANH: return fmin(fmax(z, -1.0), 1.0);
    default: return NAN;
    }
}

/* The z in [bad, good] (or [good, bad]) where the box begins. */
static double edge(int act, double a, double eps, double bad, double good)
{
    for (int i = 0; i < 200; i++) {
        const double middle = 0.5 * (bad + good);
        if (fabs(a - exact_h(act, middle)) <= eps)
            good = middle;
        else
            bad = middle;
    }
    return good;
}

int exact_box(int act, double a, double eps, double lo, double hi, double *first, double *last)
{
    const int n = 20000;
    const double step = (hi - lo) / n;
    int found = 0, first_at = 0, last_at = 0;
    for (int i = 0; i <= n; i++)
        if (fabs(a - exact_h(act, lo + i * step)) <= eps) {
            if (!found) first_at = i;
            last_at = i, found = 1;
        }
    if (!found) return 0;
    *first = first_at ? edge(act, a, eps, lo + (first_at - 1) * step, lo + first_at * step) : -INFINITY;
    *last = last_at < n ? edge(act, a, eps, lo + (last_at + 1) * step, lo + last_at * step) : INFINITY;
    return 1;
}

double exact_minimum(double (*f)(double x, const void *arg), const void *arg, double lo, double hi)
{
    double best = lo;
    for (int round = 0; round < 12; round++) {
        const double step = (hi - lo) / 4000.0, start = lo;
        for (int i = 0; i <= 4000; i++)
            if (f(start + i * step, arg) < f(best, arg)) best = start + i * step;
        lo = best - 4.0 * step, hi = best + 4.0 * step;
    }
    return best;
}

/* z with z + exp(z - level)/rho = target. */
static double component(double target, double level, double rho)
{
    double lo = fmin(target, level) - 2.0 / rho - 2.0, hi = target;
    for (int i = 0; i < 90; i++) {
        const double middle = 0.5 * (lo + hi);
        if (middle + exp(middle - level) / rho < target)
            lo = middle;
        else
            hi = middle;
    }
    return 0.5 * (lo + hi);
}

static double sum_at(size_t n, double rho, const double *m, size_t y, double level, double *z)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        z[i] = component(m[i] + (i == y ? 1.0 / rho : 0.0), level, rho);
        sum += exp(z[i] - level);
    }
    return sum;
}

double exact_prox_softmax(size_t n, double rho, const double *m, size_t y, double *z)
{
    double top = -INFINITY, bottom = INFINITY;
    for (size_t i = 0; i < n; i++) {
        top = fmax(top, m[i]);
        bottom = fmin(bottom, m[i]);
    }
    /* lse of the minimiser lies between its least possible component and its largest + log n. */
    double lo = bottom - 1.0 / rho - 1.0, hi = top + 1.0 / rho + log((double)n) + 1.0;
    for (int i = 0; i < 90; i++) {
        const double middle = 0.5 * (lo + hi);
        if (sum_at(n, rho, m, y, middle, z) > 1.0)
            lo = middle;
        else
            hi = middle;
    }
    const double level = 0.5 * (lo + hi);
    sum_at(n, rho, m, y, level, z);
    return level - z[y];
}
