/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_features_fast.c - `features -p PID`: what --fast would do there, instruction by instruction.
 */
#include "cmd_features_fast.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/emit.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/textbuf.h"
#include "core/util.h"
#include "fast/fast_plan.h"
#include "fast/inject.h"
#include "observe/fast_look.h"
#include "sys/proc_task.h"

struct fast_text {
	size_t allocators, possible;
};

/* What becomes of an instruction of a function that gets a stub. */
static const char *role(const struct stub_func *f, size_t i)
{
	if (i)
		return "moved";
	return stub_func__repeats(f) ? "stays, run again" : "stays";
}

static void print_func(const struct plan_func *f)
{
	const struct entry *e = &f->stub.entry;

	if (!f->hooked) {
		printf("    %-28s left alone: %s\n", f->site->func.name, f->why ? f->why : "");
		return;
	}
	printf("    %-28s %lu bytes at 0x%lx become a jump\n", f->site->func.name,
	       (unsigned long)(e->back - e->patch), (unsigned long)e->patch);
	for (size_t i = 0; i < e->n; i++)
		printf("      0x%012lx  %-44s %s\n", (unsigned long)e->insn[i].addr,
		       e->insn[i].text, role(&f->stub, i));
}

static void print_module(void *arg, const struct module *m, const struct fast_plan *plan,
			 const char *why)
{
	struct fast_text *t = arg;

	progress__hide();
	t->allocators++;
	t->possible += !*why;
	printf("  ");
	emit__plain(stdout, m->path);
	printf(": %s%s\n", *why ? "probes; " : "stubs", why);
	for (size_t i = 0; plan && !*why && i < plan->n; i++)
		print_func(&plan->funcs[i]);
}

static json_t *func_json(const struct plan_func *f)
{
	const struct entry *e = &f->stub.entry;
	json_t *insns = json_array();

	for (size_t i = 0; f->hooked && i < e->n; i++)
		json_array_append_new(
			insns, json_pack("{s:I,s:s,s:s}", "address", (json_int_t)e->insn[i].addr,
					 "text", e->insn[i].text, "becomes", role(&f->stub, i)));
	return json_pack("{s:s,s:b,s:s,s:o}", "function", f->site->func.name, "stub", f->hooked,
			 "reason", f->hooked || !f->why ? "" : f->why, "instructions", insns);
}

static void module_json(void *arg, const struct module *m, const struct fast_plan *plan,
			const char *why)
{
	cleanup_free char *path = strdup(m->path);
	json_t *funcs = json_array();

	for (size_t i = 0; plan && !*why && i < plan->n; i++)
		json_array_append_new(funcs, func_json(&plan->funcs[i]));
	json_array_append_new(arg, json_pack("{s:s,s:b,s:s,s:o}", "path",
					     path ? textbuf__printable(path) : "", "stubs", !*why,
					     "reason", why, "functions", funcs));
}

/* Why nothing would be written into the process, whatever its allocators are; "": nothing says so.
 */
static void look_at_process(int pid, char why[FAST_WHY])
{
	struct fast_left left;
	char unread[FAST_WHY];

	if (!fast_plan__process(pid, 0, why))
		return;
	if (proc_task__is_shared(pid, false))
		snprintf(why, FAST_WHY, "another process runs in its memory (vfork, clone)");
	else if (fast__clean(pid, NULL, true, &left, unread) || !left.patched)
		return;
	else if (left.owner)
		snprintf(why, FAST_WHY, "memwatch --fast is at work in it (PID %d)", left.owner);
	else
		snprintf(why, FAST_WHY,
			 "before the jumps are taken out that a --fast run left %s (memwatch "
			 "detach -p %d, or the next --fast)",
			 left.inherited ? "in the process that it was forked from" : "there", pid);
}

static int failed(int pid, int err)
{
	log_error("failed to look into PID %d: %s", pid, strerror(-err));
	return err == -ESRCH ? EXIT_NO_PROCESS : EXIT_FAILED;
}

int cmd_features_fast__check(int pid)
{
	char why[PROC_TASK_WHY];
	int err = proc_task__check(pid, why);

	if (!err)
		return EXIT_DONE;
	log_error("%s", why);
	return err == -ESRCH ? EXIT_NO_PROCESS : EXIT_UNSUPPORTED;
}

int cmd_features_fast__print(int pid)
{
	struct fast_text t = {0};
	char why[FAST_WHY];
	int err = 0;

	progress__begin("looking into PID %d", pid);
	look_at_process(pid, why);
	progress__hide();
	printf("\n--fast in PID %d: %s%s\n", pid, *why ? "nothing, " : "what it would write", why);
	if (!*why)
		err = fast_look__each(pid, print_module, &t);
	progress__end();
	if (err)
		return failed(pid, err);
	if (!*why && !t.allocators)
		printf("  no allocation functions found\n");
	return EXIT_DONE;
}

int cmd_features_fast__json(int pid, json_t **ret)
{
	json_t *modules = json_array();
	char why[FAST_WHY];
	int err;

	progress__begin("looking into PID %d", pid);
	look_at_process(pid, why);
	err = fast_look__each(pid, module_json, modules);
	progress__end();
	if (err) {
		json_decref(modules);
		return failed(pid, err);
	}
	*ret = json_pack("{s:i,s:b,s:s,s:o}", "pid", pid, "possible", !*why, "reason", why,
			 "allocators", modules);
	return *ret ? EXIT_DONE : EXIT_FAILED;
}
