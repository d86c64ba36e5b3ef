/* SPDX-License-Identifier: GPL-2.0-or-later */
/* output_options.c - --output-mode: how private the files are that memwatch writes; whether they
 * can be written, while it is early enough to say so. */
#include "format/output.h"

#include "core/log.h"
#include "core/usage.h"
#include "core/util.h"
#include "sys/outfile.h"

enum { OPT_OUTPUT_MODE = 0x900 };

static const struct argp_option options[] = {
	{"output-mode", OPT_OUTPUT_MODE, "MODE", 0,
	 "the mode of every file that is written, in octal (0644; default 0600, or less by the "
	 "umask)",
	 9},
	{0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	mode_t mode;

	if (key != OPT_OUTPUT_MODE)
		return ARGP_ERR_UNKNOWN;
	if (outfile__parse_mode(arg, &mode))
		usage__wrong(state, "--output-mode", arg, "mode of a file",
			     "0644: read and write bits, none to write for others");
	outfile__set_mode(mode);
	return 0;
}

const struct argp output_mode_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};

int output__check(const char *option, const char *path)
{
	cleanup_free char *name = NULL;
	int err = path ? output__expand(path, 0, &name) : 0;

	if (path && !err)
		err = outfile__check(name);
	if (err)
		log_error("%s: '%s' cannot be written: %s", option, path, outfile__strerror(err));
	return err;
}
