/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/allowance.h"

#include "core/util.h"

void allowance__init(struct allowance *a, double share, uint64_t burst_ns, uint64_t now_ns)
{
	*a = (struct allowance){
		.share = share, .burst_ns = burst_ns, .left_ns = burst_ns, .at_ns = now_ns};
}

bool allowance__left(struct allowance *a, uint64_t now_ns)
{
	if (a->share <= 0)
		return true;
	if (now_ns > a->at_ns) {
		a->left_ns = min_of(a->left_ns + a->share * (now_ns - a->at_ns), a->burst_ns);
		a->at_ns = now_ns;
	}
	return a->left_ns > 0;
}

void allowance__spend(struct allowance *a, uint64_t ns)
{
	a->left_ns -= ns;
}
