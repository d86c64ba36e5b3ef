/* SPDX-License-Identifier: GPL-2.0-or-later */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "oom/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "oom/render.h"

/* Of every message about a kill, so that `journalctl MESSAGE_ID=…` finds them. */
#define MESSAGE_ID "7d3f0d6e0f5b4c5aa3a2f1c58d1b9e42"

bool journal__runs(void)
{
	return access("/run/systemd/journal/socket", W_OK) == 0;
}

static const char *number(char *buf, size_t size, uint64_t v)
{
	if (v == OOM_UNKNOWN || v == OOM_NO_LIMIT)
		return "";
	snprintf(buf, size, "%" PRIu64, v);
	return buf;
}

int journal__send(const struct oom_event *e, const char *summary, const char *json)
{
	char anon[24], limit[24];

	if (!journal__runs())
		return -ENOENT;
	return sd_journal_send(
		"MESSAGE=%s", summary, "MESSAGE_ID=" MESSAGE_ID, "PRIORITY=%i", LOG_ERR,
		"MEMWATCH_VICTIM_PID=%u", e->victim.pid, "MEMWATCH_VICTIM_COMM=%s", e->victim.comm,
		"MEMWATCH_VICTIM_CGROUP=%s", e->victim.cgroup, "MEMWATCH_TRIGGER_PID=%u",
		e->trigger.pid, "MEMWATCH_TRIGGER_COMM=%s", e->trigger.comm,
		"MEMWATCH_CONSTRAINT=%s", render__constraint(e->constraint), "MEMWATCH_MEMCG=%s",
		e->memcg, "MEMWATCH_ANON_RSS_BYTES=%s",
		number(anon, sizeof(anon), e->victim.anon_rss_bytes), "MEMWATCH_LIMIT_BYTES=%s",
		number(limit, sizeof(limit), e->limit_bytes), "MEMWATCH_EVENT=%s", json, NULL);
}

bool journal__syslog_runs(void)
{
	return access("/dev/log", W_OK) == 0;
}

int journal__syslog(const struct oom_event *e, const char *summary)
{
	char anon[24];

	if (!journal__syslog_runs())
		return -ENOENT;

	syslog(LOG_DAEMON | LOG_ERR,
	       "%s victim_pid=%u trigger_pid=%u constraint=%s anon_rss_bytes=%s", summary,
	       e->victim.pid, e->trigger.pid, render__constraint(e->constraint),
	       number(anon, sizeof(anon), e->victim.anon_rss_bytes));
	return 0;
}
