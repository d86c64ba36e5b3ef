/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/debugimage.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "core/util.h"

#define MAX_SECTIONS 64 /* .debug_*: there are some twenty kinds */
#define MAX_IMAGE (1ULL << 30)

struct debug_image {
	struct elfobj *from;
	int fd;
	uint64_t at;
	Elf64_Shdr shdr[MAX_SECTIONS + 2]; /* the empty one first; the names last */
	size_t n;
	char names[MAX_SECTIONS * 32];
	size_t names_len;
};

static bool is_debug(const char *name)
{
	return !strncmp(name, ".debug_", 7) || !strncmp(name, ".zdebug_", 8);
}

static int look(void *arg, const char *name, enum elfobj_packing packing)
{
	bool *needed = arg;

	*needed |= is_debug(name) && packing != ELFOBJ_PLAIN && packing != ELFOBJ_ZLIB;
	return 0;
}

static int put_header(struct debug_image *im, const char *name, uint64_t size)
{
	size_t len = strlen(name) + 1;

	if (im->names_len + len > sizeof(im->names) || im->n == ARRAY_SIZE(im->shdr))
		return -EBADMSG;
	im->shdr[im->n++] = (Elf64_Shdr){.sh_name = im->names_len,
					 .sh_type = SHT_PROGBITS,
					 .sh_offset = im->at,
					 .sh_size = size,
					 .sh_addralign = 1};
	memcpy(im->names + im->names_len, name, len);
	im->names_len += len;
	return 0;
}

static int put_bytes(struct debug_image *im, const void *data, size_t len)
{
	int err;

	if (len > MAX_IMAGE - im->at)
		return -ENOMEM;
	err = util__write_all(im->fd, data, len);
	im->at += len;
	return err;
}

/* Unpacked, and out of memory again: the image is not counted as the helper's own. */
static int copy(void *arg, const char *name, enum elfobj_packing packing)
{
	struct debug_image *im = arg;
	char plain[32];
	const uint8_t *data;
	size_t len;
	int err;

	if (!is_debug(name) || im->n > MAX_SECTIONS)
		return 0;
	/* ".zdebug_x" is asked for as ".debug_x" */
	if (snprintf(plain, sizeof(plain), ".%s", name + (name[1] == 'z' ? 2 : 1)) >=
	    (int)sizeof(plain))
		return 0;
	err = elfobj__section(im->from, plain, &data, &len, NULL);
	if (!err)
		err = put_header(im, plain, len);
	if (!err)
		err = put_bytes(im, data, len);
	elfobj__drop(im->from);
	return err;
}

static int finish(struct debug_image *im, uint16_t type, uint16_t machine)
{
	Elf64_Ehdr eh = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				     EV_CURRENT},
			 .e_type = type,
			 .e_machine = machine,
			 .e_version = EV_CURRENT,
			 .e_ehsize = sizeof(eh),
			 .e_shentsize = sizeof(Elf64_Shdr)};
	int err = put_header(im, ".shstrtab", 0);

	if (err)
		return err;
	im->shdr[im->n - 1].sh_type = SHT_STRTAB;
	im->shdr[im->n - 1].sh_size = im->names_len;
	err = put_bytes(im, im->names, im->names_len);
	eh.e_shoff = im->at;
	eh.e_shnum = im->n;
	eh.e_shstrndx = im->n - 1;
	if (!err)
		err = put_bytes(im, im->shdr, im->n * sizeof(im->shdr[0]));
	if (err)
		return err;
	return pwrite(im->fd, &eh, sizeof(eh), 0) == sizeof(eh) ? 0 : -EIO;
}

static int build(struct debug_image *im, const struct elfobj *e)
{
	const Elf64_Ehdr room = {0};
	int err = put_bytes(im, &room, sizeof(room));

	im->n = 1;
	im->names_len = 1;
	/* of its own: what is unpacked goes at once */
	if (!err)
		err = elfobj__open_fd(elfobj__fd(e), elfobj__name(e), &im->from);
	if (!err)
		err = elfobj__each_section(e, copy, im);
	elfobj__close(im->from);
	return err ? err : finish(im, elfobj__type(e), elfobj__machine(e));
}

int debugimage__open(const struct elfobj *e)
{
	cleanup_free struct debug_image *im = NULL;
	bool needed = false;
	int err, fd;

	elfobj__each_section(e, look, &needed);
	if (!needed) {
		fd = fcntl(elfobj__fd(e), F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	im = calloc(1, sizeof(*im));
	if (!im)
		return -ENOMEM;
	im->fd = memfd_create("memwatch-debug", MFD_CLOEXEC);
	if (im->fd < 0)
		return -errno;
	err = build(im, e);
	if (!err)
		return im->fd;
	close(im->fd);
	return err;
}
