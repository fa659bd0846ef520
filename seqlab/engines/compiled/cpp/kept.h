// Matrices that stay packed from run to run, as long as their numbers are the same.
#pragma once
#include <cstring>
#include <memory>

#include "matrices.h"

// A sum that any change of a number changes: in each of 64 lanes `sum * odd + bits`; a single change never
// leaves it as it was, as multiplying by an odd number can be undone.
struct Sum {
  static constexpr int LANES_OF_SUM = 64;
  uint32_t lanes[LANES_OF_SUM] = {};

  void add(const real* from, int64_t count) {
    constexpr int64_t BLOCK = sizeof(lanes) / sizeof(real);
    for (; from && count >= BLOCK; from += BLOCK, count -= BLOCK) add_block(from, sizeof(lanes));
    if (from && count) add_block(from, size_t(count) * sizeof(real));
  }
  void add_block(const real* from, size_t bytes) {
    uint32_t words[LANES_OF_SUM] = {};
    std::memcpy(words, from, bytes);
    for (int i = 0; i < LANES_OF_SUM; ++i) lanes[i] = lanes[i] * 2654435761u + words[i];
  }
  bool operator==(const Sum& other) const {
    return !std::memcmp(lanes, other.lanes, sizeof(lanes));
  }
};

// What a run may take from the one before it.
template <class C>
struct Kept {
  Arguments r = {};
  std::unique_ptr<Matrices<C>> matrices;
  Sum sums[3];

  // Whether the matrices of this run are those that are packed; from now on they are to be.
  bool knows(const Arguments& run) {
    Sum now[3];
    now[0].add(run.weight, C::GATES * run.hidden * (run.inner / run.blocks));
    now[1].add(run.narrow, run.inner * run.hidden);
    now[2].add(run.kernel, C::INPUTS * run.hidden * run.features);
    const bool same = matrices && run.hidden == r.hidden && run.inner == r.inner &&
                      run.blocks == r.blocks &&
                      run.features == r.features && !run.narrow == !r.narrow &&
                      !run.kernel == !r.kernel && now[0] == sums[0] && now[1] == sums[1] &&
                      now[2] == sums[2];
    if (same) return true;
    std::copy(now, now + 3, sums);
    r = run;
    matrices.reset(new Matrices<C>(r, false));
    return false;
  }
};
