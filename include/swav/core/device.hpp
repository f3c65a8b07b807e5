// The device policies, by name only. In: nothing. Out: forward declarations, so that a component can name its default
// device without including any backend.
//
// A device is a small copyable value that carries resources (threads; a stream) and provides
//   Device::Buffer<T>   growable, uninitialised storage in the device's memory: T* reserve(Index count), T* data()
//   Device::Matrix<T>   the owning row-major matrix that results are returned in, constructible from (rows, cols)
//   shares(count), for_shares(count, body), of_share()   how many host threads some work is worth; body(share, first,
//                       number) on each of them; the device within one: SinkhornBatch shares out its problems so
// and, if its work is not waited for,
//   Device::Value<T>    a number that is still being computed, convertible to T, which waits for it
// The arithmetic is in pass groups, class templates specialised once a backend: RowPasses (core/row_passes.hpp),
// SinkhornPasses (sinkhorn/passes.hpp), LossPasses (loss/passes.hpp). docs/backends.md lists them.
#pragma once

namespace swav {

struct EigenProduct;

template <class Product>
class BasicEigenDevice;

/// The CPU: Eigen's arithmetic, threads by OpenMP where the compiler has it.
using EigenDevice = BasicEigenDevice<EigenProduct>;

namespace detail {

template <class Device, class T>
struct DeviceValueOf {
  using type = T;
};
template <class Device, class T>
requires requires { typename Device::template Value<T>; }
struct DeviceValueOf<Device, T> {
  using type = typename Device::template Value<T>;
};

}  // namespace detail

/// What a number that a component computes comes back as: itself, or the device's own type.
template <class Device, class T>
using DeviceValue = typename detail::DeviceValueOf<Device, T>::type;

}  // namespace swav
