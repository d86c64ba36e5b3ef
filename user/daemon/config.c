/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/config_priv.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alert/runner.h"
#include "core/util.h"
#include "http/http.h"
#include "http/listen.h"
#include "sys/safeopen.h"

#define DEFAULT_SNAPSHOT_NS 600000000000ULL

/* Where a line of the file belongs. */
struct config_place {
	struct config *c;
	enum config_section in;
	unsigned line;
	unsigned set_at[IN_PROFILE][CONFIG_KEYS]; /* lines of keys; 0: not given */
	struct config_errors *errors;
};

__attribute__((format(printf, 3, 4))) static void wrong(struct config_errors *e, unsigned line,
							const char *fmt, ...)
{
	va_list ap;

	if (e->n < CONFIG_MAX_ERRORS) {
		e->e[e->n].line = line;
		va_start(ap, fmt);
		vsnprintf(e->e[e->n].text, sizeof(e->e[0].text), fmt, ap);
		va_end(ap);
	}
	e->n++;
}

int config__new(struct config **ret)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->state_dir = strdup("/var/lib/memwatch");
	c->listen = strdup(HTTP_DEFAULT_ADDRESS);
	c->interval_ns = 1000000000;
	c->growth_over_ns = 120000000000ULL;
	c->sample_bytes = 512 << 10;
	c->max_overhead = 2;
	c->max_overhead_total = 10;
	c->max_processes = 50;
	c->metrics_top = 50;
	c->go = c->oom = c->history = true;
	c->kills.on_kill = "on-kill";
	c->kills.prefix = "";
	c->faults = true;
	c->fault_period = 16384;
	c->history_bytes = 512 << 20;
	c->history_age_ns = 365ULL * 86400 * 1000000000;
	if (!c->state_dir || !c->listen) {
		config__free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

static void clear_profile(struct config_profile *p)
{
	free(p->name);
	choice__clear(&p->who);
}

static void clear_alert(struct config_alert *a)
{
	alert_options__clear(&a->alert);
	free(a->name);
	free(a->command);
	choice__clear(&a->who);
}

void config__free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->nprofiles; i++)
		clear_profile(&c->profiles[i]);
	for (size_t i = 0; i < c->nalerts; i++)
		clear_alert(&c->alerts[i]);
	free(c->profiles);
	free(c->alerts);
	free(c->state_dir);
	free(c->listen);
	free(c->group);
	free(c->hosts);
	free(c->on_kill);
	free(c);
}

static const char *const section_names[SECTIONS] = {
	[IN_DAEMON] = "daemon",	  [IN_OOM] = "oom",	    [IN_FAULTS] = "faults",
	[IN_HISTORY] = "history", [IN_PROFILE] = "profile", [IN_ALERT] = "alert",
};

/* --- lines --- */

static struct choice *choice_of(const struct config_place *at)
{
	if (at->in == IN_PROFILE)
		return &at->c->profiles[at->c->nprofiles - 1].who;
	return at->in == IN_ALERT ? &at->c->alerts[at->c->nalerts - 1].who : NULL;
}

static void *section_of(const struct config_place *at)
{
	switch (at->in) {
	case IN_PROFILE: return &at->c->profiles[at->c->nprofiles - 1];
	case IN_ALERT: return &at->c->alerts[at->c->nalerts - 1];
	default: return at->c;
	}
}

static int set_choice(const struct config_place *at, const char *name, const char *value)
{
	struct choice *who = choice_of(at);
	char why[CHOICE_WHY] = "";
	int err = who ? choice__add(who, name, value, why) : -ENOENT;

	if (err == -EINVAL)
		wrong(at->errors, at->line, "%s: %s", name, why);
	return err == -ENOENT ? 0 : err == -ENOMEM ? err : 1;
}

/* "alert-rss = 90%" and what goes with it. 1: it was one of these. */
static int set_alert(const struct config_place *at, const char *name, const char *value)
{
	struct config_alert *a = section_of(at);

	if (at->in != IN_ALERT)
		return 0;
	if (!strcmp(name, "on-alert")) {
		char **argv;

		if (runner__split(value, &argv)) {
			wrong(at->errors, at->line, "on-alert: no command, or an open quote");
			return 1;
		}
		free(argv);
		free(a->command);
		a->command = strdup(value);
		a->alert.command = a->command;
		a->command_line = at->line;
		return a->command ? 1 : -ENOMEM;
	}
	for (int r = 0; r < ALERT_RULES; r++) {
		if (strncmp(name, "alert-", 6) || strcmp(name + 6, rules__name(r)))
			continue;
		if (rules__parse(r, value, &a->alert.rules)) {
			a->is_damaged = true;
			wrong(at->errors, at->line, "%s: '%s' is not %s", name, value,
			      rules__wants(r));
		}
		return 1;
	}
	return 0;
}

static void list_keys(const struct config_place *at, char *buf, size_t len)
{
	size_t n = 0;

	buf[0] = 0;
	for (size_t i = 0; i < CONFIG_KEYS && config_keys[at->in][i].name && n < len; i++)
		n += snprintf(buf + n, len - n, "%s%s", i ? ", " : "", config_keys[at->in][i].name);
	if (choice_of(at) && n < len)
		n += snprintf(buf + n, len - n, ", %s", choice__kinds());
	for (int r = 0; r < ALERT_RULES && at->in == IN_ALERT && n < len; r++)
		n += snprintf(buf + n, len - n, ", alert-%s", rules__name(r));
	if (at->in == IN_ALERT && n < len)
		snprintf(buf + n, len - n, ", on-alert");
}

static int set_key(struct config_place *at, const char *name, const char *value)
{
	char known[CONFIG_WHY];
	int err = set_choice(at, name, value);

	if (!err)
		err = set_alert(at, name, value);
	if (err)
		return min_of(err, 0);
	for (size_t i = 0; i < CONFIG_KEYS && config_keys[at->in][i].name; i++) {
		const struct config_key *k = &config_keys[at->in][i];
		const char *wants;

		if (strcmp(name, k->name))
			continue;
		if (at->in < IN_PROFILE)
			at->set_at[at->in][i] = at->line;
		wants = k->set((char *)section_of(at) + k->offset, value);
		if (wants)
			wrong(at->errors, at->line, "%s: '%s' is not %s", name, value, wants);
		return 0;
	}
	list_keys(at, known, sizeof(known));
	wrong(at->errors, at->line, "no key '%.40s' in [%s]; there are %.260s", name,
	      section_names[at->in], known);
	return 0;
}

static int add_profile(struct config_place *at, char *name)
{
	struct config *c = at->c;

	if (array_reserve(c->profiles, c->profiles_cap, c->nprofiles + 1))
		return -ENOMEM;
	c->profiles[c->nprofiles++] = (struct config_profile){
		.name = name, .line = at->line, .snapshot_ns = DEFAULT_SNAPSHOT_NS};
	return 0;
}

static int add_alert(struct config_place *at, char *name)
{
	struct config *c = at->c;
	struct config_alert *a;

	if (array_reserve(c->alerts, c->alerts_cap, c->nalerts + 1))
		return -ENOMEM;
	a = &c->alerts[c->nalerts++];
	*a = (struct config_alert){.name = name, .line = at->line};
	alert_options__init(&a->alert);
	return 0;
}

static bool is_taken(const struct config_place *at, const char *name)
{
	for (size_t i = 0; i < at->c->nprofiles && at->in == IN_PROFILE; i++) {
		if (!strcmp(at->c->profiles[i].name, name))
			return true;
	}
	for (size_t i = 0; i < at->c->nalerts && at->in == IN_ALERT; i++) {
		if (!strcmp(at->c->alerts[i].name, name))
			return true;
	}
	return false;
}

/* "[profile web]"; text is between the brackets. */
static int begin_section(struct config_place *at, char *text)
{
	char *name = text + strcspn(text, " \t");
	int err;

	if (*name)
		*name++ = 0;
	name += strspn(name, " \t");
	at->in = IN_NONE;
	for (int s = IN_DAEMON; s < SECTIONS; s++) {
		if (!strcmp(text, section_names[s]))
			at->in = s;
	}
	if (at->in == IN_NONE) {
		wrong(at->errors, at->line,
		      "no section '%.60s'; there are [daemon], [oom], [faults], [history], "
		      "[profile NAME] "
		      "and "
		      "[alert NAME]",
		      text);
		return 0;
	}
	if (at->in < IN_PROFILE) {
		if (*name)
			wrong(at->errors, at->line, "[%s] has no name", section_names[at->in]);
		return 0;
	}
	if (!*name || is_taken(at, name)) {
		wrong(at->errors, at->line,
		      *name ? "a second [%s %.60s]" : "[%s] needs a name: [%s NAME]", text,
		      *name ? name : text);
		at->in = IN_NONE;
		return 0;
	}
	if (at->in == IN_PROFILE ? at->c->nprofiles == CONFIG_MAX_PROFILES
				 : at->c->nalerts == CONFIG_MAX_ALERTS) {
		wrong(at->errors, at->line, "more than %d such sections",
		      at->in == IN_PROFILE ? CONFIG_MAX_PROFILES : CONFIG_MAX_ALERTS);
		at->in = IN_NONE;
		return 0;
	}
	name = strdup(name);
	if (!name)
		return -ENOMEM;
	err = at->in == IN_PROFILE ? add_profile(at, name) : add_alert(at, name);
	if (err)
		free(name);
	return err;
}

static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (end > s && isspace((unsigned char)end[-1]))
		*--end = 0;
	return s + strspn(s, " \t");
}

static int take_line(struct config_place *at, char *line, bool *skips)
{
	char *value;
	int err;

	line = trim(line);
	if (!*line || *line == '#' || *line == ';')
		return 0;
	if (*line == '[') {
		size_t n = strlen(line);

		*skips = line[n - 1] != ']';
		if (*skips) {
			wrong(at->errors, at->line, "a section is written [NAME]: ']' is missing");
			return 0;
		}
		line[n - 1] = 0;
		err = begin_section(at, trim(line + 1));
		*skips = at->in == IN_NONE; /* told once; its keys mean nothing */
		return err;
	}
	if (*skips)
		return 0;
	value = strchr(line, '=');
	if (!value) {
		wrong(at->errors, at->line, "'%.60s' is neither [section] nor key = value", line);
		return 0;
	}
	*value++ = 0;
	if (at->in == IN_NONE) {
		wrong(at->errors, at->line, "'%.60s' stands before the first [section]",
		      trim(line));
		return 0;
	}
	return set_key(at, trim(line), trim(value));
}

#define MIN_HISTORY_BYTES (8 << 20)

/* Each rate has observers of its own. */
static void check_rates(const struct config *c, struct config_errors *e)
{
	uint64_t rate[CONFIG_MAX_RATES];
	size_t n = 0;

	for (size_t i = 0; i < c->nprofiles; i++) {
		const struct config_profile *p = &c->profiles[i];
		size_t k = 0;

		while (k < n && rate[k] != p->sample_bytes)
			k++;
		if (k < n || !p->sample_bytes || p->sample_bytes == c->sample_bytes)
			continue;
		if (n < CONFIG_MAX_RATES)
			rate[n++] = p->sample_bytes;
		else
			wrong(e, p->line,
			      "[profile %.60s]: more than %d different sample-bytes beside the "
			      "daemon's",
			      p->name, CONFIG_MAX_RATES);
	}
}

static unsigned line_of(const struct config_place *at, enum config_section in, const char *key)
{
	size_t i = 0;

	while (strcmp(config_keys[in][i].name, key))
		i++;
	return at->set_at[in][i];
}

/* Values beside which others of the same file leave them no effect. */
static void check_effect(const struct config *c, const struct config_profile *p,
			 struct config_errors *e)
{
	const char *why = NULL;

	if (p->window_ns && p->on_demand)
		why = "window is of who is profiled without being asked for, on-demand = yes is "
		      "not";
	else if (p->window_ns && min_of(p->window_ns, p->every_ns - p->window_ns) < c->interval_ns)
		why = "window, or the pause behind it, is shorter than the daemon's interval: "
		      "processes are looked at once in that";
	else if (p->snapshot_ns && p->snapshot_ns < min_of(c->interval_ns, DEFAULT_SNAPSHOT_NS))
		why = "snapshot is shorter than the daemon's interval: processes are looked at "
		      "once in that";
	else if (p->max_overhead > c->max_overhead_total)
		why = "max-overhead is above the daemon's max-overhead-total, which is reached "
		      "first";
	else if ((p->peak || p->peak_rss) && !c->history)
		why = "peaks are kept in the history, and there is none";
	if (why)
		wrong(e, p->line, "[profile %.60s]: %s", p->name, why);
}

/* What no single line shows. */
static void check_sections(const struct config_place *at)
{
	const struct config *c = at->c;
	struct config_errors *e = at->errors;

	check_rates(c, e);
	if (c->history_bytes < MIN_HISTORY_BYTES)
		wrong(e, line_of(at, IN_HISTORY, "max-size"), "[history]: max-size is at least 8M");
	if (!c->oom && (c->on_kill || c->kills.journal || c->kills.syslog))
		wrong(e,
		      line_of(at, IN_OOM,
			      c->on_kill	 ? "on-kill"
			      : c->kills.journal ? "journal"
						 : "syslog"),
		      "[oom]: kills are not watched for, nobody would be told");
	if (line_of(at, IN_DAEMON, "max-overhead") && c->max_overhead > c->max_overhead_total)
		wrong(e, line_of(at, IN_DAEMON, "max-overhead"),
		      "max-overhead is above max-overhead-total, which is reached first");
	for (size_t i = 0; i < c->nprofiles; i++) {
		const struct config_profile *p = &c->profiles[i];

		check_effect(c, p, e);
		if (choice__is_all(&p->who) && !p->on_demand)
			wrong(e, p->line,
			      "[profile %.60s] chooses no process: give it comm, unit, growth … "
			      "(or "
			      "on-demand = yes for any that is asked for)",
			      p->name);
		if (p->fast && (p->sample_bytes ? p->sample_bytes : c->sample_bytes) <= 1)
			wrong(e, p->line,
			      "[profile %.60s]: fast samples, sample-bytes = 1 does not", p->name);
		if (p->fast && p->windows)
			wrong(e, p->line,
			      "[profile %.60s]: over-budget = windows is of probes, and fast has "
			      "none",
			      p->name);
	}
	for (size_t i = 0; i < c->nalerts; i++) {
		const struct config_alert *a = &c->alerts[i];

		if (!rules__any(&a->alert.rules) && !a->is_damaged)
			wrong(e, a->line,
			      "[alert %.60s] has no threshold: alert-rss, alert-cgroup, "
			      "alert-growth, "
			      "alert-oom-in or alert-psi",
			      a->name);
	}
}

static int by_line(const void *a, const void *b)
{
	unsigned x = ((const struct config_error *)a)->line,
		 y = ((const struct config_error *)b)->line;

	return (x > y) - (x < y);
}

static int finish(struct config_errors *e)
{
	qsort(e->e, min_of(e->n, (size_t)CONFIG_MAX_ERRORS), sizeof(e->e[0]), by_line);
	return e->n ? -EINVAL : 0;
}

/* 0 also with mistakes. */
static int parse(struct config_place *at, const char *text, size_t len)
{
	struct config *c = at->c;
	bool skips = false;
	int err = 0;

	if (memchr(text, 0, len)) {
		wrong(at->errors, 0, "not a text file: it has NUL bytes");
		return 0;
	}
	while (len && !err) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;
		cleanup_free char *line = strndup(text, n);

		at->line++;
		err = line ? take_line(at, line, &skips) : -ENOMEM;
		n += end ? 1 : 0;
		text += n;
		len -= n;
	}
	c->kills.command = c->on_kill;
	if (!err)
		check_sections(at);
	return err;
}

int config__parse(struct config *c, const char *text, size_t len, struct config_errors *ret)
{
	struct config_place at = {.c = c, .in = IN_NONE, .errors = ret};
	int err;

	ret->n = 0;
	err = parse(&at, text, len);
	return err ? err : finish(ret);
}

/* command: NULL: none. */
static void check_command(const char *key, const char *command, unsigned line,
			  struct config_errors *e)
{
	int err = command ? runner__check(command) : 0;

	if (err)
		wrong(e, line, "%s: '%.80s' cannot be run: %s", key, command, strerror(-err));
}

/* What is only right on this machine. */
static void check_surroundings(const struct config_place *at, bool at_start)
{
	const struct config *c = at->c;
	struct config_errors *e = at->errors;
	unsigned listen_line = line_of(at, IN_DAEMON, "listen");
	char why[LISTENER_WHY];

	check_command("on-kill", c->on_kill, line_of(at, IN_OOM, "on-kill"), e);
	for (size_t i = 0; i < c->nalerts; i++)
		check_command("on-alert", c->alerts[i].command, c->alerts[i].command_line, e);
	if (c->group && !getgrnam(c->group))
		wrong(e, line_of(at, IN_DAEMON, "group"), "group: no group '%.60s'", c->group);
	/* A reload does not change it, nor should it wait for a name server. */
	if (at_start && listen_line && strcmp(c->listen, "none") && listener__check(c->listen, why))
		wrong(e, listen_line, "listen: %s", why);
}

int config__read(struct config *c, const char *path, bool at_start, struct config_errors *ret)
{
	struct config_place at = {.c = c, .in = IN_NONE, .errors = ret};
	int err;
	cleanup_free char *text = malloc(CONFIG_MAX_BYTES + 1);
	cleanup_fd int fd = safeopen__file(path, NULL);
	size_t len = 0;
	ssize_t n = 0;

	ret->n = 0;
	if (!text)
		return -ENOMEM;
	if (fd < 0) {
		wrong(ret, 0, "%s", fd == -EINVAL ? "not a regular file" : strerror(-fd));
		return fd;
	}
	while (len <= CONFIG_MAX_BYTES &&
	       (n = read(fd, text + len, CONFIG_MAX_BYTES + 1 - len)) > 0)
		len += n;
	if (n < 0 || len > CONFIG_MAX_BYTES) {
		wrong(ret, 0, "%s", n < 0 ? strerror(errno) : "more than 1MB");
		return n < 0 ? -errno : -EINVAL;
	}
	err = parse(&at, text, len);
	if (!err)
		check_surroundings(&at, at_start);
	return err ? err : finish(ret);
}

const struct config_profile *config__profile(const struct config *c, const struct choice_facts *f)
{
	for (size_t i = 0; i < c->nprofiles; i++) {
		if (choice__matches(&c->profiles[i].who, f))
			return &c->profiles[i];
	}
	return NULL;
}

const struct config_profile *config__find_profile(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->nprofiles; i++) {
		if (!strcmp(c->profiles[i].name, name))
			return &c->profiles[i];
	}
	return NULL;
}

bool config__wants_fast(const struct config *c)
{
	for (size_t i = 0; i < c->nprofiles; i++) {
		if (c->profiles[i].fast)
			return true;
	}
	return false;
}
