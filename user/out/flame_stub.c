/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flame_stub.c - until pictures are drawn, their endings are refused. */
#include "out/flame.h"

#include <errno.h>

int flame__write_svg(FILE *f, const struct profile *p, int type)
{
	return -EOPNOTSUPP;
}

int flame__write_html(FILE *f, const struct profile *p, int type)
{
	return -EOPNOTSUPP;
}
