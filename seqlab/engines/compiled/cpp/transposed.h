// result [rows, columns] = left^T right of tall matrices: left [count, rows], right [count, columns],
// whose lines lie next to each other or further apart. Results do not depend on the threads.
#pragma once
#include <algorithm>

#include "product.h"
#ifdef _OPENMP
#include <omp.h>
#endif

constexpr int TILE = BLOCK_ROWS;
// lines that are summed at once: their panel of 24 kB stays in the nearest cache for all tiles
constexpr int64_t LINES = 6144 * sizeof(float) / sizeof(real) / PANEL;

// WIDTH columns of so many lines, one line after the other; zero where there are fewer.
template <int WIDTH>
static inline void gather(const real* from, int64_t step, int64_t lines, int64_t width, real* to) {
  constexpr int REACH = (WIDTH + LANES - 1) / LANES * LANES;  // of whole vectors
  int64_t n = 0;
  // what these read and write beyond a line belongs to the next one, which comes after
  for (; width == WIDTH && step >= REACH && n + 1 < lines; ++n)
    for (int i = 0; i < WIDTH; i += LANES)
      store<true>(to + n * WIDTH + i, load<true>(from + n * step + i, 0), 0);
  for (; n < lines; ++n)
    for (int64_t i = 0; i < WIDTH; ++i) to[n * WIDTH + i] = i < width ? from[n * step + i] : real(0);
}

// TILE rows of the result and a panel's columns, of which height and width are real.
static inline void tile(const real* left, const real* right, int64_t lines, bool add, real* result,
                        int64_t step, int64_t height, int64_t width) {
  V low[TILE] = {}, high[TILE] = {};
  for (int64_t n = 0; n < lines; ++n) {
    V a = load<true>(right + n * PANEL, 0), b = load<true>(right + n * PANEL + LANES, 0);
    in_register(a), in_register(b);
#pragma GCC unroll 12
    for (int r = 0; r < TILE; ++r) {
      const real value = left[n * TILE + r];
      low[r] += a * value;
      high[r] += b * value;
    }
  }
  for (int r = 0; r < height; ++r) {
    real* to = result + r * step;
    for (int half = 0; half < PANEL && half < width; half += LANES) {
      const V sum = half ? high[r] : low[r];
      const int some = int(std::min<int64_t>(LANES, width - half));
      if (some == LANES)
        store<true>(to + half, add ? load<true>(to + half, 0) + sum : sum, 0);
      else
        store<false>(to + half, add ? load<false>(to + half, some) + sum : sum, some);
    }
  }
}

// Each thread makes rows of its own.
extern "C" void transposed(int64_t count, int64_t rows, int64_t columns, const real* left,
                           int64_t left_step, const real* right, int64_t right_step, real* result,
                           int64_t threads) {
  const int64_t tiles = (rows + TILE - 1) / TILE, panels = padded(columns) / PANEL;
#pragma omp parallel num_threads(int(std::max<int64_t>(1, std::min(threads, tiles))))
  {
#ifdef _OPENMP
    const int64_t thread = omp_get_thread_num(), together = omp_get_num_threads();
#else
    const int64_t thread = 0, together = 1;
#endif
    const int64_t begin = tiles * thread / together, end = tiles * (thread + 1) / together;
    const Buffer some_left = make_buffer(LINES * TILE + LANES);
    const Buffer some_right = make_buffer(LINES * PANEL * panels);
    for (int64_t n = 0; n < count; n += LINES) {
      const int64_t lines = std::min(LINES, count - n);
      for (int64_t p = 0; p < panels; ++p)
        gather<PANEL>(right + n * right_step + p * PANEL, right_step, lines,
                      std::min<int64_t>(PANEL, columns - p * PANEL),
                      some_right.get() + p * LINES * PANEL);
      for (int64_t t = begin; t < end; ++t) {
        const int64_t height = std::min<int64_t>(TILE, rows - t * TILE);
        gather<TILE>(left + n * left_step + t * TILE, left_step, lines, height, some_left.get());
        for (int64_t p = 0; p < panels; ++p)
          tile(some_left.get(), some_right.get() + p * LINES * PANEL, lines, n > 0,
               result + t * TILE * columns + p * PANEL, columns, height,
               std::min<int64_t>(PANEL, columns - p * PANEL));
      }
    }
  }
}
