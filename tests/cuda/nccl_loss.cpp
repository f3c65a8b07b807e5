// The loss of CudaDevice over a batch that several processes share equals the CPU's of one process with all of it. Part
// of the program of nccl_codes.cpp. Out: what differs, as counted failures.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "comm/loss_shares.hpp"
#include "swav/backend/cuda/loss.cuh"
#include "swav/comm/nccl.cuh"
#include "swav/loss/basic_swapped_prediction.hpp"
#include "swav/loss/swapped_prediction.hpp"
#include "swav/prototypes/queue.hpp"

namespace swav::test {
namespace {

using Loss = SwappedPredictionLoss<double, CudaDevice, NcclCommunicator>;
using Bank = PrototypeBank<double, CudaDevice>;
using Step = SwappedPredictionStep<double, CudaDevice>;
using Queue = EmbeddingQueue<double, CudaDevice>;
constexpr double tolerance = 1e-12;

CudaMatrix<double> uploaded(const RowMatrix<double>& rows) {
  return CudaMatrix<double>{MatrixView<const double>(rows)};
}

RowMatrix<double> downloaded(MatrixView<const double> rows) {
  RowMatrix<double> copy(rows.rows, rows.cols);
  detail::copy_rows(rows, MatrixView<double>(copy), cudaMemcpyDeviceToHost);
  return copy;
}

void check_step(const Step& found, const SwappedPredictionStep<double>& wanted, const Share& share,
                const std::string& what, const MpiCommunicator& group) {
  const auto near = [&](double a, double b) { return std::abs(a - b) <= tolerance * 10; };
  check(near(found.value, wanted.value), (what + ": value").c_str(), group);
  check(near(found.codes_entropy, wanted.codes_entropy), (what + ": entropy").c_str(), group);
  check(Index{found.prototypes_used} == wanted.prototypes_used, (what + ": prototypes used").c_str(), group);
  check(close(downloaded(MatrixView<const double>(found.grad_embeddings)), share.of(wanted.grad_embeddings), tolerance),
        (what + ": gradient of embeddings").c_str(), group);
  check(close(downloaded(MatrixView<const double>(found.grad_prototypes)), wanted.grad_prototypes, tolerance),
        (what + ": gradient of prototypes").c_str(), group);
}

void check_queue(Queue& found, EmbeddingQueue<double>& wanted, const MpiCommunicator& group) {
  check(found.pushed() == wanted.pushed() &&
            close(downloaded(MatrixView<const double>(found.storage())),
                  detail::as_eigen(MatrixView<const double>(wanted.storage())), tolerance),
        "the queue's rows", group);
}

/// With sums of the codes in the log domain, too, which an epsilon as small as the last one asks for.
void steps_equal_the_whole(const MpiCommunicator& group, Prototypes prototypes, double epsilon) {
  const CudaDevice device;
  const Share share(group, 1, Shares::even);
  const SwappedPredictionOptions options{
      .crops_for_assign = {2, 0}, .prototypes = prototypes, .sinkhorn = {.epsilon = epsilon}};
  const PrototypeBank<double> bank(heads, dimension, 1), other_bank(heads, dimension, 2);
  const Bank my_bank(heads, dimension, 1, device), my_other_bank(heads, dimension, 2, device);
  SwappedPredictionLoss<double> whole(options);
  Loss part(options, device, NcclCommunicator(device, group));
  const EmbeddingQueueOptions queues{.length = 40, .used_while_filling = true};  // no multiple of a batch
  EmbeddingQueue<double> queue(2, dimension, queues);
  Queue my_queue(2, dimension, queues, device);
  for (std::uint64_t call = 0; call < 3; ++call) {
    const RowMatrix<double> z = random_rows(views * samples, call), of_codes = random_rows(views * samples, 90 + call);
    const CudaMatrix<double> mine = uploaded(share.of(z)), mine_of_codes = uploaded(share.of(of_codes));
    check_step(part(mine, my_bank, views), whole(z, bank, views), share, "a step", group);
    check(std::abs(part.value(mine, my_bank, views) - whole.value(z, bank, views)) <= 10 * tolerance, "a value", group);
    check_step(part(mine, my_bank, views, {.embeddings = mine_of_codes, .bank = &my_other_bank, .queue = &my_queue}),
               whole(z, bank, views, {.embeddings = of_codes, .bank = &other_bank, .queue = &queue}), share,
               "a step with a queue", group);
    check_queue(my_queue, queue, group);
  }
}

void parts_equal_the_whole(const MpiCommunicator& group) {
  constexpr Index parts = 2;
  const CudaDevice device;
  const Share share(group, parts, Shares::even);
  const PrototypeBank<double> bank(heads, dimension, 1);
  const Bank my_bank(heads, dimension, 1, device);
  SwappedPredictionLoss<double> whole;
  Loss part({}, device, NcclCommunicator(device, group));
  const EmbeddingQueueOptions queues{.length = 20, .used_while_filling = true};
  EmbeddingQueue<double> queue(2, dimension, queues);
  Queue my_queue(2, dimension, queues, device);
  ViewCodes<double> codes;
  ViewCodes<double, CudaDevice> my_codes;
  for (std::uint64_t call = 0; call < 2; ++call) {
    const RowMatrix<double> z = random_rows(2 * samples, call);
    const CudaMatrix<double> mine = uploaded(share.of(z));
    whole.codes_into(z, bank, samples, codes, &queue);
    part.codes_into(mine, my_bank, share.count(), my_codes, &my_queue, parts);
    for (std::size_t head = 0; head < heads.size(); ++head)
      check(close(downloaded(MatrixView<const double>(my_codes.heads[head])), share.of(codes.heads[head]), 1e-12),
            "codes of parts", group);
    check_queue(my_queue, queue, group);
  }
}

/// In a captured call memory cannot be had, nor the stream waited for.
void a_step_is_captured(const MpiCommunicator& group) {
  cudaStream_t stream = nullptr;
  detail::check_cuda(cudaStreamCreate(&stream), "cudaStreamCreate");
  {
    const CudaDevice device(stream);
    const Share share(group, 1, Shares::even);
    const PrototypeBank<double> bank(heads, dimension, 1);
    const Bank my_bank(heads, dimension, 1, device);
    SwappedPredictionLoss<double> whole;
    Loss part({}, device, NcclCommunicator(device, group));
    CudaMatrix<double> mine = uploaded(share.of(random_rows(views * samples, 1)));
    Step step = part(mine, my_bank, views);
    cudaGraph_t graph{};
    cudaGraphExec_t replayed{};
    detail::check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
    part.step_into(mine, my_bank, views, step);
    detail::check_cuda(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    detail::check_cuda(cudaGraphInstantiate(&replayed, graph, 0), "cudaGraphInstantiate");
    const RowMatrix<double> z = random_rows(views * samples, 2), my_rows = share.of(z);
    mine.copy_from(my_rows);
    detail::check_cuda(cudaGraphLaunch(replayed, stream), "cudaGraphLaunch");
    check_step(step, whole(z, bank, views), share, "a captured step", group);
    cudaGraphExecDestroy(replayed);
    cudaGraphDestroy(graph);
  }
  cudaStreamDestroy(stream);
}

void bad_input_in_one_process_is_an_error_in_all(const MpiCommunicator& group) {
  const CudaDevice device;
  const Share share(group, 1, Shares::even);
  const Bank bank(heads, dimension, 1, device);
  Loss loss({}, device, NcclCommunicator(device, group));
  const RowMatrix<double> good = share.of(random_rows(views * samples, 1));
  const CudaMatrix<double> mine = uploaded(good);
  Step step = loss(mine, bank, views);
  const RowMatrix<double> gradient = downloaded(MatrixView<const double>(step.grad_embeddings));
  Queue queue(2, dimension, {.length = 40}, device);
  ViewCodes<double, CudaDevice> codes;
  const bool last = group.rank() == group.size() - 1;
  const auto error_of = [&](const auto& work) {
    try {
      work();
      device.synchronize();
    } catch (const InvalidElsewhere&) {
      return std::string("elsewhere");
    } catch (const InvalidInput&) {
      return std::string("here");
    }
    return std::string();
  };
  for (const Index row : {Index{0}, good.rows() - 1}) {  // of an assigned view, and of one that predicts alone
    RowMatrix<double> spoilt = good;
    if (last) spoilt(row, 0) = std::numeric_limits<double>::quiet_NaN();
    const CudaMatrix<double> bad = uploaded(spoilt);
    check(error_of([&] { loss.step_into(bad, bank, views, step, {.queue = &queue}); }) == (last ? "here" : "elsewhere"),
          "a NaN", group);
    check(downloaded(MatrixView<const double>(step.grad_embeddings)) == gradient, "a gradient is written", group);
    if (row > 0) continue;
    check(error_of([&] { loss.codes_into(bad, bank, share.count(), codes, &queue); }) == (last ? "here" : "elsewhere"),
          "a NaN among embeddings of codes", group);
  }
  check(downloaded(MatrixView<const double>(queue.storage())).isZero(0), "a queue is written", group);
  if (group.size() > 1) {
    const CudaMatrix<double> fewer = uploaded(random_rows(views * (share.count() - (last ? 1 : 0)), 1));
    Step other;
    check(error_of([&] { loss.step_into(fewer, bank, views, other); }) == "here", "unequal shares", group);
  }
  check(error_of([&] { loss.step_into(mine, bank, views, step); }).empty(), "fails afterwards", group);
}

}  // namespace

void loss_of_gpus(const MpiCommunicator& group) {
  steps_equal_the_whole(group, Prototypes::unit, 0.05);
  steps_equal_the_whole(group, Prototypes::raw, 1e-3);
  parts_equal_the_whole(group);
  a_step_is_captured(group);
  bad_input_in_one_process_is_an_error_in_all(group);
}

}  // namespace swav::test
