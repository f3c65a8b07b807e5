// swav-eval in one process. In: a tiny run's checkpoint. Out: what each subcommand computes, writes and refuses.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "eval/command_line.hpp"
#include "eval/json_lines.hpp"
#include "eval/session.hpp"
#include "eval/softmax_layer.hpp"
#include "eval/subset.hpp"
#include "export/torchvision.hpp"
#include "report/prototypes.hpp"
#include "support.hpp"
#include "swav/core/error.hpp"
#include "swav/evaluate/clustering.hpp"
#include "swav/evaluate/knn.hpp"
#include "swav/evaluate/statistics.hpp"
#include "train/checkpoint.hpp"
#include "train/run.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

void run_command(const std::vector<std::string>& arguments) {
  std::vector<const char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  parse_eval_command_line(static_cast<int>(pointers.size()), pointers.data()).run();
}

/// A run of 3 steps; evaluations of its checkpoint, and the JSON lines they leave.
class TinyRun {
 public:
  TinyRun() {
    write_tiny_fashion_mnist(folder / "data");
    TrainOptions options = tiny_options(folder / "data", folder / "run");
    options.epochs = 1;
    options.evaluate = false;
    options.precision = "float32";
    REQUIRE(run_training(options) == 0);
  }

  [[nodiscard]] std::string path(const std::string& name) const { return (folder / name).string(); }

  std::vector<nlohmann::json> evaluate(const std::string& command, std::vector<std::string> arguments) const {
    const std::string json = path("results.jsonl");
    std::filesystem::remove(json);
    arguments.insert(arguments.begin(), {"swav-eval", command, path("run")});
    arguments.insert(arguments.end(), {"--json", json, "--threads", "1"});
    run_command(arguments);
    std::vector<nlohmann::json> lines;
    std::istringstream text(std::filesystem::exists(json) ? read_text(json) : "");
    for (std::string one; std::getline(text, one);) lines.push_back(nlohmann::json::parse(one));
    return lines;
  }

  TemporaryFolder folder;
};

std::string refusal(const TinyRun& run, const std::string& command, const std::vector<std::string>& arguments) {
  try {
    (void)run.evaluate(command, arguments);
  } catch (const InvalidInput& error) {
    return error.what();
  }
  return "no refusal";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The values of a file of NumPy's, and its header.
template <class T>
std::vector<T> read_npy(const std::string& path, std::string& header) {
  const Bytes bytes = read_bytes(path);
  REQUIRE(bytes.size() > 10);
  CHECK(std::string(bytes.begin(), bytes.begin() + 8) == std::string("\x93NUMPY\1\0", 8));
  const std::size_t length = bytes[8] + std::size_t{256} * bytes[9];
  CHECK((10 + length) % 64 == 0);
  header.assign(bytes.begin() + 10, bytes.begin() + 10 + static_cast<std::ptrdiff_t>(length));
  CHECK(header.back() == '\n');
  std::vector<T> values((bytes.size() - 10 - length) / sizeof(T));
  std::memcpy(values.data(), bytes.data() + 10 + length, values.size() * sizeof(T));
  return values;
}

}  // namespace

TEST_CASE("knn and linear give the library's accuracies of the checkpoint's features; the linear layer can be saved") {
  const TinyRun run;
  Session session({.checkpoint = run.path("run"), .precision = "float32", .threads = 1});
  const Features features = session.labelled_features();
  REQUIRE(features.training.rows.rows() == 96);
  const auto knn = run.evaluate("knn", {"--neighbors", "5", "20", "--precision", "float32"});
  REQUIRE(knn.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const Index neighbors = i == 0 ? 5 : 20;
    CHECK(knn[i].at("neighbors") == neighbors);
    CHECK(knn[i].at("accuracy").get<double>() ==
          KnnClassifier<float>({.neighbors = neighbors})
              .accuracy(features.training.rows, features.training.labels, features.test.rows, features.test.labels));
    CHECK(has(knn[i].at("protocol"), "learned from 96 training images, measured on 40 test images of Fashion-MNIST"));
    CHECK(has(knn[i].at("protocol"), "k-NN: cosine, k " + std::to_string(neighbors) + ","));
  }

  const auto linear = run.evaluate("linear", {"--save", run.path("fc.safetensors"), "--precision", "float32"});
  REQUIRE(linear.size() == 1);
  const Classifier classifier = read_classifier(run.path("fc.safetensors"), features.test.rows.cols());
  const Eigen::Map<const RowMatrix<float>> weight(classifier.weight.data(), classifier.classes, classifier.features);
  const Eigen::Map<const Eigen::RowVectorXf> bias(classifier.bias.data(), classifier.classes);
  std::vector<int> predictions;
  for (Index r = 0; r < features.test.rows.rows(); ++r) {
    Index best = 0;
    (features.test.rows.row(r) * weight.transpose() + bias).maxCoeff(&best);
    predictions.push_back(static_cast<int>(best));
  }
  CHECK(accuracy(predictions, features.test.labels) == linear[0].at("accuracy").get<double>());
  CHECK(linear[0].at("accuracy").get<double>() > 0.5);

  const auto sgd = run.evaluate("linear", {"--solver", "sgd", "--epochs", "7", "--no-standardize", "--lr", "0.1"});
  CHECK(has(sgd.at(0).at("protocol"), "features as they are, SGD with momentum 0.9, rate 0.1"));
  CHECK(has(sgd.at(0).at("protocol"), "7 epochs of batches of 256, weight decay 1e-06"));
}

TEST_CASE("cluster compares k-means' clusters and the prototypes' with the classes") {
  const TinyRun run;
  const auto results = run.evaluate("cluster", {"--part", "training", "--clusters", "7", "--precision", "float32"});
  REQUIRE(results.size() == 2);
  CHECK(results[0].at("by") == "k-means");
  CHECK(results[0].at("clusters") == 7);
  Session session({.checkpoint = run.path("run"), .precision = "float32", .threads = 1});
  const PartFeatures features = session.features(session.part("training"));
  const StoredNetwork::Tensor& stored = session.stored().prototypes().at(0);
  RowMatrix<float> prototypes = Eigen::Map<const RowMatrix<float>>(stored.values.data(), 12, 8);
  prototypes.rowwise().normalize();
  const RowMatrix<float> embeddings = project(session.network(), features.rows);
  const ClusterAgreement wanted = cluster_agreement(assign_prototypes<float>(embeddings, prototypes), features.labels);
  CHECK(results[1].at("by") == "prototypes");
  CHECK(results[1].at("nmi").get<double>() == doctest::Approx(wanted.nmi));
  CHECK(results[1].at("ari").get<double>() == doctest::Approx(wanted.ari));
  CHECK(results[1].at("accuracy").get<double>() == doctest::Approx(wanted.accuracy));
  CHECK(has(results[1].at("protocol"), "the arg max of 12 prototypes' scores"));
}

TEST_CASE("embed writes features, labels and image numbers as safetensors and as NumPy's files") {
  const TinyRun run;
  Session session({.checkpoint = run.path("run"), .precision = "float32", .threads = 1});
  const PartFeatures features = session.features(session.part("test"));
  (void)run.evaluate("embed", {run.path("e.safetensors"), "--precision", "float32"});
  const SafetensorsFile file(run.path("e.safetensors"));
  CHECK(file.at("features").shape == std::vector<Index>{40, features.rows.cols()});
  std::vector<float> values(static_cast<std::size_t>(features.rows.size()));
  file.read("features", VectorView<float>(values));
  CHECK(std::equal(values.begin(), values.end(), features.rows.data()));
  std::vector<std::int64_t> labels(40), images(40);
  file.read("labels", VectorView<std::int64_t>(labels));
  file.read("images", VectorView<std::int64_t>(images));
  CHECK(std::ranges::equal(labels, features.labels));
  CHECK(std::ranges::equal(images, features.images));

  (void)run.evaluate("embed", {run.path("e.npy"), "--projection", "--precision", "float32"});
  std::string header;
  const std::vector<float> projected = read_npy<float>(run.path("e.npy"), header);
  CHECK_MESSAGE(has(header, "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 8), }"), header);
  const RowMatrix<float> wanted = project(session.network(), features.rows);
  REQUIRE(static_cast<Index>(projected.size()) == wanted.size());
  CHECK(std::equal(projected.begin(), projected.end(), wanted.data()));
  CHECK(std::ranges::equal(read_npy<std::int64_t>(run.path("e.labels.npy"), header), features.labels));
  CHECK_MESSAGE(has(header, "{'descr': '<i8', 'fortran_order': False, 'shape': (40,), }"), header);

  CHECK(has(refusal(run, "embed", {run.path("e.csv")}), "a name that ends in .safetensors or .npy wanted"));
  CHECK(has(refusal(run, "embed", {run.path("e.npy"), "--part", "unlabeled"}), "which Fashion-MNIST does not have"));
}

TEST_CASE("a class-balanced subset has each class's share, grows with it and follows the seed") {
  std::vector<int> labels;
  for (int i = 0; i < 1000; ++i) labels.push_back(i % 100 < 70 ? 0 : i % 100 < 99 ? 2 : 3);
  const auto counts = [&](double share, std::uint64_t seed) {
    std::vector<int> count(4);
    for (const Index i : balanced_subset(labels, share, seed))
      ++count[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])];
    return count;
  };
  CHECK(counts(0.1, 0) == std::vector<int>{70, 0, 29, 1});
  CHECK(counts(0.01, 0) == std::vector<int>{7, 0, 3, 1});
  CHECK(counts(1.0, 0) == std::vector<int>{700, 0, 290, 10});
  const std::vector<Index> few = balanced_subset(labels, 0.01, 5), more = balanced_subset(labels, 0.1, 5);
  CHECK(std::ranges::is_sorted(more));
  CHECK(std::ranges::includes(more, few));
  CHECK(few == balanced_subset(labels, 0.01, 5));
  CHECK(few != balanced_subset(labels, 0.01, 6));
  CHECK_THROWS_AS((void)balanced_subset(labels, 0, 1), InvalidInput);
  CHECK_THROWS_AS((void)balanced_subset(labels, 1.5, 1), InvalidInput);
  labels[3] = -1;
  CHECK_THROWS_AS((void)balanced_subset(labels, 0.5, 1), InvalidInput);
}

TEST_CASE("the softmax layer's gradients are its loss's differences") {
  SoftmaxLayer layer(random_classifier(3, 4, 1));
  PhiloxStream random(2, 0);
  for (Index i = 0; i < layer.weight.size(); ++i) layer.weight.data()[i] = static_cast<float>(random.uniform(-1, 1));
  layer.bias << 0.3f, -0.2f, 0.1f;
  RowMatrix<float> features(5, 4);
  for (Index i = 0; i < features.size(); ++i) features.data()[i] = static_cast<float>(random.uniform(-2, 2));
  const std::vector<int> labels{0, 2, 1, 2, 2};
  RowMatrix<float> grad_features, ignored;
  const double loss = layer.step(features, labels, grad_features);
  double by_hand = 0;
  for (Index r = 0; r < 5; ++r) {
    const Eigen::RowVectorXd scores = (features.row(r) * layer.weight.transpose() + layer.bias).cast<double>();
    by_hand += std::log(scores.array().exp().sum()) - scores(labels[static_cast<std::size_t>(r)]);
  }
  CHECK(loss == doctest::Approx(by_hand / 5));
  const RowMatrix<float> grad_weight = layer.grad_weight;
  const Eigen::RowVectorXf grad_bias = layer.grad_bias;
  const auto difference = [&](float& value) {
    constexpr float step = 1e-2f;
    const float kept = value;
    value = kept + step;
    const double above = layer.step(features, labels, ignored);
    value = kept - step;
    const double below = layer.step(features, labels, ignored);
    value = kept;
    return (above - below) / (2 * static_cast<double>(step));
  };
  for (Index i = 0; i < layer.weight.size(); ++i)
    CHECK(std::abs(difference(layer.weight.data()[i]) - static_cast<double>(grad_weight.data()[i])) < 2e-4);
  for (Index i = 0; i < 3; ++i) CHECK(std::abs(difference(layer.bias(i)) - static_cast<double>(grad_bias(i))) < 2e-4);
  for (Index i = 0; i < features.size(); ++i)
    CHECK(std::abs(difference(features.data()[i]) - static_cast<double>(grad_features.data()[i])) < 2e-4);
}

TEST_CASE(
    "finetune learns from a share of the labels, from the checkpoint or from scratch, and saves what it learned") {
  const TinyRun run;
  const std::vector<std::string> settings{"--epochs", "6",   "--min-steps", "60",  "--batch-size", "16",
                                          "--lr",     "0.1", "--head-lr",   "0.1", "--precision",  "float32"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), settings.begin(), settings.end());
    return more;
  };
  const auto curve = run.evaluate("finetune", with({"--labels", "0.1", "1", "--save", run.path("tuned.safetensors")}));
  REQUIRE(curve.size() == 2);
  CHECK(curve[0].at("labels") == 0.1);
  CHECK(curve[0].at("images").get<int>() < 20);
  CHECK(curve[1].at("images") == 96);
  CHECK(has(curve[1].at("protocol"), "from the checkpoint on 96 of 96 training images of Fashion-MNIST"));
  CHECK(has(curve[1].at("protocol"), "10 epochs, 60 steps of 16; SGD"));
  MESSAGE("accuracies " << curve[0].at("accuracy") << " and " << curve[1].at("accuracy"));
  CHECK(curve[1].at("accuracy").get<double>() > 0.6);  // chance is 0.1

  // The saved network, evaluated anew, is the one that was measured.
  const StoredNetwork tuned(run.path("tuned.safetensors"));
  CHECK(tuned.has_classifier());
  Session session({.checkpoint = run.path("tuned.safetensors"),
                   .data = "fashion-mnist",
                   .data_dir = run.path("data"),
                   .precision = "float32",
                   .threads = 1});
  const PartFeatures test = session.features(session.part("test"));
  const SoftmaxLayer layer(stored_classifier(tuned));
  CHECK(accuracy(layer.predict(test.rows), test.labels) == curve[1].at("accuracy").get<double>());

  const auto again = run.evaluate("finetune", with({"--labels", "1"}));
  CHECK(again.at(0).at("accuracy") == curve[1].at("accuracy"));
  CHECK(again.at(0).at("training_loss") == curve[1].at("training_loss"));
  const auto scratch = run.evaluate("finetune", with({"--labels", "1", "--from-scratch"}));
  CHECK(scratch.at(0).at("from_scratch") == true);
  CHECK(has(scratch.at(0).at("protocol"), "trained from scratch"));
  CHECK(scratch.at(0).at("training_loss") != curve[1].at("training_loss"));

  // The first steps of all 60 leave the backbone as it is, but for batch norm's running statistics.
  const auto head =
      run.evaluate("finetune", with({"--labels", "1", "--head-steps", "60", "--save", run.path("head.safetensors")}));
  CHECK(has(head.at(0).at("protocol"), "the linear layer alone trained from the checkpoint"));
  CHECK(head.at(0).at("training_loss") != curve[1].at("training_loss"));
  const StoredNetwork start(run.path("run")), end(run.path("head.safetensors"));
  CHECK(end["conv1.weight"].values == start["conv1.weight"].values);
  CHECK(end["layer4.0.conv2.weight"].values == start["layer4.0.conv2.weight"].values);
  CHECK(end["bn1.running_mean"].values != start["bn1.running_mean"].values);
  CHECK(tuned["conv1.weight"].values != start["conv1.weight"].values);
  const auto both = run.evaluate("finetune", with({"--labels", "1", "--head-steps", "5"}));
  CHECK(has(both.at(0).at("protocol"), "weight decay 0.0001, the backbone from step 6;"));
}

TEST_CASE("compare puts runs, what they differ in, and the curves of finetune on one page") {
  const TinyRun run;
  TrainOptions other = tiny_options(run.path("data"), run.path("other"));
  other.epochs = 1;
  other.prototypes = 11;
  REQUIRE(run_training(other) == 0);
  const std::string results = run.path("curve.jsonl"), page = run.path("page.html");
  append_json_line(results, {{"command", "knn"}, {"checkpoint", "x"}});
  for (const double labels : {0.01, 0.1})
    for (const double accuracy : {0.25, 0.35})  // two seeds
      append_json_line(results, {{"command", "finetune"},
                                 {"checkpoint", run.path("run/checkpoint.safetensors")},
                                 {"from_scratch", labels > 0.05},
                                 {"labels", labels},
                                 {"accuracy", accuracy}});
  const auto compare = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"swav-eval", "compare"});
    run_command(arguments);
  };
  compare({run.path("run"), run.path("other/"), "--results", results, "--output", page});
  const std::string html = read_text(page);
  CHECK(has(html, "<td>run</td>"));
  CHECK(has(html, "<td>other</td>"));
  CHECK(has(html, "--prototypes 11"));
  CHECK(!has(html, "--batch-size"));  // which is the same
  CHECK(has(html, "<td>run, from scratch</td><td>-</td><td>30.00 %</td>"));
  CHECK(has(html, "aria-label=\"Accuracy by share of the labels\""));

  CHECK_THROWS_AS(compare({run.path("none"), "--output", page}), FileError);
  CHECK_THROWS_WITH_AS(compare(std::vector<std::string>(9, run.path("run"))), "compare: 9 runs found, 1 to 8 wanted",
                       InvalidInput);
  write_bytes(run.path("torn.jsonl"), {'{', '"'});
  CHECK_THROWS_WITH_AS(compare({run.path("run"), "--results", run.path("torn.jsonl"), "--output", page}),
                       doctest::Contains("line 1 is no result of swav-eval"), FileError);
}

TEST_CASE("swav-eval refuses by name what it cannot do") {
  const TinyRun run;
  for (const auto& [command, arguments, wanted] :
       std::vector<std::tuple<std::string, std::vector<std::string>, std::string>>{
           {"knn", {"--neighbors", "0"}, "neighbors: 0 found, 1 or more"},
           {"knn", {"--neighbors", "97"}, "train_features: 96 x"},
           {"knn", {"--nonsense"}, "--nonsense"},
           {"nothing", {}, "A subcommand is required"},
           {"knn", {"--size", "20"}, "--size: 20 found, 28 wanted"},
           {"linear", {"--solver", "sgd", "--lr", "0"}, "sgd.learning_rate: 0 found"},
           {"cluster", {"--clusters", "99"}, "clusters: 99 found, 1 to 40"},
           {"finetune", {"--labels", "0"}, "--labels: 0 found"},
           {"finetune", {"--batch-size", "1"}, "--batch-size: 1 found"},
           {"finetune", {"--head-steps", "-1"}, "--head-steps: -1 found"},
           {"finetune", {"--scale", "0.5", "2"}, "scale"}})
    CHECK_MESSAGE(has(refusal(run, command, arguments), wanted), refusal(run, command, arguments));

  CHECK_THROWS_WITH_AS(Session({.checkpoint = SWAV_GOLDEN_DIR "/release_layout.safetensors"}),
                       doctest::Contains("--data: none found"), InvalidInput);
  CHECK_THROWS_WITH_AS(Session({.checkpoint = SWAV_GOLDEN_DIR "/release_layout.safetensors",
                                .data = "fashion-mnist",
                                .data_dir = run.path("data")}),
                       doctest::Contains("images of 1 channel(s) found, 3 wanted"), InvalidInput);
  CHECK_THROWS_AS(Session({.checkpoint = run.path("none")}), FileError);
}
