// Writes features. In: a session. Out: files.
#include "eval/embed.hpp"

#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

#include "report/prototypes.hpp"
#include "swav/core/error.hpp"
#include "swav/io/safetensors.hpp"
#include "train/safe_text.hpp"

namespace swav::resnet {
namespace {

// "\x93NUMPY", the version, the header's length in two bytes; the header fills up to a multiple of 64 bytes.
void write_npy(const std::string& path, const std::string& type, const std::string& shape,
               std::span<const std::byte> values) {
  std::string header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  header.append(64 - (10 + header.size() + 1) % 64, ' ');
  header += '\n';
  std::string start = "\x93NUMPY";
  start += {'\1', '\0', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  start += header;
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(start)), values};
  write_file_atomically(path, parts);
}

}  // namespace

void run_embed(Session& session, const EmbedCommand& command) {
  const bool npy = command.output.ends_with(".npy");
  detail::require(npy || command.output.ends_with(".safetensors"), "OUTPUT: ", command.output,
                  " found, a name that ends in .safetensors or .npy wanted");
  detail::require(!command.projection || session.stored().architecture().head, "--projection: found, but ",
                  session.stored().path(), " has no projection head");
  const ImageSource& images = session.part(command.part);
  PartFeatures features = session.features(images);
  std::string what = features_protocol(images, session.size());
  if (command.projection) {
    features.rows = project(session.network(), features.rows);
    what = "unit outputs of the projection head on " + what;
  }
  const Index rows = features.rows.rows(), cols = features.rows.cols();
  const std::span<const float> values(features.rows.data(), static_cast<std::size_t>(rows * cols));
  const std::vector<std::int64_t> labels(features.labels.begin(), features.labels.end());
  const std::vector<std::int64_t> numbers(features.images.begin(), features.images.end());
  if (npy) {
    write_npy(command.output, "<f4", detail::concatenate(rows, ", ", cols), std::as_bytes(values));
    if (!labels.empty())
      write_npy(command.output.substr(0, command.output.size() - 4) + ".labels.npy", "<i8",
                detail::concatenate(rows, ","), std::as_bytes(std::span(labels)));
  } else {
    std::vector<StoredTensor> tensors{stored_tensor<float>("features", {rows, cols}, values),
                                      stored_tensor<std::int64_t>("images", {rows}, numbers)};
    if (!labels.empty()) tensors.push_back(stored_tensor<std::int64_t>("labels", {rows}, labels));
    write_safetensors(command.output, tensors, {{"format", "pt"}, {"what", what}});
  }
  std::printf("%s: %s, of %td %s images of %s\n", printable(command.output).c_str(), what.c_str(), rows,
              command.part.c_str(), printable(session.data().name).c_str());
}

}  // namespace swav::resnet
