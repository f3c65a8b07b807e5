// The networks that the trainer uses. In: images written straight into them, gradients of the embeddings. Out:
// embeddings, parameter gradients, features of a trained network.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/precision.hpp"
#include "engine/program.hpp"
#include "model/weights.hpp"

namespace swav::resnet {

/// Whether a network has a backward pass, and the memory for it.
enum class Gradients { computed, none };

/// What a network computes on: the CPU, by oneDNN, or the GPU, by cuDNN.
enum class Processor { cpu, cuda };

/// A residual network with a projection head, in training mode.
/// Each group of images goes through the trunk on its own (batch norm's statistics are a group's, running statistics
/// take the groups in order); the head takes the rows of all groups together. Results repeat bit for bit at a fixed
/// number of OpenMP threads, which is read at construction. One step (forward, backward) allocates nothing large:
/// all memory is planned at construction; what remains are some hundred bytes a primitive inside oneDNN.
class Network {
 public:
  /// `groups` are this rank's images, as many on each of `ranks`: batch norm's statistics are of all ranks' images, and
  /// running ones the same on each; forward() and backward() are collective.
  /// Throws InvalidInput for an unknown depth, a width that is no positive multiple of 8, an empty group, or so few
  /// values that batch norm is undefined; for a GPU in a build without CUDA. Throws CudaError where there is no GPU, or
  /// too little memory on it.
  Network(const Architecture& architecture, std::vector<ImageGroup> groups, Precision precision, std::uint64_t seed,
          Gradients gradients = Gradients::computed, RankGroup ranks = {}, Processor processor = Processor::cpu);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// Where group `group`'s images go before each forward(): images x channels x size x size, planar, memory of the
  /// host and the network's for as long as it lives. May be refilled once forward() has returned.
  [[nodiscard]] std::span<float> input(std::size_t group);
  /// The same for who writes them where the network computes. On the CPU input() itself; on a GPU images x size x size
  /// x pixel_stride values in the network's precision, those behind the channels 0, in the order of the stream. They
  /// are read as they are, unless input() has ever been asked for: then each forward() copies that here.
  [[nodiscard]] ImageMemory images(std::size_t group);
  /// Embeddings, (sum of images) x embedding, groups in order, not L2-normalised; without a head the pooled features.
  /// In the memory of the processor, as are the gradients that backward() takes. On a GPU both calls return before the
  /// work is done, which is on the stream of engine/cuda/device.cuh.
  /// Valid until backward(). Moves the running statistics. Reads the weights' current values.
  MatrixView<const float> forward();
  /// Overwrites every gradient with that of the loss whose gradient in the last forward()'s embeddings is given, once a
  /// forward(). The weights must not have changed since. Throws InvalidInput on a wrong shape, without a forward(), or
  /// for a network without gradients. The gradients are those of this rank's embeddings: their sum over the ranks is
  /// that of the whole batch.
  void backward(MatrixView<const float> grad_embeddings);

  /// Parameters and running statistics: the whole state, for the host. The spans stay valid; values may be written
  /// between steps. On a GPU these are copies: call download() before values or gradients are read, upload() once they
  /// have been written, as always in code for any processor.
  [[nodiscard]] std::vector<NamedTensor>& tensors();
  void download();
  void upload();
  /// The same tensors where the network computes: for optimisers. On a CPU tensors() itself.
  [[nodiscard]] std::vector<NamedTensor>& parameters();
  /// All gradients there, in one piece, with zeros between some of them.
  [[nodiscard]] std::span<float> gradients();
  [[nodiscard]] Processor processor() const { return processor_; }
  [[nodiscard]] const Architecture& architecture() const;
  /// How many inputs there are.
  [[nodiscard]] std::size_t groups() const;
  [[nodiscard]] Index rows() const;
  [[nodiscard]] Index embedding_dimension() const;
  /// Channels of the trunk's last stage.
  [[nodiscard]] Index feature_dimension() const;
  /// One line: depth, width, parameters, groups, precision, memory.
  [[nodiscard]] std::string describe() const;
  /// The arena: activations, their gradients, converted weights, scratchpads; without images and master weights.
  [[nodiscard]] std::size_t activation_bytes() const;

  /// Times each step from now on; step_times() gives the least time of each, in order.
  void set_profiling(bool on);
  [[nodiscard]] std::vector<Program::StepTime> step_times() const;

  struct Implementation;

 private:
  friend class FeatureExtractor;
  Processor processor_;
  std::unique_ptr<Implementation> implementation_;
};

/// A trained network's trunk in evaluation mode (running statistics): features after global pooling, without the head.
class FeatureExtractor {
 public:
  /// `trained` must outlive the extractor. Throws InvalidInput on an empty batch. The weights are those at construction
  /// until refresh() is called.
  FeatureExtractor(Network& trained, ImageGroup batch, Precision precision);
  ~FeatureExtractor();
  FeatureExtractor(const FeatureExtractor&) = delete;
  FeatureExtractor& operator=(const FeatureExtractor&) = delete;

  [[nodiscard]] Index feature_dimension() const { return feature_dimension_; }
  /// batch.images x channels x size x size, planar. A last, smaller batch may leave rows as they are and ignore their
  /// features: no image influences another's.
  [[nodiscard]] std::span<float> input();
  /// The same where the network computes; see Network::images().
  [[nodiscard]] ImageMemory images();
  [[nodiscard]] Processor processor() const { return processor_; }
  /// Takes the images through the network; on a GPU this returns before the work is done.
  void compute();
  /// Of the last compute(), for which it waits: batch.images x feature_dimension, in the host's memory; valid until the
  /// next call.
  MatrixView<const float> features();
  /// Takes the network's current weights and running statistics.
  void refresh();

  struct Implementation;

 private:
  Processor processor_;
  Index feature_dimension_;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace swav::resnet
