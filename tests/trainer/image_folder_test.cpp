// Image folders: what is found in them, in which order, and what is said of those that are no data set.
#include <doctest/doctest.h>

#include "data/dataset.hpp"
#include "data/part_names.hpp"
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
  CHECK(data.training->storage().empty());

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
  CHECK(has(load_failure(folder / "nowhere"), "nowhere: no such folder"));
  CHECK(has(load_failure(folder.path()), "no images in it"));
  CHECK_THROWS_AS((void)load_dataset("imagefolder", ""), InvalidInput);
  write_class_folders(folder / "val", 2, 2);
  CHECK(has(load_failure(folder.path()), "val found without train"));
  write_class_folders(folder / "train", 1, 1);
  CHECK(has(load_failure(folder.path()), "val: class b found"));
  fs::create_directories(folder / "train" / "b");
  CHECK(has(load_failure(folder.path()), "train/b: no images in it"));
  write_bytes(folder / "train" / "b" / "x.png", small_file(1, 1));
  CHECK(load_failure(folder.path()) == "");
  write_bytes(folder / "train" / "x.png", small_file(1, 1));
  CHECK(has(load_failure(folder.path()), "train: more than one kind"));
  fs::remove(folder / "train" / "x.png");
  write_bytes(folder / "train" / "b" / "x.tar", {1});  // beside images of a class it is of no interest
  CHECK(load_failure(folder.path()) == "");
}

TEST_CASE("a link to a folder above it is refused, however deep; other links and deep folders are followed") {
  const TemporaryFolder folder;
  fs::path deep = folder / "data" / "a";
  for (int depth = 0; depth < 60; ++depth) deep /= "d";
  fs::create_directories(deep);
  write_bytes(deep / "x.png", small_file(1, 1));
  fs::create_directories(folder / "elsewhere");
  write_bytes(folder / "elsewhere" / "y.png", small_file(3, 1));
  fs::create_directory_symlink(folder / "elsewhere", deep / "link");
  fs::create_directory_symlink(folder / "elsewhere", folder / "data" / "b");
  const Dataset data = load_image_folder(folder / "data", {});
  CHECK(data.training->labels == std::vector<int>{0, 0, 1});
  for (const fs::path& above : {deep, folder / "data" / "a" / "d", folder / "data", folder.path()}) {
    fs::create_directory_symlink(above, deep / "up");
    const std::string message = load_failure(folder / "data");
    CHECK_MESSAGE(has(message, "/up: a link to "), message);
    fs::remove(deep / "up");
  }
  fs::create_directory_symlink(folder / "data", folder / "elsewhere" / "back");
  CHECK(has(load_failure(folder / "data"), "/link/back: a link to "));
}

TEST_CASE("parts under other names than those understood are refused, so that nobody trains on held-out images") {
  using enum PartKind;
  for (const char* name : {"train", "Train", "TRAINING", "train2017", "TrainImages", "training_set",
                           "imagenet-train-000001.tar", "ILSVRC2012_img_train", "trainval"})
    CHECK_MESSAGE(part_kind(name) == training, name);
  for (const char* name : {"val", "Val", "valid", "VALIDATION", "test", "Testing", "dev", "val2017.tar", "testImages"})
    CHECK_MESSAGE(part_kind(name) == held_out, name);
  CHECK(part_kind("Unlabelled") == unlabeled);
  for (const char* name : {"trains", "valley", "contest", "constrain", "n01440764", "latest", "", "devil", "7"})
    CHECK_MESSAGE(part_kind(name) == none, name);

  struct Layout {
    std::vector<const char*> names;
    const char* message;
  };
  for (const Layout& layout :
       {Layout{{"Train", "Val"}, "Train and Val found"},
        {{"train.tar", "val.tar"}, "train.tar and val.tar found"},
        {{"x-train-0.tar", "x-train-1.tar", "x-val-0.tar"}, "x-train-0.tar and x-val-0.tar found"},
        {{"training", "test.tar"}, "training and test.tar found"},
        {{"train", "valid"}, "valid found beside train, a folder val or test wanted"},
        {{"train", "Test"}, "Test found beside train"},
        {{"train", "val.tar"}, "val.tar found beside train"},
        {{"train", "val", "unlabelled"}, "unlabelled found beside train"},
        {{"Train", "val"}, "val found without train"},
        {{"train", "val", "test", "notes"}, ""},
        {{"train", "train-extra"}, ""},
        {{"training", "cars"}, ""},
        {{"x-train-0.tar", "x-train-1.tar"}, ""}}) {
    const TemporaryFolder folder;
    // Here, and in place of a part or of a class.
    for (const char* inside : {"", "train", "some"}) {
      const fs::path where = folder / "data" / inside;
      for (const char* name : layout.names) {
        if (std::string(name).ends_with(".tar"))
          write_tar(where / name, tar_member("a.png", small_file(1, 1)));
        else
          write_class_folders(where / name, 2, 2);
      }
      const std::string message = load_failure(folder / "data");
      if (*inside == '\0')
        CHECK_MESSAGE((*layout.message == '\0' ? message.empty() : has(message, layout.message)), message);
      if (*inside != '\0' && has(layout.message, " and "))
        CHECK_MESSAGE(has(message, layout.message), inside << ": " << message);
      fs::remove_all(folder / "data");
    }
  }
}
