#!/usr/bin/env bash
# Times the library on a GPU, and writes JSON files and tables of them: `library`, codes, the loss, LARC, crops and k-NN
# beside PyTorch and torchvision (gpu-<name>.json); `solve`, transports beside POT, OTT and flash-sinkhorn, as far as the
# Python has them (gpu-solve-<name>.json; pip install pot ott-jax "jax[cuda13]" flash-sinkhorn); `resnet`, the trainer's
# ResNet-50 (gpu-resnet-<name>.json).
#   bash bench/gpu.sh [ARCHITECTURE]            builds and times, for sm_90 by default
#   bash bench/gpu.sh --build [ARCHITECTURE]    needs no GPU; what is to run is then in build-gpu/packs/
#   bash bench/gpu.sh --run [PART...]           needs no compiler but what torch.compile wants; all parts by default
# To build and to run wants what the head of tests/gpu.sh says, but compute-sanitizer; to run, a Python (SWAV_PYTHON) with
# PyTorch and torchvision. Files go to docs/results, or to SWAV_GPU_LOGS beside the logs. Ours of all cases come first, and
# the file is written after every figure: a run that is cut short has lost little.
# The kernels of one case, in the order of their time: nsys profile --stats=true build-gpu/bench/bench_gpu CASE, for which
# the head of bench/gpu/bench_gpu.cu has the words.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
programs=bench known_parts=(library solve resnet)
source tests/gpu_parts.sh

build() {
  begin_build -O3
  local program
  for program in bench_gpu bench_solve; do
    "${compiler[@]}" "${cuda_flags[@]}" -Iinclude -c "bench/gpu/$program.cu" -o "$objects/$program.o" &
  done
  wait
  for program in bench_gpu bench_solve; do
    "$nvcc" "$objects/$program.o" "${link_flags[@]}" -o "$objects/$program" || fault "$program (not built)"
  done
  build_trainer bench_resnet_gpu
  end_build "$objects"/bench_{gpu,solve} "$output/trainer/examples/resnet/bench_resnet_gpu"
}

results=${SWAV_GPU_LOGS:-docs/results}
# timed PROGRAM SCRIPT SECONDS LOG
timed() {
  has "$1" || return
  step "bench/gpu/$2" "$3" "$4" env PYTHONUNBUFFERED=1 "$python" "bench/gpu/$2" "$output/bench/$1" "$results"
  grep '^|' "$logs/$4"
}
device() { has bench_gpu && step "one case" 60 device.log "$output/bench/bench_gpu" codes 4096 3000 float; }
library() { timed bench_gpu run_gpu.py 560 library.log; }
solve() { timed bench_solve run_solve.py 560 solve.log; }
resnet() { timed bench_resnet_gpu run_resnet.py 560 resnet.log; }

arguments "$@"
[[ $mode == build ]] || find_gpu
[[ $mode == run ]] || build
run_parts
