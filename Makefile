# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets. Building needs Go alone; what else a target needs, it installs
# (Debian packages, see .ci/packages.txt), for which it has to run as root.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL: # the parts of a target stand in the order they need

# The first Go that can build this module (go.mod says which is needed): sudo resets PATH, and
# /usr/local/go is where Go's own instructions put it.
GO := $(or $(GO),$(shell for g in go /usr/local/go/bin/go; do "$$g" list -m >/dev/null 2>&1 && command -v "$$g" && break; done))
export PATH := $(if $(GO),$(dir $(GO)):)$(PATH)

# One static binary, the same wherever it is built: no cgo, no paths, and the version from git
# told by flag, because git refuses a tree of another user (sudo make) to the Go toolchain.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -buildvcs=false
VERSION ?= $(shell git -c safe.directory='$(CURDIR)' describe --tags --always --dirty 2>/dev/null)
BUILD = $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'

# When the tree is from: what is built from it is the same whenever that is done.
export SOURCE_DATE_EPOCH ?= $(shell git -c safe.directory='$(CURDIR)' log -1 --format=%ct 2>/dev/null || date +%s)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Pinned: later ones need a module that is not served everywhere.
NFPM := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
FUZZTIME ?= 10s
FUZZPACKAGES ?= ./...
FUZZNIGHTS ?= 14
SOAK ?= 30m
PREFIX ?= /usr/local

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: need-go ## Build ./loopwatch, one static binary
	@$(BUILD) -o loopwatch ./cmd/loopwatch

.PHONY: dist
dist: need-go ## Build dist/loopwatch-linux-{amd64,arm64}
	@for arch in amd64 arm64; do \
		GOOS=linux GOARCH=$$arch $(BUILD) -o dist/loopwatch-linux-$$arch ./cmd/loopwatch; done

.PHONY: generate
generate: deps-generate need-go ## Compile the BPF programs anew (clang-19), with their Go types
	@BPF2GO_CFLAGS=-I/usr/include/$$(uname -m)-linux-gnu $(GO) generate ./...

.PHONY: check-generated
check-generated: generate ## Fail where the committed objects are not what their source gives
	@changed=$$(git -c safe.directory='$(CURDIR)' status --porcelain -- internal bpf); \
	if [[ $$changed ]]; then echo "make generate changes:" >&2; echo "$$changed" >&2; exit 1; fi

.PHONY: test
test: need-root deps-test need-go tracefs roots ## All tests, end to end included (root; installs what it needs)
	@failed=; \
	$(GO) test -count=1 -timeout 1h $$($(GO) list ./... | grep -v '/test/e2e$$') || failed=1; \
	$(GO) test -count=1 -timeout 3h ./test/e2e || failed=1; \
	[[ ! $$failed ]] # the end-to-end tests watch the whole host, and so run alone

.PHONY: recordings
recordings: need-root deps-test need-go tracefs roots ## Make the recordings of test/replay anew, and judge them (root; eight minutes)
	@rm -rf dist/recordings && mkdir -p dist/recordings
	@LOOPWATCH_RECORDINGS='$(CURDIR)/dist/recordings' $(GO) test -count=1 -timeout 1h -run '^(TestTruth|TestCauses|TestSeveral)$$' ./test/e2e
	@rm -rf test/replay/testdata && mv dist/recordings test/replay/testdata
	@$(GO) test -count=1 ./test/replay

.PHONY: vmtest
vmtest: need-root deps-vmtest need-go ## The end-to-end tests under other kernels: all of vmtest/matrix.txt, or KERNEL=6.1, ARCH=arm64
	@[[ -z "$(ARCH)" ]] || .ci/deps vmtest-$(ARCH)
	@$(GO) run ./vmtest/cmd/vmtest $(addprefix -arch ,$(ARCH)) $(addprefix -kernel ,$(KERNEL)) $(VMTESTFLAGS) test

.PHONY: vmverify
vmverify: need-root deps-vmtest need-go ## Every BPF program through the verifier of each kernel (KERNEL=5.10), with figures
	@[[ -z "$(ARCH)" ]] || .ci/deps vmtest-$(ARCH)
	@$(GO) run ./vmtest/cmd/vmtest $(addprefix -arch ,$(ARCH)) $(addprefix -kernel ,$(KERNEL)) $(VMTESTFLAGS) verify

.PHONY: unit
unit: need-go ## The tests of the packages alone, and the recordings judged again
	@$(GO) test ./cmd/... ./internal/... ./test/judge ./test/replay ./test/truth

.PHONY: fuzz
fuzz: need-go ## Every fuzz test of FUZZPACKAGES for FUZZTIME (10s, or 1000x)
	@$(GO) list -f '{{$$d := .ImportPath}}{{range .TestGoFiles}}{{$$d}} {{$$.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$d}} {{$$.Dir}}/{{.}}{{"\n"}}{{end}}' $(FUZZPACKAGES) \
	| while read -r package file; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file" | while read -r name; do \
			echo "$$name $$package"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$package" </dev/null; \
		done; done

.PHONY: fuzz-nightly
fuzz-nightly: need-go ## Every parser of foreign bytes: after FUZZNIGHTS (14) nights each has had 10^8 inputs
	@$(MAKE) fuzz FUZZTIME=$$((100000000 / $(FUZZNIGHTS) + 1))x \
		FUZZPACKAGES="$$($(GO) list ./internal/... | grep -v '/report/[^s]' | tr '\n' ' ')"

.PHONY: lint
lint: need-go ## gofmt, go vet, staticcheck
	@bad=$$(gofmt -l .); if [[ $$bad ]]; then echo "gofmt would change:" >&2; echo "$$bad" >&2; exit 1; fi
	@$(GO) vet ./... && $(GO) vet -tags man ./cmd/loopwatch && $(GO) vet -tags drills ./test/e2e
	@$(GO) run $(STATICCHECK) ./...

.PHONY: demo
demo: need-root deps-demo tracefs build ## A web application with three blocking calls, and the report that names them
	@$(BUILD) -o dist/demo/show ./examples/demo/show
	@examples/demo/run ./loopwatch dist/demo/show

.PHONY: bench
bench: need-root deps-bench need-go tracefs ## What loopwatch costs, measured beside an unwatched baseline (10 min)
	@$(GO) run ./test/bench $(BENCHFLAGS)

.PHONY: soak
soak: need-root need-go tracefs ## loopwatch beside all that is hard on it for SOAK (30m), with figures and a verdict (SOAKFLAGS=-only: where others start Pythons)
	@$(GO) build -o dist/soak ./test/soak && $(BUILD) -o loopwatch ./cmd/loopwatch
	@dist/soak -for $(SOAK) -loopwatch ./loopwatch $(SOAKFLAGS)

.PHONY: share
share: build ## Make the man pages and shell completions, in dist/share
	@rm -rf dist/share
	@mkdir -p dist/share/man/man8 dist/share/bash-completion/completions dist/share/zsh/site-functions dist/share/fish/vendor_completions.d
	@$(GO) run -tags man -ldflags '-X main.version=$(VERSION)' ./cmd/loopwatch man dist/share/man/man8
	@./loopwatch completion bash > dist/share/bash-completion/completions/loopwatch
	@./loopwatch completion zsh > dist/share/zsh/site-functions/_loopwatch
	@./loopwatch completion fish > dist/share/fish/vendor_completions.d/loopwatch.fish

.PHONY: install
install: build share ## Install binary, man pages and completions below PREFIX (/usr/local), in DESTDIR
	@install -D -m 0755 loopwatch '$(DESTDIR)$(PREFIX)/bin/loopwatch'
	@for file in $$(cd dist && find share -type f); do install -D -m 0644 "dist/$$file" '$(DESTDIR)$(PREFIX)'/"$$file"; done

.PHONY: uninstall
uninstall: ## Remove what install has put there
	@cd '$(DESTDIR)$(PREFIX)' && rm -f bin/loopwatch share/man/man8/loopwatch.8 share/man/man8/loopwatch-*.8 \
		share/bash-completion/completions/loopwatch share/zsh/site-functions/_loopwatch share/fish/vendor_completions.d/loopwatch.fish

.PHONY: packages
packages: dist share ## Build dist/*.deb, *.rpm and *.tar.gz for amd64 and arm64
	@GO='$(GO)' NFPM='$(NFPM)' VERSION='$(VERSION)' packaging/build

.PHONY: check-packages
check-packages: deps-packages packages ## Build the packages, look whether all is in them, try one
	@packaging/check

.PHONY: clean
clean: ## Remove what was built here; the cached Debian roots stay
	@rm -rf loopwatch dist

# Targets others need.

.PHONY: need-go
need-go:
	@[[ "$(GO)" ]] || { echo "make: no Go that can build this module on PATH or in /usr/local/go: go.mod wants $$(sed -n 's/^go //p' go.mod), get it from https://go.dev/dl" >&2; exit 1; }

.PHONY: need-root
need-root:
	@(( EUID == 0 )) || { echo "make: this watches the host and needs root: sudo make $(firstword $(MAKECMDGOALS))" >&2; exit 1; }

.PHONY: deps-generate deps-test deps-demo deps-bench deps-vmtest deps-packages
deps-generate deps-test deps-demo deps-bench deps-vmtest deps-packages: deps-%:
	@.ci/deps $*

.PHONY: tracefs
tracefs: # Syscall tracepoints are found there; systemd mounts it, containers and small images do not
	@[[ -d /sys/kernel/tracing/events ]] || mount -t tracefs tracefs /sys/kernel/tracing

.PHONY: roots
roots: need-go # Debian releases with other interpreters, made once and cached outside of the tree
	@$(GO) run ./test/roots
