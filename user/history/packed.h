/* SPDX-License-Identifier: GPL-2.0-or-later */
/* packed.h - bytes as they lie in the history: {0, the bytes} or {1, u32 length, zlib of them}. */
#ifndef HISTORY_PACKED_H
#define HISTORY_PACKED_H

#include <stddef.h>
#include <stdint.h>

/* Both give malloc'ed bytes. Deflates where that makes it shorter. 0 or -ENOMEM. */
int packed__write(const void *data, size_t len, uint8_t **ret, size_t *ret_len);
/* 0; -EBADMSG, also for more than 256 MiB; -ENOMEM. */
int packed__read(const void *data, size_t len, uint8_t **ret, size_t *ret_len);

#endif
