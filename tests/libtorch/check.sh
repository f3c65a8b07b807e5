#!/usr/bin/env bash
# Builds examples/libtorch against the PyTorch of a Python, and runs it: it compares gradients with autograd's, and trains.
# In: cmake, the Python, the source folder, a build folder, the compiler. Out: 77, which ctest takes for skipped, where
# there is no PyTorch, or one for CUDA without the toolkit that its CMake package asks for; else non-zero on failure.
set -euo pipefail
cmake=$1 python=$2 source=$3 build=$4 compiler=$5
facts=$("$python" -c 'import torch; print(torch.utils.cmake_prefix_path, torch.__version__, torch.version.cuda or "none")' \
  2>/dev/null) || { echo "skipped: $python has no PyTorch"; exit 77; }
read -r prefix version cuda <<<"$facts"
if [[ $cuda != none ]] && ! PATH=$PATH:/usr/local/cuda/bin command -v nvcc >/dev/null; then
  echo "skipped: PyTorch $version is for CUDA $cuda, whose toolkit is not installed; a CPU build of it needs none"
  exit 77
fi
mkdir -p "$build"
"$cmake" -S "$source/examples/libtorch" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_PREFIX_PATH="$prefix" >"$build/configure.log" 2>&1 || { tail -20 "$build/configure.log"; exit 1; }
"$cmake" --build "$build"
echo "PyTorch $version"
"$build/swav_libtorch"
