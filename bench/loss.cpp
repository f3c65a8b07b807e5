// Times the loss (value, both gradients, codes included) with Eigen's and with oneDNN's products, and the three
// products it cannot do without. In: requests (line_protocol.hpp) for eigen_BxKxV, onednn_BxKxV, eigen_products_BxKxV,
// onednn_products_BxKxV, all at dimension 128; or the argument "memory". Out: seconds; or the loss's peak memory in MB
// above its inputs at B 4096, K 3000, 8 views.
#include <cstring>
#include <memory>
#include <vector>

#include "line_protocol.hpp"
#include "random_data.hpp"
#include "resident.hpp"
#include "swav/backend/eigen/onednn_product.hpp"
#include "swav/loss/swapped_prediction.hpp"

namespace {

using namespace swav;
constexpr Index dimension = 128;

struct Shape {
  Index samples, prototypes, views;
};

template <class Product>
bench::Case loss(Shape shape) {
  using Device = BasicEigenDevice<Product>;
  return [=] {
    const auto z =
        std::make_shared<const RowMatrix<float>>(bench::random_matrix(shape.views * shape.samples, dimension, 1));
    const auto bank = std::make_shared<const PrototypeBank<float, Device>>(shape.prototypes, dimension, 2);
    const auto solver = std::make_shared<SwappedPredictionLoss<float, Device>>();
    const auto step = std::make_shared<SwappedPredictionStep<float, Device>>();
    return [=] { solver->step_into(*z, *bank, shape.views, *step); };
  };
}

/// Scores, their gradient times the prototypes, its transpose times the embeddings: block by block on each thread.
template <class Product>
bench::Case products(Shape shape) {
  return [=] {
    const Index rows = shape.views * shape.samples, block_rows = 256;
    const BasicEigenDevice<Product> device;
    const auto z = std::make_shared<const RowMatrix<float>>(bench::random_unit_rows(rows, dimension, 1));
    const auto c = std::make_shared<const RowMatrix<float>>(bench::random_unit_rows(shape.prototypes, dimension, 2));
    const auto grad_z = std::make_shared<RowMatrix<float>>(rows, dimension);
    const auto blocks = std::make_shared<std::vector<RowMatrix<float>>>(device.threads(),
                                                                        RowMatrix<float>(block_rows, shape.prototypes));
    const auto grad_c = std::make_shared<std::vector<RowMatrix<float>>>(device.threads(),
                                                                        RowMatrix<float>(shape.prototypes, dimension));
    return [=] {
      device.for_shares(rows, [&](int share, Index share_first, Index share_count) {
        const std::size_t s = static_cast<std::size_t>(share);
        const MatrixView<const float> prototypes(*c);
        for (Index at = 0; at < share_count; at += block_rows) {
          const Index count = std::min(block_rows, share_count - at);
          const MatrixView<const float> some = MatrixView<const float>(*z).middle_rows(share_first + at, count);
          const MatrixView<float> block = MatrixView<float>((*blocks)[s]).middle_rows(0, count);
          Product::multiply(some, Transpose::no, prototypes, Transpose::yes, 1.0f, 0.0f, block);
          Product::multiply(MatrixView<const float>(block), Transpose::no, prototypes, Transpose::no, 1.0f, 0.0f,
                            MatrixView<float>(*grad_z).middle_rows(share_first + at, count));
          Product::multiply(MatrixView<const float>(block), Transpose::yes, some, Transpose::no, 1.0f,
                            at == 0 ? 0.0f : 1.0f, MatrixView<float>((*grad_c)[s]));
        }
      });
    };
  };
}

int report_memory() {
  const Shape shape{4096, 3000, 8};
  const RowMatrix<float> z = bench::random_matrix(shape.views * shape.samples, dimension, 1);
  const PrototypeBank<float> bank(shape.prototypes, dimension, 2);
  const double before = bench::resident("VmRSS:");
  SwappedPredictionLoss<float> solver;
  SwappedPredictionStep<float, EigenDevice> step;
  for (int call = 0; call < 2; ++call) solver.step_into(z, bank, shape.views, step);
  std::cout << "memory " << bench::resident("VmHWM:") - before << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "memory") == 0) return report_memory();
  std::map<std::string, bench::Case> cases;
  for (const Shape shape : {Shape{64, 3000, 8}, Shape{256, 3000, 8}, Shape{256, 300, 8}, Shape{256, 3000, 2}}) {
    const std::string name =
        std::to_string(shape.samples) + "x" + std::to_string(shape.prototypes) + "x" + std::to_string(shape.views);
    cases["eigen_" + name] = loss<EigenProduct>(shape);
    cases["onednn_" + name] = loss<OneDnnProduct>(shape);
    cases["eigen_products_" + name] = products<EigenProduct>(shape);
    cases["onednn_products_" + name] = products<OneDnnProduct>(shape);
  }
  return bench::serve(cases);
}
