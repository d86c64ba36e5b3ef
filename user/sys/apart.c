/* SPDX-License-Identifier: GPL-2.0-or-later */
/* apart.c - see apart.h. One child at a time; a request is one message with its descriptors, and so
 * is the answer. */
#include "sys/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/surroundings.h"
#include "core/util.h"
#include "sys/box.h"
#include "sys/fdmsg.h"
#include "sys/filer.h"
#include "sys/outfile.h"
#include "sys/pidref.h"
#include "sys/privilege.h"
#include "sys/relay.h"
#include "sys/safeopen.h"
#include "sys/sandbox.h"
#include "sys/signals.h"

#define END_MS 1000 /* how long who reads may take to end, once all is to */
#define SEC 1000000000ULL
#define MEMORY_A_BYTE                                                                              \
	128		    /* of a file: a compressed one unfolds to 10 times, samples to 10 more \
			     */
#define CPU_NS_A_BYTE 10000 /* 10 s a megabyte */
#define ANSWERED INT32_MAX  /* by another process */
#define PIPE_BYTES (16LL << 20) /* what a pipe counts as */

enum { OP_OPEN = 1, OP_WRITE, OP_FILTER, OP_ASK, OP_STAY };

struct request {
	uint32_t op, wish;
	char path[APART_PATH]; /* or a word */
};

static int ask_sock = -1; /* in the child */
static char *directory;	  /* before it had none */

bool apart__inside(void)
{
	return ask_sock >= 0;
}

/* --- the child's side --- */

/* 0 or more, or -errno; *ret_fd: the descriptor that came along, -1 if none. */
static int ask(uint32_t op, uint32_t wish, const char *path, const int *fds, size_t nfds,
	       int *ret_fd)
{
	struct request q = {.op = op, .wish = wish};
	int32_t result = -EPIPE;
	int back[FDMSG_MAX_FDS];
	int err;

	if (strlen(path) >= sizeof(q.path))
		return -ENAMETOOLONG;
	snprintf(q.path, sizeof(q.path), "%s", path);
	err = fdmsg__send(ask_sock, &q, sizeof(q), NULL, 0, fds, nfds, MSG_NOSIGNAL);
	if (err)
		return err;
	if (fdmsg__recv(ask_sock, &result, sizeof(result), back, 0) != sizeof(result))
		return -EPIPE;
	*ret_fd = back[0];
	for (int i = 1; i < FDMSG_MAX_FDS; i++)
		util__close_fd(&back[i]);
	return result;
}

static int ask_no_fd(uint32_t op, const char *path, const int *fds, size_t nfds)
{
	int fd, err = ask(op, APART_WRITE, path, fds, nfds, &fd);

	if (err != -ENAMETOOLONG)
		util__close_fd(&fd);
	return err;
}

static int write_apart(const char *path, int fd)
{
	fflush(stdout); /* the order of what goes to the same place */
	return ask_no_fd(OP_WRITE, path, &fd, 1);
}

int apart__filter(const char *word, int from, int to)
{
	const int fds[] = {from, to};

	return ask_no_fd(OP_FILTER, word, fds, ARRAY_SIZE(fds));
}

int apart__ask(const char *word, int fd, int *ret_fd)
{
	fflush(stdout); /* what is printed comes before what is done then */
	return ask(OP_ASK, 0, word, &fd, fd >= 0, ret_fd);
}

int apart__stay(void)
{
	return ask_no_fd(OP_STAY, "", NULL, 0);
}

static int open_here(const char *path, enum apart_wish wish)
{
	int fd;

	privilege__raise(PRIVILEGE_READ);
	if (wish == APART_READ_FILE) {
		fd = safeopen__file(path, NULL);
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		fd = fd < 0 ? -errno : fd;
	}
	privilege__lower(PRIVILEGE_READ);
	return fd;
}

int apart__open(const char *path, enum apart_wish wish)
{
	int fd = -1, err;

	if (!apart__inside())
		return open_here(path, wish);
	err = ask(OP_OPEN, wish, path, NULL, 0, &fd);
	return err ? err : fd < 0 ? -EBADF : fd;
}

/*
 * A file system that does not answer is waited for by another process, and for its word by this
 * one, which a signal ends. What is open here is not held up by that process.
 */
struct aside {
	const char *path;
	enum apart_wish wish;
	int sock; /* what was opened goes there, with the answer */
};

static int64_t size_aside(const struct aside *a)
{
	struct stat st;

	return !stat(a->path, &st) && S_ISREG(st.st_mode) ? st.st_size : PIPE_BYTES;
}

static int64_t open_aside(const struct aside *a)
{
	int fd = open_here(a->path, a->wish);
	int32_t result = min_of(fd, 0);

	return fdmsg__send(a->sock, &result, sizeof(result), NULL, 0, &fd, fd >= 0, MSG_NOSIGNAL);
}

/* Others know by them that the parent of this process is there. */
static void close_all_but(int a, int b)
{
	int low = min_of(a, b), high = max_of(a, b);

	if (low > STDERR_FILENO + 1)
		syscall(SYS_close_range, STDERR_FILENO + 1, low - 1, 0);
	if (high > max_of(low, STDERR_FILENO) + 1)
		syscall(SYS_close_range, max_of(low, STDERR_FILENO) + 1, high - 1, 0);
	syscall(SYS_close_range, max_of(high, STDERR_FILENO) + 1, ~0U, 0);
}

static _Noreturn void be_aside(int64_t (*fn)(const struct aside *a), const struct aside *a, int to)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int64_t word;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int fd = 0; fd <= STDERR_FILENO && null >= 0; fd++)
		dup2(null, fd);
	close_all_but(a->sock, to);
	word = fn(a);
	n = write(to, &word, sizeof(word));
	close(to); /* closing what was opened may have to be waited for as well */
	_exit(n < 0);
}

/* What fn says, or -errno; -EINTR: a signal waits, for whose descriptor see struct side. */
static int64_t do_aside(int64_t (*fn)(const struct aside *a), const struct aside *a, int signal_fd)
{
	static pid_t last = -1; /* it has ended by now */
	int64_t word = -EPIPE;
	int ends[2];

	if (!strncmp(a->path, "/dev/", 5) || !strncmp(a->path, "/proc/", 6))
		return fn(a); /* it may be one of this process's descriptors */
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	if (last > 0)
		waitpid(last, NULL, WNOHANG);
	last = fork();
	if (!last)
		be_aside(fn, a, ends[1]);
	close(ends[1]);
	while (last > 0) {
		struct pollfd p[] = {{.fd = ends[0], .events = POLLIN},
				     {.fd = signal_fd, .events = POLLIN}};

		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue;
		if (!p[0].revents)
			word = -EINTR;
		else if (read(ends[0], &word, sizeof(word)) != sizeof(word))
			word = -EPIPE;
		break;
	}
	close(ends[0]);
	return word;
}

char *apart__directory(void)
{
	return directory ? strdup(directory) : getcwd(NULL, 0);
}

void apart__expect(struct apart_opts *o, const char *path)
{
	const struct aside file = {.path = path, .sock = -1};
	int64_t bytes = do_aside(size_aside, &file, -1);

	bytes = bytes < 0 ? PIPE_BYTES : bytes;
	if (!o->memory_bytes)
		o->memory_bytes = surroundings.parse_memory_bytes ?: BOX_MEMORY;
	if (!o->cpu_ns)
		o->cpu_ns = 4 * (surroundings.parse_cpu_ns ?: BOX_CPU_SECONDS * SEC);
	o->memory_bytes += (uint64_t)bytes * MEMORY_A_BYTE;
	o->cpu_ns += (uint64_t)bytes * CPU_NS_A_BYTE;
}

static void confine(const struct apart_opts *o, int sock)
{
	const struct sandbox_limits l = {
		.memory_bytes = o->memory_bytes ?: SANDBOX_NO_LIMIT,
		.base_bytes = sandbox__memory(),
		.file_bytes = SANDBOX_NO_LIMIT,
		.files = SANDBOX_NO_LIMIT,
		.processes = SANDBOX_NO_LIMIT,
		.cpu_seconds = o->cpu_ns ? (o->cpu_ns + SEC - 1) / SEC : SANDBOX_NO_LIMIT,
	};
	struct sock_fprog calls = {0};
	int no_calls = sandbox__compile(SANDBOX_APART, &calls);

	directory = getcwd(NULL, 0);
	tzset(); /* while there is a path to the time zone */
	prctl(PR_SET_NAME, "memwatch-apart");
	sandbox__enter(&l);
	if (!no_calls)
		sandbox__apply(&calls);
	free(calls.filter);
	ask_sock = sock;
	outfile__hand_over(write_apart);
}

/* It ends when the other end of `life` is closed, which is with who started it: the signal of a
 * parent's death is not to be had from one that may not signal another user's process. */
static void end_with(int life)
{
	char c;

	signal(SIGIO, SIG_DFL);
	fcntl(life, F_SETOWN, getpid());
	fcntl(life, F_SETFL, O_ASYNC | O_NONBLOCK);
	if (!read(life, &c, 1))
		_exit(EXIT_FAILED); /* it was quicker */
}

/* Both ends of everything that the two share. */
struct ends {
	int sock, life, out, err; /* of this process */
};

/* Nothing of a terminal's: who may read from one knows what is typed, who may write to one has it
 * type. */
static void take_streams(const struct apart_opts *o, const struct ends *e)
{
	cleanup_fd int null = o->keep_stdin ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null >= 0)
		dup2(null, STDIN_FILENO);
	else if (!o->keep_stdin)
		close(STDIN_FILENO);
	dup2(e->out, STDOUT_FILENO);
	dup2(e->err, STDERR_FILENO);
	close(e->out);
	close(e->err);
}

static _Noreturn void child(const struct apart_opts *o, const struct ends *e)
{
	int status;

	end_with(e->life);
	if (o->relay)
		take_streams(o, e);
	confine(o, e->sock);
	status = o->work(o->arg);
	if (fflush(stdout) && status == EXIT_DONE && errno != EPIPE)
		status = EXIT_FAILED;
	fflush(stderr);
	_exit(status);
}

/* --- this process's side --- */

struct side {
	const struct apart_opts *o;
	struct ends ends;
	struct relay out, err;
	int signal_fd; /* -1: signals end this process as they do */
	bool told;     /* to end */
};

/* Once signals are taken, nothing is opened that may be waited for. ANSWERED, or why not. */
static int32_t open_for(const struct side *s, const struct request *q)
{
	const struct aside file = {q->path, q->wish, s->ends.sock};
	int64_t err;

	if ((q->wish != APART_READ && q->wish != APART_READ_FILE) ||
	    (q->wish == APART_READ && s->signal_fd >= 0) || !s->o->may(s->o->arg, q->wish, q->path))
		return -EPERM;
	err = do_aside(open_aside, &file, s->signal_fd);
	return err ? (int32_t)err : ANSWERED;
}

static int32_t stay(struct side *s)
{
	if (s->signal_fd < 0)
		s->signal_fd = signals__fd();
	return s->signal_fd < 0 ? s->signal_fd : 0;
}

static int32_t grant(struct side *s, struct request *q, int *fds, int *ret_fd)
{
	const struct apart_opts *o = s->o;

	q->path[sizeof(q->path) - 1] = 0;
	switch (q->op) {
	case OP_OPEN: return open_for(s, q);
	case OP_WRITE:
		if (!o->may(o->arg, APART_WRITE, q->path))
			return -EPERM;
		return outfile__write(q->path, outfile__copy, &fds[0]);
	case OP_FILTER:
		return o->filter && fds[0] >= 0 && fds[1] >= 0
			       ? o->filter(o->arg, q->path, fds[0], fds[1])
			       : -EPERM;
	case OP_ASK: return o->answer ? o->answer(o->arg, q->path, fds[0], ret_fd) : -EPERM;
	case OP_STAY: return stay(s);
	}
	return -EINVAL;
}

static void pass_on(struct side *s)
{
	relay__pass(&s->out);
	relay__pass(&s->err);
}

static bool told_to_end(const struct side *s)
{
	struct signalfd_siginfo si;

	return read(s->signal_fd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo != SIGUSR1;
}

/* False: this process is to end. What the child printed before it asked is passed on. */
static bool wait_for_it(struct side *s)
{
	for (;;) {
		struct pollfd p[] = {{.fd = s->ends.sock, .events = POLLIN},
				     {.fd = s->signal_fd, .events = POLLIN},
				     {.fd = s->out.fd, .events = POLLIN},
				     {.fd = s->err.fd, .events = POLLIN}};

		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return false;
		pass_on(s);
		s->told = p[1].revents && told_to_end(s);
		if (s->told || p[0].revents)
			return !s->told;
	}
}

static void serve(struct side *s)
{
	while (wait_for_it(s)) {
		struct request q;
		int fds[FDMSG_MAX_FDS], fd = -1;
		ptrdiff_t n = fdmsg__recv(s->ends.sock, &q, sizeof(q), fds, 0);
		int32_t result = -EINVAL;

		if (n == sizeof(q))
			result = grant(s, &q, fds, &fd);
		for (int i = 0; i < FDMSG_MAX_FDS; i++)
			util__close_fd(&fds[i]);
		if (n != sizeof(q))
			return; /* it has ended, or talks nonsense: then it gets no answer */
		if (result != ANSWERED)
			fdmsg__send(s->ends.sock, &result, sizeof(result), NULL, 0, &fd, fd >= 0,
				    MSG_NOSIGNAL);
		util__close_fd(&fd);
	}
}

static bool ends_commands(int sig)
{
	return sig == SIGINT || sig == SIGTERM || sig == SIGPIPE || sig == SIGHUP;
}

/* What holds nothing cannot hold up the end either: where it does not go, it is left behind. */
static bool ends_in_time(pid_t pid)
{
	cleanup_fd int fd = pidref__fd(pid);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (fd < 0 || poll(&p, 1, END_MS) > 0)
		return true;
	if (kill(pid, SIGKILL)) /* another user's */
		return false;
	return poll(&p, 1, END_MS) > 0;
}

/* What the child came to. Signals that end a command are this process's end too. */
static int reap(const struct side *s, pid_t pid)
{
	int status, sig;

	if (s->told && !ends_in_time(pid))
		return EXIT_DONE;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return EXIT_FAILED;
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	sig = WTERMSIG(status);
	if (s->told || (s->signal_fd >= 0 && ends_commands(sig)))
		return EXIT_DONE;
	if (ends_commands(sig)) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	if (sig == SIGXCPU)
		log_error("failed to read: it takes more processor time than files of this size "
			  "need; MEMWATCH_PARSE_CPU=1min in the environment allows more");
	else
		log_error("failed to read: the process that reads ended with signal %d (%s)", sig,
			  strsignal(sig));
	return EXIT_FAILED;
}

static int connect_both(struct side *s, struct ends *child)
{
	int pair[2], life[2], err = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	s->ends.sock = pair[0];
	child->sock = pair[1];
	if (pipe2(life, O_CLOEXEC))
		return -errno;
	child->life = life[0];
	s->ends.life = life[1];
	if (s->o->relay)
		err = relay__new(&s->out, STDOUT_FILENO, &child->out);
	if (!err && s->o->relay)
		err = relay__new(&s->err, STDERR_FILENO, &child->err);
	return err;
}

static void close_ends(struct ends *e)
{
	int *fd[] = {&e->sock, &e->life, &e->out, &e->err};

	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		util__close_fd(fd[i]);
		*fd[i] = -1;
	}
}

static void close_side(struct side *s)
{
	close_ends(&s->ends);
	relay__close(&s->out);
	relay__close(&s->err);
	util__close_fd(&s->signal_fd);
	s->signal_fd = -1;
}

static int attend(struct side *s, pid_t pid)
{
	unsigned files = PRIVILEGE(FILES) & s->o->privileges ? filer__start(false) : 0;
	int status = privilege__keep((s->o->privileges & ~PRIVILEGE(FILES)) | files);

	if (status)
		log_error("failed to give up privileges: %s", strerror(-status));
	else
		serve(s);
	close_ends(&s->ends); /* which ends it */
	if (s->o->ended)
		s->o->ended(s->o->arg);
	status = reap(s, pid);
	pass_on(s);
	return status;
}

int apart__run(const struct apart_opts *o)
{
	struct side s = {
		.o = o, .ends = {-1, -1, -1, -1}, .out.fd = -1, .err.fd = -1, .signal_fd = -1};
	struct ends of_child = {-1, -1, -1, -1};
	int err = connect_both(&s, &of_child), status = EXIT_FAILED;
	pid_t pid = -1;

	fflush(NULL);
	progress__prepare();
	if (!err) {
		pid = fork();
		err = pid < 0 ? -errno : 0;
	}
	if (!pid) {
		close_side(&s);
		child(o, &of_child);
	}
	close_ends(&of_child);
	if (err)
		log_error("failed to start: %s", strerror(-err));
	else
		status = attend(&s, pid);
	close_side(&s);
	return status;
}
