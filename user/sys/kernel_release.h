/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kernel_release.h - the release of the running kernel, for what cannot be found out by trying. */
#ifndef SYS_KERNEL_RELEASE_H
#define SYS_KERNEL_RELEASE_H

#include <stdbool.h>

/* Is the kernel older than major.minor? True also where its release cannot be told. */
bool kernel_release__before(unsigned major, unsigned minor);

#endif
