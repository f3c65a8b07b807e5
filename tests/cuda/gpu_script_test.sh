#!/usr/bin/env bash
# Holds tests/gpu.sh to its verdicts, with programs, a GPU and a sanitizer that are small scripts. In: the project's folder.
# Out: a status; what did not hold.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"/{tests,bin,build-gpu/packs,packed/tests,packed/lib}
cp "$1"/tests/gpu{,_parts}.sh "$folder/tests"
cd "$folder"

# program FILE: prints what it is called with; FAKE_FAILS, FAKE_WAITS and FAKE_EMPTY name those that do so
program() {
  cat >"$1" <<'END'
#!/usr/bin/env bash
case " $0 $*" in
  *"${FAKE_FAILS:-nothing}"*) echo "x.cpp:1: ERROR: wrong" && exit 3 ;;
  *"${FAKE_WAITS:-nothing}"*) sleep 20 ;;
  *"${FAKE_EMPTY:-nothing}"*) echo "[doctest] test cases: 0 | 0 passed" ;;
  *compute_cap*) echo "A GPU, ${FAKE_CAPABILITY:-9.0}" ;;
  *" -L") printf 'GPU %s\n' ${FAKE_GPUS:-0} ;;
  *) echo "[doctest] test cases: 2 | 2 passed" ;;
esac
END
  chmod +x "$1"
}
for name in test_cuda test_resnet_cuda test_trainer_cuda swav-train swav-eval; do program "packed/tests/$name"; done
echo 90 >packed/tests/architecture
program bin/compute-sanitizer
export SWAV_PYTHON=true

# expect STATUS TEXT... -- NAME=VALUE... PART...
expect() {
  local wanted=$1 status=0 output texts=() variables=() text
  shift
  while [[ $1 != -- ]]; do texts+=("$1") && shift; done
  shift
  while [[ ${1:-} == *=* ]]; do variables+=("$1") && shift; done
  output=$(env PATH="$folder/bin:$PATH" ${variables[@]+"${variables[@]}"} bash tests/gpu.sh --run "$@" 2>&1) || status=$?
  for text in "${texts[@]}"; do
    if [[ $status != "$wanted" || $output != *"$text"* ]]; then
      printf 'expected status %s and "%s", found status %s and\n%s\n' "$wanted" "$text" "$status" "$output"
      exit 1
    fi
  done
}
program bin/nvidia-smi
expect 1 "verdict: NOT RUN, there is no build-gpu/packs/tests.tar.gz" --
for pack in tests lib; do tar -C packed -czf "build-gpu/packs/$pack.tar.gz" "$pack"; done
expect 1 "verdict: NOT RUN, there is no GPU here" -- FAKE_FAILS=compute_cap
expect 1 "verdict: NOT RUN, built for sm_90: bash tests/gpu.sh --build 80" -- FAKE_CAPABILITY=8.0
expect 0 "verdict typed: PASSED" "verdict sanitize: PASSED" "not on several GPUs" "verdict: PASSED on A GPU: device typed sanitize trainer" --
expect 0 "on two GPUs, too" "verdict: PASSED on A GPU: device trainer" -- FAKE_GPUS="0 1" trainer
expect 1 "verdict: FAILED on A GPU: one test (status 3)" -- FAKE_FAILS=/test_cuda
expect 1 "verdict typed: PASSED" "verdict sanitize: FAILED: racecheck (status 3)" "verdict trainer: PASSED" "ERROR: wrong" -- FAKE_FAILS=racecheck
expect 1 "verdict trainer: FAILED: tests of the network (status 3)" "an evaluation" -- FAKE_FAILS=resnet trainer
expect 1 "FAILED: tests of the trainer (stopped after" -- FAKE_WAITS=test_trainer SWAV_GPU_SECONDS=1 trainer
expect 1 "FAILED: tests of the trainer (no such test)" -- FAKE_EMPTY=test_trainer trainer
expect 1 "tests on two GPUs (status 3)" -- FAKE_FAILS=no-skip FAKE_GPUS="0 1" trainer
expect 2 "usage" -- no-part
echo "tests/cuda: not compiled" >packed/tests/not_built
tar -C packed -czf build-gpu/packs/tests.tar.gz tests
expect 1 "verdict typed: PASSED" "verdict: FAILED on A GPU: tests/cuda: not compiled" -- typed
[[ $(grep -c '^verdict' build-gpu/verdicts.txt) -gt 20 ]]
