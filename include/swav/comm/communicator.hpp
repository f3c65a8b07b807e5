// What a component needs of a group of processes, and the group of one. In: numbers of each process. Out: their sums
// and maxima on every process.
#pragma once

#include <concepts>

#include "swav/core/matrix_view.hpp"

namespace swav {

/// Processes that hold one problem together, each with some of its rows. A communicator is a small copyable value. Its
/// calls are collective: every process of the group makes the same ones in the same order, with the same `count`, and
/// each ends with the same bits. `T` is any accumulator type that the communicator knows.
///
///   rank(), size()         this process's number, 0 to size() - 1, and how many there are
///   sum(T* data, count)    data[i] becomes the sum of data[i] over the processes
///   maximum(T*, count)     data[i] becomes the largest data[i]
template <class C>
concept Communicator = std::copyable<C> && requires(const C& group, double* data, Index count) {
  { group.rank() } -> std::convertible_to<int>;
  { group.size() } -> std::convertible_to<int>;
  group.sum(data, count);
  group.maximum(data, count);
};

/// The group of this process alone: every call does nothing, and what uses it costs nothing.
struct SelfCommunicator {
  [[nodiscard]] static constexpr int rank() { return 0; }
  [[nodiscard]] static constexpr int size() { return 1; }
  template <class T>
  static void sum(T*, Index) {}
  template <class T>
  static void maximum(T*, Index) {}
};

}  // namespace swav
