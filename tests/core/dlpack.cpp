// Views of DLPack tensors made by hand: what is taken, what is refused and how it is named, when tensors are deleted.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "swav/backend/eigen/scalar.hpp"
#include "swav/core/dlpack.hpp"

namespace {

using swav::DlpackOwner;
using swav::DlpackPlace;
using swav::Index;
using swav::InvalidInput;
using swav::MatrixView;
using namespace swav::dlpack;

/// 3 x 4 floats, a row padded to 5, one element into the memory.
struct Tensor {
  std::vector<float> memory = std::vector<float>(17, 1.0f);
  std::int64_t shape[2] = {3, 4}, strides[2] = {5, 1};
  DLTensor tensor{memory.data(), {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, strides, sizeof(float)};
};

template <class T = float>
auto taken(const DLTensor& tensor, DlpackPlace place = DlpackPlace::host()) {
  return swav::dlpack_matrix<T>("scores", tensor, place);
}

}  // namespace

TEST_CASE("a tensor's memory, offset and strides are the view's") {
  Tensor t;
  const MatrixView<float> view = taken(t.tensor);
  CHECK(view.data == t.memory.data() + 1);
  CHECK(view.rows == 3);
  CHECK(view.cols == 4);
  CHECK(view.stride == 5);
  t.tensor.strides = nullptr;
  t.tensor.byte_offset = 0;
  CHECK(taken<const float>(t.tensor).stride == 4);
  t.shape[0] = 1;
  t.strides[0] = 1;  // of one row, any
  t.tensor.strides = t.strides;
  CHECK(taken(t.tensor).rows == 1);
  t.shape[1] = 0;
  t.tensor.data = nullptr;
  CHECK(taken(t.tensor).size() == 0);

  std::vector<std::int64_t> labels{1, 2, 3};
  std::int64_t size = 3;
  const DLTensor vector{labels.data(), {kDLCPU, 0}, 1, {kDLInt, 64, 1}, &size, nullptr, 0};
  CHECK(swav::dlpack_vector<const std::int64_t>("labels", vector, DlpackPlace::host())[2] == 3);
}

TEST_CASE("16-bit types and places are told apart") {
  Tensor t;
  t.tensor.dtype = {kDLBfloat, 16, 1};
  CHECK(taken<Eigen::bfloat16>(t.tensor).cols == 4);
  CHECK_THROWS_AS(taken<Eigen::half>(t.tensor), InvalidInput);
  t.tensor.dtype = {kDLFloat, 16, 1};
  CHECK(taken<Eigen::half>(t.tensor).cols == 4);
  CHECK_THROWS_AS(taken<Eigen::bfloat16>(t.tensor), InvalidInput);

  Tensor on_gpu;
  on_gpu.tensor.device = {kDLCUDA, 1};
  CHECK(taken(on_gpu.tensor, DlpackPlace::on_gpu(1)).rows == 3);
  CHECK_THROWS_WITH_AS(taken(on_gpu.tensor, DlpackPlace::on_gpu(0)),
                       "scores: memory of device type 2, number 1 found, that of GPU 0 (type 2 or 13) wanted",
                       InvalidInput);
  CHECK_THROWS_AS(taken(on_gpu.tensor), InvalidInput);
  on_gpu.tensor.device = {kDLCUDAManaged, 0};
  CHECK(taken(on_gpu.tensor).rows == taken(on_gpu.tensor, DlpackPlace::on_gpu(3)).rows);
}

TEST_CASE("what cannot be a view is named") {
  const auto refused = [](auto change, const char* message) {
    Tensor t;
    change(t);
    CHECK_THROWS_WITH_AS(taken(t.tensor), doctest::Contains(message), InvalidInput);
  };
  refused([](Tensor& t) { t.tensor.ndim = 1; }, "scores: a tensor of 1 dimensions found, 2 wanted");
  refused([](Tensor& t) { t.tensor.dtype.bits = 64; }, "(code 2, 64 bits, 1 lanes) found, (code 2, 32 bits");
  refused([](Tensor& t) { t.tensor.dtype.lanes = 2; }, "lanes");
  refused([](Tensor& t) { t.strides[1] = 2; }, "stride 2 between the elements of a row");
  refused([](Tensor& t) { t.strides[0] = 3; }, "stride 3 between rows found, the number of columns, 4");
  refused([](Tensor& t) { t.tensor.byte_offset = 2; }, "byte_offset 2 found that is not a multiple of 4");
  refused([](Tensor& t) { t.tensor.data = nullptr; }, "null pointer");
  refused([](Tensor& t) { t.shape[0] = -1; }, "-1 entries along dimension 0");
}

TEST_CASE("an owner deletes its tensor once") {
  int deleted = 0;
  Tensor t;
  DLManagedTensor managed{t.tensor, &deleted, [](DLManagedTensor* m) { ++*static_cast<int*>(m->manager_ctx); }};
  {
    DlpackOwner first(&managed);
    CHECK(first.matrix<float>("scores", DlpackPlace::host()).rows == 3);
    const DlpackOwner second = std::move(first);
    CHECK_THROWS_WITH_AS(first.matrix<float>("scores", DlpackPlace::host()), "scores: no tensor found", InvalidInput);
    CHECK(deleted == 0);
  }
  CHECK(deleted == 1);

  DLManagedTensorVersioned versioned{{1, 1},
                                     &deleted,
                                     [](DLManagedTensorVersioned* m) { ++*static_cast<int*>(m->manager_ctx); },
                                     read_only_flag,
                                     t.tensor};
  {
    const DlpackOwner owner(&versioned);
    CHECK(owner.matrix<const float>("scores", DlpackPlace::host()).cols == 4);
    CHECK_THROWS_WITH_AS(owner.matrix<float>("scores", DlpackPlace::host()), doctest::Contains("only to be read"),
                         InvalidInput);
  }
  CHECK(deleted == 2);
  versioned.version.major = 2;
  CHECK_THROWS_AS(DlpackOwner{&versioned}, InvalidInput);
  CHECK(deleted == 3);
  versioned.deleter = nullptr;
  versioned.version.major = 1;
  CHECK_NOTHROW(DlpackOwner{&versioned});
}
