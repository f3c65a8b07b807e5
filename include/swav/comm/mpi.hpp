// A group of processes by MPI; the program links it (CMake: MPI::MPI_CXX). In: an MPI communicator. Out: a
// swav::Communicator.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "swav/comm/communicator.hpp"
#include "swav/core/error.hpp"

namespace swav {

/// Thrown when MPI reports a failure, which it does where the communicator's error handler is MPI_ERRORS_RETURN (MPI's
/// own default ends the program).
class CommunicationError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The processes of an MPI communicator, which must outlive this value. Knows float, double, long double and int.
/// Calls block, and may be made by one thread at a time unless MPI was initialised with MPI_THREAD_MULTIPLE.
class MpiCommunicator {
 public:
  /// Throws InvalidInput before MPI_Init and after MPI_Finalize.
  explicit MpiCommunicator(MPI_Comm group = MPI_COMM_WORLD) : group_(group) {
    int initialised = 0, finalised = 0;
    MPI_Initialized(&initialised);
    MPI_Finalized(&finalised);
    detail::require(initialised != 0 && finalised == 0,
                    "MpiCommunicator: MPI is not running here, a call between MPI_Init and MPI_Finalize wanted");
    check("MPI_Comm_rank", MPI_Comm_rank(group_, &rank_));
    check("MPI_Comm_size", MPI_Comm_size(group_, &size_));
  }

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }

  template <class T>
  void sum(T* data, Index count) const {
    reduce(data, count, MPI_SUM);
  }
  template <class T>
  void maximum(T* data, Index count) const {
    reduce(data, count, MPI_MAX);
  }

 private:
  static void check(const char* call, int status) {
    if (status == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(status, text, &length);
    throw CommunicationError(std::string(call) + ": " + std::string(text, static_cast<std::size_t>(length)));
  }

  template <class T>
  static MPI_Datatype datatype() {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, long double> ||
                      std::is_same_v<T, int>,
                  "MpiCommunicator knows float, double, long double and int");
    if constexpr (std::is_same_v<T, float>)
      return MPI_FLOAT;
    else if constexpr (std::is_same_v<T, double>)
      return MPI_DOUBLE;
    else if constexpr (std::is_same_v<T, int>)
      return MPI_INT;
    else
      return MPI_LONG_DOUBLE;
  }

  template <class T>
  void reduce(T* data, Index count, MPI_Op operation) const {
    for (Index first = 0; first < count;) {  // MPI counts in int
      const Index part = std::min<Index>(count - first, std::numeric_limits<int>::max());
      check("MPI_Allreduce",
            MPI_Allreduce(MPI_IN_PLACE, data + first, static_cast<int>(part), datatype<T>(), operation, group_));
      first += part;
    }
  }

  MPI_Comm group_;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace swav
