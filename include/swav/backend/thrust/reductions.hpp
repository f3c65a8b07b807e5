// Sums, and other reductions, along the rows and the columns of a matrix that a function gives entry by entry. In: a
// functor of row and column. Out: one value a row or a column.
#pragma once

#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/discard_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/reduce.h>
#include <thrust/transform_reduce.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "swav/core/host_device.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/exponents.hpp"

namespace swav::detail {

struct RowOfEntry {
  Index cols;
  SWAV_HOST_DEVICE Index operator()(Index entry) const { return entry / cols; }
};

template <class Entry>
struct EntryByNumber {
  Index cols;
  Entry entry;
  SWAV_HOST_DEVICE auto operator()(Index number) const { return entry(number / cols, number % cols); }
};

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

/// value(0) op value(1) op ..., `identity` where there are none
template <class Policy, class Value, class T, class Operation>
T reduce_indices(const Policy& policy, Index count, Value value, T identity, Operation operation) {
  const auto numbers = thrust::make_counting_iterator(Index{0});
  return thrust::transform_reduce(policy, numbers, numbers + count, value, identity, operation);
}

/// out_r = entry(r, 0) op entry(r, 1) op ...; cols >= 1
template <class Policy, class Entry, class Operation, class T>
void reduce_rows(const Policy& policy, Index rows, Index cols, Entry entry, Operation operation, T* out) {
  const auto numbers = thrust::make_counting_iterator(Index{0});
  const auto keys = thrust::make_transform_iterator(numbers, RowOfEntry{cols});
  const auto values = thrust::make_transform_iterator(numbers, EntryByNumber<Entry>{cols, entry});
  thrust::reduce_by_key(policy, keys, keys + rows * cols, values, thrust::make_discard_iterator(), out,
                        thrust::equal_to<Index>(), operation);
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

/// Rows that are reduced one after the other, before what is left of them is.
inline constexpr Index reduction_chunks = 64;

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

template <class T>
struct StoredEntry {
  const T* entries;
  Index cols;
  SWAV_HOST_DEVICE T operator()(Index row, Index column) const { return entries[row * cols + column]; }
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

}  // namespace swav::detail
