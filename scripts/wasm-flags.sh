# The compiler flags of each wasm module, in one place: the build, Clippy and the browser tests all
# source this file and call `wasm_env MODULE`, which exports RUSTFLAGS and what goes with it. A module is
# a tier of the engine, or `onnx`, which converts ONNX files for all of them.

WASM_MODULES="simd128 relaxed threads onnx"

wasm_env() {
  WASM_FEATURES="--no-default-features --features bindings,gpu" WASM_PROFILE=wasm
  WASM_OPT_LEVEL=-O3 WASM_BINDGEN_FLAGS=
  # LLVM's loop strength reduction ruins the address arithmetic of the kernels: with it they run
  # at half speed.
  local flags="-Cllvm-args=-disable-lsr"
  # A fortieth of the usual threshold: kernels ask for inlining where they want it, the rest is smaller.
  flags+=" -Cllvm-args=-inline-threshold=5"

  # The kernels say what is vector code; loops elsewhere are short, and smaller as they stand.
  flags+=" -Cno-vectorize-loops -Cno-vectorize-slp"
  # Derived debug output and the places of panics, which nobody reads in a browser: 3 % of the file.
  # A panic still says what went wrong, and JavaScript's errors, which are shown by hand-written
  # debug output, stay whole. (Unstable: allowed by RUSTC_BOOTSTRAP below.)
  flags+=" -Zfmt-debug=shallow -Zlocation-detail=none"
  # Everything is compiled for size, kernels for speed: `#[optimize(speed)]`, which is unstable too.
  flags+=" --cfg=optimize_attribute"
  # For size rustc unrolls no loop at all, and kernels are loops over registers.
  flags+=" -Cpasses=function(loop(loop-unroll-full),sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),gvn,sroa,instcombine<no-verify-fixpoint>,simplifycfg,dse)"

  # Panic messages carry source paths; shorten them, so that the file does not depend on where
  # it was built.
  local registry
  for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags+=" --remap-path-prefix=$registry=crates"
  done
  flags+=" --remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust=rust"

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
      # What wasm-bindgen needs to give every thread its own stack and thread-local storage.
      flags+=" -Clink-arg=--export=__wasm_init_tls -Clink-arg=--export=__tls_size"
      flags+=" -Clink-arg=--export=__tls_align -Clink-arg=--export=__tls_base"
      WASM_OPT_FEATURES="--enable-simd --enable-relaxed-simd --enable-threads"
      ;;
    onnx)
      WASM_FEATURES="--no-default-features --features onnx" WASM_PROFILE=wasm-onnx
      # Every conversion begins with a fresh memory, as one that has grown never shrinks.
      WASM_OPT_LEVEL=-Oz WASM_BINDGEN_FLAGS=--experimental-reset-state-function WASM_OPT_FEATURES=
      ;;
    *)
      echo "unknown module '$1' (modules: $WASM_MODULES)" >&2
      return 1
      ;;
  esac
  # The standard library is built too, made small: without its fast sorts every file is 5 % smaller
  # after brotli, and the prebuilt one has no atomics. Stable allows this only with
  # RUSTC_BOOTSTRAP; it needs the component rust-src.
  export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort
  export CARGO_UNSTABLE_BUILD_STD_FEATURES=optimize_for_size

  # On by default in Rust's wasm32 target.
  WASM_OPT_FEATURES+=" --enable-bulk-memory --enable-mutable-globals --enable-sign-ext"
  WASM_OPT_FEATURES+=" --enable-nontrapping-float-to-int --enable-reference-types --enable-multivalue"

  # One target folder per module: cargo rebuilds everything when RUSTFLAGS change.
  export RUSTFLAGS=$flags CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/wasm-$1
}
