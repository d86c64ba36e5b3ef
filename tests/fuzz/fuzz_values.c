/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of options of any bytes: sizes, times, moments, selectors, regular expressions, numbers of
 * other helps. The first line is the value, what follows is what it is tried on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/rx.h"
#include "core/units.h"
#include "core/usage.h"
#include "core/util.h"
#include "core/when.h"
#include "sys/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void numbers(const char *value)
{
	char buf[WHEN_LEN];
	int64_t ms;
	uint64_t v;

	if (!units__parse_size(value, &v))
		units__size(buf, UNITS_LEN, (int64_t)v);
	if (!units__parse_time(value, &v) && strlen(units__time(buf, UNITS_LEN, v)) >= UNITS_LEN)
		abort();
	if (!when__parse(value, 1800000000000, &ms)) {
		when__local(buf, sizeof(buf), ms);
		if (strlen(when__utc(buf, sizeof(buf), ms)) >= WHEN_LEN)
			abort();
	}
}

static void names(const char *value, const char *text)
{
	static const char *const known[] = {"unit", "cgroup", "name", "container", "user"};
	const struct selector_facts f = {.comm = text, .exe = text, .cgroups = text, .uid = 7};
	char why[SELECTOR_WHY] = "", hint[80];
	struct selector *s;
	char *spoken;

	usage__hint(hint, sizeof(hint), value, known, ARRAY_SIZE(known));
	if (selector__new(&s))
		abort();
	if (!selector__parse(s, value, why)) {
		selector__match(s, &f);
		spoken = selector__text(s);
		free(spoken);
	} else if (!memchr(why, 0, sizeof(why))) {
		abort();
	}
	selector__free(s);
}

static void expression(const char *value, const char *text)
{
	char why[128];
	struct rx *rx;

	if (rx__new(value, &rx, why, sizeof(why)))
		return;
	rx__match(rx, text);
	rx__free(rx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *value = malloc(size + 2), *text;

	if (!value || size > 4096) {
		free(value);
		return 0;
	}
	memcpy(value, data, size);
	value[size] = value[size + 1] = '\0';
	text = strchr(value, '\n');
	if (text)
		*text++ = '\0';
	else
		text = value + size + 1;
	numbers(value);
	names(value, text);
	expression(value, text);
	free(value);
	return 0;
}
