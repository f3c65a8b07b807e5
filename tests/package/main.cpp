// Five lines of a user's: scores in, codes out. Exits with non-zero unless each row of the codes sums to 1.
#include <swav/swav.hpp>

int main() {
  const swav::RowMatrix<double> scores = swav::RowMatrix<double>::Random(8, 4);
  const swav::RowMatrix<double> codes = swav::Sinkhorn<double>{{.epsilon = 0.05, .max_iterations = 3}}.codes(scores);
  return ((codes.rowwise().sum().array() - 1).abs() < 1e-12).all() ? 0 : 1;
}
