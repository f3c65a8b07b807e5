// The embedding queue against a list that a reader can check by eye. In: batches of numbered rows. Out: checks of what
// is kept, used, saved and refused.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "device_loss.hpp"
#include "problems.hpp"

namespace {

using swav::Index;
using swav::InvalidInput;
using swav::MatrixView;
using swav::RowMatrix;
using namespace swav::test;

const std::vector<int> assigned{2, 0};

/// Row v samples + b of view v: its first entry tells view and sample, counted over all batches.
RowMatrix<float> batch(Index samples, Index first_sample) {
  RowMatrix<float> rows(3 * samples, 4);
  for (Index v = 0; v < 3; ++v)
    for (Index b = 0; b < samples; ++b)
      rows.row(v * samples + b).setConstant(static_cast<float>(1000 * v + first_sample + b));
  return rows;
}

std::vector<float> kept(const EmbeddingQueue<float>& queue, Index slot) {
  const MatrixView<const float> rows = queue.rows(slot);
  std::vector<float> first;
  for (Index r = 0; r < rows.rows; ++r) first.push_back(rows(r, 0));
  std::sort(first.begin(), first.end());
  return first;
}

}  // namespace

TEST_CASE("the latest rows of each assigned view are kept, whatever the batches' sizes") {
  EmbeddingQueue<float> queue(2, 4, {.length = 7, .used_while_filling = true});
  std::deque<float> wanted;
  Index samples = 0;
  for (const Index size : {3, 2, 4, 7, 1, 20, 5, 3, 6}) {
    queue.push(batch(size, samples), size, assigned);
    for (Index b = 0; b < size; ++b) wanted.push_back(static_cast<float>(samples + b));
    while (wanted.size() > 7) wanted.pop_front();
    samples += size;
    CAPTURE(samples);
    CHECK(queue.pushed() == samples);
    CHECK(queue.filled() == static_cast<Index>(wanted.size()));
    CHECK(queue.used() == queue.filled());
    CHECK(kept(queue, 1) == std::vector<float>(wanted.begin(), wanted.end()));
    std::vector<float> of_view_2(wanted.begin(), wanted.end());
    for (float& row : of_view_2) row += 2000;
    CHECK(kept(queue, 0) == of_view_2);
  }
}

TEST_CASE("as in the release, no row is used before all are filled, unless asked for") {
  EmbeddingQueue<float> queue(2, 4, {.length = 5});
  for (const Index used : {0, 0, 5, 5}) {
    CHECK(queue.rows(0).rows == queue.used());
    queue.push(batch(2, 0), 2, assigned);
    CHECK(queue.used() == used);
  }
}

TEST_CASE("a queue goes on from what was saved of another") {
  for (const Index before : {0, 1, 4}) {
    EmbeddingQueue<float> whole(2, 4, {.length = 7}), resumed(2, 4, {.length = 7});
    for (Index i = 0; i < before; ++i) whole.push(batch(3, 3 * i), 3, assigned);
    const MatrixView<float> from = whole.storage(), to = resumed.storage();
    REQUIRE(from.size() == 2 * 7 * 4);
    std::copy_n(from.data, from.size(), to.data);
    resumed.set_pushed(whole.pushed());
    for (Index i = before; i < before + 5; ++i)
      for (EmbeddingQueue<float>* queue : {&whole, &resumed}) queue->push(batch(3, 3 * i), 3, assigned);
    CHECK(whole.pushed() == resumed.pushed());
    CHECK(std::equal(from.data, from.data + from.size(), to.data));
  }
}

TEST_CASE("bad shapes are named errors and change nothing") {
  CHECK_THROWS_WITH_AS(EmbeddingQueue<float>(0, 4), "EmbeddingQueue: views 0 found, 1 or more wanted", InvalidInput);
  CHECK_THROWS_AS(EmbeddingQueue<float>(1, 0), InvalidInput);
  CHECK_THROWS_WITH_AS(EmbeddingQueue<float>(1, 4, {.length = 0}), "EmbeddingQueue: length 0 found, 1 or more wanted",
                       InvalidInput);
  EmbeddingQueue<float> queue(2, 4, {.length = 5, .used_while_filling = true});
  const RowMatrix<float> rows = batch(2, 0), wide = RowMatrix<float>::Zero(6, 5);
  CHECK_THROWS_AS(queue.push(wide, 2, assigned), InvalidInput);
  CHECK_THROWS_AS(queue.push(rows, 2, std::vector<int>{0}), InvalidInput);
  CHECK_THROWS_AS(queue.push(rows, 2, std::vector<int>{0, 3}), InvalidInput);
  CHECK_THROWS_AS(queue.push(rows, 2, std::vector<int>{0, -1}), InvalidInput);
  CHECK_THROWS_AS(queue.push(rows, 3, assigned), InvalidInput);
  CHECK_THROWS_AS(queue.set_pushed(-1), InvalidInput);
  CHECK(queue.pushed() == 0);
  CHECK(queue.used() == 0);
}
