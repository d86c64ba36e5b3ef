/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * symbolize.c - names for addresses of a file, printed as addr2line -i -f -C -e does: a name and
 * a file:line per frame. With -a addresses come first, so that answers can be told apart.
 * usage: symbolize [-a] [-n] [-o] [-r ROOT] [-p PATH] FILE [ADDR…]   (ADDR… or stdin; vaddrs, -o:
 * file offsets) symbolize -j PID [-r ROOT] [ADDR…]                          (code in no file) -n:
 * no lines. -t: times and counters to stderr.
 */
#include "core/surroundings.h"
#include "core/util.h"
#include "elf/elfobj.h"
#include "elf/symbolizer.h"

#include <fcntl.h>
#include <string.h>

struct run {
	struct symbolizer *s;
	struct symbolizer_module *m;
	struct symbolizer_jit *jit;
	struct elfobj *e;
	bool offsets, show_addr, one_by_one;
};

static void one(struct run *r, const char *text)
{
	struct symbolizer_frame f[SYMBOLIZER_MAX_INLINE];
	uint64_t addr = strtoull(text, NULL, 16), off = addr;
	int n = 0;

	if (r->show_addr)
		printf("0x%llx\n", (unsigned long long)addr);
	if (r->jit)
		n = symbolizer_jit__lookup(r->jit, addr, f, SYMBOLIZER_MAX_INLINE);
	else if (r->offsets || elfobj__vaddr_to_off(r->e, addr, &off))
		n = symbolizer__lookup(r->s, r->m, off, f, SYMBOLIZER_MAX_INLINE);
	if (!n)
		puts("??\n??:0");
	for (int i = 0; i < n; i++)
		printf("%s\n%s:%u\n", f[i].name ? f[i].name : "??", f[i].file ? f[i].file : "??",
		       f[i].line);
}

static void run_all(struct run *r, char **addrs, int n)
{
	cleanup_free char(*lines)[24] = NULL;
	cleanup_free uint64_t *offs = NULL;
	size_t cap = 0, used = 0, noffs = 0;

	while (!n && !array_reserve(lines, cap, used + 1) && fgets(lines[used], 24, stdin))
		used++;
	offs = calloc(used + n + 1, sizeof(*offs));
	for (size_t i = 0; i < used + n && offs; i++) {
		uint64_t addr = strtoull(n ? addrs[i] : lines[i], NULL, 16);

		offs[noffs] = addr;
		noffs += r->offsets || (r->e && elfobj__vaddr_to_off(r->e, addr, &offs[noffs]));
	}
	if (!r->jit && !r->one_by_one)
		symbolizer__prefetch(r->s, r->m, offs, noffs);
	for (size_t i = 0; i < used + n; i++)
		one(r, n ? addrs[i] : lines[i]);
}

int main(int argc, char **argv)
{
	struct symbolizer_opts opts = {0};
	const char *root = NULL, *path = NULL;
	bool timing = false;
	struct symbolizer_stats st;
	struct run r = {0};
	int opt, pid = 0, rootfd = -1, err;
	uint64_t t0;

	while ((opt = getopt(argc, argv, "an1otr:p:j:b:")) != -1) {
		switch (opt) {
		case 'a': r.show_addr = true; break;
		case 'n': opts.no_lines = true; break;
		case '1': r.one_by_one = true; break;
		case 'o': r.offsets = true; break;
		case 't': timing = true; break;
		case 'r': root = optarg; break;
		case 'p': path = optarg; break;
		case 'j': pid = atoi(optarg); break;
		case 'b': opts.budget_bytes = strtoull(optarg, NULL, 10); break;
		default: return 2;
		}
	}
	surroundings.debuginfod_urls = getenv("DEBUGINFOD_URLS");
	t0 = util__now_ns();
	err = symbolizer__new(&opts, &r.s);
	if (!err && pid) {
		err = symbolizer__jit(r.s, pid, root, &r.jit);
	} else if (!err) {
		int fd = optind < argc ? open(argv[optind], O_RDONLY | O_CLOEXEC) : -1;

		path = path ? path : realpath(argv[optind], NULL);
		rootfd = root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
		err = fd < 0 ? -errno : symbolizer__module(r.s, fd, path, rootfd, NULL, &r.m);
		if (!err)
			err = elfobj__open_fd(fd, argv[optind], &r.e);
		optind++;
	}
	if (err) {
		fprintf(stderr, "symbolize: %s\n", strerror(-err));
		return 1;
	}
	run_all(&r, argv + optind, argc - optind);
	symbolizer__stats(r.s, &st);
	if (r.m && *symbolizer_module__note(r.m))
		fprintf(stderr, "note: %s\n", symbolizer_module__note(r.m));
	if (timing)
		fprintf(stderr,
			"seconds %.3f lookups %llu unnamed %llu malformed %llu mismatches %llu "
			"timeouts %llu crashes %llu dropped %llu evictions %llu bytes %llu\n",
			(util__now_ns() - t0) / 1e9, (unsigned long long)st.lookups,
			(unsigned long long)st.unnamed, (unsigned long long)st.malformed,
			(unsigned long long)st.mismatches, (unsigned long long)st.dwarf_timeouts,
			(unsigned long long)st.dwarf_crashes, (unsigned long long)st.names_dropped,
			(unsigned long long)st.evictions, (unsigned long long)st.bytes);
	symbolizer__free(r.s);
	elfobj__close(r.e);
	return 0;
}
