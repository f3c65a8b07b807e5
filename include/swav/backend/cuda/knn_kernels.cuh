// The kernels of the nearest neighbours, a row a warp. In: unit rows, tiles of similarities. Out: each row's list of
// the most similar, and its vote.
#pragma once

#include <cmath>
#include <limits>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/row_kernels.cuh"

namespace swav::detail {

/// unit_r = rows_r/|rows_r|, the norm being at least 1e-12, as in PyTorch's normalize; in double. Raises bad_features
/// where a norm is not finite.
template <class Scalar>
__global__ void __launch_bounds__(row_block_threads)
    make_unit_rows(MatrixView<const Scalar> rows, MatrixView<Scalar> unit, int* faults) {
  const Index r = warp_row();
  if (r >= rows.rows) return;
  const Scalar* const row = rows.row(r);
  double largest = 0;
  bool finite = true;
  for (Index d = warp_lane(); d < rows.cols; d += warp_threads) {
    const double size = std::abs(static_cast<double>(row[d]));
    if (!(size <= std::numeric_limits<double>::max())) finite = false;
    largest = size > largest ? size : largest;
  }
  if (!finite) largest = std::numeric_limits<double>::infinity();
  largest = reduce_warp(largest, CudaMaximum());
  double norm = largest;
  if (largest > 0 && largest <= std::numeric_limits<double>::max())
    norm = largest * std::sqrt(sum_of_row<double>(rows.cols, [&](Index d) {
             const double part = static_cast<double>(row[d]) / largest;
             return part * part;
           }));
  if (!(norm <= std::numeric_limits<double>::max()) && warp_lane() == 0) atomicOr(faults, int{bad_features});
  const double scale = 1 / (norm > 1e-12 ? norm : 1e-12);
  for (Index d = warp_lane(); d < rows.cols; d += warp_threads)
    unit(r, d) = static_cast<Scalar>(static_cast<double>(row[d]) * scale);
}

/// For each row of a block of them: the `neighbors` most similar rows so far, in descending order, the earlier of
/// equals.
template <class Scalar>
struct NearestLists {
  MatrixView<Scalar> similarities;  // -inf where there are fewer so far
  MatrixView<Index> rows;           // 0 there
};

template <class Scalar>
__global__ void __launch_bounds__(row_block_threads) clear_nearest(NearestLists<Scalar> lists) {
  const Index r = warp_row();
  if (r >= lists.rows.rows) return;
  for (Index i = warp_lane(); i < lists.rows.cols; i += warp_threads) {
    lists.similarities(r, i) = -std::numeric_limits<Scalar>::infinity();
    lists.rows(r, i) = 0;
  }
}

/// A list with another entry in its place and the last one gone; by all lanes of a warp.
template <class Scalar>
__device__ void insert_nearest(Scalar* similarities, Index* rows, Index neighbors, Scalar similarity, Index row) {
  int before = 0;
  for (Index i = warp_lane(); i < neighbors; i += warp_threads) before += similarities[i] >= similarity;
  const Index place = reduce_warp(before, CudaAdd());
  for (Index last = neighbors - 1; last > place; last -= warp_threads) {  // the last ones first
    const Index i = last - warp_lane();
    Scalar moved_similarity{};
    Index moved_row = 0;
    if (i > place) {
      moved_similarity = similarities[i - 1];
      moved_row = rows[i - 1];
    }
    __syncwarp();
    if (i > place) {
      similarities[i] = moved_similarity;
      rows[i] = moved_row;
    }
  }
  __syncwarp();
  if (warp_lane() == 0) {
    similarities[place] = similarity;
    rows[place] = row;
  }
  __syncwarp();
}

/// Offers each list a tile of similarities with the train rows from `first` on.
template <class Scalar>
__global__ void __launch_bounds__(row_block_threads)
    offer_nearest(MatrixView<const Scalar> tile, Index first, NearestLists<Scalar> lists) {
  const Index r = warp_row();
  if (r >= tile.rows) return;
  Scalar* const similarities = lists.similarities.row(r);
  Index* const rows = lists.rows.row(r);
  const Index neighbors = lists.rows.cols;
  Scalar least = similarities[neighbors - 1];
  for (Index start = 0; start < tile.cols; start += warp_threads) {
    const Index column = start + warp_lane();
    const Scalar own = column < tile.cols ? tile(r, column) : -std::numeric_limits<Scalar>::infinity();
    for (unsigned left = __ballot_sync(~0u, own > least); left != 0; left &= left - 1) {
      const int lane = __ffs(static_cast<int>(left)) - 1;
      const Scalar similarity = __shfl_sync(~0u, own, lane);
      if (!(similarity > least)) continue;
      insert_nearest(similarities, rows, neighbors, similarity, first + start + lane);
      least = similarities[neighbors - 1];
    }
  }
}

/// The class of largest total weight of each list, exp((similarity - largest)/temperature) a neighbour; the lowest of
/// equals. `weights` and `classes` are room for a list a row.
template <class Scalar>
__global__ void __launch_bounds__(row_block_threads)
    vote_nearest(NearestLists<Scalar> lists, const int* labels, double temperature, double* weights, int* classes,
                 int* predictions) {
  const Index r = warp_row(), neighbors = lists.rows.cols;
  if (r >= lists.rows.rows) return;
  const Scalar* const similarities = lists.similarities.row(r);
  double* const weight = weights + r * neighbors;
  int* const of_class = classes + r * neighbors;
  for (Index i = warp_lane(); i < neighbors; i += warp_threads) {
    weight[i] = std::exp(static_cast<double>(similarities[i] - similarities[0]) / temperature);
    of_class[i] = labels[lists.rows(r, i)];
  }
  __syncwarp();
  double largest = -1;
  int best = std::numeric_limits<int>::max();
  const auto keep = [&](double total, int label) {
    if (total > largest || (total == largest && label < best)) {
      largest = total;
      best = label;
    }
  };
  for (Index i = warp_lane(); i < neighbors; i += warp_threads) {
    double total = 0;
    for (Index j = 0; j < neighbors; ++j)
      if (of_class[j] == of_class[i]) total += weight[j];
    keep(total, of_class[i]);
  }
  for (int distance = warp_threads / 2; distance > 0; distance /= 2) {
    const double total = __shfl_xor_sync(~0u, largest, distance);
    const int label = __shfl_xor_sync(~0u, best, distance);
    keep(total, label);
  }
  if (warp_lane() == 0) predictions[r] = best;
}

}  // namespace swav::detail
