/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/go_watch.h"

#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "go/gctrace.h"
#include "go/goroutines.h"
#include "go/go_timeline.h"
#include "run/loop.h"
#include "format/output.h"
#include "format/timeline_file.h"
#include "sys/outfile.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define TRACE_POLL_NS 50000000ULL /* GC cycles wait at most this long to be printed */
#define DEFAULT_RATE 524288	  /* runtime.MemProfileRate's own default */

struct go_watch {
	const struct go_watch_opts *o;
	struct go_target *t;
	struct profile *last; /* newest snapshot: what is left when the target is gone */
	struct go_gctrace *trace;
	struct go_timeline timeline;
	struct go_goroutines_count goroutines;
	uint64_t snapshots, failed, torn;
	uint64_t cost_ns; /* CPU time spent reading; the target is not stopped meanwhile */
	struct loop *loop;
	unsigned timer;
	uint64_t next_ns;
	bool gone;
};

int go_watch__exit_of(int err)
{
	switch (err) {
	case 0: return EXIT_DONE;
	case -ESRCH: return EXIT_NO_PROCESS;
	case -EACCES:
	case -EPERM:
	case -ENOTSUP:
	case -ENOENT: return EXIT_UNSUPPORTED;
	default: return EXIT_FAILED;
	}
}

static void on_cycle(void *arg, const struct go_cycle *c)
{
	struct go_watch *s = arg;
	char line[512];

	if (s->o->json) {
		go_gctrace__print_json(stdout, s->t->pid, util__wall_ms(), c);
	} else if (go_gctrace__format(c, line, sizeof(line)) > 0) {
		puts(line);
	}
	fflush(stdout);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Takes a fresh profile; the one before stays if that fails. */
static int take_snapshot(struct go_watch *s, char why[GO_WHY_LEN])
{
	uint64_t start = cpu_ns();
	struct profile *p = NULL;
	struct go_heap h = {0};
	int err;

	why[0] = 0;
	if (s->o->goroutines) {
		err = go_goroutines__profile(s->t, &p, &s->goroutines);
		if (err)
			snprintf(why, GO_WHY_LEN, "failed to read the goroutines of process %d: %s",
				 s->t->pid, strerror(-err));
	} else {
		err = go_heap__of(s->t, &h, why);
		if (!err)
			err = go_heap__profile(s->t, &h, &p);
		s->torn += h.torn;
		go_heap__free(&h);
	}
	s->cost_ns += cpu_ns() - start;
	if (!procmem__alive(s->t->mem))
		s->gone = true;
	if (err) {
		s->failed++;
		return err;
	}
	s->snapshots++;
	profile__free(s->last);
	s->last = p;
	return 0;
}

static void show_memstats(struct go_watch *s)
{
	struct go_goroutines_count count = {0};
	struct go_memstats m;

	if (go_memstats__read(s->t, &m)) {
		s->gone = !procmem__alive(s->t->mem);
		return;
	}
	go_goroutines__count(s->t, &count);
	if (s->o->timeline)
		go_timeline__add(&s->timeline, &m, count.user);
	if (!s->o->memstats)
		return;
	if (s->o->json)
		go_memstats__print_json(stdout, s->t->pid, util__wall_ms(), &m, count.user);
	else
		go_memstats__print(stdout, &m, count.user);
	fflush(stdout);
}

static bool wants_profile(const struct go_watch *s)
{
	return s->o->noutputs || s->o->goroutines ||
	       (!s->o->gctrace && !s->o->memstats && !s->o->timeline);
}

static void tick(struct go_watch *s)
{
	char why[GO_WHY_LEN];

	if (s->o->memstats || s->o->timeline)
		show_memstats(s);
	if (wants_profile(s) && !s->gone && take_snapshot(s, why) && !s->gone)
		log_warn("%s", why);
}

static int save_timeline(const struct go_timeline *t, const char *path)
{
	const struct timeline *plain = &t->plain;
	int err = go_timeline__save(t, path);

	return err == -EINVAL ? timeline_file__save(path, &plain, 1) : err;
}

static int write_outputs(struct go_watch *s)
{
	int err, type = -1, failed = 0;

	if (s->last && s->o->sample_index && !s->o->goroutines) {
		type = profile__find_type(s->last, s->o->sample_index);
		if (type >= 0)
			s->last->default_sample_type = s->last->sample_type[type].type;
	}
	for (size_t i = 0; s->last && i < s->o->noutputs; i++) {
		err = output__write_type(s->last, s->o->outputs[i], type);
		if (err) {
			log_error("failed to write '%s': %s", s->o->outputs[i],
				  outfile__strerror(err));
			failed = err;
		}
	}
	if (s->o->timeline) {
		err = save_timeline(&s->timeline, s->o->timeline);
		if (err) {
			log_error("failed to write '%s': %s", s->o->timeline,
				  outfile__strerror(err));
			failed = err;
		}
	}
	return failed;
}

static void on_end(void *arg, uint32_t events)
{
	struct go_watch *s = arg;

	s->gone = true;
	loop__stop(s->loop);
}

static void read_trace(void *arg)
{
	struct go_watch *s = arg;

	if (s->trace)
		go_gctrace__poll(s->trace);
}

/* SIGUSR1 */
static void write_now(void *arg)
{
	struct go_watch *s = arg;

	tick(s);
	write_outputs(s);
}

static void next_look(void *arg)
{
	struct go_watch *s = arg;

	tick(s);
	if (s->gone || ferror(stdout))
		loop__stop(s->loop); /* nothing to read, or nobody reads any more */
	s->next_ns = max_of(s->next_ns + s->o->interval_ns, util__now_ns());
	loop__set_timer(s->loop, s->timer, s->next_ns);
}

static int watch(struct go_watch *s)
{
	cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, s->t->pid, 0);
	int err = pidfd >= 0 ? loop__add_fd(s->loop, pidfd, on_end, s) : 0;

	if (!err)
		err = loop__add_timer(s->loop, LOOP_NEVER, next_look, s, &s->timer);
	if (err)
		return err;
	loop__each_turn(s->loop, s->trace ? TRACE_POLL_NS : LOOP_NEVER, read_trace, s);
	loop__on_write(s->loop, write_now, s);
	loop__set_duration(s->loop, s->o->duration_ns);
	s->next_ns = util__now_ns();
	next_look(s);
	err = loop__run(s->loop);
	if (!s->gone)
		tick(s);
	if (pidfd >= 0)
		loop__drop_fd(s->loop, pidfd);
	return err;
}

static int enable_memprofile(struct go_watch *s)
{
	uint64_t rate = 0;
	int err = go_target__u64(s->t, s->t->sym.mem_profile_rate, 0, &rate);

	if (!err && rate) {
		log_info("heap profiling is on already (rate %lu)", (unsigned long)rate);
		return 0;
	}
	rate = DEFAULT_RATE;
	if (!err)
		err = procmem__write(s->t->pid, s->t->sym.mem_profile_rate, &rate, sizeof(rate));
	if (err) {
		log_error("failed to switch heap profiling on in process %d: %s", s->t->pid,
			  strerror(-err));
		return err;
	}
	log_warn("wrote runtime.MemProfileRate = %d into process %d: this changes the program; "
		 "blocks "
		 "allocated before are not in its profile, and it goes on profiling after memwatch "
		 "ends",
		 DEFAULT_RATE, s->t->pid);
	return 0;
}

static int run_attached(struct go_watch *s)
{
	uint64_t seen = 0, lost = 0, rate = 0;
	char why[GO_WHY_LEN];
	int status = EXIT_DONE;

	go_target__u64(s->t, s->t->sym.mem_profile_rate, 0, &rate);
	if (!rate && !s->o->enable_memprofile && wants_profile(s) && !s->o->goroutines)
		log_warn(
			"%s: heap profiling is off%s: the profile is empty; MemStats, GC trace and "
			"goroutines work (--go-enable-memprofile switches it on in the target)",
			s->t->exe,
			s->t->profiling_off_by_linker
				? ", disabled by the linker because the program "
				  "does not use it"
				: "");
	if (s->o->gctrace && go_gctrace__attach(s->t, on_cycle, s, &s->trace, why)) {
		log_error("%s", why);
		return EXIT_UNSUPPORTED;
	}
	log_info("attached to %d (%s, %s%s)", s->t->pid, s->t->comm, s->t->bin.version,
		 s->t->bin.cgo ? ", cgo" : "");
	if (s->o->once)
		tick(s);
	else if (watch(s))
		status = EXIT_FAILED;
	if (s->trace) {
		go_gctrace__poll(s->trace);
		go_gctrace__books(s->trace, &seen, &lost);
	}
	if (wants_profile(s) && !s->last) {
		log_error("no profile of process %d could be read", s->t->pid);
		status = s->gone ? EXIT_NO_PROCESS : EXIT_FAILED;
	} else if (write_outputs(s)) {
		status = EXIT_FAILED;
	}
	if (s->last && !s->o->noutputs)
		output__write_stream(s->last, stdout, s->o->json ? OUTPUT_JSON : OUTPUT_TEXT, -1);
	log_info(
		"%lu snapshots, %lu refused, %lu records read again; %lu GC cycles seen, %lu lost; "
		"%lu goroutine stacks cut; %.1f ms of CPU time for reading, target not stopped%s",
		s->snapshots, s->failed, s->torn, seen, lost, s->goroutines.unreadable,
		(double)s->cost_ns / 1e6, s->gone ? "; the target ended" : "");
	return status;
}

int go_watch__run(const struct go_watch_opts *o)
{
	struct go_watch s = {.o = o};
	char why[GO_WHY_LEN];
	int status, err = go_target__open(o->pid, &s.t, why);

	if (err) {
		log_error("%s", why[0] ? why : strerror(-err));
		return go_watch__exit_of(err);
	}
	err = loop__new(&s.loop);
	if (err) {
		log_error("failed to take signals: %s", strerror(-err));
		go_target__close(s.t);
		return EXIT_FAILED;
	}
	go_timeline__init(&s.timeline, o->pid, s.t->comm);
	status = o->enable_memprofile && enable_memprofile(&s) ? EXIT_FAILED : run_attached(&s);
	go_gctrace__detach(s.trace);
	go_timeline__clear(&s.timeline);
	profile__free(s.last);
	go_target__close(s.t);
	loop__free(s.loop);
	return status;
}
