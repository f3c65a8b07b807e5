// Random inputs for the benchmarks. In: shapes. Out: matrices that repeat from run to run.
#pragma once

#include <cmath>
#include <cstdint>

#include "swav/backend/eigen/device.hpp"
#include "swav/core/philox.hpp"

namespace swav::bench {

/// Entries uniform with variance 1.
inline RowMatrix<float> random_matrix(Index rows, Index cols, std::uint64_t stream) {
  PhiloxStream random(1, stream);
  RowMatrix<float> m(rows, cols);
  for (Index i = 0; i < m.size(); ++i)
    m.data()[i] = static_cast<float>(random.uniform(-std::sqrt(3.0), std::sqrt(3.0)));
  return m;
}

inline RowMatrix<float> random_unit_rows(Index rows, Index cols, std::uint64_t stream) {
  RowMatrix<float> m = random_matrix(rows, cols, stream);
  m.rowwise().normalize();
  return m;
}

}  // namespace swav::bench
