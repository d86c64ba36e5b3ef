/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/boot.h"

#include <stdio.h>
#include <string.h>

#include "core/util.h"

int boot__id(char buf[BOOT_ID])
{
	cleanup_free char *text = NULL;
	ssize_t n = util__read_file("/proc/sys/kernel/random/boot_id", 64, &text);

	buf[0] = 0;
	if (n < 0)
		return (int)n;
	snprintf(buf, BOOT_ID, "%.*s", (int)strcspn(text, "\n"), text);
	return 0;
}
