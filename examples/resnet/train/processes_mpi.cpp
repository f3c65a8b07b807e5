// Processes joined by MPI. In: those that mpirun started. Out: sums, texts, waits and errors among them.
#include <mpi.h>
#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "swav/comm/mpi.hpp"
#include "train/launch.hpp"

namespace swav::resnet {
namespace {

using namespace std::chrono_literals;

void check(const char* call, int status) {
  if (status != MPI_SUCCESS) throw CommunicationError(std::string(call) + " failed: the other ranks cannot be reached");
}

/// Whether all ranks have come before the time is over; this one sleeps meanwhile, where a blocking call would not.
bool completes(MPI_Request& request, std::chrono::milliseconds patience = std::chrono::milliseconds::max()) {
  constexpr auto nap = 5ms;
  for (auto waited = 0ms;; waited += nap) {
    int done = 0;
    check("MPI_Test", MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    if (done != 0) return true;
    if (waited >= patience) return false;
    std::this_thread::sleep_for(nap);
  }
}

class MpiLink final : public RankLink {
 public:
  MpiLink(MPI_Comm group, int rank_on_machine) : comm_(group), group_(group), rank_on_machine_(rank_on_machine) {}
  [[nodiscard]] int rank() const override { return group_.rank(); }
  [[nodiscard]] int size() const override { return group_.size(); }
  [[nodiscard]] int rank_on_machine() const override { return rank_on_machine_; }
  void sum(float* data, Index count) override { group_.sum(data, count); }
  void sum(double* data, Index count) override { group_.sum(data, count); }
  void maximum(float* data, Index count) override { group_.maximum(data, count); }
  void maximum(double* data, Index count) override { group_.maximum(data, count); }
  void maximum(int* data, Index count) override { group_.maximum(data, count); }
  [[nodiscard]] std::vector<std::string> texts(const std::string& own) override {
    const auto ranks = static_cast<std::size_t>(size());
    std::vector<int> lengths(ranks), places(ranks);
    const int length = static_cast<int>(own.size());
    check("MPI_Allgather", MPI_Allgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, comm_));
    for (std::size_t r = 1; r < ranks; ++r) places[r] = places[r - 1] + lengths[r - 1];
    std::string all(static_cast<std::size_t>(places.back() + lengths.back()), '\0');
    check("MPI_Allgatherv",
          MPI_Allgatherv(own.data(), length, MPI_CHAR, all.data(), lengths.data(), places.data(), MPI_CHAR, comm_));
    std::vector<std::string> result;
    for (std::size_t r = 0; r < ranks; ++r)
      result.push_back(all.substr(static_cast<std::size_t>(places[r]), static_cast<std::size_t>(lengths[r])));
    return result;
  }
  void wait() override {
    MPI_Request request;
    check("MPI_Ibarrier", MPI_Ibarrier(comm_, &request));
    completes(request);
  }

 private:
  MPI_Comm comm_;
  MpiCommunicator group_;
  int rank_on_machine_;
};

class MpiProcesses final : public Processes {
 public:
  MpiProcesses() {
    MPI_Init(nullptr, nullptr);
    // What goes wrong is thrown, and ends the job with a message. Errors are told apart from the work.
    for (MPI_Comm* const comm : {&work_, &errors_}) {
      MPI_Comm_dup(MPI_COMM_WORLD, comm);
      MPI_Comm_set_errhandler(*comm, MPI_ERRORS_RETURN);
    }
    MPI_Comm machine;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
    int rank_on_machine = 0;
    MPI_Comm_rank(machine, &rank_on_machine);
    link_ = std::make_shared<MpiLink>(work_, rank_on_machine);
    share_cores(machine);
    MPI_Comm_free(&machine);
  }
  ~MpiProcesses() override { MPI_Finalize(); }

  [[nodiscard]] RankGroup ranks() override { return RankGroup(link_); }
  [[nodiscard]] int threads() override { return threads_; }
  [[nodiscard]] std::string doubt() override { return doubt_; }

  void report_failure(const std::string& message, bool elsewhere) override {
    struct Report {
      char elsewhere;
      std::array<char, 1000> text;
    };
    const auto size = static_cast<std::size_t>(link_->size());
    Report own{elsewhere, {}};
    std::strncpy(own.text.data(), message.c_str(), own.text.size() - 1);
    std::vector<Report> reports(size);
    MPI_Request request;
    // Ranks that all fail do so at about one time.
    if (MPI_Iallgather(&own, sizeof own, MPI_BYTE, reports.data(), sizeof own, MPI_BYTE, errors_, &request) ==
            MPI_SUCCESS &&
        completes(request, 1000ms)) {
      if (link_->rank() != 0) return;
      const auto same = [&](const Report& report) { return std::strcmp(report.text.data(), own.text.data()) == 0; };
      auto told = std::ranges::find_if(reports, [](const Report& report) { return report.elsewhere == 0; });
      if (told == reports.end()) told = reports.begin();
      if (std::ranges::all_of(reports, same))
        std::fprintf(stderr, "swav-train: error: %s\n", message.c_str());
      else
        std::fprintf(stderr, "swav-train: error on rank %td of %zu: %s\n", told - reports.begin(), size,
                     told->text.data());
      return;
    }
    print_failure_of_rank(*link_, message);
    std::fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }

 private:
  // Of the cores that the ranks of this machine may use together, an equal share, but no more than this one may use.
  void share_cores(MPI_Comm machine) {
    int ranks_here = 1;
    MPI_Comm_size(machine, &ranks_here);
    cpu_set_t own, all;
    CPU_ZERO(&own);
    sched_getaffinity(0, sizeof own, &own);
    MPI_Allreduce(&own, &all, sizeof own, MPI_BYTE, MPI_BOR, machine);
    const auto cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    threads_ = std::max(1, std::min(CPU_COUNT(&own), CPU_COUNT(&all) / ranks_here));
    if (std::getenv("OMP_NUM_THREADS") != nullptr)
      threads_ = omp_get_max_threads();
    else if (threads_ * ranks_here < cores / 2)
      doubt_ = swav::detail::concatenate("the ranks are bound to ", threads_ * ranks_here, " of ", cores,
                                         " cores; mpirun --bind-to none lets them have all");
    threads_ = fewest_threads(*link_, threads_);
  }

  MPI_Comm work_{}, errors_{};
  std::shared_ptr<MpiLink> link_;
  int threads_ = 1;
  std::string doubt_;
};

}  // namespace

std::unique_ptr<Processes> join_by_mpi() { return std::make_unique<MpiProcesses>(); }

}  // namespace swav::resnet
