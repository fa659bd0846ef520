// A gated recurrence over time, forward and backward. The equations are a generated class `Cell`
// (see cpp_source.py); this file knows time, rows, masks, matrix products and normalisation.
//
// Rows of the batch do not depend on each other: each thread runs its own rows through all time
// steps, without waiting for the others.
#pragma once
#include <algorithm>
#include <vector>

#include "product.h"
#ifdef _OPENMP
#include <omp.h>
#endif

constexpr int MOST = 16;  // state fields, parameters and noises of one cell

// Mirrors `Run` in kernel.py. Time-major: [T, B, ...] contiguous unless strides are given.
struct Run {
  int64_t steps, batch, hidden, reverse, threads;
  const real *x;                 // projected input, strides x_t and x_b, last one contiguous
  int64_t x_t, x_b;
  const real *weight, *bias, *gain;   // [G*H, H], [G*H] or null, [G*H]
  const uint8_t* mask;           // [T, B], 1 = real, or null
  const real* drop;              // [B, H] factor of what the recurrent matrix multiplies, or null
  real *vector, *vector2;        // [T, B, H] what the matrices multiplied, where it is not a state
  real* output;                  // [T, B, H] or null when it is a state's history
  real* saved;                   // [T, B, SAVED * H]
  real *unit, *scale;            // normalised products [T, B, G*H]; inverse deviations [T, B, 2]
  real* history[MOST];           // [T + 1, B, H], or [2, B, H] where ring is set
  int64_t ring[MOST];
  const real* parameter[MOST];   // [H]
  const real* noise[MOST];       // [T, B, H]
  const real* d_output;          // strides d_t and d_b
  int64_t d_t, d_b;
  real* d_state[MOST];           // [B, H]: in, gradient of the final state; out, of the initial
  real *d_x, *d_h;               // [T, B, G*H]; the same memory where Cell::SAME
  real *d_parameter, *d_gain, *d_bias;  // [threads, PARAMS * H], [threads, G*H], [threads, G*H]
};

// Pointers to one row at one time.
template <class C>
struct Row {
  const real *x[C::GATES], *h[C::GATES], *s[C::STATES], *p[MOST], *z[MOST], *n[C::STATES];
  real *out, *next[C::STATES], *second, *save;
  const real *d_out, *d_second;
  real *d_state[C::STATES], *d_x[C::GATES], *d_h[C::GATES], *d_p[MOST];
  int64_t hidden;
};

template <class C>
struct Driver {
  const Run& r;
  const int64_t H, B, rows1, rows2, width1, width2, width;
  Packed first, second;

  explicit Driver(const Run& run)
      : r(run), H(run.hidden), B(run.batch), rows1(C::FIRST * H), rows2((C::GATES - C::FIRST) * H),
        width1(padded(rows1)), width2(padded(rows2)),
        width(std::max(width1 + width2, 2 * padded(H))) {}

  int64_t before(int64_t t) const { return r.reverse ? t + 1 : t; }
  int64_t after(int64_t t) const { return r.reverse ? t : t + 1; }
  real* state(int f, int64_t slot) const {
    return r.history[f] + (r.ring[f] ? slot & 1 : slot) * B * H;
  }

  // forward multiplies by the transposed matrices, backward by the matrices themselves
  void allocate(bool backward) {
    backward ? first.allocate(rows1, H) : first.allocate(H, rows1);
    if (rows2) backward ? second.allocate(rows2, H) : second.allocate(H, rows2);
  }
  void pack(bool backward, int thread, int threads) {
    const int64_t step_k = backward ? H : 1, step_n = backward ? 1 : H;
    for (int64_t p = thread; p < first.panels(); p += threads)
      first.fill_panel(p, r.weight, step_k, step_n);
    for (int64_t p = thread; rows2 && p < second.panels(); p += threads)
      second.fill_panel(p, r.weight + rows1 * H, step_k, step_n);
  }

  // the rows of [begin, end) from the first to the last that is real at time t
  std::pair<int64_t, int64_t> real_rows(int64_t t, int64_t begin, int64_t end) const {
    if (!r.mask) return {begin, end};
    const uint8_t* mask = r.mask + t * B;
    while (begin < end && !mask[begin]) ++begin;
    while (end > begin && !mask[end - 1]) --end;
    return {begin, end};
  }
  bool is_real(int64_t t, int64_t row) const { return !r.mask || r.mask[t * B + row]; }

  Row<C> row_at(int64_t t, int64_t row, const real* h) const {
    Row<C> k;
    k.hidden = H;
    for (int g = 0; g < C::GATES; ++g) {
      k.x[g] = r.x + t * r.x_t + row * r.x_b + g * H;
      k.h[g] = h + (g < C::FIRST ? g * H : width1 + (g - C::FIRST) * H);
      const int64_t at = (t * B + row) * C::GATES * H + g * H;
      k.d_x[g] = r.d_x ? r.d_x + at : nullptr;
      k.d_h[g] = r.d_h ? r.d_h + at : nullptr;
    }
    for (int f = 0; f < C::STATES; ++f) {
      k.s[f] = state(f, before(t)) + row * H;
      k.next[f] = state(f, after(t)) + row * H;
      k.n[f] = k.next[f];
      k.d_state[f] = r.d_state[f] ? r.d_state[f] + row * H : nullptr;
    }
    for (int i = 0; i < C::PARAMS; ++i) k.p[i] = r.parameter[i];
    for (int i = 0; i < C::NOISES; ++i) k.z[i] = r.noise[i] + (t * B + row) * H;
    k.out = r.output ? r.output + (t * B + row) * H : nullptr;
    k.save = r.saved ? r.saved + (t * B + row) * C::SAVED * H : nullptr;
    k.second = r.vector2 ? r.vector2 + (t * B + row) * H : nullptr;
    k.d_out = r.d_output ? r.d_output + t * r.d_t + row * r.d_b : nullptr;
    return k;
  }

  // Ba et al. (2016), over the gates of one product; eps as in torch
  void normalise(int64_t t, int64_t row, real* h, int64_t offset, int64_t count, int part) const {
    real mean = 0, variance = 0;
    for (int64_t i = 0; i < count; ++i) mean += h[i];
    mean /= count;
    for (int64_t i = 0; i < count; ++i) variance += (h[i] - mean) * (h[i] - mean);
    const real scale = 1 / std::sqrt(variance / count + real(1e-5));
    if (r.scale) r.scale[(t * B + row) * 2 + part] = scale;
    real* unit = r.unit ? r.unit + (t * B + row) * C::GATES * H + offset : nullptr;
    for (int64_t i = 0; i < count; ++i) {
      const real value = (h[i] - mean) * scale;
      if (unit) unit[i] = value;
      h[i] = value * r.gain[offset + i] + (r.bias ? r.bias[offset + i] : real(0));
    }
  }

  void normalise_backward(int64_t t, int64_t row, int64_t offset, int64_t count, int part,
                          int thread) const {
    real* d = r.d_h + (t * B + row) * C::GATES * H + offset;
    const real* unit = r.unit + (t * B + row) * C::GATES * H + offset;
    real* d_gain = r.d_gain + thread * C::GATES * H + offset;
    real* d_bias = r.d_bias + thread * C::GATES * H + offset;
    real mean = 0, along = 0;
    for (int64_t i = 0; i < count; ++i) {
      d_gain[i] += d[i] * unit[i];
      d_bias[i] += d[i];
      d[i] *= r.gain[offset + i];
      mean += d[i];
      along += d[i] * unit[i];
    }
    mean /= count;
    along /= count;
    const real scale = r.scale[(t * B + row) * 2 + part];
    for (int64_t i = 0; i < count; ++i) d[i] = scale * (d[i] - mean - unit[i] * along);
  }

  // -- forward ---------------------------------------------------------------------------------

  void carry(int64_t t, int64_t begin, int64_t end) const {
    if (begin >= end) return;
    for (int f = 0; f < C::STATES; ++f)
      std::memcpy(state(f, after(t)) + begin * H, state(f, before(t)) + begin * H,
                  (end - begin) * H * sizeof(real));
    if (r.output) std::memset(r.output + (t * B + begin) * H, 0, (end - begin) * H * sizeof(real));
    if (r.vector2)
      std::memset(r.vector2 + (t * B + begin) * H, 0, (end - begin) * H * sizeof(real));
    if (r.vector)
      std::memset(r.vector + (t * B + begin) * H, 0, (end - begin) * H * sizeof(real));
  }

  const real* multiplied(int64_t t, int64_t begin, int64_t end) const {
    const real* hidden = state(0, before(t));
    if (!r.vector) return hidden + begin * H;
    real* vector = r.vector + t * B * H;
    for (int64_t i = begin * H; i < end * H; ++i) vector[i] = hidden[i] * r.drop[i];
    return vector + begin * H;
  }

  void second_product(int64_t t, int64_t begin, int64_t end, real* h, const real* bias) const {
    for (int64_t row = begin; row < end; ++row) {
      Row<C> k = row_at(t, row, h + (row - begin) * width);
      int64_t u = 0;
      for (; u + LANES <= H; u += LANES) C::template second<true>(k, u, LANES);
      if (u < H) C::template second<false>(k, u, int(H - u));
      if (r.drop)
        for (int64_t i = 0; i < H; ++i) k.second[i] *= r.drop[row * H + i];
    }
    product(r.vector2 + (t * B + begin) * H, H, end - begin, second, bias ? bias + width1 : nullptr,
            h + width1, width);
  }

  void step(int64_t t, int64_t begin, int64_t end, real* h, const real* bias) const {
    product(multiplied(t, begin, end), H, end - begin, first, bias, h, width);
    if (C::NORM)
      for (int64_t row = begin; row < end; ++row)
        normalise(t, row, h + (row - begin) * width, 0, rows1, 0);
    if (C::FIRST < C::GATES) {
      second_product(t, begin, end, h, bias);
      if (C::NORM)
        for (int64_t row = begin; row < end; ++row)
          normalise(t, row, h + (row - begin) * width + width1, rows1, rows2, 1);
    }
    for (int64_t row = begin; row < end; ++row) {
      if (!is_real(t, row)) {
        carry(t, row, row + 1);
        continue;
      }
      Row<C> k = row_at(t, row, h + (row - begin) * width);
      int64_t u = 0;
      for (; u + LANES <= H; u += LANES) C::template update<true>(k, u, LANES);
      if (u < H) C::template update<false>(k, u, int(H - u));
    }
  }

  void forward_rows(int64_t begin, int64_t end, const real* bias) const {
    Buffer h = make_buffer(std::max<int64_t>(end - begin, 1) * width);
    for (int64_t s = 0; s < r.steps; ++s) {
      const int64_t t = r.reverse ? r.steps - 1 - s : s;
      const auto rows = real_rows(t, begin, end);
      carry(t, begin, rows.first);
      carry(t, rows.second, end);
      if (rows.first < rows.second) step(t, rows.first, rows.second, h.get(), bias);
    }
  }

  // -- backward --------------------------------------------------------------------------------

  void clear(int64_t t, int64_t row) const {
    const int64_t count = C::GATES * H, at = (t * B + row) * count;
    std::memset(r.d_x + at, 0, count * sizeof(real));
    if (!C::SAME) std::memset(r.d_h + at, 0, count * sizeof(real));
  }

  void add_to_state(int64_t begin, int64_t end, const real* d, int64_t d_step) const {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t i = 0; i < H; ++i)
        r.d_state[0][row * H + i] += d[(row - begin) * d_step + i] * (r.drop ? r.drop[row * H + i] : 1);
  }

  void second_backward(int64_t t, int64_t begin, int64_t end, real* d) const {
    product(r.d_h + (t * B + begin) * C::GATES * H + rows1, C::GATES * H, end - begin, second,
            nullptr, d, width);
    for (int64_t row = begin; row < end; ++row) {
      if (!is_real(t, row)) continue;
      real* here = d + (row - begin) * width;
      if (r.drop)
        for (int64_t i = 0; i < H; ++i) here[i] *= r.drop[row * H + i];
      Row<C> k = row_at(t, row, here);
      k.d_second = here;
      int64_t u = 0;
      for (; u + LANES <= H; u += LANES) C::template second_backward<true>(k, u, LANES);
      if (u < H) C::template second_backward<false>(k, u, int(H - u));
    }
  }

  void step_backward(int64_t t, int64_t begin, int64_t end, real* d, int thread) const {
    for (int64_t row = begin; row < end; ++row) {
      if (!is_real(t, row)) {
        clear(t, row);
        continue;
      }
      Row<C> k = row_at(t, row, d);
      for (int i = 0; i < C::PARAMS; ++i) k.d_p[i] = r.d_parameter + (thread * C::PARAMS + i) * H;
      int64_t u = 0;
      for (; u + LANES <= H; u += LANES) C::template update_backward<true>(k, u, LANES);
      if (u < H) C::template update_backward<false>(k, u, int(H - u));
    }
    if (C::FIRST < C::GATES) {
      if (C::NORM)
        for (int64_t row = begin; row < end; ++row)
          if (is_real(t, row)) normalise_backward(t, row, rows1, rows2, 1, thread);
      second_backward(t, begin, end, d);
    }
    if (C::NORM)
      for (int64_t row = begin; row < end; ++row)
        if (is_real(t, row)) normalise_backward(t, row, 0, rows1, 0, thread);
    product(r.d_h + (t * B + begin) * C::GATES * H, C::GATES * H, end - begin, first, nullptr, d,
            width);
    add_to_state(begin, end, d, width);
  }

  void backward_rows(int64_t begin, int64_t end, int thread) const {
    Buffer d = make_buffer(std::max<int64_t>(end - begin, 1) * width);
    for (int64_t s = r.steps - 1; s >= 0; --s) {
      const int64_t t = r.reverse ? r.steps - 1 - s : s;
      const auto rows = real_rows(t, begin, end);
      for (int64_t row = begin; row < rows.first; ++row) clear(t, row);
      for (int64_t row = rows.second; row < end; ++row) clear(t, row);
      if (rows.first < rows.second) step_backward(t, rows.first, rows.second, d.get(), thread);
    }
  }
};

template <class C>
static void run(const Run& r, bool backward) {
  Driver<C> driver(r);
  driver.allocate(backward);
  std::vector<real> bias;
  if (!backward && !C::NORM && r.bias) {
    bias.assign(driver.width1 + driver.width2, real(0));
    std::copy(r.bias, r.bias + driver.rows1, bias.begin());
    std::copy(r.bias + driver.rows1, r.bias + driver.rows1 + driver.rows2,
              bias.begin() + driver.width1);
  }
  const real* start = bias.empty() ? nullptr : bias.data();
#pragma omp parallel num_threads(int(r.threads))
  {
#ifdef _OPENMP
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
#else
    const int thread = 0, threads = 1;
#endif
    driver.pack(backward, thread, threads);
#pragma omp barrier
    const int64_t begin = r.batch * thread / threads, end = r.batch * (thread + 1) / threads;
    if (backward)
      driver.backward_rows(begin, end, thread);
    else
      driver.forward_rows(begin, end, start);
  }
}
