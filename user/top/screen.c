/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/exit.h"
#include "top/top.h"
int screen__run(struct top *t)
{
	return EXIT_FAILED;
}
