/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/go_target.h"

#include "core/util.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>

#define SCAN_CHUNK ((size_t)1 << 20)
#define MAX_MAPS 4096
#define MAX_MAPS_BYTES ((size_t)16 << 20)
#define SETTLE_NS \
	50000000ULL /* from runtimeInitTime until the runtime's variables have their values */

static int read_mem(void *arg, uint64_t addr, void *buf, size_t len)
{
	return procmem__read(arg, addr, buf, len);
}

bool go_target__is_go(int exe)
{
	struct elfobj *elf;
	char version[64];
	bool is;

	if (elfobj__open_fd(exe, "exe", &elf))
		return false;
	is = gobin__is_go(elf, version);
	elfobj__close(elf);
	return is;
}

/* The kernel tells the program where its entry point is: the difference is the bias. */
static int find_bias(struct go_target *t, const struct go_source *src)
{
	if (!src->entry)
		return -ESRCH; /* exec in progress, or gone */
	t->bias = src->entry - elfobj__entry(t->elf);
	return t->bias & 0xfff ? -EBADMSG : 0;
}

/* Is this runtime.firstmoduledata? Its head points into the function table we know. */
static bool check_module(struct go_target *t, uint64_t addr)
{
	const struct gotab *tab = &t->bin.tab;
	uint64_t head[2], text, etext, gofunc;
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(t->elf, &seg);
	bool code = false;

	if (procmem__read(t->mem, addr, head, sizeof(head)) ||
	    head[0] != t->bin.tab_vaddr + t->bias || head[1] != head[0] + tab->names ||
	    go_target__u64(t, addr, t->layout->md.text, &text) ||
	    go_target__u64(t, addr, t->layout->md.etext, &etext) ||
	    go_target__u64(t, addr, t->layout->md.gofunc, &gofunc) || text >= etext)
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((seg[i].flags & PF_X) && text - t->bias >= seg[i].vaddr &&
		    etext - t->bias <= seg[i].vaddr + seg[i].memsz)
			code = true;
	}
	if (!code || gobin__set_module(&t->bin, text - t->bias, gofunc - t->bias))
		return false;
	t->module = addr;
	t->text = text;
	t->etext = etext;
	return true;
}

static bool scan_segment(struct go_target *t, const struct elfobj_segment *seg, uint64_t *buf)
{
	uint64_t want = t->bin.tab_vaddr + t->bias;
	uint64_t bytes = elfobj__segment_bytes(t->bin.elf, seg);

	for (uint64_t at = 0; at < bytes; at += SCAN_CHUNK) {
		size_t len = min_of(SCAN_CHUNK, (size_t)(bytes - at));
		uint64_t addr = ((seg->vaddr + at + 7) & ~7ULL) + t->bias;

		if (len < 16 || procmem__read(t->mem, addr, buf, (len - 8) & ~7ULL))
			continue;
		for (size_t i = 0; i < (len - 8) / 8; i++) {
			if (buf[i] == want && check_module(t, addr + i * 8))
				return true;
		}
	}
	return false;
}

static int find_module(struct go_target *t)
{
	const struct elfobj_segment *seg;
	size_t n = elfobj__segments(t->elf, &seg);
	cleanup_free uint64_t *buf = malloc(SCAN_CHUNK);
	const uint8_t *p;
	uint64_t vaddr;
	size_t len;

	if (!buf)
		return -ENOMEM;
	if (!elfobj__section(t->elf, ".go.module", &p, &len, &vaddr) &&
	    check_module(t, vaddr + t->bias))
		return 0;
	for (int want = PF_W; want >= 0; want -= PF_W) { /* writable ones first: they are small */
		for (size_t i = 0; i < n; i++) {
			if (!(seg[i].flags & PF_X) && (int)(seg[i].flags & PF_W) == want &&
			    scan_segment(t, &seg[i], buf))
				return 0;
		}
	}
	return procmem__alive(t->mem) ? -EBADMSG : -ESRCH;
}

static struct gobin_code_layout code_layout(const struct go_layout *l)
{
	return (struct gobin_code_layout){
		.gc_heap_live = l->gc.heap_live,
		.gc_heap_in_use = l->gc.heap_in_use,
		.work_heap1 = l->work.heap1,
		.work_size = l->work.size,
		.ms_last_heap_in_use = l->ms.last_heap_in_use,
		.ms_numforcedgc = l->ms.numforcedgc,
		.ms_numgc = l->ms.numgc,
	};
}

static void add_bias(struct go_target *t)
{
	uint64_t *v[] = {&t->sym.mbuckets,
			 &t->sym.mprof_cycle,
			 &t->sym.mem_active_lock,
			 &t->sym.mem_profile_rate,
			 &t->sym.disable_mem_profiling,
			 &t->sym.memstats,
			 &t->sym.gc_controller,
			 &t->sym.work,
			 &t->sym.runtime_init_time,
			 &t->sym.allgs,
			 &t->sym.mheap};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		if (*v[i])
			*v[i] += t->bias;
	}
}

/*
 * Values that hold in every running Go program of this layout; a wrong address or a wrong layout
 * does not survive all of them.
 */
static bool plausible(const struct go_target *t)
{
	const struct go_layout *l = t->layout;
	uint64_t in_use, heap_free, released, alloc, freed, limit, init;
	uint32_t percent, gcs, forced;

	if (go_target__u64(t, t->sym.gc_controller, l->gc.heap_in_use, &in_use) ||
	    go_target__u64(t, t->sym.gc_controller, l->gc.heap_free, &heap_free) ||
	    go_target__u64(t, t->sym.gc_controller, l->gc.heap_released, &released) ||
	    go_target__u64(t, t->sym.gc_controller, l->gc.total_free, &freed) ||
	    go_target__u64(t, t->sym.gc_controller, l->gc.total_alloc, &alloc) ||
	    go_target__u64(t, t->sym.gc_controller, l->gc.memory_limit, &limit) ||
	    go_target__u32(t, t->sym.gc_controller, l->gc.gc_percent, &percent) ||
	    go_target__u32(t, t->sym.memstats, l->ms.numgc, &gcs) ||
	    go_target__u32(t, t->sym.memstats, l->ms.numforcedgc, &forced))
		return false;
	/* The heap is made of 8 KiB pages; counters are read apart, so alloc is read last. */
	if (in_use % 8192 || heap_free % 8192 || released % 8192 || freed > alloc ||
	    in_use > 1ULL << 47 || forced > gcs || (int32_t)percent < -1 || (int64_t)limit < 0)
		return false;
	if (t->sym.runtime_init_time &&
	    (go_target__u64(t, t->sym.runtime_init_time, 0, &init) || init > util__now_ns()))
		return false;
	return true;
}

static int find_symbols(struct go_target *t)
{
	struct gobin_code_layout cl = code_layout(t->layout);
	int err = gobin__symbols(&t->bin, &t->sym);

	t->stage = GO_STAGE_VARIABLES;
	if (err == -ENOENT)
		err = gobin__symbols_by_code(&t->bin, &cl, &t->sym);
	if (err)
		return err;
	add_bias(t);
	t->stage = GO_STAGE_RUNTIME;
	if (!plausible(t))
		return procmem__alive(t->mem) ? -EBADMSG : -ESRCH;
	t->profiling_off_by_linker = !gobin__func(&t->bin, "runtime.MemProfile") &&
				     !gobin__func(&t->bin, "runtime.memProfileInternal");
	if (t->sym.disable_mem_profiling) {
		uint8_t off = 0;

		procmem__read(t->mem, t->sym.disable_mem_profiling, &off, 1);
		t->profiling_off_by_linker = off == 1;
	}
	return 0;
}

static int open_file(struct go_target *t, const struct go_source *src)
{
	int err = elfobj__open_fd(src->exe, "", &t->elf);

	if (err)
		return err == -ENOEXEC ? -ENOENT : err;
	t->stage = GO_STAGE_TABLES;
	err = gobin__open(t->elf, &t->bin);
	if (err)
		return err == -ENOENT || err == -ENOTSUP || err == -ENOMEM ? err : -EBADMSG;
	t->stage = GO_STAGE_LAYOUT;
	t->layout = go_layout__of(t->bin.minor);
	if (!t->layout && go_layout__is_between(t->bin.minor) &&
	    !go_layout__from_dwarf(t->elf, t->bin.minor, &t->own_layout))
		t->layout = &t->own_layout;
	return t->layout ? 0 : -ENOTSUP;
}

static int open_mem(struct go_target *t, const struct go_source *src)
{
	int fd = fcntl(src->mem, F_DUPFD_CLOEXEC, 0);
	int err = fd < 0 ? -errno : procmem__adopt(fd, &t->mem);

	t->reader = (struct go_reader){read_mem, t->mem};
	return err;
}

static int open_parts(struct go_target *t, const struct go_source *src)
{
	int err = open_mem(t, src);

	if (!err)
		err = open_file(t, src);
	if (err)
		return err;
	t->stage = GO_STAGE_PLACE;
	err = find_bias(t, src);
	if (err)
		return err;
	t->stage = GO_STAGE_MODULE;
	err = find_module(t);
	return err ? err : find_symbols(t);
}

/* Is heap profiling off (runtime.MemProfileRate is 0)? False where that cannot be read. */
static bool is_profiling_off(const struct go_target *t)
{
	uint64_t rate;

	return !go_target__u64(t, t->sym.mem_profile_rate, 0, &rate) && !rate;
}

/* runtime.main notes the time and then initialises what the runtime keeps, MemProfileRate with it.
 */
static bool is_started(const struct go_target *t)
{
	uint64_t init;

	if (go_target__u64(t, t->sym.runtime_init_time, 0, &init))
		return true; /* not to be told */
	if (init && (t->profiling_off_by_linker || !is_profiling_off(t)))
		return true;
	return init && util__now_ns() > init + SETTLE_NS;
}

int go_target__open(const struct go_source *src, struct go_target *ret)
{
	bool changed;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = open_parts(ret, src);
	if (!err)
		err = go_target__read_maps(ret, src->maps, &changed);
	if (!err) {
		ret->stage = GO_STAGE_START;
		err = is_started(ret) ? 0 : -EAGAIN;
	}
	/* What was read of an image that is gone says nothing of it. */
	if (err && ret->mem && !procmem__alive(ret->mem))
		err = -ESRCH;
	if (!err)
		ret->stage = GO_STAGES;
	return err;
}

static void free_maps(struct go_map *maps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(maps[i].path);
	free(maps);
}

void go_target__close(struct go_target *t)
{
	free_maps(t->maps, t->nmaps);
	gobin__close(&t->bin);
	elfobj__close(t->elf);
	procmem__close(t->mem);
	memset(t, 0, sizeof(*t));
}

/* One line of maps; 1: code of a file, or of the kernel; 0: not of interest; -ENOMEM. */
static int parse_map(char *line, struct go_map *m)
{
	char perms[5];
	int at = 0;

	if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %n", &m->start, &m->limit, perms, &m->offset,
		   &at) < 4 ||
	    perms[2] != 'x' || !at || (line[at] != '/' && line[at] != '['))
		return 0;
	m->path = strdup(line + at);
	return m->path ? 1 : -ENOMEM;
}

static bool same_maps(const struct go_target *t, const struct go_map *maps, size_t n)
{
	if (n != t->nmaps)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct go_map *a = &maps[i], *b = &t->maps[i];

		if (a->start != b->start || a->limit != b->limit || a->offset != b->offset ||
		    strcmp(a->path, b->path))
			return false;
	}
	return true;
}

int go_target__read_maps(struct go_target *t, int fd, bool *ret_changed)
{
	cleanup_free char *text = NULL;
	struct go_map *maps = NULL;
	char *line, *save = NULL;
	size_t n = 0, cap = 0;
	ssize_t len = util__read_fd(fd, MAX_MAPS_BYTES, &text);
	int err = len < 0 ? (int)len : 0;

	for (line = err ? NULL : strtok_r(text, "\n", &save); line && !err && n < MAX_MAPS;
	     line = strtok_r(NULL, "\n", &save)) {
		err = array_reserve(maps, cap, n + 1);
		if (!err)
			err = parse_map(line, &maps[n]);
		if (err == 1) {
			n++;
			err = 0;
		}
	}
	*ret_changed = !err && !same_maps(t, maps, n);
	if (!*ret_changed) {
		free_maps(maps, n);
		return err;
	}
	free_maps(t->maps, t->nmaps);
	t->maps = maps;
	t->nmaps = n;
	return 0;
}

int go_target__u64(const struct go_target *t, uint64_t base, uint32_t off, uint64_t *ret)
{
	return base && off != GO_LAYOUT_NONE ? t->reader.read(t->reader.arg, base + off, ret, 8)
					     : -ENOENT;
}

int go_target__u32(const struct go_target *t, uint64_t base, uint32_t off, uint32_t *ret)
{
	return base && off != GO_LAYOUT_NONE ? t->reader.read(t->reader.arg, base + off, ret, 4)
					     : -ENOENT;
}

static void bias_frame(const struct go_target *t, struct gotab_frame *f)
{
	f->entry += t->bias;
	f->return_pc += t->bias;
}

bool go_target__frame(const struct go_target *t, uint64_t pc, struct gotab_frame *ret)
{
	if (!gotab__frame(&t->bin.tab, pc - t->bias, ret))
		return false;
	bias_frame(t, ret);
	return true;
}

int go_target__frames(const struct go_target *t, uint64_t pc, struct gotab_frame *frames, int max)
{
	int n = gotab__frames(&t->bin.tab, pc - t->bias, frames, max);

	for (int i = 0; i < n; i++)
		bias_frame(t, &frames[i]);
	return n;
}
