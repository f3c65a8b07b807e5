// Tar files as WebDataset writes them: members of one sample stand together and share a key, the name up to the first
// dot of its last part. In: a path. Out: the samples' images, by place and size, and their classes.
#pragma once

#include <string>
#include <vector>

#include "data/image_files.hpp"

namespace swav::resnet {

/// Adds the image (.jpg, .jpeg, .png) of each sample to `files`, and its class (KEY.cls, an integer as text) to
/// `labels`; samples without an image and hidden members are left out. Reads ustar, GNU's long names and pax's path and
/// size; contents other than classes are not read. Throws FileError for what is no tar file, ends early, or holds
/// sparse members, links in an image's or a class's place, a class that is no integer from 0 to 999,999, two images in
/// a sample, or classes for some samples only.
void index_tar_shard(const std::string& path, StoredFiles& files, std::vector<int>& labels);

}  // namespace swav::resnet
