/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/pagefaults.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/util.h"
#include "observe/faults.h"
#include "observe/observer.h"
#include "run/attach.h"
#include "run/loop.h"
#include "snapshot/missing.h"

#define ADOPTION_SHARE 0.02 /* of one CPU, for processes met by a sample */
#define ADOPTION_BURST_NS 2000000000ULL

struct pagefaults {
	struct attach *attach;
	struct loop *loop;
};

int pagefaults__new(struct loop *l, uint32_t period, const struct plan_tuning *tuning,
		    struct pagefaults **ret)
{
	struct pagefaults *f = calloc(1, sizeof(*f));
	struct attach_options o;
	int err;

	if (!f)
		return -ENOMEM;
	attach_options__init(&o);
	o.faults = o.faults_all = true;
	o.fault_period = period;
	o.tuning = *tuning;
	/* A digest takes as long as the table that it would find, or ten times that where there is
	 * debug information; of what is built and run once it finds none. */
	o.tuning.state_dir = NULL;
	if (attach__open(&o, &f->attach)) { /* said there */
		free(f);
		return -ENOSYS;
	}
	faults__limit_adoption(observer__faults(f->attach->observer), ADOPTION_SHARE,
			       ADOPTION_BURST_NS);
	f->loop = l;
	err = loop__add_fd(l, observer__fd(f->attach->observer), NULL, NULL);
	if (err) {
		attach__close(f->attach);
		free(f);
		return err;
	}
	*ret = f;
	return 0;
}

void pagefaults__free(struct pagefaults *f)
{
	if (!f)
		return;
	loop__drop_fd(f->loop, observer__fd(f->attach->observer));
	attach__close(f->attach);
	free(f);
}

/* Runtimes are not looked at: that would be every Go program, at every turn. */
void pagefaults__poll(struct pagefaults *f)
{
	if (!f)
		return;
	observer__poll(f->attach->observer);
	faults__look_at_times(observer__faults(f->attach->observer));
}

int pagefaults__losses(const struct pagefaults *f, struct losses *ret)
{
	return f ? missing__gather(f->attach->observer, NULL, ret) : -ENOSYS;
}

const struct target *pagefaults__find(const struct observer *o, struct deep_id id)
{
	const struct target *t = observer__find(o, (int)id.pid);

	return t && deep_id__is_same(id, (struct deep_id){id.pid, t->born_ns}) ? t : NULL;
}

int pagefaults__profile(struct pagefaults *f, struct deep_id id, bool was_killed,
			struct profile **ret)
{
	struct snapshot_opts opts = {0};
	struct observer *o;

	if (!f)
		return -ENOSYS;
	o = f->attach->observer;
	observer__catch_up(o);
	opts.target = id.pid ? pagefaults__find(o, id) : NULL;
	if (id.pid && !opts.target)
		return -ENOENT;
	if (opts.target && was_killed)
		faults__at_death(observer__faults(o), opts.target->index);
	return snapshot__faults(o, f->attach->symbolizer, &opts, ret);
}
