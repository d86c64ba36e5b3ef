/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/unwind_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "core/allowance.h"
#include "core/log.h"
#include "core/util.h"
#include "elf/unwind_box.h"
#include "probe/bpfobj_priv.h"
#include "probe/hotspot.h"
#include "probe/stack_walk.h"
#include "probe/unwind_cache.h"
#include "probe/unwind_store.h"
#include "probe/vma_iter.h"
#include "sys/procmap.h"
#include "sys/digest.h"
#include "sys/proc_task.h"
#include "sys/safeopen.h"

#define QUEUE 1024
#define TICK_SECONDS 2		     /* files used in this tick or the last are not evicted */
#define WORTH_CACHING 250	     /* rows; smaller tables are built faster than read */
#define MAX_CACHED_FILE (128u << 20) /* reading more takes as long as building */
#define MAX_HOPELESS 16
#define HOPELESS_NS 1000000000ull
#define WALK_WINDOWS_BYTES (1u << 20) /* of generated code, while one stack is walked */
#define WALK_WAIT_NS 3000000000ull    /* for a table: a browser's takes a second */
#define WAITS_SHARE 0.05	      /* of the time, where patience is limited */
#define FLUSH_NS 100000000ull	      /* tables that are there do not wait longer for others */
#define JOB_NS 1000000000ull	      /* on one process, while others wait for their tables */

/* A process to look at; key set: on behalf of the unwinder. */
struct table_job {
	pid_t pid;
	bool wanted;
	struct mw_unwind_key key;
};

/* Files that could not be had: they are not asked for again and again. */
struct hopeless {
	struct {
		pid_t pid;
		struct mw_unwind_key key;
		uint64_t until_ns;
	} file[MAX_HOPELESS];
	uint32_t n;
};

struct unwind_maps {
	struct bpfobj *o;
	struct unwind_cache *cache;
	int wanted_fd;

	pthread_mutex_t build_lock; /* who builds tables; comes before: */
	pthread_mutex_t lock;	    /* of all that follows but the queue; nobody waits with it */
	struct unwind_store store;
	struct vma_lists seen;	/* processes at the last looks */
	struct hopeless denied; /* could not be opened, or were not what was mapped */

	struct copied_stacks copied;
	struct hopeless hopeless; /* stopped a walk; of the one who finishes walks */
	uint64_t patience_ns;	  /* 0: no matter */
	struct allowance waits;	  /* of whoever finishes walks */

	pthread_mutex_t queue_lock;
	pthread_cond_t queue_cond, idle_cond;
	struct table_job queue[QUEUE];
	uint32_t queue_head, queue_cnt;
	uint64_t jobs_in, jobs_done;
	bool busy, quit, thread_runs;
	pthread_t thread;
};

/* What a network's server says of a file it may say otherwise the next time. */
static bool is_remote(int fd)
{
	static const uint32_t magic[] = {0x6969,     0xfe534d42, 0xff534d42, 0x517b,	0x01021997,
					 0x00c36400, 0x5346414f, 0x6b414653, 0x65735546};
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(magic); i++) {
		if ((uint32_t)fs.f_type == magic[i])
			return true;
	}
	return false;
}

static bool has_changed(int fd, const struct stat *was)
{
	struct stat st;

	return fstat(fd, &st) || st.st_size != was->st_size ||
	       st.st_ctim.tv_sec != was->st_ctim.tv_sec ||
	       st.st_ctim.tv_nsec != was->st_ctim.tv_nsec;
}

/*
 * The table of the file behind fd, from the disk cache if it is worth it. It is read twice, for its
 * digest and for the table, so that only files are kept that nobody has changed in between: others
 * than root and this process's user may not write them, and the kernel knows of every change.
 */
static int table_of(const struct unwind_maps *m, int fd, const struct box_target *whose,
		    struct unwind_table **ret, bool *ret_cached)
{
	bool keep = m->cache && !box__foreign(fd) && !is_remote(fd);
	struct unwind_request *r = NULL;
	char digest[DIGEST_HEX];
	struct stat st;
	int err;

	keep = keep && !fstat(fd, &st);
	keep = keep && !digest__file(fd, MAX_CACHED_FILE, digest);
	*ret_cached = keep && !unwind_cache__load(m->cache, digest, ret);
	if (*ret_cached)
		return 0;
	err = unwind_request__new(fd, whose, &r);
	if (!err)
		err = unwind_request__finish(r, ret);
	if (err)
		return err;
	if (keep && (*ret)->stats.rows >= WORTH_CACHING && !has_changed(fd, &st))
		unwind_cache__store(m->cache, digest, *ret);
	return 0;
}

/* A file has no table: because it says nothing, or because it was not worth the time. */
static void say_why(const char *name, int err)
{
	if (err == -ETIMEDOUT || err == -EDQUOT || err == -EFAULT || err == -ENOMEM)
		log_warn_of_many("the unwind information of '%s' %s; continuing without", name,
				 err == -EFAULT	  ? "broke its reader"
				 : err == -ENOMEM ? "did not fit into memory"
						  : "took too long to read");
	else
		log_debug("no unwind table for '%s': %s", name, strerror(-err));
}

/* A table that was built of a file, or why there is none. */
struct built {
	struct unwind_table *t;
	int err;
	bool cached;
};

/* Publishes it. */
static int publish_built(struct unwind_maps *m, struct built *b, const struct box_target *whose,
			 const char *name, const struct mw_unwind_key *key)
{
	struct unwind_table *t = b->t;
	uint64_t paid_by = 0;
	bool refused = false;
	int err = b->err;

	if (t) {
		if (b->cached)
			m->store.st.cached++;
		else
			m->store.st.built++;
		m->store.st.bad_records += t->stats.bad_records;
		m->store.st.unsupported += t->stats.unsupported;
		m->store.st.truncated += t->stats.truncated;
		if (unwind_store__make_room(&m->store, unwind_store__table_bytes(t))) {
			m->store.st.refused++;
			refused = true;
			unwind_table__free(t);
			t = NULL;
		}
	} else {
		refused = err == -EDQUOT || err == -EINTR; /* not for the next who maps it */
		paid_by = refused && whose ? whose->id : 0;
		m->store.st.failed += err != -ENODATA && err != -ENOEXEC;
		say_why(name, err);
	}
	if (!t && m->store.n_files >= MAX_FILES)
		err = unwind_store__make_room(&m->store, 0);
	else
		err = 0;
	if (!err)
		err = unwind_store__publish(&m->store, key, t, refused);
	if (!err)
		m->store.pending[m->store.n_pending - 1].f->paid_by = paid_by;
	unwind_table__free(t);
	return err;
}

/* Builds and publishes the table of the file behind fd. */
static int load_fd(struct unwind_maps *m, int fd, const struct box_target *whose, const char *name,
		   const struct mw_unwind_key *key)
{
	uint64_t start = util__now_ns();
	struct built b = {.t = NULL};
	int err;

	b.err = table_of(m, fd, whose, &b.t, &b.cached);
	pthread_mutex_lock(&m->lock);
	err = publish_built(m, &b, whose, name, key);
	m->store.st.build_ns += util__now_ns() - start;
	pthread_mutex_unlock(&m->lock);
	return err;
}

/* Where map_files is not permitted. */
static int open_otherwise(const struct mw_unwind_vma *v, pid_t pid)
{
	const struct procmap_entry *e;
	struct procmap *maps;
	int fd = procmap__read(pid, &maps);

	if (fd)
		return fd;
	e = procmap__find(maps, v->start);
	fd = e ? procmap__open(maps, e) : -ENOENT;
	procmap__free(maps);
	return fd;
}

/*
 * What is mapped there by now may be another file: what is published under the key, for all
 * processes, is of the file that has it.
 */
static int load_vma(struct unwind_maps *m, const struct mw_unwind_vma *v, pid_t pid,
		    const struct box_target *whose)
{
	cleanup_fd int fd = -1;
	char path[96];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", proc_task__shows(pid),
		 v->start, v->end);
	fd = safeopen__file(path, NULL);
	if (fd == -EPERM || fd == -EACCES)
		fd = open_otherwise(v, pid);
	err = fd < 0 ? fd : vma_iter__check(m->o, fd, &v->key);
	return err ? err : load_fd(m, fd, whose, path, &v->key);
}

static int find_hopeless(const struct hopeless *h, pid_t pid, const struct mw_unwind_key *key)
{
	for (int i = 0; i < MAX_HOPELESS; i++) {
		if (h->file[i].until_ns && h->file[i].pid == pid &&
		    !memcmp(&h->file[i].key, key, sizeof(*key)))
			return i;
	}
	return -1;
}

/* In place of the oldest. */
static void note_hopeless(struct hopeless *h, pid_t pid, const struct mw_unwind_key *key)
{
	int i = find_hopeless(h, pid, key);

	if (i < 0)
		i = (int)(h->n++ % MAX_HOPELESS);
	h->file[i].pid = pid;
	h->file[i].key = *key;
	h->file[i].until_ns = util__now_ns() + HOPELESS_NS;
}

/* The kernel's part does not ask for the file again for a moment. */
static void deny(struct unwind_maps *m, pid_t pid, const struct mw_unwind_key *key)
{
	struct hopeless *h = &m->denied;
	uint32_t next = h->n % MAX_HOPELESS;

	if (find_hopeless(h, pid, key) < 0 && h->file[next].until_ns)
		bpf_map_delete_elem(m->wanted_fd, &h->file[next].key);
	note_hopeless(h, pid, key);
}

/* It may ask for files again that could not be had some time ago. */
static void ask_again(struct unwind_maps *m)
{
	uint64_t now = util__now_ns();

	pthread_mutex_lock(&m->lock);
	for (int i = 0; i < MAX_HOPELESS; i++) {
		if (!m->denied.file[i].until_ns || m->denied.file[i].until_ns > now)
			continue;
		m->denied.file[i].until_ns = 0;
		bpf_map_delete_elem(m->wanted_fd, &m->denied.file[i].key);
	}
	pthread_mutex_unlock(&m->lock);
}

/* It has an answer, or is to ask again; not at once where nothing more is read for the process. */
static void answer_wish(struct unwind_maps *m, const struct table_job *job)
{
	const struct box_target whose = box__target(job->pid);

	pthread_mutex_lock(&m->lock);
	if (!unwind_store__find(&m->store, &job->key) && box__has_spent(&whose))
		deny(m, job->pid, &job->key);
	if (find_hopeless(&m->denied, job->pid, &job->key) < 0)
		bpf_map_delete_elem(m->wanted_fd, &job->key);
	pthread_mutex_unlock(&m->lock);
}

static bool is_pending(const struct unwind_maps *m, const struct mw_unwind_key *key)
{
	for (uint32_t i = 0; i < m->store.n_pending; i++) {
		if (!memcmp(&m->store.pending[i].f->key, key, sizeof(*key)))
			return true;
	}
	return false;
}

/* Publishes the table of what is mapped at v. */
static int publish_code(struct unwind_maps *m, const struct mw_unwind_vma *v, pid_t pid,
			const struct unwind_table *t)
{
	struct table_file *f = unwind_store__find(&m->store, &v->key);
	int err;

	if (f)
		unwind_store__drop(&m->store, f);
	err = unwind_store__make_room(&m->store, unwind_store__table_bytes(t));
	if (!err)
		err = unwind_store__publish(&m->store, &v->key, t, false);
	if (err)
		return err;
	m->store.pending[m->store.n_pending - 1].f->owner = pid;
	return unwind_store__flush(&m->store);
}

int unwind_maps__add_code(struct unwind_maps *m, pid_t pid, uint64_t start, int fd,
			  const struct unwind_table *t)
{
	cleanup_free struct mw_unwind_vma *vmas = NULL;
	int err = -ENOENT;
	ssize_t n;

	pthread_mutex_lock(&m->lock);
	n = vma_iter__read(m->o, pid, &vmas);
	for (ssize_t i = 0; i < n && err == -ENOENT; i++) {
		if (vmas[i].start != start || vmas[i].kind != MW_UNWIND_VMA_FILE)
			continue;
		err = vma_iter__check(m->o, fd, &vmas[i].key);
		if (!err)
			err = publish_code(m, &vmas[i], pid, t);
	}
	pthread_mutex_unlock(&m->lock);
	return n < 0 ? (int)n : err;
}

void unwind_maps__forget_code(struct unwind_maps *m, pid_t pid)
{
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < BUCKETS && m->store.n_owned; i++) {
		for (struct table_file *f = m->store.buckets[i], *next; f; f = next) {
			next = f->next;
			if (f->owner == pid)
				unwind_store__drop(&m->store, f);
		}
	}
	pthread_mutex_unlock(&m->lock);
}

/* In the list, too, the mapping is its file's. */
static void note_moved(struct mw_unwind_vma *vmas, size_t n, uint64_t start,
		       const struct mw_unwind_moved *moved)
{
	for (size_t i = 0; i < n; i++) {
		if (vmas[i].start != start || vmas[i].kind != MW_UNWIND_VMA_ANON)
			continue;
		vmas[i].kind = MW_UNWIND_VMA_FILE;
		vmas[i].key = moved->key;
		vmas[i].off = moved->off;
	}
}

/* Tells the unwinder of text that the process moved to anonymous memory. */
static void find_moved(struct unwind_maps *m, const struct procmap *maps,
		       struct mw_unwind_vma *vmas, size_t n)
{
	for (size_t i = 0; i < maps->n; i++) {
		const struct procmap_entry *e = &maps->entries[i], *file;
		struct mw_unwind_moved_key key = {.start = e->start, .pid = maps->pid};
		struct mw_unwind_moved moved = {.end = e->end};
		uint64_t off;

		file = procmap__moved_text(maps, e, &off);
		for (size_t k = 0; file && k < n; k++) {
			if (vmas[k].start != file->start)
				continue;
			moved.off = off;
			moved.key = vmas[k].key;
			bpf_map_update_elem(bpf_map__fd(m->o->skel->maps.unwind_moved), &key,
					    &moved, BPF_ANY);
			note_moved(vmas, n, e->start, &moved);
		}
	}
}

/* Tells the unwinder of a HotSpot's generated code. It is mapped bit by bit, so the machine has set
 * its heaps up before the last of these looks. */
static void find_jvm(struct unwind_maps *m, const struct procmap *maps)
{
	int fd = bpf_map__fd(m->o->skel->maps.unwind_jvms), err;
	__u32 key = maps->pid;
	struct mw_jvm jvm;

	err = hotspot__read(maps, &jvm);
	if (err)
		bpf_map_delete_elem(fd, &key);
	else
		bpf_map_update_elem(fd, &key, &jvm, BPF_ANY);
	if (err == -EOPNOTSUPP)
		log_debug("PID %d: a Java virtual machine whose tables are not known", maps->pid);
}

/* What no file's table tells of the code of the process. */
static void find_code(struct unwind_maps *m, pid_t pid, struct mw_unwind_vma *vmas, size_t n)
{
	struct procmap *maps;

	if (procmap__read(pid, &maps))
		return;
	find_moved(m, maps, vmas, n);
	find_jvm(m, maps);
	procmap__free(maps);
}

/* Is what is known of a file no last word for this process? */
static bool may_try(const struct table_file *f, const struct box_target *whose)
{
	return f->refused && (!f->paid_by || f->paid_by != whose->id);
}

/* Is there something to be loaded for this mapping? What is known and no last word is forgotten. */
static bool is_to_load(struct unwind_maps *m, const struct mw_unwind_vma *v,
		       const struct box_target *whose, bool *spent)
{
	struct table_file *f = unwind_store__find(&m->store, &v->key);

	if (v->kind != MW_UNWIND_VMA_FILE || (f && !may_try(f, whose)) || is_pending(m, &v->key))
		return false;
	*spent = *spent || box__has_spent(whose);
	if (*spent) /* nor is room taken for saying so: there may be more than there is of it */
		return false;
	if (f)
		unwind_store__drop(&m->store, f);
	return true;
}

/* m->lock is held, and let go of while files are opened and read. */
static void load_if_new(struct unwind_maps *m, const struct mw_unwind_vma *v, pid_t pid,
			const struct box_target *whose, bool *spent)
{
	int err;

	if (!is_to_load(m, v, whose, spent))
		return;
	pthread_mutex_unlock(&m->lock);
	err = load_vma(m, v, pid, whose);
	pthread_mutex_lock(&m->lock);
	if (err && err != -ENOENT && err != -ESRCH)
		deny(m, pid, &v->key);
	if (err)
		log_debug("failed to load the unwind table of %llx-%llx in %d: %s", v->start,
			  v->end, pid, strerror(-err));
}

/* Loads what the process maps and is not known yet. -EAGAIN: not all, until then. */
static int scan_process(struct unwind_maps *m, pid_t pid, uint64_t until_ns)
{
	const struct box_target whose = box__target(pid);
	cleanup_free struct mw_unwind_vma *vmas = NULL;
	uint64_t flushed_ns = util__now_ns();
	bool spent = false;
	ssize_t n, i;
	int err = 0;

	pthread_mutex_lock(&m->build_lock);
	pthread_mutex_lock(&m->lock);
	n = vma_iter__read(m->o, pid, &vmas);
	for (i = 0; i < n && (!i || util__now_ns() < until_ns); i++) {
		load_if_new(m, &vmas[i], pid, &whose, &spent);
		if (util__now_ns() - flushed_ns < FLUSH_NS)
			continue;
		unwind_store__flush(&m->store);
		flushed_ns = util__now_ns();
	}
	if (n > 0) {
		err = unwind_store__flush(&m->store);
		if (!err && i < n)
			err = -EAGAIN;
		find_code(m, pid, vmas, n);
		vma_lists__add(&m->seen, pid, take_ptr(vmas), n);
	}
	pthread_mutex_unlock(&m->lock);
	pthread_mutex_unlock(&m->build_lock);
	return n < 0 ? (int)n : n ? err : -ESRCH;
}

/* The vDSO is the same image in every process: this one's stands for all. */
static int load_vdso(struct unwind_maps *m)
{
	static const struct mw_unwind_key key;
	const Elf64_Ehdr *eh = (const void *)getauxval(AT_SYSINFO_EHDR);
	cleanup_fd int fd = -1;
	int err;

	if (!eh) /* nobody else is here yet */
		return unwind_store__publish(&m->store, &key, NULL, false);
	fd = memfd_create("vdso", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = util__write_all(fd, eh, eh->e_shoff + (size_t)eh->e_shnum * eh->e_shentsize);
	return err ? err : load_fd(m, fd, NULL, "[vdso]", &key);
}

static int enqueue(struct unwind_maps *m, const struct table_job *job)
{
	int err = 0;

	pthread_mutex_lock(&m->queue_lock);
	if (m->queue_cnt == QUEUE) {
		err = -EAGAIN;
	} else {
		m->queue[(m->queue_head + m->queue_cnt++) % QUEUE] = *job;
		m->jobs_in++;
		pthread_cond_signal(&m->queue_cond);
	}
	pthread_mutex_unlock(&m->queue_lock);
	return err;
}

/* Who takes long takes turns with the others. */
static void do_job(struct unwind_maps *m, const struct table_job *job)
{
	int err = -EAGAIN;

	while (err == -EAGAIN) {
		err = scan_process(m, job->pid, util__now_ns() + JOB_NS);
		if (err == -EAGAIN && !enqueue(m, job))
			return;
	}
	if (job->wanted)
		answer_wish(m, job);
}

static void *work(void *arg)
{
	struct unwind_maps *m = arg;

	pthread_mutex_lock(&m->queue_lock);
	while (!m->quit) {
		struct table_job job;

		pthread_mutex_unlock(&m->queue_lock);
		ask_again(m);
		pthread_mutex_lock(&m->queue_lock);
		if (m->quit)
			break;
		if (!m->queue_cnt) {
			struct timespec until;

			m->busy = false;
			pthread_cond_broadcast(&m->idle_cond);
			clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_sec += TICK_SECONDS;
			if (pthread_cond_timedwait(&m->queue_cond, &m->queue_lock, &until) ==
			    ETIMEDOUT)
				m->o->skel->data->unwind_tick++;
			continue;
		}
		job = m->queue[m->queue_head];
		m->queue_head = (m->queue_head + 1) % QUEUE;
		m->queue_cnt--;
		m->busy = true;
		pthread_mutex_unlock(&m->queue_lock);
		do_job(m, &job);
		pthread_mutex_lock(&m->queue_lock);
		m->jobs_done++;
		pthread_cond_broadcast(&m->idle_cond);
	}
	pthread_mutex_unlock(&m->queue_lock);
	return NULL;
}

/* Until what was asked for before now has been done, but no longer than that. */
static void wait_for_jobs(struct unwind_maps *m, uint64_t wait_ns)
{
	struct timespec until;
	uint64_t upto;

	clock_gettime(CLOCK_MONOTONIC, &until);
	wait_ns += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(wait_ns / 1000000000);
	until.tv_nsec = (long)(wait_ns % 1000000000);
	pthread_mutex_lock(&m->queue_lock);
	upto = m->jobs_in;
	while (m->jobs_done < upto &&
	       pthread_cond_timedwait(&m->idle_cond, &m->queue_lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&m->queue_lock);
}

int unwind_maps__add_process(struct unwind_maps *m, pid_t pid, uint64_t wait_ns)
{
	struct table_job job = {.pid = pid};
	int err;

	if (wait_ns == UINT64_MAX)
		return scan_process(m, pid, UINT64_MAX);
	err = enqueue(m, &job);
	if (!err && wait_ns)
		wait_for_jobs(m, wait_ns);
	return err;
}

void unwind_maps__forget_process(struct unwind_maps *m, pid_t pid)
{
	__u32 key = pid;

	unwind_maps__forget_code(m, pid);
	bpf_map_delete_elem(bpf_map__fd(m->o->skel->maps.unwind_procs), &key);
	bpf_map_delete_elem(bpf_map__fd(m->o->skel->maps.unwind_jvms), &key);
	pthread_mutex_lock(&m->lock);
	vma_lists__forget(&m->seen, pid);
	pthread_mutex_unlock(&m->lock);
}

void unwind_maps__on_unknown_file(struct unwind_maps *m, const struct mw_ev_file *ev)
{
	struct table_job job = {.pid = ev->pid, .wanted = true, .key = {ev->dev, ev->ino, ev->gen}};

	__atomic_add_fetch(&m->store.st.wanted, 1, __ATOMIC_RELAXED);
	if (enqueue(m, &job))
		bpf_map_delete_elem(m->wanted_fd, &job.key);
}

void unwind_maps__drain(struct unwind_maps *m)
{
	pthread_mutex_lock(&m->queue_lock);
	while (m->queue_cnt || m->busy)
		pthread_cond_wait(&m->idle_cond, &m->queue_lock);
	pthread_mutex_unlock(&m->queue_lock);
}

/* --- walks that the kernel could not finish --- */

struct copied_walk {
	struct unwind_maps *m;
	pid_t pid;
	struct mw_jvm jvm;
	struct procmem *memory; /* opened when it is first asked for */
	struct procmem_cache *windows;
	bool is_jvm;
};

static int table_words(void *arg, const struct mw_unwind_key *key, const uint64_t **ret)
{
	const struct copied_walk *w = arg;
	const struct table_file *f = unwind_store__find(&w->m->store, key);

	if (!f)
		return -ENOENT;
	*ret = f->words;
	return 0;
}

static uint32_t code_words(void *arg, uint64_t pc)
{
	struct copied_walk *w = arg;

	if (!w->is_jvm || (!w->memory && procmem__open(w->pid, &w->memory)) ||
	    (!w->windows && procmem_cache__new(w->memory, WALK_WINDOWS_BYTES, &w->windows)))
		return 0;
	return hotspot__frame_words(&w->jvm, w->windows, pc);
}

static enum mw_stack_end walk(struct unwind_maps *m, const struct mw_ev_copy *ev, uint64_t *pc,
			      uint32_t *ret_n)
{
	const struct mw_unwind_key key = {ev->dev, ev->ino, ev->gen};
	uint32_t depth = m->o->plan.max_depth;
	struct copied_walk w = {.m = m, .pid = ev->st.pid};
	struct stack_walk_source src = {.stack = copied_stacks__put(&m->copied, ev),
					.table = table_words,
					.code_words = code_words,
					.arg = &w,
					.max_frames = depth ? depth : MW_MAX_FRAMES};
	enum mw_stack_end end;

	if (!src.stack) {
		memcpy(pc, ev + 1, 8 * (size_t)ev->st.n);
		*ret_n = ev->st.n;
		return MW_STACK_FAULT;
	}
	w.is_jvm = !bpf_map_lookup_elem(bpf_map__fd(m->o->skel->maps.unwind_jvms), &ev->st.pid,
					&w.jvm);
	pthread_mutex_lock(&m->lock);
	src.maps = vma_lists__find(&m->seen, ev->st.pid, ev->start, &key);
	end = stack_walk__finish(&src, ev, pc, ret_n);
	pthread_mutex_unlock(&m->lock);
	procmem_cache__free(w.windows);
	procmem__close(w.memory);
	return end;
}

static bool stopped_for_want(enum mw_stack_end end)
{
	return end == MW_STACK_NO_TABLE || end == MW_STACK_NO_MAPPING;
}

/* False: not now, others have to be waited for too. */
static bool await_table(struct unwind_maps *m, pid_t pid)
{
	uint64_t now = util__now_ns();

	if (!m->patience_ns) {
		wait_for_jobs(m, WALK_WAIT_NS);
		return true;
	}
	if (!allowance__left(&m->waits, now))
		return false;
	unwind_maps__add_process(m, pid, m->patience_ns);
	allowance__spend(&m->waits, util__now_ns() - now);
	return true;
}

enum mw_stack_end unwind_maps__finish(struct unwind_maps *m, const struct mw_ev_copy *ev,
				      uint64_t *pc, uint32_t *ret_n)
{
	const struct mw_unwind_key key = {ev->dev, ev->ino, ev->gen};
	enum mw_stack_end end = walk(m, ev, pc, ret_n);
	int i = find_hopeless(&m->hopeless, (pid_t)ev->st.pid, &key);

	if (!stopped_for_want(end) || (i >= 0 && m->hopeless.file[i].until_ns > util__now_ns()) ||
	    !await_table(m, (pid_t)ev->st.pid))
		return end;
	end = walk(m, ev, pc, ret_n);
	if (stopped_for_want(end) && !m->patience_ns &&
	    !scan_process(m, (pid_t)ev->st.pid, UINT64_MAX))
		end = walk(m, ev, pc, ret_n);
	if (stopped_for_want(end))
		note_hopeless(&m->hopeless, (pid_t)ev->st.pid, &key);
	return end;
}

void unwind_maps__stats(struct unwind_maps *m, struct unwind_maps_stats *ret)
{
	pthread_mutex_lock(&m->lock);
	*ret = m->store.st;
	pthread_mutex_unlock(&m->lock);
}

static int start_thread(struct unwind_maps *m)
{
	sigset_t all, old;
	int err;

	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_BLOCK, &all, &old);
	err = -pthread_create(&m->thread, NULL, work, m);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	m->thread_runs = !err;
	return err;
}

int unwind_maps__new(struct bpfobj *o, const struct unwind_maps_opts *opts,
		     struct unwind_maps **ret)
{
	struct unwind_maps *m = calloc(1, sizeof(*m));
	pthread_condattr_t attr;
	int err;

	if (!m)
		return -ENOMEM;
	m->o = o;
	m->wanted_fd = bpf_map__fd(o->skel->maps.unwind_wanted);
	m->patience_ns = opts->patience_ns;
	allowance__init(&m->waits, WAITS_SHARE, 2 * m->patience_ns, util__now_ns());
	pthread_mutex_init(&m->build_lock, NULL);
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->queue_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->queue_cond, &attr);
	pthread_cond_init(&m->idle_cond, &attr);
	pthread_condattr_destroy(&attr);
	err = unwind_store__init(&m->store, o, opts->budget_bytes);
	if (!err && opts->state_dir) {
		int no = unwind_cache__open(opts->state_dir, &m->cache);

		if (no)
			log_debug(
				"failed to open the cache of unwind tables: %s; continuing without",
				strerror(-no));
	}
	if (!err)
		err = load_vdso(m) ?: unwind_store__flush(&m->store);
	if (!err)
		err = start_thread(m);
	if (err)
		unwind_maps__free(m);
	else
		*ret = m;
	return err;
}

void unwind_maps__free(struct unwind_maps *m)
{
	if (!m)
		return;
	if (m->thread_runs) {
		pthread_mutex_lock(&m->queue_lock);
		m->quit = true;
		pthread_cond_signal(&m->queue_cond);
		pthread_mutex_unlock(&m->queue_lock);
		pthread_join(m->thread, NULL);
	}
	log_debug("unwind tables: %u files with %lu rows in %lu bytes, %u without; %lu built, %lu "
		  "cached, "
		  "%lu evicted, %lu refused, %lu failed, %.1f ms",
		  m->store.st.files, (unsigned long)m->store.st.rows,
		  (unsigned long)m->store.st.bytes, m->store.st.no_table,
		  (unsigned long)m->store.st.built, (unsigned long)m->store.st.cached,
		  (unsigned long)m->store.st.evicted, (unsigned long)m->store.st.refused,
		  (unsigned long)m->store.st.failed, (double)m->store.st.build_ns / 1e6);
	unwind_store__fini(&m->store);
	vma_lists__fini(&m->seen);
	copied_stacks__fini(&m->copied);
	unwind_cache__close(m->cache);
	pthread_cond_destroy(&m->queue_cond);
	pthread_cond_destroy(&m->idle_cond);
	pthread_mutex_destroy(&m->queue_lock);
	pthread_mutex_destroy(&m->lock);
	pthread_mutex_destroy(&m->build_lock);
	free(m);
}
