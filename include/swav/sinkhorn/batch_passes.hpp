// What a backend gives SinkhornBatch for small problems. In: some problems. Out: their transports.
#pragma once

#include <optional>

#include "swav/core/matrix_view.hpp"
#include "swav/sinkhorn/batch_result.hpp"
#include "swav/sinkhorn/relaxation.hpp"
#include "swav/sinkhorn/transport_passes.hpp"

namespace swav {

/// A problem, its masses (empty: uniform), and where its potentials go.
template <class Scalar>
struct BatchProblem {
  MatrixView<const Scalar> cost;
  VectorView<const Scalar> a, b;
  PotentialScalar<Scalar>*f = nullptr, *g = nullptr;
};

/// How balanced problems are iterated on: the options of the same names.
struct BatchSettings {
  double epsilon, tolerance;
  int max_iterations, check_interval;
  std::optional<double> relaxation;
};

namespace detail {

/// A problem under way. While it is, its factors u, v are where its potentials will be.
struct BatchRun {
  enum class State {
    unfinished,
    done,
    unsuited  ///< needs what Sinkhorn::solve alone does (absorption, the log domain), or more precision, or an error
  };

  Index problem = 0;
  Relaxation relaxation{std::nullopt};
  int iterations = 0;
  State state = State::unfinished;
};

}  // namespace detail

/// Specialised once a backend: Sinkhorn's iterations in the scaling domain for small problems side by side, in the type
/// T, float or double.
///
///   lanes<T>: how many problems are solved side by side; largest_entries: the largest n m that gains by it
///   Workspace<T>: buffers of lanes times n m, n and m elements
///   solve(device, problems, runs, count, settings, iterations, Workspace<T>, summaries)
///     Begins or continues up to lanes<T> runs, for so many iterations. Writes potentials and summaries of those that
///     are done. What happens to a problem does not depend on those beside it. Costs and masses are in the device's
///     memory, all else in the host's.
template <class Device>
struct BatchPasses;

}  // namespace swav
