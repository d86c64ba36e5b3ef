/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "alert/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/util.h"

#define MAX_ENV_BYTES 65536
#define MAX_ENV 64
#define MAX_RUNNING 64
#define ANSWER_MS 10000
#define PREFIX "MEMWATCH_"

extern char **environ;

enum op { OP_START = 1, OP_KILL, OP_STARTED, OP_ENDED };

struct message {
	int32_t op, pid;
	int32_t value; /* signal, -errno or wait status */
	uint32_t len;  /* of the strings that follow, NUL after each */
	char env[MAX_ENV_BYTES];
};

#define MESSAGE_LEN(m) (offsetof(struct message, env) + (m)->len)

struct ended {
	pid_t pid;
	int status;
};

struct launcher {
	pid_t pid;
	int sock;
	bool gone;
	struct ended ended[MAX_RUNNING]; /* that nobody has asked for yet */
	size_t nended;
	struct message message;
};

/* --- the launcher itself --- */

struct server {
	int sock, signals;
	char **argv;
	pid_t running[MAX_RUNNING];
	size_t nrunning;
	struct message message;
};

static void answer(struct server *s, int op, pid_t pid, int value)
{
	struct message m;

	m.op = op;
	m.pid = pid;
	m.value = value;
	m.len = 0;
	while (send(s->sock, &m, MESSAGE_LEN(&m), MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

/* ours first: of two equal names the first counts. NULL: no memory, or no variable of ours. */
static char **environment(struct message *m)
{
	size_t n = 0, k = 0;
	char **all;

	while (environ[n])
		n++;
	all = calloc(n + MAX_ENV + 1, sizeof(*all));
	for (char *e = m->env; all && e < m->env + m->len; e += strlen(e) + 1) {
		if (k == MAX_ENV || strncmp(e, PREFIX, strlen(PREFIX)) || !strchr(e, '=')) {
			free(all);
			return NULL;
		}
		all[k++] = e;
	}
	if (all)
		memcpy(all + k, environ, n * sizeof(*all));
	return all;
}

static int spawn(struct server *s, char **env, int in_fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_adddup2(&files, in_fd, 0);
	posix_spawn_file_actions_adddup2(&files, 2, 1);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	err = -posix_spawnp(ret_pid, s->argv[0], &files, &attr, s->argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return err;
}

static void start_command(struct server *s, int fd)
{
	cleanup_free char **env = environment(&s->message);
	pid_t pid = 0;
	int err = fd < 0 || s->nrunning == MAX_RUNNING ? -EINVAL : env ? 0 : -ENOMEM;

	if (!err)
		err = spawn(s, env, fd, &pid);
	if (!err)
		s->running[s->nrunning++] = pid;
	answer(s, OP_STARTED, pid, err);
}

static void kill_command(struct server *s)
{
	for (size_t i = 0; i < s->nrunning; i++) {
		if (s->running[i] == s->message.pid)
			kill(-s->message.pid, s->message.value);
	}
}

static void collect(struct server *s)
{
	struct signalfd_siginfo si;
	pid_t pid;
	int status;

	while (read(s->signals, &si, sizeof(si)) == sizeof(si))
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < s->nrunning; i++) {
			if (s->running[i] == pid)
				s->running[i--] = s->running[--s->nrunning];
		}
		answer(s, OP_ENDED, pid, status);
	}
}

/* One message; false when memwatch is gone. */
static bool serve_one(struct server *s)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec iov = {&s->message, sizeof(s->message)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = u.buf,
			     .msg_controllen = sizeof(u.buf)};
	ssize_t n = recvmsg(s->sock, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *cm;
	cleanup_fd int fd = -1;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	cm = CMSG_FIRSTHDR(&msg);
	if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(cm), sizeof(fd));
	if (n < (ssize_t)offsetof(struct message, env) || n != (ssize_t)MESSAGE_LEN(&s->message) ||
	    (s->message.len && s->message.env[s->message.len - 1]))
		return false;
	if (s->message.op == OP_START)
		start_command(s, fd);
	else if (s->message.op == OP_KILL)
		kill_command(s);
	return true;
}

static _Noreturn void serve(char **argv, int sock)
{
	static struct server s;
	sigset_t set;

	prctl(PR_SET_NAME, "memwatch-launch");
	if (sock > 3)
		syscall(SYS_close_range, 3, sock - 1, 0);
	syscall(SYS_close_range, sock + 1, ~0U, 0);
	s.sock = sock;
	s.argv = argv;
	/* It is in the group that Ctrl-C goes to, and ends with memwatch instead. */
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (;;) {
		struct pollfd fds[2] = {{.fd = sock, .events = POLLIN},
					{.fd = s.signals, .events = POLLIN}};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			_exit(1);
		if (fds[1].revents)
			collect(&s);
		if (fds[0].revents && !serve_one(&s))
			_exit(0);
	}
}

/* --- memwatch's side --- */

int launcher__new(char **argv, struct launcher **ret)
{
	struct launcher *l = calloc(1, sizeof(*l));
	int pair[2], err;

	if (!l)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		err = -errno;
		free(l);
		return err;
	}
	l->pid = fork();
	if (!l->pid)
		serve(argv, pair[1]);
	err = l->pid < 0 ? -errno : 0;
	close(pair[1]);
	l->sock = pair[0];
	if (err) {
		close(l->sock);
		free(l);
		return err;
	}
	*ret = l;
	return 0;
}

void launcher__free(struct launcher *l)
{
	if (!l)
		return;
	close(l->sock); /* it ends by this, when it has read what was sent */
	while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(l);
}

static int send_message(struct launcher *l, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u = {{0}};
	struct iovec iov = {&l->message, MESSAGE_LEN(&l->message)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *cm;

		msg.msg_control = u.buf;
		msg.msg_controllen = sizeof(u.buf);
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
	}
	for (;;) {
		if (sendmsg(l->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

/* The next message within `ms`; -EAGAIN if there is none. */
static int receive(struct launcher *l, int ms)
{
	struct pollfd pfd = {.fd = l->sock, .events = POLLIN};
	ssize_t n;

	if (l->gone)
		return -EPIPE;
	if (poll(&pfd, 1, ms) <= 0)
		return -EAGAIN;
	n = recv(l->sock, &l->message, sizeof(l->message), MSG_DONTWAIT);
	if (n >= (ssize_t)offsetof(struct message, env))
		return 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	l->gone = true;
	return -EPIPE;
}

static void remember(struct launcher *l)
{
	if (l->message.op == OP_ENDED && l->nended < MAX_RUNNING)
		l->ended[l->nended++] =
			(struct ended){.pid = l->message.pid, .status = l->message.value};
}

int launcher__start(struct launcher *l, const char *const *env, int stdin_fd, pid_t *ret_pid)
{
	struct message *m = &l->message;
	int err;

	*m = (struct message){.op = OP_START};
	for (; *env; env++) {
		size_t n = strlen(*env) + 1;

		if (n > sizeof(m->env) - m->len)
			return -E2BIG;
		memcpy(m->env + m->len, *env, n);
		m->len += n;
	}
	err = send_message(l, stdin_fd);
	while (!err) {
		err = receive(l, ANSWER_MS);
		if (!err && m->op == OP_STARTED) {
			*ret_pid = m->pid;
			return m->value;
		}
		if (!err)
			remember(l);
	}
	return err == -EAGAIN ? -ETIMEDOUT : err;
}

void launcher__kill(struct launcher *l, pid_t pid, int sig)
{
	l->message = (struct message){.op = OP_KILL, .pid = pid, .value = sig};
	send_message(l, -1);
}

bool launcher__ended(struct launcher *l, pid_t *ret_pid, int *ret_status)
{
	int err;

	while (!(err = receive(l, 0)))
		remember(l);
	if (l->nended) {
		*ret_pid = l->ended[--l->nended].pid;
		*ret_status = l->ended[l->nended].status;
		return true;
	}
	*ret_pid = *ret_status = 0;
	return err == -EPIPE;
}
