// What the tests that mpirun starts share: shares of rows, checks, the program around them. In: what to run in each
// process. Out: 0, or 1 and what differs.
#pragma once

#include <mpi.h>

#include <cstdio>
#include <exception>

#include "swav/comm/mpi.hpp"

namespace swav::test {

inline int failures = 0;

inline void check(bool holds, const char* what, const MpiCommunicator& group) {
  if (holds) return;
  std::printf("process %d of %d: %s\n", group.rank(), group.size(), what);
  ++failures;
}

/// The first row of a process's share: one row for process 1, none for process 2, the rest for process 0.
inline Index first_row(int rank, int size, Index rows) {
  return rank == 0 ? 0 : rank >= size ? rows : rank == 1 ? rows - 1 : rows;
}

template <class Work>
bool throws_invalid_input(Work&& work) {
  try {
    work();
  } catch (const InvalidInput&) {
    return true;
  }
  return false;
}

/// In sharded_loss.cpp, and in cuda/nccl_loss.cpp.
void loss_of_shares(const MpiCommunicator& group);
void loss_of_gpus(const MpiCommunicator& group);

/// main: runs `run` with the group of all processes.
inline int run_by_mpi(int argc, char** argv, void (*run)(const MpiCommunicator&)) {
  const bool too_early = throws_invalid_input([] { MpiCommunicator group; });
  MPI_Init(&argc, &argv);
  {
    const MpiCommunicator group;
    check(too_early, "a communicator before MPI_Init", group);
    try {
      run(group);
    } catch (const std::exception& error) {
      check(false, error.what(), group);
    }
    auto all = static_cast<double>(failures);
    group.sum(&all, 1);
    failures = static_cast<int>(all);
  }
  MPI_Finalize();
  return failures == 0 ? 0 : 1;
}

}  // namespace swav::test
