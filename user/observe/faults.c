/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "observe/faults.h"

#include <string.h>
#include <time.h>

#include "core/allowance.h"
#include "core/log.h"
#include "core/util.h"
#include "observe/observer_priv.h"
#include "observe/still.h"
#include "probe/fault_probe.h"
#include "sys/box.h"
#include "sys/pagemap.h"
#include "sys/privilege.h"
#include "sys/smaps_sums.h"
#include "sys/statm.h"

#define LOOK_INTERVAL_NS STILL_MIN_NS
#define SETTLE_NS 50000000ULL /* a page is not there at once when its fault is reported */
#define WINDOW 512	      /* entries of pagemap read at once */
#define AROUND_PAGES 16	      /* the kernel maps so much of a file around a fault */
#define HUGE_PAGES 512
#define GONE 1024 /* processes that are remembered as gone: a power of 2 */

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
	bool has_news;	       /* samples that no look has settled */
	uint64_t rest_bytes;
	struct still still;
};

struct faults {
	struct observer *observer;
	struct pages *by_target; /* MW_MAX_TARGETS */
	struct faults_site *sites;
	size_t nsites, sites_cap;
	struct fault_probe *probe; /* NULL: stopped */
	uint32_t period;
	uint64_t page_bytes, total, next_look_ns;
	struct losses lost;
	enum mw_loss why; /* the last process could not be adopted */
	int frames_fd;	  /* of pagemap__is_huge */
	struct allowance adoption;
	/* By PID: at that moment there was none. On a busy machine that is most of who was sampled,
	 * each some hundred times. */
	struct {
		uint32_t pid;
		uint64_t time_ns;
	} gone[GONE];
};

int faults__new(struct observer *o, uint32_t period, struct faults **ret)
{
	struct faults *f = calloc(1, sizeof(*f));
	int err = -ENOMEM;

	if (!f)
		return err;
	f->observer = o;
	f->period = period;
	f->page_bytes = sysconf(_SC_PAGESIZE);
	f->frames_fd = pagemap__open_frames();
	f->by_target = calloc(MW_MAX_TARGETS, sizeof(*f->by_target));
	if (f->by_target)
		err = fault_probe__new(o->obj, period, &f->probe);
	if (err) {
		faults__free(f);
		return err;
	}
	*ret = f;
	return 0;
}

void faults__stop(struct faults *f)
{
	fault_probe__free(take_ptr(f->probe));
}

void faults__free(struct faults *f)
{
	if (!f)
		return;
	faults__stop(f);
	for (size_t i = 0; f->by_target && i < MW_MAX_TARGETS; i++)
		free(f->by_target[i].s);
	if (f->frames_fd >= 0)
		close(f->frames_fd);
	free(f->by_target);
	free(f->sites);
	free(f);
}

/* The newest of this number that has not ended. */
static const struct target *find_living(const struct faults *f, uint32_t pid)
{
	const struct target *t = observer__find(f->observer, (int)pid);

	return t && !t->ended ? t : NULL;
}

void faults__limit_adoption(struct faults *f, double share, uint64_t burst_ns)
{
	allowance__init(&f->adoption, share, burst_ns, util__now_ns());
}

/* Of this thread and of the helpers that have ended. */
static uint64_t spent_ns(void)
{
	struct box_stats boxes;
	struct timespec cpu;

	box__stats(&boxes);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	return boxes.cpu_ns + cpu.tv_sec * 1000000000ULL + cpu.tv_nsec;
}

const struct target *faults__adopt(struct faults *f, uint32_t pid, uint64_t time_ns)
{
	const struct target *t = find_living(f, pid);
	uint64_t start, now;
	int err;

	if (t)
		return t;
	if (f->gone[pid % GONE].pid == pid && time_ns < f->gone[pid % GONE].time_ns) {
		f->why = MW_LOSS_FAULT_GONE;
		return NULL;
	}
	if (!allowance__left(&f->adoption, util__now_ns())) {
		f->why = MW_LOSS_FAULT_BUSY;
		return NULL;
	}
	start = spent_ns();
	now = util__now_ns();
	err = observer__add(f->observer, pid, &t);
	allowance__spend(&f->adoption, spent_ns() - start);
	if (err == -ESRCH) {
		f->gone[pid % GONE].pid = pid;
		f->gone[pid % GONE].time_ns = now;
	}
	f->why = err == -ESRCH			   ? MW_LOSS_FAULT_GONE
		 : err == -EACCES || err == -EPERM ? MW_LOSS_FAULT_DENIED
						   : MW_LOSS_FAULT_ROOM;
	return err ? NULL : t;
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

static void take_sample(struct faults *f, uint32_t target, const struct mw_ev_fault *ev)
{
	uint32_t site = heap__site_for(f->observer->heap, target, ev->stack);
	struct faults_site *sums = site_at(f, site);
	struct pages *p = &f->by_target[target];

	if (!sums || f->total >= FAULTS_MAX_SAMPLES || array_reserve(p->s, p->cap, p->n + 1)) {
		losses__add(&f->lost, MW_LOSS_FAULT_ROOM, 1, f->period * f->page_bytes);
		return;
	}
	sums->faults += f->period;
	sums->faulted_bytes += (double)f->period * f->page_bytes;
	p->s[p->n++] = (struct sample){
		.page = ev->addr / f->page_bytes, .time_ns = ev->hdr.time_ns, .site = site};
	p->sorted = false;
	p->has_news = true;
	f->total++;
}

int faults__event(struct faults *f, const struct mw_ev_fault *ev)
{
	const struct target *t = ev->hdr.target == MW_STRANGER
					 ? find_living(f, ev->pid)
					 : observer__at(f->observer, ev->hdr.target);

	if (t)
		take_sample(f, t->index, ev);
	return !t && ev->hdr.target == MW_STRANGER ? -EAGAIN : 0;
}

void faults__foreign_event(struct faults *f, const struct mw_ev_fault *ev)
{
	const struct target *t = faults__adopt(f, ev->pid, ev->hdr.time_ns);

	if (t)
		take_sample(f, t->index, ev);
	else
		losses__add(&f->lost, f->why, 1, f->period * f->page_bytes);
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

void faults__drop_target(struct faults *f, uint32_t target)
{
	struct pages *p = &f->by_target[target];

	f->total -= p->n;
	free(p->s);
	memset(p, 0, sizeof(*p));
}

void faults__renumber(struct faults *f, const uint32_t *new_site, size_t n)
{
	size_t left = 0;

	for (size_t i = 0; i < f->nsites && i < n; i++) {
		if (new_site[i] == UINT32_MAX)
			continue;
		left = new_site[i] + 1;
		f->sites[new_site[i]] = f->sites[i];
	}
	memset(f->sites + left, 0, (f->nsites - left) * sizeof(*f->sites));
	f->nsites = left;
	for (uint32_t t = 0; t < MW_MAX_TARGETS; t++) {
		size_t have = max_of(f->by_target[t].n, f->by_target[t].n_at_end);

		for (size_t i = 0; i < have; i++)
			f->by_target[t].s[i].site = new_site[f->by_target[t].s[i].site];
	}
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

/* How many pages the fault brought: entry[at] is its own, n entries were read. */
static uint32_t pages_of(const struct faults *f, const struct pagemap_entry *entry, size_t at,
			 size_t n, uint64_t page)
{
	size_t first, count = 0;

	if (pagemap__is_huge(f->frames_fd, &entry[at]))
		return HUGE_PAGES;
	if (!entry[at].is_file)
		return 1;
	first = at - min_of(at, (size_t)(page % AROUND_PAGES));
	for (size_t i = first; i < n && i < first + AROUND_PAGES; i++)
		count += entry[i].present && entry[i].is_file;
	return max_of(count, (size_t)1);
}

/* Marks what is there, drops what is gone. */
static void look_target(struct faults *f, uint32_t target, uint64_t now_ns)
{
	struct pages *p = &f->by_target[target];
	struct pagemap_entry entry[WINDOW];
	uint64_t first = 0;
	cleanup_fd int fd = -1;
	size_t have = 0, keep = 0;

	if (p->at_death)
		return;
	privilege__raise(PRIVILEGE_PAGE_FRAMES); /* who opens it is asked when it is read */
	fd = pagemap__open_file(observer__at(f->observer, target)->pid);
	privilege__lower(PRIVILEGE_PAGE_FRAMES);
	if (fd < 0 || observer__at(f->observer, target)->ended) {
		size_t n = p->n;

		faults__clear_target(f, target);
		p->n_at_end = n;
		return;
	}
	sort_pages(f, p);
	p->has_news = false;
	for (size_t i = 0; i < p->n; i++) {
		struct sample *s = &p->s[i];
		uint64_t from = s->page - s->page % AROUND_PAGES;
		struct faults_site *sums = &f->sites[s->site];
		struct pagemap_entry e = {0};

		if (!have || s->page < first || s->page + AROUND_PAGES > first + have) {
			ssize_t n = pagemap__entries(fd, from, entry, WINDOW);

			/* Its memory is being taken down: nothing is to be learnt any more. */
			if (!n) {
				for (; i < p->n; i++)
					p->s[keep++] = p->s[i];
				break;
			}
			first = from;
			have = max_of(n, 0);
		}
		if (s->page - first < have)
			e = entry[s->page - first];
		if (!e.present && !e.swapped && now_ns - s->time_ns > SETTLE_NS) {
			f->total--;
			continue; /* given back */
		}
		s->present = e.present;
		p->has_news |= !e.present && !e.swapped;
		if (s->present && !s->pages) {
			s->pages = pages_of(f, entry, s->page - first, have, s->page);
			sums->faulted_bytes += (double)f->period * f->page_bytes * (s->pages - 1);
		}
		p->s[keep++] = *s;
	}
	p->n = keep;
}

static double at_most_one(double has, double estimate)
{
	return estimate > has ? has / estimate : 1;
}

static void sum_target(struct faults *f, uint32_t target, bool lives)
{
	struct pages *p = &f->by_target[target];
	double weight = (double)f->period * f->page_bytes, huge = 0, small = 0;
	double huge_factor = 1, small_factor = 1;
	struct smaps_sums now;

	for (size_t i = 0; i < p->n; i++) {
		if (p->s[i].present)
			*(p->s[i].pages == HUGE_PAGES ? &huge : &small) += weight * p->s[i].pages;
	}
	p->rest_bytes = 0;
	if (lives && !smaps_sums__read(observer__at(f->observer, target)->pid, &now)) {
		huge_factor = at_most_one(now.anon_huge, huge);
		small_factor = at_most_one(now.rss - min_of(now.rss, now.anon_huge), small);
		p->rest_bytes = max_of(now.rss - huge * huge_factor - small * small_factor, 0.0);
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

void faults__look(struct faults *f, const struct target *of)
{
	const struct heap *heap = f->observer->heap;
	uint64_t now = util__now_ns();

	for (size_t i = 0; i < f->nsites; i++) {
		if (!of || heap->sites[i].target == of->index)
			f->sites[i].resident_pages = f->sites[i].resident_bytes = 0;
	}
	for (const struct target *t = observer__next(f->observer, NULL); t;
	     t = observer__next(f->observer, t)) {
		if (of && t != of)
			continue;
		if (f->by_target[t->index].n)
			look_target(f, t->index, now);
		sum_target(f, t->index, !t->ended);
	}
}

/* The longer it has been as it was, the rarer. */
static void look_if_due(struct faults *f, const struct target *t, uint64_t now)
{
	struct pages *p = &f->by_target[t->index];
	struct statm s = {0};
	bool unknown;

	if (!p->n || !still__is_due(&p->still, p->has_news, now))
		return;
	unknown = statm__read(t->pid, &s) != 0;
	if (still__check(&p->still, p->has_news || unknown, s.rss, now))
		look_target(f, t->index, now);
}

void faults__look_at_times(struct faults *f)
{
	uint64_t now = util__now_ns();

	if (now < f->next_look_ns)
		return;
	f->next_look_ns = now + LOOK_INTERVAL_NS;
	for (const struct target *t = observer__next(f->observer, NULL); t;
	     t = observer__next(f->observer, t))
		look_if_due(f, t, now);
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

void faults__memory(const struct faults *f, uint64_t *ret_bytes, uint64_t *ret_samples)
{
	*ret_bytes = f->sites_cap * sizeof(*f->sites) + MW_MAX_TARGETS * sizeof(*f->by_target);
	*ret_samples = f->total;
	for (size_t i = 0; i < MW_MAX_TARGETS; i++)
		*ret_bytes += f->by_target[i].cap * sizeof(*f->by_target[i].s);
}
