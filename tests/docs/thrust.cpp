// The Thrust device as docs/backends.md shows it. In: scores. Out: checks. Empty where Thrust is not, and
// under sanitizers, which find fault with Thrust itself.
#ifdef SWAV_TEST_THRUST_DOCS
#include <doctest/doctest.h>
#include <thrust/system/omp/execution_policy.h>
#include <thrust/system/omp/vector.h>

#include <utility>
#include <vector>

#include "swav/backend/thrust.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

TEST_CASE("codes on Thrust's OpenMP system are the CPU's") {
  const std::vector<float> numbers{0.9f, 0.1f, -0.3f, 0.2f, 0.8f, 0.4f};
  const swav::MatrixView<const float> scores(numbers.data(), 2, 3);
  // [thrust]
  swav::ThrustDevice device(thrust::omp::par);
  swav::Sinkhorn<float, decltype(device)> sinkhorn({.epsilon = 0.05}, device);
  auto codes = sinkhorn.codes(scores);  // a ThrustMatrix: rows(), cols(), data(), copy_to(host)
  // [thrust]
  swav::RowMatrix<float> host(2, 3);
  codes.copy_to(host);
  // A vector of Thrust's own as the scores.
  thrust::omp::vector<float> owned(numbers.begin(), numbers.end());
  auto same = sinkhorn.codes(swav::view_of(std::as_const(owned), 2, 3));
  swav::RowMatrix<float> of_owned(2, 3);
  same.copy_to(of_owned);
  CHECK(of_owned == host);
  CHECK(swav::view_of(owned).size == 6);
  CHECK_THROWS_AS((void)swav::view_of(owned, 2, 4), swav::InvalidInput);
  CHECK((host - swav::Sinkhorn<float>({.epsilon = 0.05}).codes(scores)).cwiseAbs().maxCoeff() <= 1e-6f);
}
#endif
