#!/usr/bin/env bash
# The network on oneDNN 3.x, whichever version the system has. oneDNN 3.2 comes by pip, for x86-64.
#   onednn3.sh fetch PREFIX                                   installs it there (Debian: python3-venv)
#   onednn3.sh check PREFIX SOURCE BUILD CMAKE CXX_COMPILER   builds the network's tests with it and runs them
# In: as said. Out: non-zero when something of it fails.
set -euo pipefail

fetch() {
  local prefix=$1
  [[ -e $prefix/lib/libdnnl.so.3 && -e $prefix/include/oneapi/dnnl/dnnl.hpp ]] && return 0
  # A virtual environment, since pip puts a package's lib/ and include/ into one, but not where --target says.
  python3 -m venv "$prefix"
  "$prefix/bin/pip" install --quiet --disable-pip-version-check --retries 1 \
    onednn-cpu-gomp==2023.2.0 onednn-devel-cpu-gomp==2023.2.0
}

check() {
  local prefix=$1 source=$2 build=$3 cmake=$4 compiler=$5
  "$cmake" -S "$source" -B "$build" -G Ninja --log-level=WARNING -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_CXX_COMPILER="$compiler" -DSWAV_NATIVE=ON -DSWAV_ONEDNN3_ROOT="$prefix"
  "$cmake" --build "$build" --target test_resnet
  local test=$build/tests/resnet/test_resnet
  if ! ldd "$test" | grep -F "$prefix/lib/libdnnl.so.3"; then
    echo "$test does not use the oneDNN in $prefix" >&2
    return 1
  fi
  "$test"
}

command=$1
shift
case $command in
  fetch | check) "$command" "$@" ;;
  *)
    echo "usage: onednn3.sh fetch PREFIX | onednn3.sh check PREFIX SOURCE BUILD CMAKE CXX_COMPILER" >&2
    exit 2
    ;;
esac
