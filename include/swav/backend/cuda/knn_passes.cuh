// The nearest neighbours on the GPU: similarities in tiles by cuBLAS, of which each test row keeps its list. In:
// features in the GPU's memory. Out: see evaluate/passes.hpp.
#pragma once

#include <algorithm>

#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/knn_kernels.cuh"
#include "swav/backend/cuda/product.cuh"
#include "swav/evaluate/passes.hpp"

namespace swav {

template <>
struct KnnPasses<CudaDevice> {
  /// Beside unit rows of the train features, memory for a block of test rows: a tile of similarities, and their lists.
  template <class Scalar>
  static bool classify(const CudaDevice& device, MatrixView<const Scalar> train, VectorView<const int> train_labels,
                       MatrixView<const Scalar> test, Index neighbors, double temperature, int* predictions) {
    using namespace detail;
    const Index block_rows = std::min({test_block, std::max<Index>(1, list_entries / neighbors), test.rows});
    const Index tile_rows = std::min(train_block, train.rows);
    CudaMatrix<Scalar> unit_train(train.rows, train.cols), unit_test(block_rows, test.cols);
    CudaMatrix<Scalar> scores(block_rows, tile_rows), similarities(block_rows, neighbors);
    CudaMatrix<Index> rows(block_rows, neighbors);
    CudaBuffer<double> weights;
    CudaBuffer<int> labels, classes, found;
    weights.reserve(block_rows * neighbors);
    classes.reserve(block_rows * neighbors);
    found.reserve(test.rows);
    upload(device, train_labels.data, train.rows, labels.reserve(train.rows));
    const auto normalize = [&](MatrixView<const Scalar> from, MatrixView<Scalar> to) {
      launch(device, warp_row_blocks(from.rows), row_block_threads, make_unit_rows<Scalar>, from, to, device.faults());
    };
    normalize(train, unit_train);
    for (Index first = 0; first < test.rows; first += block_rows) {
      const Index count = std::min(block_rows, test.rows - first), blocks = warp_row_blocks(count);
      const MatrixView<Scalar> left = MatrixView<Scalar>(unit_test).middle_rows(0, count);
      const NearestLists<Scalar> lists{MatrixView<Scalar>(similarities).middle_rows(0, count),
                                       MatrixView<Index>(rows).middle_rows(0, count)};
      normalize(test.middle_rows(first, count), left);
      launch(device, blocks, row_block_threads, clear_nearest<Scalar>, lists);
      for (Index start = 0; start < train.rows; start += tile_rows) {
        const Index width = std::min(tile_rows, train.rows - start);
        const MatrixView<Scalar> tile(scores.data(), count, width, tile_rows);
        multiply<Scalar>(device, Scalar(1), left, false, MatrixView<Scalar>(unit_train).middle_rows(start, width), true,
                         Scalar(0), tile);
        launch(device, blocks, row_block_threads, offer_nearest<Scalar>, tile, start, lists);
      }
      launch(device, blocks, row_block_threads, vote_nearest<Scalar>, lists, labels.data(), temperature, weights.data(),
             classes.data(), found.data() + first);
    }
    download(device, found.data(), test.rows, predictions);  // throws where a feature is not finite
    return true;
  }

 private:
  static constexpr Index test_block = 2048, train_block = 8192;
  static constexpr Index list_entries = Index{1} << 23;
};

}  // namespace swav
