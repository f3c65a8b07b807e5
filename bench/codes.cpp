// Times SwAV codes, and what the machine needs to read and to copy the same matrices. In: requests (line_protocol.hpp)
// for codes_BxK, read_BxK, copy_BxK. Out: seconds.
#include <memory>

#include "line_protocol.hpp"
#include "random_data.hpp"
#include "swav/sinkhorn/sinkhorn.hpp"

namespace {

using namespace swav;

RowMatrix<float> scores(Index samples, Index prototypes) {
  return bench::random_unit_rows(samples, 128, 1) * bench::random_unit_rows(prototypes, 128, 2).transpose();
}

bench::Case codes(Index samples, Index prototypes) {
  return [=] {
    const auto s = std::make_shared<const RowMatrix<float>>(scores(samples, prototypes));
    const auto out = std::make_shared<RowMatrix<float>>(samples, prototypes);
    const auto sinkhorn = std::make_shared<Sinkhorn<float>>(SinkhornOptions{.epsilon = 0.05, .max_iterations = 3});
    return [=] { sinkhorn->codes_into(*s, *out); };
  };
}

bench::Case read(Index samples, Index prototypes) {
  return [=] {
    const auto s = std::make_shared<const RowMatrix<float>>(scores(samples, prototypes));
    const auto sums = std::make_shared<RowMatrix<float>>(samples, 1);
    return [=] {
      EigenDevice().for_shares(samples, [&](int, Index first, Index count) {
        for (Index b = first; b < first + count; ++b) (*sums)(b, 0) = s->row(b).sum();
      });
    };
  };
}

bench::Case copy(Index samples, Index prototypes) {
  return [=] {
    const auto s = std::make_shared<const RowMatrix<float>>(scores(samples, prototypes));
    const auto out = std::make_shared<RowMatrix<float>>(samples, prototypes);
    return [=] {
      EigenDevice().for_shares(
          samples, [&](int, Index first, Index count) { out->middleRows(first, count) = s->middleRows(first, count); });
    };
  };
}

}  // namespace

int main() {
  std::map<std::string, bench::Case> cases;
  for (const auto& [samples, prototypes] : {std::pair<Index, Index>{512, 3000}, {4096, 3000}, {256, 300}}) {
    const std::string shape = std::to_string(samples) + "x" + std::to_string(prototypes);
    cases["codes_" + shape] = codes(samples, prototypes);
    cases["read_" + shape] = read(samples, prototypes);
    cases["copy_" + shape] = copy(samples, prototypes);
  }
  return bench::serve(cases);
}
