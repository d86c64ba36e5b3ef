/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/debugfile.h"

#include "core/surroundings.h"
#include "core/util.h"
#include "sys/apart.h"
#include "sys/safeopen.h"

#include <dlfcn.h>
#include <lzma.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#define MAX_MINI_BYTES (64u << 20)
#define MAX_LZMA_MEM (128u << 20)
#define MAX_CRC_BYTES (1ULL << 30) /* reading more would take too long */
#define DEBUG_DIR "/usr/lib/debug"

/* Decompresses xz data into a memory file. */
static int unxz(const uint8_t *data, size_t len, int fd)
{
	lzma_stream strm = LZMA_STREAM_INIT;
	cleanup_free uint8_t *buf = malloc(256 << 10);
	uint64_t total = 0;
	lzma_ret r;
	int err = 0;

	if (!buf || lzma_stream_decoder(&strm, MAX_LZMA_MEM, 0) != LZMA_OK)
		return -ENOMEM;
	strm.next_in = data;
	strm.avail_in = len;
	do {
		size_t n;

		strm.next_out = buf;
		strm.avail_out = 256 << 10;
		r = lzma_code(&strm, LZMA_FINISH);
		n = (256 << 10) - strm.avail_out;
		total += n;
		if ((r != LZMA_OK && r != LZMA_STREAM_END) || total > MAX_MINI_BYTES)
			err = -EBADMSG;
		else
			err = util__write_all(fd, buf, n);
	} while (!err && r == LZMA_OK);
	lzma_end(&strm);
	return err;
}

int debugfile__mini(const struct elfobj *e, struct elfobj **ret)
{
	cleanup_fd int fd = -1;
	const uint8_t *data;
	size_t len;
	int err = elfobj__section(e, ".gnu_debugdata", &data, &len, NULL);

	if (err)
		return err;
	fd = memfd_create("memwatch-debugdata", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = unxz(data, len, fd);
	if (!err)
		err = elfobj__open_fd(fd, ".gnu_debugdata", ret);
	return err == -ENOEXEC ? -EBADMSG : err;
}

static int file_crc(int fd, uint32_t *ret)
{
	cleanup_free uint8_t *buf = malloc(1 << 20);
	uLong crc = crc32(0, NULL, 0);
	off_t at = 0;

	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = pread(fd, buf, 1 << 20, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		crc = crc32(crc, buf, n);
		at += n;
		if (at > (off_t)MAX_CRC_BYTES)
			return -EFBIG;
	}
	*ret = crc;
	return 0;
}

int debugfile__belongs(const struct elfobj *e, const struct elfobj *d, const uint32_t *crc)
{
	uint8_t a[ELFOBJ_MAX_BUILD_ID], b[ELFOBJ_MAX_BUILD_ID];
	size_t na = elfobj__build_id(e, a), nb = elfobj__build_id(d, b);
	uint32_t got = 0;

	if (na && nb)
		return na == nb && !memcmp(a, b, na) ? 0 : SYM_OTHER_ID;
	if (!crc || file_crc(elfobj__fd(d), &got))
		return SYM_NO_ID;
	return got == *crc ? 0 : SYM_OTHER_CRC;
}

/* A section that holds a file name, NUL, and something behind it. */
static const char *link_name(const struct elfobj *e, const char *section, size_t *ret_len)
{
	const uint8_t *p;
	size_t len;

	if (elfobj__section(e, section, &p, &len, NULL) || !memchr(p, 0, len) || !*p)
		return NULL;
	*ret_len = len;
	return (const char *)p;
}

int debugfile__link(const struct elfobj *e, char *name, size_t cap, uint32_t *crc)
{
	size_t len, at;
	const char *p = link_name(e, ".gnu_debuglink", &len);

	if (!p || strchr(p, '/') || strlen(p) >= cap)
		return -ENOENT;
	at = (strlen(p) + 1 + 3) & ~(size_t)3;
	if (at + sizeof(*crc) > len)
		return -EBADMSG;
	memcpy(crc, p + at, sizeof(*crc));
	strcpy(name, p);
	return 0;
}

int debugfile__alt_link(const struct elfobj *debug, char path[DEBUGFILE_NAME],
			char build_id[2 * ELFOBJ_MAX_BUILD_ID + 1])
{
	size_t len, at, id_len;
	const char *name = link_name(debug, ".gnu_debugaltlink", &len);
	const char *dir = elfobj__name(debug), *slash = strrchr(dir, '/');

	if (!name)
		return -ENOENT;
	at = strlen(name) + 1;
	id_len = min_of(len - at, (size_t)ELFOBJ_MAX_BUILD_ID);
	build_id[0] = 0;
	for (size_t i = 0; i < id_len; i++)
		snprintf(build_id + 2 * i, 3, "%02x", (uint8_t)name[at + i]);
	if (name[0] == '/' || !slash)
		snprintf(path, DEBUGFILE_NAME, "%.4096s", name);
	else
		snprintf(path, DEBUGFILE_NAME, "%.*s/%.2048s", (int)min_of(slash - dir, 2048L), dir,
			 name);
	return 0;
}

int debugfile__open(int rootfd, const char *path, pid_t whose)
{
	return rootfd < 0 && apart__inside()
		       ? apart__open(path, APART_READ_FILE)
		       : safeopen__below(rootfd, path, false, NULL, whose, NULL);
}

bool debugfile__place(const char *build_id, const char *link, const char *path, int i,
		      char ret[DEBUGFILE_NAME], bool *ret_by_link)
{
	const char *slash = path[0] == '/' ? strrchr(path, '/') : NULL;
	int dir = slash ? min_of(slash - path, 3900L) : 0;
	bool has_id = strlen(build_id) >= 4, has_link = link && slash && !strchr(link, '/');

	i += has_id ? 0 : 1;
	*ret_by_link = i > 0;
	if (i > 0 && !has_link)
		return false;
	switch (i) {
	case 0:
		snprintf(ret, DEBUGFILE_NAME, DEBUG_DIR "/.build-id/%.2s/%.200s.debug", build_id,
			 build_id + 2);
		return true;
	case 1: snprintf(ret, DEBUGFILE_NAME, "%.*s/%.255s", dir, path, link); return true;
	case 2: snprintf(ret, DEBUGFILE_NAME, "%.*s/.debug/%.255s", dir, path, link); return true;
	case 3:
		snprintf(ret, DEBUGFILE_NAME, DEBUG_DIR "%.*s/%.255s", dir, path, link);
		return true;
	}
	return false;
}

int debugfile__debuginfod(const char *build_id)
{
	void *(*begin)(void), *client, *lib;
	int (*find)(void *, const unsigned char *, int, char **), fd = -ENOENT;
	void (*end)(void *);

	if (!surroundings.debuginfod_urls || !*build_id)
		return -ENOENT;
	lib = dlopen("libdebuginfod.so.1", RTLD_LAZY | RTLD_LOCAL);
	if (!lib)
		return -ENOENT;
	*(void **)&begin = dlsym(lib, "debuginfod_begin");
	*(void **)&find = dlsym(lib, "debuginfod_find_debuginfo");
	*(void **)&end = dlsym(lib, "debuginfod_end");
	client = begin && find && end ? begin() : NULL;
	if (client) { /* the library stays loaded: curl below it does not like to be unloaded */
		fd = find(client, (const unsigned char *)build_id, 0, NULL);
		end(client);
	}
	return fd < 0 ? -ENOENT : fd;
}
