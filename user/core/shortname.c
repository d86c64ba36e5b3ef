/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/shortname.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* Is `p` the symbol part of an operator ("operator<<", "operator()", "operator->")? */
static bool after_operator(const char *name, const char *p)
{
	static const char word[] = "operator";
	size_t n = sizeof(word) - 1;

	while (p > name && strchr("<>()-=", p[-1]))
		p--;
	return (size_t)(p - name) >= n && !strncmp(p - n, word, n) &&
	       ((size_t)(p - name) == n ||
		!(isalnum((unsigned char)p[-n - 1]) || p[-n - 1] == '_'));
}

/* The bracket that closes the one at p; NULL if none does. */
static const char *closing(const char *p, char open, char close)
{
	int depth = 0;

	for (; *p; p++) {
		if (*p == open)
			depth++;
		else if (*p == close && p[-1] != '-' &&
			 !--depth) /* not the arrow of a return type */
			return p;
	}
	return NULL;
}

void shortname(char *name)
{
	char *out = name;
	const char *p = name;

	while (*p) {
		const char *end = NULL;

		if (*p == '<' && p > name && !after_operator(name, p)) {
			end = closing(p, '<', '>');
			if (end && end > p + 1) {
				memcpy(out, "<>", 2);
				out += 2;
				p = end + 1;
				continue;
			}
		}
		/* Parameters follow a name; "(anonymous namespace)" and Go's "net.(*Conn).Read"
		 * start one. */
		if (*p == '(' && p > name && !strchr(" :(.", p[-1]) &&
		    !(after_operator(name, p) && p[1] == ')')) {
			end = closing(p, '(', ')');
			if (end) {
				p = end + 1;
				continue;
			}
		}
		*out++ = *p++;
	}
	*out = 0;
}
