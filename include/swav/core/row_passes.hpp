// Row by row work, normalisation above all, as a backend gives it to the components. In: device memory. Out: device memory.
#pragma once

namespace swav {

/// Specialised once a backend, as `RowPasses<Device>`, with these static functions:
///
///   normalize(device, MatrixView<const From> rows, MatrixView<To> unit, Accumulator* norms) -> Accumulator
///     unit_r = rows_r / |rows_r|, norms_r = |rows_r|; a row of norm 0 stays 0. `unit` may be the same memory as
///     `rows`. Returns the largest norm, or a NaN when a row's norm is not finite: `unit` is then unspecified.
///   largest_norm(device, MatrixView<const From> rows) -> Accumulator
///     The largest |rows_r|, or a NaN when one is not finite.
///   normalize_gradient(device, MatrixView<const A> unit, const A* norms, MatrixView<A> gradient)
///     With g the gradient with respect to unit = x/|x|, in place: g := (g - (g . unit) unit)/|x|, the gradient with
///     respect to x; 0 where |x| is 0.
///   copy_in(device, MatrixView<const T> host, MatrixView<T> to)
///     From host memory to the device's.
///   copy_out(device, MatrixView<const T> from, MatrixView<T> host)
///     The other way.
///   convert(device, MatrixView<const From> from, MatrixView<To> to)
///     to_rc = To(from_rc); the two must not overlap.
///   add(device, MatrixView<const A> rows, MatrixView<A> sums)
///     sums_rc += rows_rc.
///   clear(device, MatrixView<A> rows)
///     rows_rc = 0.
template <class Device>
struct RowPasses;

}  // namespace swav
