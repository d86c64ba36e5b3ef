/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elf/debugfile.h"

#include "core/util.h"
#include "sys/safeopen.h"

#include <dlfcn.h>
#include <lzma.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#define MAX_MINI_BYTES (256u << 20)
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

static int open_elf_below(int rootfd, const char *path, struct elfobj **ret)
{
	cleanup_fd int fd = safeopen__below(rootfd, path, 0, NULL, NULL);

	return fd < 0 ? fd : elfobj__open_fd(fd, path, ret);
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

static void say(char note[DEBUGFILE_NOTE], const char *path, const char *what)
{
	snprintf(note, DEBUGFILE_NOTE, "debug file %.120s %s, not used", path, what);
}

/* Whether `d` belongs to `e`. crc: of the debuglink, or NULL if found by build-id. */
static bool belongs(const struct elfobj *e, const struct elfobj *d, const uint32_t *crc,
		    const char *path, char note[DEBUGFILE_NOTE])
{
	uint8_t a[ELFOBJ_MAX_BUILD_ID], b[ELFOBJ_MAX_BUILD_ID];
	size_t na = elfobj__build_id(e, a), nb = elfobj__build_id(d, b);
	uint32_t got = 0;

	if (na && nb) {
		if (na == nb && !memcmp(a, b, na))
			return true;
		say(note, path, "has another build-id");
		return false;
	}
	if (!crc || file_crc(elfobj__fd(d), &got)) {
		say(note, path, "has no build-id");
		return false;
	}
	if (got != *crc)
		say(note, path, "has another checksum");
	return got == *crc;
}

/* Tries one path below the target's root, then below ours. */
static int try_path(const struct elfobj *e, int rootfd, const char *path, const uint32_t *crc,
		    char note[DEBUGFILE_NOTE], struct elfobj **ret)
{
	const int roots[] = {rootfd, -1};

	for (size_t i = rootfd < 0 ? 1 : 0; i < ARRAY_SIZE(roots); i++) {
		struct elfobj *d = NULL;
		int err = open_elf_below(roots[i], path, &d);

		if (err == -ENOMEM)
			return err;
		if (err == -EBADMSG || err == -ENOEXEC)
			say(note, path, "is malformed");
		if (err)
			continue;
		if (belongs(e, d, crc, path, note)) {
			*ret = d;
			return 0;
		}
		elfobj__close(d);
	}
	return -ENOENT;
}

static int by_build_id(const struct elfobj *e, int rootfd, char note[DEBUGFILE_NOTE],
		       struct elfobj **ret)
{
	char hex[2 * ELFOBJ_MAX_BUILD_ID + 1], path[128];

	if (strlen(elfobj__build_id_hex(e, hex)) < 4)
		return -ENOENT;
	snprintf(path, sizeof(path), DEBUG_DIR "/.build-id/%.2s/%s.debug", hex, hex + 2);
	return try_path(e, rootfd, path, NULL, note, ret);
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

static int by_debuglink(const struct elfobj *e, int rootfd, const char *path,
			char note[DEBUGFILE_NOTE], struct elfobj **ret)
{
	static const char *const forms[] = {"%s%.*s/%s", "%s%.*s/.debug/%s", DEBUG_DIR "%s%.*s/%s"};
	const char *slash = path ? strrchr(path, '/') : NULL;
	size_t len, at;
	const char *name = link_name(e, ".gnu_debuglink", &len);
	uint32_t crc;

	if (!name || strchr(name, '/') || !slash || path[0] != '/')
		return -ENOENT;
	at = (strlen(name) + 1 + 3) & ~(size_t)3;
	if (at + sizeof(crc) > len)
		return -EBADMSG;
	memcpy(&crc, name + at, sizeof(crc));
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		cleanup_free char *file = NULL;
		int err;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		if (asprintf(&file, forms[i], "", (int)(slash - path), path, name) < 0)
			return -ENOMEM;
#pragma GCC diagnostic pop
		err = try_path(e, rootfd, file, &crc, note, ret);
		if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}

int debugfile__detached(const struct elfobj *e, int rootfd, const char *path,
			char note[DEBUGFILE_NOTE], struct elfobj **ret)
{
	int err = by_build_id(e, rootfd, note, ret);

	if (err == -ENOENT)
		err = by_debuglink(e, rootfd, path, note, ret);
	if (!err)
		note[0] = 0; /* another candidate may have been refused before */
	return err;
}

int debugfile__alt(const struct elfobj *debug, int rootfd, struct elfobj **ret)
{
	char hex[2 * ELFOBJ_MAX_BUILD_ID + 1] = "", got[2 * ELFOBJ_MAX_BUILD_ID + 1], path[4200];
	size_t len, at, id_len;
	const char *name = link_name(debug, ".gnu_debugaltlink", &len);
	const char *dir, *slash;
	int err;

	if (!name)
		return -ENOENT;
	at = strlen(name) + 1;
	id_len = min_of(len - at, (size_t)ELFOBJ_MAX_BUILD_ID);
	for (size_t i = 0; i < id_len; i++)
		snprintf(hex + 2 * i, 3, "%02x", (uint8_t)name[at + i]);
	dir = elfobj__name(debug);
	slash = strrchr(dir, '/');
	if (name[0] == '/' || !slash)
		snprintf(path, sizeof(path), "%.4096s", name);
	else
		snprintf(path, sizeof(path), "%.*s/%.2048s", (int)min_of(slash - dir, 2048L), dir,
			 name);
	err = open_elf_below(rootfd, path, ret);
	if (err && rootfd >= 0)
		err = open_elf_below(-1, path, ret);
	if (err)
		return -ENOENT;
	if (!strcmp(elfobj__build_id_hex(*ret, got), hex))
		return 0;
	elfobj__close(*ret);
	*ret = NULL;
	return -ENOENT;
}

int debugfile__debuginfod(const struct elfobj *e, struct elfobj **ret)
{
	void *(*begin)(void), *client, *lib;
	int (*find)(void *, const unsigned char *, int, char **), err = -ENOENT;
	void (*end)(void *);
	const char *urls = getenv("DEBUGINFOD_URLS");
	uint8_t id[ELFOBJ_MAX_BUILD_ID];
	size_t len = elfobj__build_id(e, id);
	cleanup_fd int fd = -1;

	if (!urls || !*urls || !len)
		return -ENOENT;
	lib = dlopen("libdebuginfod.so.1", RTLD_LAZY | RTLD_LOCAL);
	if (!lib)
		return -ENOENT;
	*(void **)&begin = dlsym(lib, "debuginfod_begin");
	*(void **)&find = dlsym(lib, "debuginfod_find_debuginfo");
	*(void **)&end = dlsym(lib, "debuginfod_end");
	client = begin && find && end ? begin() : NULL;
	if (client) { /* the library stays loaded: curl below it does not like to be unloaded */
		fd = find(client, id, len, NULL);
		end(client);
	}
	if (fd >= 0) {
		char note[DEBUGFILE_NOTE];
		struct elfobj *d = NULL;

		err = elfobj__open_fd(fd, "debuginfod", &d);
		if (!err && !belongs(e, d, NULL, "from debuginfod", note)) {
			elfobj__close(d);
			err = -ENOENT;
		} else if (!err) {
			*ret = d;
		}
	}
	return err;
}
