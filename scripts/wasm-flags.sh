# The compiler flags of each wasm module, in one place. The build, Clippy and the browser tests source this file and
# call `wasm_env MODULE [PROFILE]`, which exports RUSTFLAGS and the variables that go with it. A module is a tier of the
# engine, or `onnx`, which converts ONNX files for every tier. The profiles are in Cargo.toml.

WASM_MODULES="simd128 relaxed threads onnx"

wasm_env() {
  WASM_PROFILE=${2:-wasm}
  WASM_FEATURES="--no-default-features --features bindings,gpu"
  WASM_BINDGEN_FLAGS=
  # LLVM's loop strength reduction ruins the address arithmetic of the kernels: without it, f32 kernels run twice as fast.
  local flags="-Cllvm-args=-disable-lsr"
  # Panic messages carry source paths. Shortened paths make the file independent of the place where it was built.
  local registry
  for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags+=" --remap-path-prefix=$registry=crates"
  done
  flags+=" --remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust=rust"

  # SIZE: -38 KiB (9 %) in each tier: kernels ask for inlining themselves, and elsewhere calls are smaller than copies. The
  # profile of the ONNX module inlines less by itself.
  [ "$1" = onnx ] || flags+=" -Cllvm-args=-inline-threshold=25"

  local target=${CARGO_TARGET_DIR:-target}/wasm
  case $1 in
    simd128) # Every browser since 2023.
      flags+=" -Ctarget-feature=+simd128"
      WASM_OPT_FEATURES="--enable-simd"
      ;;
    relaxed) # Fused multiply-add and 8-bit dot products: Chromium, Firefox.
      flags+=" -Ctarget-feature=+simd128,+relaxed-simd"
      WASM_OPT_FEATURES="--enable-simd --enable-relaxed-simd"
      ;;
    threads) # Shared memory besides: pages with COOP and COEP headers.
      flags+=" -Ctarget-feature=+simd128,+relaxed-simd,+atomics,+bulk-memory,+mutable-globals"
      flags+=" -Clink-arg=--shared-memory"
      # A shared memory must declare its maximum: the whole 4 GiB. Pages are reserved, not used.
      flags+=" -Clink-arg=--max-memory=4294967296"
      # The page creates the memory, and each thread instantiates the module on it.
      flags+=" -Clink-arg=--import-memory"
      # wasm-bindgen gives every thread its own stack and thread-local storage through these symbols.
      flags+=" -Clink-arg=--export=__wasm_init_tls -Clink-arg=--export=__tls_size"
      flags+=" -Clink-arg=--export=__tls_align -Clink-arg=--export=__tls_base"
      WASM_OPT_FEATURES="--enable-simd --enable-relaxed-simd --enable-threads"
      # The prebuilt standard library has no atomics, so this tier compiles its own. Stable Rust allows that only with
      # RUSTC_BOOTSTRAP; it needs the component rust-src. Build scripts look at RUSTC_BOOTSTRAP: without a folder of its
      # own this tier would make Cargo compile the others anew.
      export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort
      target+=-threads
      ;;
    onnx)
      WASM_FEATURES="--no-default-features --features onnx" WASM_OPT_FEATURES=
      [ "$WASM_PROFILE" != wasm ] || WASM_PROFILE=wasm-onnx
      # Every conversion begins with a fresh memory, because one that has grown never shrinks.
      WASM_BINDGEN_FLAGS=--experimental-reset-state-function
      ;;
    *)
      echo "unknown module '$1' (modules: $WASM_MODULES)" >&2
      return 1
      ;;
  esac

  # On by default in Rust's wasm32 target.
  WASM_OPT_FEATURES+=" --enable-bulk-memory --enable-mutable-globals --enable-sign-ext"
  WASM_OPT_FEATURES+=" --enable-nontrapping-float-to-int --enable-reference-types --enable-multivalue"

  export RUSTFLAGS=$flags CARGO_TARGET_DIR=$target
}
