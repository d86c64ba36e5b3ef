// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * reopen OWN.so: opens a library with an allocator of its own, says "loaded", waits for a line,
 * works in it, closes it, and takes the place where it was, so that it is somewhere else the next
 * time. At the end of its input it ends.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include "wl.h"

int main(int argc, char **argv)
{
	char line[64];

	wl_say("ready");
	while (fgets(line, sizeof(line), stdin)) {
		unsigned long objects = 0, bytes = 0;
		void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL), *at;
		Dl_info info;
		void (*fn)(unsigned long *, unsigned long *);

		if (!lib)
			return 90;
		*(void **)&fn = dlsym(lib, "own_work");
		dladdr(*(void **)&fn, &info);
		at = info.dli_fbase;
		wl_say("loaded");
		if (!fgets(line, sizeof(line), stdin))
			return 91;
		fn(&objects, &bytes);
		dlclose(lib);
		mmap(at, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		wl_say("closed");
	}
	return 0;
}
