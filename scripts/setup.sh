#!/usr/bin/env bash
# Installs what building and testing need, at pinned versions; skips what is there.
#   scripts/setup.sh [page|all|debian|rust|js|python]     (default: all)
# `page` installs only what `make demo` and `make dev` need: no browser, no wasm-pack, no ONNX Runtime.
# Expects rustup (Rust 1.95 or newer) and Node 20.19 or newer; Python 3 for `python`, Debian or Ubuntu for `debian`.
set -euo pipefail
cd "$(dirname "$0")/.."

WASM_BINDGEN=0.2.130 # must equal the crate's version in Cargo.toml
WASM_PACK=0.15.1
# ONNX's own tests and checker, and a runtime to compare with: tests/onnx uses them.
# Pillow only makes golden numbers: tests/golden/images.py.
PYTHON_PACKAGES="onnx==1.19.1 onnxruntime==1.32.0 numpy==2.4.6 pillow==12.3.0"
# Rust links with gcc; the page trains on pictures of clothes too.
PAGE_PACKAGES="gcc libc6-dev dataset-fashion-mnist"
# The tests need a browser and a software GPU besides.
TEST_PACKAGES="chromium chromium-driver libvulkan1 mesa-vulkan-drivers"

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "needs root to run: $*"; fi
}
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -1)" = "$1" ]; }

rust_page() {
  command -v rustup >/dev/null || die "rustup is missing: install it (see rustup.rs), with Rust 1.95 or newer"
  local version
  version=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
  [ -n "$version" ] || die "rustup has no toolchain: 'rustup default stable' (Rust 1.95 or newer)"
  at_least 1.95.0 "$version" || die "Rust $version is too old: 'rustup update stable' (1.95 or newer)"

  local libs
  libs=$(rustc --print sysroot)/lib/rustlib
  if [ -d "$libs/wasm32-unknown-unknown/lib" ]; then say "wasm32 target: there"
  else say "wasm32 target: adding"; rustup --quiet target add wasm32-unknown-unknown; fi
  # The standard library's source: the threaded tier compiles it with atomics.
  if [ -d "$libs/src/rust/library" ]; then say "rust-src: there"
  else say "rust-src: adding"; rustup --quiet component add rust-src; fi

  # Without TLS, which only remote WebDriver servers need, and unoptimized: it works for a second on each module.
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 cargo_program wasm-bindgen wasm-bindgen-cli $WASM_BINDGEN "two minutes" --no-default-features
}

rust() {
  rust_page
  # rustup's minimal profile leaves these out.
  if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then say "rustfmt, clippy: there"
  else say "rustfmt, clippy: adding"; rustup --quiet component add rustfmt clippy; fi
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 cargo_program wasm-pack wasm-pack $WASM_PACK "two minutes" --locked
}

cargo_program() { # program crate version time [flags]
  local program=$1 crate=$2 version=$3 time=$4
  shift 4
  if [ "$("$program" --version 2>/dev/null)" = "$program $version" ]; then
    say "$program $version: there"
  else
    say "$program $version: compiling (about $time on two cores)"
    # Outside the repository, so that its target folder and settings do not matter.
    (cd / && env -u CARGO_TARGET_DIR cargo install --quiet --force "$crate" --version "$version" "$@")
    [ "$("$program" --version 2>/dev/null)" = "$program $version" ] ||
      die "$program $version is in ${CARGO_HOME:-$HOME/.cargo}/bin, which must come first in PATH"
  fi
}

debian() { # packages
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then say "$*: there"; return; fi
  command -v apt-get >/dev/null || die "no apt-get here; install the equivalents of: $*"
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

js() { # folders
  command -v node >/dev/null || die "Node is missing: install version 20.19 or newer"
  at_least 20.19.0 "$(node --version | tr -d v)" || die "Node $(node --version) is too old: 20.19 or newer"
  local folder
  for folder in "$@"; do
    if [ "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ]; then
      say "$folder/node_modules: there"
    else
      say "$folder/node_modules: npm ci"
      (cd "$folder" && npm ci --loglevel=error --no-audit --no-fund && touch node_modules/.package-lock.json)
    fi
  done
}

python() {
  local folder=tests/.onnx
  if [ "$(cat $folder/installed 2>/dev/null)" = "$PYTHON_PACKAGES" ]; then say "$PYTHON_PACKAGES: there"; return; fi
  command -v python3 >/dev/null || die "Python 3 is missing"
  if ! python3 -c 'import ensurepip' 2>/dev/null; then
    command -v apt-get >/dev/null || die "Python's venv module is missing"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
  fi
  say "installing $PYTHON_PACKAGES"
  rm -rf $folder
  python3 -m venv $folder
  # shellcheck disable=SC2086 # one word for each package
  $folder/bin/pip install --quiet --disable-pip-version-check --only-binary :all: $PYTHON_PACKAGES
  echo "$PYTHON_PACKAGES" >$folder/installed
}

# shellcheck disable=SC2086 # one word for each package
case ${1:-all} in
  page) debian $PAGE_PACKAGES; rust_page; js pkg/npm www ;; # the linker before what is linked
  debian) debian $PAGE_PACKAGES $TEST_PACKAGES ;;
  rust) rust ;;
  js) js pkg/npm www tests ;;
  python) python ;;
  all) debian $PAGE_PACKAGES $TEST_PACKAGES; rust; js pkg/npm www tests; python ;;
  *) die "usage: scripts/setup.sh [page|all|debian|rust|js|python]" ;;
esac
