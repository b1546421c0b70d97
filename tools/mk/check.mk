# The linters, coverage, checks that take longer than make test, and preloaded libraries of fault tests.

# Without the generated build/web.c: cppcheck reads its array for half a minute.
# .clang-tidy and tools/lint list the checks, and why others are disabled. DEEP=1 takes ten minutes.
lint:
	$(Q)tools/deps test
	$(Q)tools/lint $(if $(DEEP),--deep) $(CPPFLAGS_ALL) -- $(filter-out build/%,$(sort $(wildcard *.c */*.c lib/*/*.c server/*/*.c client/*/*.c docs/tour/*.c)))

format:
	$(Q)git ls-files '*.[ch]' | xargs clang-format -i
format-check:
	$(Q)git ls-files '*.[ch]' | xargs clang-format --dry-run -Werror
	@echo "  OK  format: $$(git ls-files '*.[ch]' | wc -l) files"

# For clangd and other editor tools.
compile_commands.json: Makefile
	$(Q)$(MAKE) --no-print-directory -Bn built | tools/compile_commands >$@.new
	$(Q)mv $@.new $@

# The line coverage of the unit and end-to-end tests, and its minimum in percent. The counters are
# mapped files, so they survive when a process is killed or can no longer open files. Two tests are left
# out: valgrind 3.19 cannot read clang's debug information, and the counters are instructions, too.
COVERAGE_LEAST ?= 90
COVERAGE_FLAGS := -fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation
COVERAGE_MAKE   = $(MAKE) --no-print-directory APART=coverage CC=clang CFLAGS="-O1 -g $(COVERAGE_FLAGS)" \
                  LDFLAGS="-fprofile-instr-generate"
coverage:
	$(Q)tools/deps test
	$(Q)$(COVERAGE_MAKE) -j$(JOBS) built
	$(Q)rm -f build/coverage/*.profraw
	$(Q)LLVM_PROFILE_FILE=$(CURDIR)/build/coverage/%m%c.profraw $(COVERAGE_MAKE) units e2e \
		ARGS="-k 'not test_valgrind and not test_delivery_cost' $(ARGS)"
	$(Q)tools/coverage $(COVERAGE_LEAST) build/coverage $(addprefix build/coverage/,ragnarok ragchat $(UNITS:build/%=%))

# Run by hand, because it takes long.
soak: all load
	$(Q)tools/deps test
	$(Q)tools/python tools/$(if $(CLUSTER),soak_cluster,soak)

# Seeds faults in the source and counts those that the unit tests detect. ARGS='--count 200 ws.c' tries
# more, or other files.
.PHONY: mutants
mutants:
	$(Q)tools/mutate $(ARGS)

# Kills a server on which 20 members talk, so many times; all that they heard must be stored, once.
KILLS ?= 200
.PHONY: kills
kills: $(SERVER)
	$(Q)tools/deps test
	$(Q)KILLS=$(KILLS) RAGNAROK=$(abspath $(SERVER)) tools/python -m pytest -q -s \
		tests/e2e/history/test_survival.py -k kills

build/fail_alloc.so build/hurry.so build/intruder.so build/slow_disk.so: build/%.so: tests/tools/%.c
	$(Q)mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(WARN) -O2 -g -fPIC -shared -o $@ $< -ldl
build/key_flood: tests/tools/key_flood.c
	$(Q)mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(WARN) -O2 -g -o $@ $< $(LDLIBS_ALL)

# Under AddressSanitizer, so that leaks are found too.
faults:
	$(Q)tools/deps test
	$(Q)$(MAKE) --no-print-directory SAN=address,undefined all $(FAULTY)
	$(Q)RAGNAROK=$(abspath build/address-undefined/ragnarok) tools/python tests/support/fault_injection.py --last 700
	$(Q)RAGNAROK=$(abspath build/address-undefined/ragnarok) tools/python tests/support/fault_injection.py --last 2000 --history
	$(Q)RAGNAROK=$(abspath build/address-undefined/ragnarok) tools/python tests/support/fault_injection.py --last 7000 --tls
	$(Q)RAGNAROK=$(abspath build/address-undefined/ragnarok) TEST_TIME_SCALE=4 HELLOS=100000 \
		tools/python -m pytest -q tests/e2e/tls/test_tls.py -k hello

# Runs each time, with Debian's testssl.sh.
tls-check:
	$(Q)tools/deps tls
	$(Q)$(MAKE) --no-print-directory $(SERVER)
	$(Q)PYTHONPATH=tests/support tools/python tools/tls_check

# The tests of a cluster that fails, with a crowd: CROWD has the numbers.
CROWD ?= CLUSTER_SENDERS=30 CLUSTER_RECEIVERS=300 CLUSTER_MESSAGES=40 CLUSTER_KILLS=20 CLUSTER_STOP=10 \
         CLUSTER_CUTS=500 CLUSTER_CLAIMS=100 CLUSTER_ROUNDS=100
.PHONY: cluster-faults
cluster-faults: $(SERVER)
	$(Q)tools/deps test
	$(Q)$(CROWD) RAGNAROK=$(abspath $(SERVER)) TEST_TIME_SCALE=6 tools/python -m pytest -q -s --durations=20 \
		tests/e2e/cluster/test_under_load.py tests/e2e/cluster/test_lost_answers.py \
		tests/e2e/cluster/test_claims.py tests/e2e/cluster/test_access.py $(ARGS)
