/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of timelines of any bytes: read, cut, judged, printed, written again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/timeline_file.h"
#include "format/timeline_plot.h"
#include "report/timeline_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(struct timelines *t)
{
	struct timeline_report r = {.top = 5, .window = {.leak_after_s = 60}};
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	timeline_report__print(f, t, &r);
	fclose(f);
	free(text);
}

static void write_again(const struct timelines *t)
{
	const struct timeline *all[4];
	char *text = NULL;
	size_t len, n = t->n < 4 ? t->n : 4;
	FILE *f = open_memstream(&text, &len);

	for (size_t i = 0; i < n; i++)
		all[i] = &t->line[i];
	timeline_file__write_csv(f, all, n);
	timeline_file__write_json(f, all, n);
	timeline_plot__write_svg(f, all, n);
	fclose(f);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct timeline_report cut = {
		.window = {
			.has_from = true, .from_ns = 1000000, .has_to = true, .to_ns = 1ULL << 62}};
	struct timelines t;
	char why[200];

	if (timeline_read__buffer((const char *)data, size, &t, why, sizeof(why)))
		return 0;
	cut.window.has_from = size & 1;
	if (timeline_report__choose(&t, &cut)) {
		print(&t);
		write_again(&t);
	}
	timelines__clear(&t);
	return 0;
}
