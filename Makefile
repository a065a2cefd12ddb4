# Ottla. `make` alone lists the targets. The build itself is Meson's; this file only names the things people do.

PREFIX ?= /usr/local
PYTHON ?= python3
JOBS ?= $(shell nproc)
ARGS ?=
ifeq ($(origin CC),default)
CC = gcc
endif
CCACHE := $(shell command -v ccache)
MESON_CC = $(strip $(CCACHE) $(1))

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help run build build-dev unit test check check-all long demo bench interop clients console format install clean deps deps-test venv

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | awk -F'\t' '{ printf "make %-10s %s\n", $$1, $$2 }'

run: build  ## build and start the broker; options for it: make run ARGS='--data DIR --listen HOST:PORT'
	exec build/ottla serve $(ARGS)

build: deps build-dev  ## build/ottla

build-dev: build/build.ninja
	@ninja -C build -j $(JOBS)

build/build.ninja:
	CC='$(call MESON_CC,$(CC))' meson setup build

deps:
	@tools/deps.sh run

deps-test:
	@tools/deps.sh test

format:  ## rewrite the sources as the formatter wants them
	@$(PYTHON) tools/check_format.py --fix

unit: build-dev  ## the unit tests alone
	@meson test -C build --print-errorlogs --num-processes $(JOBS)

test: deps-test unit  ## unit tests, then black-box tests with real clients
	test/run.sh

check: deps-test build-dev  ## house checks and unit tests, under a minute
	@$(PYTHON) tools/check.py build
	@meson test -C build --quiet --print-errorlogs --num-processes $(JOBS)

check-all: deps-test  ## check, both compilers, sanitizers, clang-tidy, short fuzz, simulator
	@JOBS=$(JOBS) tools/check_all.sh

long: deps-test build-dev  ## hours: simulator, fuzz drivers and kill loop in their long forms
	@JOBS=$(JOBS) tools/long.sh

bench: deps-test build-dev  ## figures beside Apache Kafka's in a few minutes; make bench ARGS=full takes hours
	@bench/run.sh $(or $(ARGS),short)

interop: build  ## every client of the field against the broker; writes docs/clients.md
	@test/clients/run.sh --table docs/clients.md

clients: build  ## those of them that are quickly made, as CI does
	@test/clients/run.sh quick

demo: build venv  ## the event log example: 50 MiB of events, two consumers, kills half way
	@.venv/bin/python examples/event_log/demo.py $(ARGS)

console: deps-test  ## the console's bundle, console/dist, from its sources
	@cd console && npm ci --no-audit --no-fund --silent && npm run --silent build

install: build  ## PREFIX=/usr/local/bin/ottla
	install -D -m 755 build/ottla $(DESTDIR)$(PREFIX)/bin/ottla
	if [ -f build/libottla-re2.so ]; then install -D -m 644 build/libottla-re2.so $(DESTDIR)$(PREFIX)/lib/ottla/libottla-re2.so; fi

# One environment, .venv, for the programs in Python: tests and examples.
venv:
	@PYTHON=$(PYTHON) test/setup.sh python

clean:  ## remove every build directory
	rm -rf build build-*
