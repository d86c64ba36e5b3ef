/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spelling.c - see spelling.h. */
#include "report/spelling.h"

#include "core/util.h"

#include <string.h>

enum spelling_kind {
	FLAG,  /* takes no value; "=false" takes it back */
	VALUE, /* takes one, behind '=' or as the next argument */
	FIXED, /* a flag that stands for an option with a value */
};

struct spelling {
	const char *theirs, *ours;
	enum spelling_kind kind;
};

static const struct spelling table[] = {
	{"top", "--top", FLAG},
	{"text", "--top", FLAG},
	{"tree", "--tree", FLAG},
	{"peek", "--peek", VALUE},
	{"list", "--list", VALUE},
	{"weblist", "--weblist", VALUE},
	{"disasm", "--disasm", VALUE},
	{"traces", "--traces", FLAG},
	{"raw", "--raw", FLAG},
	{"tags", "--tags", FLAG},
	{"http", "--http", VALUE},
	{"comments", "--comments", FLAG},
	{"callgrind", "--callgrind", FLAG},
	{"proto", "--proto", FLAG},
	{"topproto", "--topproto", FLAG},
	{"dot", "--draw=dot", FIXED},
	{"svg", "--draw=svg", FIXED},
	{"png", "--draw=png", FIXED},
	{"pdf", "--draw=pdf", FIXED},
	{"ps", "--draw=ps", FIXED},
	{"gif", "--draw=gif", FIXED},
	{"output", "--report-file", VALUE},
	{"cum", "--cum", FLAG},
	{"flat", "--flat", FLAG},
	{"functions", "--granularity=functions", FIXED},
	{"filefunctions", "--granularity=filefunctions", FIXED},
	{"files", "--granularity=files", FIXED},
	{"lines", "--granularity=lines", FIXED},
	{"addresses", "--granularity=addresses", FIXED},
	{"granularity", "--granularity", VALUE},
	{"noinlines", "--no-inlines", FLAG},
	{"nodecount", "--node-count", VALUE},
	{"nodefraction", "--node-fraction", VALUE},
	{"edgefraction", "--edge-fraction", VALUE},
	{"trim", "--trim", VALUE},
	{"sample_index", "--sample-index", VALUE},
	{"inuse_space", "--sample-index=inuse_space", FIXED},
	{"inuse_objects", "--sample-index=inuse_objects", FIXED},
	{"alloc_space", "--sample-index=alloc_space", FIXED},
	{"alloc_objects", "--sample-index=alloc_objects", FIXED},
	{"mean", "--mean", FLAG},
	{"divide_by", "--divide-by", VALUE},
	{"unit", "--unit", VALUE},
	{"focus", "--focus", VALUE},
	{"ignore", "--ignore", VALUE},
	{"hide", "--hide", VALUE},
	{"show", "--show", VALUE},
	{"show_from", "--show-from", VALUE},
	{"prune_from", "--prune-from", VALUE},
	{"tagfocus", "--tag-focus", VALUE},
	{"tagignore", "--tag-ignore", VALUE},
	{"tagshow", "--tag-show", VALUE},
	{"taghide", "--tag-hide", VALUE},
	{"tagroot", "--tag-root", VALUE},
	{"tagleaf", "--tag-leaf", VALUE},
	{"base", "--base", VALUE},
	{"diff_base", "--diff-base", VALUE},
	{"normalize", "--normalize", FLAG},
	{"call_tree", "--call-tree", FLAG},
	{"drop_negative", "--drop-negative", FLAG},
	{"relative_percentages", "--relative-percentages", FLAG},
	{"compact_labels", "--compact-labels", FLAG},
	{"intel_syntax", "--intel-syntax", FLAG},
	{"source_path", "--source-path", VALUE},
	{"trim_path", "--trim-path", VALUE},
	{"symbolize", NULL, VALUE}, /* report never asks the machine's own files */
};

static const struct spelling *find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (strlen(table[i].theirs) == len && !strncmp(table[i].theirs, name, len))
			return &table[i];
	}
	return NULL;
}

/* Go takes one dash or two. What has two and is spelled alike is left to the option parser. */
static const struct spelling *match(const char *arg, const char **ret_value)
{
	size_t dashes = strspn(arg, "-"), len = strcspn(arg + dashes, "=");
	const struct spelling *s;

	*ret_value = arg[dashes + len] ? arg + dashes + len + 1 : NULL;
	if (!dashes || dashes > 2 || len < 2)
		return NULL;
	s = find(arg + dashes, len);
	if (s && dashes == 2 && s->ours && !strncmp(s->ours + 2, s->theirs, len) &&
	    strcspn(s->ours + 2, "=") == len)
		return NULL;
	return s;
}

static bool is_false(const char *value)
{
	return value && (!strcmp(value, "false") || !strcmp(value, "0") || !strcmp(value, "f"));
}

static bool takes_number(const char *arg)
{
	return !strcmp(arg, "--top") || !strcmp(arg, "--tree") || !strcmp(arg, "--verdicts");
}

static bool is_number(const char *text)
{
	return text && *text && !text[strspn(text, "0123456789")];
}

/* One option of pprof's: what it is here, or nothing (*ret NULL). 0 or -ENOMEM. */
static int translate(const struct spelling *s, const char *value, char **ret)
{
	int n = 0;

	*ret = NULL;
	if (!s->ours || (s->kind != VALUE && is_false(value)))
		return 0;
	if (s->kind == VALUE)
		n = asprintf(ret, "%s=%s", s->ours, value ? value : "");
	else
		*ret = strdup(s->ours);
	if (n < 0)
		*ret = NULL;
	return *ret ? 0 : -ENOMEM;
}

char **spelling__translate(int *argc, char **argv)
{
	char **out = calloc(*argc + 1, sizeof(*out));
	int n = 0, err = out ? 0 : -ENOMEM;
	bool options = true;

	for (int i = 0; i < *argc && !err; i++) {
		const char *next = i + 1 < *argc ? argv[i + 1] : NULL, *value = NULL;
		const struct spelling *s = i && options ? match(argv[i], &value) : NULL;

		options &= strcmp(argv[i], "--") != 0;
		if (s && s->kind == VALUE && !value && next) {
			value = next;
			i++;
		}
		if (s) {
			err = translate(s, value, &out[n]);
			n += out[n] != NULL;
		} else if (options && takes_number(argv[i]) && is_number(next) &&
			   access(next, F_OK)) {
			if (asprintf(&out[n++], "%s=%s", argv[i++], next) < 0)
				err = -ENOMEM;
		} else {
			out[n] = strdup(argv[i]);
			err = out[n++] ? 0 : -ENOMEM;
		}
	}
	if (err) {
		spelling__free(out);
		return NULL;
	}
	*argc = n;
	return out;
}

void spelling__free(char **argv)
{
	for (char **a = argv; a && *a; a++)
		free(*a);
	free(argv);
}

const char *spelling__option(const char *name)
{
	const struct spelling *s = find(name, strlen(name));

	return s && s->ours ? s->ours : name;
}
