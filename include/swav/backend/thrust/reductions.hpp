// Sums, and other reductions, along the rows and the columns of a matrix that a function gives entry by entry. In: a
// functor of row and column. Out: one value a row or a column.
#pragma once

#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "swav/backend/thrust/device.hpp"
#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/exponents.hpp"

namespace swav::detail {

template <class Body>
struct BodyByNumber {
  Index cols;
  Body body;
  SWAV_HOST_DEVICE void operator()(Index number) const { body(number / cols, number % cols); }
};

/// body(i), i < count
template <class Policy, class Body>
void for_each_index(const Policy& policy, Index count, Body body) {
  thrust::for_each_n(policy, thrust::make_counting_iterator(Index{0}), count, body);
}

/// body(r, c) for the entries of a matrix
template <class Policy, class Body>
void for_each_entry(const Policy& policy, Index rows, Index cols, Body body) {
  for_each_index(policy, rows * cols, BodyByNumber<Body>{cols, body});
}

/// So many entries of a row are reduced one after the other; so many chunks of rows are reduced side by side.
inline constexpr Index reduction_chunks = 64;

template <class T>
struct StoredEntry {
  const T* entries;
  Index cols;
  SWAV_HOST_DEVICE T operator()(Index row, Index column) const { return entries[row * cols + column]; }
};

template <class Entry, class Operation, class T>
struct ChunkOfRow {
  Index cols, chunks;
  Entry entry;
  Operation operation;
  T* out;  // rows x chunks
  /// Every chunks-th entry from `chunk` on: neighbouring chunks read neighbouring entries.
  SWAV_HOST_DEVICE void operator()(Index row, Index chunk) const {
    auto value = entry(row, chunk);
    for (Index c = chunk + chunks; c < cols; c += chunks) value = operation(value, entry(row, c));
    out[row * chunks + chunk] = static_cast<T>(value);
  }
};

[[nodiscard]] constexpr Index chunks_of(Index count) { return (count + reduction_chunks - 1) / reduction_chunks; }

/// reduce_rows() with 2 rows chunks_of(cols) elements to work in, unless that is a row's only chunk.
template <class Policy, class Entry, class Operation, class V, class T>
void reduce_rows_in(const Policy& policy, Index rows, Index cols, Entry entry, Operation operation, V* partial,
                    T* out) {
  Index chunks = chunks_of(cols);
  if (chunks == 1)
    return for_each_entry(policy, rows, 1, ChunkOfRow<Entry, Operation, T>{cols, 1, entry, operation, out});
  V *from = partial, *to = partial + rows * chunks;
  for_each_entry(policy, rows, chunks, ChunkOfRow<Entry, Operation, V>{cols, chunks, entry, operation, from});
  for (Index next = chunks_of(chunks); next > 1; next = chunks_of(chunks)) {
    for_each_entry(policy, rows, next,
                   ChunkOfRow<StoredEntry<V>, Operation, V>{chunks, next, {from, chunks}, operation, to});
    std::swap(from, to);
    chunks = next;
  }
  for_each_entry(policy, rows, 1, ChunkOfRow<StoredEntry<V>, Operation, T>{chunks, 1, {from, chunks}, operation, out});
}

/// What reduce_rows() works in, of entries of type V.
template <class V, class Device>
V* reserve_for_rows(const Device& device, Index rows, Index cols) {
  return device.template reduction_scratch<V>(2 * rows * chunks_of(cols));
}

/// out_r = entry(r, 0) op entry(r, 1) op ..., in any order; cols >= 1
template <class Device, class Entry, class Operation, class T>
void reduce_rows(const Device& device, Index rows, Index cols, Entry entry, Operation operation, T* out) {
  using V = std::decay_t<std::invoke_result_t<const Entry&, Index, Index>>;
  reduce_rows_in(device.policy(), rows, cols, entry, operation, reserve_for_rows<V>(device, rows, cols), out);
}

template <class Entry>
struct RowsFrom {
  Index first;
  Entry entry;
  SWAV_HOST_DEVICE auto operator()(Index row, Index column) const { return entry(first + row, column); }
};

/// The same of a cost's rows, in the blocks that the cost gives them in.
template <class Device, class Cost, class Entry, class Operation, class T>
void reduce_rows(const Device& device, const Cost& cost, Entry entry, Operation operation, T* out) {
  cost.for_row_blocks([&](Index first, Index count) {
    reduce_rows(device, count, cost.cols, RowsFrom<Entry>{first, entry}, operation, out + first);
  });
}

template <class Value, class T>
struct ValueOfColumn {
  Value value;
  SWAV_HOST_DEVICE T operator()(Index, Index column) const { return static_cast<T>(value(column)); }
};

/// identity op value(0) op value(1) op ..., in any order
template <class Device, class Value, class T, class Operation>
T reduce_indices(const Device& device, Index count, Value value, T identity, Operation operation) {
  if (count == 0) return identity;
  const Index partial = 2 * chunks_of(count);
  T* const scratch = device.template reduction_scratch<T>(partial + 1);
  reduce_rows_in(device.policy(), 1, count, ValueOfColumn<Value, T>{value}, operation, scratch, scratch + partial);
  T found = identity;
  download(device.policy(), scratch + partial, 1, &found);
  return operation(identity, found);
}

template <class T>
struct StoredValue {
  const T* values;
  SWAV_HOST_DEVICE T operator()(Index i) const { return values[i]; }
};

/// identity op values[0] op values[1] op ..., in any order
template <class Device, class T, class Operation>
T reduce_values(const Device& device, const T* values, Index count, T identity, Operation operation) {
  return reduce_indices(device, count, StoredValue<T>{values}, identity, operation);
}

template <class L>
struct Smaller {
  SWAV_HOST_DEVICE L operator()(L x, L y) const { return y < x ? y : x; }
};

template <class L>
struct AddExponentials {
  L scale = 1;
  SWAV_HOST_DEVICE LogSum<L> operator()(const LogSum<L>& x, const LogSum<L>& y) const {
    const L largest = x.largest > y.largest ? x.largest : y.largest;
    if (largest == -std::numeric_limits<L>::infinity()) return {largest, L(0)};
    return {largest, x.sum * std::exp((x.largest - largest) * scale) + y.sum * std::exp((y.largest - largest) * scale)};
  }
};

/// Where a row is largest; the first place, if there are several.
template <class A>
struct LargestEntry {
  A value;
  Index column;
};
template <class A>
struct FirstLargest {
  SWAV_HOST_DEVICE LargestEntry<A> operator()(const LargestEntry<A>& x, const LargestEntry<A>& y) const {
    if (x.value == y.value) return x.column < y.column ? x : y;
    return x.value > y.value ? x : y;
  }
};

template <class Entry, class Operation, class T>
struct ChunkOfColumn {
  Index rows, cols, chunks;
  Entry entry;
  Operation operation;
  T identity;
  T* out;  // chunks x cols
  SWAV_HOST_DEVICE void operator()(Index chunk, Index column) const {
    T value = identity;
    for (Index r = rows * chunk / chunks; r < rows * (chunk + 1) / chunks; ++r)
      value = operation(value, entry(r, column));
    out[chunk * cols + column] = value;
  }
};

/// out_c = entry(0, c) op entry(1, c) op ..., `identity` where there are no rows; scratch: min(rows, reduction_chunks)
/// times cols. Neighbouring columns are read together.
template <class Policy, class Entry, class Operation, class T>
void reduce_columns(const Policy& policy, Index rows, Index cols, Entry entry, Operation operation, T identity,
                    T* scratch, T* out) {
  const Index chunks = std::min(rows, reduction_chunks);
  for_each_entry(policy, chunks, cols,
                 ChunkOfColumn<Entry, Operation, T>{rows, cols, chunks, entry, operation, identity, scratch});
  for_each_entry(
      policy, 1, cols,
      ChunkOfColumn<StoredEntry<T>, Operation, T>{chunks, cols, 1, {scratch, cols}, operation, identity, out});
}

/// The rows of a block, and after them what those before have come to.
template <class Entry, class T>
struct RowsAndResult {
  Index first, count;
  Entry entry;
  const T* result;
  SWAV_HOST_DEVICE T operator()(Index row, Index column) const {
    return row < count ? static_cast<T>(entry(first + row, column)) : result[column];
  }
};

/// The same of a cost's rows, in the blocks that the cost gives them in.
template <class Policy, class Cost, class Entry, class Operation, class T>
void reduce_columns(const Policy& policy, const Cost& cost, Entry entry, Operation operation, T identity, T* scratch,
                    T* out) {
  cost.for_row_blocks([&](Index first, Index count) {
    reduce_columns(policy, count + (first > 0 ? 1 : 0), cost.cols, RowsAndResult<Entry, T>{first, count, entry, out},
                   operation, identity, scratch, out);
  });
}

}  // namespace swav::detail
