// What the tests of a loss that processes share have in common: a batch, a process's rows of it. In: a group. Out:
// rows.
#pragma once

#include <cstdint>
#include <vector>

#include "sharded.hpp"
#include "swav/backend/eigen/device.hpp"
#include "swav/core/philox.hpp"

namespace swav::test {

inline constexpr Index samples = 24, views = 3, dimension = 7;
inline const std::vector<Index> heads{13, 5};

inline RowMatrix<double> random_rows(Index rows, std::uint64_t stream) {
  PhiloxStream random(5, stream);
  RowMatrix<double> result(rows, dimension);
  for (Index i = 0; i < result.size(); ++i) result.data()[i] = random.uniform(-1.0, 1.0);
  return result;
}

enum class Shares { uneven, even };

/// Some rows of each view: of each of `parts` batches, one process's share.
class Share {
 public:
  Share(const MpiCommunicator& group, Index parts, Shares shares = Shares::uneven)
      : parts_(parts), whole_(samples / parts) {
    const auto first = [&](int rank) {  // a third of a batch's samples for process 1, the rest for the others
      if (shares == Shares::even) return whole_ * rank / group.size();
      return rank == 0 ? Index{0} : rank >= group.size() ? whole_ : rank == 1 ? whole_ / 2 : whole_ / 2 + whole_ / 3;
    };
    first_ = first(group.rank());
    count_ = first(group.rank() + 1) - first_;
  }
  [[nodiscard]] Index count() const { return parts_ * count_; }
  [[nodiscard]] RowMatrix<double> of(const RowMatrix<double>& all) const {
    const Index of_view = all.rows() / samples;
    RowMatrix<double> mine(of_view * count(), all.cols());
    for (Index v = 0; v < of_view; ++v)
      for (Index part = 0; part < parts_; ++part)
        mine.middleRows(v * count() + part * count_, count_) =
            all.middleRows(v * samples + part * whole_ + first_, count_);
    return mine;
  }

 private:
  Index parts_, whole_, first_ = 0, count_ = 0;
};

inline bool close(const RowMatrix<double>& a, const RowMatrix<double>& b, double tolerance = 1e-13) {
  return a.rows() == b.rows() && a.cols() == b.cols() && (a - b).cwiseAbs().maxCoeff() <= tolerance;
}

}  // namespace swav::test
