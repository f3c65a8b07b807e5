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

  /// Row i into `out`; scratch: m elements.
  void row(Index i, L* scratch, Kernel* out) const {
    constexpr Index tile = 1024;
    // Smaller exponentials would not be normal numbers; that they are exactly 0 is also what a forbidden pair needs.
    const Kernel lowest = lowest_exponent<Kernel>();
    for (Index first = 0; first < cols(); first += tile) {
      const Index count = std::min(tile, cols() - first);
      const ConstArrayMap<L> cost = cost_->load(i, first, count, scratch);
      ArrayMap<Kernel> exponents(out + first, count);
      for (Index j = 0; j < count; ++j)
        exponents[j] =
            static_cast<Kernel>(std::max((base_f_[i] + base_g_[first + j] - cost[j]) * inverse_, L(2) * lowest));
      exponentiate(exponents);
    }
  }

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
    Kernel* const block = blocks + share * kernel_block_rows * cols();
    for (int r = 0; r < count; ++r) formula.row(i + r, scratch + share * 3 * cols(), block + r * cols());
    return block;
  }
};

}  // namespace swav::detail
