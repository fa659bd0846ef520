// h_t = a_t h_{t-1} + b_t over time, forward and backward, for real and complex numbers.
//
// Rows of the batch and parts of a row do not depend on each other: each thread takes some of them
// through all time steps, with one pass over the memory.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#ifdef _OPENMP
#include <omp.h>
#endif

typedef REAL real;

// Mirrors `Arguments` in linear_pass.py. Strides count values; where none are given, [B, T, S] contiguous.
struct Arguments {
  int64_t steps, batch, size, reverse, threads;
  const void *a, *b, *start;  // start [B, S]
  int64_t a_b, a_t, b_b, b_t;
  const uint8_t* mask;  // [B, T], 1 = real, or null
  void *h, *last;       // last [B, S]
  const void *d_h, *d_last;  // null for zero
  int64_t d_b, d_t;
  void *d_a, *d_input, *d_start;  // gradients of a, b and start
};

struct Complex {
  real re, im;
};
static inline real conjugate(real x) { return x; }
static inline Complex conjugate(Complex x) { return {x.re, -x.im}; }
static inline Complex operator*(Complex x, Complex y) {
  return {x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
}
static inline Complex operator+(Complex x, Complex y) { return {x.re + y.re, x.im + y.im}; }

template <class N>
struct Part {
  const Arguments& r;
  const int64_t row, begin, count;

  const N* at(const void* from, int64_t b, int64_t t, int64_t time) const {
    return static_cast<const N*>(from) + row * b + time * t + begin;
  }
  N* at(void* to, int64_t time) const {
    return static_cast<N*>(to) + (row * r.steps + time) * r.size + begin;
  }
  N* state(void* to) const { return static_cast<N*>(to) + row * r.size + begin; }
  const N* state(const void* from) const {
    return static_cast<const N*>(from) + row * r.size + begin;
  }
  int64_t time(int64_t s) const { return r.reverse ? r.steps - 1 - s : s; }
  bool is_real(int64_t t) const { return !r.mask || r.mask[row * r.steps + t]; }

  void forward() const {
    const N* before = state(r.start);
    for (int64_t s = 0; s < r.steps; ++s) {
      const int64_t t = time(s);
      N* __restrict__ h = at(r.h, t);
      if (is_real(t)) {
        const N *a = at(r.a, r.a_b, r.a_t, t), *b = at(r.b, r.b_b, r.b_t, t);
        for (int64_t i = 0; i < count; ++i) h[i] = a[i] * before[i] + b[i];
      } else {
        std::memcpy(h, before, count * sizeof(N));
      }
      before = h;
    }
    std::memcpy(state(r.last), before, count * sizeof(N));
  }

  // d_start carries the gradient of the state from step to step
  void backward() const {
    N* __restrict__ carry = state(r.d_start);
    if (r.d_last)
      std::memcpy(carry, state(r.d_last), count * sizeof(N));
    else
      std::memset(static_cast<void*>(carry), 0, count * sizeof(N));
    for (int64_t s = r.steps - 1; s >= 0; --s) {
      const int64_t t = time(s);
      if (r.d_h) {
        const N* d = at(r.d_h, r.d_b, r.d_t, t);
        for (int64_t i = 0; i < count; ++i) carry[i] = carry[i] + d[i];
      }
      N *__restrict__ d_a = at(r.d_a, t), *__restrict__ d_b = at(r.d_input, t);
      if (!is_real(t)) {
        std::memset(static_cast<void*>(d_a), 0, count * sizeof(N));
        std::memset(static_cast<void*>(d_b), 0, count * sizeof(N));
        continue;
      }
      const N* a = at(r.a, r.a_b, r.a_t, t);
      const N* before = s ? at(static_cast<void*>(r.h), time(s - 1)) : state(r.start);
      for (int64_t i = 0; i < count; ++i) {
        d_b[i] = carry[i];
        d_a[i] = carry[i] * conjugate(before[i]);
        carry[i] = carry[i] * conjugate(a[i]);
      }
    }
  }
};

// Rows are cut only where there are fewer of them than threads.
template <class N, void (Part<N>::*METHOD)() const>
static void run(const Arguments& r) {
  const int64_t cuts = std::max<int64_t>(1, r.threads / std::max<int64_t>(1, r.batch));
  const int64_t width = std::max<int64_t>(16, (r.size + cuts - 1) / cuts);
  const int64_t parts = (r.size + width - 1) / width;
#pragma omp parallel for num_threads(int(r.threads)) schedule(static)
  for (int64_t task = 0; task < r.batch * parts; ++task) {
    const int64_t begin = task % parts * width;
    const Part<N> part{r, task / parts, begin, std::min(width, r.size - begin)};
    (part.*METHOD)();
  }
}

#define EXPORT(name, type, method) \
  extern "C" void name(const Arguments* r) { run<type, &Part<type>::method>(*r); }
EXPORT(forward_real, real, forward)
EXPORT(backward_real, real, backward)
EXPORT(forward_complex, Complex, forward)
EXPORT(backward_complex, Complex, backward)
