#!/usr/bin/env bash
# Installs what is missing, builds the benchmarks (Release, this CPU) into build-bench/, puts the peers (PyTorch, POT,
# OTT-JAX) into a virtual environment there, and times the library and its peers in turn: docs/results.md, docs/results/.
#   bash bench/run.sh [OPTION...]    options are bench/run_cpu.py's; SWAV_PYTHON names a Python that has the peers already
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/packages.sh

swav_install "${swav_build_packages[@]}" python3 python3-venv python3-dev
if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
cmake --preset bench --log-level=WARNING
cmake --build --preset bench -j "$(nproc)" --target bench_codes bench_loss bench_training_step \
  bench_resnet_step bench_peak bench_raw_pixels bench_transport bench_batch bench_points

python=${SWAV_PYTHON:-build-bench/venv/bin/python}
if [[ -z ${SWAV_PYTHON:-} ]]; then
  [[ -x $python ]] || python3 -m venv build-bench/venv
  "$python" -m pip install --quiet --disable-pip-version-check torch torchvision numpy pot ott-jax matplotlib
fi
exec "$python" bench/run_cpu.py build-bench "$@"
