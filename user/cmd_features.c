/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_features.c - what this kernel and machine offer, and what falls back. */
#include "cmd.h"

#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cmd_features_fast.h"
#include "core/exit.h"
#include "core/usage.h"
#include "core/log.h"
#include "core/progress.h"
#include "probe/layers.h"
#include "probe/plan.h"
#include "run/pid_option.h"
#include "sys/box.h"
#include "sys/memreader.h"
#include "sys/opener.h"
#include "sys/privilege.h"

static const char doc[] =
	"Try what this kernel offers and say what memwatch uses and what falls back.\v"
	"Exit status: 0 if memwatch runs here, 3 if not. Whether it can attach to allocators too "
	"is "
	"said by the first line, and by \"can_attach\" of --json.";

static const struct argp_option options[] = {
	{"json", 'j', NULL, 0, "one JSON object on stdout", 0},
	{"pid", 'p', "PID", 0,
	 "also what --fast would do in this process (its number, or its name where only one has "
	 "it), instruction by instruction; nothing in it is "
	 "stopped or changed",
	 0},
	{0}};

struct features_options {
	bool json;
	int pid; /* 0: none */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct features_options *o = state->input;

	switch (key) {
	case 'j': o->json = true; return 0;
	case 'p':
		if (o->pid)
			argp_error(state, "--pid: one process at a time");
		o->pid = pid_option__parse(state, arg);
		return 0;
	case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* How allocator calls would be followed, in words. */
static const char *method(const struct features *fs)
{
	return fs->f[FEATURE_COOKIE].have
		       ? plan__method_name(plan__best_method(fs))
		       : "nothing: this kernel cannot tell them apart (no attach cookies)";
}

/* fast: what it would do in a process, given away; NULL: none was named. */
static int print_json(const struct features *fs, const struct utsname *u, json_t *fast)
{
	json_t *list = json_array(), *root;
	int err;

	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		const struct feature *f = &fs->f[i];

		json_array_append_new(list, json_pack("{s:s,s:b,s:b,s:s,s:s,s:s,s:s}", "name",
						      f->name, "available", f->have, "required",
						      f->required, "since", f->since, "use", f->use,
						      "fallback", f->fallback, "reason",
						      f->have ? "" : strerror(-f->err)));
	}
	root = json_pack("{s:s,s:s,s:s,s:s,s:b,s:o}", "schema", "memwatch.features/1", "kernel",
			 u->release, "machine", u->machine, "allocator_probes", method(fs),
			 "can_attach", !features__missing(fs) && fs->f[FEATURE_COOKIE].have,
			 "features", list);
	if (!root)
		return -ENOMEM;
	if (fast)
		json_object_set_new(root, "fast", fast);
	err = json_dumpf(root, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(root);
	return err ? -EIO : 0;
}

static void print_text(const struct features *fs, const struct utsname *u)
{
	bool colour = isatty(STDOUT_FILENO);

	printf("Linux %s %s\nallocator probes by %s\n\n", u->release, u->machine, method(fs));
	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		const struct feature *f = &fs->f[i];

		printf("  %s%-3s%s %-27s %s\n", colour ? f->have ? "\033[32m" : "\033[33m" : "",
		       f->have ? "yes" : "no", colour ? "\033[0m" : "", f->name, f->use);
		if (!f->have)
			printf("      %-27s Linux %s (%s); without it: %s\n", "", f->since,
			       strerror(-f->err), f->fallback);
	}
}

/* The report itself. An exit status. */
static int print_all(const struct features *fs, const struct features_options *o)
{
	int status = EXIT_DONE, err = 0;
	json_t *fast = NULL;
	struct utsname u;

	uname(&u);
	if (o->json) {
		if (o->pid)
			status = cmd_features_fast__json(o->pid, &fast);
		err = print_json(fs, &u, fast);
	} else {
		print_text(fs, &u);
		if (o->pid)
			status = cmd_features_fast__print(o->pid);
	}
	if (!fflush(stdout) && !err)
		return status;
	log_error("failed to write to stdout: %s", strerror(errno));
	return EXIT_FAILED;
}

const struct argp cmd_features_argp = {options, parse, "", doc, NULL, NULL, NULL};

int cmd_features(int argc, char **argv)
{
	struct features_options o = {.pid = 0};
	struct features fs;
	int status = EXIT_DONE;

	usage__parse(&cmd_features_argp, argc, argv, 0, &o);
	progress__prepare_thread();
	if (o.pid) {
		opener__start(layers__are_ours);
		memreader__start();
		box__start();
	}
	if (privilege__keep(PRIVILEGE(OBSERVE))) {
		log_error("failed to give up privileges");
		return EXIT_FAILED;
	}
	if (o.pid)
		status = cmd_features_fast__check(o.pid);
	if (status)
		return status;
	progress__begin("trying what this kernel offers");
	features__probe(&fs);
	progress__end();
	status = print_all(&fs, &o);
	if (status || !features__missing(&fs))
		return status;
	log_error("%s", features__missing(&fs));
	return EXIT_UNSUPPORTED;
}
