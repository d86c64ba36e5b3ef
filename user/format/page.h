/* SPDX-License-Identifier: GPL-2.0-or-later */
/* page.h - self-contained pages: a file of tools/web/static with its style, script and data put in.
 */
#ifndef FORMAT_PAGE_H
#define FORMAT_PAGE_H

#include <stdio.h>

/*
 * Writes NAME.html; {{style}} becomes NAME.css, {{script}} NAME.js, and {{data}} what `data`
 * writes. 0, what data returned, or -EOPNOTSUPP, logged: this build has no such file.
 */
int page__write(FILE *f, const char *name, int (*data)(FILE *f, void *arg), void *arg);

#endif
