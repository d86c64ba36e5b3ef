/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit.c - frames of one process that are in no file: generated code (perf-PID.map, jitdump) and
 * the vDSO. This is where frames of interpreters get their names.
 *
 * The map files are the target's to write: they are opened below its root, must be regular files
 * of the target's user or root's that he may read, and are read by a helper (jitserve.h) in bounded
 * pieces as they grow. A process is one pid for us and another in its namespace; the file is called
 * after the latter.
 */
#include "elf/jitserve.h"
#include "elf/strpool.h"
#include "elf/symbolizer_priv.h"
#include "elf/symclient.h"

#include "core/hash_index.h"
#include "core/log.h"
#include "core/keyhash.h"
#include "core/util.h"
#include "sys/pidref.h"
#include "sys/proc_status.h"
#include "sys/proc_task.h"
#include "sys/procmap.h"
#include "sys/procmem.h"
#include "sys/safeopen.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define RECHECK_NS 200000000ULL /* files that grow are looked at again at most this often */
#define MAX_VDSO_BYTES (1u << 20)
#define MAX_ANSWERS (1u << 18)
#define MAX_NAME_BYTES (16u << 20)

struct answer {
	uint64_t pc;
	struct symbolizer_frame frame;
	bool known;
};

struct answers { /* that a helper gave, so that it is asked once */
	struct hash_index index;
	struct answer *a;
	size_t cap;
	struct strpool *names;
};

struct symbolizer_jit {
	struct symbolizer_jit *next; /* of the symbolizer's */
	struct symbolizer *s;
	int pid;
	uint64_t start_time; /* of the process: pids are used again */
	char *root;	     /* the directory below which it names its files; NULL: ours */
	uid_t uid;
	int ns_pid;
	struct box_target whose;
	int perf, dump; /* the files; -1: not (yet) there */
	off_t sizes[2]; /* as the helper knows them */
	uint64_t checked_ns;
	struct box_helper *h;
	bool failed; /* the files broke their reader or took too long */
	struct answers answers, vdso_answers;
	char *vdso; /* the image, NULL: none */
	size_t vdso_len;
	struct symclient vdso_client;
	bool vdso_failed;
	uint64_t vdso_start, vdso_end;
};

/* The process's owner and its pid in its own namespace, from /proc/PID/status. */
static int read_identity(struct symbolizer_jit *j)
{
	struct proc_status s;
	int err = proc_status__read(j->pid, &s);

	if (err)
		return err;
	j->uid = s.uid;
	j->ns_pid = s.ns_pid ? s.ns_pid : j->pid;
	return 0;
}

/* Opens a map file of the target if it may be trusted to be the target's. */
static int open_map(const struct symbolizer_jit *j, int rootfd, int pid)
{
	const struct safeopen_owner owner = {.uid = j->uid, .or_readable_root = true};
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", pid);
	return safeopen__below(rootfd, path, true, &owner, j->pid, NULL);
}

/* A jitdump is mapped executable by the program for exactly this: so that it can be found. */
static int open_dump(int pid)
{
	struct procmap *m = NULL;
	int fd = -ENOENT;

	if (procmap__read(pid, &m))
		return -ENOENT;
	for (size_t i = 0; i < m->n && fd < 0; i++) {
		const struct procmap_entry *e = &m->entries[i];
		const char *base = strrchr(e->path, '/');

		if ((e->prot & PROCMAP_X) && base && !strncmp(base, "/jit-", 5) &&
		    strlen(base) > 5 && !strcmp(base + strlen(base) - 5, ".dump"))
			fd = procmap__open(m, e);
	}
	procmap__free(m);
	return fd;
}

static void forget(struct answers *a)
{
	hash_index__fini(&a->index);
	free(a->a);
	strpool__free(a->names);
	memset(a, 0, sizeof(*a));
}

static size_t bytes_of(const struct answers *a)
{
	return hash_index__bytes(&a->index) + a->cap * sizeof(*a->a) +
	       (a->names ? strpool__bytes(a->names) : 0);
}

size_t symbolizer_jit__bytes(const struct symbolizer_jit *j)
{
	size_t n = 0;

	for (; j; j = j->next)
		n += sizeof(*j) + (j->vdso ? j->vdso_len : 0) + bytes_of(&j->answers) +
		     bytes_of(&j->vdso_answers);
	return n;
}

/* Copies the vDSO out of the process; it is an ELF image like any other. */
static void read_vdso(struct symbolizer_jit *j)
{
	struct procmap *m = NULL;
	cleanup_free char *image = NULL;
	struct procmem *mem = NULL;
	uint64_t start = 0, end = 0;
	size_t len;

	if (procmap__read(j->pid, &m))
		return;
	for (size_t i = 0; i < m->n; i++) {
		if (m->entries[i].kind == PROCMAP_VDSO) {
			start = m->entries[i].start;
			end = m->entries[i].end;
		}
	}
	procmap__free(m);
	len = end - start;
	if (start == j->vdso_start || !len || len > MAX_VDSO_BYTES)
		return;
	symclient__close(&j->vdso_client); /* there was another one before exec */
	forget(&j->vdso_answers);
	free(take_ptr(j->vdso));
	j->vdso_failed = false;
	j->vdso_start = start;
	j->vdso_end = end;
	image = malloc(len);
	if (image && !procmem__open(j->pid, &mem) && !procmem__read(mem, start, image, len)) {
		j->vdso = take_ptr(image);
		j->vdso_len = len;
	}
	procmem__close(mem);
}

void symbolizer_jit__free(struct symbolizer_jit *j)
{
	struct symbolizer_jit **link;

	if (!j)
		return;
	for (link = symbolizer__jits(j->s); *link != j; link = &(*link)->next)
		;
	*link = j->next;
	util__close_fd(&j->perf);
	util__close_fd(&j->dump);
	free(j->root);
	free(j->vdso);
	box_helper__free(j->h);
	symclient__close(&j->vdso_client);
	forget(&j->answers);
	forget(&j->vdso_answers);
	free(j);
}

/* The descriptor, if what was opened by the process's number is its own. */
static int if_its_own(const struct pidref *ref, int fd)
{
	if (pidref__is_there(ref))
		return fd;
	util__close_fd(&fd);
	return -ESRCH;
}

/* Opens the files that were not there yet, while it is still the same process. */
static void open_files(struct symbolizer_jit *j)
{
	struct pidref ref;

	if ((j->perf >= 0 && j->dump >= 0) || pidref__open(j->pid, j->start_time, &ref))
		return;
	if (j->root) {
		cleanup_fd int fd =
			if_its_own(&ref, open(j->root, O_PATH | O_DIRECTORY | O_CLOEXEC));

		if (j->perf < 0 && fd >= 0)
			j->perf = open_map(j, fd, j->ns_pid);
	} else if (j->perf < 0) {
		j->perf = open_map(j, -1, j->ns_pid);
	}
	if (j->perf < 0) /* written from outside, under the pid that we see */
		j->perf = open_map(j, -1, j->pid);
	if (j->dump < 0)
		j->dump = if_its_own(&ref, open_dump(j->pid));
	pidref__close(&ref);
}

int symbolizer__jit(struct symbolizer *s, int pid, const char *root, struct symbolizer_jit **ret)
{
	struct symbolizer_jit **all = symbolizer__jits(s), *j;
	uint64_t started = proc_task__start_ns(pid);
	int err;

	for (j = *all; j; j = j->next) {
		if (j->pid == pid && (!started || j->start_time == started)) {
			if (started)
				read_vdso(j);
			*ret = j;
			return 0;
		}
	}
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->s = s;
	j->pid = pid;
	j->start_time = started;
	j->perf = j->dump = -1;
	j->whose = box__target(pid);
	err = started ? read_identity(j) : -ESRCH;
	if (!err && root && !(j->root = strdup(root)))
		err = -ENOMEM;
	if (err) {
		free(j);
		return err;
	}
	read_vdso(j);
	open_files(j);
	j->next = *all;
	*all = *ret = j;
	return 0;
}

static void lost(struct symbolizer_jit *j, int err)
{
	box_helper__free(j->h);
	j->h = NULL;
	if (err == -EINTR)
		return;
	j->failed = true;
	log_warn_of_many("names of generated code of process %d %s; continuing without", j->pid,
			 err == -EFAULT ? "broke their reader" : "took too long to read");
}

static int hand_over(struct symbolizer_jit *j)
{
	int fds[2], n = 0, err;
	uint32_t which = 0;
	struct box_answer a;

	if (j->perf >= 0) {
		which |= JIT_PERF;
		fds[n++] = j->perf;
	}
	if (j->dump >= 0) {
		which |= JIT_DUMP;
		fds[n++] = j->dump;
	}
	err = box_helper__new(BOX_JIT, fds[0], &j->whose, &j->h);
	return err ? err : box_helper__ask(j->h, JIT_FILES, &which, sizeof(which), fds, n, &a);
}

static off_t size_of(int fd)
{
	struct stat st;

	return fd >= 0 && !safeopen__fstat(fd, &st) ? st.st_size : -1;
}

/* The helper knows what the files hold now. */
static void refresh(struct symbolizer_jit *j)
{
	uint64_t now = util__now_ns();
	bool had[2] = {j->perf >= 0, j->dump >= 0};
	off_t sizes[2];
	int err = 0;

	if (j->failed || (j->checked_ns && now - j->checked_ns < RECHECK_NS))
		return;
	j->checked_ns = now;
	open_files(j);
	if (j->perf < 0 && j->dump < 0)
		return;
	sizes[0] = size_of(j->perf);
	sizes[1] = size_of(j->dump);
	if (had[0] != (j->perf >= 0) || had[1] != (j->dump >= 0)) { /* one more than before */
		box_helper__free(j->h);
		j->h = NULL;
	}
	if (!j->h) {
		err = hand_over(j);
	} else if (memcmp(sizes, j->sizes, sizeof(sizes))) {
		struct box_answer a;

		err = box_helper__ask(j->h, JIT_GROWN, NULL, 0, NULL, 0, &a);
	} else {
		return;
	}
	forget(&j->answers);
	memcpy(j->sizes, sizes, sizeof(sizes));
	if (err)
		lost(j, err);
}

struct asked {
	struct strpool *names;
	struct answer *to;
};

static void on_answer(void *arg, size_t i, const struct symclient_frame *f, int n, int err)
{
	struct asked *q = arg;
	struct symbolizer_frame *out = &q->to->frame;

	if (n != 1)
		return;
	out->system_name = strpool__add(q->names, f->text[SYM_SYSTEM]);
	out->name = strpool__add(q->names, f->text[SYM_NAME]);
	if (!out->name)
		out->name = out->system_name;
	out->file = strpool__add(q->names, f->text[SYM_FILE]);
	out->line = f->line;
	q->to->known = out->name != NULL;
}

static int ask_jit(struct symbolizer_jit *j, struct answer *to)
{
	struct asked q = {j->answers.names, to};
	struct box_answer a;
	int err;

	if (!j->h)
		return 0;
	err = box_helper__ask(j->h, JIT_LOOKUP, &to->pc, sizeof(to->pc), NULL, 0, &a);
	if (!err && symclient__decode(a.data, a.len, 0, 1, on_answer, &q) != 1)
		err = -EFAULT;
	if (err)
		lost(j, err);
	return err;
}

/* The helper reads it from a file, which is there only for that: processes come and go by the
 * thousand. */
static int vdso_file(const struct symbolizer_jit *j)
{
	cleanup_fd int fd = memfd_create("memwatch-vdso", MFD_CLOEXEC);
	int err = fd < 0 ? -errno : util__write_all(fd, j->vdso, j->vdso_len);

	return err ? err : take_fd(&fd);
}

static int ask_vdso(struct symbolizer_jit *j, struct answer *to)
{
	cleanup_fd int fd = -1;
	struct symclient_file f = {-1, -1, ""};
	uint64_t off = to->pc - j->vdso_start;
	struct asked q = {j->vdso_answers.names, to};
	int err = 0;

	if (!j->vdso || j->vdso_failed)
		return 0;
	fd = vdso_file(j);
	if (fd < 0)
		return fd;
	f.fd = fd;
	if (!j->vdso_client.h)
		err = symclient__open(&j->vdso_client, &f, true);
	if (!err)
		err = symclient__load(&j->vdso_client, &f);
	if (!err)
		err = symclient__lookup(&j->vdso_client, &off, 1, on_answer, &q);
	j->vdso_failed = err && err != -EINTR;
	return err;
}

static const struct answer *remembered(struct answers *a, uint64_t pc)
{
	size_t at = HASH_INDEX_START;
	uint32_t i;

	while (hash_index__next(&a->index, keyhash__word(pc), &at, &i)) {
		if (a->a[i].pc == pc)
			return &a->a[i];
	}
	return NULL;
}

static void remember(struct answers *a, const struct answer *new)
{
	if (array_reserve(a->a, a->cap, a->index.n + 1) || hash_index__reserve(&a->index))
		return;
	a->a[a->index.n] = *new;
	hash_index__add(&a->index, keyhash__word(new->pc));
}

/* Room for one answer more; where there is none, all are asked for again. 0 or -ENOMEM. */
static int make_room(struct answers *a)
{
	if (a->index.n >= MAX_ANSWERS || (a->names && strpool__refused(a->names)))
		forget(a);
	return a->names ? 0 : strpool__new(MAX_NAME_BYTES, &a->names);
}

int symbolizer_jit__lookup(struct symbolizer_jit *j, uint64_t pc, struct symbolizer_frame *frames,
			   int max)
{
	bool in_vdso = pc >= j->vdso_start && pc < j->vdso_end;
	struct answers *all = in_vdso ? &j->vdso_answers : &j->answers;
	struct answer own = {.pc = pc};
	const struct answer *a;

	if (max < 1)
		return 0;
	if (!in_vdso)
		refresh(j);
	a = remembered(all, pc);
	if (!a && make_room(all))
		return 0;
	if (!a) {
		if (!(in_vdso ? ask_vdso(j, &own) : ask_jit(j, &own)))
			remember(all, &own);
		a = &own;
	}
	if (!a->known)
		return 0;
	frames[0] = a->frame;
	return 1;
}
