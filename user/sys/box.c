/* SPDX-License-Identifier: GPL-2.0-or-later */
/* box.c - this process's side: starts the starter and helpers, keeps the accounts, and believes
 * nothing that a helper says. */
#include "sys/box_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "core/hash_index.h"
#include "core/log.h"
#include "core/units.h"
#include "core/util.h"
#include "sys/signals.h"

#define MAX_STARTS 64 /* of the starter */
#define MAX_ACCOUNTS 16384
#define SEC 1000000000ULL
#define SILENCE_NS (15 * SEC)	 /* without an answer; processor time is limited besides */
#define END_SILENCE_NS (SEC / 4) /* the same once the user wants the end */
#define END_FOREIGN_NS (SEC / 2) /* and in all for files that others may write */
#define END_WASTED_NS (SEC / 2)	 /* and in all for helpers that said nothing */
#define SLICE_MS 20		 /* between looks at the signals that wait */
#define NEWS_MS 2000		 /* the starter tells why a helper ended */
#define WORTH_STARTING_NS (SEC / 4)
#define FUSE_MAGIC 0x65735546

struct account {
	uint64_t dev, ino;
	uint64_t since_ns, used_ns;
	bool foreign;
};

struct box_helper {
	uint32_t id;
	pid_t pid; /* -1: not told yet */
	int sock;
	bool ended;
	int status;
	size_t account; /* into accounts; SIZE_MAX: none */
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
	uint64_t since_ns, foreign_ns;
	uint64_t wasted_ns; /* on silence, since the user wants the end */
	struct account accounts[MAX_ACCOUNTS];
	struct hash_index index;
	struct box_helper *helpers; /* of which an end is still to be told; freed ones too */
	struct {		    /* freed, and not yet charged to their accounts */
		uint32_t id;
		size_t account;
	} * gone;
	size_t n_gone, gone_cap;
	struct box_stats st;
} box = {.lock = PTHREAD_MUTEX_INITIALIZER, .pid = -1, .sock = -1};

/* What the environment asks for instead of the usual limits. */
static void read_limits(void)
{
	const char *cpu = getenv("MEMWATCH_PARSE_CPU"), *mem = getenv("MEMWATCH_PARSE_MEMORY");

	if (!cpu || units__parse_time(cpu, &box.cpu_ns) || box.cpu_ns < SEC)
		box.cpu_ns = BOX_CPU_SECONDS * SEC;
	if (!mem || units__parse_size(mem, &box.memory_bytes) || box.memory_bytes < (16 << 20))
		box.memory_bytes = BOX_MEMORY;
	box.since_ns = util__now_ns();
}

static int spawn(int sock)
{
	static const char *const kept[] = {"LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS"};
	char *argv[] = {"memwatch", BOX_ARGUMENT, NULL}, *env[ARRAY_SIZE(kept) + 1] = {0};
	posix_spawn_file_actions_t fa;
	size_t n = 0;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		const char *v = getenv(kept[i]);

		if (v && asprintf(&env[n], "%s=%s", kept[i], v) > 0)
			n++;
	}
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, sock, 0);
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	err = posix_spawn(&box.pid, "/proc/self/exe", &fa, NULL, argv, env);
	posix_spawn_file_actions_destroy(&fa);
	for (size_t i = 0; i < n; i++)
		free(env[i]);
	return -err;
}

static int start_locked(void)
{
	int pair[2], err;

	if (box.sock >= 0)
		return 0;
	if (box.starts >= MAX_STARTS)
		return -EFAULT;
	if (!box.starts++)
		read_limits();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	err = spawn(pair[1]);
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

static void charge(size_t account, uint64_t cpu_ns)
{
	box.st.cpu_ns += cpu_ns;
	if (account == SIZE_MAX)
		return;
	box.accounts[account].used_ns += cpu_ns;
	if (box.accounts[account].foreign)
		box.foreign_ns += cpu_ns;
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
			charge(h->account, n->cpu_ns);
			box.st.peak_bytes = max_of(box.st.peak_bytes, n->peak_bytes);
		}
		return;
	}
	for (size_t i = 0; n->what == BOX_ENDED && i < box.n_gone; i++) {
		if (box.gone[i].id != n->id)
			continue;
		charge(box.gone[i].account, n->cpu_ns);
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
		for (int i = 0; i < 100 && !waitpid(box.pid, NULL, WNOHANG); i++)
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
		ptrdiff_t got = box__recv(box.sock, &n, sizeof(n), fds, MSG_DONTWAIT);

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

bool box__foreign(int fd)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return true;
	if (st.st_uid && st.st_uid != geteuid())
		return true;
	return fstatfs(fd, &fs) || fs.f_type == FUSE_MAGIC;
}

/* Forgets accounts that owe nothing, when there are too many. */
static void clear_accounts(void)
{
	if (box.helpers || box.n_gone)
		return;
	hash_index__fini(&box.index);
	memset(box.accounts, 0, sizeof(box.accounts));
}

/* The account of the file behind fd; SIZE_MAX: none. */
static size_t account_of(int fd)
{
	size_t at = HASH_INDEX_START;
	struct stat st;
	uint64_t hash;
	uint32_t i;

	if (fd < 0 || fstat(fd, &st))
		return SIZE_MAX;
	if (box.index.n == MAX_ACCOUNTS)
		clear_accounts();
	hash = util__mix64(util__mix64(st.st_dev) ^ st.st_ino);
	while (hash_index__next(&box.index, hash, &at, &i)) {
		if (box.accounts[i].dev == st.st_dev && box.accounts[i].ino == st.st_ino)
			return i;
	}
	if (box.index.n == MAX_ACCOUNTS || hash_index__reserve(&box.index))
		return SIZE_MAX;
	i = box.index.n;
	box.accounts[i] = (struct account){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.since_ns = util__now_ns(),
		.foreign = box__foreign(fd),
	};
	hash_index__add(&box.index, hash);
	return i;
}

/* What may still be spent on a file now. */
static uint64_t allowance(size_t account)
{
	uint64_t now = util__now_ns(), may, total;
	const struct account *a = &box.accounts[account];

	if (account == SIZE_MAX)
		return box.cpu_ns;
	may = box.cpu_ns + (now - a->since_ns) / 20;
	may = min_of(may > a->used_ns ? may - a->used_ns : 0, box.cpu_ns);
	if (!a->foreign)
		return may;
	total = BOX_TOTAL_CPU * box.cpu_ns + (now - box.since_ns) / 20;
	return min_of(may, total > box.foreign_ns ? total - box.foreign_ns : 0);
}

bool box__affordable(int fd)
{
	bool yes;

	pthread_mutex_lock(&box.lock);
	listen_locked(0);
	yes = allowance(account_of(fd)) >= WORTH_STARTING_NS;
	pthread_mutex_unlock(&box.lock);
	return yes;
}

static int order_start(enum box_service service, int fd, struct box_helper *h, int sock)
{
	struct box_order o = {.op = BOX_START, .service = service};
	uint64_t may;
	int err = start_locked();

	if (err)
		return err;
	listen_locked(0);
	h->account = account_of(fd);
	may = allowance(h->account);
	if (may < WORTH_STARTING_NS)
		return -EDQUOT;
	o.id = h->id = ++box.last_id;
	o.cpu_seconds = (may + SEC - 1) / SEC;
	o.memory_bytes = box.memory_bytes;
	err = box.sock < 0 ? -EFAULT : box__send(box.sock, &o, sizeof(o), NULL, 0, &sock, 1);
	if (err) {
		starter_ended();
		return -EFAULT;
	}
	h->next = box.helpers;
	box.helpers = h;
	box.st.started++;
	return 0;
}

int box_helper__new(enum box_service service, int fd, struct box_helper **ret)
{
	int pair[2], err, room = 2 * BOX_MAX_MESSAGE;
	struct box_helper *h;

	if (!box__services[service])
		return -EOPNOTSUPP;
	if (signals__end_again())
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
	err = order_start(service, fd, h, pair[1]);
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
		box.gone[box.n_gone++].account = h->account;
	}
	if (box__send(box.sock, &o, sizeof(o), NULL, 0, NULL, 0))
		starter_ended();
}

void box_helper__free(struct box_helper *h)
{
	if (!h)
		return;
	util__close_fd(&h->sock);
	pthread_mutex_lock(&box.lock);
	unlink_helper(h);
	listen_locked(0);
	pthread_mutex_unlock(&box.lock);
	free(h);
}

/* The helper is of no use any more: why? `err` if it was this side that gave up. */
static int gave_up(struct box_helper *h, int err)
{
	util__close_fd(&h->sock);
	h->sock = -1;
	pthread_mutex_lock(&box.lock);
	box.st.killed++;
	if (err == -EFAULT) { /* it ended by itself, or will when killed */
		uint64_t until = util__now_ns() + NEWS_MS * 1000000ULL;

		while (!h->ended && box.sock >= 0 && util__now_ns() < until &&
		       !signals__end_again())
			listen_locked(SLICE_MS);
		if (h->ended && WIFSIGNALED(h->status) &&
		    (WTERMSIG(h->status) == SIGXCPU || WTERMSIG(h->status) == SIGPROF))
			err = -ETIMEDOUT;
	}
	if (!h->ended) {
		struct box_order o = {.op = BOX_KILL, .id = h->id};

		if (box.sock >= 0 && box__send(box.sock, &o, sizeof(o), NULL, 0, NULL, 0))
			starter_ended();
	}
	pthread_mutex_unlock(&box.lock);
	return err;
}

int box_helper__send(struct box_helper *h, uint32_t op, const void *data, size_t len,
		     const int *fds, size_t nfds)
{
	struct box_head head = {.op = op, .len = len};

	if (h->sock < 0 || len > BOX_MAX_MESSAGE)
		return -EFAULT;
	if (box__send(h->sock, &head, sizeof(head), data, len, fds, nfds))
		return gave_up(h, -EFAULT);
	return 0;
}

/* How long an answer is waited for, from now. */
static uint64_t patience_until(const struct box_helper *h, uint64_t asked_ns)
{
	uint64_t end = signals__end_ns(), until;

	if (!end)
		return asked_ns + SILENCE_NS;
	if (signals__end_again() ||
	    __atomic_load_n(&box.wasted_ns, __ATOMIC_RELAXED) > END_WASTED_NS)
		return 0;
	until = max_of(asked_ns, end) + END_SILENCE_NS;
	if (h->account != SIZE_MAX && box.accounts[h->account].foreign)
		until = min_of(until, end + END_FOREIGN_NS);
	return until;
}

int box_helper__receive(struct box_helper *h, struct box_answer *ret)
{
	uint64_t asked = util__now_ns();
	int fds[BOX_MAX_FDS];
	ptrdiff_t n;

	if (h->sock < 0)
		return -EFAULT;
	for (;;) {
		struct pollfd p = {.fd = h->sock, .events = POLLIN};
		char buf[sizeof(h->head) + BOX_MAX_MESSAGE];

		n = box__recv(h->sock, buf, sizeof(buf), fds, MSG_DONTWAIT);
		if (n >= (ptrdiff_t)sizeof(h->head)) {
			memcpy(&h->head, buf, sizeof(h->head));
			memcpy(h->in, buf + sizeof(h->head), n - sizeof(h->head));
		}
		if (n != -EAGAIN)
			break;
		poll(&p, 1, SLICE_MS);
		if (p.revents)
			continue;
		if (util__now_ns() <= patience_until(h, asked))
			continue;
		if (!signals__end_ns())
			return gave_up(h, -ETIMEDOUT);
		__atomic_add_fetch(&box.wasted_ns, util__now_ns() - asked, __ATOMIC_RELAXED);
		return gave_up(h, -EINTR);
	}
	for (int i = 0; i < BOX_MAX_FDS; i++) /* none is expected */
		util__close_fd(&fds[i]);
	if (n < (ptrdiff_t)sizeof(h->head) || h->head.len != n - sizeof(h->head) ||
	    h->head.result < -4095)
		return gave_up(h, -EFAULT);
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
	cleanup_free char *text = NULL;
	unsigned long rss = 0, shared = 0;
	char path[64];
	pid_t pid;

	pthread_mutex_lock(&box.lock);
	listen_locked(0);
	pid = h->ended ? -1 : h->pid;
	pthread_mutex_unlock(&box.lock);
	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	if (pid < 0 || util__read_file(path, 4096, &text) <= 0 ||
	    sscanf(text, "%*u %lu %lu", &rss, &shared) != 2 || rss < shared)
		return 0;
	return (uint64_t)(rss - shared) * sysconf(_SC_PAGESIZE);
}

void box__stop(void)
{
	pthread_mutex_lock(&box.lock);
	if (box.sock >= 0) {
		shutdown(box.sock, SHUT_RDWR);
		starter_ended();
	}
	pthread_mutex_unlock(&box.lock);
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
