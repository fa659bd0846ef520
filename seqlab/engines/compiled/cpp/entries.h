// Runs and single steps as Python asks for them.
#pragma once
#include <vector>

#include "recurrence.h"

// A run forward from the states in `start`, of which the last ones go to `last`; a null state is zero.
// Memory that the caller did not give, of states and of vectors that later products multiply, is
// made here. Without `start` the caller reads and writes the histories.
template <class C>
static void run_between(const Arguments& given, Kept<C>* kept, real* const* start,
                        real* const* last) {
  if (!start) return run<C>(given, false, kept);
  Arguments r = given;
  Buffer states[C::STATES], vectors;
  const auto slot = [&](int f, int64_t time) {
    return r.history[f] + (r.ring[f] ? time & 1 : time) * r.batch * width_of<C>(r, f);
  };
  const auto count = [&](int f) { return r.batch * width_of<C>(r, f); };
  for (int f = 0; f < C::STATES; ++f) {
    if (!r.history[f]) {
      states[f] = make_buffer(2 * count(f));
      r.history[f] = states[f].get();
      r.ring[f] = 1;
    }
    real* const first = slot(f, r.reverse ? r.steps : 0);
    if (start[f])
      std::memcpy(first, start[f], count(f) * sizeof(real));
    else
      std::memset(first, 0, count(f) * sizeof(real));
  }
  if (C::PRODUCTS > 1 && !r.vectors) {
    vectors = make_buffer((C::PRODUCTS - 1) * r.steps * r.batch * r.hidden);
    r.vectors = vectors.get();
  }
  run<C>(r, false, kept);
  for (int f = 0; f < C::STATES; ++f)
    std::memcpy(last[f], slot(f, r.reverse ? 0 : r.steps), count(f) * sizeof(real));
}

// A cell whose matrices are packed once, for steps that are asked for one by one.
template <class C>
struct Stepper {
  Arguments r;  // of one step
  Driver<C> driver;
  const std::vector<real> bias, kernel_bias;
  Scratch scratch;
  Buffer states[C::STATES];  // before and after the step

  explicit Stepper(const Arguments& given)
      : r(given), driver(r, false), bias(roomy(r.bias, C::GATES * r.hidden, driver.matrices.width)),
        kernel_bias(roomy(r.kernel_bias, C::INPUTS * r.hidden, driver.matrices.input_width())),
        scratch(driver.scratch(r.batch)) {
    driver.matrices.pack(0, 1);
    driver.matrices.pack_small();
    for (int f = 0; f < C::STATES; ++f) {
      states[f] = make_buffer(2 * r.batch * driver.size(f));
      r.history[f] = states[f].get();
    }
  }

  // `at`: the input, the states before the step, where those after it go, and the output, which is
  // null where it is a state
  void step(real* const* at) {
    r.source = at[0];
    r.output = at[1 + 2 * C::STATES];
    const auto bytes = [&](int f) { return r.batch * driver.size(f) * sizeof(real); };
    for (int f = 0; f < C::STATES; ++f) std::memcpy(r.history[f], at[1 + f], bytes(f));
    const Share all = {0, {0, r.batch}, 0, r.hidden, false};
    driver.forward(all, start_of(bias), start_of(kernel_bias), scratch);
    for (int f = 0; f < C::STATES; ++f)
      std::memcpy(at[1 + C::STATES + f], driver.state(f, 1, 0), bytes(f));
  }
};
