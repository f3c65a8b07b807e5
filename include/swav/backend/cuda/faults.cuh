// What kernels find wrong with values that only they see. In: bits that they set. Out: what is said of them.
#pragma once

namespace swav::detail {

/// What can be wrong with data that only the GPU sees; a bit each.
enum CudaFault : int {
  bad_scores = 1,
  bad_span = 2,
  bad_embeddings = 4,
  bad_prototypes = 8,
  bad_bank = 16,
  bad_gradients = 32,
  bad_rate = 64,
  bad_features = 128,
  bad_pixels = 256,
  bad_elsewhere = 512,  // in another process of a group
  bad_share = 1024
};

/// The worst of them.
[[nodiscard]] inline const char* fault_message(int faults) {
  if (faults & bad_embeddings)
    return "SwappedPredictionLoss: embeddings with a NaN or infinite entry found, finite values wanted";
  if (faults & bad_prototypes)
    return "SwappedPredictionLoss: prototypes with a NaN or infinite entry found, finite values wanted";
  if (faults & bad_gradients)
    return "optimiser: a gradient, or a value that LARC or LARS measures, with a NaN or infinite entry found, finite "
           "values wanted";
  if (faults & bad_pixels) return "image: a value that is not finite found, finite values wanted";
  if (faults & bad_features) return "features: a value that is not finite found, finite values wanted";
  if (faults & bad_rate)
    return "learning_rate: a number in the GPU's memory found, a finite one that is 0 or more wanted";
  if (faults & bad_share)
    return "SwappedPredictionLoss: processes of a group with different numbers of samples found, as many in each "
           "wanted";
  if (faults & bad_bank) return "PrototypeBank: a NaN or infinite entry found, finite prototypes wanted";
  if (faults & bad_scores) return "Sinkhorn: scores with a NaN or infinite entry found, finite scores wanted";
  return "Sinkhorn: (max - min)/epsilon of the scores beyond the scaling domain's range found, a larger epsilon or "
         "Stabilization::automatic wanted";
}

}  // namespace swav::detail
