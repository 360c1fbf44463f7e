# Everything here needs Go, make, git and bash. What else the tests need, `make test` installs from Debian's packages (tools/deps)
# or builds once at a pinned version and keeps (tools/build).

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

VERSION  := $(or $(shell git describe --tags --always --dirty 2>/dev/null),devel)
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 30s
MINUTES  ?= 5
SEED     ?=
RACE     ?=
IMAGE    ?= daybook

# The modules of this repository that hold code, and all of them.
CODE    := $(patsubst %/go.mod,%,$(wildcard ./go.mod interop/go.mod tools/go.mod))
MODULES := $(CODE) $(patsubst %/go.mod,%,$(wildcard tools/*/go.mod))

# Runs a command in each module, and stops at the first that fails.
in = for module in $(1); do (cd "$$module" && $(2)) || { echo "failed in $$module" >&2; exit 1; }; done

# Tests find the servers, the proxy that disturbs the way to them, and what lists a binary's modules, through these variables; without them
# they skip what needs one.
servers = minio=$$(tools/build minio); versitygw=$$(tools/build versitygw); toxiproxy=$$(tools/build toxiproxy); cyclonedx=$$(tools/build cyclonedx-gomod); \
	export DAYBOOK_TEST_MINIO=$$minio DAYBOOK_TEST_VERSITYGW=$$versitygw DAYBOOK_TEST_TOXIPROXY=$$toxiproxy DAYBOOK_TEST_CYCLONEDX=$$cyclonedx

# Runs a module's tests, and reports results, failures, skips and what takes long. $(1) is the module, $(2) more flags.
gotest = report=$$PWD/dist/testreport; CGO_ENABLED=1 go test -C $(1) -timeout 30m $(2) -json ./... 2>&1 | "$$report" -slow 20s

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the static binary ./daybook
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o daybook ./cmd/daybook

.PHONY: release
release: ## Build what is released, each binary twice, into dist/release (VERSION=…)
	@tools/release '$(VERSION)'

.PHONY: test
test: deps fmt vet tidy tools lint unit thorough interop ## Check format, vet, lint and modules, and run every test
	@echo 'make test: all passed'

.PHONY: deps
deps: ## Install what the tests need from Debian's packages, where it is missing
	@tools/deps

.PHONY: tools
tools: ## Build the pinned servers, linters and other tools, once
	@tools/build minio versitygw toxiproxy golangci-lint govulncheck cyclonedx-gomod >/dev/null

.PHONY: fmt
fmt: ## Check that every Go file is gofmt-ed
	@echo '== gofmt'
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { printf 'not gofmt-ed:\n%s\n' "$$unformatted"; exit 1; }

.PHONY: vet
vet: ## Run go vet
	@echo '== go vet'
	@$(call in,$(CODE),go vet ./...)

.PHONY: tidy
tidy: ## Check that go.mod and go.sum are tidy in every module
	@echo '== go mod tidy -diff'
	@$(call in,$(MODULES),go mod tidy -diff)

.PHONY: lint
lint: ## Run golangci-lint, and govulncheck over what is linked into the binary
	@echo '== golangci-lint'
	@golangci_lint=$$(tools/build golangci-lint); $(call in,$(CODE),"$$golangci_lint" run ./...)
	@echo '== govulncheck'
	@tools/vulncheck

dist/testreport: tools/testreport/main.go
	@go build -C tools -o ../dist/testreport ./testreport

.PHONY: unit
unit: dist/testreport ## Run the tests under the race detector: those of plain go test, what takes long, and what needs servers
	@echo '== go test -race'
	@$(call gotest,tools,-race -count=1)
	@$(servers); export DAYBOOK_TEST_LONG=1; $(call gotest,.,-race)

# The race detector makes them ten times as slow, and nothing more happens at once in a thousand cases than in ten.
.PHONY: thorough
thorough: dist/testreport ## Run the tests that try every way there is, and what is quick, without the race detector
	@echo '== go test, thoroughly'
	@$(servers); export DAYBOOK_TEST_THOROUGH=1; $(call gotest,.)

.PHONY: interop
interop: dist/testreport ## Run the tests that read our files with other people's programs
	@echo '== go test (interop)'
	@if [ -e interop/go.mod ]; then $(servers); $(call gotest,interop,-race); else echo 'SKIPPED: no interop module'; fi

.PHONY: soak
soak: ## Run the service through random faults for MINUTES, 5 unless told (SEED=… repeats them, RACE=1 looks for races)
	@$(servers); DAYBOOK_SOAK_TIME='$(MINUTES)m' DAYBOOK_SOAK_SEED='$(SEED)' DAYBOOK_SOAK_RACE='$(RACE)' \
		go test -C interop -count=1 -v -timeout $$(($(MINUTES) + 60))m -run '^TestSoak$$' ./soak

.PHONY: bench
bench: ## Measure the export against DuckDB, verify, and intake against JetStream (BENCHFLAGS=…)
	cd interop && go run ./bench $(BENCHFLAGS)

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME, 30s unless told
	@grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "== $${file%/*} $$target"; \
			go test -C "$${file%/*}" -run '^$$' -fuzz "^$$target"'$$' -fuzztime '$(FUZZTIME)' . </dev/null; \
		done; \
	done

.PHONY: docker
docker: ## Build the container image
	docker build --build-arg VERSION='$(VERSION)' -t '$(IMAGE):$(VERSION)' .

.PHONY: clean
clean: ## Remove what was built here; the cache of tools stays
	rm -rf daybook dist
