// What stands in for MPI where the program is built without it. In: what a launcher says. Out: an error, if it started
// several.
#include <cstdlib>

#include "swav/core/error.hpp"
#include "train/launch.hpp"

namespace swav::resnet {

std::unique_ptr<Processes> join_by_mpi() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* const size = std::getenv(name);
    detail::require(size == nullptr || std::atoi(size) <= 1, "started as one of ", size == nullptr ? "" : size,
                    " processes by mpirun, but built without MPI: a start without it, or a build where MPI is found "
                    "(Debian: libopenmpi-dev), wanted");
  }
  return nullptr;
}

}  // namespace swav::resnet
