// Rows of the Gibbs kernel on the CPU: read from memory, or made where they are needed. In: a cost, base potentials.
// Out: blocks of rows.
#pragma once

#include <algorithm>

#include "swav/backend/eigen/cost_rows.hpp"
#include "swav/backend/eigen/device.hpp"
#include "swav/backend/eigen/transport_rows.hpp"
#include "swav/core/matrix_view.hpp"

namespace swav::detail {

/// Rows whose products with a vector are made together: the vector is then loaded once for all of them.
inline constexpr int kernel_block_rows = 8;

/// exp((base_f_i + base_g_j - C_ij)/epsilon), 0 below the type's normal numbers.
template <class Kernel, class Cost>
class KernelFormula {
  using L = typename CostRows<Cost>::L;

 public:
  KernelFormula(const CostRows<Cost>& cost, L epsilon, const L* base_f, const L* base_g)
      : cost_(&cost), inverse_(inverse_of(epsilon)), base_f_(base_f), base_g_(base_g) {}

  [[nodiscard]] Index rows() const { return cost_->rows; }
  [[nodiscard]] Index cols() const { return cost_->cols; }

  /// Row i into `out`; scratch: 2 m elements.
  void row(Index i, L* scratch, Kernel* out) const {
    constexpr Index tile = 1024;
    for (Index first = 0; first < cols(); first += tile)
      part(i, first, std::min(tile, cols() - first), scratch, out + first);
  }
  /// Columns first to first + count - 1 of it; scratch: 2 count elements.
  void part(Index i, Index first, Index count, L* scratch, Kernel* out) const {
    // Smaller exponentials would not be normal numbers; that they are exactly 0 is also what a forbidden pair needs.
    const L lowest = L(2) * static_cast<L>(lowest_exponent<Kernel>());
    const ConstArrayMap<L> cost = cost_->load(i, first, count, scratch);
    ArrayMap<L> exponents(scratch + count, count);
    exponents = ((base_f_[i] + ConstArrayMap<L>(base_g_ + first, count) - cost) * inverse_).max(lowest);
    for (Index j = 0; j < count; ++j) out[j] = static_cast<Kernel>(exponents[j]);
    ArrayMap<Kernel> entries(out, count);
    exponentiate(entries);
  }

  /// Columns to make together for a few rows.
  [[nodiscard]] Index tile() const { return std::clamp<Index>(4096 / cost_->dimension(), 16, 1024) / 16 * 16; }

 private:
  const CostRows<Cost>* cost_;
  L inverse_;
  const L *base_f_, *base_g_;
};

/// Both kinds of kernel give block(share, i, count): `count` rows from row i on, cols() apart, until the share's next
/// call.
template <class Kernel>
struct StoredKernel {
  using value_type = Kernel;
  MatrixView<const Kernel> entries;

  [[nodiscard]] Index rows() const { return entries.rows; }
  [[nodiscard]] Index cols() const { return entries.cols; }
  [[nodiscard]] const Kernel* block(int, Index i, int) const { return entries.row(i); }
};

template <class Kernel, class Cost>
struct StreamedKernel {
  using value_type = Kernel;
  KernelFormula<Kernel, Cost> formula;
  Kernel* blocks;                       // kernel_block_rows rows a share
  typename CostRows<Cost>::L* scratch;  // 3 m a share

  [[nodiscard]] Index rows() const { return formula.rows(); }
  [[nodiscard]] Index cols() const { return formula.cols(); }
  [[nodiscard]] const Kernel* block(int share, Index i, int count) const {
    // Columns outside, rows inside: the points of a few columns stay in L1 for all rows.
    Kernel* const block = blocks + share * kernel_block_rows * cols();
    const Index tile = formula.tile();
    for (Index first = 0; first < cols(); first += tile)
      for (int r = 0; r < count; ++r)
        formula.part(i + r, first, std::min(tile, cols() - first), scratch + share * 3 * cols(),
                     block + r * cols() + first);
    return block;
  }
};

}  // namespace swav::detail
