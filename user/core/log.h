/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - messages to stderr. stdout carries data only. Library code logs at debug level; the
 * layer that decides what a failure means logs it once ("failed to X 'Y': reason").
 * Thread-safe: one write per line.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_QUIET = 0, LOG_ERROR = 1, LOG_WARN = 2, LOG_INFO = 3, LOG_DEBUG = 4 };

/* Messages above the level are dropped. Default: LOG_INFO. */
void log__set_level(enum log_level level);
enum log_level log__level(void);
/* Lines go to fn instead of stderr, so that a terminal that stands still stops nobody.
 * NULL: to stderr again. Set while no other thread logs. */
void log__divert(void (*fn)(void *arg, const char *line, size_t len), void *arg);

void log__printf(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Lines of a kind that whoever is looked at can make come as often as he likes (one for each of his
 * files): LOG_MANY of them in a minute are said, and then once that there are more. One for each
 * place that says such lines.
 */
#define LOG_MANY 16
struct log_pace {
	uint64_t since_ns;
	unsigned n;
};
bool log__may_say(struct log_pace *p); /* this one too? */

#define log_warn_of_many(...)                  \
	do {                                   \
		static struct log_pace pace_;  \
		if (log__may_say(&pace_))      \
			log_warn(__VA_ARGS__); \
	} while (0)

#define log_error(...) log__printf(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log__printf(LOG_WARN, __VA_ARGS__)
#define log_info(...) log__printf(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log__printf(LOG_DEBUG, __VA_ARGS__)

#endif
