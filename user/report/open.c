/* SPDX-License-Identifier: GPL-2.0-or-later */
/* open.c - see open.h. */
#include "report/open.h"

#include "core/log.h"
#include "core/usage.h"
#include "core/util.h"
#include "report/filter.h"
#include "report/load.h"
#include "report/merge.h"
#include "report/processes.h"

#include <math.h>
#include <string.h>

int open__add(struct open_names *n, char *name)
{
	int err = array_reserve(n->name, n->cap, n->n + 1);

	if (!err)
		n->name[n->n++] = name;
	return err;
}

static void free_profiles(struct profile **p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		profile__free(p[i]);
	free(p);
}

static bool any_negative(const struct profile *p)
{
	for (size_t i = 0; i < p->nsamples; i++) {
		for (size_t k = 0; k < p->nvalues; k++) {
			if (p->samples[i].value[k] < 0)
				return true;
		}
	}
	return false;
}

/*
 * pprof merges even a single profile with itself: equal samples become one, everything is
 * renumbered. Sums over samples do not show it unless values of opposite sign meet or comments
 * repeat, so where only sums are printed the work is left out.
 */
static bool same_when_merged(const struct profile *p)
{
	if (p->ncomments > 16)
		return false;
	for (size_t i = 0; i < p->ncomments; i++) {
		for (size_t j = 0; j < i; j++) {
			if (p->comments[i] == p->comments[j])
				return false;
		}
	}
	return !any_negative(p);
}

/* Says which processes there are where the wanted one is not. */
static int keep_process(struct profile *p, uint32_t pid, const char *path)
{
	struct process *list = calloc(PROCESSES_MAX, sizeof(*list));
	size_t n = list ? processes__list(p, list) : 0;
	int err = !list ? -ENOMEM : !n && p->pid == pid ? 0 : processes__keep(p, pid);

	if (err)
		log_error("no process %u in '%s'%s", pid, path, n ? "; it has:" : "");
	for (size_t i = 0; err && i < n && i < 20; i++)
		log_error("  %u %s", list[i].pid, list[i].comm);
	free(list);
	return err;
}

/* Reads and merges. */
static int load(const struct open_names *files, const struct recording_window *window, bool compact,
		struct profile **ret)
{
	struct profile **p = calloc(files->n, sizeof(*p));
	const char *reason;
	char why[256];
	int err = p ? 0 : -ENOMEM;

	for (size_t i = 0; i < files->n && !err; i++) {
		err = load__file(files->name[i], window, &p[i], why, sizeof(why));
		if (err)
			log_error("failed to read '%s': %s", files->name[i], why);
		else if (window && window->pid)
			err = keep_process(p[i], window->pid, files->name[i]);
	}
	if (!err && files->n == 1 && !compact && same_when_merged(p[0])) {
		*ret = p[0];
		free(p);
		return 0;
	}
	if (!err) {
		err = merge__profiles(p, files->n, ret, &reason);
		if (err)
			log_error("failed to merge the files: %s", reason);
	}
	free_profiles(p, p ? files->n : 0);
	return err;
}

static double ratio(const struct profile *p, const struct profile *base, size_t type)
{
	int64_t sum = 0, want = 0;

	for (size_t i = 0; i < p->nsamples; i++)
		util__add(&sum, p->samples[i].value[type]);
	for (size_t i = 0; i < base->nsamples; i++)
		util__add(&want, base->samples[i].value[type]);
	return sum ? (double)want / (double)sum : 0;
}

/* Of a value and a factor that files say. */
static int64_t scaled(int64_t v, double by)
{
	double to = (double)v * by;

	return to >= 0x1p63 ? INT64_MAX : to < -0x1p63 ? INT64_MIN : llround(to);
}

/* Every sample type gets the sum that it has in the bases. A sample of which nothing is left goes;
 * values that needed no change do not keep it, as in pprof. */
static void normalize(struct profile *p, const struct profile *base)
{
	double by[PROFILE_MAX_VALUES];
	bool change = false;
	size_t n = 0;

	for (size_t k = 0; k < p->nvalues; k++) {
		by[k] = ratio(p, base, k);
		change |= by[k] != 1;
	}
	for (size_t i = 0; i < p->nsamples && change; i++) {
		struct profile_sample s = p->samples[i];
		bool left = false;

		for (size_t k = 0; k < p->nvalues; k++) {
			if (by[k] != 1) {
				s.value[k] = scaled(s.value[k], by[k]);
				left |= s.value[k] != 0;
			}
		}
		if (left)
			p->samples[n++] = s;
	}
	if (change)
		p->nsamples = n;
}

static int subtract(const struct open_sources *a, struct profile **p)
{
	struct profile *base;
	const char *why = "out of memory";
	int err = load(&a->bases, NULL, true, &base);

	if (err)
		return err;
	if (a->normalize && base->nvalues == (*p)->nvalues)
		normalize(*p, base);
	if (a->diff_base)
		err = merge__label(base, "pprof::base", "true");
	err = err ? err : merge__subtract(p, base, &why);
	profile__free(base);
	if (err)
		log_error("failed to compare the files: %s", why);
	return err;
}

static int survive(const struct open_sources *a, struct profile **p)
{
	struct open_names one = {.name = (char **)&a->survivors, .n = 1};
	struct profile *then, *result;
	const char *why = "out of memory";
	int err = load(&one, NULL, true, &then);

	if (err)
		return err;
	err = merge__survivors(then, *p, &result, &why);
	profile__free(then);
	if (err) {
		log_error("failed to compare '%s' with '%s': %s", a->survivors, a->files.name[0],
			  why);
		return err;
	}
	profile__free(*p);
	*p = result;
	return 0;
}

/* pprof gives a profile without mappings an empty one. */
static int fake_mapping(struct profile *p)
{
	struct profile_mapping m = {0};
	uint32_t id;
	int err = p->nmappings ? 0 : profile__mapping(p, &m, &id);

	if (err || p->nmappings > 1 || p->mappings[0].file || p->mappings[0].limit)
		return err;
	for (size_t i = 0; i < p->nlocations; i++)
		p->locations[i].mapping = 0;
	return 0;
}

int open__find_type(const struct profile *p, const char *name)
{
	char *end;
	long i;
	int type;

	if (name && *name) {
		i = strtol(name, &end, 10);
		if (!*end)
			return i >= 0 && (size_t)i < p->nvalues ? (int)i : -ENOENT;
	}
	type = profile__find_type(p, name);
	return type;
}

void open__no_such_type(const struct profile *p, const char *option, const char *name)
{
	const char *names[ARRAY_SIZE(p->sample_type)];
	char text[512] = "", hint[128];
	size_t n = 0;

	/* from the last: "inuse" is the bytes, which stand behind the objects */
	for (size_t i = 0; i < p->nvalues; i++)
		names[i] = profile__text(p, p->sample_type[p->nvalues - 1 - i].type);
	for (size_t i = p->nvalues; i-- > 0 && n < sizeof(text);)
		n += snprintf(text + n, sizeof(text) - n, "%s%.60s", n ? ", " : "", names[i]);
	name = name ? name : "";
	log_error("%s: '%s' is no sample type of this profile%s (%s)", option, name,
		  usage__hint(hint, sizeof(hint), name, names, p->nvalues), text);
}

int open__profile(const struct open_sources *s, bool compact, struct profile **ret)
{
	struct profile *p = NULL;
	int err = load(&s->files, &s->window, compact || s->bases.n || s->survivors, &p);

	if (!err && s->bases.n)
		err = subtract(s, &p);
	if (!err && s->survivors)
		err = survive(s, &p);
	if (err)
		profile__free(p);
	else
		*ret = p;
	return err;
}

int open__prepare(struct profile *p, bool all_frames)
{
	int err = fake_mapping(p);

	if (!err && !all_frames)
		err = filter__drop_frames(p);
	if (err == -EINVAL) {
		log_warn("the profile's drop_frames is no valid expression: all frames are shown");
		err = 0;
	}
	return err;
}
