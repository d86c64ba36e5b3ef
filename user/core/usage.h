/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usage.h - command lines and what is said about wrong ones, in one grammar: "--option: 'value' is
 * no ... (what it may be)", with the name that was probably meant, and the help that has it.
 *
 * usage__parse is argp_parse with -h, and with a suggestion for an option that does not exist. The
 * typed values end the program with EXIT_USAGE where they are wrong, as argp_error does; `option`
 * is the spelling that the user knows ("--interval", "-d"; "": the program's name has it).
 */
#ifndef CORE_USAGE_H
#define CORE_USAGE_H

#include <argp.h>
#include <stddef.h>
#include <stdint.h>

/* A command, as it is typed, and what it takes. */
struct usage_command {
	const char *name; /* "memwatch top" */
	const struct argp *argp;
};
/* The n commands there are (borrowed): an option that is another one's is said to be so. */
void usage__commands(const struct usage_command *all, size_t n);

/* As argp_parse; does not return where the command line is wrong. */
void usage__parse(const struct argp *argp, int argc, char **argv, unsigned flags, void *input);

/* ns from min_ns to a year. */
uint64_t usage__time(struct argp_state *state, const char *option, const char *arg,
		     uint64_t min_ns);
/* Bytes from 1 to max. */
uint64_t usage__size(struct argp_state *state, const char *option, const char *arg, uint64_t max);
/* A whole number from min to max; what: "number of rows". */
uint64_t usage__count(struct argp_state *state, const char *option, const char *arg, uint64_t min,
		      uint64_t max, const char *what);
/* A share from 0 to 1. */
double usage__fraction(struct argp_state *state, const char *option, const char *arg);
/* A moment, as core/when.h reads it: ms since 1970. */
int64_t usage__moment(struct argp_state *state, const char *option, const char *arg);
/* A regular expression, as core/rx.h reads it. */
void usage__expression(struct argp_state *state, const char *option, const char *arg);
/* More than 0, "5" or "5%". */
double usage__percent(struct argp_state *state, const char *option, const char *arg);
/* The index of a name out of n; what: "sort key". */
size_t usage__choice(struct argp_state *state, const char *option, const char *arg,
		     const char *const *names, size_t n, const char *what);
/* A file's name that ends in one of `endings` (separated by blanks; "": any), and where `*seen` is
 * given the option only once: the name is kept there. */
void usage__file(struct argp_state *state, const char *option, const char *arg, const char *endings,
		 const char **seen);

/* A word that a second one would push out without a word: it is kept in *seen, which is NULL
 * before.
 */
void usage__once(struct argp_state *state, const char *option, const char *arg, const char **seen);

/* A line in that grammar, for what ends otherwise: "PROGRAM: --option: ...". Returns. */
void usage__tell(const struct argp_state *state, const char *option, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* What the others say, for a value with a reader of its own: "--option: 'arg' is no WHAT (MAY BE)".
 */
void usage__wrong(struct argp_state *state, const char *option, const char *arg, const char *what,
		  const char *may_be);

/* The name out of n that was probably meant, NULL if none is near. */
const char *usage__nearest(const char *word, const char *const *names, size_t n);
/* The same as words that follow a complaint: ": did you mean NAME?", or "". Returns buf. */
const char *usage__hint(char *buf, size_t size, const char *word, const char *const *names,
			size_t n);

#endif
