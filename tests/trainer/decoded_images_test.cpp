// Images decoded from files: those that cannot be read, the cache, memory that is given back.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include "data/dataset.hpp"
#include "image_files.hpp"
#include "pixels.hpp"
#include "swav/io/file_error.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

namespace fs = std::filesystem;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("files that cannot be read are named once and left out; more than their share is an error") {
  const TemporaryFolder folder;
  for (int i = 0; i < 20; ++i) write_bytes(folder / small_file_name(i), small_file(i, 0));
  const Bytes jpeg = small_file(4, 0), png = small_file(5, 0);
  write_bytes(folder / "0000.JPG", {});
  write_bytes(folder / "0001.png", bytes_of("no image at all"));
  write_bytes(folder / "0004.JPG", Bytes(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(jpeg.size() / 2)));
  write_bytes(folder / "0005.png", Bytes(png.begin(), png.end() - 30));
  fs::remove(folder / "0006.JPG");
  fs::create_symlink(folder / "nowhere", folder / "0006.JPG");
  fs::remove(folder / "0007.png");
  REQUIRE(mkfifo((folder / "0007.png").c_str(), 0600) == 0);

  write_bytes(folder / "0008.JPG", png_file(picture(8, 0, 1, 101, 3), 1, 101, 3));
  write_bytes(folder / "0009.png", png_file(picture(9, 0, 100, 1, 1), 100, 1, 1));

  const std::vector<Index> bad{0, 1, 4, 5, 6, 7, 8};
  const Dataset data = load_image_folder(folder.path(), {.max_bad_share = 0.35});
  for (int pass = 0; pass < 2; ++pass) {
    const std::vector<Pixels> pixels = all_pixels(*data.training);
    for (Index i = 0; i < 20; ++i)
      CHECK((pixels[static_cast<std::size_t>(i)] == Pixels{}) == (std::ranges::find(bad, i) != bad.end()));
    const std::vector<std::string> problems = data.training->take_problems();
    REQUIRE(problems.size() == (pass == 0 ? bad.size() : 0));
    for (std::size_t p = 0; p < problems.size(); ++p)
      CHECK_MESSAGE(has(problems[p], small_file_name(static_cast<int>(bad[p])) + ": "), problems[p]);
  }

  const Dataset strict = load_image_folder(folder.path(), {.max_bad_share = 0.25});
  const std::unique_ptr<ImageReader> reader = strict.training->reader();
  for (Index i = 0; i < 7; ++i) (void)reader->read(i);
  try {
    (void)reader->read(7);
    FAIL("no error");
  } catch (const FileError& error) {
    CHECK_MESSAGE(has(error.what(), "6 of 20 images cannot be read, a share of at most 0.25"), error.what());
    CHECK_MESSAGE(has(error.what(), "0007.png"), error.what());
  }
}

TEST_CASE("JPEG files are handed out as they are to who decodes them elsewhere; the same ones cannot be read") {
  const TemporaryFolder folder;
  constexpr int count = 12;
  for (int i = 0; i < count; ++i) write_bytes(folder / small_file_name(i), small_file(i, 0));
  const Bytes jpeg = small_file(4, 0);
  write_bytes(folder / "0001.png", bytes_of("no image at all"));
  write_bytes(folder / "0004.JPG", Bytes(jpeg.begin(), jpeg.end() - 40));
  const DiskOptions options{.cache_bytes = 1 << 20, .max_bad_share = 1};
  const Dataset decoded = load_image_folder(folder.path(), options), handed = load_image_folder(folder.path(), options);
  const std::vector<Pixels> expected = all_pixels(*decoded.training);
  std::vector<int> wrong(3, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      const std::unique_ptr<ImageReader> reader = handed.training->reader();
      for (int pass = 0; pass < 3; ++pass)
        for (Index i = 0; i < count; ++i) {
          const ReadImage image = reader->read_file(i);
          const bool is_file = i % 2 == 0 && i % 5 != 3;  // the others are PNG, or grey
          wrong[t] += image.is_readable() != (i != 1 && i != 4);
          if (!image.is_readable()) continue;
          wrong[t] += image.jpeg.bytes.empty() == is_file || (image.image.data == nullptr) != is_file;
          wrong[t] += is_file && !std::ranges::equal(image.jpeg.bytes, small_file(static_cast<int>(i), 0));
          wrong[t] += image.image.height != 20 + i % 11 || image.image.width != 20 + i * 7 % 21;
        }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(3, 0));
  CHECK(all_pixels(*handed.training) == expected);
  std::vector<std::string> problems = handed.training->take_problems(), wanted = decoded.training->take_problems();
  for (auto* all : {&problems, &wanted}) {
    for (std::string& problem : *all) problem.resize(problem.find("; it is left out"));
    std::ranges::sort(*all);
  }
  CHECK(wanted.size() == 2);
  CHECK(problems == wanted);
}

TEST_CASE("the cache keeps to its limit and changes no pixel, whichever threads fill it") {
  const TemporaryFolder folder;
  constexpr int count = 24;
  for (int i = 0; i < count; ++i) write_bytes(folder / small_file_name(i), small_file(i, i));
  const std::vector<Pixels> expected = all_pixels(*load_image_folder(folder.path(), {}).training);
  std::size_t all = 0;
  for (const Pixels& pixels : expected) all += pixels.values.size();
  for (const std::size_t limit : {std::size_t{0}, all / 2, all}) {
    const Dataset data = load_image_folder(folder.path(), {.cache_bytes = limit});
    const auto& images = dynamic_cast<const DecodedImages&>(*data.training);
    std::vector<int> wrong(4, 0);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < wrong.size(); ++t)
      threads.emplace_back([&, t] {
        const std::unique_ptr<ImageReader> reader = images.reader();
        for (int pass = 0; pass < 3; ++pass)
          for (Index i = 0; i < count; ++i) wrong[t] += pixels_of(*reader, i) != expected[static_cast<std::size_t>(i)];
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == std::vector<int>(4, 0));
    // Threads that meet at one image reserve its room twice for a moment, and may leave another out.
    CHECK(all_pixels(images) == expected);
    CHECK(images.cached_bytes() <= limit);
    CHECK(images.cached_bytes() >= limit / 2);
    if (limit == all) {
      // What is cached needs no file any more.
      for (int i = 0; i < count; ++i) fs::remove(folder / small_file_name(i));
      CHECK(all_pixels(images) == expected);
    }
  }
}

TEST_CASE("one huge image does not take a reader's memory for good") {
  const TemporaryFolder folder;
  constexpr int side = 5000;
  write_bytes(folder / "huge.png", png_file(Bytes(std::size_t{side} * side, 7), side, side, 1));
  ImageDecoder decoder;
  DecodedImage image;
  decoder.decode(read_bytes(folder / "huge.png"), "huge", image);
  CHECK(image.pixels.capacity() >= std::size_t{3} * side * side);
  decoder.decode(small_file(1, 0), "small", image);
  CHECK(image.pixels.capacity() < 1 << 20);
}
