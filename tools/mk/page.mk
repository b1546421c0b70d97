# The page is part of the program. The folder itself is newer after a file was added or removed.
build/web.c: tools/embed tools/bundle.py web $(wildcard web/*)
	@echo "  WEB $@"
	$(Q)mkdir -p $(@D)
	$(Q)tools/embed web >$@.new && mv $@.new $@
# So is the script that runs in the engine of a cluster.
build/engine_script.c: tools/embed cluster/engine.lua
	@echo "  LUA $@"
	$(Q)mkdir -p $(@D)
	$(Q)tools/embed --script cluster/engine.lua >$@.new && mv $@.new $@
$(OUT)/web.o $(OUT)/engine_script.o: $(OUT)/%.o: build/%.c
	@echo "  CC  $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(WARN) $(HARDEN) $(CFLAGS) -c -o $@ $<

# The screenshots in the README.
pictures: $(SERVER)
	$(Q)tools/deps test
	$(Q)PYTHONPATH=tests/support tools/python tools/screenshot
