/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apart.h - work on bytes that somebody else made, in a process without privileges that asks this
 * one for its files.
 *
 * apart__run forks. The child becomes a user of its own without capabilities, root, paths and most
 * system calls (sandbox.h) before it reads a byte, and does the work; what it opens or writes by
 * name it asks this process for, which does what the command line named and nothing else. It has
 * the standard streams, or what it prints is passed on (relay). A child that crashes costs the
 * command, not the machine.
 */
#ifndef SYS_APART_H
#define SYS_APART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define APART_PATH 4096 /* longest name */

enum apart_wish {
	APART_READ,	 /* a file that the command line names, of whatever kind */
	APART_READ_FILE, /* a regular file that the bytes name */
	APART_WRITE,	 /* by outfile__write */
};

struct apart_opts {
	int (*work)(void *arg); /* its result is the status of the process */
	/* May the child have that? Asked in this process. */
	bool (*may)(const void *arg, enum apart_wish wish, const char *path);
	/* Runs a program for the child, from one file to another: what, by a word that `may` need
	 * not know; NULL: none. */
	int (*filter)(void *arg, const char *word, int from, int to);
	/* Answers apart__ask: 0 or more, or -errno; fd is -1 where none came along, *ret_fd goes to
	 * the child and is closed. NULL: nothing can be asked. */
	int (*answer)(void *arg, const char *word, int fd, int *ret_fd);
	/* The child answers no more, however it ended, and is waited for next; NULL: nothing. */
	void (*ended)(void *arg);
	/* The child has no terminal: what it prints goes through this process, to a terminal
	 * without control characters; its input is empty unless keep_stdin. */
	bool relay, keep_stdin;
	void *arg;
	unsigned privileges; /* that this process keeps, as privilege__keep has it */
	/* What the child may take beyond what everybody may; 0: as much as it likes. */
	uint64_t memory_bytes, cpu_ns;
};

/* Lets the child take what a file of that name ("-": a pipe) may need, and no more: a small file
 * that unfolds into much is refused. $MEMWATCH_PARSE_MEMORY and _CPU say how much at least. */
void apart__expect(struct apart_opts *o, const char *path);

/* The exit status. A child that died of SIGINT, SIGTERM or SIGPIPE takes this process with it. Call
 * it while there is one thread. */
int apart__run(const struct apart_opts *o);

/* For who may be in such a child or not: opens for reading with PRIVILEGE_READ, or asks. A
 * descriptor or -errno. */
int apart__open(const char *path, enum apart_wish wish);
/* The current directory, malloc'ed: in the child that of the process that started it. NULL: errno.
 */
char *apart__directory(void);
/* In the child only: has the filter run; 0 or -errno. */
bool apart__inside(void);
int apart__filter(const char *word, int from, int to);
/* In the child only: asks the other process's `answer`. fd: -1 for none; *ret_fd: -1 if none came.
 */
int apart__ask(const char *word, int fd, int *ret_fd);
/* In the child only: all that the command line names is open, and it works until it is told to end:
 * SIGINT, SIGTERM and SIGHUP are the good end of both processes from now on. 0 or -errno. */
int apart__stay(void);

#endif
