#!/usr/bin/env bash
# Gives one photograph the colours of another, both from scikit-learn's package, which pip fetches into build/: makes
# docs/color_transfer.jpg.
#   bash examples/color_transfer.sh [OUT.jpg]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/packages.sh
swav_install g++ cmake ninja-build libeigen3-dev libturbojpeg0-dev python3-venv

folder=build/color_transfer
images=$folder/scikit-learn/sklearn/datasets/images
if [[ ! -e $images/china.jpg ]]; then
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install -q --no-deps --target "$folder/scikit-learn" scikit-learn
fi
cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSWAV_NATIVE=ON -DSWAV_BUILD_TESTS=OFF --log-level=WARNING
cmake --build "$folder" --target color_transfer
"$folder/examples/color_transfer" "$images/china.jpg" "$images/flower.jpg" "${1:-docs/color_transfer.jpg}" 280
