# Entry points; every recipe is a call of the tool that does the work.
#   make run     first look: install what is missing, build, make a sample capture, replay it
#   make test    everything that CI runs
#   make simulate  100,000 seeds of the failure simulator (SEEDS=… FROM=…)
#   make mutants   shows that the simulator sees small bugs in the core
#   make bench   the figures of README.md, with dpdk-testpmd as yardstick
#   make model   checks the spin model of the protocol, docs/model
DEFT := .build/release/deft
PACKAGES := libdpdk-dev libnuma-dev libpcap-dev pkg-config binutils gcc
SAMPLE := .build/sample.pcap

SEEDS := 100000
FROM := 1
MUTANTS := .build/mutants
# Names of mutants; empty: all.
ONLY :=

.PHONY: run test simulate mutants bench model build setup lint hugepages clean

run: build
	$(DEFT) generate $(SAMPLE) --packets 200000 --seed 1
	$(DEFT) replay $(SAMPLE) .build/sample-out.pcap --nf monitor
	@echo "--- the same capture over and over for five seconds, at full speed"
	$(DEFT) replay $(SAMPLE) none --nf monitor --loop 0 --duration 5s

build: setup
	swift build -c release --product deft

# Installs with apt as root; says the one line to type otherwise.
setup:
	@command -v swift >/dev/null || { echo "Swift 6.3 is not on the PATH: install it from swift.org, then run make again" >&2; exit 1; }
	@pkg-config --exists libdpdk libpcap 2>/dev/null && command -v objdump >/dev/null || \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(PACKAGES); \
	  else echo "missing packages; type: sudo apt-get install -y $(PACKAGES)" >&2; exit 1; fi

# A warning is an error here.
test: export DEFT_WERROR = 1
test: setup lint
	swift build -c release --product deft
	$(DEFT) simulate --seeds 2000
	swift build --build-tests
	swift test

simulate: build
	$(DEFT) simulate --seeds $(SEEDS) --from $(FROM)

# Applies each bug of Tests/Mutants to a scratch copy, and runs seeds of the simulator until one sees it.
mutants:
	mkdir -p $(MUTANTS)/Sources
	cp -Rp Tests/Mutants/. $(MUTANTS)
	rm -rf $(MUTANTS)/Scenarios && cp -Rp Tests/SimulatorTests/Scenarios $(MUTANTS)
	for module in DEFTWire DEFTCore NetworkFunctions DEFTSimulator; do \
	  rm -rf $(MUTANTS)/Sources/$$module && cp -Rp Sources/$$module $(MUTANTS)/Sources; done
	swift build -c release --package-path $(MUTANTS) --product driver
	cd $(MUTANTS) && .build/release/driver $(ONLY)

lint: setup
	swift format lint --recursive --parallel --strict Package.swift Sources Tests bench

bench: build
	@command -v dpdk-testpmd >/dev/null || { [ "$$(id -u)" = 0 ] && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq dpdk-dev; } || \
	  echo "# no dpdk-testpmd: its figures are left out (sudo apt-get install dpdk-dev)"
	swift build -c release --product deft-bench-ordering
	swift build -c release --product deft-bench
	.build/release/deft-bench-ordering
	.build/release/deft-bench

model:
	@command -v spin >/dev/null && command -v gcc >/dev/null || \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq spin gcc; \
	  else echo "missing packages; type: sudo apt-get install -y spin gcc" >&2; exit 1; fi
	docs/model/check.sh

# 1 GiB of 2 MiB pages until the next boot.
hugepages:
	echo 512 > /proc/sys/vm/nr_hugepages

clean:
	swift package clean
