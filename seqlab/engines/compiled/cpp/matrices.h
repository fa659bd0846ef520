// The recurrent matrices W_hh and W_hr, packed, and their products at one time step.
#pragma once
#include <vector>

#include "product.h"
#include "arguments.h"

// Rows of W_hh that multiply the same vector: those of a whole product, or of one gate where each
// gate has a mask of its own.
struct Part {
  int product;
  int64_t row;
  const real* drop;  // the mask of the batch's first row, or null
  Packed matrix;
};

// Memory of one thread for its rows at one time step; rows of vectors are `step` apart.
struct Work {
  int64_t step;
  Buffer gates, one, two, wide;
};

// forward multiplies by the transposed matrices, backward by the matrices themselves
template <class C>
struct Matrices {
  const Arguments& r;
  const bool backward, direct;
  const int64_t H, P, B, width;  // width: of a row of gates, with room for what a panel overhangs
  std::vector<Part> parts;
  Packed narrow, input;

  // `packed`: those of another run with the same numbers, which are borrowed; `direct_`: of one step
  // forward by one thread, without blocks
  Matrices(const Arguments& run, bool backward_, const Matrices* packed = nullptr,
           bool direct_ = false)
      : r(run), backward(backward_), direct(direct_), H(run.hidden), P(run.inner), B(run.batch),
        width(padded(C::GATES * H) + PANEL) {
    for (int which = 0; which < C::PRODUCTS; ++which) {
      const int first = C::start(which), last = C::start(which + 1);
      // gates side by side share no panel
      const bool apart = r.masks > 1 || (!backward && r.blocks > 1 && H % PANEL);
      const int step = apart ? 1 : last - first;
      for (int gate = first; gate < last; gate += step) {
        const real* drop = r.drop ? r.drop + (r.masks > 1 ? gate * P : 0) : nullptr;
        parts.push_back({which, gate * H, drop, Packed()});
        if (packed)
          parts.back().matrix.borrow(packed->parts[parts.size() - 1].matrix);
        else if (r.blocks > 1)
          parts.back().matrix.allocate_blocks(H, H / r.blocks, backward ? 1 : step, backward ? step : 1);
        else
          allocate(parts.back().matrix, r.weight + gate * H * P, step * H, P, r.weight_scale);
      }
    }
    if (packed) {
      narrow.borrow(packed->narrow);
      input.borrow(packed->input);
      return;
    }
    if (r.narrow) allocate(narrow, r.narrow, P, H);
    if (r.kernel) allocate(input, r.kernel, C::INPUTS * H, r.features, r.kernel_scale);
  }

  void allocate(Packed& packed, const real* from, int64_t rows, int64_t columns,
                const real* scale = nullptr) const {
    if (scale) return packed.allocate_small(columns, rows);
    if (direct) return packed.read(from, columns, rows, B);
    backward ? packed.allocate(rows, columns) : packed.allocate(columns, rows);
  }
  // whole numbers, by one thread, for many steps
  void pack_small() {
    for (Part& part : parts)
      if (r.weight_scale)
        part.matrix.fill_small(r.weight + part.row * P, P, r.weight_scale + part.row);
    if (r.kernel_scale) input.fill_small(r.kernel, r.features, r.kernel_scale);
  }
  void pack(int thread, int threads) const {
    for (const Part& part : parts)
      if (r.blocks > 1)
        for (int64_t p = thread; p < part.matrix.panels(); p += threads)
          part.matrix.fill_blocks(p, r.weight + part.row * (H / r.blocks), !backward);
      else
        pack(part.matrix, r.weight + part.row * P, P, thread, threads);
    if (r.narrow) pack(narrow, r.narrow, H, thread, threads);
    if (r.kernel) pack(input, r.kernel, r.features, thread, threads);
  }
  void pack(const Packed& packed, const real* from, int64_t columns, int thread,
            int threads) const {
    if (!packed.small.empty() || packed.source) return;
    for (int64_t p = thread; p < packed.panels(); p += threads)
      packed.fill_panel(p, from, backward ? columns : 1, backward ? 1 : columns);
  }

  Work work(int64_t rows) const {
    const int64_t step = padded(std::max(H, P)), count = std::max<int64_t>(rows, 1);
    return {step, make_buffer(backward ? 1 : count * width), make_buffer(count * step),
            make_buffer(count * step), make_buffer(C::NARROWS ? count * step : 1)};
  }

  const real* mask(const Part& part, int64_t row) const { return part.drop + row * r.masks * P; }

  // The gates of one product: W_hh (drop * (W_hr source)) + bias, without what is not there.
  void gates(int which, int64_t t, Rows rows, const Share& share, const real* source,
             const real* bias, Work& work) const {
    int64_t step = C::NARROWS ? P : H;
    if (r.narrow && !C::NARROWS) {
      product(source, step, rows.count(), narrow, nullptr, work.one.get(), work.step);
      source = work.one.get();
      step = work.step;
      if (r.reduced[which]) keep(source, step, rows, r.reduced[which] + t * B * P);
    }
    for (const Part& part : parts) {
      if (part.product != which) continue;
      if (part.drop)
        for (int64_t row = rows.begin; row < rows.end; ++row)
          for (int64_t i = 0, k = row - rows.begin; i < P; ++i)
            work.two[k * work.step + i] = source[k * step + i] * mask(part, row)[i];
      const real* left = part.drop ? work.two.get() : source;
      const real* start = bias ? bias + part.row : nullptr;
      real* result = work.gates.get() + part.row;
      of_share(share, C::GATES, left, part.drop ? work.step : step, rows.count(), part.matrix, start,
               result, width);
    }
  }

  // A product's columns for the units of a share, which has whole panels (see `by_units`).
  void of_share(const Share& share, int64_t gates, const real* left, int64_t left_step,
                int64_t rows, const Packed& right, const real* bias, real* result,
                int64_t result_step) const {
    for (int64_t gate = 0; share.waits && gate < gates; ++gate)
      product(left, left_step, rows, right, (gate * H + share.unit_begin) / PANEL,
              (gate * H + share.unit_end) / PANEL, bias, result, result_step);
    if (!share.waits) product(left, left_step, rows, right, bias, result, result_step);
  }

  // The inputs of a share's rows at so many times from the first on: [times, rows, `beside`].
  void project(const Share& share, int64_t first, int64_t times, const real* bias,
               real* result) const {
    const int64_t count = share.rows.count(), beside = input_width();
    const real* from = r.source + first * r.source_t + share.rows.begin * r.source_b;
    // the rows of one time are one product, or the times of one row, whichever are more
    const bool by_time = count >= times;
    for (int64_t i = 0; i < (by_time ? times : count); ++i)
      of_share(share, C::INPUTS, from + i * (by_time ? r.source_t : r.source_b),
               by_time ? r.source_b : r.source_t, by_time ? count : times, input, bias,
               result + i * (by_time ? count : 1) * beside, (by_time ? 1 : count) * beside);
  }
  int64_t input_width() const { return padded(C::INPUTS * H) + PANEL; }

  void keep(const real* from, int64_t step, Rows rows, real* to) const {
    for (int64_t row = rows.begin; row < rows.end; ++row)
      std::memcpy(to + row * P, from + (row - rows.begin) * step, P * sizeof(real));
  }

  // The gradient of `source` of one product from those of its gates, rows work.step apart.
  real* source_gradient(int which, int64_t t, Rows rows, const Share& share, Work& work) const {
    real *sum = work.one.get(), *term = sum;
    for (const Part& part : parts) {
      if (part.product != which) continue;
      const int64_t from = share.waits ? share.unit_begin / PANEL : 0;
      const int64_t to = share.waits ? share.unit_end / PANEL : part.matrix.panels();
      product(r.d_h + (t * B + rows.begin) * C::GATES * H + part.row, C::GATES * H, rows.count(),
              part.matrix, from, to, nullptr, term, work.step);
      if (part.drop) add_masked(part, rows, term, sum, work.step);
      term = work.two.get();
    }
    if (!r.narrow || C::NARROWS) return sum;
    keep(sum, work.step, rows, r.d_reduced[which] + t * B * P);
    product(sum, work.step, rows.count(), narrow, nullptr, work.two.get(), work.step);
    return work.two.get();
  }

  // the first term is the sum's own memory
  void add_masked(const Part& part, Rows rows, const real* term, real* sum, int64_t step) const {
    for (int64_t row = rows.begin; row < rows.end; ++row)
      for (int64_t i = 0, k = row - rows.begin; i < P; ++i) {
        const real value = term[k * step + i] * mask(part, row)[i];
        sum[k * step + i] = term == sum ? value : sum[k * step + i] + value;
      }
  }
};
