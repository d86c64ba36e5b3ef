/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snapshot/smaps.h"

#include <ctype.h>
#include <string.h>

#include "core/util.h"
#include "sys/proc_task.h"

#define TRIES 3

void smaps__free(struct ledger_input *in)
{
	for (size_t i = 0; i < in->n; i++)
		free(in->map[i].path);
	free(in->map);
	memset(in, 0, sizeof(*in));
}

/* "start-end perms offset dev inode   path" */
static int parse_head(const char *line, struct ledger_map *m)
{
	unsigned long long start, end, offset, inode;
	char perms[5] = "";
	int at = 0;
	size_t len;

	if (sscanf(line, "%llx-%llx %4s %llx %*x:%*x %llu %n", &start, &end, perms, &offset, &inode,
		   &at) < 5)
		return -EINVAL;
	memset(m, 0, sizeof(*m));
	m->start = start;
	m->end = end;
	m->offset = offset;
	m->inode = inode;
	memcpy(m->perms, perms, sizeof(perms));
	m->path = strdup(at ? line + at : "");
	if (!m->path)
		return -ENOMEM;
	len = strlen(m->path);
	while (len && m->path[len - 1] == '\n')
		m->path[--len] = 0;
	return 0;
}

static void parse_field(const char *line, struct ledger_map *m)
{
	static const struct {
		const char *name;
		size_t off;
	} fields[] = {
		{"Rss:", offsetof(struct ledger_map, rss)},
		{"Pss:", offsetof(struct ledger_map, pss)},
		{"Anonymous:", offsetof(struct ledger_map, anonymous)},
		{"AnonHugePages:", offsetof(struct ledger_map, thp)},
		{"Swap:", offsetof(struct ledger_map, swap)},
		{"Shared_Hugetlb:", offsetof(struct ledger_map, hugetlb)},
		{"Private_Hugetlb:", offsetof(struct ledger_map, hugetlb)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		size_t len = strlen(fields[i].name);

		if (!strncmp(line, fields[i].name, len)) {
			*(uint64_t *)((char *)m + fields[i].off) += strtoull(line + len, NULL, 10)
								    << 10;
			return;
		}
	}
	if (!strncmp(line, "VmFlags:", 8)) {
		m->growsdown = strstr(line, " gd");
		m->noreserve = strstr(line, " nr");
		m->hugetlb_vma = strstr(line, " ht");
	}
}

/*
 * The kernel lets go of the process between pages of text and goes on behind the end that the last
 * mapping had: one that has grown meanwhile comes again, whole. What is newer stands.
 */
static void drop_older(struct ledger_input *in)
{
	struct ledger_map *m = &in->map[in->n - 1], *old = m - 1;

	while (in->n > 1 && old->start >= m->start) {
		free(old->path);
		*old = *m;
		m = old--;
		in->n--;
	}
	if (in->n > 1 && old->end > m->start) {
		old->end = m->start;
		old->rss = min_of(old->rss, old->end - old->start);
		old->swap = min_of(old->swap, old->end - old->start);
	}
}

static int read_maps(pid_t pid, struct ledger_input *in)
{
	cleanup_free char *line = NULL;
	cleanup_file FILE *f = NULL;
	struct ledger_map *m = NULL;
	char path[64];
	size_t cap = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps", proc_task__shows(pid));
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	errno = 0;
	while (getline(&line, &cap, f) > 0) {
		/* fields begin with a capital letter, mappings with a hexadecimal digit in lower
		 * case */
		if (isupper((unsigned char)*line)) {
			if (m)
				parse_field(line, m);
			continue;
		}
		if (array_reserve(in->map, in->cap, in->n + 1))
			return -ENOMEM;
		if (parse_head(line, &in->map[in->n]))
			return -EBADMSG;
		in->n++;
		drop_older(in);
		m = &in->map[in->n - 1];
		if (!strcmp(m->path, "[vsyscall]")) { /* in no process's VIRT */
			free(m->path);
			in->n--;
			m = NULL;
		}
	}
	if (ferror(f))
		return errno == ENOENT || errno == ESRCH ? -ESRCH : errno ? -errno : -EIO;
	return in->n ? 0 : -ESRCH; /* a process without an address space has none to tell of */
}

static struct ledger_map *map_at(struct ledger_input *in, uint64_t addr)
{
	size_t lo = 0, hi = in->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (in->map[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < in->n && in->map[lo].start <= addr ? &in->map[lo] : NULL;
}

/* Stack of a thread that runs right now: its pointer cannot be had; glibc's stacks lie behind a
 * guard page and are as large as RLIMIT_STACK or what the program chose. */
static void find_stacks(pid_t pid, struct ledger_input *in)
{
	char path[320];
	cleanup_dir DIR *dir = NULL;
	uint64_t size = 0;
	size_t running = 0;
	struct dirent *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		struct ledger_map *m;
		__u64 pc, sp;
		int err;

		if (!isdigit((unsigned char)*d->d_name) || atoi(d->d_name) == pid)
			continue;
		err = proc_task__where(atoi(d->d_name), &pc, &sp);
		running += err && err != -EBADMSG;
		if (err)
			continue;
		m = map_at(in, sp);
		if (m && !*m->path) {
			m->stack_of_thread = true;
			size = m->end - m->start;
		}
	}
	for (size_t i = 1; running && i < in->n; i++) {
		struct ledger_map *m = &in->map[i], *guard = m - 1;
		uint64_t len = m->end - m->start;

		if (*m->path || m->stack_of_thread || strncmp(m->perms, "rw-p", 4) ||
		    guard->end != m->start || strncmp(guard->perms, "---", 3))
			continue;
		if (guard->end - guard->start <= 65536 && (len == size || len == 8 << 20)) {
			m->stack_of_thread = true;
			running--;
		}
	}
}

int smaps__read(pid_t pid, struct ledger_input *ret)
{
	struct mw_task_row before, after;
	struct ledger_input in = {.pid = pid};
	int err = proc_task__read(pid, &before);

	for (int try = 0; !err && try < TRIES; try++) {
		smaps__free(&in);
		err = read_maps(pid, &in);
		if (!err)
			err = proc_task__read(pid, &after);
		if (!err && (after.start_ns != before.start_ns || (after.flags & MW_TASK_NO_MM)))
			err = -ESRCH;
		in.steady = !err && mw_task_row__rss(&before) == mw_task_row__rss(&after) &&
			    before.virt_bytes == after.virt_bytes;
		if (in.steady)
			break;
		before = after;
	}
	if (err) {
		smaps__free(&in);
		return err;
	}
	find_stacks(pid, &in);
	in.pid = pid;
	in.unix_ms = util__wall_ms();
	in.rss_bytes = mw_task_row__rss(&after);
	in.virt_bytes = after.virt_bytes;
	in.swap_bytes = after.swap_bytes;
	in.pgtables_bytes = after.pgtables_bytes;
	memcpy(in.comm, after.comm, sizeof(after.comm));
	*ret = in;
	return 0;
}
