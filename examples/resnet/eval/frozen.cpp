// The library's evaluations on a session's features. In: a session. Out: results.
#include "eval/frozen.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "export/classifier.hpp"
#include "report/prototypes.hpp"
#include "swav/core/error.hpp"
#include "swav/evaluate/clustering.hpp"
#include "swav/evaluate/kmeans.hpp"
#include "swav/evaluate/knn.hpp"

namespace swav::resnet {
namespace {

std::string learned_and_measured(const Session& session, const Features& features) {
  return detail::concatenate(features_protocol(*session.data().training, session.size()), "; learned from ",
                             features.training.rows.rows(), " training images, measured on ", features.test.rows.rows(),
                             " test images of ", session.data().name);
}

nlohmann::json agreement_record(const ClusterAgreement& agreement) {
  return {{"nmi", agreement.nmi},       {"ari", agreement.ari},           {"accuracy", agreement.accuracy},
          {"purity", agreement.purity}, {"clusters", agreement.clusters}, {"classes", agreement.classes}};
}

const char* const agreement_text =
    "NMI with the mean of both entropies; ARI; accuracy with clusters and classes paired one to one (Hungarian "
    "method); "
    "purity with each cluster's most frequent class";

}  // namespace

void run_knn(Session& session, const KnnCommand& command) {
  for (const Index neighbors : command.neighbors) (void)KnnClassifier<float>({neighbors, command.temperature});
  const Features features = session.labelled_features();
  const EigenDevice device(session.options().threads);
  for (const Index neighbors : command.neighbors) {
    const KnnClassifier<float> knn({.neighbors = neighbors, .temperature = command.temperature}, device);
    const double accuracy =
        knn.accuracy(features.training.rows, features.training.labels, features.test.rows, features.test.labels);
    session.report("knn",
                   learned_and_measured(session, features) + detail::concatenate("; k-NN: cosine, k ", neighbors,
                                                                                 ", weights exp(similarity / ",
                                                                                 command.temperature, ")"),
                   {{"neighbors", neighbors}, {"accuracy", accuracy}});
  }
}

void run_linear(Session& session, const LinearCommand& command) {
  const EigenDevice device(session.options().threads);
  LinearProbe<float> probe(command.probe, device);
  const Features features = session.labelled_features();
  const ProbeFit fit = probe.fit(features.training.rows, features.training.labels);
  const double accuracy = probe.accuracy(features.test.rows, features.test.labels);
  const LinearProbeOptions& o = command.probe;
  std::string protocol = learned_and_measured(session, features) + "; linear: softmax regression on " +
                         (o.standardize ? "standardised features" : "features as they are") + ", ";
  if (o.solver == ProbeSolver::lbfgs)
    protocol += detail::concatenate("L-BFGS, ", fit.iterations, " of at most ", o.lbfgs.max_iterations,
                                    " iterations, weight decay ", o.lbfgs.weight_decay);
  else
    protocol += detail::concatenate("SGD with momentum 0.9, rate ", o.sgd.learning_rate, " falling by half a cosine, ",
                                    o.sgd.epochs, " epochs of batches of ", o.sgd.batch_size, ", weight decay ",
                                    o.sgd.weight_decay, ", seed ", o.seed);
  session.report("linear", protocol, {{"accuracy", accuracy}, {"training_loss", fit.loss}});
  if (command.save.empty()) return;
  const LinearScores scores = probe.scores();
  write_classifier(command.save, {.classes = scores.classes,
                                  .features = features.training.rows.cols(),
                                  .weight = {scores.weights.begin(), scores.weights.end()},
                                  .bias = {scores.biases.begin(), scores.biases.end()}});
  std::printf("fc.weight and fc.bias: %s\n", command.save.c_str());
}

void run_cluster(Session& session, const ClusterCommand& command) {
  const ImageSource& images = session.part(command.part);
  detail::require(!images.labels.empty(), "--part: ", command.part, " found, which has no classes to compare with");
  const PartFeatures features = session.features(images);
  const EigenDevice device(session.options().threads);
  const std::string of = detail::concatenate(features_protocol(images, session.size()), ", of ", features.rows.rows(),
                                             " ", command.part, " images of ", session.data().name);

  const Index classes = *std::ranges::max_element(features.labels) + 1;
  const KMeansOptions options{.clusters = command.clusters > 0 ? command.clusters : classes, .seed = command.seed};
  const KMeansResult<float> found = spherical_kmeans<float>(features.rows, options, device);
  nlohmann::json result = agreement_record(cluster_agreement(found.clusters, features.labels));
  result["by"] = "k-means";
  session.report("cluster",
                 detail::concatenate(of, "; spherical k-means, k ", options.clusters, ", the best of ", options.starts,
                                     " k-means++ starts, seed ", options.seed, "; ", agreement_text),
                 result);

  const std::vector<StoredNetwork::Tensor>& heads = session.stored().prototypes();
  if (heads.empty() || !session.stored().architecture().head) return;
  const RowMatrix<float> embeddings = project(session.network(), features.rows);
  for (std::size_t head = 0; head < heads.size(); ++head) {
    RowMatrix<float> prototypes =
        Eigen::Map<const RowMatrix<float>>(heads[head].values.data(), heads[head].shape[0], heads[head].shape[1]);
    prototypes.rowwise().normalize();
    const std::vector<int> assigned = assign_prototypes<float>(embeddings, prototypes, device);
    result = agreement_record(cluster_agreement(assigned, features.labels));
    result["by"] = heads.size() == 1 ? "prototypes" : "prototypes " + std::to_string(head);
    session.report(
        "cluster",
        detail::concatenate(of, "; the arg max of ", prototypes.rows(), " prototypes' scores; ", agreement_text),
        result);
  }
}

}  // namespace swav::resnet
