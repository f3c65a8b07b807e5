#!/usr/bin/env bash
# A scalar that does not fit is refused in a few lines that name what it lacks. In: the compiler, the include folder,
# flags for the dependencies. Out: non-zero when such code compiles or the message is another.
set -euo pipefail
compiler=$1 include=$2
shift 2

refused() { # what the message must name, definitions, the type
  local messages
  if messages=$(printf '#include "swav/sinkhorn/sinkhorn.hpp"\n%s\nswav::%s s;\n' "$2" "$3" |
    "$compiler" -std=c++20 -fsyntax-only -I"$include" "${@:4}" -x c++ - 2>&1); then
    echo "FAILED: $3 compiles"
    return 1
  fi
  if ! grep -q "$1" <<<"$messages" || (($(wc -l <<<"$messages") > 30)); then
    printf 'FAILED: no short message that names %s:\n%s\n' "$1" "$messages"
    return 1
  fi
}

refused HasScalarTraits '' 'Sinkhorn<int>' "$@"
refused HasScalarTraits '' 'SinkhornBatch<int>' "$@"
refused ConvertsToAccumulator 'struct Opaque {};
template <> struct swav::ScalarTraits<Opaque> { using accumulator = float; static constexpr bool stores_kernel = true; };' \
  'Sinkhorn<Opaque>' "$@"
refused digits 'struct Mine { explicit Mine(float); explicit operator float() const; };
template <> struct swav::ScalarTraits<Mine> { using accumulator = float; static constexpr bool stores_kernel = true; };' \
  'Sinkhorn<Mine>' "$@"
