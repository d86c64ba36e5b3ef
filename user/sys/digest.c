/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/digest.h"

#include <errno.h>
#include <gcrypt.h>
#include <pthread.h>
#include <sys/stat.h>

#include "core/util.h"

#define PIECE (1u << 20)

static void start_library(void)
{
	if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) /* another library uses it, too */
		return;
	gcry_check_version(NULL);
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

static int hash_all(gcry_md_hd_t md, int fd, uint64_t max_bytes)
{
	cleanup_free uint8_t *buf = malloc(PIECE);
	struct stat st;
	uint64_t at = 0;

	if (!buf)
		return -ENOMEM;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size > max_bytes)
		return -EFBIG; /* before all of that is read */
	for (;;) {
		ssize_t n = pread(fd, buf, PIECE, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		at += n;
		if (at > max_bytes)
			return -EFBIG;
		gcry_md_write(md, buf, n);
	}
}

static void to_hex(const uint8_t *out, char hex[DIGEST_HEX])
{
	for (int i = 0; i < DIGEST_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", out[i]);
}

static pthread_once_t started = PTHREAD_ONCE_INIT;

int digest__file(int fd, uint64_t max_bytes, char hex[DIGEST_HEX])
{
	const uint8_t *out;
	gcry_md_hd_t md;
	int err;

	pthread_once(&started, start_library);
	if (gcry_md_open(&md, GCRY_MD_SHA256, 0))
		return -EOPNOTSUPP;
	err = hash_all(md, fd, max_bytes);
	out = err ? NULL : gcry_md_read(md, GCRY_MD_SHA256);
	if (out)
		to_hex(out, hex);
	gcry_md_close(md);
	return err;
}

int digest__text(const void *text, size_t len, char hex[DIGEST_HEX])
{
	uint8_t out[DIGEST_BYTES];

	pthread_once(&started, start_library);
	if (gcry_md_test_algo(GCRY_MD_SHA256))
		return -EOPNOTSUPP;
	gcry_md_hash_buffer(GCRY_MD_SHA256, out, text, len);
	to_hex(out, hex);
	return 0;
}
