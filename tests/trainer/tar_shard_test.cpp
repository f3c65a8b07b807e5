// Tar shards: what is found in them, and what is said of those that are damaged, foreign or of another use.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "data/dataset.hpp"
#include "data/tar_shard.hpp"
#include "image_files.hpp"
#include "pixels.hpp"
#include "swav/io/file_error.hpp"

using namespace swav;
using namespace swav::resnet;
using namespace swav::test;

namespace {

namespace fs = std::filesystem;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

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
  CHECK(has(load_failure(folder / "none"), "no images in its tar files"));
}

TEST_CASE("class numbers of shards may have gaps: the classes are those that occur, called by their numbers") {
  const TemporaryFolder folder;
  write_tar(folder / "train" / "0.tar", sample("0", 0, 9) + sample("1", 1, 0));
  write_tar(folder / "train" / "1.tar", sample("2", 2, 100) + sample("3", 3, 9));
  write_tar(folder / "val" / "0.tar", sample("4", 4, 100) + sample("5", 5, 0));
  const Dataset data = load_image_folder(folder.path(), {});
  CHECK(data.class_names == std::vector<std::string>{"0", "9", "100"});
  CHECK(data.training->labels == std::vector<int>{1, 0, 2, 1});
  CHECK(data.test->labels == std::vector<int>{2, 0});
  write_tar(folder / "val" / "1.tar", sample("6", 6, 5));
  CHECK(has(load_failure(folder.path()), "val: class 5 found, one of the training images' classes wanted"));
}

TEST_CASE("shards that hold both training and held-out images by the names of their folders are refused") {
  const TemporaryFolder folder;
  write_tar(folder / "0.tar", tar_member("x/train/a.png", small_file(1, 1)) + tar_member("x/train/test.png", {1}));
  CHECK(load_failure(folder.path()) == "");
  write_tar(folder / "1.tar", tar_member("x/val2017/b.png", small_file(3, 1)));
  CHECK(has(load_failure(folder.path()), "x/train/ and x/val2017/ found, which would be trained on together"));
}

TEST_CASE("links in place of images are refused by name, hidden folders and other members are left out") {
  const TemporaryFolder folder;
  const fs::path path = folder / "x.tar";
  for (const char type : {'1', '2'}) {
    for (const char* name : {"b.jpg", "b.cls", "some/b.PNG"})
      CHECK(has(tar_failure(path, sample("a", 1, 0) + tar_member(name, {}, type)),
                std::string(name) + ": a link found, a file wanted"));
    const std::string target = std::string(120, 't') + ".jpg";
    CHECK(has(tar_failure(path, tar_member("././@LongLink", bytes_of(std::string(120, 'n') + ".jpg"), 'L') +
                                    tar_member("././@LongLink", bytes_of(target), 'K') + tar_member("cut", {}, type)),
              std::string(120, 'n') + ".jpg: a link found"));
    CHECK(tar_failure(path, sample("a", 1, 0) + tar_member("readme", {}, type) + tar_member(".b.jpg", {}, type)) == "");
  }
  write_tar(path, tar_member("./a.jpg", small_file(2, 0)) + tar_member("./.cache/b.jpg", small_file(4, 0)) +
                      tar_member("x/.b/c/d.jpg", small_file(4, 0)) + tar_member("../e.jpg", small_file(6, 0)) +
                      tar_member("pax_global", bytes_of("13 path=none\n"), 'g') + tar_member("f.jpg", {1, 2}));
  StoredFiles files;
  std::vector<int> labels;
  index_tar_shard(path.string(), files, labels);
  REQUIRE(files.count() == 3);
  for (Index i = 0; i < 3; ++i)
    CHECK(files.name(i) ==
          path.string() + ": " + std::vector<std::string>{"./a.jpg", "../e.jpg", "f.jpg"}[static_cast<std::size_t>(i)]);
}

TEST_CASE("a member that cannot be read any more is told by its name") {
  const TemporaryFolder folder;
  const fs::path path = folder / "x.tar";
  write_tar(path, tar_member("a.jpg", small_file(2, 0)) + tar_member("b.jpg", small_file(4, 0)));
  StoredFiles files;
  std::vector<int> labels;
  index_tar_shard(path.string(), files, labels);
  Bytes bytes;
  files.read(1, bytes);
  CHECK(bytes == small_file(4, 0));
  fs::resize_file(path, 1000);
  CHECK_THROWS_WITH_AS(files.read(1, bytes), (path.string() + ": b.jpg: ends early").c_str(), FileError);
  fs::remove(path);
  CHECK_THROWS_WITH_AS(files.read(0, bytes), doctest::Contains("x.tar: a.jpg: cannot be opened"), FileError);
}
