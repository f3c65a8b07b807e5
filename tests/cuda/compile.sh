#!/usr/bin/env bash
# Compiles the CUDA backend and the trainer's CUDA files with nvcc, warnings being errors: every component
# and, where it is asked for several architectures, transports of 16-bit scalars, too, and every header by itself.
#   compile.sh NVCC PROJECT OUTPUT ARCHITECTURE...
set -euo pipefail
nvcc=$1 project=$2 output=$3
shift 3
flags=(-std=c++20 --extended-lambda --expt-relaxed-constexpr -Werror all-warnings -Xcompiler -Wall,-Wextra
  -I"$project/include")
for architecture in "$@"; do
  flags+=(-gencode "arch=compute_$architecture,code=sm_$architecture")
done
has() { echo "#include <$1>" | "$nvcc" -x cu -E - >/dev/null 2>&1; }
echo "$("$nvcc" --version | tail -1), sm: $*"

if (($# > 1)); then
  flags+=(-DSWAV_EVERY_SCALAR)
  # Each header twice, so that its include guard is tested too; without device code, which the components below have.
  mapfile -t headers < <(cd "$project/include" && find swav -name '*.cuh' | sort)
  ((${#headers[@]} > 0))
  # What needs a library that may not be here.
  if ! has nccl.h; then
    mapfile -t headers < <(printf '%s\n' "${headers[@]}" | grep -v nccl)
    echo "no NCCL: its header is left out"
  fi
  alone=$output/cuda_headers_alone.cu
  for header in "${headers[@]}"; do
    printf '#include "%s"\n#include "%s"\n' "$header" "$header" >"$alone"
    "$nvcc" "${flags[@]}" -cuda -o /dev/null "$alone" || { echo "FAILED: $header"; exit 1; }
  done
  echo "${#headers[@]} headers"
fi
"$nvcc" "${flags[@]}" -c "$project/tests/cuda/components.cu" -o "$output/components.o"
echo "every component"

# The trainer's, in one piece: most of the time goes to the headers that they share.
if has cudnn.h; then
  trainer=$output/trainer_cuda.cu
  left_out=(-e "$(if has nvjpeg.h; then echo /no_jpeg; else echo /jpeg; fi)")
  has nccl.h || left_out+=(-e nccl)
  find "$project/examples/resnet" -name '*.cu' | sort | grep -v "${left_out[@]}" | sed 's/.*/#include "&"/' >"$trainer"
  "$nvcc" "${flags[@]}" -I"$project/examples/resnet" -c "$trainer" -o "$output/trainer_cuda.o"
  echo "the trainer: $(wc -l <"$trainer") files"
else
  echo "the trainer is left out: no cuDNN"
fi
