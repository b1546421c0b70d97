# Fuzzing: the targets, and their coverage of each parser.

# Fuzz targets: everything built again with clang, libFuzzer, ASan and UBSan. Three choices make an input
# three times cheaper: a target is linked only with the code it uses, only the tested code is traced, and
# single comparisons are not traced, because the parsers compare byte by byte, which reveals no words.
# (libFuzzer intercepts strcmp, memcmp and the like anyway.)
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ    := -fsanitize=address,undefined -fno-sanitize-recover=all
TRACE   := -fsanitize=fuzzer-no-link -fno-sanitize-coverage=trace-cmp
FUZZ_SECONDS ?= 20
FUZZ_RUNS    ?=
# The seed of the random bytes; 0 is another one each time. `make test` sets it, so that the same
# commit gets the same bytes there.
FUZZ_SEED    ?= 0
FUZZED  := $(or $(ONLY),$(notdir $(FUZZERS)))
FUZZ_END = $(if $(FUZZ_RUNS),-runs=$(FUZZ_RUNS),-max_total_time=$(FUZZ_SECONDS))
# ASan can quarantine freed memory and record allocation stacks. Here the quarantine is small and there are
# no stacks, because both cost more than an input does; replaying a crash has both.
FUZZ_ASAN = quarantine_size_mb=1:malloc_context_size=0
# The maximum input length in bytes. Longer inputs are slower and find nothing new where the tested data is
# short: a name has at most 128 bytes, a message in fuzz_ws.c 300.
FUZZ_LEN  = $(or $(FUZZ_LEN_$*),4096)
FUZZ_LEN_name = 160
FUZZ_LEN_ws   = 512
FUZZ_LEN_continuity = 1024

# The same for line coverage of the fuzz targets, and its minimum in percent.
COVER       := -fprofile-instr-generate -fcoverage-mapping
COVER_FILES := $(wildcard lib/http/*.c) lib/authority.c lib/origin.c ws.c lib/json/json.c lib/json/json_fields.c json_msg.c $(wildcard base/config*.c) lib/name.c lib/crypto/e2e.c \
               cluster/redis_reply.c cluster/log_entry.c cluster/log_order.c client/keys/seal.c client/keys/continuity.c client/keys/continuity_out.c
COVER_LEAST ?= 90
COVERERS    := $(FUZZERS:build/fuzz/%=build/cover/%)


# Inputs that reach new code are kept in build/fuzz; crashes as crash-*. As many targets run at a time as JOBS says.
fuzzers: $(FUZZERS)
fuzz: $(FUZZERS)
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(FUZZED:%=fuzz-%)
fuzz-%: build/fuzz/%
	$(Q)mkdir -p build/fuzz/found-$*
	$(Q)ASAN_OPTIONS=$(FUZZ_ASAN) UBSAN_OPTIONS=print_stacktrace=1 $< $(FUZZ_END) -seed=$(FUZZ_SEED) -timeout=20 -max_len=$(FUZZ_LEN) \
		-artifact_prefix=build/fuzz/crash-$*- build/fuzz/found-$* tests/fuzz/corpus/$* >$<.log 2>&1 || \
		{ tail -40 $<.log; exit 1; }
	@echo "  OK  fuzz $*: $$(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) .*/\1 inputs in \2 s/p' $<.log)"

# Runs each input once: those in tests/fuzz/corpus, and those in build/fuzz if there are any.
fuzz-coverage: $(COVERERS)
	$(Q)tools/deps test
	$(Q)rm -f build/cover/*.profraw
	$(Q)for target in $(FUZZED); do \
		mkdir -p build/fuzz/found-$$target; \
		LLVM_PROFILE_FILE=build/cover/$$target.profraw build/cover/$$target -runs=0 -max_len=4096 \
			tests/fuzz/corpus/$$target build/fuzz/found-$$target >build/cover/$$target.log 2>&1 || \
			{ tail -40 build/cover/$$target.log; exit 1; }; \
	done
	$(Q)tools/coverage $(COVER_LEAST) build/cover $(FUZZED:%=build/cover/%) --each $(COVER_FILES)

# A target can replace sockets and threads, as fuzz_session.c does.
FUZZ_PARTS := $(COMMON:.c=.o) $(SERVED:.c=.o) $(TALKED:.c=.o) web.o engine_script.o
build/fuzz/parts.a build/cover/parts.a: %/parts.a: $(addprefix %/obj/,$(FUZZ_PARTS))
	$(Q)objcopy -w --weaken-symbol='net_*' $(@D)/obj/net/socket.o
	$(Q)objcopy -w --weaken-symbol='stream_*' --weaken-symbol='tls_*' $(@D)/obj/net/stream.o
	$(Q)objcopy -w --weaken-symbol='random_*' $(@D)/obj/net/random.o
	$(Q)objcopy -w --weaken-symbol='thread_*' $(@D)/obj/base/thread_pool.o
	$(Q)rm -f $@ && ar rcs $@ $^

$(FUZZERS): build/fuzz/%: build/fuzz/obj/tests/fuzz/fuzz_%.o build/fuzz/parts.a
	@echo "  LD  $@"
	$(Q)clang $(FUZZ) -fsanitize=fuzzer -o $@ $^ $(LDLIBS_ALL)
build/fuzz/obj/tests/%.o: tests/%.c
	@echo "  CC  $@"
	$(Q)mkdir -p $(@D)
	$(Q)clang $(CPPFLAGS_ALL) $(WARN) $(FUZZ) -O1 -g -c -o $@ $<
build/fuzz/obj/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(Q)clang $(CPPFLAGS_ALL) $(WARN) $(FUZZ) $(TRACE) -O1 -g -c -o $@ $<
build/fuzz/obj/web.o build/fuzz/obj/engine_script.o: build/fuzz/obj/%.o: build/%.c
	$(Q)mkdir -p $(@D)
	$(Q)clang $(CPPFLAGS_ALL) $(WARN) $(FUZZ) $(TRACE) -O1 -g -c -o $@ $<

$(COVERERS): build/cover/%: build/cover/obj/tests/fuzz/fuzz_%.o build/cover/parts.a
	@echo "  LD  $@"
	$(Q)clang $(COVER) -fsanitize=fuzzer -o $@ $^ $(LDLIBS_ALL)
build/cover/obj/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(Q)clang $(CPPFLAGS_ALL) $(COVER) -fsanitize=fuzzer-no-link -O1 -g -c -o $@ $<
build/cover/obj/web.o build/cover/obj/engine_script.o: build/cover/obj/%.o: build/%.c
	$(Q)mkdir -p $(@D)
	$(Q)clang $(CPPFLAGS_ALL) $(COVER) -fsanitize=fuzzer-no-link -O1 -g -c -o $@ $<

-include $(FUZZ_PARTS:%.o=build/fuzz/obj/%.d) $(FUZZ_PARTS:%.o=build/cover/obj/%.d)
