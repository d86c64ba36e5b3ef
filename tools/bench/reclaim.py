#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What `memwatch oom` costs programs that are in direct reclaim all the time: one that walks over a
mapped file of twice its memory cgroup's limit, with memwatch and without, in turns."""
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from conftest import BIN, Attached, build  # noqa: E402
import test_oom  # noqa: E402

RUNS = int(os.environ.get("MEMWATCH_BENCH_RUNS", 9))
WALKS = 60
LIMIT = 16 << 20
PROGS = ("mw_oom_memcg_begin", "mw_oom_memcg_end")


def walk(exe, g, path):
    """CPU seconds of WALKS walks, and the reclaims that were in them."""
    p = subprocess.Popen([exe, path, str(LIMIT * 2 >> 10), "0", str(WALKS)], preexec_fn=g.join,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    a = time.clock_gettime(cpu_clock(p.pid))
    p.stdin.write("go\n")
    p.stdin.close()
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = status
    if status:
        sys.exit(f"reclaim: the program ended with {status}")
    return used.ru_utime + used.ru_stime - a


def cpu_clock(pid):
    """The clock id of a process's CPU time."""
    clock = ctypes.c_int()
    if ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        sys.exit("reclaim: no clock of the process")
    return clock.value


def programs():
    """Runs and nanoseconds of the programs, by name; the kernel counts while it is told to."""
    tool = shutil.which("bpftool") or "/usr/sbin/bpftool"
    out = subprocess.run([tool, "-j", "prog", "show"], capture_output=True, text=True).stdout
    found = {}
    for p in json.loads(out):
        name, ran = p.get("name", ""), (p.get("run_cnt", 0), p.get("run_time_ns", 0))
        if name in PROGS:  # of several memwatches the one that has run longest
            found[name] = max(ran, found.get(name, (0, 0)))
    return found


def main():
    if not test_oom.ROOT:
        sys.exit("reclaim: no memory cgroup here")
    exe = build("thrash.c", flags=["-O1"])
    tmp = Path(tempfile.mkdtemp(prefix="memwatch-bench-"))
    g = test_oom.Group(f"memwatch-bench-{os.getpid()}", LIMIT)
    without, watched = [], []
    try:
        walk(exe, g, tmp / "walked")
        for _ in range(RUNS):
            without.append(walk(exe, g, tmp / "walked"))
            mw = Attached(["oom", "-q", "-v", "--source", "probe"])
            mw.wait_for("lower its own|attached")
            wait_for_programs()
            watched.append(walk(exe, g, tmp / "walked"))
            mw.finish()
            mw.stop()
        cnt, ns = per_reclaim(exe, g, tmp / "walked")
    finally:
        g.remove()
        shutil.rmtree(tmp)
    ratios = [w / o for w, o in zip(watched, without)]
    print(f"reclaim storm cpu ratio   {statistics.median(ratios):.3f}   (program in direct reclaim with "
          f"memwatch oom vs without, {RUNS} runs, median; {min(ratios):.3f} to {max(ratios):.3f})")
    print(f"reclaim storm cpu best    {min(watched) / min(without):.3f}   (the same, fastest run of each)")
    print(f"reclaim storm cost        {ns:.0f} ns   (added per direct reclaim, {cnt} of them; each "
          f"takes {statistics.median(without) / cnt * 1e9:.0f} ns of the program)")


def wait_for_programs():
    end = time.monotonic() + 20
    while time.monotonic() < end and not set(PROGS) <= set(programs()):
        time.sleep(0.05)


def per_reclaim(exe, g, path):
    """The kernel's own account of the programs' time."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    was = switch.read_text()
    mw = Attached(["oom", "-q", "-v", "--source", "probe"])
    wait_for_programs()
    try:
        switch.write_text("1")
        walk(exe, g, path)
        got = programs()
    finally:
        switch.write_text(was)
        mw.finish()
        mw.stop()
    return got[PROGS[1]][0], sum(got[p][1] / got[p][0] for p in PROGS)


main()
