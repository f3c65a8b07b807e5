// The kernels of the swapped-prediction loss; the products between them are cuBLAS's. In: rows in the GPU's memory.
// Out: the same.
#pragma once

#include <cmath>
#include <limits>

#include "swav/backend/cuda/blocks.cuh"
#include "swav/backend/cuda/codes_finish_kernels.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/loss_call.cuh"
#include "swav/backend/cuda/row_kernels.cuh"
#include "swav/backend/cuda/scalar.cuh"

namespace swav::detail {

/// What probabilities are stored times: as halves, those of unlikely prototypes would be lost without it.
template <class Product>
inline constexpr float probability_scale = sizeof(Product) == 2 ? 1024.f : 1.f;

/// Rows of scores become n_v softmax(s/tau) times probability_scale, in place, and log_sums_r = logsumexp(s_r/tau),
/// added to what is there where `adds`. The rows are those of the embeddings from `first` on.
template <class Layout, class Product>
__global__ void __launch_bounds__(most_row_threads)
    predict_rows(LossCall<Accumulator<Product>> call, MatrixView<Product> scores, Index first, bool gradients,
                 bool adds, double* log_sums) {
  using A = Accumulator<Product>;
  __shared__ BlockScratch<A, 1> scratch;
  int turn = 0;
  const Index cols = scores.cols;
  for (Index r = blockIdx.x; r < scores.rows; r += gridDim.x) {
    Product* const row = scores.row(r);
    A values[Layout::items], largest[1] = {std::numeric_limits<A>::lowest()}, sum[1] = {A(0)};
    Layout::load(row, cols, values);
    const auto value = [&](int item, Index column) {
      return Layout::template entry<Product, A>(row, values, item, column);
    };
    Layout::for_each(cols, [&](int item, Index column) {
      const A score = value(item, column);
      largest[0] = score > largest[0] ? score : largest[0];
    });
    reduce_block(largest, CudaMaximum(), scratch, turn);
    const A scale = static_cast<A>(1.4426950408889634) * call.inverse_temperature;
    const auto exponential = [&](int item, Index column) {
      return std::exp2((value(item, column) - largest[0]) * scale);
    };
    Layout::for_each(cols, [&](int item, Index column) {
      const A e = exponential(item, column);
      if constexpr (Layout::Packs > 0) values[item] = e;
      sum[0] += e;
    });
    reduce_block(sum, CudaAdd(), scratch, turn);
    if (threadIdx.x == 0) {
      const double log_sum = static_cast<double>(largest[0]) * static_cast<double>(call.inverse_temperature) +
                             std::log(static_cast<double>(sum[0]));
      log_sums[first + r] = adds ? log_sums[first + r] + log_sum : log_sum;
      if (!(std::abs(log_sum) <= std::numeric_limits<A>::max())) atomicOr(call.faults, int{bad_embeddings});
    }
    if (!gradients) continue;
    const A factor = static_cast<A>(probability_scale<Product>) *
                     static_cast<A>(call.predictions((first + r) / call.samples)) / sum[0];
    Layout::store(row, cols, [&](int item, Index column) {
      if constexpr (Layout::Packs > 0)
        return values[item] * factor;
      else
        return exponential(item, column) * factor;
    });
  }
}

/// sums_i,b = sum of z_v,b over the views v other than the i-th assigned one. A lane has `Width` adjacent entries at a
/// time, of memory that begins at multiples of as many.
template <int Width, class Product>
__global__ void __launch_bounds__(row_block_threads)
    sum_other_views(LossCall<Accumulator<Product>> call, MatrixView<const Product> z, MatrixView<Product> sums) {
  using A = Accumulator<Product>;
  using Entries = Pack<Product, Width>;
  const Index r = warp_row();
  if (r >= sums.rows) return;
  const Index sample = r % call.samples, assigned = call.assigned[r / call.samples];
  for (Index d = Width * warp_lane(); d < sums.cols; d += Width * warp_threads) {
    Pack<A, Width> sum{};
#pragma unroll 4
    for (Index v = 0; v < call.views; ++v) {
      const Entries of_view = *reinterpret_cast<const Entries*>(z.row(v * call.samples + sample) + d);
      for (int w = 0; w < Width; ++w) sum.entries[w] += v != assigned ? static_cast<A>(of_view.entries[w]) : A(0);
    }
    Entries rounded;
    for (int w = 0; w < Width; ++w) rounded.entries[w] = static_cast<Product>(sum.entries[w]);
    *reinterpret_cast<Entries*>(sums.row(r) + d) = rounded;
  }
}

/// With t_r the sum of the rows q_i,b C over the codes that row r predicts: values_r = n_v logsumexp_r - t_r . z_r/tau,
/// and, where there are gradients, those with respect to the embeddings as they were handed in. `row_sums`: what the
/// softmax's gradient is yet to be divided by, before it is weighed; null where it is complete. A lane has `Width`
/// adjacent entries at a time, of memory that begins at multiples of as many.
template <int Width, class Scalar, class Product>
__global__ void __launch_bounds__(row_block_threads)
    finish_rows(LossCall<Accumulator<Product>> call, MatrixView<const Product> z, const Accumulator<Product>* norms,
                const Accumulator<Product>* targets, const Accumulator<Product>* softmax_gradient,
                const Accumulator<Product>* row_sums, const double* log_sums, MatrixView<Scalar> gradient,
                double* values) {
  using A = Accumulator<Product>;
  using Entries = Pack<A, Width>;
  const Index r = warp_row();
  if (r >= z.rows) return;
  const Index view = r / call.samples, sample = r % call.samples, cols = z.cols;
  const A scale = call.pair_weight * call.inverse_temperature;
  const A factor = row_sums == nullptr ? A(1) : scale * static_cast<A>(call.predictions(view)) / row_sums[r];
  /// body(first entry, targets, softmax's gradient so far, embedding).
  const auto for_entries = [&](auto body) {
    for (Index d = Width * warp_lane(); d < cols; d += Width * warp_threads) {
      const auto unit = *reinterpret_cast<const Pack<Product, Width>*>(z.row(r) + d);
      Entries target{}, of_softmax{};
      if (gradient.data != nullptr) of_softmax = *reinterpret_cast<const Entries*>(softmax_gradient + r * cols + d);
      for (int i = 0; i < call.assigned_count; ++i) {
        if (call.assigned[i] == view) continue;
        const auto more = *reinterpret_cast<const Entries*>(targets + (i * call.samples + sample) * cols + d);
        for (int w = 0; w < Width; ++w) target.entries[w] += more.entries[w];
      }
      body(d, target, of_softmax, unit);
    }
  };
  A agreement = 0, along = 0;  // of the targets, and of the softmax's gradient, with the embedding
  for_entries([&](Index, const Entries& target, const Entries& of_softmax, const Pack<Product, Width>& unit) {
    for (int w = 0; w < Width; ++w) {
      agreement += target.entries[w] * static_cast<A>(unit.entries[w]);
      along += of_softmax.entries[w] * static_cast<A>(unit.entries[w]);
    }
  });
  agreement = reduce_warp(agreement, CudaAdd());
  along = reduce_warp(along, CudaAdd());
  if (warp_lane() == 0)
    values[r] = static_cast<double>(call.predictions(view)) * log_sums[r] -
                static_cast<double>(agreement) * static_cast<double>(call.inverse_temperature);
  if (gradient.data == nullptr || *call.faults != 0) return;
  along = norms == nullptr ? A(0) : factor * along - scale * agreement;
  const A reciprocal = norms == nullptr ? A(1) : norms[r] > A(0) ? A(1) / norms[r] : A(0);
  for_entries([&](Index d, const Entries& target, const Entries& of_softmax, const Pack<Product, Width>& unit) {
    Pack<Scalar, Width> out;
    for (int w = 0; w < Width; ++w) {
      const A g = factor * of_softmax.entries[w] - scale * target.entries[w];
      out.entries[w] = static_cast<Scalar>((g - along * static_cast<A>(unit.entries[w])) * reciprocal);
    }
    *reinterpret_cast<Pack<Scalar, Width>*>(gradient.row(r) + d) = out;
  });
}

/// The prototypes' gradient as it is handed out.
template <class Scalar, class Product>
__global__ void __launch_bounds__(row_block_threads)
    finish_prototypes(MatrixView<const Product> c, const Accumulator<Product>* norms, const Accumulator<Product>* sums,
                      MatrixView<Scalar> gradient, const int* faults) {
  const Index k = warp_row();
  if (k >= c.rows || *faults != 0) return;
  store_row_gradient(gradient.row(k), c.row(k), c.cols, norms == nullptr ? nullptr : norms + k,
                     [&](Index d) { return sums[k * c.cols + d]; });
}

/// The numbers of a step, in the host's memory or, in a group, what this process adds to two of them. Sums in the order
/// of the rows, by one block; nothing where there is a fault. `codes`: rows of codes, over all heads.
template <class A>
__global__ void __launch_bounds__(most_row_threads)
    sum_loss(A pair_weight, const double* values, Index rows, const double* entropies, Index codes, int processes,
             const int* used, Index prototypes, const int* faults, double* value, double* codes_entropy,
             Index* prototypes_used) {
  __shared__ BlockScratch<double, 3> scratch;
  int turn = 0;
  double sums[3] = {0, 0, 0};
  const auto add_up = [](const double* numbers, Index count, double& sum) {
    constexpr int loads = 16;  // under way at once: the block is alone
    for (Index first = threadIdx.x; first < count; first += loads * blockDim.x) {
      double parts[loads];
#pragma unroll
      for (int i = 0; i < loads; ++i) {
        const Index at = first + static_cast<Index>(i) * blockDim.x;
        parts[i] = at < count ? numbers[at] : 0.0;
      }
#pragma unroll
      for (int i = 0; i < loads; ++i) sum += parts[i];
    }
  };
  add_up(values, rows, sums[0]);
  add_up(entropies, codes, sums[1]);
  for (Index k = threadIdx.x; k < prototypes; k += blockDim.x) sums[2] += used[k];
  reduce_block(sums, CudaAdd(), scratch, turn);
  if (threadIdx.x != 0 || *faults != 0) return;
  *value = static_cast<double>(pair_weight) * sums[0];
  *codes_entropy = sums[1] / static_cast<double>(codes * processes);
  *prototypes_used = static_cast<Index>(sums[2]);
}

/// The same numbers in a group, once they have been added up over its processes.
template <class Number>
__global__ void store_loss(const Number* numbers, const int* faults, double* value, double* codes_entropy) {
  if (*faults != 0) return;
  *value = numbers[0];
  *codes_entropy = numbers[1];
}

/// What a group's maximum is taken of: whether this process has a fault, and its samples, up and down.
constexpr Index share_flags = 3;
template <class Flag>
__global__ void tell_share(Flag* flags, const int* faults, Flag samples) {
  flags[0] = *faults != 0 ? 1 : 0;
  flags[1] = samples;
  flags[2] = -samples;
}
/// From the maximum: a fault of another process, where this one has none, and one of all where shares differ.
template <class Flag>
__global__ void take_share(const Flag* flags, int* faults) {
  if (*faults != 0) return;
  if (flags[0] != 0)
    *faults = bad_elsewhere;
  else if (flags[1] != -flags[2])
    *faults = bad_share;
}

/// Codes that were computed before, and what is to be known of them.
template <class Product>
__global__ void __launch_bounds__(most_row_threads)
    copy_codes(MatrixView<const Accumulator<Product>> codes, MatrixView<Product> out, CodesStatistics statistics,
               const int* faults) {
  using A = Accumulator<Product>;
  __shared__ BlockScratch<A, 1> scratch;
  __shared__ BlockScratch<Place<A>, 1> places;
  int turn = 0;
  if (*faults != 0) return;
  for (Index row = blockIdx.x; row < out.rows; row += gridDim.x) {
    const auto code = [&](int, Index column) { return codes(row, column); };
    note_codes<RowLayout<1, 0>>(statistics, row, out.cols, code, code, scratch, places, turn);
    RowLayout<1, 0>::store(out.row(row), out.cols, code);
  }
}

}  // namespace swav::detail
