/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/discover.h"

#include "observe/target.h"

static void put_label(struct textbuf *b, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	textbuf__format(b, ",\"%s\":", name);
	textbuf__json(b, value);
}

static void put_target(const struct scrape_sources *from, const char *host,
		       const struct deep_process *d, struct textbuf *b)
{
	const struct table_proc *row = table__find(from->table, d->id.pid);
	char unit[128] = "";

	textbuf__str(b, "{\"targets\":[");
	textbuf__json(b, host);
	textbuf__format(b, "],\"labels\":{\"__param_pid\":\"%u\",\"pid\":\"%u\"", d->id.pid,
			d->id.pid);
	put_label(b, "comm", d->target->comm);
	put_label(b, "rule", d->rule);
	if (row && row->row.start_ns == d->id.start_ns) {
		put_label(b, "unit", choice__unit(row->cgroup, unit, sizeof(unit)));
		put_label(b, "container", row->container);
		put_label(b, "user", row->user);
		put_label(b, "__meta_memwatch_cgroup", row->cgroup);
		put_label(b, "__meta_memwatch_cmdline", row->cmdline);
	}
	put_label(b, "service_name", *unit ? unit : d->target->comm);
	put_label(b, "__meta_memwatch_language", d->is_go ? "go" : "");
	textbuf__str(b, "}}");
}

int discover__targets(const struct scrape_sources *from, const char *host, struct textbuf *b)
{
	const char *before = "[";

	for (const struct deep_process *d = deep__next(from->deep, NULL); d;
	     d = deep__next(from->deep, d)) {
		if (d->ended)
			continue;
		textbuf__str(b, before);
		put_target(from, host, d, b);
		before = ",\n";
	}
	textbuf__str(b, *before == '[' ? "[]\n" : "]\n");
	return b->err;
}
