/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd_daemon.c - `memwatch daemon`: everything, continuously, by the rules of a file. */
#include <argp.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "core/exit.h"
#include "core/usage.h"
#include "core/log.h"
#include "core/units.h"
#include "daemon/config.h"
#include "daemon/daemon.h"

#define DEFAULT_CONFIG "/etc/memwatch/daemon.conf"

enum { OPT_CONFIG = 256, OPT_CHECK, OPT_STATE_DIR, OPT_LISTEN };

struct daemon_cmd {
	struct daemon_opts d;
	bool check;
};

static const struct argp_option option_list[] = {
	{"config", OPT_CONFIG, "FILE", 0,
	 "the rules (default " DEFAULT_CONFIG ", if it is there); read anew at SIGHUP", 0},
	{"check-config", OPT_CHECK, NULL, 0, "say what is wrong with the rules and exit", 0},
	{"state-dir", OPT_STATE_DIR, "DIR", 0,
	 "where it keeps what it recorded (default: the file's, or /var/lib/memwatch)", 0},
	{"listen", OPT_LISTEN, "ADDR:PORT|unix:PATH", 0,
	 "where it answers HTTP (default: the file's, or 127.0.0.1:6061); none: not at all", 0},
	{"duration", 'd', "TIME", 0, "stop after TIME", 0},
	{"quiet", 'q', NULL, 0, "no messages but warnings and errors", 0},
	{"verbose", 'v', NULL, 0, "more messages", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct daemon_cmd *o = state->input;

	switch (key) {
	case OPT_CONFIG: o->d.config_path = arg; break;
	case OPT_CHECK: o->check = true; break;
	case OPT_STATE_DIR:
		if (*arg != '/')
			usage__wrong(state, "--state-dir", arg, "path from the root",
				     "/var/lib/memwatch");
		o->d.state_dir = arg;
		break;
	case OPT_LISTEN: o->d.listen = arg; break;
	case 'd': o->d.duration_ns = usage__time(state, "--duration", arg, 1); break;
	case 'q': log__set_level(LOG_WARN); break;
	case 'v': log__set_level(LOG_DEBUG); break;
	case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int read_config(const char *path, struct config *c)
{
	struct config_errors errors = {.n = 0};
	int err = config__read(c, path, true, &errors);

	daemon__tell_errors(path, &errors);
	if (!err)
		return EXIT_DONE;
	return err == -EACCES || err == -EPERM ? EXIT_UNSUPPORTED
	       : err == -EINVAL		       ? EXIT_USAGE
					       : EXIT_FAILED;
}

const struct argp cmd_daemon_argp = {
	option_list,
	parse,
	"",
	"Watch the whole machine, for months: timelines of every process, OOM kills, "
	"alerts, "
	"and heap profiles of the processes that the rules choose (docs/daemon.md).\v"
	"SIGHUP reads the rules anew, without losing a process; SIGTERM ends it in good "
	"order.\n\n"
	"Exit status: 0 done; 1 failed; 2 wrong usage or rules; 3 not permitted or not "
	"supported.",
	NULL,
	NULL,
	NULL};

int cmd_daemon(int argc, char **argv)
{
	struct daemon_cmd o = {.check = false};
	struct config *c = NULL;
	int status = EXIT_DONE;

	cmd_tuning(&o.d.tuning);
	usage__parse(&cmd_daemon_argp, argc, argv, 0, &o);
	if (!o.d.config_path && !access(DEFAULT_CONFIG, F_OK))
		o.d.config_path = DEFAULT_CONFIG;
	if (config__new(&c)) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	if (o.d.config_path)
		status = read_config(o.d.config_path, c);
	if (!status && o.check)
		log_info("%s: %zu profile and %zu alert sections, nothing wrong",
			 o.d.config_path ? o.d.config_path : "(no file)", c->nprofiles, c->nalerts);
	if (status || o.check) {
		config__free(c);
		return status;
	}
	return daemon__run(&o.d, c);
}
