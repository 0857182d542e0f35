#!/usr/bin/env bash
# Builds the wasm modules of the package into pkg/wasm/<module>/: the engine's tiers, and `onnx`.
#   scripts/build-wasm.sh [--missing] [simd128] [relaxed] [threads] [onnx]     (default: all)
# A module newer than the sources is skipped; with --missing, one that exists at all.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/wasm-flags.sh

missing_only=
if [ "${1:-}" = --missing ]; then missing_only=1; shift; fi
# Debian's binaryen is too old for relaxed SIMD; use the one pinned in pkg/package.json.
wasm_opt=pkg/node_modules/.bin/wasm-opt

inputs() { # folders included: their time changes when a file is removed
  find Cargo.toml Cargo.lock src scripts/wasm-flags.sh scripts/build-wasm.sh "$@" 2>/dev/null
}

build() (
  module=$1 out=pkg/wasm/$1
  wasm_env "$module"
  if [ -f "$out/convoke_bg.wasm" ]; then
    if [ -n "$missing_only" ] || [ -z "$(inputs -newer "$out/convoke_bg.wasm")" ]; then
      echo "wasm $module: up to date"
      exit
    fi
  fi
  if [ ! -x $wasm_opt ]; then
    echo "wasm-opt is missing: run 'make setup' first" >&2
    exit 1
  fi

  echo "wasm $module: compiling"
  started=$(date +%s)
  # Sources edited during the build must count as newer than its output.
  stamp=$(mktemp)
  # `--crate-type cdylib`: Cargo leaves out link-time optimization while an rlib is asked for too.
  # shellcheck disable=SC2086
  cargo rustc --quiet --lib --profile $WASM_PROFILE --crate-type cdylib \
    --target wasm32-unknown-unknown $WASM_FEATURES

  tmp=pkg/wasm/.$module
  rm -rf "$tmp"
  # shellcheck disable=SC2086
  wasm-bindgen --target web $WASM_BINDGEN_FLAGS --out-name convoke --out-dir "$tmp" \
    "$CARGO_TARGET_DIR/wasm32-unknown-unknown/$WASM_PROFILE/convoke.wasm"
  # shellcheck disable=SC2086
  $wasm_opt $WASM_OPT_LEVEL --converge --reorder-functions $WASM_OPT_FEATURES "$tmp/convoke_bg.wasm" -o "$tmp/convoke_bg.wasm"
  pkg/node_modules/.bin/terser "$tmp/convoke.js" --module --compress --mangle --output "$tmp/convoke.js"
  touch -r "$stamp" "$tmp/convoke_bg.wasm"
  rm -rf "$out" "$stamp"
  mv "$tmp" "$out"
  echo "wasm $module: $(wc -c <"$out/convoke_bg.wasm") bytes in $(($(date +%s) - started)) s"
)

for module in ${@:-$WASM_MODULES}; do build "$module"; done
