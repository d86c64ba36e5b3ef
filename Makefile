# memwatch: build, test, benchmark. `make help` lists the targets.
# V=1 shows the commands; SAN=1 builds with ASan and UBSan into its own directory.
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

SAN ?= 0
V ?= 0
B := build$(if $(filter 1,$(SAN)),/san)
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),@:,@printf '  %-8s %s\n' $(1) $(2))

VERSION := 0.1.0
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
BPF_CLANG ?= clang
BPFTOOL ?= $(or $(shell command -v bpftool 2>/dev/null),/usr/sbin/bpftool)
ARCH := $(shell uname -m)
BPF_ARCH := $(if $(filter aarch64,$(ARCH)),arm64,x86)

PKGS := libbpf libelf libdw zlib liblzma libzstd capstone libprotobuf-c jansson ncursesw sqlite3 \
	libmicrohttpd libcap libseccomp libsystemd libpcre2-8 libgcrypt libedit
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
	-Wno-unused-parameter -Wno-missing-field-initializers
CPPFLAGS += -D_GNU_SOURCE -DMEMWATCH_VERSION='"$(VERSION)"' -Iinclude -Iuser -I$(B)/gen $(PKG_CFLAGS)
CFLAGS ?= -O2 -g
CFLAGS += -std=gnu11 $(WARN) -fno-omit-frame-pointer -fstack-protector-strong
LDLIBS += $(PKG_LIBS) -liberty -lm -lpthread
ifeq ($(SAN),1)
CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
endif

BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -Iinclude -Ibpf \
	-Wall -Wextra -Wno-unused-parameter -Wno-unused-function -Wno-missing-declarations \
	-idirafter /usr/include/$(ARCH)-linux-gnu

# bpf/probe_*.bpf.c are skeletons of their own (they ask the kernel what it offers); everything else
# is linked into one object, so that maps and rodata are shared.
BPF_ALONE := $(wildcard bpf/probe_*.bpf.c)
# Files that define what others declare extern come first: libbpf's linker before 1.2 leaves the
# offset of a map 0 when it meets the extern declaration before the definition.
BPF_FIRST := bpf/common.bpf.c bpf/stack.bpf.c
BPF_MAIN := $(BPF_FIRST) $(filter-out $(BPF_ALONE) $(BPF_FIRST),$(wildcard bpf/*.bpf.c))
SKELS := $(if $(BPF_MAIN),$(B)/gen/memwatch.skel.h) $(patsubst bpf/%.bpf.c,$(B)/gen/%.skel.h,$(BPF_ALONE))

PROTOS := $(wildcard user/*/*.proto)
PROTO_C := $(patsubst user/%.proto,$(B)/gen/%.pb-c.c,$(PROTOS))
PROTO_H := $(PROTO_C:.c=.h)

# Sampling inside the target is for x86-64; elsewhere user/fast/none.c says so in its stead.
FAST_SRC := $(patsubst %,user/fast/%.c,clean inject patch remote stub stub_code)
LIB_SRC := $(filter-out user/main.c $(if $(filter x86_64,$(ARCH)),user/fast/none.c,$(FAST_SRC)), \
	$(wildcard user/*.c user/*/*.c))
LIB_OBJ := $(patsubst %.c,$(B)/%.o,$(LIB_SRC)) $(PROTO_C:.c=.o)
LIB := $(B)/libmemwatch.a
BIN := $(B)/memwatch

UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))

-include $(wildcard tools/*.mk)

.PHONY: all deps demo check check-unit bench fmt compdb install uninstall clean help
all: $(BIN)

help:
	@echo 'all         build $(BIN)'
	@echo 'deps        install what building and testing needs (root)'
	@echo 'demo        build, start a leaking service, attach and show it (root)'
	@echo 'check       build and pass every test (root)'
	@echo 'check-unit  the tests that need no root, in seconds'
	@echo 'bench       cost ratios against the peers, or BASE=other/memwatch, side by side (root)'
	@echo 'soak        10,000 processes, 200 dlopens, 1,000 execs, 2,000 files: what is held stays flat (root)'
	@echo 'soak-fast   1,000 times --fast into programs under load and out again (root, hours)'
	@echo 'fuzz        run every fuzz target, FUZZ_SECONDS each (default 60)'
	@echo 'fmt compdb install uninstall clean'

deps:
	@tools/deps.sh all

$(B)/%.o: %.c | gen
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/gen/%.pb-c.o: $(B)/gen/%.pb-c.c
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -w -MMD -MP -c -o $@ $<

$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h: user/%.proto
	$(call say,PROTO,$@)
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=user --c_out=$(B)/gen $<

$(B)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(BPF_CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<
	$(Q)llvm-strip -g $@

$(B)/bpf/memwatch.o: $(patsubst bpf/%.bpf.c,$(B)/bpf/%.bpf.o,$(BPF_MAIN)) Makefile
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $(filter %.o,$^)

$(B)/gen/memwatch.skel.h: $(B)/bpf/memwatch.o
	$(call say,SKEL,$@)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name memwatch_bpf > $@

# Kept, or the next make would make them anew, and all that depends on them.
.SECONDARY: $(patsubst bpf/%.bpf.c,$(B)/bpf/%.bpf.o,$(BPF_ALONE))

$(B)/gen/%.skel.h: $(B)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

.PHONY: gen
gen: $(SKELS) $(PROTO_H)

$(LIB): $(LIB_OBJ)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BIN): $(B)/user/main.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

$(B)/unit/%: tests/unit/%.c $(LIB)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(LIB) -lcmocka $(LDLIBS)

.PHONY: unit-bins
unit-bins: $(UNIT_BIN)

# Compilers run side by side, as many as there are processors or as -j says.
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

check-unit:
	@$(MAKE) --no-print-directory $(PARALLEL) SAN=1 unit-bins
	@tests/run.sh unit

check: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all
	@$(MAKE) --no-print-directory $(PARALLEL) SAN=1 unit-bins
	@tests/run.sh all

demo: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all
	@tools/demo.sh

bench:
	@tools/deps.sh bench
	@$(MAKE) --no-print-directory $(PARALLEL) all
	@BASE="$(BASE)" tools/bench.sh

fmt:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

compdb: clean
	@command -v bear >/dev/null || { echo "compdb: install the 'bear' package" >&2; exit 3; }
	@bear -- $(MAKE) all

clean:
	@rm -rf build

-include $(shell find $(B) -path $(B)/go -prune -o -type f -name '*.d' -print 2>/dev/null)
