// Replaces a file as a whole. In: a path and the content in parts. Out: after success the new file, after any failure
// or a kill the old one; never a mixture.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <system_error>

#include "swav/io/file_descriptor.hpp"

namespace swav {

/// Writes the parts one after another to "<path>.partial", flushes that to the medium, renames it to `path` and flushes
/// the directory. A "<path>.partial" left by a killed process is overwritten; two processes must not write one path at
/// the same time. Throws FileError, with whatever `path` held before left as it was.
inline void write_file_atomically(const std::string& path, std::span<const std::span<const std::byte>> parts) {
  const std::string partial = path + ".partial";
  try {
    detail::FileDescriptor file(partial, O_WRONLY | O_CREAT | O_TRUNC);
    for (const std::span<const std::byte> part : parts) file.write(part);
    file.sync();
    file.close();
    if (std::rename(partial.c_str(), path.c_str()) != 0)
      throw FileError(path, "cannot be replaced (" + std::generic_category().message(errno) + ")");
  } catch (const FileError&) {
    std::remove(partial.c_str());
    throw;
  }
  const std::size_t slash = path.find_last_of('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  detail::FileDescriptor(directory, O_RDONLY | O_DIRECTORY).sync();
}

}  // namespace swav
