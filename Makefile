# `make` lists the tasks. What each one does is in scripts/, pkg/npm/, www/ and Cargo.toml.

PORT ?= 8080
export PORT

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# The order of prerequisites matters, and cargo and the bundlers use all cores by themselves.
.NOTPARALLEL:
.PHONY: help setup wasm package page digits demo dev test test-long neon check doc format bench bench-native figure9 fuzz clean

help: ## list the tasks
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: ## install what building and testing need; quick when it is all there
	@scripts/setup.sh

wasm: ## build the wasm modules of the release into pkg/npm/wasm
	@scripts/build-wasm.sh

package: wasm ## build the npm package into pkg/npm/dist
	@cd pkg/npm && npm run --silent build
	@echo "package: built"

page: package digits ## build the demo page into www/dist
	@cd www && node_modules/.bin/vite build --logLevel warn
	@echo "page: built"

digits: ## write the digits and clothes the page trains on into www/public/data
	@node scripts/digits.mjs --if-missing www/public/data

demo: ## build the page and what it needs, quickly, and serve it on 127.0.0.1 (PORT=8080)
	@command -v node >/dev/null || { echo "Node is missing: install version 20.19 or newer" >&2; exit 1; }
	@exec scripts/demo.sh

TIER ?= threads
dev: ## serve the page, build again what changes, and reload it (PORT=8080 TIER=threads)
	@scripts/setup.sh page
	@scripts/build-wasm.sh --fast --missing
	@scripts/build-wasm.sh --fast $(TIER)
	@[ -e pkg/npm/dist/index.js ] || (cd pkg/npm && npm run --silent build)
	@$(MAKE) digits
	@exec node scripts/dev.mjs $(TIER)

test: setup page ## run every test; ends with "N passed, N failed"
	@node scripts/test.mjs

test-long: setup page ## run every test, those of minutes and more included
	@node scripts/test.mjs --long

neon: ## test the NEON kernels in an emulator of aarch64
	@scripts/neon.sh

check: ## format, lint, types and documentation of everything
	@# wasm-pack writes it; it would hide new files of the npm package from Git.
	@rm -f pkg/.gitignore
	@node scripts/test.mjs --only check

doc: ## the Rust documentation, into target/doc
	@RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

format: ## rewrite the sources as `make check` wants them
	@cargo fmt
	@pkg/npm/node_modules/.bin/biome check --write .

bench: setup package ## compare with other runtimes, side by side in one Chromium; writes docs/benchmarks.md
	@node bench/run.mjs

PYTHON ?= python3
bench-native: ## compare training steps with PyTorch's (PYTHON=one that has it); writes docs/benchmarks-native.md
	@$(PYTHON) bench/native.py

figure9: ## train plain and residual twins and draw docs/figure9.svg (CIFAR10=FOLDER with train/ and test/)
	@scripts/figure9.sh "$(CIFAR10)"

FUZZ_SECONDS ?= 60
fuzz: ## fuzz each reader of foreign files for a minute (FUZZ_SECONDS=60); needs nightly and cargo-fuzz
	@test -d fuzz || { echo "there is no fuzz/ yet" >&2; exit 1; }
	@cd fuzz && for target in $$(cargo +nightly fuzz list); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

clean: ## remove everything built, but not what setup installed
	@rm -rf target target-* pkg/npm/dist pkg/npm/wasm pkg/npm/*.tgz www/dist www/public/data
