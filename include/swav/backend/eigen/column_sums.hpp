// Sums down the columns of a matrix, in an order that does not depend on the number of threads. In: rows. Out: sums.
#pragma once

#include <algorithm>

#include "swav/backend/eigen/device.hpp"

namespace swav::detail {

/// sums[c] = sum over the rows r of terms(r)[c], where add_row(r, double* sums) adds a row's terms. Rows are cut into
/// at most 32 groups, however many threads there are; each is summed by itself, in `storage`, and the groups are added
/// in order.
template <class Device, class AddRow>
void column_sums(const Device& device, Index rows, Index cols, double* sums,
                 typename Device::template Buffer<double>& storage, const AddRow& add_row) {
  const Index groups = std::min<Index>(rows, 32);
  double* const partial = storage.reserve(groups * cols);
  std::fill_n(partial, groups * cols, 0.0);
  device.for_shares(groups, [&](int, Index first_group, Index group_count) {
    for (Index group = first_group; group < first_group + group_count; ++group)
      for (Index r = rows * group / groups; r < rows * (group + 1) / groups; ++r) add_row(r, partial + group * cols);
  });
  std::fill_n(sums, cols, 0.0);
  for (Index group = 0; group < groups; ++group)
    for (Index c = 0; c < cols; ++c) sums[c] += partial[group * cols + c];
}

}  // namespace swav::detail
