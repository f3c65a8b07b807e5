// The loss of a batch that several processes share equals that of one process with all of it. Run by mpirun with 1, 2
// or 3 processes; the shares are uneven. Out: 0, or 1 and what differs.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "loss_shares.hpp"
#include "swav/loss/swapped_prediction.hpp"
#include "swav/prototypes/queue.hpp"

namespace swav::test {
namespace {

using Loss = SwappedPredictionLoss<double, EigenDevice, MpiCommunicator>;
using Step = SwappedPredictionStep<double>;

void check_step(const Step& found, const Step& wanted, const Share& share, const char* what,
                const MpiCommunicator& group) {
  const bool same = std::abs(found.value - wanted.value) <= 1e-12 &&
                    std::abs(found.codes_entropy - wanted.codes_entropy) <= 1e-12 &&
                    found.prototypes_used == wanted.prototypes_used &&
                    close(found.grad_embeddings, share.of(wanted.grad_embeddings)) &&
                    close(found.grad_prototypes, wanted.grad_prototypes);
  check(same, what, group);
}

void steps_equal_the_whole(const MpiCommunicator& group) {
  const Share share(group, 1);
  for (const auto prototypes : {Prototypes::unit, Prototypes::raw}) {
    const SwappedPredictionOptions options{.crops_for_assign = {2, 0}, .prototypes = prototypes};
    const PrototypeBank<double> bank(heads, dimension, 1), other_bank(heads, dimension, 2);
    SwappedPredictionLoss<double> whole(options);
    Loss part(options, EigenDevice(1), group);
    // Longer than a batch and no multiple of it: what is dropped must be the same rows.
    EmbeddingQueue<double> queue(2, dimension, {.length = 40, .used_while_filling = true}), queue_of_part = queue;
    for (std::uint64_t call = 0; call < 4; ++call) {
      const RowMatrix<double> z = random_rows(views * samples, call),
                              z_of_codes = random_rows(views * samples, 90 + call);
      const RowMatrix<double> mine = share.of(z), mine_of_codes = share.of(z_of_codes);
      check_step(part(mine, bank, views), whole(z, bank, views), share, "a step", group);
      check(std::abs(part.value(mine, bank, views) - whole.value(z, bank, views)) <= 1e-12, "a value", group);
      check_step(part(mine, bank, views, {.embeddings = mine_of_codes, .bank = &other_bank, .queue = &queue_of_part}),
                 whole(z, bank, views, {.embeddings = z_of_codes, .bank = &other_bank, .queue = &queue}), share,
                 "a step with a queue", group);
      check(queue_of_part.pushed() == queue.pushed() &&
                (detail::as_eigen(MatrixView<const double>(queue_of_part.storage())) ==
                 detail::as_eigen(MatrixView<const double>(queue.storage()))),
            "the queue's rows", group);
    }
  }
}

void parts_equal_the_whole(const MpiCommunicator& group) {
  constexpr Index parts = 2;
  const Share share(group, parts);
  const PrototypeBank<double> bank(heads, dimension, 1);
  SwappedPredictionLoss<double> whole;
  Loss part({}, EigenDevice(1), group);
  EmbeddingQueue<double> queue(2, dimension, {.length = 20, .used_while_filling = true}), queue_of_part = queue;
  ViewCodes<double> codes, codes_of_part;
  for (std::uint64_t call = 0; call < 3; ++call) {
    const RowMatrix<double> z = random_rows(2 * samples, call);
    whole.codes_into(z, bank, samples, codes, &queue);
    part.codes_into(share.of(z), bank, share.count(), codes_of_part, &queue_of_part, parts);
    for (std::size_t head = 0; head < heads.size(); ++head)
      check(close(codes_of_part.heads[head], share.of(codes.heads[head])), "codes of parts", group);
    check(detail::as_eigen(MatrixView<const double>(queue_of_part.storage())) ==
              detail::as_eigen(MatrixView<const double>(queue.storage())),
          "the queue's rows of parts", group);
  }
}

void bad_input_in_one_process_is_an_error_in_all(const MpiCommunicator& group) {
  const Share share(group, 1);
  const PrototypeBank<double> bank(heads, dimension, 1);
  Loss loss({}, EigenDevice(1), group);
  const RowMatrix<double> good = share.of(random_rows(views * samples, 1));
  const bool last = group.rank() == group.size() - 1;
  const auto error_of = [&](const RowMatrix<double>& z) {
    try {
      (void)loss(z, bank, views);
    } catch (const InvalidElsewhere&) {
      return std::string("elsewhere");
    } catch (const InvalidInput&) {
      return std::string("here");
    }
    return std::string();
  };
  RowMatrix<double> bad = good;
  if (last) bad(0, 0) = std::numeric_limits<double>::quiet_NaN();
  check(error_of(bad) == (last ? "here" : "elsewhere"), "a NaN", group);
  const RowMatrix<double> odd = last ? RowMatrix<double>(good.topRows(good.rows() - 1)) : good;
  check(error_of(odd) == (last ? "here" : "elsewhere"), "rows that views do not divide", group);
  check(error_of(good).empty(), "fails afterwards", group);
}

}  // namespace

void loss_of_shares(const MpiCommunicator& group) {
  steps_equal_the_whole(group);
  parts_equal_the_whole(group);
  bad_input_in_one_process_is_an_error_in_all(group);
}

}  // namespace swav::test
