// Views of DLPack tensors, in which PyTorch, JAX, CuPy and others exchange arrays. In: a tensor, where its memory must
// be. Out: a MatrixView or VectorView of it, checked; the tensor's lifetime as an object's.
//
// The functions take the structs of anyone's dlpack.h, found by their members' names; whoever has none finds the same
// layout in swav::dlpack (DLPack 1.1, dlpack.h: https://github.com/dmlc/dlpack).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "swav/core/error.hpp"
#include "swav/core/matrix_view.hpp"
#include "swav/core/scalar_traits.hpp"

namespace swav {
namespace dlpack {

enum DLDeviceType : std::int32_t { kDLCPU = 1, kDLCUDA = 2, kDLCUDAHost = 3, kDLCUDAManaged = 13 };
enum DLDataTypeCode : std::uint8_t { kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBfloat = 4 };
struct DLDevice {
  DLDeviceType device_type;
  std::int32_t device_id;
};
struct DLDataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: contiguous
  std::uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor*);
};
struct DLPackVersion {
  std::uint32_t major, minor;
};
struct DLManagedTensorVersioned {
  DLPackVersion version;
  void* manager_ctx;
  void (*deleter)(DLManagedTensorVersioned*);
  std::uint64_t flags;
  DLTensor dl_tensor;
};
inline constexpr std::uint64_t read_only_flag = 1;

}  // namespace dlpack

/// Where a view's memory must be: on the host (or pinned, or managed by CUDA), or on the GPU of this number.
struct DlpackPlace {
  int gpu = -1;
  [[nodiscard]] static constexpr DlpackPlace host() { return {}; }
  [[nodiscard]] static constexpr DlpackPlace on_gpu(int number) { return {number}; }
};

namespace detail {

template <class T>
[[nodiscard]] constexpr dlpack::DLDataType dlpack_type() {
  constexpr auto bits = static_cast<std::uint8_t>(8 * sizeof(T));
  if constexpr (std::is_integral_v<T>)
    return {std::is_signed_v<T> ? dlpack::kDLInt : dlpack::kDLUInt, bits, 1};
  else
    return {sizeof(T) == 2 && scalar_digits<T>() == 8 ? dlpack::kDLBfloat : dlpack::kDLFloat, bits, 1};
}

/// Everything but the shape. Returns the first element.
template <class T, class Tensor>
T* check_dlpack(const char* name, const Tensor& tensor, std::int32_t dimensions, DlpackPlace place) {
  constexpr dlpack::DLDataType wanted = dlpack_type<std::remove_const_t<T>>();
  require(tensor.ndim == dimensions, name, ": a tensor of ", tensor.ndim, " dimensions found, ", dimensions, " wanted");
  require(
      static_cast<int>(tensor.dtype.code) == wanted.code && tensor.dtype.bits == wanted.bits && tensor.dtype.lanes == 1,
      name, ": data type (code ", static_cast<int>(tensor.dtype.code), ", ", static_cast<int>(tensor.dtype.bits),
      " bits, ", tensor.dtype.lanes, " lanes) found, (code ", static_cast<int>(wanted.code), ", ",
      static_cast<int>(wanted.bits), " bits, 1 lane) wanted");
  const auto type = static_cast<int>(tensor.device.device_type);
  const auto number = static_cast<int>(tensor.device.device_id);
  if (place.gpu < 0)
    require(type == dlpack::kDLCPU || type == dlpack::kDLCUDAHost || type == dlpack::kDLCUDAManaged, name,
            ": memory of device type ", type, " found, the host's (1, 3 or 13) wanted");
  else
    require((type == dlpack::kDLCUDA && number == place.gpu) || type == dlpack::kDLCUDAManaged, name,
            ": memory of device type ", type, ", number ", number, " found, that of GPU ", place.gpu,
            " (type 2 or 13) wanted");
  bool empty = false;
  for (std::int32_t d = 0; d < dimensions; ++d) {
    require(tensor.shape[d] >= 0, name, ": ", tensor.shape[d], " entries along dimension ", d,
            " found, 0 or more wanted");
    empty = empty || tensor.shape[d] == 0;
  }
  if (empty) return nullptr;
  require(tensor.data != nullptr, name, ": a null pointer to entries found");
  char* const first = static_cast<char*>(tensor.data) + tensor.byte_offset;
  require(reinterpret_cast<std::uintptr_t>(first) % alignof(T) == 0, name, ": an address with byte_offset ",
          tensor.byte_offset, " found that is not a multiple of ", alignof(T), ", an aligned one wanted");
  return reinterpret_cast<T*>(first);
}

/// The elements from one entry of a dimension to the next.
template <class Tensor>
[[nodiscard]] Index dlpack_stride(const Tensor& tensor, std::int32_t dimension) {
  if (tensor.strides != nullptr) return static_cast<Index>(tensor.strides[dimension]);
  Index stride = 1;
  for (std::int32_t d = tensor.ndim - 1; d > dimension; --d) stride *= static_cast<Index>(tensor.shape[d]);
  return stride;
}

}  // namespace detail

/// A view of a tensor of two dimensions whose rows are adjacent elements; `T` may be const. Throws InvalidInput, naming
/// `name`, on another data type, place, number of dimensions, on columns that are not adjacent, rows that overlap, and
/// addresses that are not aligned. The tensor must outlive the view.
template <class T, class Tensor>
[[nodiscard]] MatrixView<T> dlpack_matrix(const char* name, const Tensor& tensor, DlpackPlace place) {
  T* const data = detail::check_dlpack<T>(name, tensor, 2, place);
  const auto rows = static_cast<Index>(tensor.shape[0]), cols = static_cast<Index>(tensor.shape[1]);
  if (data == nullptr) return {nullptr, rows, cols};
  const Index stride = rows > 1 ? detail::dlpack_stride(tensor, 0) : cols, step = detail::dlpack_stride(tensor, 1);
  detail::require(cols <= 1 || step == 1, name, ": stride ", step,
                  " between the elements of a row found, 1 wanted (a contiguous copy has it)");
  detail::require(stride >= cols, name, ": stride ", stride, " between rows found, the number of columns, ", cols,
                  ", or more wanted");
  return {data, rows, cols, stride};
}

/// The same of one dimension.
template <class T, class Tensor>
[[nodiscard]] VectorView<T> dlpack_vector(const char* name, const Tensor& tensor, DlpackPlace place) {
  T* const data = detail::check_dlpack<T>(name, tensor, 1, place);
  const auto size = static_cast<Index>(tensor.shape[0]);
  const Index step = data == nullptr || size <= 1 ? 1 : detail::dlpack_stride(tensor, 0);
  detail::require(step == 1, name, ": stride ", step, " between elements found, 1 wanted (a contiguous copy has it)");
  return {data, size};
}

/// Owns a managed tensor, DLManagedTensor or DLManagedTensorVersioned of anyone's dlpack.h: its deleter is called once.
template <class Managed>
class DlpackOwner {
 public:
  /// Takes over `tensor`, which may be null. Throws InvalidInput, once it is deleted, on a version that is not 1.
  explicit DlpackOwner(Managed* tensor) : tensor_(tensor) {
    if constexpr (requires { tensor->version; }) {
      const auto major = tensor == nullptr ? 1 : tensor->version.major;
      if (major != 1) reset();
      detail::require(major == 1, "DLPack: a tensor of version ", major, " found, 1 wanted");
    }
  }
  DlpackOwner(DlpackOwner&& other) noexcept : tensor_(std::exchange(other.tensor_, nullptr)) {}
  DlpackOwner& operator=(DlpackOwner&& other) noexcept {
    std::swap(tensor_, other.tensor_);
    return *this;
  }
  ~DlpackOwner() { reset(); }

  template <class T>
  [[nodiscard]] MatrixView<T> matrix(const char* name, DlpackPlace place) const {
    return dlpack_matrix<T>(name, tensor_for<T>(name), place);
  }
  template <class T>
  [[nodiscard]] VectorView<T> vector(const char* name, DlpackPlace place) const {
    return dlpack_vector<T>(name, tensor_for<T>(name), place);
  }

 private:
  template <class T>
  [[nodiscard]] const auto& tensor_for(const char* name) const {
    detail::require(tensor_ != nullptr, name, ": no tensor found");
    if constexpr (!std::is_const_v<T> && requires(Managed & m) { m.flags; })
      detail::require((tensor_->flags & dlpack::read_only_flag) == 0, name,
                      ": a tensor that is only to be read found, a writable one wanted");
    return tensor_->dl_tensor;
  }

  void reset() {
    if (tensor_ != nullptr && tensor_->deleter != nullptr) tensor_->deleter(tensor_);
    tensor_ = nullptr;
  }

  Managed* tensor_;
};

}  // namespace swav
