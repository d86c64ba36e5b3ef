/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd.h"
#include "core/exit.h"
#include "core/log.h"
#include "core/util.h"
#include "go/heap.h"
#include "out/output.h"
#include <string.h>
int cmd_go(int argc, char **argv)
{
	char why[GO_WHY_LEN];
	struct go_target *t;
	struct go_heap h;
	struct profile *p;
	uint64_t t0 = util__now_ns();
	int err = go_target__open(atoi(argv[2]), &t, why);
	if (err) { log_error("%d %s", err, why); return 1; }
	uint64_t t1 = util__now_ns();
	err = go_heap__of(t, &h, why);
	if (err) { log_error("%d %s", err, why); return 1; }
	uint64_t t2 = util__now_ns();
	err = go_heap__profile(t, &h, &p);
	if (err) { log_error("%d", err); return 1; }
	log_info("%s by_code %d rate %lu cycle %u buckets %zu before_gc %d tries %u open %.2f read %.2f build %.2f ms", t->bin.version, t->sym.by_code, h.rate, h.cycle, h.nbuckets, h.before_gc, h.tries, (t1-t0)/1e6, (t2-t1)/1e6, (util__now_ns()-t2)/1e6);
	err = output__write(p, argv[3]);
	return err != 0;
}
