/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exit.h - exit statuses, a contract with scripts (see memwatch --help). */
#ifndef CORE_EXIT_H
#define CORE_EXIT_H

enum mw_exit {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_UNSUPPORTED = 3, /* not permitted, or the kernel lacks what is needed */
	EXIT_NO_PROCESS = 4,
};

#endif
