/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config_keys.c - the keys of the daemon's configuration, and what their values may be. */
#include "daemon/config_priv.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/runner.h"
#include "core/units.h"
#include "core/util.h"
#include "http/access.h"
#include "memwatch/wire.h"

#define MIN_INTERVAL_NS 100000000ULL
#define MAX_INTERVAL_NS 3600000000000ULL
#define MIN_GROWTH_NS 1000000000ULL
#define MAX_GROWTH_NS 86400000000000ULL
#define MAX_PROCESSES 512
#define MIN_AGE_NS 120000000000ULL /* what is younger stays in any case (history/tidy.c) */

static const char *set_bool(void *to, const char *value)
{
	bool *b = to;

	*b = !strcmp(value, "yes") || !strcmp(value, "true") || !strcmp(value, "on");
	return *b || !strcmp(value, "no") || !strcmp(value, "false") || !strcmp(value, "off")
		       ? NULL
		       : "yes or no";
}

static const char *set_size(void *to, const char *value)
{
	return units__parse_size(value, to) ? "a size, such as 512K or 2G" : NULL;
}

static const char *set_time(void *to, const char *value)
{
	return units__parse_time(value, to) ? "a time, such as 30s, 10m or 7d" : NULL;
}

static const char *set_percent(void *to, const char *value)
{
	return units__parse_percent(value, to) ? "a percentage of one CPU, such as 2%" : NULL;
}

static const char *set_interval(void *to, const char *value)
{
	uint64_t *ns = to;

	if (units__parse_time(value, ns) || *ns < MIN_INTERVAL_NS || *ns > MAX_INTERVAL_NS)
		return "a time between 100ms and 1h";
	return NULL;
}

static const char *set_age(void *to, const char *value)
{
	uint64_t *ns = to;

	return units__parse_time(value, ns) || *ns < MIN_AGE_NS ? "a time of 2m or more" : NULL;
}

static const char *set_timeout(void *to, const char *value)
{
	uint64_t *ns = to;

	return units__parse_time(value, ns) || !*ns ? "a time above 0, such as 30s" : NULL;
}

static const char *set_growth_over(void *to, const char *value)
{
	uint64_t *ns = to;

	if (units__parse_time(value, ns) || *ns < MIN_GROWTH_NS || *ns > MAX_GROWTH_NS)
		return "a time between 1s and 1d";
	return NULL;
}

static const char *set_sample(void *to, const char *value)
{
	uint64_t *bytes = to;

	if (units__parse_size(value, bytes) || !*bytes || *bytes > 1ULL << 40)
		return "a size from 1 (every allocation) to 1T";
	return NULL;
}

static bool parse_number(const char *value, unsigned long min, unsigned long max, unsigned *ret)
{
	char *end;
	unsigned long v = strtoul(value, &end, 10);

	if (!isdigit((unsigned char)*value) || *end || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

static const char *set_count(void *to, const char *value)
{
	return parse_number(value, 1, MAX_PROCESSES, to) ? NULL : "a number from 1 to 512";
}

_Static_assert(MW_MAX_FRAMES == 1024, "what set_depth says");

static const char *set_depth(void *to, const char *value)
{
	return parse_number(value, 1, MW_MAX_FRAMES, to) ? NULL
							 : "a number of frames from 1 to 1024";
}

static const char *set_period(void *to, const char *value)
{
	return parse_number(value, 1, 1 << 24, to) ? NULL
						   : "a number of page faults from 1 to 16777216";
}

static const char *set_text(void *to, const char *value)
{
	char **text = to, *copy = *value ? strdup(value) : NULL;

	if (!copy)
		return *value ? "less (there is no memory)" : "there";
	free(*text);
	*text = copy;
	return NULL;
}

static bool is_host(const char *name, size_t len)
{
	char text[256];
	struct in6_addr six;

	if (len >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)len, name);
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr(".-_", text[i]))
			return inet_pton(AF_INET6, text, &six) == 1;
	}
	return true;
}

static const char *set_hosts(void *to, const char *value)
{
	const char *p = value;
	size_t n = 0;

	while (*p) {
		size_t len = strcspn(p, " \t");

		if (!is_host(p, len) || n++ == CONFIG_MAX_HOSTS)
			break;
		p += len + strspn(p + len, " \t");
	}
	return *p || !*value || strlen(value) >= ACCESS_MAX_HOSTS
		       ? "names of this server without a port, 32 at most, with blanks between"
		       : set_text(to, value);
}

static const char *set_directory(void *to, const char *value)
{
	return *value == '/' ? set_text(to, value)
			     : "a path from the root, such as /var/lib/memwatch";
}
/* "10M/min", as --alert-growth. */
static const char *set_growth(void *to, const char *value)
{
	struct rules r = {0};

	if (rules__parse(ALERT_GROWTH, value, &r))
		return rules__wants(ALERT_GROWTH);
	*(double *)to = r.growth_bytes_s * 60;
	return NULL;
}

static const char *set_command(void *to, const char *value)
{
	char **argv;

	if (runner__split(value, &argv))
		return "a command (quotes are closed)";
	free(argv);
	return set_text(to, value);
}

/* How many alerts of a rule keep their files. */
static const char *set_keep(void *to, const char *value)
{
	size_t *keep = to;
	unsigned n;

	if (!parse_number(value, 0, UINT32_MAX, &n))
		return "a number of alerts (0: all)";
	*keep = n;
	return NULL;
}

static const char *set_over_budget(void *to, const char *value)
{
	bool *windows = to;

	*windows = !strcmp(value, "windows");
	return *windows || !strcmp(value, "let-go") ? NULL : "let-go or windows";
}

/* "30s every 10m" */
static const char *set_window(void *to, const char *value)
{
	struct config_profile *p = to;
	char length[32], rest[32];
	uint64_t window_ns, every_ns;
	int end = 0;

	if (sscanf(value, "%31s every %31s%n", length, rest, &end) != 2 || value[end] ||
	    units__parse_time(length, &window_ns) || units__parse_time(rest, &every_ns) ||
	    window_ns < 1000000000 || every_ns <= window_ns)
		return "a time and a longer one: '30s every 10m'";
	p->window_ns = window_ns;
	p->every_ns = every_ns;
	return NULL;
}

#define DAEMON(name, set, field)                          \
	{                                                 \
		name, set, offsetof(struct config, field) \
	}
#define PROFILE(name, set, field)                                 \
	{                                                         \
		name, set, offsetof(struct config_profile, field) \
	}
#define ALERT(name, set, field)                                 \
	{                                                       \
		name, set, offsetof(struct config_alert, field) \
	}

const struct config_key config_keys[SECTIONS][CONFIG_KEYS] = {
	[IN_DAEMON] =
		{
			DAEMON("state-dir", set_directory, state_dir),
			DAEMON("listen", set_text, listen),
			DAEMON("group", set_text, group),
			DAEMON("hosts", set_hosts, hosts),
			DAEMON("interval", set_interval, interval_ns),
			DAEMON("growth-over", set_growth_over, growth_over_ns),
			DAEMON("sample-bytes", set_sample, sample_bytes),
			DAEMON("max-depth", set_depth, max_depth),
			DAEMON("max-overhead", set_percent, max_overhead),
			DAEMON("max-overhead-total", set_percent, max_overhead_total),
			DAEMON("max-processes", set_count, max_processes),
			DAEMON("metrics-top", set_count, metrics_top),
			DAEMON("go", set_bool, go),
			DAEMON("oom", set_bool, oom),
		},
	[IN_OOM] =
		{
			DAEMON("enabled", set_bool, oom),
			DAEMON("on-kill", set_command, on_kill),
			DAEMON("journal", set_bool, kills.journal),
			DAEMON("syslog", set_bool, kills.syslog),
		},
	[IN_FAULTS] =
		{
			DAEMON("enabled", set_bool, faults),
			DAEMON("period", set_period, fault_period),
		},
	[IN_HISTORY] =
		{
			DAEMON("enabled", set_bool, history),
			DAEMON("max-size", set_size, history_bytes),
			DAEMON("max-age", set_age, history_age_ns),
		},
	[IN_PROFILE] =
		{
			PROFILE("ignore", set_bool, ignore),
			PROFILE("on-demand", set_bool, on_demand),
			PROFILE("fast", set_bool, fast),
			{"window", set_window, 0},
			PROFILE("snapshot", set_time, snapshot_ns),
			PROFILE("peak", set_bool, peak),
			PROFILE("peak-rss", set_bool, peak_rss),
			PROFILE("follow", set_bool, follow),
			PROFILE("mmap", set_bool, mappings),
			PROFILE("histograms", set_bool, histograms),
			PROFILE("touched", set_bool, touched),
			PROFILE("sample-bytes", set_sample, sample_bytes),
			PROFILE("max-overhead", set_percent, max_overhead),
			PROFILE("over-budget", set_over_budget, windows),
			PROFILE("min-rss", set_size, who.min_rss_bytes),
			PROFILE("growth", set_growth, who.growth_bytes_min),
		},
	[IN_ALERT] =
		{
			ALERT("alert-timeout", set_timeout, alert.timeout_ns),
			ALERT("alert-cooldown", set_time, alert.cooldown_ns),
			ALERT("alert-keep", set_keep, alert.keep),
			ALERT("min-rss", set_size, who.min_rss_bytes),
			ALERT("growth", set_growth, who.growth_bytes_min),
		},
};
