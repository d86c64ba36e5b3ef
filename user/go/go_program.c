/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/go_program.h"

#include <linux/auxvec.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/keyhash.h"
#include "core/util.h"
#include "model/profile_packed.h"
#include "sys/proc_image.h"
#include "sys/proc_task.h"
#include "sys/procmap.h"
#include "sys/safeopen.h"

#define START_NS 10000000000ULL	  /* wait so long for a runtime that has not begun, */
#define RELOCATE_NS 3000000000ULL /* and so long for tables that look damaged */
#define START_POLL_NS 10000000
#define MAX_BROKEN 3   /* helpers of one program */
#define MAX_READERS 24 /* programs that have a helper at one time */
#define VERDICTS 256
#define LOOK_CHUNK (1 << 20)
#define LOOK_MAX (32 << 20)

struct go_program {
	int pid;
	int exe_fd;
	struct procmem *mem; /* NULL: not opened */
	struct box_target whose;
	struct go_client client;
	unsigned broken;
	struct go_facts facts;
	char exe[4096];
	char comm[17];
	char cmdline[1024];
	struct go_program *older, *newer; /* of those that have a helper, by their last use */
};

/* --- which files are Go programs: a few are asked about again and again --- */

static struct verdict {
	struct stat st; /* who it is: device, inode, size and times */
	bool known, is_go;
} verdicts[VERDICTS];

static struct verdict *verdict_of(const struct stat *st)
{
	return &verdicts[keyhash__words(st->st_dev, st->st_ino) % VERDICTS];
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void remember(const struct stat *st, bool is_go)
{
	*verdict_of(st) = (struct verdict){*st, true, is_go};
}

/*
 * Whether it is worth asking a helper, which at the start of a run is still about to confine
 * itself: each Go program has this text somewhere. A file that is large is asked about unread.
 */
static bool may_be_go(int fd, const struct stat *st)
{
	const char *const mark = "\xff Go buildinf:";
	cleanup_free char *buf = malloc(LOOK_CHUNK);
	const off_t step = LOOK_CHUNK - 32;

	if (!buf || st->st_size > LOOK_MAX)
		return true;
	for (off_t at = 0; at < st->st_size; at += step) {
		ssize_t n = pread(fd, buf, LOOK_CHUNK, at);

		if (n <= 0)
			return n < 0;
		if (memmem(buf, n, mark, strlen(mark)))
			return true;
	}
	return false;
}

/* What is known without a helper: 1 or 0; -EAGAIN: one has to look. *ret: who the file is. */
static int known(int fd, struct stat *ret)
{
	const struct verdict *v;

	if (safeopen__fstat(fd, ret) || !S_ISREG(ret->st_mode))
		return 0;
	v = verdict_of(ret);
	if (v->known && same_file(&v->st, ret))
		return v->is_go;
	if (may_be_go(fd, ret))
		return -EAGAIN;
	remember(ret, false);
	return 0;
}

bool go_program__is_go(int pid)
{
	cleanup_fd int fd = proc_image__open(pid);
	struct box_target whose;
	struct stat st;
	int is = fd < 0 ? 0 : known(fd, &st);

	if (is >= 0)
		return is;
	whose = box__target(pid);
	is = go_client__is_go(fd, &whose);
	if (is >= 0)
		remember(&st, is);
	return is > 0;
}

/* --- helpers: the programs that were not asked for longest do without --- */

static struct go_program *newest, *oldest;
static size_t readers;

static void unlink_reader(struct go_program *p)
{
	if (!p->older && !p->newer && newest != p)
		return;
	*(p->older ? &p->older->newer : &oldest) = p->newer;
	*(p->newer ? &p->newer->older : &newest) = p->older;
	p->older = p->newer = NULL;
	readers--;
}

/* It has been asked: it has a helper, or has it no more. */
static void note_reader(struct go_program *p)
{
	unlink_reader(p);
	if (!p->client.h)
		return;
	p->older = newest;
	*(newest ? &newest->newer : &oldest) = p;
	newest = p;
	readers++;
	while (readers > MAX_READERS) {
		struct go_program *o = oldest;

		unlink_reader(o);
		go_client__close(&o->client);
	}
}

/* Has a helper look at the program, from the beginning. */
static int ask_to_open(struct go_program *p)
{
	cleanup_fd int maps = procmap__open_file(p->pid);
	struct go_source src = {p->exe_fd, -1, maps, 0};
	int err = min_of(maps, 0);

	proc_image__auxv(p->pid, AT_ENTRY, &src.entry);
	if (!err)
		err = go_client__open(&p->client, &src, p->mem, &p->whose, &p->facts);
	note_reader(p);
	return err;
}

/*
 * Before each request: a helper that has had much of its processor time is replaced before it is
 * stopped, so that what it took is accounted for; one that was given up for another's is started
 * again. It finds in the file what it found before, or is of no use.
 */
static int ready(struct go_program *p)
{
	struct go_facts before = p->facts;
	int err;

	if (p->client.h && box_helper__is_spent(p->client.h))
		go_client__close(&p->client);
	if (p->client.h)
		return 0;
	if (p->broken >= MAX_BROKEN)
		return -EFAULT;
	err = ask_to_open(p);
	if (err)
		p->facts = before;
	return err;
}

/* After each: one that broke is counted. */
static void done(struct go_program *p, int err)
{
	if (err && !p->client.h && err != -EINTR && err != -EDQUOT)
		p->broken++;
	note_reader(p);
}

/* --- opening --- */

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

static void read_names(struct go_program *p)
{
	cleanup_free char *command = proc_image__command(p->pid, sizeof(p->cmdline) - 1);

	proc_task__comm(p->pid, p->comm, sizeof(p->comm));
	snprintf(p->cmdline, sizeof(p->cmdline), "%s", command ? command : "");
	proc_image__path(p->pid, p->exe, sizeof(p->exe));
}

static int fail_tables(const struct go_program *p, int err, char why[GO_WHY_LEN])
{
	if (err == -ENOENT)
		return fail(why, err, "%s is not a Go program", p->exe);
	if (err == -ENOTSUP)
		return fail(why, err, "%s is built with %s; known are Go %s", p->exe,
			    p->facts.version[0] ? p->facts.version : "Go before 1.18",
			    go_layout__known());
	return fail(why, err, "the Go tables of %s are damaged", p->exe);
}

static int fail_variables(const struct go_program *p, int err, char why[GO_WHY_LEN])
{
	if (err == -ENOTSUP)
		return fail(why, err,
			    "%s is stripped, and reading a stripped Go program needs x86-64",
			    p->exe);
	return fail(why, err == -ENOENT ? -ENOTSUP : err,
		    "%s (%s) is stripped, and the runtime's variables were not found in its "
		    "code: built by an unusual compiler?",
		    p->exe, p->facts.version);
}

/* What went wrong, as a sentence; the error that callers are told. */
static int explain(const struct go_program *p, int err, char why[GO_WHY_LEN])
{
	const char *exe = p->exe, *version = p->facts.version;
	int minor = 0;

	sscanf(version, "go1.%d", &minor);
	if (err == -ESRCH)
		return fail(why, err,
			    "process %d ended, or became another program, while it was looked at",
			    p->pid);
	if (!p->client.h)
		return fail(why, err, "%s broke its reader: %s", exe, strerror(-err));
	switch (p->facts.stage) {
	case GO_STAGE_FILE:
		if (err == -ENOENT)
			return fail_tables(p, err, why);
		return fail(why, err, "failed to read %s: %s", exe, strerror(-err));
	case GO_STAGE_TABLES: return fail_tables(p, err, why);
	case GO_STAGE_LAYOUT:
		return fail(why, err,
			    "%s is built with %s, whose runtime layout is not known; known are Go "
			    "%s%s",
			    exe, version, go_layout__known(),
			    go_layout__is_between(minor)
				    ? " (and this one in programs with debug information)"
				    : "");
	case GO_STAGE_PLACE: return fail(why, err, "failed to find where %s is loaded", exe);
	case GO_STAGE_MODULE:
		return fail(why, err, "the Go tables of %s are damaged: no module data", exe);
	case GO_STAGE_VARIABLES: return fail_variables(p, err, why);
	case GO_STAGE_RUNTIME:
		return fail(why, err,
			    "the runtime of %s (%s) does not look as that version's should", exe,
			    version);
	case GO_STAGE_START: return fail(why, err, "%s is still being started", exe);
	default: return fail(why, err, "failed to read %s: %s", exe, strerror(-err));
	}
}

/* Opens the image that the process has now. */
static int open_image(struct go_program *p, char why[GO_WHY_LEN])
{
	char sentence[PROC_TASK_WHY];
	int err = proc_task__check(p->pid, sentence);

	if (err)
		return fail(why, err == -EOPNOTSUPP ? -ENOTSUP : err, "%s", sentence);
	procmem__close(p->mem);
	p->mem = NULL;
	util__close_fd(&p->exe_fd);
	p->exe_fd = -1;
	err = procmem__open(p->pid, &p->mem);
	if (err)
		return fail(why, err, "failed to read the memory of process %d: %s%s", p->pid,
			    strerror(-err),
			    err == -EACCES ? " (run as root, or with CAP_SYS_PTRACE)" : "");
	read_names(p);
	p->exe_fd = proc_image__open(p->pid);
	if (p->exe_fd < 0)
		return fail(why, p->exe_fd, "failed to read %s: %s", p->exe, strerror(-p->exe_fd));
	/* what was opened by its number is of that image only if it still is the process's */
	if (!procmem__alive(p->mem))
		return fail(why, -ESRCH, "process %d has ended", p->pid);
	return 0;
}

static int try_open(struct go_program *p, char why[GO_WHY_LEN])
{
	struct stat st;
	int err = open_image(p, why);

	if (err)
		return err;
	if (!known(p->exe_fd, &st))
		return fail(why, -ENOENT, "%s is not a Go program", p->exe);
	err = ask_to_open(p);
	if (!err || (p->client.h && err == -ENOENT && p->facts.stage <= GO_STAGE_TABLES))
		remember(&st, !err);
	if (!procmem__alive(p->mem)) /* its mappings were opened since */
		err = -ESRCH;
	return err ? explain(p, err, why) : 0;
}

static int open_program(int pid, bool wait, struct go_program **ret, char why[GO_WHY_LEN])
{
	struct go_program *p = calloc(1, sizeof(*p));
	uint64_t start = util__now_ns();
	char sentence[PROC_TASK_WHY];
	int err;

	why[0] = 0;
	if (!p)
		return -ENOMEM;
	p->pid = pid;
	p->exe_fd = -1;
	p->whose = box__target(pid);
	for (;;) {
		err = try_open(p, why);
		if (!wait || (err != -EAGAIN && err != -EBADMSG &&
			      (err != -ESRCH || proc_task__check(pid, sentence))))
			break;
		if (util__now_ns() - start > (err == -EAGAIN ? START_NS : RELOCATE_NS))
			break;
		nanosleep(&(struct timespec){.tv_nsec = START_POLL_NS}, NULL);
	}
	if (err)
		go_program__close(p);
	else
		*ret = p;
	return err;
}

int go_program__open(int pid, struct go_program **ret, char why[GO_WHY_LEN])
{
	return open_program(pid, false, ret, why);
}

int go_program__open_started(int pid, struct go_program **ret, char why[GO_WHY_LEN])
{
	return open_program(pid, true, ret, why);
}

void go_program__close(struct go_program *p)
{
	if (!p)
		return;
	unlink_reader(p);
	go_client__close(&p->client);
	procmem__close(p->mem);
	util__close_fd(&p->exe_fd);
	free(p);
}

const struct go_facts *go_program__facts(const struct go_program *p)
{
	return &p->facts;
}

int go_program__pid(const struct go_program *p)
{
	return p->pid;
}

const char *go_program__exe(const struct go_program *p)
{
	return p->exe;
}

int go_program__exe_fd(const struct go_program *p)
{
	return p->exe_fd;
}

const char *go_program__comm(const struct go_program *p)
{
	return p->comm;
}

bool go_program__alive(const struct go_program *p)
{
	return procmem__alive(p->mem);
}

uint64_t go_program__cpu_ns(const struct go_program *p)
{
	return go_client__cpu_ns(&p->client);
}

/* --- single words --- */

static int word(const struct go_program *p, uint64_t base, uint32_t off, void *ret, size_t size)
{
	return base && off != GO_LAYOUT_NONE ? procmem__read(p->mem, base + off, ret, size)
					     : -ENOENT;
}

int go_program__collections(const struct go_program *p, uint32_t *ret)
{
	return word(p, p->facts.sym.memstats, p->facts.layout.ms.numgc, ret, sizeof(*ret));
}

int go_program__cycle(const struct go_program *p, uint32_t *ret)
{
	return word(p, p->facts.sym.mprof_cycle, 0, ret, sizeof(*ret));
}

int go_program__init_time(const struct go_program *p, uint64_t *ret)
{
	return word(p, p->facts.sym.runtime_init_time, 0, ret, sizeof(*ret));
}

int go_program__rate(const struct go_program *p, uint64_t *ret)
{
	return word(p, p->facts.sym.mem_profile_rate, 0, ret, sizeof(*ret));
}

bool go_program__profiling_off(const struct go_program *p)
{
	uint64_t rate;

	return !go_program__rate(p, &rate) && !rate;
}

/* Opens the memory for writing, which helpers are not to have: it must be that of the image whose
 * facts are known, and exec leads anywhere. */
static int open_writable(const struct go_program *p, struct procmem **ret)
{
	struct procmem *mem;
	struct stat now, then;
	int err = procmem__open_writable(p->pid, &mem);
	cleanup_fd int exe = err ? -1 : proc_image__open(p->pid);

	if (err)
		return err;
	/* in this order: what was opened still lives, so the executable is its */
	if (exe < 0 || safeopen__fstat(exe, &now) || safeopen__fstat(p->exe_fd, &then) ||
	    now.st_dev != then.st_dev || now.st_ino != then.st_ino || !procmem__alive(p->mem) ||
	    !procmem__alive(mem)) {
		procmem__close(mem);
		return -ESRCH;
	}
	*ret = mem;
	return 0;
}

int go_program__set_rate(struct go_program *p, uint64_t rate)
{
	struct procmem *mem;
	int err = open_writable(p, &mem);

	if (err)
		return err;
	err = procmem__write(mem, p->facts.sym.mem_profile_rate, &rate, sizeof(rate));
	procmem__close(mem);
	return err;
}

/* --- readings --- */

static int explain_heap(const struct go_program *p, int err, const struct go_heap_facts *f,
			char why[GO_WHY_LEN])
{
	if (err == -EBADMSG)
		return fail(
			why, err,
			"the heap profile records of process %d are damaged (%u met): not shown",
			p->pid, f->damaged);
	if (err == -EAGAIN)
		return fail(why, err,
			    "process %d published its heap profile during each of %u readings",
			    p->pid, f->tries);
	if (err == -EDQUOT)
		return fail(why, err,
			    "the processor time for reading process %d is used up for now", p->pid);
	if (!p->client.h && err != -EINTR)
		return fail(why, err, "the memory of process %d broke its reader", p->pid);
	return fail(why, err, "failed to read the heap profile of process %d: %s", p->pid,
		    strerror(-err));
}

int go_program__heap(struct go_program *p, struct go_reading *ret, char why[GO_WHY_LEN])
{
	cleanup_fd int maps = p->facts.cgo ? procmap__open_file(p->pid) : -1;
	int err = ready(p);

	memset(ret, 0, sizeof(*ret));
	why[0] = 0;
	if (!err)
		err = go_client__heap(&p->client, maps, &ret->facts, &ret->samples);
	done(p, err);
	ret->unix_ms = util__wall_ms();
	return err ? explain_heap(p, err, &ret->facts, why) : 0;
}

void go_reading__free(struct go_reading *r)
{
	free(r->samples.data);
	memset(r, 0, sizeof(*r));
}

int go_program__add(const struct go_program *p, const struct go_reading *r, struct profile *to,
		    const struct profile_label *labels, uint32_t nlabels)
{
	const char *version = p->facts.version;
	char note[256];
	int err =
		nlabels > GO_HEAP_MAX_LABELS
			? -E2BIG
			: profile_packed__add(r->samples.data, r->samples.len, to, labels, nlabels);

	if (err)
		return err;
	if (!r->facts.rate)
		snprintf(
			note, sizeof(note),
			"%s: heap profiling %s; memwatch go --go-enable-memprofile switches it on, "
			"memwatch -p PID --faults samples what is touched",
			version,
			p->facts.profiling_off_by_linker ? "was disabled by the linker" : "is off");
	else
		snprintf(note, sizeof(note), "%s: the runtime's own heap profile, %s", version,
			 r->facts.before_gc ? "before the first GC"
					    : "as of the last completed GC cycle");
	return profile__comment(to, note);
}

/* What every profile of this process carries: pid, comm, cmdline, time. */
static int describe(const struct go_program *p, int64_t unix_ms, struct profile *to)
{
	struct profile_adder a = {to, 0};

	to->comm = profile__add_string(&a, p->comm);
	to->cmdline = profile__add_string(&a, p->cmdline);
	to->pid = (uint32_t)p->pid;
	to->time_ns = unix_ms * 1000000;
	return a.err;
}

int go_program__profile(const struct go_program *p, const struct go_reading *r,
			struct profile **ret)
{
	struct profile *to = NULL;
	int err = profile__new(&to);

	if (!err)
		err = profile__set_heap_types(to, r->facts.rate);
	if (!err)
		err = describe(p, r->unix_ms, to);
	if (!err)
		err = go_program__add(p, r, to, NULL, 0);
	if (err) {
		profile__free(to);
		return err;
	}
	to->sample_bytes = r->facts.rate;
	*ret = to;
	return 0;
}

int go_program__memstats(struct go_program *p, struct go_memstats *ret,
			 struct go_goroutines_count *count)
{
	struct go_numbers n;
	int err = ready(p);

	if (!err)
		err = go_client__memstats(&p->client, count != NULL, &n);
	done(p, err);
	if (err)
		return err;
	*ret = n.memstats;
	go_memstats__add_kernel(p->pid, ret);
	if (count && n.have_goroutines)
		*count = n.goroutines;
	return 0;
}

int go_program__goroutines(struct go_program *p, struct profile **ret,
			   struct go_goroutines_count *ret_count)
{
	struct go_samples s = {0};
	struct profile *to = NULL;
	int err = ready(p);

	memset(ret_count, 0, sizeof(*ret_count));
	if (!err)
		err = go_client__goroutines(&p->client, ret_count, &s);
	done(p, err);
	if (!err)
		err = profile__new(&to);
	if (!err)
		err = go_goroutines__set_types(to);
	if (!err)
		err = describe(p, util__wall_ms(), to);
	if (!err)
		err = profile_packed__add(s.data, s.len, to, NULL, 0);
	free(s.data);
	if (err) {
		profile__free(to);
		return err;
	}
	*ret = to;
	return 0;
}
