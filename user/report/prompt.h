/* SPDX-License-Identifier: GPL-2.0-or-later */
/* prompt.h - lines that a person types: editing, history and completion, of libedit. */
#ifndef REPORT_PROMPT_H
#define REPORT_PROMPT_H

#include <stddef.h>

/* What may stand where the last word of a line begins: calls back with each word that begins with
 * it. The line is what stands before; behind a word that ends in '=' no space is put. */
typedef void (*prompt_complete_fn)(const char *before, const char *word,
				   void (*add)(const char *text));

/* From a terminal: history of earlier runs is read. */
void prompt__begin(prompt_complete_fn complete);
/* A line without its end, malloc'ed. NULL at the end of input, with errno 0; and where a line is
 * longer than max, which was said (EMSGSIZE), or there is no memory for it. */
char *prompt__read(const char *text, size_t max);
/* Keeps the history for the next run. */
void prompt__end(void);

#endif
