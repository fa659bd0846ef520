// Products with a matrix that is packed once and used at every time step.
#pragma once
#include <cstdlib>
#include <memory>
#include <vector>
#ifdef __AVX2__
#include <immintrin.h>
#endif

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
//
// Of a matrix with blocks on its diagonal a panel has the rows of the blocks that it meets. There
// may be several such matrices side by side, whose products are other columns, or one below the
// other, whose products are summed: `stacked`.
struct Packed {
  int64_t depth = 0, columns = 0;
  int64_t size = 0, block = 0, stacked = 1;  // of one matrix; of one block, or 0
  int64_t longest = 0;  // rows of a panel
  Buffer data, scale;
  real* values = nullptr;  // of `data`, or of the matrix that lends them
  std::vector<int8_t> small;
  const real* source = nullptr;  // where a panel is packed when it is multiplied: see `read`
  int64_t source_step = 0;

  void allocate(int64_t depth_, int64_t columns_) {
    depth = depth_;
    columns = columns_;
    longest = depth;
    data = make_buffer(depth * padded(columns));
    values = data.get();
  }
  // matrices [size, size], so many side by side or stacked; no panel may meet two of them
  void allocate_blocks(int64_t size_, int64_t block_, int64_t beside, int64_t stacked_) {
    size = size_;
    block = block_;
    stacked = stacked_;
    depth = size * stacked;
    columns = size * beside;
    longest = 0;
    for (int64_t p = 0; p < panels(); ++p) longest = std::max(longest, stacked * rows_of(p));
    data = make_buffer(longest * padded(columns));
    values = data.get();
  }
  // a matrix that is multiplied once, by so many rows: it is read as it lies (`dots`), or each panel
  // is packed into the same memory right before its product. `from`: [columns, depth]
  void read(const real* from, int64_t depth_, int64_t columns_, int64_t rows) {
    depth = longest = depth_;
    columns = columns_;
    source = from;
    source_step = depth;
    if (rows < 3 && depth >= 2 * LANES) return;
    data = make_buffer(depth * PANEL);
    values = data.get();
  }
  bool as_it_lies() const { return source && !values; }
  // another that reads the same memory, for as long as this one lives
  void borrow(const Packed& other) {
    depth = other.depth;
    columns = other.columns;
    size = other.size;
    block = other.block;
    stacked = other.stacked;
    longest = other.longest;
    values = other.values;
  }
  void allocate_small(int64_t depth_, int64_t columns_) {
    depth = depth_;
    columns = columns_;
    scale = make_buffer(padded(columns));
    small.assign(depth * padded(columns), 0);
  }
  int64_t panels() const { return padded(columns) / PANEL; }
  real* panel(int64_t p) const { return source ? values : values + p * PANEL * longest; }

  // the first row that a panel has of each stacked matrix, and how many
  int64_t unit(int64_t p) const { return p * PANEL % size; }
  int64_t first_row(int64_t p) const { return block ? unit(p) / block * block : 0; }
  int64_t rows_of(int64_t p) const {
    if (!block) return depth;
    const int64_t last = std::min(unit(p) + PANEL, size) - 1;
    return (last / block + 1) * block - first_row(p);
  }

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
    const int64_t first = p * PANEL, count = std::min<int64_t>(PANEL, columns - first);
    fill(panel(p), from + first * step_n, count, depth, step_k, step_n);
  }

  // from: [rows, block], the blocks of all matrices; `across`: products are with their transposes
  void fill_blocks(int64_t p, const real* from, bool across) const {
    const int64_t first = first_row(p), rows = rows_of(p), start = unit(p);
    const int64_t count = std::min<int64_t>(PANEL, size - start);
    real* to = panel(p);
    if (rows > block || count < PANEL) std::memset(to, 0, stacked * rows * PANEL * sizeof(real));
    for (int64_t s = 0; s < stacked; ++s, to += rows * PANEL)
      for (int64_t row = first; row < first + rows; row += block) {
        // columns of the panel that this block has
        const int64_t begin = std::max(row, start), end = std::min(row + block, start + count);
        real* corner = to + (row - first) * PANEL + begin - start;
        if (across) {
          const real* source = from + (p * PANEL - start + begin) * block;
          if (end - begin == PANEL) {
            fill(corner, source, PANEL, block, 1, block);
          } else {
            for (int64_t n = 0; n < end - begin; ++n)
              for (int64_t k = 0; k < block; ++k) corner[k * PANEL + n] = source[n * block + k];
          }
        } else {
          const real* source = from + (s * size + row) * block + begin - row;
          for (int64_t k = 0; k < block; ++k)
            std::memcpy(corner + k * PANEL, source + k * block, (end - begin) * sizeof(real));
        }
      }
  }

  // `count` columns of a panel; columns after them become zero
  static void fill(real* to, const real* from, int64_t count, int64_t depth, int64_t step_k,
                   int64_t step_n) {
    if (step_n == 1 && count == PANEL) {
      for (int64_t k = 0; k < depth; ++k)
        std::memcpy(to + k * PANEL, from + k * step_k, PANEL * sizeof(real));
      return;
    }
    // few steps of depth at a time, so that what is written stays in the nearest cache
    int64_t begin = 0;
#ifdef TURNS
    for (; step_k == 1 && count == PANEL && begin + LANES <= depth; begin += LANES)
      for (int64_t n = 0; n < PANEL; n += LANES) {
        V square[LANES];
        for (int i = 0; i < LANES; ++i)
          square[i] = load<true>(from + (n + i) * step_n + begin, 0);
        turn(square);
        for (int i = 0; i < LANES; ++i) store<true>(to + (begin + i) * PANEL + n, square[i], 0);
      }
#endif
    for (; begin < depth; begin += LINE) {
      const int64_t end = std::min<int64_t>(depth, begin + LINE);
      for (int64_t n = 0; n < count; ++n) {
        const real* source = from + n * step_n;
        for (int64_t k = begin; k < end; ++k) to[k * PANEL + n] = source[k * step_k];
      }
      for (int64_t n = count; n < PANEL; ++n)
        for (int64_t k = begin; k < end; ++k) to[k * PANEL + n] = real(0);
    }
  }
};

// ROWS rows of left [., depth] times PANELS panels, which lie `apart`, plus their bias or what result
// holds already, into result. A sum waits for the one before it, so few rows take two panels at once.
template <int ROWS, int PANELS = 1>
static inline void block(const real* left, int64_t left_step, const real* panel, int64_t apart,
                         int64_t depth, const real* bias, bool add, real* result,
                         int64_t result_step) {
  V low[PANELS][ROWS], high[PANELS][ROWS];
  for (int p = 0; p < PANELS; ++p) {
    const V start_low = bias ? load<true>(bias + p * PANEL, 0) : V{};
    const V start_high = bias ? load<true>(bias + p * PANEL + LANES, 0) : V{};
    for (int r = 0; r < ROWS; ++r) {
      const real* from = result + r * result_step + p * PANEL;
      low[p][r] = add ? load<true>(from, 0) : start_low;
      high[p][r] = add ? load<true>(from + LANES, 0) : start_high;
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 2
    for (int p = 0; p < PANELS; ++p) {
      const real* from = panel + p * apart + k * PANEL;
      V a = load<true>(from, 0), b = load<true>(from + LANES, 0);
      if (ROWS > 1) in_register(a), in_register(b);
#pragma GCC unroll 12
      for (int r = 0; r < ROWS; ++r) {
        const real value = left[r * left_step + k];
        low[p][r] += a * value;
        high[p][r] += b * value;
      }
    }
  }
  for (int p = 0; p < PANELS; ++p)
    for (int r = 0; r < ROWS; ++r) {
      store<true>(result + r * result_step + p * PANEL, low[p][r], 0);
      store<true>(result + r * result_step + p * PANEL + LANES, high[p][r], 0);
    }
}

// A vector of small whole numbers; compilers find the instructions for it only in loops over memory.
#ifdef __AVX2__
constexpr bool WIDENS = true;
template <typename Real = real>
static inline V widened(const int8_t* from) {
  int64_t few;  // no more than the panel has is read
  std::memcpy(&few, from, LANES < 8 ? LANES : 8);
  const __m128i small = _mm_cvtsi64_si128(few);
#ifdef __AVX512F__
  if constexpr (sizeof(Real) == 8)
    return reinterpret_cast<V>(_mm512_cvtepi32_pd(_mm256_cvtepi8_epi32(small)));
  else
    return reinterpret_cast<V>(_mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))));
#else
  if constexpr (sizeof(Real) == 8)
    return reinterpret_cast<V>(_mm256_cvtepi32_pd(_mm_cvtepi8_epi32(small)));
  else
    return reinterpret_cast<V>(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(small)));
#endif
}
#else
constexpr bool WIDENS = false;
static inline V widened(const int8_t*) { return V{}; }
#endif

// The same as `block` for panels of small whole numbers, each column times its scale.
template <int ROWS, int PANELS>
static inline void small_block(const real* left, int64_t left_step, const int8_t* panel,
                               int64_t depth, const real* scale, const real* bias, real* result,
                               int64_t result_step) {
  V low[PANELS][ROWS] = {}, high[PANELS][ROWS] = {};
  alignas(64) real wide[WIDENS ? 1 : PANELS * 8 * PANEL];
  for (int64_t begin = 0; begin < depth; begin += 8) {
    const int64_t count = std::min<int64_t>(8, depth - begin);
    for (int p = 0; p < PANELS && !WIDENS; ++p)
      for (int64_t i = 0; i < count * PANEL; ++i)
        wide[p * 8 * PANEL + i] = real(panel[(p * depth + begin) * PANEL + i]);
    for (int64_t k = 0; k < count; ++k) {
#pragma GCC unroll 2
      for (int p = 0; p < PANELS; ++p) {
        const int8_t* from = panel + (p * depth + begin + k) * PANEL;
        const real* same = wide + (WIDENS ? 0 : (p * 8 + k) * PANEL);
        const V a = WIDENS ? widened(from) : load<true>(same, 0);
        const V b = WIDENS ? widened(from + LANES) : load<true>(same + LANES, 0);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; ++r) {
          const real value = left[r * left_step + begin + k];
          low[p][r] += a * value;
          high[p][r] += b * value;
        }
      }
    }
  }
  for (int p = 0; p < PANELS; ++p)
    for (int r = 0; r < ROWS; ++r)
      for (int half = 0; half < PANEL; half += LANES) {
        const int64_t n = p * PANEL + half;
        V sum = (half ? high : low)[p][r] * load<true>(scale + n, 0);
        if (bias) sum += load<true>(bias + n, 0);
        store<true>(result + r * result_step + n, sum, 0);
      }
}

constexpr int SMALL_ROWS = 4;  // that are multiplied at once

// Panels of small whole numbers for up to so many rows, two at once where these are fewer.
template <int ROWS>
static inline void small_rows(int64_t rows, const real* left, int64_t left_step,
                              const Packed& right, int64_t from, int64_t to, const real* bias,
                              real* result, int64_t result_step) {
  if constexpr (ROWS > 1)
    if (rows != ROWS)
      return small_rows<ROWS - 1>(rows, left, left_step, right, from, to, bias, result, result_step);
  constexpr int PANELS = 2 * ROWS <= std::min(6, BLOCK_ROWS) ? 2 : 1;
  const auto multiply = [&](auto panels) {
    const int64_t n = from * PANEL;
    small_block<ROWS, decltype(panels)::value>(
        left, left_step, right.small.data() + n * right.depth, right.depth, right.scale.get() + n,
        bias ? bias + n : nullptr, result + n, result_step);
    from += decltype(panels)::value;
  };
  while (from + PANELS <= to) multiply(std::integral_constant<int, PANELS>{});
  while (from < to) multiply(std::integral_constant<int, 1>{});
}

__attribute__((noinline)) static void small_product(const real* left, int64_t left_step,
                                                    int64_t rows, const Packed& right, int64_t from,
                                                    int64_t to, const real* bias, real* result,
                                                    int64_t result_step) {
  for (int64_t r = 0; r < rows; r += SMALL_ROWS)
    small_rows<SMALL_ROWS>(std::min<int64_t>(SMALL_ROWS, rows - r), left + r * left_step, left_step,
                           right, from, to, bias, result + r * result_step, result_step);
}

template <int ROWS>
static inline void some_rows(int64_t rows, const real* left, int64_t left_step, const real* panel,
                             int64_t depth, const real* bias, bool add, real* result,
                             int64_t result_step) {
  if (rows == ROWS)
    block<ROWS>(left, left_step, panel, 0, depth, bias, add, result, result_step);
  else if constexpr (ROWS > 1)
    some_rows<ROWS - 1>(rows, left, left_step, panel, depth, bias, add, result, result_step);
}

// The products of one to three rows with pairs of panels; the first panel that is left.
template <int ROWS>
static inline int64_t pairs(int64_t rows, const real* left, int64_t left_step, const Packed& right,
                            int64_t from, int64_t to, const real* bias, real* result,
                            int64_t result_step) {
  if (rows != ROWS) {
    if constexpr (ROWS > 1)
      from = pairs<ROWS - 1>(rows, left, left_step, right, from, to, bias, result, result_step);
    return from;
  }
  for (; from + 2 <= to; from += 2)
    block<ROWS, 2>(left, left_step, right.panel(from), right.longest * PANEL, right.depth,
                   bias ? bias + from * PANEL : nullptr, false, result + from * PANEL, result_step);
  return from;
}

// The sum of a vector's lanes of each of LANES vectors; what they held is lost.
static inline V sums_of_lanes(V* vectors) {
#ifdef TURNS
  turn(vectors);
  for (int width = LANES / 2; width; width /= 2)
    for (int i = 0; i < width; ++i) vectors[i] += vectors[i + width];
  return vectors[0];
#else
  V sums = {};
  for (int i = 0; i < LANES; ++i)
    for (int lane = 0; lane < LANES; ++lane) sums[i] += vectors[i][lane];
  return sums;
#endif
}

// The same as `product` for few rows and a matrix that nothing was packed of: columns of the product
// are rows of what lies there, so each is a sum along memory. Four at a time, in two sums each.
__attribute__((noinline)) static void dots(const real* left, int64_t left_step, int64_t rows,
                                           const Packed& right, int64_t from, int64_t to,
                                           const real* bias, real* result, int64_t result_step) {
  constexpr int BESIDE = LANES < 4 ? LANES : 4;
  const int64_t depth = right.depth, end = std::min(to * PANEL, right.columns);
  const int64_t pairs_end = depth / (2 * LANES) * (2 * LANES), whole_end = depth / LANES * LANES;
  for (int64_t n = from * PANEL; n < end; n += LANES)
    for (int64_t r = 0; r < rows; ++r) {
      const real* row = left + r * left_step;
      V sums[LANES];
      for (int i = 0; i < LANES; i += BESIDE) {
        const real* column[BESIDE];  // beyond the last one: that again, which nobody reads
        for (int j = 0; j < BESIDE; ++j)
          column[j] = right.source + std::min(n + i + j, right.columns - 1) * right.source_step;
        V even[BESIDE] = {}, odd[BESIDE] = {};
        int64_t k = 0;
        for (; k < pairs_end; k += 2 * LANES) {
          const V first = load<true>(row + k, 0), second = load<true>(row + k + LANES, 0);
#pragma GCC unroll 4
          for (int j = 0; j < BESIDE; ++j) {
            even[j] += load<true>(column[j] + k, 0) * first;
            odd[j] += load<true>(column[j] + k + LANES, 0) * second;
          }
        }
        for (; k < whole_end; k += LANES)
          for (int j = 0; j < BESIDE; ++j)
            even[j] += load<true>(column[j] + k, 0) * load<true>(row + k, 0);
        for (int j = 0; k < depth && j < BESIDE; ++j)
          odd[j] += load<false>(column[j] + k, int(depth - k)) * load<false>(row + k, int(depth - k));
        for (int j = 0; j < BESIDE; ++j) sums[i + j] = even[j] + odd[j];
      }
      const V sum = sums_of_lanes(sums);
      store<true>(result + r * result_step + n, bias ? sum + load<true>(bias + n, 0) : sum, 0);
    }
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
  if (right.as_it_lies())
    return dots(left, left_step, rows, right, from, to, bias, result, result_step);
  // blocks of like height: a low one at the end would make poor use of the panel
  const int64_t blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
  const int64_t height = blocks ? (rows + blocks - 1) / blocks : 1;
  if (!right.block && !right.source)
    from = pairs<3>(rows, left, left_step, right, from, to, bias, result, result_step);
  for (int64_t p = from; p < to; ++p) {
    const real* part = bias ? bias + p * PANEL : nullptr;
    const int64_t depth = right.rows_of(p);
    if (right.source) right.fill_panel(p, right.source, 1, right.source_step);
    for (int64_t s = 0; s < right.stacked; ++s) {
      const real* start = left + right.first_row(p) + s * right.size;
      for (int64_t r = 0; r < rows; r += height)
        some_rows<BLOCK_ROWS>(std::min<int64_t>(height, rows - r), start + r * left_step,
                              left_step, right.panel(p) + s * depth * PANEL, depth, part, s > 0,
                              result + r * result_step + p * PANEL, result_step);
    }
  }
}

static inline void product(const real* left, int64_t left_step, int64_t rows, const Packed& right,
                           const real* bias, real* result, int64_t result_step) {
  product(left, left_step, rows, right, 0, right.panels(), bias, result, result_step);
}
