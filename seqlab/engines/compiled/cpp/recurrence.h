// A gated recurrence over time, forward and backward. The equations are a generated class `Cell`
// (see cpp_source.py); this file knows time, rows and masks.
//
// Rows of the batch do not depend on each other: each thread runs its own rows through all time
// steps, without waiting for the others. Where rows are few and the matrix is large, each thread
// runs its own units of all rows instead, with a part of the matrix that stays in its cache, and
// the threads meet at every step.
#pragma once
#include <algorithm>
#include <vector>

#include "kept.h"
#include "matrices.h"
#include "normalise.h"
#include "arguments.h"
#ifdef _OPENMP
#include <omp.h>
#endif

// Calls a function of the cell for a share's units of a row, in whole vectors and one rest.
#define EACH_VECTOR(function, row)                                             \
  do {                                                                         \
    int64_t u_ = share.unit_begin;                                             \
    const int64_t end_ = share.unit_end;                                       \
    for (; u_ + LANES <= end_; u_ += LANES) C::template function<true>(row, u_, LANES); \
    if (u_ < end_) C::template function<false>(row, u_, int(end_ - u_));       \
  } while (false)

static inline void wait_for_others(const Share& share) {
  if (share.waits) {
#pragma omp barrier
  }
}

constexpr int64_t ROWS_AHEAD = 64;  // of inputs, projected at once where the loop does that

// Memory of one thread forward: `ahead` is for the inputs that it projects.
struct Scratch {
  Work work;
  Buffer ahead;
};

// Where the inputs of the equations are: all of them, or those of some steps and a share's rows.
struct Inputs {
  const real* memory;
  int64_t t, b, first_time, first_row;
  const real* at(int64_t time, int64_t row) const {
    return memory + (time - first_time) * t + (row - first_row) * b;
  }
};

// The width of a state's field.
template <class C>
static inline int64_t width_of(const Arguments& r, int field) {
  return C::NARROWS && field == 0 ? r.inner : r.hidden;
}

template <class C>
struct Driver {
  const Arguments& r;
  const int64_t H, P, B, S;  // S: the width of state field 0 and of the output
  Matrices<C> matrices;
  Span spans[C::PRODUCTS];

  Driver(const Arguments& run, bool backward, const Matrices<C>* packed = nullptr,
         bool direct = false)
      : r(run), H(run.hidden), P(run.inner), B(run.batch), S(C::NARROWS ? P : H),
        matrices(run, backward, packed, direct) {
    for (int p = 0; p < C::PRODUCTS; ++p)
      spans[p] = {C::start(p) * H, (C::start(p + 1) - C::start(p)) * H, p};
  }

  int64_t before(int64_t t) const { return r.reverse ? t + 1 : t; }
  int64_t after(int64_t t) const { return r.reverse ? t : t + 1; }
  int64_t size(int f) const { return f ? H : S; }
  real* state(int f, int64_t slot, int64_t row) const {
    return r.history[f] + ((r.ring[f] ? slot & 1 : slot) * B + row) * size(f);
  }
  real* vector(int product, int64_t t, int64_t row) const {
    return r.vectors + (((product - 1) * r.steps + t) * B + row) * H;
  }
  real* wide(int64_t t, int64_t row) const { return r.wide + t * r.wide_t + row * H; }

  // the rows from the first to the last that is real at time t
  Rows real_rows(int64_t t, Rows rows) const {
    if (!r.mask) return rows;
    const uint8_t* mask = r.mask + t * B;
    while (rows.begin < rows.end && !mask[rows.begin]) ++rows.begin;
    while (rows.end > rows.begin && !mask[rows.end - 1]) --rows.end;
    return rows;
  }
  bool is_real(int64_t t, int64_t row) const { return !r.mask || r.mask[t * B + row]; }

  Inputs given() const { return {r.x, r.x_t, r.x_b, 0, 0}; }

  // `product` is the one whose vector is wanted, if any
  Row<C> row_at(int64_t t, int64_t row, const Inputs& inputs, const real* h, int product = 0) const {
    Row<C> k;
    k.hidden = H;
    k.product = product;
    const int64_t at = t * B + row;
    for (int g = 0; g < C::INPUTS; ++g) {
      k.x[g] = inputs.at(t, row) + g * H;
      k.d_x[g] = r.d_x ? r.d_x + (at * C::INPUTS + g) * H : nullptr;
    }
    for (int g = 0; g < C::GATES; ++g) {
      k.h[g] = h + g * H;
      k.d_h[g] = r.d_h ? r.d_h + (at * C::GATES + g) * H : nullptr;
    }
    for (int f = 0; f < C::STATES; ++f) {
      k.s[f] = state(f, before(t), row);
      k.next[f] = C::NARROWS && f == 0 ? wide(t, row) : state(f, after(t), row);
      k.n[f] = k.next[f];
      k.d_state[f] = r.d_state[f] ? r.d_state[f] + row * size(f) : nullptr;
    }
    for (int i = 0; i < C::PARAMS; ++i) k.p[i] = r.parameter[i];
    for (int i = 0; i < C::NOISES; ++i) k.z[i] = r.noise[i] + at * H;
    k.out = r.output && !C::NARROWS ? r.output + at * H : nullptr;
    k.save = r.saved ? r.saved + at * C::SAVED * H : nullptr;
    k.vector = product ? vector(product, t, row) : nullptr;
    k.d_out = r.d_output && !C::NARROWS ? r.d_output + t * r.d_t + row * r.d_b : nullptr;
    return k;
  }

  // -- forward ---------------------------------------------------------------------------------

  static void zero(real* memory, int64_t count) {
    if (memory) std::memset(memory, 0, count * sizeof(real));
  }

  // a masked step: the state stays, all else is zero, so that later sums see no garbage
  void carry(int64_t t, int64_t row) const {
    const int64_t at = t * B + row;
    for (int f = 0; f < C::STATES; ++f)
      std::memcpy(state(f, after(t), row), state(f, before(t), row), size(f) * sizeof(real));
    if (r.output) zero(r.output + at * S, S);
    for (int p = 1; p < C::PRODUCTS; ++p) zero(vector(p, t, row), H);
    if (r.wide) zero(wide(t, row), H);
    for (real* reduced : r.reduced)
      if (reduced) zero(reduced + at * P, P);
  }

  void normalise_all(int64_t t, Rows rows, const Span& span, real* h) const {
    for (int64_t row = rows.begin; row < rows.end; ++row)
      normalise<C>(r, t * B + row, span, h + (row - rows.begin) * matrices.width);
  }

  void step(int64_t t, Rows rows, const Share& share, const Inputs& inputs, const real* bias,
            Work& work) const {
    real* h = work.gates.get();
    for (int p = 0; p < C::PRODUCTS; ++p) {
      if (!spans[p].count) continue;
      for (int64_t row = rows.begin; p && row < rows.end; ++row)
        EACH_VECTOR(vector, row_at(t, row, inputs, h + (row - rows.begin) * matrices.width, p));
      const real* source = p ? vector(p, t, rows.begin) : state(0, before(t), rows.begin);
      matrices.gates(p, t, rows, share, source, bias, work);
      if (C::NORM) normalise_all(t, rows, spans[p], h);
    }
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      if (!is_real(t, row)) {
        carry(t, row);
        continue;
      }
      const Row<C> k = row_at(t, row, inputs, h + (row - rows.begin) * matrices.width);
      EACH_VECTOR(update, k);
    }
    if (C::NARROWS) narrow(t, rows, work);
  }

  // state field 0, which is the output: W_hr times what the equations gave, and its zoneout
  void narrow(int64_t t, Rows rows, Work& work) const {
    product(wide(t, rows.begin), H, rows.count(), matrices.narrow, nullptr, work.one.get(),
            work.step);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      if (!is_real(t, row)) continue;
      const real *made = work.one.get() + (row - rows.begin) * work.step;
      const real *old = state(0, before(t), row);
      real* to = state(0, after(t), row);
      for (int64_t i = 0; i < P; ++i) {
        const real share = new_share(t, row, i);
        to[i] = share == 1 ? made[i] : share == 0 ? old[i] : old[i] + share * (made[i] - old[i]);
      }
      if (r.output) std::memcpy(r.output + (t * B + row) * P, to, P * sizeof(real));
    }
  }
  real new_share(int64_t t, int64_t row, int64_t i) const {
    return r.zone ? real(r.zone[(t * B + row) * P + i] > 0) : real(1 - r.zone_rate);
  }

  // how many times' inputs are projected at once
  int64_t times_ahead(int64_t rows) const {
    return std::min(r.steps, std::max<int64_t>(1, ROWS_AHEAD / std::max<int64_t>(1, rows)));
  }

  // what `forward` needs for so many rows
  Scratch scratch(int64_t rows) const {
    const int64_t inputs = times_ahead(rows) * std::max<int64_t>(1, rows) * matrices.input_width();
    return {matrices.work(rows), make_buffer(r.kernel ? inputs : 1)};
  }

  void forward(const Share& share, const real* bias, const real* kernel_bias,
               Scratch& scratch) const {
    const Rows mine = share.rows;
    Work& work = scratch.work;
    const Buffer& ahead = scratch.ahead;
    Inputs inputs = given();
    const int64_t times = times_ahead(mine.count());
    for (int64_t s = 0; s < r.steps; ++s) {
      const int64_t t = r.reverse ? r.steps - 1 - s : s;
      if (r.kernel && s % times == 0) {
        const int64_t some = std::min(times, r.steps - s), first = r.reverse ? t - some + 1 : t;
        matrices.project(share, first, some, kernel_bias, ahead.get());
        const int64_t beside = matrices.input_width();
        inputs = {ahead.get(), mine.count() * beside, beside, first, mine.begin};
      }
      const Rows rows = real_rows(t, mine);
      for (int64_t row = mine.begin; row < rows.begin; ++row) carry(t, row);
      for (int64_t row = rows.end; row < mine.end; ++row) carry(t, row);
      if (rows.count()) step(t, rows, share, inputs, bias, work);
      wait_for_others(share);
    }
  }

  // -- backward --------------------------------------------------------------------------------

  void clear(int64_t t, int64_t row) const {
    const int64_t inputs = C::INPUTS * H, gates = C::GATES * H, at = t * B + row;
    zero(r.d_x + at * inputs, inputs);
    if (!C::SAME && gates) zero(r.d_h + at * gates, gates);
    for (real* reduced : r.d_reduced)
      if (reduced) zero(reduced + at * P, P);
  }

  // what `narrow` did: the old state's share stays in d_state, the rest goes through W_hr
  void narrow_backward(int64_t t, Rows rows, Work& work) const {
    real* d_made = r.d_reduced[0] + t * B * P;
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      if (!is_real(t, row)) continue;
      const real* d_out = r.d_output ? r.d_output + t * r.d_t + row * r.d_b : nullptr;
      real* d_state = r.d_state[0] + row * P;
      for (int64_t i = 0; i < P; ++i) {
        const real share = new_share(t, row, i), d = d_state[i] + (d_out ? d_out[i] : 0);
        d_made[row * P + i] = share * d;
        d_state[i] = (1 - share) * d;
      }
    }
    product(d_made + rows.begin * P, P, rows.count(), matrices.narrow, nullptr, work.wide.get(),
            work.step);
  }

  void update_backward(int64_t t, Rows rows, const Share& share, Work& work) const {
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      if (!is_real(t, row)) continue;
      Row<C> k = row_at(t, row, given(), nullptr);
      if (C::NARROWS) k.d_state[0] = work.wide.get() + (row - rows.begin) * work.step;
      for (int i = 0; i < C::PARAMS; ++i) k.d_p[i] = r.d_parameter + (share.thread * C::PARAMS + i) * H;
      EACH_VECTOR(update_backward, k);
    }
  }

  void normalise_all_backward(int64_t t, Rows rows, const Span& span, int thread) const {
    for (int64_t row = rows.begin; row < rows.end; ++row)
      if (is_real(t, row)) normalise_backward<C>(r, t * B + row, span, thread);
  }

  void vector_backward(int p, int64_t t, Rows rows, const Share& share, Work& work) const {
    const real* d = matrices.source_gradient(p, t, rows, share, work);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      if (!is_real(t, row)) continue;
      Row<C> k = row_at(t, row, given(), nullptr, p);
      k.d_vector = d + (row - rows.begin) * work.step;
      for (int i = 0; i < C::PARAMS; ++i) k.d_p[i] = r.d_parameter + (share.thread * C::PARAMS + i) * H;
      EACH_VECTOR(vector_backward, k);
    }
  }

  void step_backward(int64_t t, Rows rows, const Share& share, Work& work) const {
    for (int64_t row = rows.begin; row < rows.end; ++row)
      if (!is_real(t, row)) clear(t, row);
    if (C::NARROWS) narrow_backward(t, rows, work);
    update_backward(t, rows, share, work);
    for (int p = C::PRODUCTS - 1; p > 0; --p) {
      if (C::NORM) normalise_all_backward(t, rows, spans[p], share.thread);
      vector_backward(p, t, rows, share, work);
    }
    if (!C::FIRST) return;
    if (C::NORM) normalise_all_backward(t, rows, spans[0], share.thread);
    wait_for_others(share);
    const real* d = matrices.source_gradient(0, t, rows, share, work);
    for (int64_t row = rows.begin; row < rows.end; ++row)
      for (int64_t i = share.waits ? share.unit_begin : 0; i < (share.waits ? share.unit_end : S); ++i)
        r.d_state[0][row * S + i] += d[(row - rows.begin) * work.step + i];
  }

  void backward(const Share& share) const {
    const Rows mine = share.rows;
    Work work = matrices.work(mine.count());
    for (int64_t s = r.steps - 1; s >= 0; --s) {
      const int64_t t = r.reverse ? r.steps - 1 - s : s;
      const Rows rows = real_rows(t, mine);
      for (int64_t row = mine.begin; row < rows.begin; ++row) clear(t, row);
      for (int64_t row = rows.end; row < mine.end; ++row) clear(t, row);
      if (rows.count()) step_backward(t, rows, share, work);
    }
  }
};

constexpr int64_t FEW_ROWS = 4;  // a thread with fewer makes poor use of the matrix
constexpr int64_t WORTH_A_WAIT = 1 << 18;  // multiplications of a thread at one step

// Whether each thread gets its own units of all rows: one unmasked product a step, whole panels for
// every thread, and enough work between two meetings.
template <class C>
static bool by_units(const Arguments& r) {
  const int64_t rows = r.batch / r.threads, work = r.batch * C::GATES * r.hidden * (r.hidden / r.blocks);
  const bool simple = C::PRODUCTS == 1 && C::GATES && !C::NORM && !r.narrow && !r.mask && r.masks <= 1;
  return simple && r.threads > 1 && r.hidden % (r.threads * PANEL) == 0 && rows < FEW_ROWS &&
         work / r.threads >= WORTH_A_WAIT;
}

// A bias with room for what a panel overhangs; nothing where there is none.
static inline std::vector<real> roomy(const real* bias, int64_t count, int64_t width) {
  std::vector<real> made(bias ? width : 0, real(0));
  if (bias) std::copy(bias, bias + count, made.begin());
  return made;
}
static inline const real* start_of(const std::vector<real>& bias) {
  return bias.empty() ? nullptr : bias.data();
}

// `kept`: what the runs before this one have packed, for runs forward without masks of dropout.
template <class C>
static void run(const Arguments& r, bool backward, Kept<C>* kept = nullptr) {
#ifdef _OPENMP
  const bool units = by_units<C>(r);
#else
  const bool units = false;
#endif
  const int64_t most = units ? r.threads : std::min(r.threads, r.batch / FEW_ROWS);
  // to look whether matrices have changed takes longer than to pack and multiply them once
  const bool direct = !backward && r.steps == 1 && r.blocks == 1 && most <= 1;
  if (direct) kept = nullptr;
  const bool known = kept && kept->knows(r);
  const Matrices<C>* packed = kept ? kept->matrices.get() : nullptr;
  const Driver<C> driver(r, backward, packed, direct);
  const std::vector<real> bias = roomy(backward || C::NORM ? nullptr : r.bias,
                                       C::GATES * r.hidden, driver.matrices.width);
  const std::vector<real> kernel_bias =
      roomy(r.kernel_bias, C::INPUTS * r.hidden, driver.matrices.input_width());
#pragma omp parallel num_threads(int(std::max<int64_t>(1, most)))
  {
#ifdef _OPENMP
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
#else
    const int thread = 0, threads = 1;
#endif
    if (!known) {
      (packed ? *packed : driver.matrices).pack(thread, threads);
#pragma omp barrier
    }
    const Rows all = {0, r.batch};
    const Rows rows = {r.batch * thread / threads, r.batch * (thread + 1) / threads};
    const bool waits = units && threads == r.threads;
    const int64_t first = waits ? r.hidden / threads * thread : 0;
    const int64_t last = waits ? r.hidden / threads * (thread + 1) : r.hidden;
    const Share share = {thread, waits ? all : rows, first, last, waits};
    if (backward) {
      driver.backward(share);
    } else {
      Scratch scratch = driver.scratch(share.rows.count());
      driver.forward(share, start_of(bias), start_of(kernel_bias), scratch);
    }
  }
}
