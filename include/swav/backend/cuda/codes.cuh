// SwAV's codes on the GPU. In: row-major memory of the GPU. Out: the same. All of a call is enqueued at once: its order
// of work depends on shapes and options alone, and what depends on the scores is decided where they are.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include "swav/backend/cuda/codes_finish_kernels.cuh"
#include "swav/backend/cuda/codes_kernels.cuh"
#include "swav/backend/cuda/codes_log_kernels.cuh"
#include "swav/backend/cuda/codes_whole.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/kernel_limits.cuh"
#include "swav/backend/cuda/scalar.cuh"
#include "swav/sinkhorn/basic_codes.hpp"
#include "swav/sinkhorn/options.hpp"

namespace swav::detail {

/// In a group of processes the scores' range and, in each iteration, the columns' sums are made those of all between
/// launches; all must have the same number of columns, and one that has no rows takes part all the same. A score that
/// is not finite in one process is a fault in all.
template <class Scalar, Communicator Group>
class CodesSolver<Scalar, CudaDevice, Group> {
  using A = Accumulator<Scalar>;

 public:
  CodesSolver(const SinkhornOptions& options, const CudaDevice& device, const Group& group = {})
      : options_(options), device_(device), group_(group), grouped_(group.size() > 1) {}

  [[nodiscard]] const SinkhornOptions& options() const { return options_; }
  void set_epsilon(double epsilon) { options_.epsilon = epsilon; }

  void codes_into(MatrixView<const Scalar> scores, MatrixView<Scalar> out) {
    check_codes(options_, scores, out, grouped_);
    enqueue(scores, out);
  }

  /// The largest (max - min)/epsilon that the scaling domain is sure to hold with sums in the accumulator's type: no
  /// intermediate is below exp(-2 span), and e^-6 of room is left for sums.
  [[nodiscard]] static double certain_span() { return exponents() / 2; }

  /// Codes of the last out.rows of `scores`, which may be in their memory, in the domain that their range asks for;
  /// `statistics` are of those rows. T iterations read the scores T + 1 times and write the codes once; by one launch
  /// what of the scores fits in the blocks' memory is read once. Nothing is written where the scores are not finite, or
  /// do not fit the domain that is asked for: a fault is raised instead. `unit_scores`: they are in [-1, 1] but for
  /// rounding, and certain_span holds them; that is then not looked into.
  void enqueue(MatrixView<const Scalar> scores, MatrixView<Scalar> out, const CodesStatistics& statistics = {},
               bool unit_scores = false) {
    if (!enqueue_whole(scores, out, statistics, unit_scores)) enqueue_passes(scores, out, statistics, unit_scores);
  }

 private:
  static double exponents() { return 0.6931 * -std::numeric_limits<A>::min_exponent - 6; }

  static RowPlan plan(MatrixView<const Scalar> scores, MatrixView<Scalar> out, int most_threads) {
    return plan_rows<Scalar>(
        scores.cols,
        reads_packs(scores.data, scores.cols, scores.stride) && reads_packs(out.data, out.cols, out.stride),
        most_threads);
  }

  /// By one launch, if blocks have room.
  bool enqueue_whole(MatrixView<const Scalar> scores, MatrixView<Scalar> out, const CodesStatistics& statistics,
                     bool unit_scores) {
    if (grouped_ || !device_.launches_cooperatively()) return false;
    bool enqueued = false;
    const RowPlan rows = plan(scores, out, most_tile_threads);
    with_layout<Scalar>(rows, [&]<class Layout>(Layout) {
      if constexpr (Layout::Packs > 0)
        enqueued = enqueue_whole<Layout>(scores, out, statistics, rows.threads, unit_scores);
    });
    return enqueued;
  }

  template <class Layout>
  bool enqueue_whole(MatrixView<const Scalar> scores, MatrixView<Scalar> out, const CodesStatistics& statistics,
                     int threads, bool unit_scores) {
    using Tiles = RowTiles<Layout, Scalar>;
    const auto kernel = codes_whole<Layout, Scalar>;
    auto& limits = device_.template kept<KernelLimits>();
    const auto blocks_with = [&](Index bytes) {
      return std::min(limits.blocks(kernel, threads, bytes), std::clamp(2 * most_tile_threads / threads, 1, 8));
    };
    const CudaDevice::SharedMemory& memory = device_.shared_memory();
    const int each = blocks_with(0);
    if (each == 0) return false;
    const Index room =
        std::min(memory.block, memory.whole / each / 128 * 128 - memory.reserved) - limits.own_shared(device_, kernel);
    const auto tiles = [](Index rows) { return (rows + Tiles::rows - 1) / Tiles::rows; };
    const Index most_blocks = Index{each} * device_.multiprocessors();
    const Index blocks = std::min(tiles(scores.rows), most_blocks), row_bytes = Tiles::row_bytes(threads);
    const Index tiles_of_block = tiles((scores.rows + blocks - 1) / blocks), block_rows = Tiles::rows * tiles_of_block;
    const Index references = whole_references<A>(static_cast<int>(block_rows));
    const Index resident =
        Tiles::rows * std::clamp<Index>((room - references) / (row_bytes * Tiles::rows), 0, tiles_of_block);
    const Index bytes = references + resident * row_bytes;
    if (blocks_with(bytes) < each) return false;

    WholeCodes<Scalar> whole{};
    whole.call = prepare(scores, out, statistics, blocks);
    whole.iterations = options_.max_iterations.value_or(3);
    whole.resident_rows = static_cast<int>(resident);
    whole.block_rows = static_cast<int>(block_rows);
    whole.unit_scores = unit_scores && !whole.call.log_only;
    whole.potentials = reinterpret_cast<A*>(whole.call.column_sums);
    if (!whole.unit_scores) whole.log = log_memory(scores.rows, scores.cols, blocks);
    launch(device_, {.shared_bytes = static_cast<std::size_t>(bytes), .cooperative = true}, blocks, threads, kernel,
           whole);
    return true;
  }

  /// By a launch a pass, between which a group's numbers are put together.
  void enqueue_passes(MatrixView<const Scalar> scores, MatrixView<Scalar> out, const CodesStatistics& statistics,
                      bool unit_scores) {
    const RowPlan rows = plan(scores, out, most_row_threads);
    const Index blocks = std::min<Index>(scores.rows, 2 * device_.multiprocessors());
    const CodesCall<Scalar> call = prepare(scores, out, statistics, blocks);
    const int iterations = options_.max_iterations.value_or(3);
    const Index column_blocks = (scores.cols + warp_threads - 1) / warp_threads;
    constexpr int column_threads = column_slices * warp_threads;
    with_layout<Scalar>(rows, [&]<class Layout>(Layout) {
      launch(device_, blocks, rows.threads, codes_first<Layout, Scalar>, call);
      if (grouped_) {
        launch(device_, 1, column_threads, codes_range<Scalar>, call, blocks);
        group_.maximum(call.group_range, 3);
      }
      launch(device_, column_blocks, column_threads, codes_columns<Scalar>, call, blocks, true);
      add_up_columns(call);
      for (int iteration = 1; iteration < iterations; ++iteration) {
        launch(device_, blocks, rows.threads, codes_iterate<Layout, Scalar>, call);
        launch(device_, column_blocks, column_threads, codes_columns<Scalar>, call, blocks, false);
        add_up_columns(call);
      }
      launch(device_, std::min(out.rows, blocks), rows.threads, codes_finish<Layout, Scalar>, call);
    });
    if (!unit_scores && !call.scaling_only) codes_in_log_domain(call, iterations, blocks);
  }

  CodesCall<Scalar> prepare(MatrixView<const Scalar> scores, MatrixView<Scalar> out, const CodesStatistics& statistics,
                            Index blocks) {
    if (!options_.prototype_masses.empty() && !has_masses_) {  // they are the solver's, and do not change
      const std::vector<A> masses(options_.prototype_masses.begin(), options_.prototype_masses.end());
      upload(device_, masses.data(), scores.cols, masses_.reserve(scores.cols));
      has_masses_ = true;
    }
    const double reciprocal = 1.0 / options_.epsilon;
    CodesCall<Scalar> call{};
    call.scores = scores;
    call.out = out;
    call.scale = static_cast<A>(1.4426950408889634 * reciprocal);
    call.epsilon = options_.epsilon;
    call.certain_span = certain_span();
    // Beyond, sums in double hold what the exponentials of the accumulator's type do; for double itself they do not.
    call.largest_span = sizeof(A) < sizeof(double) ? exponents() : call.certain_span;
    call.scaling_only = options_.stabilization == Stabilization::scaling;
    call.log_only = options_.stabilization == Stabilization::log ||
                    !(reciprocal <= static_cast<double>(std::numeric_limits<A>::max()) / 4);
    call.hard = options_.hard_codes;
    call.samples = static_cast<A>(scores.rows);
    call.masses = masses_.data();
    call.row_maxima = row_maxima_.reserve(scores.rows);
    call.block_maxima = block_maxima_.reserve(blocks);
    call.block_minima = block_minima_.reserve(blocks);
    call.partial_sums = partial_sums_.reserve(blocks * scores.cols);
    call.column_sums = column_sums_.reserve(scores.cols + 1);
    call.group_range = grouped_ ? group_range_.reserve(3) : nullptr;
    call.state = state_.reserve(1);
    call.faults = device_.faults();
    call.statistics = statistics;
    return call;
  }

  void add_up_columns(const CodesCall<Scalar>& call) const {
    if (grouped_) group_.sum(call.column_sums, call.scores.cols + 1);
  }

  LogCodes log_memory(Index rows, Index cols, Index blocks) {
    return {row_potentials_.reserve(rows),
            column_potentials_.reserve(cols),
            log_partials_.reserve(blocks * cols),
            grouped_ ? own_largest_.reserve(cols) : nullptr,
            grouped_ ? largest_.reserve(cols) : nullptr,
            grouped_ ? log_sums_.reserve(cols) : nullptr};
  }

  void codes_in_log_domain(const CodesCall<Scalar>& call, int iterations, Index blocks) {
    const Index cols = call.scores.cols;
    const int threads = std::min(most_row_threads, static_cast<int>(whole_warps(cols)));
    const LogCodes log = log_memory(call.scores.rows, cols, blocks);
    const Index column_blocks = (cols + threads - 1) / threads;
    for (int iteration = 1; iteration <= iterations; ++iteration) {
      launch(device_, blocks, threads, codes_log_iterate<Scalar>, call, log, iteration == 1);
      launch(device_, column_blocks, threads, codes_log_columns<Scalar>, call, log, blocks);
      if (grouped_) {
        group_.maximum(log.largest, cols);
        launch(device_, column_blocks, threads, codes_log_align<Scalar>, call, log);
        group_.sum(log.sums, cols);
        launch(device_, column_blocks, threads, codes_log_potentials<Scalar>, call, log);
      }
    }
    launch(device_, std::min(call.out.rows, blocks), threads, codes_log_finish<Scalar>, call, log);
  }
  SinkhornOptions options_;
  CudaDevice device_;
  Group group_;
  bool grouped_;
  CudaBuffer<A> row_maxima_, block_maxima_, block_minima_, masses_, group_range_;
  CudaBuffer<double> own_largest_, largest_, log_sums_;
  CudaBuffer<double> partial_sums_, column_sums_, row_potentials_, column_potentials_;
  CudaBuffer<LogSum<double>> log_partials_;
  CudaBuffer<CodesState<A>> state_;
  bool has_masses_ = false;
};

}  // namespace swav::detail
