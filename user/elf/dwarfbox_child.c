/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dwarfbox_child.c - the confined side: gives up all it was forked with, then parses.
 *
 * Nothing here is trusted once the first file is open. What is left to it: memory, the descriptors
 * it is handed (read-only files) and its socket.
 */
#include "elf/dwarfbox_priv.h"

#include "core/util.h"
#include "elf/dwarfinfo.h"

#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define NOBODY 65534
#define MIN_MEMORY (1ULL << 30)
#define CHECK_EVERY 128 /* look-ups between looks at how much memory is used */

struct file {
	int fd, alt_fd; /* -1: not open */
	int err;	/* why it cannot be read */
	struct dwarfinfo *info;
};

struct child {
	int sock;
	size_t budget;
	struct file *files;
	size_t n, cap;
	unsigned int lookups;
	struct box_request request;
	char out[BOX_MAX_ANSWER];
};

static void drop_descriptors(int sock)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	if (sock > 3)
		syscall(SYS_close_range, 3, sock - 1, 0);
	syscall(SYS_close_range, sock + 1, ~0U, 0);
}

static void set_signals(void)
{
	static const int ignored[] = {SIGINT,  SIGTERM, SIGQUIT, SIGHUP, SIGPIPE,
				      SIGUSR1, SIGUSR2, SIGTSTP, SIGALRM};
	sigset_t none;

	for (int s = 1; s < SIGRTMIN; s++)
		signal(s, SIG_DFL);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void limit(int what, rlim_t value)
{
	struct rlimit rl = {value, value};

	setrlimit(what, &rl);
}

/* The address space that may be taken beyond what was inherited. */
static void limit_memory(size_t budget)
{
	char *text = NULL;
	unsigned long long pages = 0;

	if (util__read_file("/proc/self/statm", 4096, &text) > 0)
		pages = strtoull(text, NULL, 10);
	free(text);
	if (pages)
		limit(RLIMIT_AS, pages * sysconf(_SC_PAGESIZE) + max_of(MIN_MEMORY, 4ULL * budget));
}

/* Reading, memory, the socket, and nothing else: all other calls fail with EPERM. */
static void confine_calls(void)
{
	static const int allowed[] = {
		SCMP_SYS(read),		SCMP_SYS(pread64),
		SCMP_SYS(readv),	SCMP_SYS(lseek),
		SCMP_SYS(recvmsg),	SCMP_SYS(sendmsg),
		SCMP_SYS(sendto),	SCMP_SYS(recvfrom),
		SCMP_SYS(close),	SCMP_SYS(fstat),
		SCMP_SYS(brk),		SCMP_SYS(mremap),
		SCMP_SYS(munmap),	SCMP_SYS(madvise),
		SCMP_SYS(futex),	SCMP_SYS(exit_group),
		SCMP_SYS(exit),		SCMP_SYS(setitimer),
		SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
		SCMP_SYS(getrandom),	SCMP_SYS(clock_gettime),
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	if (!ctx)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	/* memory that is never executable; what libelf asks of a descriptor */
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
			 SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
			 SCMP_A2(SCMP_CMP_MASKED_EQ, 4, 0));
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFD));
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFL));
	seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 0);
	seccomp_load(ctx); /* where it is not to be had, the limits and the other user remain */
	seccomp_release(ctx);
}

static void give_up_privileges(size_t budget)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, 0);
	limit_memory(budget);
	prctl(PR_SET_NAME, "memwatch-dwarf");
	/* In a container without these users each step may fail; the later ones still count. */
	if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
			       setresuid(NOBODY, NOBODY, NOBODY)))
		prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	limit(RLIMIT_NPROC, 0);
	confine_calls();
}

static void close_file(struct file *f)
{
	dwarfinfo__close(f->info);
	util__close_fd(&f->fd);
	util__close_fd(&f->alt_fd);
	*f = (struct file){.fd = -1, .alt_fd = -1};
}

static struct file *file_of(struct child *c, uint32_t id)
{
	if (id >= c->n) {
		if (id > 1u << 20 || array_reserve(c->files, c->cap, (size_t)id + 1))
			return NULL;
		while (c->n <= id)
			c->files[c->n++] = (struct file){.fd = -1, .alt_fd = -1};
	}
	return &c->files[id];
}

static void open_file(struct child *c, uint32_t id, int fds[2])
{
	struct file *f = file_of(c, id);

	if (!f)
		return;
	close_file(f);
	f->fd = take_fd(&fds[0]);
	f->alt_fd = take_fd(&fds[1]);
}

static void keep_budget(struct child *c, const struct file *keep)
{
	struct mallinfo2 mi;

	if (++c->lookups % CHECK_EVERY)
		return;
	mi = mallinfo2();
	if (mi.uordblks + mi.hblkhd <= c->budget)
		return;
	for (size_t i = 0; i < c->n; i++) {
		if (&c->files[i] != keep) {
			dwarfinfo__close(c->files[i].info);
			c->files[i].info = NULL;
		}
	}
	malloc_trim(0);
}

static uint32_t put(struct child *c, size_t *at, const char *s)
{
	size_t n = s ? strnlen(s, BOX_MAX_TEXT) : 0;

	if (!s)
		return 0;
	memcpy(c->out + *at, s, n);
	c->out[*at + n] = 0;
	*at += n + 1;
	return n + 1;
}

static int lookup(struct child *c, uint32_t id, uint64_t vaddr, size_t *ret_len)
{
	struct dwarfinfo_frame frames[BOX_MAX_FRAMES];
	struct file *f = file_of(c, id);
	size_t at = 0;
	int n;

	if (!f || f->fd < 0)
		return -EBADF;
	if (!f->info && !f->err)
		f->err = dwarfinfo__open(f->fd, f->alt_fd, &f->info);
	if (f->err)
		return f->err;
	n = dwarfinfo__lookup(f->info, vaddr, frames, BOX_MAX_FRAMES);
	for (int i = 0; i < n; i++) {
		struct box_frame out = {
			.line = frames[i].line,
			.start_line = frames[i].start_line,
			.flags = (frames[i].inlined ? BOX_INLINED : 0) |
				 (frames[i].plain ? BOX_PLAIN : 0),
		};
		size_t head = at;

		at += sizeof(out);
		out.len[0] = put(c, &at, frames[i].name);
		out.len[1] = put(c, &at, frames[i].file);
		out.len[2] = put(c, &at, frames[i].dir);
		memcpy(c->out + head, &out, sizeof(out));
	}
	keep_budget(c, f);
	*ret_len = at;
	return n;
}

static void answer(struct child *c, int result, size_t len)
{
	struct box_answer a = {.result = result, .len = len};
	struct iovec iov[2] = {{&a, sizeof(a)}, {c->out, len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	size_t left = sizeof(a) + len;

	while (left) {
		ssize_t n = sendmsg(c->sock, &msg, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);
		left -= n;
		for (int i = 0; i < 2; i++) {
			size_t skip = min_of((size_t)n, iov[i].iov_len);

			iov[i].iov_base = (char *)iov[i].iov_base + skip;
			iov[i].iov_len -= skip;
			n -= skip;
		}
	}
}

/* One request with its descriptors; false at the end. */
static bool receive(struct child *c, int fds[2])
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec iov = {&c->request, sizeof(c->request)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = u.buf,
			     .msg_controllen = sizeof(u.buf)};
	struct cmsghdr *cm;
	ssize_t n;

	do {
		n = recvmsg(c->sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < (ssize_t)BOX_REQUEST_LEN(0) || c->request.n > BOX_BATCH ||
	    n != (ssize_t)BOX_REQUEST_LEN(c->request.n))
		return false;
	cm = CMSG_FIRSTHDR(&msg);
	if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(cm), min_of(cm->cmsg_len - CMSG_LEN(0), 2 * sizeof(int)));
	return true;
}

/* Answers each address under the timer, whose signal is not caught: it ends the process, and so
 * whatever took too long. */
static void lookup_all(struct child *c)
{
	static const struct itimerval on = {.it_value = {.tv_sec = BOX_CPU_SECONDS}}, off;
	const struct box_request *r = &c->request;

	for (size_t i = 0; i < r->n; i++) {
		size_t len = 0;
		int result;

		setitimer(ITIMER_PROF, &on, NULL);
		result = lookup(c, r->id, r->vaddr[i], &len);
		setitimer(ITIMER_PROF, &off, NULL);
		answer(c, result, len);
	}
}

_Noreturn void dwarfbox__serve(int sock, size_t budget_bytes)
{
	struct child *c;

	drop_descriptors(sock);
	set_signals();
	c = calloc(1, sizeof(*c));
	if (!c)
		_exit(1);
	c->sock = sock;
	c->budget = budget_bytes;
	give_up_privileges(budget_bytes);
	for (;;) {
		int fds[2] = {-1, -1};

		if (!receive(c, fds))
			_exit(0);
		if (c->request.op == BOX_OPEN)
			open_file(c, c->request.id, fds);
		else if (c->request.op == BOX_FORGET && c->request.id < c->n)
			close_file(&c->files[c->request.id]);
		else if (c->request.op == BOX_LOOKUP)
			lookup_all(c);
	}
}
