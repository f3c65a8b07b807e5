#!/usr/bin/env bash
# Builds the typed tests with nvcc, the trainer's tests and the trainer, and runs them on a GPU, each part with a verdict:
# `typed`; `sanitize`, a few of these under compute-sanitizer; `trainer`, its tests and a short run.
#   bash tests/gpu.sh [ARCHITECTURE]            both, for sm_90 by default
#   bash tests/gpu.sh --build [ARCHITECTURE]    needs no GPU; what is to run is then in build-gpu/packs/
#   bash tests/gpu.sh --run [PART...]           needs no compiler; all parts by default
# To build wants CUDA 13 with cuBLAS; Eigen and doctest, in the usual places or in SWAV_GPU_INCLUDES (folders, separated by
# colons); for the trainer CMake, cuDNN 9, NCCL and nvJPEG where they are to be tested, and what it needs on a CPU
# (docs/training.md): CMAKE_PREFIX_PATH names folders that CMake does not look in by itself. CMAKE_CUDA_COMPILER_LAUNCHER and
# CMAKE_CXX_COMPILER_LAUNCHER may be ccache, CMAKE_BUILD_PARALLEL_LEVEL the compilers at a time.
# To run wants the driver, this folder with build-gpu/packs at any path, cuBLAS, cuDNN and NCCL (of CUDA's toolkit, of
# Python's packages, or in SWAV_CUDA_LIBRARIES), compute-sanitizer and Python (SWAV_PYTHON, python3 by default). SWAV_GPU_LOGS
# is the folder for logs and verdicts, build-gpu by default; SWAV_GPU_SECONDS the limit of every step in place of its own.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
programs=tests known_parts=(typed sanitize trainer)
source tests/gpu_parts.sh

build() {
  begin_build -O2
  local sources=(tests/crops/exactness.cpp tests/crops/photographs.cpp tests/cuda/cuda_device.cpp
    tests/evaluate/evaluate.cpp tests/loss/swapped_prediction.cpp tests/optim/optimizers.cpp tests/sinkhorn/batch.cpp
    tests/sinkhorn/codes.cpp tests/sinkhorn/codes_options.cpp tests/sinkhorn/gradients.cpp tests/sinkhorn/transport.cpp
    tests/main.cpp)
  # The tests' references have long doubles in host and device functions: 20208.
  local flags=("${cuda_flags[@]}" -diag-suppress 20208 -DEIGEN_NO_CUDA -DSWAV_TEST_CUDA
    '-DSWAV_GOLDEN_DIR="tests/golden"' -Iinclude -Itests -isystem /usr/include/eigen3 ${includes[@]+"${includes[@]}"})
  compile() {
    local source=$1
    shift
    "$@" -x cu -c "$source" -o "build-gpu/objects/tests/$(basename "$source").o" ||
      echo "$source" >>build-gpu/objects/tests/not_compiled
  }
  export -f compile
  printf '%s\0' "${sources[@]}" | xargs -0 -P "$jobs" -I{} bash -c 'compile "$@"' _ {} "${compiler[@]}" "${flags[@]}"
  # Operators of the host alone, which nvcc would have in device code, too.
  "${compiler[@]}" -std=c++20 -O2 -Itests -Iinclude -x c++ -c tests/allocations.cpp -o "$objects/allocations.cpp.o" ||
    echo tests/allocations.cpp >>"$objects/not_compiled"
  # What did compile is run.
  [[ ! -e $objects/not_compiled ]] || fault "not compiled: $(paste -sd' ' "$objects/not_compiled")"
  local wrapped=() function
  for function in malloc calloc realloc aligned_alloc; do wrapped+=(-Xlinker "--wrap=$function"); done
  "$nvcc" "${wrapped[@]}" "$objects"/*.o "${link_flags[@]}" -o "$objects/test_cuda" ||
    fault "test_cuda (not linked)"
  build_trainer test_resnet_cuda test_trainer_cuda swav-train swav-eval
  local trainer=$output/trainer
  end_build "$objects/test_cuda" "$trainer"/tests/cuda/test_{resnet,trainer}_cuda \
    "$trainer/examples/resnet/swav-train" "$trainer/examples/resnet/eval/swav-eval"
}

# A line as it ends, so that a test that was stopped is the one after the last.
doctest() {
  local what=$1 limit=$2 log=$3 program=$4
  shift 4
  step "$what" "$limit" "$log" stdbuf -oL "$output/tests/$program" --no-colors=1 --duration=1 "$@"
}

device() { has test_cuda && doctest "one test" 60 device.log test_cuda --test-case='streams of their own*'; }

# The longest make many devices, or thousands of iterations with a wait each: after the others.
typed() {
  local longest='gradients equal central*,codes are equipartitioned*,at convergence each*,adaptive relaxation*'
  has test_cuda || return
  doctest "typed tests" 300 typed.log test_cuda --test-case-exclude="$longest"
  doctest "the longest typed tests" 300 typed.longest.log test_cuda --test-case="$longest"
}

# On a few small cases: a sanitizer slows kernels down a hundredfold.
sanitize() {
  has test_cuda || return
  local tool sanitizer
  local selection='optimisers*,all views of a batch*,k-NN: a small*,codes in every layout*,codes come from a queue*,bad values are reported*,streams of their own*,strided*,transports of rows*,transports of points do not*,loss and gradients at temp*'
  if ! sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null); then
    faults+=("compute-sanitizer (not found)")
    return
  fi
  for tool in memcheck racecheck initcheck; do
    step "$tool" 240 "sanitize.$tool.log" "$sanitizer" --tool "$tool" --error-exitcode 9 "$output/tests/test_cuda" \
      --no-colors=1 --duration=1 --test-case="$selection"
  done
}

# As torchrun starts them.
# shellcheck disable=SC2016
two_ranks='export WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29400
RANK=1 LOCAL_RANK=1 "$@" &
RANK=0 LOCAL_RANK=0 "$@" && wait $! || { status=$?; kill $! 2>/dev/null; exit $status; }'

# The network against PyTorch's golden files, learners against those on the CPU, a run that learns; with two GPUs, ranks that
# share batches against one learner of whole batches, and a run.
trainer() {
  local data=$output/trainer-data run=$output/trainer-run gpus
  export OMP_WAIT_POLICY=passive
  if has test_resnet_cuda; then
    doctest "tests of the network" 180 trainer.log test_resnet_cuda --test-case-exclude='names*'
  fi
  if has test_trainer_cuda; then doctest "tests of the trainer" 240 trainer.log test_trainer_cuda; fi
  has swav-train && has swav-eval && step "images" 60 trainer.log "$python" tests/gpu_images.py "$data" || return
  local train=(stdbuf -oL "$output/tests/swav-train" --preset fashion-mnist-smoke --device cuda --data-dir "$data" --overwrite)
  if step "a run" 120 trainer.log "${train[@]}" --output "$run"; then
    step "an evaluation" 60 trainer.log "$output/tests/swav-eval" knn "$run" --device cuda
  fi
  gpus=$(nvidia-smi -L | grep -c '^GPU')
  if ((gpus < 2)); then
    note=", not on several GPUs"
    return
  fi
  note=", on two GPUs, too"
  step "tests on two GPUs" 180 trainer.log bash -c "$two_ranks" _ "$output/tests/test_trainer_cuda" --no-colors=1 \
    --no-skip --test-case="ranks with a GPU each*"
  step "a run on two GPUs" 120 trainer.log bash -c "$two_ranks" _ "${train[@]}" --output "$output/trainer-ranks"
}

arguments "$@"
[[ $mode == build ]] || find_gpu
[[ $mode == run ]] || build
run_parts
