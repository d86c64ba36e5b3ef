/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operands of USDT notes of any bytes, for either machine: what is understood is sound for the BPF
 * programs. The notes themselves: fuzz_elf. */
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/usdt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct usdt_site site = {.off = 0x1000};
	char *spec;
	int n;

	if (!size)
		return 0;
	spec = malloc(size); /* with its NUL exactly so long */
	if (!spec)
		return 0;
	memcpy(spec, data + 1, size - 1);
	spec[size - 1] = '\0';
	n = usdt__parse(NULL, data[0] & 1 ? EM_AARCH64 : EM_X86_64, 0x1000, spec, &site.row);
	if (n > 0) {
		site.is_free = n == 1;
		if (n != 2 && !usdt__sound(&site))
			abort();
	}
	free(spec);
	return 0;
}
