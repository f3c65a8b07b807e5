// Codes from scores, alone. In: nothing; eight samples near four prototypes are made up. Out: a table of the codes, and
// a zero exit when they are what Sinkhorn's iterations promise: rows that sum to 1 and, at convergence, equal columns.
#include <cstdio>
#include <swav/swav.hpp>

int main() {
  constexpr swav::Index samples = 8, prototypes = 4;

  // Scores are cosines between samples and prototypes. Here six samples of eight prefer prototype 0.
  swav::RowMatrix<float> scores(samples, prototypes);
  swav::PhiloxStream random(/*key=*/1, /*stream=*/0);
  for (swav::Index b = 0; b < samples; ++b)
    for (swav::Index k = 0; k < prototypes; ++k)
      scores(b, k) = static_cast<float>(random.uniform(-0.1, 0.1)) + (k == (b < 6 ? 0 : b - 5) ? 0.3f : 0.0f);

  // [codes]
  swav::Sinkhorn<float> sinkhorn{{.epsilon = 0.05, .max_iterations = 3}};
  swav::RowMatrix<float> codes = sinkhorn.codes(scores);  // B x K, each row a distribution over the prototypes
  // [codes]

  std::puts("sample   scores                          codes after 3 iterations");
  for (swav::Index b = 0; b < samples; ++b) {
    std::printf("%6td  ", b);
    for (swav::Index k = 0; k < prototypes; ++k) std::printf(" %6.3f", scores(b, k));
    std::printf("    ");
    for (swav::Index k = 0; k < prototypes; ++k) std::printf(" %6.3f", codes(b, k));
    std::puts("");
  }

  const swav::RowMatrix<float> balanced = swav::Sinkhorn<float>{{.max_iterations = 300}}.codes(scores);
  const float share = static_cast<float>(samples) / prototypes;
  const float row_error = (codes.rowwise().sum().array() - 1).abs().maxCoeff();
  const float column_error = (balanced.colwise().sum().array() - share).abs().maxCoeff();
  std::printf("rows sum to 1 within %.1e; columns to B/K = %.0f within %.1e after 300 iterations\n",
              static_cast<double>(row_error), static_cast<double>(share), static_cast<double>(column_error));
  return row_error < 1e-6f && column_error < 1e-4f ? 0 : 1;
}
