# What tests/gpu.sh and bench/gpu.sh share: building where nvcc is, packing what is to run, and running its parts where a
# GPU is, each step within a limit. In: `programs`, the name of the script's programs, and `known_parts`, names of functions.
# Out: build-gpu/packs/*.tar.gz of a build; of a run logs, and a verdict a part.
output=build-gpu
logs=${SWAV_GPU_LOGS:-$output}
python=${SWAV_PYTHON:-python3}
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
jobs=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
failed=() # of all parts
faults=() # of this part

# arguments WORD...: sets what is to be done
arguments() {
  mode=both architecture=90 parts=()
  case ${1:-} in
    --build | --run)
      mode=${1#--}
      shift
      ;;
    -*) usage ;;
  esac
  if [[ $mode == run ]]; then
    parts=("$@")
    local part
    for part in "$@"; do [[ " ${known_parts[*]} " == *" $part "* ]] || usage; done
  else
    (($# < 2)) || usage
    architecture=${1:-90}
  fi
  ((${#parts[@]} > 0)) || parts=("${known_parts[@]}")
  mkdir -p "$output/packs" "$logs"
}
usage() {
  echo "usage: bash ${BASH_SOURCE[-1]} [ARCHITECTURE | --build [ARCHITECTURE] | --run [PART...]], parts: ${known_parts[*]}" >&2
  exit 2
}

# Building. Machine code for one architecture alone: what is to travel stays small, and nothing is compiled as it starts.
# Libraries are looked for beside the programs, wherever these lie then.
# begin_build OPTIMISATION
begin_build() {
  objects=$output/objects/$programs
  rm -rf "${output:?}/$programs" "$objects"
  mkdir -p "$output/$programs" "$output/lib" "$objects"
  echo "$architecture" >"$output/$programs/architecture"
  includes=()
  local folder
  local -a extra
  IFS=: read -ra extra <<<"${SWAV_GPU_INCLUDES:-}"
  for folder in ${extra[@]+"${extra[@]}"}; do includes+=(-isystem "$(realpath "$folder")"); done # CMake compiles elsewhere
  read -ra compiler <<<"${CMAKE_CUDA_COMPILER_LAUNCHER:-} $nvcc"
  cuda_flags=(-std=c++20 "$1" -gencode "arch=compute_$architecture,code=sm_$architecture" --extended-lambda
    --expt-relaxed-constexpr -Werror all-warnings)
  link_flags=(-gencode "arch=compute_$architecture,code=sm_$architecture" -lcublas
    -Xlinker --disable-new-dtags -Xlinker '-rpath=$ORIGIN/../lib')
}
# fault WHAT: it is missing from the programs, which a run then says, too
fault() {
  echo "FAILED: $1"
  faults+=("$1")
  echo "$1" >>"$output/$programs/not_built"
}
# build_trainer TARGET...: by CMake, in build-gpu/trainer
build_trainer() {
  local folder=$output/trainer
  if ! cmake -S . -B "$folder" -DCMAKE_BUILD_TYPE=Release -DSWAV_WITH_CUDA=ON -DSWAV_MPI=OFF \
    -DSWAV_CUDA_ARCHITECTURES="$architecture-real" -DSWAV_GOLDEN_DIR:STRING=tests/golden \
    -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON "-DCMAKE_INSTALL_RPATH=\$ORIGIN/../lib" \
    -DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags -DCMAKE_CXX_FLAGS="${includes[*]}" \
    >"$output/trainer_configure.log" 2>&1; then
    tail -5 "$output/trainer_configure.log"
    fault "the trainer (not configured: $output/trainer_configure.log)"
  elif ! cmake --build "$folder" -j "$jobs" --target "$@" >"$output/trainer_build.log" 2>&1; then
    grep -m 5 -i error "$output/trainer_build.log"
    fault "the trainer (not built: $output/trainer_build.log)"
  fi
}
# end_build PROGRAM...: packs those that there are, without symbols, and the libraries that they need. The C and C++
# libraries, the driver's and CUDA's large ones are where the GPU is.
end_build() {
  local program library path
  local there='^(linux-vdso|ld-linux|lib(c|m|dl|pthread|rt|resolv|util|stdc\+\+|gcc_s|cuda|cudart|cublas|cublasLt|cudnn|nccl)\.so)'
  local search=${CMAKE_PREFIX_PATH:-}
  search=${search:+${search//://lib:}/lib:}$(cuda_folders)
  for program in "$@"; do
    [[ -e $program ]] || continue
    strip -o "$output/$programs/$(basename "$program")" "$program" || fault "$program (no strip)"
    while read -r library _ path _; do
      library=$(basename "$library")
      if [[ $library =~ $there ]]; then
        continue
      elif [[ $path == /* ]]; then
        cp -Lf "$path" "$output/lib/$library"
      else
        fault "$library, which $program needs (not found)"
      fi
    done < <(LD_LIBRARY_PATH=$search:${LD_LIBRARY_PATH:-} ldd "$program")
  done
  local pack
  for pack in "$programs" lib; do tar -C "$output" -czf "$output/packs/$pack.tar.gz" "$pack"; done
  du -h "$output/packs/$programs.tar.gz" "$output/packs/lib.tar.gz"
  [[ $mode == build ]] || return 0
  if ((${#faults[@]} > 0)); then
    echo "verdict build: FAILED for sm_$architecture: $(joined "${faults[@]}")"
    exit 1
  fi
  echo "verdict build: PASSED for sm_$architecture; to run elsewhere, take $output/packs along"
  exit 0
}

# Running.
joined() {
  local all
  all=$(printf '%s; ' "$@")
  echo "${all%; }"
}
# Where CUDA's libraries are: PyTorch's come first, so that programs and Python have the same.
cuda_folders() {
  local found
  found=$("$python" -c 'import glob, nvidia
print(":".join(folder for path in nvidia.__path__ for folder in sorted(glob.glob(path + "/*/lib"))))' 2>/dev/null)
  found=${found:+$found:}$(dirname "$(readlink -f "$nvcc")")/../lib64:/usr/local/cuda/lib64
  echo "${SWAV_CUDA_LIBRARIES:+$SWAV_CUDA_LIBRARIES:}$found"
}
say() { echo "$@" | tee -a "$logs/verdicts.txt"; }
# not_run WHY
not_run() {
  say "verdict: NOT RUN, $1"
  exit 1
}
# find_gpu: ends where there is none
find_gpu() {
  local found
  if ! found=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader 2>/dev/null | head -1) || [[ -z $found ]]; then
    not_run "there is no GPU here"
  fi
  device=${found%, *} capability=${found##*, }
}
# begin_run: ends where the programs are not for this GPU
begin_run() {
  local built pack
  find_gpu
  rm -rf "${output:?}/$programs"
  for pack in "$programs" lib; do
    [[ -e $output/packs/$pack.tar.gz ]] || not_run "there is no $output/packs/$pack.tar.gz: bash ${BASH_SOURCE[-1]} --build"
    tar -C "$output" -xzf "$output/packs/$pack.tar.gz" || not_run "$output/packs/$pack.tar.gz is damaged"
  done
  built=$(<"$output/$programs/architecture")
  say "== $device, compute capability $capability; built for sm_$built; $(date)"
  local digits=${built%%[a-z]*} of_device=${capability/./}
  ((of_device / 10 == digits / 10 && of_device >= digits)) ||
    not_run "built for sm_$built: bash ${BASH_SOURCE[-1]} --build $of_device"
  LD_LIBRARY_PATH=$(cuda_folders)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export LD_LIBRARY_PATH
  [[ ! -e $output/$programs/not_built ]] || mapfile -t failed <"$output/$programs/not_built"
}
# has PROGRAM: it is there, and its libraries are
has() {
  local missing
  if [[ ! -x $output/$programs/$1 ]]; then
    faults+=("$1 (not built)")
    return 1
  fi
  missing=$(ldd "$output/$programs/$1" 2>/dev/null | awk '/not found/ { print $1 }' | paste -sd' ')
  [[ -z $missing ]] && return
  faults+=("$1 ($missing not found: name the folder in SWAV_CUDA_LIBRARIES)")
  return 1
}
# step WHAT SECONDS LOG COMMAND...: runs it within that time, or SWAV_GPU_SECONDS; the log has its output, of which the last
# line is shown or, of a failure, the first ones
step() {
  local what=$1 limit=${SWAV_GPU_SECONDS:-$2} log=$logs/$3 start=$SECONDS status=0 from
  shift 3
  echo "== $what" >>"$log"
  from=$(($(wc -l <"$log") + 1))
  timeout -k 10 "$limit" "$@" >>"$log" 2>&1 &
  trap "kill $!; exit 130" INT TERM # it is in a group of its own, which a terminal does not reach
  wait $! || status=$?
  trap - INT TERM
  if ((status == 0)) && tail -n +"$from" "$log" | grep 'test cases: *0 ' >/dev/null; then
    faults+=("$what (no such test)")
  elif ((status == 0)); then
    echo "$what, $((SECONDS - start)) s: $(tail -n +"$from" "$log" | grep -E 'test cases|ERROR SUMMARY' ||
      tail -n +"$from" "$log" | tail -1)"
    return
  elif ((status == 124 || status == 137)); then
    faults+=("$what (stopped after $((SECONDS - start)) s)")
    tail -2 "$log" # where it was
  else
    faults+=("$what (status $status)")
  fi
  tail -n +"$from" "$log" | grep -Ev '^([0-9.]+ s: .*|=*|\[doctest\].*|TEST CASE: .*|[^ ]+:[0-9]+:)$' | head -30
  tail -n +"$from" "$log" | grep 'test cases:'
  echo "$what, $((SECONDS - start)) s: FAILED, see $log"
  return 1
}
# part NAME: runs the function and says its verdict
part() {
  local start=$SECONDS
  faults=() note=""
  rm -f "$logs/$1".*log
  "$1"
  if ((${#faults[@]} > 0)); then
    failed+=("${faults[@]}")
    say "verdict $1: FAILED: $(joined "${faults[@]}")"
    return 1
  fi
  say "verdict $1: PASSED in $((SECONDS - start)) s$note"
}
# run_parts: `device` first, without which nothing else is tried
run_parts() {
  local name
  begin_run
  if part device; then
    for name in "${parts[@]}"; do part "$name"; done
  fi
  if ((${#failed[@]} > 0)); then
    say "verdict: FAILED on $device: $(joined "${failed[@]}")"
    exit 1
  fi
  say "verdict: PASSED on $device: device ${parts[*]}"
}
