/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/go_watch.h"

#include "core/exit.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/units.h"
#include "core/util.h"
#include "go/gctrace.h"
#include "go/goroutines.h"
#include "go/go_timeline.h"
#include "run/console.h"
#include "run/loop.h"
#include "format/output.h"
#include "format/timeline_file.h"
#include "sys/outfile.h"
#include "sys/pidref.h"
#include "sys/signals.h"

#include <string.h>
#include <time.h>

#define TRACE_POLL_NS 50000000ULL /* GC cycles wait at most this long to be printed */
#define DEFAULT_RATE 524288	  /* runtime.MemProfileRate's own default */

struct go_watch {
	const struct go_watch_opts *o;
	struct go_program *program;
	struct go_reading heap; /* newest snapshot of the heap; made a profile when it is wanted */
	struct profile *last;	/* newest snapshot: what is left when the target is gone */
	struct go_gctrace *trace;
	struct timeline timeline;
	struct go_memstats memstats; /* of the look before */
	struct go_goroutines_count goroutines;
	uint64_t snapshots, failed, torn;
	uint64_t cost_ns; /* CPU time spent reading; the target is not stopped meanwhile */
	struct console *console;
	struct loop *loop;
	unsigned timer;
	uint64_t next_ns;
	bool gone;
};

/* The exit status for an error of go_target__open. */
static int exit_of(int err)
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
	FILE *f = console__begin_line(s->console);
	char line[512];

	if (!f)
		return;
	if (s->o->json)
		go_gctrace__print_json(f, go_program__pid(s->program), util__wall_ms(), c);
	else if (go_gctrace__format(c, line, sizeof(line)) > 0)
		fprintf(f, "%s\n", line);
	console__end(s->console, f);
}

/* Of this process and the helpers that read for it. */
static uint64_t cpu_ns(const struct go_watch *s)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec +
	       go_program__cpu_ns(s->program);
}

/* Takes a fresh profile; the one before stays if that fails. */
static int take_snapshot(struct go_watch *s, char why[GO_WHY_LEN])
{
	uint64_t start = cpu_ns(s);
	struct profile *p = NULL;
	struct go_reading r;
	int err;

	why[0] = 0;
	progress__begin("reading PID %d", go_program__pid(s->program));
	if (s->o->goroutines) {
		err = go_program__goroutines(s->program, &p, &s->goroutines);
		if (err)
			snprintf(why, GO_WHY_LEN, "failed to read the goroutines of process %d: %s",
				 go_program__pid(s->program), strerror(-err));
	} else {
		err = go_program__heap(s->program, &r, why);
		s->torn += r.facts.torn;
	}
	progress__end();
	s->cost_ns += cpu_ns(s) - start;
	if (!go_program__alive(s->program))
		s->gone = true;
	if (err) {
		s->failed++;
		return err;
	}
	s->snapshots++;
	profile__free(s->last);
	s->last = p;
	if (!s->o->goroutines) {
		go_reading__free(&s->heap);
		s->heap = r;
	}
	return 0;
}

/* The newest snapshot as a profile; NULL: there is none. */
static struct profile *newest(struct go_watch *s)
{
	if (!s->last && s->heap.samples.data && go_program__profile(s->program, &s->heap, &s->last))
		s->last = NULL;
	return s->last;
}

/* MemStats with the rate of GCs: a single look at a program that has just collected takes two. */
static int read_memstats(struct go_watch *s, struct go_memstats *m,
			 struct go_goroutines_count *count)
{
	int err = go_program__memstats(s->program, m, count);

	if (!err && s->o->once &&
	    (uint64_t)util__wall_ms() * 1000000 < m->last_gc_unix_ns + GO_RATE_NS) {
		s->memstats = *m;
		nanosleep(&(struct timespec){.tv_nsec = GO_RATE_NS}, NULL);
		err = go_program__memstats(s->program, m, count);
	}
	if (err)
		return err;
	go_memstats__rate(m, &s->memstats);
	s->memstats = *m;
	return 0;
}

static void show_memstats(struct go_watch *s)
{
	struct go_goroutines_count count = {0};
	struct go_memstats m;
	FILE *f;

	if (read_memstats(s, &m, &count)) {
		s->gone = !go_program__alive(s->program);
		return;
	}
	if (s->o->timeline)
		go_timeline__add(&s->timeline, &m, count.user);
	f = s->o->memstats ? console__begin_line(s->console) : NULL;
	if (!f)
		return;
	if (s->o->json)
		go_memstats__print_json(f, go_program__pid(s->program), util__wall_ms(), &m,
					count.user);
	else
		go_memstats__print(f, &m, count.user);
	console__end(s->console, f);
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

static int write_outputs(struct go_watch *s)
{
	struct profile *p = newest(s);
	int err, type = -1, failed = 0;

	if (p && s->o->sample_index && !s->o->goroutines) {
		type = profile__find_type(p, s->o->sample_index);
		if (type >= 0)
			p->default_sample_type = p->sample_type[type].type;
	}
	for (size_t i = 0; p && i < s->o->noutputs; i++) {
		err = output__write_type(p, s->o->outputs[i], type);
		if (err) {
			log_error("failed to write '%s': %s", s->o->outputs[i],
				  outfile__strerror(err));
			failed = err;
		}
	}
	if (s->o->timeline) {
		const struct timeline *line = &s->timeline;

		err = timeline_file__save(s->o->timeline, &line, 1);
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
	if (s->gone || console__error(s->console))
		loop__stop(s->loop); /* nothing to read, or nobody reads any more */
	s->next_ns = max_of(s->next_ns + s->o->interval_ns, util__now_ns());
	loop__set_timer(s->loop, s->timer, s->next_ns);
}

static int watch(struct go_watch *s)
{
	cleanup_fd int pidfd = pidref__fd(go_program__pid(s->program));
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
	int err = go_program__rate(s->program, &rate);

	if (!err && rate) {
		log_info("heap profiling is on already (rate %lu)", (unsigned long)rate);
		return 0;
	}
	rate = DEFAULT_RATE;
	if (!err)
		err = go_program__set_rate(s->program, rate);
	if (err) {
		log_error("failed to switch heap profiling on in process %d: %s",
			  go_program__pid(s->program), strerror(-err));
		return err;
	}
	log_warn("wrote runtime.MemProfileRate = %d into process %d: this changes the program; "
		 "blocks "
		 "allocated before are not in its profile, and it goes on profiling after memwatch "
		 "ends",
		 DEFAULT_RATE, go_program__pid(s->program));
	return 0;
}

static const char *by_linker(const struct go_program *t)
{
	return go_program__facts(t)->profiling_off_by_linker
		       ? ", disabled by the linker because the program does not use it"
		       : "";
}

static int run_attached(struct go_watch *s)
{
	uint64_t seen = 0, lost = 0;
	char why[GO_WHY_LEN];
	int status = EXIT_DONE;
	bool off;

	off = go_program__profiling_off(s->program) && wants_profile(s) && !s->o->goroutines;
	if (off)
		log_warn(
			"%s: heap profiling is off%s: nothing comes into the profile; MemStats, GC "
			"trace and goroutines work (--go-enable-memprofile switches it on in the "
			"target)",
			go_program__exe(s->program), by_linker(s->program));
	if (s->o->gctrace && go_gctrace__attach(s->program, on_cycle, s, &s->trace, why)) {
		log_error("%s", why);
		return EXIT_UNSUPPORTED;
	}
	log_info("attached to %d (%s, %s%s)", go_program__pid(s->program),
		 go_program__comm(s->program), go_program__facts(s->program)->version,
		 go_program__facts(s->program)->cgo ? ", cgo" : "");
	if (s->o->once)
		tick(s);
	else if (watch(s))
		status = EXIT_FAILED;
	if (s->trace) {
		go_gctrace__poll(s->trace);
		go_gctrace__books(s->trace, &seen, &lost);
	}
	if (wants_profile(s) && !newest(s)) {
		log_error("no profile of process %d could be read", go_program__pid(s->program));
		status = s->gone ? EXIT_NO_PROCESS : EXIT_FAILED;
	} else if (write_outputs(s)) {
		status = EXIT_FAILED;
	}
	console__flush(s->console);
	if (s->last && !s->o->noutputs)
		output__write_stream(s->last, stdout, s->o->json ? OUTPUT_JSON : OUTPUT_TEXT, -1);
	log_info("%lu snapshot%s, %lu refused, %lu record%s read again; %lu GC cycle%s seen, %lu "
		 "lost; "
		 "%lu goroutine stack%s cut; %.1f ms of CPU time for reading, target not "
		 "stopped%s%s%s",
		 s->snapshots, units__s(s->snapshots), s->failed, s->torn, units__s(s->torn), seen,
		 units__s(seen), lost, s->goroutines.unreadable, units__s(s->goroutines.unreadable),
		 (double)s->cost_ns / 1e6, s->gone ? "; the target ended" : "",
		 off ? "; heap profiling is off in the target" : "",
		 off ? by_linker(s->program) : "");
	return status;
}

int go_watch__run(const struct go_watch_opts *o)
{
	struct go_watch s = {.o = o};
	char why[GO_WHY_LEN];
	int status, err;

	progress__begin("attaching to PID %d", o->pid);
	err = go_program__open_started(o->pid, &s.program, why);
	progress__end();
	if (err) {
		log_error("%s", why[0] ? why : strerror(-err));
		return exit_of(err);
	}
	signals__watch();
	err = loop__new(&s.loop);
	if (!err)
		err = console__new(&s.console);
	if (err) {
		log_error("failed to start: %s", strerror(-err));
		loop__free(s.loop);
		go_program__close(s.program);
		return EXIT_FAILED;
	}
	if (o->noutputs || o->timeline)
		signals__finish_first(true); /* they are written at the end */
	go_timeline__init(&s.timeline, o->pid, go_program__comm(s.program));
	status = o->enable_memprofile && enable_memprofile(&s) ? EXIT_FAILED : run_attached(&s);
	go_gctrace__detach(s.trace);
	timeline__clear(&s.timeline);
	profile__free(s.last);
	go_reading__free(&s.heap);
	go_program__close(s.program);
	console__free(s.console);
	loop__free(s.loop);
	return status;
}
