# Fuzz targets: every tests/fuzz/fuzz_NAME.c is linked with the whole library, built by clang with
# libFuzzer, ASan and UBSan in a directory of its own, and run for FUZZ_SECONDS with the seeds in
# tests/fuzz/corpus/NAME/ and NAME.tar.gz. `make fuzz` builds and runs all, `make fuzz FUZZ=NAME` one.
FUZZ_SECONDS ?= 60
FUZZ_CC ?= clang
FUZZ_CFLAGS := -O1 -g -gline-tables-only -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined -Wno-unknown-warning-option
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))

$(B)/fuzz_%: tests/fuzz/fuzz_%.c $(B)/libmemwatch.a
	$(call say,FUZZ,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer -MMD -MP -o $@ $< $(B)/libmemwatch.a $(LDLIBS)

.PHONY: fuzz fuzz-build fuzz-bins
fuzz-bins: $(FUZZ_BIN)

fuzz-build:
	@CFLAGS='$(FUZZ_CFLAGS)' $(MAKE) --no-print-directory B=build/fuzz CC='$(FUZZ_CC)' SAN=0 fuzz-bins

fuzz: fuzz-build
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/fuzz.sh $(FUZZ)
