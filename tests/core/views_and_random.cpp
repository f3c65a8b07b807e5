// The ground that components stand on: views, counter-based random numbers, the device's shares and buffers.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <numeric>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "swav/backend/eigen/product.hpp"
#include "swav/core/philox.hpp"

using swav::Index;
using swav::MatrixView;
using swav::VectorView;

TEST_CASE("Philox gives the published known answers") {
  // Counter and key, then the block, from the known-answer file of Random123, the authors' own implementation.
  struct Known {
    std::uint64_t key, low, high;
    std::array<std::uint32_t, 4> block;
  };
  const Known answers[] = {
      {0, 0, 0, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
      {~0ull, ~0ull, ~0ull, {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
      {0x299f31d0a4093822ull,
       0x85a308d3243f6a88ull,
       0x0370734413198a2eull,
       {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
  };
  for (const Known& known : answers) {
    const swav::Philox found(known.key, known.low, known.high);
    for (std::size_t i = 0; i < 4; ++i) CHECK(found.out[i] == known.block[i]);
  }
}

TEST_CASE("a random stream depends on its names alone, and stays in its range") {
  swav::PhiloxStream first(3, 5), again(3, 5), other_stream(3, 6), other_key(4, 5);
  int same_stream = 0, same_key = 0;
  double sum = 0;
  for (int i = 0; i < 4096; ++i) {
    const double x = first.uniform(-2.0, 6.0);
    CHECK(x == again.uniform(-2.0, 6.0));
    CHECK((x >= -2.0 && x < 6.0));
    same_stream += x == other_stream.uniform(-2.0, 6.0);
    same_key += x == other_key.uniform(-2.0, 6.0);
    sum += x;
  }
  CHECK(same_stream == 0);
  CHECK(same_key == 0);
  CHECK(sum / 4096 == doctest::Approx(2.0).epsilon(0.1));
}

TEST_CASE("integers below a count reach every value and no other") {
  swav::PhiloxStream random(1, 2);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random.below(7));
  CHECK(seen.size() == 7);
  CHECK(*seen.rbegin() == 6);
  CHECK(random.below(1) == 0);
}

TEST_CASE("a matrix view sees rows, strides and blocks without copying") {
  swav::RowMatrix<double> m(4, 6);
  std::iota(m.data(), m.data() + m.size(), 0.0);
  const MatrixView<const double> block(m.block(1, 2, 3, 2));
  CHECK(block.rows == 3);
  CHECK(block.cols == 2);
  CHECK(block.stride == 6);
  CHECK(block(2, 1) == m(3, 3));
  CHECK(block.middle_rows(1, 2)(0, 0) == m(2, 2));

  const MatrixView<double> all(m);
  all(0, 0) = 42;
  CHECK(m(0, 0) == 42);
  const MatrixView<const double> constant = all;
  CHECK(constant.data == m.data());
}

TEST_CASE("what would have to be copied does not convert to a view") {
  using ColumnMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
  static_assert(!std::is_convertible_v<ColumnMajor&, MatrixView<const double>>, "column-major matrices are refused");
  static_assert(!std::is_convertible_v<swav::RowMatrix<float>&, MatrixView<const double>>, "so are other scalars");
  static_assert(!std::is_convertible_v<const swav::RowMatrix<double>&, MatrixView<double>>, "and const to mutable");

  swav::RowMatrix<double> m(2, 6);
  const Eigen::Map<swav::RowMatrix<double>, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> every_second(
      m.data(), 2, 3, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(6, 2));
  std::string message;
  try {
    const MatrixView<const double> view(every_second);
    (void)view;
  } catch (const swav::InvalidInput& error) {
    message = error.what();
  }
  CHECK(message.find("inner stride 2 found, 1 wanted") != std::string::npos);
}

TEST_CASE("a vector view comes from anything with data and size") {
  std::vector<float> values{1, 2, 3};
  const VectorView<float> view(values);
  view[1] = 7;
  CHECK(values[1] == 7);
  CHECK(VectorView<const float>(std::span<const float>(values)).size == 3);
  CHECK(VectorView<const float>(view).data == values.data());
  CHECK(std::accumulate(view.begin(), view.end(), 0.0f) == 11);
}

TEST_CASE("shares cover the rows once, for any number of threads") {
  for (const int threads : {1, 2, 3, 8}) {
    const swav::EigenDevice device(threads);
    for (const Index rows : {0, 1, 2, 7, 1000}) {
      std::vector<int> visits(static_cast<std::size_t>(rows));
      device.for_shares(rows, [&](int thread, Index first, Index count) {
        CHECK_UNARY(thread >= 0 && thread < threads);
        for (Index r = first; r < first + count; ++r) ++visits[static_cast<std::size_t>(r)];
      });
      CHECK(std::all_of(visits.begin(), visits.end(), [](int n) { return n == 1; }));
    }
  }
}

TEST_CASE("an exception of a share reaches the caller") {
  const swav::EigenDevice device(2);
  CHECK_THROWS_AS(device.for_shares(8,
                                    [](int, Index first, Index) {
                                      if (first > 0) throw std::out_of_range("second share");
                                    }),
                  std::out_of_range);
  CHECK_THROWS_AS(swav::EigenDevice(-1), swav::InvalidInput);
}

TEST_CASE("a buffer grows only, and is aligned") {
  swav::EigenDevice::Buffer<float> buffer;
  CHECK(buffer.data() == nullptr);
  float* const first = buffer.reserve(100);
  CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  CHECK(buffer.reserve(10) == first);
  CHECK(buffer.reserve(100) == first);
  float* const grown = buffer.reserve(100000);
  grown[99999] = 1;
  CHECK(buffer.data() == grown);
}

TEST_CASE_TEMPLATE("Eigen's products in every transposition", T, float, double) {
  using Matrix = swav::RowMatrix<T>;
  swav::PhiloxStream random(9, 0);
  const auto draw = [&](Index rows, Index cols) {
    return Matrix(Matrix::NullaryExpr(rows, cols, [&] { return static_cast<T>(random.uniform(-1, 1)); }));
  };
  const Index m = 5, k = 7, n = 3;
  for (const bool left : {false, true})
    for (const bool right : {false, true}) {
      const Matrix a = left ? draw(k, m) : draw(m, k), b = right ? draw(n, k) : draw(k, n);
      Matrix out = Matrix::Constant(m, n, std::numeric_limits<T>::quiet_NaN());  // not read where beta is 0
      Matrix wanted = Matrix::Zero(m, n);
      for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < n; ++j)
          for (Index l = 0; l < k; ++l) wanted(i, j) += (left ? a(l, i) : a(i, l)) * (right ? b(j, l) : b(l, j));
      const auto ta = left ? swav::Transpose::yes : swav::Transpose::no;
      const auto tb = right ? swav::Transpose::yes : swav::Transpose::no;
      swav::EigenProduct::multiply<T>(a, ta, b, tb, T(2), T(0), out);
      CHECK((out - 2 * wanted).cwiseAbs().maxCoeff() < T(1e-5));
      swav::EigenProduct::multiply<T>(a, ta, b, tb, T(1), T(1), out);
      CHECK((out - 3 * wanted).cwiseAbs().maxCoeff() < T(1e-5));
    }
}
