/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/faults.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "core/log.h"
#include "core/util.h"
#include "observe/observer.h"
#include "observe/target.h"

#define LOOK_INTERVAL_NS 1000000000ULL
#define SETTLE_NS 50000000ULL /* a page is not there at once when its fault is reported */
#define WINDOW 512	      /* entries of pagemap read at once */
#define AROUND_PAGES 16	      /* the kernel maps so much of a file around a fault */
#define PM_PRESENT (1ULL << 63)
#define PM_SWAPPED (1ULL << 62)
#define PM_FILE (1ULL << 61)
#define KPF_THP 22
#define HUGE_PAGES 512

struct sample {
	uint64_t page; /* address / page size */
	uint64_t time_ns;
	uint32_t site;
	uint32_t pages : 31; /* that came with the fault; 0: not looked at yet */
	uint32_t present : 1;
};

struct pages { /* the samples of one target, at most one a page */
	struct sample *s;
	size_t n, cap;
	size_t n_at_end;       /* of a process that ended: so many were there */
	bool sorted, at_death; /* at_death: they stay */
	uint64_t rest_bytes;
};

struct faults {
	struct observer *observer;
	struct pages *by_target; /* MW_MAX_TARGETS */
	struct faults_site *sites;
	size_t nsites, sites_cap;
	struct bpf_link **links;
	size_t nlinks;
	uint32_t period;
	uint64_t page_bytes, total, last_look_ns;
	struct losses lost;
	int kpageflags_fd;
};

void faults__use(struct observer *s, bool all)
{
	s->obj->skel->rodata->fault_all = all;
	bpfobj__use_prog(s->obj->skel->progs.mw_fault_sample);
}

/*
 * Minor and major faults each have their counter, and both count when the fault has been handled
 * and the page is there; the counter of all page faults counts before.
 */
static int open_counter(struct faults *f, int cpu, uint64_t config)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = config,
		.sample_period = f->period,
	};
	int fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC), err;
	struct bpf_link *link;

	if (fd < 0)
		return errno == ENODEV ? 0 : -errno; /* a CPU that is possible but not online */
	link = bpf_program__attach_perf_event(f->observer->obj->skel->progs.mw_fault_sample, fd);
	if (!link) {
		err = -errno;
		close(fd);
		return err;
	}
	f->links[f->nlinks++] = link;
	return 0;
}

static int open_counters(struct faults *f)
{
	int ncpus = libbpf_num_possible_cpus(), err = 0;

	if (ncpus < 0)
		return ncpus;
	f->links = calloc(ncpus * 2, sizeof(*f->links));
	if (!f->links)
		return -ENOMEM;
	for (int cpu = 0; cpu < ncpus && !err; cpu++) {
		err = open_counter(f, cpu, PERF_COUNT_SW_PAGE_FAULTS_MIN);
		if (!err)
			err = open_counter(f, cpu, PERF_COUNT_SW_PAGE_FAULTS_MAJ);
	}
	return err ? err : f->nlinks ? 0 : -ENODEV;
}

int faults__new(struct observer *s, uint32_t period, struct faults **ret)
{
	struct faults *f = calloc(1, sizeof(*f));
	int err = -ENOMEM;

	if (!f)
		return err;
	f->observer = s;
	f->period = period;
	f->page_bytes = sysconf(_SC_PAGESIZE);
	f->kpageflags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	f->by_target = calloc(MW_MAX_TARGETS, sizeof(*f->by_target));
	if (f->by_target)
		err = open_counters(f);
	if (err) {
		faults__free(f);
		return err;
	}
	*ret = f;
	return 0;
}

void faults__stop(struct faults *f)
{
	for (size_t i = 0; i < f->nlinks; i++)
		bpf_link__destroy(f->links[i]);
	f->nlinks = 0;
}

void faults__free(struct faults *f)
{
	if (!f)
		return;
	faults__stop(f);
	for (size_t i = 0; f->by_target && i < MW_MAX_TARGETS; i++)
		free(f->by_target[i].s);
	if (f->kpageflags_fd >= 0)
		close(f->kpageflags_fd);
	free(f->by_target);
	free(f->sites);
	free(f->links);
	free(f);
}

/* A process that was no target when it was sampled becomes one. */
static struct target *adopt(struct faults *f, uint32_t pid, enum mw_loss *ret_why)
{
	struct observer *s = f->observer;
	struct target *t;
	int err;

	for (uint32_t i = s->ntargets; i-- > 0;) {
		if (s->targets[i]->pid == (int)pid && !s->targets[i]->ended)
			return s->targets[i];
	}
	err = observer__add(s, pid, &t);
	*ret_why = err == -ESRCH		     ? MW_LOSS_FAULT_GONE
		   : err == -EACCES || err == -EPERM ? MW_LOSS_FAULT_DENIED
						     : MW_LOSS_FAULT_ROOM;
	return err ? NULL : t;
}

void faults__on_stack(struct faults *f, const void *data, size_t size)
{
	union { /* the ring is not ours to write to */
		struct mw_ev_stack ev;
		char bytes[sizeof(struct mw_ev_stack) + MW_MAX_FRAMES * sizeof(uint64_t)];
	} copy;
	struct target *t;
	enum mw_loss why;

	if (size < sizeof(copy.ev))
		return;
	size = min_of(size, sizeof(copy));
	memcpy(copy.bytes, data, size);
	t = adopt(f, copy.ev.pid, &why);
	if (!t)
		return;
	copy.ev.hdr.target = t->index;
	target__on_stack(f->observer, &copy, size);
}

static struct faults_site *site_at(struct faults *f, uint32_t site)
{
	size_t old = f->sites_cap;

	if (array_reserve(f->sites, f->sites_cap, site + 1))
		return NULL;
	if (f->sites_cap > old)
		memset(f->sites + old, 0, (f->sites_cap - old) * sizeof(*f->sites));
	f->nsites = max_of(f->nsites, (size_t)site + 1);
	return &f->sites[site];
}

void faults__event(struct faults *f, const struct mw_ev_fault *ev)
{
	struct faults_site *sums;
	struct pages *p;
	uint32_t target = ev->hdr.target, site;

	if (target == MW_STRANGER) {
		enum mw_loss why;
		struct target *t = adopt(f, ev->pid, &why);

		if (!t) {
			losses__add(&f->lost, why, 1, f->period * f->page_bytes);
			return;
		}
		target = t->index;
	}
	if (target >= MW_MAX_TARGETS || !f->observer->targets[target])
		return;
	site = heap__site_for(f->observer->heap, target, ev->stack);
	sums = site_at(f, site);
	p = &f->by_target[target];
	if (!sums || f->total >= FAULTS_MAX_SAMPLES || array_reserve(p->s, p->cap, p->n + 1)) {
		losses__add(&f->lost, MW_LOSS_FAULT_ROOM, 1, f->period * f->page_bytes);
		return;
	}
	sums->faults += f->period;
	sums->faulted_bytes += (double)f->period * f->page_bytes;
	p->s[p->n++] = (struct sample){
		.page = ev->addr / f->page_bytes, .time_ns = ev->hdr.time_ns, .site = site};
	p->sorted = false;
	f->total++;
}

void faults__unmapped(struct faults *f, uint32_t target, uint64_t addr, uint64_t size)
{
	uint64_t first = addr / f->page_bytes, end = (addr + size) / f->page_bytes;
	struct pages *p = &f->by_target[target];
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (p->s[i].page < first || p->s[i].page >= end)
			p->s[n++] = p->s[i];
	}
	f->total -= p->n - n;
	p->n = n;
}

void faults__clear_target(struct faults *f, uint32_t target)
{
	f->total -= f->by_target[target].n;
	f->by_target[target].n = f->by_target[target].n_at_end = 0;
}

void faults__at_death(struct faults *f, uint32_t target)
{
	struct pages *p = &f->by_target[target];

	if (!p->n) {
		p->n = p->n_at_end;
		f->total += p->n;
	}
	p->at_death = true;
	for (size_t i = 0; i < p->n; i++) {
		if (p->s[i].pages)
			continue;
		p->s[i].pages = 1;
		p->s[i].present = 1;
	}
}

/* By page; of one page the newest first. */
static int by_page(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	if (x->page != y->page)
		return x->page < y->page ? -1 : 1;
	return x->time_ns > y->time_ns ? -1 : x->time_ns < y->time_ns;
}

static void sort_pages(struct faults *f, struct pages *p)
{
	size_t n = 0;

	if (p->sorted)
		return;
	qsort(p->s, p->n, sizeof(*p->s), by_page);
	for (size_t i = 0; i < p->n; i++) {
		if (!n || p->s[n - 1].page != p->s[i].page)
			p->s[n++] = p->s[i];
	}
	f->total -= p->n - n;
	p->n = n;
	p->sorted = true;
}

static bool is_huge(const struct faults *f, uint64_t entry)
{
	uint64_t flags, pfn = entry & ((1ULL << 55) - 1);

	return pfn && f->kpageflags_fd >= 0 && pread(f->kpageflags_fd, &flags, 8, pfn * 8) == 8 &&
	       (flags >> KPF_THP & 1);
}

/* How many pages the fault brought: entry[at] is its own, n entries were read. */
static uint32_t pages_of(const struct faults *f, const uint64_t *entry, size_t at, size_t n,
			 uint64_t page)
{
	size_t first, count = 0;

	if (is_huge(f, entry[at]))
		return HUGE_PAGES;
	if (!(entry[at] & PM_FILE))
		return 1;
	first = at - min_of(at, (size_t)(page % AROUND_PAGES));
	for (size_t i = first; i < n && i < first + AROUND_PAGES; i++)
		count += (entry[i] & PM_PRESENT) && (entry[i] & PM_FILE);
	return max_of(count, (size_t)1);
}

/* Marks what is there, drops what is gone. */
static void look_target(struct faults *f, uint32_t target, uint64_t now_ns)
{
	struct pages *p = &f->by_target[target];
	uint64_t entry[WINDOW], first = 0;
	cleanup_fd int fd = -1;
	size_t have = 0, keep = 0;
	char path[64];

	if (p->at_death)
		return;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", f->observer->targets[target]->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || f->observer->targets[target]->ended) {
		size_t n = p->n;

		faults__clear_target(f, target);
		p->n_at_end = n;
		return;
	}
	sort_pages(f, p);
	for (size_t i = 0; i < p->n; i++) {
		struct sample *s = &p->s[i];
		uint64_t from = s->page - s->page % AROUND_PAGES;
		struct faults_site *sums = &f->sites[s->site];
		uint64_t e;

		if (!have || s->page < first || s->page + AROUND_PAGES > first + have) {
			ssize_t n = pread(fd, entry, sizeof(entry), from * 8);

			/* Its memory is being taken down: nothing is to be learnt any more. */
			if (!n) {
				for (; i < p->n; i++)
					p->s[keep++] = p->s[i];
				break;
			}
			first = from;
			have = n > 0 ? n / 8 : 0;
		}
		e = s->page - first < have ? entry[s->page - first] : 0;
		if (!(e & (PM_PRESENT | PM_SWAPPED)) && now_ns - s->time_ns > SETTLE_NS) {
			f->total--;
			continue; /* given back */
		}
		s->present = (e & PM_PRESENT) != 0;
		if (s->present && !s->pages) {
			s->pages = pages_of(f, entry, s->page - first, have, s->page);
			sums->faulted_bytes += (double)f->period * f->page_bytes * (s->pages - 1);
		}
		p->s[keep++] = *s;
	}
	p->n = keep;
}

/* Figures of /proc/PID/smaps_rollup, bytes. */
static bool read_rollup(int pid, uint64_t *rss, uint64_t *huge)
{
	cleanup_free char *text = NULL;
	char path[64], *at;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	if (util__read_file(path, 16384, &text) <= 0)
		return false;
	at = strstr(text, "\nRss:");
	*rss = at ? strtoull(at + 5, NULL, 10) << 10 : 0;
	at = strstr(text, "\nAnonHugePages:");
	*huge = at ? strtoull(at + 15, NULL, 10) << 10 : 0;
	return true;
}

static double at_most_one(double has, double estimate)
{
	return estimate > has ? has / estimate : 1;
}

static void sum_target(struct faults *f, uint32_t target, bool exact)
{
	struct pages *p = &f->by_target[target];
	double weight = (double)f->period * f->page_bytes, huge = 0, small = 0;
	double huge_factor = 1, small_factor = 1;
	uint64_t rss, rss_huge;

	for (size_t i = 0; i < p->n; i++) {
		if (p->s[i].present)
			*(p->s[i].pages == HUGE_PAGES ? &huge : &small) += weight * p->s[i].pages;
	}
	p->rest_bytes = 0;
	if (exact && read_rollup(f->observer->targets[target]->pid, &rss, &rss_huge)) {
		huge_factor = at_most_one(rss_huge, huge);
		small_factor = at_most_one(rss - min_of(rss, rss_huge), small);
		p->rest_bytes = max_of(rss - huge * huge_factor - small * small_factor, 0.0);
	}
	for (size_t i = 0; i < p->n; i++) {
		const struct sample *s = &p->s[i];
		double factor = s->pages == HUGE_PAGES ? huge_factor : small_factor;

		if (!s->present)
			continue;
		f->sites[s->site].resident_pages += factor * f->period * s->pages;
		f->sites[s->site].resident_bytes += factor * weight * s->pages;
	}
}

void faults__look(struct faults *f, bool exact)
{
	uint64_t now = util__now_ns();

	f->last_look_ns = now;
	for (size_t i = 0; i < f->nsites; i++)
		f->sites[i].resident_pages = f->sites[i].resident_bytes = 0;
	for (uint32_t i = 0; i < f->observer->ntargets; i++) {
		if (f->by_target[i].n)
			look_target(f, i, now);
		sum_target(f, i, exact && !f->observer->targets[i]->ended);
	}
}

void faults__look_at_times(struct faults *f)
{
	if (util__now_ns() - f->last_look_ns > LOOK_INTERVAL_NS)
		faults__look(f, false);
}

const struct faults_site *faults__site(const struct faults *f, uint32_t site)
{
	return site < f->nsites ? &f->sites[site] : NULL;
}

uint64_t faults__rest(const struct faults *f, uint32_t target)
{
	return f->by_target[target].rest_bytes;
}

const struct losses *faults__losses(const struct faults *f)
{
	return &f->lost;
}

uint32_t faults__period(const struct faults *f)
{
	return f->period;
}
