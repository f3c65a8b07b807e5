// The parts that forbidden pairs leave of a transport problem. In: which rows and columns are connected; masses. Out:
// each part's masses on both sides, made equal. Host memory, O(n + m).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "swav/core/matrix_view.hpp"

namespace swav::detail {

/// Columns are in one part that allowed pairs with rows connect; a part goes by its first column. L: the type of
/// masses.
template <class L>
class ProblemParts {
 public:
  std::vector<L> row_mass, col_mass, b;  ///< copies of the problem's, for balance()

  /// Every column is a part, no row is in any.
  void reset(Index rows, Index cols) {
    parents_.resize(static_cast<std::size_t>(cols));
    std::iota(parents_.begin(), parents_.end(), Index{0});
    row_columns_.assign(static_cast<std::size_t>(rows), -1);
    for (std::vector<L>* masses : {&col_mass, &b}) masses->resize(parents_.size());
    row_mass.resize(row_columns_.size());
  }

  /// Makes one part of two columns'; whether they were two.
  bool join(Index i, Index j) {
    i = part(i);
    j = part(j);
    parent(std::max(i, j)) = std::min(i, j);
    return i != j;
  }
  /// Row i is connected with a column.
  void set_row(Index i, Index column) { row_columns_[static_cast<std::size_t>(i)] = column; }

  /// The columns' parts, negated: their maximum over several processes names the first of the parts that a column is
  /// in.
  [[nodiscard]] std::vector<L>& offer() {
    labels_.resize(parents_.size());
    for (std::size_t j = 0; j < labels_.size(); ++j) labels_[j] = -static_cast<L>(part(static_cast<Index>(j)));
    return labels_;
  }
  /// Joins each column with the one that offer()'s labels now name; whether any were apart.
  bool rejoin() {
    bool any = false;
    for (std::size_t j = 0; j < labels_.size(); ++j)
      any |= join(static_cast<Index>(-labels_[j]), static_cast<Index>(j));
    return any;
  }

  /// The masses of the rows of each part, at its first column.
  [[nodiscard]] std::vector<L>& add_up_rows() {
    labels_.assign(parents_.size(), L(0));
    for (std::size_t i = 0; i < row_mass.size(); ++i)
      if (row_mass[i] > 0) labels_[static_cast<std::size_t>(part(row_columns_[i]))] += row_mass[i];
    return labels_;
  }
  /// Scales each part's b and col_mass to what add_up_rows() gave. False where they differ by more than `slack` of it,
  /// and by more than `rounding`.
  bool balance(L slack, L rounding) {
    sums_.assign(parents_.size(), L(0));
    for (std::size_t j = 0; j < sums_.size(); ++j)
      sums_[static_cast<std::size_t>(part(static_cast<Index>(j)))] += col_mass[j];
    for (std::size_t j = 0; j < sums_.size(); ++j) {
      const auto k = static_cast<std::size_t>(part(static_cast<Index>(j)));
      if (!(std::abs(labels_[k] - sums_[k]) <= std::max(slack * labels_[k], rounding))) return false;
      if (labels_[k] == sums_[k]) continue;
      for (std::vector<L>* masses : {&col_mass, &b}) (*masses)[j] *= labels_[k] / sums_[k];
    }
    return true;
  }

 private:
  Index& parent(Index j) { return parents_[static_cast<std::size_t>(j)]; }
  Index part(Index j) {
    while (parent(j) != j) j = parent(j) = parent(parent(j));
    return j;
  }

  std::vector<Index> parents_;  // a forest: a column's parent is in its part, and not after it
  std::vector<Index> row_columns_;
  std::vector<L> labels_, sums_;
};

}  // namespace swav::detail
