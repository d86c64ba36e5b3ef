/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_history.c - `memwatch history`: what the daemon recorded, whether it runs or not. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmd.h"
#include "core/exit.h"
#include "core/usage.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/units.h"
#include "core/util.h"
#include "core/when.h"
#include "daemon/statedir.h"
#include "format/output.h"
#include "format/timeline_file.h"
#include "history/view.h"
#include "report/merge.h"
#include "sys/filer.h"
#include "sys/outfile.h"
#include "sys/privilege.h"

#define DEFAULT_DIR "/var/lib/memwatch"
#define DEFAULT_WINDOW_MS (24 * 3600000LL)
#define MAX_CANDIDATES 20
#define OTHERS_MEMORY (1ULL << 30)
#define OTHERS_CPU_SECONDS 60
#define EVERY_ROW 100000 /* of a timeline that goes to a file */

enum {
	OPT_STATE_DIR = 256,
	OPT_SINCE,
	OPT_UNTIL,
	OPT_GROWTH,
	OPT_EVENTS,
	OPT_EVENT,
	OPT_PROFILES,
	OPT_PROFILE,
	OPT_AT,
	OPT_DIFF,
	OPT_TOP,
	OPT_JSON,
};

enum history_mode {
	MODE_ALL,
	MODE_GROWTH,
	MODE_EVENTS,
	MODE_EVENT,
	MODE_PROFILES,
	MODE_PROFILE,
	MODE_DIFF
};

struct history_cmd {
	const char *dir, *output;
	enum history_mode mode;
	int64_t since, until, at, id; /* 0: not given */
	uint64_t pid, top;
	const char *name;		/* -p was no number; NULL: it was */
	bool json, has_at, is_anothers; /* is_anothers: what root reads as the user whose it is */
};

static const struct argp_option option_list[] = {
	{NULL, 0, NULL, 0, "When:", 1},
	{"since", OPT_SINCE, "TIME", 0, "from then on (default: a day ago): " WHEN_FORMS, 1},
	{"until", OPT_UNTIL, "TIME", 0, "up to then (default: now)", 1},
	{NULL, 0, NULL, 0, "What (default: everything that happened, as one report):", 2},
	{"growth", OPT_GROWTH, NULL, 0, "the processes, those that grew most first", 2},
	{"events", OPT_EVENTS, NULL, 0,
	 "OOM kills, groups held up at memory.high and alerts, with their numbers", 2},
	{"event", OPT_EVENT, "ID", 0, "one of them, whole; with -o the profile of its moment", 2},
	{"profiles", OPT_PROFILES, NULL, 0, "the heap profiles that were kept, with their numbers",
	 2},
	{"profile", OPT_PROFILE, "ID", 0, "one of them", 2},
	{"pid", 'p', "PID", 0, "one process: its timeline and profiles; by name, where one had it",
	 2},
	{"at", OPT_AT, "TIME", 0, "with -p: its profile at that moment", 2},
	{"diff", OPT_DIFF, NULL, 0,
	 "with -p: its profile at --until less that at --since; in-use may be negative", 2},
	{NULL, 0, NULL, 0, "How:", 3},
	{"output", 'o', "FILE", 0,
	 "write to FILE: a timeline (" TIMELINE_FILE_ENDINGS ") with -p, a profile (.pb.gz .folded "
	 ".svg .html .json .txt) with --event, --profile, --at and --diff",
	 3},
	{"top", OPT_TOP, "N", 0,
	 "processes, events and profiles shown, of these the newest (default 20); of a timeline "
	 "rows, 64 at least",
	 3},
	{"json", OPT_JSON, NULL, 0, "one JSON object on standard output", 3},
	{"state-dir", OPT_STATE_DIR, "DIR", 0, "the daemon's (default " DEFAULT_DIR ")", 3},
	{"quiet", 'q', NULL, 0, "no messages but warnings and errors", 3},
	{"verbose", 'v', NULL, 0, "more messages", 3},
	{0},
};

/* Two of what is shown exclude each other. */
static void set_mode(struct history_cmd *c, enum history_mode m, struct argp_state *state)
{
	if (c->mode != MODE_ALL && c->mode != m)
		argp_error(state, "choose one of --growth, --events, --event, --profiles, "
				  "--profile and --diff");
	c->mode = m;
}

static void set_process(struct history_cmd *c, const char *arg, struct argp_state *state)
{
	if (c->pid || c->name)
		argp_error(state, "--pid: one process at a time");
	if (*arg && strspn(arg, "0123456789+- ") != strlen(arg))
		c->name = arg;
	else
		c->pid = usage__count(state, "--pid", arg, 1, INT32_MAX, "process ID");
}

static bool has_process(const struct history_cmd *c)
{
	return c->pid || c->name;
}

static bool gives_profile(const struct history_cmd *c)
{
	return c->has_at || c->mode == MODE_EVENT || c->mode == MODE_PROFILE ||
	       c->mode == MODE_DIFF;
}

/* What does not go together, in words; NULL: all does. */
static const char *misfit(const struct history_cmd *c)
{
	if ((c->has_at || c->mode == MODE_DIFF) && !has_process(c))
		return "--at and --diff are about one process: name it with -p PID";
	if (c->has_at && c->mode != MODE_ALL)
		return "--at goes with -p PID alone";
	if (has_process(c) && c->mode != MODE_ALL && c->mode != MODE_DIFF &&
	    c->mode != MODE_PROFILES)
		return "-p PID goes with --at, --diff, --profiles, or alone";
	if (c->since > c->until)
		return "--since is after --until";
	if (c->output && !gives_profile(c) && (!has_process(c) || c->mode != MODE_ALL))
		return "-o goes with -p PID, --event, --profile, --at or --diff";
	return NULL;
}

static void check(const struct history_cmd *c, struct argp_state *state)
{
	const char *why = misfit(c);

	if (why)
		argp_error(state, "%s", why);
	if (c->output)
		usage__file(state, "--output", c->output,
			    gives_profile(c) ? output__endings() : TIMELINE_FILE_ENDINGS, NULL);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct history_cmd *c = state->input;

	switch (key) {
	case OPT_STATE_DIR: c->dir = arg; break;
	case OPT_SINCE: c->since = usage__moment(state, "--since", arg); break;
	case OPT_UNTIL: c->until = usage__moment(state, "--until", arg); break;
	case OPT_GROWTH: set_mode(c, MODE_GROWTH, state); break;
	case OPT_EVENTS: set_mode(c, MODE_EVENTS, state); break;
	case OPT_EVENT:
		set_mode(c, MODE_EVENT, state);
		c->id = (int64_t)usage__count(state, "--event", arg, 1, INT64_MAX,
					      "number of an entry");
		break;
	case OPT_PROFILES: set_mode(c, MODE_PROFILES, state); break;
	case OPT_PROFILE:
		set_mode(c, MODE_PROFILE, state);
		c->id = (int64_t)usage__count(state, "--profile", arg, 1, INT64_MAX,
					      "number of an entry");
		break;
	case OPT_DIFF: set_mode(c, MODE_DIFF, state); break;
	case OPT_AT:
		c->at = usage__moment(state, "--at", arg);
		c->has_at = true;
		break;
	case OPT_TOP:
		c->top = usage__count(state, "--top", arg, 1, INT64_MAX, "number of rows");
		break;
	case OPT_JSON: c->json = true; break;
	case 'p': set_process(c, arg, state); break;
	case 'o': usage__once(state, "--output", arg, &c->output); break;
	case 'q': log__set_level(LOG_WARN); break;
	case 'v': log__set_level(LOG_DEBUG); break;
	case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); break;
	case ARGP_KEY_END: check(c, state); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* --- answers; 0 or -errno, with the reason said --- */

static int told(int err, const char *what)
{
	if (err && err != -EPIPE)
		log_error("%s: %s", what,
			  err == -ENOENT  ? "there is none"
			  : err == -ETIME ? "it takes too long"
					  : strerror(-err));
	return err;
}

static int give_profile(const struct history_cmd *c, const struct history_view *v,
			struct profile *p)
{
	int err;

	if (!c->output) {
		err = output__write_stream(p, v->f, c->json ? OUTPUT_JSON : OUTPUT_TEXT, -1);
		return told(err, "failed to write");
	}
	progress__begin("writing '%s'", c->output);
	err = output__write(p, c->output);
	if (err)
		log_error("failed to write '%s': %s", c->output, outfile__strerror(err));
	else
		log_info("wrote %s", c->output);
	return err;
}

static int give_profile_by_id(const struct history_cmd *c, const struct history_view *v, int64_t id)
{
	struct profile *p;
	int err = history__read_profile(v->h, id, &p);

	if (err)
		return told(err, "failed to read that profile");
	err = give_profile(c, v, p);
	profile__free(p);
	return err;
}

static int profile_before(struct history *h, int64_t process, int64_t at, struct profile **ret)
{
	int64_t id;
	int err = history__snapshot_at(h, process, at, &id);
	char when[WHEN_LEN];

	if (!err)
		err = history__read_profile(h, id, ret);
	if (err == -ENOENT)
		log_error("no profile of this process was kept at or before %s; --profiles lists "
			  "those that were",
			  when__local(when, sizeof(when), at));
	else
		told(err, "failed to read that profile");
	return err;
}

static int give_profile_at(const struct history_cmd *c, const struct history_view *v,
			   int64_t process)
{
	struct profile *p;
	int err = profile_before(v->h, process, c->at, &p);

	if (err)
		return err;
	err = give_profile(c, v, p);
	profile__free(p);
	return err;
}

static int give_diff(const struct history_cmd *c, const struct history_view *v, int64_t process)
{
	struct profile *then = NULL, *p = NULL;
	const char *why = "";
	int err = profile_before(v->h, process, c->until, &p);

	if (!err)
		err = profile_before(v->h, process, c->since, &then);
	if (!err) {
		err = merge__subtract(&p, then, &why);
		if (err)
			log_error("failed to compare: %s", *why ? why : strerror(-err));
	}
	if (!err)
		err = give_profile(c, v, p);
	profile__free(p);
	profile__free(then);
	return err;
}

static int give_timeline(const struct history_cmd *c, struct history *h, int64_t process,
			 uint32_t pid)
{
	const struct timeline *all[1];
	struct timeline t;
	char name[TIMELINE_NAME_LEN];
	int err;

	snprintf(name, sizeof(name), "PID %u", pid);
	timeline__init(&t, pid, name, EVERY_ROW);
	all[0] = &t;
	err = told(history__timeline(h, process, c->since, c->until, &t), "failed to read");
	if (!err) {
		err = timeline_file__save(c->output, all, 1);
		if (err)
			log_error("failed to write '%s': %s", c->output, outfile__strerror(err));
		else
			log_info("wrote %s", c->output);
	}
	timeline__clear(&t);
	return err;
}

/* --- which process -p means --- */

struct named {
	const char *name;
	bool tell; /* the candidates */
	size_t n;
	int64_t process; /* the last one */
	uint32_t pid;
};

/* The process's name or that of its program's file, as for a running one. */
static bool is_called(const struct history_process *p, const char *name)
{
	const char *word = p->command ? p->command : "";
	size_t len = strcspn(word, " "), n = strlen(name);

	if (p->comm && !strcmp(p->comm, name))
		return true;
	return len >= n && !strncmp(word + len - n, name, n) &&
	       (len == n || word[len - n - 1] == '/');
}

static int look_at(void *arg, const struct history_process *p)
{
	struct named *w = arg;
	char from[WHEN_LEN], to[WHEN_LEN];

	if (!is_called(p, w->name))
		return 0;
	w->process = p->id;
	w->pid = p->pid;
	if (w->n++ < MAX_CANDIDATES && w->tell)
		log_error("  %7u  %s to %s  %s", p->pid,
			  when__local(from, sizeof(from), p->first_unix_ms),
			  when__local(to, sizeof(to), p->last_unix_ms),
			  p->command && *p->command ? p->command : p->comm);
	return 0;
}

static int find_named(const struct history_cmd *c, struct history *h, struct named *w)
{
	int err = history__lived(h, c->since, c->until, look_at, w);

	if (err || w->n == 1)
		return err;
	if (!w->n) {
		log_error("no process called '%s' was seen in that time; --growth lists those that "
			  "were",
			  c->name);
		return -ESRCH;
	}
	log_error("%zu processes were called '%s' in that time; which? (-p PID)", w->n, c->name);
	*w = (struct named){.name = c->name, .tell = true};
	err = history__lived(h, c->since, c->until, look_at, w);
	if (w->n > MAX_CANDIDATES)
		log_error("  ... and %zu more", w->n - MAX_CANDIDATES);
	return err ? err : -ENOTUNIQ;
}

/* 0; -ESRCH and -ENOTUNIQ, which are said; -errno. */
static int find_process(const struct history_cmd *c, struct history *h, int64_t *ret_process,
			uint32_t *ret_pid)
{
	struct named w = {.name = c->name, .pid = (uint32_t)c->pid};
	int err = c->name ? find_named(c, h, &w)
			  : history__find(h, w.pid, c->since, c->until, &w.process);

	if (err == -ENOENT) {
		log_error("no process with PID %u was seen in that time; --growth lists those that "
			  "were",
			  w.pid);
		return -ESRCH;
	}
	*ret_process = w.process;
	*ret_pid = w.pid;
	return err;
}

static int of_process(const struct history_cmd *c, const struct history_view *v)
{
	int64_t process;
	uint32_t pid;
	int err = find_process(c, v->h, &process, &pid);

	if (err)
		return err == -ESRCH || err == -ENOTUNIQ ? err : told(err, "failed to read");
	if (c->mode == MODE_DIFF)
		return give_diff(c, v, process);
	if (c->mode == MODE_PROFILES)
		return told(history_view__profiles(v, process), "failed to read");
	if (c->has_at)
		return give_profile_at(c, v, process);
	if (c->output)
		return give_timeline(c, v->h, process, pid);
	return told(history_view__process(v, process), "failed to read");
}

static int profile_of_event(void *arg, const struct history_event *e)
{
	*(int64_t *)arg = e->profile;
	return 0;
}

static int of_event(const struct history_cmd *c, const struct history_view *v)
{
	int64_t profile = 0;
	int err;

	if (!c->output)
		return told(history_view__event(v, c->id), "event");
	err = told(history__event_by_id(v->h, c->id, profile_of_event, &profile), "event");
	if (!err && !profile) {
		log_error(
			"no profile was kept of that moment: the process was not profiled, and no "
			"page fault of it was sampled");
		return -ENODATA;
	}
	return err ? err : give_profile_by_id(c, v, profile);
}

static int answer(const struct history_cmd *c, const struct history_view *v)
{
	if (has_process(c))
		return of_process(c, v);
	switch (c->mode) {
	case MODE_GROWTH: return told(history_view__growth(v), "failed to read");
	case MODE_EVENTS: return told(history_view__events(v), "failed to read");
	case MODE_EVENT: return of_event(c, v);
	case MODE_PROFILES: return told(history_view__profiles(v, 0), "failed to read");
	case MODE_PROFILE: return give_profile_by_id(c, v, c->id);
	default: return told(history_view__all(v), "failed to read");
	}
}

static int status_of(int err)
{
	switch (err) {
	case 0:
	case -EPIPE: return EXIT_DONE;
	case -ESRCH: return EXIT_NO_PROCESS;
	case -ENOTUNIQ: return EXIT_USAGE;
	case -EACCES:
	case -EPERM: return EXIT_UNSUPPORTED;
	default: return EXIT_FAILED;
	}
}

static int refuse(const char *dir, int err, const char *why)
{
	log_error("failed to open the history in '%s': %s%s", dir, why,
		  err == -ENOENT   ? "; `memwatch daemon` makes one"
		  : err == -EACCES ? "; it is root's: run with sudo"
				   : "");
	return status_of(err);
}

/* Whole, so that what is written meanwhile does not stand beside words on how long it takes. */
static int print(const char *text, size_t len)
{
	fwrite(text, 1, len, stdout);
	return (fflush(stdout) || ferror(stdout)) && errno != EPIPE
		       ? told(-errno, "failed to write to standard output")
		       : 0;
}

static int answer_whole(const struct history_cmd *c, struct history_view *v)
{
	char *text = NULL;
	size_t len = 0;
	int err, end;

	v->f = open_memstream(&text, &len);
	if (!v->f)
		return told(-ENOMEM, "failed to read");
	err = answer(c, v);
	end = fclose(v->f) ? told(-ENOMEM, "failed to read") : 0;
	progress__end();
	if (!err && !end)
		end = print(text, len);
	free(text);
	return err ? err : end;
}

/* Whoever made it may have made it so that reading it takes all memory there is. */
static void bound_memory(void)
{
	const struct rlimit most = {OTHERS_MEMORY, OTHERS_MEMORY};

	setrlimit(RLIMIT_AS, &most);
}

static int run(const struct history_cmd *c)
{
	struct history_view v = {.from = c->since, .to = c->until, .top = c->top, .json = c->json};
	char why[HISTORY_WHY];
	int err;

	progress__begin("reading the history in '%s'", c->dir);
	err = history__open(c->dir, &v.h, why);
	if (err) {
		progress__end();
		return refuse(c->dir, err, why);
	}
	if (c->is_anothers)
		history__limit(v.h, OTHERS_CPU_SECONDS);
	err = answer_whole(c, &v);
	history__close(v.h);
	return status_of(err);
}

static const struct argp_child children[] = {{&output_mode_argp, 0, NULL, 0}, {0}};

const struct argp cmd_history_argp = {
	option_list,
	parse,
	"",
	"What `memwatch daemon` recorded: who grew, what was killed and why, how the heap "
	"was then. Works while the daemon runs and when it does not.\v"
	"Examples:\n"
	"  memwatch history --since 03:00 --until 03:30   what happened then\n"
	"  memwatch history --growth --since 2h           who grew in the last two hours\n"
	"  memwatch history -p 812 -o rss.html            one process's timeline\n"
	"  memwatch history -p 812 --diff --since 1h      what its heap gained in an hour\n"
	"  memwatch history --event 12 -o before.pb.gz    the heap before an OOM kill\n\n"
	"Exit status: 0 done; 1 failed; 2 wrong usage; 3 not permitted; 4 no such process "
	"in that time.",
	children,
	NULL,
	NULL};

int cmd_history(int argc, char **argv)
{
	int64_t now = util__wall_ms();
	struct history_cmd c = {
		.dir = DEFAULT_DIR, .top = 20, .since = now - DEFAULT_WINDOW_MS, .until = now};
	cleanup_free char *real = NULL;
	char refusal[128] = "";
	uid_t me = geteuid();
	unsigned files;
	int err;

	usage__parse(&cmd_history_argp, argc, argv, 0, &c);
	progress__prepare();
	files = filer__start(false);
	if (output__check("--output", c.output))
		return EXIT_FAILED;
	err = statedir__read_as_owner(c.dir, &real, refusal, sizeof(refusal));
	if (err)
		return refuse(c.dir, err, refusal);
	c.is_anothers = geteuid() != me;
	if (c.is_anothers)
		bound_memory();
	c.dir = real;
	if (privilege__keep(PRIVILEGE(READ) | files))
		return EXIT_FAILED;
	return run(&c);
}
