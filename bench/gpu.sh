#!/usr/bin/env bash
# Times codes and the loss on the GPU that is here beside PyTorch, eager and compiled, and writes
# docs/results/gpu-<name>.json; the table is printed. Needs CUDA 13 with cuBLAS, and a Python with PyTorch.
#   bash bench/gpu.sh [ARCHITECTURE [PYTHON]]    90 and python3 by default; the program in build-gpu/
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
architecture=${1:-90} python=${2:-python3}
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
mkdir -p build-gpu
"$nvcc" -std=c++20 -O3 -arch="sm_$architecture" --extended-lambda --expt-relaxed-constexpr -Werror all-warnings -Iinclude \
  bench/gpu/bench_gpu.cu -lcublas -o build-gpu/bench_gpu
"$python" bench/gpu/run_gpu.py build-gpu/bench_gpu docs/results
