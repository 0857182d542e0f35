#!/usr/bin/env bash
# Builds the wasm modules of the package into pkg/npm/wasm/<module>/: the engine's tiers, and `onnx`.
#   scripts/build-wasm.sh [--fast] [--missing] [simd128] [relaxed] [threads] [onnx]     (default: all)
# A module that is newer than the sources is skipped; with --missing, any module that exists. --fast builds with the
# profile `wasm-fast`: kernels as fast as in the release, files three times as large, compiled in a third of the time.
# A fast build also accepts a module of the release that is up to date; a release never accepts a fast one.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/wasm-flags.sh

profile=wasm missing_only=
while [ $# -gt 0 ]; do
  case $1 in
    --fast) profile=wasm-fast ;;
    --missing) missing_only=1 ;;
    *) break ;;
  esac
  shift
done

inputs() { # folders included: their time changes when a file is removed
  find Cargo.toml Cargo.lock src scripts/wasm-flags.sh scripts/build-wasm.sh
}

# The profile is remembered beside the other build files, because the package ships the whole folder of a module.
up_to_date() { # module
  local wasm=pkg/npm/wasm/$1/convoke_bg.wasm built
  [ -f "$wasm" ] || return 1
  [ -z "$missing_only" ] || return 0
  built=$(cat "target/wasm-profiles/$1" 2>/dev/null) || return 1
  [ "$built" = wasm ] || [ "$built" = "$profile" ] || return 1
  [ -z "$(inputs -newer "$wasm")" ]
}

build() (
  module=$1 out=pkg/npm/wasm/$1 tmp=pkg/npm/wasm/.$1
  if up_to_date "$module"; then
    echo "wasm $module: up to date"
    exit
  fi
  wasm_env "$module" $profile
  started=$(date +%s)
  # Sources edited during the build must count as newer than its output.
  stamp=$(mktemp)
  echo "wasm $module: compiling"
  # `--crate-type cdylib`: Cargo leaves out link-time optimization while an rlib is asked for too.
  # shellcheck disable=SC2086
  cargo rustc --quiet --lib --profile $WASM_PROFILE --crate-type cdylib \
    --target wasm32-unknown-unknown $WASM_FEATURES

  rm -rf "$tmp"
  # shellcheck disable=SC2086
  wasm-bindgen --target web $WASM_BINDGEN_FLAGS --out-name convoke --out-dir "$tmp" \
    "$CARGO_TARGET_DIR/wasm32-unknown-unknown/$WASM_PROFILE/convoke.wasm"
  [ $profile = wasm-fast ] || shrink
  touch -r "$stamp" "$tmp/convoke_bg.wasm"
  rm -rf "$out" "$stamp"
  mv "$tmp" "$out"
  mkdir -p target/wasm-profiles
  echo $profile >"target/wasm-profiles/$module"
  echo "wasm $module: $(wc -c <"$out/convoke_bg.wasm") bytes in $(($(date +%s) - started)) s"
)

shrink() {
  # Debian's binaryen is too old for relaxed SIMD; use the one pinned in pkg/npm/package.json.
  if [ ! -x pkg/npm/node_modules/.bin/wasm-opt ]; then
    echo "wasm-opt is missing: run 'make setup' first" >&2
    exit 1
  fi
  # shellcheck disable=SC2086
  pkg/npm/node_modules/.bin/wasm-opt -O3 $WASM_OPT_FEATURES "$tmp/convoke_bg.wasm" -o "$tmp/convoke_bg.wasm"
  pkg/npm/node_modules/.bin/terser "$tmp/convoke.js" --module --compress --mangle --output "$tmp/convoke.js"
}

for module in ${@:-$WASM_MODULES}; do build "$module"; done
