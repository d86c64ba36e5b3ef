/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * history_fill - writes a history of a known course below DIR: the two hours before NOW_MS, 1 s a
 * pass. PID 811 grows from 100 to 220 MB, PID 812 is flat at 50 MB with a spike to 900 MB in the
 * 60th minute, PID 813 (a hostile name; its file is called
 * as 812) ends after the first hour. 811's heap profile of every ten
 * minutes has 10 MB more in "leaky"; it is killed in the last minute.
 *
 *	history_fill DIR NOW_MS [say]
 *
 * say: prints the time of each pass when it has been written.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/textbuf.h"
#include "history/history.h"
#include "oom/event.h"
#include "oom/render.h"

#define MB (1LL << 20)
#define SECONDS 7200

static void check(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "history_fill: %s: %s\n", what, strerror(-err));
	exit(1);
}

static struct history_row row_of(uint32_t pid, const char *comm, const char *command, int64_t rss)
{
	struct history_row r = {.pid = pid,
				.start_ns = pid,
				.comm = comm,
				.command = command,
				.cgroup = "/system.slice/test.service"};

	for (int i = 0; i < HISTORY_VALUES; i++)
		r.value[i] = TIMELINE_UNKNOWN;
	r.value[TIMELINE_VIRT] = 3 * rss;
	r.value[TIMELINE_RSS] = r.value[HISTORY_PEAK_RSS] = rss;
	r.value[TIMELINE_RSS_ANON] = rss;
	return r;
}

static int64_t keep_profile(struct history *h, const struct history_row *row, int64_t bytes,
			    int64_t time_ms)
{
	struct profile_line line = {.line = 12};
	struct profile_function f = {0};
	struct profile *p;
	int64_t v[4] = {bytes / 1024, bytes, bytes / 1024, bytes}, id;
	uint32_t loc;

	check(profile__new(&p), "profile");
	check(profile__set_heap_types(p, 1), "types");
	check(profile__string(p, "leaky", &f.name), "string");
	f.system_name = f.name;
	check(profile__function(p, &f, &line.function), "function");
	check(profile__location(p, PROFILE_NONE, 0x1234, &line, 1, &loc), "location");
	check(profile__sample(p, &loc, 1, v, NULL, 0), "sample");
	p->pid = row->pid;
	p->time_ns = time_ms * 1000000;
	p->totals.inuse_bytes = p->totals.alloc_bytes = (double)bytes;
	check(history__profile(h, row, p, "regular", &id), "history__profile");
	profile__free(p);
	return id;
}

static void kill_it(struct history *h, int64_t time_ms, int64_t profile)
{
	static struct oom_event e;
	struct textbuf b = {0};

	oom_event__init(&e);
	e.time_unix_ms = time_ms;
	e.has_time = true;
	e.victim.pid = e.victim.tid = 811;
	strcpy(e.victim.comm, "grower");
	e.victim.anon_rss_bytes = 220 * MB;
	check(render__json(&b, &e), "json");
	check(history__event(h, "oom", time_ms, 811, "grower", b.text, b.len, profile), "event");
	textbuf__free(&b);
}

/* One alert of each unit that a record can have, and one whose end is not in sight. */
static void alerts(struct history *h, int64_t time_ms)
{
	static const char *const told[] = {
		"\"rule\":\"rss\",\"value\":462942208,\"threshold\":104857600,\"unit\":\"bytes\"",
		"\"rule\":\"cgroup\",\"value\":0.634,\"threshold\":0.6,\"unit\":\"ratio\"",
		"\"rule\":\"growth\",\"value\":34952,\"threshold\":17476.267,\"unit\":\"bytes/s\"",
		"\"rule\":\"oom-in\",\"value\":30,\"threshold\":300,\"unit\":\"seconds\"",
		"\"rule\":\"oom-in\",\"state\":\"resolved\",\"value\":null,\"threshold\":300,"
		"\"unit\":\"seconds\"",
		"\"rule\":\"psi\",\"value\":25.5,\"threshold\":20,\"unit\":\"percent\""};
	char json[256];

	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++) {
		int n = snprintf(json, sizeof(json), "{%s}", told[i]);

		check(history__event(h, "alert", time_ms + (int64_t)i, 811, "grower", json,
				     (size_t)n, 0),
		      "event");
	}
}

/* What concerns no process. */
static void of_groups(struct history *h, int64_t time_ms)
{
	static const char slow[] =
		"{\"schema\":\"memwatch.throttle/1\",\"time_unix_ms\":1,\"cgroup\":\"/slow\","
		"\"high_bytes\":8388608,\"usage_bytes\":8388608,\"throttled\":44,\"limit_hits\":0,"
		"\"span_ms\":6000,\"stall_us\":249000}\n";
	static const char stuck[] = "{\"schema\":\"memwatch.oom/1\",\"victim\":null,\"repeats\":0,"
				    "\"constraint\":\"memcg\",\"memcg\":{\"path\":\"/stuck\"}}\n";

	check(history__event(h, "throttle", time_ms, 0, "/slow", slow, strlen(slow), 0), "event");
	check(history__event(h, "oom", time_ms, 0, "", stuck, strlen(stuck), 0), "event");
}

int main(int argc, char **argv)
{
	static const int64_t machine[HISTORY_MACHINE_VALUES] = {8192 * MB, 4096 * MB, 0,
								0,	   1250,      300};
	static const struct history_opts opts;
	char why[HISTORY_WHY] = "";
	int64_t now = argc >= 3 ? atoll(argv[2]) : 0, from = now - SECONDS * 1000LL, last = 0;
	struct history *h;

	if (!now)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	check(history__create(argv[1], &opts, &h, why), "history__create");
	for (int s = 1; s <= SECONDS; s++) {
		struct history_row r[] = {
			row_of(811, "grower", "grower --more", 100 * MB + s * MB / 60),
			row_of(812, "flat", "flat", 50 * MB),
			row_of(813, "e\033[31mvil<b>", "/opt/flat \033[31mvil<b>\n\"x", 20 * MB)};

		if (s == 3570)
			r[1].value[HISTORY_PEAK_RSS] = 900 * MB;
		check(history__pass(h, from + s * 1000, machine, r, s <= 3600 ? 3 : 2), "pass");
		if (argc > 3)
			printf("%lld\n", (long long)from + s * 1000);
		if (s % 600 == 0)
			last = keep_profile(h, &r[0], s / 600 * 10 * MB, from + s * 1000);
	}
	kill_it(h, now - 30000, last);
	alerts(h, now - 20000);
	of_groups(h, now - 10000);
	history__close(h);
	return 0;
}
