// Batches of crops: the same pixels whoever renders them and wherever a run begins, bad files replaced, bad ends.
#include "train/batches.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <stdexcept>
#include <thread>

#include "data/dataset.hpp"
#include "image_files.hpp"
#include "swav/io/file_error.hpp"
#include "train/data_order.hpp"
#include "train/decoded_batches.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

constexpr Index batch_size = 4;
constexpr std::uint64_t seed = 5;

// Images from memory as if they came from a disk: slow, with bad files, or broken.
class FilesOfTests final : public ImageFiles {
 public:
  int count_ = 14;
  std::set<Index> bad_ = {};
  std::chrono::microseconds delay_{0};
  Index broken_ = -1;  // reading it throws what nobody expects

  [[nodiscard]] Index count() const override { return count_; }
  [[nodiscard]] std::string name(Index i) const override { return "file " + std::to_string(i); }
  void read(Index i, std::vector<std::uint8_t>& bytes) const override {
    std::this_thread::sleep_for(delay_);
    if (i == broken_) throw std::runtime_error("the disk is on fire");
    bytes = bad_.contains(i) ? bytes_of("no image") : small_file(static_cast<int>(i), 0);
  }
};

DecodedImages images_of(const FilesOfTests& files, double max_bad_share = 1) {
  return {"tests", std::make_unique<FilesOfTests>(files), {}, {.max_bad_share = max_bad_share}};
}

const std::vector<ImageGroup> groups{{2 * batch_size, 12}, {3 * batch_size, 8}};
const MultiCropSampler crops{{{.count = 2, .size = 12}, {.count = 3, .size = 8, .scale = {0.05, 0.3}}}};

using Inputs = std::array<std::vector<float>, 2>;

class Loader {
 public:
  Loader(const ImageSource& images, int workers)
      : batches_(images, crops, groups, {.batch_size = batch_size, .seed = seed, .workers = workers}) {
    for (std::size_t g = 0; g < groups.size(); ++g)
      inputs_[g].resize(static_cast<std::size_t>(groups[g].images * 3 * groups[g].size * groups[g].size));
  }

  const Inputs& operator()(Index step) {
    const std::array<float*, 2> pointers{inputs_[0].data(), inputs_[1].data()};
    batches_.load(step, pointers);
    return inputs_;
  }

 private:
  Batches batches_;
  Inputs inputs_;
};

// So many files, of which two are bad.
FilesOfTests some_files(int count) {
  FilesOfTests files{};
  files.count_ = count;
  files.bad_ = {1, 4};
  return files;
}

// Eight batches of files, rendered when asked for.
std::vector<Inputs> first_batches(const FilesOfTests& files) {
  const DecodedImages images = images_of(files);
  Loader by_step(images, 0);
  std::vector<Inputs> batches;
  for (Index step = 0; step < 8; ++step) batches.push_back(by_step(step));
  return batches;
}

// View v of image b, as the sampler alone renders it from image `number` under the key of image `key`.
bool is_view(const Inputs& inputs, const ImageSource& images, Index epoch, Index b, Index number, Index key) {
  const std::unique_ptr<ImageReader> reader = images.reader();
  std::array<std::vector<float>, 5> views;
  std::array<float*, 5> outputs;
  for (std::size_t v = 0; v < 5; ++v) {
    views[v].resize(
        static_cast<std::size_t>(3 * crops.view(static_cast<Index>(v)).size * crops.view(static_cast<Index>(v)).size));
    outputs[v] = views[v].data();
  }
  crops(reader->read(number), CropKey{seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(key)},
        outputs);
  bool same = true;
  for (std::size_t v = 0; v < 5; ++v) {
    const std::size_t group = v < 2 ? 0 : 1;
    const std::size_t row = (v < 2 ? v : v - 2) * batch_size + static_cast<std::size_t>(b);
    same = same && std::equal(views[v].begin(), views[v].end(),
                              inputs[group].begin() + static_cast<std::ptrdiff_t>(row * views[v].size()));
  }
  return same;
}

}  // namespace

TEST_CASE("batches are the same bit for bit from any number of workers, and from any step on") {
  // 14 images have 3 batches an epoch, 5 images 1: the batches ahead are of other epochs.
  for (const int count : {14, 5}) {
    const FilesOfTests files = some_files(count);
    const std::vector<Inputs> expected = first_batches(files);
    CHECK(expected[0] != expected[1]);
    for (const int workers : {1, 2, 5}) {
      const DecodedImages unseen = images_of(files);
      Loader ahead(unseen, workers);
      for (const Index step : {0, 1, 2, 3, 4, 5, 6, 7, 2, 3, 7, 6})
        CHECK(ahead(step) == expected[static_cast<std::size_t>(step)]);
      Loader resumed(unseen, workers);
      CHECK(resumed(5) == expected[5]);
    }
  }
}

TEST_CASE("a bad file is replaced by the next of the epoch's order, in a crop of its own") {
  FilesOfTests files{};
  std::vector<Index> order(14);
  epoch_order(seed, 1, order);
  // One in the middle of the second batch, two at its end, and the last of the order.
  files.bad_ = {order[5], order[7], order[8], order[13]};
  const DecodedImages images = images_of(files);
  for (const int workers : {0, 2}) {
    Loader loader(images, workers);
    const Inputs& inputs = loader(3 + 1);
    CHECK(is_view(inputs, images, 1, 0, order[4], order[4]));
    CHECK(is_view(inputs, images, 1, 1, order[6], order[5]));
    CHECK(is_view(inputs, images, 1, 2, order[6], order[6]));
    CHECK(is_view(inputs, images, 1, 3, order[9], order[7]));
  }
  for (Index i = 0; i < 14; ++i) files.bad_.insert(i);
  const DecodedImages none = images_of(files);
  for (const int workers : {0, 2}) CHECK_THROWS_AS(Loader(none, workers)(0), FileError);
}

TEST_CASE("too many bad files, and errors nobody expects, end the batch that meets them") {
  FilesOfTests files{};
  files.bad_ = {0, 3, 7};
  for (const int workers : {0, 1, 3}) {
    const DecodedImages images = images_of(files, 0.15);
    Loader loader(images, workers);
    bool thrown = false;
    for (Index step = 0; step < 8 && !thrown; ++step) {
      try {
        loader(step);
      } catch (const FileError& error) {
        thrown = std::string(error.what()).find("3 of 14 images cannot be read") != std::string::npos;
      }
    }
    CHECK(thrown);
  }
  files.broken_ = 6;
  for (const int workers : {0, 3}) {
    const DecodedImages images = images_of(files);
    Loader loader(images, workers);
    const auto epoch = [&] {
      for (Index step = 0; step < 6; ++step) loader(step);
    };
    CHECK_THROWS_WITH_AS(epoch(), "the disk is on fire", std::runtime_error);
  }
}

TEST_CASE("a slow disk delays and changes nothing; a run can end while it reads") {
  FilesOfTests files{};
  const DecodedImages images = images_of(files);
  files.delay_ = std::chrono::microseconds(2000);
  const DecodedImages slow = images_of(files);
  Loader fast(images, 0), waits(slow, 3);
  for (Index step = 0; step < 4; ++step) CHECK(fast(step) == waits(step));
  Loader ends(slow, 2);
  (void)ends(0);
}

namespace {

HostMemory plain_memory(std::size_t bytes) {
  return {new std::uint8_t[bytes], [](const std::uint8_t* memory) { delete[] memory; }};
}

// What is rendered of a decoded batch whose images all lie in its memory.
Inputs rendered(const DecodedBatch& batch, Index channels) {
  Inputs inputs;
  for (std::size_t g = 0; g < groups.size(); ++g)
    inputs[g].resize(static_cast<std::size_t>(groups[g].images * channels * groups[g].size * groups[g].size));
  for (std::size_t b = 0; b < batch.images.size(); ++b) {
    const ImageView<std::uint8_t>& image = batch.images[b];
    const auto first = static_cast<std::size_t>(image.data - batch.memory.data());
    CHECK(first + static_cast<std::size_t>(image.height * image.width * channels) <= batch.memory.size());
    std::array<float*, 5> outputs;
    for (std::size_t v = 0; v < 5; ++v) {
      const ImageGroup& group = groups[v < 2 ? 0 : 1];
      const std::size_t row = (v < 2 ? v : v - 2) * batch_size + b;
      outputs[v] =
          inputs[v < 2 ? 0 : 1].data() + row * static_cast<std::size_t>(channels * Index{group.size} * group.size);
    }
    crops(image, batch.keys[b], outputs);
  }
  return inputs;
}

}  // namespace

TEST_CASE("decoded batches are what crops would be rendered from, whoever decodes them and from any step on") {
  for (const int count : {14, 5}) {
    const FilesOfTests files = some_files(count);
    const std::vector<Inputs> expected = first_batches(files);
    for (const int workers : {0, 1, 5}) {
      const DecodedImages unseen = images_of(files);
      DecodedBatches batches(unseen, {.batch_size = batch_size, .seed = seed, .workers = workers});
      batches.set_memory(plain_memory);
      for (const Index step : {0, 1, 2, 3, 4, 5, 6, 7, 2, 3, 7, 6})
        CHECK(rendered(batches.load(step), 3) == expected[static_cast<std::size_t>(step)]);
    }
  }
  FilesOfTests files{};
  for (Index i = 0; i < 14; ++i) files.bad_.insert(i);
  const DecodedImages none = images_of(files);
  for (const int workers : {0, 2}) {
    DecodedBatches batches(none, {.batch_size = batch_size, .workers = workers});
    batches.set_memory(plain_memory);
    CHECK_THROWS_AS((void)batches.load(0), FileError);
  }
}

// Image i is full of the value i; the last ten of 16 are 25 times as large as the others.
class SizedImages final : public ImageSource {
 public:
  [[nodiscard]] Index count() const override { return 16; }
  [[nodiscard]] Index channels() const override { return 3; }
  [[nodiscard]] Index side() const override { return 0; }
  [[nodiscard]] std::string describe() const override { return "16 images"; }
  [[nodiscard]] std::unique_ptr<ImageReader> reader() const override { return std::make_unique<Reader>(); }
  static Index side_of(Index i) { return i >= 6 ? 40 : 8; }

 private:
  class Reader final : public ImageReader {
   public:
    ImageView<std::uint8_t> read(Index i) override {
      const Index side = side_of(i);
      pixels_.assign(static_cast<std::size_t>(side * side * 3), static_cast<std::uint8_t>(i));
      return {.data = pixels_.data(), .height = side, .width = side, .channels = 3};
    }

   private:
    std::vector<std::uint8_t> pixels_;
  };
};

TEST_CASE("images that a batch nobody took had no room for do not come up again") {
  const SizedImages images;
  for (std::uint64_t order = 0; order < 10; ++order) {
    DecodedBatches batches(images, {.batch_size = batch_size, .seed = order, .workers = 2});
    batches.set_memory(plain_memory);
    for (const Index step : {0, 1, 0, 1, 2, 1, 0, 2, 3, 4, 0}) {
      const DecodedBatch& batch = batches.load(step);
      for (const ImageView<std::uint8_t>& image : batch.images) {
        const auto bytes = static_cast<std::size_t>(image.stride() * image.height);
        REQUIRE(static_cast<std::size_t>(image.data - batch.memory.data()) + bytes <= batch.memory.size());
        CHECK(std::count(image.data, image.data + bytes, image.data[0]) == static_cast<std::ptrdiff_t>(bytes));
        CHECK(image.height == SizedImages::side_of(image.data[0]));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the next ones are decoded meanwhile
    }
  }
}

TEST_CASE("batches of a data set in memory are views of it") {
  ImageSet images(9, 9, 3);
  for (int i = 0; i < 14 * 9 * 9 * 3; ++i) images.pixels.push_back(static_cast<std::uint8_t>(i * 37 % 251));
  DecodedBatches batches(images, {.batch_size = batch_size, .seed = seed});
  const DecodedBatch& batch = batches.load(4);
  CHECK(batch.memory.data() == images.pixels.data());
  CHECK(batch.memory.size() == images.pixels.size());
  CHECK(rendered(batch, 3) == Loader(images, 0)(4));
}
