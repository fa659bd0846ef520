// What a run of a kernel is given, and where one row at one time step lies in it.
#pragma once
#include "vector.h"

constexpr int MOST_PRODUCTS = 4;  // recurrent products of one cell
constexpr int MOST = 16;  // state fields, parameters and noises of one cell

// Mirrors `Arguments` in recurrence.py. Time-major: [T, B, ...] contiguous unless strides are given.
// H units; P, `inner`, is the width of what W_hh multiplies: H, or proj_size. With several `blocks`
// P is H, and W_hh [G*H, H / blocks] holds the blocks on the diagonal of each gate's matrix. State field 0 has
// width P where the cell narrows it (Cell::NARROWS), all other fields have width H.
struct Arguments {
  int64_t steps, batch, hidden, inner, blocks, masks, reverse, threads;
  const real *x;                 // projected input, strides x_t and x_b, last one contiguous;
  int64_t x_t, x_b;              // or null, where the loop projects it:
  const real *source, *kernel, *kernel_bias;  // the input, strides source_t and source_b; W_ih
  int64_t source_t, source_b, features;       // [INPUTS*H, D]; [INPUTS*H] or null; D
  const real *kernel_scale, *weight_scale;    // by row, where rows are whole numbers of -127..127
                                              // times a scale; or null
  const real *weight, *bias, *gain;   // W_hh [G*H, P / blocks]; [G*H] or null; [G*H]
  const real* narrow;            // W_hr [P, H] or null
  const uint8_t* mask;           // [T, B], 1 = real, or null
  const real* drop;              // [B, masks, P] factors of what W_hh multiplies, or null;
                                 // `masks` is 1 or the number of gates
  const real* zone;              // [T, B, P] zoneout of a narrowed state, 1 = new; or null
  double zone_rate;              // its expectation, where there is no mask
  real* vectors;                 // [products - 1, T, B, H] what those after the first multiply
  real* output;                  // [T, B, width of state 0] or null when it is a state's history
  real* saved;                   // [T, B, SAVED * H]
  real *unit, *scale;            // normalised products [T, B, G*H]; inverse deviations [T, B, products]
  real* wide;                    // outputs before W_hr narrows them: [B, H] at step wide_t, or null
  int64_t wide_t;
  real* reduced[MOST_PRODUCTS];  // [T, B, P] W_hr times the vector of each product, or null
  real* history[MOST];           // [T + 1, B, width], or [2, B, width] where ring is set
  int64_t ring[MOST];
  const real* parameter[MOST];   // [H]
  const real* noise[MOST];       // [T, B, H]
  const real* d_output;          // strides d_t and d_b
  int64_t d_t, d_b;
  real* d_state[MOST];           // [B, width]: in, gradient of the final state; out, of the initial
  real *d_x, *d_h;               // [T, B, INPUTS*H], [T, B, G*H]; the same memory where Cell::SAME
  real* d_reduced[MOST_PRODUCTS];  // [T, B, P] gradients of W_hr's products, or null
  real *d_parameter, *d_gain, *d_bias;  // [threads, PARAMS * H], [threads, G*H], [threads, G*H]
};

// Rows of the batch.
struct Rows {
  int64_t begin, end;
  int64_t count() const { return end - begin; }
};

// What one thread computes: some rows and all units, or all rows and some units.
struct Share {
  int thread;
  Rows rows;
  int64_t unit_begin, unit_end;
  bool waits;  // for the other units, at every step
};

// Pointers to one row at one time.
template <class C>
struct Row {
  static constexpr int GATES = C::GATES ? C::GATES : 1;  // no array has no elements
  const real *x[C::INPUTS], *h[GATES], *s[C::STATES], *p[MOST], *z[MOST], *n[C::STATES];
  real *out, *next[C::STATES], *vector, *save;
  const real *d_out, *d_vector;
  real *d_state[C::STATES], *d_x[C::INPUTS], *d_h[GATES], *d_p[MOST];
  int64_t hidden;
  int product;
};
