# What tools/bench/unwind.py drives: one program with and without frame pointers, the table builder.
.PHONY: bench-unwind-tools
bench-unwind-tools: $(B)/bench/deep $(B)/bench/deep-fp $(B)/bench/unwind_build

$(B)/bench/deep: tools/bench/deep.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -g -fomit-frame-pointer -fno-builtin -Wall -Wextra -o $@ $<

$(B)/bench/deep-fp: tools/bench/deep.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -g -fno-omit-frame-pointer -fno-builtin -Wall -Wextra -o $@ $<

$(B)/bench/unwind_build: tools/bench/unwind_build.c $(B)/libmemwatch.a
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(B)/libmemwatch.a $(LDLIBS)
