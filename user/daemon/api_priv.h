/* SPDX-License-Identifier: GPL-2.0-or-later */
/* api_priv.h - what the files of the page's questions share. */
#ifndef DAEMON_API_PRIV_H
#define DAEMON_API_PRIV_H

#include "daemon/api.h"
#include "web/webpage.h"

/* The parameter `name`, a number in [0, max]; missing: otherwise. False: it is none. */
bool api__number(const struct http_request *r, const char *name, int64_t otherwise, int64_t max,
		 int64_t *ret);

/* /api/profile, /api/pprof, /api/list, /api/verdicts. False: the path is none of these. */
bool api_profile__answer(const struct api_sources *s, const struct webpage_client *c,
			 const struct http_request *r);

#endif
