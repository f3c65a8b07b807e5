// Safetensors files against those of the Python package, and against damage of every kind. In:
// tests/golden/stored_tensors.safetensors, files made here. Out: checks of values, errors and atomic replacement.
#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // results are [[nodiscard]]
#include "swav/io/safetensors.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "swav/backend/eigen/dtype.hpp"

namespace {

using namespace swav;

const std::string golden = std::string(SWAV_GOLDEN_DIR) + "/stored_tensors.safetensors";
const std::string odd_name = "quote \" slash \\ tab \t é 字 🙂";

/// A directory of its own that goes away with it.
class ScratchDirectory {
 public:
  ScratchDirectory() { REQUIRE(::mkdtemp(path_.data()) != nullptr); }
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_ = "/tmp/swav_safetensors_XXXXXX";
};

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const std::string& path, const std::string& bytes) {
  std::remove(path.c_str());  // some file systems flush a file that is overwritten, which takes milliseconds
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string with_length(const std::string& header, const std::string& data) {
  const auto length = std::bit_cast<std::array<char, 8>>(std::uint64_t{header.size()});
  return std::string(length.data(), 8) + header + data;
}

template <class T>
std::vector<T> one_to_six() {
  std::vector<T> values;
  for (int i = 1; i <= 6; ++i) values.push_back(static_cast<T>(static_cast<float>(i)));
  return values;
}

template <class T>
void check_golden(const SafetensorsFile& file, const std::string& name) {
  CAPTURE(name);
  std::vector<T> values(6);
  file.read<T>(name, values);
  CHECK(values == one_to_six<T>());
  CHECK(file.at(name).shape == std::vector<Index>{2, 3});
  CHECK(dtype_name(file.at(name).dtype) == name);
}

/// The tensors of the golden file, from here.
struct Tensors {
  template <class T>
  void add(const std::string& name, const std::vector<T>& values) {
    list.push_back(stored_tensor<T>(name, {2, 3}, values));
  }
  Tensors() {
    list.push_back(stored_tensor<bool>("BOOL", {2, 3}, VectorView<const bool>(booleans, 6)));
    list.push_back(stored_tensor<std::uint8_t>(odd_name, {1}, VectorView<const std::uint8_t>(u8.data(), 1)));
    add("U8", u8), add("I8", i8), add("U16", u16), add("I16", i16), add("F16", f16), add("BF16", bf16), add("U32", u32);
    add("I32", i32), add("F32", f32), add("U64", u64), add("I64", i64), add("F64", f64);
    list.push_back(stored_tensor<float>("empty", {0, 4}, VectorView<const float>()));
    list.push_back(stored_tensor<float>("number", {}, VectorView<const float>(f32.data(), 1)));
  }
  bool booleans[6] = {true, false, true, false, true, false};
  std::vector<std::uint8_t> u8 = one_to_six<std::uint8_t>();
  std::vector<std::int8_t> i8 = one_to_six<std::int8_t>();
  std::vector<std::uint16_t> u16 = one_to_six<std::uint16_t>();
  std::vector<std::int16_t> i16 = one_to_six<std::int16_t>();
  std::vector<Eigen::half> f16 = one_to_six<Eigen::half>();
  std::vector<Eigen::bfloat16> bf16 = one_to_six<Eigen::bfloat16>();
  std::vector<std::uint32_t> u32 = one_to_six<std::uint32_t>();
  std::vector<std::int32_t> i32 = one_to_six<std::int32_t>();
  std::vector<float> f32 = one_to_six<float>();
  std::vector<std::uint64_t> u64 = one_to_six<std::uint64_t>();
  std::vector<std::int64_t> i64 = one_to_six<std::int64_t>();
  std::vector<double> f64 = one_to_six<double>();
  std::vector<StoredTensor> list;
};

const std::map<std::string, std::string> metadata{{"epoch", "7"}, {"ключ", "a\nb"}};

void check_all(const SafetensorsFile& file) {
  check_golden<std::uint8_t>(file, "U8");
  check_golden<std::int8_t>(file, "I8");
  check_golden<std::uint16_t>(file, "U16");
  check_golden<std::int16_t>(file, "I16");
  check_golden<Eigen::half>(file, "F16");
  check_golden<Eigen::bfloat16>(file, "BF16");
  check_golden<std::uint32_t>(file, "U32");
  check_golden<std::int32_t>(file, "I32");
  check_golden<float>(file, "F32");
  check_golden<std::uint64_t>(file, "U64");
  check_golden<std::int64_t>(file, "I64");
  check_golden<double>(file, "F64");
  bool booleans[6] = {};
  file.read<bool>("BOOL", VectorView<bool>(booleans, 6));
  CHECK((booleans[0] && !booleans[1] && booleans[4] && !booleans[5]));
  CHECK(file.at("empty").shape == std::vector<Index>{0, 4});
  CHECK(file.at("empty").bytes.empty());
  CHECK(file.at("number").shape.empty());
  CHECK(file.contains(odd_name));
  CHECK(file.tensors().size() == 16);
  CHECK(file.metadata() == metadata);
  CHECK(file.metadata("epoch") == "7");
}

/// Reads the file, which is either sound or raises FileError: anything else fails the test or the sanitizer.
bool sound(const std::string& path) {
  try {
    const SafetensorsFile file(path);
    std::size_t sum = 0;
    for (const StoredTensor& tensor : file.tensors())
      for (const std::byte b : tensor.bytes) sum += static_cast<std::size_t>(b);
    return sum < std::numeric_limits<std::size_t>::max();
  } catch (const FileError& error) {
    CHECK(error.path() == path);
    CHECK(std::string(error.what()).starts_with(path + ": "));
    return false;
  }
}

}  // namespace

TEST_CASE("a file of the Python package is read") { check_all(SafetensorsFile(golden)); }

TEST_CASE("what is written is read back, and written again to the same bytes") {
  const ScratchDirectory scratch;
  write_safetensors(scratch.file("a"), Tensors().list, metadata);
  const SafetensorsFile file(scratch.file("a"));
  check_all(file);
  write_safetensors(scratch.file("b"), file.tensors(), file.metadata());
  CHECK(content(scratch.file("a")) == content(scratch.file("b")));
  for (const StoredTensor& tensor : file.tensors())
    if (!tensor.bytes.empty())
      CHECK(reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % dtype_size(tensor.dtype) == 0);
  write_safetensors(scratch.file("none"), {});
  CHECK(SafetensorsFile(scratch.file("none")).tensors().empty());
}

// tests/io/python_reads.py runs this case alone, and then reads the file with the Python package.
TEST_CASE("the file that Python reads is written") {
  const char* const path = std::getenv("SWAV_SAFETENSORS_FOR_PYTHON");
  if (path == nullptr) return;
  write_safetensors(path, Tensors().list, metadata);
}

TEST_CASE("what is not there, or not of that type or size, is named, and nothing is changed") {
  const SafetensorsFile file(golden);
  std::vector<float> values(5, 9.f);
  CHECK_THROWS_WITH_AS(file.read<float>("F32", values), (golden + ": tensor 'F32' has 6 elements, 5 wanted").c_str(),
                       FileError);
  CHECK_THROWS_WITH_AS(file.read<float>("F64", values), (golden + ": tensor 'F64' is F64, F32 wanted").c_str(),
                       FileError);
  CHECK_THROWS_WITH_AS(file.read<float>("x", values), (golden + ": has no tensor 'x'").c_str(), FileError);
  CHECK_THROWS_AS(file.metadata("x"), FileError);
  CHECK(values == std::vector<float>(5, 9.f));
}

TEST_CASE("tensors that cannot be written are named before anything is") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("a");
  const std::vector<float> two{1, 2};
  const auto write = [&](std::vector<StoredTensor> tensors, std::map<std::string, std::string> texts = {}) {
    write_safetensors(path, tensors, texts);
  };
  const auto named = [&](const std::string& name, std::vector<Index> shape) {
    return stored_tensor<float>(name, std::move(shape), two);
  };
  CHECK_THROWS_AS(write({named("a", {2}), named("a", {2})}), InvalidInput);
  CHECK_THROWS_AS(write({named("__metadata__", {2})}), InvalidInput);
  CHECK_THROWS_AS(write({named("\xff", {2})}), InvalidInput);
  CHECK_THROWS_WITH_AS(write({named("a", {3})}), "tensors: 'a' has 8 bytes, its shape's 12 wanted", InvalidInput);
  CHECK_THROWS_AS(write({named("a", {-1, -2})}), InvalidInput);
  CHECK_THROWS_AS(write({named("a", {Index{1} << 62, 4})}), InvalidInput);
  CHECK_THROWS_AS(write({}, {{"\xc0\x80", "x"}}), InvalidInput);
  CHECK_THROWS_AS(write({}, {{"x", "\xed\xa0\x80"}}), InvalidInput);
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("a path that cannot be read or written is named") {
  const ScratchDirectory scratch;
  CHECK_THROWS_AS(SafetensorsFile(scratch.file("missing")), FileError);
  CHECK_THROWS_AS(SafetensorsFile(scratch.file("")), FileError);
  CHECK_THROWS_AS(SafetensorsFile("/dev/zero"), FileError);
  REQUIRE(::mkfifo(scratch.file("pipe").c_str(), 0666) == 0);
  CHECK_THROWS_AS(SafetensorsFile(scratch.file("pipe")), FileError);
  CHECK_THROWS_AS(write_safetensors(scratch.file("missing/a"), {}), FileError);
  REQUIRE(::mkdir(scratch.file("directory").c_str(), 0777) == 0);
  CHECK_THROWS_AS(write_safetensors(scratch.file("directory"), {}), FileError);
  CHECK(::access(scratch.file("directory.partial").c_str(), F_OK) != 0);
}

TEST_CASE("malformed headers are refused") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("a");
  const auto refused = [&](const std::string& header, const std::string& data, const std::string& problem) {
    CAPTURE(header);
    put(path, with_length(header, data));
    try {
      const SafetensorsFile file(path);
      FAIL_CHECK("accepted");
    } catch (const FileError& error) {
      CAPTURE(error.what());
      CHECK(std::string(error.what()).find(problem) != std::string::npos);
    }
  };
  const auto tensor = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{\"a\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  put(path, with_length(tensor("U8", "[2]", "[0,2]") + "  ", "ab"));
  CHECK(sound(path));
  put(path, with_length("{\"a\" : {\"shape\":[ ],\n\"data_offsets\":[0, 1],\t\"dtype\":\"\\u0055\\u0038\"}}", "a"));
  CHECK(sound(path));

  refused("", "", "'{' wanted");
  refused(" {}", "", "'{' wanted");
  refused("{", "", "wanted");
  refused("{}x", "", "something follows");
  refused("{}", "a", "belong to no tensor");
  refused("[]", "", "'{' wanted");
  refused("{\"a\":1}", "", "'{' wanted");
  refused("{\"a\":{}}", "", "wanted");
  refused("{\"a\":{\"dtype\":\"U8\"}}", "", "lacks");
  refused("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "a", "twice");
  refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", "a", "unknown field");
  refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],}}", "a", "wanted");
  refused(
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
      "ab", "stands twice");
  refused(
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
      "abc", "overlap");
  refused(
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
      "abc", "gap");
  refused(tensor("U8", "[1]", "[1,2]"), "ab", "gap");
  refused(tensor("U8", "[1]", "[0,1]"), "ab", "belong to no tensor");
  refused(tensor("U8", "[3]", "[0,3]"), "ab", "outside");
  refused(tensor("U8", "[1]", "[2,1]"), "ab", "outside");
  refused(tensor("F32", "[1]", "[0,2]"), "ab", "shape needs");
  refused(tensor("U8", "[4611686018427387904,4]", "[0,0]"), "", "shape needs");
  refused(tensor("F64", "[2305843009213693952]", "[0,0]"), "", "shape needs");
  refused(tensor("U8", "[9223372036854775808]", "[0,2]"), "ab", "too large");
  refused(tensor("U8", "[99999999999999999999999]", "[0,2]"), "ab", "too large");
  refused(tensor("U8", "[-2]", "[0,2]"), "ab", "whole number");
  refused(tensor("U8", "[02]", "[0,2]"), "ab", "starts with 0");
  refused(tensor("U8", "[2.0]", "[0,2]"), "ab", "wanted");
  refused(tensor("U8", "[2e0]", "[0,2]"), "ab", "wanted");
  refused(tensor("U8", "[2,]", "[0,2]"), "ab", "whole number");
  refused(tensor("U8", "2", "[0,2]"), "ab", "wanted");
  refused(tensor("U8", "[2]", "[0,2,2]"), "ab", "two numbers");
  refused(tensor("U8", "[2]", "[]"), "ab", "two numbers");
  refused(tensor("F8_E4M3", "[2]", "[0,2]"), "ab", "dtype");
  refused(tensor("u8", "[2]", "[0,2]"), "ab", "dtype");
  refused("{\"__metadata__\":{\"a\":1}}", "", "wanted");
  refused("{\"__metadata__\":{\"a\":\"x\",\"a\":\"y\"}}", "", "twice");
  refused("{\"__metadata__\":{},\"__metadata__\":{}}", "", "twice");
  refused("{\"__metadata__\":{\"a\":\"x", "", "inside a string");
  refused("{\"__metadata__\":{\"a\":\"x\n\"}}", "", "control character");
  refused("{\"__metadata__\":{\"a\":\"\\x\"}}", "", "unknown escape");
  refused("{\"__metadata__\":{\"a\":\"\\u12g4\"}}", "", "hexadecimal");
  refused("{\"__metadata__\":{\"a\":\"\\ud800\"}}", "", "surrogate");
  refused("{\"__metadata__\":{\"a\":\"\\ud800\\u0041\"}}", "", "surrogate");
  refused("{\"__metadata__\":{\"a\":\"\\udc00\"}}", "", "surrogate");
  for (const std::string bytes : {"\xff", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                                  "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80"})
    refused("{\"__metadata__\":{\"a\":\"" + bytes + "\"}}", "", "UTF-8");
}

TEST_CASE("a header length that the file cannot hold is refused without allocating it") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("a");
  for (const std::uint64_t length :
       {std::uint64_t{3}, std::uint64_t{100'000'001}, std::uint64_t{1} << 62, std::numeric_limits<std::uint64_t>::max(),
        std::numeric_limits<std::uint64_t>::max() - 7}) {
    const auto prefix = std::bit_cast<std::array<char, 8>>(length);
    put(path, std::string(prefix.data(), 8) + "{}");
    CHECK_FALSE(sound(path));
  }
}

TEST_CASE("truncated, extended and damaged files raise FileError or are sound, nothing else") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("a");
  const std::string whole = content(golden);
  for (std::size_t length = 0; length < whole.size(); length += length < 1000 ? 1 : 7) {
    put(path, whole.substr(0, length));
    CHECK_FALSE(sound(path));
  }
  put(path, whole + "x");
  CHECK_FALSE(sound(path));

  std::mt19937 random(1);
  const std::string likely = "\"{}[]:,\\0123456789 u";
  int accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string damaged = whole;
    const std::size_t changes = 1 + random() % 3;
    for (std::size_t i = 0; i < changes; ++i)
      damaged[random() % damaged.size()] = round % 2 ? static_cast<char>(random()) : likely[random() % likely.size()];
    put(path, damaged);
    accepted += sound(path);
  }
  CHECK(accepted > 0);     // damage to the data alone cannot be seen
  CHECK(accepted < 3000);  // damage to the header mostly can
}

TEST_CASE("a process that is killed while it writes leaves the old file or the new one") {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("checkpoint");
  const auto save = [&](float value) {
    const std::vector<float> values(200'000, value);
    write_safetensors(path, std::vector<StoredTensor>{stored_tensor<float>("x", {200'000}, values)});
  };
  save(0);
  for (int round = 0; round < 15; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (float value = 0;; ++value) save(value);
    }
    ::usleep(static_cast<useconds_t>(500 + 1700 * round));
    REQUIRE(::kill(child, SIGKILL) == 0);
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    std::vector<float> values(200'000);
    SafetensorsFile(path).read<float>("x", values);
    CHECK(values == std::vector<float>(200'000, values.front()));
  }
}
