// The program itself: killed at random moments and resumed, interrupted, and misused.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "image_files.hpp"
#include "run_checks.hpp"
#include "support.hpp"
#include "swav/core/philox.hpp"
#include "swav/io/safetensors.hpp"
#include "train/checkpoint.hpp"
#include "train/metrics.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

class TrainProcess {
 public:
  TrainProcess(std::vector<std::string> arguments, const std::filesystem::path& output_folder,
               const std::vector<std::string>& launcher = {})
      : out_(output_folder / "stdout"), error_(output_folder / "stderr") {
    arguments.insert(arguments.begin(), SWAV_TRAIN);
    arguments.insert(arguments.begin(), launcher.begin(), launcher.end());
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    id_ = fork();
    if (id_ != 0) return;
    dup2(open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(open(error_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    execv(pointers[0], pointers.data());
    _exit(127);
  }

  void send(int signal) const { kill(id_, signal); }
  /// To one of those that a launcher has started.
  void send_to_child(std::size_t child, int signal) const {
    std::ifstream file("/proc/" + std::to_string(id_) + "/task/" + std::to_string(id_) + "/children");
    const std::vector<pid_t> children{std::istream_iterator<pid_t>(file), {}};
    REQUIRE(children.size() > child);
    kill(children[child], signal);
  }

  /// The exit status, or minus the signal that ended it.
  int wait() const {
    int status = 0;
    waitpid(id_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  [[nodiscard]] std::string output() const { return read_text(out_); }
  [[nodiscard]] std::string errors() const { return read_text(error_); }

 private:
  std::filesystem::path out_, error_;
  pid_t id_ = 0;
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The status of the command that `output` names behind `before`.
int follow(const std::string& output, const std::string& before) {
  const std::size_t at = output.find(before);
  REQUIRE_MESSAGE(at != std::string::npos, output);
  const std::string command = output.substr(at + before.size(), output.find('\n', at) - at - before.size());
  return std::system((command + " >/dev/null").c_str());
}

Index read_checkpoint_step(const std::filesystem::path& run) {
  const SafetensorsFile file(checkpoint_path(run));
  return nlohmann::json::parse(file.metadata("swav_train")).at("step");
}

// Until the run has written its first checkpoint.
void await_checkpoint(const std::filesystem::path& run) {
  for (int i = 0; i < 3000 && !has_checkpoint(run); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  REQUIRE(has_checkpoint(run));
}

}  // namespace

TEST_CASE("kill -9 at random moments, then --resume: the same as if nothing had happened") {
  // More than a dozen are for the long run of the tests, which then has each kind of state by itself, too.
  const char* const asked = std::getenv("SWAV_TEST_KILLS");
  const int wanted = asked != nullptr ? std::atoi(asked) : 12;
  std::vector<std::vector<std::string>> kinds{
      {"--queue-length", "50", "--heads", "12", "7", "--momentum-encoder", "0.9", "--final-epsilon", "0.03"}};
  if (wanted > 12)
    kinds.insert(kinds.end(), {{"--accumulate", "2", "--optimizer", "adamw", "--final-temperature", "0.2"},
                               {"--optimizer", "lars", "--queue-length", "30", "--queue-start-epoch", "2"},
                               {"--objective", "deepcluster-v2"},
                               {"--objective", "sela-v2", "--heads", "9", "5", "--larc"}});
  for (const std::vector<std::string>& kind : kinds) {
    CAPTURE(kind.front());
    const TemporaryFolder folder;
    write_tiny_fashion_mnist(folder / "data");
    const std::vector<std::string> settings =
        kind + std::vector<std::string>{"--epochs", std::to_string(std::max(30, 8 * (wanted - 12))),
                                        "--checkpoint-interval", "1", "--no-evaluate"};
    REQUIRE(TrainProcess(tiny_arguments(folder / "data", folder / "whole") + settings, folder.path()).wait() == 0);

    PhiloxStream random(std::random_device{}(), 0);
    const std::vector<std::string> killed = tiny_arguments(folder / "data", folder / "killed") + settings;
    int status = 0, kills = 0;
    while (kills < wanted) {
      const TrainProcess program(killed + std::vector<std::string>{"--preset", "fashion-mnist-quick", "--resume"},
                                 folder.path());
      if (kills > 0) await_checkpoint(folder / "killed");
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(250000)));
      program.send(SIGKILL);
      status = program.wait();
      if (status == 0) break;
      REQUIRE(status == -SIGKILL);
      ++kills;
    }
    if (status != 0)
      status = TrainProcess({"--resume", "--output", (folder / "killed").string()}, folder.path()).wait();
    CHECK(status == 0);
    MESSAGE(kills << " kills");
    CHECK(kills > 0);
    if (wanted > 12) CHECK(kills == wanted);
    CHECK(same_state(folder / "whole", folder / "killed"));
    const MetricsHistory whole = read_metrics(folder / "whole" / "metrics.jsonl");
    const MetricsHistory history = read_metrics(folder / "killed" / "metrics.jsonl");
    REQUIRE(history.steps.size() == whole.steps.size());
    for (std::size_t i = 0; i < history.steps.size(); ++i) {
      CHECK(history.steps[i].step == static_cast<Index>(i) + 1);
      CHECK(history.steps[i].loss == whole.steps[i].loss);
    }
  }
}

TEST_CASE("Ctrl-C and SIGTERM write a checkpoint, say how to go on, and leave with the signal's status") {
  for (const int signal : {SIGINT, SIGTERM}) {
    const TemporaryFolder folder;
    write_tiny_fashion_mnist(folder / "data");
    const TrainProcess program(tiny_arguments(folder / "data", folder / "run") +
                                   std::vector<std::string>{"--epochs", "100000", "--checkpoint-interval", "0"},
                               folder.path());
    await_checkpoint(folder / "run");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    program.send(signal);
    CHECK(program.wait() == 128 + signal);
    CHECK(program.errors() == "");
    CHECK(program.output().find("--resume --output") != std::string::npos);
    const MetricsHistory history = read_metrics(folder / "run" / "metrics.jsonl");
    const std::string said = "stopped at step " + std::to_string(history.steps.size()) + " ";
    CHECK_MESSAGE(program.output().find(said) != std::string::npos, program.output());
  }
}

namespace {

void copy_run(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::remove_all(to);
  std::filesystem::copy(from, to);
}

// Two runs went two steps on from the same state, `steps` before, and did the same but for rounding. No more steps than
// two: a ReLU that rounding switches moves a gradient, so the second loss by up to 1e-4, and at these rates and batches
// it grows by four times a step from there on. One process does so to itself: with the last bits of its state changed
// after step 1, its loss at step 8 differed by 0.2 % in 5 of 12 tries.
void check_alike(const std::filesystem::path& a, const std::filesystem::path& b, std::size_t steps) {
  const MetricsHistory left = read_metrics(a / "metrics.jsonl"), right = read_metrics(b / "metrics.jsonl");
  REQUIRE(left.steps.size() == steps + 2);
  REQUIRE(right.steps.size() == steps + 2);
  for (std::size_t i = steps; i < steps + 2; ++i) {
    CAPTURE(i);
    const double tolerance = i == steps ? 1e-5 : 1e-3;
    CHECK(left.steps[i].step == right.steps[i].step);
    CHECK(left.steps[i].loss == doctest::Approx(right.steps[i].loss).epsilon(tolerance));
    CHECK(left.steps[i].code_entropy == doctest::Approx(right.steps[i].code_entropy).epsilon(10 * tolerance));
    CHECK(left.steps[i].feature_spread == doctest::Approx(right.steps[i].feature_spread).epsilon(10 * tolerance));
  }
  const SafetensorsFile left_file(checkpoint_path(a)), right_file(checkpoint_path(b));
  REQUIRE(left_file.tensors().size() == right_file.tensors().size());
  const auto floats = [](const SafetensorsFile& file, const std::string& name) {
    const std::span<const std::byte> bytes = file.at(name).bytes;
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  };
  for (const StoredTensor& tensor : left_file.tensors()) {
    if (tensor.name.starts_with("optimizer.")) continue;
    CAPTURE(tensor.name);
    const std::vector<float> x = floats(left_file, tensor.name), y = floats(right_file, tensor.name);
    REQUIRE(x.size() == y.size());
    double difference = 0, all = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      difference += std::pow(static_cast<double>(x[i]) - static_cast<double>(y[i]), 2);
      all += std::pow(static_cast<double>(x[i]), 2);
    }
    CHECK(difference <= 1e-4 * std::max(all, 1e-2));  // a norm's biases start at 0
  }
}

}  // namespace

TEST_CASE("processes with torchrun's variables train as one does, and end with each other") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  const auto start = [&](const char* run, int rank, const std::vector<std::string>& more) {
    const std::filesystem::path output = folder / (run + std::to_string(rank));
    std::filesystem::create_directories(output);
    const std::string number = std::to_string(rank);
    const std::vector<std::string> variables{"/usr/bin/env",
                                             "RANK=" + number,
                                             "LOCAL_RANK=" + number,
                                             "WORLD_SIZE=2",
                                             "LOCAL_WORLD_SIZE=2",
                                             "MASTER_ADDR=127.0.0.1",
                                             "MASTER_PORT=" + std::to_string(20'000 + getpid() % 20'000),
                                             "OMP_NUM_THREADS=1"};
    return TrainProcess(tiny_arguments(folder / "data", folder / run) +
                            std::vector<std::string>{"--batch-size", "12", "--precision", "float32", "--lr", "0.05",
                                                     "--queue-length", "20", "--no-evaluate"} +
                            more,
                        output, rank < 0 ? std::vector<std::string>() : variables);
  };
  for (const std::size_t steps : {0, 2}) {
    const std::vector<std::string> to{"--preset", "fashion-mnist-quick", "--resume", "--max-steps",
                                      std::to_string(steps + 2)};
    if (steps > 0) copy_run(folder / "one", folder / "two");
    REQUIRE(start("one", -1, to).wait() == 0);
    const TrainProcess first = start("two", 0, to), second = start("two", 1, to);
    REQUIRE_MESSAGE(first.wait() == 0, first.errors());
    REQUIRE_MESSAGE(second.wait() == 0, second.errors());
    CHECK(second.output() == "");
    CHECK_MESSAGE(has(first.output(), "2 ranks of 1 threads"), first.output());
    CHECK_MESSAGE(has(first.output(), "continue with: torchrun --no-python --nproc-per-node 2 "), first.output());
    check_alike(folder / "one", folder / "two", steps);
  }

  const TrainProcess left = start("killed", 0, {"--epochs", "100000"}),
                     killed = start("killed", 1, {"--epochs", "100000"});
  await_checkpoint(folder / "killed");
  killed.send(SIGKILL);
  CHECK(killed.wait() == -SIGKILL);
  CHECK(left.wait() == 1);
  CHECK_MESSAGE(has(left.errors(), "rank 1 of 2 has ended, or cannot be reached any more"), left.errors());
}

#ifdef SWAV_MPIEXEC
namespace {

const std::vector<std::string> ranks(int count) { return {SWAV_MPIEXEC, SWAV_MPIEXEC_COUNT, std::to_string(count)}; }

// A container's only user, and more processes than cores.
void let_open_mpi_start() {
  for (const char* name :
       {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe"})
    setenv(name, "1", 1);
  // Containers may keep processes from reading each other's memory.
  setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 1);
}

}  // namespace

TEST_CASE("ranks equal one process; a killed rank ends the job by name, and other numbers of ranks go on from there") {
  let_open_mpi_start();
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  const auto arguments = [&](const char* run) {
    return tiny_arguments(folder / "data", folder / run) +
           std::vector<std::string>{
               "--batch-size",   "12", "--precision",           "float32", "--lr",     "0.05",
               "--queue-length", "20", "--checkpoint-interval", "1",       "--preset", "fashion-mnist-quick"};
  };
  for (const std::size_t steps : {0, 2, 4, 6}) {  // an epoch of 8
    CAPTURE(steps);
    const std::vector<std::string> to{"--resume", "--epochs", "1", "--max-steps", std::to_string(steps + 2)};
    if (steps > 0) copy_run(folder / "one", folder / "three");
    REQUIRE(TrainProcess(arguments("one") + to, folder.path()).wait() == 0);
    const TrainProcess three(arguments("three") + to, folder.path(), ranks(3));
    REQUIRE_MESSAGE(three.wait() == 0, three.errors());
    CHECK(three.errors() == "");
    CHECK_MESSAGE(has(three.output(), "3 ranks of 1 threads"), three.output());
    CHECK(has(three.output(), steps == 6 ? "report: " : "continue with: mpirun -n 3 "));
    check_alike(folder / "one", folder / "three", steps);
  }

  // Killed soon after a checkpoint, with more steps than there is time for.
  const std::vector<std::string> endless{"--epochs", "100000", "--no-evaluate"};
  const TrainProcess killed(arguments("killed") + endless, folder.path(), ranks(2));
  await_checkpoint(folder / "killed");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  killed.send_to_child(1, SIGKILL);
  CHECK(killed.wait() != 0);
  CHECK_MESSAGE(has(killed.errors(), "rank 1"), killed.errors());
  const Index reached = read_checkpoint_step(folder / "killed");
  for (const int count : {3, 1}) {
    copy_run(folder / "killed", folder / ("resumed" + std::to_string(count)));
    const std::string run = (folder / ("resumed" + std::to_string(count))).string();
    const TrainProcess resumed(
        {"--resume", "--output", run, "--max-steps", std::to_string(reached + 2), "--no-evaluate"}, folder.path(),
        count > 1 ? ranks(count) : std::vector<std::string>());
    REQUIRE_MESSAGE(resumed.wait() == 0, resumed.errors());
    CHECK(has(resumed.output(), "resumed at step " + std::to_string(reached)));
  }
  check_alike(folder / "resumed1", folder / "resumed3", static_cast<std::size_t>(reached));
}

TEST_CASE("a signal to one rank stops all after the same step, with a checkpoint") {
  let_open_mpi_start();
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  const TrainProcess program(
      tiny_arguments(folder / "data", folder / "run") + std::vector<std::string>{"--epochs", "100000"}, folder.path(),
      ranks(2));
  await_checkpoint(folder / "run");
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  program.send_to_child(1, SIGTERM);
  CHECK(program.wait() == 128 + SIGTERM);
  const MetricsHistory history = read_metrics(folder / "run" / "metrics.jsonl");
  const std::string said = "stopped at step " + std::to_string(history.steps.size()) + " ";
  CHECK_MESSAGE(has(program.output(), said), program.output());
  CHECK(has(program.output(), "continue with: mpirun -n 2 "));
  CHECK(read_checkpoint_step(folder / "run") == static_cast<Index>(history.steps.size()));
}

TEST_CASE("errors of ranks are told once: all ranks' in one line, one rank's with its number") {
  let_open_mpi_start();
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  const auto lines = [](const std::string& text) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find("swav-train: error", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  const std::vector<std::string> arguments = tiny_arguments(folder / "data", folder / "run");
  const TrainProcess odd(arguments + std::vector<std::string>{"--batch-size", "15"}, folder.path(), ranks(2));
  CHECK(odd.wait() != 0);
  CHECK_MESSAGE(has(odd.errors(), "swav-train: error: --batch-size: 15 found with 2 ranks"), odd.errors());
  CHECK(lines(odd.errors()) == 1);
  // Rank 0 alone makes the folder.
  const TrainProcess nowhere(arguments + std::vector<std::string>{"--output", "/proc/nowhere"}, folder.path(),
                             ranks(2));
  CHECK(nowhere.wait() != 0);
  CHECK_MESSAGE(has(nowhere.errors(), "swav-train: error on rank 0 of 2 ("), nowhere.errors());
  CHECK(lines(nowhere.errors()) == 1);

  // Whichever rank meets a bad file, it is named, and the run can go on once it is mended.
  write_class_folders(folder / "images", 40, 3);
  const std::filesystem::path bad = folder / "images" / "a" / small_file_name(0);
  write_bytes(bad, bytes_of("no image"));
  const TrainProcess unread(tiny_arguments(folder / "images", folder / "bad") +
                                std::vector<std::string>{"--data", "imagefolder", "--batch-size", "8"},
                            folder.path(), ranks(2));
  CHECK(unread.wait() != 0);
  CHECK_MESSAGE(has(unread.output(), "warning: " + bad.string() + ": foreign"), unread.output());
  CHECK_MESSAGE(has(unread.output(), "continue with: mpirun -n 2 "), unread.output());
  CHECK_MESSAGE(has(unread.errors(), ": 1 of 40 images cannot be read"), unread.errors());
  CHECK(lines(unread.errors()) == 1);
}
#endif

TEST_CASE("the command that a stopped run names continues it, whatever its folder is called") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  const std::filesystem::path run = folder / "it's $HOME; a \"run\"";
  const TrainProcess program(
      tiny_arguments(folder / "data", run) + std::vector<std::string>{"--max-steps", "6", "--no-evaluate"},
      folder.path());
  REQUIRE(program.wait() == 0);
  CHECK(follow(program.output(), "stopped at --max-steps 6 of 18; continue with: ") == 0);
  CHECK(read_metrics(run / "metrics.jsonl").steps.size() == 18);
  CHECK(std::filesystem::exists(run / "report.html"));
}

TEST_CASE("Ctrl-C in the last evaluation ends it, and --resume evaluates again") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "data");
  write_idx_part(folder / "data", "train", 10000);
  write_idx_part(folder / "data", "t10k", 40);
  const TrainProcess program(
      tiny_arguments(folder / "data", folder / "run") + std::vector<std::string>{"--max-steps", "2"}, folder.path());
  for (int i = 0; i < 6000 && !has(program.output(), "evaluating: "); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  program.send(SIGINT);
  CHECK(program.wait() == -SIGINT);
  const TrainProcess resumed({"--resume", "--output", (folder / "run").string(), "--max-steps", "2"}, folder.path());
  CHECK(resumed.wait() == 0);
  CHECK(has(resumed.output(), "report: "));
}

TEST_CASE("a stop by bad files names them, says how to go on, and is gone on from once they are mended") {
  const TemporaryFolder folder;
  write_class_folders(folder / "data", 40, 3);
  const std::filesystem::path bad = folder / "data" / "a" / small_file_name(0);
  const Bytes good = read_bytes(bad);
  write_bytes(bad, bytes_of("no image"));
  const TrainProcess program(tiny_arguments(folder / "data", folder / "run") +
                                 std::vector<std::string>{"--data", "imagefolder", "--batch-size", "8"},
                             folder.path());
  CHECK(program.wait() == 1);
  const std::string output = program.output(), errors = program.errors();
  CHECK_MESSAGE(has(output, "warning: " + bad.string() + ": foreign"), output);
  CHECK_MESSAGE(has(errors, "1 of 40 images cannot be read, a share of at most 0.01 (--max-bad-share) wanted"), errors);
  CHECK_MESSAGE(std::count(errors.begin(), errors.end(), '\n') == 1, errors);
  const TrainProcess resumed({"--resume", "--output", (folder / "run").string()}, folder.path());
  CHECK(resumed.wait() == 1);
  CHECK_MESSAGE(has(resumed.output(), "resumed at step "), resumed.output());
  write_bytes(bad, good);
  CHECK(follow(output, " of 15; continue with: ") == 0);
  CHECK(read_metrics(folder / "run" / "metrics.jsonl").steps.size() == 15);
}

TEST_CASE("bfloat16 on a CPU that cannot is refused by name") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  setenv("ONEDNN_MAX_CPU_ISA", "SSE41", 1);  // oneDNN 2 and 3 both read it
  const TrainProcess program(
      tiny_arguments(folder / "data", folder / "run") + std::vector<std::string>{"--precision", "bfloat16"},
      folder.path());
  unsetenv("ONEDNN_MAX_CPU_ISA");
  CHECK(program.wait() == 1);
  CHECK_MESSAGE(has(program.errors(), "--precision: bfloat16 found, which oneDNN cannot compute on this CPU"),
                program.errors());
}

TEST_CASE("the number of steps that a time budget allows is in the checkpoint as soon as it is planned") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "data");
  write_idx_part(folder / "data", "train", 1000);
  write_idx_part(folder / "data", "t10k", 40);
  const std::vector<std::string> arguments = tiny_arguments(folder / "data", folder / "run");
  const TrainProcess program(
      arguments + std::vector<std::string>{"--batch-size", "2", "--epochs", "1000", "--time-budget", "100",
                                           "--checkpoint-interval", "0", "--no-evaluate"},
      folder.path());
  const auto planned = [&] {
    const std::string output = program.output();
    const std::size_t at = output.find("time budget: ");
    return at == std::string::npos || output.find('\n', at) == std::string::npos ? 0
                                                                                 : std::stol(output.substr(at + 13));
  };
  for (int i = 0; i < 6000 && planned() == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const long steps = planned();
  REQUIRE(steps > 0);
  for (int i = 0; i < 6000 && read_metrics(folder / "run" / "metrics.jsonl").steps.size() < 102; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  program.send(SIGKILL);
  REQUIRE(program.wait() == -SIGKILL);
  const std::vector<std::string> resume{"--resume", "--output", (folder / "run").string(), "--max-steps", "101"};
  const TrainProcess resumed(resume, folder.path());
  CHECK(resumed.wait() == 0);
  CHECK_MESSAGE(has(resumed.output(), "resumed at step 100"), resumed.output());
  CHECK_MESSAGE(has(resumed.output(), "101 of " + std::to_string(steps)), resumed.output());
}

TEST_CASE("--dry-run tells network, memory, steps and time, and writes nothing") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  for (const char* objective : {"swav", "deepcluster-v2"}) {
    const TrainProcess program(tiny_arguments(folder / "data", folder / "run") +
                                   std::vector<std::string>{"--dry-run", "--objective", objective},
                               folder.path());
    CHECK(program.wait() == 0);
    for (const char* part : {"ResNet-10", "18 steps of 16 images", "memory: ", "s a step", "nothing is written"})
      CHECK_MESSAGE(has(program.output(), part), program.output());
    CHECK(has(program.output(), "embeddings of all images") == (std::string(objective) != "swav"));
    CHECK_FALSE(std::filesystem::exists(folder / "run"));
  }
}

TEST_CASE("every error is one line on the standard error and a status that is not zero") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder / "data");
  write_bytes(folder / "data" / "t10k-images-idx3-ubyte", {1, 2, 3});
  const std::string output = (folder / "run").string();
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--nonsense"}, std::vector<std::string>{"--lr", "x"},
        std::vector<std::string>{"--data-dir", (folder / "data").string(), "--output", output},
        std::vector<std::string>{"--data", "cifar10", "--data-dir", "/nowhere", "--output", output},
        std::vector<std::string>{"--width", "12", "--output", output, "--data-dir", "/nowhere"}}) {
    const TrainProcess program(arguments, folder.path());
    CHECK(program.wait() == 1);
    const std::string errors = program.errors();
    CHECK_MESSAGE(errors.rfind("swav-train: error: ", 0) == 0, errors);
    CHECK_MESSAGE(std::count(errors.begin(), errors.end(), '\n') == 1, errors);
  }
}
