// Costs of points on the GPU by cuBLAS. In: points, a metric that is a product of what is made of each point. Out:
// entries of the cost, a block of rows at a time, in double on tensor cores where the GPU has them.
#pragma once

#include <thrust/functional.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/product.cuh"
#include "swav/backend/cuda/thrust_device.cuh"
#include "swav/backend/thrust/cost_entries.hpp"

namespace swav::detail {

/// About what the GPU's cache holds.
template <class L>
[[nodiscard]] Index entries_at_once(const CudaDevice& device) {
  return (Index{512} << 10) / static_cast<Index>(sizeof(L)) * device.multiprocessors();
}

/// |x - y|^2 = (-2 x, |x|^2, 1) . (y, 1, |y|^2), and 1 - x.y/(|x| |y|) = (-x/|x|, 1) . (y/|y|, 1).
template <class Metric>
concept ProductMetric =
    std::is_same_v<Metric, SquaredEuclidean> || std::is_same_v<Metric, Euclidean> || std::is_same_v<Metric, Cosine>;

/// Entries are found one by one from the points as anywhere else; in_blocks() are those of a product, which is made
/// before each body of for_row_blocks(). Coordinates there count from the mean of y, so that squares cancel no more
/// digits than the points' extent asks for. Entries that cancel more than 6 are found from the points: of distances
/// always, of squares where the extent is such that epsilon sees it.
template <class Scalar, ProductMetric Metric>
class CostEntries<CudaThrustPolicy, PointCost<Scalar, Metric>> {
 public:
  using L = PotentialScalar<Scalar>;
  static constexpr bool is_stored = false, may_forbid = false;
  static constexpr bool is_distance = !std::is_same_v<Metric, Cosine>, is_root = std::is_same_v<Metric, Euclidean>;
  Index rows, cols;

  template <class Buffer>
  CostEntries(const CudaDevice& device, const PointCost<Scalar, Metric>& cost, Buffer& buffer)
      : CostEntries(cost, buffer, block_rows_of(device, cost.rows, cost.cols)) {
    const CudaThrustDevice& on = device;
    copy_both(on.policy(), cost);
    handle_ = device.cublas();
    stream_ = device.stream();
    L* const mean = block_;  // to work in before there is a block
    if constexpr (is_distance) find_mean(on, mean);
    write_vectors(on.policy(), points_, rows, mean, true, x_);
    write_vectors(on.policy(), points_ + rows * dimension_, cols, mean, false, y_);
    if constexpr (is_distance)
      extent_ = largest_square(on, x_ + dimension_, rows) + largest_square(on, y_ + dimension_ + 1, cols);
  }
  /// Entries one by one alone.
  template <class Buffer>
  CostEntries(const CudaThrustDevice& device, const PointCost<Scalar, Metric>& cost, Buffer& buffer)
      : CostEntries(cost, buffer, 0) {
    copy_both(device.policy(), cost);
  }

  SWAV_HOST_DEVICE L operator()(Index i, Index j) const {
    if (in_blocks_) return block_[(i & (block_rows_ - 1)) * cols + j];
    return metric_(VectorView<const L>(points_ + i * dimension_, dimension_),
                   VectorView<const L>(points_ + (rows + j) * dimension_, dimension_));
  }
  /// out += weight dC_ij/dx_i
  SWAV_HOST_DEVICE void add_gradient(Index i, Index j, L weight, L* out) const {
    metric_.add_gradient(VectorView<const L>(points_ + i * dimension_, dimension_),
                         VectorView<const L>(points_ + (rows + j) * dimension_, dimension_), weight, out);
  }

  [[nodiscard]] CostEntries in_blocks(L epsilon = 0) const {
    CostEntries entries = *this;
    entries.in_blocks_ = block_rows_ > 0;
    entries.looks_for_cancelled_ = is_distance && !cancels_little(epsilon);
    return entries;
  }
  /// Whether what squares of all points cancel is less than 1e-10 in an exponent.
  [[nodiscard]] bool cancels_little(L epsilon) const {
    return extent_ * 2 * std::numeric_limits<L>::epsilon() <= L(1e-10) * epsilon;
  }
  template <class Body>
  void for_row_blocks(Body body) const {
    if (!in_blocks_ || rows == 0) return body(Index{0}, rows);
    for (Index first = 0; first < rows; first += block_rows_) {
      const Index count = std::min(block_rows_, rows - first), length = vector_length();
      multiply<L>(handle_, CUBLAS_COMPUTE_64F, L(1), {x_ + first * length, count, length}, false, {y_, cols, length},
                  true, L(0), MatrixView<L>(block_, count, cols));
      if (looks_for_cancelled_ || is_root) find_cancelled(stream_, first, count);
      body(first, count);
    }
  }
  /// [count x cols], within body(first, count).
  [[nodiscard]] const L* block() const { return block_; }

  /// Of points of so few dimensions exponents are made where they are needed.
  static constexpr Index most_coordinates = is_distance ? 3 : 0;
  [[nodiscard]] Index dimension() const { return dimension_; }
  /// Makes coordinates p, a and q, b for which (base_f_i + base_g_j - C_ij)/epsilon = a_i + b_j - |p_i - q_j|^2, or the
  /// root of that, each [most_coordinates + 1][rows or columns]: the last is a or b, and those beyond the points'
  /// dimension are 0.
  void write_coordinates(const CudaThrustPolicy& policy, const L* base_f, const L* base_g, L inverse) const {
    write_coordinates_of(policy, points_, rows, base_f, inverse, coordinates_);
    write_coordinates_of(policy, points_ + rows * dimension_, cols, base_g, inverse, column_coordinates());
  }
  [[nodiscard]] const L* row_coordinates() const { return coordinates_; }
  [[nodiscard]] L* column_coordinates() const { return coordinates_ + rows * (most_coordinates + 1); }

  /// y, counted from its mean, and 1; of cosines y/|y|, and 1. [cols x (dimension + 1)]
  [[nodiscard]] MatrixView<const L> gradient_factors() const { return {y_, cols, dimension_ + 1, vector_length()}; }
  /// dC_ij/dx_i of a pair of weight w is a sum of terms that these factors have with this weight.
  [[nodiscard]] SWAV_HOST_DEVICE L gradient_weight(Index i, Index j, L w) const {
    if constexpr (is_root) {
      const L distance = (*this)(i, j);
      return distance > 0 ? w / distance : L(0);
    }
    return w;
  }
  /// out_i = sum_j w_ij dC_ij/dx_i, from the sums of the factors with those weights, [rows x (dimension + 1)].
  void write_gradients(const CudaThrustPolicy& policy, MatrixView<const L> sums, MatrixView<L> out) const {
    if constexpr (is_distance)
      write_distance_gradients(policy, sums, out);
    else
      write_cosine_gradients(policy, sums, out);
  }

  // Below are parts of the above; nvcc allows no lambdas of device code in private functions.

  void write_coordinates_of(const CudaThrustPolicy& policy, const L* points, Index count, const L* base, L inverse,
                            L* out) const {
    constexpr Index most = most_coordinates;
    const Index dimension = dimension_;
    const L scale = is_root ? inverse : std::sqrt(inverse);
    for_each_index(policy, count, [=] SWAV_HOST_DEVICE(Index i) {
      for (Index k = 0; k < most; ++k) out[k * count + i] = k < dimension ? scale * points[i * dimension + k] : L(0);
      out[most * count + i] = base[i] * inverse;
    });
  }
  /// Of `count` vectors' entries.
  [[nodiscard]] L largest_square(const CudaThrustDevice& device, const L* squares, Index count) const {
    const Index length = vector_length();
    return reduce_indices(
        device, count, [=] SWAV_HOST_DEVICE(Index i) { return squares[i * length]; }, L(0), thrust::maximum<L>());
  }
  void find_cancelled(cudaStream_t stream, Index first, Index count) const {
    CostEntries one_by_one = *this;
    one_by_one.in_blocks_ = false;
    L* const block = block_;
    const L *const x = x_ + first * vector_length(), *const y = y_;
    const Index length = vector_length(), m = cols, square_x = dimension_, square_y = dimension_ + 1;
    constexpr bool root = is_root;
    for_each_entry(thrust::cuda::par_nosync.on(stream), count, m, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      const L entry = block[r * m + c];
      if (entry <= L(1e-6) * (x[r * length + square_x] + y[c * length + square_y]))
        block[r * m + c] = one_by_one(first + r, c);
      else if (root)
        block[r * m + c] = std::sqrt(entry);
    });
  }
  void write_distance_gradients(const CudaThrustPolicy& policy, MatrixView<const L> sums, MatrixView<L> out) const {
    const Index dimension = dimension_, length = vector_length();
    const L* const vectors = x_;  // -2 x
    constexpr L factor = is_root ? 1 : 2;
    for_each_entry(policy, rows, dimension, [=] SWAV_HOST_DEVICE(Index i, Index k) {
      out(i, k) = -factor * (vectors[i * length + k] / 2 * sums(i, dimension) + sums(i, k));
    });
  }
  void write_cosine_gradients(const CudaThrustPolicy& policy, MatrixView<const L> sums, MatrixView<L> out) const {
    const Index dimension = dimension_, length = vector_length();
    const L *const vectors = x_, *const points = points_;  // -x/|x|, x
    for_each_index(policy, rows, [=] SWAV_HOST_DEVICE(Index i) {
      const L *const vector = vectors + i * length, *const point = points + i * dimension;
      L largest = 0, squares = 0, along = 0;
      for (Index k = 0; k < dimension; ++k) largest = std::abs(point[k]) > largest ? std::abs(point[k]) : largest;
      for (Index k = 0; k < dimension && largest > 0; ++k) {
        squares += (point[k] / largest) * (point[k] / largest);
        along += vector[k] * sums(i, k);
      }
      const L norm = largest * std::sqrt(squares);
      for (Index k = 0; k < dimension; ++k) out(i, k) = norm > 0 ? (vector[k] * along - sums(i, k)) / norm : L(0);
    });
  }

  void find_mean(const CudaThrustDevice& device, L* mean) const {
    const Index dimension = dimension_, count = cols;
    const L* const y = points_ + rows * dimension;
    reduce_rows(
        device, dimension, count,
        [=] SWAV_HOST_DEVICE(Index k, Index j) { return y[j * dimension + k] / static_cast<L>(count); },
        thrust::plus<L>(), mean);
  }
  void write_vectors(const CudaThrustPolicy& policy, const L* points, Index count, const L* mean, bool of_x,
                     L* vectors) const {
    const Index dimension = dimension_, length = vector_length();
    for_each_index(policy, count, [=] SWAV_HOST_DEVICE(Index i) {
      const L* const point = points + i * dimension;
      L* const vector = vectors + i * length;
      constexpr bool squared = is_distance;
      L largest = 0, squares = 0;
      if constexpr (!squared)
        for (Index k = 0; k < dimension; ++k) largest = std::abs(point[k]) > largest ? std::abs(point[k]) : largest;
      for (Index k = 0; k < dimension; ++k) {
        // Of cosines over the largest entry, so that no square leaves the range; a 0 has a cosine of 0 with all.
        vector[k] = squared ? point[k] - mean[k] : largest > 0 ? point[k] / largest : point[k];
        squares += vector[k] * vector[k];
      }
      const L scale =
          squared ? (of_x ? L(-2) : L(1)) : (squares > 0 ? (of_x ? L(-1) : L(1)) / std::sqrt(squares) : L(1));
      for (Index k = 0; k < dimension; ++k) vector[k] *= scale;
      vector[dimension] = squared && of_x ? squares : L(1);
      for (Index k = dimension + 1; k < length; ++k) vector[k] = L(0);
      if (squared) vector[dimension + 1] = of_x ? L(1) : squares;
    });
  }

 private:
  void copy_both(const CudaThrustPolicy& policy, const PointCost<Scalar, Metric>& cost) {
    copy_points(policy, cost.x, points_);
    copy_points(policy, cost.y, points_ + rows * dimension_);
  }

  template <class Buffer>
  CostEntries(const PointCost<Scalar, Metric>& cost, Buffer& buffer, Index block_rows)
      : rows(cost.rows), cols(cost.cols), dimension_(cost.x.cols), block_rows_(block_rows), metric_(cost.metric) {
    const Index points = ((rows + cols) * dimension_ + 1) / 2 * 2;  // what follows is on 16 bytes
    const Index vectors = block_rows > 0 ? (rows + cols) * vector_length() : 0;
    const Index coordinates =
        block_rows > 0 && dimension_ <= most_coordinates ? (rows + cols) * (most_coordinates + 1) : 0;
    L* const memory =
        buffer.reserve(points + vectors + coordinates + std::max(block_rows * cols, block_rows > 0 ? dimension_ : 0));
    points_ = memory;
    x_ = memory + points;
    y_ = x_ + rows * vector_length();
    coordinates_ = memory + points + vectors;
    block_ = coordinates_ + coordinates;
  }

  /// A power of 2, 4 at least; of a block that the GPU's cache holds, or not much more than that.
  [[nodiscard]] static Index block_rows_of(const CudaDevice& device, Index rows, Index cols) {
    const Index entries = entries_at_once<L>(device);
    Index count = 4;
    while (count < rows && 2 * count * cols <= entries) count *= 2;
    return count;
  }
  /// Even, so that vectors are read 16 bytes at a time.
  [[nodiscard]] Index vector_length() const { return (dimension_ + (is_distance ? 2 : 1) + 1) / 2 * 2; }

  Index dimension_, block_rows_;
  Metric metric_;
  cublasHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
  L *points_ = nullptr, *x_ = nullptr, *y_ = nullptr;  // the points; rows of the product's factors
  L *coordinates_ = nullptr, *block_ = nullptr;
  L extent_ = 0;
  bool in_blocks_ = false, looks_for_cancelled_ = false;
};

}  // namespace swav::detail
