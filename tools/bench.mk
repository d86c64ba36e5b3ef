# What the benchmarks need besides memwatch itself.
.PHONY: bench-tools
bench-tools: $(B)/bench/entry_uprobe $(B)/bench/pairs $(B)/bench/stopall

$(B)/bench/entry_uprobe: tools/bench/entry_uprobe.c $(B)/gen/probe_entry.skel.h
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(LDLIBS)

$(B)/bench/stopall: tools/bench/stopall.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -O2 -g -Wall -Wextra -o $@ $<

$(B)/bench/pairs: tools/bench/pairs.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -O2 -g -fno-omit-frame-pointer -fno-builtin -Wall -Wextra -pthread \
		-o $@ $<
