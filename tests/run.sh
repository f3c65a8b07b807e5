#!/usr/bin/env bash
# Installs what is missing, builds Release for this CPU into build/ and runs every test, the network's on a oneDNN 3.x
# by pip, too; then, built by clang, the library's tests and the trainer's of data under AddressSanitizer with
# UndefinedBehaviorSanitizer, and all of these but the solver's under ThreadSanitizer; typed tests of two scalars there.
#   bash tests/run.sh           as said
#   bash tests/run.sh --quick   without the sanitizers
#   bash tests/run.sh --long    all else under AddressSanitizer, too: the trainer, the network, the program, the examples;
#                               the solver under ThreadSanitizer; every scalar under both; typed tests by -O3; runs killed
#                               50 times each; CUDA for sm_80, sm_90 and sm_100, where nvcc is
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/packages.sh

mode=${1:-ordinary}
case $mode in
  ordinary | --quick | --long) ;;
  *)
    echo "usage: bash tests/run.sh [--quick | --long]" >&2
    exit 2
    ;;
esac

swav_install "${swav_build_packages[@]}" "${swav_data_packages[@]}" "${swav_test_packages[@]}"
if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
jobs=$(nproc)
# Tests run side by side: threads that wait for each other must not spin on cores that another test needs.
export OMP_WAIT_POLICY=passive

# build PRESET TARGET...
build() {
  echo "== $1: build"
  cmake --preset "$1" --log-level=WARNING -DSWAV_TEST_AT_LENGTH="$([[ $mode == --long ]] && echo ON || echo OFF)"
  cmake --build --preset "$1" -j "$jobs" --target "${@:2}"
}
# run PRESET [CTEST ARGUMENT...]
run() {
  echo "== $1: tests"
  ctest --preset "$1" -j "$jobs" --no-tests=error "${@:2}"
}

# oneDNN 3's packages are made for x86-64 alone.
if [[ $(uname -m) == x86_64 ]] && ! bash tests/resnet/onednn3.sh fetch build/onednn3; then
  echo "== oneDNN 3.2 could not be fetched by pip (no network?): the network's test on it is left out"
fi
build release all
if [[ $mode == --long ]]; then export SWAV_TEST_KILLS=50; fi
run release
unset SWAV_TEST_KILLS
if [[ $mode == ordinary ]]; then
  build address library_tests test_trainer_data
  run address -R '^trainer_data$'
  run address -L library
elif [[ $mode == --long ]]; then
  build address-gcc all
  run address-gcc
fi
if [[ $mode == ordinary ]]; then  # the solver's codes run in the loss's tests, too
  threaded=(core crops prototypes loss optim evaluate trainer_data)
  build thread "${threaded[@]/#/test_}"
  run thread -R "^($(IFS='|' && echo "${threaded[*]}"))\$"
elif [[ $mode == --long ]]; then
  build thread library_tests test_trainer_data
  run thread -L library
  run thread -R '^trainer_data$'
fi
if [[ $mode == --long ]] && nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null); then
  echo "== CUDA for three architectures, each header by itself"
  bash tests/cuda/compile.sh "$nvcc" . build 80 90 100
fi
echo "== all tests passed"
