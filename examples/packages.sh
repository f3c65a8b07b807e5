# Installs Debian packages that are missing. Sourced by examples/quickstart.sh and tests/run.sh.
# In: package names. Out: they are installed, or a message that says what to do and a non-zero status.
# SWAV_SKIP_INSTALL=1 in the environment skips the check, for systems where the requirements came another way.

# What the library and the trainer are built with.
swav_build_packages=(g++ cmake ninja-build libeigen3-dev libdnnl-dev nlohmann-json3-dev libcli11-dev zlib1g-dev
  libpng-dev libjpeg-dev libturbojpeg0-dev)
# 60,000 training and 10,000 test images, in /usr/share/datasets.
swav_data_packages=(dataset-fashion-mnist)
# What tests are written with; a second compiler, for the headers and the thread sanitizer; OpenMP for it; MPI; Thrust.
# Another oneDNN comes by pip.
swav_test_packages=(doctest-dev clang libomp-dev ccache libopenmpi-dev openmpi-bin libthrust-dev python3-venv)

swav_missing_packages() {
  local package
  for package in "$@"; do
    [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || echo "$package"
  done
}

swav_install() {
  [[ "${SWAV_SKIP_INSTALL:-}" == 1 ]] && return 0
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    {
      echo "Packages are installed here with Debian's apt-get, which this system does not have. Needed are (Debian's names):"
      echo "  $*"
      echo "that is: a C++20 compiler (g++ 12, clang 14 or later), CMake 3.25 or later, Ninja, Eigen 3.4, oneDNN 2.6 or 3,"
      echo "doctest (for the tests), nlohmann-json, CLI11, zlib, libpng, libjpeg-turbo with TurboJPEG, and the Fashion-MNIST files in /usr/share/datasets/fashion-mnist."
      echo "Install them your system's way, then run this again with SWAV_SKIP_INSTALL=1 in the environment."
    } >&2
    return 1
  fi
  local missing
  mapfile -t missing < <(swav_missing_packages "$@")
  ((${#missing[@]} == 0)) && return 0

  local -a as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "Missing packages: ${missing[*]}" >&2
      echo "Installing them needs root or sudo, and neither is here. As root: apt-get install ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  echo "Installing: ${missing[*]}"
  local -a install=("${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}")
  # The package lists are fetched only when they lack a package or name files the mirror no longer has.
  if apt-cache show "${missing[@]}" >/dev/null 2>&1 && "${install[@]}"; then return 0; fi
  "${as_root[@]}" apt-get update -q && "${install[@]}" && return 0
  echo "apt-get could not install: ${missing[*]}" >&2
  return 1
}
