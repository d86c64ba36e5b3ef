/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot.h - which boot of the machine this is. */
#ifndef SYS_BOOT_H
#define SYS_BOOT_H

#define BOOT_ID 40

/* The kernel's random id of this boot. 0, or -errno and "". */
int boot__id(char buf[BOOT_ID]);

#endif
