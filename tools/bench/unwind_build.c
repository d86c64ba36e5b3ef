// SPDX-License-Identifier: GPL-2.0-or-later
/* unwind_build FILE…: builds each file's unwind table; prints rows, bytes per row, milliseconds. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/util.h"
#include "elf/unwind_table.h"

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		cleanup_fd int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		uint64_t start = util__now_ns();
		struct unwind_table *t = NULL;
		struct elfobj *e = NULL;
		const struct mw_unwind_hdr *h;
		int err = elfobj__open_fd(fd, argv[i], &e);

		if (!err)
			err = unwind_table__from_elf(e, &t);
		elfobj__close(e);
		if (err) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-err));
			return 1;
		}
		h = unwind_table__hdr(t);
		printf("%u %.2f %.2f %.1f\n", h->n_rows,
		       (t->n_words - h->n_pages) * 8.0 / h->n_rows, t->n_words * 8.0 / h->n_rows,
		       (util__now_ns() - start) / 1e6);
		unwind_table__free(t);
	}
	return 0;
}
