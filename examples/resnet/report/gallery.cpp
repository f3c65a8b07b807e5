// Pictures of crops and prototypes. In: pixels. Out: HTML.
#include "report/gallery.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "report/charts.hpp"
#include "report/png.hpp"

namespace swav::resnet {
namespace {

// A normalised planar crop as it looked before.
Picture picture_of(const std::vector<float>& crop, Index size, Index channels, const Normalization& normalization) {
  Picture picture{.height = size, .width = size, .channels = channels};
  for (Index c = 0; c < channels; ++c)
    for (Index p = 0; p < size * size; ++p) {
      const auto channel = static_cast<std::size_t>(c);
      const double value = crop[static_cast<std::size_t>(c * size * size + p)] * normalization.std[channel] +
                           normalization.mean[channel];
      picture.pixels[static_cast<std::size_t>(p * channels + c)] =
          static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0)));
    }
  return picture;
}

// The middle of an image, as large as a small picture needs it. The colours are exact where nothing is resized.
Picture picture_of(const ImageView<std::uint8_t>& image) {
  const Index size = std::min<Index>(96, std::min(image.height, image.width));
  const Normalization plain = Normalization::none();
  std::vector<float> planes(static_cast<std::size_t>(image.channels * size * size));
  render_crop(image, center_crop(image.height, image.width, size, size), plain, planes.data());
  return picture_of(planes, size, image.channels, plain);
}

std::string image_element(const Picture& picture, const std::string& css_class, const std::string& description,
                          Index shown_pixels) {
  const std::string side = std::to_string(shown_pixels);
  return "<img class=\"" + css_class + (picture.width <= 64 ? " pixels" : "") + "\" width=\"" + side + "\" height=\"" +
         side + "\" alt=\"" + escape_html(description) + "\" title=\"" + escape_html(description) + "\" src=\"" +
         png_data_uri(picture) + "\">";
}

std::string class_name(const Dataset& data, int label) {
  return label >= 0 && label < static_cast<int>(data.class_names.size())
             ? data.class_names[static_cast<std::size_t>(label)]
             : std::string("no class");
}

}  // namespace

std::string crop_gallery(const Dataset& data, const MultiCropSampler& crops, const TrainOptions& options) {
  constexpr Index shown = 6;
  const ImageSource& images = data.pretraining();
  const std::unique_ptr<ImageReader> reader = images.reader();
  const double scale = 72.0 / static_cast<double>(options.large_size);
  std::string html = "<div class=\"crops\">\n";
  for (Index i = 0, left = shown; i < images.count() && left > 0; ++i) {
    const ImageView<std::uint8_t> image = reader->read(i);
    if (image.data == nullptr) continue;
    --left;
    std::vector<std::vector<float>> views;
    std::vector<float*> outputs;
    for (Index v = 0; v < crops.views(); ++v)
      views.emplace_back(static_cast<std::size_t>(image.channels * crops.view(v).size * crops.view(v).size));
    for (std::vector<float>& view : views) outputs.push_back(view.data());
    crops(image, CropKey{options.seed, 0, static_cast<std::uint64_t>(i)}, outputs);

    html += "<div class=\"row\">" + image_element(picture_of(image), "original", "the image", 72);
    for (Index v = 0; v < crops.views(); ++v) {
      const Index size = crops.view(v).size;
      const bool is_large = v < options.large_crops;
      html += image_element(picture_of(views[static_cast<std::size_t>(v)], size, image.channels, data.normalization),
                            is_large ? "large" : "small",
                            std::string(is_large ? "large" : "small") + " crop, view " + std::to_string(v),
                            static_cast<Index>(std::lround(scale * static_cast<double>(size))));
    }
    html += "</div>\n";
  }
  return html + "</div>\n";
}

std::string prototype_gallery(const Dataset& data, std::span<const Index> images, const std::vector<PrototypeUse>& uses,
                              int shown) {
  std::vector<PrototypeUse> ranked = uses;
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const PrototypeUse& a, const PrototypeUse& b) { return a.images > b.images; });
  // The tail is left out where it stands for nothing.
  const auto used = static_cast<std::size_t>(
      std::count_if(ranked.begin(), ranked.end(), [](const PrototypeUse& use) { return use.images > 0; }));
  const auto count = std::min<std::size_t>(static_cast<std::size_t>(shown), used);
  const std::unique_ptr<ImageReader> reader = data.training->reader();
  const std::vector<int>& labels = data.training->labels;
  std::string html = "<div class=\"prototypes\">\n";
  for (std::size_t i = 0; i < count; ++i) {
    const PrototypeUse& use = ranked[count == 1 ? 0 : i * (used - 1) / (count - 1)];
    html += "<figure><div class=\"nearest\">";
    for (const Index row : use.nearest) {
      const Index number = images[static_cast<std::size_t>(row)];
      const ImageView<std::uint8_t> image = reader->read(number);
      if (image.data != nullptr)
        html += image_element(picture_of(image), "near",
                              labels.empty() ? "image " + std::to_string(number)
                                             : class_name(data, labels[static_cast<std::size_t>(number)]),
                              44);
    }
    html += "</div><figcaption>";
    if (!labels.empty()) {
      char share[32];
      std::snprintf(share, sizeof share, "%.0f %%", 100 * use.main_share);
      html += "<b>" + escape_html(class_name(data, use.main_class)) + "</b> " + share + " <span>of ";
    } else {
      html += "<span>";
    }
    html += std::to_string(use.images) + " images, prototype " + std::to_string(use.prototype) +
            "</span></figcaption></figure>\n";
  }
  return html + "</div>\n";
}

}  // namespace swav::resnet
