#!/usr/bin/env bash
# A program that never names CUDA never sees a header of it: every .hpp but those of the Thrust backend compiles, in one
# file, where the toolkit's headers are errors, and depends on none of CUDA's, Thrust's or NCCL's files.
# In: the compiler, the include folder, an extended regular expression of headers to leave out, flags for the
# dependencies. Out: non-zero, and what is included.
set -euo pipefail
compiler=$1 include=$2 leave_out=$3
shift 3
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
mkdir "$folder/thrust" "$folder/cub"
for header in cuda.h cuda_runtime.h cuda_runtime_api.h cuda_fp16.h cuda_bf16.h cublas_v2.h cublasLt.h cudnn.h nccl.h \
  thrust/version.h thrust/copy.h cub/version.cuh; do
  echo '#error "a header of CUDA"' >"$folder/$header"
done
(cd "$include" && find swav -name '*.hpp' ! -path 'swav/backend/thrust*' | sort) |
  { grep -Ev "^$leave_out\$" || true; } | sed 's/.*/#include "&"/' >"$folder/all.cpp"
echo 'int main() { return 0; }' >>"$folder/all.cpp"
"$compiler" -std=c++20 -fsyntax-only -I"$folder" -I"$include" "$@" "$folder/all.cpp"
"$compiler" -std=c++20 -M -I"$folder" -I"$include" "$@" "$folder/all.cpp" | tr -s ' \\' '\n\n' >"$folder/reached"
echo "$(grep -c include "$folder/all.cpp") headers, $(wc -l <"$folder/reached") files"
foreign=$(sed "s#^$include/##" "$folder/reached" | grep -E '\.cuh$|(^|/)(cuda|cub|cublas|cudnn|nccl|thrust|cccl)[^/]*(/|$)|driver_types' || true)
if [[ -n $foreign ]]; then
  echo "FAILED, of CUDA:" $foreign
  exit 1
fi
