# Small programs that tests and benchmarks drive the library with: build/tests/NAME.
TOOL_BIN := $(patsubst tests/tools/%.c,$(B)/tests/%,$(wildcard tests/tools/*.c))

$(B)/tests/%: tests/tools/%.c $(B)/libmemwatch.a
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(B)/libmemwatch.a $(LDLIBS)

# What soak starts copies of.
$(B)/tests/soakfile: tests/workloads/soakfile.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -g -O1 -o $@ $<
$(B)/tests/soak: | $(B)/tests/soakfile

.PHONY: test-tools
test-tools: $(TOOL_BIN)
