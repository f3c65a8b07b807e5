// Synthetic problems and comparisons that several test files share. In: shapes and a seed. Out: unit rows, scores,
// matrices in another scalar, largest differences.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "swav/backend/eigen/device.hpp"

TYPE_TO_STRING(Eigen::half);
TYPE_TO_STRING(Eigen::bfloat16);

namespace swav::test {

using Generator = std::mt19937_64;

inline RowMatrix<double> normal_matrix(Index rows, Index cols, Generator& generator) {
  std::normal_distribution<double> normal;
  RowMatrix<double> m(rows, cols);
  for (Index i = 0; i < m.size(); ++i) m.data()[i] = normal(generator);
  return m;
}

inline RowMatrix<double> unit_rows(RowMatrix<double> m) {
  m.rowwise().normalize();
  return m;
}

inline RowMatrix<double> random_scores(Index samples, Index prototypes, Generator& generator, Index dimension = 16) {
  const RowMatrix<double> z = unit_rows(normal_matrix(samples, dimension, generator));
  const RowMatrix<double> c = unit_rows(normal_matrix(prototypes, dimension, generator));
  return z * c.transpose();
}

/// Unit embeddings close to `clusters` of the prototypes: scores near 1 in few columns, the others starved.
inline RowMatrix<double> clustered_scores(Index samples, Index prototypes, Generator& generator, Index clusters = 20,
                                          Index dimension = 128, double spread = 0.05) {
  const RowMatrix<double> c = unit_rows(normal_matrix(prototypes, dimension, generator));
  RowMatrix<double> z = spread * normal_matrix(samples, dimension, generator);
  for (Index b = 0; b < samples; ++b) z.row(b) += c.row(b * b % std::min(clusters, prototypes));
  return unit_rows(std::move(z)) * c.transpose();
}

template <class To, class From>
RowMatrix<To> converted(const RowMatrix<From>& m) {
  return m.unaryExpr([](const From& x) { return static_cast<To>(x); });
}

/// The entries as `Scalar` stores them, in double: what a reference in double has to be given.
template <class Scalar>
RowMatrix<double> rounded(const RowMatrix<double>& m) {
  return converted<double>(converted<Scalar>(m));
}

/// max |a - b|; infinite where the shapes differ or any entry is not finite.
template <class A, class B>
double largest_difference(const RowMatrix<A>& a, const RowMatrix<B>& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (Index i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]));
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

template <class A>
double largest_entry(const RowMatrix<A>& a) {
  return largest_difference(a, RowMatrix<A>(RowMatrix<A>::Constant(a.rows(), a.cols(), A(0))));
}

/// Same shape, and every entry equal as a number. Not for matrices with NaN.
template <class A>
bool identical(const RowMatrix<A>& a, const RowMatrix<A>& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() && std::equal(a.data(), a.data() + a.size(), b.data());
}

}  // namespace swav::test
