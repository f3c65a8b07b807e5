#!/usr/bin/env bash
# Builds and runs tests/package as a user would. In: cmake, the way (find_package, add_subdirectory, FetchContent), the
# source folder, a scratch folder, the build folder to install from (find_package only), the compiler.
set -euo pipefail
cmake=$1 way=$2 source=$3 scratch=$4 build=$5 compiler=$6
rm -rf "$scratch"
arguments=(-G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER="$compiler" -DSWAV_FROM="$way" -DSWAV_SOURCE="$source")
if [[ $way == find_package ]]; then
  "$cmake" --install "$build" --prefix "$scratch/prefix" >/dev/null
  arguments+=(-DCMAKE_PREFIX_PATH="$scratch/prefix")
fi
"$cmake" -S "$source/tests/package" -B "$scratch/build" "${arguments[@]}"
"$cmake" --build "$scratch/build"
"$scratch/build/consumer"
