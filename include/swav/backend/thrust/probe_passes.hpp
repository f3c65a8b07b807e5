// The linear probe's passes by Thrust. In: features in the policy's memory. Out: see evaluate/passes.hpp. Scores exist
// for a block of rows at a time.
#pragma once

#include <thrust/functional.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "swav/backend/thrust/arg_max.hpp"
#include "swav/backend/thrust/device.hpp"
#include "swav/backend/thrust/reductions.hpp"
#include "swav/core/host_device.hpp"
#include "swav/evaluate/passes.hpp"

namespace swav {

template <class Policy>
struct ProbePasses<ThrustDevice<Policy>> {
  using Device = ThrustDevice<Policy>;
  template <class T>
  using Buffer = typename Device::template Buffer<T>;

  template <class Scalar>
  struct Workspace {
    Device device;  // for its scratch
    Buffer<Scalar> scores;
    Buffer<detail::LogSum<double>> row_exponentials;
    Buffer<double> losses, gradient;
    Buffer<int> labels;
    Buffer<Index> rows;
  };

  template <class Scalar>
  static bool moments(const Device& device, MatrixView<const Scalar> features, double* mean, double* deviation) {
    const Index rows = features.rows, cols = features.cols;
    Buffer<double> sums, squares, partial;
    double *const sum = sums.reserve(cols), *const square = squares.reserve(cols),
                  *const scratch = partial.reserve(cols * detail::reduction_chunks);
    const auto value = [=] SWAV_HOST_DEVICE(Index r, Index c) { return static_cast<double>(features(r, c)); };
    detail::reduce_columns(device.policy(), rows, cols, value, thrust::plus<double>(), 0.0, scratch, sum);
    const auto off = [=] SWAV_HOST_DEVICE(Index r, Index c) {
      const double difference = static_cast<double>(features(r, c)) - sum[c] / static_cast<double>(rows);
      return difference * difference;
    };
    detail::reduce_columns(device.policy(), rows, cols, off, thrust::plus<double>(), 0.0, scratch, square);
    detail::download(device.policy(), sum, cols, mean);
    detail::download(device.policy(), square, cols, deviation);
    bool finite = true;
    for (Index c = 0; c < cols; ++c) {
      mean[c] /= static_cast<double>(rows);
      deviation[c] = std::sqrt(deviation[c] / static_cast<double>(std::max<Index>(rows - 1, 1)));
      finite = finite && std::isfinite(deviation[c]);
    }
    return finite;
  }

  template <class Scalar>
  static void design(const Device& device, MatrixView<const Scalar> features, const double* mean,
                     const double* inverse_deviation, MatrixView<Scalar> out) {
    const Standardization standard(device, features.cols, mean, inverse_deviation);
    const double *const of_mean = standard.mean.data(), *const scale = standard.scale.data();
    detail::for_each_entry(device.policy(), out.rows, out.cols, [=] SWAV_HOST_DEVICE(Index r, Index c) {
      Scalar entry = c == features.cols ? Scalar(1) : Scalar(0);
      if (c < features.cols) entry = static_cast<Scalar>((static_cast<double>(features(r, c)) - of_mean[c]) * scale[c]);
      out(r, c) = entry;
    });
  }

  template <class Scalar>
  static double cross_entropy(const Device& device, MatrixView<const Scalar> design, VectorView<const int> labels,
                              std::span<const Index> rows, MatrixView<const Scalar> weights, double* gradient,
                              Workspace<Scalar>& w) {
    w.device = device;
    const Index count = rows.empty() ? design.rows : static_cast<Index>(rows.size());
    const Index classes = weights.rows, cols = weights.cols;
    copy(device, labels.data, labels.size, w.labels);
    copy(device, rows.data(), static_cast<Index>(rows.size()), w.rows);
    const Index* const numbers = rows.empty() ? nullptr : w.rows.data();
    const int* const of_rows = w.labels.data();
    double* const sums = w.gradient.reserve(classes * cols);
    detail::for_each_index(device.policy(), classes * cols, [=] SWAV_HOST_DEVICE(Index i) { sums[i] = 0; });
    const Index block_rows = std::clamp<Index>(score_entries / classes, 1, count);
    Scalar* const scores = w.scores.reserve(block_rows * classes);
    detail::LogSum<double>* const found = w.row_exponentials.reserve(block_rows);
    double* const losses = w.losses.reserve(count);
    for (Index first = 0; first < count; first += block_rows) {
      const Index height = std::min(block_rows, count - first);
      const auto number = [=] SWAV_HOST_DEVICE(Index r) { return numbers == nullptr ? first + r : numbers[first + r]; };
      detail::for_each_entry(device.policy(), height, classes, [=] SWAV_HOST_DEVICE(Index r, Index k) {
        const Scalar* const x = design.row(number(r));
        Scalar score = 0;
        for (Index c = 0; c < cols; ++c) score += x[c] * weights(k, c);
        scores[r * classes + k] = score;
      });
      const auto exponential = [=] SWAV_HOST_DEVICE(Index r, Index k) {
        return detail::LogSum<double>{static_cast<double>(scores[r * classes + k]), 1.0};
      };
      detail::reduce_rows(w.device, height, classes, exponential, detail::AddExponentials<double>(), found);
      detail::for_each_index(device.policy(), height, [=] SWAV_HOST_DEVICE(Index r) {
        const auto chosen = static_cast<double>(scores[r * classes + of_rows[number(r)]]);
        losses[first + r] = std::log(found[r].sum) + (found[r].largest - chosen);
      });
      // softmax(scores) - onehot(label)
      detail::for_each_entry(device.policy(), height, classes, [=] SWAV_HOST_DEVICE(Index r, Index k) {
        Scalar& score = scores[r * classes + k];
        const double share = std::exp(static_cast<double>(score) - found[r].largest) / found[r].sum;
        score = static_cast<Scalar>(share - (k == of_rows[number(r)] ? 1.0 : 0.0));
      });
      detail::for_each_entry(device.policy(), classes, cols, [=] SWAV_HOST_DEVICE(Index k, Index c) {
        double sum = 0;
        for (Index r = 0; r < height; ++r)
          sum += static_cast<double>(scores[r * classes + k]) * static_cast<double>(design(number(r), c));
        sums[k * cols + c] += sum;
      });
    }
    detail::download(device.policy(), sums, classes * cols, gradient);
    const double scale = 1 / static_cast<double>(count);
    for (Index i = 0; i < classes * cols; ++i) gradient[i] *= scale;
    return scale * detail::reduce_values(w.device, losses, count, 0.0, thrust::plus<double>());
  }

  template <class Scalar>
  static bool predict(const Device& device, MatrixView<const Scalar> features, const double* mean,
                      const double* inverse_deviation, MatrixView<const Scalar> weights, int* predictions) {
    const Standardization standard(device, features.cols, mean, inverse_deviation);
    const double *const of_mean = standard.mean.data(), *const scale = standard.scale.data();
    const auto score = [=] SWAV_HOST_DEVICE(Index r, Index k) {
      Scalar sum = weights(k, features.cols);
      for (Index c = 0; c < features.cols; ++c)
        sum += static_cast<Scalar>((static_cast<double>(features(r, c)) - of_mean[c]) * scale[c]) * weights(k, c);
      return sum;
    };
    return detail::arg_max_rows<Scalar>(device, features.rows, weights.rows, score, predictions);
  }

 private:
  static constexpr Index score_entries = Index{1} << 24;

  template <class T>
  static void copy(const Device& device, const T* from, Index count, Buffer<T>& to) {
    detail::upload(device.policy(), from, count, to.reserve(count));
  }

  /// The device's copy.
  struct Standardization {
    Buffer<double> mean, scale;
    Standardization(const Device& device, Index size, const double* host_mean, const double* host_scale) {
      copy(device, host_mean, size, mean);
      copy(device, host_scale, size, scale);
    }
  };
};

}  // namespace swav
