/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "go/layout.h"

#include "core/util.h"
#include "go/layout_table.h"

const struct go_layout *go_layout__of(int minor)
{
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		if (layouts[i].minor == minor)
			return &layouts[i];
	}
	return NULL;
}

bool go_layout__is_between(int minor)
{
	return minor > layouts[0].minor && minor < layouts[ARRAY_SIZE(layouts) - 1].minor;
}

const char *go_layout__known(void)
{
	static char text[128];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(layouts) && n < sizeof(text); i++) {
		size_t j = i;

		while (j + 1 < ARRAY_SIZE(layouts) && layouts[j + 1].minor == layouts[j].minor + 1)
			j++;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s1.%d", i ? ", " : "",
				      layouts[i].minor);
		if (j > i && n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "-1.%d",
					      layouts[j].minor);
		i = j;
	}
	return text;
}
