// Codes that come from elsewhere than the embeddings that predict them, and several heads, against the equations
// written out. In: synthetic embeddings. Out: checks on the device that the test is built for.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "allocations.hpp"
#include "loss/equations.hpp"
#include "scalars.hpp"

namespace {

using swav::EigenDevice;
using swav::Embeddings;
using swav::Index;
using swav::InvalidInput;
using swav::Prototypes;
using swav::RowMatrix;
using swav::SwappedPredictionOptions;
using swav::SwappedPredictionStep;
using namespace swav::test;

using Step = SwappedPredictionStep<double, EigenDevice>;

RowMatrix<double> stacked(const RowMatrix<double>& above, const RowMatrix<double>& below) {
  RowMatrix<double> all(above.rows() + below.rows(), below.cols());
  all << above, below;
  return all;
}

/// Scores of one view of a problem.
RowMatrix<double> view_scores(const Problem& problem, const SwappedPredictionOptions& options, int view) {
  const Index samples = problem.z.rows() / problem.views;
  return scores_of(problem, options, view * samples, samples);
}

/// The mean over heads that have `heads` rows of the bank each.
Step mean_over_heads(const Problem& problem, const SwappedPredictionOptions& options, const std::vector<Index>& heads) {
  Step mean;
  mean.grad_embeddings = RowMatrix<double>::Zero(problem.z.rows(), problem.z.cols());
  mean.grad_prototypes = RowMatrix<double>::Zero(problem.c.rows(), problem.c.cols());
  const double share = 1.0 / static_cast<double>(heads.size());
  Index first = 0;
  for (const Index count : heads) {
    Problem head = problem;
    head.c = problem.c.middleRows(first, count);
    const Step step = reference(head, options);
    mean.value += share * step.value;
    mean.codes_entropy += share * step.codes_entropy;
    mean.prototypes_used += step.prototypes_used;
    mean.grad_embeddings += share * step.grad_embeddings;
    mean.grad_prototypes.middleRows(first, count) = share * step.grad_prototypes;
    first += count;
  }
  return mean;
}

}  // namespace

TEST_CASE_TEMPLATE(
    "a queue's rows are scored with today's prototypes, shape the batch's codes, and get the batch after", Scalar,
    SWAV_DEVICE_SCALARS) {
  for (const bool while_filling : {true, false})
    for (const auto embeddings : {Embeddings::raw, Embeddings::unit}) {
      CAPTURE(while_filling);
      SwappedPredictionOptions options{.crops_for_assign = {2, 0}, .embeddings = embeddings};
      SwappedPredictionLoss<Scalar> loss(options);
      EmbeddingQueue<Scalar> queue(2, 9, {.length = 13, .used_while_filling = while_filling});
      std::array<RowMatrix<double>, 2> rows;  // of the queue, latest last
      for (std::uint64_t call = 0; call < 7; ++call) {
        CAPTURE(call);
        Problem problem = rounded<Scalar>(make_problem(5, 30, 9, 3, call));
        if (embeddings == Embeddings::unit) problem.z = swav::test::rounded<Scalar>(unit_rows(problem.z));
        std::vector<RowMatrix<double>> codes;
        for (std::size_t place = 0; place < 2; ++place) {
          const RowMatrix<double> batch = view_scores(problem, options, options.crops_for_assign[place]);
          const bool used = rows[place].rows() > 0 && (while_filling || rows[place].rows() == 13);
          const RowMatrix<double> all = used ? stacked(rows[place] * problem.c.transpose(), batch) : batch;
          codes.push_back(swav::Sinkhorn<double>(options.sinkhorn).codes_of_last(all, 5));
        }
        const PrototypeBank<Scalar> bank(converted<Scalar>(problem.c));
        check_step(loss(converted<Scalar>(problem.z), bank, 3, {.queue = &queue}), reference(problem, options, codes),
                   problem, options);
        for (std::size_t place = 0; place < 2; ++place) {
          const RowMatrix<double> z = problem.z.middleRows(options.crops_for_assign[place] * 5, 5);
          RowMatrix<double>& kept = rows[place];
          kept = kept.rows() == 0 ? RowMatrix<double>(unit_rows(z)) : stacked(kept, unit_rows(z));
          kept = kept.bottomRows(std::min<Index>(13, kept.rows())).eval();
        }
        CHECK(queue.filled() == rows[0].rows());
      }
    }
}

TEST_CASE_TEMPLATE("codes of a momentum encoder's embeddings and prototypes", Scalar, SWAV_DEVICE_SCALARS) {
  const Problem problem = rounded<Scalar>(make_problem(11, 23, 7, 4, 1));
  Problem target = rounded<Scalar>(make_problem(11, 23, 7, 2, 2));  // the large views alone
  for (const auto prototypes : {Prototypes::unit, Prototypes::raw}) {
    const SwappedPredictionOptions options{.crops_for_assign = {1}, .prototypes = prototypes};
    SwappedPredictionLoss<Scalar> loss(options);
    const PrototypeBank<Scalar> bank(converted<Scalar>(problem.c)), target_bank(converted<Scalar>(target.c));
    const RowMatrix<Scalar> z = converted<Scalar>(problem.z), target_z = converted<Scalar>(target.z);
    const auto wanted = [&](const Problem& of_codes) {
      return reference(problem, options,
                       {swav::Sinkhorn<double>(options.sinkhorn).codes(view_scores(of_codes, options, 1))});
    };
    check_step(loss(z, bank, 4, {.embeddings = target_z, .bank = &target_bank}), wanted(target), problem, options);
    Problem mixed = target;
    mixed.c = problem.c;
    check_step(loss(z, bank, 4, {.embeddings = target_z}), wanted(mixed), problem, options);
    mixed = problem;
    mixed.c = target.c;
    check_step(loss(z, bank, 4, {.bank = &target_bank}), wanted(mixed), problem, options);
  }
}

TEST_CASE_TEMPLATE("parts of a batch with the codes of all of it give the whole batch's loss and gradients", Scalar,
                   SWAV_WIDE_SCALARS) {
  const Index samples = 24, parts = 4, views = 3, part = samples / parts;
  const Problem whole = rounded<Scalar>(make_problem(samples, 40, 8, views, 3));
  const std::vector<Index> heads{25, 15};
  const SwappedPredictionOptions options{.crops_for_assign = {0, 2}};
  SwappedPredictionLoss<Scalar> loss(options);
  EmbeddingQueue<Scalar> queue(2, 8, {.length = 30, .used_while_filling = true}),
      same(2, 8, {.length = 30, .used_while_filling = true});
  const PrototypeBank<Scalar> bank(converted<Scalar>(whole.c), heads);
  const RowMatrix<Scalar> z = converted<Scalar>(whole.z);
  for (int call = 0; call < 3; ++call) {  // the queue grows to be used
    const auto step = loss(z, bank, views, {.queue = &queue});
    ViewCodes<Scalar> codes;
    loss.codes_into(z, bank, samples, codes, &same);
    CHECK(same.pushed() == queue.pushed());
    double value = 0;
    RowMatrix<double> grad_z(z.rows(), z.cols()), grad_c = RowMatrix<double>::Zero(40, 8);
    for (Index p = 0; p < parts; ++p) {
      RowMatrix<Scalar> rows(views * part, 8);
      for (Index v = 0; v < views; ++v) rows.middleRows(v * part, part) = z.middleRows(v * samples + p * part, part);
      const auto of_part = loss(rows, bank, views, {.codes = &codes, .first_sample = p * part});
      value += of_part.value / static_cast<double>(parts);
      grad_c += converted<double>(of_part.grad_prototypes) / static_cast<double>(parts);
      for (Index v = 0; v < views; ++v)
        grad_z.middleRows(v * samples + p * part, part) =
            converted<double>(of_part.grad_embeddings).middleRows(v * part, part) / static_cast<double>(parts);
    }
    CHECK(value == doctest::Approx(step.value).epsilon(10 * Tolerance<Scalar>::value));
    const double bound = 10 * Tolerance<Scalar>::gradient;
    CHECK(largest_difference(grad_z, converted<double>(step.grad_embeddings)) <= bound * largest_entry(grad_z));
    CHECK(largest_difference(grad_c, converted<double>(step.grad_prototypes)) <= bound * largest_entry(grad_c));
  }
}

TEST_CASE_TEMPLATE("several heads give the mean of their losses", Scalar, SWAV_DEVICE_SCALARS) {
  const Problem problem = rounded<Scalar>(make_problem(21, 50, 12, 4, 4));
  for (const std::vector<Index>& heads : {std::vector<Index>{50}, {20, 30}, {17, 1, 32}})
    for (const auto prototypes : {Prototypes::unit, Prototypes::raw}) {
      const SwappedPredictionOptions options{.prototypes = prototypes};
      SwappedPredictionLoss<Scalar> loss(options);
      const PrototypeBank<Scalar> bank(converted<Scalar>(problem.c), heads);
      const auto step = loss(converted<Scalar>(problem.z), bank, 4);
      const Step wanted = mean_over_heads(problem, options, heads);
      check_step(step, wanted, problem, options);
      CHECK(loss.value(converted<Scalar>(problem.z), bank, 4) == step.value);
      if constexpr (std::is_same_v<Scalar, double>) CHECK(step.prototypes_used == wanted.prototypes_used);
    }
}

TEST_CASE_TEMPLATE("hard codes are the arg max of the soft ones", Scalar, SWAV_WIDE_SCALARS) {
  const Problem problem = rounded<Scalar>(make_problem(25, 12, 6, 3, 5));
  SwappedPredictionOptions options;
  std::vector<RowMatrix<double>> codes;
  for (const int view : options.crops_for_assign) {
    const RowMatrix<double> soft = swav::Sinkhorn<double>(options.sinkhorn).codes(view_scores(problem, options, view));
    RowMatrix<double> hard = RowMatrix<double>::Zero(soft.rows(), soft.cols());
    for (Index b = 0; b < soft.rows(); ++b) {
      Index largest = 0;
      soft.row(b).maxCoeff(&largest);
      hard(b, largest) = 1;
    }
    codes.push_back(hard);
  }
  options.sinkhorn.hard_codes = true;
  const auto step = run<Scalar>(problem, options);
  check_step(step, reference(problem, options, codes), problem, options);
  CHECK(step.codes_entropy == 0);
}

TEST_CASE_TEMPLATE("codes of samples are predicted by all views alike", Scalar, SWAV_WIDE_SCALARS) {
  const Index samples = 8, part = 4, views = 3;
  const Problem problem = rounded<Scalar>(make_problem(part, 10, 6, views, 11));
  const std::vector<Index> heads{6, 4};
  ViewCodes<Scalar> codes{.samples = samples, .of_samples = true};
  Step wanted;
  wanted.grad_embeddings = RowMatrix<double>::Zero(views * part, 6);
  wanted.grad_prototypes = RowMatrix<double>::Zero(10, 6);
  for (Index head = 0, first = 0; head < 2; first += heads[static_cast<std::size_t>(head++)]) {
    const Index count = heads[static_cast<std::size_t>(head)];
    RowMatrix<Scalar> one_hot = RowMatrix<Scalar>::Zero(samples, count);
    for (Index b = 0; b < samples; ++b) one_hot(b, (b * 5 + head) % count) = 1;
    codes.heads.emplace_back(on_device(one_hot));
    // With every view assigned and the same code for each, each view predicts it equally often.
    Problem of_head = problem;
    of_head.c = problem.c.middleRows(first, count);
    const SwappedPredictionOptions all{.crops_for_assign = {0, 1, 2}};
    const Step step =
        reference(of_head, all, std::vector<RowMatrix<double>>(3, converted<double>(one_hot).middleRows(4, part)));
    wanted.value += step.value / 2;
    wanted.grad_embeddings += step.grad_embeddings / 2;
    wanted.grad_prototypes.middleRows(first, count) = step.grad_prototypes / 2;
  }
  SwappedPredictionLoss<Scalar> loss;
  const PrototypeBank<Scalar> bank(converted<Scalar>(problem.c), heads);
  const RowMatrix<Scalar> z = converted<Scalar>(problem.z);
  check_step(loss(z, bank, views, {.codes = &codes, .first_sample = 4}), wanted, problem, {});
  codes.samples = 7;
  CHECK_THROWS_AS(loss(z, bank, views, {.codes = &codes}), InvalidInput);
}

TEST_CASE("temperature and epsilon may change from call to call") {
  const Problem problem = make_problem(14, 20, 6, 3, 6);
  const PrototypeBank<double> bank(problem.c);
  SwappedPredictionLoss<double> loss;
  SwappedPredictionOptions options;
  for (const double factor : {1.0, 0.5, 2.0, 1.0}) {
    options.temperature = 0.1 * factor;
    options.sinkhorn.epsilon = 0.05 / factor;
    loss.set_temperature(options.temperature);
    loss.set_epsilon(options.sinkhorn.epsilon);
    check_step(loss(problem.z, bank, 3), reference(problem, options), problem, options);
  }
  const double before = loss.value(problem.z, bank, 3);
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    CHECK_THROWS_WITH_AS(loss.set_temperature(bad), doctest::Contains("temperature"), InvalidInput);
    CHECK_THROWS_WITH_AS(loss.set_epsilon(bad), doctest::Contains("epsilon"), InvalidInput);
  }
  CHECK(loss.value(problem.z, bank, 3) == before);
}

TEST_CASE("a step with a full queue, several heads and a momentum encoder allocates nothing after the first") {
  const Problem problem = make_problem(10, 40, 8, 3, 7), target = make_problem(10, 40, 8, 2, 8);
  const PrototypeBank<double> bank(problem.c, {25, 15}), target_bank(target.c, {25, 15});
  EmbeddingQueue<double> queue(2, 8, {.length = 20});
  SwappedPredictionLoss<double> loss({}, test_device(2));
  Step step;
  ViewCodes<double> codes;
  const auto all = [&] {
    loss.step_into(problem.z, bank, 3, step, {.embeddings = target.z, .bank = &target_bank, .queue = &queue});
    loss.codes_into(target.z, target_bank, 10, codes, &queue);
    loss.step_into(problem.z, bank, 3, step, {.codes = &codes});
  };
  for (int call = 0; call < 3; ++call) all();
  REQUIRE(queue.used() == 20);
  const long before = allocations();
  all();
  CHECK(allocations() == before);
}

TEST_CASE("a source that does not fit is a named error and changes nothing") {
  const Problem problem = make_problem(6, 10, 5, 3, 9), other = make_problem(6, 12, 5, 3, 10);
  const PrototypeBank<double> bank(problem.c), larger(other.c), parted(problem.c, {4, 6});
  SwappedPredictionLoss<double> loss;
  ViewCodes<double> codes;
  loss.codes_into(problem.z, bank, 6, codes);
  EmbeddingQueue<double> narrow(2, 4, {.length = 6}), one_view(1, 5, {.length = 6}), queue(2, 5, {.length = 6});
  const RowMatrix<double> one_view_z = problem.z.topRows(6), cut = problem.z.leftCols(4);
  RowMatrix<double> spoilt = problem.z;
  spoilt(3, 1) = std::nan("");
  Step step = loss(problem.z, bank, 3);
  const Step before = step;
  const auto refused = [&](const CodeSource<double>& source) {
    CHECK_THROWS_AS(loss.step_into(problem.z, bank, 3, step, source), InvalidInput);
    CHECK(identical_steps(step, before));
  };
  refused({.queue = &narrow});
  refused({.queue = &one_view});
  refused({.bank = &larger});
  refused({.bank = &parted});
  refused({.embeddings = one_view_z});
  refused({.embeddings = cut});
  refused({.embeddings = spoilt, .queue = &queue});
  refused({.queue = &queue, .codes = &codes});
  refused({.embeddings = problem.z, .codes = &codes});
  refused({.codes = &codes, .first_sample = 1});
  refused({.codes = &codes, .first_sample = -1});
  CHECK_THROWS_AS(loss(problem.z, parted, 3, {.codes = &codes}), InvalidInput);
  CHECK_THROWS_AS(loss(other.z, larger, 3, {.codes = &codes}), InvalidInput);
  CHECK_THROWS_AS(loss.codes_into(one_view_z, bank, 6, codes), InvalidInput);
  CHECK_THROWS_AS(loss.codes_into(problem.z, bank, 7, codes), InvalidInput);
  CHECK_THROWS_AS(loss.codes_into(problem.z, bank, 6, codes, &narrow), InvalidInput);
  CHECK(queue.pushed() == 0);
}
