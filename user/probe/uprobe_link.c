/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/uprobe_link.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/privilege.h"
#include "sys/proc_task.h"

/* union bpf_attr, member link_create with uprobe_multi, as of Linux 6.6. */
struct link_create_attr {
	uint32_t prog_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t ref_ctr_offsets;
	uint64_t cookies;
	uint32_t cnt;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t pad;
};

int uprobe_link__create(int prog_fd, int attach_type, const char *path, const uint64_t *offsets,
			const uint64_t *cookies, const uint64_t *semaphores, size_t n, int pid,
			uint32_t flags)
{
	struct link_create_attr attr;
	long fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_fd = prog_fd;
	attr.attach_type = attach_type;
	attr.path = (uintptr_t)path;
	attr.offsets = (uintptr_t)offsets;
	attr.ref_ctr_offsets = (uintptr_t)semaphores;
	attr.cookies = (uintptr_t)cookies;
	attr.cnt = n;
	attr.multi_flags = flags;
	attr.pid = pid;
	fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : (int)fd;
}

struct bpf_link *uprobe_link__single(const struct bpf_program *prog, bool ret, int pid,
				     const char *path, uint64_t offset, uint64_t cookie,
				     uint64_t semaphore)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = cookie, .retprobe = ret,
		    .ref_ctr_offset = semaphore);
	struct bpf_link *link;

	/* the kernel goes by the thread's memory, which a main thread that has ended lacks */
	pid = proc_task__shows(pid);
	privilege__raise(PRIVILEGE_PROBES);
	link = bpf_program__attach_uprobe_opts(prog, pid, path, offset, &opts);
	privilege__lower(PRIVILEGE_PROBES);
	return link;
}
