/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settings.h - pprof's variables: what the shell of `report` lets people set, by pprof's names. */
#ifndef REPORT_SETTINGS_H
#define REPORT_SETTINGS_H

#include "report/report.h"

struct settings {
	bool call_tree, relative_percentages, compact_labels, intel_syntax, mean, normalize;
	bool drop_negative, trim, noinlines;
	int nodecount; /* -1: the report's own default */
	double nodefraction, edgefraction, divide_by;
	/* owned, never NULL; "" unset */
	char *unit, *sort, *granularity, *sample_index, *source_path, *trim_path, *output;
	char *tagroot, *tagleaf, *focus, *ignore, *prune_from, *hide, *show, *show_from;
	char *tagfocus, *tagignore, *tagshow, *taghide;
};

enum setting_kind { SETTING_BOOL, SETTING_INT, SETTING_NUMBER, SETTING_TEXT, SETTING_CHOICE };

struct setting {
	const char *name;
	enum setting_kind kind;
	size_t offset;
	const char *choices; /* SETTING_CHOICE: sorted, separated by " | " */
	const char *help;
};

/* All of them; ends with name NULL. */
extern const struct setting settings__all[];

int settings__init(struct settings *s); /* pprof's defaults; 0 or -ENOMEM */
int settings__copy(const struct settings *s, struct settings *ret);
void settings__fini(struct settings *s);

/* By name, or by the name of one of its choices; NULL. */
const struct setting *settings__find(const char *name);
/* A bool, or the name of a choice: it needs no value. */
bool settings__is_switch(const char *name);

/* 0; -EINVAL with the reason in why; -ENOMEM. */
int settings__set(struct settings *s, const char *name, const char *value, char *why,
		  size_t why_len);
/* The value as text. */
const char *settings__value(const struct settings *s, const struct setting *v, char *buf,
			    size_t len);
/* Replaces a text. 0 or -ENOMEM. */
int settings__text(char **slot, const char *value);

/*
 * Report options of these settings; expressions are compiled into rx (owned by the caller, who
 * frees them with settings__free_rx), texts are borrowed from s. The sample type stays with the
 * caller. 0; -EINVAL with the reason in why; -ENOMEM.
 */
#define SETTINGS_RX 9
int settings__options(const struct settings *s, struct report_options *ret,
		      struct rx *rx[SETTINGS_RX], char *why, size_t why_len);
void settings__free_rx(struct rx *rx[SETTINGS_RX]);

#endif
