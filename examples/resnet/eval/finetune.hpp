// Learning with few labels. In: a session, shares of the labels. Out: accuracies of networks trained from the
// checkpoint, or from scratch, with these labels.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "eval/session.hpp"

namespace swav::resnet {

struct FinetuneCommand {
  std::vector<double> shares = {0.01, 0.1, 1.0};  ///< of each class's labels
  bool from_scratch = false;                 ///< random weights of the checkpoint's architecture instead of its own
  int epochs = 20;                           ///< at least, over the images with labels
  Index min_steps = 500;                     ///< epochs are added until there are as many
  Index head_steps = 0;                      ///< first steps, in which the linear layer learns alone
  Index batch_size = 64;                     ///< or all images, where there are fewer
  double learning_rate = 0.1;                ///< of the backbone
  double head_learning_rate = 0.1;           ///< of the linear layer on it
  double weight_decay = 1e-4;                ///< of all but biases and batch norms
  std::array<double, 2> scale = {0.3, 1.0};  ///< of the random crops' share of the area
  double flip = 0.5;
  std::uint64_t seed = 0;  ///< of the images with labels, order, crops, and weights that start random
  std::string save = {};   ///< safetensors file for the last network, torchvision's names; "": none
};

/// For each share: a class-balanced draw of the training images; backbone and linear layer trained together on it by
/// SGD with momentum 0.9, the rates falling by half a cosine, batch norm in training mode; the accuracy on all test
/// images. Prints and records each. Gradients of a linear layer that has learned nothing undo features that are good:
/// head_steps keep the backbone until it has (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features").
void run_finetune(Session& session, const FinetuneCommand& command);

}  // namespace swav::resnet
