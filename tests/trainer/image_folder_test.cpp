// Image folders and tar shards: what is found in them, in which order, and what is said of those that are none; files
// that cannot be read; the cache.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include "data/dataset.hpp"
#include "data/tar_shard.hpp"
#include "image_files.hpp"
#include "swav/io/file_error.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

namespace fs = std::filesystem;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct Pixels {
  Index height = 0, width = 0, channels = 0;
  Bytes values = {};
  friend bool operator==(const Pixels&, const Pixels&) = default;
};

// Without any where it cannot be read.
Pixels pixels_of(ImageReader& reader, Index i) {
  const ImageView<std::uint8_t> image = reader.read(i);
  if (image.data == nullptr) return {};
  return {image.height,
          image.width,
          image.channels,
          {image.data, image.data + image.height * image.width * image.channels}};
}

std::vector<Pixels> all_pixels(const ImageSource& images) {
  std::vector<Pixels> all;
  const std::unique_ptr<ImageReader> reader = images.reader();
  for (Index i = 0; i < images.count(); ++i) all.push_back(pixels_of(*reader, i));
  return all;
}

// What the FileError says that loading gives; "" when it gives none.
std::string failure(const fs::path& folder) {
  try {
    (void)load_image_folder(folder, {});
  } catch (const FileError& error) {
    return error.what();
  }
  return "";
}

void write_tar(const fs::path& path, const Bytes& members) {
  fs::create_directories(path.parent_path());
  write_bytes(path, members + Bytes(1024, 0));
}

Bytes sample(const std::string& key, int number, int label) {
  return tar_member(key + (number % 2 == 0 ? ".jpg" : ".png"), small_file(number, label)) +
         tar_member(key + ".cls", bytes_of(std::to_string(label)));
}

void index_shard(const fs::path& path) {
  StoredFiles files;
  std::vector<int> labels;
  index_tar_shard(path.string(), files, labels);
}

// What the FileError says that indexing gives; "" when it gives none.
std::string tar_failure(const fs::path& path, const Bytes& bytes) {
  write_bytes(path, bytes);
  try {
    index_shard(path);
  } catch (const FileError& error) {
    CHECK(error.path() == path.string());
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("class folders: every image in the order of the names, in RGB and its own size, with its class") {
  const TemporaryFolder folder;
  write_class_folders(folder / "train", 12, 3);
  write_class_folders(folder / "val", 4, 2);
  // What is hidden or no image is left out; a class may have folders inside, and links.
  write_bytes(folder / "train" / "a" / ".hidden.png", {1});
  write_bytes(folder / "train" / "a" / "notes.txt", {1});
  fs::create_directories(folder / "train" / ".cache");
  fs::create_directories(folder / "train" / "b" / "inner");
  write_bytes(folder / "train" / "b" / "inner" / "9.jpeg", small_file(20, 1));
  write_bytes(folder / "elsewhere.png", small_file(21, 2));
  fs::create_symlink(folder / "elsewhere.png", folder / "train" / "c" / "linked.png");

  const Dataset data = load_image_folder(folder.path(), {});
  CHECK(data.name == folder.path().filename().string());
  CHECK(data.class_names == std::vector<std::string>{"a", "b", "c"});
  CHECK(data.training->labels == std::vector<int>{0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2});
  CHECK(data.test->labels == std::vector<int>{0, 0, 1, 1});
  CHECK(data.has_classes());
  CHECK(&data.pretraining() == data.training.get());
  CHECK(data.training->channels() == 3);
  CHECK(data.training->side() == 0);
  CHECK_FALSE(data.training->in_memory());

  const std::vector<Pixels> pixels = all_pixels(*data.training);
  // Image 3, of class a, is grey and a PNG: its values come back as they were, three times.
  CHECK(pixels[1].height == 23);
  CHECK(pixels[1].width == 20);
  Bytes grey;
  for (const std::uint8_t value : picture(3, 0, 23, 20, 1)) grey.insert(grey.end(), 3, value);
  CHECK(pixels[1].values == grey);
  CHECK(pixels[8].height == 20 + 20 % 11);  // inner/9.jpeg
  CHECK(pixels[13].values == picture(21, 2, 30, 20 + 21 * 7 % 21, 3));
  CHECK(data.training->take_problems().empty());
}

TEST_CASE("images without classes, a part of its own for learning, test in place of val") {
  const TemporaryFolder folder;
  for (const int i : {3, 1, 2}) write_bytes(folder / small_file_name(i), small_file(i, 0));
  {
    const Dataset flat = load_image_folder(folder.path(), {});
    CHECK(flat.training->count() == 3);
    CHECK(flat.training->labels.empty());
    CHECK_FALSE(flat.test);
    CHECK_FALSE(flat.has_classes());
    CHECK(all_pixels(*flat.training)[0].values == picture(1, 0, 21, 27, 3));
  }
  write_class_folders(folder / "train", 4, 2);
  write_class_folders(folder / "test", 2, 2);
  fs::create_directories(folder / "unlabeled");
  write_bytes(folder / "unlabeled" / "x.png", small_file(5, 0));
  const Dataset data = load_image_folder(folder.path(), {});
  CHECK(data.pretraining().count() == 1);
  CHECK(data.training->count() == 4);
  CHECK(data.test->count() == 2);
  CHECK(data.has_classes());
}

TEST_CASE("folders that are no data set are told by name") {
  const TemporaryFolder folder;
  CHECK(has(failure(folder / "nowhere"), "nowhere: no such folder"));
  CHECK(has(failure(folder.path()), "no images in it"));
  CHECK_THROWS_AS((void)load_dataset("imagefolder", ""), InvalidInput);
  write_class_folders(folder / "val", 2, 2);
  CHECK(has(failure(folder.path()), "val found without train"));
  write_class_folders(folder / "train", 1, 1);
  CHECK(has(failure(folder.path()), "val: class b found"));
  fs::create_directories(folder / "train" / "b");
  CHECK(has(failure(folder.path()), "train/b: no images in it"));
  write_bytes(folder / "train" / "b" / "x.png", small_file(1, 1));
  CHECK(failure(folder.path()) == "");
  write_bytes(folder / "train" / "x.png", small_file(1, 1));
  CHECK(has(failure(folder.path()), "train: more than one kind"));
  fs::remove(folder / "train" / "x.png");
  fs::create_directory_symlink(folder / "train" / "b", folder / "train" / "b" / "again");
  CHECK(has(failure(folder.path()), "folders in folders without end"));
}

TEST_CASE("tar shards give what loose files give, bit for bit, with long names of both kinds") {
  const TemporaryFolder folder;
  const std::string deep = "some/folder/" + std::string(120, 'x');
  for (int i = 0; i < 6; ++i) {
    const fs::path where = folder / "loose" / "train" / std::to_string(i / 2);
    fs::create_directories(where);
    write_bytes(where / small_file_name(i), small_file(i, i / 2));
  }
  const std::string pax_path = deep + ".cls";
  const std::string record = " path=" + pax_path + "\n";
  const Bytes pax = bytes_of(std::to_string(record.size() + 3) + record);
  REQUIRE(record.size() + 3 >= 100);
  write_tar(folder / "packed" / "train" / "0.tar",
            tar_member("some/", {}, '5') + tar_member("._hidden.jpg", {1, 2}) + sample("s.0/0", 0, 0) +
                sample("s.0/1", 1, 0) + tar_member("s.0/1.json", bytes_of("{}")) +
                tar_member("././@LongLink", bytes_of(deep + ".jpg") + Bytes{0}, 'L') +
                tar_member("cut off", small_file(2, 1)) + tar_member("PaxHeaders/x", pax, 'x') +
                tar_member("cut off", bytes_of(" 1\n")) + tar_member("meta.json", bytes_of("{}")));
  write_tar(folder / "packed" / "train" / "1.TAR", sample("3", 3, 1) + sample("4", 4, 2) + sample("5", 5, 2));

  const Dataset loose = load_image_folder(folder / "loose", {}), packed = load_image_folder(folder / "packed", {});
  CHECK(packed.training->count() == 6);
  CHECK(packed.training->labels == loose.training->labels);
  CHECK(packed.class_names == loose.class_names);
  CHECK(all_pixels(*packed.training) == all_pixels(*loose.training));

  StoredFiles files;
  std::vector<int> labels;
  index_tar_shard((folder / "packed" / "train" / "0.tar").string(), files, labels);
  CHECK(has(files.name(2), "0.tar: " + deep + ".jpg"));
}

TEST_CASE("tar files that are damaged, foreign or of another use are refused by name") {
  const TemporaryFolder folder;
  const fs::path path = folder / "x.tar";
  const Bytes good = sample("a", 1, 0) + sample("b", 2, 1) + Bytes(1024, 0);
  CHECK(tar_failure(path, good) == "");
  // Without its end, too.
  CHECK(tar_failure(path, Bytes(good.begin(), good.end() - 1024)) == "");
  CHECK(has(tar_failure(path, {}), "empty"));
  CHECK(has(tar_failure(path, bytes_of("PK")), "truncated"));
  CHECK(has(tar_failure(path, small_file(0, 0) + Bytes(512, 1)), "no tar file"));
  for (const std::size_t length : {std::size_t{100}, std::size_t{600}})
    CHECK(has(tar_failure(path, Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length))), "truncated"));
  Bytes damaged = good;
  damaged[3] = 'z';
  CHECK(has(tar_failure(path, damaged), "damaged"));
  CHECK(has(tar_failure(path, tar_member("a.jpg", {1}, 'S')), "sparse"));
  CHECK(has(tar_failure(path, tar_member("x", bytes_of("27 GNU.sparse.major=1000000\n"), 'x') + good), "damaged"));
  CHECK(has(tar_failure(path, tar_member("x", bytes_of("22 GNU.sparse.major=1\n"), 'x') + good), "sparse"));
  CHECK(has(tar_failure(path, tar_member("x", bytes_of("99999999999999999999 path=x\n"), 'x') + good), "damaged"));
  CHECK(has(tar_failure(path, tar_member("x", bytes_of("17 size=99999999\n"), 'x') + good), "truncated"));
  CHECK(has(tar_failure(path, tar_member("x", Bytes(2 << 20, 'x'), 'L') + good), "or fewer wanted"));
  CHECK(has(tar_failure(path, tar_member("a.jpg", {1}) + tar_member("a.png", {1})), "a second image"));
  CHECK(has(tar_failure(path, sample("a", 1, 0) + tar_member("b.jpg", {1})), "b.jpg: no class found"));
  CHECK(has(tar_failure(path, tar_member("b.jpg", {1}) + sample("c", 1, 0)), "a class found, none wanted"));
  for (const char* label : {"", "x", "-1", "1.5", "1000000", "99999999999999999999"})
    CHECK(has(tar_failure(path, tar_member("a.cls", bytes_of(label))), "no class found"));
  REQUIRE(mkfifo((folder / "pipe.tar").c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(index_shard(folder / "pipe.tar"), doctest::Contains("pipe.tar: not a regular file"), FileError);
  write_tar(folder / "none" / "x.tar", tar_member("readme.txt", {1}));
  CHECK(has(failure(folder / "none"), "no images in its tar files"));
}

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
