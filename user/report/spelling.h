/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spelling.h - options as `go tool pprof` spells them, in the spelling of memwatch report. */
#ifndef REPORT_SPELLING_H
#define REPORT_SPELLING_H

/*
 * A copy of the arguments in which -top, -sample_index=X, -base FILE and the like are --top,
 * --sample-index=X, --base=FILE; and "--top 20" (--tree, --verdicts) is "--top=20". What is no
 * option of pprof's stays. NULL without memory; freed by spelling__free.
 */
char **spelling__translate(int *argc, char **argv);
void spelling__free(char **argv);

/* The option that is pprof's NAME: "tagfocus" is "--tag-focus"; NAME itself where there is none. */
const char *spelling__option(const char *name);

#endif
