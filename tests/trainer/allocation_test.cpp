// A training step allocates nothing after the first. In: small networks and a learner. Out: checks of every allocation
// by operator new, on all threads, and by malloc from this program's code. Inside its own calls oneDNN allocates, and
// no setting of it avoids that: the map of a call's arguments, and where it multiplies matrices (fully connected layers
// and dnnl_sgemm) the blocks it copies them to. These are told apart and bounded; nothing else has any.
#include <dnnl.h>
#include <doctest/doctest.h>
#include <malloc.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <vector>

#include "allocations.hpp"
#include "data/dataset.hpp"
#include "support.hpp"
#include "swav/core/philox.hpp"
#include "train/learner.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

// What happened inside oneDNN since the start of a step.
std::atomic<long> calls, inside;
std::atomic<long> most_beyond_arguments;  // of one primitive that multiplies no matrices
std::atomic<long> work_memory;            // requests of such primitives
std::atomic<long> work_memory_requests;   // so far; of all, through posix_memalign, which nobody else here calls

bool multiplies_matrices(const_dnnl_primitive_t primitive) {
  const_dnnl_primitive_desc_t desc = nullptr;
  dnnl_primitive_kind_t kind = dnnl_undefined_primitive;
  dnnl_primitive_get_primitive_desc(primitive, &desc);
  dnnl_primitive_desc_query(desc, dnnl_query_primitive_kind, 0, &kind);
  return kind == dnnl_inner_product;
}

template <class Step>
void check_step(Step&& step) {
  calls = inside = most_beyond_arguments = work_memory = 0;
  const long before = allocations();
  step();
  const long all = allocations() - before;
  CHECK(all - inside == 0);
  CHECK(calls > 0);
  CHECK(most_beyond_arguments.load() <= 4 + omp_get_max_threads());
  CHECK(work_memory.load() == 0);
}

}  // namespace

// The linker sends the trainer's calls here (--wrap).
extern "C" {

dnnl_status_t __real_dnnl_primitive_execute(const_dnnl_primitive_t, dnnl_stream_t, int, const dnnl_exec_arg_t*);
dnnl_status_t __real_dnnl_sgemm(char, char, dnnl_dim_t, dnnl_dim_t, dnnl_dim_t, float, const float*, dnnl_dim_t,
                                const float*, dnnl_dim_t, float, float*, dnnl_dim_t);

/// One at a time, and nothing of ours beside it: whatever is allocated meanwhile, on any thread, is oneDNN's.
dnnl_status_t __wrap_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream, int arguments,
                                            const dnnl_exec_arg_t* list) {
  const long before = allocations(), requests_before = work_memory_requests;
  const dnnl_status_t status = __real_dnnl_primitive_execute(primitive, stream, arguments, list);
  const long allocated = allocations() - before, requested = work_memory_requests - requests_before;
  ++calls;
  inside += allocated;
  if (multiplies_matrices(primitive)) return status;
  most_beyond_arguments = std::max<long>(most_beyond_arguments, allocated - arguments);
  work_memory += requested;
  return status;
}

/// By several threads side by side, each alone in its call, or by one with oneDNN's threads to help.
dnnl_status_t __wrap_dnnl_sgemm(char transpose_a, char transpose_b, dnnl_dim_t m, dnnl_dim_t n, dnnl_dim_t k,
                                float alpha, const float* a, dnnl_dim_t lda, const float* b, dnnl_dim_t ldb, float beta,
                                float* c, dnnl_dim_t ldc) {
  const auto counter = omp_in_parallel() != 0 ? allocations_of_this_thread : allocations;
  const long before = counter();
  const dnnl_status_t status =
      __real_dnnl_sgemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  ++calls;
  inside += counter() - before;
  return status;
}

/// In place of the C library's, for oneDNN's work memory.
int posix_memalign(void** p, std::size_t alignment, std::size_t size) noexcept {
  ++work_memory_requests;
  *p = memalign(alignment, size);
  return *p == nullptr ? ENOMEM : 0;
}
}

TEST_CASE("forward and backward of a network allocate nothing after the first step") {
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    if (precision == Precision::bfloat16 && resolve_precision("auto") != precision) continue;
    for (const Architecture& architecture :
         {Architecture{.depth = 18, .width = 16, .channels = 1, .head_hidden = 64, .embedding = 16},
          Architecture{.depth = 50, .width = 16, .small_stem = false, .head_hidden = 64, .embedding = 16}}) {
      Network network(architecture, {{6, 32}, {4, 16}}, precision, 5);
      CAPTURE(network.describe());
      const std::vector<float> gradient(160, 0.1f);
      const auto step = [&] {
        network.forward();
        network.backward({gradient.data(), 10, 16});
      };
      step();
      for (int i = 0; i < 3; ++i) check_step(step);
    }
  }
}

TEST_CASE("queue, heads, momentum encoder and accumulation allocate nothing once the queue is in use") {
  ImageSet images(28, 28, 1);
  images.pixels.resize(96 * 28 * 28, 77);
  for (const int accumulate : {1, 2}) {
    TrainOptions options = tiny_options("", "");
    options.queue_length = 30;
    options.heads = {12, 7};
    options.momentum_encoder = 0.9;
    options.batch_size = 8;
    options.accumulate = accumulate;
    options.threads = 0;
    Learner learner(options, images, Normalization{});
    for (int i = 0; i < 6; ++i) learner.step();
    REQUIRE(learner.queue_rows() > 30);
    for (int i = 0; i < 8; ++i) check_step([&] { learner.step(); });
  }
}

TEST_CASE("a learner's step, crops and update included, allocates nothing after the first") {
  ImageSet images(28, 28, 1);
  images.pixels.resize(96 * 28 * 28);
  PhiloxStream random(3, 0);
  for (std::uint8_t& pixel : images.pixels) pixel = static_cast<std::uint8_t>(random.below(256));
  for (const char* optimizer : {"adamw", "sgd"}) {
    TrainOptions options = tiny_options("", "");
    options.optimizer = optimizer;
    options.larc = options.optimizer == "sgd";
    options.small_crops = 2;
    options.blur = 0.5;
    options.threads = 0;
    Learner learner(options, images, Normalization{});
    CAPTURE(options.optimizer);
    learner.step();
    // Beyond the steps with frozen prototypes, and over two changes of epoch.
    REQUIRE(options.freeze_prototypes < 2 * learner.steps_per_epoch());
    for (Index i = 1; i < learner.total_steps(); ++i) {
      CAPTURE(i);
      check_step([&] { learner.step(); });
    }
  }
}
