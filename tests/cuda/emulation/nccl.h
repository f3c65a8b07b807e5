// NCCL on the CPU, over MPI: one group, that of all processes. In, out: what NCCL's own take and give; reductions
// happen when they are enqueued.
#pragma once

#include <mpi.h>

#include <cstring>

#include "cuda_runtime.h"

enum ncclResult_t { ncclSuccess = 0, ncclInvalidArgument = 4, ncclRemoteError = 6, ncclInProgress = 7 };
enum ncclRedOp_t { ncclSum = 0, ncclMax = 2 };
enum ncclDataType_t { ncclInt32 = 2, ncclFloat32 = 7, ncclFloat64 = 8 };
struct ncclUniqueId {
  char internal[128];
};
struct ncclEmulatedGroup {
  int rank, size;
};
using ncclComm_t = ncclEmulatedGroup*;

inline const char* ncclGetErrorString(ncclResult_t status) {
  return status == ncclSuccess ? "no error" : status == ncclRemoteError ? "remote process exited" : "invalid argument";
}
inline const char* ncclGetLastError(ncclComm_t) { return ""; }
inline ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  for (int i = 0; i < 128; ++i) id->internal[i] = static_cast<char>(7 * i);
  return ncclSuccess;
}
/// Each process must have been given the first one's id.
inline ncclResult_t ncclCommInitRank(ncclComm_t* group, int size, ncclUniqueId id, int rank) {
  ncclUniqueId wanted{};
  ncclGetUniqueId(&wanted);
  if (std::memcmp(&id, &wanted, sizeof(id)) != 0) return ncclInvalidArgument;
  *group = new ncclEmulatedGroup{rank, size};
  return ncclSuccess;
}
inline ncclResult_t ncclCommDestroy(ncclComm_t group) {
  delete group;
  return ncclSuccess;
}
inline ncclResult_t ncclEmulatedAsyncError = ncclSuccess;  // what NCCL has found beside its calls
inline ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* error) {
  *error = ncclEmulatedAsyncError;
  return ncclSuccess;
}
inline int ncclEmulatedAborts = 0;
/// What is on streams ends by it.
inline ncclResult_t ncclCommAbort(ncclComm_t group) {
  ++ncclEmulatedAborts;
  swav::emulation::busy_queries = 0;
  return ncclCommDestroy(group);
}
inline ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t type,
                                  ncclRedOp_t operation, ncclComm_t, cudaStream_t stream) {
  if (from != to) return ncclInvalidArgument;
  swav::emulation::submit(stream, [=] {
    const MPI_Datatype of = type == ncclFloat64 ? MPI_DOUBLE : type == ncclFloat32 ? MPI_FLOAT : MPI_INT;
    MPI_Allreduce(MPI_IN_PLACE, to, static_cast<int>(count), of, operation == ncclSum ? MPI_SUM : MPI_MAX,
                  MPI_COMM_WORLD);
  });
  return ncclSuccess;
}
