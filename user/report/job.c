/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/exit.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/rx.h"
#include "core/util.h"
#include "format/hist_out.h"
#include "format/ledger_out.h"
#include "format/output.h"
#include "format/record.h"
#include "format/text.h"
#include "report/load.h"
#include "report/merge.h"
#include "report/picture.h"
#include "report/shell.h"
#include "report/shell_front.h"
#include "report/timeline_report.h"
#include "sys/apart.h"
#include "sys/box.h"
#include "sys/outfile.h"
#include "sys/privilege.h"

bool report_job__is_filtered(const struct report_job *a)
{
	const struct settings *s = &a->s;

	return *s->focus || *s->ignore || *s->hide || *s->show || *s->show_from || *s->tagfocus ||
	       *s->tagignore || *s->prune_from || *s->tagroot || *s->tagleaf || *s->tagshow ||
	       *s->taghide || s->noinlines;
}

static int write_outputs(const struct report_job *a, const struct profile *p, int type)
{
	int failed = 0;

	for (size_t i = 0; i < a->outputs.n; i++) {
		int err;

		progress__begin("writing '%s'", a->outputs.name[i]);
		err = output__write_type(p, a->outputs.name[i], type);
		progress__end();
		if (!err)
			continue;
		failed = err;
		log_error("failed to write '%s': %s", a->outputs.name[i], outfile__strerror(err));
	}
	return failed;
}

/* The files of -o get the profile with the filters applied, all frames included. */
static int convert(const struct report_job *a, struct profile *p, const struct report_options *o)
{
	char why[200] = "out of memory";
	struct report r;
	int err = 0;

	if (report_job__is_filtered(a)) {
		err = report__begin(&r, p, o, REPORT_PROTO, why, sizeof(why));
		if (err)
			log_error("failed to filter: %s", why);
		report__end(&r);
	}
	return err ? err : write_outputs(a, p, o->type);
}

/* Each graph of a copy: filters change it, and its frames are those of the tables. */
static int draw(const struct report_job *a, const struct profile *p, const struct report_options *o)
{
	int failed = 0;

	for (size_t i = 0; i < a->graphs.n; i++) {
		char why[200] = "out of memory";
		struct profile *copy = NULL;
		struct report r = {0};
		int err;

		progress__begin("drawing '%s'", a->graphs.name[i]);
		err = profile__copy(p, &copy);
		err = err ? err : open__prepare(copy, false);
		err = err ? err : report__begin(&r, copy, o, REPORT_DOT, why, sizeof(why));
		if (err)
			log_error("failed to filter: %s", why);
		else
			err = picture__save(a->graphs.name[i], &r,
					    picture__format(a->graphs.name[i]));
		progress__end();
		if (err)
			log_error("failed to draw '%s': %s", a->graphs.name[i],
				  picture__strerror(err));
		failed = err ? err : failed;
		report__end(&r);
		profile__free(copy);
	}
	return failed;
}

static int summary(struct report *r, FILE *f)
{
	int err;

	if (r->o.top < 0)
		r->o.top = 10;
	err = report__top(r, f);
	report__books(r->p, f);
	return err ? err : ledger_out__profile(f, r->p, "\n");
}

struct print_job {
	const struct report_job *a;
	struct report *r;
};

static int print(FILE *f, void *arg)
{
	const struct print_job *job = arg;
	const struct report_job *a = job->a;
	struct report *r = job->r;

	switch (a->mode) {
	case JOB_REPORT: return report__print(r, a->kind, f);
	case JOB_PICTURE: return picture__write(f, r, a->draw);
	case JOB_JSON: return json__write(f, r->p);
	case JOB_LEDGER: return ledger_out__profile(f, r->p, "");
	case JOB_DEFAULT: return summary(r, f);
	default: return -EINVAL;
	}
}

static int show_histograms(const struct profile *p)
{
	if (!p->hist_total) {
		log_error("no histograms in this file: recordings (memwatch --record) and "
			  "memwatch's .json have them");
		return -ENOENT;
	}
	hist_out__text(stdout, p, HIST_OUT_BAR);
	return fflush(stdout) ? -errno : 0;
}

static int deliver(const struct report_job *a, struct report *r)
{
	struct print_job job = {a, r};
	int err;

	if (a->file)
		return outfile__write(a->file, print, &job);
	err = print(stdout, &job);
	return err ? err : fflush(stdout) ? -errno : 0;
}

static int show(const struct report_job *a, struct profile *p, const struct report_options *o)
{
	char why[200] = "out of memory";
	enum report_kind kind = a->mode == JOB_REPORT	 ? a->kind
				: a->mode == JOB_PICTURE ? REPORT_DOT
							 : REPORT_TOP;
	struct report r;
	int err = report__begin(&r, p, o, kind, why, sizeof(why));

	if (err) {
		log_error("failed to filter: %s", why);
		report__end(&r);
		return err;
	}
	report__warn_unmatched(&r, true);
	err = deliver(a, &r);
	report__end(&r);
	if (err == -ENOENT && a->param)
		log_error("no function matches '%s'", a->param);
	else if (err && err != -EPIPE)
		log_error("failed to print the report: %s", picture__strerror(err));
	return err;
}

static int verdicts(const struct report_job *a)
{
	cleanup_free char *buf = NULL;
	const char *path = a->from.files.name[0], *reason = "";
	char why[256];
	size_t len;
	int err;

	progress__begin("reading '%s'", path);
	err = load__bytes(path, &buf, &len, why, sizeof(why));
	progress__end();
	if (!err && !record__is(buf, len)) {
		err = -EBADMSG;
		snprintf(why, sizeof(why), "--verdicts needs a recording (memwatch --record FILE)");
	} else if (!err) {
		err = recording__verdicts(stdout, buf, len, &a->from.window,
					  a->s.nodecount < 0 ? 20 : a->s.nodecount, &reason);
		snprintf(why, sizeof(why), "%s", reason);
	}
	if (err && err != -EPIPE)
		log_error("failed to read '%s': %s", path, why);
	return err ? EXIT_FAILED : EXIT_DONE;
}

/* Does the profile have what is to be shown? */
static int check_content(const struct report_job *a, const struct profile *p)
{
	if (a->mode != JOB_LEDGER || p->nledgers)
		return 0;
	log_error("no ledger in '%s': 'memwatch -p PID --ledger -o FILE.json' puts one into the "
		  "profile",
		  a->from.files.name[0]);
	return -ENOENT;
}

static int present(struct report_job *a, struct profile *p, const struct report_options *o)
{
	bool files = a->outputs.n || a->graphs.n;
	struct profile *copy = NULL;
	const char *why;
	int err = 0;

	if (files) {
		err = merge__profiles(&p, 1, &copy, &why);
		err = err ? err : draw(a, copy, o);
		err = err ? err : convert(a, copy, o);
		profile__free(copy);
	}
	err = err ? err : check_content(a, p);
	if (err || (files && a->mode == JOB_DEFAULT))
		return err;
	/* JSON is for programs: all frames. */
	err = open__prepare(p, a->mode == JOB_JSON);
	if (err)
		return err;
	if (a->mode == JOB_HISTOGRAMS)
		return show_histograms(p);
	return a->mode == JOB_SHELL ? shell__run(p, &a->s, a->people) : show(a, p, o);
}

/* These print what merging changes: order, numbers and duplicates of samples. */
static bool is_compact(const struct report_job *a)
{
	return a->mode == JOB_SHELL || a->mode == JOB_JSON || a->mode == JOB_PICTURE ||
	       (a->mode == JOB_REPORT &&
		(a->kind == REPORT_RAW || a->kind == REPORT_TRACES || a->kind > REPORT_TRACES)) ||
	       a->outputs.n || a->graphs.n || a->s.mean || *a->s.tagroot || *a->s.tagleaf ||
	       !strcmp(a->s.granularity, "addresses");
}

static int report(struct report_job *a)
{
	struct rx *rx[SETTINGS_RX] = {0};
	struct report_options o;
	struct profile *p = NULL;
	const char *type = *a->s.sample_index ? a->s.sample_index : NULL;
	char why[256];
	int err;

	progress__begin("reading '%s'%s", a->from.files.name[0],
			a->from.files.n > 1 ? " and others" : "");
	err = open__profile(&a->from, is_compact(a), &p);
	progress__end();

	if (!err && report_job__is_filtered(a))
		profile__drop_hists(p); /* they are of everything */
	err = err ? err : settings__options(&a->s, &o, rx, why, sizeof(why));
	if (!err && a->param) {
		err = rx__new(a->param, &rx[0], why, sizeof(why));
		o.symbol = rx[0];
	}
	if (!err) {
		o.type = open__find_type(p, type);
		if (o.type < 0) {
			open__no_such_type(p, "--sample-index", type);
			err = -ENODATA;
		}
	}
	err = err ? err : present(a, p, &o);
	settings__free_rx(rx);
	profile__free(p);
	return err == -ENODATA ? EXIT_USAGE : err ? EXIT_FAILED : EXIT_DONE;
}

/* What can be asked of a timeline: it has no stacks. */
static bool is_of_timelines(const struct report_job *a)
{
	bool mode = a->mode == JOB_DEFAULT || a->mode == JOB_SHELL || a->mode == JOB_JSON ||
		    a->mode == JOB_VERDICTS || (a->mode == JOB_REPORT && a->kind == REPORT_TOP);

	return mode && a->from.files.n == 1 && !a->graphs.n && !a->from.bases.n &&
	       !a->from.survivors && !a->file;
}

static int report_timelines(const struct report_job *a)
{
	struct rx *rx[SETTINGS_RX] = {0};
	struct timeline_report r = {.path = a->from.files.name[0],
				    .output = a->outputs.name,
				    .noutputs = a->outputs.n,
				    .json = a->mode == JOB_JSON,
				    .quiet = a->outputs.n && a->mode == JOB_DEFAULT,
				    .top = a->s.nodecount,
				    .pid = a->from.window.pid,
				    .window = a->from.window};
	struct report_options o;
	char why[256] = "out of memory";
	int status = EXIT_FAILED;

	if (!is_of_timelines(a)) {
		log_error("'%s' is a timeline: it has processes and no stacks (--pid, --focus, "
			  "--ignore, --from, --to, --top, --json, -o)",
			  r.path);
		return EXIT_USAGE;
	}
	if (settings__options(&a->s, &o, rx, why, sizeof(why))) {
		log_error("%s", why);
	} else {
		r.focus = o.filter.focus;
		r.ignore = o.filter.ignore;
		status = timeline_report__run(&r) ? EXIT_FAILED : EXIT_DONE;
	}
	settings__free_rx(rx);
	return status;
}

static bool wants_shell(const struct report_job *a)
{
	return a->mode == JOB_DEFAULT && !a->outputs.n && !a->graphs.n && !a->file &&
	       isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

static bool outputs_known(const struct report_job *a)
{
	for (size_t i = 0; i < a->outputs.n; i++) {
		if (output__known(a->outputs.name[i]))
			continue;
		log_error("--output: '%s' is no name that it writes (it must end in %s)",
			  a->outputs.name[i], output__endings());
		return false;
	}
	return true;
}

static int work(void *arg)
{
	struct report_job *a = arg;

	if (load__is_timeline(a->from.files.name[0]))
		return report_timelines(a);
	if (!outputs_known(a))
		return EXIT_USAGE;
	return a->mode == JOB_VERDICTS ? verdicts(a) : report(a);
}

static bool names(const struct open_names *n, const char *path)
{
	for (size_t i = 0; i < n->n; i++) {
		if (!strcmp(n->name[i], path))
			return true;
	}
	return false;
}

static bool is_output(const struct open_names *n, const char *path)
{
	for (size_t i = 0; i < n->n; i++) {
		if (output__may_become(n->name[i], path))
			return true;
	}
	return names(n, path); /* of a timeline the name is as it is */
}

/* Does the report show sources or instructions of what the profile names? */
static bool shows_code(const struct report_job *a)
{
	return a->mode == JOB_REPORT &&
	       (a->kind == REPORT_LIST || a->kind == REPORT_DISASM || a->kind == REPORT_WEBLIST);
}

/* What the command line names; of what a profile names sources and binaries, to list them. */
static bool may(const void *arg, enum apart_wish wish, const char *path)
{
	const struct report_job *a = arg;

	switch (wish) {
	case APART_READ:
		return names(&a->from.files, path) || names(&a->from.bases, path) ||
		       (a->from.survivors && !strcmp(a->from.survivors, path));
	case APART_READ_FILE:
		return shows_code(a) || names(&a->from.files, path) ||
		       (a->front && shell_front__lists(a->front));
	case APART_WRITE:
		return is_output(&a->outputs, path) || names(&a->graphs, path) ||
		       (a->file && !strcmp(a->file, path));
	}
	return false;
}

static int draw_for(void *arg, const char *format, int from, int to)
{
	const struct report_job *a = arg;

	return a->front ? shell_front__draw(a->front, format, from, to)
			: picture__run_dot(format, from, to);
}

static int answer(void *arg, const char *word, int fd, int *ret_fd)
{
	struct report_job *a = arg;

	return a->front ? shell_front__answer(a->front, word, fd, ret_fd) : -EPERM;
}

static void ended(void *arg)
{
	struct report_job *a = arg;

	shell_front__free(a->front);
	a->front = NULL;
}

/* The shell's pagers and viewers are started by the half that has the terminal; the other half has
 * nothing of it, but a profile that is typed. */
static int prepare_shell(struct report_job *a, struct apart_opts *o)
{
	a->people = isatty(STDIN_FILENO);
	o->relay = true;
	o->keep_stdin = names(&a->from.files, "-") || names(&a->from.bases, "-") ||
			(a->from.survivors && !strcmp(a->from.survivors, "-"));
	return shell_front__new(&a->s, &a->front);
}

/* At a prompt time goes by as the user likes. */
static void set_budget(const struct report_job *a, struct apart_opts *o)
{
	const struct open_names *named[] = {&a->from.files, &a->from.bases};

	for (size_t k = 0; k < ARRAY_SIZE(named); k++) {
		for (size_t i = 0; i < named[k]->n; i++)
			apart__expect(o, named[k]->name[i]);
	}
	if (a->from.survivors)
		apart__expect(o, a->from.survivors);
	if (a->mode == JOB_SHELL)
		o->cpu_ns = 0;
}

/* Binaries are read in a helper, which has to be there before privileges go. */
static bool needs_helper(const struct report_job *a)
{
	return a->mode == JOB_SHELL ||
	       (a->mode == JOB_REPORT && (a->kind == REPORT_DISASM || a->kind == REPORT_WEBLIST));
}

/* All that cannot be written are said: what is read may take minutes. */
static bool can_write(const struct report_job *a)
{
	bool can = !output__check("-output", a->file);

	for (size_t i = 0; i < a->outputs.n; i++)
		can &= !output__check("--output", a->outputs.name[i]);
	for (size_t i = 0; i < a->graphs.n; i++)
		can &= !output__check("--graph", a->graphs.name[i]);
	return can;
}

int report_job__run(struct report_job *a)
{
	struct apart_opts o = {.work = work,
			       .may = may,
			       .answer = answer,
			       .ended = ended,
			       .arg = a,
			       .privileges = PRIVILEGE(READ) | PRIVILEGE(FILES)};
	int err;

	if (!can_write(a))
		return EXIT_FAILED;
	if (wants_shell(a))
		a->mode = JOB_SHELL;
	set_budget(a, &o);
	err = needs_helper(a) ? box__start() : 0;
	if (err)
		log_debug("no helper for binaries: %s", strerror(-err));
	if (a->mode == JOB_SHELL && prepare_shell(a, &o)) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	if (a->graphs.n || a->mode == JOB_PICTURE || a->mode == JOB_SHELL)
		o.filter = draw_for;
	if (o.filter)
		o.privileges |= PRIVILEGE(EXEC);
	return apart__run(&o);
}

void report_job__fini(struct report_job *a)
{
	shell_front__free(a->front);
	settings__fini(&a->s);
	free(a->from.files.name);
	free(a->from.bases.name);
	free(a->outputs.name);
	free(a->graphs.name);
}
