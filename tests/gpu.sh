#!/usr/bin/env bash
# Builds the typed tests with nvcc and runs them on the GPU that is here, then a selection of them under
# compute-sanitizer, then the trainer's tests and a short run of it, and ends with a verdict. Needs CUDA 13 with cuBLAS;
# Eigen and doctest, in the usual places or in SWAV_GPU_INCLUDES (folders, separated by colons); for the trainer CMake,
# cuDNN 9 and what it needs on a CPU (docs/training.md), with the CMake packages of all of these: CMAKE_PREFIX_PATH in the
# environment names folders that CMake does not look in by itself. Two GPUs, NCCL and MPI: training over both, too.
#   bash tests/gpu.sh [ARCHITECTURE]    90 by default; objects and logs in build-gpu/
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
architecture=${1:-90}
output=build-gpu
mkdir -p "$output"

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
if ! device=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1) || [[ -z $device ]]; then
  echo "verdict: NOT RUN, there is no GPU here"
  exit 1
fi
echo "== $device, $("$nvcc" --version | tail -1)"

flags=(-std=c++20 -O2 -arch="sm_$architecture" --extended-lambda --expt-relaxed-constexpr -Werror all-warnings
  -diag-suppress 20208 # the tests' references have long doubles in host and device functions
  -DEIGEN_NO_CUDA -DSWAV_TEST_CUDA "-DSWAV_GOLDEN_DIR=\"$PWD/tests/golden\"" -Iinclude -Itests -isystem /usr/include/eigen3)
IFS=: read -ra extra <<<"${SWAV_GPU_INCLUDES:-}"
for i in ${extra[@]+"${!extra[@]}"}; do
  extra[i]=$(realpath "${extra[i]}") # CMake compiles elsewhere
  flags+=(-isystem "${extra[i]}")
done

sources=(tests/crops/exactness.cpp tests/crops/photographs.cpp tests/cuda/cuda_device.cpp
  tests/evaluate/evaluate.cpp tests/loss/swapped_prediction.cpp tests/optim/optimizers.cpp
  tests/sinkhorn/batch.cpp
  tests/sinkhorn/codes.cpp tests/sinkhorn/codes_options.cpp tests/sinkhorn/gradients.cpp tests/sinkhorn/transport.cpp
  tests/main.cpp)
compile() {
  local source=$1
  shift
  "$@" -x cu -c "$source" -o "build-gpu/$(basename "$source").o" || echo "$source" >>build-gpu/not_compiled
}
export -f compile
rm -f "$output"/*.o "$output/not_compiled"
printf '%s\0' "${sources[@]}" | xargs -0 -P "$(nproc)" -I{} bash -c 'compile "$@"' _ {} "$nvcc" "${flags[@]}"
# Operators of the host alone, which nvcc would have in device code, too.
"$nvcc" -std=c++20 -O2 -Itests -Iinclude -x c++ -c tests/allocations.cpp -o "$output/allocations.cpp.o" ||
  { echo "verdict: FAILED, tests/allocations.cpp not compiled"; exit 1; }
failed=()
[[ -e $output/not_compiled ]] && failed+=("not compiled: $(paste -sd' ' "$output/not_compiled")") # what did compile is run
wrapped=()
for function in malloc calloc realloc aligned_alloc; do wrapped+=(-Xlinker "--wrap=$function"); done
libraries=$(dirname "$(readlink -f "$nvcc")")/../lib64 # which the loader may not know of
"$nvcc" -arch="sm_$architecture" "${wrapped[@]}" "$output"/*.o -lcublas -Xlinker "-rpath=$libraries" \
  -o "$output/test_cuda" ||
  { echo "verdict: FAILED, not linked"; exit 1; }

"$output/test_cuda" 2>&1 | tee "$output/tests.log" || failed+=(tests)

# On a few small cases: a sanitizer slows kernels down a hundredfold.
selection=(-tc='optimisers*,all views of a batch*,k-NN: a small*,codes in every layout*,codes come from a queue*,bad values are reported*,streams of their own*,strided*,transports of rows*,loss and gradients at temp*')
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck; do
    echo "== compute-sanitizer $tool"
    compute-sanitizer --tool "$tool" --error-exitcode 9 "$output/test_cuda" "${selection[@]}" \
      >"$output/$tool.log" 2>&1 || failed+=("$tool")
    tail -3 "$output/$tool.log"
  done
else
  failed+=("compute-sanitizer (not found)")
fi

# The trainer: the network against PyTorch's golden files, learners against those on the CPU, a run that learns.
trainer=$output/trainer
if cmake -S . -B "$trainer" -DCMAKE_BUILD_TYPE=Release -DSWAV_WITH_CUDA=ON -DSWAV_CUDA_ARCHITECTURES="$architecture" \
  -DCMAKE_CXX_FLAGS="$(printf -- '-isystem %s ' ${extra[@]+"${extra[@]}"} | sed 's/-isystem  *$//')" \
  >"$output/trainer_configure.log" 2>&1 &&
  cmake --build "$trainer" -j "$(nproc)" --target test_resnet_cuda test_trainer_cuda swav-train swav-eval \
    >"$output/trainer_build.log" 2>&1; then
  ctest --test-dir "$trainer" -L trainer_cuda --output-on-failure 2>&1 | tee "$output/trainer.log" ||
    failed+=("the trainer's tests")
  # Ranks that share batches, a GPU each, against one learner of whole batches; then the program.
  gpus=$(nvidia-smi -L | grep -c '^GPU')
  ranks=()
  if ((gpus < 2)); then
    echo "several GPUs: skipped: $gpus GPU"
  elif ! command -v mpirun >/dev/null; then
    echo "several GPUs: skipped: no mpirun"
  else
    # A rank that fails may leave the other waiting for it.
    ranks=(timeout 600 env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --bind-to none -n 2)
    "${ranks[@]}" "$trainer/tests/cuda/test_trainer_cuda" --no-colors=1 --no-skip --test-case="ranks with a GPU each*" 2>&1 |
      tee "$output/trainer_ranks.log" || failed+=("two GPUs")
    grep -q 'test cases: *0 ' "$output/trainer_ranks.log" && failed+=("two GPUs (built without MPI)")
  fi
  data=build-gpu/trainer-data
  if "${SWAV_PYTHON:-python3}" tests/gpu_images.py "$data"; then
    "$trainer/examples/resnet/swav-train" --preset fashion-mnist-smoke --device cuda --data-dir "$data" --overwrite \
      --output "$output/trainer-run" 2>&1 | tee "$output/trainer_run.log" || failed+=("a run of the trainer")
    "$trainer/examples/resnet/eval/swav-eval" knn "$output/trainer-run" --device cuda 2>&1 | tee "$output/trainer_eval.log" ||
      failed+=("an evaluation")
    ((${#ranks[@]} == 0)) ||
      "${ranks[@]}" "$trainer/examples/resnet/swav-train" --preset fashion-mnist-smoke --device cuda --data-dir "$data" \
        --overwrite --output "$output/trainer-ranks" 2>&1 | tee -a "$output/trainer_ranks.log" ||
      failed+=("a run on two GPUs")
  else
    failed+=("a run of the trainer (no images)")
  fi
else
  tail -5 "$output"/trainer_configure.log "$output"/trainer_build.log 2>/dev/null
  failed+=("the trainer (not built: $output/trainer_*.log)")
fi

if ((${#failed[@]} > 0)); then
  echo "verdict: FAILED on $device: ${failed[*]}"
  exit 1
fi
several="two GPUs"
((${#ranks[@]} > 0)) || several="not several GPUs"
echo "verdict: PASSED on $device: the typed tests, memcheck, racecheck, initcheck, the trainer, $several"
