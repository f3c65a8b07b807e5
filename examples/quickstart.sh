#!/usr/bin/env bash
# SwAV on 60,000 real images from one command: installs what is missing, builds Release for this CPU into
# build/quickstart, trains on Fashion-MNIST, evaluates, and names the report to open.
#   bash examples/quickstart.sh                  under 5 minutes of training on 2 cores (docs/results.md)
#   bash examples/quickstart.sh --smoke          120 steps only, to see that everything works
#   bash examples/quickstart.sh [--smoke] ...    whatever follows goes to swav-train (see its --help); a run that is
#                                                there already is replaced, unless --resume is among it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/packages.sh

preset=fashion-mnist-quick
if [[ "${1:-}" == --smoke ]]; then
  preset=fashion-mnist-smoke
  shift
fi

swav_install "${swav_build_packages[@]}" "${swav_data_packages[@]}"
if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi

folder=build/quickstart
cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSWAV_NATIVE=ON -DSWAV_BUILD_TESTS=OFF --log-level=WARNING
cmake --build "$folder" --target swav-train
again=--overwrite
for argument in "$@"; do
  if [[ $argument == --resume ]]; then again=; fi
done
"$folder/examples/resnet/swav-train" --preset "$preset" --output "runs/$preset" ${again:+"$again"} "$@"
