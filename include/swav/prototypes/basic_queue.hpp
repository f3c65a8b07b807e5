// Embeddings of earlier batches, free of any backend. In: each batch's unit embeddings of the assigned views. Out: the
// latest rows of each view, which stand above a small batch's when its codes are computed.
// Users include swav/prototypes/queue.hpp, which adds the CPU backend.
#pragma once

#include <algorithm>

#include "swav/core/device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/row_passes.hpp"
#include "swav/core/scalar_traits.hpp"

namespace swav {

struct EmbeddingQueueOptions {
  /// Rows kept of each assigned view; >= 1.
  Index length = 3840;
  /// Rows take part in codes from the first batch on; else, as in the SwAV release, once the queue is full.
  bool used_while_filling = false;
};

/// The latest `length` embeddings of each view that codes are computed from (Caron et al. 2020, section 5.1), a ring in
/// memory. The loss scores them with today's prototypes, computes codes of queue and batch together, keeps the batch's,
/// and writes the batch over the oldest rows afterwards (CodeSource::queue). Rows are in the scalar's accumulator.
///
/// Memory: views x length x dimension. State: storage() and pushed().
template <class Scalar, class Device = EigenDevice>
class EmbeddingQueue {
  using A = Accumulator<Scalar>;
  using Rows = RowPasses<Device>;

 public:
  /// Empty. `views`: how many crops_for_assign has. Throws InvalidInput unless all three numbers are 1 or more.
  EmbeddingQueue(Index views, Index dimension, EmbeddingQueueOptions options = {}, Device device = {})
      : options_(options),
        device_(device),
        views_(checked(views, "views")),
        storage_(views * checked(options.length, "length"), checked(dimension, "dimension")) {
    Rows::clear(device_, storage());
  }

  [[nodiscard]] Index views() const { return views_; }
  [[nodiscard]] Index length() const { return options_.length; }
  [[nodiscard]] Index dimension() const { return MatrixView<const A>(storage_).cols; }
  /// Rows of a view that hold an embedding.
  [[nodiscard]] Index filled() const { return std::min(pushed_, length()); }
  /// Rows of a view that take part in codes now: all that are filled, or none.
  [[nodiscard]] Index used() const { return options_.used_while_filling || pushed_ >= length() ? filled() : 0; }
  /// used() x dimension: those of the view at place `slot` in crops_for_assign, in no order that means anything.
  [[nodiscard]] MatrixView<const A> rows(Index slot) const {
    return MatrixView<const A>(storage_).middle_rows(slot * length(), used());
  }

  /// Writes a batch over the oldest rows. z: unit embeddings, row v `samples` + b being sample b in view v;
  /// assigned[i]: the view that is at place i. Of more samples than the queue is long, the last are kept. Throws
  /// InvalidInput when z has not the queue's dimension or not all views.
  void push(MatrixView<const A> z, Index samples, VectorView<const int> assigned) {
    detail::require(z.cols == dimension() && assigned.size == views_, "EmbeddingQueue: embeddings of dimension ",
                    z.cols, " in ", assigned.size, " views found, the queue's ", dimension(), " in ", views_,
                    " wanted");
    const Index skipped = std::max(samples - length(), Index{0}), kept = samples - skipped;
    const Index begin = (pushed_ + skipped) % length(), before_end = std::min(kept, length() - begin);
    for (const int view : assigned)
      detail::require(samples >= 0 && view >= 0 && (view + 1) * samples <= z.rows, "EmbeddingQueue: ", z.rows,
                      " rows of embeddings found, ", samples, " of view ", view, " among them wanted");
    for (Index i = 0; i < views_; ++i) {
      const MatrixView<const A> batch = z.middle_rows(assigned[i] * samples + skipped, kept);
      const MatrixView<A> ring = storage().middle_rows(i * length(), length());
      Rows::convert(device_, batch.middle_rows(0, before_end), ring.middle_rows(begin, before_end));
      Rows::convert(device_, batch.middle_rows(before_end, kept - before_end), ring.middle_rows(0, kept - before_end));
    }
    pushed_ += samples;
  }

  /// (views length) x dimension, a view's rows one after another; rows that nothing was written to are 0.
  [[nodiscard]] MatrixView<A> storage() { return storage_; }
  /// Rows ever written to a view.
  [[nodiscard]] Index pushed() const { return pushed_; }
  /// Goes on from a state that storage() has been given.
  void set_pushed(Index pushed) {
    detail::require(pushed >= 0, "EmbeddingQueue: pushed ", pushed, " found, 0 or more wanted");
    pushed_ = pushed;
  }

 private:
  static Index checked(Index count, const char* name) {
    detail::require(count >= 1, "EmbeddingQueue: ", name, " ", count, " found, 1 or more wanted");
    return count;
  }

  EmbeddingQueueOptions options_;
  Device device_;
  Index views_;
  typename Device::template Matrix<A> storage_;
  Index pushed_ = 0;
};

}  // namespace swav
