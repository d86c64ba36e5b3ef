// SPDX-License-Identifier: GPL-2.0-or-later
/* A library that is opened late and allocates with the program's own malloc. */
#include <stdlib.h>
#include "wl.h"

void plain_work(unsigned long *objects, unsigned long *bytes);

WL_NOINLINE void plain_work(unsigned long *objects, unsigned long *bytes)
{
	for (int i = 0; i < 15; i++)
		wl_keep(malloc(wl_size(4321)));
	*objects += 15;
	*bytes += 15 * 4321;
}
