/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * surroundings.h - what the environment says that concerns more than one command. The commands read
 * it (user/cmd_tuning.c), once and before anything else; no room below looks for itself.
 */
#ifndef CORE_SURROUNDINGS_H
#define CORE_SURROUNDINGS_H

#include <stdbool.h>
#include <stdint.h>

/* Texts are borrowed from the environment; NULL: not given, or empty. */
struct surroundings {
	const char *term;     /* $TERM */
	const char *path;     /* $PATH */
	const char *home;     /* $HOME, an absolute path */
	const char *state;    /* $XDG_STATE_HOME, an absolute path */
	const char *runtime;  /* $XDG_RUNTIME_DIR */
	const char *tmp;      /* $TMPDIR */
	const char *browser;  /* $BROWSER */
	const char *binaries; /* $PPROF_BINARY_PATH: directories, separated by colons */
	const char *debuginfod_urls;
	bool has_display; /* $DISPLAY or $WAYLAND_DISPLAY */
	bool no_colour;	  /* $NO_COLOR */
	/* Limits of the helpers that read files; 0: as sys/box.h says. */
	uint64_t parse_cpu_ns;	     /* $MEMWATCH_PARSE_CPU */
	uint64_t parse_memory_bytes; /* $MEMWATCH_PARSE_MEMORY */
};

extern struct surroundings surroundings;

#endif
