/* SPDX-License-Identifier: GPL-2.0-or-later */
/* digest.h - what a file holds as one number that nobody can make another file have: SHA-256. */
#ifndef SYS_DIGEST_H
#define SYS_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32
#define DIGEST_HEX (2 * DIGEST_BYTES + 1)

/* Of all that is in the file behind fd, as lower-case hex. 0; -EFBIG: more than max_bytes; other
 * negative errno. */
int digest__file(int fd, uint64_t max_bytes, char hex[DIGEST_HEX]);
/* The same of len bytes. 0 or -errno. */
int digest__text(const void *text, size_t len, char hex[DIGEST_HEX]);

#endif
