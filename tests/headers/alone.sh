#!/usr/bin/env bash
# Compiles every public header by itself, or all in one file, warnings being errors, without OpenMP (the tests' own build
# has it). In: alone or together, the compiler, the include folder, an extended regular expression of headers to leave out
# (may be empty), flags for the dependencies. Out: non-zero when a header does not compile.
set -euo pipefail
mode=$1 compiler=$2 include=$3 leave_out=$4
shift 4
flags=(-std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -I"$include" "$@")

check() { # each header twice, so that its include guard is tested too
  printf '#include "%s"\n#include "%s"\n' "$1" "$1" | "${@:2}" -x c++ - || { echo "FAILED: $1"; return 1; }
}
export -f check

mapfile -t headers < <(cd "$include" && find swav -name '*.hpp' | sort | { [[ -n $leave_out ]] && grep -Ev "$leave_out" || cat; })
echo "${#headers[@]} headers with $("$compiler" --version | head -1)"
((${#headers[@]} > 0))
if [[ $mode == together ]]; then
  printf '#include "%s"\n' "${headers[@]}" | "$compiler" "${flags[@]}" -x c++ -
  exit
fi
printf '%s\0' "${headers[@]}" | xargs -0 -P 2 -I{} bash -c 'check "$@"' _ {} "$compiler" "${flags[@]}"
