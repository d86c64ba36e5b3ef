/* SPDX-License-Identifier: GPL-2.0-or-later */
/* box.c - this process's side: starts the starter and helpers, and believes nothing that a helper
 * says. */
#include "sys/box_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "core/allowance.h"
#include "core/hash_index.h"
#include "core/keyhash.h"
#include "core/log.h"
#include "core/surroundings.h"
#include "core/units.h"
#include "core/util.h"
#include "sys/box_accounts.h"
#include "sys/memreader.h"
#include "sys/patience.h"
#include "sys/safeopen.h"
#include "sys/selfexec.h"
#include "sys/signals.h"
#include "sys/statm.h"

#define MAX_STARTS 64 /* of the starter */
#define SEC 1000000000ULL
#define SILENCE_NS (15 * SEC)	 /* without an answer; processor time is limited besides */
#define REST_NS SEC		 /* at rest, on others' behalf */
#define REST_TOTAL_NS (5 * SEC)	 /* of that in all, and a twentieth of the time that goes by */
#define SHORT_REST_NS (SEC / 20) /* and then */
#define WAITS_NS (3 * SEC) /* of a loop, for answers on others' behalf that it has to wait for, */
#define WAITS_SHARE 0.05   /* and of the time that goes by */
#define END_SILENCE_NS (SEC / 2) /* at rest, once the user wants the end */
#define END_FOREIGN_NS (SEC / 2) /* and in all for files that others may write */
#define END_WASTED_NS (SEC / 2)	 /* and in all for helpers that said nothing */
#define END_CPU_NS (SEC / 2)	 /* of helpers that are waited for, in all */
#define END_FILES_NS (2 * SEC)	 /* the same while files that were asked for are to be written */
#define END_ANSWER_NS SEC	 /* and for one answer: what takes longer is no ordinary file */
#define END_TOTAL_NS (8 * SEC)	 /* and for everything together, on a machine that is busy */
#define SLICE_MS 20		 /* between looks at the signals that wait */
#define NEWS_MS 2000		 /* the starter tells why a helper ended */
#define END_NEWS_MS 100		 /* the same once the user wants the end */
#define REAP_MS 100		 /* for the starter, which may have been stopped */
#define WORTH_STARTING_NS (SEC / 4)
#define ASKING_NS (SEC / 250) /* what a helper costs besides, here and in the starter */
#define MIN_MEMORY (16ULL << 20)

/* An answer that is waited for. */
struct awaited {
	uint64_t asked_ns;	       /* 0: none is */
	uint64_t first_cpu_ns, cpu_ns; /* since the user wants the end */
	struct patience rest;
	bool later; /* by nobody who has nothing else to do */
};

struct box_helper {
	uint32_t id;
	pid_t pid; /* -1: not told yet */
	int sock;
	bool ended;
	int status;
	uint64_t cpu_ns;		/* that is known of it; see cpu_of() */
	struct memreader_meter *reader; /* who reads memory for it; NULL: nobody */
	uint64_t readers_ns;		/* what those before have taken */
	struct box_accounts accounts;
	uint64_t given_ns; /* processor time, at its start */
	bool scant;	   /* its process had less left than a file may take */
	struct awaited awaited;
	bool has_answer; /* that nobody has taken yet */
	int lost;	 /* why there will be none */
	struct box_helper *next;
	struct box_head head; /* and the answer behind it, aligned as the head is */
	char in[BOX_MAX_MESSAGE] __attribute__((aligned(16)));
};

static struct {
	pthread_mutex_t lock;
	pid_t pid;
	int sock; /* to the starter; -1: none */
	int starts;
	uint32_t last_id;
	uint64_t cpu_ns, memory_bytes; /* limits */
	struct patience_share rest;    /* of others' helpers that waited themselves */
	uint64_t most_ns;	       /* for an answer on others' behalf; 0: no matter */
	bool has_turns;		       /* see box__turn; of that thread alone: */
	pthread_t loop;
	uint64_t turn_left_ns;
	struct allowance waits;	    /* for what cannot be had later */
	uint64_t wasted_ns;	    /* on silence, since the user wants the end */
	uint64_t end_cpu_ns;	    /* that answers took since then */
	uint64_t end_asked_ns;	    /* when the first of them was asked for; 0: none yet */
	struct box_helper *helpers; /* of which an end is still to be told; freed ones too */
	struct {		    /* freed, and not yet charged to their accounts */
		uint32_t id;
		struct box_accounts accounts;
	} * gone;
	size_t n_gone, gone_cap;
	struct box_stats st;
} box = {.lock = PTHREAD_MUTEX_INITIALIZER,
	 .pid = -1,
	 .sock = -1,
	 .rest = {.most_ns = REST_TOTAL_NS, .part = 20}};

/* What is asked for instead of the usual limits. */
static void set_limits(void)
{
	box.cpu_ns = surroundings.parse_cpu_ns;
	box.memory_bytes = surroundings.parse_memory_bytes;
	if (box.cpu_ns < SEC)
		box.cpu_ns = BOX_CPU_SECONDS * SEC;
	if (box.memory_bytes < MIN_MEMORY)
		box.memory_bytes = BOX_MEMORY;
	box_accounts__open(box.cpu_ns);
	box.rest.since_ns = util__now_ns();
}

static int start_locked(void)
{
	int pair[2], err;

	if (box.sock >= 0)
		return 0;
	if (box.starts >= MAX_STARTS)
		return -EFAULT;
	if (!box.starts++)
		set_limits();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	err = selfexec__spawn(BOX_ARGUMENT, pair[1], &box.pid);
	close(pair[1]);
	if (err) {
		close(pair[0]);
		log_warn("failed to start the process that reads files without privileges: %s; "
			 "continuing without names",
			 strerror(-err));
		return err;
	}
	box.sock = pair[0];
	return 0;
}

int box__start(void)
{
	int err;

	pthread_mutex_lock(&box.lock);
	err = start_locked();
	pthread_mutex_unlock(&box.lock);
	return err;
}

static void charge(const struct box_accounts *a, uint64_t cpu_ns)
{
	box.st.cpu_ns += cpu_ns;
	box_accounts__charge(a, cpu_ns);
}

static void on_news(const struct box_news *n)
{
	for (struct box_helper *h = box.helpers; h; h = h->next) {
		if (h->id != n->id)
			continue;
		if (n->what == BOX_STARTED) {
			h->pid = n->pid;
			h->ended = n->pid < 0;
		} else {
			h->ended = true;
			h->status = n->status;
			h->cpu_ns = max_of(h->cpu_ns, n->cpu_ns);
			charge(&h->accounts, n->cpu_ns);
			box.st.peak_bytes = max_of(box.st.peak_bytes, n->peak_bytes);
		}
		return;
	}
	for (size_t i = 0; n->what == BOX_ENDED && i < box.n_gone; i++) {
		if (box.gone[i].id != n->id)
			continue;
		charge(&box.gone[i].accounts, n->cpu_ns);
		box.st.peak_bytes = max_of(box.st.peak_bytes, n->peak_bytes);
		box.gone[i] = box.gone[--box.n_gone];
		return;
	}
}

/* The starter is gone, and with it all helpers. */
static void starter_ended(void)
{
	util__close_fd(&box.sock);
	box.sock = -1;
	if (box.pid > 0) {
		for (int i = 0; i < REAP_MS / 10 && !waitpid(box.pid, NULL, WNOHANG); i++)
			usleep(10000);
	}
	box.pid = -1;
	for (struct box_helper *h = box.helpers; h; h = h->next)
		h->ended = true;
	box.n_gone = 0;
}

/* Takes in what the starter has told; waits for the first of it at most `wait_ms`. */
static void listen_locked(int wait_ms)
{
	struct pollfd p = {.fd = box.sock, .events = POLLIN};

	if (box.sock < 0 || (wait_ms && poll(&p, 1, wait_ms) <= 0))
		return;
	for (;;) {
		int fds[BOX_MAX_FDS];
		struct box_news n;
		ptrdiff_t got = fdmsg__recv(box.sock, &n, sizeof(n), fds, MSG_DONTWAIT);

		for (int i = 0; i < BOX_MAX_FDS; i++)
			util__close_fd(&fds[i]);
		if (got == -EAGAIN)
			return;
		if (got != sizeof(n)) {
			starter_ended();
			return;
		}
		on_news(&n);
	}
}

/* Of those who have read memory for it. */
static uint64_t readers_of(const struct box_helper *h)
{
	return h->readers_ns + memreader_meter__cpu_ns(h->reader);
}

/* Processor time of the helper so far, and of who reads for it; what was last seen of one that has
 * ended. */
static uint64_t cpu_of(struct box_helper *h)
{
	struct timespec t;
	clockid_t clock;

	if (!h->ended && h->pid >= 0 && !clock_getcpuclockid(h->pid, &clock) &&
	    !clock_gettime(clock, &t))
		h->cpu_ns = max_of(h->cpu_ns, t.tv_sec * SEC + t.tv_nsec);
	return h->cpu_ns + readers_of(h);
}

/* The kernel ends a helper that takes too much alone. */
static bool takes_too_much(struct box_helper *h)
{
	return h->reader && cpu_of(h) > h->given_ns;
}

/* Private memory of a helper, bytes. */
static uint64_t bytes_of(pid_t pid)
{
	struct statm s;

	return pid < 0 || statm__read(pid, &s) ? 0 : s.rss - min_of(s.rss, s.shared);
}

/* Of helpers at work for a process, which may be many, and what is charged when they are freed. */
static uint64_t live_of(size_t target)
{
	uint64_t ns = 0;

	for (struct box_helper *h = box.helpers; h && target != SIZE_MAX; h = h->next) {
		if (h->accounts.target == target)
			ns += h->ended ? readers_of(h) : cpu_of(h);
	}
	return ns;
}

/* Memory that one more helper may take, bytes. */
static uint64_t memory_left(const struct box_accounts *of)
{
	uint64_t most = BOX_TARGET * box.memory_bytes, used = 0;

	for (const struct box_helper *h = box.helpers; h && of->target != SIZE_MAX; h = h->next) {
		if (h->accounts.target == of->target && !h->ended)
			used += bytes_of(h->pid);
	}
	return min_of(used < most ? most - used : 0, box.memory_bytes);
}

static uint64_t whole_seconds(uint64_t ns)
{
	return (ns + SEC - 1) / SEC;
}

static int order_start(enum box_service service, int fd, const struct box_target *whose,
		       struct box_helper *h, int sock)
{
	struct box_order o = {.op = BOX_START, .service = service};
	struct box_accounts of_file;
	uint64_t may, live_ns;
	int err = start_locked();

	if (err)
		return err;
	listen_locked(0);
	h->accounts = box_accounts__of(fd, whose, box.helpers || box.n_gone);
	live_ns = live_of(h->accounts.target);
	may = box_accounts__left(&h->accounts, live_ns);
	if (h->accounts.target != SIZE_MAX &&
	    box_accounts__left_of_target(h->accounts.target, live_ns) < WORTH_STARTING_NS)
		box_accounts__say_out(&h->accounts, whose->pid, "processor time");
	if (may < WORTH_STARTING_NS)
		return -EDQUOT;
	o.memory_bytes = memory_left(&h->accounts);
	if (o.memory_bytes < MIN_MEMORY) {
		box_accounts__say_out(&h->accounts, whose ? whose->pid : 0, "memory");
		return -EDQUOT;
	}
	o.id = h->id = ++box.last_id;
	o.cpu_seconds = whole_seconds(may);
	h->given_ns = o.cpu_seconds * SEC;
	of_file = (struct box_accounts){h->accounts.file, SIZE_MAX};
	h->scant = o.cpu_seconds < whole_seconds(box_accounts__left(&of_file, 0)) ||
		   o.memory_bytes < box.memory_bytes;
	err = box.sock < 0 ? -EFAULT : fdmsg__send(box.sock, &o, sizeof(o), NULL, 0, &sock, 1, 0);
	if (err) {
		starter_ended();
		return -EFAULT;
	}
	h->next = box.helpers;
	box.helpers = h;
	box.st.started++;
	box_accounts__charge(&(struct box_accounts){SIZE_MAX, h->accounts.target}, ASKING_NS);
	return 0;
}

bool box__has_spent(const struct box_target *whose)
{
	struct box_accounts a;
	bool spent;

	pthread_mutex_lock(&box.lock);
	a = box_accounts__of(-1, whose, box.helpers || box.n_gone);
	spent = box.starts && a.target != SIZE_MAX &&
		box_accounts__left(&a, live_of(a.target)) < WORTH_STARTING_NS;
	pthread_mutex_unlock(&box.lock);
	return spent;
}

/* When helpers were first asked after the end was wanted: taking out probes may come before, and
 * takes its time. */
static uint64_t asked_since(uint64_t end)
{
	uint64_t never = 0, now = max_of(util__now_ns(), end);

	if (__atomic_compare_exchange_n(&box.end_asked_ns, &never, now, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		return now;
	return never;
}

/* When nothing is waited for any more, once the user wants the end: soon where others write the
 * file; else the processor's time counts, so that on a busy machine names are not fewer. */
static uint64_t too_late_at(const struct box_accounts *a, uint64_t end, uint64_t cpu_ns)
{
	uint64_t max_ns = signals__unfinished() ? END_FILES_NS : END_CPU_NS;

	if (signals__end_again() || cpu_ns > END_ANSWER_NS ||
	    __atomic_load_n(&box.end_cpu_ns, __ATOMIC_RELAXED) + cpu_ns > max_ns)
		return 0;
	return asked_since(end) + (box_accounts__is_foreign(a) ? END_FOREIGN_NS : END_TOTAL_NS);
}

int box_helper__new(enum box_service service, int fd, const struct box_target *whose,
		    struct box_helper **ret)
{
	static const struct box_accounts nobodys = {SIZE_MAX, SIZE_MAX};
	int pair[2], err, room = 2 * BOX_MAX_MESSAGE;
	struct box_helper *h;

	if (!box__services[service])
		return -EOPNOTSUPP;
	if (signals__end_ns() && util__now_ns() > too_late_at(&nobodys, signals__end_ns(), 0))
		return -EINTR;
	h = malloc(sizeof(*h));
	if (!h)
		return -ENOMEM;
	memset(h, 0, offsetof(struct box_helper, in));
	h->pid = h->sock = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		free(h);
		return -errno;
	}
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	pthread_mutex_lock(&box.lock);
	err = order_start(service, fd, whose, h, pair[1]);
	pthread_mutex_unlock(&box.lock);
	close(pair[1]);
	if (err) {
		close(pair[0]);
		free(h);
		return err;
	}
	h->sock = pair[0];
	*ret = h;
	return 0;
}

/* Takes a helper out; if its end is still to be told, its account is remembered for that. */
static void unlink_helper(struct box_helper *h)
{
	struct box_order o = {.op = BOX_KILL, .id = h->id};
	struct box_helper **p = &box.helpers;

	while (*p && *p != h)
		p = &(*p)->next;
	if (*p)
		*p = h->next;
	if (h->ended || box.sock < 0)
		return;
	if (!array_reserve(box.gone, box.gone_cap, box.n_gone + 1)) {
		box.gone[box.n_gone].id = h->id;
		box.gone[box.n_gone++].accounts = h->accounts;
	}
	if (fdmsg__send(box.sock, &o, sizeof(o), NULL, 0, NULL, 0, 0))
		starter_ended();
}

void box_helper__free(struct box_helper *h)
{
	if (!h)
		return;
	util__close_fd(&h->sock);
	pthread_mutex_lock(&box.lock);
	unlink_helper(h);
	charge(&h->accounts, readers_of(h));
	listen_locked(0);
	pthread_mutex_unlock(&box.lock);
	memreader_meter__free(h->reader);
	free(h);
}

void box__charge(const struct box_target *whose, uint64_t cpu_ns)
{
	struct box_accounts a;

	if (!cpu_ns)
		return;
	pthread_mutex_lock(&box.lock);
	a = box_accounts__of(-1, whose, box.helpers || box.n_gone);
	box_accounts__charge(&a, cpu_ns);
	pthread_mutex_unlock(&box.lock);
}

void box_helper__reader(struct box_helper *h, struct memreader_meter *reader)
{
	struct memreader_meter *before;

	pthread_mutex_lock(&box.lock);
	h->readers_ns = readers_of(h);
	before = h->reader;
	h->reader = reader;
	pthread_mutex_unlock(&box.lock);
	memreader_meter__free(before);
}

/* How long a word of the starter's is waited for. */
static uint64_t news_until(uint64_t asked_ns)
{
	return asked_ns + (signals__end_ns() ? END_NEWS_MS : NEWS_MS) * 1000000ULL;
}

/* The helper is of no use any more: why? `err` if it was this side that gave up. */
static int gave_up(struct box_helper *h, int err)
{
	util__close_fd(&h->sock);
	h->sock = -1;
	h->has_answer = false;
	pthread_mutex_lock(&box.lock);
	box.st.killed++;
	if (err == -EFAULT) { /* it ended by itself, or will when killed */
		uint64_t asked = util__now_ns();

		while (!h->ended && box.sock >= 0 && util__now_ns() < news_until(asked))
			listen_locked(SLICE_MS);
		if (h->ended && WIFSIGNALED(h->status) &&
		    (WTERMSIG(h->status) == SIGXCPU || WTERMSIG(h->status) == SIGPROF))
			err = -ETIMEDOUT;
	}
	if (!h->ended) {
		struct box_order o = {.op = BOX_KILL, .id = h->id};

		if (box.sock >= 0 && fdmsg__send(box.sock, &o, sizeof(o), NULL, 0, NULL, 0, 0))
			starter_ended();
	}
	pthread_mutex_unlock(&box.lock);
	h->lost = err;
	return err;
}

int box_helper__send(struct box_helper *h, uint32_t op, const void *data, size_t len,
		     const int *fds, size_t nfds)
{
	struct box_head head = {.op = op, .len = len};
	int err;

	if (h->sock < 0 || len > BOX_MAX_MESSAGE)
		return -EFAULT;
	err = safeopen__send(h->sock, &head, sizeof(head), data, len, fds, nfds);
	return err ? gave_up(h, err == -ETIMEDOUT || err == -EINTR ? err : -EFAULT) : 0;
}

/* Who it is may be told only now; what it does is seen by that. */
static void learn_pid(struct box_helper *h)
{
	if (h->pid >= 0)
		return;
	pthread_mutex_lock(&box.lock);
	listen_locked(0);
	pthread_mutex_unlock(&box.lock);
}

/* What it does now. What has not started yet counts as at work. */
static void look(struct box_helper *h, struct awaited *a)
{
	uint64_t cpu_ns = cpu_of(h);

	learn_pid(h);
	patience__look(&a->rest, __atomic_load_n(&h->pid, __ATOMIC_RELAXED), cpu_ns);
	if (h->reader)
		patience__look(&a->rest, memreader_meter__pid(h->reader), cpu_ns);
}

/* Until when a helper is waited for that waits itself: others' files and memory may have been made
 * so that they never come. */
static uint64_t rested_until(struct box_helper *h, struct awaited *a)
{
	look(h, a);
	return a->rest.heard_ns + (patience__is_used_up(&box.rest) ? SHORT_REST_NS : REST_NS);
}

static bool is_loop(void)
{
	return box.has_turns && pthread_equal(pthread_self(), box.loop);
}

/* How long one answer on others' behalf is waited for. */
static uint64_t most_ns(void)
{
	uint64_t left = 0;

	if (!is_loop())
		return box.most_ns;
	if (allowance__left(&box.waits, util__now_ns()))
		left = (uint64_t)box.waits.left_ns;
	return min_of(box.most_ns, max_of(left, SHORT_REST_NS));
}

/* Until when an answer is waited for, as things are. */
static uint64_t patience_until(struct box_helper *h, struct awaited *a)
{
	uint64_t end = signals__end_ns(), until = a->asked_ns + SILENCE_NS;
	bool is_foreign = box_accounts__is_foreign(&h->accounts);

	if (!end && !is_foreign)
		return until;
	if (!end && box.most_ns && !a->later)
		until = min_of(until, a->asked_ns + most_ns());
	if (!end)
		return min_of(until, rested_until(h, a));
	if (__atomic_load_n(&box.wasted_ns, __ATOMIC_RELAXED) > END_WASTED_NS)
		return 0;
	if (is_foreign)
		learn_pid(h);
	else
		look(h, a);
	a->cpu_ns = cpu_of(h);
	if (!a->first_cpu_ns)
		a->first_cpu_ns = a->cpu_ns;
	return min_of(max_of(a->rest.heard_ns, end) + END_SILENCE_NS,
		      too_late_at(&h->accounts, end, a->cpu_ns - a->first_cpu_ns));
}

/* Waits a moment for more to read. 0, or why no longer. */
static int wait_a_moment(struct box_helper *h, struct awaited *a, int ms)
{
	struct pollfd fd = {.fd = h->sock, .events = POLLIN};

	if (takes_too_much(h))
		return -ETIMEDOUT;
	poll(&fd, 1, ms);
	if (fd.revents || util__now_ns() <= patience_until(h, a))
		return 0;
	if (signals__end_ns()) {
		__atomic_add_fetch(&box.wasted_ns, util__now_ns() - a->rest.heard_ns,
				   __ATOMIC_RELAXED);
		return -EINTR;
	}
	if (box_accounts__is_foreign(&h->accounts))
		patience__end(&a->rest, &box.rest);
	return -ETIMEDOUT;
}

static ptrdiff_t read_answer(struct box_helper *h)
{
	char buf[sizeof(h->head) + BOX_MAX_MESSAGE];
	int fds[BOX_MAX_FDS];
	ptrdiff_t n = fdmsg__recv(h->sock, buf, sizeof(buf), fds, MSG_DONTWAIT);

	for (int i = 0; i < BOX_MAX_FDS; i++) /* none is expected */
		util__close_fd(&fds[i]);
	if (n < (ptrdiff_t)sizeof(h->head))
		return n == -EAGAIN ? n : -EFAULT;
	memcpy(&h->head, buf, sizeof(h->head));
	memcpy(h->in, buf + sizeof(h->head), n - sizeof(h->head));
	return h->head.len == n - sizeof(h->head) && h->head.result >= -4095 ? n : -EFAULT;
}

/* 0: there is an answer; -EAGAIN: none yet, after so many milliseconds; or as receive. */
static int look_for_answer(struct box_helper *h, int ms)
{
	struct awaited *a = &h->awaited;
	ptrdiff_t n;
	int err;

	if (h->has_answer)
		return 0;
	if (h->sock < 0)
		return h->lost ? h->lost : -EFAULT;
	if (!a->asked_ns) {
		a->asked_ns = util__now_ns();
		patience__begin(&a->rest);
	}
	n = read_answer(h); /* what is there is taken, however late */
	err = n == -EAGAIN ? wait_a_moment(h, a, ms) : (int)min_of(n, (ptrdiff_t)0);
	if (n == -EAGAIN && !err)
		return -EAGAIN;
	__atomic_add_fetch(&box.end_cpu_ns, a->cpu_ns - a->first_cpu_ns, __ATOMIC_RELAXED);
	*a = (struct awaited){0};
	h->has_answer = !err;
	return err ? gave_up(h, err) : 0;
}

bool box_helper__await(struct box_helper *h, uint64_t until_ns)
{
	uint64_t now = util__now_ns();
	int err = -EAGAIN;

	while (err == -EAGAIN && now < until_ns) {
		err = look_for_answer(h, SLICE_MS);
		now = util__now_ns();
	}
	if (err == -EAGAIN)
		err = look_for_answer(h, 0);
	h->awaited.later |= err == -EAGAIN;
	return err != -EAGAIN;
}

void box__turn(uint64_t most_ns)
{
	if (!box.has_turns)
		allowance__init(&box.waits, WAITS_SHARE, WAITS_NS, util__now_ns());
	box.has_turns = true;
	box.loop = pthread_self();
	box.turn_left_ns = most_ns;
}

bool box__turn_is_over(const struct box_target *whose)
{
	return box.has_turns && !box.turn_left_ns && whose && whose->foreign;
}

bool box_helper__await_turn(struct box_helper *h)
{
	uint64_t began = util__now_ns();
	bool is_there;

	if (!is_loop() || signals__end_ns() || !box_accounts__is_foreign(&h->accounts))
		return true;
	is_there = box_helper__await(h, began + box.turn_left_ns);
	box.turn_left_ns -= min_of(box.turn_left_ns, util__now_ns() - began);
	return is_there;
}

int box_helper__receive(struct box_helper *h, struct box_answer *ret)
{
	bool counts = is_loop() && box_accounts__is_foreign(&h->accounts);
	uint64_t began = counts ? util__now_ns() : 0;
	int err = -EAGAIN;

	while (err == -EAGAIN)
		err = look_for_answer(h, SLICE_MS);
	if (counts)
		allowance__spend(&box.waits, util__now_ns() - began);
	if (err)
		return err;
	h->has_answer = false;
	*ret = (struct box_answer){
		.result = h->head.result,
		.more = h->head.more,
		.data = h->in,
		.len = h->head.len,
	};
	return 0;
}

int box_helper__ask(struct box_helper *h, uint32_t op, const void *data, size_t len, const int *fds,
		    size_t nfds, struct box_answer *ret)
{
	int err = box_helper__send(h, op, data, len, fds, nfds);

	if (!err)
		err = box_helper__receive(h, ret);
	if (!err && ret->more)
		err = gave_up(h, -EFAULT);
	return err ? err : ret->result;
}

void box__hurry(uint64_t most_ns)
{
	box.most_ns = most_ns;
}

int box_helper__fd(const struct box_helper *h)
{
	return h->sock;
}

pid_t box_helper__pid(const struct box_helper *h)
{
	pid_t pid;

	pthread_mutex_lock(&box.lock);
	for (int i = 0; i < 100 && h->pid < 0 && !h->ended && box.sock >= 0; i++)
		listen_locked(SLICE_MS);
	pid = h->ended ? -1 : h->pid;
	pthread_mutex_unlock(&box.lock);
	return pid;
}

uint64_t box_helper__bytes(const struct box_helper *h)
{
	pid_t pid;

	pthread_mutex_lock(&box.lock);
	listen_locked(0);
	pid = h->ended ? -1 : h->pid;
	pthread_mutex_unlock(&box.lock);
	return bytes_of(pid);
}

uint64_t box_helper__cpu_ns(struct box_helper *h)
{
	uint64_t cpu;

	pthread_mutex_lock(&box.lock);
	listen_locked(0);
	cpu = cpu_of(h);
	pthread_mutex_unlock(&box.lock);
	return cpu;
}

int box_helper__verdict(const struct box_helper *h, int err)
{
	return h->scant && (err == -ETIMEDOUT || err == -EFAULT || err == -ENOMEM) ? -EDQUOT : err;
}

bool box_helper__is_spent(struct box_helper *h)
{
	return box_helper__cpu_ns(h) > h->given_ns / 2;
}

pid_t box__starter_pid(void)
{
	return box.pid;
}

int box__memory(void)
{
	int fd = memfd_create("memwatch-answer", MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int box__take(int fd, size_t max, void **ret, size_t *ret_len)
{
	cleanup_free char *p = NULL;
	struct stat st;
	size_t done = 0;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	p = malloc((size_t)st.st_size + 1);
	if (!p)
		return -ENOMEM;
	while (done < (size_t)st.st_size) { /* it may shrink while it is read */
		ssize_t n = pread(fd, p + done, st.st_size - done, done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EBADMSG;
		done += n;
	}
	p[done] = 0;
	*ret = take_ptr(p);
	*ret_len = done;
	return 0;
}

void box__stats(struct box_stats *ret)
{
	pthread_mutex_lock(&box.lock);
	listen_locked(0);
	*ret = box.st;
	pthread_mutex_unlock(&box.lock);
}
