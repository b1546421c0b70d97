# Ragnarok. `make help` lists the targets.
#
# SAN=address,undefined or SAN=thread builds with a sanitizer, CC=clang with that compiler; each into a
# separate folder. JOBS is the number of parallel compilers, WORKERS that
# of parallel tests: there are more of them, because many wait for a clock.
# V=1 shows the commands.

CC      ?= cc
CFLAGS  ?= -O2 -g
PKGS     = openssl libcjson libutf8proc libqrencode libseccomp sqlite3
# Only its parser is used (cluster/redis_reply.c), so it is linked statically where that is possible.
HIREDIS  = $(if $(findstring /,$(shell $(CC) -print-file-name=libhiredis.a)),-Wl$(comma)-Bstatic -lhiredis -Wl$(comma)-Bdynamic,-lhiredis)
WARN     = -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wstrict-prototypes \
           -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-qual \
           -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wswitch-enum -Wimplicit-fallthrough
HARDEN   = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LDHARDEN = -pie -Wl,-z,relro,-z,now
Q        = $(if $(V),,@)

JOBS    ?= $(shell nproc 2>/dev/null || echo 1)
WORKERS ?= $(shell [ $(JOBS) -gt 2 ] && echo 6 || echo 4)
SAN     ?=
comma   := ,
APART   ?= $(or $(subst $(comma),-,$(SAN)),$(filter clang,$(CC)))
OUT     := build$(APART:%=/%)
SERVER  := $(if $(APART),$(OUT)/)ragnarok
TALKER  := $(if $(APART),$(OUT)/)ragchat
ECHO    := $(if $(APART),$(OUT),tests)/ws_echo
ifneq ($(SAN),)
HARDEN   = -fPIE -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
LDHARDEN = -pie -fsanitize=$(SAN)
endif
LOAD    := $(OUT)/load

# The layers, from the bottom: a file includes only files of lower layers.
COMMON  := ws.c json_msg.c $(wildcard lib/*.c lib/*/*.c net/*.c)
SERVED  := room.c $(wildcard room/*.c base/*.c delivery/*.c store/*.c cluster/*.c server/*.c server/*/*.c)
TALKED  := $(filter-out client/ragchat.c,$(wildcard client/*.c client/*/*.c))

# Everything except the main programs: linked into the tests and the tools.
COMMONS := $(COMMON:%.c=$(OUT)/%.o)
OBJECTS := $(COMMONS) $(SERVED:%.c=$(OUT)/%.o) $(OUT)/web.o $(OUT)/engine_script.o
TALKERS := $(TALKED:%.c=$(OUT)/%.o)
LOADERS := $(patsubst %.c,$(OUT)/%.o,$(wildcard bench/load*.c))
UNITS   := $(patsubst %.c,$(OUT)/%,$(wildcard tests/unit/test_*.c tests/unit/*/test_*.c tests/unit/*/*/test_*.c))
CPPFLAGS_ALL = -std=c11 -D_GNU_SOURCE -I. -Itests/support -MMD -MP $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDLIBS_ALL   = -Wl,--as-needed $(HIREDIS) $(shell pkg-config --libs $(PKGS) 2>/dev/null) -pthread

# Helpers of the fault tests: failing allocations and threads, clock jumps, a flood of TLS keys, an
# intruder in the server, a disk that stalls or fails.
FAULTY  := build/fail_alloc.so build/hurry.so build/intruder.so build/slow_disk.so build/key_flood

.PHONY: all run cluster install uninstall deb test check built units e2e ws_echo fuzz fuzzers fuzz-coverage coverage faults mutants \
        tls-check lint format-check soak load bench peers tour diagrams pictures format clean help

all: $(SERVER) $(TALKER)

help:
	@echo "make run       install what is missing, build, start with config.json; ARGS=--lan lets others in"
	@echo "make cluster   start a Redis and two servers that share their rooms, on this machine; ARGS='--servers 3'"
	@echo "make test      install what is missing, build, run all tests (about half an hour)"
	@echo "make check     the same in three minutes: the linters, the unit tests, the quicker ones of the others"
	@echo "make           build the server ./ragnarok and the terminal client ./ragchat"
	@echo "make units     build and run the unit tests"
	@echo "make e2e       build and run the end-to-end tests; ARGS='-k history' picks some"
	@echo "make fuzz      feed each parser random bytes; FUZZ_SECONDS=20 for each, ONLY='http ws' picks some,"
	@echo "               FUZZ_RUNS=100000000 feeds each so many inputs, however long that takes"
	@echo "make fuzz-coverage  how much of each parser those bytes reach, and what was found so far"
	@echo "make coverage  how many lines of the programs the unit and end-to-end tests reach"
	@echo "make mutants   put faults into the source, and count those that the unit tests see (half an hour)"
	@echo "make lint      gcc's analyzer, clang-tidy, cppcheck, and no name in two files (DEEP=1: clang's analyzer, too)"
	@echo "make compile_commands.json  how each file is compiled, for editors"
	@echo "make soak      a crowd, and strangers who mean no good: SOAK_MINUTES=60, RUSH_MINUTES=10,"
	@echo "               ATTACKS='flapper freeze' picks some of the attacks; CLUSTER=1: of three servers"
	@echo "make kills     kill a server with a history file 200 times while members talk (KILLS=200, 4 minutes)"
	@echo "make cluster-faults  kill and stop engines and servers of a cluster under a crowd (5 minutes)"
	@echo "make faults    let each allocation of a session fail, send 100,000 broken ClientHellos (15 minutes)"
	@echo "make tls-check look at the TLS with testssl.sh (5 minutes)"
	@echo "make ws_echo   build tests/ws_echo, the echo server for conformance suites"
	@echo "make load      build build/load, the load generator"
	@echo "make bench     compare with other libraries (15 minutes; QUICK=1: two); docs/PERFORMANCE.md"
	@echo "make tour      build the five small servers of docs/tour, in build/tour"
	@echo "make diagrams  draw docs/layers.svg and docs/threads.svg again, from the includes"
	@echo "make pictures  take docs/page-light.png and docs/page-dark.png anew"
	@echo "make install   into PREFIX=/usr/local, settings into /etc/ragnarok; make uninstall leaves only these"
	@echo "make deb       build a Debian package in build/deb, and have lintian look at it"
	@echo "make format    apply .clang-format"
	@echo "make clean     remove what was built"
	@echo "With SAN=address,undefined or SAN=thread: the same with a sanitizer, in build/."

run:
	$(Q)tools/deps build
	$(Q)$(MAKE) --no-print-directory -s -j$(JOBS) all
	$(Q)exec ./ragnarok $(ARGS)

cluster: $(SERVER)
	$(Q)exec tools/cluster --server $(abspath $(SERVER)) $(ARGS)

# The linters and a second compiler, fuzzing, all tests under each sanitizer, and once without.
test:
	$(Q)tools/deps test
	$(Q)$(MAKE) --no-print-directory format-check lint
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) CC=clang CFLAGS=-O1 all ws_echo load
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) fuzzers
	$(Q)$(MAKE) --no-print-directory FUZZ_SECONDS=5 FUZZ_SEED=1 fuzz
	$(Q)for san in address,undefined thread ""; do \
		$(MAKE) --no-print-directory -j$(JOBS) SAN=$$san built && \
		$(MAKE) --no-print-directory SAN=$$san units e2e || exit 1; \
	done

# The checks that take three minutes. The end-to-end tests include layers and names.
check:
	$(Q)tools/deps test
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) built
	$(Q)$(MAKE) --no-print-directory format-check lint units
	$(Q)$(MAKE) --no-print-directory e2e ARGS="-m 'not slow'"

built: $(UNITS) $(SERVER) $(TALKER) $(ECHO) $(LOAD) $(FAULTY) tour

units: $(UNITS)
	$(Q)printf '%s\n' $(UNITS) | xargs -P $(WORKERS) -I UNIT sh -c 'UNIT >UNIT.log 2>&1 || { cat UNIT.log; exit 255; }; \
		echo "  OK  UNIT: $$(grep -c "  OK" UNIT.log) tests"'

e2e: $(SERVER) $(TALKER) $(ECHO) $(LOAD) $(FAULTY) tour
	$(Q)RAGNAROK=$(abspath $(SERVER)) RAGCHAT=$(abspath $(TALKER)) WS_ECHO=$(abspath $(ECHO)) LOAD=$(abspath $(LOAD)) TOUR=$(abspath $(OUT)/tour) SAN=$(SAN) \
		TEST_TIME_SCALE=$(if $(SAN),4,1) LOAD_SCALE=$(if $(SAN),0.3,1) tools/python tools/pytest_alone -q -n $(WORKERS) --dist loadgroup tests $(ARGS)

ws_echo: $(ECHO)
load: $(LOAD)
$(SERVER): $(OUT)/ragnarok.o $(OBJECTS)
$(TALKER): $(OUT)/client/ragchat.o $(TALKERS) $(COMMONS)
$(ECHO): $(OUT)/tests/tools/ws_echo.o $(OBJECTS)
$(LOAD): $(LOADERS) $(OBJECTS)
$(UNITS): $(OUT)/%: $(OUT)/%.o $(OUT)/tests/support/no_memory.o $(OBJECTS) $(TALKERS)
$(UNITS): EXTRA = -lcmocka -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
$(SERVER) $(TALKER) $(ECHO) $(LOAD) $(UNITS):
	@echo "  LD  $@"
	$(Q)$(CC) $(LDHARDEN) $(LDFLAGS) -o $@ $^ $(EXTRA) $(LDLIBS_ALL)

$(OUT)/%.o: %.c
	@echo "  CC  $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(WARN) $(HARDEN) $(CFLAGS) -c -o $@ $<

include tools/mk/page.mk tools/mk/fuzz.mk tools/mk/check.mk tools/mk/bench.mk tools/mk/install.mk tools/mk/docs.mk

clean:
	$(Q)rm -rf build ragnarok ragchat tests/ws_echo tests/out

-include $(OBJECTS:.o=.d) $(TALKERS:.o=.d) $(LOADERS:.o=.d) $(UNITS:=.d) $(OUT)/ragnarok.d $(OUT)/client/ragchat.d
