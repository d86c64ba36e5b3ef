/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Demangling of any text ends, within memory. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/demangle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name = malloc(size + 1), *owned = NULL;
	const char *out;

	if (!name)
		return 0;
	memcpy(name, data, size);
	name[size] = 0;
	out = demangle__name(name, &owned);
	if (owned ? out != owned : out != name)
		abort();
	free(owned);
	free(name);
	return 0;
}
