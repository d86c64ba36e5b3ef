/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe/fault_probe.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe/bpfobj_priv.h"
#include "sys/privilege.h"

struct fault_probe {
	struct bpf_program *prog;
	uint32_t period;
	struct bpf_link **links;
	size_t nlinks;
};

/*
 * Minor and major faults each have their counter, and both count when the fault has been handled
 * and the page is there; the counter of all page faults counts before.
 */
static int open_counter(struct fault_probe *p, int cpu, uint64_t config)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = config,
		.sample_period = p->period,
	};
	struct bpf_link *link;
	int fd, err;

	privilege__raise(PRIVILEGE_PROBES);
	fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	privilege__lower(PRIVILEGE_PROBES);
	if (fd < 0)
		return errno == ENODEV ? 0 : -errno; /* a CPU that is possible but not online */
	link = bpf_program__attach_perf_event(p->prog, fd);
	if (!link) {
		err = -errno;
		close(fd);
		return err;
	}
	p->links[p->nlinks++] = link;
	return 0;
}

static int open_counters(struct fault_probe *p)
{
	int ncpus = libbpf_num_possible_cpus(), err = 0;

	if (ncpus < 0)
		return ncpus;
	p->links = calloc(ncpus * 2, sizeof(struct bpf_link *));
	if (!p->links)
		return -ENOMEM;
	for (int cpu = 0; cpu < ncpus && !err; cpu++) {
		err = open_counter(p, cpu, PERF_COUNT_SW_PAGE_FAULTS_MIN);
		if (!err)
			err = open_counter(p, cpu, PERF_COUNT_SW_PAGE_FAULTS_MAJ);
	}
	return err ? err : p->nlinks ? 0 : -ENODEV;
}

int fault_probe__new(struct bpfobj *o, uint32_t period, struct fault_probe **ret)
{
	struct fault_probe *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->prog = o->skel->progs.mw_fault_sample;
	p->period = period;
	err = open_counters(p);
	if (err) {
		fault_probe__free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void fault_probe__free(struct fault_probe *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nlinks; i++)
		bpf_link__destroy(p->links[i]);
	free(p->links);
	free(p);
}
