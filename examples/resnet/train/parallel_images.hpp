// A loop over images on OpenMP's threads. In: a count and what to do with one. Out: all done, or one's exception.
#pragma once

#include <omp.h>

#include <algorithm>
#include <exception>

#include "swav/core/matrix_view.hpp"

namespace swav::resnet {

/// Calls body(i, thread) for each i in [0, count), thread < omp_get_max_threads(). Where a call throws the others are
/// made all the same, and one of the exceptions is thrown at the end.
template <class Body>
void for_each_image(Index count, Body&& body) {
  std::exception_ptr failure;
  const auto guarded = [&](Index i) {
    try {
      body(i, static_cast<std::size_t>(omp_get_thread_num()));
    } catch (...) {
#pragma omp critical(swav_for_each_image)
      failure = std::current_exception();
    }
  };
#pragma omp parallel
  {
    // One image for each thread, whoever is late: a thread allocates at its first image, so all do in the first loop.
    const Index threads = std::min<Index>(count, omp_get_num_threads());
#pragma omp for schedule(static, 1) nowait
    for (Index i = 0; i < threads; ++i) guarded(i);
#pragma omp for schedule(dynamic, 4)
    for (Index i = threads; i < count; ++i) guarded(i);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace swav::resnet
