/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/util.h"
#include "model/heap.h"
#include "format/output.h"
#include "format/record.h"
#include "sys/outfile.h"

#define PEAK_INTERVAL_NS 250000000ULL /* between snapshots at a rising peak */
#define LOOK_INTERVAL_NS 100000000ULL /* between looks at RSS */
#define PEAK_STEP 1.01 /* a new peak is worth a snapshot when it is this much higher */

struct peak {
	const char *path; /* NULL: not asked for */
	double bytes;	  /* when the profile was taken */
	uint64_t next_ns;
	struct profile *profile;
};

struct recorder {
	const struct attach_options *opts;
	struct attach *attach;
	struct ledgers *ledgers;
	struct record_writer *writer; /* NULL: no recording, or it failed */
	uint64_t record_ns, look_ns;  /* due */
	uint64_t begun_ns;
	struct peak inuse, rss;
	bool failed;
};

int recorder__new(const struct attach_options *opts, struct attach *a, struct ledgers *ledgers,
		  struct recorder **ret)
{
	struct recorder *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->opts = opts;
	r->attach = a;
	r->ledgers = ledgers;
	r->begun_ns = util__now_ns();
	r->inuse.path = opts->peak;
	r->rss.path = opts->peak_rss;
	if (opts->record) {
		err = record_writer__open(opts->record, &r->writer);
		if (err) {
			log_error("failed to create '%s': %s", opts->record,
				  outfile__strerror(err));
			free(r);
			return err;
		}
	}
	*ret = r;
	return 0;
}

void recorder__free(struct recorder *r)
{
	if (!r)
		return;
	record_writer__close(r->writer);
	profile__free(r->inuse.profile);
	profile__free(r->rss.profile);
	free(r);
}

static void memory_now(const struct recorder *r, uint64_t *ret_rss, uint64_t *ret_virt)
{
	const struct observer *o = r->attach->observer;

	*ret_rss = *ret_virt = 0;
	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		struct statm mem;

		observer__memory(t, &mem);
		*ret_rss += mem.rss;
		*ret_virt += mem.virt;
	}
}

static double inuse_now(const struct recorder *r)
{
	const struct observer *o = r->attach->observer;
	double bytes = 0;

	for (const struct target *t = observer__next(o, NULL); t; t = observer__next(o, t)) {
		const struct heap_target *h = &observer__heap(o)->targets[t->index];

		bytes += h->alloc_bytes - h->free_bytes;
	}
	return bytes;
}

/* With sizes and lifetimes: they are what a look afterwards can no longer ask for. */
static int make_profile(struct recorder *r, struct ledgers *ledgers, struct profile **ret)
{
	struct snapshot_opts opts = {
		.mappings = r->opts->with_maps, .histograms = true, .ledgers = ledgers};

	return attach__snapshot(r->attach, opts, ret);
}

static void record(struct recorder *r, uint64_t rss, uint64_t virt)
{
	struct profile *p = NULL;
	int err = make_profile(r, NULL, &p);

	if (!err)
		err = record_writer__add(r->writer, p, (int64_t)rss, (int64_t)virt);
	profile__free(p);
	if (!err)
		return;
	log_error("failed to record to '%s': %s; continuing without recording", r->opts->record,
		  outfile__strerror(err));
	record_writer__close(take_ptr(r->writer));
	r->failed = true;
}

static void look_at_peak(struct recorder *r, struct peak *k, double bytes, uint64_t now_ns)
{
	struct profile *p;

	if (!k->path || now_ns < k->next_ns || bytes <= k->bytes * PEAK_STEP || bytes <= 0)
		return;
	if (r->opts->ledger) /* as old as its cost demands; it tells its moment */
		ledgers__refresh_all(r->ledgers, 0, false);
	if (make_profile(r, r->opts->ledger ? r->ledgers : NULL, &p))
		return; /* at the next look again */
	profile__free(k->profile);
	k->profile = p;
	k->bytes = bytes;
	k->next_ns = now_ns + PEAK_INTERVAL_NS;
}

void recorder__tick(struct recorder *r, uint64_t now_ns)
{
	/* an entry a second is enough for any verdict; more where the view is refreshed more often
	 */
	uint64_t step = min_of(r->opts->interval_ns, (uint64_t)1000000000);
	bool due = r->writer && now_ns >= r->record_ns;
	uint64_t rss = 0, virt = 0;

	look_at_peak(r, &r->inuse, inuse_now(r), now_ns);
	if (due || (r->rss.path && now_ns >= r->look_ns)) {
		memory_now(r, &rss, &virt);
		r->look_ns = now_ns + LOOK_INTERVAL_NS;
		look_at_peak(r, &r->rss, (double)rss, now_ns);
	}
	if (!due)
		return;
	/* a recording of days needs no second's grain: a four-thousandth of what has passed */
	r->record_ns = now_ns + max_of(step, (now_ns - r->begun_ns) / 4096);
	record(r, rss, virt);
}

static int save_peak(struct recorder *r, const struct peak *k, const char *what)
{
	int err;

	if (!k->path)
		return 0;
	if (!k->profile) {
		log_warn("no peak of %s was seen: '%s' is not written", what, k->path);
		return 0;
	}
	profile__comment(k->profile, what);
	err = output__write(k->profile, k->path);
	if (err)
		log_error("failed to write '%s': %s", k->path, outfile__strerror(err));
	else
		log_info("wrote %s", k->path);
	return err;
}

int recorder__save(struct recorder *r)
{
	uint64_t rss, virt;
	int err = 0, e;

	if (r->writer) {
		memory_now(r, &rss, &virt);
		record(r, rss, virt);
	}
	if (r->writer) {
		err = record_writer__close(take_ptr(r->writer));
		if (err)
			log_error("failed to record to '%s': %s", r->opts->record,
				  outfile__strerror(err));
		else
			log_info("wrote %s", r->opts->record);
	}
	e = save_peak(r, &r->inuse, "at the highest in-use");
	err = err ? err : e;
	e = save_peak(r, &r->rss, "at the highest RSS");
	err = err ? err : e;
	return err ? err : r->failed ? -EIO : 0;
}
