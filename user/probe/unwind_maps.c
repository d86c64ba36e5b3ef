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
#include <time.h>

#include "core/log.h"
#include "core/util.h"
#include "elf/unwind_box.h"
#include "probe/bpfobj_priv.h"
#include "probe/unwind_cache.h"
#include "sys/digest.h"
#include "sys/safeopen.h"

#define DEFAULT_BUDGET (256ull << 20)
#define BUCKETS 4096
#define QUEUE 1024
#define MAX_PENDING 64
#define TICK_SECONDS 2		     /* files used in this tick or the last are not evicted */
#define MAX_VMAS (1u << 20)	     /* of one process */
#define MAX_IDLE_READS 100000	     /* in a row, of processes that are none of ours */
#define MAX_FILES 8000		     /* below the BPF table's size */
#define WORTH_CACHING 4000	     /* rows; smaller tables are built faster than read */
#define MAX_CACHED_FILE (128u << 20) /* reading more takes as long as building */
#define FLAG_INNER_MMAPABLE (BPF_F_INNER_MAP | BPF_F_MMAPABLE)

struct table_file {
	struct mw_unwind_key key;
	struct table_file *next;
	uint32_t state; /* enum mw_unwind_file_state */
	uint32_t slot;
	uint64_t bytes, rows;
	bool refused; /* for want of memory: try again when asked */
};

/* A file on its way to the unwinder. */
struct pending_table {
	struct table_file *f; /* owned */
	struct mw_unwind_file v;
	int inner; /* its table, -1 if it has none */
};

/* A process to look at; key set: on behalf of the unwinder. */
struct table_job {
	pid_t pid;
	bool wanted;
	struct mw_unwind_key key;
};

struct unwind_maps {
	struct bpfobj *o;
	struct unwind_cache *cache;
	uint64_t budget;
	int files_fd, tables_fd, wanted_fd;

	pthread_mutex_t lock; /* of all that follows but the queue; held while tables are built */
	struct table_file *buckets[BUCKETS];
	uint32_t n_files, last_id;
	uint32_t *free_slots; /* a ring: a slot rests as long as possible before it is used again */
	uint32_t free_head, free_cnt, n_slots;
	struct pending_table pending[MAX_PENDING];
	uint32_t n_pending;
	uint64_t pending_bytes;
	struct unwind_maps_stats st;

	pthread_mutex_t queue_lock;
	pthread_cond_t queue_cond, idle_cond;
	struct table_job queue[QUEUE];
	uint32_t queue_head, queue_cnt;
	bool busy, quit, thread_runs;
	pthread_t thread;
};

static struct table_file **bucket_of(struct unwind_maps *m, const struct mw_unwind_key *key)
{
	return &m->buckets[util__hash(key, sizeof(*key)) % BUCKETS];
}

static struct table_file *find_file(struct unwind_maps *m, const struct mw_unwind_key *key)
{
	struct table_file *f = *bucket_of(m, key);

	while (f && memcmp(&f->key, key, sizeof(*key)))
		f = f->next;
	return f;
}

static void give_slot_back(struct unwind_maps *m, uint32_t slot)
{
	m->free_slots[(m->free_head + m->free_cnt++) % m->n_slots] = slot;
}

/* Takes the file out of everything. */
static void drop_file(struct unwind_maps *m, struct table_file *f)
{
	struct table_file **p = bucket_of(m, &f->key);

	bpf_map_delete_elem(m->files_fd, &f->key);
	if (f->state == MW_UNWIND_FILE_TABLE) {
		bpf_map_delete_elem(m->tables_fd, &f->slot);
		give_slot_back(m, f->slot);
		m->st.files--;
		m->st.bytes -= f->bytes;
		m->st.rows -= f->rows;
	} else {
		m->st.no_table--;
	}
	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
	m->n_files--;
	free(f);
}

/* The file unused for longest, but none that was used in this tick or the last. */
static struct table_file *eviction_victim(struct unwind_maps *m)
{
	uint32_t now = m->o->skel->data->unwind_tick, best_age = 1;
	struct table_file *best = NULL;

	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct table_file *f = m->buckets[i]; f; f = f->next) {
			struct mw_unwind_file v;

			if (f->state != MW_UNWIND_FILE_TABLE || !f->key.ino ||
			    bpf_map_lookup_elem(m->files_fd, &f->key, &v))
				continue;
			if (now - v.used > best_age) {
				best_age = now - v.used;
				best = f;
			}
		}
	}
	return best;
}

/* Makes room for a table. 0 or -ENOSPC. */
static int make_room(struct unwind_maps *m, uint64_t bytes)
{
	while (m->st.bytes + m->pending_bytes + bytes > m->budget || !m->free_cnt ||
	       m->n_files >= MAX_FILES) {
		struct table_file *f = bytes <= m->budget ? eviction_victim(m) : NULL;

		if (!f)
			return -ENOSPC;
		log_debug("unwind table of file %llx:%llu evicted", f->key.dev, f->key.ino);
		drop_file(m, f);
		m->st.evicted++;
	}
	return 0;
}

static uint64_t table_bytes(const struct unwind_table *t)
{
	return (t->n_words * 8 + 4095) & ~4095ULL; /* mappable, so whole pages */
}

/* A kernel array with the table's words. Its descriptor or a negative errno. */
static int create_inner(const struct unwind_table *t)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = FLAG_INNER_MMAPABLE);
	size_t bytes = t->n_words * 8, n_elems = (t->n_words + MW_UNWIND_ELEM - 1) / MW_UNWIND_ELEM;
	cleanup_fd int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "mw_unwind", 4, 8 * MW_UNWIND_ELEM,
					   n_elems, &opts);
	void *p;

	if (fd < 0)
		return -errno;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	memcpy(p, t->words, bytes);
	munmap(p, bytes);
	return take_fd(&fd);
}

/* Links a file that the unwinder now knows into the books. */
static void enter_file(struct unwind_maps *m, struct table_file *f)
{
	f->next = *bucket_of(m, &f->key);
	*bucket_of(m, &f->key) = f;
	m->n_files++;
	if (f->state == MW_UNWIND_FILE_TABLE) {
		m->st.files++;
		m->st.bytes += f->bytes;
		m->st.rows += f->rows;
	} else {
		m->st.no_table++;
	}
}

/*
 * Makes the pending files known to the unwinder. The kernel waits for a grace period after every
 * change of a table of maps, some milliseconds; so they are changed together.
 */
static int flush_pending(struct unwind_maps *m)
{
	uint32_t slots[MAX_PENDING], n = 0, done;
	int inner[MAX_PENDING], err = 0;

	for (uint32_t i = 0; i < m->n_pending; i++) {
		if (m->pending[i].inner < 0)
			continue;
		slots[n] = m->pending[i].v.slot;
		inner[n++] = m->pending[i].inner;
	}
	done = n;
	if (n && bpf_map_update_batch(m->tables_fd, slots, inner, &done, NULL)) {
		for (uint32_t i = 0; i < n && !err; i++) /* kernels without batches of these */
			err = bpf_map_update_elem(m->tables_fd, &slots[i], &inner[i], BPF_ANY)
				      ? -errno
				      : 0;
	}
	for (uint32_t i = 0; i < m->n_pending; i++) {
		struct pending_table *p = &m->pending[i];

		if (!err && bpf_map_update_elem(m->files_fd, &p->f->key, &p->v, BPF_ANY))
			err = -errno;
		if (p->inner >= 0)
			close(p->inner);
		if (!err) {
			enter_file(m, p->f);
			log_debug("unwind table of inode %llu: %lu rows", p->f->key.ino,
				  (unsigned long)p->f->rows);
			continue;
		}
		if (p->inner >= 0)
			give_slot_back(m, p->v.slot);
		free(p->f);
	}
	m->n_pending = 0;
	m->pending_bytes = 0;
	return err;
}

/* Prepares a file for the unwinder, effective with the next flush; t NULL: one without a table. */
static int publish(struct unwind_maps *m, const struct mw_unwind_key *key,
		   const struct unwind_table *t, bool refused)
{
	struct pending_table *p;
	struct table_file *f;
	int err;

	if (m->n_pending == MAX_PENDING) {
		err = flush_pending(m);
		if (err)
			return err;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	p = &m->pending[m->n_pending];
	*p = (struct pending_table){.f = f, .inner = -1};
	p->v.state = t ? MW_UNWIND_FILE_TABLE : MW_UNWIND_FILE_NONE;
	p->v.used = m->o->skel->data->unwind_tick;
	p->v.id = ++m->last_id;
	if (t) {
		const struct mw_unwind_hdr *h = unwind_table__hdr(t);

		p->inner = create_inner(t);
		if (p->inner < 0) {
			free(f);
			return p->inner;
		}
		p->v.slot = m->free_slots[m->free_head];
		m->free_head = (m->free_head + 1) % m->n_slots;
		m->free_cnt--;
		p->v.n_pages = h->n_pages;
		p->v.first_page = h->first_page;
		p->v.pages = h->pages;
		p->v.rows = h->rows;
		p->v.sides = h->sides;
		f->bytes = table_bytes(t);
		f->rows = h->n_rows;
		m->pending_bytes += f->bytes;
	}
	f->key = *key;
	f->state = p->v.state;
	f->slot = p->v.slot;
	f->refused = refused;
	m->n_pending++;
	return 0;
}

/*
 * The table of the file behind fd, from the disk cache if it is worth it. Files that others than
 * root and this process's user may write are not kept there: they could change while they are
 * read.
 */
static int table_of(struct unwind_maps *m, int fd, struct unwind_table **ret)
{
	bool keep = m->cache && !box__foreign(fd);
	struct unwind_request *r = NULL;
	char digest[DIGEST_HEX];
	int err;

	keep = keep && !digest__file(fd, MAX_CACHED_FILE, digest);
	if (keep && !unwind_cache__load(m->cache, digest, ret)) {
		m->st.cached++;
		return 0;
	}
	err = unwind_request__new(fd, &r);
	if (!err)
		err = unwind_request__finish(r, ret);
	if (err)
		return err;
	m->st.built++;
	if (keep && (*ret)->stats.rows >= WORTH_CACHING)
		unwind_cache__store(m->cache, digest, *ret);
	return 0;
}

/* A file has no table: because it says nothing, or because it was not worth the time. */
static void say_why(const char *name, int err)
{
	if (err == -ETIMEDOUT || err == -EDQUOT || err == -EFAULT || err == -ENOMEM)
		log_warn("the unwind information of '%s' %s; continuing without", name,
			 err == -EFAULT	  ? "broke its reader"
			 : err == -ENOMEM ? "did not fit into memory"
					  : "took too long to read");
	else
		log_debug("no unwind table for '%s': %s", name, strerror(-err));
}

/* Builds and publishes the table of the file behind fd. */
static int load_fd(struct unwind_maps *m, int fd, const char *name, const struct mw_unwind_key *key)
{
	struct unwind_table *t = NULL;
	uint64_t start = util__now_ns();
	bool refused = false;
	int err = table_of(m, fd, &t);

	if (t) {
		m->st.bad_records += t->stats.bad_records;
		m->st.unsupported += t->stats.unsupported;
		m->st.truncated += t->stats.truncated;
		if (make_room(m, table_bytes(t))) {
			m->st.refused++;
			refused = true;
			unwind_table__free(t);
			t = NULL;
		}
	} else {
		m->st.failed += err != -ENODATA && err != -ENOEXEC;
		say_why(name, err);
	}
	if (!t && m->n_files >= MAX_FILES)
		err = make_room(m, 0);
	else
		err = 0;
	if (!err)
		err = publish(m, key, t, refused);
	unwind_table__free(t);
	m->st.build_ns += util__now_ns() - start;
	return err;
}

static int load_vma(struct unwind_maps *m, const struct mw_unwind_vma *v, pid_t pid)
{
	cleanup_fd int fd = -1;
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid, v->start, v->end);
	fd = safeopen__file(path, NULL);
	if (fd < 0)
		return fd == -ENOENT || fd == -ESRCH ? fd : publish(m, &v->key, NULL, false);
	return load_fd(m, fd, path, &v->key);
}

/*
 * How many of the vmas from `from` on go on upwards. Where they do not, the list is complete:
 * another thread of the process begins, or, in Linux 6.1 and later, a walk of one thread that took
 * more than one of the kernel's buffers and is at its end starts again where the last buffer did
 * (read after read, for ever).
 */
static size_t ascending(const struct mw_unwind_vma *v, size_t from, size_t n)
{
	size_t i = from;

	while (i < n && (!i || v[i].start > v[i - 1].start))
		i++;
	return i;
}

/* Runs the iterator over what `info` names. Malloc'ed list; its length or a negative errno. */
static ssize_t iterate(struct unwind_maps *m, union bpf_iter_link_info *info,
		       struct mw_unwind_vma **ret)
{
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = info, .link_info_len = sizeof(*info));
	struct bpf_program *prog = m->o->skel->progs.mw_unwind_vmas;
	struct bpf_link *link = bpf_program__attach_iter(prog, info ? &opts : NULL);
	cleanup_free uint8_t *buf = NULL;
	size_t len = 0, cap = 0, good = 0, idle = 0;
	cleanup_fd int fd = -1;
	ssize_t n;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	n = fd < 0 ? -errno : 1;
	while (n > 0 && good == len / sizeof(**ret) && good < MAX_VMAS && idle < MAX_IDLE_READS) {
		int err = array_reserve(buf, cap, len + 65536);

		n = err ? err : read(fd, buf + len, cap - len);
		idle = n < 0 ? idle + 1 : 0;
		if (n < 0 && !err) /* EAGAIN: the kernel's walk gave way to others */
			n = errno == EINTR || errno == EAGAIN ? 1 : -errno;
		else if (n > 0)
			len += n;
		good = ascending((struct mw_unwind_vma *)buf, good, len / sizeof(**ret));
	}
	bpf_link__destroy(link);
	if (n < 0)
		return n;
	*ret = (struct mw_unwind_vma *)take_ptr(buf);
	return good;
}

/* Makes room for the list that the iterator's program keeps of the process; without it stacks that
 * are taken with interrupts off may be cut. */
static void start_proc_vmas(struct unwind_maps *m, pid_t pid)
{
	const struct bpf_map *map = m->o->skel->maps.unwind_procs;
	cleanup_free void *zero = calloc(1, bpf_map__value_size(map));
	__u32 key = pid;

	if (zero)
		bpf_map_update_elem(bpf_map__fd(map), &key, zero, BPF_ANY);
}

/* A process's executable mappings: of its first thread, or of all if that one is gone. */
static ssize_t read_vmas(struct unwind_maps *m, pid_t pid, struct mw_unwind_vma **ret)
{
	union bpf_iter_link_info info = {.task = {.tid = pid}};
	ssize_t n;

	m->o->skel->bss->unwind_iter_tgid = 0;
	start_proc_vmas(m, pid);
	n = iterate(m, &info, ret);
	if (n == -EINVAL) { /* before 6.1: all tasks, filtered by the program */
		m->o->skel->bss->unwind_iter_tgid = pid;
		return iterate(m, NULL, ret);
	}
	if (n)
		return n;
	free(*ret);
	*ret = NULL;
	info.task.tid = 0;
	info.task.pid = pid;
	return iterate(m, &info, ret);
}

static bool is_pending(const struct unwind_maps *m, const struct mw_unwind_key *key)
{
	for (uint32_t i = 0; i < m->n_pending; i++) {
		if (!memcmp(&m->pending[i].f->key, key, sizeof(*key)))
			return true;
	}
	return false;
}

/* Loads what the process maps and is not known yet. */
static int scan_process(struct unwind_maps *m, pid_t pid)
{
	cleanup_free struct mw_unwind_vma *vmas = NULL;
	ssize_t n;

	pthread_mutex_lock(&m->lock);
	n = read_vmas(m, pid, &vmas);
	for (ssize_t i = 0; i < n; i++) {
		struct table_file *f = find_file(m, &vmas[i].key);
		int err;

		if (vmas[i].vdso || (f && !f->refused) || is_pending(m, &vmas[i].key))
			continue;
		if (f)
			drop_file(m, f);
		err = load_vma(m, &vmas[i], pid);
		if (err)
			log_debug("failed to load the unwind table of %llx-%llx in %d: %s",
				  vmas[i].start, vmas[i].end, pid, strerror(-err));
	}
	if (n > 0) {
		int err = flush_pending(m);

		n = err ? err : n;
	}
	pthread_mutex_unlock(&m->lock);
	return n < 0 ? n : n ? 0 : -ESRCH;
}

/* The vDSO is the same image in every process: this one's stands for all. */
static int load_vdso(struct unwind_maps *m)
{
	static const struct mw_unwind_key key;
	const Elf64_Ehdr *eh = (const void *)getauxval(AT_SYSINFO_EHDR);
	cleanup_fd int fd = -1;
	int err;

	if (!eh)
		return publish(m, &key, NULL, false);
	fd = memfd_create("vdso", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = util__write_all(fd, eh, eh->e_shoff + (size_t)eh->e_shnum * eh->e_shentsize);
	return err ? err : load_fd(m, fd, "[vdso]", &key);
}

static void *work(void *arg)
{
	struct unwind_maps *m = arg;

	pthread_mutex_lock(&m->queue_lock);
	while (!m->quit) {
		struct table_job job;

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
		scan_process(m, job.pid);
		if (job.wanted) /* answered, or to be asked again */
			bpf_map_delete_elem(m->wanted_fd, &job.key);
		pthread_mutex_lock(&m->queue_lock);
	}
	pthread_mutex_unlock(&m->queue_lock);
	return NULL;
}

static int enqueue(struct unwind_maps *m, const struct table_job *job)
{
	int err = 0;

	pthread_mutex_lock(&m->queue_lock);
	if (m->queue_cnt == QUEUE) {
		err = -EAGAIN;
	} else {
		m->queue[(m->queue_head + m->queue_cnt++) % QUEUE] = *job;
		pthread_cond_signal(&m->queue_cond);
	}
	pthread_mutex_unlock(&m->queue_lock);
	return err;
}

int unwind_maps__add_process(struct unwind_maps *m, pid_t pid, bool wait)
{
	struct table_job job = {.pid = pid};

	return wait ? scan_process(m, pid) : enqueue(m, &job);
}

void unwind_maps__forget_process(struct unwind_maps *m, pid_t pid)
{
	__u32 key = pid;

	bpf_map_delete_elem(bpf_map__fd(m->o->skel->maps.unwind_procs), &key);
}

void unwind_maps__on_unknown_file(struct unwind_maps *m, const struct mw_ev_file *ev)
{
	struct table_job job = {.pid = ev->pid, .wanted = true, .key = {ev->dev, ev->ino, ev->gen}};

	__atomic_add_fetch(&m->st.wanted, 1, __ATOMIC_RELAXED);
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

void unwind_maps__stats(struct unwind_maps *m, struct unwind_maps_stats *ret)
{
	pthread_mutex_lock(&m->lock);
	*ret = m->st;
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
	m->budget = opts->budget_bytes ? opts->budget_bytes : DEFAULT_BUDGET;
	m->files_fd = bpf_map__fd(o->skel->maps.unwind_files);
	m->tables_fd = bpf_map__fd(o->skel->maps.unwind_tables);
	m->wanted_fd = bpf_map__fd(o->skel->maps.unwind_wanted);
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->queue_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->queue_cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&m->idle_cond, NULL);
	m->n_slots = m->free_cnt = bpf_map__max_entries(o->skel->maps.unwind_tables);
	m->free_slots = calloc(m->n_slots, sizeof(*m->free_slots));
	err = m->free_slots ? 0 : -ENOMEM;
	for (uint32_t i = 0; !err && i < m->n_slots; i++)
		m->free_slots[i] = i;
	if (!err && opts->state_dir) {
		int no = unwind_cache__open(opts->state_dir, &m->cache);

		if (no)
			log_debug(
				"failed to open the cache of unwind tables: %s; continuing without",
				strerror(-no));
	}
	if (!err)
		err = load_vdso(m) ?: flush_pending(m);
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
		  m->st.files, (unsigned long)m->st.rows, (unsigned long)m->st.bytes,
		  m->st.no_table, (unsigned long)m->st.built, (unsigned long)m->st.cached,
		  (unsigned long)m->st.evicted, (unsigned long)m->st.refused,
		  (unsigned long)m->st.failed, (double)m->st.build_ns / 1e6);
	for (size_t i = 0; i < BUCKETS; i++) {
		while (m->buckets[i]) {
			struct table_file *f = m->buckets[i];

			m->buckets[i] = f->next;
			free(f);
		}
	}
	unwind_cache__close(m->cache);
	pthread_cond_destroy(&m->queue_cond);
	pthread_cond_destroy(&m->idle_cond);
	pthread_mutex_destroy(&m->queue_lock);
	pthread_mutex_destroy(&m->lock);
	free(m->free_slots);
	free(m);
}
