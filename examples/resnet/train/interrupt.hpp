// Ctrl-C and SIGTERM as a wish that the loop looks at. In: signals. Out: whether one came, and which.
#pragma once

namespace swav::resnet {

/// From construction to destruction SIGINT and SIGTERM are noted instead of ending the process; a second one ends it.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that came, 0 if none did.
  [[nodiscard]] static int pending();
};

}  // namespace swav::resnet
