// Products with a matrix that is packed once and used at every time step.
#pragma once
#include <cstdlib>
#include <memory>
#include <vector>

#include "vector.h"

constexpr int PANEL = 2 * LANES;  // columns that one pass of `block` computes
constexpr int LINE = 64 / sizeof(real);  // of a cache

struct Free {
  void operator()(real* memory) const { std::free(memory); }
};
typedef std::unique_ptr<real[], Free> Buffer;

static inline Buffer make_buffer(int64_t count) {
  const size_t bytes = (size_t(count) * sizeof(real) + 64 + 127) / 128 * 128;
  return Buffer(static_cast<real*>(std::aligned_alloc(128, bytes)));
}

static inline int64_t padded(int64_t columns) { return (columns + PANEL - 1) / PANEL * PANEL; }

// A [depth, columns] matrix as panels of PANEL columns, each contiguous, padded with zeros. Where
// every column is a small whole number times its scale, the numbers and the scales are kept.
struct Packed {
  int64_t depth = 0, columns = 0;
  Buffer data, scale;
  real* values = nullptr;  // of `data`, or of the matrix that lends them
  std::vector<int8_t> small;

  void allocate(int64_t depth_, int64_t columns_) {
    depth = depth_;
    columns = columns_;
    data = make_buffer(depth * padded(columns));
    values = data.get();
  }
  // another that reads the same memory, for as long as this one lives
  void borrow(const Packed& other) {
    depth = other.depth;
    columns = other.columns;
    values = other.values;
  }
  void allocate_small(int64_t depth_, int64_t columns_) {
    depth = depth_;
    columns = columns_;
    scale = make_buffer(padded(columns));
    small.assign(depth * padded(columns), 0);
  }
  int64_t panels() const { return padded(columns) / PANEL; }
  real* panel(int64_t p) const { return values + p * PANEL * depth; }

  void fill_small(const real* from, int64_t step_n, const real* scales) {
    for (int64_t n = 0; n < padded(columns); ++n) {
      scale[n] = n < columns ? scales[n] : real(0);
      int8_t* to = small.data() + n / PANEL * PANEL * depth + n % PANEL;
      for (int64_t k = 0; n < columns && k < depth; ++k)
        to[k * PANEL] = int8_t(std::lround(from[n * step_n + k] / scales[n]));
    }
  }

  // element (k, n) of the matrix is from[k * step_k + n * step_n]
  void fill_panel(int64_t p, const real* from, int64_t step_k, int64_t step_n) const {
    real* to = panel(p);
    const int64_t first = p * PANEL;
    const int64_t count = std::min<int64_t>(PANEL, columns - first);
    if (step_n == 1 && count == PANEL) {
      for (int64_t k = 0; k < depth; ++k)
        std::memcpy(to + k * PANEL, from + first + k * step_k, PANEL * sizeof(real));
      return;
    }
    // few steps of depth at a time, so that what is written stays in the nearest cache
    int64_t begin = 0;
#ifdef TURNS
    for (; step_k == 1 && count == PANEL && begin + LANES <= depth; begin += LANES)
      for (int64_t n = 0; n < PANEL; n += LANES) {
        V square[LANES];
        for (int i = 0; i < LANES; ++i)
          square[i] = load<true>(from + (first + n + i) * step_n + begin, 0);
        turn(square);
        for (int i = 0; i < LANES; ++i) store<true>(to + (begin + i) * PANEL + n, square[i], 0);
      }
#endif
    for (; begin < depth; begin += LINE) {
      const int64_t end = std::min<int64_t>(depth, begin + LINE);
      for (int64_t n = 0; n < count; ++n) {
        const real* source = from + (first + n) * step_n;
        for (int64_t k = begin; k < end; ++k) to[k * PANEL + n] = source[k * step_k];
      }
      for (int64_t n = count; n < PANEL; ++n)
        for (int64_t k = begin; k < end; ++k) to[k * PANEL + n] = real(0);
    }
  }
};

// ROWS rows of left [., depth] times one panel, plus the panel's bias, into result.
template <int ROWS>
static inline void block(const real* left, int64_t left_step, const real* panel, int64_t depth,
                         const real* bias, real* result, int64_t result_step) {
  V low[ROWS], high[ROWS];
  const V start_low = bias ? load<true>(bias, 0) : V{};
  const V start_high = bias ? load<true>(bias + LANES, 0) : V{};
  for (int r = 0; r < ROWS; ++r) {
    low[r] = start_low;
    high[r] = start_high;
  }
  for (int64_t k = 0; k < depth; ++k) {
    const V a = load<true>(panel + k * PANEL, 0), b = load<true>(panel + k * PANEL + LANES, 0);
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) {
      const real value = left[r * left_step + k];
      low[r] += a * value;
      high[r] += b * value;
    }
  }
  for (int r = 0; r < ROWS; ++r) {
    store<true>(result + r * result_step, low[r], 0);
    store<true>(result + r * result_step + LANES, high[r], 0);
  }
}

// The same, for few rows and a panel of small whole numbers.
template <int ROWS>
static inline void small_block(const real* left, int64_t left_step, const int8_t* panel,
                               int64_t depth, const real* scale, const real* bias, real* result,
                               int64_t result_step) {
  V low[ROWS] = {}, high[ROWS] = {};
  alignas(64) real wide[8 * PANEL];  // compilers make vectors of the loop that fills it
  for (int64_t begin = 0; begin < depth; begin += 8) {
    const int64_t count = std::min<int64_t>(8, depth - begin);
    for (int64_t i = 0; i < count * PANEL; ++i) wide[i] = real(panel[begin * PANEL + i]);
    for (int64_t k = 0; k < count; ++k) {
      const V a = load<true>(wide + k * PANEL, 0), b = load<true>(wide + k * PANEL + LANES, 0);
      for (int r = 0; r < ROWS; ++r) {
        const real value = left[r * left_step + begin + k];
        low[r] += a * value;
        high[r] += b * value;
      }
    }
  }
  const V first = load<true>(scale, 0), second = load<true>(scale + LANES, 0);
  for (int r = 0; r < ROWS; ++r) {
    low[r] *= first;
    high[r] *= second;
    if (bias) {
      low[r] += load<true>(bias, 0);
      high[r] += load<true>(bias + LANES, 0);
    }
    store<true>(result + r * result_step, low[r], 0);
    store<true>(result + r * result_step + LANES, high[r], 0);
  }
}

__attribute__((noinline)) static void small_product(const real* left, int64_t left_step,
                                                    int64_t rows, const Packed& right, int64_t from,
                                                    int64_t to, const real* bias, real* result,
                                                    int64_t result_step) {
  for (int64_t p = from; p < to; ++p) {
    const int8_t* panel = right.small.data() + p * PANEL * right.depth;
    const real *scale = right.scale.get() + p * PANEL, *part = bias ? bias + p * PANEL : nullptr;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
      small_block<4>(left + r * left_step, left_step, panel, right.depth, scale, part,
                     result + r * result_step + p * PANEL, result_step);
    for (; r < rows; ++r)
      small_block<1>(left + r * left_step, left_step, panel, right.depth, scale, part,
                     result + r * result_step + p * PANEL, result_step);
  }
}

template <int ROWS>
static inline void some_rows(int64_t rows, const real* left, int64_t left_step, const real* panel,
                             int64_t depth, const real* bias, real* result, int64_t result_step) {
  if (rows == ROWS)
    block<ROWS>(left, left_step, panel, depth, bias, result, result_step);
  else if constexpr (ROWS > 1)
    some_rows<ROWS - 1>(rows, left, left_step, panel, depth, bias, result, result_step);
}

// result [rows, columns] = left [rows, depth] times the panels [from, to) of the packed matrix, plus
// bias or nothing. Columns beyond the matrix's, up to the panel's end, are overwritten; one copy of
// the code serves all callers, because it is long.
__attribute__((noinline)) static void product(const real* left, int64_t left_step, int64_t rows,
                                              const Packed& right, int64_t from, int64_t to,
                                              const real* bias, real* result,
                                              int64_t result_step) {
  if (!right.small.empty())
    return small_product(left, left_step, rows, right, from, to, bias, result, result_step);
  // blocks of like height: a low one at the end would make poor use of the panel
  const int64_t blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
  const int64_t height = blocks ? (rows + blocks - 1) / blocks : 1;
  for (int64_t p = from; p < to; ++p) {
    const real* part = bias ? bias + p * PANEL : nullptr;
    for (int64_t r = 0; r < rows; r += height)
      some_rows<BLOCK_ROWS>(std::min<int64_t>(height, rows - r), left + r * left_step,
                            left_step, right.panel(p), right.depth, part,
                            result + r * result_step + p * PANEL, result_step);
  }
}

static inline void product(const real* left, int64_t left_step, int64_t rows, const Packed& right,
                           const real* bias, real* result, int64_t result_step) {
  product(left, left_step, rows, right, 0, right.panels(), bias, result, result_step);
}
