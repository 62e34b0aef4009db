# The three doors: `make run`, `make test`, `make bench`. Each installs what it lacks, and is quiet where
# nothing is missing. Everything else is for those who work on Burnish.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help run test bench check unit e2e deny model prepare

TARGET := $(or $(CARGO_TARGET_DIR),target)
DATA   ?= data
LISTEN ?= 127.0.0.1:8080
MODEL  := models/all-MiniLM-L6-v2
VENV   := .cache/venv
TOOLS  := .cache/tools

help:
	@echo "make run     fetch the model, build, ingest the handbook into an empty data directory, serve the page"
	@echo "make test    everything that must hold before a commit"
	@echo "make bench   the figures of docs/measurements.md"

run: model
	@cargo build --release --package burnish
	@if [ ! -e $(DATA)/burnish.db ]; then \
	  echo "The data directory is empty: ingesting the handbook, a sample of 34 articles."; \
	  $(TARGET)/release/burnish --data $(DATA) ingest handbook/articles; \
	fi
	@exec $(TARGET)/release/burnish --data $(DATA) serve --listen $(LISTEN)

test: prepare model check unit e2e deny
	@echo "all checks passed"

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- --deny warnings
	cargo xtask tidy
	$(VENV)/bin/typos
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items --quiet

unit: model
	cargo test --workspace --quiet

e2e: prepare model
	cargo build --package burnish --package burnish-test-provider --quiet
	scripts/test-measures $(TARGET)/debug/burnish $(VENV)/bin/python
	scripts/test-e2e $(TARGET)/debug/burnish $(VENV)/bin/python $(TARGET)/debug/burnish-test-provider

deny: prepare
	scripts/check-dependencies $(TOOLS)

bench: model
	@scripts/bench $(TARGET)/release/burnish

model:
	@scripts/get-model $(MODEL)

prepare:
	@scripts/prepare $(VENV) $(TOOLS)
