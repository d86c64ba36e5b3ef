/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/console.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "core/util.h"
#include "sys/sender.h"
#include "sys/signals.h"

#define MAX_REPORTS (4 << 20) /* bytes that wait for a pipe's reader */
#define MAX_MESSAGES (1 << 20)

struct console {
	struct sender *out, *err;
	char *text; /* of the report that is being made */
	size_t len;
	uint64_t dropped; /* reports since the last that was handed over */
	bool is_terminal;
};

static void take_message(void *arg, const char *line, size_t len)
{
	struct console *c = arg;

	sender__put(c->err, line, len);
}

int console__new(struct console **ret)
{
	struct console *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->is_terminal = isatty(STDOUT_FILENO);
	err = sender__new(STDOUT_FILENO, MAX_REPORTS, &c->out);
	if (!err)
		err = sender__new(STDERR_FILENO, MAX_MESSAGES, &c->err);
	if (err) {
		console__free(c);
		return err;
	}
	log__divert(take_message, c);
	*ret = c;
	return 0;
}

void console__free(struct console *c)
{
	if (!c)
		return;
	log__divert(NULL, NULL);
	signals__closing(false); /* nobody may be reading */
	sender__free(c->out);	 /* reports before the messages that close the books */
	sender__free(c->err);
	signals__closing(true);
	free(c);
}

FILE *console__begin_line(struct console *c)
{
	c->text = NULL;
	return open_memstream(&c->text, &c->len);
}

FILE *console__begin(struct console *c)
{
	if (c->is_terminal && sender__behind(c->out)) {
		c->dropped++;
		return NULL;
	}
	return console__begin_line(c);
}

/* A terminal that is gone says EIO. */
static int told_error(const struct console *c, int err)
{
	return err == -EIO && c->is_terminal ? -EPIPE : err;
}

int console__end(struct console *c, FILE *f)
{
	int err = fclose(f) ? -ENOMEM : sender__put(c->out, c->text, c->len);

	c->dropped = err == -EAGAIN ? c->dropped + 1 : 0;
	free(take_ptr(c->text));
	return err == -EAGAIN ? 0 : told_error(c, err);
}

uint64_t console__dropped(const struct console *c)
{
	return c->dropped;
}

int console__error(struct console *c)
{
	return told_error(c, sender__error(c->out));
}

void console__flush(struct console *c)
{
	signals__closing(false); /* nobody may be reading */
	sender__flush(c->out);
	signals__closing(true);
}
