#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cost of watching a Go program: a snapshot of 10,000 records; the target's throughput with and
without memwatch, alternating within one run; the GC trace on an allocation-heavy program.
Prints: name  value  (what vs what, n runs, median)."""
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "build" / "memwatch"
PAIRS = int(os.environ.get("BENCH_PAIRS", "25"))


def build(tmp):
    exe = tmp / "bench"
    env = dict(os.environ, GO111MODULE="off", CGO_ENABLED="0", GOCACHE=str(tmp / "cache"))
    subprocess.run(["go", "build", "-o", exe, ROOT / "tests/workloads/go/bench.go"], env=env,
                   check=True)
    return exe


def start(exe, *args, **env):
    p = subprocess.Popen([exe, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         env=dict(os.environ, **env))
    assert p.stdout.readline().strip() == "ready"
    return p


def snapshot(exe, tmp):
    p = start(exe, "buckets", "10000", BENCH_RATE="1")
    times = []
    for _ in range(15):
        out = tmp / "p.pb.gz"
        r = subprocess.run([BIN, "go", "-p", str(p.pid), "-o", out], capture_output=True, text=True,
                           check=True)
        times.append(float(re.search(r"([\d.]+) ms of CPU", r.stderr)[1]))
    p.kill()
    p.wait()
    print(f"go snapshot of 10,000 records  {statistics.median(times):.1f} ms  "
          f"(CPU time, read and symbolised, {len(times)} runs, median)")


def once(p):
    p.stdin.write("go\n")
    p.stdin.flush()
    return [int(v) for v in p.stdout.readline().split()]


def watch(args, pid):
    m = subprocess.Popen([BIN, *args, "-p", str(pid)], stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    for line in m.stderr:
        if "attached" in line:
            return m
    sys.exit("memwatch did not attach")


def stop(m):
    m.send_signal(signal.SIGINT)
    m.communicate()


def paired(exe, name, args):
    """Throughput with memwatch relative to without, in alternating order within each pair."""
    p = start(exe, "work")
    for _ in range(3):
        once(p)
    ratios = [], []
    for i in range(PAIRS):
        t = {}
        for watched in ((True, False) if i % 2 else (False, True)):
            m = watch(args, p.pid) if watched else None
            t[watched] = [sum(x) for x in zip(*(once(p) for _ in range(5)))]
            if m:
                stop(m)
        for k in (0, 1):
            ratios[k].append(t[False][k] / t[True][k])
    p.kill()
    p.wait()
    for k, unit in enumerate(("by the clock", "per CPU time")):
        print(f"{name}, {unit}  {statistics.median(ratios[k]):.3f}  (target's throughput watched vs "
              f"not, {PAIRS} pairs, median)", flush=True)


def main():
    if not shutil.which("go"):
        print("go: not installed, left out", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as d:
        tmp = Path(d)
        exe = build(tmp)
        snapshot(exe, tmp)
        paired(exe, "go heap profile, snapshot each second", ["go", "-i", "1s", "-o", f"{d}/o.pb.gz"])
        paired(exe, "go gc trace", ["go", "--gctrace"])


main()
