/* SPDX-License-Identifier: GPL-2.0-or-later */
/* command_run.c - makes the report of a command and brings it where it belongs; see command.h. */
#include "core/log.h"
#include "core/util.h"
#include "report/command.h"
#include "report/open.h"
#include "report/picture.h"
#include "report/shell.h"
#include "report/shell_front.h"

#include <string.h>

struct command_job {
	const struct command *command;
	struct report *r;
};

static int write_report(FILE *f, void *arg)
{
	const struct command_job *job = arg;

	return job->command->format ? picture__write(f, job->r, job->command->format)
				    : report__print(job->r, job->command->kind, f);
}

/* A text is printed here; what goes elsewhere the other half brings there. */
static int deliver(const struct command_line *l, struct command_job *job)
{
	bool elsewhere = l->pipe || *l->settings.output || l->command->sink != COMMAND_TEXT;

	return elsewhere ? shell__give(SHELL_REPORT, write_report, job) : write_report(stdout, job);
}

static void tell(const struct command_line *l, int err)
{
	if (err == -ENOENT && l->param)
		log_error("no function matches '%s'", l->param);
	else if (err && err != -EPIPE)
		log_error("%s: %s", l->command->name, picture__strerror(err));
}

static int run(const struct command_line *l, struct profile *p, struct report_options *o)
{
	struct command_job job = {.command = l->command};
	char why[256] = "out of memory";
	struct report r;
	int err = report__begin(&r, p, o, l->command->kind, why, sizeof(why));

	job.r = &r;
	if (err) {
		log_error("%s: %s", l->command->name, why);
	} else {
		report__warn_unmatched(&r, false);
		err = deliver(l, &job);
		tell(l, err);
	}
	report__end(&r);
	return err;
}

int command__run(const struct command_line *l, const struct profile *p)
{
	struct rx *rx[SETTINGS_RX] = {0};
	struct profile *copy = NULL;
	struct report_options o;
	char why[256] = "out of memory";
	int err = settings__options(&l->settings, &o, rx, why, sizeof(why));

	if (!err && l->param) {
		err = rx__new(l->param, &rx[0], why, sizeof(why));
		o.symbol = rx[0];
	}
	if (!err) {
		const char *name = l->settings.sample_index;

		o.type = open__find_type(p, *name ? name : NULL);
		err = o.type < 0 ? -EINVAL : 0;
		if (err)
			snprintf(why, sizeof(why), "sample_index: '%.100s' is no sample type",
				 name);
	}
	err = err ? err : profile__copy(p, &copy);
	if (err)
		log_error("%s: %s", l->command->name, why);
	else
		err = run(l, copy, &o);
	profile__free(copy);
	settings__free_rx(rx);
	return err;
}
