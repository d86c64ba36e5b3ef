/* SPDX-License-Identifier: GPL-2.0-or-later */
/* timeline_html.c - the timeline as a self-contained page; see timeline_plot.h. */
#include "out/timeline_plot.h"

#include <errno.h>

int timeline_plot__write_html(FILE *f, const struct timeline *const *t, size_t n)
{
	int err;

	fputs("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>memory over time</title>\n"
	      "<style>:root{color-scheme:light dark}body{margin:1rem}svg{max-width:100%;height:auto}</style>\n",
	      f);
	err = timeline_plot__write_svg(f, t, n);
	fputs("</html>\n", f);
	return err ? err : fflush(f) || ferror(f) ? -EIO : 0;
}
