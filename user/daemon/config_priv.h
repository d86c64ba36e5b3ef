/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config_priv.h - the keys of the sections, of which config.c reads the lines. */
#ifndef DAEMON_CONFIG_PRIV_H
#define DAEMON_CONFIG_PRIV_H

#include "daemon/config.h"

enum config_section {
	IN_NONE,
	IN_DAEMON,
	IN_OOM,
	IN_FAULTS,
	IN_HISTORY,
	IN_PROFILE, /* from here on there may be several */
	IN_ALERT,
	SECTIONS
};

struct config_key {
	const char *name;
	/* Sets *to, or returns what the value should have been. */
	const char *(*set)(void *to, const char *value);
	size_t offset; /* of *to in what the section is kept in */
};

#define CONFIG_KEYS 24

/* Of each section; ends with name NULL. */
extern const struct config_key config_keys[SECTIONS][CONFIG_KEYS];

#endif
