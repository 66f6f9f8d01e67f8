/* The closed-form activation step of the stream shell, as a linear map of displacements. With the weights W of the layer
 * above fixed and every auxiliary consistent, the block
 *     argmin_d  1/2 ||W d - r||^2 + c/2 ||d||^2   is   d = (c I + W'W)^-1 W'r = Q'r,   Q = W (c I + W'W)^-1,
 * for all samples at once: one matrix per layer, brought up to date now and then, and one product per chunk.
 * Q is W.rows x W.cols. It is solved on the narrower side, W (c I + W'W)^-1 = (c I + W W')^-1 W, unless the inverse itself is
 * wanted. [METHODS.md 8 and 9] */
#ifndef AM_STREAM_DOWN_H
#define AM_STREAM_DOWN_H

#include "host/train/stream.h"

typedef struct am_down_map {
    int narrow;                    /* W.rows < W.cols and no inverse wanted */
    int scaled;                    /* c = weight mean(diag W'W), and Q as long as W in the Frobenius norm */
    am_mat q;                      /* W.rows x W.cols */
    am_mat gram, identity, factor; /* k x k, twice, and k x 2k; k the side it is solved on */
    am_mat inverse; /* (c I + W'W)^-1 or, narrow, (c I + W W')^-1; empty when nobody needs it */
    am_slot zero, one, weight, d_in; /* constants */
    am_slot trace, ridge, size_q, ratio;
} am_down_map;

/** Take slots and declare matrices for the map of weights d_out x d_in with prox weight `weight` > 0: c itself, or with
 *  `scaled` relative to mean(diag W'W), Q then rescaled to |W|_F, without which displacements shrink from layer to layer.
 *  `keep_inverse`: `inverse` is (c I + W'W)^-1, d_in x d_in, for blocks whose right-hand side has more than W'r. */
void am_down_map_plan(am_down_map *map, am_ctx *ctx, am_plan *plan, size_t d_out, size_t d_in, double weight,
                      int scaled, int keep_inverse);
/** After the plan is taken. */
altmin_error am_down_map_start(const am_down_map *map, am_ctx *ctx, altmin_status *st);
/** Q (and the inverse) from the current weights. */
void am_down_map_refresh(const am_down_map *map, am_ctx *ctx, am_mat w);
/** am_down_map_refresh of map[l] with the weights of layer l, l = 2..L, side by side. `map` has L + 1 entries. */
void am_down_maps_refresh(const am_stream *s, const am_down_map *map);
/** am_down_map_start of map[l], l = 2..L. */
altmin_error am_down_maps_start(const am_stream *s, const am_down_map *map, altmin_status *st);
#endif
