// Layer normalisation of one recurrent product (Ba et al., 2016), over the gates of that product.
#pragma once
#include <cmath>

#include "arguments.h"

constexpr real EPSILON = real(1e-5);  // as in torch

// The gates of one product: `count` values from `offset` in a row of all gates.
struct Span {
  int64_t offset, count;
  int product;
};

template <class C>
static inline void normalise(const Arguments& r, int64_t at, const Span& span, real* h) {
  const int64_t count = span.count;
  h += span.offset;
  real mean = 0, variance = 0;
  for (int64_t i = 0; i < count; ++i) mean += h[i];
  mean /= count;
  for (int64_t i = 0; i < count; ++i) variance += (h[i] - mean) * (h[i] - mean);
  const real scale = 1 / std::sqrt(variance / count + EPSILON);
  if (r.scale) r.scale[at * C::PRODUCTS + span.product] = scale;
  real* unit = r.unit ? r.unit + at * C::GATES * r.hidden + span.offset : nullptr;
  const real *gain = r.gain + span.offset, *bias = r.bias ? r.bias + span.offset : nullptr;
  for (int64_t i = 0; i < count; ++i) {
    const real value = (h[i] - mean) * scale;
    if (unit) unit[i] = value;
    h[i] = value * gain[i] + (bias ? bias[i] : real(0));
  }
}

// The gradient in d_h becomes that of the product; those of gain and bias are the thread's own.
template <class C>
static inline void normalise_backward(const Arguments& r, int64_t at, const Span& span, int thread) {
  const int64_t width = C::GATES * r.hidden, count = span.count;
  real* d = r.d_h + at * width + span.offset;
  const real *unit = r.unit + at * width + span.offset, *gain = r.gain + span.offset;
  real* d_gain = r.d_gain + thread * width + span.offset;
  real* d_bias = r.d_bias + thread * width + span.offset;
  real mean = 0, along = 0;
  for (int64_t i = 0; i < count; ++i) {
    d_gain[i] += d[i] * unit[i];
    d_bias[i] += d[i];
    d[i] *= gain[i];
    mean += d[i];
    along += d[i] * unit[i];
  }
  mean /= count;
  along /= count;
  const real scale = r.scale[at * C::PRODUCTS + span.product];
  for (int64_t i = 0; i < count; ++i) d[i] = scale * (d[i] - mean - unit[i] * along);
}
