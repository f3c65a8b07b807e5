// Loaders: the published layouts, and files that are truncated, oversized, foreign or damaged.
#include <doctest/doctest.h>
#include <zlib.h>

#include "data/dataset.hpp"
#include "support.hpp"
#include "swav/io/file_error.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

// The message of the FileError that loading gives, which has to name the file; "" when it gives none.
std::string failure(const std::string& name, const std::filesystem::path& folder, const std::string& file) {
  try {
    (void)load_dataset(name, folder);
  } catch (const FileError& error) {
    const std::string message = error.what();
    CHECK_MESSAGE(message.find(file) != std::string::npos, message);
    return message;
  }
  return "";
}

// All pixels of all images, which have to be of one size.
Bytes pixels_of(const ImageSource& images) {
  Bytes pixels;
  const std::unique_ptr<ImageReader> reader = images.reader();
  for (Index i = 0; i < images.count(); ++i) {
    const ImageView<std::uint8_t> image = reader->read(i);
    pixels.insert(pixels.end(), image.data, image.data + image.height * image.width * image.channels);
  }
  return pixels;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void compress(const std::filesystem::path& from, const std::filesystem::path& to) {
  const Bytes bytes = read_bytes(from);
  gzFile file = gzopen(to.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

// A file of zeros, which takes no room on the disk, with some bytes at its start.
void write_sparse(const std::filesystem::path& path, std::uintmax_t size, const Bytes& start = {}) {
  write_bytes(path, start);
  std::filesystem::resize_file(path, size);
}

}  // namespace

TEST_CASE("Fashion-MNIST: IDX files, plain and gzip") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder.path());
  const Dataset plain = load_dataset("fashion-mnist", folder.path());
  CHECK(plain.training->count() == 96);
  CHECK(plain.test->count() == 40);
  CHECK(plain.training->labels.size() == 96);
  CHECK(&plain.pretraining() == plain.training.get());
  const Bytes file = read_bytes(folder / "train-images-idx3-ubyte");
  CHECK(plain.training->reader()->read(1).data[28 + 3] == file[16 + 784 + 28 + 3]);

  for (const char* name : {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"}) {
    compress(folder / name, folder / (std::string(name) + ".gz"));
    std::filesystem::remove(folder / name);
  }
  const Dataset packed = load_dataset("fashion-mnist", folder.path());
  CHECK(pixels_of(*packed.training) == pixels_of(*plain.training));
  CHECK(packed.training->labels == plain.training->labels);
}

TEST_CASE("Fashion-MNIST: files that are none") {
  const TemporaryFolder folder;
  write_tiny_fashion_mnist(folder.path());
  const std::string images = "train-images-idx3-ubyte", labels = "t10k-labels-idx1-ubyte";
  const Bytes good = read_bytes(folder / images), good_labels = read_bytes(folder / labels);

  SUBCASE("missing") {
    std::filesystem::remove(folder / images);
    CHECK(has(failure("fashion-mnist", folder.path(), images), "no such file"));
    CHECK(has(failure("fashion-mnist", folder / "nowhere", images), "no such file"));
  }
  SUBCASE("a folder") {
    std::filesystem::remove(folder / images);
    std::filesystem::create_directory(folder / images);
    CHECK(has(failure("fashion-mnist", folder.path(), images), "not a regular file"));
  }
  SUBCASE("truncated at every kind of place") {
    for (const std::size_t length : {std::size_t{0}, std::size_t{3}, std::size_t{4}, std::size_t{15}, std::size_t{16},
                                     good.size() / 2, good.size() - 1}) {
      write_bytes(folder / images, Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)));
      CHECK(has(failure("fashion-mnist", folder.path(), images), "truncated"));
    }
  }
  SUBCASE("oversized") {
    Bytes longer = good;
    longer.push_back(0);
    write_bytes(folder / images, longer);
    CHECK(has(failure("fashion-mnist", folder.path(), images), "oversized"));
  }
  SUBCASE("foreign") {
    write_bytes(folder / images, good_labels);
    CHECK(has(failure("fashion-mnist", folder.path(), images), "foreign"));
    write_bytes(folder / images, idx_file({96, 14, 14}, Bytes(96 * 196)));
    CHECK(has(failure("fashion-mnist", folder.path(), images), "14 x 14"));
    write_bytes(folder / images, idx_file({0, 28, 28}, {}));
    CHECK(has(failure("fashion-mnist", folder.path(), images), "no images"));
  }
  SUBCASE("a header that claims four billion images") {
    Bytes boast = good;
    for (std::size_t i = 4; i < 8; ++i) boast[i] = 255;
    write_bytes(folder / images, boast);
    CHECK(has(failure("fashion-mnist", folder.path(), images), "truncated"));
  }
  SUBCASE("labels") {
    Bytes bad = good_labels;
    bad[8] = 10;
    write_bytes(folder / labels, bad);
    CHECK(has(failure("fashion-mnist", folder.path(), labels), "label 10"));
    write_bytes(folder / labels, idx_file({39}, Bytes(39)));
    CHECK(has(failure("fashion-mnist", folder.path(), labels), "39 labels"));
  }
  SUBCASE("gzip that is damaged or cut off") {
    compress(folder / images, folder / (images + ".gz"));
    const Bytes packed = read_bytes(folder / (images + ".gz"));
    write_bytes(folder / (images + ".gz"), Bytes(packed.begin(), packed.end() - 400));
    CHECK(has(failure("fashion-mnist", folder.path(), images + ".gz"), "truncated"));
    write_bytes(folder / (images + ".gz"), Bytes(packed.begin(), packed.end() - 4));
    CHECK(failure("fashion-mnist", folder.path(), images + ".gz") != "");
    Bytes damaged = packed;
    for (std::size_t i = 200; i < 260; ++i) damaged[i] = static_cast<std::uint8_t>(~damaged[i]);
    write_bytes(folder / (images + ".gz"), damaged);
    CHECK(failure("fashion-mnist", folder.path(), images + ".gz") != "");
  }
}

TEST_CASE("CIFAR-10: planes become interleaved pixels; the length has to be exact") {
  const TemporaryFolder folder;
  constexpr std::uintmax_t length = 10000 * 3073;
  Bytes first(3073 * 2);
  first[0] = 3;
  first[1 + 33] = 10;         // red of row 1, column 1
  first[1 + 1024 + 33] = 20;  // green
  first[1 + 2048 + 33] = 30;  // blue
  first[3073] = 9;
  for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                           "data_batch_5.bin", "test_batch.bin"})
    write_sparse(folder / name, length, first);
  const Dataset data = load_dataset("cifar10", folder.path());
  CHECK(data.training->count() == 50000);
  CHECK(data.test->count() == 10000);
  CHECK(data.training->labels[10000] == 3);
  CHECK(data.training->labels[10001] == 9);
  const std::uint8_t* pixel = data.training->reader()->read(10000).data + 3 * 33;
  CHECK((pixel[0] == 10 && pixel[1] == 20 && pixel[2] == 30));

  write_sparse(folder / "data_batch_1.bin", length - 1, first);
  CHECK(has(failure("cifar10", folder.path(), "data_batch_1.bin"), "truncated"));
  write_sparse(folder / "data_batch_1.bin", length + 1, first);
  CHECK(has(failure("cifar10", folder.path(), "data_batch_1.bin"), "oversized"));
  first[3073] = 10;
  write_sparse(folder / "data_batch_1.bin", length, first);
  CHECK(has(failure("cifar10", folder.path(), "data_batch_1.bin"), "label 10 in record 1"));
}

TEST_CASE("STL-10: columns become rows; labels count from 1") {
  const TemporaryFolder folder;
  Bytes image(27648);
  image[96 * 2 + 5] = 77;         // red of column 2, row 5
  image[9216 + 96 * 2 + 5] = 78;  // green
  write_sparse(folder / "train_X.bin", 5000 * 27648, image);
  write_sparse(folder / "test_X.bin", std::uintmax_t{8000} * 27648);
  write_bytes(folder / "train_y.bin", Bytes(5000, 1));
  write_bytes(folder / "test_y.bin", Bytes(8000, 10));
  {
    const Dataset data = load_dataset("stl10", folder.path());
    CHECK(data.training->count() == 5000);
    CHECK(data.test->count() == 8000);
    CHECK(data.unlabeled == nullptr);
    CHECK(data.training->labels[0] == 0);
    CHECK(data.test->labels[0] == 9);
    const std::uint8_t* pixel = data.training->reader()->read(0).data + 3 * (96 * 5 + 2);
    CHECK((pixel[0] == 77 && pixel[1] == 78 && pixel[2] == 0));
  }
  write_bytes(folder / "train_y.bin", Bytes(5000, 0));
  CHECK(has(failure("stl10", folder.path(), "train_y.bin"), "label 0"));
  write_bytes(folder / "train_y.bin", Bytes(4999, 1));
  CHECK(has(failure("stl10", folder.path(), "train_y.bin"), "truncated"));
  write_sparse(folder / "train_X.bin", 27648 + 1, image);
  CHECK(has(failure("stl10", folder.path(), "train_X.bin"), "truncated"));
}

TEST_CASE("an unknown data set is named") { CHECK_THROWS_AS((void)load_dataset("mnist", ""), InvalidInput); }
