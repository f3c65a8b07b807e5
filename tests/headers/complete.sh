#!/usr/bin/env bash
# swav/swav.hpp reaches every public header, those aside that need another library or files. In: the compiler, the
# include folder, flags for the dependencies. Out: non-zero and the names when one is missing.
set -euo pipefail
compiler=$1 include=$2
shift 2
reached=$(printf '#include "swav/swav.hpp"\n' | "$compiler" -std=c++20 -MM -MT all -x c++ - -I"$include" "$@")
missing=0
while read -r header; do
  grep -q "$include/$header\b" <<<"$reached" || { echo "swav/swav.hpp does not include $header"; missing=1; }
done < <(cd "$include" && find swav -name '*.hpp' ! -name 'onednn*' ! -path 'swav/backend/thrust*' ! -path swav/comm/mpi.hpp ! -path swav/comm/exchange.hpp ! -name dtype.hpp ! -path 'swav/io/*' ! -path swav/swav.hpp | sort)
exit $missing
