// Draws SwAV's eight views of an image, three times, and writes them as one PNG. In: [image.png [sheet.png]]; without
// an image a procedural one is cropped. Out: the sheet, two crops of 224 and six of 96 pixels a row.
#include <png.h>

#include <cmath>
#include <cstdio>
#include <vector>

#include "swav/crops/multi_crop.hpp"

int main(int argc, char** argv) {
  swav::Index width = 500, height = 375;
  std::vector<png_byte> pixels(500 * 375 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) {  // coloured rings
    const double x = double(i / 3 % 500) - 250, y = double(i / 1500) - 187;
    pixels[i] = static_cast<png_byte>(127.5 + 127 * std::sin(std::hypot(x, y) / 12 + double(i % 3) + x / 99));
  }
  png_image file{};
  file.version = PNG_IMAGE_VERSION;
  if (argc > 1) {
    if (png_image_begin_read_from_file(&file, argv[1]) != 0) {
      file.format = PNG_FORMAT_RGB;
      width = file.width;
      height = file.height;
      pixels.resize(PNG_IMAGE_SIZE(file));
      png_image_finish_read(&file, nullptr, pixels.data(), 0, nullptr);
    }
    if (PNG_IMAGE_FAILED(file)) return std::fprintf(stderr, "%s: %s\n", argv[1], file.message), 1;
  }

  const swav::Normalization plain = swav::Normalization::none();  // keeps values in [0, 1], to be looked at
  const swav::MultiCropSampler crops{{{.count = 2, .size = 224, .scale = {0.14, 1.0}, .normalize = plain},
                                      {.count = 6, .size = 96, .scale = {0.05, 0.14}, .normalize = plain}}};
  constexpr swav::Index rows = 3, sheet_width = 2 * 224 + 3 * 96, sheet_height = rows * 224;
  std::vector<png_byte> sheet(sheet_width * sheet_height * 3, 255);
  std::vector<float> values(2 * 3 * 224 * 224 + 6 * 3 * 96 * 96);
  std::vector<float*> views;
  for (swav::Index v = 0, next = 0; v < crops.views(); next += 3 * crops.view(v).size * crops.view(v).size, ++v)
    views.push_back(values.data() + next);
  for (swav::Index row = 0; row < rows; ++row) {
    const swav::ImageView<png_byte> image{pixels.data(), height, width, 3};
    crops(image, {.seed = 1, .epoch = static_cast<std::uint64_t>(row), .index = 0}, views);
    for (swav::Index v = 0; v < crops.views(); ++v) {
      const swav::Index size = crops.view(v).size, small = v - 2;
      const swav::Index left = v < 2 ? v * 224 : 448 + small % 3 * 96, top = row * 224 + (v < 2 ? 0 : small / 3 * 96);
      for (swav::Index i = 0; i < 3 * size * size; ++i) {  // channel by channel, row by row
        const swav::Index c = i / (size * size), y = top + i / size % size, x = left + i % size;
        sheet[static_cast<std::size_t>((y * sheet_width + x) * 3 + c)] =
            static_cast<png_byte>(std::lround(255 * views[static_cast<std::size_t>(v)][i]));
      }
    }
  }
  const char* const out = argc > 2 ? argv[2] : "crop_sheet.png";
  file.width = sheet_width, file.height = sheet_height, file.format = PNG_FORMAT_RGB;
  png_image_write_to_file(&file, out, 0, sheet.data(), 0, nullptr);
  if (PNG_IMAGE_FAILED(file)) return std::fprintf(stderr, "%s: %s\n", out, file.message), 1;
  std::printf("%s: %td views of a %td x %td image, %td times\n", out, crops.views(), width, height, rows);
}
