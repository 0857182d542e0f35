#!/usr/bin/env bash
# Tests the NEON kernels on any machine: builds the CPU engine's tests for aarch64 and runs them in an emulator.
# Needs Debian's qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in qemu-aarch64 aarch64-linux-gnu-gcc; do
  command -v $program >/dev/null || { echo "$program is missing: apt-get install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross" >&2; exit 1; }
done
# The standard library is built along (as for the browser, with RUSTC_BOOTSTRAP): its target need not be installed.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=target/neon
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
neon="cargo test -Zbuild-std --release --target aarch64-unknown-linux-gnu --no-default-features --features gpu"
$neon --lib
# What needs gigabytes or minutes in an emulator is about memory, not about kernels.
$neon --test engines -- cpu:: --skip vgg16 --skip footprint --skip borrowed
