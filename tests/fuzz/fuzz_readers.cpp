// Mutated files for every reader. In: fuzz_readers FORMAT COUNT [SEED]. Out: how many were accepted and how many
// refused by a FileError; anything else ends the program, and leaves the file in the folder that it names.
// AddressSanitizer, where it is built in, watches memory, and how much of it is taken. The files depend on format,
// number and seed alone.
#include <cmath>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <string>

#include "data/dataset.hpp"
#include "data/image_decoder.hpp"
#include "data/image_files.hpp"
#include "data/tar_shard.hpp"
#include "mutation.hpp"
#include "png_chunks.hpp"
#include "swav/io/file_error.hpp"
#include "swav/io/safetensors.hpp"

/// No reader of these files, of some kilobytes each, has to take 64 MB at once or 512 in all; a CIFAR file is 31 MB.
extern "C" const char* __asan_default_options() { return "max_allocation_size_mb=64:hard_rss_limit_mb=512"; }

namespace {

using namespace swav;
using namespace swav::test;
namespace fs = std::filesystem;

void write(const fs::path& path, const Bytes& bytes) {
  fs::remove(path);  // some file systems flush a file that is overwritten
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

/// Writes a case into a folder and reads it back; false when the reader refuses it. Anything but a FileError escapes.
using Case = std::function<bool(PhiloxStream&, const fs::path&)>;

bool accepted(const std::function<void()>& read) {
  try {
    read();
  } catch (const FileError&) {
    return false;
  }
  return true;
}

/// The stored files whose names end so.
std::vector<Bytes> golden_files(const std::string& extension) {
  const SafetensorsFile golden(std::string(SWAV_GOLDEN_DIR) + "/images.safetensors");
  std::vector<Bytes> files;
  for (const StoredTensor& tensor : golden.tensors()) {
    if (tensor.name.starts_with("pixels ") || !tensor.name.ends_with(extension)) continue;
    const auto* data = reinterpret_cast<const std::uint8_t*>(tensor.bytes.data());
    files.emplace_back(data, data + tensor.bytes.size());
  }
  return files;
}

Bytes jpeg_bytes(PhiloxStream& random, const std::vector<Bytes>& corpus) { return Mutation(random)(corpus); }

/// Half of them inside the compression, most others with right checksums.
Bytes png_bytes(PhiloxStream& random, const std::vector<Bytes>& corpus) {
  if (random.below(2) == 0) return changed_chunks(random, corpus);
  Bytes file = Mutation(random)(corpus);
  if (random.below(4) > 0) mend_png(file);
  return file;
}

Case images(const std::string& extension, Bytes (*mutated)(PhiloxStream&, const std::vector<Bytes>&)) {
  return [corpus = golden_files(extension), mutated, decoder = std::make_shared<resnet::ImageDecoder>(),
          image = resnet::DecodedImage{}](PhiloxStream& random, const fs::path& folder) mutable {
    const Bytes file = mutated(random, corpus);
    write(folder / "image", file);
    return accepted([&] {
      decoder->decode(file, "image", image);
      require(image.height > 0 && image.width > 0 && image.channels == 3, "an image without pixels");
      require(image.pixels.size() == static_cast<std::size_t>(3 * image.height * image.width),
              "pixels of another size");
    });
  };
}

Bytes idx(const std::vector<std::uint8_t>& shape, std::size_t count, std::uint8_t most) {
  Bytes file{0, 0, 8, static_cast<std::uint8_t>(shape.size())};
  file.reserve(file.size() + 4 * shape.size() + count);
  for (const std::uint8_t size : shape) file.insert(file.end(), {0, 0, 0, size});
  for (std::size_t i = 0; i < count; ++i) file.push_back(static_cast<std::uint8_t>(i * 7 % most));
  return file;
}

/// One of the four files is damaged: plain, before it is packed, or after.
bool idx_case(PhiloxStream& random, const fs::path& folder) {
  const Bytes pixels = idx({3, 28, 28}, 3 * 28 * 28, 255), labels = idx({3}, 3, 10);
  const bool of_pixels = random.below(2) == 0;
  const std::string part = random.below(2) == 0 ? "train" : "t10k";
  for (const std::string name : {"train", "t10k"}) {
    write(folder / (name + "-images-idx3-ubyte"), pixels);
    write(folder / (name + "-labels-idx1-ubyte"), labels);
    fs::remove(folder / (name + "-images-idx3-ubyte.gz"));
    fs::remove(folder / (name + "-labels-idx1-ubyte.gz"));
  }
  const std::string name = part + (of_pixels ? "-images-idx3-ubyte" : "-labels-idx1-ubyte");
  const std::vector<Bytes> corpus = {of_pixels ? pixels : labels};
  const std::uint64_t way = random.below(3);
  if (way == 0)
    write(folder / name, Mutation(random)(corpus));
  else
    write(folder / (name + ".gz"), way == 1 ? gzip(Mutation(random)(corpus)) : Mutation(random)({gzip(corpus[0])}));
  return accepted([&] { (void)resnet::load_fashion_mnist(folder); });
}

/// The first of the files is damaged, and now and then of the right length; it is read in full when the second is
/// missed.
bool cifar_case(PhiloxStream& random, const fs::path& folder) {
  constexpr std::size_t record = 3073;
  Bytes start(2 * record, 9);
  start[record] = 0;
  const fs::path path = folder / "data_batch_1.bin";
  write(path, Mutation(random)({start}));
  if (random.below(1000) == 0) fs::resize_file(path, 10'000 * record);
  try {
    (void)resnet::load_cifar10(folder);
  } catch (const FileError& error) {
    return error.path() != path;
  }
  throw std::logic_error("CIFAR-10 without its second file");
}

void add_member(Bytes& tar, const std::string& name, char type, const std::string& content) {
  std::array<char, 512> header{};
  std::snprintf(header.data(), 100, "%s", name.c_str());
  std::snprintf(header.data() + 124, 12, "%011o", static_cast<unsigned>(content.size()));
  header[156] = type;
  std::copy_n("ustar\00000", 8, header.data() + 257);
  tar.insert(tar.end(), header.begin(), header.end());
  sum_tar_header(std::span(tar).last(512));
  tar.insert(tar.end(), content.begin(), content.end());
  tar.resize((tar.size() + 511) / 512 * 512);
}

std::vector<Bytes> tar_files() {
  Bytes labelled, named, plain;
  for (const char* key : {"a", "b"}) {
    add_member(labelled, std::string(key) + ".jpg", '0', "pixels of " + std::string(key));
    add_member(labelled, std::string(key) + ".cls", '0', "7");
  }
  add_member(named, "././@LongLink", 'L', std::string(150, 'd') + "/a.png");
  add_member(named, "short", '0', "pixels");
  add_member(named, "pax", 'x', "22 path=folder/b.jpeg\n10 size=6\n");
  add_member(named, "short", '0', "pixels");
  add_member(plain, "folder/", '5', "");
  add_member(plain, "folder/c.jpg", '0', std::string(600, 'x'));
  for (Bytes* tar : {&labelled, &plain}) tar->resize(tar->size() + 1024);
  return {labelled, named, plain};
}

bool tar_case(PhiloxStream& random, const fs::path& folder) {
  static const std::vector<Bytes> corpus = tar_files();
  Bytes file = Mutation(random)(corpus);
  if (random.below(4) > 0) mend_tar(file);
  write(folder / "shard.tar", file);
  return accepted([&] {
    resnet::StoredFiles files;
    std::vector<int> labels;
    resnet::index_tar_shard(folder / "shard.tar", files, labels);
    require(labels.empty() || static_cast<Index>(labels.size()) == files.count(), "classes without images");
    Bytes member;
    for (Index i = 0; i < files.count(); ++i) files.read(i, member);
  });
}

/// A third of them has a header of the same form. Where bytes come or go in it, its length is corrected half of the
/// time.
bool safetensors_case(PhiloxStream& random, const fs::path& folder) {
  static const Bytes good = [] {
    std::ifstream file(std::string(SWAV_GOLDEN_DIR) + "/stored_tensors.safetensors", std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(file), {});
  }();
  const std::size_t data = good.size() - 8 - (good[0] | std::size_t{good[1]} << 8);
  const bool of_same_form = random.below(3) == 0;
  Bytes file = of_same_form ? good : Mutation(random)({good});
  if (of_same_form) change_alike(std::span(file).subspan(8, good.size() - 8 - data), random);
  if (file.size() >= 8 + data && random.below(2) == 0) {
    const std::size_t header = file.size() - 8 - data;
    for (std::size_t k = 0; k < 8; ++k) file[k] = static_cast<std::uint8_t>(header >> 8 * k);
  }
  const fs::path path = folder / "some.safetensors";
  write(path, file);
  return accepted([&] {
    const SafetensorsFile read(path);
    std::size_t bytes = 0;
    for (const StoredTensor& tensor : read.tensors()) bytes += tensor.bytes.size();
    require(bytes < file.size(), "tensors larger than their file");
  });
}

}  // namespace

int main(int count, char** arguments) {
  const std::map<std::string, std::function<Case()>> formats = {{"jpeg", [] { return images(".jpg", jpeg_bytes); }},
                                                                {"png", [] { return images(".png", png_bytes); }},
                                                                {"idx", [] { return idx_case; }},
                                                                {"cifar", [] { return cifar_case; }},
                                                                {"tar", [] { return tar_case; }},
                                                                {"safetensors", [] { return safetensors_case; }}};
  const auto format = formats.find(count > 1 ? arguments[1] : "");
  if (count < 3 || format == formats.end()) {
    std::cerr << "usage: fuzz_readers jpeg|png|idx|cifar|tar|safetensors COUNT [SEED]\n";
    return 2;
  }
  const long wanted = std::atol(arguments[2]);
  const auto seed = static_cast<std::uint64_t>(count > 3 ? std::atol(arguments[3]) : 1);
  std::string name = (fs::temp_directory_path() / "swav-fuzz-XXXXXX").string();
  const fs::path folder = mkdtemp(name.data());
  std::cout << format->first << ": " << wanted << " files, seed " << seed << ", in " << name << std::flush;
  const Case one = format->second();
  long good = 0;
  for (long i = 0; i < wanted; ++i) {
    PhiloxStream random(seed, static_cast<std::uint64_t>(i));
    try {
      good += one(random, folder);
    } catch (const std::exception& error) {
      std::cout << "\nfile " << i << ": " << error.what() << "\n";
      return 1;
    }
  }
  fs::remove_all(folder);
  const double share = wanted > 0 ? static_cast<double>(good) / static_cast<double>(wanted) : 0;
  std::cout << ": " << good << " accepted (" << std::lround(100 * share) << " %), " << wanted - good << " refused\n";
}
