#!/usr/bin/env bash
# Builds the page from nothing and serves it: `make demo`. Says which step it is at and about how long each takes.
set -euo pipefail
cd "$(dirname "$0")/.."

node www/serve.mjs --check
begin=$SECONDS step=0 steps=7
# The times were measured on two cores with nothing installed; finished steps take no time.
step() { # what time
  step=$((step + 1))
  printf '\n[%d/%d] %s (about %s; %d s since the start)\n' $step $steps "$1" "$2" $((SECONDS - begin))
}

step "tools: linker, wasm32 target, wasm-bindgen, Vite" "1 minute"
scripts/setup.sh page
for module in threads relaxed simd128 onnx; do
  case $module in
    threads) what="the tier with threads, and the standard library for it" time="3 minutes" ;;
    relaxed) what="the tier with relaxed SIMD" time="2 minutes" ;;
    simd128) what="the tier for all other browsers" time="1 minute" ;;
    onnx) what="the module that reads ONNX files" time="1 minute" ;;
  esac
  step "$what" "$time"
  scripts/build-wasm.sh --fast $module
done
step "data: digits and clothes" "5 s"
node scripts/digits.mjs --if-missing www/public/data
step "package and page" "5 s"
(cd pkg/npm && npm run --silent build)
(cd www && node_modules/.bin/vite build --logLevel warn)
printf '\nbuilt in %d s\n' $((SECONDS - begin))
exec node www/serve.mjs
