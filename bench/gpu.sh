#!/usr/bin/env bash
# Times codes, the loss, LARC, crops and k-NN on the GPU that is here beside PyTorch and torchvision, and writes
# docs/results/gpu-<name>.json; the table is printed. Then transports beside POT, OTT and flash-sinkhorn, as far as the
# Python has them (pip install pot ott-jax "jax[cuda13]" flash-sinkhorn), into gpu-solve-<name>.json, and the trainer's
# ResNet-50, into gpu-resnet-<name>.json. Needs CUDA 13 with cuBLAS, and a Python with PyTorch and torchvision; for the
# trainer CMake and cuDNN 9.
#   bash bench/gpu.sh [ARCHITECTURE [PYTHON]]    90 and python3 by default; the program in build-gpu/
# The kernels of one case, in the order of their time: nsys profile --stats=true build-gpu/bench_gpu CASE, for which the
# head of bench/gpu/bench_gpu.cu has the words.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
architecture=${1:-90} python=${2:-python3}
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
mkdir -p build-gpu
for program in bench_gpu bench_solve; do
  "$nvcc" -std=c++20 -O3 -arch="sm_$architecture" --extended-lambda --expt-relaxed-constexpr -Werror all-warnings -Iinclude \
    "bench/gpu/$program.cu" -lcublas -Xlinker "-rpath=$(dirname "$(readlink -f "$nvcc")")/../lib64" \
    -o "build-gpu/$program" &
done
wait -n # the one that ends first
wait -n
"$python" bench/gpu/run_gpu.py build-gpu/bench_gpu docs/results
"$python" bench/gpu/run_solve.py build-gpu/bench_solve docs/results

cmake -S . -B build-gpu/trainer -DCMAKE_BUILD_TYPE=Release -DSWAV_WITH_CUDA=ON -DSWAV_CUDA_ARCHITECTURES="$architecture" \
  --log-level=WARNING
cmake --build build-gpu/trainer -j "$(nproc)" --target bench_resnet_gpu
"$python" bench/gpu/run_resnet.py build-gpu/trainer/examples/resnet/bench_resnet_gpu docs/results
