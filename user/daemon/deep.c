/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/budget.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "elf/symbolizer.h"
#include "observe/observer.h"
#include "run/attach.h"
#include "run/loop.h"
#include "snapshot/inuse.h"
#include "snapshot/ledgers.h"
#include "snapshot/missing.h"
#include "snapshot/runtimes.h"
#include "sys/box.h"
#include "sys/pidref.h"
#include "sys/procmap.h"
#include "sys/rootdir.h"

/* The pages of a ring are resident, and mapped twice. Where samples are this rare, programs that
 * allocate 10 GB/s take half a second to fill the small one, which is read at each eighth. */
#define RARE_SAMPLE_BYTES (256u << 10)
#define RARE_RING_BYTES (2u << 20)
#define TURN_BUSY_NS 100000000ULL  /* events wait at most this long */
#define ATTACH_NS 500000000ULL	   /* so long others wait for attaching to many in one pass */
#define PATIENCE_NS 200000000ULL   /* with those who read the files of one that comes */
#define NAMES_NS 300000000ULL	   /* and for names of others' files, in one turn */
#define TURN_IDLE_NS 1000000000ULL /* nothing is profiled */
#define AFTER_END_NS                                                                 \
	5000000000ULL /* an ended process is kept: a kill's record may be on its way \
		       */
#define REST_FAILED_NS \
	60000000000ULL /* until a process that could not be attached to is tried again */
#define REST_BUDGET_NS 600000000000ULL /* … that cost too much */
#define LEDGER_NS 10000000000ULL       /* at least, between readings of a process */
#define PEAK_STEP 1.1		       /* a peak is kept when it is so much above the last */
#define PEAK_LEAST 1048576.0	       /* bytes */
#define MAX_ALL 768		       /* processes, Go programs too */
#define MAX_RESTS 1024
#define TELL_NS 60000000000ULL /* between words on what is refused */

const char *deep__why(enum deep_why why)
{
	static const char *const names[] = {
		[DEEP_REGULAR] = "regular",	 [DEEP_PEAK] = "peak",
		[DEEP_PEAK_RSS] = "peak of RSS", [DEEP_WINDOW] = "end of window",
		[DEEP_ENDED] = "end of process", [DEEP_BUDGET] = "over budget",
		[DEEP_STOP] = "end of memwatch"};

	return names[why];
}

int deep__new(const struct deep_opts *o, struct deep **ret)
{
	struct deep *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->o = *o;
	d->rate[0] = o->config->sample_bytes;
	err = loop__add_timer(o->loop, LOOP_NEVER, budget__windows_due, d, &d->windows_timer);
	if (err) {
		free(d);
		return err;
	}
	*ret = d;
	return 0;
}

static void let_go(struct deep *d, size_t i)
{
	struct deep_one *x = d->one[i];
	struct attach *a = d->attach[x->mode];

	runtimes__forget(a->runtimes, x->p.target);
	observer__remove_target(a->observer, x->p.target);
	free(x);
	memmove(&d->one[i], &d->one[i + 1], (--d->n - i) * sizeof(*d->one));
}

static void unload(struct deep *d, unsigned m)
{
	if (!d->attach[m])
		return;
	loop__drop_fd(d->o.loop, observer__fd(d->attach[m]->observer));
	ledgers__free(take_ptr(d->ledgers[m]));
	attach__close(take_ptr(d->attach[m]));
}

void deep__free(struct deep *d)
{
	if (!d)
		return;
	while (d->n)
		let_go(d, d->n - 1);
	for (unsigned m = 0; m < MODES; m++)
		unload(d, m);
	free(d->one);
	free(d->rest);
	free(d);
}

/* --- processes that are left alone --- */

static bool same(struct deep_id a, struct deep_id b)
{
	return a.pid == b.pid && a.start_ns == b.start_ns;
}

static const struct deep_rest *find_rest(const struct deep *d, struct deep_id id)
{
	for (size_t i = 0; i < d->nrests; i++) {
		if (same(d->rest[i].id, id))
			return &d->rest[i];
	}
	return NULL;
}

static void add_rest(struct deep *d, struct deep_id id, uint64_t ns, bool over_budget)
{
	struct deep_rest r = {id, util__now_ns() + ns, over_budget};

	if (d->nrests == MAX_RESTS)
		memmove(d->rest, d->rest + 1, --d->nrests * sizeof(r));
	if (!array_reserve(d->rest, d->rests_cap, d->nrests + 1))
		d->rest[d->nrests++] = r;
}

static void end_rests(struct deep *d, uint64_t now)
{
	size_t k = 0;

	for (size_t i = 0; i < d->nrests; i++) {
		if (d->rest[i].until_ns > now)
			d->rest[k++] = d->rest[i];
	}
	d->nrests = k;
}

/* --- attaching --- */

/* Once a minute; what it is about is counted. */
__attribute__((format(printf, 2, 3))) static void tell(struct deep *d, const char *fmt, ...)
{
	uint64_t now = util__now_ns();
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log__printf(d->told_ns && now - d->told_ns < TELL_NS ? LOG_DEBUG : LOG_WARN, "%s", line);
	if (!d->told_ns || now - d->told_ns >= TELL_NS)
		d->told_ns = now;
}

static int load(struct deep *d, unsigned m)
{
	uint64_t now = util__now_ns();
	struct attach_options opts;

	if (d->attach[m])
		return 0;
	if (now < d->retry_ns[m])
		return -ENOSYS;
	attach_options__init(&opts);
	opts.sample_bytes = d->rate[m / WAYS];
	opts.max_depth = (int)d->o.config->max_depth;
	opts.patience_ns = PATIENCE_NS;
	opts.tuning = d->o.tuning;
	if (opts.sample_bytes >= RARE_SAMPLE_BYTES)
		opts.tuning.ring_bytes = RARE_RING_BYTES;
	opts.fast = m % WAYS == BY_FAST;
	if (attach__open(&opts, &d->attach[m])) { /* said there */
		d->attach[m] = NULL;
		d->retry_ns[m] = now + REST_FAILED_NS;
		snprintf(d->error, sizeof(d->error), "nothing can be observed: see the log");
		return -ENOSYS;
	}
	if (ledgers__new(d->attach[m]->observer, false, &d->ledgers[m]))
		d->ledgers[m] = NULL; /* then there are none */
	return loop__add_fd(d->o.loop, observer__fd(d->attach[m]->observer), NULL, NULL);
}

/* It may have ended already, though this pass has seen it alive. */
static struct deep_one *find(const struct deep *d, struct deep_id id)
{
	for (size_t i = 0; i < d->n; i++) {
		if (same(d->one[i]->p.id, id))
			return d->one[i];
	}
	return NULL;
}

/* Attaches to this process and to nobody who has got its number meanwhile. */
static int attach_to(struct observer *o, struct deep_id id, const struct target **ret)
{
	struct pidref p;
	int err = observer__add(o, (int)id.pid, ret);

	if (err)
		return err;
	err = pidref__open((pid_t)id.pid, id.start_ns, &p);
	if (!err)
		pidref__close(&p);
	else
		observer__remove_target(o, *ret);
	return err;
}

static int add(struct deep *d, struct deep_id id, unsigned mode, struct deep_one **ret)
{
	const struct target *t;
	struct deep_one *x;
	int err = load(d, mode);

	if (!err)
		err = array_reserve(d->one, d->cap, d->n + 1);
	x = err ? NULL : calloc(1, sizeof(*x));
	if (!err && !x)
		err = -ENOMEM;
	if (!err) {
		err = attach_to(d->attach[mode]->observer, id, &t);
		if (err)
			snprintf(d->error, sizeof(d->error), "%s",
				 observer__error()[0] ? observer__error() : strerror(-err));
	}
	if (err) {
		free(x);
		return err;
	}
	x->p = (struct deep_process){
		.id = id, .target = t, .is_fast = t->nfast > 0, .attached_ns = util__now_ns()};
	x->mode = mode;
	x->looked_ns = x->p.attached_ns;
	d->one[d->n++] = x;
	d->stats.attached++;
	attach__announce_when_read(d->attach[mode], t);
	x->p.is_go = runtimes__is_go(d->attach[mode]->runtimes, t);
	*ret = x;
	return 0;
}

/* Nobody is sampled at this rate. */
static bool is_idle(const struct deep *d, unsigned rate)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->one[i]->mode / WAYS == rate)
			return false;
	}
	return true;
}

/* A reload may have left some that no rule wants any more. */
static unsigned rate_of(struct deep *d, uint64_t sample_bytes)
{
	unsigned unused = 0;

	if (!sample_bytes || sample_bytes == d->rate[0])
		return 0;
	for (unsigned i = 1; i < RATES; i++) {
		if (d->rate[i] == sample_bytes)
			return i;
		if (!unused && is_idle(d, i))
			unused = i;
	}
	if (!unused)
		return 0;
	for (unsigned m = unused * WAYS; m < (unused + 1) * WAYS; m++)
		unload(d, m);
	d->windows[unused] = (struct windows){0};
	d->pace[unused] = (struct pace){0};
	d->rate[unused] = sample_bytes;
	return unused;
}

static unsigned mode_of(struct deep *d, const struct config_profile *rule)
{
	unsigned way = BY_PROBES;

	if (rule && rule->fast && d->o.fast)
		way = BY_FAST;
	else if (rule && rule->windows)
		way = BY_WINDOWS;
	return rate_of(d, rule ? rule->sample_bytes : 0) * WAYS + way;
}

/* Go programs that no rule chooses cost next to nothing: they take nobody's place. */
static size_t count_places(const struct deep *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n; i++)
		n += d->one[i]->rule || !d->one[i]->p.is_go;
	return n;
}

/* Room for one more, or why not. */
static int check_room(struct deep *d, struct deep_id id, bool is_go)
{
	const struct deep_rest *r = find_rest(d, id);

	if (r && r->over_budget)
		return -EDQUOT;
	if (d->n >= MAX_ALL || (!is_go && count_places(d) >= d->o.config->max_processes)) {
		d->stats.refused++;
		return -EBUSY;
	}
	return 0;
}

static void follow_rule(struct deep_one *x, const struct config_profile *rule)
{
	uint64_t now = util__now_ns();

	if (x->rule == rule)
		return;
	x->rule = rule;
	x->p.rule = rule ? rule->name : x->p.is_go ? "go" : "";
	x->window_ns = rule && rule->window_ns ? now + rule->window_ns : 0;
	x->snapshot_ns = now + (rule ? rule->snapshot_ns : 0);
}

static uint64_t attach_ns(const struct deep *d)
{
	return d->o.tuning.attach_ns ? d->o.tuning.attach_ns : ATTACH_NS;
}

void deep__begin(struct deep *d)
{
	d->pass_ns = util__now_ns();
	end_rests(d, d->pass_ns);
	budget__end_windows(d);
	d->came = 0;
	d->more_to_come = false;
	for (size_t i = 0; i < d->n; i++)
		d->one[i]->chosen = false;
}

void deep__consider(struct deep *d, struct deep_id id, uint64_t rss_bytes,
		    const struct config_profile *rule, bool is_go)
{
	bool wanted = rule ? !rule->ignore && !rule->on_demand : is_go;
	struct deep_one *x = find(d, id);
	int err;

	if (x) {
		x->chosen = wanted;
		x->rss_bytes = rss_bytes;
		if (wanted && x->rule != rule)
			follow_rule(x, rule);
		return;
	}
	if (!wanted || find_rest(d, id))
		return;
	if (d->came && util__now_ns() - d->pass_ns > attach_ns(d)) {
		d->more_to_come = true;
		return;
	}
	err = check_room(d, id, !rule);
	if (err == -EBUSY)
		tell(d,
		     "%u processes are profiled, as many as max-processes allows: %s chosen by "
		     "[profile %s] is not",
		     d->o.config->max_processes, "one", rule ? rule->name : "go");
	if (!err)
		err = add(d, id, mode_of(d, rule), &x);
	if (err) {
		if (err != -EBUSY && err != -EDQUOT) {
			d->stats.failed += err != -ESRCH;
			add_rest(d, id, REST_FAILED_NS, false);
			if (err != -ESRCH)
				tell(d, "failed to attach to PID %u: %s; tried again in a minute",
				     id.pid, d->error);
		}
		return;
	}
	x->p.rule = x->p.is_go ? "go" : "";
	follow_rule(x, rule);
	x->rss_bytes = rss_bytes;
	x->chosen = true;
	d->came++;
}

bool deep__more_to_come(const struct deep *d)
{
	return d->more_to_come;
}

/* --- letting go --- */

static void keep(struct deep *d, struct deep_one *x, enum deep_why why)
{
	struct profile *p = NULL;

	/* Recordings have no fifth value. */
	if (!d->o.keep || deep__profile(d, &x->p, 0, deep__with(&x->p) & ~DEEP_RESIDENCY, &p))
		return;
	d->o.keep(d->o.arg, &x->p, p, why);
	profile__free(p);
}

/* The one that costs most goes first; who comes back has to wait. */
static void keep_to_budget(struct deep *d)
{
	size_t at;
	struct deep_one *x = budget__look(d, &at);

	if (!x)
		return;
	log_warn(
		"profiling PID %d (%s) costs it %.1f %% of a CPU (all together %.1f %%), more than "
		"is allowed: let go for 10 minutes",
		x->p.target->pid, x->p.target->comm, x->p.cost_percent, d->stats.cost_percent);
	d->stats.over_budget++;
	add_rest(d, x->p.id, REST_BUDGET_NS, true);
	keep(d, x, DEEP_BUDGET);
	let_go(d, at);
}

/* True: it is to go, because of *ret_why; for a window it rests meanwhile. */
static bool is_over(struct deep *d, struct deep_one *x, enum deep_why *ret_why)
{
	uint64_t now = d->pass_ns;

	if (x->p.ended)
		return now - x->ended_ns > AFTER_END_NS;
	if (x->demand_ns > now)
		return false;
	*ret_why = DEEP_WINDOW;
	if (x->window_ns && now >= x->window_ns) {
		add_rest(d, x->p.id, x->rule->every_ns - x->rule->window_ns, false);
		return true;
	}
	return !x->chosen;
}

static bool is_peak(double bytes, double *last)
{
	if (isnan(bytes) || bytes < max_of(*last * PEAK_STEP, PEAK_LEAST))
		return false;
	*last = bytes;
	return true;
}

/* The highest so far, where the rule wants it. */
static void keep_peaks(struct deep *d, struct deep_one *x)
{
	struct runtimes_numbers n;

	if (x->rule && x->rule->peak) {
		deep__numbers(d, &x->p, &n);
		if (is_peak(n.inuse_bytes, &x->peak_bytes)) {
			keep(d, x, DEEP_PEAK);
			/* what has come since is in what was kept */
			deep__numbers(d, &x->p, &n);
			x->peak_bytes = fmax(x->peak_bytes, n.inuse_bytes);
		}
	}
	if (x->rule && x->rule->peak_rss && is_peak((double)x->rss_bytes, &x->peak_rss_bytes))
		keep(d, x, DEEP_PEAK_RSS);
}

void deep__end(struct deep *d)
{
	keep_to_budget(d);
	for (size_t i = 0; i < d->n; i++) {
		struct deep_one *x = d->one[i];
		enum deep_why why = DEEP_WINDOW;

		if (is_over(d, x, &why)) {
			log_info("let go of PID %d (%s)", x->p.target->pid, x->p.target->comm);
			if (!x->p.ended)
				keep(d, x, why);
			let_go(d, i--);
			continue;
		}
		if (x->p.ended)
			continue;
		keep_peaks(d, x);
		if (x->rule && x->rule->snapshot_ns && d->pass_ns >= x->snapshot_ns) {
			keep(d, x, DEEP_REGULAR);
			x->snapshot_ns = d->pass_ns + x->rule->snapshot_ns;
		}
	}
}

void deep__poll(struct deep *d)
{
	box__turn(NAMES_NS);
	for (unsigned m = 0; m < MODES; m++) {
		if (d->attach[m])
			attach__poll(d->attach[m]);
		if (d->attach[m] && m % WAYS == BY_FAST)
			pace__tick(&d->pace[m / WAYS], d->attach[m]->observer, util__now_ns());
	}
	for (size_t i = 0; i < d->n; i++) {
		struct deep_one *x = d->one[i];

		if (!x->p.target->ended || x->p.ended)
			continue;
		x->p.ended = true;
		x->ended_ns = util__now_ns();
		x->p.cost_percent = 0;
		keep(d, x, DEEP_ENDED);
	}
}

uint64_t deep__turn_ns(const struct deep *d)
{
	return d->n ? TURN_BUSY_NS : TURN_IDLE_NS;
}

/* That of processes whose rule has none. */
static void change_rate(struct deep *d, uint64_t sample_bytes)
{
	d->rate[0] = sample_bytes;
	d->pace[0] = (struct pace){0};
	for (unsigned m = 0; m < WAYS; m++) {
		struct observer *o = d->attach[m] ? d->attach[m]->observer : NULL;

		if (o && sample_bytes > 1 && observer__sample_bytes(o) > 1)
			observer__set_rate(o, sample_bytes);
		else if (o)
			log_warn("sample-bytes: to and from 1 (every allocation) takes a restart; "
				 "continuing with the former");
	}
}

/* Who is still chosen is told by the next pass, until which nobody goes. Sections are the same if
 * they have the same name. */
void deep__reload(struct deep *d, const struct config *c)
{
	if (c->sample_bytes != d->rate[0])
		change_rate(d, c->sample_bytes);
	for (size_t i = 0; i < d->n; i++) {
		struct deep_one *x = d->one[i];
		double limit = budget__limit(d->o.config, x);

		x->rule = x->rule ? config__find_profile(c, x->rule->name) : NULL;
		x->p.rule = x->rule ? x->rule->name : x->p.is_go ? "go" : "";
		if (!x->rule || !x->rule->window_ns)
			x->window_ns = 0;
		if (budget__limit(c, x) > limit)
			budget__allow_all(d, x);
	}
	d->o.config = c;
	d->nrests = 0;
	memset(d->retry_ns, 0, sizeof(d->retry_ns));
}

/* --- for others --- */

int deep__demand(struct deep *d, struct deep_id id, uint64_t ns, const struct config_profile *rule,
		 bool *ret_old)
{
	struct deep_one *x = find(d, id);
	int err = 0;

	*ret_old = x != NULL;
	d->error[0] = 0;
	if (x && x->p.ended)
		return -ESRCH;
	if (!x) {
		err = check_room(d, id, false);
		if (!err)
			err = add(d, id, mode_of(d, rule), &x);
		if (err)
			return err;
		x->p.rule = x->p.is_go ? "go" : "";
		follow_rule(x, rule); /* what it may cost, and what happens beyond that */
	}
	x->demand_ns = max_of(x->demand_ns, util__now_ns() + ns);
	return 0;
}

bool deep__is_over_budget(const struct deep *d, struct deep_id id)
{
	const struct deep_rest *r = find_rest(d, id);

	return r && r->over_budget;
}

const char *deep__error(const struct deep *d)
{
	return d->error;
}

const struct deep_process *deep__next(const struct deep *d, const struct deep_process *p)
{
	size_t i = 0;

	while (p && i < d->n && &d->one[i]->p != p)
		i++;
	i += p != NULL;
	return i < d->n ? &d->one[i]->p : NULL;
}

const struct deep_process *deep__find(const struct deep *d, struct deep_id id)
{
	for (size_t i = d->n; i-- > 0;) {
		if (deep_id__is_same(d->one[i]->p.id, id))
			return &d->one[i]->p;
	}
	return NULL;
}

static struct attach *attach_of(struct deep *d, const struct deep_process *p)
{
	return d->attach[((const struct deep_one *)p)->mode];
}

int deep__profile(struct deep *d, const struct deep_process *p, uint64_t since_ns, unsigned with,
		  struct profile **ret)
{
	struct snapshot_opts opts = {.target = p->target,
				     .since_ns = since_ns,
				     .mappings = with & DEEP_MAPPINGS,
				     .histograms = with & DEEP_HISTOGRAMS,
				     .residency = with & DEEP_RESIDENCY};
	struct attach *a = attach_of(d, p);

	observer__catch_up(a->observer);
	attach__poll(a);
	return attach__snapshot(a, opts, ret);
}

unsigned deep__with(const struct deep_process *p)
{
	const struct config_profile *rule = ((const struct deep_one *)p)->rule;

	if (!rule)
		return 0;
	return (rule->mappings ? DEEP_MAPPINGS : 0) | (rule->histograms ? DEEP_HISTOGRAMS : 0) |
	       (rule->touched ? DEEP_RESIDENCY : 0);
}

int deep__symbol(struct deep *d, const struct deep_process *p, uint64_t address, char *buf,
		 size_t len)
{
	struct symbolizer *sym = attach_of(d, p)->symbolizer;
	struct symbolizer_module *module;
	struct symbolizer_frame frame[1];
	const struct procmap_entry *e;
	struct procmap *maps = NULL;
	struct box_target whose;
	struct pidref ref;
	cleanup_fd int fd = -1, root = -1;
	int err = pidref__open((pid_t)p->id.pid, p->id.start_ns, &ref);

	if (err)
		return err;
	err = procmap__read((int)p->id.pid, &maps);
	if (err) {
		pidref__close(&ref);
		return err;
	}
	whose = box__target((pid_t)p->id.pid);
	e = procmap__find(maps, address);
	fd = e ? procmap__open(maps, e) : -ENOENT;
	root = e ? rootdir__of_file((pid_t)p->id.pid, fd, e->path) : -1;
	err = !pidref__is_there(&ref) ? -ESRCH : fd < 0 ? fd : 0;
	pidref__close(&ref);
	if (!err)
		err = symbolizer__module(sym, fd, e->path, root, &whose, &module);
	if (!err)
		err = symbolizer__lookup(sym, module, address - e->start + e->offset, frame, 1) &&
				      frame[0].name
			      ? 0
			      : -ENOENT;
	if (!err)
		snprintf(buf, len, "%s", frame[0].name);
	procmap__free(maps);
	return err;
}

int deep__collections(struct deep *d, const struct deep_process *p, uint32_t *ret)
{
	return runtimes__collections(attach_of(d, p)->runtimes, p->target, ret);
}

void deep__numbers(struct deep *d, const struct deep_process *p, struct runtimes_numbers *ret)
{
	struct attach *a = attach_of(d, p);

	inuse__look(a->observer, p->target, false);
	runtimes__numbers(a->runtimes, a->observer, p->target, ret);
	if (!inuse__known(a->observer, p->target))
		ret->inuse_bytes = ret->inuse_objects = NAN;
}

uint64_t deep__sample_bytes(struct deep *d, const struct deep_process *p)
{
	return p->is_go || p->target->samples_itself
		       ? 0
		       : observer__sample_bytes_of(attach_of(d, p)->observer, p->target);
}

bool deep__is_thinned(const struct deep_process *p)
{
	return ((const struct deep_one *)p)->ration.octaves;
}

double deep__window_share(struct deep *d, const struct deep_process *p)
{
	return observer__window_share(attach_of(d, p)->observer, p->target);
}

const struct ledger *deep__ledger(struct deep *d, const struct deep_process *p)
{
	struct ledgers *l = d->ledgers[((const struct deep_one *)p)->mode];
	const struct ledgers_entry *e = l ? ledgers__of(l, p->target) : NULL;

	return e && e->has && e->start_ns == p->target->start_ns ? &e->ledger : NULL;
}

void deep__look_at_ledgers(struct deep *d)
{
	struct deep_one *next = NULL;

	for (size_t i = 0; i < d->n; i++) {
		if (!d->one[i]->p.ended && d->ledgers[d->one[i]->mode] &&
		    (!next || d->one[i]->ledger_ns < next->ledger_ns))
			next = d->one[i];
	}
	if (!next)
		return;
	next->ledger_ns = util__now_ns();
	ledgers__refresh(d->ledgers[next->mode], next->p.target, LEDGER_NS);
}

void deep__keep_all(struct deep *d, enum deep_why why)
{
	for (size_t i = 0; i < d->n; i++) {
		if (!d->one[i]->p.ended)
			keep(d, d->one[i], why);
	}
}

void deep__stats(struct deep *d, struct deep_stats *ret)
{
	*ret = d->stats;
	ret->profiled = (unsigned)d->n;
	ret->living = 0;
	ret->events_lost = 0;
	for (size_t i = 0; i < d->n; i++)
		ret->living += !d->one[i]->p.ended;
	for (unsigned m = 0; m < MODES; m++) {
		struct losses l;

		if (d->attach[m] && !missing__gather(d->attach[m]->observer, NULL, &l))
			ret->events_lost += losses__sum(&l, LOSSES_SUM);
	}
}
