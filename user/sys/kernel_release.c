/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/kernel_release.h"

#include <stdio.h>
#include <sys/utsname.h>

bool kernel_release__before(unsigned major, unsigned minor)
{
	struct utsname u;
	unsigned is_major, is_minor;

	if (uname(&u) || sscanf(u.release, "%u.%u", &is_major, &is_minor) != 2)
		return true;
	return is_major < major || (is_major == major && is_minor < minor);
}
