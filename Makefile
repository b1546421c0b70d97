# Ragnarok. `make help` names the targets.
#
# SAN=address,undefined or SAN=thread builds with a sanitizer, into a folder of its own.
# V=1 shows the commands.

CC      ?= cc
CFLAGS  ?= -O2 -g
PKGS     = openssl libcjson libutf8proc libqrencode
WARN     = -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wstrict-prototypes \
           -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-qual \
           -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wswitch-enum -Wimplicit-fallthrough
HARDEN   = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LDHARDEN = -pie -Wl,-z,relro,-z,now
Q        = $(if $(V),,@)

SAN     ?=
comma   := ,
ifeq ($(SAN),)
OUT     := build
SERVER  := ragnarok
TALKER  := ragchat
ECHO    := tests/ws_echo
else
OUT     := build/$(subst $(comma),-,$(SAN))
SERVER  := $(OUT)/ragnarok
TALKER  := $(OUT)/ragchat
ECHO    := $(OUT)/ws_echo
HARDEN   = -fPIE -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
LDHARDEN = -pie -fsanitize=$(SAN)
endif
LOAD    := $(OUT)/load
LOADERS := $(patsubst bench/%.c,$(OUT)/%.o,$(wildcard bench/load*.c))

# Everything but the programs themselves: what the tests and the tools are linked with.
PARTS   := address admit announce ca cert client config conn e2e guard hear host hpke http join json_msg life log \
           metrics name net outbox page pem proxy qr register ring room service settings status thread trust web ws
OBJECTS := $(PARTS:%=$(OUT)/%.o)
# The same for the terminal client, which shares some of those.
TALKS   := chat command contacts dial glyph line mail options post say screen show talk typed url
TALKERS := $(TALKS:%=$(OUT)/%.o) $(addprefix $(OUT)/,e2e.o hpke.o http.o json_msg.o name.o net.o ws.o)
UNITS   := $(patsubst tests/%.c,$(OUT)/%,$(wildcard tests/test_*.c))
CPPFLAGS_ALL = -std=c11 -D_GNU_SOURCE -MMD -MP $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDLIBS_ALL   = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -pthread

# Fuzz targets: everything built once more with clang, libFuzzer, ASan and UBSan. An input costs a third
# since a target is linked with no more than it uses, since what tests is not traced, only what is tested,
# and since single comparisons are not: the parsers here compare byte by byte, which tells no words.
# (strcmp, memcmp and their like are watched by other means.)
FUZZERS := $(patsubst tests/fuzz_%.c,build/fuzz/%,$(wildcard tests/fuzz_*.c))
FUZZ    := -fsanitize=address,undefined -fno-sanitize-recover=all
TRACE   := -fsanitize=fuzzer-no-link -fno-sanitize-coverage=trace-cmp
FUZZ_SECONDS ?= 20
FUZZ_RUNS    ?=
FUZZED  := $(or $(ONLY),$(notdir $(FUZZERS)))
FUZZ_END = $(if $(FUZZ_RUNS),-runs=$(FUZZ_RUNS),-max_total_time=$(FUZZ_SECONDS))
# Freed memory is kept from being used again for a while, and who allocated it is written down. Much of
# the first and all of the second cost more than an input does; who plays a crash again has both.
FUZZ_ASAN = quarantine_size_mb=1:malloc_context_size=0
# The longest input, in bytes. What is longer takes longer and shows nothing new where all that there is
# to be found is short: a name has 128 bytes at most, a message in fuzz_ws.c 300.
FUZZ_LEN  = $(or $(FUZZ_LEN_$*),4096)
FUZZ_LEN_name = 160
FUZZ_LEN_ws   = 512

# The same for counting lines: what the fuzz targets reach, of which at least so many percent.
COVER       := -fprofile-instr-generate -fcoverage-mapping
COVER_FILES := http.c ws.c json_msg.c config.c name.c e2e.c
COVER_LEAST ?= 90
COVERERS    := $(FUZZERS:build/fuzz/%=build/cover/%)

# Where `make install` puts things, below DESTDIR if that is given.
PREFIX  ?= /usr/local
CONFDIR ?= /etc/ragnarok
UNITDIR ?= $(PREFIX)/lib/systemd/system
USERDIR ?= $(PREFIX)/lib/sysusers.d
PROGRAMS := ragnarok ragchat
UNITS_SD := ragnarok.service ragnarok.socket

# What tests of faults need: memory and threads that run out on command, and a flood of TLS keys.
FAULTY  := build/fail_alloc.so build/key_flood

PEERS   := build/floor build/lws_peer build/gorilla_peer

.PHONY: all run install uninstall deb test units e2e ws_echo fuzz fuzz-coverage faults tls-check lint soak load \
        bench peers pictures format clean help

all: $(SERVER) $(TALKER)

help:
	@echo "make run       install what is missing, build, start with config.json"
	@echo "make test      install what is missing, build, run all tests (about 20 minutes)"
	@echo "make           build the server ./ragnarok and the terminal client ./ragchat"
	@echo "make units     build and run the unit tests"
	@echo "make e2e       build and run the end-to-end tests; ARGS='-k history' picks some"
	@echo "make fuzz      feed each parser random bytes; FUZZ_SECONDS=20 for each, ONLY='http ws' picks some,"
	@echo "               FUZZ_RUNS=100000000 feeds each so many inputs, however long that takes"
	@echo "make fuzz-coverage  how much of each parser those bytes reach, and what was found so far"
	@echo "make lint      gcc's analyzer, clang-tidy and cppcheck"
	@echo "make soak      a crowd, and strangers who mean no good: SOAK_MINUTES=60, then RUSH_MINUTES=10"
	@echo "make faults    let each allocation of a session fail, send 100,000 broken ClientHellos (15 minutes)"
	@echo "make tls-check look at the TLS with testssl.sh (5 minutes)"
	@echo "make ws_echo   build tests/ws_echo, the echo server for conformance suites"
	@echo "make load      build build/load, the load generator"
	@echo "make bench     compare with other libraries (15 minutes; QUICK=1: two); docs/PERFORMANCE.md"
	@echo "make pictures  take docs/page-light.png and docs/page-dark.png anew"
	@echo "make install   into PREFIX=/usr/local, settings into /etc/ragnarok; DESTDIR=... for packages"
	@echo "make uninstall remove it again, but for the settings"
	@echo "make deb       build a Debian package in build/deb, and have lintian look at it"
	@echo "make format    apply .clang-format"
	@echo "make clean     remove what was built"
	@echo "With SAN=address,undefined or SAN=thread: the same with a sanitizer, in build/."

run:
	$(Q)tools/deps build
	$(Q)$(MAKE) --no-print-directory -s all
	$(Q)exec ./ragnarok

# The whole under each sanitizer, random bytes, and the whole once more plainly.
test:
	$(Q)tools/deps test
	$(Q)$(MAKE) --no-print-directory SAN=address,undefined units e2e
	$(Q)$(MAKE) --no-print-directory SAN=thread units e2e
	$(Q)$(MAKE) --no-print-directory fuzz
	$(Q)$(MAKE) --no-print-directory units e2e

units: $(UNITS)
	$(Q)for unit in $(UNITS); do \
		$$unit >$$unit.log 2>&1 || { cat $$unit.log; exit 1; }; \
		echo "  OK  $$unit: $$(grep -c '  OK' $$unit.log) tests"; \
	done

e2e: $(SERVER) $(TALKER) $(ECHO) $(LOAD) $(FAULTY)
	$(Q)RAGNAROK=$(abspath $(SERVER)) RAGCHAT=$(abspath $(TALKER)) WS_ECHO=$(abspath $(ECHO)) LOAD=$(abspath $(LOAD)) SAN=$(SAN) \
		TEST_TIME_SCALE=$(if $(SAN),4,1) LOAD_SCALE=$(if $(SAN),0.3,1) tools/python -m pytest -q -n 4 --dist loadgroup tests $(ARGS)

ws_echo: $(ECHO)
load: $(LOAD)

$(SERVER): $(OUT)/ragnarok.o $(OBJECTS)
$(TALKER): $(OUT)/ragchat.o $(TALKERS)
$(ECHO): $(OUT)/ws_echo.o $(OBJECTS)
$(LOAD): $(LOADERS) $(OBJECTS)
$(UNITS): $(OUT)/%: $(OUT)/%.o $(OBJECTS) $(TALKS:%=$(OUT)/%.o)
$(UNITS): EXTRA = -lcmocka
$(SERVER) $(TALKER) $(ECHO) $(LOAD) $(UNITS):
	@echo "  LD  $@"
	$(Q)$(CC) $(LDHARDEN) $(LDFLAGS) -o $@ $^ $(EXTRA) $(LDLIBS_ALL)

$(OUT)/%.o: %.c | $(OUT)
	@echo "  CC  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(WARN) $(HARDEN) $(CFLAGS) -c -o $@ $<
$(OUT)/%.o: build/%.c
	@echo "  CC  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) -I. $(WARN) $(HARDEN) $(CFLAGS) -c -o $@ $<
$(OUT)/%.o: tests/%.c | $(OUT)
	@echo "  CC  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) -I. $(WARN) $(HARDEN) $(CFLAGS) -c -o $@ $<
$(OUT)/%.o: bench/%.c | $(OUT)
	@echo "  CC  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) -I. $(WARN) $(HARDEN) $(CFLAGS) -c -o $@ $<
$(OUT):
	$(Q)mkdir -p $@

# The page is part of the program. The folder itself is newer when a file came or went.
build/web.c: tools/embed web $(wildcard web/*) | $(OUT)
	@echo "  WEB $@"
	$(Q)tools/embed web >$@.new && mv $@.new $@

# What was found to reach new code is kept in build/fuzz; what crashed, too, as crash-*. Two at a time.
fuzz: $(FUZZERS)
	$(Q)$(MAKE) --no-print-directory -j2 $(FUZZED:%=fuzz-%)
fuzz-%: build/fuzz/%
	$(Q)mkdir -p build/fuzz/found-$*
	$(Q)ASAN_OPTIONS=$(FUZZ_ASAN) UBSAN_OPTIONS=print_stacktrace=1 $< $(FUZZ_END) -timeout=20 -max_len=$(FUZZ_LEN) \
		-artifact_prefix=build/fuzz/crash-$*- build/fuzz/found-$* tests/corpus/$* >$<.log 2>&1 || \
		{ tail -40 $<.log; exit 1; }
	@echo "  OK  fuzz $*: $$(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) .*/\1 inputs in \2 s/p' $<.log)"

# Each input once: those in tests/corpus, and those in build/fuzz if there are any.
fuzz-coverage: $(COVERERS)
	$(Q)tools/deps lint
	$(Q)for target in $(FUZZED); do \
		mkdir -p build/fuzz/found-$$target; \
		LLVM_PROFILE_FILE=build/cover/$$target.profraw build/cover/$$target -runs=0 -max_len=4096 \
			tests/corpus/$$target build/fuzz/found-$$target >build/cover/$$target.log 2>&1 || \
			{ tail -40 build/cover/$$target.log; exit 1; }; \
	done
	$(Q)llvm-profdata merge -o build/cover/all.profdata $(FUZZED:%=build/cover/%.profraw)
	$(Q)tools/coverage $(COVER_LEAST) build/cover/all.profdata "$(FUZZED:%=build/cover/%)" $(COVER_FILES)

$(COVERERS): build/cover/%: build/cover/fuzz_%.o build/cover/parts.a
	@echo "  LD  $@"
	$(Q)clang $(COVER) -fsanitize=fuzzer -o $@ $^ $(LDLIBS_ALL)
build/cover/%.o: %.c | build/cover
	$(Q)clang $(CPPFLAGS_ALL) $(COVER) -fsanitize=fuzzer-no-link -O1 -g -c -o $@ $<
build/cover/%.o: build/%.c | build/cover
	$(Q)clang $(CPPFLAGS_ALL) -I. $(COVER) -fsanitize=fuzzer-no-link -O1 -g -c -o $@ $<
build/cover/%.o: tests/%.c | build/cover
	$(Q)clang $(CPPFLAGS_ALL) -I. $(COVER) -fsanitize=fuzzer-no-link -O1 -g -c -o $@ $<
build/cover:
	$(Q)mkdir -p $@

$(FUZZERS): build/fuzz/%: build/fuzz/fuzz_%.o build/fuzz/parts.a
	@echo "  LD  $@"
	$(Q)clang $(FUZZ) -fsanitize=fuzzer -o $@ $^ $(LDLIBS_ALL)
# A target may put its own in place of sockets and threads: fuzz_session.c does.
build/fuzz/parts.a build/cover/parts.a: %/parts.a: $(addprefix %/,$(addsuffix .o,$(PARTS) $(TALKS)))
	$(Q)objcopy -w --weaken-symbol='net_*' $(@D)/net.o
	$(Q)objcopy -w --weaken-symbol='thread_*' $(@D)/thread.o
	$(Q)rm -f $@ && ar rcs $@ $^
build/fuzz/%.o: %.c | build/fuzz
	$(Q)clang $(CPPFLAGS_ALL) $(WARN) $(FUZZ) $(TRACE) -O1 -g -c -o $@ $<
build/fuzz/%.o: build/%.c | build/fuzz
	$(Q)clang $(CPPFLAGS_ALL) -I. $(WARN) $(FUZZ) $(TRACE) -O1 -g -c -o $@ $<
build/fuzz/%.o: tests/%.c | build/fuzz
	@echo "  CC  $@"
	$(Q)clang $(CPPFLAGS_ALL) -I. $(WARN) $(FUZZ) -O1 -g -c -o $@ $<
build/fuzz:
	$(Q)mkdir -p $@

# Each with the checks that .clang-tidy and tools/lint name, and why the others are not among them.
lint:
	$(Q)tools/deps lint
	$(Q)tools/lint $(CPPFLAGS_ALL) -- $(sort $(wildcard *.c bench/*.c))

# By hand, for it takes its time.
soak: all load
	$(Q)tools/deps test
	$(Q)tools/python tools/soak

# Once the report is whole, docs/PERFORMANCE.md and its picture are made anew of it.
bench:
	$(Q)tools/deps bench
	$(Q)$(MAKE) --no-print-directory all load
	-$(Q)$(MAKE) --no-print-directory -k peers
	$(Q)bench/run.py $(ARGS)
	$(Q)$(if $(QUICK),,bench/report.py build/bench.json)

build/fail_alloc.so: tests/fail_alloc.c | $(OUT)
	@echo "  LD  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(WARN) -O2 -g -fPIC -shared -o $@ $< -ldl
build/key_flood: tests/key_flood.c | $(OUT)
	@echo "  LD  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(WARN) -O2 -g -o $@ $< $(LDLIBS_ALL)

# Under AddressSanitizer, so that what is lost on the way is found, too.
faults:
	$(Q)tools/deps test
	$(Q)$(MAKE) --no-print-directory SAN=address,undefined all $(FAULTY)
	$(Q)RAGNAROK=$(abspath build/address-undefined/ragnarok) tools/python tests/faults.py --last 700
	$(Q)RAGNAROK=$(abspath build/address-undefined/ragnarok) tools/python tests/faults.py --last 7000 --tls
	$(Q)RAGNAROK=$(abspath build/address-undefined/ragnarok) TEST_TIME_SCALE=4 HELLOS=100000 \
		tools/python -m pytest -q tests/test_tls.py -k hello

# Anew each time, with Debian's testssl.sh.
tls-check:
	$(Q)tools/deps tls
	$(Q)$(MAKE) --no-print-directory $(SERVER)
	$(Q)PYTHONPATH=tests tools/python tools/tls_check

# Whom it is compared with; what cannot be built is skipped by name.
peers: $(PEERS)
build/floor: build/floor.o build/peer.o build/ws.o
build/lws_peer: build/lws_peer.o build/peer.o
build/lws_peer: EXTRA = -lwebsockets
build/floor build/lws_peer:
	@echo "  LD  $@"
	$(Q)$(CC) $(LDHARDEN) $(LDFLAGS) -o $@ $^ $(EXTRA) $(LDLIBS_ALL)
build/gorilla_peer: bench/peers/gorilla/main.go | build
	@echo "  GO  $@"
	$(Q)GO111MODULE=off GOFLAGS= GOPATH=/usr/share/gocode go build -o $@ ./$(<D)
build/%.o: bench/peers/%.c | build
	@echo "  CC  $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) -I. $(WARN) $(HARDEN) $(CFLAGS) -c -o $@ $<

# What the README shows of the page.
pictures: $(SERVER)
	$(Q)tools/deps test
	$(Q)PYTHONPATH=tests tools/python tools/screenshot

# The settings of who has some are left alone. What the first start makes goes where the unit may write.
install: $(SERVER) $(TALKER)
	$(Q)install -d $(addprefix $(DESTDIR),$(PREFIX)/bin $(PREFIX)/share/man/man1 $(PREFIX)/share/man/man5 \
		$(UNITDIR) $(USERDIR) $(CONFDIR))
	$(Q)install -m 0755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	$(Q)install -m 0644 man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)install -m 0644 man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	$(Q)install -m 0644 $(UNITS_SD:%=contrib/systemd/%) $(DESTDIR)$(UNITDIR)
	$(Q)sed -i 's|/usr/bin/|$(PREFIX)/bin/|' $(DESTDIR)$(UNITDIR)/ragnarok.service
	$(Q)install -m 0644 contrib/systemd/ragnarok.sysusers $(DESTDIR)$(USERDIR)/ragnarok.conf
	$(Q)[ -e $(DESTDIR)$(CONFDIR)/config.json ] || { \
		install -m 0640 config.json $(DESTDIR)$(CONFDIR)/config.json; \
		sed -i 's|"self-signed|"/var/lib/ragnarok/self-signed|' $(DESTDIR)$(CONFDIR)/config.json; }

uninstall:
	$(Q)rm -f $(PROGRAMS:%=$(DESTDIR)$(PREFIX)/bin/%) $(UNITS_SD:%=$(DESTDIR)$(UNITDIR)/%) \
		$(DESTDIR)$(USERDIR)/ragnarok.conf $(patsubst man/%,$(DESTDIR)$(PREFIX)/share/man/man1/%,$(wildcard man/*.1)) \
		$(patsubst man/%,$(DESTDIR)$(PREFIX)/share/man/man5/%,$(wildcard man/*.5))

# Of a copy of the sources: nobody's keys and certificates get into a package.
deb:
	$(Q)tools/deps package
	$(Q)tools/deb

format:
	$(Q)clang-format -i *.c *.h tests/*.c bench/*.[ch] bench/peers/*.[ch]

clean:
	$(Q)rm -rf build ragnarok ragchat tests/ws_echo tests/out

-include $(wildcard $(OUT)/*.d build/fuzz/*.d build/cover/*.d)
