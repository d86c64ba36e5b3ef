/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * soak - a life of months in minutes: processes come and go under an observer with allocator probes
 * and page faults, libraries are opened and closed, programs are replaced, each of many files is
 * started once, and of every process a profile with names is made; what memwatch holds is printed
 * and must stay flat after a warm-up. Usage: soak [-a] [-m MINUTES] PROCESSES DLOPENS EXECS FILES.
 * -a: the observer is system-wide, and the machine's other processes come and go, too. They are let
 * go before each measuring, so that it is told what stays of processes, not how many there are.
 * What depends on how many there were at a time is not judged then: the room of a table that is
 * empty again, the unwind tables and symbols of files, which grow to their bounds. -m: what the
 * time is too short for is left out, which is said; something of each kind is done, and judged. How
 * far it is stands on stderr. Exit status 0: flat; 1: not, or nothing moves any more.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"
#include "elf/symbolizer.h"
#include "model/heap.h"
#include "observe/observer_priv.h"
#include "snapshot/snapshot.h"
#include "sys/statm.h"

#define AT_ONCE 16
#define KNOWN_ALLOCS 200 /* of some_work */
#define SLACK 64	 /* entries */
#define SLACK_BYTES (256 << 10)
#define SAY_NS 15000000000ULL
#define STUCK_S 300 /* without a batch of processes that is done with */
#define LIBRARY "libresolv.so.2"
#define NAMES_BUDGET (32u << 20)
#define TABLES_BUDGET (6 << 18) /* bytes of unwind tables: less than those of the warm-up */

struct sizes {
	uint64_t rss, fds;
	struct footprint_row row[FOOTPRINT_ROWS + 1];
	size_t n;
};

static struct symbolizer *names;

static uint64_t descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void drain(struct observer *o)
{
	for (int i = 0; i < 8; i++) {
		while (observer__poll(o) > 0)
			;
	}
}

/* Until there are no more than so many descriptors, or for some time no fewer: probes are closed
 * beside the loop, one after the other. */
static uint64_t wait_for_closing(uint64_t enough)
{
	uint64_t least = UINT64_MAX, now = 0;
	int limit = enough ? 1500 : 50;

	for (int tries = 0; tries < limit; tries++) {
		now = descriptors();
		if (now <= enough)
			break;
		tries = now < least ? 0 : tries;
		least = min_of(least, now);
		alarm(STUCK_S);
		poll(NULL, 0, 100);
	}
	return now;
}

/* Those of the machine: none of the soak's own is left when it measures. */
static void let_all_go(struct observer *o)
{
	const struct target *t;

	while ((t = observer__next(o, NULL)))
		observer__remove_target(o, t);
}

static void measure(struct observer *o, struct sizes *s, uint64_t enough)
{
	struct symbolizer_stats symbols;
	struct statm self;

	drain(o);
	let_all_go(o);
	observer__compact(o); /* waste that waits for more of it is none of a leak */
	s->fds = wait_for_closing(enough);
	malloc_trim(0); /* nor is what malloc keeps for later */
	statm__read(getpid(), &self);
	s->rss = self.rss;
	s->n = observer__footprint(o, s->row);
	symbolizer__stats(names, &symbols);
	s->row[s->n++] =
		(struct footprint_row){"symbols", symbols.bytes, symbols.descriptors, false};
}

/* --- what is observed; these run in children --- */

static __attribute__((noinline)) void some_work(void)
{
	void *p[50];

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 50; i++) {
			p[i] = malloc(1000 + i * 100);
			memset(p[i], 1, 1000);
		}
		for (int i = round == 3 ? 10 : 0; i < 50; i++)
			free(p[i]);
	}
}

static void open_and_close(int n)
{
	for (int i = 0; i < n; i++) {
		void *lib = dlopen(LIBRARY, RTLD_NOW);

		some_work();
		if (lib)
			dlclose(lib);
	}
}

/* The child side: argv = soak child N-EXECS-LEFT. */
static int again(int left)
{
	char number[16], *argv[] = {"soak", "child", number, NULL};

	some_work();
	if (!left)
		return 0;
	snprintf(number, sizeof(number), "%d", left - 1);
	execv("/proc/self/exe", argv);
	return 1;
}

/* --- how far it is --- */

static struct {
	uint64_t end_ns, part_end_ns, said_ns; /* ends: 0 for none */
	const char *what;
} progress;

static void on_stuck(int sig)
{
	static const char text[] = "soak: nothing moves any more\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

/* False: the time is over, of which each part but its first step takes half of what is left. */
static bool go_on(const char *what, int done, int of)
{
	uint64_t now = util__now_ns();
	bool more;

	if (!done)
		progress.part_end_ns = now + (progress.end_ns - min_of(now, progress.end_ns)) / 2;
	more = !done || !progress.end_ns || now < progress.part_end_ns;
	alarm(STUCK_S);
	if (!more && done < of)
		fprintf(stderr, "soak: the time is over: %d of %d %s\n", done, of, what);
	else if (now - progress.said_ns > SAY_NS || progress.what != what)
		fprintf(stderr, "soak: %d of %d %s\n", done, of, what);
	else
		return more;
	progress.said_ns = now;
	progress.what = what;
	return more;
}

/* --- the observer's side --- */

struct child {
	pid_t pid;
	int go; /* closed: it may run */
};

/* `soakfile`, which lies beside this program, by another name: what is started is another file. */
static void copy_program(int i, char path[PATH_MAX])
{
	char self[PATH_MAX] = "";
	struct stat st;
	int from, to;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		exit(2);
	*strrchr(self, '/') = 0;
	snprintf(path, PATH_MAX, "%.4000s/soakfile", self);
	from = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, PATH_MAX, "%.4000s/soakfile.%d.%d", self, getpid(), i);
	to = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0700);
	if (from < 0 || to < 0 || fstat(from, &st) || sendfile(to, from, NULL, st.st_size) < 0) {
		fprintf(stderr, "soak: failed to copy 'soakfile': %s\n", strerror(errno));
		exit(2);
	}
	close(from);
	close(to);
}

static struct child start(void (*work)(int), int arg)
{
	struct child c = {0};
	int fd[2];
	char byte;

	if (pipe(fd))
		exit(2);
	c.pid = fork();
	if (!c.pid) {
		close(fd[1]);
		if (read(fd[0], &byte, 1) < 0)
			_exit(1);
		close(fd[0]);
		work(arg);
		_exit(0);
	}
	close(fd[0]);
	c.go = fd[1];
	return c;
}

/* A file of its own for each, `soakfile` copied: it has said that it is there, and waits. */
static struct child start_file(int i)
{
	struct child c = {0};
	char path[PATH_MAX], byte;
	int go[2], here[2];

	copy_program(i, path);
	if (pipe2(go, O_CLOEXEC) || pipe2(here, O_CLOEXEC))
		exit(2);
	c.pid = fork();
	if (!c.pid) {
		dup2(go[0], STDIN_FILENO);
		dup2(here[1], STDOUT_FILENO);
		execl(path, path, NULL);
		_exit(1);
	}
	close(go[0]);
	close(here[1]);
	if (read(here[0], &byte, 1) != 1) {
		fprintf(stderr, "soak: '%s' does not start\n", path);
		exit(2);
	}
	close(here[0]);
	unlink(path);
	c.go = go[1];
	return c;
}

static void work_some(int n)
{
	some_work();
}

static void work_exec(int n)
{
	again(n);
}

/* An index that another process had before has the new one's numbers, and its stacks. */
static void check(const struct observer *o, const struct target *t, bool is_known)
{
	const struct heap_target *h = &observer__heap(o)->targets[t->index];

	if (!h->late_stacks && !h->implied_frees &&
	    (!is_known ||
	     (h->alloc_objects >= KNOWN_ALLOCS && h->alloc_objects < KNOWN_ALLOCS + 50)))
		return;
	fprintf(stderr,
		"soak: index %u: %.0f allocations, %llu without their stack, %llu frees missed\n",
		t->index, h->alloc_objects, (unsigned long long)h->late_stacks,
		(unsigned long long)h->implied_frees);
	exit(1);
}

/* Its profile has the name of what it did, which is of a file that many had before, or none. */
static void look(struct observer *o, const struct target *t, const char *name)
{
	const struct snapshot_opts opts = {.target = t};
	struct profile *p;
	bool found = !name;
	int err = snapshot__heap(o, names, &opts, &p);

	for (size_t i = 0; !err && !found && i < p->nfunctions; i++)
		found = !strcmp(profile__text(p, p->functions[i].name), name);
	if (err || !found) {
		fprintf(stderr, "soak: PID %d: no %s in its profile (error %d)\n", t->pid,
			name ? name : "names", err);
		exit(1);
	}
	profile__free(p);
}

/* What name a profile of such a process must have; NULL: it may have ended too early. */
static const char *name_of(void (*work)(int))
{
	return !work ? "work_of_a_file" : work == work_some ? "some_work" : NULL;
}

/* Processes from their attach to their end, all at once, and let go. work NULL: of files. */
static void lives(struct observer *o, void (*work)(int), int arg, int n)
{
	struct child c[AT_ONCE];
	const struct target *t[AT_ONCE];

	for (int i = 0; i < n; i++) {
		c[i] = work ? start(work, arg) : start_file(i);
		if (observer__add(o, c[i].pid, &t[i])) {
			fprintf(stderr, "soak: failed to attach to %d: %s\n", c[i].pid,
				observer__error());
			exit(1);
		}
	}
	for (int i = 0; i < n; i++)
		close(c[i].go);
	for (int i = 0; i < n; i++) {
		while (waitpid(c[i].pid, NULL, WNOHANG) == 0) {
			struct pollfd p = {.fd = observer__fd(o), .events = POLLIN};

			poll(&p, 1, 2);
			/* One process that lives long, of many libraries or images, moves as well.
			 */
			if (observer__poll(o) > 0)
				alarm(STUCK_S);
		}
	}
	drain(o);
	for (int i = 0; i < n; i++) {
		check(o, t[i], work == work_some);
		look(o, t[i], name_of(work));
		observer__remove_target(o, t[i]);
	}
}

static uint64_t table_bytes(const struct sizes *s)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < s->n; i++)
		bytes += s->row[i].in_kernel ? 0 : s->row[i].bytes;
	return bytes;
}

static void print(const char *when, const struct sizes *s)
{
	uint64_t entries = 0;

	for (size_t i = 0; i < s->n; i++)
		entries += s->row[i].in_kernel ? s->row[i].entries : 0;
	printf("%-28s RSS %7.1f MiB, tables %6.2f MiB, %4llu descriptors, %6llu entries in the "
	       "kernel\n",
	       when, s->rss / 1048576.0, table_bytes(s) / 1048576.0, (unsigned long long)s->fds,
	       (unsigned long long)entries);
	fflush(stdout);
}

/* Files of the machine's other processes are not given back, but few enough by their bytes; what is
 * of a process is. */
static bool is_cache(const struct footprint_row *r)
{
	static const char *const of_processes[] = {"unwind_procs", "unwind_jvms", "unwind_vmas"};

	for (size_t i = 0; i < ARRAY_SIZE(of_processes); i++) {
		if (!strcmp(r->name, of_processes[i]))
			return false;
	}
	return !strncmp(r->name, "unwind", 6) || !strcmp(r->name, "symbols");
}

static bool has_grown(const struct footprint_row *was, const struct footprint_row *is, bool of_all)
{
	return is->entries > was->entries + was->entries / 2 + SLACK ||
	       (!of_all && is->bytes > was->bytes + was->bytes / 2 + SLACK_BYTES);
}

/* What more there may be system-wide: names, and room in tables. */
static uint64_t room_of_all(const struct sizes *was, const struct sizes *is)
{
	uint64_t before = table_bytes(was), now = table_bytes(is);

	return NAMES_BUDGET + (now > before ? now - before : 0);
}

/* Flat: no table has more than half as much again as after the warm-up, and some. */
static int compare(const struct observer *o, const struct sizes *was, const struct sizes *is)
{
	bool of_all = observer__opts(o)->faults_all;
	int bad = 0;

	for (size_t i = 0; i < is->n; i++) {
		const struct footprint_row *a = &was->row[i], *b = &is->row[i];

		if (of_all && is_cache(b))
			continue;
		if (has_grown(a, b, of_all)) {
			printf("NOT FLAT: %s: %llu entries, %llu bytes; were %llu, %llu\n", b->name,
			       (unsigned long long)b->entries, (unsigned long long)b->bytes,
			       (unsigned long long)a->entries, (unsigned long long)a->bytes);
			bad = 1;
		}
	}
	if (is->rss > was->rss + was->rss / 4 + (4 << 20) + (of_all ? room_of_all(was, is) : 0) ||
	    is->fds > was->fds + 16) {
		printf("NOT FLAT: RSS %llu, %llu descriptors; were %llu, %llu\n",
		       (unsigned long long)is->rss, (unsigned long long)is->fds,
		       (unsigned long long)was->rss, (unsigned long long)was->fds);
		bad = 1;
	}
	return bad;
}

static void processes(struct observer *o, int n)
{
	for (int i = 0; i < n && go_on("processes", i, n); i += AT_ONCE)
		lives(o, work_some, 0, AT_ONCE);
}

static void files(struct observer *o, int n)
{
	for (int i = 0; i < n && go_on("files started", i, n); i += AT_ONCE)
		lives(o, NULL, 0, AT_ONCE);
}

/* One process at a time, each of up to `most` of what it does n times in all. */
static void long_lives(struct observer *o, void (*work)(int), const char *what, int n, int most)
{
	for (int done = 0, k; done < n && go_on(what, done, n); done += k) {
		k = min_of(n - done, most);
		lives(o, work, k, 1);
	}
}

static int judge(struct observer *o, const char *when, const struct sizes *warm, struct sizes *now)
{
	measure(o, now, warm->fds + 16);
	print(when, now);
	return compare(o, warm, now);
}

static int soak(struct observer *o, int n, int dls, int execs, int nfiles)
{
	struct sizes warm, now;
	int bad = 0;

	processes(o, n / 4);
	files(o, nfiles / 2);
	long_lives(o, open_and_close, "libraries opened", dls / 4, dls);
	long_lives(o, work_exec, "programs replaced", execs / 4, execs);
	measure(o, &warm, 0);
	print("after the warm-up", &warm);
	processes(o, n - n / 4);
	bad |= judge(o, "after the processes", &warm, &now);
	long_lives(o, open_and_close, "libraries opened", dls, max_of(dls / 2, 1));
	bad |= judge(o, "after dlopen and dlclose", &warm, &now);
	long_lives(o, work_exec, "programs replaced", execs, max_of(execs / 2, 1));
	bad |= judge(o, "after the execs", &warm, &now);
	files(o, nfiles);
	bad |= judge(o, "after the files", &warm, &now);
	for (size_t i = 0; i < now.n; i++)
		printf("  %-28s %10llu bytes %8llu entries%s\n", now.row[i].name,
		       (unsigned long long)now.row[i].bytes, (unsigned long long)now.row[i].entries,
		       now.row[i].in_kernel ? " (kernel)" : "");
	return bad;
}

static void on_news(void *arg, const struct observer_event *e)
{
	if (e->what == OBSERVER_FILES_GONE)
		snapshot__close_files(*(struct observer **)arg, names);
}

int main(int argc, char **argv)
{
	const struct symbolizer_opts symbols = {.budget_bytes = NAMES_BUDGET};
	struct observer_opts opts = {.sample_bytes = 1,
				     .fault_period = 64,
				     .tuning.table_bytes = TABLES_BUDGET,
				     .tell = on_news};
	struct observer *o = NULL;
	int opt, bad;

	if (argc == 3 && !strcmp(argv[1], "child"))
		return again(atoi(argv[2]));
	while ((opt = getopt(argc, argv, "am:")) != -1) {
		if (opt == 'a')
			opts.faults_all = true;
		else if (opt == 'm' && atoi(optarg) > 0)
			progress.end_ns = util__now_ns() + atoi(optarg) * 60000000000ULL;
		else
			return 2;
	}
	if (argc - optind != 4)
		return 2;
	signal(SIGALRM, on_stuck);
	opts.arg = &o;
	if (symbolizer__new(&symbols, &names) || observer__new(&opts, &o)) {
		fprintf(stderr, "soak: %s\n", observer__error());
		return 2;
	}
	bad = soak(o, atoi(argv[optind]), atoi(argv[optind + 1]), atoi(argv[optind + 2]),
		   atoi(argv[optind + 3]));
	observer__free(o);
	symbolizer__free(names);
	printf(bad ? "not flat\n" : "flat\n");
	return bad;
}
