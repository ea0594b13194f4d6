# Everything here is a few calls of the go command: `go test ./...` alone needs
# no make. `make` without a target lists the targets.

GO       ?= go
FUZZTIME ?= 30s
SEEDS    ?= 10000
CHAOS_TIME ?= 2m
SOAK_ROUNDS ?= 3
OVERLOAD_TIME ?= 1m
SEED     ?= 0
GOLANGCI_LINT = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz sim chaos soak overload bench cross ci

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build prime-serverd and the examples into bin/
	$(GO) build -o bin/ ./cmd/... ./examples/greeter

test: ## run all tests; those against libzmq are skipped without python3-zmq
	$(GO) test ./...

race: ## run all tests with the race detector, in random order
	$(GO) test -race -shuffle=on ./...

lint: ## gofmt, go vet, golangci-lint
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	$(GO) vet ./...
	$(GOLANGCI_LINT) run ./...

fuzz: ## run every fuzz target for FUZZTIME (30s) each
	.ci/fuzz $(FUZZTIME)

sim: ## run the simulations of one stage and of several in SEEDS (10000) worlds
	$(GO) test ./proxy -run 'TestSimulation|TestNetwork' -seeds $(SEEDS) -timeout 0 -v

chaos: ## kill, stop and cut off the parts of a service for CHAOS_TIME (2m) over ipc and tcp; SEED replays
	$(GO) run ./bench/chaos --time $(CHAOS_TIME) --seed $(SEED)

soak: ## load a service in waves, SOAK_ROUNDS (3) times all, and want its processes idle again after each
	$(GO) run ./bench/soak --rounds $(SOAK_ROUNDS) --seed $(SEED)

overload: ## send every service of bench/overload ten times what it bears for OVERLOAD_TIME (1m), and judge it
	$(GO) run ./bench/overload --check --duration $(OVERLOAD_TIME)

bench: ## run the benchmarks; bench/README.md says how to compare whole servers
	$(GO) test -run '^$$' -bench . -benchmem ./...

cross: ## check that everything builds, tests too, for macOS and Windows
	GOOS=darwin CGO_ENABLED=0 $(GO) vet ./...
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./...

ci: ## all that CI does
	.ci/run
