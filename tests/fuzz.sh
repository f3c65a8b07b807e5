#!/usr/bin/env bash
# Feeds mutated files of every format to its reader, built with AddressSanitizer and UndefinedBehaviorSanitizer in
# build-address/: no crash, no leak, no allocation out of proportion.
#   bash tests/fuzz.sh [COUNT [SEED]]    COUNT files in all, 100,000 if it is not given
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/packages.sh

count=${1:-100000} seed=${2:-1}
swav_install "${swav_build_packages[@]}" "${swav_test_packages[@]}"
if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
cmake --preset address --log-level=WARNING
cmake --build --preset address -j "$(nproc)" --target fuzz_readers

formats=(jpeg png idx cifar tar safetensors)
for format in "${formats[@]}"; do
  build-address/tests/fuzz/fuzz_readers "$format" $(((count + ${#formats[@]} - 1) / ${#formats[@]})) "$seed"
done
echo "== no crash, no leak, nothing unbounded"
