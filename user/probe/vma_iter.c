/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/vma_iter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/util.h"
#include "sys/safeopen.h"
#include "probe/bpfobj_priv.h"

#define MAX_VMAS (1u << 20)   /* of one process */
#define MAX_IDLE_READS 100000 /* in a row, of processes that are none of ours */

/*
 * How many of the vmas from `from` on go on upwards. Where they do not, the list is complete:
 * another thread of the process begins, or, in Linux 6.1 and later, a walk of one thread that took
 * more than one of the kernel's buffers and is at its end starts again where the last buffer did
 * (read after read, for ever).
 */
static size_t ascending(const struct mw_unwind_vma *v, size_t from, size_t n)
{
	size_t i = from;

	while (i < n && (!i || v[i].start > v[i - 1].start))
		i++;
	return i;
}

/* Runs the iterator over what `info` names. Malloc'ed list; its length or a negative errno. */
static ssize_t iterate(struct bpfobj *o, union bpf_iter_link_info *info, struct mw_unwind_vma **ret)
{
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = info, .link_info_len = sizeof(*info));
	struct bpf_program *prog = o->skel->progs.mw_unwind_vmas;
	struct bpf_link *link = bpf_program__attach_iter(prog, info ? &opts : NULL);
	cleanup_free uint8_t *buf = NULL;
	size_t len = 0, cap = 0, good = 0, idle = 0;
	cleanup_fd int fd = -1;
	ssize_t n;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	n = fd < 0 ? -errno : 1;
	while (n > 0 && good == len / sizeof(**ret) && good < MAX_VMAS && idle < MAX_IDLE_READS) {
		int err = array_reserve(buf, cap, len + 65536);

		n = err ? err : read(fd, buf + len, cap - len);
		idle = n < 0 ? idle + 1 : 0;
		if (n < 0 && !err) /* EAGAIN: the kernel's walk gave way to others */
			n = errno == EINTR || errno == EAGAIN ? 1 : -errno;
		else if (n > 0)
			len += n;
		good = ascending((struct mw_unwind_vma *)buf, good, len / sizeof(**ret));
	}
	bpf_link__destroy(link);
	if (n < 0)
		return n;
	*ret = (struct mw_unwind_vma *)take_ptr(buf);
	return good;
}

/* Shows the list to the walker in one exchange: it has the one before until then, and may need it
 * while this process is waited for, whose mappings somebody has locked. */
static void show_walker(struct bpfobj *o, pid_t pid, const struct mw_unwind_vma *vmas, size_t n)
{
	cleanup_free struct mw_unwind_proc *p = calloc(1, sizeof(*p));
	__u32 key = pid;

	for (size_t i = 0; p && i < n && p->n < MW_UNWIND_PROC_VMAS; i++) {
		if (vmas[i].kind != MW_UNWIND_VMA_ANON)
			p->vma[p->n++] = vmas[i];
	}
	if (p)
		bpf_map_update_elem(bpf_map__fd(o->skel->maps.unwind_procs), &key, p, BPF_ANY);
}

static ssize_t read_all(struct bpfobj *o, pid_t pid, struct mw_unwind_vma **ret)
{
	union bpf_iter_link_info info = {.task = {.tid = pid}};
	ssize_t n;

	o->skel->bss->unwind_iter_tgid = 0;
	n = iterate(o, &info, ret);
	if (n == -EINVAL) { /* before 6.1: all tasks, filtered by the program */
		o->skel->bss->unwind_iter_tgid = pid;
		return iterate(o, NULL, ret);
	}
	if (n)
		return n;
	free(*ret);
	*ret = NULL;
	info.task.tid = 0;
	info.task.pid = pid;
	return iterate(o, &info, ret);
}

ssize_t vma_iter__read(struct bpfobj *o, pid_t pid, struct mw_unwind_vma **ret)
{
	ssize_t n = read_all(o, pid, ret);

	if (n > 0)
		show_walker(o, pid, *ret, n);
	return n;
}

/* The kernel's own number of a device. */
static uint64_t kernel_dev(dev_t dev)
{
	return (uint64_t)major(dev) << 20 | minor(dev);
}

int vma_iter__check(struct bpfobj *o, int fd, const struct mw_unwind_key *key)
{
	cleanup_free struct mw_unwind_vma *v = NULL;
	struct stat st;
	void *at;
	ssize_t n;

	/* while it is open no other file of that device has its number */
	if (!safeopen__fstat(fd, &st) && kernel_dev(st.st_dev) == key->dev && st.st_ino == key->ino)
		return 0;
	at = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	o->skel->bss->unwind_iter_start = (uintptr_t)at;
	n = read_all(o, getpid(), &v);
	o->skel->bss->unwind_iter_start = 0;
	munmap(at, sysconf(_SC_PAGESIZE));
	if (n < 0)
		return n;
	return n && !memcmp(&v->key, key, sizeof(*key)) ? 0 : -ESTALE;
}
