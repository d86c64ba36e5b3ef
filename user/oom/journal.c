/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal.c - the two protocols as they are spoken at their sockets
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL, RFC 3164). Their libraries' calls wait for a daemon that
 * stands still, and syslog(3) does not tell whether anybody took the message.
 */
#include "oom/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "core/util.h"
#include "oom/render.h"
#include "sys/datagram.h"

#define JOURNAL "/run/systemd/journal/socket"
#define SYSLOG "/dev/log"

/* Of every message about an OOM, and about a group at memory.high, so that `journalctl
 * MESSAGE_ID=…` finds them. */
#define KILL_ID "7d3f0d6e0f5b4c5aa3a2f1c58d1b9e42"
#define THROTTLE_ID "c0a6d1f2b6f64f4e9f1e4b1d7b0a53c8"

int journal__probe(void)
{
	return datagram__probe(JOURNAL);
}

int journal__probe_syslog(void)
{
	return datagram__probe(SYSLOG);
}

/* --- values: empty where not known --- */

static const char *size_value(char buf[24], uint64_t v)
{
	if (v == OOM_UNKNOWN || v == OOM_NO_LIMIT)
		return "";
	snprintf(buf, 24, "%" PRIu64, v);
	return buf;
}

static const char *pid_value(char buf[24], uint32_t pid)
{
	return size_value(buf, pid ? pid : OOM_UNKNOWN);
}

static const char *constraint_value(const struct oom_event *e)
{
	const char *c = render__constraint(e);

	return c ? c : "unknown";
}

/* --- the journal --- */

static void put_field(struct textbuf *b, const char *name, const char *value)
{
	uint64_t len = strlen(value);
	uint8_t le[8];

	textbuf__str(b, name);
	if (!strchr(value, '\n')) {
		textbuf__str(b, "=");
	} else { /* names are anybody's: then the length says where it ends */
		for (int i = 0; i < 8; i++)
			le[i] = (uint8_t)(len >> (8 * i));
		textbuf__str(b, "\n");
		textbuf__raw(b, (const char *)le, sizeof(le));
	}
	textbuf__raw(b, value, len);
	textbuf__str(b, "\n");
}

static void begin_entry(const struct journal_news *n, const char *id, int priority)
{
	textbuf__reset(n->room);
	put_field(n->room, "MESSAGE", n->summary);
	put_field(n->room, "MESSAGE_ID", id);
	textbuf__format(n->room, "PRIORITY=%d\nSYSLOG_IDENTIFIER=memwatch\n", priority);
}

static int send_entry(const struct journal_news *n)
{
	static const char name[] = "MEMWATCH_EVENT=";
	const struct iovec part[] = {{n->room->text, n->room->len},
				     {(char *)name, sizeof(name) - 1},
				     {(char *)n->json, n->len}};

	return n->room->err ? n->room->err : datagram__send(JOURNAL, part, ARRAY_SIZE(part));
}

int journal__kill(const struct journal_news *n, const struct oom_event *e)
{
	char b[24];

	begin_entry(n, KILL_ID, LOG_ERR);
	put_field(n->room, "MEMWATCH_VICTIM_PID", pid_value(b, e->victim.pid));
	put_field(n->room, "MEMWATCH_VICTIM_COMM", e->victim.comm);
	put_field(n->room, "MEMWATCH_VICTIM_CGROUP", e->victim.cgroup);
	put_field(n->room, "MEMWATCH_TRIGGER_PID", pid_value(b, e->trigger.pid));
	put_field(n->room, "MEMWATCH_TRIGGER_COMM", e->trigger.comm);
	put_field(n->room, "MEMWATCH_CONSTRAINT", constraint_value(e));
	put_field(n->room, "MEMWATCH_MEMCG", e->memcg);
	put_field(n->room, "MEMWATCH_ANON_RSS_BYTES", size_value(b, e->victim.anon_rss_bytes));
	put_field(n->room, "MEMWATCH_LIMIT_BYTES", size_value(b, e->limit_bytes));
	return send_entry(n);
}

int journal__throttle(const struct journal_news *n, const struct throttle_event *e)
{
	char b[24];

	begin_entry(n, THROTTLE_ID, LOG_WARNING);
	put_field(n->room, "MEMWATCH_CGROUP", e->path);
	put_field(n->room, "MEMWATCH_HIGH_BYTES", size_value(b, e->high_bytes));
	put_field(n->room, "MEMWATCH_THROTTLED", size_value(b, e->high_cnt));
	put_field(n->room, "MEMWATCH_STALL_US", size_value(b, e->stall_us));
	return send_entry(n);
}

/* --- syslog --- */

static void begin_line(const struct journal_news *n, int priority)
{
	time_t now = time(NULL);
	char stamp[32] = "";
	struct tm tm;

	if (localtime_r(&now, &tm))
		strftime(stamp, sizeof(stamp), "%h %e %T ", &tm);
	textbuf__reset(n->room);
	textbuf__format(n->room, "<%d>%smemwatch[%d]: ", LOG_DAEMON | priority, stamp,
			(int)getpid());
	textbuf__str(n->room, n->summary);
}

static int send_line(const struct journal_news *n)
{
	const struct iovec part = {n->room->text, n->room->len};

	return n->room->err ? n->room->err : datagram__send(SYSLOG, &part, 1);
}

int journal__syslog_kill(const struct journal_news *n, const struct oom_event *e)
{
	char b1[24], b2[24], b3[24];

	begin_line(n, LOG_ERR);
	textbuf__format(n->room, " victim_pid=%s trigger_pid=%s constraint=%s anon_rss_bytes=%s",
			pid_value(b1, e->victim.pid), pid_value(b2, e->trigger.pid),
			constraint_value(e), size_value(b3, e->victim.anon_rss_bytes));
	return send_line(n);
}

int journal__syslog_throttle(const struct journal_news *n, const struct throttle_event *e)
{
	char b1[24], b2[24];

	begin_line(n, LOG_WARNING);
	textbuf__format(n->room, " throttled=%s stall_us=%s", size_value(b1, e->high_cnt),
			size_value(b2, e->stall_us));
	return send_line(n);
}
