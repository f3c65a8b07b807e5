// Signal handlers of InterruptGuard. In: signals. Out: a flag.
#include "train/interrupt.hpp"

#include <csignal>

namespace swav::resnet {
namespace {

volatile std::sig_atomic_t pending_signal = 0;

void note(int signal) {
  pending_signal = signal;
  std::signal(signal, SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  pending_signal = 0;
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

int InterruptGuard::pending() { return pending_signal; }

}  // namespace swav::resnet
