// The processes of a run: those that mpirun or torchrun started, or this one alone. In: what each is to do. Out: an
// exit status; on an error one line that names it, once for all of them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/rank_group.hpp"

namespace swav::resnet {

/// The group that a launcher started. Its end is that of the processes' communication.
class Processes {
 public:
  virtual ~Processes() = default;
  [[nodiscard]] virtual RankGroup ranks() = 0;
  /// Threads that a rank takes unless it is told otherwise, the same for all: an equal share of the cores that it may
  /// use; 0: as many as there are.
  [[nodiscard]] virtual int threads() = 0;
  /// "" where that share is of all cores, else what to change.
  [[nodiscard]] virtual std::string doubt() = 0;
  /// This rank cannot go on. Where all ranks say so, one line is printed: the message of a rank that does not only
  /// follow another's error (`elsewhere`). Where others go on, the message is printed with the rank, and the whole job
  /// ended.
  virtual void report_failure(const std::string& message, bool elsewhere) = 0;
};

/// A line on the standard error that names the rank and its machine.
void print_failure_of_rank(const RankLink& link, const std::string& message);
/// The fewest threads that a rank takes. Collective.
[[nodiscard]] int fewest_threads(RankLink& link, int threads);

/// Those of MPI. In a program that is built without it null, or InvalidInput where there are several.
[[nodiscard]] std::unique_ptr<Processes> join_by_mpi();

/// Those of torchrun, which meet at MASTER_ADDR, on the port after MASTER_PORT. Throws ExchangeError where they do not.
[[nodiscard]] std::unique_ptr<Processes> join_by_torchrun();

/// Calls program(processes) and returns its status, or 1 where it throws. What it prints is seen of rank 0. Processes
/// are joined where an MPI launcher or torchrun started this one.
int launch(const std::function<int(Processes&)>& program);

}  // namespace swav::resnet
