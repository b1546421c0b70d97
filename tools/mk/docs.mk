# Parts of the documents. The programs of docs/tour: each is one file and the headers beside it.

TOUR := $(patsubst docs/tour/%.c,$(OUT)/tour/%,$(wildcard docs/tour/*.c))

tour: $(TOUR)
$(TOUR): $(OUT)/tour/%: docs/tour/%.c
	@echo "  CC  $@"
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(WARN) $(HARDEN) $(CFLAGS) $(LDHARDEN) $(LDFLAGS) -o $@ $< $(LDLIBS_ALL)


# The diagrams of docs/ARCHITECTURE.md: the layers, derived from the includes, and the threads.
diagrams:
	$(Q)tools/diagrams

-include $(TOUR:=.d)
