/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "run/attach.h"
#include "sys/privilege.h"
#include "sys/signals.h"
#include "sys/procmap.h"

#define MAX_STOPS \
	200000 /* system calls of a dynamic linker; a guard, not a limit met in practice */

struct hold {
	pid_t pid;
	const char *name;
	int go, report; /* pipes to and from the child, of use until exec */
	bool held;
	int status; /* of waitpid, when it is known */
	bool ended;
};

/* Child: until exec only what is safe after fork. Says over the pipe why exec failed. If memwatch
 * ends first, so does it. */
static void child(char **command, int go, int report)
{
	char c;
	int err;

	if (read(go, &c, 1) != 1)
		_exit(0);
	signals__unblock();
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) {
		err = -errno;
	} else {
		execvp(command[0], command);
		err = errno;
	}
	if (write(report, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(err == ENOENT ? 127 : 126);
}

int hold__fork(char **command, struct hold **ret)
{
	struct hold *h = calloc(1, sizeof(*h));
	int go[2], report[2];

	if (!h || pipe2(go, O_CLOEXEC) || pipe2(report, O_CLOEXEC)) {
		free(h);
		log_error("failed to start '%s': %s", command[0], strerror(errno));
		return EXIT_FAILED;
	}
	h->pid = fork();
	if (!h->pid) {
		close(go[1]);
		child(command, go[0], report[1]);
	}
	close(go[0]);
	close(report[1]);
	h->name = command[0];
	h->go = go[1];
	h->report = report[0];
	if (h->pid < 0) {
		log_error("failed to fork: %s", strerror(errno));
		h->ended = true;
		hold__free(h);
		return EXIT_FAILED;
	}
	h->held = true;
	*ret = h;
	return EXIT_DONE;
}

int hold__start(struct hold *h)
{
	int err = 0, status;

	if (write(h->go, "", 1) != 1 || read(h->report, &err, sizeof(err)) != sizeof(err))
		err = 0;
	while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (err > 0 || !WIFSTOPPED(status)) {
		log_error("failed to run '%s': %s", h->name, strerror(err > 0 ? err : -err));
		h->held = false;
		h->ended = true;
		return err == ENOENT ? 127 : 126;
	}
	ptrace(PTRACE_SETOPTIONS, h->pid, NULL, PTRACE_O_TRACESYSGOOD);
	return EXIT_DONE;
}

/* Runs to the next stop at a system call; 0 when there is one. A signal on the way is delivered. */
static int next_stop(struct hold *h, struct user_regs_struct *regs)
{
	int sig = 0, status;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, h->pid, NULL, (void *)(long)sig))
			return -errno;
		while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
			;
		if (!WIFSTOPPED(status)) {
			h->held = false;
			h->ended = true;
			h->status = status;
			return -ESRCH;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			return ptrace(PTRACE_GETREGS, h->pid, NULL, regs) ? -errno : 0;
		sig = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
	}
}

/* Where the dynamic linker is mapped; false in a static program (which has none). */
static bool find_linker(int pid, uint64_t *lo, uint64_t *hi)
{
	const struct procmap_entry *e;
	struct procmap *maps;
	uint64_t base = 0;
	cleanup_free char *auxv = NULL;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	n = util__read_file(path, 65536, &auxv);
	for (ssize_t i = 0; i + 16 <= n; i += 16) {
		uint64_t pair[2];

		memcpy(pair, auxv + i, sizeof(pair));
		if (pair[0] == 7) /* AT_BASE */
			base = pair[1];
	}
	if (!base || procmap__read(pid, &maps))
		return false;
	e = procmap__find(maps, base);
	*lo = *hi = 0;
	for (size_t i = 0; e && i < maps->n; i++) {
		const struct procmap_entry *x = &maps->entries[i];

		if (x->ino != e->ino || x->dev_major != e->dev_major ||
		    x->dev_minor != e->dev_minor)
			continue;
		if (!*lo)
			*lo = x->start;
		*hi = x->end;
	}
	procmap__free(maps);
	return *hi > *lo;
}

#if defined(__x86_64__)
#define REG_NR(r) ((r).orig_rax)
#define REG_IP(r) ((r).rip)
#define REG_PROT(r) ((r).rdx)
#else
#define REG_NR(r) ((r).regs[8])
#define REG_IP(r) ((r).pc)
#define REG_PROT(r) ((r).regs[2])
#endif

static int follow_linker(struct hold *h, struct observer *o, const struct target *t)
{
	struct user_regs_struct regs;
	uint64_t lo, hi;
	int err;

	if (!find_linker(h->pid, &lo, &hi))
		return 0;
	for (int i = 0; i < MAX_STOPS; i++) {
		err = next_stop(h, &regs); /* entry */
		if (err)
			return err;
		if (REG_IP(regs) < lo || REG_IP(regs) >= hi)
			return 0;	   /* the program itself runs */
		err = next_stop(h, &regs); /* exit */
		if (err)
			return err;
		if ((REG_NR(regs) == SYS_mmap && (REG_PROT(regs) & 4)) ||
		    REG_NR(regs) == SYS_mprotect) {
			err = observer__rescan(o, t);
			if (err && err != -ESRCH)
				log_debug("rescan: %s", strerror(-err));
			/* held here, the first stacks need not be cut short */
			observer__wait_tables(o);
		}
	}
	return 0;
}

int hold__attach(struct hold *h, struct attach *a)
{
	const struct target *t;
	int err = observer__add(a->observer, h->pid, &t);

	if (err) {
		log_error("failed to attach to the command: %s",
			  observer__error()[0] ? observer__error() : strerror(-err));
		return err == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
	}
	err = follow_linker(h, a->observer, t);
	attach__announce(a, t);
	if (err == -ESRCH)
		return EXIT_DONE; /* it ran to its end in the linker; the loop sees that */
	if (ptrace(PTRACE_DETACH, h->pid, NULL, NULL) && errno != ESRCH) {
		log_error("failed to let the command go: %s", strerror(errno));
		return EXIT_FAILED;
	}
	h->held = false;
	return EXIT_DONE;
}

int hold__wait(struct hold *h, int sig)
{
	int status = h->status;

	signals__unblock();		    /* signals work as usual again */
	privilege__raise(PRIVILEGE_SIGNAL); /* it may have become another user */
	if (!h->ended && sig)
		kill(h->pid, sig);
	privilege__lower(PRIVILEGE_SIGNAL);
	while (!h->ended && waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void hold__free(struct hold *h)
{
	if (!h)
		return;
	privilege__raise(PRIVILEGE_SIGNAL);
	if (h->held)
		kill(h->pid, SIGKILL);
	privilege__lower(PRIVILEGE_SIGNAL);
	close(h->go);
	close(h->report);
	free(h);
}
