// The statistics' passes by Thrust. In: features, prototypes in the policy's memory. Out: see evaluate/passes.hpp.
#pragma once

#include <thrust/functional.h>

#include <cmath>

#include "swav/backend/thrust/arg_max.hpp"
#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/backend/thrust/scaled_norm.hpp"
#include "swav/core/host_device.hpp"
#include "swav/evaluate/passes.hpp"

namespace swav {

template <class Policy>
struct StatisticsPasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;

  struct Workspace {
    Device device;  // for its scratch
    typename Device::template Buffer<double> norms, partial, mean, squares;
  };

  template <class Scalar>
  static bool assign(const Device& device, MatrixView<const Scalar> embeddings, MatrixView<const Scalar> prototypes,
                     int* assignments) {
    const auto score = [=] SWAV_HOST_DEVICE(Index r, Index k) {
      Scalar sum = 0;
      for (Index d = 0; d < prototypes.cols; ++d) sum += embeddings(r, d) * prototypes(k, d);
      return sum;
    };
    return detail::arg_max_rows<Scalar>(device, embeddings.rows, prototypes.rows, score, assignments);
  }

  template <class Scalar>
  static double spread(const Device& device, MatrixView<const Scalar> features, Workspace& w) {
    const Index rows = features.rows, cols = features.cols;
    w.device = device;
    double *const norms = w.norms.reserve(rows), *const mean = w.mean.reserve(cols),
                  *const squares = w.squares.reserve(cols),
                  *const partial = w.partial.reserve(cols * detail::reduction_chunks);
    detail::reduce_rows(w.device, rows, cols, detail::EntryAsNorm<Scalar, double>{features},
                        detail::AddScaledNorms<double>(), norms);
    const auto unit = [=] SWAV_HOST_DEVICE(Index r, Index c) {
      return norms[r] > 0 ? static_cast<double>(features(r, c)) / norms[r] : 0.0 * norms[r];  // a NaN stays
    };
    detail::reduce_columns(device.policy(), rows, cols, unit, thrust::plus<double>(), 0.0, partial, mean);
    const auto off = [=] SWAV_HOST_DEVICE(Index r, Index c) {
      const double difference = unit(r, c) - mean[c] / static_cast<double>(rows);
      return difference * difference;
    };
    detail::reduce_columns(device.policy(), rows, cols, off, thrust::plus<double>(), 0.0, partial, squares);
    const auto deviation = [=] SWAV_HOST_DEVICE(Index c) { return std::sqrt(squares[c] / static_cast<double>(rows)); };
    return detail::reduce_indices(w.device, cols, deviation, 0.0, thrust::plus<double>()) / static_cast<double>(cols);
  }
};

}  // namespace swav
