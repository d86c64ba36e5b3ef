/* SPDX-License-Identifier: GPL-2.0-or-later */
/* as_comm.c - as_comm NAME PID [SIGNAL]: under the command name NAME sends SIGNAL (9) to PID. */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/types.h>

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	prctl(PR_SET_NAME, argv[1]);
	return kill(atoi(argv[2]), argc > 3 ? atoi(argv[3]) : SIGKILL) ? 1 : 0;
}
