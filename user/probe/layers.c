/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/layers.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "core/log.h"
#include "memwatch/overlay.h"
#include "probe_layers.skel.h"

static struct {
	pthread_once_t load, find;
	struct probe_layers_bpf *skel; /* for as long as this process runs */
	int prog;		       /* -1: there is none */
	uint64_t arg[MW_LAYERS_ARGS];
} now = {.load = PTHREAD_ONCE_INIT, .find = PTHREAD_ONCE_INIT, .prog = -1};

static void load(void)
{
	libbpf_print_fn_t old = libbpf_set_print(NULL);

	now.skel = probe_layers_bpf__open_and_load();
	libbpf_set_print(old);
	if (now.skel)
		now.prog = bpf_program__fd(now.skel->progs.mw_layers);
	else
		log_debug("failed to load what tells what lies below overlays; functions in files "
			  "there are not probed");
}

/* Bytes from a structure's start; -1: it has no such member. */
static int64_t offset_of(const struct btf *b, const char *type, const char *member)
{
	int id = btf__find_by_name_kind(b, type, BTF_KIND_STRUCT);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(b, (uint32_t)id);

	for (uint32_t i = 0; t && i < btf_vlen(t); i++) {
		if (!strcmp(btf__name_by_offset(b, btf_members(t)[i].name_off), member))
			return btf_member_bit_offset(t, i) / 8;
	}
	return -1;
}

static bool find_in(const struct btf *b)
{
	int id = btf__find_by_name_kind(b, "ovl_sb", BTF_KIND_STRUCT);
	int64_t count = offset_of(b, "ovl_fs", "numfs"), array = offset_of(b, "ovl_fs", "fs");
	int64_t sb = offset_of(b, "ovl_sb", "sb");

	if (id < 0 || count < 0 || array < 0 || sb < 0)
		return false;
	now.arg[MW_LAYERS_COUNT_AT] = (uint64_t)count;
	now.arg[MW_LAYERS_ARRAY_AT] = (uint64_t)array;
	now.arg[MW_LAYERS_SB_AT] = (uint64_t)sb;
	now.arg[MW_LAYERS_SIZE] = btf__type_by_id(b, (uint32_t)id)->size;
	return true;
}

/* Where an overlay keeps what lies below it: in the kernel's own types, or its module's. */
static void find(void)
{
	struct btf *kernel = btf__load_vmlinux_btf(), *module = NULL;

	if (kernel && !find_in(kernel)) {
		module = btf__load_module_btf("overlay", kernel);
		if (module && !find_in(module))
			log_debug("the kernel does not tell how overlays keep what lies below");
	}
	btf__free(module);
	btf__free(kernel);
}

static enum mw_layers_answer ask(int fd)
{
	uint64_t arg[MW_LAYERS_ARGS];
	LIBBPF_OPTS(bpf_test_run_opts, o, .ctx_in = arg, .ctx_size_in = sizeof(arg));

	memcpy(arg, now.arg, sizeof(arg));
	arg[MW_LAYERS_FD] = (uint64_t)fd;
	return bpf_prog_test_run_opts(now.prog, &o) ? MW_LAYERS_ANOTHERS : o.retval;
}

bool layers__are_ours(int fd)
{
	enum mw_layers_answer a;

	pthread_once(&now.load, load);
	if (now.prog < 0)
		return false;
	a = ask(fd);
	if (a != MW_LAYERS_BELOW)
		return a == MW_LAYERS_OURS;
	pthread_once(&now.find, find);
	return ask(fd) == MW_LAYERS_OURS;
}
