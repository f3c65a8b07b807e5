// Codes, and a transport, of CudaDevice whose rows several processes share equal those of one process with all rows.
// Run by mpirun with 1, 2 or 3 processes, with NCCL emulated over MPI. Out: 0, or 1 and what differs.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "comm/sharded.hpp"
#include "swav/backend/cuda/codes.cuh"
#include "swav/backend/cuda/device.cuh"
#include "swav/backend/cuda/row_passes.cuh"
#include "swav/backend/cuda/transport_passes.cuh"
#include "swav/comm/nccl.cuh"
#include "swav/core/philox.hpp"
#include "swav/sinkhorn/solver.hpp"

namespace {

using namespace swav;
using namespace swav::test;

template <class T>
struct HostMatrix {
  HostMatrix(Index in_rows, Index in_cols)
      : rows(in_rows), cols(in_cols), values(static_cast<std::size_t>(in_rows * in_cols)) {}
  [[nodiscard]] MatrixView<T> view() { return {values.data(), rows, cols}; }
  Index rows, cols;
  std::vector<T> values;
};

template <class T>
HostMatrix<T> scores_of_all() {
  PhiloxStream random(7, 0);
  HostMatrix<T> scores(50, 13);
  for (T& value : scores.values) value = static_cast<T>(random.uniform(-1.0, 1.0));
  return scores;
}

/// This process's part of a matrix, on the GPU.
template <class T>
CudaMatrix<T> share_of(HostMatrix<T>& all, const MpiCommunicator& group) {
  const Index first = first_row(group.rank(), group.size(), all.rows);
  const Index count = first_row(group.rank() + 1, group.size(), all.rows) - first;
  CudaMatrix<T> mine(count, all.cols);
  if (count > 0) mine.copy_from(all.view().middle_rows(first, count));
  return mine;
}

template <class T>
double difference_from_share(const CudaMatrix<T>& found, HostMatrix<T>& all, const MpiCommunicator& group) {
  HostMatrix<T> host(found.rows(), found.cols());
  if (found.rows() > 0) found.copy_to(host.view());
  const std::size_t at = static_cast<std::size_t>(first_row(group.rank(), group.size(), all.rows) * all.cols);
  double largest = 0;
  for (std::size_t i = 0; i < host.values.size(); ++i)
    largest =
        std::max(largest, std::abs(static_cast<double>(host.values[i]) - static_cast<double>(all.values[at + i])));
  return largest;
}

template <class T>
void shares_equal_the_whole(const MpiCommunicator& group, const SinkhornOptions& options, double tolerance,
                            const char* what) {
  const CudaDevice device;
  const NcclCommunicator nccl(device, group);
  HostMatrix<T> all = scores_of_all<T>(), expected(all.rows, all.cols);
  CudaMatrix<T> whole{MatrixView<const T>(all.view())};
  detail::CodesSolver<T, CudaDevice, SelfCommunicator>(options, device).codes_into(whole, whole);
  device.synchronize();
  whole.copy_to(expected.view());
  const CudaMatrix<T> mine = share_of(all, group);
  CudaMatrix<T> codes(mine.rows(), mine.cols());
  detail::CodesSolver<T, CudaDevice, NcclCommunicator> sharded(options, device, nccl);
  for (int call = 0; call < 2; ++call) sharded.codes_into(mine, codes);
  device.synchronize();
  check(difference_from_share(codes, expected, group) <= tolerance, what, group);
}

void a_bad_score_in_one_process_is_a_fault_in_all(const MpiCommunicator& group) {
  const CudaDevice device;
  detail::CodesSolver<float, CudaDevice, NcclCommunicator> sharded({}, device, NcclCommunicator(device, group));
  HostMatrix<float> scores(4, 3);
  CudaMatrix<float> good{MatrixView<const float>(scores.view())}, codes(4, 3);
  if (group.rank() == group.size() - 1) scores.values[5] = std::numeric_limits<float>::quiet_NaN();
  const CudaMatrix<float> bad{MatrixView<const float>(scores.view())};
  sharded.codes_into(bad, codes);
  check(throws_invalid_input([&] { device.synchronize(); }), "a NaN passed", group);
  sharded.codes_into(good, codes);
  check(!throws_invalid_input([&] { device.synchronize(); }), "fails afterwards", group);
}

void a_transport_is_that_of_all_rows(const MpiCommunicator& group) {
  const CudaDevice device;
  HostMatrix<double> all = scores_of_all<double>(), expected(all.rows, all.cols);
  const SinkhornOptions options{.epsilon = 0.1, .tolerance = 1e-12};
  const CudaMatrix<double> cost{MatrixView<const double>(all.view())};
  const auto whole = Sinkhorn<double, CudaDevice>(options, device).solve(cost);
  whole.plan().copy_to(expected.view());
  const CudaMatrix<double> my_cost = share_of(all, group);
  Sinkhorn<double, CudaDevice, NcclCommunicator> sharded(options, device, NcclCommunicator(device, group));
  const auto mine = sharded.solve(my_cost);
  check(mine.converged && std::abs(mine.transport_cost - whole.transport_cost) <= 1e-10, "transport", group);
  check(difference_from_share(mine.plan(), expected, group) <= 1e-10, "plan", group);
}

void points_of_which_one_process_has_all(const MpiCommunicator& group) {
  const CudaDevice device;
  HostMatrix<double> all = scores_of_all<double>();
  const SinkhornOptions options{.epsilon = 1};
  const CudaMatrix<double> points{MatrixView<const double>(all.view())}, none(0, all.cols);
  const MatrixView<const double> y = points;
  const auto whole = Sinkhorn<double, CudaDevice>(options, device).solve(PointCost<double>(points, y));
  HostMatrix<double> of_columns(all.rows, all.cols), found(all.rows, all.cols);
  whole.apply(points, 0).copy_to(of_columns.view());
  const CudaMatrix<double>& mine = group.rank() == group.size() - 1 ? points : none;
  Sinkhorn<double, CudaDevice, NcclCommunicator> sharded(options, device, NcclCommunicator(device, group));
  const auto result = sharded.solve(PointCost<double>(mine, y));
  check(result.converged && std::abs(result.transport_cost - whole.transport_cost) <= 1e-10, "points", group);
  result.apply(mine, 0).copy_to(found.view());
  double largest = 0;
  for (std::size_t i = 0; i < found.values.size(); ++i)
    largest = std::max(largest, std::abs(found.values[i] - of_columns.values[i]));
  check(largest <= 1e-10, "what the rows of points carry", group);
  const std::vector<double> sums = result.marginal(0), wanted = whole.marginal(0);
  for (std::size_t j = 0; j < sums.size(); ++j)
    check(std::abs(sums[j] - wanted[j]) <= 1e-10, "marginal of points", group);
}

void who_leaves_by_an_exception_waits_for_nobody(const MpiCommunicator& group) {
  const int before = ncclEmulatedAborts;
  try {
    const NcclCommunicator nccl(CudaDevice(), group);
    throw InvalidInput("");
  } catch (const InvalidInput&) {
  }
  check(ncclEmulatedAborts == before + 1, "a group is left without an abort", group);
}

void who_waits_for_a_process_that_is_gone_is_told(const MpiCommunicator& group) {
  const CudaDevice device;
  CudaMatrix<float> rows(2, 3);
  swav::emulation::busy_queries = 3;
  device.synchronize();
  check(swav::emulation::busy_queries == 3, "a device without a group is asked for", group);
  const NcclCommunicator nccl(device, group);
  device.synchronize();
  check(swav::emulation::busy_queries == 0, "the wait is not until the stream is done", group);

  swav::emulation::busy_queries = 1'000'000'000;  // a reduction that never ends
  ncclEmulatedAsyncError = ncclRemoteError;
  const int before = ncclEmulatedAborts;
  const auto failure = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const CudaError& error) {
      return error.what();
    }
    return "";
  };
  const std::string wanted = "NcclCommunicator: process " + std::to_string(group.rank()) + " of " +
                             std::to_string(group.size()) +
                             " found that another has ended or cannot be reached: remote process exited";
  check(failure([&] { device.synchronize(); }) == wanted, "a wait without end", group);
  check(ncclEmulatedAborts == before + 1, "a group that failed is not aborted", group);
  check(failure([&] { nccl.sum(rows.data(), 6); }) == wanted, "a reduction by an aborted group", group);
  device.synchronize();  // what was done before the abort can be looked at
  {
    const NcclCommunicator next(device, group);
    check(failure([&] { next.sum(rows.data(), 6); }) == wanted, "a reduction by a group that has failed", group);
  }
  check(ncclEmulatedAborts == before + 2, "a group that failed is aborted once", group);
  ncclEmulatedAsyncError = ncclSuccess;
}

void processes_meet_by_tcp(const MpiCommunicator& group) {
  const auto set = [](const char* name, const std::string& value) { setenv(name, value.c_str(), 1); };
  const CudaDevice device;
  unsetenv("RANK");
  check(throws_invalid_input([&] { (void)NcclCommunicator::from_environment(device); }), "no RANK", group);
  int port = 20'000 + static_cast<int>(getpid() % 20'000);
  MPI_Bcast(&port, 1, MPI_INT, 0, MPI_COMM_WORLD);
  set("RANK", std::to_string(group.rank()));
  set("WORLD_SIZE", std::to_string(group.size()));
  set("MASTER_ADDR", "127.0.0.1");
  set("MASTER_PORT", std::to_string(port));
  const NcclCommunicator nccl = NcclCommunicator::from_environment(device);
  double numbers[] = {1.0 + group.rank(), -1.0};  // the host's
  nccl.sum(numbers, 2);
  const double size = group.size();
  check(numbers[0] == size * (size + 1) / 2 && numbers[1] == -size, "sums by NCCL", group);
  if (group.rank() != 0 || group.size() == 1) return;
  char byte = 0;
  const MeetingPoint nobody{.rank = 1, .size = 2, .port = port + 7, .timeout = std::chrono::seconds(0)};
  std::string message;
  try {
    share_by_tcp(nobody, &byte, 1);
  } catch (const ExchangeError& error) {
    message = error.what();
  }
  check(
      message.find("process 1 of 2 at 127.0.0.1") != std::string::npos && message.find("connect") != std::string::npos,
      "an exchange without a partner", group);
}

void run(const MpiCommunicator& group) {
  shares_equal_the_whole<double>(group, {.epsilon = 0.05}, 1e-13, "double, scaling");
  shares_equal_the_whole<double>(group, {.epsilon = 1e-3}, 1e-13, "double, log domain");
  shares_equal_the_whole<float>(group, {.epsilon = 0.05}, 1e-6, "float, scaling");
  shares_equal_the_whole<float>(group, {.epsilon = 0.03}, 1e-6, "float, sums in double");
  shares_equal_the_whole<float>(group, {.epsilon = 1e-2}, 1e-6, "float, log domain");
  shares_equal_the_whole<double>(group, {.epsilon = 0.05, .max_iterations = 1}, 1e-13, "one iteration");
  shares_equal_the_whole<double>(group, {.epsilon = 0.05, .hard_codes = true}, 0, "hard codes");
  a_bad_score_in_one_process_is_a_fault_in_all(group);
  a_transport_is_that_of_all_rows(group);
  points_of_which_one_process_has_all(group);
  who_leaves_by_an_exception_waits_for_nobody(group);
  who_waits_for_a_process_that_is_gone_is_told(group);
  processes_meet_by_tcp(group);
  loss_of_gpus(group);
}

}  // namespace

int main(int argc, char** argv) { return run_by_mpi(argc, argv, run); }
