// What ends a process of a run. In: a program. Out: its status, its error in a line.
#include "train/launch.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

#include "swav/core/error.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {
namespace {

class ThisProcess final : public Processes {
 public:
  [[nodiscard]] RankGroup ranks() override { return {}; }
  [[nodiscard]] int threads() override { return 0; }
  [[nodiscard]] std::string doubt() override { return {}; }
  void report_failure(const std::string& message, bool) override {
    std::fprintf(stderr, "swav-train: error: %s\n", message.c_str());
  }
};

// By Open MPI, by MPICH and its kin, by Slurm through either's interface. The start of MPI takes a second, which a
// process by itself can save.
bool started_by_mpi() {
  return std::ranges::any_of(std::array{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"},
                             [](const char* name) { return std::getenv(name) != nullptr; });
}

// Or by whoever sets the same variables.
bool started_by_torchrun() {
  const auto set = [](const char* name) { return std::getenv(name) != nullptr; };
  return std::ranges::all_of(std::array{"RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE"}, set) &&
         std::atoi(std::getenv("WORLD_SIZE")) > 1;
}

}  // namespace

void print_failure_of_rank(const RankLink& link, const std::string& message) {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  std::fprintf(stderr, "swav-train: error on rank %d of %d (%s): %s\n", link.rank(), link.size(), host.data(),
               message.c_str());
}

int fewest_threads(RankLink& link, int threads) {
  double fewest = -threads;
  link.maximum(&fewest, 1);
  return static_cast<int>(-fewest);
}

int launch(const std::function<int(Processes&)>& program) {
  std::unique_ptr<Processes> processes = std::make_unique<ThisProcess>();
  const auto fail = [&](const std::string& message, bool elsewhere) {
    processes->report_failure(printable(message), elsewhere);
    return 1;
  };
  try {
    std::unique_ptr<Processes> joined;
    if (started_by_mpi())
      joined = join_by_mpi();
    else if (started_by_torchrun())
      joined = join_by_torchrun();
    if (joined) processes = std::move(joined);
    if (processes->ranks().rank() != 0 && std::freopen("/dev/null", "w", stdout) == nullptr)
      throw std::runtime_error("/dev/null cannot be opened");
    return program(*processes);
  } catch (const std::bad_alloc&) {
    return fail(
        "out of memory; lower --batch-size, --width, --large-size, --small-size, --prototypes, --embedding or --hidden",
        false);
  } catch (const InvalidElsewhere& error) {
    return fail(error.what(), true);
  } catch (const std::exception& error) {
    return fail(error.what(), false);
  }
}

}  // namespace swav::resnet
