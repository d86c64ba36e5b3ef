/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/mm_probe.h"

#include <bpf/bpf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "core/log.h"
#include "core/util.h"
#include "probe/bpfobj_priv.h"
#include "sys/proc_task.h"

#define MIN_SLOTS 16384
#define MAX_SLOTS (1 << 18)

#define FIRST_PID_NAMESPACE 0xEFFFFFFCU /* its inode number, PROC_PID_INIT_INO */

struct mm_probe {
	struct mm_probe_opts opts;
	struct bpfobj *obj; /* NULL: /proc */
	struct task_iter *iter;
	struct bpf_link *links[6];
	struct ring_buffer *ring;
	struct task_rows rows;
	pid_t *pids; /* with opts.pids: what is watched */
	size_t npids, pids_cap;
	void (*ev_fn)(void *arg, const struct mw_mm_ev *ev);
	void *ev_arg;
	char note[256];
};

static int on_event(void *ctx, void *data, size_t size)
{
	struct mm_probe *p = ctx;

	if (size >= sizeof(struct mw_mm_ev) && p->ev_fn)
		p->ev_fn(p->ev_arg, data);
	return 0;
}

/* Room for what runs now, four times over: forks outrun passes at times. */
static uint32_t slots_wanted(const struct mm_probe_opts *opts)
{
	uint32_t n = 0;
	struct dirent *d;
	cleanup_dir DIR *dir = NULL;

	if (opts->slots)
		return opts->slots;
	if (opts->pids)
		return 1024;
	dir = opendir("/proc");
	while (dir && (d = readdir(dir)))
		n += d->d_name[0] >= '1' && d->d_name[0] <= '9';
	return max_of(min_of(n * 4, (uint32_t)MAX_SLOTS), (uint32_t)MIN_SLOTS);
}

static int attach_peaks(struct mm_probe *p)
{
	struct memwatch_bpf *s = p->obj->skel;
	struct bpf_program *progs[] = {s->progs.mw_mm_tick, s->progs.mw_mm_rss,
				       s->progs.mw_mm_fork, s->progs.mw_mm_exec,
				       s->progs.mw_mm_exit, s->progs.mw_mm_prepare_exec};

	p->ring = ring_buffer__new(bpf_map__fd(s->maps.mm_events), on_event, p, NULL);
	if (!p->ring)
		return -errno;
	for (size_t i = 0; i < p->npids; i++) {
		__u32 key = p->pids[i], one = 1;

		if (bpf_map_update_elem(bpf_map__fd(s->maps.mm_watch), &key, &one, BPF_ANY))
			return -errno;
	}
	for (size_t i = 0; i < ARRAY_SIZE(progs); i++) {
		if (!bpf_program__autoload(progs[i]))
			continue;
		p->links[i] = bpfobj__attach(progs[i]);
		if (!p->links[i])
			return -errno;
	}
	return 0;
}

static void drop_bpf(struct mm_probe *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->links); i++) {
		bpf_link__destroy(p->links[i]);
		p->links[i] = NULL;
	}
	ring_buffer__free(p->ring);
	p->ring = NULL;
	task_iter__free(p->iter);
	p->iter = NULL;
	bpfobj__free(p->obj);
	p->obj = NULL;
}

static int start_bpf(struct mm_probe *p, const struct features *fs, bool peaks)
{
	struct plan_want want = {
		.rows = true,
		.kthreads = p->opts.kthreads,
		.peaks = peaks,
		.peaks_of_all = !p->opts.pids,
		.exact_peaks = p->opts.exact_peaks,
		.slots = peaks ? slots_wanted(&p->opts) : 0,
	};
	struct plan plan;
	int err = plan__make(fs, &want, &plan);

	if (!err)
		err = bpfobj__open(&plan, &p->obj);
	if (!err)
		err = bpfobj__load(p->obj);
	if (!err)
		err = task_iter__new(p->obj, &p->iter);
	if (!err && peaks)
		err = attach_peaks(p);
	if (err)
		drop_bpf(p);
	return err;
}

static void start(struct mm_probe *p)
{
	struct features fs;
	int err;

	features__probe(&fs);
	err = start_bpf(p, &fs, p->opts.peaks);
	if (err && p->opts.peaks) {
		snprintf(p->note, sizeof(p->note),
			 "peaks between two samples are not seen: the mm tracepoints could "
			 "not be attached (%s)",
			 strerror(-err));
		err = start_bpf(p, &fs, false);
	}
	if (err)
		snprintf(p->note, sizeof(p->note),
			 "reading /proc, without peaks between two samples: the BPF task "
			 "iterator could not be started (%s)",
			 strerror(-err));
}

int mm_probe__new(const struct mm_probe_opts *opts, struct mm_probe **ret)
{
	struct mm_probe *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->opts = *opts;
	for (size_t i = 0; i < opts->npids; i++) {
		if (array_reserve(p->pids, p->pids_cap, p->npids + 1)) {
			mm_probe__free(p);
			return -ENOMEM;
		}
		p->pids[p->npids++] = opts->pids[i];
	}
	if (!opts->no_bpf)
		start(p);
	*ret = p;
	return 0;
}

void mm_probe__free(struct mm_probe *p)
{
	if (!p)
		return;
	drop_bpf(p);
	task_rows__free(&p->rows);
	free(p->pids);
	free(p);
}

const char *mm_probe__note(const struct mm_probe *p)
{
	return p->note;
}

int mm_probe__watch(struct mm_probe *p, pid_t pid)
{
	__u32 key = pid, one = 1;

	if (array_reserve(p->pids, p->pids_cap, p->npids + 1))
		return -ENOMEM;
	p->pids[p->npids++] = pid;
	if (!p->ring)
		return -ENOENT;
	return bpf_map_update_elem(bpf_map__fd(p->obj->skel->maps.mm_watch), &key, &one, BPF_ANY)
		       ? -errno
		       : 0;
}

static int add_row(void *arg, const struct mw_task_row *row)
{
	struct task_rows *rows = arg;

	if (array_reserve(rows->row, rows->cap, rows->n + 1))
		return -ENOMEM;
	rows->row[rows->n++] = *row;
	return 0;
}

static int read_watched(struct mm_probe *p)
{
	for (size_t i = 0; i < p->npids; i++) {
		struct mw_task_row row;
		int err = proc_task__read(p->pids[i], &row) ? 0 : add_row(&p->rows, &row);

		if (err)
			return err;
	}
	task_rows__finish(&p->rows);
	return 0;
}

/* Some kernels' iterators leave out PID 1 (seen: 6.18, in a micro VM), which is then read as
 * without them. In another PID namespace it is somebody else's number there. */
static int add_first(struct mm_probe *p)
{
	struct task_rows *r = &p->rows;
	struct mw_task_row row;
	struct stat ns;

	if ((r->n && r->row[0].tgid == 1) || stat("/proc/self/ns/pid", &ns) ||
	    ns.st_ino != FIRST_PID_NAMESPACE || proc_task__read(1, &row))
		return 0;
	if (array_reserve(r->row, r->cap, r->n + 1))
		return -ENOMEM;
	memmove(r->row + 1, r->row, r->n * sizeof(row));
	r->row[0] = row;
	r->n++;
	return 0;
}

int mm_probe__pass(struct mm_probe *p, const struct task_rows **ret)
{
	int err;

	if (p->iter) {
		err = task_iter__pass(p->iter, &p->rows);
		if (!err)
			err = add_first(p);
	} else {
		p->rows.n = 0;
		err = p->opts.pids ? read_watched(p)
				   : proc_task__each(p->opts.kthreads, add_row, &p->rows);
	}
	if (!err)
		*ret = &p->rows;
	return err;
}

int mm_probe__events(struct mm_probe *p, void (*fn)(void *arg, const struct mw_mm_ev *ev),
		     void *arg)
{
	if (!p->ring)
		return 0;
	p->ev_fn = fn;
	p->ev_arg = arg;
	return ring_buffer__consume(p->ring);
}

int mm_probe__counters(const struct mm_probe *p, uint64_t *ret)
{
	int ncpus = libbpf_num_possible_cpus();
	cleanup_free uint64_t *rows = NULL;
	__u32 zero = 0;

	if (!p->obj)
		return -ENOENT;
	if (ncpus < 0)
		return ncpus;
	rows = calloc(ncpus, sizeof(*rows) * MW_MM_C_COUNT);
	if (!rows)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(p->obj->skel->maps.mm_counters), &zero, rows))
		return -errno;
	memset(ret, 0, sizeof(*ret) * MW_MM_C_COUNT);
	for (int i = 0; i < ncpus * MW_MM_C_COUNT; i++)
		ret[i % MW_MM_C_COUNT] += rows[i];
	return 0;
}
