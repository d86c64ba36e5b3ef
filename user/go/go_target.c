/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/go_target.h"

#include "core/util.h"
#include "sys/proc_task.h"

#include <elf.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define SCAN_CHUNK ((size_t)1 << 20)
#define MAX_MAPS 4096

static int fail(char why[GO_WHY_LEN], int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int fail(char why[GO_WHY_LEN], int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, GO_WHY_LEN, fmt, ap);
	va_end(ap);
	return err;
}

static int read_mem(void *arg, uint64_t addr, void *buf, size_t len)
{
	return procmem__read(arg, addr, buf, len);
}

static int open_exe(int pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : errno == ENOENT ? -ESRCH : -errno;
}

bool go_target__is_go(int pid, char version[64])
{
	cleanup_fd int fd = open_exe(pid);
	struct elfobj *elf;
	bool is;

	version[0] = 0;
	if (fd < 0 || elfobj__open_fd(fd, "exe", &elf))
		return false;
	is = gobin__is_go(elf, version);
	elfobj__close(elf);
	return is;
}

/* The kernel tells the program where its entry point is: the difference is the bias. */
static int find_bias(struct go_target *t)
{
	cleanup_free char *text = NULL;
	uint64_t pair[2];
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/auxv", t->pid);
	n = util__read_file(path, 1 << 16, &text);
	if (n < 0)
		return (int)n;
	for (size_t i = 0; i + sizeof(pair) <= (size_t)n; i += sizeof(pair)) {
		memcpy(pair, text + i, sizeof(pair));
		if (pair[0] == 9 /* AT_ENTRY */) {
			t->bias = pair[1] - elfobj__entry(t->elf);
			return t->bias & 0xfff ? -EBADMSG : 0;
		}
	}
	return -ESRCH; /* exec in progress, or gone */
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

static int find_symbols(struct go_target *t, char why[GO_WHY_LEN])
{
	struct gobin_code_layout cl = code_layout(t->layout);
	int err = gobin__symbols(&t->bin, &t->sym);

	if (err == -ENOENT)
		err = gobin__symbols_by_code(&t->bin, &cl, &t->sym);
	if (err == -ENOTSUP)
		return fail(why, err,
			    "%s is stripped, and reading a stripped Go program needs x86-64",
			    t->exe);
	if (err)
		return fail(
			why, err == -ENOENT ? -ENOTSUP : err,
			"%s (%s) is stripped, and the runtime's variables were not found in its "
			"code: built by an unusual compiler?",
			t->exe, t->bin.version);
	add_bias(t);
	if (!plausible(t))
		return fail(why, procmem__alive(t->mem) ? -EBADMSG : -ESRCH,
			    "the runtime of %s (%s) does not look as that version's should", t->exe,
			    t->bin.version);
	t->profiling_off_by_linker = !gobin__func(&t->bin, "runtime.MemProfile") &&
				     !gobin__func(&t->bin, "runtime.memProfileInternal");
	if (t->sym.disable_mem_profiling) {
		uint8_t off = 0;

		procmem__read(t->mem, t->sym.disable_mem_profiling, &off, 1);
		t->profiling_off_by_linker = off == 1;
	}
	return 0;
}

static void read_names(struct go_target *t)
{
	cleanup_free char *comm = NULL, *cmd = NULL;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", t->pid);
	n = util__read_file(path, sizeof(t->comm) - 1, &comm);
	if (n > 0) {
		memcpy(t->comm, comm, (size_t)n);
		t->comm[strcspn(t->comm, "\n")] = 0;
	}
	snprintf(path, sizeof(path), "/proc/%d/cmdline", t->pid);
	n = util__read_file(path, sizeof(t->cmdline) - 1, &cmd);
	for (ssize_t i = 0; i < n; i++)
		t->cmdline[i] = cmd[i] ? cmd[i] : i + 1 < n ? ' ' : 0;
	snprintf(path, sizeof(path), "/proc/%d/exe", t->pid);
	n = readlink(path, t->exe, sizeof(t->exe) - 1);
	t->exe[n > 0 ? n : 0] = 0;
}

static int open_parts(struct go_target *t, char why[GO_WHY_LEN])
{
	cleanup_fd int fd = -1;
	char sentence[PROC_TASK_WHY];
	int err = proc_task__check(t->pid, sentence);

	if (err)
		return fail(why, err == -EOPNOTSUPP ? -ENOTSUP : err, "%s", sentence);
	err = procmem__open(t->pid, &t->mem);
	if (err)
		return fail(why, err, "failed to read the memory of process %d: %s%s", t->pid,
			    strerror(-err),
			    err == -EACCES ? " (run as root, or with CAP_SYS_PTRACE)" : "");
	t->reader = (struct go_reader){read_mem, t->mem};
	read_names(t);
	fd = open_exe(t->pid);
	err = fd < 0 ? fd : elfobj__open_fd(fd, t->exe, &t->elf);
	if (err)
		return fail(why, err == -ENOEXEC ? -ENOENT : err, "failed to read %s: %s", t->exe,
			    strerror(-err));
	err = gobin__open(t->elf, &t->bin);
	if (err == -ENOENT)
		return fail(why, err, "%s is not a Go program", t->exe);
	if (err == -ENOTSUP)
		return fail(why, err, "%s is built with %s; known are Go %s", t->exe,
			    t->bin.version[0] ? t->bin.version : "Go before 1.18",
			    go_layout__known());
	if (err)
		return fail(why, err, "the Go tables of %s are damaged", t->exe);
	t->layout = go_layout__of(t->bin.minor);
	if (!t->layout && go_layout__is_between(t->bin.minor) &&
	    !go_layout__from_dwarf(fd, t->bin.minor, &t->own_layout))
		t->layout = &t->own_layout;
	if (!t->layout)
		return fail(
			why, -ENOTSUP,
			"%s is built with %s, whose runtime layout is not known; known are Go %s%s",
			t->exe, t->bin.version, go_layout__known(),
			go_layout__is_between(t->bin.minor)
				? " (and this one in programs with debug information)"
				: "");
	err = find_bias(t);
	if (err)
		return fail(why, err, "failed to find where %s is loaded", t->exe);
	err = find_module(t);
	if (err)
		return fail(why, err, "the Go tables of %s are damaged: no module data", t->exe);
	return find_symbols(t, why);
}

int go_target__open(int pid, struct go_target **ret, char why[GO_WHY_LEN])
{
	struct go_target *t = calloc(1, sizeof(*t));
	int err;

	why[0] = 0;
	if (!t)
		return -ENOMEM;
	t->pid = pid;
	err = open_parts(t, why);
	if (!err)
		err = go_target__refresh_maps(t);
	if (err) {
		go_target__close(t);
		return err;
	}
	*ret = t;
	return 0;
}

static void free_maps(struct go_target *t)
{
	for (size_t i = 0; i < t->nmaps; i++)
		free(t->maps[i].path);
	free(t->maps);
	t->maps = NULL;
	t->nmaps = 0;
}

void go_target__close(struct go_target *t)
{
	if (!t)
		return;
	free_maps(t);
	gobin__close(&t->bin);
	elfobj__close(t->elf);
	procmem__close(t->mem);
	free(t);
}

int go_target__refresh_maps(struct go_target *t)
{
	cleanup_file FILE *f = NULL;
	cleanup_free char *line = NULL;
	char path[64], perms[5];
	size_t line_cap = 0, cap = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	free_maps(t);
	while (t->nmaps < MAX_MAPS && getline(&line, &line_cap, f) > 0) {
		struct go_map m;
		int at = 0;

		if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %n", &m.start, &m.limit, perms, &m.offset,
			   &at) < 4 ||
		    perms[2] != 'x' || !at || (line[at] != '/' && line[at] != '['))
			continue;
		line[strcspn(line, "\n")] = 0;
		int err = array_reserve(t->maps, cap, t->nmaps + 1);

		if (err)
			return err;
		m.path = strdup(line + at);
		if (!m.path)
			return -ENOMEM;
		t->maps[t->nmaps++] = m;
	}
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

int go_target__describe(const struct go_target *t, struct profile *p)
{
	int err = profile__string(p, t->comm, &p->comm);

	if (!err)
		err = profile__string(p, t->cmdline, &p->cmdline);
	p->pid = (uint32_t)t->pid;
	p->time_ns = util__wall_ms() * 1000000;
	return err;
}
