// What an optimiser updates and what it remembers. In: views of a network's tensors. Out: the aggregates that Sgd and
// AdamW take (Parameter) and expose for checkpoints (StateBuffer).
#pragma once

#include <string>

#include "swav/core/matrix_view.hpp"

namespace swav {

/// One tensor that an optimiser updates, in the caller's memory: the device's. The views have to stay valid, and must
/// not overlap each other or another parameter's, as long as the optimiser is used. On CudaDevice the gradient may be
/// of another type than the value: a network that computes in 16 bits has its values in float here, and reads
/// `rounded`.
template <class Scalar, class Gradient = Scalar>
struct Parameter {
  VectorView<Scalar> value;
  VectorView<const Gradient> gradient;  ///< as many elements as `value`
  bool decays = true;                   ///< whether the optimiser's weight decay applies
  bool adapts = true;                   ///< whether LARC or LARS, if chosen, may rescale its rate
  std::string name;                     ///< distinct among an optimiser's parameters: it names the state
  Index frozen_steps = 0;  ///< the gradient of the first so many steps is dropped: no update, no decay, no moments
  VectorView<Gradient> rounded =
      VectorView<Gradient>(nullptr, 0);  ///< where the value is written, too, after each step (CudaDevice); or empty
};

/// One parameter's moments, in the optimiser's memory: read it to save them, write it to resume.
template <class T>
struct StateBuffer {
  std::string name;  ///< the parameter's name, a point, and the moment's
  VectorView<T> values;
};

}  // namespace swav
