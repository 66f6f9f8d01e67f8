/* The scalar mathematics of altmin, one text per formula, valid as C11 and as CUDA C++.
 *
 * Three lists drive everything that is generated from them (enum ids, CPU loops, CUDA kernels, tests, bench cases):
 *   AM_ACTIVATIONS  formulas/activations.h
 *   AM_MAPS         formulas/maps.h
 *   AM_SCALARS      formulas/scalars.h
 * Adding a formula is one function there, one list entry, and one line in tests/kernels. */
#ifndef AM_FORMULAS_H
#define AM_FORMULAS_H

#include "kernels/formulas/activations.h"
#include "kernels/formulas/columns.h"
#include "kernels/formulas/maps.h"
#include "kernels/formulas/random.h"
#include "kernels/formulas/scalars.h"

#endif
