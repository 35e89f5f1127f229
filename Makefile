# Centrex. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# `setup` is to end before what needs it begins.
.NOTPARALLEL:

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# The program. A program that is built already is named in the environment, and is not built again.
CENTREX    ?= $(TARGET_DIR)/debug/centrex
# Where `make run` keeps its data. Root's Postgres runs as another user, who cannot enter /root, nor a
# directory that was made with a umask of 027 or 077.
DATA_DIR   ?= $(if $(filter 0,$(shell id -u)),/var/lib/centrex-run,$(TARGET_DIR)/run)
SKIPS      := $(abspath $(TARGET_DIR))/skipped-tests.txt
# A list of the tests that may be skipped (e2e/skips.txt in CI). Without one, skips are only counted.
ALLOWED_SKIPS ?=
COUNT_SKIPS := e2e/skipped.sh $(SKIPS) $(ALLOWED_SKIPS)
# Built before the tests, so that the progress is seen. Where the build is impossible, the tests that need it
# are skipped and say what is missing.
PLANE      := @e2e/kube/build.sh >/dev/null || [ $$? -eq 3 ]
NODE       := @e2e/node/build.sh >/dev/null || [ $$? -eq 3 ]
# Runs a command with helm in PATH. Without helm, the command is skipped; in CI that is an error.
HELM       := @bin=$$(e2e/kube/build.sh) || { [ $$? -eq 3 ] && echo "SKIPPED: a check that needs helm" && \
	[ -z "$(ALLOWED_SKIPS)" ]; exit; }; PATH=$$bin:$$PATH

.PHONY: help setup build demo run test e2e node image-test cluster cluster-down lint fmt crds chart bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install missing packages (root, with apt), or name them
	@e2e/setup.sh

build: ## build the program
ifneq ($(origin CENTREX),environment)
	@[ -x $(CENTREX) ] || echo "Compiling Centrex and its dependencies, once: 8 minutes of processor time, 2 GB in $(TARGET_DIR)." >&2
	cargo build --locked --bin centrex
endif

demo: setup build ## start on deploy/samples, ask as FreeSWITCH does, change a manifest, stop
	@CENTREX=$(CENTREX) e2e/demo.sh

run: setup build ## start on deploy/samples and leave it running, with its data in DATA_DIR (Ctrl-C ends it)
	@echo "Data are kept in $(DATA_DIR) (make run DATA_DIR=… keeps them elsewhere). To ask it: curl -i http://127.0.0.1:8080/readyz"
	$(CENTREX) standalone --manifests deploy/samples --data-dir $(DATA_DIR) --xml-username freeswitch --xml-password demo-only

test: setup ## run all tests; the last lines count the skipped ones
	@rm -f $(SKIPS)
	$(PLANE)
	$(NODE)
	@# The tests on a node measure time: they run alone, after all others.
	export CENTREX_SKIPS=$(SKIPS); status=0; cargo test --locked --no-fail-fast -- --skip node:: || status=$$?; \
		cargo test --locked --test e2e -- node:: || status=$$?; $(COUNT_SKIPS) || status=1; exit $$status

e2e: setup ## run the tests on a cluster: that of KUBECONFIG, else a control plane that the tests start
	@rm -f $(SKIPS)
	$(PLANE)
	CENTREX_SKIPS=$(SKIPS) CENTREX_E2E_KUBECONFIG="$${CENTREX_E2E_KUBECONFIG:-$$KUBECONFIG}" \
		cargo test --locked --test e2e -- cluster:: chart::; status=$$?; $(COUNT_SKIPS) || status=1; exit $$status

node: setup ## run the tests on a real node: the chart on kubelet and containerd, with phones (root, 6 minutes)
	@rm -f $(SKIPS)
	$(PLANE)
	$(NODE)
	CENTREX_SKIPS=$(SKIPS) cargo test --locked --test e2e -- node:: --nocapture; status=$$?; $(COUNT_SKIPS) || status=1; exit $$status

image-test: setup ## build the Dockerfile's image without a registry, and run it (root, Debian; 30 minutes, not in `make test`)
	@e2e/node/dockerfile.sh

cluster: setup ## start a Kubernetes control plane on loopback, and say how to use it (built once, with Go)
	@e2e/kube/up.sh

cluster-down: ## stop that control plane, and remove its data
	@e2e/kube/down.sh

lint: ## check formatting, clippy, and generated files; installs nothing
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	@! command -v gofmt >/dev/null || { gofmt -l e2e && test -z "$$(gofmt -l e2e)"; }
	@if command -v cargo-deny >/dev/null; then cargo deny --locked --log-level error check licenses bans sources; \
		else echo "SKIPPED: deny.toml, a check that needs cargo-deny (cargo install cargo-deny --locked)"; fi
	cargo run --locked --quiet -- crds --check crds
	diff -r crds charts/centrex/files/crds
	diff -r -x README.md deploy/freeswitch charts/centrex/files/freeswitch
	$(HELM) helm lint --strict --quiet charts/centrex
	$(HELM) charts/flatten.sh | diff deploy/install.yaml -

fmt: ## format the code
	cargo fmt

crds: ## write crds/
	cargo run --quiet -- crds --output crds

chart: ## write the chart's copies of crds/ and deploy/freeswitch, and deploy/install.yaml
	rm -rf charts/centrex/files/crds charts/centrex/files/freeswitch
	cp -r crds deploy/freeswitch charts/centrex/files
	rm charts/centrex/files/freeswitch/README.md
	$(HELM) charts/flatten.sh >deploy/install.yaml

bench: setup ## measure ratios to limits that the same run measures; writes docs/benchmarks.md
	cargo bench --locked --bench speed

clean: ## remove what was built
	cargo clean
