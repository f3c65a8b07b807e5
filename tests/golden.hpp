// Reads golden files. In: a name under tests/golden. Out: its named arrays.
//
// Format, written by tests/golden/golden_file.py: a text header of one line an array, "name rows cols", a line "end",
// then all arrays' values in that order as little-endian doubles, row-major.
#pragma once

#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "swav/backend/eigen/device.hpp"

namespace swav::test {

using GoldenArrays = std::map<std::string, RowMatrix<double>>;

inline GoldenArrays load_golden(const std::string& name) {
  const std::string path = std::string(SWAV_GOLDEN_DIR) + "/" + name;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("golden file missing: " + path);
  std::vector<std::pair<std::string, std::pair<Index, Index>>> header;
  std::string array;
  while (file >> array && array != "end") {
    Index rows = 0, cols = 0;
    file >> rows >> cols;
    header.emplace_back(array, std::pair{rows, cols});
  }
  file.ignore(1);
  GoldenArrays arrays;
  for (const auto& [key, shape] : header) {
    RowMatrix<double> values(shape.first, shape.second);
    file.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(values.size()) * static_cast<std::streamsize>(sizeof(double)));
    if (!file) throw std::runtime_error("golden file truncated: " + path);
    arrays.emplace(key, std::move(values));
  }
  return arrays;
}

}  // namespace swav::test
