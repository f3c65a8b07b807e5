// Gives a photograph the colours of another by optimal transport between samples of their pixels. In: [photo.jpg
// palette.jpg [out.jpg [height]]]; without photographs two procedural pictures are used. Out: a JPEG with the
// photograph, the palette and the result side by side, `height` pixels high (the photograph's own unless given).
#include <turbojpeg.h>

#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "swav/sinkhorn/sinkhorn.hpp"

namespace {

using swav::Index;
using Colors = swav::RowMatrix<float>;  // a row a pixel, CIELAB: lightness 0 to 100, green-red, blue-yellow

struct Picture {
  Index height = 0, width = 0;
  std::vector<unsigned char> rgb;
};

using Jpeg = std::unique_ptr<void, decltype(&tjDestroy)>;

void check(int status, const std::string& what) {
  if (status != 0) throw std::runtime_error(what + ": " + tjGetErrorStr());
}

Picture read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<unsigned char> bytes(std::istreambuf_iterator<char>(file), {});
  if (bytes.empty()) throw std::runtime_error(path + ": cannot be read");
  const Jpeg jpeg(tjInitDecompress(), tjDestroy);
  int width = 0, height = 0, sampling = 0, space = 0;
  check(tjDecompressHeader3(jpeg.get(), bytes.data(), bytes.size(), &width, &height, &sampling, &space), path);
  Picture picture{height, width, std::vector<unsigned char>(static_cast<std::size_t>(3 * Index{width} * height))};
  check(tjDecompress2(jpeg.get(), bytes.data(), bytes.size(), picture.rgb.data(), width, 0, height, TJPF_RGB, 0), path);
  return picture;
}

void write(const Picture& picture, const std::string& path) {
  const Jpeg jpeg(tjInitCompress(), tjDestroy);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  check(tjCompress2(jpeg.get(), picture.rgb.data(), static_cast<int>(picture.width), 0,
                    static_cast<int>(picture.height), TJPF_RGB, &bytes, &size, TJSAMP_444, 88, 0),
        path);
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  tjFree(bytes);
  if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
}

/// Stripes around two colours.
Picture procedural(float red, float green, float blue) {
  Picture picture{48, 64, {}};
  for (Index i = 0; i < 48 * 64; ++i)
    for (const float channel : {red, green, blue}) {
      const double wave = 0.5 + 0.5 * std::sin(double(i % 64) / 5 + double(i) / 300);
      picture.rgb.push_back(static_cast<unsigned char>(255 * channel * (0.3 + 0.7 * wave)));
    }
  return picture;
}

// sRGB (IEC 61966-2-1) to and from CIELAB at its white, D65.
const Eigen::Matrix3f xyz_of_rgb{{0.4124f, 0.3576f, 0.1805f}, {0.2126f, 0.7152f, 0.0722f}, {0.0193f, 0.1192f, 0.9505f}};
const Eigen::Array3f white{0.9505f, 1.0f, 1.089f};

Colors lab_of(const Picture& picture) {
  Colors lab(picture.height * picture.width, 3);
  for (Index i = 0; i < lab.rows(); ++i) {
    Eigen::Array3f c = Eigen::Map<const Eigen::Array<unsigned char, 3, 1>>(picture.rgb.data() + 3 * i).cast<float>();
    c = (c / 255).unaryExpr([](float v) { return v <= 0.04045f ? v / 12.92f : std::pow((v + 0.055f) / 1.055f, 2.4f); });
    c = ((xyz_of_rgb * c.matrix()).array() / white).unaryExpr([](float v) {
      return v > 0.008856f ? std::cbrt(v) : 7.787f * v + 16.0f / 116;
    });
    lab.row(i) << 116 * c[1] - 16, 500 * (c[0] - c[1]), 200 * (c[1] - c[2]);
  }
  return lab;
}

Picture picture_of(const Colors& lab, Index height, Index width) {
  const Eigen::Matrix3f rgb_of_xyz = xyz_of_rgb.inverse();
  Picture picture{height, width, std::vector<unsigned char>(static_cast<std::size_t>(3 * lab.rows()))};
  for (Index i = 0; i < lab.rows(); ++i) {
    const float y = (lab(i, 0) + 16) / 116;
    Eigen::Array3f c{y + lab(i, 1) / 500, y, y - lab(i, 2) / 200};
    c = white * c.unaryExpr([](float v) { return v > 0.2069f ? v * v * v : (v - 16.0f / 116) / 7.787f; });
    c = (rgb_of_xyz * c.matrix()).array().max(0.0f).min(1.0f);
    c = c.unaryExpr([](float v) { return v <= 0.0031308f ? 12.92f * v : 1.055f * std::pow(v, 1 / 2.4f) - 0.055f; });
    for (Index k = 0; k < 3; ++k)
      picture.rgb[static_cast<std::size_t>(3 * i + k)] = static_cast<unsigned char>(std::lround(255 * c[k]));
  }
  return picture;
}

/// Pixels drawn at random.
Colors sample(const Colors& all, Index count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Colors some(count, 3);
  for (Index i = 0; i < count; ++i)
    some.row(i) = all.row(static_cast<Index>(random() % static_cast<std::uint64_t>(all.rows())));
  return some;
}

/// All of a height, each scaled by the means of the pixels that one of the sheet covers.
Picture side_by_side(const std::vector<Picture>& pictures, Index height) {
  const Index gap = 8;
  Picture sheet{height, -gap, {}};
  for (const Picture& p : pictures) sheet.width += gap + p.width * height / p.height;
  sheet.rgb.assign(static_cast<std::size_t>(3 * sheet.height * sheet.width), 255);
  Index left = 0;
  for (const Picture& p : pictures) {
    const Index width = p.width * height / p.height;
    for (Index i = 0; i < height * width * 3; ++i) {
      const Index y = i / 3 / width, x = i / 3 % width, channel = i % 3;
      const Index top = y * p.height / height, first = x * p.width / width;
      const Index bottom = std::max(top + 1, (y + 1) * p.height / height);
      const Index last = std::max(first + 1, (x + 1) * p.width / width);
      Index sum = 0;
      for (Index v = top; v < bottom; ++v)
        for (Index u = first; u < last; ++u) sum += p.rgb[static_cast<std::size_t>((v * p.width + u) * 3 + channel)];
      sheet.rgb[static_cast<std::size_t>((y * sheet.width + left + x) * 3 + channel)] =
          static_cast<unsigned char>(sum / ((bottom - top) * (last - first)));
    }
    left += width + gap;
  }
  return sheet;
}

int run(int argc, char** argv) {
  const bool given = argc > 2;
  const Picture photo = given ? read(argv[1]) : procedural(0.2f, 0.5f, 1.0f);
  const Picture palette_photo = given ? read(argv[2]) : procedural(1.0f, 0.6f, 0.2f);
  const std::string out = argc > 3 ? argv[3] : "color_transfer.jpg";
  const Colors pixels = lab_of(photo), palette_pixels = lab_of(palette_photo);
  const Colors colors = sample(pixels, 4000, 1), palette = sample(palette_pixels, 4000, 2);

  // [transport]
  swav::Sinkhorn<float> sinkhorn{{.epsilon = 300, .tolerance = 1e-3}};
  auto transport = sinkhorn.solve(swav::PointCost(colors, palette));  // n x 3, m x 3: no matrix is made
  swav::RowMatrix<float> recolored = transport.map(pixels);           // any k x 3
  // [transport]

  write(side_by_side({photo, palette_photo, picture_of(recolored, photo.height, photo.width)},
                     argc > 4 ? std::max(1, std::atoi(argv[4])) : photo.height),
        out);
  const float off = (recolored.colwise().mean() - palette_pixels.colwise().mean()).norm();
  std::printf("%s: %td pixels recoloured, %d iterations, mean colour %.2f from the palette's\n", out.c_str(),
              recolored.rows(), transport.iterations, static_cast<double>(off));
  return transport.converged && off < 5 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "%s\n", error.what()), 1;
  }
}
