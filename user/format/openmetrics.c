/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/openmetrics.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static void begin(struct openmetrics *m, const char *name, const char *unit, const char *help,
		  bool is_counter)
{
	m->name = name;
	m->unit = unit;
	m->help = help;
	m->is_counter = is_counter;
	m->has_head = false;
}

void openmetrics__gauge(struct openmetrics *m, const char *name, const char *unit, const char *help)
{
	begin(m, name, unit, help, false);
}

void openmetrics__counter(struct openmetrics *m, const char *name, const char *unit,
			  const char *help)
{
	begin(m, name, unit, help, true);
}

/* The older format calls a family of counters as its samples are called. */
static void put_head(struct openmetrics *m)
{
	const char *total = m->is_counter && m->classic ? "_total" : "";

	textbuf__format(m->b, "# HELP %s%s %s\n", m->name, total, m->help);
	textbuf__format(m->b, "# TYPE %s%s %s\n", m->name, total,
			m->is_counter ? "counter" : "gauge");
	if (m->unit && !m->classic)
		textbuf__format(m->b, "# UNIT %s %s\n", m->name, m->unit);
	m->has_head = true;
}

/* Backslash, quote and newline are escaped; other control characters and what is no UTF-8 become
 * '?'. */
static void put_value(struct textbuf *b, const char *s)
{
	while (*s) {
		size_t n = textbuf__utf8_len(s);

		if (*s == '\\' || *s == '"')
			textbuf__format(b, "\\%c", *s);
		else if (*s == '\n')
			textbuf__str(b, "\\n");
		else if (!n || textbuf__is_control(s, n))
			textbuf__str(b, "?");
		else
			textbuf__raw(b, s, n);
		s += n ? n : 1;
	}
}

static void put_labels(struct textbuf *b, const struct openmetrics_label *labels, size_t n)
{
	const char *before = "{";

	for (size_t i = 0; i < n; i++) {
		if (!labels[i].value || !*labels[i].value)
			continue;
		textbuf__format(b, "%s%s=\"", before, labels[i].name);
		put_value(b, labels[i].value);
		textbuf__str(b, "\"");
		before = ",";
	}
	if (*before == ',')
		textbuf__str(b, "}");
}

static void put_number(struct textbuf *b, double v)
{
	if (isnan(v))
		textbuf__str(b, "NaN");
	else if (isinf(v))
		textbuf__str(b, v > 0 ? "+Inf" : "-Inf");
	else if (v == floor(v) && fabs(v) < 9e15)
		textbuf__format(b, "%lld", (long long)v);
	else
		textbuf__format(b, "%.9g", v);
}

void openmetrics__sample(struct openmetrics *m, double value,
			 const struct openmetrics_label *labels, size_t n)
{
	if (!m->has_head)
		put_head(m);
	textbuf__format(m->b, "%s%s", m->name, m->is_counter ? "_total" : "");
	put_labels(m->b, labels, n);
	textbuf__str(m->b, " ");
	put_number(m->b, m->is_counter && !(value > 0) ? 0 : value);
	textbuf__str(m->b, "\n");
}

void openmetrics__end(struct openmetrics *m)
{
	if (!m->classic)
		textbuf__str(m->b, "# EOF\n");
}
