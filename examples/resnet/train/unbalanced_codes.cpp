// UnbalancedCodes by Eigen. In: embeddings and prototypes. Out: a code a row.
#include "train/unbalanced_codes.hpp"

namespace swav::resnet {

UnbalancedCodes::UnbalancedCodes(const TrainOptions& options, Index samples)
    : options_(options),
      embeddings_(static_cast<Index>(options.crops_for_assign.size()) * samples, options.embedding),
      codes_{.samples = samples} {
  for (const Index prototypes : head_prototypes(options)) codes_.heads.emplace_back(embeddings_.rows(), prototypes);
}

const ViewCodes<float, LossDevice>& UnbalancedCodes::codes(MatrixView<const float> z, const Bank& bank,
                                                           double epsilon) {
  const Index samples = codes_.samples;
  for (std::size_t place = 0; place < options_.crops_for_assign.size(); ++place)
    embeddings_.middleRows(static_cast<Index>(place) * samples, samples) =
        detail::as_eigen(z.middle_rows(options_.crops_for_assign[place] * samples, samples));
  for (Index r = 0; r < embeddings_.rows(); ++r) embeddings_.row(r).stableNormalize();

  for (std::size_t head = 0; head < codes_.heads.size(); ++head) {
    RowMatrix<float>& codes = codes_.heads[head];
    codes.noalias() =
        embeddings_ * detail::as_eigen(bank.weights().middle_rows(bank.head_first(head), codes.cols())).transpose();
    for (Index r = 0; r < codes.rows(); ++r) {
      auto row = codes.row(r).array();
      Index largest = 0;
      const float maximum = row.maxCoeff(&largest);
      if (options_.hard_codes) {
        row.setZero();
        row(largest) = 1;
      } else {
        row = ((row - maximum) / static_cast<float>(epsilon)).exp();
        row /= row.sum();
      }
    }
  }
  return codes_;
}

}  // namespace swav::resnet
