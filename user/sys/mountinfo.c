/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sys/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "core/util.h"

#define MOUNTINFO "/proc/self/mountinfo"

int mountinfo__open(void)
{
	int fd = open(MOUNTINFO, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int mountinfo__text(char **ret)
{
	ssize_t n = util__read_file(MOUNTINFO, 4 << 20, ret);

	return n < 0 ? (int)n : 0;
}

/* "id parent dev root point options [tags…] - type source options" */
bool mountinfo__parse(char *line, struct mountinfo *ret)
{
	char *tail = strstr(line, " - "), *save, *field;
	unsigned major_nr, minor_nr;

	if (!tail)
		return false;
	*tail = 0;
	ret->type = strtok_r(tail + 3, " ", &save);
	strtok_r(NULL, " ", &save);
	ret->options = strtok_r(NULL, " ", &save);
	ret->point = NULL;
	ret->dev = 0;
	field = strtok_r(line, " ", &save);
	for (int i = 0; field && i < 5; i++, field = strtok_r(NULL, " ", &save)) {
		if (i == 2 && sscanf(field, "%u:%u", &major_nr, &minor_nr) == 2)
			ret->dev = makedev(major_nr, minor_nr);
		if (i == 4)
			ret->point = field;
	}
	return ret->type && ret->options && ret->point;
}
