// Folders of images, with a folder for each class or without, and of tar shards. In: a path. Out: the data set.
#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include "data/dataset.hpp"
#include "data/image_names.hpp"
#include "data/part_names.hpp"
#include "data/tar_shard.hpp"
#include "swav/core/error.hpp"
#include "swav/io/file_error.hpp"

namespace swav::resnet {
namespace {

namespace fs = std::filesystem;

struct Part {
  std::unique_ptr<StoredFiles> files = std::make_unique<StoredFiles>();
  std::vector<int> labels = {};
  std::vector<std::string> class_names = {};
};

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string extension_of(const fs::path& path) { return lower_case(path.extension().string()); }

// What is in a folder, links followed and hidden entries left out, by name.
struct Listing {
  std::vector<fs::path> folders, images, shards;
};

Listing list(const fs::path& folder) {
  Listing listing;
  std::error_code error;
  if (!fs::exists(folder, error)) throw FileError(folder.string(), "no such folder");
  fs::directory_iterator entry(folder, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    if (path.filename().string().starts_with('.')) continue;
    std::error_code ignored;  // of links to nowhere, which are files that cannot be read
    if (entry->is_directory(ignored))
      listing.folders.push_back(path);
    else if (is_image_extension(extension_of(path)))
      listing.images.push_back(path);
    else if (extension_of(path) == ".tar")
      listing.shards.push_back(path);
  }
  if (error) throw FileError(folder.string(), "cannot be listed (" + error.message() + ")");
  for (std::vector<fs::path>* paths : {&listing.folders, &listing.images, &listing.shards}) std::ranges::sort(*paths);
  return listing;
}

// The name of the first folder or shard that says to hold such a part; "" where none does.
std::string part_in(const Listing& listing, PartKind kind) {
  for (const std::vector<fs::path>* paths : {&listing.folders, &listing.shards})
    for (const fs::path& path : *paths)
      if (part_kind(path.filename().string()) == kind) return path.filename().string();
  return "";
}

// Nobody is to train on held-out images because they are called other than expected.
void require_one_part(const fs::path& folder, const std::string& training, const std::string& held_out) {
  if (!training.empty() && !held_out.empty())
    throw FileError(folder.string(),
                    training + " and " + held_out +
                        " found, which would be trained on together: parts are wanted as folders train "
                        "and val (or test) of --data-dir, and no such words in other names");
}

void require_one_part(const fs::path& folder, const Listing& listing) {
  require_one_part(folder, part_in(listing, PartKind::training), part_in(listing, PartKind::held_out));
}

// As for folders, by the folders inside of shards.
void require_one_part(const fs::path& folder, const StoredFiles& members) {
  std::string training, held_out, last;
  for (Index i = 0; i < members.count(); ++i) {
    const std::string name = members.member(i);
    const std::string inner = name.substr(0, name.rfind('/') + 1);
    if (inner == last) continue;
    const PartKind kind = part_kind(inner);
    if (kind == PartKind::training) training = inner;
    if (kind == PartKind::held_out) held_out = inner;
    last = inner;
  }
  require_one_part(folder, training, held_out);
}

// The images of a class, which may have folders of their own. `above`: the folders that it is in.
void add_images(const fs::path& folder, std::vector<fs::path>& above, StoredFiles& files) {
  std::error_code error;
  if (fs::is_symlink(folder, error))
    for (const fs::path& outer : above)
      if (fs::equivalent(folder, outer, error))
        throw FileError(folder.string(), "a link to " + outer.string() + " found, in which it is itself");
  const Listing listing = list(folder);
  require_one_part(folder, listing);
  for (const fs::path& image : listing.images) files.add(image.string());
  above.push_back(folder);
  for (const fs::path& inner : listing.folders) add_images(inner, above, files);
  above.pop_back();
}

// Numbers in shards may have gaps: the classes are those that occur, each called by its number.
void number_classes(Part& part) {
  std::vector<int> numbers = part.labels;
  std::ranges::sort(numbers);
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());  // clang 14 has no std::ranges::unique
  for (int& label : part.labels) label = static_cast<int>(std::ranges::lower_bound(numbers, label) - numbers.begin());
  for (const int number : numbers) part.class_names.push_back(std::to_string(number));
}

Part scan_part(const fs::path& folder) {
  const Listing listing = list(folder);
  const int kinds = !listing.folders.empty() + !listing.images.empty() + !listing.shards.empty();
  if (kinds == 0) throw FileError(folder.string(), "no images in it, files *.jpg, *.jpeg, *.png or *.tar wanted");
  require_one_part(folder, listing);
  if (kinds > 1)
    throw FileError(folder.string(), "more than one kind of data found (folders, images, tar files), one wanted");
  Part part;
  for (const fs::path& image : listing.images) part.files->add(image.string());
  for (const fs::path& shard : listing.shards) index_tar_shard(shard.string(), *part.files, part.labels);
  if (!listing.shards.empty()) {
    require_one_part(folder, *part.files);
    number_classes(part);
  }
  std::vector<fs::path> above{folder};
  for (const fs::path& inner : listing.folders) {
    const Index before = part.files->count();
    add_images(inner, above, *part.files);
    if (part.files->count() == before)
      throw FileError(inner.string(), "no images in it, files *.jpg, *.jpeg or *.png wanted");
    part.labels.resize(static_cast<std::size_t>(part.files->count()), static_cast<int>(part.class_names.size()));
    part.class_names.push_back(inner.filename().string());
  }
  if (part.files->count() == 0) throw FileError(folder.string(), "no images in its tar files");
  return part;
}

// Turns the part's labels into those of `class_names`.
void rename_classes(const fs::path& folder, const std::vector<std::string>& class_names, Part& part) {
  std::map<std::string, int> numbers;
  for (const std::string& name : class_names) numbers.emplace(name, static_cast<int>(numbers.size()));
  for (int& label : part.labels) {
    const std::string& name = part.class_names[static_cast<std::size_t>(label)];
    const auto known = numbers.find(name);
    if (known == numbers.end())
      throw FileError(folder.string(), "class " + name + " found, one of the training images' classes wanted");
    label = known->second;
  }
}

// What stands beside train and is called nearly as a part is would be left out with nobody told.
void require_known_parts(const fs::path& folder, bool has_test, bool has_unlabeled) {
  const Listing listing = list(folder);
  const std::string held_out = part_in(listing, PartKind::held_out), unlabeled = part_in(listing, PartKind::unlabeled);
  if (!has_test && !held_out.empty())
    throw FileError(folder.string(), held_out + " found beside train, a folder val or test wanted");
  if (!has_unlabeled && !unlabeled.empty())
    throw FileError(folder.string(), unlabeled + " found beside train, a folder unlabeled wanted");
}

std::unique_ptr<ImageSource> decoded(const fs::path& folder, Part part, const DiskOptions& options) {
  return std::make_unique<DecodedImages>(folder.string(), std::move(part.files), std::move(part.labels), options);
}

}  // namespace

Dataset load_image_folder(const fs::path& folder, const DiskOptions& options) {
  const fs::path whole = fs::absolute(folder).lexically_normal();
  Dataset data{.name = (whole.has_filename() ? whole : whole.parent_path()).filename().string()};
  const DiskOptions without_cache{.cache_bytes = 0, .max_bad_share = options.max_bad_share};
  const fs::path unlabeled = folder / "unlabeled";
  const fs::path test = is_folder(folder / "val") ? folder / "val" : folder / "test";
  if (!is_folder(folder / "train")) {
    if (is_folder(test)) throw FileError(folder.string(), test.filename().string() + " found without train");
    Part part = scan_part(folder);
    data.class_names = part.class_names;
    data.training = decoded(folder, std::move(part), options);
    return data;
  }
  require_known_parts(folder, is_folder(test), is_folder(unlabeled));
  Part training = scan_part(folder / "train");
  data.class_names = training.class_names;
  data.training = decoded(folder / "train", std::move(training), is_folder(unlabeled) ? without_cache : options);
  if (is_folder(unlabeled)) data.unlabeled = decoded(unlabeled, scan_part(unlabeled), options);
  if (is_folder(test)) {
    Part part = scan_part(test);
    if (!data.class_names.empty()) rename_classes(test, data.class_names, part);
    data.test = decoded(test, std::move(part), without_cache);
  }
  return data;
}

}  // namespace swav::resnet
