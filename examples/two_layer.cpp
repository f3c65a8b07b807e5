// The loss inside a network written by hand: tanh, two layers. In: nothing; four clusters of points are made up, and a
// view is a point with noise (row v * samples + b is sample b in view v). Out: a zero exit when the gradient agrees
// with finite differences and training works.
#include <cmath>
#include <cstdio>
#include <swav/swav.hpp>

using swav::Index;
using Matrix = swav::RowMatrix<double>;
constexpr Index views = 4, samples = 64, inputs = 16, hidden = 32, dimension = 8, prototypes = 4;

// The loss as the paper writes it with the codes held fixed: the function whose derivative the analytic gradient is.
double loss_of_fixed_codes(const Matrix& z, const Matrix& c, const Matrix (&codes)[2]) {
  const Matrix logits = z.rowwise().normalized() * c.transpose() / 0.1;
  const Matrix log_p = logits.colwise() - logits.array().exp().rowwise().sum().log().matrix();
  double sum = 0;
  for (Index p = 0; p < 2 * views; ++p)  // view p / 2 predicts the codes of view p % 2
    if (p % 2 != p / 2) sum -= (codes[p % 2].array() * log_p.middleRows(p / 2 * samples, samples).array()).sum();
  return sum / (2 * (views - 1) * samples);
}

int main() {
  swav::PhiloxStream random(/*key=*/7, /*stream=*/0);
  const auto draw = [&](Index rows, Index cols, double scale) {
    return Matrix(Matrix::NullaryExpr(rows, cols, [&] { return random.uniform(-scale, scale); }));
  };
  const Matrix centres = draw(4, inputs, 1);
  Matrix w1 = draw(inputs, hidden, 0.4), w2 = draw(hidden, dimension, 0.3);
  swav::PrototypeBank<double> bank(prototypes, dimension, /*seed=*/1);
  Eigen::Map<Matrix> c(bank.weights().data, prototypes, dimension);
  swav::SwappedPredictionLoss<double> loss{{.temperature = 0.1, .crops_for_assign = {0, 1}}};
  double first = 0, last = 0, slope_error = 0;
  for (int step = 0; step < 200; ++step) {
    const Matrix x = draw(views * samples, inputs, 0.4) + centres.replicate(views * samples / 4, 1);
    const Matrix h = (x * w1).array().tanh();
    const Matrix z = h * w2;
    const swav::SwappedPredictionStep<double> result = loss(z, bank, views);  // normalises the rows of z itself
    const Matrix grad_w2 = h.transpose() * result.grad_embeddings;
    const Matrix grad_h = result.grad_embeddings * w2.transpose();
    const Matrix grad_w1 = x.transpose() * (grad_h.array() * (1 - h.array().square())).matrix();
    (step == 0 ? first : last) = result.value;
    if (step == 0) {  // central differences along the gradient of all three matrices
      const Matrix scores = z.topRows(2 * samples).rowwise().normalized() * c.transpose();
      swav::Sinkhorn<double> solver;
      const Matrix codes[2] = {solver.codes(scores.topRows(samples)), solver.codes(scores.bottomRows(samples))};
      const auto at = [&](double t) {
        const Matrix moved = (x * (w1 + t * grad_w1)).array().tanh().matrix() * (w2 + t * grad_w2);
        return loss_of_fixed_codes(moved, c + t * result.grad_prototypes, codes);
      };
      const double slope = grad_w1.squaredNorm() + grad_w2.squaredNorm() + result.grad_prototypes.squaredNorm();
      slope_error = std::abs((at(1e-5) - at(-1e-5)) / 2e-5 - slope) / slope;
    }
    w1 -= grad_w1, w2 -= grad_w2, c -= 0.1 * result.grad_prototypes, bank.normalize();
  }
  std::printf("loss %.4f -> %.4f (ln K %.4f), slope off by %.1e of itself\n", first, last, std::log(4.0), slope_error);
  return slope_error < 1e-6 && last < 0.3 * std::log(4.0) ? 0 : 1;
}
