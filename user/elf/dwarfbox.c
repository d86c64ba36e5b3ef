/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/dwarfbox.h"

#include "core/util.h"
#include "elf/symbolizer.h"

struct dwarfbox {
	struct dwarfinfo **files;
	size_t cap;
	char *demangled;
};

int dwarfbox__new(size_t budget_bytes, struct dwarfbox **ret)
{
	struct dwarfbox *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	*ret = b;
	return 0;
}

void dwarfbox__free(struct dwarfbox *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->cap; i++)
		dwarfinfo__close(b->files[i]);
	free(b->files);
	free(b->demangled);
	free(b);
}

int dwarfbox__lookup(struct dwarfbox *b, uint32_t id, int fd, int alt_fd, uint64_t vaddr,
		     struct dwarfinfo_frame *frames, int max)
{
	int err;

	if (id >= b->cap) {
		size_t was = b->cap;

		err = array_reserve(b->files, b->cap, (size_t)id + 1);
		if (err)
			return err;
		for (size_t i = was; i < b->cap; i++)
			b->files[i] = NULL;
	}
	if (!b->files[id]) {
		err = dwarfinfo__open(fd, alt_fd, &b->files[id]);
		if (err)
			return err;
	}
	return dwarfinfo__lookup(b->files[id], vaddr, frames, max);
}

void dwarfbox__forget(struct dwarfbox *b, uint32_t id)
{
	if (id < b->cap) {
		dwarfinfo__close(b->files[id]);
		b->files[id] = NULL;
	}
}

const char *dwarfbox__demangle(struct dwarfbox *b, const char *name)
{
	free(b->demangled);
	return symbolizer__demangle(name, &b->demangled);
}
