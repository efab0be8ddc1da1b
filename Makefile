# The project's commands. Each is a script in scripts/, so that it can also be run without make.
#
# `make run` and `make test` need only a Swift toolchain (6.2 or newer), git and make: they install the rest.

.DEFAULT_GOAL := help
.PHONY: help run cluster build test test-long lint bench bench-journal bench-forward clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

run: ## install what is missing, build, and start a standalone node on 127.0.0.1:8080
	@scripts/run.sh

cluster: ## PostgreSQL, Redis and three nodes on 127.0.0.1:8081-8083, with a scenario to try, until Ctrl-C
	@scripts/cluster.sh

build: ## build the release binary
	@scripts/build.sh

test: ## lint, build with warnings as errors, every test (under 20 minutes on 2 cores)
	@scripts/test.sh

test-long: ## sanitizers, long fuzzing, 10,000 clients, soak; writes docs/MEASUREMENTS.md
	@scripts/test-long.sh $(STAGES)

lint: ## format and style rules
	@scripts/lint.sh

bench: ## measure against a bare epoll server on this machine
	@Benchmarks/run.sh

bench-journal: ## measure the journal in PostgreSQL against a row per vote
	@Benchmarks/journal.sh

bench-forward: ## measure the hop between nodes against a bare relay, Redis and NATS
	@Benchmarks/forward.sh

clean: ## remove what was built (data folders stay)
	rm -rf .build .build-tsan .build-asan .build-fuzz .build-release .cache
