#!/usr/bin/env bash
# Installs what is missing, builds the benchmarks (Release, this CPU) into build-bench/, puts the peers (PyTorch, POT,
# OTT-JAX, albumentations, and DALI and Pillow-SIMD where they install) into virtual environments there, and times the
# library and its peers in turn: docs/results.md, docs/results/.
#   bash bench/run.sh [OPTION...]    options are bench/run_cpu.py's; SWAV_PYTHON names a Python that has the peers already
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/packages.sh

swav_install "${swav_build_packages[@]}" python3 python3-venv python3-dev
if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
cmake --preset bench --log-level=WARNING
cmake --build --preset bench -j "$(nproc)" --target bench_codes bench_loss bench_training_step \
  bench_resnet_step bench_peak bench_raw_pixels bench_transport bench_batch bench_points bench_crops

python=${SWAV_PYTHON:-build-bench/venv/bin/python}
if [[ -z ${SWAV_PYTHON:-} ]]; then
  [[ -x $python ]] || python3 -m venv build-bench/venv
  "$python" -m pip install --quiet --disable-pip-version-check torch torchvision numpy pot ott-jax matplotlib \
    pillow scikit-learn albumentations opencv-python-headless
  "$python" -m pip install --quiet --disable-pip-version-check nvidia-dali-cuda120 || echo "DALI is left out" >&2
fi
# In Pillow's place, before the peers' other packages; for AVX2, which it does not use by itself.
simd=build-bench/pillow-simd
if [[ ! -x $simd/bin/python ]]; then
  "$python" -m venv "$simd"
  if CC="cc -mavx2" "$simd/bin/pip" install --quiet --disable-pip-version-check pillow-simd; then
    "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
      >"$("$simd/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/peers.pth"
  else
    echo "Pillow-SIMD is left out: it does not build here" >&2
    rm -r "$simd"
  fi
fi
exec "$python" bench/run_cpu.py build-bench "$@"
