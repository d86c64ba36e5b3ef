#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cost of RSS and VIRT for every process: passes, timelines, page-fault storms. Root."""
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchlib import line

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "build" / "memwatch"
OUT = ROOT / "build" / "workloads"
PROCESSES = 1000


def cpu_of_child(argv):
    """CPU seconds of a command and its waited-for children."""
    a = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    b = resource.getrusage(resource.RUSAGE_CHILDREN)
    return b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime


def per_tick(extra, few=20, many=220, binary=BIN):
    """CPU seconds that one more refresh costs, start-up taken out."""
    base = [str(binary), "top", "--json", "--top", "1", "-i", "0.01", *extra]
    return (cpu_of_child([*base, "-n", str(many)]) - cpu_of_child([*base, "-n", str(few)])) / (
        many - few)


def proc_pass():
    """The same fields read from /proc by a small C program, CPU seconds a pass."""
    src = OUT / "procread.c"
    OUT.mkdir(parents=True, exist_ok=True)
    src.write_text(r"""
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static char buf[16384];
static void get(int dir, const char *pid, const char *what)
{
	char path[64];
	snprintf(path, sizeof(path), "%s/%s", pid, what);
	int fd = openat(dir, path, O_RDONLY);
	if (fd >= 0 && read(fd, buf, sizeof(buf)) < 0)
		buf[0] = 0;
	if (fd >= 0)
		close(fd);
}
int main(int argc, char **argv)
{
	for (int n = atoi(argv[1]); n > 0; n--) {
		DIR *d = opendir("/proc");
		struct dirent *e;
		while ((e = readdir(d)))
			if (e->d_name[0] >= '1' && e->d_name[0] <= '9') {
				get(dirfd(d), e->d_name, "statm");
				get(dirfd(d), e->d_name, "status");
			}
		closedir(d);
	}
}
""")
    exe = OUT / "procread"
    subprocess.run(["gcc", "-O2", "-w", "-o", exe, src], check=True)
    return (cpu_of_child([exe, "22"]) - cpu_of_child([exe, "2"])) / 20


def iter_pass(*extra):
    """One pass of the task iterator with peaks, CPU seconds, by the library itself; with an
    argument also recording a timeline of every process."""
    subprocess.run(["make", "-C", ROOT, "-s", "build/tests/iterpass"], check=True)
    exe = ROOT / "build/tests/iterpass"
    return (cpu_of_child([exe, "220", *extra]) - cpu_of_child([exe, "20", *extra])) / 200


def storm(argv, runs):
    """CPU time of touching 1 GiB, ratio with a watcher to without, alternating."""
    off, on = [], []
    exe = str(OUT / "touch")
    subprocess.run(["gcc", "-O2", "-o", exe, ROOT / "tests" / "workloads" / "touch.c"], check=True)

    def touch():
        return float(subprocess.run([exe, "3"], capture_output=True, text=True, check=True).stdout)

    for _ in range(runs):
        off.append(touch())
        w = subprocess.Popen([str(BIN), *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.5)
        on.append(touch())
        w.send_signal(signal.SIGINT)
        w.wait()
    return statistics.median(on) / statistics.median(off)


def main():
    quick = "--quick" in sys.argv
    runs = 2 if quick else 6
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(PROCESSES)]
    try:
        time.sleep(1)
        reps = 1 if quick else 5
        a = statistics.median(proc_pass() for _ in range(reps))
        b = statistics.median(iter_pass() for _ in range(reps))
        line("mm_pass", f"{a / b:.1f}x",
             f"CPU of /proc/*/statm and status / one BPF pass, {PROCESSES} processes: "
             f"{a * 1e3:.2f} / {b * 1e3:.2f} ms, {reps} runs, median")
        c = statistics.median(per_tick([]) for _ in range(reps))
        line("mm_top_refresh", f"{c * 1e3:.2f}ms",
             f"CPU of one refresh of top, {PROCESSES} processes, {reps} runs, median")
        t = statistics.median(iter_pass("timeline") for _ in range(reps))
        line("mm_timeline_1hz", f"{t * 100:.2f}%",
             f"of one core: timelines of all at 1 Hz (target 0.5), {reps} runs, median")
    finally:
        for s in sleepers:
            s.kill()
        for s in sleepers:
            s.wait()
    line("mm_storm_timeline", f"{storm(['top', '--plain', '-i', '1'], runs):.3f}",
         f"touching 1 GiB with timelines / without (target 1.03), {runs} runs, median")
    for name, n in (("mm_storm_faults_default", 1024), ("mm_storm_faults_256", 256)):
        line(name, f"{storm(['top', f'--faults={n}', '-i', '10'], runs):.3f}",
             f"touching 1 GiB with every {n}th page fault sampled / without (target 1.10), "
             f"{runs} runs, median")


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("root is needed")
    main()
