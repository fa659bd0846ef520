// Runs and single steps as Python asks for them.
#pragma once
#include <vector>

#include "recurrence.h"

// A run forward from the states in `start`, of which the last ones go to `last`; null where the
// caller reads and writes the histories.
template <class C>
static void run_between(const Arguments& r, Kept<C>* kept, real* const* start, real* const* last) {
  const auto slot = [&](int f, int64_t time) {
    return r.history[f] + (r.ring[f] ? time & 1 : time) * r.batch * width_of<C>(r, f);
  };
  const auto bytes = [&](int f) { return r.batch * width_of<C>(r, f) * sizeof(real); };
  for (int f = 0; start && f < C::STATES; ++f)
    std::memcpy(slot(f, r.reverse ? r.steps : 0), start[f], bytes(f));
  run<C>(r, false, kept);
  for (int f = 0; last && f < C::STATES; ++f)
    std::memcpy(last[f], slot(f, r.reverse ? 0 : r.steps), bytes(f));
}

// A cell whose matrices are packed once, for steps that are asked for one by one.
template <class C>
struct Stepper {
  Arguments r;  // of one step
  Driver<C> driver;
  const std::vector<real> bias, kernel_bias;

  explicit Stepper(const Arguments& given)
      : r(given), driver(r, false), bias(roomy(r.bias, C::GATES * r.hidden, driver.matrices.width)),
        kernel_bias(roomy(r.kernel_bias, C::INPUTS * r.hidden, driver.matrices.input_width())) {
    driver.matrices.pack(0, 1);
    driver.matrices.pack_small();
  }

  // `history`: for each state field [2, B, width], whose second half becomes the new state
  void step(const real* x, real* const* start, real* const* history, real* output) {
    r.source = x;
    r.output = output;
    for (int f = 0; f < C::STATES; ++f) {
      r.history[f] = history[f];
      std::memcpy(history[f], start[f], r.batch * driver.size(f) * sizeof(real));
    }
    const Share all = {0, {0, r.batch}, 0, r.hidden, false};
    driver.forward(all, start_of(bias), start_of(kernel_bias));
  }
};
