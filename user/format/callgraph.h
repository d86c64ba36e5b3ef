/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * callgraph.h - the call graph of a profile in pprof's manner: a box for each function with flat
 * and cum, its size by flat, its shade by cum; arrows by the value that flows along them, dashed
 * where functions between were left out. Drawn by graphviz.
 */
#ifndef FORMAT_CALLGRAPH_H
#define FORMAT_CALLGRAPH_H

#include <stdbool.h>
#include <stdio.h>

#include "model/profile.h"

#define CALLGRAPH_MAX_NODES 80 /* as pprof shows at most */

/*
 * DOT text. type: sample type; functions with |cum| below node_fraction of the total and edges
 * below edge_fraction of it are left out. 0, -EINVAL (type), -ENOMEM, -EIO.
 */
int callgraph__write_dot(FILE *f, const struct profile *p, int type, double node_fraction,
			 double edge_fraction);

/* True if the name's ending is .dot, .svg or .png. */
bool callgraph__known(const char *path);

/*
 * Writes path as .dot, .svg or .png by its ending; the last two run graphviz's `dot`. A file
 * appears whole or not at all. -ENOPKG: `dot` is not installed (say so: "install graphviz");
 * -EINVAL: ending; -EPROTO: dot failed.
 */
int callgraph__save(const char *path, const struct profile *p, int type, double node_fraction,
		    double edge_fraction);

#endif
