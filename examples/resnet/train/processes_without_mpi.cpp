// What stands in for MPI where the program is built without it. In: nothing. Out: an error.
#include "swav/core/error.hpp"
#include "train/launch.hpp"

namespace swav::resnet {

std::unique_ptr<Processes> join_by_mpi() {
  throw InvalidInput(
      "started by mpirun, but built without MPI: a start without it, or a build where MPI is found (Debian: "
      "libopenmpi-dev), wanted");
}

}  // namespace swav::resnet
