// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * entry_uprobe PID LIBRARY: attaches bpf/probe_entry.bpf.c at malloc and free of the library, says
 * "attached", and stays until a signal ends it.
 */
#include "probe_entry.skel.h"

#include <bpf/libbpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct bpf_link *attach(struct bpf_program *prog, bool ret, pid_t pid, const char *lib,
			       const char *fn)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .retprobe = ret, .func_name = fn);

	return bpf_program__attach_uprobe_opts(prog, pid, lib, 0, &opts);
}

int main(int argc, char **argv)
{
	struct probe_entry_bpf *skel;
	pid_t pid;

	if (argc != 3) {
		fprintf(stderr, "usage: entry_uprobe PID LIBRARY\n");
		return 2;
	}
	pid = (pid_t)strtol(argv[1], NULL, 10);
	skel = probe_entry_bpf__open_and_load();
	if (!skel) {
		perror("entry_uprobe: failed to load");
		return 1;
	}
	if (!attach(skel->progs.peer_malloc_enter, false, pid, argv[2], "malloc") ||
	    !attach(skel->progs.peer_malloc_exit, true, pid, argv[2], "malloc") ||
	    !attach(skel->progs.peer_free_enter, false, pid, argv[2], "free")) {
		perror("entry_uprobe: failed to attach");
		return 1;
	}
	fprintf(stderr, "attached\n");
	pause();
	return 0;
}
