// What a GPU alone promises: work that is enqueued and not waited for, errors that come with the wait, graphs, streams,
// rows of any length. In: synthetic problems; the CPU's components as the reference. Out: checks.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "loss/equations.hpp"
#include "swav/crops/multi_crop.hpp"
#include "swav/optim/adamw.hpp"
#include "swav/optim/sgd.hpp"

namespace {

using swav::CudaDevice;
using swav::CudaMatrix;
using swav::Embeddings;
using swav::Index;
using swav::InvalidInput;
using swav::MatrixView;
using swav::RowMatrix;
using namespace swav::test;

/// A stream of its own.
class Stream {
 public:
  Stream() { swav::detail::check_cuda(cudaStreamCreate(&stream_), "cudaStreamCreate"); }
  Stream(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

template <class T>
CudaMatrix<T> uploaded(const RowMatrix<T>& matrix) {
  return CudaMatrix<T>{MatrixView<const T>(matrix)};
}

template <class T>
RowMatrix<T> downloaded(const CudaMatrix<T>& matrix) {
  RowMatrix<T> copy(matrix.rows(), matrix.cols());
  matrix.copy_to(copy);
  return copy;
}

template <class T>
void check_same(const swav::SwappedPredictionStep<T, CudaDevice>& found,
                const swav::SwappedPredictionStep<T, swav::EigenDevice>& wanted) {
  CHECK(double{found.value} == doctest::Approx(wanted.value).epsilon(Tolerance<T>::value));
  CHECK(largest_difference(downloaded(found.grad_embeddings), wanted.grad_embeddings) <=
        Tolerance<T>::gradient * std::max(1e-3, largest_entry(wanted.grad_embeddings)));
  CHECK(largest_difference(downloaded(found.grad_prototypes), wanted.grad_prototypes) <=
        Tolerance<T>::gradient * std::max(1e-3, largest_entry(wanted.grad_prototypes)));
  CHECK(std::abs(found.codes_entropy - wanted.codes_entropy) <= 100 * Tolerance<T>::codes);
  CHECK(Index{found.prototypes_used} == wanted.prototypes_used);
}

/// Where the same test computes.
template <class T>
struct OnDevice {
  using Device = CudaDevice;
  static CudaMatrix<T> matrix(const RowMatrix<T>& m) { return uploaded(m); }
};
template <class T>
struct OnHost {
  using Device = swav::EigenDevice;
  static RowMatrix<T> matrix(const RowMatrix<T>& m) { return m; }
};

}  // namespace

TEST_CASE_TEMPLATE("codes and losses of more prototypes than a block has registers for", T, float, double) {
  const Index prototypes = 9001;
  Generator generator(40);
  const RowMatrix<T> scores = converted<T>(random_scores(5, prototypes, generator));
  for (const double epsilon : {0.05, 0.02, 1e-4}) {  // sums in the scalar, in double where that is wider, potentials
    const swav::SinkhornOptions options{.epsilon = epsilon};
    CHECK(largest_difference(Sinkhorn<T>(options).codes(scores), swav::Sinkhorn<T>(options).codes(scores)) <=
          Tolerance<T>::codes);
  }
  const Problem problem = make_problem(3, prototypes, 7, 3, 41);
  check_step(run<T>(problem, {}), reference(problem, {}), problem, {});
}

TEST_CASE_TEMPLATE("codes in every layout of a row", T, float, double, Eigen::half, Eigen::bfloat16) {
  Generator generator(42);
  for (const Index prototypes : {1, 2, 31, 33, 100, 264, 520, 1030, 2056, 2500, 4104, 6000}) {
    CAPTURE(prototypes);
    const RowMatrix<T> scores = converted<T>(random_scores(7, prototypes, generator));
    CHECK(largest_difference(Sinkhorn<T>().codes(scores), swav::Sinkhorn<T>().codes(scores)) <=
          2 * Tolerance<T>::codes);
  }
}

TEST_CASE("codes of scores that span many epsilons, with masses of any size, are those of double") {
  std::mt19937 generator(49);
  std::uniform_real_distribution<double> uniform;
  for (int problem = 0; problem < 60; ++problem) {
    CAPTURE(problem);
    const Index rows = 1 + static_cast<Index>(generator() % 9), cols = 2 + static_cast<Index>(generator() % 12);
    const double span = 40 + 40.5 * uniform(generator);
    RowMatrix<float> scores(rows, cols);
    for (Index i = 0; i < scores.size(); ++i) {
      const double part = uniform(generator);
      scores.data()[i] = static_cast<float>(-span * (problem % 2 == 0 ? part : part < 0.5 ? 0.0 : 1.0));
    }
    scores(0, 0) = 0;
    scores(rows - 1, cols - 1) = static_cast<float>(-span);
    swav::SinkhornOptions options{.epsilon = 1, .max_iterations = 1 + static_cast<int>(generator() % 20)};
    if (problem % 3 == 0) {
      options.prototype_masses.assign(static_cast<std::size_t>(cols), 1e-30);
      options.prototype_masses.front() = 0.75;
      options.prototype_masses.back() = 0.25;
      if (cols > 3) options.prototype_masses[1] = 0;
    }
    CHECK(largest_difference(Sinkhorn<float>(options).codes(scores),
                             swav::Sinkhorn<double>(options).codes(converted<double>(scores))) <=
          Tolerance<float>::codes);
  }
}

TEST_CASE_TEMPLATE("codes of more rows than a block's memory holds, in place, repeat bit for bit", T, float, double,
                   Eigen::half, Eigen::bfloat16) {
  Generator generator(47);
  for (const bool hard : {false, true}) {
    const swav::SinkhornOptions options{.hard_codes = hard};
    const RowMatrix<T> scores = converted<T>(random_scores(45, 2056, generator));
    Sinkhorn<T> sinkhorn(options);
    RowMatrix<T> in_place = scores;
    sinkhorn.codes_into(in_place, in_place);
    CHECK(sinkhorn.codes(scores) == in_place);
    if (!hard)  // of 16 bits, several may be the largest but for rounding
      CHECK(largest_difference(in_place, swav::Sinkhorn<T>().codes(scores)) <= 2 * Tolerance<T>::codes);
  }
}

TEST_CASE_TEMPLATE("transports of rows in every layout", T, float, double) {
  Generator generator(48);
  for (const Index cols : {31, 264, 1030, 2056, 6000, 7001}) {
    CAPTURE(cols);
    const RowMatrix<T> cost = converted<T>(random_scores(9, cols, generator));
    for (const double rho : {std::numeric_limits<double>::infinity(), 1.0}) {
      const swav::SinkhornOptions options{
          .epsilon = 0.1,
          .max_iterations = 12,
          .tolerance = 1e-30,
          .rho_a = rho,
          .kernel_storage = rho == 1 ? swav::KernelStorage::full : swav::KernelStorage::automatic};
      const auto found = Sinkhorn<T>(options).solve(cost);
      const auto wanted = swav::Sinkhorn<T>(options).solve(cost);
      CHECK(found.iterations == wanted.iterations);
      CHECK(found.transport_cost == doctest::Approx(wanted.transport_cost).epsilon(1e-6));
      for (std::size_t j = 0; j < found.g.size(); ++j) REQUIRE(std::abs(found.g[j] - wanted.g[j]) <= 1e-5);
    }
  }
}

TEST_CASE_TEMPLATE("transports of rows that have clusters of 2, 4 and 8 blocks, repeat bit for bit", T, float, double) {
  Generator generator(51);
  const swav::KernelStorage storage =
      sizeof(T) == sizeof(float) ? swav::KernelStorage::single : swav::KernelStorage::full;
  const auto of_doubles = static_cast<Index>(sizeof(T) / sizeof(float));
  // Emulated, in packs with 2, 4, 4, 8 and 8 blocks and tiles of 2, 4, 2, 4 and 1 rows; entry by entry with 2 and 8
  // (4).
  for (const Index cols : {8200 / of_doubles, 13000 / of_doubles, 20008 / of_doubles, 30000 / of_doubles,
                           50000 / of_doubles, Index{9001}, 33001 / of_doubles}) {
    CAPTURE(cols);
    const RowMatrix<T> cost = converted<T>(random_scores(19, cols, generator));
    const swav::SinkhornOptions options{.epsilon = 0.1,
                                        .max_iterations = 3,
                                        .tolerance = 1e-30,
                                        .rho_a = cols % 3 == 0 ? 1.0 : std::numeric_limits<double>::infinity(),
                                        .kernel_storage = storage};
    const auto found = Sinkhorn<T>(options).solve(cost), again = Sinkhorn<T>(options).solve(cost);
    const auto wanted = swav::Sinkhorn<T>(options).solve(cost);
    CHECK(found.iterations == wanted.iterations);
    CHECK(found.transport_cost == doctest::Approx(wanted.transport_cost).epsilon(1e-6));
    for (std::size_t j = 0; j < found.g.size(); ++j) REQUIRE(std::abs(found.g[j] - wanted.g[j]) <= 1e-5);
    for (std::size_t i = 0; i < found.f.size(); ++i) REQUIRE(std::abs(found.f[i] - wanted.f[i]) <= 1e-5);
    CHECK(found.f == again.f);
    CHECK(found.g == again.g);
  }
}

template <class T, class Metric>
void check_points(Index n, Index m, Index dimension, double centre, const swav::SinkhornOptions& options) {
  Generator generator(50);
  const auto points = [&](Index count) {
    return converted<T>(RowMatrix<double>(normal_matrix(count, dimension, generator).array() + centre));
  };
  const RowMatrix<T> x = points(n), y = n == m ? x : points(m);
  const CudaMatrix<T> on_x = uploaded(x), on_y = uploaded(y);
  swav::Sinkhorn<T, CudaDevice> solver(options);
  const auto found = solver.solve(swav::PointCost(on_x, on_y, Metric()));
  const auto wanted = swav::Sinkhorn<T>(options).solve(swav::PointCost(x, y, Metric()));
  CHECK(found.iterations == wanted.iterations);
  CHECK(found.transport_cost == doctest::Approx(wanted.transport_cost).epsilon(1e-7));
  CHECK(found.marginal_error == doctest::Approx(wanted.marginal_error).epsilon(1e-2));
  const double shift = std::isinf(options.rho_a) ? found.g[0] - wanted.g[0] : 0;  // as any constant
  for (std::size_t j = 0; j < found.g.size(); ++j) REQUIRE(std::abs(found.g[j] - wanted.g[j] - shift) <= 1e-6);
  if constexpr (std::is_same_v<T, double>) {  // what goes through the same blocks
    const auto check = [](const CudaMatrix<T>& got, const RowMatrix<T>& expected) {
      CHECK(largest_difference(downloaded(got), expected) <= 1e-6 * largest_entry(expected));
    };
    if (n * m < 10'000) check(found.plan(), wanted.plan());
    check(found.apply(on_y), wanted.apply(y));
    check(found.apply(on_x, 0), wanted.apply(x, 0));
    check(found.map(on_x), wanted.map(x));
    check(swav::gradient_x(found), swav::gradient_x(wanted));
  }
}

TEST_CASE_TEMPLATE("transports of points, in blocks of rows, far from the origin", T, float, double) {
  using swav::Stabilization;
  const swav::SinkhornOptions options{.epsilon = 0.3, .max_iterations = 9, .tolerance = 1e-30};
  check_points<T, swav::SquaredEuclidean>(300, 500, 5, 0, options);  // stored, of a product in blocks
  const swav::SinkhornOptions few{.epsilon = 1, .max_iterations = 2, .tolerance = 1e-30};
  check_points<T, swav::SquaredEuclidean>(1100, 500, 5, 0, few);    // made anew in each iteration, in blocks
  check_points<T, swav::SquaredEuclidean>(1100, 500, 2, 100, few);  // and from coordinates
  check_points<T, swav::SquaredEuclidean>(41, 30, 3, 1000, options);
  check_points<T, swav::SquaredEuclidean>(
      23, 31, 2, 0, {.epsilon = 0.1, .max_iterations = 20, .tolerance = 1e-30, .rho_a = 1, .rho_b = 2});
  check_points<T, swav::SquaredEuclidean>(
      530, 300, 2, 0, {.epsilon = 0.02, .max_iterations = 2, .tolerance = 1e-30, .stabilization = Stabilization::log});
  if constexpr (std::is_same_v<T, double>) {
    check_points<T, swav::Cosine>(1100, 500, 3, 0, few);
    check_points<T, swav::Cosine>(33, 130, 6, 0, options);
    check_points<T, swav::Euclidean>(21, 17, 4, 0, options);
    check_points<T, swav::Euclidean>(40, 40, 5, 50, options);       // with distances of 0
    check_points<T, swav::SquaredEuclidean>(4, 70'000, 4, 0, few);  // several blocks a row
  }
}

TEST_CASE("transports of points do not see others that are far away and have no mass") {
  Generator generator(52);
  const Index near = 20, far = 30;
  for (const Index dimension : {2, 6}) {
    const RowMatrix<double> x = normal_matrix(near, dimension, generator);
    RowMatrix<double> y = normal_matrix(near + far, dimension, generator);
    y.bottomRows(far).array() += 1e7;
    std::vector<double> masses(static_cast<std::size_t>(near + far), 0);
    std::fill_n(masses.begin(), near, 1.0 / near);
    const CudaMatrix<double> on_x = uploaded(x), on_y = uploaded(y);
    swav::Sinkhorn<double, CudaDevice> solver(swav::SinkhornOptions{});
    const auto found = solver.solve(swav::PointCost(on_x, on_y), {}, masses);
    const auto wanted = swav::Sinkhorn<double>(swav::SinkhornOptions{}).solve(swav::PointCost(x, y), {}, masses);
    CHECK(found.iterations == wanted.iterations);
    CHECK(found.transport_cost == doctest::Approx(wanted.transport_cost).epsilon(1e-7));
    const RowMatrix<double> gradient = swav::gradient_x(wanted);
    CHECK(largest_difference(downloaded(swav::gradient_x(found)), gradient) <= 1e-6 * largest_entry(gradient));
  }
}

TEST_CASE_TEMPLATE("codes come from a queue, other embeddings, other prototypes, a larger batch; banks have heads", T,
                   float, double) {
  const std::vector<Index> heads{12, 30};
  const Problem problem = make_problem(6, 42, 9, 3, 43);
  const RowMatrix<T> z = converted<T>(problem.z), c = converted<T>(problem.c);
  const auto steps = [&](auto on) {
    using On = decltype(on);
    using Device = typename On::Device;
    const Device device;
    const swav::PrototypeBank<T, Device> bank(On::matrix(c), heads, device), other(On::matrix(-c), heads, device);
    const auto rows = On::matrix(z), momentum = On::matrix(RowMatrix<T>(z.colwise().reverse().eval()));
    swav::SwappedPredictionLoss<T, Device> loss({.crops_for_assign = {2, 0}}, device);
    swav::EmbeddingQueue<T, Device> queue(2, 9, {.length = 8, .used_while_filling = true}, device);
    std::vector<swav::SwappedPredictionStep<T, Device>> all;
    for (int call = 0; call < 3; ++call) all.push_back(loss(rows, bank, 3, {.queue = &queue}));
    all.push_back(loss(rows, bank, 3, {.embeddings = momentum, .bank = &other, .queue = &queue}));
    swav::ViewCodes<T, Device> codes;
    loss.codes_into(rows, bank, 6, codes, &queue);
    all.push_back(loss(MatrixView<const T>(rows).middle_rows(0, 9), bank, 3, {.codes = &codes, .first_sample = 2}));
    swav::ViewCodes<T, Device> of_samples{.samples = 6, .of_samples = true};
    for (const Index count : heads) {
      RowMatrix<T> one_hot = RowMatrix<T>::Zero(6, count);
      for (Index b = 0; b < 6; ++b) one_hot(b, (7 * b) % count) = T(1);
      of_samples.heads.push_back(On::matrix(one_hot));
    }
    all.push_back(loss(rows, bank, 3, {.codes = &of_samples}));
    return all;
  };
  const auto found = steps(OnDevice<T>());
  const auto wanted = steps(OnHost<T>());
  REQUIRE(found.size() == wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    check_same(found[i], wanted[i]);
  }
}

TEST_CASE("heads of halves, of which one finds its largest scores first, add up") {
  const std::vector<Index> heads{40, 75};
  Problem problem = rounded<Eigen::half>(make_problem(90, 115, 20, 3, 50));
  problem.c.bottomRows(75) *= 32;  // are handed in as unit rows
  const CudaDevice device;
  for (const auto embeddings : {Embeddings::raw, Embeddings::unit}) {
    // An epsilon at which the rounding of such scores to halves is nothing to their codes.
    const swav::SwappedPredictionOptions options{.embeddings = embeddings, .sinkhorn = {.epsilon = 5}};
    const swav::PrototypeBank<float> bank(converted<float>(problem.c), heads);
    const auto wanted = swav::SwappedPredictionLoss<float>(options)(converted<float>(problem.z), bank, 3);
    const swav::PrototypeBank<__half, CudaDevice> halves(on_device(converted<Eigen::half>(problem.c)), heads, device);
    swav::SwappedPredictionLoss<__half, CudaDevice> loss(options, device);
    const auto found = loss(on_device(converted<Eigen::half>(problem.z)), halves, 3);
    CHECK(double{found.value} == doctest::Approx(wanted.value).epsilon(Tolerance<Eigen::half>::value));
    const auto check = [](const CudaMatrix<__half>& gradient, const RowMatrix<float>& expected) {
      CHECK(largest_difference(on_host<Eigen::half>(gradient), expected) <=
            gradient_tolerance<Eigen::half> * largest_entry(expected));
    };
    check(found.grad_embeddings, wanted.grad_embeddings);
    check(found.grad_prototypes, wanted.grad_prototypes);
  }
}

TEST_CASE("a step is captured whole in a graph, and what is replayed is computed anew") {
  const Problem problem = make_problem(20, 70, 12, 3, 44), other = make_problem(20, 70, 12, 3, 45);
  for (const double epsilon : {0.05, 1e-3}) {  // with and without the log domain in what is enqueued
    const Stream stream;
    const CudaDevice device(stream);
    const swav::SwappedPredictionOptions options{.sinkhorn = {.epsilon = epsilon}};
    swav::SwappedPredictionLoss<float, CudaDevice> loss(options, device);
    swav::PrototypeBank<float, CudaDevice> bank(uploaded(converted<float>(problem.c)), device);
    CudaMatrix<float> z = uploaded(converted<float>(problem.z));
    swav::SwappedPredictionStep<float, CudaDevice> step;
    bank.normalize();
    loss.step_into(z, bank, 3, step);  // have all memory from here on

    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    swav::detail::check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
    bank.normalize();
    loss.step_into(z, bank, 3, step);  // an allocation, or a wait, would be an error now
    swav::detail::check_cuda(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    swav::detail::check_cuda(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    for (const Problem* given : {&problem, &other, &problem}) {
      z.copy_from(MatrixView<const float>(converted<float>(given->z)));
      swav::detail::check_cuda(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
      Problem expected = *given;
      expected.c = problem.c;
      swav::SwappedPredictionLoss<float> host(options);
      check_same(step, host(converted<float>(expected.z), swav::PrototypeBank<float>(converted<float>(expected.c)), 3));
    }
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
  }
}

TEST_CASE("optimisers' steps are captured, with gradients of 16 bits, float values and a rate in the GPU's memory") {
  using Half = __nv_bfloat16;
  const Stream stream;
  const CudaDevice device(stream);
  Generator generator(48);
  const RowMatrix<float> start = converted<float>(normal_matrix(1, 20'000, generator));  // two blocks, and 3 elements
  RowMatrix<float> gradient(1, 20'000), host = start, small = start.leftCols(3), wanted;
  std::vector<Half> narrow(20'000);
  for (Index i = 0; i < 20'000; ++i) {
    narrow[static_cast<std::size_t>(i)] = Half(0.01f * start(0, (7 * i) % 20'000));
    gradient(0, i) = static_cast<float>(narrow[static_cast<std::size_t>(i)]);
  }
  const auto run = [&]<class Optimizer, class Reference>(Optimizer make, Reference make_reference) {
    CudaMatrix<float> values = uploaded(start), few = uploaded(small);
    const CudaMatrix<Half> gradients{MatrixView<const Half>(narrow.data(), 1, 20'000)};
    CudaMatrix<Half> rounded(1, 20'000);
    CudaMatrix<double> rate(1, 1);
    std::vector<swav::Parameter<float, Half>> list{{.value = {values.data(), 20'000},
                                                    .gradient = {gradients.data(), 20'000},
                                                    .name = "a",
                                                    .rounded = {rounded.data(), 20'000}},
                                                   {.value = {few.data(), 3},
                                                    .gradient = {gradients.data() + 1, 3},
                                                    .adapts = false,
                                                    .name = "b",
                                                    .frozen_steps = 2}};
    RowMatrix<float> host_values = start, host_few = small;
    std::vector<swav::Parameter<float>> host_list{
        {.value = {host_values.data(), 20'000}, .gradient = {gradient.data(), 20'000}, .name = "a"},
        {.value = {host_few.data(), 3},
         .gradient = {gradient.data() + 1, 3},
         .adapts = false,
         .name = "b",
         .frozen_steps = 2}};
    auto optimizer = make(list, device);
    auto reference = make_reference(host_list);
    const double* const in_memory = rate.data();
    const auto set_rate = [&](double value) { rate.copy_from(MatrixView<const double>(&value, 1, 1)); };
    optimizer.step(0.5);  // has all memory from here on
    reference.step(0.5);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    swav::detail::check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
    const auto& norm = optimizer.step(in_memory);
    swav::detail::check_cuda(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    swav::detail::check_cuda(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    for (const double value : {0.4, 0.3, 0.2}) {
      set_rate(value);
      swav::detail::check_cuda(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
      const double wanted_norm = reference.step(value);
      CHECK(double{norm} == doctest::Approx(wanted_norm).epsilon(1e-6));
    }
    CHECK(optimizer.steps() == 4);
    const RowMatrix<float> found = downloaded(values);
    CHECK(largest_difference(found, host_values) <= 1e-6);
    CHECK(largest_difference(downloaded(few), host_few) <= 1e-6);
    CHECK(largest_difference(host_values, start) > 1e-6);
    std::vector<Half> half(20'000);
    rounded.copy_to(MatrixView<Half>(half.data(), 1, 20'000));
    bool same = true;
    for (Index i = 0; i < 20'000; ++i)
      same = same && static_cast<float>(half[static_cast<std::size_t>(i)]) == static_cast<float>(Half(found(0, i)));
    CHECK(same);
    set_rate(-1);
    swav::detail::check_cuda(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
    CHECK_THROWS_WITH_AS(device.synchronize(), doctest::Contains("learning_rate"), InvalidInput);
    CHECK(identical(downloaded(values), found));
    CHECK(optimizer.steps() == 4);
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
  };
  const swav::SgdOptions larc{.weight_decay = 0.05, .larc = swav::LarcOptions{.trust_coefficient = 0.1}};
  run([&](auto list, auto on) { return swav::Sgd<float, CudaDevice, Half>(larc, list, on); },
      [&](auto list) { return swav::Sgd<float>(larc, list); });
  run([&](auto list, auto on) { return swav::AdamW<float, CudaDevice, Half>({}, list, on); },
      [&](auto list) { return swav::AdamW<float>({}, list); });
}

TEST_CASE_TEMPLATE("all views of a batch of images are the CPU's, in one launch", Out, float, Eigen::half) {
  using D = DeviceScalar<Out>;
  const std::vector<swav::CropSpec> specs{
      {.count = 2, .size = 24, .blur = {.probability = 0.9}, .solarize = {.probability = 0.3}},
      {.count = 2,
       .size = 11,
       .scale = {0.05, 0.14},
       .layout = swav::PixelLayout::interleaved,
       .pixel_stride = 4}};  // what is between pixels stays as it is
  const Stream stream;
  const CudaDevice device(stream);
  const swav::MultiCropSampler host(specs);
  const swav::BasicMultiCropSampler<CudaDevice> crops(specs, device);
  Generator generator(49);
  std::uniform_int_distribution<int> level(0, 255);
  std::vector<RowMatrix<std::uint8_t>> pixels;
  std::vector<CudaMatrix<std::uint8_t>> on_gpu;
  std::vector<swav::ImageView<std::uint8_t>> images, gpu_images;
  std::vector<swav::CropKey> keys;
  for (const Index side : {40, 17, 61}) {
    pixels.emplace_back(side, (side + 5) * 3);
    for (Index i = 0; i < pixels.back().size(); ++i)
      pixels.back().data()[i] = static_cast<std::uint8_t>(level(generator));
    on_gpu.push_back(uploaded(pixels.back()));
    keys.push_back({7, 1, static_cast<std::uint64_t>(side)});
  }
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const Index height = pixels[i].rows(), width = pixels[i].cols() / 3;
    images.push_back({pixels[i].data(), height, width, 3});
    gpu_images.push_back({on_gpu[i].data(), height, width, 3});
  }
  std::vector<RowMatrix<float>> wanted;
  std::vector<CudaMatrix<D>> found;
  std::vector<float*> outputs;
  std::vector<D*> gpu_outputs;
  for (Index v = 0; v < 4; ++v) {
    const Index size = host.view(v).size;
    const Index values = std::max<Index>(3, host.view(v).pixel_stride) * size * size;
    const std::vector<D> start(static_cast<std::size_t>(3 * values), static_cast<D>(-7.0f));
    wanted.push_back(RowMatrix<float>::Constant(3, values, -7.0f));
    found.emplace_back(MatrixView<const D>(start.data(), 3, values));
  }
  for (auto& matrix : wanted) outputs.push_back(matrix.data());
  for (auto& matrix : found) gpu_outputs.push_back(matrix.data());
  host.batch(images, keys, outputs);
  crops.batch(gpu_images, keys, gpu_outputs);
  for (int repetition = 0; repetition < 3; ++repetition) {  // the last one is what remains
#ifdef SWAV_CUDA_EMULATED
    const long before = swav::emulation::launches;
    crops.batch(gpu_images, keys, gpu_outputs);
    CHECK(swav::emulation::launches - before == 2);  // the plans' copy, the kernel
#else
    crops.batch(gpu_images, keys, gpu_outputs);
#endif
  }
  device.synchronize();
  for (std::size_t v = 0; v < 4; ++v) {
    const RowMatrix<Out> crop = on_host<Out>(found[v]);
    CHECK(largest_difference(RowMatrix<float>(crop.template cast<float>()), wanted[v]) <=
          (std::is_same_v<Out, float> ? 2e-5 : 4e-3));
  }
  RowMatrix<float> values = RowMatrix<float>::Constant(9, 9, 0.5f);
  values(8, 3) = std::numeric_limits<float>::quiet_NaN();
  const CudaMatrix<float> bad = uploaded(values);
  crops(swav::ImageView<float>{bad.data(), 9, 9, 1}, keys[0], gpu_outputs);
  CHECK_THROWS_WITH_AS(device.synchronize(), doctest::Contains("image"), InvalidInput);
}

TEST_CASE("streams of their own compute side by side") {
  const Problem problem = make_problem(16, 50, 8, 4, 46);
  const auto wanted = swav::SwappedPredictionLoss<double>()(problem.z, swav::PrototypeBank<double>(problem.c), 4);
  const Stream streams[3];
  std::vector<swav::SwappedPredictionStep<double, CudaDevice>> steps(3);
  std::vector<swav::SwappedPredictionLoss<double, CudaDevice>> losses;
  std::vector<swav::PrototypeBank<double, CudaDevice>> banks;
  for (const Stream& stream : streams) {
    const CudaDevice device(stream);
    losses.emplace_back(swav::SwappedPredictionOptions{}, device);
    banks.emplace_back(uploaded(problem.c), device);
  }
  const CudaMatrix<double> z = uploaded(problem.z);
  for (int repetition = 0; repetition < 3; ++repetition)
    for (std::size_t s = 0; s < 3; ++s) losses[s].step_into(z, banks[s], 4, steps[s]);
  for (const auto& step : steps) check_same(step, wanted);
}

TEST_CASE("bad values are reported by the wait, once, and nothing is written until then") {
  const Problem problem = make_problem(6, 11, 5, 2, 47);
  const CudaDevice device;
  swav::SwappedPredictionLoss<float, CudaDevice> loss({}, device);
  swav::PrototypeBank<float, CudaDevice> bank(uploaded(converted<float>(problem.c)), device);
  const CudaMatrix<float> good = uploaded(converted<float>(problem.z));
  swav::SwappedPredictionStep<float, CudaDevice> step = loss(good, bank, 2);
  const RowMatrix<float> gradient = downloaded(step.grad_embeddings);
  const double value = step.value;

  RowMatrix<float> spoilt = converted<float>(problem.z);
  spoilt(3, 2) = std::numeric_limits<float>::quiet_NaN();
  const CudaMatrix<float> bad = uploaded(spoilt);
  loss.step_into(bad, bank, 2, step);
  loss.step_into(good, bank, 2, step);
  CHECK_THROWS_WITH_AS(device.synchronize(), doctest::Contains("embeddings"), InvalidInput);
  CHECK(identical(downloaded(step.grad_embeddings), gradient));
  CHECK(double{step.value} == value);
  CHECK_NOTHROW(device.synchronize());
  loss.step_into(good, bank, 2, step);
  CHECK(double{step.value} == value);

  RowMatrix<float> weights = converted<float>(problem.c);
  weights(1, 1) = std::numeric_limits<float>::infinity();
  swav::PrototypeBank<float, CudaDevice> broken(uploaded(weights), device);
  broken.normalize();
  CHECK_THROWS_WITH_AS(device.synchronize(), doctest::Contains("PrototypeBank"), InvalidInput);
}

TEST_CASE("shapes are refused before anything is enqueued, and errors of CUDA name the call") {
  const CudaDevice device;
  swav::Sinkhorn<float, CudaDevice> sinkhorn({}, device);
  CudaMatrix<float> scores(4, 3), out(4, 2);
  CHECK_THROWS_AS(sinkhorn.codes_into(scores, out), InvalidInput);
  CHECK_THROWS_AS(sinkhorn.codes(MatrixView<const float>()), InvalidInput);
  RowMatrix<float> host(3, 3);
  CHECK_THROWS_WITH_AS(scores.copy_to(host), doctest::Contains("4 x 3"), InvalidInput);
  CHECK_THROWS_WITH_AS(CudaMatrix<float>(Index{1} << 22, Index{1} << 22),
                       doctest::Contains("cudaMalloc of 67108864 MiB"), swav::CudaError);
}

#ifdef SWAV_CUDA_EMULATED
TEST_CASE("no GPU is one clear line") {
  swav::emulation::devices = 0;
  CHECK_THROWS_WITH_AS(CudaDevice(), "CudaDevice: no GPU to work on: cudaGetDevice: no CUDA-capable device is detected",
                       swav::CudaError);
  swav::emulation::devices = 1;
}
#endif
