/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Profile files are untrusted: reading, merging, filtering, reporting and converting any bytes
 * must end, without a crash and within bounds. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/hist_out.h"
#include "format/output.h"
#include "report/load.h"
#include "report/merge.h"
#include "report/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void report_all(struct profile *p, FILE *null)
{
	struct report_options o = {.top = -1, .node_fraction = 0, .edge_fraction = 0};
	char why[128];
	struct report r;

	o.granularity = GRAPH_LINES;
	filter__drop_frames(p);
	if (!report__begin(&r, p, &o, REPORT_TREE, why, sizeof(why))) {
		for (int kind = 0; kind < REPORT_KINDS; kind++) {
			if (kind != REPORT_LIST && kind != REPORT_DISASM && kind != REPORT_WEBLIST)
				report__print(&r, kind, null);
		}
		report__books(p, null);
	}
	report__end(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *null;
	struct profile *p, *both[2], *merged;
	const char *why;

	if (!null)
		null = fopen("/dev/null", "w");
	if (load__buffer(data, size, &p, &why))
		return 0;
	output__write_stream(p, null, OUTPUT_PPROF, -1);
	output__write_stream(p, null, OUTPUT_JSON, -1);
	output__write_stream(p, null, OUTPUT_FOLDED, -1);
	output__write_stream(p, null, OUTPUT_SVG, -1);
	both[0] = both[1] = p;
	if (!merge__profiles(both, 2, &merged, &why)) {
		hist_out__text(null, merged, HIST_OUT_BAR);
		report_all(merged, null);
		profile__free(merged);
	}
	profile__free(p);
	return 0;
}
