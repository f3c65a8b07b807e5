// The progress bar. In: steps. Out: text on the standard output.
#include "train/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "train/safe_text.hpp"

namespace swav::resnet {
namespace {

int terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string duration_text(double seconds) {
  const long whole = std::lround(std::max(0.0, seconds));
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole % 3600 / 60) + " min";
}

std::string percent_text(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
  return text;
}

Progress::Progress(Index total_steps, Index steps_per_epoch)
    : total_steps_(total_steps), steps_per_epoch_(steps_per_epoch), terminal_(isatty(STDOUT_FILENO) == 1) {}

void Progress::step(const StepRecord& r, double seconds_per_step) {
  // A mean over about the last 30 steps, so that the figures can be read.
  const double keep = any_step_ ? 1 - 1.0 / 30 : 0.0;
  smooth_loss_ = keep * smooth_loss_ + (1 - keep) * r.loss;
  smooth_share_ = keep * smooth_share_ + (1 - keep) * r.loss_over_ln_k;
  smooth_seconds_ = keep * smooth_seconds_ + (1 - keep) * r.seconds;
  smooth_data_seconds_ = keep * smooth_data_seconds_ + (1 - keep) * r.data_seconds;
  any_step_ = true;

  const Clock::time_point now = Clock::now();
  const bool last = r.step == total_steps_ || r.step % steps_per_epoch_ == 0;
  if (now < next_ && !last) return;
  next_ = now + (terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10000));

  const Index epochs = (total_steps_ + steps_per_epoch_ - 1) / steps_per_epoch_;
  const std::string left = duration_text(seconds_per_step * static_cast<double>(total_steps_ - r.step));
  char text[256];
  // What a narrow terminal cuts off comes last.
  std::snprintf(text, sizeof text,
                "epoch %td/%td  step %td/%td  loss %.3f (%.2f ln K)  %.0f images/s (%.0f %% waiting)  %s left", r.epoch,
                epochs, r.step, total_steps_, smooth_loss_, smooth_share_, r.images_per_second,
                smooth_seconds_ > 0 ? 100 * smooth_data_seconds_ / smooth_seconds_ : 0.0, left.c_str());
  if (!terminal_) {
    std::printf("%s\n", text);
    std::fflush(stdout);
    return;
  }
  // A line that wraps could not be taken back.
  text[std::min<std::size_t>(sizeof text - 1, static_cast<std::size_t>(terminal_width()))] = '\0';
  const double share = static_cast<double>(r.step) / static_cast<double>(total_steps_);
  const int room = std::clamp(terminal_width() - static_cast<int>(std::string(text).size()) - 4, 0, 40);
  std::string bar;
  if (room >= 8) {
    const int filled = static_cast<int>(share * room);
    bar = " ";
    for (int i = 0; i < room; ++i) bar += i < filled ? "█" : "░";
    bar += " ";
  }
  std::printf("\r\033[K%s%s", bar.c_str(), text);
  std::fflush(stdout);
  bar_shown_ = true;
}

void Progress::clear() {
  if (bar_shown_) std::printf("\r\033[K");
  bar_shown_ = false;
}

void Progress::message(const std::string& text) {
  clear();
  std::printf("%s\n", printable(text).c_str());
  std::fflush(stdout);
}

void Progress::finish() {
  if (bar_shown_) std::printf("\n");
  bar_shown_ = false;
  std::fflush(stdout);
}

}  // namespace swav::resnet
